//! Delayed publishing: a message to `$delayed/{seconds}/{topic}` is published to that topic later.

use super::durable::{DelayedKey, StoreOp};
use super::out::Out;
use super::publish::{RESERVED, is_reserved};
use super::record::DelayedRecord;
use super::shard::Shard;
use super::source::Source;
use super::topics::Topics;
use super::unstored::Then;
use crate::codec::QoS;
use crate::error::PeerError;
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::time::{Time, UnixMs};
use crate::topic::TopicName;
use crate::wheel::Timer;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What a topic of a delayed message begins with.
pub const DELAYED_PREFIX: &str = "$delayed/";

/// Messages published at a time; the others follow a millisecond later, so that a hundred thousand
/// that are due at once don't make everybody wait.
const AT_ONCE: usize = 256;

/// What may wait for its time on each shard. A message beyond it is refused with 0x97; with QoS 0 and
/// before MQTT 5.0 it is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayedLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Seconds of the longest delay.
    pub seconds: u32,
}

impl Default for DelayedLimits {
    fn default() -> Self {
        Self {
            messages: 100_000,
            bytes: 64 << 20,
            seconds: 4_294_967,
        }
    }
}

/// The messages that wait, in the order in which they are published.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    /// By time, and by the order in which they came.
    waiting: BTreeMap<(Time, u64), Waiting>,
    bytes: usize,
    came: u64,
    /// For the first of them.
    timer: Option<Timer>,
}

/// A message that waits, and its name in the store if it is there.
#[derive(Debug)]
struct Waiting {
    message: Message,
    key: Option<DelayedKey>,
}

/// What a topic asks for that has the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delay<'a> {
    pub(super) seconds: u32,
    pub(super) topic: &'a str,
}

const MALFORMED: PeerError = PeerError::new(
    ReasonCode::TOPIC_NAME_INVALID,
    "not $delayed/{seconds}/{topic}",
);

const FULL: PeerError = PeerError::new(
    ReasonCode::QUOTA_EXCEEDED,
    "a longer delay or more delayed messages than the server takes",
);

impl<'a> Delay<'a> {
    /// Reads what follows [`DELAYED_PREFIX`].
    pub(super) fn parse(rest: &'a str, longest: u32) -> Result<Self, PeerError> {
        let (digits, topic) = rest.split_once('/').ok_or(MALFORMED)?;
        let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !numeric || TopicName::parse(topic, usize::MAX).is_err() {
            return Err(MALFORMED);
        }
        // A delay of a delay would be one that the limit does not see.
        if topic.starts_with(DELAYED_PREFIX) {
            return Err(MALFORMED);
        }
        // Nor may it be a way around what clients may publish.
        if is_reserved(topic) {
            return Err(RESERVED);
        }
        match digits.parse() {
            Ok(seconds) if seconds <= longest => Ok(Self { seconds, topic }),
            _ => Err(FULL),
        }
    }
}

impl Topics {
    /// What a topic asks for: `None` for an ordinary one, or when nothing is delayed here.
    pub(super) fn delay_of<'a>(&self, topic: &'a str) -> Result<Option<Delay<'a>>, PeerError> {
        let Some(limits) = &self.delayed else {
            return Ok(None);
        };
        let Some(rest) = topic.strip_prefix(DELAYED_PREFIX) else {
            return Ok(None);
        };
        Delay::parse(rest, limits.seconds).map(Some)
    }
}

/// Where a message stands among those that wait for their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DelayedPlace(Time, u64);

impl DelayedPlace {
    /// Before all of them.
    pub const START: Self = Self(Time(0), 0);

    /// When the message is published.
    #[must_use]
    pub const fn due(self) -> Time {
        self.0
    }
}

impl Shard {
    /// Messages that wait behind a place for their time, in the order in which they will be published.
    /// Good whatever is published meanwhile.
    pub fn delayed_behind(
        &self,
        place: DelayedPlace,
    ) -> impl Iterator<Item = (DelayedPlace, &Message)> {
        let behind = (Bound::Excluded((place.0, place.1)), Bound::Unbounded);
        let waiting = self.delayed.waiting.range(behind);
        waiting.map(|((due, number), one)| (DelayedPlace(*due, *number), &one.message))
    }

    /// Messages that wait for their time, with that time, in the order in which they will be
    /// published.
    pub fn delayed(&self) -> impl ExactSizeIterator<Item = (Time, &Message)> {
        let waiting = self.delayed.waiting.iter();
        waiting.map(|((due, _), one)| (*due, &one.message))
    }

    /// Adds a message that is to be published at a time, as another shard's
    /// [`delayed`](Self::delayed) gave it. False, counted, when there are as many as the limit allows
    /// or nothing is delayed here.
    pub fn insert_delayed(&mut self, due: Time, message: Message) -> bool {
        self.insert_waiting(due, message, None)
    }

    /// The same with one that a store kept under this name. With a store it is one that this shard put there
    /// in an earlier start, or another one.
    pub fn restore_delayed(&mut self, key: DelayedKey, due: Time, message: Message) -> bool {
        self.insert_waiting(due, message, Some(key))
    }

    fn insert_waiting(&mut self, due: Time, message: Message, key: Option<DelayedKey>) -> bool {
        let fits = self.room_for_delayed(message.memory());
        if fits {
            self.keep_delayed(due, Waiting { message, key });
        } else {
            self.links.stats.delayed_refused += 1;
        }
        fits
    }

