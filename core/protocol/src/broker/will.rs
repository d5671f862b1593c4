//! Will messages (3.1.2.5): kept with the session, published when a connection ends badly.

use super::out::Out;
use super::session::Session;
use super::shard::Shard;
use super::source::Source;
use crate::codec::{PropertiesBuf, PropertyId, Publish, QoS, Will};
use crate::message::Message;
use crate::time::Time;

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
        }
    }
}

impl Shard {
    /// Publishes the will of a session, if it has one, and forgets it [MQTT-3.1.2-10].
    pub(super) fn publish_will(&mut self, session: u32, now: Time, out: &mut Out) {
        let Some(session) = self.links.sessions.get_mut(session) else {
            return;
        };
        let Session { will, origin, .. } = session;
        session.will_at = Time::NEVER;
        let Some(will) = will.take() else {
            return;
        };
        let mut publish = Publish::new(&will.topic, &will.payload);
        publish.qos = will.qos;
        publish.retain = will.retain;
        publish.properties = will.properties.get();
        let origin = *origin;
        self.links.stats.wills += 1;
        // Checked at CONNECT, so that there is nothing malformed here.
        if let Ok(Some(delay)) = self.topics.delay_of(&will.topic) {
            let mut scratch = std::mem::take(&mut self.scratch);
            let make =
                |due| Message::from_publish(&publish, delay.topic, due, origin, &mut scratch);
            // One more than may wait is counted.
            let _ = self.delay(delay, now, make);
            self.scratch = scratch;
            return;
        }
        let message = Message::from_publish(&publish, &will.topic, now, origin, &mut self.scratch);
        self.match_topic(message.topic());
        self.publish(&mut Source::made(&message), now, out);
    }
}
