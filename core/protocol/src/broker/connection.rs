//! One network connection: what it costs while it is idle is this struct.

use super::access::Standing;
use super::arena::NONE;
use super::authenticate::Authentication;
use super::connect::user_weight;
use super::held::Held;
use super::limits::Limits;
use super::meter::{Meter, Way};
use super::mount::{Mount, Naming};
use super::out::{ConnId, Early, ListenerId, Out};
use super::pool::Pool;
use super::slow::Timing;
use super::stats::{Dropped, Stats};
use super::sums::may_hold;
use crate::codec::{FrameBuffer, Packet, PacketType, QoS};
use crate::message::{Delivery, Message, TopicAlias};
use crate::outbound::Outbound;
use crate::reason::ReasonCode;
use crate::session::alias::{AliasesIn, AliasesOut, TopicForm};
use crate::session::keepalive::server_deadline;
use crate::time::Time;
use crate::version::ProtocolVersion;
use crate::wheel::Timer;
use std::net::IpAddr;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// CONNECT has not come yet.
    Opened,
    /// CONNECT has come, the driver has not answered for it yet.
    Admission,
    /// The driver has asked for an AUTH of the client, which has not come yet.
    Authenticating,
    /// CONNACK went out.
    Connected,
    /// In [`Out::closing`]; nothing is read or written any more.
    Closing,
}

/// Why a client can't be sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsendable {
    /// Its Maximum Packet Size [MQTT-3.1.2-25].
    TooLarge,
    /// The message is not below its mount point, so that it has no name.
    Outside,
}

impl Unsendable {
    /// Where it is counted.
    pub(super) const fn counter(self) -> fn(&mut Dropped) -> &mut u64 {
        match self {
            Self::TooLarge => |dropped| &mut dropped.too_large,
            Self::Outside => |dropped| &mut dropped.outside_mount,
        }
    }
}

/// Bytes of a Topic Alias among the properties: shorter topics have nothing to gain from one.
const ALIAS_LEN: usize = 3;

/// A connection. Buffers and tables are boxed, and there only while they are in use.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) outbound: Option<Box<Outbound>>,
    pub(super) frames: FrameBuffer,
    pub(super) aliases: Option<Box<AliasesIn>>,
    /// There when the client takes aliases, or has a mount point.
    pub(super) naming: Option<Box<Naming>>,
    pub(super) early: Option<Box<Early>>,
    pub(super) held: Option<Box<Held>>,
    /// There if its listener has rate limits.
    pub(super) meter: Option<Box<Meter>>,
    /// There if somebody wants to know who is late.
    pub(super) timing: Option<Box<Timing>>,
    /// There if CONNECT named an authentication method.
    pub(super) auth: Option<Box<Authentication>>,
    /// There once it had to be decided what the client may do, or was said when it came in.
    pub(super) standing: Option<Box<Standing>>,
    /// The user name of its CONNECT.
    pub(super) user: Option<Box<str>>,
    /// When the last packet came in; before CONNECT, when the connection was opened.
    pub(super) last_packet: Time,
    /// The session, [`NONE`] unless connected.
    pub(super) session: u32,
    /// The client's Maximum Packet Size.
    pub(super) max_packet_size: u32,
    /// Seconds, 0 for none.
    pub(super) keep_alive: u16,
    pub(super) listener: ListenerId,
    /// Where the client is.
    pub(super) peer: Option<IpAddr>,
    pub(super) version: ProtocolVersion,
    pub(super) stage: Stage,
    /// It is in [`Out::dirty`].
    pub(super) dirty: bool,
    /// The client has not declined reason strings (Request Problem Information).
    pub(super) explains: bool,
    /// Tells it from other connections of the same number.
    pub(super) serial: u32,
    /// What it keeps of its input, as it was counted last.
    pub(super) input_bytes: u32,
    /// Acknowledgements that wait, and the PUBACKs among them. Large ones count more in the first.
    pub(super) owed: u32,
    pub(super) owed_pubacks: u32,
    /// Nothing is sent before the store has its session.
    pub(super) gated: bool,
    pub(super) timer: Option<Timer>,
}

impl Connection {
    pub(super) fn new(now: Time, listener: ListenerId, peer: Option<IpAddr>) -> Self {
        Self {
            outbound: None,
            frames: FrameBuffer::default(),
            aliases: None,
            naming: None,
            early: None,
            held: None,
            meter: None,
            timing: None,
            auth: None,
            standing: None,
            user: None,
            last_packet: now,
            session: NONE,
            max_packet_size: u32::MAX,
            keep_alive: 0,
            listener,
            peer,
            version: ProtocolVersion::V3_1_1,
            stage: Stage::Opened,
            dirty: false,
            explains: true,
            serial: 0,
            input_bytes: 0,
            owed: 0,
            owed_pubacks: 0,
            gated: false,
            timer: None,
        }
    }

