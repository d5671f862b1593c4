//! What the store could not keep and nobody can be told of: it is tried again.
//!
//! Whatever a shard hands in and the store refuses, the shard hands in again or tells whoever waits for it. But
//! that a retained message is another one now has happened in memory whatever the disk says. Of each topic
//! only its last state waits, so that no more does than there are topics.

use std::collections::HashMap;

use ternmq_protocol::broker::durable::StoreOp;

use super::intake::memory;

/// Changes of retained messages that wait for the store to work again.
#[derive(Default)]
pub(super) struct Carried {
    ops: HashMap<Box<str>, StoreOp>,
    bytes: usize,
}

impl Carried {
    /// Whether it is a change of a retained message.
    pub(super) fn takes(op: &StoreOp) -> bool {
        matches!(op, StoreOp::PutRetained(_) | StoreOp::RemoveRetained(_))
    }

    /// Takes up what is to be tried again of what was refused. Returns how many found no room in `limit`
    /// bytes and are lost.
    pub(super) fn take_up(&mut self, ops: &[StoreOp], limit: usize) -> u64 {
        let mut lost = 0;
        for op in ops {
            let topic: Box<str> = match op {
                StoreOp::PutRetained(message) => message.topic().into(),
                StoreOp::RemoveRetained(topic) => topic.clone(),
                _ => continue,
            };
            let was = self.ops.remove(&topic);
            self.bytes -= was.as_ref().map_or(0, memory);
            let bytes = memory(op);
            if self.bytes + bytes > limit {
                lost += 1;
                continue;
            }
            self.bytes += bytes;
            self.ops.insert(topic, op.clone());
        }
        lost
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// All of it, to be carried out.
    pub(super) fn take(&mut self) -> Vec<StoreOp> {
        self.bytes = 0;
        std::mem::take(&mut self.ops).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_topic_the_last_state_waits_and_no_more_than_there_is_room_for() {
        let gone = |topic: &str| StoreOp::RemoveRetained(topic.into());
        let one = memory(&gone("a"));
        let mut carried = Carried::default();
        let ops = ["a", "b", "a", "c", "a"].map(gone);
        assert_eq!(carried.take_up(&ops, 2 * one), 1);
        assert_eq!(carried.bytes, 2 * one);
        assert_eq!(carried.take().len(), 2);
        assert!(carried.is_empty() && carried.bytes == 0);
        assert_eq!(carried.take_up(&ops, 3 * one), 0);
    }
}
