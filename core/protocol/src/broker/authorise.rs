//! Asking whether a client may do what it wants: the rules first, then what the driver has said lately,
//! then the driver. What a client sends behind a question waits for the answer.

use super::access::{
    Access, AccessRequest, AccessTicket, Action, Client, Denied, Grant, Ruling, Verdict, Verdicts,
    WillCheck, Wish, fingerprint,
};
use super::connection::Stage;
use super::held::Waiting;
use super::mount::Texts;
use super::out::{ConnId, Out};
use super::publish::is_reserved;
use super::rewrite::RewriteOn;
use super::shard::Shard;
use super::subscribe::Subscribing;
use crate::codec::primitive::variable_byte_integer_len;
use crate::codec::{Connect, Frame, Packet, PacketType, Publish};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::time::Time;

/// What a client is told that may not do what it wants.
pub(super) fn refused(reason: ReasonCode) -> PeerError {
    PeerError::new(
        reason,
        match reason {
            ReasonCode::NOT_AUTHORIZED => "the client may not do this",
            _ => "nobody could be asked whether the client may do this",
        },
    )
}

/// What is known without asking.
enum Known {
    Allowed,
    Denied,
    /// The driver has to say, about what has this fingerprint.
    Open(u64),
}

/// A PUBLISH that waits for the driver's answer.
#[derive(Debug)]
pub(super) struct Publishing {
    flags: u8,
    body: Box<[u8]>,
    print: u64,
}

impl Publishing {
    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }
}

impl Shard {
    /// Decides by these rules from now on, what waits for an answer excepted; `None`: everybody may do
    /// everything, and nothing is asked. What was answered before is forgotten. Subscriptions that were
    /// made before stay.
    pub fn set_access(&mut self, access: Option<Access>) {
        self.access = access.map(Box::new);
        self.forget_verdicts();
    }

    /// Forgets what the driver has said, so that it is asked anew.
    pub fn forget_verdicts(&mut self) {
        for conn in self.links.conns.iter_mut() {
            match &mut conn.standing {
                Some(standing) if standing.grant.is_some() => {
                    (standing.applicable, standing.verdicts) = (None, Verdicts::default());
                }
                _ => conn.standing = None,
            }
        }
    }

    /// What the client of this connection may, and for how long: it waits for its admission. Its rules are
    /// looked at only while there is an [`Access`].
    pub fn set_grant(&mut self, conn: ConnId, grant: Grant) {
        if let Some(conn) = self.links.conns.get_mut(conn.0) {
            conn.standing.get_or_insert_default().grant = Some(grant);
        }
    }

    /// The answer to an [`AccessRequest`], a ruling for each of its actions, of which those that are missing
    /// are refused: goes on with what waits for it, and with what the client has sent since. Nothing
    /// happens when the connection is gone.
    pub fn authorise(
        &mut self,
        ticket: AccessTicket,
        rulings: &[Ruling],
        now: Time,
        out: &mut Out,
    ) {
        let id = ticket.conn;
        let conn = self.links.conns.get_mut(id);
        let conn = conn.filter(|c| c.serial == ticket.serial && c.stage == Stage::Connected);
        let Some(waiting) = conn.and_then(|conn| conn.held.as_mut()?.waiting.take()) else {
            return;
        };
        let done = match waiting {
            Waiting::Publish(publishing) => {
                let ruling = rulings.first().copied();
                let ruling = ruling.unwrap_or(Ruling::Deny);
                self.keep_verdict(id, publishing.print, ruling, now);
                self.go_on_publishing(id, &publishing, ruling, now, out)
            }
            Waiting::Subscribe(mut subscribing) => {
                let mut rulings = rulings.iter().copied();
                for wanted in &mut subscribing.wanted {
                    if let Some(print) = wanted.open.take() {
                        let ruling = rulings.next().unwrap_or(Ruling::Deny);
                        self.keep_verdict(id, print, ruling, now);
                        wanted.refusal = ruling.refusal();
                    }
                }
                self.claim_and_subscribe(id, subscribing, out)
            }
            // Somebody else is to answer.
            waiting @ Waiting::Claims(_) => {
                let held = self.links.conns[id].held.get_or_insert_default();
                held.waiting = Some(waiting);
                return;
            }
        };
        match done {
            // What waits for another answer now goes on waiting.
            Ok(()) if self.waits_for_driver(id) => {}
            Ok(()) => self.answered(id, now, out),
            Err(error) => self.fail(id, error, now, out),
        }
    }