    /// Who the client has shown to be, else who it says it is.
    pub(super) fn user_name(&self) -> Option<&str> {
        let shown = self.auth.as_ref().and_then(|auth| auth.user());
        shown.or(self.user.as_deref())
    }

    /// Bytes of its user name, and of its mount point which is made of names.
    pub(super) fn name_bytes(&self) -> usize {
        let user = self.user.as_deref().map_or(0, user_weight);
        user + self.mount().map_or(0, Mount::len)
    }

    /// It has sent more than its rate: nothing of it is read or handled for a while.
    pub(super) fn is_paused(&self) -> bool {
        let until = |meter: &Meter| meter.until(Way::In).is_some();
        self.meter.as_deref().is_some_and(until)
    }

    /// A packet of it waits for the driver's answer.
    pub(super) fn is_asking(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_asked())
    }

    /// It has been sent as much as its rate allows: nothing more is sent for a while.
    pub(super) fn is_blocked(&self) -> bool {
        let until = |meter: &Meter| meter.until(Way::Out).is_some();
        self.meter.as_deref().is_some_and(until)
    }

    /// Whether its rate allows one more message now; if not, it [is blocked](Self::is_blocked) until
    /// a timer has fired.
    pub(super) fn may_send(&mut self, now: Time) -> bool {
        match &mut self.meter {
            None => true,
            Some(meter) => meter.until(Way::Out).is_none() && meter.is_open(Way::Out, now),
        }
    }

    /// A message was written, behind so many bytes.
    pub(super) fn charge_sent(&mut self, before: usize, now: Time) {
        if self.meter.is_none() {
            return;
        }
        let bytes = self.outbound_len() - before;
        if let Some(meter) = &mut self.meter {
            meter.charge(Way::Out, now, 1, bytes as u64);
        }
    }

    /// Bytes that it keeps of what came in.
    pub(super) fn input_kept(&self) -> usize {
        let early = self.early.as_ref().map_or(0, |early| early.bytes());
        let held = self.held.as_ref().map_or(0, |held| held.bytes());
        self.frames.capacity() + early + held
    }

    /// Bytes of the topics behind the aliases of both directions.
    pub(super) fn alias_bytes(&self) -> usize {
        let theirs = self.aliases.as_ref().map_or(0, |aliases| aliases.bytes());
        theirs + self.aliases_out_bytes()
    }

    fn aliases_out_bytes(&self) -> usize {
        self.naming
            .as_ref()
            .map_or(0, |naming| naming.alias_bytes())
    }

    /// Where its client is in the tree of topics, if that is not the root.
    #[inline]
    pub(super) fn mount(&self) -> Option<&Mount> {
        self.naming.as_ref()?.mount.as_ref()
    }

    /// Whether a message has no name for its client.
    pub(super) fn is_outside(&self, message: &Message) -> bool {
        let mount = self.mount();
        mount.is_some_and(|mount| mount.left_out(message.topic_bytes()).is_none())
    }

    /// Bytes waiting to be sent.
    pub(super) fn outbound_len(&self) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.len())
    }

    /// Where to write what is to be sent. Takes a buffer and asks for a flush.
    pub(super) fn writer(&mut self, id: u32, pool: &mut Pool, out: &mut Out) -> &mut Outbound {
        if !self.dirty {
            self.dirty = true;
            out.dirty.push(ConnId(id));
        }
        self.outbound.get_or_insert_with(|| pool.take())
    }

    /// Writes a packet; false when the client would not take one of its size [MQTT-3.1.2-24].
    pub(super) fn send(
        &mut self,
        id: u32,
        packet: &Packet<'_>,
        pool: &mut Pool,
        out: &mut Out,
    ) -> bool {
        let (version, max) = (self.version, self.max_packet_size as usize);
        self.writer(id, pool, out).append(|bytes| {
            let start = bytes.len();
            // What the shard writes by itself can be written, so an error is a packet too large.
            let fits = packet.encode(version, bytes).is_ok_and(|len| len <= max);
            if !fits {
                bytes.truncate(start);
            }
            fits
        })
    }

    /// Writes an acknowledgement without properties: 4 bytes, and one more for a reason.
    pub(super) fn send_ack(
        &mut self,
        id: u32,
        kind: PacketType,
        packet_id: u16,
        reason: ReasonCode,
        pool: &mut Pool,
        out: &mut Out,
    ) {
        let with_reason = self.takes_reasons();
        self.writer(id, pool, out)
            .append(|bytes| write_ack(kind, packet_id, reason, with_reason, bytes));
    }

    /// Whether acknowledgements to it may have the fifth byte, for a reason.
    pub(super) fn takes_reasons(&self) -> bool {
        self.version.is_v5() && self.max_packet_size >= 5
    }

    /// Gives a delivery the topic's name for this client: its alias if there is one, or what is below the
    /// mount point. An error when there is no such name, or the client would not take a packet of its size
    /// [MQTT-3.1.2-24], and then no alias is set either. Otherwise the delivery must be written next: what
    /// it says about aliases holds from then on.
    #[inline]
    pub(super) fn prepare(
        &mut self,
        message: &Message,
        delivery: &mut Delivery<'_>,
        limits: &Limits,
        stats: &mut Stats,
    ) -> Result<(), Unsendable> {
        let takes = match &self.naming {
            None => self.takes(message, delivery),
            Some(_) => self.prepare_naming(message, delivery, limits, stats)?,
        };
        if takes {
            Ok(())
        } else {
            Err(Unsendable::TooLarge)
        }
    }

    #[inline(never)]
    fn prepare_naming(
        &mut self,
        message: &Message,
        delivery: &mut Delivery<'_>,
        limits: &Limits,
        stats: &mut Stats,
    ) -> Result<bool, Unsendable> {
        if let Some(mount) = self.mount() {
            let left_out = mount.left_out(message.topic_bytes());
            delivery.mount_len = left_out.ok_or(Unsendable::Outside)?;
        }
        let before = self.aliases_out_bytes();
        let takes = self.try_alias(message, delivery, limits, stats.alias_bytes);
        let after = self.aliases_out_bytes();
        stats.alias_bytes = stats.alias_bytes + after as u64 - before as u64;
        Ok(takes)
    }

    fn aliases_out_mut(&mut self) -> Option<&mut AliasesOut> {
        self.naming.as_mut()?.aliases.as_mut()
    }

    fn try_alias(
        &mut self,
        message: &Message,
        delivery: &mut Delivery<'_>,
        limits: &Limits,
        all_aliases: u64,
    ) -> bool {
        let own = self.alias_bytes();
        let topic = &message.topic()[usize::from(delivery.mount_len)..];
        if let Some(aliases) = self.aliases_out_mut()
            && topic.len() > ALIAS_LEN
        {
            let more = topic.len();
            let form = match may_hold(limits.sums.alias_bytes, all_aliases, own, more) {
                true => aliases.form(topic),
                false => aliases.known_form(topic),
            };
            delivery.topic_alias = match form {
                TopicForm::Full => None,
                TopicForm::FullWithAlias(number) => Some(TopicAlias {
                    number,
                    with_topic: true,
                }),
                TopicForm::AliasOnly(number) => Some(TopicAlias {
                    number,
                    with_topic: false,
                }),
            };
        }
        if self.takes(message, delivery) {
            return true;
        }
        let sets = delivery.topic_alias.is_some_and(|alias| alias.with_topic);
        let Some(aliases) = self.aliases_out_mut().filter(|_| sets) else {
            return false;
        };
        // Setting it is what costs too much.
        aliases.revoke(topic);
        delivery.topic_alias = None;
        self.takes(message, delivery)
    }

    #[inline]
    fn takes(&self, message: &Message, delivery: &Delivery<'_>) -> bool {
        self.max_packet_size == u32::MAX || self.takes_len(message, delivery)
    }

    #[inline(never)]
    fn takes_len(&self, message: &Message, delivery: &Delivery<'_>) -> bool {
        // The identifier is given later; any number is as long.
        let packet_id = u16::from(delivery.qos != QoS::AtMostOnce);
        let sized = Delivery {
            packet_id,
            ..*delivery
        };
        message.publish_len(self.version, &sized) <= self.max_packet_size as usize
    }

    /// When its client may no longer be here.
    pub(super) fn granted_until(&self) -> Option<Time> {
        let grant = self.standing.as_ref()?.grant.as_ref()?;
        (grant.until != Time::NEVER).then_some(grant.until)
    }

    /// When the connection is to be given up if nothing comes in any more.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Time> {
        match self.stage {
            Stage::Opened | Stage::Admission | Stage::Authenticating => {
                Some(self.last_packet.after(limits.connect_timeout_ms))
            }
            Stage::Connected => {
                // Whom we don't read can't be blamed for silence.
                let keep_alive = match self.is_paused() || self.is_asking() {
                    true => None,
                    false => server_deadline(self.keep_alive, self.last_packet),
                };
                let until = self.granted_until();
                let Some(meter) = &self.meter else {
                    return keep_alive.into_iter().chain(until).min();
                };
                let rates = [meter.until(Way::In), meter.until(Way::Out)];
                let all = rates.into_iter().chain([keep_alive, until]);
                all.flatten().min()
            }
            Stage::Closing => None,
        }
    }
}

/// Writes an acknowledgement without properties: 4 bytes, and one more for a reason if there may be one.
#[inline]
pub(super) fn write_ack(
    kind: PacketType,
    packet_id: u16,
    reason: ReasonCode,
    with_reason: bool,
    bytes: &mut Vec<u8>,
) {
    let first = (kind as u8) << 4 | u8::from(kind == PacketType::PubRel) << 1;
    let [high, low] = packet_id.to_be_bytes();
    if with_reason && reason != ReasonCode::SUCCESS {
        bytes.extend_from_slice(&[first, 3, high, low, reason.0]);
    } else {
        bytes.extend_from_slice(&[first, 2, high, low]);
    }
}
