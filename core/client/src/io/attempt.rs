//! An attempt to connect: endpoints, addresses, versions, one after the other.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ternmq_protocol::{ProtocolVersion, Time};
use ternmq_transport::{Endpoint, Proxy, ProxyError, Scheme, Stream, TransportError};

use super::layers::Layers;
use super::thread::{IoThread, Source};
use crate::clock;
use crate::error::ConnectError;
use crate::link::{Shared, Status};
use crate::options::Target;

/// How long an address may keep its successor waiting (RFC 8305 section 5 recommends this).
const STAGGER_MS: u64 = 250;

/// How often servers may name other servers in one attempt. Two that name each other end here.
const REDIRECTIONS: u32 = 4;

/// How long a proxy may take to open a way; the server behind it has the rest of its time.
const PROXY_MS: u64 = 10_000;

/// One attempt, from `connect` or the end of a wait until CONNACK or the last failure.
pub(super) struct Attempt {
    /// Endpoints not tried yet.
    targets: VecDeque<Target>,
    /// How often a server may still name another one.
    redirections: u32,
    /// The name being looked up, for the error.
    host: String,
    /// What is put above the sockets to the current endpoint; `None` in process.
    layers: Option<Layers>,
    /// While a proxy opens a way: when its time is over.
    proxy_until: Time,
    /// When the endpoint's time is over.
    deadline: Time,
    /// Distinguishes the lookups of a link, so that a late answer is known as such.
    lookup: u64,
    /// Whether the answer to that lookup is awaited.
    resolving: bool,
    /// Addresses not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// Sources of connections being made; without an address, of one that somebody else made.
    opening: Vec<(usize, Option<SocketAddr>)>,
    /// When the next address is tried although others have not answered.
    next_at: Time,
    /// The address of the open transport, for another try with an older version.
    address: Option<SocketAddr>,
    /// What went wrong last.
    error: ConnectError,
}

impl Attempt {
    /// When it needs attention for the sake of time. With the transport open, the session's own
    /// timeout counts.
    pub(super) fn due(&self) -> Time {
        if self.resolving || !self.opening.is_empty() {
            self.deadline.min(self.next_at).min(self.proxy_until)
        } else {
            Time::NEVER
        }
    }
}

impl IoThread {
    /// Begins an attempt with the first endpoint.
    pub(super) fn begin(&mut self, slot: usize) {
        self.end_attempt(slot);
        let link = &mut self.links[slot];
        let mut inner = link.shared.lock();
        inner.retry_at = None;
        inner.status = Status::Connecting;
        let mut targets = std::mem::take(&mut inner.redirect);
        targets.extend(inner.options.endpoints.iter().cloned());
        link.attempt = Some(Attempt {
            targets: targets.into(),
            redirections: REDIRECTIONS,
            host: String::new(),
            layers: None,
            proxy_until: Time::NEVER,
            deadline: Time::NEVER,
            lookup: clock::nanos(),
            resolving: false,
            addresses: VecDeque::new(),
            opening: Vec::new(),
            next_at: Time::NEVER,
            address: None,
            error: ConnectError::NoEndpoint,
        });
        drop(inner);
        self.try_endpoint(slot);
    }

    /// Begins with the endpoint that is next, or gives up when there is none.
    fn try_endpoint(&mut self, slot: usize) {
        loop {
            let link = &mut self.links[slot];
            let Some(attempt) = &mut link.attempt else {
                return;
            };
            let mut inner = link.shared.lock();
            restore_version(&mut link.fell_back, inner.session.options_mut());
            let Some(target) = attempt.targets.pop_front() else {
                let error = attempt.error.clone();
                link.attempt = None;
                inner.attempt_failed(clock::now(), error);
                link.shared.clone().tell(inner);
                return;
            };
            // Not one of the endpoints: a server that another one has named.
            let left = attempt.targets.len() + 1;
            inner.endpoint = inner.options.endpoints.len().checked_sub(left);
            let now = clock::now();
            attempt.deadline = match clock::millis(inner.options.connect_timeout) {
                0 => Time::NEVER,
                ms => now.after(ms),
            };
            attempt.next_at = Time::NEVER;
            attempt.layers = None;
            let begun = match target {
                Target::InProcess(connect) => {
                    drop(inner);
                    self.try_stream(slot, &*connect)
                }
                Target::Server(endpoint) => {
                    inner.scheme = endpoint.scheme;
                    let proxy = inner.options.proxies.of(&endpoint).cloned();
                    drop(inner);
                    self.try_server(slot, endpoint, proxy)
                }
            };
            if begun {
                return;
            }
        }
    }

