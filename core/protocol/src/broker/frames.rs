//! The frames of the message that is being fanned out, encoded once and copied to each subscriber.

use crate::codec::primitive::variable_byte_integer_len;
use crate::message::{Delivery, Message};
use crate::outbound::{Outbound, SPLICE_FROM};
use crate::version::ProtocolVersion;

/// Version (before 5.0 or 5.0), QoS and RETAIN: what tells the frames of one message apart, the
/// Packet Identifier aside, which is overwritten in the copy.
const VARIANTS: usize = 12;

/// Encoded PUBLISH packets of one message. A thousand subscribers then cost a thousand short
/// `memcpy`, and not a thousand times the encoder.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Start, length and place of the Packet Identifier of each variant; length 0 for none yet.
    made: [(u32, u32, u32); VARIANTS],
    /// Worth it: the message goes to several.
    several: bool,
}

impl Frames {
    /// A new message begins. Nothing of the old one is left.
    pub(super) fn begin(&mut self, several: bool) {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.made = Default::default();
        }
        self.several = several;
    }

    /// Appends the PUBLISH for this delivery to `outbound`.
    pub(super) fn write(
        &mut self,
        version: ProtocolVersion,
        message: &Message,
        delivery: &Delivery<'_>,
        outbound: &mut Outbound,
    ) {
        let own = !self.several
            || delivery.dup
            || delivery.topic_alias.is_some()
            || delivery.mount_len > 0
            || !delivery.subscription_ids.is_empty();
        if own || message.payload().len() >= SPLICE_FROM {
            outbound.publish(version, message, delivery);
            return;
        }
        let variant = usize::from(version.is_v5()) * 6
            + delivery.qos as usize * 2
            + usize::from(delivery.retain);
        if self.made[variant].1 == 0 {
            self.made[variant] = self.make(version, message, delivery);
        }
        let (start, len, id_at) = self.made[variant];
        let frame = &self.bytes[start as usize..(start + len) as usize];
        outbound.append(|bytes| {
            let at = bytes.len();
            bytes.extend_from_slice(frame);
            if delivery.packet_id != 0 {
                let at = at + id_at as usize;
                bytes[at..at + 2].copy_from_slice(&delivery.packet_id.to_be_bytes());
            }
        });
    }

    fn make(
        &mut self,
        version: ProtocolVersion,
        message: &Message,
        delivery: &Delivery<'_>,
    ) -> (u32, u32, u32) {
        let start = self.bytes.len();
        message.write_publish_head(version, delivery, &mut self.bytes);
        self.bytes.extend_from_slice(message.payload());
        let len = self.bytes.len() - start;
        // First byte, Remaining Length, the topic's length and the topic stand before it.
        let header = (2..=5)
            .find(|header| header - 1 == variable_byte_integer_len((len - header) as u32))
            .unwrap_or(2);
        let id_at = header + 2 + message.topic_bytes().len();
        (start as u32, len as u32, id_at as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Properties, QoS};
    use crate::time::Time;

    #[test]
    fn a_copied_frame_is_the_encoded_one() {
        let mut frames = Frames::default();
        for len in [
            0,
            1,
            110,
            118,
            119,
            120,
            121,
            122,
            127,
            128,
            4000,
            SPLICE_FROM,
        ] {
            let payload = vec![7; len];
            let none = Properties::EMPTY;
            let message =
                Message::new("a/b", &payload, QoS::ExactlyOnce, true, none, Time(0)).unwrap();
            frames.begin(true);
            for round in 0..36u16 {
                let version = match round % 2 {
                    0 => ProtocolVersion::V3_1_1,
                    _ => ProtocolVersion::V5_0,
                };
                let qos = QoS::from_bits((round / 2 % 3) as u8).unwrap();
                let delivery = Delivery {
                    qos,
                    retain: round / 6 % 2 == 1,
                    packet_id: if qos == QoS::AtMostOnce {
                        0
                    } else {
                        round * 999 + 1
                    },
                    ..Delivery::default()
                };
                let (mut copied, mut encoded) = (Outbound::default(), Outbound::default());
                frames.write(version, &message, &delivery, &mut copied);
                encoded.publish(version, &message, &delivery);
                let (mut a, mut b) = (vec![], vec![]);
                copied.drain_into(&mut a);
                encoded.drain_into(&mut b);
                assert_eq!(a, b, "{len} {round}");
            }
        }
    }
}
