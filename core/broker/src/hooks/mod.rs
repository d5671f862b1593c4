//! What whoever embeds the broker has a say in: who may come in, and who may do what.
//!
//! Hooks may block: they run on threads of their own ([`Access::threads`]), never on a shard's, with no
//! lock held, and may call the broker. While one is asked about a client, what that client sends waits,
//! and nobody else. The back ends of a server, and the callbacks of C and Python, are all hooks.

mod ask;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use ternmq_protocol::broker::ListenerId;
use ternmq_protocol::broker::access::{Action, Denied, Rules, Verdict};
use ternmq_protocol::codec::Properties;
use ternmq_protocol::{ProtocolVersion, ReasonCode};

pub(crate) use ask::{Inquiry, Introduction, Pools, Reply, check_passwords};

/// Who may come in, and who may do what. The default has neither hooks nor rules: everybody may do
/// everything, and it costs nothing.
#[derive(Clone)]
pub struct Access {
    /// Asked about each client that wants in, one after the other until one has an opinion. Where none has,
    /// [`Config::users`](crate::Config::users) and
    /// [`ListenerConfig::anonymous`](crate::ListenerConfig::anonymous) decide. Who has shown to be somebody
    /// by SCRAM or a certificate is asked about too. In-process connections are always let in.
    pub authenticate: Vec<Arc<dyn Authenticate>>,
    /// The rules, which are asked before the hooks, and cost some 300 instructions for each that is looked at.
    /// [`Broker::set_rules`](crate::Broker::set_rules) replaces them.
    pub rules: Arc<Rules>,
    /// Asked where no rule applies, one after the other until one has an opinion. Where none has,
    /// [`Rules::otherwise`] holds.
    pub authorise: Vec<Arc<dyn Authorise>>,
    /// What becomes of a client that publishes what it may not.
    pub denied: Denied,
    /// Threads on which each of the two kinds of hooks runs, 1 to 64; there are none without hooks.
    pub threads: usize,
    /// Clients that wait for each of the two kinds of hooks, each with at most a packet. Beyond it a CONNECT
    /// is answered with Server busy (0x89; return code 3 before MQTT 5.0), a PUBLISH or SUBSCRIBE with Quota
    /// exceeded (0x97), and counted ([`Stats::hooks_full`](crate::Stats::hooks_full)).
    pub queue: usize,
    /// Opinions of [`authorise`](Self::authorise) kept for each connection, 24 bytes each; the oldest gives
    /// way.
    pub verdicts: usize,
    /// Milliseconds for which one holds; 0: the hooks are asked each time.
    pub verdict_ms: u64,
}

/// Decides who may come in.
pub trait Authenticate: Send + Sync {
    /// What is to be done with this client. A panic denies.
    fn authenticate(&self, connecting: &Connecting<'_>) -> Decision;
}

/// Decides who may do what.
pub trait Authorise: Send + Sync {
    /// Whether this client may do this; `None`: no opinion. Asked again only after
    /// [`Access::verdict_ms`]. A panic denies this time.
    ///
    /// A subscription is asked about once, when it is made, and its messages are not: deny a filter that
    /// matches anything the client must not get.
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Option<Verdict>;

    /// The same for a hook that may not know for now, which is asked this way. Without it there is a verdict or
    /// no opinion.
    fn opinion(&self, client: &Acting<'_>, action: &Action) -> Opinion {
        (self.authorise(client, action)).map_or(Opinion::None, Opinion::Verdict)
    }
}

/// What an [`Authorise`] hook says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// This, and it is kept for [`Access::verdict_ms`].
    Verdict(Verdict),
    /// Nothing: the next one is asked. Without one, what [`Grant::rules`] allow may be done, else the rules of all
    /// say what holds.
    None,
    /// It should know and can't for now: denied this time, and asked anew the next.
    Unknown,
}

impl<F: Fn(&Connecting<'_>) -> Decision + Send + Sync> Authenticate for F {
    fn authenticate(&self, connecting: &Connecting<'_>) -> Decision {
        self(connecting)
    }
}

impl<F: Fn(&Acting<'_>, &Action) -> Option<Verdict> + Send + Sync> Authorise for F {
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Option<Verdict> {
        self(client, action)
    }
}

/// What an [`Authenticate`] hook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may come in.
    Allow,
    /// It may come in, and is the user of this name, whatever name it sent.
    AllowAs(Box<str>),
    /// It may come in, and has this.
    AllowWith(Grant),
    /// It may not: CONNACK with this reason code, such as
    /// [`BAD_USER_NAME_OR_PASSWORD`](ReasonCode::BAD_USER_NAME_OR_PASSWORD) or
    /// [`NOT_AUTHORIZED`](ReasonCode::NOT_AUTHORIZED). One that CONNACK does not know is sent as
    /// Unspecified error (0x80); before MQTT 5.0 there are five return codes, of which the nearest is sent.
    Deny(ReasonCode),
    /// No opinion: the next one is asked.
    Ignore,
}