    /// Begins to connect to a server, or to the proxy before it.
    fn try_server(&mut self, slot: usize, endpoint: Endpoint, proxy: Option<Proxy>) -> bool {
        if endpoint.scheme == Scheme::Unix {
            let path = endpoint.path;
            return self.try_stream(slot, &|| Stream::connect_unix(Path::new(&path)));
        }
        if endpoint.scheme == Scheme::Quic && proxy.is_some() {
            let why = "no proxy carries QUIC; let this server's name bypass it";
            let error = io::Error::new(io::ErrorKind::Unsupported, why);
            self.note(slot, ConnectError::io(error));
            return false;
        }
        let (host, port) = match proxy {
            Some(proxy) => (proxy.host, proxy.port),
            None => (endpoint.host.clone(), endpoint.port),
        };
        if let Some(attempt) = &mut self.links[slot].attempt {
            attempt.layers = Some(Layers::new(endpoint));
        }
        self.try_host(slot, host, port)
    }

    /// Begins to connect to a host. False when all its addresses failed at once.
    fn try_host(&mut self, slot: usize, host: String, port: u16) -> bool {
        let link = &mut self.links[slot];
        let Some(attempt) = &mut link.attempt else {
            return true;
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            attempt.addresses = VecDeque::from([SocketAddr::new(ip, port)]);
            return self.try_addresses(slot);
        }
        attempt.lookup += 1;
        attempt.resolving = true;
        attempt.host.clone_from(&host);
        let asker = Arc::downgrade(&link.shared);
        self.inbox.look_up(asker, attempt.lookup, host, port);
        true
    }

    /// Takes a stream that somebody else has made.
    fn try_stream(&mut self, slot: usize, connect: &dyn Fn() -> io::Result<Stream>) -> bool {
        // Not our code: a panic there ends this attempt, not the thread.
        let connected = std::panic::catch_unwind(std::panic::AssertUnwindSafe(connect));
        let connected = connected.unwrap_or_else(|_| Err(io::Error::other("connecting panicked")));
        let opened = connected.and_then(|mut stream| {
            let token = self.sources.vacant_key();
            self.poller.register(&mut stream, token)?;
            let connected = stream.connected()?;
            Ok((stream, connected))
        });
        match opened {
            Ok((stream, true)) => {
                let token = self.sources.insert(Source::Online { slot });
                self.open(slot, token, stream, None);
                true
            }
            // Whoever made it has put layers on it, which have something to say first.
            Ok((stream, false)) => {
                let token = self.sources.insert(Source::Opening { slot, stream });
                if let Some(attempt) = &mut self.links[slot].attempt {
                    attempt.opening.push((token, None));
                }
                true
            }
            Err(error) => {
                self.note(slot, ConnectError::io(error));
                false
            }
        }
    }

    /// A name lookup has an answer.
    pub(super) fn resolved(
        &mut self,
        shared: &Arc<Shared>,
        lookup: u64,
        addresses: io::Result<Vec<SocketAddr>>,
    ) {
        let Some(slot) = shared.lock().slot else {
            return;
        };
        let Some(attempt) = &mut self.links[slot].attempt else {
            return;
        };
        if attempt.lookup != lookup || !attempt.resolving {
            return;
        }
        attempt.resolving = false;
        let begun = match addresses {
            Ok(addresses) if !addresses.is_empty() => {
                attempt.addresses = addresses.into();
                self.try_addresses(slot)
            }
            failed => {
                let error = failed
                    .err()
                    .unwrap_or_else(|| io::ErrorKind::NotFound.into());
                let host = std::mem::take(&mut attempt.host);
                let error = Arc::new(error);
                attempt.error = ConnectError::Resolve { host, error };
                false
            }
        };
        if !begun {
            self.next_endpoint(slot);
        }
        self.settle(slot);
    }

