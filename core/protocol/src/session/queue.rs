//! A first-in first-out queue that never outgrows its limits and never drops in silence.

use crate::weight::Weight;
use std::collections::VecDeque;

/// Items for which an emptied queue keeps its memory.
const KEPT_CAPACITY: usize = 16;

/// What happens to an item that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OverflowPolicy {
    /// The new item is dropped.
    #[default]
    DropNewest,
    /// The oldest items are dropped until the new one fits. An item above the byte limit by itself
    /// is dropped alone.
    DropOldest,
    /// The new item goes back to the caller, who stalls or answers with an error.
    Refuse,
}

/// Limits of one queue. Kept outside of it: many queues share one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueLimits {
    /// Most items.
    pub items: usize,
    /// Most bytes as [`Weight`] counts them.
    pub bytes: usize,
    /// What happens beyond.
    pub policy: OverflowPolicy,
}

/// Which limit an item ran into, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// [`QueueLimits::items`].
    Items,
    /// [`QueueLimits::bytes`].
    Bytes,
    /// What one queue may hold of what several may hold together. Only their owner knows.
    Share,
}

impl Overflow {
    /// The same where the limit of bytes was such a share.
    pub(crate) fn of_share(self) -> Self {
        match self {
            Self::Bytes => Self::Share,
            other => other,
        }
    }
}

/// What became of a pushed item.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed<T> {
    /// It is in the queue.
    Queued,
    /// It was dropped, and the `dropped` function told.
    Dropped,
    /// It is handed back, see [`OverflowPolicy::Refuse`].
    Refused(T, Overflow),
}

/// A queue bounded by count and by bytes. It holds no memory before its first item.
#[derive(Clone, Debug)]
pub struct BoundedQueue<T> {
    items: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for BoundedQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> BoundedQueue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Items in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True when nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Weight of all items.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The item that [`pop`](Self::pop) would give.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// The items, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Takes all items out, oldest first, and gives the memory back.
    pub fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.bytes = 0;
        std::mem::take(&mut self.items).into_iter()
    }

    /// Gives the memory back that an empty queue kept for the next item.
    pub fn release_spare(&mut self) {
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
    }
}

impl<T: Weight> BoundedQueue<T> {
    /// Appends `item` if the limits allow, or does what their policy says. Each dropped item, old
    /// or new, is passed to `dropped` with the limit it ran into.
    pub fn push(
        &mut self,
        item: T,
        limits: &QueueLimits,
        mut dropped: impl FnMut(T, Overflow),
    ) -> Pushed<T> {
        let weight = item.weight();
        while let Some(overflow) = self.overflow(weight, limits) {
            let fits_alone = weight <= limits.bytes && limits.items > 0;
            match limits.policy {
                OverflowPolicy::Refuse => return Pushed::Refused(item, overflow),
                OverflowPolicy::DropOldest if fits_alone => match self.pop() {
                    Some(oldest) => dropped(oldest, overflow),
                    None => break,
                },
                OverflowPolicy::DropOldest | OverflowPolicy::DropNewest => {
                    dropped(item, overflow);
                    return Pushed::Dropped;
                }
            }
        }
        self.bytes += weight;
        self.items.push_back(item);
        Pushed::Queued
    }

    /// Puts an item back in front that was popped and could not be used. No limit applies: it was
    /// inside them a moment ago.
    pub fn unpop(&mut self, item: T) {
        self.bytes += item.weight();
        self.items.push_front(item);
    }

