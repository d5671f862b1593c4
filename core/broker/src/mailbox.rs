//! Mail between shard threads: one lock and at most one wake per batch, and never a wait.
//!
//! # Why two full mailboxes can't block each other
//! No thread ever waits for room. A shard that can't deliver its batch keeps it (it is what one turn
//! produced, so it is bounded) and reads no publisher until the batch has gone; but it goes on taking
//! its own mail, writing to its sockets and reading the acknowledgements of its subscribers. So
//! every mailbox is always being emptied, whoever waits for whom, and the first emptying wakes
//! those that wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_protocol::Message;
use ternmq_protocol::weight::Weight;
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
    /// In the order in which it was put in, whoever the sender was.
    pub(crate) items: VecDeque<Item<P>>,
    /// Of the batches among it.
    count: usize,
    bytes: usize,
    closed: bool,
    /// Shards to wake once there is room.
    waiting: Vec<usize>,
}

/// A piece of mail.
#[derive(Debug)]
pub(crate) enum Item<P> {
    /// A message for local delivery.
    Message(Message),
    /// Something else. What is not part of a [`Batch`] is bounded by what causes it: one per
    /// connection that moves or is opened, one per call of the control interface.
    Parcel(P),
}

/// Mail that counts against the limits.
pub(crate) struct Batch<P> {
    /// Go before the messages.
    pub(crate) parcels: Vec<P>,
    pub(crate) messages: Vec<Message>,
}

impl<P> Default for Batch<P> {
    fn default() -> Self {
        Self {
            parcels: Vec::new(),
            messages: Vec::new(),
        }
    }
}

impl<P> Batch<P> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.parcels.len() + self.messages.len()
    }

    /// Throws it away.
    pub(crate) fn clear(&mut self) {
        self.parcels.clear();
        self.messages.clear();
    }
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

impl<P: Weight> Mailbox<P> {
    pub(crate) fn new(waker: Waker, limits: MailLimits) -> Self {
        Self {
            mail: Mutex::default(),
            waker,
            limits,
        }
    }

    /// Offers a batch, all or nothing, which is empty afterwards if it was taken. One that is larger than
    /// the limits by itself goes into an empty mailbox. `sender` is the shard to wake when it has to
    /// wait.
    pub(crate) fn offer(&self, sender: Option<usize>, batch: &mut Batch<P>) -> Offer {
        let weight: usize = batch.messages.iter().map(Message::memory).sum();
        let weight = weight + batch.parcels.iter().map(P::weight).sum::<usize>();
        let mut mail = self.lock();
        if mail.closed {
            return Offer::Closed;
        }
        let (count, bytes) = (mail.count + batch.len(), mail.bytes + weight);
        let fits = count <= self.limits.messages && bytes <= self.limits.bytes;
        let taken = fits || mail.count == 0;
        if taken {
            let parcels = batch.parcels.drain(..).map(Item::Parcel);
            mail.items.extend(parcels);
            let messages = batch.messages.drain(..).map(Item::Message);
            mail.items.extend(messages);
            (mail.count, mail.bytes) = (count, bytes);
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
        let room = mail.closed || !self.is_high(mail.count, mail.bytes);
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
        mail.items.push_back(Item::Parcel(parcel));
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
        debug_assert!(into.items.is_empty());
        let mut mail = self.lock();
        std::mem::swap(&mut mail.items, &mut into.items);
        (mail.count, mail.bytes) = (0, 0);
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
            items: VecDeque::new(),
            count: 0,
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

    fn mailbox(messages: usize) -> Mailbox<Note> {
        let waker = Poller::new(1).unwrap().waker();
        let bytes = 1 << 20;
        Mailbox::new(waker, MailLimits { messages, bytes })
    }

    #[derive(Debug, PartialEq)]
    struct Note(u8);

    impl Weight for Note {
        fn weight(&self) -> usize {
            1
        }
    }

    fn batch(count: usize) -> Batch<Note> {
        let none = Properties::EMPTY;
        let one = Message::new("t", b"", QoS::AtMostOnce, false, none, Time(0)).unwrap();
        Batch {
            parcels: Vec::new(),
            messages: vec![one; count],
        }
    }

    #[test]
    fn a_mailbox_is_high_before_it_is_full_and_wakes_who_waits() {
        let mailbox = mailbox(8);
        assert_eq!(mailbox.offer(Some(1), &mut batch(6)), Offer::Taken);
        assert_eq!(mailbox.offer(Some(2), &mut batch(1)), Offer::High);
        assert_eq!(mailbox.offer(Some(1), &mut batch(2)), Offer::Full);
        assert_eq!(mailbox.offer(Some(1), &mut batch(2)), Offer::Full);
        assert!(!mailbox.has_room(3));
        let (mut mail, mut waiting) = (Mail::default(), Vec::new());
        mailbox.take(&mut mail, &mut waiting);
        assert_eq!((mail.items.len(), waiting), (7, vec![2, 1, 3]));
        assert!(mailbox.has_room(1));
    }

    #[test]
    fn a_batch_above_the_limit_goes_into_an_empty_mailbox_only() {
        let mailbox = mailbox(4);
        assert_eq!(mailbox.offer(None, &mut batch(9)), Offer::High);
        assert_eq!(mailbox.offer(None, &mut batch(1)), Offer::Full);
    }

    #[test]
    fn a_closed_mailbox_hands_everything_back() {
        let mailbox = mailbox(4);
        mailbox.send(Note(7)).unwrap();
        let left = mailbox.close().items;
        assert!(matches!(left.front(), Some(Item::Parcel(Note(7)))));
        assert_eq!(mailbox.send(Note(8)), Err(Note(8)));
        assert_eq!(mailbox.offer(None, &mut batch(1)), Offer::Closed);
        assert!(mailbox.has_room(1));
    }

    #[test]
    fn mail_is_taken_in_the_order_in_which_it_came() {
        let mailbox = mailbox(4);
        let mut mixed = batch(1);
        mixed.parcels.push(Note(1));
        assert_eq!(mailbox.offer(Some(1), &mut mixed), Offer::Taken);
        assert!(mixed.is_empty());
        mailbox.send(Note(2)).unwrap();
        mixed = batch(1);
        mixed.parcels.push(Note(3));
        assert_eq!(mailbox.offer(Some(2), &mut mixed), Offer::High);
        assert_eq!(
            mailbox.offer(Some(2), &mut batch(1)),
            Offer::Full,
            "parcels count"
        );
        let (mut mail, mut waiting) = (Mail::default(), Vec::new());
        mailbox.take(&mut mail, &mut waiting);
        let order = mail.items.iter().map(|item| match item {
            Item::Message(_) => 0,
            Item::Parcel(note) => note.0,
        });
        assert!(order.eq([1, 0, 2, 3, 0]));
    }
}
