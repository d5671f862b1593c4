//! What the driver has said about one connection lately.

use super::Verdict;
use super::rules::Wish;
use crate::time::Time;
use std::hash::{DefaultHasher, Hasher};

/// Verdicts by the fingerprint of what they are about; the oldest gives way.
#[derive(Debug, Default)]
pub(in super::super) struct Verdicts {
    kept: Vec<(u64, Verdict, Time)>,
    /// Where the next goes once there is no more room.
    next: usize,
}

impl Verdicts {
    /// What was said, if that still holds.
    pub(in super::super) fn get(&self, print: u64, now: Time) -> Option<Verdict> {
        let mut kept = self.kept.iter();
        let found = kept.find(|(other, _, until)| *other == print && *until > now);
        found.map(|(_, verdict, _)| *verdict)
    }

    /// Keeps one more, `most` at a time.
    pub(in super::super) fn keep(
        &mut self,
        print: u64,
        verdict: Verdict,
        until: Time,
        most: usize,
    ) {
        let entry = (print, verdict, until);
        if let Some(same) = self.kept.iter_mut().find(|(other, ..)| *other == print) {
            *same = entry;
        } else if self.kept.len() < most {
            self.kept.push(entry);
        } else if most > 0 {
            self.next %= most;
            self.kept[self.next] = entry;
            self.next += 1;
        }
    }
}

/// 64 bits that stand for what a client wants, so that topics of any length take the same room. Keyed with
/// the shard's secret by SipHash: nobody can look for two wishes with one fingerprint.
pub(in super::super) fn fingerprint(seed: u64, wish: Wish<'_>, share_name: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    let (kind, topic) = match wish {
        Wish::Publish { topic, qos, retain } => (qos as u8 | u8::from(retain) << 2, topic),
        Wish::Subscribe { filter, qos } => (qos as u8 | 0x80, filter),
    };
    hasher.write_u8(kind);
    hasher.write_u64(topic.len() as u64);
    hasher.write(topic.as_bytes());
    hasher.write(share_name.unwrap_or("/").as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::QoS;

    #[test]
    fn a_verdict_holds_for_its_time_and_while_there_is_room() {
        let mut verdicts = Verdicts::default();
        verdicts.keep(1, Verdict::Allow, Time(100), 2);
        assert_eq!(verdicts.get(1, Time(99)), Some(Verdict::Allow));
        assert_eq!(verdicts.get(1, Time(100)), None);
        verdicts.keep(1, Verdict::Deny, Time(200), 2);
        verdicts.keep(2, Verdict::Allow, Time(200), 2);
        verdicts.keep(3, Verdict::Allow, Time(200), 2);
        let now = Time(150);
        assert_eq!(
            [1, 2, 3].map(|n| verdicts.get(n, now).is_some()),
            [false, true, true]
        );
        verdicts.keep(4, Verdict::Allow, Time(200), 2);
        assert_eq!(
            [2, 3, 4].map(|n| verdicts.get(n, now).is_some()),
            [false, true, true]
        );
        verdicts.keep(5, Verdict::Allow, Time(200), 0);
        assert_eq!(verdicts.get(5, now), None);
    }

    #[test]
    fn what_differs_in_anything_has_another_fingerprint() {
        let publish = |topic, qos, retain| Wish::Publish { topic, qos, retain };
        let subscribe = |filter, qos| Wish::Subscribe { filter, qos };
        let (zero, one) = (QoS::AtMostOnce, QoS::AtLeastOnce);
        let mut prints = vec![
            fingerprint(1, publish("a", zero, false), None),
            fingerprint(1, publish("a", zero, true), None),
            fingerprint(1, publish("a", one, false), None),
            fingerprint(1, publish("b", zero, false), None),
            fingerprint(1, subscribe("a", zero), None),
            fingerprint(1, subscribe("a", one), None),
            fingerprint(1, subscribe("a", one), Some("g")),
            fingerprint(2, publish("a", zero, false), None),
        ];
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), 8);
    }
}
