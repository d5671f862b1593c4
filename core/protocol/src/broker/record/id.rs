//! The names of things on disk: the same whoever wrote them, and in a cluster.

use crate::message::Origin;
use sha2::{Digest, Sha256};

/// Partitions of sessions and of topics. Part of the format: a store that was made with another
/// number has its records elsewhere.
pub const PARTITIONS: u16 = 64;

/// Leading topic levels that decide a topic's [partition](topic_partition). Part of the format.
/// With two, all of `device/17/#` is together.
pub const PARTITION_LEVELS: u8 = 2;

/// A broker process's place, the same after each start. 1 for a broker by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Which start of a node: higher with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Who holds a session: one start of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// Its start.
    pub epoch: Epoch,
}

impl Default for Owner {
    /// The first start of a broker by itself.
    fn default() -> Self {
        Self {
            node: NodeId(1),
            epoch: Epoch(1),
        }
    }
}

/// How often a session was written. A record replaces only one of a lower revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev(pub u64);

/// The name of a session: 128 bits of SHA-256 over tenant and client identifier.
///
/// A hash without a key, because each node and each start must find the same name; and one for which
/// nobody can look for two client identifiers with one name, because clients choose theirs, and who
/// shares a name shares the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessKey(pub [u8; 16]);

impl SessKey {
    /// The key of a client's session. `tenant` is empty in a broker for one.
    #[must_use]
    pub fn new(tenant: &str, client_id: &str) -> Self {
        let mut hash = Sha256::new();
        // The length keeps ("a", "bc") and ("ab", "c") apart.
        hash.update((tenant.len() as u64).to_be_bytes());
        hash.update(tenant);
        hash.update(client_id);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }

    /// The client as a publisher: what No Local compares. Half of the key is enough for that.
    #[must_use]
    pub fn origin(self) -> Origin {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        Origin(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The key as a number modulo [`PARTITIONS`].
    #[must_use]
    pub const fn partition(self) -> u16 {
        (u128::from_be_bytes(self.0) % PARTITIONS as u128) as u16
    }
}

/// Where a message stands: which partition, and which message of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPos {
    /// The [partition](topic_partition) of its topic.
    pub partition: u16,
    /// Counts up within the partition.
    pub seq: u64,
}

/// The partition of a topic: a hash of its first [`PARTITION_LEVELS`] levels modulo [`PARTITIONS`].
#[must_use]
pub fn topic_partition(topic: &str) -> u16 {
    let last = usize::from(PARTITION_LEVELS) - 1;
    let head = match topic.match_indices('/').nth(last) {
        Some((end, _)) => &topic[..end],
        None => topic,
    };
    SessKey::new("", head).partition()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_they_were() {
        // What `printf '\0\0\0\0\0\0\0\0anna' | sha256sum` begins with.
        assert_eq!(
            SessKey::new("", "anna").0,
            [
                0xf1, 0xfd, 0x0f, 0xe3, 0x53, 0xbc, 0x6a, 0xf0, 0x8d, 0xbd, 0xa2, 0x75, 0x97, 0xa0,
                0x2f, 0x7b
            ]
        );
        assert_ne!(SessKey::new("a", "bc"), SessKey::new("ab", "c"));
    }

    #[test]
    fn partitions_are_used_evenly() {
        let mut counts = [0; PARTITIONS as usize];
        for n in 0..6400 {
            counts[usize::from(SessKey::new("", &format!("client-{n}")).partition())] += 1;
        }
        assert!(counts.iter().all(|n| (50..150).contains(n)), "{counts:?}");
    }

    #[test]
    fn two_levels_decide_the_partition_of_a_topic() {
        let same = ["device/17", "device/17/a", "device/17/b/c", "device/17/"];
        let partitions = same.map(topic_partition);
        assert!(partitions.iter().all(|p| *p == partitions[0]));
        let others: Vec<u16> = (0..64)
            .map(|n| topic_partition(&format!("device/{n}")))
            .collect();
        assert!(others.iter().any(|p| *p != others[0]));
        assert_eq!(topic_partition("/a/b"), topic_partition("/a"));
        assert_eq!(topic_partition("a"), SessKey::new("", "a").partition());
    }
}
