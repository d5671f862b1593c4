//! Publishing several messages in one go.

use ternmq_protocol::Message;
use ternmq_protocol::client::Token;
use ternmq_protocol::codec::QoS;

use super::outcome::Response;
use super::requests::{Key, Kind, Request, key_of};
use super::{Client, Code};

impl Client {
    /// Publishes messages in their order, or has them wait, with one lock, and adds a token for each that
    /// was taken. Never blocks.
    ///
    /// # Errors
    /// As [`send`](Self::send), for the first message without a token; those after it were not tried.
    pub(crate) fn send_batch(
        &self,
        messages: &[Message],
        tokens: &mut Vec<Token>,
    ) -> Result<(), Code> {
        self.restore()?;
        // A store tells messages of QoS 0 that wait by their notes.
        let notes = match self.store.is_some() {
            true => self.notes_for(messages),
            false => vec![0; messages.len()],
        };
        let given = messages.iter().cloned().zip(notes.iter().copied());
        let published = self.link.publish_all_noted(given, tokens, |tokens| {
            let mut state = self.lock();
            for ((token, message), note) in tokens.iter().zip(messages).zip(&notes) {
                let key = key_of(*token).max(*note);
                // Of QoS 0 without a note nothing will be told.
                if key != 0 {
                    let kind = Kind::Publish(message.qos(), None);
                    let response = Response::default();
                    state.requests.insert(key, Request { response, kind });
                }
            }
        });
        published.map_err(|refused| self.refusal(refused))
    }

    /// A note for each message of QoS 0, 0 for the others.
    fn notes_for(&self, messages: &[Message]) -> Vec<Key> {
        let mut state = self.lock();
        let note = |message: &Message| match message.qos() {
            QoS::AtMostOnce => state.requests.next_note(),
            _ => 0,
        };
        messages.iter().map(note).collect()
    }
}
