//! A session as a record.

use super::fields::{Reader, put, put_bytes, put_number, put_option, write_number};
use super::message::{decode_message, encode_message, flags, read_flags};
use super::{
    Epoch, LogPos, NodeId, Owner, RECORD_VERSION, RecordError, Rev, open, topic_partition,
};
use crate::broker::durable::StreamKey;
use crate::codec::subscribe::SubscriptionOptions;
use crate::codec::{Place, Properties, PropertiesBuf, QoS};
use crate::message::Message;
use crate::session::window::Phase;
use crate::time::{Clock, UnixMs};
use crate::topic::{MAX_TOPIC_LEVELS, SHARE_PREFIX, SharedFilter, TopicFilter, TopicName};
use crate::version::ProtocolVersion;
use std::collections::HashSet;
use std::num::NonZeroU32;

/// Everything that a session is while its client is away.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// The client identifier.
    pub client_id: Box<str>,
    /// Who wrote this.
    pub owner: Owner,
    /// How often the session was written before and with this.
    pub rev: Rev,
    /// On which shard it was: a hint for the same node.
    pub home: u16,
    /// Session Expiry Interval in seconds, as in CONNECT or DISCONNECT.
    pub expiry: u32,
    /// When the session ends; `None` for never.
    pub ends_at: Option<UnixMs>,
    /// Its subscriptions; in [`StoreOp::PutSession`](crate::broker::durable::StoreOp::PutSession) those of
    /// which retained messages are still due.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// The will, as long as it may still be published.
    pub will: Option<WillRecord>,
    /// What was sent with QoS 1 and 2 and is not acknowledged, in the order of sending.
    pub in_flight: Vec<InFlightRecord>,
    /// Packet Identifiers of QoS 2 messages that came in and whose PUBREL is awaited, sorted.
    pub received: Vec<u16>,
    /// What waits, oldest first.
    pub queue: Vec<CopyRecord>,
    /// The Packet Identifier given out last.
    pub last_packet_id: u16,
    /// Up to here the session has had what the log holds for it: it is in flight, done or dropped.
    pub cursor: u64,
    /// The client was there: its deadlines count from when the record is read, `ends_at` is `None` and
    /// the `due` of its will means nothing.
    pub connected: bool,
    /// Fields that this version does not know, to be written again as they are.
    pub unknown: Box<[u8]>,
    /// Copies left out by the reader because their message was not found.
    pub lost: usize,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// The filter as in SUBSCRIBE, `$share/NAME/` included.
    pub filter: Box<str>,
    /// QoS, No Local, Retain As Published, Retain Handling.
    pub options: SubscriptionOptions,
    /// Subscription Identifier.
    pub identifier: Option<NonZeroU32>,
    /// Retained messages are still due: from here on in the retained store.
    pub replay: Option<Box<str>>,
    /// Of those, what has a later place in the log comes from there and is left out. `None` before that is
    /// known, and in records of older programs.
    pub replay_until: Option<u64>,
    /// Of the log, it is due only what stands behind this place.
    pub since: u64,
}

/// A will.
#[derive(Clone, Debug)]
pub struct WillRecord {
    /// A topic name.
    pub topic: Box<str>,
    /// The will message.
    pub payload: Box<[u8]>,
    /// What goes out with it.
    pub properties: PropertiesBuf,
    /// Its QoS.
    pub qos: QoS,
    /// Its RETAIN flag.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay: u32,
    /// When it is due.
    pub due: UnixMs,
}