    /// Gives a message that is to wait to the store. Returns its name there, `None` without a store.
    fn store_delayed(&mut self, due: Time, message: &Message, out: &mut Out) -> Option<DelayedKey> {
        let journal = &mut self.links.journal;
        if !journal.on {
            return None;
        }
        journal.delayed += 1;
        let key = DelayedKey {
            shard: self.number,
            epoch: journal.epoch.0,
            number: journal.delayed,
        };
        let record = DelayedRecord {
            message: message.clone(),
            due: journal.clock.utc(due).unwrap_or(UnixMs(u64::MAX)),
            home: self.number,
        };
        out.store.push(StoreOp::PutDelayed(key, Box::new(record)));
        if message.qos() > QoS::AtMostOnce {
            journal.promised = Some(journal.durability_of(message.topic()));
        }
        Some(key)
    }

    /// Keeps a message for its time. `make` gets that time, because the message's expiry counts from
    /// it.
    pub(super) fn delay(
        &mut self,
        delay: Delay<'_>,
        now: Time,
        out: &mut Out,
        make: impl FnOnce(Time) -> Message,
    ) -> Result<(), PeerError> {
        let due = now.after_seconds(delay.seconds.into());
        // Full already: not even made.
        if !self.room_for_delayed(0) {
            self.links.stats.delayed_refused += 1;
            return Err(FULL);
        }
        let message = make(due);
        if !self.room_for_delayed(message.memory()) {
            self.links.stats.delayed_refused += 1;
            return Err(FULL);
        }
        let key = self.store_delayed(due, &message, out);
        self.keep_delayed(due, Waiting { message, key });
        if key.is_some() {
            let place = DelayedPlace(due, self.delayed.came);
            self.links.after_stored(Then::Delayed(place), out);
        }
        Ok(())
    }

    /// Publishes what is due.
    pub(super) fn delayed_due(&mut self, now: Time, out: &mut Out) {
        self.delayed.timer = None;
        for _ in 0..AT_ONCE {
            let Some(first) = self.delayed.waiting.first_entry() else {
                break;
            };
            if first.key().0 > now {
                break;
            }
            let Waiting { message, key } = first.remove();
            self.delayed.bytes -= message.memory();
            self.count_delayed();
            // Only one that waited while its broker did not run.
            if message.is_expired(now) {
                self.links.stats.delayed_expired += 1;
                self.released(key, None, out);
                continue;
            }
            self.links.stats.delayed_published += 1;
            self.links.journal.listener = None;
            self.match_topic(message.topic());
            let appended = self.links.stats.appended;
            self.publish(&mut Source::made(&message), None, now, out);
            let appended = self.links.stats.appended != appended;
            self.released(key, appended.then_some(message), out);
        }
        self.arm_delayed(now.after(1));
    }

    /// A delayed message waits no more; the store is told, if it has it.
    fn released(&mut self, key: Option<DelayedKey>, appended: Option<Message>, out: &mut Out) {
        if let Some(key) = key {
            self.links.remove_delayed(key, appended, out);
        }
    }

    /// The store has refused a message that is to wait: its publisher knows that it is not taken.
    pub(super) fn forget_delayed(&mut self, place: DelayedPlace) {
        if let Some(one) = self.delayed.waiting.remove(&(place.0, place.1)) {
            self.delayed.bytes -= one.message.memory();
            self.links.stats.delayed_refused += 1;
            self.count_delayed();
        }
    }

    /// The store has refused a message that has waited: it waits on, a while.
    pub(super) fn delay_again(&mut self, key: DelayedKey, message: Message, now: Time) {
        self.links.stats.delayed_published -= 1;
        let due = now.after(self.links.journal.config.lazy_ms);
        let key = Some(key);
        self.keep_delayed(due, Waiting { message, key });
    }

    fn room_for_delayed(&self, more: usize) -> bool {
        self.topics.delayed.is_some_and(|limits| {
            let Delayed { waiting, bytes, .. } = &self.delayed;
            waiting.len() < limits.messages && bytes.saturating_add(more) <= limits.bytes
        })
    }

    fn keep_delayed(&mut self, due: Time, one: Waiting) {
        let delayed = &mut self.delayed;
        delayed.bytes += one.message.memory();
        delayed.came += 1;
        delayed.waiting.insert((due, delayed.came), one);
        self.count_delayed();
        let first = self.delayed.waiting.first_key_value();
        if first.is_some_and(|((at, _), _)| *at == due) {
            self.arm_delayed(due);
        }
    }

    /// Sets the timer for the first message, at `earliest` if it is due already.
    fn arm_delayed(&mut self, earliest: Time) {
        let timer = self.delayed.timer.take();
        self.links.timers.cancel(timer);
        let first = self.delayed.waiting.first_key_value();
        let at = first.map(|((due, _), _)| (*due).max(earliest));
        let due = super::timers::Due::Delayed;
        self.delayed.timer = at.map(|at| self.links.timers.set(due, at));
    }

    fn count_delayed(&mut self) {
        self.links.stats.delayed = self.delayed.waiting.len() as u64;
        self.links.stats.delayed_bytes = self.delayed.bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_and_a_topic() {
        let read = |rest| Delay::parse(rest, 100).map(|delay| (delay.seconds, delay.topic));
        assert_eq!(read("5/a/b"), Ok((5, "a/b")));
        assert_eq!(read("0//"), Ok((0, "/")));
        assert_eq!(read("0100/$x"), Ok((100, "$x")));
        for rest in [
            "",
            "5",
            "5/",
            "/a",
            "x/a",
            "+5/a",
            "-1/a",
            "5 /a",
            "1/$delayed/1/a",
            "٥/a",
        ] {
            assert_eq!(read(rest), Err(MALFORMED), "{rest}");
        }
        for rest in ["101/a", "4294967296/a", "99999999999999999999999/a"] {
            assert_eq!(read(rest), Err(FULL), "{rest}");
        }
    }
}
