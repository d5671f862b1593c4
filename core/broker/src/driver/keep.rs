//! What goes to the store and comes back: operations and what became of them, questions and pages.

use std::sync::atomic::Ordering;

use ternmq_protocol::broker::Ticket;
use ternmq_protocol::broker::durable::{LogPage, NotStored, ReadTicket};

use ternmq_protocol::Message;

use super::Driver;
use crate::mailbox::{Item, Mail};
use crate::shared::Parcel;
use crate::store::READS;

impl Driver {
    /// Puts sessions that have changed to what is to be handed in.
    pub(super) fn collect(&mut self) {
        if self.shared.desk.is_some() {
            self.shard.collect(self.shared.calendar(), &mut self.out);
        }
    }

    /// Hands in what this turn has made for the store, and asks it what sessions want to know. Stalls the
    /// publishers when it has more to do than it may.
    pub(super) fn hand_to_store(&mut self) {
        self.collect();
        let Some(desk) = &self.shared.desk else {
            return;
        };
        desk.holds.tell(&mut self.out.holds);
        if self.out.is_for_store() {
            let from = (self.number, self.shard.store_turn());
            let room = desk.intake.hand_in(from, &mut self.out);
            self.counters.stalls += u64::from(!room && !self.post.stalled);
            self.post.stalled |= !room;
        }
        self.post.questions.extend(self.out.reads.drain(..));
        self.ask_store();
    }

    /// A message from this process.
    pub(super) fn publish(&mut self, message: &Message) {
        if !self.shard.keep_published(message, &mut self.out) {
            self.out.publishes.push(message.clone());
            self.shard
                .handle_published(self.now, message, &mut self.out);
        }
    }

    /// Something that was handed in is kept, or can't be.
    pub(super) fn hear_from_store(&mut self, ticket: Ticket, refused: Option<NotStored>) {
        match self.post.outcomes.back_mut() {
            // A later one covers every earlier one.
            Some((last, None)) if refused.is_none() => *last = ticket,
            _ => self.post.outcomes.push_back((ticket, refused)),
        }
    }

    pub(super) fn take_page(&mut self, ticket: ReadTicket, page: LogPage) {
        self.post.asked -= 1;
        self.shard
            .handle_log_page(ticket, page, self.now, &mut self.out);
        self.ask_store();
    }

    /// How far the log is, for a shard that nobody sends its messages to: once it has taken all mail that
    /// was there when this was asked, see [`Desk::posted`](crate::store::Desk::posted).
    pub(super) fn look_at_log(&mut self) {
        let Some(desk) = &self.shared.desk else {
            return;
        };
        let posted = desk.posted();
        if posted != self.log_seen {
            self.rung = true;
            self.log_posted = posted;
        }
    }

    pub(super) fn has_seen_log(&mut self) {
        if !self.has_mail() && self.log_posted != self.log_seen {
            self.log_seen = self.log_posted;
            self.shard.set_log_seen(self.log_seen);
            if let Some(desk) = &self.shared.desk {
                desk.set_seen(self.number, self.log_seen);
            }
        }
    }

    /// Whether another shard has told all what is to be stored from now on. Asked after each read, so that
    /// who publishes after another client has seen its SUBACK is never too early: such letters are
    /// taken before all other mail, with which they have nothing to do.
    pub(super) fn look_at_interests(&mut self) {
        let interests = self.shared.interests.load(Ordering::SeqCst);
        if interests == self.interests {
            return;
        }
        self.interests = interests;
        let mut mail = Mail::default();
        self.fetch_mail(&mut mail);
        self.mail.items.append(&mut mail.items);
        let mut letters = Vec::new();
        for item in std::mem::take(&mut self.mail.items) {
            match item {
                Item::Parcel(Parcel::Letter(letter)) if letter.is_for_all() => {
                    letters.push(letter);
                }
                item => self.mail.items.push_back(item),
            }
        }
        for letter in letters {
            self.shard.handle_letter(letter, self.now, &mut self.out);
        }
    }

    fn ask_store(&mut self) {
        let Some(desk) = &self.shared.desk else {
            return;
        };
        while self.post.asked < READS
            && let Some(request) = self.post.questions.pop_front()
        {
            self.post.asked += 1;
            desk.ask(self.number, request);
        }
    }
}
