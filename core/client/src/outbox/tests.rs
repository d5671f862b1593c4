//! Files as processes leave them, and as they are found.

use super::*;
use ternmq_protocol::codec::{Properties, QoS};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("ternmq-outbox-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("outbox")
    }

    fn open(&self, bytes: &[u8]) -> (FileOutbox, Vec<Stored>) {
        std::fs::write(self.file(), bytes).unwrap();
        FileOutbox::open(&self.file()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn keep(outbox: &mut FileOutbox, packet_id: u16, payload: &[u8], waits: bool) {
    let qos = QoS::ExactlyOnce;
    let none = Properties::EMPTY;
    let message = Message::new("a/b", payload, qos, false, none, clock::now()).unwrap();
    let name = Name {
        packet_id,
        note: 0,
        waits,
    };
    assert!(outbox.keep(clock::now(), name, &message));
}

/// What was kept under an identifier: whether it was sent, and the payload; or only a PUBREL.
type Kept<'a> = (u16, Option<(bool, &'a [u8])>);

fn summary(stored: &[Stored]) -> Vec<Kept<'_>> {
    let each = stored.iter().map(|stored| match stored {
        Stored::Publish {
            packet_id,
            message,
            sent,
        } => (*packet_id, Some((*sent, message.payload()))),
        Stored::Pubrel { packet_id } => (*packet_id, None),
        Stored::Received { .. } => panic!("nothing that came in is kept"),
    });
    each.collect()
}

#[test]
fn what_is_not_done_comes_back_in_its_order() {
    let folder = Folder::new("order");
    let (mut outbox, stored) = FileOutbox::open(&folder.file()).unwrap();
    assert!(stored.is_empty());
    keep(&mut outbox, 1, b"one", false);
    keep(&mut outbox, 2, b"two", false);
    keep(&mut outbox, 3, b"three", true);
    keep(&mut outbox, 4, b"four", true);
    outbox.note_step(4, STARTED);
    outbox.note_step(2, RELEASED);
    outbox.note_step(1, DONE);
    assert!(FileOutbox::open(&folder.file()).is_err(), "it is in use");
    drop(outbox);
    let (_, stored) = FileOutbox::open(&folder.file()).unwrap();
    let expected = [
        (2, None),
        (4, Some((true, &b"four"[..]))),
        (3, Some((false, &b"three"[..]))),
    ];
    assert_eq!(summary(&stored), expected);
}

#[test]
fn a_file_that_was_cut_anywhere_gives_what_is_whole() {
    let folder = Folder::new("cut");
    let (mut outbox, _) = FileOutbox::open(&folder.file()).unwrap();
    keep(&mut outbox, 1, b"one", false);
    let whole = outbox.len as usize;
    keep(&mut outbox, 2, b"two", false);
    drop(outbox);
    let bytes = std::fs::read(folder.file()).unwrap();
    for cut in 0..bytes.len() {
        std::fs::write(folder.file(), &bytes[..cut]).unwrap();
        let (mut outbox, stored) = FileOutbox::open(&folder.file()).unwrap();
        assert_eq!(stored.len(), usize::from(cut >= whole), "{cut}");
        keep(&mut outbox, 3, b"three", false);
        drop(outbox);
        let (_, again) = FileOutbox::open(&folder.file()).unwrap();
        assert_eq!(again.len(), stored.len() + 1, "{cut}");
    }
}