    /// Whether a client that waits for its admission may have its will.
    pub fn check_will(&mut self, conn: ConnId) -> WillCheck {
        let (Some(access), Some(connection)) = (&self.access, self.links.conns.get(conn.0)) else {
            return WillCheck::Fine;
        };
        if access.trusted == Some(connection.listener) {
            return WillCheck::Fine;
        }
        let standing = connection.standing.as_ref();
        if standing.is_some_and(|own| own.is_superuser()) {
            return WillCheck::Fine;
        }
        let Some(early) = &connection.early else {
            return WillCheck::Fine;
        };
        // It was read once already, when it came in.
        let Some(will) = Connect::decode(&early.connect).ok().and_then(|c| c.will) else {
            return WillCheck::Fine;
        };
        let client_id = &*early.client_id;
        let mut texts = Texts::default();
        // Who can't have a mount point, and what can't be rewritten or delayed, is refused when it is let in.
        let topic = self.mount(conn.0, client_id).and_then(|mount| {
            self.meant_will(conn.0, client_id, mount.as_ref(), will.topic, &mut texts)
        });
        let Ok(topic) = topic else {
            return WillCheck::Fine;
        };
        let topic = self.meant(topic);
        let client = Client {
            client_id,
            user_name: connection.user_name(),
            peer: connection.peer,
        };
        let (qos, retain) = (will.qos, will.retain);
        let wish = Wish::Publish { topic, qos, retain };
        let granted = standing.and_then(|standing| standing.granted(client, wish));
        if granted == Some(Verdict::Deny) {
            return WillCheck::Denied;
        }
        match access.rules.decide(&access.rules.of(client), client, wish) {
            Some(Verdict::Allow) => WillCheck::Fine,
            Some(Verdict::Deny) => WillCheck::Denied,
            None if access.asks => WillCheck::Ask {
                action: Action::Publish {
                    topic: topic.into(),
                    qos,
                    retain,
                    will: true,
                },
                granted: granted.is_some(),
            },
            None if granted.is_some() || access.rules.otherwise() == Verdict::Allow => {
                WillCheck::Fine
            }
            None => WillCheck::Denied,
        }
    }

    /// Whether a PUBLISH may go on now. If not it is refused, or waits for the driver's answer.
    #[inline(never)]
    pub(super) fn may_publish(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        topic: &str,
        now: Time,
        out: &mut Out,
    ) -> Result<bool, PeerError> {
        let mut text = std::mem::take(&mut self.rewritten);
        let rewritten = self.rewrite(RewriteOn::Publish, self.filling(id), topic, &mut text);
        // What can't be rewritten, and what nobody may publish, is refused where it is published.
        let meant = rewritten.ok().filter(|topic| !is_reserved(topic));
        let known = meant.map(|topic| {
            let topic = self.meant(topic);
            let wish = Wish::Publish {
                topic,
                qos: publish.qos,
                retain: publish.retain,
            };
            let known = self.decide(id, wish, None, now);
            if let Known::Open(_) = known {
                let action = Action::Publish {
                    topic: topic.into(),
                    qos: publish.qos,
                    retain: publish.retain,
                    will: false,
                };
                self.ask_driver_about(id, vec![action], out);
            }
            known
        });
        self.rewritten = text;
        match known {
            None | Some(Known::Allowed) => Ok(true),
            Some(Known::Denied) => {
                self.deny_publish(id, publish, ReasonCode::NOT_AUTHORIZED, out)?;
                Ok(false)
            }
            Some(Known::Open(print)) => {
                let waiting = Publishing {
                    flags: publish.flags(),
                    body: publish.wire().into(),
                    print,
                };
                self.ask(id, Waiting::Publish(waiting));
                Ok(false)
            }
        }
    }

    /// Looks at each filter of a SUBSCRIBE. True when all is known; else it is to wait.
    pub(super) fn may_subscribe(
        &mut self,
        id: u32,
        subscribing: &mut Subscribing,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let mut actions = Vec::new();
        let mut texts = Texts::default();
        for wanted in &mut subscribing.wanted {
            let filter = self.filter_of(id, &wanted.filter, &mut texts);
            // What is no filter is refused when it is subscribed to.
            let Some((filter, share_name)) = filter.ok().and_then(|f| self.meant_filter(f)) else {
                continue;
            };
            let qos = wanted.options.qos;
            let known = self.decide(id, Wish::Subscribe { filter, qos }, share_name, now);
            match known {
                Known::Allowed => {}
                Known::Denied => wanted.refusal = Some(ReasonCode::NOT_AUTHORIZED),
                Known::Open(print) => {
                    wanted.open = Some(print);
                    actions.push(Action::Subscribe {
                        filter: filter.into(),
                        qos,
                        share_name: share_name.map(Into::into),
                    });
                }
            }
        }
        let all = actions.is_empty();
        if !all {
            self.ask_driver_about(id, actions, out);
        }
        all
    }