    /// Begins to connect to the next address. False when none is left and none is being tried.
    fn try_addresses(&mut self, slot: usize) -> bool {
        loop {
            let link = &mut self.links[slot];
            let Some(attempt) = &mut link.attempt else {
                return true;
            };
            let Some(address) = attempt.addresses.pop_front() else {
                attempt.next_at = Time::NEVER;
                return !attempt.opening.is_empty();
            };
            let token = self.sources.vacant_key();
            let opened = match &attempt.layers {
                Some(layers) if layers.are_quic() => {
                    let options = &link.shared.lock().options;
                    #[cfg(feature = "quic")]
                    let engine = &mut self.quic;
                    #[cfg(not(feature = "quic"))]
                    let engine = &mut ();
                    layers.connect_quic(engine, address, options)
                }
                _ => match link.shared.lock().options.local_address {
                    Some(local) => Stream::connect_from(address, local),
                    None => Stream::connect(address),
                },
            };
            let opened = opened.and_then(|mut stream| {
                self.poller.register(&mut stream, token)?;
                Ok(stream)
            });
            match opened {
                Ok(stream) => {
                    self.sources.insert(Source::Opening { slot, stream });
                    attempt.layers.iter_mut().for_each(Layers::take_off);
                    attempt.opening.push((token, Some(address)));
                    attempt.next_at = match attempt.addresses.is_empty() {
                        true => Time::NEVER,
                        false => clock::now().after(STAGGER_MS),
                    };
                    return true;
                }
                Err(error) => attempt.error = ConnectError::io(error),
            }
        }
    }

    /// The poller has news of a connection being made.
    pub(super) fn opening_ready(&mut self, token: usize) {
        let Some(Source::Opening { slot, stream }) = self.sources.get_mut(token) else {
            return;
        };
        let slot = *slot;
        let mut connected = stream.connected();
        if matches!(connected, Ok(true)) {
            connected = self.raise(slot, token);
        }
        match connected {
            Ok(false) => self.note_tunnel(slot, token),
            Ok(true) => self.opened(slot, token),
            Err(error) => {
                self.sources.remove(token);
                let mut left = true;
                if let Some(attempt) = &mut self.links[slot].attempt {
                    attempt.opening.retain(|(t, _)| *t != token);
                    attempt.error = ConnectError::io(error);
                    left = self.try_addresses(slot);
                }
                if !left {
                    self.next_endpoint(slot);
                }
            }
        }
        self.settle(slot);
    }

    /// A socket is connected: puts on it what belongs above it, and begins with that. The other
    /// addresses are out of the race; what goes wrong from here on would with them too. Whether the
    /// connection is made.
    fn raise(&mut self, slot: usize, token: usize) -> io::Result<bool> {
        let link = &mut self.links[slot];
        let Some(attempt) = &mut link.attempt else {
            return Ok(true);
        };
        let Some(layers) = attempt.layers.as_mut().filter(|layers| !layers.are_on()) else {
            return Ok(true);
        };
        attempt.addresses.clear();
        attempt.next_at = Time::NEVER;
        let lost: Vec<usize> = attempt.opening.iter().map(|(t, _)| *t).collect();
        attempt.opening.retain(|(t, _)| *t == token);
        for other in lost.into_iter().filter(|other| *other != token) {
            self.sources.remove(other);
        }
        let online = Source::Online { slot };
        let Source::Opening { stream, .. } = std::mem::replace(&mut self.sources[token], online)
        else {
            return Ok(true);
        };
        let inner = link.shared.lock();
        let largest = inner.session.options().max_packet_size;
        let put_on = layers.put_on(stream, &inner.options, largest);
        drop(inner);
        let (mut stream, any) = put_on?;
        let connected = if any { stream.connected()? } else { true };
        self.sources[token] = Source::Opening { slot, stream };
        Ok(connected)
    }

    /// Sees to the time of a proxy that is opening a way.
    fn note_tunnel(&mut self, slot: usize, token: usize) {
        let Some(Source::Opening { stream, .. }) = self.sources.get(token) else {
            return;
        };
        let tunnelling = stream.is_tunnelling();
        if let Some(attempt) = &mut self.links[slot].attempt {
            attempt.proxy_until = match (tunnelling, attempt.proxy_until) {
                (false, _) => Time::NEVER,
                (true, Time::NEVER) => clock::now().after(PROXY_MS),
                (true, until) => until,
            };
        }
    }

