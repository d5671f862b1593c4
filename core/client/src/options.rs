//! How a client connects and stays connected.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::client::{Options, Will};
#[cfg(feature = "tls")]
use ternmq_transport::tls::{TlsClient, TlsOptions};
#[cfg(feature = "websocket")]
use ternmq_transport::websocket::{Deflate, WebSocketOptions};
use ternmq_transport::{Endpoint, Proxy, Scheme, Stream, bypasses_proxy};

use crate::error::ConnectError;

/// Everything about a client's connections.
///
/// ```
/// use std::time::Duration;
/// use ternmq_client::{Backoff, ConnectOptions};
/// let options = ConnectOptions::from_uri("mqtt://user:secret@broker.example")?
///     .client_id("thermometer-7")
///     .keep_alive(Duration::from_secs(30))
///     .reconnect(Backoff::default());
/// assert_eq!(options.session.user_name.as_deref(), Some("user"));
/// # Ok::<(), ternmq_client::ConnectError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where to connect to: tried in order, each with all addresses of its name, until one accepts.
    pub endpoints: Vec<Target>,
    /// What CONNECT says, and the limits of the session. Its `connect_timeout_ms` is not used here:
    /// [`connect_timeout`](Self::connect_timeout) covers it.
    pub session: Options,
    /// The longest time for one endpoint: name lookup, all its addresses, the CONNECT and, with
    /// [`version_fallback`](Self::version_fallback), the second one. Zero waits for ever.
    pub connect_timeout: Duration,
    /// Try MQTT 3.1 where 3.1.1 was refused, closed or left without an answer. Counts only while
    /// the session's version is 3.1.1. Each connection begins with 3.1.1 again, as Paho's does.
    pub version_fallback: bool,
    /// Connect again after a connection was lost; `None` leaves it closed.
    pub reconnect: Option<Backoff>,
    /// Subscribe again when a new connection finds that the server has kept no session.
    pub resubscribe: bool,
    /// Go where the server says: a CONNACK or DISCONNECT with Use another server or Server moved
    /// and a Server Reference (section 4.11) has the servers named there tried before the
    /// endpoints, in this attempt or the next. They get the same credentials, so this is off by
    /// default.
    pub follow_redirects: bool,
    /// How much may wait for the application before the socket is left alone.
    pub limits: Limits,
    /// How TLS is spoken with servers that are reached by `mqtts` or `wss`; `None`: as the defaults of
    /// [`TlsOptions`] say, with the roots of the system.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsClient>,
    /// What is said to servers that are reached by `ws` or `wss`.
    #[cfg(feature = "websocket")]
    pub websocket: WebSocketOptions,
    /// The proxies through which servers are reached.
    pub proxies: Proxies,
    /// The address of this machine that connections come from, to servers and proxies, by TCP, UDP and what is above
    /// them; `None`: the one that the system takes for the way there. Addresses of servers that are of another family
    /// can't be reached from it. Means nothing for Unix sockets and in process.
    pub local_address: Option<IpAddr>,
}

/// The proxies (HTTP or SOCKS5) through which servers are reached; not those of Unix sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `mqtt` and `ws`.
    pub plain: Option<Proxy>,
    /// For `mqtts` and `wss`, whose proxy sees nothing but where they go.
    pub secure: Option<Proxy>,
    /// Hosts that are reached without one, as the environment variable `no_proxy` lists them
    /// ([`bypasses_proxy`]); empty: none.
    pub bypass: String,
}

/// Where a client connects to.
#[derive(Clone)]
pub enum Target {
    /// A server, reached as its scheme says.
    Server(Endpoint),
    /// A broker in this process, or a stream that the application makes: called on the IO thread for a
    /// new connection, must not block. Layers above it, such as a WebSocket, may still be opening.
    InProcess(Arc<dyn Fn() -> io::Result<Stream> + Send + Sync>),
}

/// How long to wait before connecting again: doubles from `min` to `max`, and each wait is
/// lengthened by a random part of itself, so that clients that lost a server together don't come
/// back together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first wait, and never less than this.
    pub min: Duration,
    /// The longest wait, before the random part.
    pub max: Duration,
    /// The random part, as a fraction of the wait: 0.2 lengthens it by up to 20 %.
    pub jitter: f64,
    /// Also when the very first connection could not be made. Without, that is the end.
    pub first_connect: bool,
    /// Also when the server said that another client took this session over (0x8E). Two clients
    /// with the same identifier then go on throwing each other out.
    pub after_takeover: bool,
}

