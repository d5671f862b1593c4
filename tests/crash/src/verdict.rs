//! The verdict: were all promises kept?

use std::collections::{BTreeMap, BTreeSet};

use crate::notes::{Got, Notes, Stream};

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
    for (publisher, (found, last)) in &notes.retained {
        if *found != Some(*last).filter(|last| *last > 0) {
            wrong.push(format!(
                "publisher {publisher}: {last} was retained, found was {found:?}"
            ));
        }
    }
    wrong
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