    /// The first connection that was made is the one.
    fn opened(&mut self, slot: usize, token: usize) {
        let online = Source::Online { slot };
        let Source::Opening { stream, .. } = std::mem::replace(&mut self.sources[token], online)
        else {
            return;
        };
        let mut address = None;
        if let Some(attempt) = &mut self.links[slot].attempt {
            // A way that a second CONNECT of an older version needs has a time of its own.
            attempt.proxy_until = Time::NEVER;
            for (other, other_address) in attempt.opening.drain(..) {
                if other == token {
                    address = other_address;
                } else {
                    self.sources.remove(other);
                }
            }
        }
        self.open(slot, token, stream, address);
    }

    /// Hands an open transport to the session, which has what is left of the endpoint's time.
    fn open(&mut self, slot: usize, token: usize, stream: Stream, address: Option<SocketAddr>) {
        let link = &mut self.links[slot];
        if let Some(attempt) = &mut link.attempt {
            attempt.address = address;
            let left = match attempt.deadline {
                Time::NEVER => 0,
                deadline => deadline.since(clock::now()).max(1),
            };
            link.shared.lock().session.options_mut().connect_timeout_ms = left;
        }
        self.online(slot, token, stream);
    }

    /// The transport was open, but no CONNACK came, or one that refuses.
    pub(super) fn handshake_failed(&mut self, slot: usize, error: ConnectError) {
        let link = &mut self.links[slot];
        let Some(attempt) = &mut link.attempt else {
            return;
        };
        let hopeless = matches!(error, ConnectError::Options(_));
        attempt.error = error;
        let mut inner = link.shared.lock();
        let falls_back = inner.options.version_fallback
            && inner.session.options().version == ProtocolVersion::V3_1_1
            && clock::now() < attempt.deadline;
        if falls_back && let Some(address) = attempt.address {
            link.fell_back = true;
            inner.session.options_mut().version = ProtocolVersion::V3_1;
            attempt.addresses = VecDeque::from([address]);
            drop(inner);
            if self.try_addresses(slot) {
                return;
            }
        } else {
            let redirect = std::mem::take(&mut inner.redirect);
            drop(inner);
            if hopeless {
                attempt.targets.clear();
            } else if !redirect.is_empty() && attempt.redirections > 0 {
                attempt.redirections -= 1;
                redirect
                    .into_iter()
                    .rev()
                    .for_each(|t| attempt.targets.push_front(t));
            }
        }
        self.next_endpoint(slot);
    }

    /// Time has passed for an attempt.
    pub(super) fn attempt_timeout(&mut self, slot: usize, now: Time) {
        let Some(attempt) = self.links.get_mut(slot).and_then(|l| l.attempt.as_mut()) else {
            return;
        };
        if attempt.due() > now {
            return;
        }
        if attempt.deadline <= now {
            attempt.error = ConnectError::Timeout;
            self.next_endpoint(slot);
        } else if attempt.proxy_until <= now {
            attempt.error = ConnectError::Transport(TransportError::Proxy(ProxyError::Timeout));
            self.next_endpoint(slot);
        } else if !self.try_addresses(slot) {
            self.next_endpoint(slot);
        }
    }

    /// Ends what is being tried, without a word.
    pub(super) fn end_attempt(&mut self, slot: usize) {
        self.drop_opening(slot);
        self.links[slot].attempt = None;
    }

    fn next_endpoint(&mut self, slot: usize) {
        self.drop_opening(slot);
        if let Some(attempt) = &mut self.links[slot].attempt {
            attempt.resolving = false;
            attempt.proxy_until = Time::NEVER;
            attempt.addresses.clear();
        }
        self.try_endpoint(slot);
    }

    fn drop_opening(&mut self, slot: usize) {
        if let Some(attempt) = &mut self.links[slot].attempt {
            for (token, _) in attempt.opening.drain(..) {
                self.sources.remove(token);
            }
        }
    }

    fn note(&mut self, slot: usize, error: ConnectError) {
        if let Some(attempt) = &mut self.links[slot].attempt {
            attempt.error = error;
        }
    }
}

/// Each endpoint begins with the version that was asked for.
fn restore_version(fell_back: &mut bool, options: &mut ternmq_protocol::client::Options) {
    if std::mem::take(fell_back) && options.version == ProtocolVersion::V3_1 {
        options.version = ProtocolVersion::V3_1_1;
    }
}