/// One copy of a message for one session.
#[derive(Clone, Debug)]
pub struct CopyRecord {
    /// The message, shared with other copies.
    pub message: Message,
    /// The QoS of this copy.
    pub qos: QoS,
    /// The RETAIN flag of this copy.
    pub retain: bool,
    /// Subscription Identifiers.
    pub ids: Vec<u32>,
    /// Which of the record's subscriptions it came by, if that is a shared one.
    pub shared: Option<u16>,
    /// The shared subscription it came by, `NAME/FILTER`, if that has ended since.
    pub left: Option<Box<str>>,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct InFlightRecord {
    /// Its Packet Identifier.
    pub packet_id: u16,
    /// The message to send again; `None` when only PUBREL is owed.
    pub copy: Option<CopyRecord>,
}

impl InFlightRecord {
    /// What is awaited for it.
    pub(super) fn phase(&self) -> Phase {
        match &self.copy {
            None => Phase::AwaitPubcomp,
            Some(copy) if copy.qos == QoS::ExactlyOnce => Phase::AwaitPubrec,
            Some(_) => Phase::AwaitPuback,
        }
    }
}

const CLIENT_ID: u8 = 1;
const OWNER: u8 = 2;
const REV: u8 = 3;
const HOME: u8 = 4;
const EXPIRY: u8 = 5;
const ENDS_AT: u8 = 6;
const SUBSCRIPTION: u8 = 8;
const WILL: u8 = 9;
const IN_FLIGHT: u8 = 10;
const RECEIVED: u8 = 11;
const QUEUED: u8 = 12;
const LAST_PACKET_ID: u8 = 13;
const CURSOR: u8 = 14;
// 15 was the last place sent with QoS 2, which is never beyond the cursor.
const CONNECTED: u8 = 16;

/// Fields of a subscription.
mod subscription {
    pub(super) const FILTER: u8 = 1;
    pub(super) const OPTIONS: u8 = 2;
    pub(super) const IDENTIFIER: u8 = 3;
    pub(super) const REPLAY: u8 = 4;
    pub(super) const SINCE: u8 = 5;
    pub(super) const REPLAY_UNTIL: u8 = 6;
}

/// Fields of a will.
mod will {
    pub(super) const TOPIC: u8 = 1;
    pub(super) const PAYLOAD: u8 = 2;
    pub(super) const PROPERTIES: u8 = 3;
    pub(super) const FLAGS: u8 = 4;
    pub(super) const DELAY: u8 = 5;
    pub(super) const DUE: u8 = 6;
}

/// Fields of a copy, in flight or queued.
mod copy {
    pub(super) const PACKET_ID: u8 = 1;
    pub(super) const POSITION: u8 = 2;
    pub(super) const FLAGS: u8 = 3;
    pub(super) const IDS: u8 = 4;
    pub(super) const SHARED: u8 = 5;
    pub(super) const LEFT: u8 = 6;
    pub(super) const VALUE: u8 = 7;
}

impl SessionRecord {
    /// An empty session of this client.
    #[must_use]
    pub fn new(client_id: &str, owner: Owner, rev: Rev) -> Self {
        Self {
            client_id: client_id.into(),
            owner,
            rev,
            home: 0,
            expiry: 0,
            ends_at: None,
            subscriptions: Vec::new(),
            will: None,
            in_flight: Vec::new(),
            received: Vec::new(),
            queue: Vec::new(),
            last_packet_id: 0,
            cursor: 0,
            connected: false,
            unknown: Box::default(),
            lost: 0,
        }
    }

    /// Puts the subscriptions that a store has of the session in the place of those that it was written with,
    /// of which it says what retained messages are still due.
    pub fn set_subscriptions(&mut self, mut all: Vec<SubscriptionRecord>) {
        for own in self.subscriptions.drain(..) {
            if let Some(known) = all.iter_mut().find(|other| other.filter == own.filter) {
                (known.replay, known.replay_until) = (own.replay, own.replay_until);
            }
        }
        self.subscriptions = all;
    }

