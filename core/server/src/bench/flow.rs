//! What a message of a measurement says of itself, and what of a flow of them has arrived.

use std::collections::VecDeque;

/// Bytes of a payload that are not padding.
pub(super) const HEAD: usize = 24;

/// Numbers of one flow that are told apart while some before them are missing: 65,536. What is missing for
/// longer is lost.
const WORDS: usize = 1024;

/// The beginning of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Of which measurement: others may run on the same topics.
    pub(super) run: u32,
    pub(super) publisher: u32,
    /// From 0 on, by publisher.
    pub(super) number: u64,
    /// When it was due, in nanoseconds since the measurement began.
    pub(super) due: u64,
}

impl Head {
    pub(super) fn write(self, payload: &mut [u8]) {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&self.run.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.publisher.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..].copy_from_slice(&self.due.to_le_bytes());
        payload[..HEAD].copy_from_slice(&bytes);
    }

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (run, rest) = payload.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (due, _) = rest.split_first_chunk()?;
        Some(Self {
            run: u32::from_le_bytes(*run),
            publisher: u32::from_le_bytes(*publisher),
            number: u64::from_le_bytes(*number),
            due: u64::from_le_bytes(*due),
        })
    }
}

/// From one publisher to one subscriber.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// The number of the first bit below, a multiple of 64.
    base: u64,
    /// One bit for each number that has come.
    seen: VecDeque<u64>,
    /// The number after the highest that has come.
    next: u64,
    pub(super) arrived: u64,
    pub(super) duplicates: u64,
    /// Came after one with a higher number.
    pub(super) late: u64,
}

impl Flow {
    /// Whether it is new.
    pub(super) fn arrive(&mut self, number: u64) -> bool {
        let Some(at) = number.checked_sub(self.base) else {
            // Given up as lost before, or the second one.
            self.duplicates += 1;
            return false;
        };
        let (mut word, bit) = ((at / 64) as usize, 1 << (at % 64));
        if let Some(beyond) = (word + 1).checked_sub(WORDS) {
            self.seen.drain(..beyond.min(self.seen.len()));
            self.base += beyond as u64 * 64;
            word -= beyond;
        }
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.duplicates += 1;
            return false;
        }
        self.seen[word] |= bit;
        self.arrived += 1;
        self.late += u64::from(number < self.next);
        self.next = self.next.max(number + 1);
        while self.seen.front() == Some(&u64::MAX) {
            self.seen.pop_front();
            self.base += 64;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(numbers: impl IntoIterator<Item = u64>) -> Flow {
        let mut flow = Flow::default();
        numbers.into_iter().for_each(|number| {
            flow.arrive(number);
        });
        flow
    }

    fn sums(flow: &Flow) -> (u64, u64, u64) {
        (flow.arrived, flow.duplicates, flow.late)
    }

    #[test]
    fn what_comes_twice_or_late_is_counted() {
        assert_eq!(sums(&flow(0..1000)), (1000, 0, 0));
        assert_eq!(sums(&flow([0, 1, 1, 2])), (3, 1, 0));
        assert_eq!(sums(&flow([0, 2, 1, 3])), (4, 0, 1));
        assert_eq!(sums(&flow((0..200).chain([5]))), (200, 1, 0));
    }

    #[test]
    fn gaps_cost_a_bounded_memory() {
        let flow = flow((0..1_000_000).filter(|number| number % 10 != 0));
        assert_eq!(sums(&flow), (900_000, 0, 0));
        assert!(flow.seen.len() <= WORDS);
        let far = self::flow([0, u64::from(u32::MAX)]);
        assert_eq!(far.arrived, 2);
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head {
            run: 1,
            publisher: 2,
            number: 3,
            due: u64::MAX,
        };
        let mut payload = vec![7; 64];
        head.write(&mut payload);
        assert_eq!(Head::read(&payload), Some(head));
        assert_eq!(Head::read(&payload[..HEAD - 1]), None);
    }
}
