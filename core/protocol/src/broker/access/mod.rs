//! Who may publish and subscribe to what: rules that are evaluated in place, and questions to the driver
//! where they have nothing to say.

mod pattern;
mod rules;
mod verdicts;

use super::out::{ConnId, ListenerId};
use crate::codec::QoS;
use crate::reason::ReasonCode;
use crate::time::Time;
use crate::version::ProtocolVersion;
use std::net::IpAddr;
use std::sync::Arc;

pub use pattern::{NamePattern, PatternError, TopicPattern};
pub(super) use rules::Applicable;
pub use rules::{Client, Group, MAX_RULES, Name, Rule, Rules, RulesError, Who, Wish};
pub(super) use verdicts::{Verdicts, fingerprint};

/// What a rule, or whoever is asked, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It may be done.
    Allow,
    /// It may not.
    Deny,
}

/// What becomes of a client that publishes what it may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Denied {
    /// The message is dropped and counted. With QoS 1 and 2 an MQTT 5.0 client is told Not authorized
    /// (0x87); an older one, whose version has no word for it, gets an acknowledgement like any other.
    #[default]
    Drop,
    /// The connection ends: DISCONNECT with Not authorized (0x87) where the version has it.
    Disconnect,
}

/// How a shard decides what clients may do.
#[derive(Clone, Debug)]
pub struct Access {
    /// The rules.
    pub rules: Arc<Rules>,
    /// Whether the driver is asked where no rule applies. If not, [`Rules::otherwise`] decides.
    pub asks: bool,
    /// Verdicts of the driver kept for each connection, 24 bytes each. Beyond it the oldest is forgotten.
    pub verdicts: usize,
    /// Milliseconds for which one holds; with 0 none is kept.
    pub verdict_ms: u64,
    /// What becomes of a client that publishes what it may not.
    pub denied: Denied,
    /// Clients that came in through this listener may do everything.
    pub trusted: Option<ListenerId>,
}

/// What one connection may, by whatever has shown who its client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// When it ends: DISCONNECT with Not authorized (0x87) where the version has it.
    /// [`Time::NEVER`]: not because of this.
    pub until: Time,
    /// What its client may do at most; where none of these applies their [`Rules::otherwise`] holds. What
    /// they allow the rules of all may still deny, and whoever is asked then. `None`: what others may.
    ///
    /// Subscriptions that its session has from before stay.
    pub rules: Option<Arc<Rules>>,
    /// Its client may publish and subscribe to everything: no rule is looked at, neither these nor those of all,
    /// and nobody is asked. All other limits hold for it as for others.
    pub superuser: bool,
}

/// Something a client wants to do, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To publish a message.
    Publish {
        /// The topic that is meant: that of an alias, after rewriting, without `$delayed/{seconds}/`.
        topic: Box<str>,
        /// Its QoS.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
        /// It is the will of a client that wants in.
        will: bool,
    },
    /// To subscribe.
    Subscribe {
        /// The filter that is meant: after rewriting, without `$share/{ShareName}/` or `$exclusive/`.
        filter: Box<str>,
        /// The highest QoS it asks for.
        qos: QoS,
        /// The name of the group, of a shared subscription.
        share_name: Option<Box<str>>,
    },
}

/// A client wants to do something that no rule decides.
#[derive(Debug)]
pub struct AccessRequest {
    /// Goes back with the answer.
    pub ticket: AccessTicket,
    /// Its client identifier.
    pub client_id: Box<str>,
    /// Its user name: the one it has shown to be, else the one it sent, if it did.
    pub user_name: Option<Box<str>>,
    /// The listener it came in through.
    pub listener: ListenerId,
    /// Where it is; `None` for one without an IP address.
    pub peer: Option<IpAddr>,
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// What it wants: one message, or the filters of one SUBSCRIBE. The answer has as many verdicts.
    pub actions: Vec<Action>,
    /// [`Grant::rules`] allow all of it: what nobody else has an opinion about may be done.
    pub granted: bool,
}

/// Which connection waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessTicket {
    pub(super) conn: u32,
    pub(super) serial: u32,
}

impl AccessTicket {
    /// The connection. It may be gone by the time of the answer, and its number given out again.
    #[must_use]
    pub const fn conn(self) -> ConnId {
        ConnId(self.conn)
    }
}

/// The answer to one [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It may be done. Kept for [`Access::verdict_ms`].
    Allow,
    /// It may not: Not authorized (0x87). Kept as well.
    Deny,
    /// Not decided: refused with this reason code this time, and asked anew the next.
    Undecided(ReasonCode),
}

/// What a shard says of a client's will before it is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WillCheck {
    /// It has none, or may have it.
    Fine,
    /// It may not: refuse it with Not authorized.
    Denied,
    /// No rule decides.
    Ask {
        /// What it wants.
        action: Action,
        /// As [`AccessRequest::granted`].
        granted: bool,
    },
}

impl Ruling {
    /// The reason code of a refusal.
    pub(super) const fn refusal(self) -> Option<ReasonCode> {
        match self {
            Self::Allow => None,
            Self::Deny => Some(ReasonCode::NOT_AUTHORIZED),
            Self::Undecided(reason) => Some(reason),
        }
    }

    /// What is kept of it.
    pub(super) const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Allow => Some(Verdict::Allow),
            Self::Deny => Some(Verdict::Deny),
            Self::Undecided(_) => None,
        }
    }
}

/// What one connection has of all this, made when it first needs it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Of the rules of all; `None`: not looked for yet.
    pub(super) applicable: Option<Applicable>,
    pub(super) verdicts: Verdicts,
    pub(super) grant: Option<Grant>,
}

impl Standing {
    /// Whether it may do everything.
    pub(super) fn is_superuser(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.superuser)
    }

    /// Whether it has rules of its own.
    pub(super) fn has_rules(&self) -> bool {
        let grant = self.grant.as_ref();
        grant.is_some_and(|grant| grant.rules.is_some())
    }

    /// What its own rules say; `None` when it has none.
    pub(super) fn granted(&self, client: Client<'_>, wish: Wish<'_>) -> Option<Verdict> {
        let rules = self.grant.as_ref()?.rules.as_ref()?;
        let deciding = rules.deciding(client, wish);
        Some(deciding.map_or(rules.otherwise(), |(_, verdict)| verdict))
    }
}
