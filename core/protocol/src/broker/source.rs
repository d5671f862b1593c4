//! The message that is being delivered: borrowed from the wire until somebody has to keep it.

use crate::codec::primitive::write_variable_byte_integer;
use crate::codec::publish::first_byte;
use crate::codec::{Publish, QoS};
use crate::message::{Message, Origin, stands_on_the_wire};
use crate::outbound::{Outbound, SPLICE_FROM};
use crate::time::Time;
use crate::version::ProtocolVersion;

/// A message on its way to subscribers.
///
/// A QoS 0 message that goes straight from one socket's buffer into others' is never made into a
/// [`Message`]: no allocation, and one `memcpy` per subscriber, of the very bytes that came in.
pub(super) struct Source<'a> {
    body: Body<'a>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) origin: Origin,
    /// It was there before it was meant for whoever gets it now.
    pub(super) handed: bool,
    /// Its place in the log, if it comes from there; 0 if not.
    pub(super) log_seq: u64,
}

enum Body<'a> {
    Made(&'a Message),
    Wire(Wire<'a>, Option<Message>),
}

struct Wire<'a> {
    publish: &'a Publish<'a>,
    topic: &'a str,
    now: Time,
    scratch: &'a mut Vec<u8>,
    /// The connection it came from speaks MQTT 5.0.
    v5: bool,
    /// Subscribers of that version with QoS 0 may be given the body as it is.
    as_is: bool,
}

impl<'a> Source<'a> {
    /// A message that exists already.
    pub(super) fn made(message: &'a Message) -> Self {
        Self {
            qos: message.qos(),
            retain: message.retain(),
            origin: message.origin(),
            handed: false,
            log_seq: 0,
            body: Body::Made(message),
        }
    }

    /// A message that was there before it was meant for whoever gets it now.
    pub(super) fn handed(message: &'a Message) -> Self {
        Self {
            handed: true,
            ..Self::made(message)
        }
    }

    /// The message of a PUBLISH that came in, with the topic that an alias stood for.
    pub(super) fn wire(
        publish: &'a Publish<'a>,
        topic: &'a str,
        version: ProtocolVersion,
        now: Time,
        origin: Origin,
        scratch: &'a mut Vec<u8>,
    ) -> Self {
        let as_is = publish.qos == QoS::AtMostOnce
            && publish.payload.len() < SPLICE_FROM
            && stands_on_the_wire(publish, topic);
        let wire = Wire {
            publish,
            topic,
            now,
            scratch,
            v5: version.is_v5(),
            as_is,
        };
        Self {
            body: Body::Wire(wire, None),
            qos: publish.qos,
            retain: publish.retain,
            origin,
            handed: false,
            log_seq: 0,
        }
    }

    /// The same message as one that has just come from this place in the log.
    pub(super) fn of_log(mut self, seq: u64) -> Self {
        self.log_seq = seq;
        self
    }

    /// Bytes of the payload.
    #[inline]
    pub(super) fn payload_len(&self) -> usize {
        match &self.body {
            Body::Made(message) => message.payload().len(),
            Body::Wire(wire, _) => wire.publish.payload.len(),
        }
    }

    /// The topic name.
    pub(super) fn topic(&self) -> &str {
        match &self.body {
            Body::Made(message) => message.topic(),
            Body::Wire(wire, _) => wire.topic,
        }
    }

    /// The message to keep; made by the first who asks.
    #[inline]
    pub(super) fn message(&mut self) -> &Message {
        let origin = self.origin;
        match &mut self.body {
            Body::Made(message) => message,
            Body::Wire(wire, made) => made.get_or_insert_with(|| {
                Message::from_publish(wire.publish, wire.topic, wire.now, origin, wire.scratch)
            }),
        }
    }

    /// The body of a QoS 0 PUBLISH without RETAIN for this version, if the one that came in is it.
    pub(super) fn as_is(&self, version: ProtocolVersion) -> Option<&'a [u8]> {
        match &self.body {
            Body::Wire(wire, _) if wire.as_is && wire.v5 == version.is_v5() => {
                Some(wire.publish.wire())
            }
            _ => None,
        }
    }
}

/// Appends a QoS 0 PUBLISH with this body.
#[inline]
pub(super) fn write_as_is(body: &[u8], outbound: &mut Outbound) {
    outbound.append(|bytes| {
        bytes.push(first_byte(false, QoS::AtMostOnce, false));
        write_variable_byte_integer(body.len() as u32, bytes);
        bytes.extend_from_slice(body);
    });
}