/// How much may wait for the application. Beyond it the socket is not read: the server's window
/// and TCP hold the rest back, and nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages and other events. What one read of 64 KiB brings may come on top.
    pub events: usize,
    /// Bytes of those messages.
    pub event_bytes: usize,
    /// Bytes while an answer of the server is awaited: it stands behind the messages in the
    /// socket, so reading goes on until here. Beyond it the answer is not seen until messages
    /// were taken.
    pub event_bytes_awaiting: usize,
    /// Messages without a subscription that a [`Client`](crate::Client) keeps for one to come, when
    /// it goes on with the session of an earlier one. Then the oldest are dropped, and counted.
    pub unclaimed: usize,
}

impl ConnectOptions {
    /// Options for these endpoints and otherwise the defaults: MQTT 5.0, Clean Start, 30 s to
    /// connect, no automatic reconnection.
    pub fn new(endpoints: Vec<Target>) -> Self {
        Self {
            endpoints,
            session: Options::default(),
            connect_timeout: Duration::from_secs(30),
            version_fallback: false,
            reconnect: None,
            resubscribe: true,
            follow_redirects: false,
            limits: Limits::default(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "websocket")]
            websocket: WebSocketOptions::default(),
            proxies: Proxies::default(),
            local_address: None,
        }
    }

    /// Options for one server: `mqtt://[user[:password]@]host[:port]` (or `tcp`), `mqtts` (or `ssl`,
    /// `tls`), `ws` and `wss` with a path, `unix:///path`, or `host[:port]`.
    ///
    /// # Errors
    /// [`ConnectError::Uri`].
    pub fn from_uri(uri: &str) -> Result<Self, ConnectError> {
        let mut endpoint: Endpoint = uri.parse()?;
        let (user_name, password) = (endpoint.user_name.take(), endpoint.password.take());
        let mut options = Self::new(vec![Target::Server(endpoint)]);
        options.session.user_name = user_name;
        options.session.password = password;
        Ok(options)
    }

    /// Options for a broker in this process; `connect` gives the client's end of a new pipe.
    pub fn in_process(connect: impl Fn() -> io::Result<Stream> + Send + Sync + 'static) -> Self {
        Self::new(vec![Target::InProcess(Arc::new(connect))])
    }

    /// Adds a server to try when those before it can't be reached.
    ///
    /// # Errors
    /// [`ConnectError::Uri`].
    pub fn or_uri(mut self, uri: &str) -> Result<Self, ConnectError> {
        self.endpoints.push(Target::Server(uri.parse()?));
        Ok(self)
    }

    /// The client identifier; empty lets the server assign one.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.session.client_id = client_id.into();
        self
    }

    /// The protocol version; 5.0 by default.
    #[must_use]
    pub fn version(mut self, version: ProtocolVersion) -> Self {
        self.session.version = version;
        self
    }

    /// Begin without the state of earlier connections; `true` by default.
    #[must_use]
    pub fn clean_start(mut self, clean_start: bool) -> Self {
        self.session.clean_start = clean_start;
        self
    }

    /// The longest silence on the connection, in whole seconds up to 65,535; zero switches Keep
    /// Alive off.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.session.keep_alive = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        self
    }

    /// User name and password.
    #[must_use]
    pub fn credentials(
        mut self,
        user_name: impl Into<String>,
        password: impl Into<Vec<u8>>,
    ) -> Self {
        self.session.user_name = Some(user_name.into());
        self.session.password = Some(password.into());
        self
    }

    /// What the server publishes when the connection ends without a DISCONNECT.
    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.session.will = Some(will);
        self
    }

    /// The longest time for one endpoint.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How TLS is spoken. Reads the files that are named in it.
    ///
    /// ```no_run
    /// use ternmq_client::ConnectOptions;
    /// use ternmq_client::tls::{Identity, Roots, TlsOptions};
    /// let tls = TlsOptions {
    ///     roots: vec![Roots::File("ca.pem".into())],
    ///     identity: Some(Identity::files("me.pem", "me.key")),
    ///     ..TlsOptions::default()
    /// };
    /// let options = ConnectOptions::from_uri("mqtts://broker.example")?.tls(&tls)?;
    /// # Ok::<(), ternmq_client::ConnectError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::Transport`] with what is wrong with them.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: &TlsOptions) -> Result<Self, ConnectError> {
        self.tls = Some(tls.build()?);
        Ok(self)
    }

    /// A header line for the opening of WebSockets.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.websocket.headers.push((name.into(), value.into()));
        self
    }

    /// Offers compression of WebSockets (RFC 7692); what servers don't want stays as it is. A message holds no
    /// more, when it is decompressed, than the largest packet that the server may send.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.websocket.deflate = Some(deflate);
        self
    }

    /// Reach every server through this proxy: `http://[user[:password]@]host[:port]`, or `socks5://`.
    ///
    /// # Errors
    /// [`ConnectError::Uri`].
    pub fn proxy(mut self, uri: &str) -> Result<Self, ConnectError> {
        let proxy: Proxy = uri.parse()?;
        self.proxies = Proxies {
            plain: Some(proxy.clone()),
            secure: Some(proxy),
            ..Proxies::default()
        };
        Ok(self)
    }

    /// Come from this address of this machine ([`local_address`](Self::local_address)).
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// Connect again after a connection was lost.
    #[must_use]
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.reconnect = Some(backoff);
        self
    }
}