#[test]
fn what_is_no_outbox_is_left_alone() {
    let folder = Folder::new("other");
    for (bytes, why) in [
        (&b"something else"[..], "this is no outbox"),
        (b"TernMQ\x02\nand so on", "a newer version"),
    ] {
        std::fs::write(folder.file(), bytes).unwrap();
        let error = FileOutbox::open(&folder.file()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(std::fs::read(folder.file()).unwrap(), bytes);
    }
}

/// Each bit of a file is flipped in turn. All is there but what the record says in which it is.
#[test]
fn a_flipped_bit_costs_one_record_and_is_told_of() {
    let folder = Folder::new("flipped");
    let (mut outbox, _) = FileOutbox::open(&folder.file()).unwrap();
    let mut ends = vec![outbox.len as usize];
    let steps: [&dyn Fn(&mut FileOutbox); 6] = [
        &|outbox| keep(outbox, 1, b"one", false),
        &|outbox| keep(outbox, 2, b"two", true),
        &|outbox| outbox.note_step(1, RELEASED),
        &|outbox| keep(outbox, 3, b"three", false),
        &|outbox| outbox.note_step(2, STARTED),
        &|outbox| keep(outbox, 4, b"four", true),
    ];
    for step in steps {
        step(&mut outbox);
        ends.push(outbox.len as usize);
    }
    drop(outbox);
    let good = std::fs::read(folder.file()).unwrap();
    for at in MAGIC.len()..good.len() {
        let damaged = ends.iter().rposition(|end| *end <= at).unwrap();
        let (_, expected) = rest_of(&folder, &good, &ends, damaged);
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let (outbox, stored) = match bit == at % 8 {
                true => folder.open(&bytes),
                // Quicker, and what a file costs is the same for each bit.
                false => power::open(&bytes),
            };
            assert_eq!(summary(&stored), summary(&expected), "{at} {bit}");
            let Some(damage) = outbox.status().damage() else {
                // Its length leads beyond the end of the file.
                let begin = ends[damaged];
                assert!(damaged == ends.len() - 2 && at < begin + 4, "{at} {bit}");
                continue;
            };
            assert_eq!(damage.places, 1);
            if bit == at % 8 {
                assert_eq!(damage.copy, folder.0.join("outbox.damaged"));
                assert_eq!(std::fs::read(&damage.copy).unwrap(), bytes);
                std::fs::remove_file(&damage.copy).unwrap();
                drop(outbox);
                let (outbox, again) = FileOutbox::open(&folder.file()).unwrap();
                assert_eq!(summary(&again), summary(&expected));
                assert_eq!(outbox.status().damage(), None, "it is mended");
            }
        }
    }
}

/// What a file gives without one of its records.
fn rest_of(
    folder: &Folder,
    good: &[u8],
    ends: &[usize],
    without: usize,
) -> (FileOutbox, Vec<Stored>) {
    let rest = [&good[..ends[without]], &good[ends[without + 1]..]].concat();
    let other = folder.0.join("other");
    std::fs::write(&other, rest).unwrap();
    FileOutbox::open(&other).unwrap()
}

#[test]
fn copies_of_damaged_files_are_kept_and_limited() {
    let folder = Folder::new("copies");
    for n in 1..=11 {
        let bytes = [&MAGIC[..], &[3, 0, 0, 0, 1, 1, 1, 1, n, 1, 1]].concat();
        std::fs::write(folder.file(), bytes).unwrap();
        let (outbox, stored) = FileOutbox::open(&folder.file()).unwrap();
        assert!(stored.is_empty() && outbox.status().damage().is_some());
    }
    let mut copies: Vec<_> = std::fs::read_dir(&folder.0).unwrap().collect();
    assert_eq!(copies.len(), 1 + 9);
    copies.retain(|copy| copy.as_ref().unwrap().file_name() == "outbox.damaged-9");
    let last = std::fs::read(copies[0].as_ref().unwrap().path()).unwrap();
    assert_eq!(last[MAGIC.len() + record::HEAD], 11);
}

#[test]
fn a_file_stays_small_however_much_goes_through_it() {
    let folder = Folder::new("small");
    let (mut outbox, _) = FileOutbox::open(&folder.file()).unwrap();
    keep(&mut outbox, 1, b"stays", false);
    outbox.note_step(1, RELEASED);
    let payload = [7; 1000];
    for _ in 0..5000 {
        keep(&mut outbox, 2, &payload, true);
        outbox.note_step(2, STARTED);
        outbox.note_step(2, DONE);
    }
    assert!(outbox.len < 2 * SLACK, "{}", outbox.len);
    assert_eq!((outbox.kept(), outbox.failed_writes()), (1, 0));
    assert!(FileOutbox::open(&folder.file()).is_err(), "it is in use");
    drop(outbox);
    let (_, stored) = FileOutbox::open(&folder.file()).unwrap();
    assert_eq!(summary(&stored), [(1, None)]);
}