    fn decide(&mut self, id: u32, wish: Wish<'_>, share_name: Option<&str>, now: Time) -> Known {
        let Some(access) = &self.access else {
            return Known::Allowed;
        };
        let conn = &mut self.links.conns[id];
        if access.trusted == Some(conn.listener) {
            return Known::Allowed;
        }
        if conn.standing.as_ref().is_some_and(|own| own.is_superuser()) {
            return Known::Allowed;
        }
        if conn.standing.is_none() && access.rules.is_empty() && !access.asks {
            return match access.rules.otherwise() {
                Verdict::Allow => Known::Allowed,
                Verdict::Deny => Known::Denied,
            };
        }
        let mut standing = conn.standing.take();
        let client = Client {
            client_id: &self.links.sessions[conn.session].client_id,
            user_name: conn.user_name(),
            peer: conn.peer,
        };
        let kept = standing.get_or_insert_default();
        let granted = kept.granted(client, wish);
        let mut verdict = granted.filter(|verdict| *verdict == Verdict::Deny);
        let mut print = 0;
        if verdict.is_none() {
            let own = kept
                .applicable
                .get_or_insert_with(|| access.rules.of(client));
            verdict = access.rules.decide(own, client, wish);
        }
        if verdict.is_none() && access.asks {
            print = fingerprint(self.seed, wish, share_name);
            verdict = kept.verdicts.get(print, now);
        } else if verdict.is_none() {
            verdict = granted.or(Some(access.rules.otherwise()));
        }
        conn.standing = standing;
        match verdict {
            Some(Verdict::Allow) => Known::Allowed,
            Some(Verdict::Deny) => Known::Denied,
            None => Known::Open(print),
        }
    }

    fn ask_driver_about(&mut self, id: u32, actions: Vec<Action>, out: &mut Out) {
        let conn = &self.links.conns[id];
        self.links.stats.access_asked += actions.len() as u64;
        out.questions.push(AccessRequest {
            ticket: AccessTicket {
                conn: id,
                serial: conn.serial,
            },
            client_id: self.links.sessions[conn.session].client_id.clone(),
            user_name: conn.user_name().map(Into::into),
            listener: conn.listener,
            peer: conn.peer,
            version: conn.version,
            actions,
            // What its own rules deny is not asked about.
            granted: conn.standing.as_ref().is_some_and(|own| own.has_rules()),
        });
    }

    fn keep_verdict(&mut self, id: u32, print: u64, ruling: Ruling, now: Time) {
        let standing = self.links.conns[id].standing.as_mut();
        if let (Some(access), Some(standing), Some(verdict)) =
            (&self.access, standing, ruling.verdict())
            && access.verdict_ms > 0
        {
            let until = now.after(access.verdict_ms);
            standing
                .verdicts
                .keep(print, verdict, until, access.verdicts);
        }
    }

    fn go_on_publishing(
        &mut self,
        id: u32,
        publishing: &Publishing,
        ruling: Ruling,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let len = publishing.body.len();
        let frame = Frame {
            packet_type: PacketType::Publish,
            flags: publishing.flags,
            body: &publishing.body,
            len: 1 + variable_byte_integer_len(len as u32) + len,
        };
        // It was read once already, when it came in.
        let Packet::Publish(publish) = Packet::decode(frame, self.links.conns[id].version)? else {
            return Ok(());
        };
        match ruling.refusal() {
            Some(reason) => self.deny_publish(id, &publish, reason, out),
            None => self.publish_allowed(id, &publish, now, out),
        }
    }

    /// A client published what it may not.
    fn deny_publish(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        reason: ReasonCode,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        self.count_received(id, publish);
        let denied = self.access.as_ref().map(|access| access.denied);
        if denied == Some(Denied::Disconnect) && reason == ReasonCode::NOT_AUTHORIZED {
            self.links.stats.count_refused(reason);
            return Err(refused(reason));
        }
        self.refuse_publish(id, publish, refused(reason), out);
        Ok(())
    }

    /// The topic that rules are about.
    fn meant<'a>(&self, topic: &'a str) -> &'a str {
        let delay = topic.starts_with('$').then(|| self.topics.delay_of(topic));
        match delay {
            Some(Ok(Some(delay))) => delay.topic,
            _ => topic,
        }
    }

    /// The filter that rules are about, and the name of the group, if there is one.
    fn meant_filter<'a>(&self, filter: &'a str) -> Option<(&'a str, Option<&'a str>)> {
        let levels = self.links.limits.topic_levels;
        self.topics.split_filter(filter, levels)
    }
}