impl ConnectOptions {
    /// Has TLS with the system's roots at hand, if that is what will be spoken: they are read from
    /// files, which is nothing for the IO thread.
    ///
    /// # Errors
    /// The system has none.
    #[cfg(feature = "tls")]
    pub(crate) fn prepare(&mut self) -> Result<(), ConnectError> {
        let secure = |target: &Target| matches!(target, Target::Server(e) if e.scheme.is_secure());
        if self.tls.is_none() && self.endpoints.iter().any(secure) {
            self.tls = Some(TlsClient::system()?);
        }
        Ok(())
    }
}

impl Proxies {
    /// The one for this endpoint.
    pub(crate) fn of(&self, endpoint: &Endpoint) -> Option<&Proxy> {
        match endpoint.scheme {
            Scheme::Unix => None,
            _ if bypasses_proxy(&self.bypass, &endpoint.host, endpoint.port) => None,
            scheme if scheme.is_secure() => self.secure.as_ref(),
            _ => self.plain.as_ref(),
        }
    }
}

impl Backoff {
    /// The wait before attempt number `attempt` (from 0). `random` is any number; the same one
    /// gives the same wait.
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.min.saturating_mul(1 << attempt.min(20));
        let wait = doubled.min(self.max.max(self.min));
        // 53 bits are what an f64 holds exactly: a fraction from 0 up to, not including, 1.
        let fraction = (random >> 11) as f64 / (1u64 << 53) as f64;
        wait + wait.mul_f64(self.jitter.clamp(0.0, 10.0) * fraction)
    }
}

impl Default for Backoff {
    /// From 1 s to 60 s and up to 20 % more; only for connections that had been made.
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
            jitter: 0.2,
            first_connect: false,
            after_takeover: false,
        }
    }
}

impl Default for Limits {
    /// 65,536 events, 16 MiB, 64 MiB while an answer is awaited, 1,000 unclaimed messages.
    fn default() -> Self {
        Self {
            events: 65_536,
            event_bytes: 16 << 20,
            event_bytes_awaiting: 64 << 20,
            unclaimed: 1_000,
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(endpoint) => endpoint.fmt(f),
            Self::InProcess(_) => f.write_str("InProcess"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_exactly_the_minimum_to_the_maximum() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..8).map(|n| backoff.delay(n, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX, 0), backoff.max);
    }

    #[test]
    fn the_random_part_only_lengthens_and_keeps_within_its_fraction() {
        let backoff = Backoff::default();
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            let wait = backoff.delay(1, random);
            assert!(wait >= Duration::from_secs(2), "{wait:?}");
            assert!(wait <= Duration::from_millis(2400), "{wait:?}");
        }
        assert!(backoff.delay(1, u64::MAX) > Duration::from_millis(2399));
    }

    #[test]
    fn hosts_on_the_list_are_reached_without_a_proxy() {
        let options = ConnectOptions::from_uri("mqtt://localhost").unwrap();
        let mut proxies = options.proxy("http://proxy").unwrap().proxies;
        let is_used = |proxies: &Proxies, uri: &str| proxies.of(&uri.parse().unwrap()).is_some();
        assert!(is_used(&proxies, "mqtt://a.example") && is_used(&proxies, "wss://a.example"));
        assert!(!is_used(&proxies, "unix:///a"));
        proxies.bypass = "example:8883".to_owned();
        assert!(is_used(&proxies, "mqtt://a.example") && !is_used(&proxies, "mqtts://a.example"));
    }

    #[test]
    fn a_uri_brings_its_credentials_into_the_session() {
        let options = ConnectOptions::from_uri("mqtt://u:p@localhost").unwrap();
        assert_eq!(options.session.password.as_deref(), Some(&b"p"[..]));
        assert!(!format!("{options:?}").contains("\"p\""));
        assert!(matches!(
            ConnectOptions::from_uri("http://localhost"),
            Err(ConnectError::Uri(_))
        ));
    }
}