    /// Messages on their way that came by shared subscriptions, with the streams of these and their places in
    /// the log: nobody else of the group is to get them.
    pub fn in_flight_of_groups(&self) -> impl Iterator<Item = (StreamKey, u64)> {
        let copies = self.in_flight.iter().filter_map(|one| one.copy.as_ref());
        copies.filter_map(|copy| {
            let shared = copy.shared.map(usize::from);
            let subscription = shared.and_then(|at| self.subscriptions.get(at));
            let stream = match (&copy.left, subscription) {
                (Some(group), _) => StreamKey::of(&format!("{SHARE_PREFIX}{group}")),
                (None, subscription) => StreamKey::of(&subscription?.filter),
            };
            Some((stream, copy.message.log_seq()))
        })
    }

    /// The messages that it refers to, each as often as it does.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        let in_flight = self.in_flight.iter().filter_map(|one| one.copy.as_ref());
        in_flight.chain(&self.queue).map(|copy| &copy.message)
    }

    /// Appends the record. `place` tells where a message stands.
    pub fn encode(&self, mut place: impl FnMut(&Message) -> LogPos, out: &mut Vec<u8>) {
        self.encode_with(&mut |message, out| put_position(place(message), out), out);
    }

    /// Appends the record. A message that has a place in the log is referred to by it; one that has none
    /// stands in the record itself.
    pub fn encode_whole(&self, clock: Clock, out: &mut Vec<u8>) {
        let mut write = |message: &Message, out: &mut Vec<u8>| match message.log_seq() {
            0 => put(out, copy::VALUE, |out| encode_message(message, clock, out)),
            seq => {
                let partition = topic_partition(message.topic());
                put_position(LogPos { partition, seq }, out);
            }
        };
        self.encode_with(&mut write, out);
    }

    fn encode_with(&self, message: &mut dyn FnMut(&Message, &mut Vec<u8>), out: &mut Vec<u8>) {
        out.push(RECORD_VERSION);
        put_bytes(out, CLIENT_ID, self.client_id.as_bytes());
        put(out, OWNER, |out| {
            write_number(out, self.owner.node.0.into());
            write_number(out, self.owner.epoch.0);
        });
        put_number(out, REV, self.rev.0);
        put_number(out, HOME, self.home.into());
        put_number(out, EXPIRY, self.expiry.into());
        put_option(out, ENDS_AT, self.ends_at.map(|at| at.0));
        for subscription in &self.subscriptions {
            put(out, SUBSCRIPTION, |out| subscription.encode(out));
        }
        if let Some(will) = &self.will {
            put(out, WILL, |out| will.encode(out));
        }
        for one in &self.in_flight {
            put(out, IN_FLIGHT, |out| {
                put_number(out, copy::PACKET_ID, one.packet_id.into());
                if let Some(copy) = &one.copy {
                    copy.encode(message, out);
                }
            });
        }
        if !self.received.is_empty() {
            put(out, RECEIVED, |out| {
                for id in &self.received {
                    write_number(out, (*id).into());
                }
            });
        }
        for copy in &self.queue {
            put(out, QUEUED, |out| copy.encode(message, out));
        }
        put_number(out, LAST_PACKET_ID, self.last_packet_id.into());
        put_number(out, CURSOR, self.cursor);
        put_number(out, CONNECTED, self.connected.into());
        out.extend_from_slice(&self.unknown);
    }

    /// Reads a record. `find` gives the messages; copies of one that it does not know are left out
    /// and counted in [`lost`](Self::lost).
    ///
    /// # Errors
    /// [`RecordError`]; [`encode_whole`](Self::encode_whole) may have written what takes
    /// [`decode_whole`](Self::decode_whole) to be read.
    pub fn decode(
        bytes: &[u8],
        mut find: impl FnMut(LogPos) -> Option<Message>,
    ) -> Result<Self, RecordError> {
        Self::decode_with(bytes, &mut |stored| match stored {
            Stored::At(at) => Ok(find(at)),
            Stored::Here(_) => Err(RecordError::Damaged("a message where its place should be")),
        })
    }

