//! The verdict: were all promises kept?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::notes::{Fate, Got, Notes, Stream};

/// What is wrong, in words; empty when nothing is.
pub fn verdict(notes: &Notes) -> Vec<String> {
    let mut wrong = notes.complaints.clone();
    let none = BTreeSet::new();
    for (subscriber, due) in &notes.due {
        let got = notes.got.get(subscriber).map_or(&[][..], Vec::as_slice);
        let shared = notes.shared.contains(subscriber);
        for (stream, most) in due {
            let numbers: Vec<&Got> = got.iter().filter(|got| got.stream == *stream).collect();
            let sent = notes.sent.get(stream).copied().unwrap_or(0);
            let qos = stream.qos.min(*most);
            let mut say = |what: String| {
                let Stream { publisher, qos } = stream;
                wrong.push(format!(
                    "{subscriber}, publisher {publisher} QoS {qos}: {what}"
                ));
            };
            look_for_losses(&numbers, sent, &mut say);
            look_for_repeats(&numbers, qos, &mut say);
            if !shared {
                let late = notes.refused.get(stream).unwrap_or(&none);
                look_for_disorder(&numbers, late, &mut say);
            }
            for got in &numbers {
                if got.qos != qos {
                    say(format!("number {} came with QoS {}", got.number, got.qos));
                }
            }
        }
        for got in got {
            if !due.iter().any(|(stream, _)| *stream == got.stream) {
                wrong.push(format!(
                    "{subscriber} got {got:?}, which it did not ask for"
                ));
            }
        }
    }
    look_at_promises(notes, &mut wrong);
    for (publisher, (found, last)) in &notes.retained {
        if *found != Some(*last).filter(|last| *last > 0) {
            wrong.push(format!(
                "publisher {publisher}: {last} was retained, found was {found:?}"
            ));
        }
    }
    wrong
}

/// Of two clocks.
const EARLY: Duration = Duration::from_millis(20);

/// Starts of the server, and a subscriber that is away when something is due. A delay that began anew with each
/// start would be longer now and then.
const LATE: Duration = Duration::from_secs(20);

/// Wills and delayed messages come once, if they are to, and in time.
fn look_at_promises(notes: &Notes, wrong: &mut Vec<String>) {
    for (name, promise) in &notes.promised {
        let came = notes.came.get(name).map_or(&[][..], Vec::as_slice);
        let most = usize::from(promise.fate != Fate::Never);
        let least = usize::from(promise.fate == Fate::Comes);
        if came.len() < least {
            wrong.push(format!("later {name}: lost"));
        }
        if came.len() > most {
            let times = came.len();
            wrong.push(format!(
                "later {name}: came {times} times, {:?}",
                promise.fate
            ));
        }
        for at in came {
            if *at + EARLY < promise.due {
                let early = promise.due - *at;
                wrong.push(format!("later {name}: came {early:?} before its time"));
            }
            if *at > promise.due + LATE {
                let late = *at - promise.due;
                wrong.push(format!("later {name}: came {late:?} after its time"));
            }
        }
    }
    for name in notes.came.keys() {
        if !notes.promised.contains_key(name) {
            wrong.push(format!("later {name}: nobody asked for it"));
        }
    }
}

/// Everything that was sent was acknowledged in the end, and everything that was acknowledged arrives.
fn look_for_losses(numbers: &[&Got], sent: u64, say: &mut dyn FnMut(String)) {
    let mut came = vec![false; sent as usize + 1];
    for got in numbers {
        match came.get_mut(got.number as usize) {
            Some(came) if got.number > 0 => *came = true,
            _ => say(format!("number {} was never sent", got.number)),
        }
    }
    let lost: Vec<usize> = (1..came.len()).filter(|number| !came[*number]).collect();
    if let [first, ..] = lost[..] {
        let count = lost.len();
        say(format!("{count} of {sent} lost, the first is {first}"));
    }
}