    /// Takes the oldest item out.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.bytes -= item.weight();
        if self.items.is_empty() && self.items.capacity() > KEPT_CAPACITY {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Takes the newest item out.
    pub(super) fn pop_newest(&mut self) -> Option<T> {
        let item = self.items.pop_back()?;
        self.bytes -= item.weight();
        Some(item)
    }

    /// Appends an item whatever the limits are: the caller has asked.
    pub(super) fn append(&mut self, item: T, weight: usize) {
        self.bytes += weight;
        self.items.push_back(item);
    }

    /// Takes out each item for which `leaves` is true, say because it expired, and passes it to
    /// `left`. The order of the others stays. Costs a walk over the queue.
    pub fn remove_if(&mut self, mut leaves: impl FnMut(&T) -> bool, mut left: impl FnMut(T)) {
        for _ in 0..self.items.len() {
            let Some(item) = self.items.pop_front() else {
                break;
            };
            if leaves(&item) {
                self.bytes -= item.weight();
                left(item);
            } else {
                self.items.push_back(item);
            }
        }
    }

    fn overflow(&self, weight: usize, limits: &QueueLimits) -> Option<Overflow> {
        if self.items.len() >= limits.items {
            Some(Overflow::Items)
        } else if self.bytes.saturating_add(weight) > limits.bytes {
            Some(Overflow::Bytes)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Item(u32, usize);

    impl Weight for Item {
        fn weight(&self) -> usize {
            self.1
        }
    }

    const POLICIES: [OverflowPolicy; 3] = [
        OverflowPolicy::DropNewest,
        OverflowPolicy::DropOldest,
        OverflowPolicy::Refuse,
    ];

    fn limits(items: usize, bytes: usize, policy: OverflowPolicy) -> QueueLimits {
        QueueLimits {
            items,
            bytes,
            policy,
        }
    }

    fn numbers(queue: &BoundedQueue<Item>) -> Vec<u32> {
        queue.iter().map(|item| item.0).collect()
    }

    #[test]
    fn drop_oldest_makes_room_by_count_and_bytes() {
        let limits = limits(3, 100, OverflowPolicy::DropOldest);
        let (mut queue, mut lost) = (BoundedQueue::new(), Vec::new());
        for n in 0..4 {
            assert_eq!(
                queue.push(Item(n, 30), &limits, |i, why| lost.push((i.0, why))),
                Pushed::Queued
            );
        }
        assert_eq!(
            queue.push(Item(4, 80), &limits, |i, why| lost.push((i.0, why))),
            Pushed::Queued
        );
        assert_eq!(numbers(&queue), [4]);
        assert_eq!(lost[..2], [(0, Overflow::Items), (1, Overflow::Items)]);
        assert_eq!(lost[2..], [(2, Overflow::Bytes), (3, Overflow::Bytes)]);
        assert_eq!(
            queue.push(Item(5, 101), &limits, |i, _| lost
                .push((i.0, Overflow::Bytes))),
            Pushed::Dropped
        );
        assert_eq!(
            (numbers(&queue), lost.len()),
            (vec![4], 5),
            "too large by itself: nobody else leaves"
        );
    }

    #[test]
    fn refuse_hands_back_and_drop_newest_tells() {
        let (mut queue, mut lost) = (BoundedQueue::new(), 0);
        let refuse = limits(1, 9, OverflowPolicy::Refuse);
        assert_eq!(
            queue.push(Item(1, 10), &refuse, |_, _| lost += 1),
            Pushed::Refused(Item(1, 10), Overflow::Bytes)
        );
        assert_eq!(
            queue.push(Item(2, 9), &refuse, |_, _| lost += 1),
            Pushed::Queued
        );
        assert_eq!(
            queue.push(Item(3, 0), &refuse, |_, _| lost += 1),
            Pushed::Refused(Item(3, 0), Overflow::Items)
        );
        assert_eq!(lost, 0);
        let newest = limits(1, 9, OverflowPolicy::DropNewest);
        assert_eq!(
            queue.push(Item(4, 0), &newest, |_, _| lost += 1),
            Pushed::Dropped
        );
        assert_eq!((lost, numbers(&queue)), (1, vec![2]));
    }

    #[test]
    fn nothing_lost_nothing_silent() {
        let mut seeded = Seeded::new(6);
        for round in 0..300 {
            let limits = limits(seeded.below(8), seeded.below(60), POLICIES[round % 3]);
            let (mut queue, mut model, mut gone, mut out) = (BoundedQueue::new(), Vec::new(), 0, 0);
            for n in 0..200 {
                if seeded.one_in(3) {
                    let popped = queue.pop();
                    assert_eq!(popped, (!model.is_empty()).then(|| model.remove(0)));
                    out += usize::from(popped.is_some());
                } else {
                    let item = Item(n, seeded.below(20));
                    let pushed = queue.push(item.clone(), &limits, |item, _| {
                        gone += 1;
                        model.retain(|kept| *kept != item);
                    });
                    match pushed {
                        Pushed::Queued => model.push(item),
                        Pushed::Dropped => {}
                        Pushed::Refused(..) => gone += 1,
                    }
                }
                assert!(queue.iter().eq(model.iter()));
                assert_eq!(queue.bytes(), model.iter().map(Weight::weight).sum());
                assert!(queue.len() <= limits.items && queue.bytes() <= limits.bytes);
            }
            assert!(queue.take().eq(model) && gone + out <= 200 && queue.bytes() == 0);
        }
    }

    #[test]
    fn removes_in_the_middle_and_keeps_order() {
        let limits = limits(99, 999, OverflowPolicy::Refuse);
        let mut queue = BoundedQueue::new();
        for n in 0..10 {
            let _ = queue.push(Item(n, 1), &limits, |_, _| ());
        }
        let mut left = Vec::new();
        queue.remove_if(|item| item.0 % 3 == 0, |item| left.push(item.0));
        assert_eq!(
            (left, numbers(&queue)),
            (vec![0, 3, 6, 9], vec![1, 2, 4, 5, 7, 8])
        );
        let first = queue.pop().unwrap();
        queue.unpop(first);
        assert_eq!((numbers(&queue)[0], queue.bytes()), (1, 6));
    }

    #[test]
    fn no_memory_before_and_little_after() {
        let mut queue = BoundedQueue::<Item>::new();
        assert_eq!((size_of_val(&queue), queue.items.capacity()), (40, 0));
        let limits = limits(999, 999, OverflowPolicy::Refuse);
        for n in 0..200 {
            let _ = queue.push(Item(n, 1), &limits, |_, _| ());
        }
        while queue.pop().is_some() {}
        assert!(queue.items.capacity() <= KEPT_CAPACITY);
        let _ = queue.push(Item(0, 0), &limits, |_, _| ());
        queue.pop();
        queue.release_spare();
        assert_eq!(queue.items.capacity(), 0);
    }
}