    /// Reads a record of [`encode_whole`](Self::encode_whole), as [`decode`](Self::decode) does.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode_whole(
        bytes: &[u8],
        clock: Clock,
        mut find: impl FnMut(LogPos) -> Option<Message>,
    ) -> Result<Self, RecordError> {
        Self::decode_with(bytes, &mut |stored| match stored {
            Stored::At(at) => Ok(find(at)),
            Stored::Here(bytes) => decode_message(bytes, clock).map(Some),
        })
    }

    fn decode_with(bytes: &[u8], find: &mut Find<'_>) -> Result<Self, RecordError> {
        let mut fields = open(bytes)?;
        let nobody = Owner {
            node: NodeId(0),
            epoch: Epoch(0),
        };
        let mut record = Self::new("", nobody, Rev(0));
        let (mut unknown, mut ids) = (Vec::new(), HashSet::new());
        while !fields.is_empty() {
            let before = fields;
            match fields.field()? {
                (CLIENT_ID, field) => record.client_id = field.text()?.into(),
                (OWNER, mut field) => {
                    let node = u32::try_from(field.number()?);
                    record.owner.node = NodeId(node.map_err(|_| OUT_OF_RANGE)?);
                    record.owner.epoch = Epoch(field.whole()?);
                }
                (REV, field) => record.rev = Rev(field.whole()?),
                (HOME, field) => record.home = field.whole()?,
                (EXPIRY, field) => record.expiry = field.whole()?,
                (ENDS_AT, field) => record.ends_at = Some(UnixMs(field.whole()?)),
                (SUBSCRIPTION, field) => {
                    record
                        .subscriptions
                        .push(SubscriptionRecord::decode(field)?);
                }
                (WILL, field) => record.will = Some(WillRecord::decode(field)?),
                (IN_FLIGHT, field) => record.take_in_flight(field, find, &mut ids)?,
                (RECEIVED, field) => record.received = read_received(field)?,
                (QUEUED, field) => match read_copy(field, find)? {
                    (0, Copied::Found(copy)) => record.queue.push(copy),
                    (0, Copied::Lost) => record.lost += 1,
                    _ => return Err(RecordError::Damaged("a queued copy of nothing")),
                },
                (LAST_PACKET_ID, field) => record.last_packet_id = field.whole()?,
                (CURSOR, field) => record.cursor = field.whole()?,
                (CONNECTED, field) => record.connected = field.whole::<u8>()? != 0,
                _ => unknown.extend_from_slice(&before.0[..before.0.len() - fields.0.len()]),
            }
        }
        if record.client_id.is_empty() {
            return Err(RecordError::Damaged("no client identifier"));
        }
        record.unknown = unknown.into();
        Ok(record)
    }

    fn take_in_flight(
        &mut self,
        field: Reader<'_>,
        find: &mut Find<'_>,
        ids: &mut HashSet<u16>,
    ) -> Result<(), RecordError> {
        let (packet_id, copied) = read_copy(field, find)?;
        if packet_id == 0 || !ids.insert(packet_id) {
            return Err(RecordError::Damaged("a Packet Identifier of 0 or twice"));
        }
        let copy = match copied {
            Copied::None => None,
            Copied::Found(copy) if copy.qos != QoS::AtMostOnce => Some(copy),
            Copied::Found(_) => return Err(RecordError::Damaged("QoS 0 in flight")),
            Copied::Lost => {
                self.lost += 1;
                return Ok(());
            }
        };
        self.in_flight.push(InFlightRecord { packet_id, copy });
        Ok(())
    }
}

const OUT_OF_RANGE: RecordError = RecordError::Damaged("a number beyond its range");

/// Where the message of a copy is.
enum Stored<'a> {
    At(LogPos),
    Here(&'a [u8]),
}

/// Gives the message of a copy, `None` when it is lost.
type Find<'a> = dyn FnMut(Stored<'_>) -> Result<Option<Message>, RecordError> + 'a;

