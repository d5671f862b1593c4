//! Outbound buffers between two uses.

use crate::outbound::{Outbound, Tally};

/// Spare buffers, the one used last on top: its memory is the warmest. What they keep is bounded.
#[derive(Debug)]
pub(super) struct Pool {
    // Boxed, because it is the box that goes in and out: a connection without a buffer holds one
    // pointer instead of ten words.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Outbound>>,
    bytes: usize,
    limit: usize,
    /// What waits in all buffers that were taken.
    pub(super) waiting: Tally,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            spare: Vec::new(),
            bytes: 0,
            limit,
            waiting: Tally::default(),
        }
    }

    pub(super) fn take(&mut self) -> Box<Outbound> {
        match self.spare.pop() {
            Some(buffer) => {
                self.bytes -= cost(&buffer);
                buffer
            }
            None => Box::new(Outbound::counted(&self.waiting)),
        }
    }

    /// Takes a buffer back, or frees it when enough are kept.
    pub(super) fn give(&mut self, mut buffer: Box<Outbound>) {
        buffer.clear();
        let cost = cost(&buffer);
        if self.bytes + cost <= self.limit {
            self.bytes += cost;
            self.spare.push(buffer);
        }
    }
}

fn cost(buffer: &Outbound) -> usize {
    size_of::<Outbound>() + buffer.capacity()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_its_limit() {
        let mut pool = Pool::new(10_000);
        for _ in 0..20 {
            let mut buffer = Box::new(Outbound::default());
            buffer.append(|bytes| bytes.extend_from_slice(&[0; 3000]));
            pool.give(buffer);
        }
        assert!(pool.spare.len() == 3 && pool.bytes <= 10_000);
        assert!(pool.take().capacity() >= 3000 && pool.take().is_empty());
        pool.take();
        assert_eq!((pool.spare.len(), pool.bytes), (0, 0));
        assert_eq!(pool.take().capacity(), 0);
    }
}