/// What a client that is let in has by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// It is the user of this name, whatever name it sent; `None`: of the one it sent.
    pub user: Option<Box<str>>,
    /// When its connection ends, by the clock of [`Connecting::now`]: DISCONNECT with Not authorized (0x87), before
    /// MQTT 5.0 without a word. `None`: not because of this. Its session stays as after any other end.
    pub until: Option<SystemTime>,
    /// What it may do at most. What these allow, [`Access::rules`] and [`Access::authorise`] may still deny;
    /// where those have no opinion it may be done, whatever the rules of all say otherwise. `None`: what others may. Subscriptions that its session
    /// has from before stay.
    pub rules: Option<Arc<Rules>>,
    /// It may publish and subscribe to everything: neither these rules nor [`Access::rules`] are looked at, and
    /// [`Access::authorise`] is not asked. Its mount point, limits and bans hold for it as for others.
    pub superuser: bool,
}

/// A client that wants in.
#[derive(Clone, Copy)]
pub struct Connecting<'a> {
    /// Its client identifier; one that the broker made up when it sent none.
    pub client_id: &'a str,
    /// The user name: the one it has shown to be by SCRAM or a certificate, else the one it sent.
    pub user_name: Option<&'a str>,
    /// The password, if it sent one and has not shown otherwise who it is.
    pub password: Option<&'a [u8]>,
    /// It has shown by SCRAM or by a certificate that it is this user.
    pub authenticated: bool,
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// Clean Start, Clean Session before MQTT 5.0.
    pub clean_start: bool,
    /// Its address; `None` for one that has none, as on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The listener it came in through, by its number
    /// ([`Broker::listener_numbers`](crate::Broker::listener_numbers)).
    pub listener: usize,
    /// The subject of its certificate as RFC 4514 writes it, if it has shown one.
    pub certificate_subject: Option<&'a str>,
    /// The time of the system's clock, as far ahead of it as [`Broker::advance`](crate::Broker::advance) has
    /// moved the broker's.
    pub now: SystemTime,
    /// The properties of its CONNECT; none before MQTT 5.0.
    pub properties: Properties<'a>,
}

impl fmt::Debug for Connecting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting")
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("password", &self.password.map(|_| "..."))
            .field("authenticated", &self.authenticated)
            .field("version", &self.version)
            .field("peer", &self.peer)
            .field("listener", &self.listener)
            .field("certificate_subject", &self.certificate_subject)
            .finish_non_exhaustive()
    }
}

/// A client that wants to do something.
#[derive(Clone, Copy, Debug)]
pub struct Acting<'a> {
    /// Its client identifier.
    pub client_id: &'a str,
    /// Who it has shown to be, else the user name it sent.
    pub user_name: Option<&'a str>,
    /// Where it is.
    pub peer: Option<IpAddr>,
    /// The listener it came in through, by its number
    /// ([`Broker::listener_numbers`](crate::Broker::listener_numbers)).
    pub listener: usize,
    /// The version it speaks.
    pub version: ProtocolVersion,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            authenticate: Vec::new(),
            rules: Arc::default(),
            authorise: Vec::new(),
            denied: Denied::default(),
            threads: 1,
            queue: 1024,
            verdicts: 32,
            verdict_ms: 60_000,
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("authenticate", &self.authenticate.len())
            .field("rules", &self.rules)
            .field("authorise", &self.authorise.len())
            .field("denied", &self.denied)
            .field("threads", &self.threads)
            .field("queue", &self.queue)
            .field("verdicts", &self.verdicts)
            .field("verdict_ms", &self.verdict_ms)
            .finish()
    }
}

impl Access {
    /// What the shards are told; `None` where everybody may do everything.
    pub(crate) fn of_shards(
        &self,
        rules: Arc<Rules>,
    ) -> Option<ternmq_protocol::broker::access::Access> {
        let asks = !self.authorise.is_empty();
        // Whoever says who somebody is may say what that one may do.
        let grants = !self.authenticate.is_empty();
        let decides = asks || grants || !rules.is_empty() || rules.otherwise() == Verdict::Deny;
        decides.then_some(ternmq_protocol::broker::access::Access {
            rules,
            asks,
            verdicts: self.verdicts,
            verdict_ms: self.verdict_ms,
            denied: self.denied,
            trusted: Some(crate::connections::IN_PROCESS),
        })
    }
}

/// The place of a listener in the configuration.
fn place(listener: ListenerId) -> usize {
    usize::from(listener.0)
}
