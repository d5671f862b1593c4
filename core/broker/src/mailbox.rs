//! Mail between shard threads: one lock and at most one wake per batch, and never a wait.
//!
//! # Why two full mailboxes can't block each other
//! No thread ever waits for room. A shard that can't deliver its batch keeps it (it is what one turn
//! produced, so it is bounded) and reads no publisher until the batch has gone; but it goes on taking
//! its own mail, writing to its sockets and reading the acknowledgements of its subscribers. So
//! every mailbox is always being emptied, whoever waits for whom, and the first emptying wakes
//! those that wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_protocol::Message;
use ternmq_transport::Waker;

/// Limits of one mailbox. Up to twice as much is in memory: what waits and what is being handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MailLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The mailbox of one shard.
pub(crate) struct Mailbox<P> {
    mail: Mutex<Mail<P>>,
    waker: Waker,
    limits: MailLimits,
}

/// What was in a mailbox.
pub(crate) struct Mail<P> {
    /// Messages for local delivery, each sender's in its order.
    pub(crate) messages: Vec<Message>,
    /// Everything else. Bounded by what causes it: one per connection that moves or is opened, one
    /// per call of the control interface.
    pub(crate) parcels: Vec<P>,
    bytes: usize,
    closed: bool,
    /// Shards to wake once there is room.
    waiting: Vec<usize>,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Taken, and there is room for more.
    Taken,
    /// Taken, but the mailbox is three quarters full: stop producing. The sender will be woken.
    High,
    /// Not taken. The sender will be woken.
    Full,
    /// The shard has ended.
    Closed,
}

impl<P> Mailbox<P> {
    pub(crate) fn new(waker: Waker, limits: MailLimits) -> Self {
        Self {
            mail: Mutex::default(),
            waker,
            limits,
        }
    }

    /// Offers a batch, all or nothing. A batch that is larger than the limits by itself goes into
    /// an empty mailbox. `sender` is the shard to wake when it has to wait.
    pub(crate) fn offer(&self, sender: Option<usize>, batch: &[Message]) -> Offer {
        let weight: usize = batch.iter().map(Message::memory).sum();
        let mut mail = self.lock();
        if mail.closed {
            return Offer::Closed;
        }
        let (count, bytes) = (mail.messages.len() + batch.len(), mail.bytes + weight);
        let fits = count <= self.limits.messages && bytes <= self.limits.bytes;
        let taken = fits || mail.messages.is_empty();
        if taken {
            mail.messages.extend_from_slice(batch);
            mail.bytes = bytes;
        }
        let high = !fits || self.is_high(count, bytes);
        if let (true, Some(sender)) = (high, sender) {
            mail.wait(sender);
        }
        drop(mail);
        if !taken {
            return Offer::Full;
        }
        self.waker.wake();
        if high { Offer::High } else { Offer::Taken }
    }

    /// Whether there is room for more. If not, `sender` will be woken when there is.
    pub(crate) fn has_room(&self, sender: usize) -> bool {
        let mut mail = self.lock();
        let room = mail.closed || !self.is_high(mail.messages.len(), mail.bytes);
        if !room {
            mail.wait(sender);
        }
        room
    }

    /// Sends a parcel; hands it back when the shard has ended.
    pub(crate) fn send(&self, parcel: P) -> Result<(), P> {
        let mut mail = self.lock();
        if mail.closed {
            return Err(parcel);
        }
        mail.parcels.push(parcel);
        drop(mail);
        self.waker.wake();
        Ok(())
    }

    /// Whether the shard has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Swaps what is there for the empty `into`, and returns who waits for room.
    pub(crate) fn take(&self, into: &mut Mail<P>, waiting: &mut Vec<usize>) {
        debug_assert!(into.messages.is_empty() && into.parcels.is_empty());
        let mut mail = self.lock();
        std::mem::swap(&mut mail.messages, &mut into.messages);
        std::mem::swap(&mut mail.parcels, &mut into.parcels);
        mail.bytes = 0;
        waiting.append(&mut mail.waiting);
    }

    /// Takes nothing any more, and gives back what it still held.
    pub(crate) fn close(&self) -> Mail<P> {
        let mut mail = self.lock();
        let left = std::mem::take(&mut *mail);
        mail.closed = true;
        left
    }

    /// Ends the owner's wait.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    fn is_high(&self, messages: usize, bytes: usize) -> bool {
        messages > self.limits.messages / 4 * 3 || bytes > self.limits.bytes / 4 * 3
    }

    fn lock(&self) -> MutexGuard<'_, Mail<P>> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Mail<P> {
    fn wait(&mut self, sender: usize) {
        if !self.waiting.contains(&sender) {
            self.waiting.push(sender);
        }
    }
}

impl<P> Default for Mail<P> {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            parcels: Vec::new(),
            bytes: 0,
            closed: false,
            waiting: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::codec::{Properties, QoS};
    use ternmq_protocol::time::Time;
    use ternmq_transport::Poller;

    fn mailbox(messages: usize) -> Mailbox<u8> {
        let waker = Poller::new(1).unwrap().waker();
        let bytes = 1 << 20;
        Mailbox::new(waker, MailLimits { messages, bytes })
    }

    fn batch(count: usize) -> Vec<Message> {
        let none = Properties::EMPTY;
        let one = Message::new("t", b"", QoS::AtMostOnce, false, none, Time(0)).unwrap();
        vec![one; count]
    }

    #[test]
    fn a_mailbox_is_high_before_it_is_full_and_wakes_who_waits() {
        let mailbox = mailbox(8);
        assert_eq!(mailbox.offer(Some(1), &batch(6)), Offer::Taken);
        assert_eq!(mailbox.offer(Some(2), &batch(1)), Offer::High);
        assert_eq!(mailbox.offer(Some(1), &batch(2)), Offer::Full);
        assert_eq!(mailbox.offer(Some(1), &batch(2)), Offer::Full);
        assert!(!mailbox.has_room(3));
        let (mut mail, mut waiting) = (Mail::default(), Vec::new());
        mailbox.take(&mut mail, &mut waiting);
        assert_eq!((mail.messages.len(), waiting), (7, vec![2, 1, 3]));
        assert!(mailbox.has_room(1));
    }

    #[test]
    fn a_batch_above_the_limit_goes_into_an_empty_mailbox_only() {
        let mailbox = mailbox(4);
        assert_eq!(mailbox.offer(None, &batch(9)), Offer::High);
        assert_eq!(mailbox.offer(None, &batch(1)), Offer::Full);
    }

    #[test]
    fn a_closed_mailbox_hands_everything_back() {
        let mailbox = mailbox(4);
        mailbox.send(7).unwrap();
        assert_eq!(mailbox.close().parcels, [7]);
        assert_eq!(mailbox.send(8), Err(8));
        assert_eq!(mailbox.offer(None, &batch(1)), Offer::Closed);
        assert!(mailbox.has_room(1));
    }
}
