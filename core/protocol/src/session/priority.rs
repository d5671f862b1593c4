//! A bounded queue that hands out what matters most first.

use super::queue::{BoundedQueue, Overflow, OverflowPolicy, Pushed, QueueLimits};
use crate::weight::Weight;

/// A queue with one set of limits for all it holds, and a lane for each priority in use.
///
/// It hands out items of higher priority first, and those of one priority in the order in which they
/// came. What does not fit makes room from below: items of the lowest priority are dropped first, the
/// oldest or the newest of them as [`QueueLimits::policy`] says. While all items have priority 0 it
/// is a [`BoundedQueue`] and one pointer.
#[derive(Clone, Debug)]
pub struct PriorityQueue<T> {
    /// Priority 0: nothing is lower.
    base: BoundedQueue<T>,
    /// The others, the highest in front. A lane stays while the queue does, even when it is empty.
    #[allow(clippy::box_collection)]
    // half the size of a vector, in each of a million sessions
    lanes: Option<Box<Vec<Lane<T>>>>,
}

#[derive(Clone, Debug)]
struct Lane<T> {
    priority: u8,
    items: BoundedQueue<T>,
}

impl<T> Default for PriorityQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PriorityQueue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            base: BoundedQueue::new(),
            lanes: None,
        }
    }

    /// Items in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        let higher = self.lanes().iter().map(|lane| lane.items.len());
        self.base.len() + higher.sum::<usize>()
    }

    /// True when nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.is_empty() && self.lanes().iter().all(|lane| lane.items.is_empty())
    }

    /// Weight of all items.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let higher = self.lanes().iter().map(|lane| lane.items.bytes());
        self.base.bytes() + higher.sum::<usize>()
    }

    /// The item that [`pop`](Self::pop) would give.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        let mut higher = self.lanes().iter();
        higher
            .find_map(|lane| lane.items.front())
            .or_else(|| self.base.front())
    }

    /// The items in the order in which they would be handed out.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let higher = self.lanes().iter().flat_map(|lane| lane.items.iter());
        higher.chain(self.base.iter())
    }

    /// Takes all items out in the order in which they would be handed out, and gives the memory back.
    pub fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        let lanes = self.lanes.take().map(|lanes| *lanes).unwrap_or_default();
        let higher = lanes.into_iter().flat_map(|mut lane| lane.items.take());
        higher.chain(self.base.take())
    }

    /// Gives the memory back that an empty queue kept for the next item.
    pub fn release_spare(&mut self) {
        self.base.release_spare();
        if let Some(lanes) = &mut self.lanes {
            lanes.retain(|lane| !lane.items.is_empty());
            if lanes.is_empty() {
                self.lanes = None;
            }
        }
    }

    fn lanes(&self) -> &[Lane<T>] {
        self.lanes.as_deref().map_or(&[], |lanes| lanes)
    }

    /// The queue of a priority.
    fn lane(&mut self, priority: u8) -> &mut BoundedQueue<T> {
        if priority == 0 {
            return &mut self.base;
        }
        let lanes = self.lanes.get_or_insert_default();
        let place = lanes.binary_search_by_key(&std::cmp::Reverse(priority), |lane| {
            std::cmp::Reverse(lane.priority)
        });
        let place = place.unwrap_or_else(|place| {
            let items = BoundedQueue::new();
            lanes.insert(place, Lane { priority, items });
            place
        });
        &mut lanes[place].items
    }

    /// All queues with their priorities, the lowest in front.
    fn lowest_first(&mut self) -> impl Iterator<Item = (u8, &mut BoundedQueue<T>)> {
        let lanes = self
            .lanes
            .iter_mut()
            .flat_map(|lanes| lanes.iter_mut().rev());
        let higher = lanes.map(|lane| (lane.priority, &mut lane.items));
        std::iter::once((0, &mut self.base)).chain(higher)
    }
}

