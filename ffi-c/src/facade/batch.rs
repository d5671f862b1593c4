//! Publishing several messages in one go.

use std::sync::atomic::Ordering;

use ternmq_protocol::Message;
use ternmq_protocol::client::{PublishRefused, Token};
use ternmq_protocol::codec::QoS;

use super::{Client, Code};

impl Client {
    /// Publishes messages in their order and adds a token for each that was taken. All that fit go with
    /// one lock and leave together; for the others it waits as [`publish`](Self::publish) does.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), for the first message without a token; those after it were not
    /// tried.
    pub(crate) fn publish_batch(
        &self,
        messages: &[Message],
        tokens: &mut Vec<Token>,
    ) -> Result<(), Code> {
        let begin = tokens.len();
        let noted = self.is_v5 && messages.iter().any(|m| m.qos() != QoS::AtMostOnce);
        let mut blocked = false;
        loop {
            let room = self.room.load(Ordering::Acquire);
            let left = &messages[tokens.len() - begin..];
            let published = match noted {
                true => self.publish_and_note_all(left, tokens),
                false => self.link.publish_all(left.iter().cloned(), tokens),
            };
            match published {
                Ok(()) => return Ok(()),
                Err(PublishRefused::Full) => self.block(&mut blocked, room)?,
                Err(refused) => return Err(self.refusal(refused)),
            }
        }
    }

    fn publish_and_note_all(
        &self,
        messages: &[Message],
        tokens: &mut Vec<Token>,
    ) -> Result<(), PublishRefused> {
        let begin = tokens.len();
        let number = self.lock().kinds.begin();
        let published = self.link.publish_all(messages.iter().cloned(), tokens);
        let new = tokens[begin..].iter().zip(messages);
        let kinds = new.map(|(token, message)| (*token, message.qos()));
        self.note_kinds(number, kinds.filter(|(_, qos)| *qos != QoS::AtMostOnce));
        published
    }
}