fn put_position(LogPos { partition, seq }: LogPos, out: &mut Vec<u8>) {
    put(out, copy::POSITION, |out| {
        write_number(out, partition.into());
        write_number(out, seq);
    });
}

impl SubscriptionRecord {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, subscription::FILTER, self.filter.as_bytes());
        let options = self.options.to_wire(ProtocolVersion::V5_0);
        put_number(out, subscription::OPTIONS, options.into());
        let identifier = self.identifier.map_or(0, NonZeroU32::get);
        put_number(out, subscription::IDENTIFIER, identifier.into());
        if let Some(replay) = &self.replay {
            put(out, subscription::REPLAY, |out| {
                out.extend_from_slice(replay.as_bytes());
            });
        }
        put_number(out, subscription::SINCE, self.since);
        if let Some(until) = self.replay_until {
            put(out, subscription::REPLAY_UNTIL, |out| {
                write_number(out, until)
            });
        }
    }

    pub(super) fn decode(mut fields: Reader<'_>) -> Result<Self, RecordError> {
        let (mut filter, mut options, mut identifier, mut replay) = ("", 0u8, 0, None);
        let (mut since, mut replay_until) = (0, None);
        while !fields.is_empty() {
            match fields.field()? {
                (subscription::FILTER, field) => filter = field.text()?,
                (subscription::OPTIONS, field) => options = field.whole()?,
                (subscription::IDENTIFIER, field) => identifier = field.whole()?,
                (subscription::REPLAY, field) => replay = Some(field.text()?.into()),
                (subscription::SINCE, field) => since = field.whole()?,
                (subscription::REPLAY_UNTIL, field) => replay_until = Some(field.whole()?),
                _ => {}
            }
        }
        let not_a_filter = |_| RecordError::Damaged("not a topic filter");
        let parsed = TopicFilter::parse(filter, MAX_TOPIC_LEVELS).map_err(not_a_filter)?;
        SharedFilter::parse(parsed).map_err(not_a_filter)?;
        Ok(Self {
            filter: filter.into(),
            options: SubscriptionOptions::from_wire(options, ProtocolVersion::V5_0)
                .map_err(|error| RecordError::Damaged(error.what))?,
            identifier: NonZeroU32::new(read_identifier(identifier)?),
            replay,
            replay_until,
            since,
        })
    }
}

impl WillRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, will::TOPIC, self.topic.as_bytes());
        put_bytes(out, will::PAYLOAD, &self.payload);
        put_bytes(out, will::PROPERTIES, self.properties.get().as_bytes());
        put_number(out, will::FLAGS, flags(self.qos, self.retain));
        put_number(out, will::DELAY, self.delay.into());
        put_number(out, will::DUE, self.due.0);
    }

    fn decode(mut fields: Reader<'_>) -> Result<Self, RecordError> {
        let (mut topic, mut payload, mut properties) = ("", &[][..], &[][..]);
        let (mut bits, mut delay, mut due) = (0, 0, 0);
        while !fields.is_empty() {
            match fields.field()? {
                (will::TOPIC, field) => topic = field.text()?,
                (will::PAYLOAD, Reader(bytes)) => payload = bytes,
                (will::PROPERTIES, Reader(bytes)) => properties = bytes,
                (will::FLAGS, field) => bits = field.whole()?,
                (will::DELAY, field) => delay = field.whole()?,
                (will::DUE, field) => due = field.whole()?,
                _ => {}
            }
        }
        let (qos, retain) = read_flags(bits)?;
        TopicName::parse(topic, MAX_TOPIC_LEVELS)
            .map_err(|_| RecordError::Damaged("a will without a topic name"))?;
        // What a PUBLISH can't carry would be left out of it, and what is too long can't be sent.
        if payload.len() > usize::from(u16::MAX) {
            return Err(RecordError::Damaged("a will longer than CONNECT can carry"));
        }
        let properties = Properties::parse(properties, Place::Will)
            .map_err(|error| RecordError::Damaged(error.what))?;
        Ok(Self {
            topic: topic.into(),
            payload: payload.into(),
            properties: PropertiesBuf::from(properties),
            qos,
            retain,
            delay,
            due: UnixMs(due),
        })
    }
}