/// QoS 2 comes once. QoS 1 may come again, but with a reason: see [`look_for_disorder`].
fn look_for_repeats(numbers: &[&Got], qos: u8, say: &mut dyn FnMut(String)) {
    if qos < 2 {
        return;
    }
    let mut times = BTreeMap::new();
    for got in numbers {
        *times.entry(got.number).or_insert(0) += 1;
    }
    for (number, times) in times {
        if times > 1 {
            say(format!("number {number} came {times} times"));
        }
    }
}

/// Numbers come in their order; a repetition begins again somewhere before, and goes on from there. What was
/// refused may be `late`.
fn look_for_disorder(numbers: &[&Got], late: &BTreeSet<u64>, say: &mut dyn FnMut(String)) {
    let mut highest = 0;
    for got in numbers {
        if (highest + 1..got.number).any(|number| !late.contains(&number)) {
            say(format!("number {} came right after {highest}", got.number));
        }
        highest = highest.max(got.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notes::Promise;

    const STREAM: Stream = Stream {
        publisher: 1,
        qos: 2,
    };

    fn notes(qos: u8, numbers: &[u64]) -> Notes {
        let stream = Stream { qos, ..STREAM };
        let got = |number: &u64| Got {
            stream,
            number: *number,
            qos,
            dup: false,
        };
        let mut notes = Notes::default();
        notes.sent.insert(stream, 3);
        notes.due.insert("s".into(), vec![(stream, 2)]);
        notes
            .got
            .insert("s".into(), numbers.iter().map(got).collect());
        notes
    }

    #[test]
    fn what_is_right_passes() {
        assert_eq!(verdict(&notes(2, &[1, 2, 3])), [""; 0]);
        assert_eq!(verdict(&notes(1, &[1, 2, 1, 2, 3])), [""; 0]);
    }

    #[test]
    fn what_was_promised_for_later_is_looked_at() {
        let now = std::time::Instant::now();
        let second = Duration::from_secs(1);
        for (fate, came, word) in [
            (Fate::Comes, &[1][..], ""),
            (Fate::MayCome, &[], ""),
            (Fate::MayCome, &[1], ""),
            (Fate::Never, &[], ""),
            (Fate::Comes, &[], "lost"),
            (Fate::Comes, &[1, 2], "2 times"),
            (Fate::MayCome, &[1, 2], "2 times"),
            (Fate::Never, &[1], "1 times"),
            (Fate::Comes, &[0], "before"),
            (Fate::Comes, &[60], "after"),
        ] {
            let mut notes = Notes::default();
            let due = now + second;
            notes.promised.insert("n".into(), Promise { fate, due });
            let came = came.iter().map(|seconds| now + second * *seconds);
            notes.came.insert("n".into(), came.collect());
            let wrong = verdict(&notes);
            match word {
                "" => assert_eq!(wrong, [""; 0]),
                _ => assert!(wrong[0].contains(word), "{wrong:?}"),
            }
            notes.promised.clear();
            assert!(verdict(&notes)[0].contains("nobody asked"));
        }
    }

    #[test]
    fn losses_repeats_and_disorder_are_noticed() {
        for (qos, numbers, word) in [
            (2, &[1, 2][..], "lost"),
            (2, &[1, 2, 2, 3], "times"),
            (1, &[1, 3, 2], "right after"),
            (1, &[1, 2, 3, 4], "never sent"),
        ] {
            let wrong = verdict(&notes(qos, numbers));
            assert!(
                wrong.iter().any(|w| w.contains(word)),
                "{numbers:?}: {wrong:?}"
            );
        }
        for (number, is_wrong) in [(2, false), (3, true)] {
            let mut late = notes(1, &[1, 3, 2]);
            late.refused
                .insert(Stream { qos: 1, ..STREAM }, BTreeSet::from([number]));
            assert_eq!(verdict(&late).is_empty(), !is_wrong);
        }
        let mut kept = notes(1, &[1, 2, 3]);
        kept.retained.insert(1, (Some(2), 3));
        assert!(verdict(&kept)[0].contains("retained"));
        let mut strange = notes(1, &[1, 2, 3]);
        strange.due.insert("t".into(), Vec::new());
        strange.got.insert("t".into(), strange.got["s"].clone());
        assert!(verdict(&strange)[0].contains("did not ask"));
    }
}
