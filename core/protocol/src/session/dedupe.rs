//! QoS 2 messages that came in and wait for their PUBREL (4.3.3).

use super::id_table::IdTable;

/// What a PUBLISH with QoS 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Not seen before: deliver it, then PUBREC.
    First,
    /// Its PUBREL has not come yet: do not deliver it, only PUBREC [MQTT-4.3.3-10].
    Again,
    /// More than Receive Maximum are open: 0x93 (3.3.4).
    TooMany,
}

/// The Packet Identifiers received with QoS 2 whose PUBREL is still to come.
///
/// 8 bytes and no memory while empty. The set outlives the connection with the session.
#[derive(Clone, Debug)]
pub struct ReceivedIds(IdTable<u16>);

impl Default for ReceivedIds {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceivedIds {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(IdTable::new())
    }

    /// A PUBLISH came in. `receive_maximum` is the one this side announced, less the QoS 1 messages
    /// whose PUBACK it still owes.
    pub fn publish(&mut self, id: u16, receive_maximum: u16) -> Received {
        if self.0.contains(id) {
            return Received::Again;
        }
        if self.0.len() >= usize::from(receive_maximum) {
            return Received::TooMany;
        }
        self.0.insert(id);
        Received::First
    }

    /// A PUBREL came in. False when its id was not there: PUBCOMP with 0x92 in MQTT 5.0.
    pub fn pubrel(&mut self, id: u16) -> bool {
        self.0.remove(id).is_some()
    }

    /// Forgets a message that was refused with a PUBREC of 0x80 or more.
    pub fn refused(&mut self, id: u16) {
        self.0.remove(id);
    }

    /// True while the PUBREL of `id` is awaited.
    #[must_use]
    pub fn contains(&self, id: u16) -> bool {
        self.0.contains(id)
    }

    /// Messages whose PUBREL is awaited.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when no PUBREL is awaited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The identifiers in no order, for a store.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    /// Forgets all: the session is over.
    pub fn clear(&mut self) {
        drop(self.0.take());
    }

    /// Gives the memory back that an empty set kept for the next message.
    pub fn release_spare(&mut self) {
        self.0.release_spare();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;
    use std::collections::BTreeSet;

    // [MQTT-4.3.3-10]
    #[test]
    fn delivers_once_until_pubrel() {
        let mut ids = ReceivedIds::new();
        assert_eq!(ids.publish(7, 10), Received::First);
        assert_eq!(ids.publish(7, 10), Received::Again);
        assert!(ids.pubrel(7));
        assert!(!ids.pubrel(7));
        assert_eq!(
            ids.publish(7, 10),
            Received::First,
            "a new message after PUBREL"
        );
    }

    // [MQTT-4.3.3-9]
    #[test]
    fn limit_is_receive_maximum_and_spares_duplicates() {
        let mut ids = ReceivedIds::new();
        assert_eq!(
            (ids.publish(1, 2), ids.publish(2, 2)),
            (Received::First, Received::First)
        );
        assert_eq!(ids.publish(3, 2), Received::TooMany);
        assert_eq!(ids.publish(1, 2), Received::Again);
        ids.refused(1);
        assert_eq!(ids.publish(3, 2), Received::First);
    }

    #[test]
    fn agrees_with_a_set() {
        let mut seeded = Seeded::new(4);
        let (mut ids, mut model) = (ReceivedIds::new(), BTreeSet::new());
        for _ in 0..100_000 {
            let id = 1 + seeded.below(300) as u16 * 211;
            if seeded.one_in(2) {
                let expected = match (model.contains(&id), model.len() < 200) {
                    (true, _) => Received::Again,
                    (false, true) => Received::First,
                    (false, false) => Received::TooMany,
                };
                assert_eq!(ids.publish(id, 200), expected);
                if expected == Received::First {
                    model.insert(id);
                }
            } else {
                assert_eq!(ids.pubrel(id), model.remove(&id));
            }
            assert_eq!(
                (ids.len(), ids.contains(id)),
                (model.len(), model.contains(&id))
            );
        }
        assert_eq!(ids.iter().collect::<BTreeSet<_>>(), model);
        ids.clear();
        assert!(ids.is_empty());
    }

    #[test]
    fn is_one_pointer() {
        assert_eq!(size_of::<ReceivedIds>(), 8);
    }
}