impl CopyRecord {
    fn encode(&self, message: &mut dyn FnMut(&Message, &mut Vec<u8>), out: &mut Vec<u8>) {
        message(&self.message, out);
        put_number(out, copy::FLAGS, flags(self.qos, self.retain));
        put_option(out, copy::SHARED, self.shared.map(u64::from));
        put_bytes(
            out,
            copy::LEFT,
            self.left.as_deref().unwrap_or_default().as_bytes(),
        );
        if !self.ids.is_empty() {
            put(out, copy::IDS, |out| {
                for id in &self.ids {
                    write_number(out, (*id).into());
                }
            });
        }
    }
}

/// The message of a copy.
enum Copied {
    /// Nothing refers to one.
    None,
    Found(CopyRecord),
    Lost,
}

fn read_copy(mut fields: Reader<'_>, find: &mut Find<'_>) -> Result<(u16, Copied), RecordError> {
    let (mut packet_id, mut stored, mut bits, mut ids) = (0, None, 0, Vec::new());
    let (mut shared, mut left) = (None, None);
    while !fields.is_empty() {
        match fields.field()? {
            (copy::PACKET_ID, field) => packet_id = field.whole()?,
            (copy::POSITION, mut field) => {
                let partition = u16::try_from(field.number()?).map_err(|_| OUT_OF_RANGE)?;
                let seq = field.whole()?;
                stored = Some(Stored::At(LogPos { partition, seq }));
            }
            (copy::VALUE, Reader(bytes)) => stored = Some(Stored::Here(bytes)),
            (copy::FLAGS, field) => bits = field.whole()?,
            (copy::SHARED, field) => shared = Some(field.whole()?),
            (copy::LEFT, field) => left = Some(read_group(field.text()?)?),
            (copy::IDS, mut field) => {
                while !field.is_empty() {
                    let id = u32::try_from(field.number()?).map_err(|_| OUT_OF_RANGE)?;
                    ids.push(read_identifier(id)?);
                }
            }
            _ => {}
        }
    }
    let (qos, retain) = read_flags(bits)?;
    let copied = match stored.map(find).transpose()? {
        None => Copied::None,
        Some(None) => Copied::Lost,
        Some(Some(message)) => Copied::Found(CopyRecord {
            message,
            qos,
            retain,
            ids,
            shared,
            left,
        }),
    };
    Ok((packet_id, copied))
}

/// The name of a group, without the prefix of its filter.
fn read_group(text: &str) -> Result<Box<str>, RecordError> {
    let filter = format!("{SHARE_PREFIX}{text}");
    let damaged = RecordError::Damaged("not a shared subscription");
    let parsed = TopicFilter::parse(&filter, MAX_TOPIC_LEVELS).map_err(|_| damaged)?;
    match SharedFilter::parse(parsed) {
        Ok(Some(_)) => Ok(text.into()),
        _ => Err(damaged),
    }
}

fn read_received(mut field: Reader<'_>) -> Result<Vec<u16>, RecordError> {
    let mut received: Vec<u16> = Vec::new();
    while !field.is_empty() {
        let id = u16::try_from(field.number()?).map_err(|_| OUT_OF_RANGE)?;
        if id <= received.last().copied().unwrap_or(0) {
            return Err(RecordError::Damaged("Packet Identifiers out of order"));
        }
        received.push(id);
    }
    Ok(received)
}

/// A Subscription Identifier is 1 to 268,435,455 (3.8.2.1.2); 0 stands for none.
fn read_identifier(id: u32) -> Result<u32, RecordError> {
    match id {
        0..=0x0FFF_FFFF => Ok(id),
        _ => Err(OUT_OF_RANGE),
    }
}