impl<T: Weight> PriorityQueue<T> {
    /// Puts `item` behind those of its priority if the limits allow, or does what their policy says.
    /// Each dropped item, old or new, is passed to `dropped` with the limit it ran into.
    pub fn push(
        &mut self,
        item: T,
        priority: u8,
        limits: &QueueLimits,
        mut dropped: impl FnMut(T, Overflow),
    ) -> Pushed<T> {
        if self.lanes.is_none() && priority == 0 {
            return self.base.push(item, limits, dropped);
        }
        let weight = item.weight();
        if let Some(overflow) = self.overflow(weight, limits) {
            if limits.policy == OverflowPolicy::Refuse {
                return Pushed::Refused(item, overflow);
            }
            if !self.can_make_room(weight, priority, limits) {
                dropped(item, overflow);
                return Pushed::Dropped;
            }
        }
        while let Some(overflow) = self.overflow(weight, limits) {
            let oldest = limits.policy == OverflowPolicy::DropOldest;
            let victim = self.lowest_first().find_map(|(_, lane)| match oldest {
                true => lane.pop(),
                false => lane.pop_newest(),
            });
            let Some(victim) = victim else {
                break;
            };
            dropped(victim, overflow);
        }
        self.lane(priority).append(item, weight);
        Pushed::Queued
    }

    /// Puts `item` behind those of its priority if that needs no room made; else it comes back.
    #[inline]
    pub fn push_into_room(
        &mut self,
        item: T,
        weight: usize,
        priority: u8,
        limits: &QueueLimits,
    ) -> Result<(), T> {
        debug_assert_eq!(weight, item.weight());
        if self.overflow(weight, limits).is_some() {
            return Err(item);
        }
        self.lane(priority).append(item, weight);
        Ok(())
    }

    /// Takes out what gives room to an item of this weight, but only items at the front of a lane for
    /// which `leaves` is true, say because they expired, and at most `most` of them.
    pub fn make_room(
        &mut self,
        weight: usize,
        limits: &QueueLimits,
        most: usize,
        mut leaves: impl FnMut(&T) -> bool,
        mut left: impl FnMut(T),
    ) {
        for _ in 0..most {
            if self.overflow(weight, limits).is_none() {
                return;
            }
            let gone = self.lowest_first().find_map(|(_, lane)| {
                let leaving = lane.front().is_some_and(&mut leaves);
                leaving.then(|| lane.pop()).flatten()
            });
            let Some(gone) = gone else {
                return;
            };
            left(gone);
        }
    }

    /// Takes the next item out.
    pub fn pop(&mut self) -> Option<T> {
        if let Some(lanes) = &mut self.lanes {
            let next = lanes.iter_mut().find_map(|lane| lane.items.pop());
            if next.is_some() {
                return next;
            }
        }
        self.base.pop()
    }

    /// Takes out each item for which `leaves` is true and passes it to `left`, in the order in which
    /// they would be handed out. Costs a walk over the queue.
    pub fn remove_if(&mut self, mut leaves: impl FnMut(&T) -> bool, mut left: impl FnMut(T)) {
        for lane in self.lanes.iter_mut().flat_map(|lanes| lanes.iter_mut()) {
            lane.items.remove_if(&mut leaves, &mut left);
        }
        self.base.remove_if(leaves, left);
    }

    fn overflow(&self, weight: usize, limits: &QueueLimits) -> Option<Overflow> {
        if self.len() >= limits.items {
            Some(Overflow::Items)
        } else if self.bytes().saturating_add(weight) > limits.bytes {
            Some(Overflow::Bytes)
        } else {
            None
        }
    }

