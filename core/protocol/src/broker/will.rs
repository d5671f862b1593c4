//! Will messages (3.1.2.5): kept with the session, published when a connection ends badly.

use super::links::Links;
use super::out::Out;
use super::shard::Shard;
use super::source::Source;
use super::unstored::Then;
use crate::codec::{PropertiesBuf, PropertyId, Publish, QoS, Will};
use crate::message::Message;
use crate::time::Time;
use crate::weight::Weight;

/// A will as the client left it. It becomes a [`Message`] when it is published, because its expiry
/// counts from then.
#[derive(Debug)]
pub(super) struct StoredWill {
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    pub(super) properties: PropertiesBuf,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Will Delay Interval in seconds.
    pub(super) delay: u32,
    /// When that is over, once the client is away.
    pub(super) due: Time,
}

impl StoredWill {
    /// `retain`: whether it may be retained.
    pub(super) fn new(will: &Will<'_>, retain: bool) -> Self {
        let delay = will.properties.number(PropertyId::WillDelayInterval);
        let mut properties = PropertiesBuf::from(will.properties);
        properties.retain(|property| property.id != PropertyId::WillDelayInterval);
        Self {
            topic: will.topic.into(),
            payload: will.payload.into(),
            properties,
            qos: will.qos,
            retain: will.retain && retain,
            delay: delay.unwrap_or(0),
            due: Time::NEVER,
        }
    }
}

impl Weight for StoredWill {
    fn weight(&self) -> usize {
        let properties = self.properties.get().as_bytes().len();
        size_of::<Self>() + self.topic.len() + self.payload.len() + properties
    }
}

/// What a will is going to weigh at most.
pub(super) fn will_weight(will: &Will<'_>) -> usize {
    let properties = will.properties.as_bytes().len();
    size_of::<StoredWill>() + will.topic.len() + will.payload.len() + properties
}

impl Links {
    /// Gives a session another will, or none, and returns the one it had.
    pub(super) fn set_will(
        &mut self,
        session: u32,
        will: Option<Box<StoredWill>>,
    ) -> Option<Box<StoredWill>> {
        let weight = |will: &Option<Box<StoredWill>>| will.as_ref().map_or(0, |w| w.weight());
        let session = self.sessions.get_mut(session)?;
        self.stats.will_bytes += weight(&will) as u64;
        let before = std::mem::replace(&mut session.will, will);
        self.stats.will_bytes -= weight(&before) as u64;
        before
    }
}

impl Shard {
    /// Publishes the will of a session, if it has one, and forgets it [MQTT-3.1.2-10].
    pub(super) fn publish_will(&mut self, session: u32, now: Time, out: &mut Out) {
        let slot = session;
        let will = self.links.set_will(session, None);
        let Some(of) = self.links.sessions.get_mut(session) else {
            return;
        };
        let origin = of.origin;
        let Some(will) = will else {
            return;
        };
        self.links.touch(slot);
        self.links.journal.listener = None;
        let mut publish = Publish::new(&will.topic, &will.payload);
        publish.qos = will.qos;
        publish.retain = will.retain;
        publish.properties = will.properties.get();
        self.links.stats.wills += 1;
        // Checked at CONNECT, so that there is nothing malformed here.
        if let Ok(Some(delay)) = self.topics.delay_of(&will.topic) {
            let mut scratch = std::mem::take(&mut self.scratch);
            let make =
                |due| Message::from_publish(&publish, delay.topic, due, origin, &mut scratch);
            // One more than may wait is counted.
            let _ = self.delay(delay, now, out, make);
            self.scratch = scratch;
            return;
        }
        let message = Message::from_publish(&publish, &will.topic, now, origin, &mut self.scratch);
        self.match_topic(message.topic());
        let appended = self.links.stats.appended;
        self.publish(&mut Source::made(&message), Some(session), now, out);
        if self.links.stats.appended != appended {
            self.links.after_stored(Then::Published, out);
        }
    }
}