    /// Whether an item fits once those are gone that may be dropped for it: all of lower priority, and
    /// if the oldest are dropped, those of the same.
    fn can_make_room(&mut self, weight: usize, priority: u8, limits: &QueueLimits) -> bool {
        let equals = limits.policy == OverflowPolicy::DropOldest;
        let (mut items, mut bytes) = (0, weight);
        for (other, lane) in self.lowest_first() {
            if other > priority || other == priority && !equals {
                items += lane.len();
                bytes = bytes.saturating_add(lane.bytes());
            }
        }
        items < limits.items && bytes <= limits.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;

    /// Number, priority, weight.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Item(u32, u8, usize);

    impl Weight for Item {
        fn weight(&self) -> usize {
            self.2
        }
    }

    fn limits(items: usize, bytes: usize, policy: OverflowPolicy) -> QueueLimits {
        QueueLimits {
            items,
            bytes,
            policy,
        }
    }

    /// What `push` should do, done the slow way.
    fn push(model: &mut Vec<Item>, item: Item, limits: &QueueLimits, lost: &mut Vec<Item>) {
        let fits = |model: &[Item]| {
            let bytes: usize = model.iter().map(|i| i.2).sum();
            model.len() < limits.items && bytes + item.2 <= limits.bytes
        };
        let oldest = limits.policy == OverflowPolicy::DropOldest;
        let mut after = model.clone();
        let mut gone = Vec::new();
        while !fits(&after) {
            let lowest = after.iter().map(|i| i.1).min();
            let may = lowest.is_some_and(|low| low < item.1 || low == item.1 && oldest);
            if !may {
                lost.push(item);
                return;
            }
            let at = match oldest {
                true => after.iter().position(|i| Some(i.1) == lowest),
                false => after.iter().rposition(|i| Some(i.1) == lowest),
            };
            gone.push(after.remove(at.unwrap()));
        }
        lost.append(&mut gone);
        let place = after.iter().position(|i| i.1 < item.1);
        after.insert(place.unwrap_or(after.len()), item);
        *model = after;
    }

    #[test]
    fn does_what_a_sorted_list_does() {
        let mut seeded = Seeded::new(11);
        for policy in [OverflowPolicy::DropNewest, OverflowPolicy::DropOldest] {
            let limits = limits(20, 300, policy);
            let (mut queue, mut model) = (PriorityQueue::new(), Vec::new());
            for n in 0..20_000 {
                match seeded.below(10) {
                    0..6 => {
                        let priority = [0, 0, 1, 7, 255][seeded.below(5)];
                        let item = Item(n, priority, seeded.below(60));
                        let (mut lost, mut expected) = (Vec::new(), Vec::new());
                        let pushed =
                            queue.push(item.clone(), priority, &limits, |i, _| lost.push(i));
                        push(&mut model, item.clone(), &limits, &mut expected);
                        assert_eq!(lost, expected);
                        assert_eq!(pushed == Pushed::Queued, model.contains(&item));
                    }
                    6..9 => {
                        let next = (!model.is_empty()).then(|| model.remove(0));
                        assert_eq!(queue.front(), next.as_ref());
                        assert_eq!(queue.pop(), next);
                    }
                    _ => {
                        let odd = |item: &Item| item.0 % 7 == 1;
                        let mut removed = Vec::new();
                        queue.remove_if(odd, |item| removed.push(item));
                        let expected: Vec<_> = model.extract_if(.., |item| odd(item)).collect();
                        assert_eq!(removed, expected);
                        queue.release_spare();
                    }
                }
                assert!(queue.iter().eq(&model), "{n}");
                assert_eq!(
                    (queue.len(), queue.is_empty()),
                    (model.len(), model.is_empty())
                );
                assert_eq!(queue.bytes(), model.iter().map(|i| i.2).sum());
            }
            assert!(queue.clone().take().eq(model));
        }
    }

    #[test]
    fn room_is_made_at_the_fronts_alone_and_no_more_than_needed() {
        let limits = limits(6, 1000, OverflowPolicy::DropNewest);
        let mut queue = PriorityQueue::new();
        for (n, priority) in [(1, 0), (3, 0), (4, 0), (5, 9), (6, 9), (7, 9)] {
            let item = Item(n, priority, 1);
            assert_eq!(
                queue.push(item, priority, &limits, |_, _| unreachable!()),
                Pushed::Queued
            );
        }
        let mut gone = Vec::new();
        let mut make = |queue: &mut PriorityQueue<Item>, most| {
            queue.make_room(1, &limits, most, |i| i.0 % 2 == 1, |i| gone.push(i.0));
        };
        make(&mut queue, 0);
        assert_eq!(queue.len(), 6);
        make(&mut queue, 5);
        assert_eq!(queue.len(), 5, "there is room, so nobody else has to go");
        for n in [8, 8] {
            let _ = queue.push(Item(n, 9, 1), 9, &limits, |_, _| ());
            make(&mut queue, 5);
        }
        let _ = queue.push(Item(8, 9, 1), 9, &limits, |_, _| ());
        make(&mut queue, 5);
        assert_eq!(gone, [1, 3, 5]);
        assert_eq!(queue.len(), 6);
    }

    #[test]
    fn refusing_hands_the_item_back() {
        let limits = limits(1, 100, OverflowPolicy::Refuse);
        let mut queue = PriorityQueue::new();
        let _ = queue.push(Item(1, 0, 1), 0, &limits, |_, _| ());
        let pushed = queue.push(Item(2, 5, 1), 5, &limits, |_, _| unreachable!());
        assert_eq!(pushed, Pushed::Refused(Item(2, 5, 1), Overflow::Items));
    }
}
