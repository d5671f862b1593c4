//! The books: how many copies of messages each session was due by what was published and what it was
//! subscribed to, and which of them have gone out. Kept from the truth and the wire alone.
//!
//! At any moment a session's copies are sent, queued or dropped, as the shard counts them, and their
//! number is the one in here. Once nothing waits, those that were not seen going out are the dropped
//! ones, and each has something about it that the reason is for.

use std::collections::BTreeMap;
use std::ops::Bound;

use ternmq_protocol::broker::{ClientInfo, Dropped};
use ternmq_protocol::codec::QoS;

/// Stands for messages without a payload, which nothing tells apart.
const NAMELESS: u32 = u32::MAX;

/// The books of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By epoch, those of sessions that are there.
    pub(crate) open: BTreeMap<u64, Book>,
    /// By shard, what sessions were due that are over: copies for certain, and perhaps.
    pub(crate) ended: BTreeMap<usize, (u64, u64)>,
    /// By shard, PUBLISH packets that went out for the first time, or would have.
    pub(crate) sent: BTreeMap<usize, u64>,
    entries: u64,
}

/// The book of a session.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) client: String,
    pub(crate) shard: usize,
    /// Copies that it was due for certain.
    due: u64,
    /// Copies more, if what happened at one moment happened in the right order.
    perhaps: u64,
    /// PUBLISH packets that went out for the first time.
    sent: u64,
    /// It has been in a group: copies may have come that are not in here, and may have gone again.
    pub(crate) shares: bool,
    /// By message, the copies that have not been seen going out.
    waiting: BTreeMap<u32, Vec<Entry>>,
    /// The last entry that went out, by priority and by whether it was of QoS 0.
    last: BTreeMap<(u8, bool), u64>,
    /// By priority, the entries of QoS 1 and 2 that nothing may be the matter with, and how many
    /// messages the shard had written when they came: what it wrote later must not be lower.
    firm: BTreeMap<u8, BTreeMap<u64, u64>>,
}

/// What is known of a message when it is handed to subscribers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub(crate) note: Option<u32>,
    pub(crate) priority: u8,
    /// It can't expire, be too large or find a queue full.
    pub(crate) firm: bool,
    /// It is due for certain.
    pub(crate) certain: bool,
}

/// A copy that a session is due.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its place in the order of all of them.
    place: u64,
    qos: QoS,
    certain: bool,
}

/// What may be the matter with a message that did not go out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weaknesses {
    pub(crate) expires: bool,
    pub(crate) too_large: bool,
}

impl Books {
    pub(crate) fn open(&mut self, epoch: u64, client: &str, shard: usize) {
        let book = Book {
            client: client.to_owned(),
            shard,
            due: 0,
            perhaps: 0,
            sent: 0,
            shares: false,
            waiting: BTreeMap::new(),
            last: BTreeMap::new(),
            firm: BTreeMap::new(),
        };
        self.open.insert(epoch, book);
    }

    pub(crate) fn close(&mut self, epoch: u64) {
        if let Some(book) = self.open.remove(&epoch) {
            let (due, perhaps) = self.ended.entry(book.shard).or_default();
            (*due, *perhaps) = (*due + book.due, *perhaps + book.perhaps);
        }
    }

    /// A session is due a copy; the shard has written so many first ones for it until now.
    pub(crate) fn enter(&mut self, epoch: u64, qos: QoS, traits: Traits, written: u64) {
        let Traits {
            note,
            priority,
            firm,
            certain,
        } = traits;
        self.entries += 1;
        let place = self.entries;
        let Some(book) = self.open.get_mut(&epoch) else {
            return;
        };
        match certain {
            true => book.due += 1,
            false => book.perhaps += 1,
        }
        let entry = Entry {
            place,
            qos,
            certain,
        };
        let waiting = book.waiting.entry(note.unwrap_or(NAMELESS)).or_default();
        waiting.push(entry);
        if firm && certain && qos != QoS::AtMostOnce {
            book.firm
                .entry(priority)
                .or_default()
                .insert(place, written);
        }
    }

    /// A PUBLISH goes out for the first time: of a copy that was due, with its QoS, and behind those
    /// of its priority, and of higher ones, that were due before it.
    pub(crate) fn goes_out(
        &mut self,
        shard: usize,
        epoch: u64,
        note: Option<u32>,
        qos: QoS,
        priority: u8,
    ) -> Result<(), String> {
        *self.sent.entry(shard).or_default() += 1;
        let Some(book) = self.open.get_mut(&epoch) else {
            return Ok(());
        };
        book.sent += 1;
        let number = note.unwrap_or(NAMELESS);
        let lane = (priority, qos == QoS::AtMostOnce);
        let last = book.last.get(&lane).copied().unwrap_or(0);
        let ordered = note.is_some() && !book.shares;
        let waiting = book.waiting.entry(number).or_default();
        let fits =
            |entry: &Entry| entry.qos == qos && (!ordered || !entry.certain || entry.place > last);
        let Some(at) = waiting.iter().position(fits) else {
            if book.shares {
                return Ok(());
            }
            return Err(format!(
                "message {note:?} goes out to {} in session {epoch} with {qos:?}, which is due \
                 {waiting:?}, behind entry {last} of priority {priority}",
                book.client
            ));
        };
        let entry = waiting.remove(at);
        if waiting.is_empty() {
            book.waiting.remove(&number);
        }
        for firm in book.firm.values_mut() {
            firm.remove(&entry.place);
        }
        if ordered && entry.certain {
            book.last.insert(lane, entry.place);
            return match book.first_above(priority) {
                Some((place, written)) if written < book.sent && qos != QoS::AtMostOnce => {
                    Err(format!(
                        "message {note:?} of priority {priority} goes out to {} in session {epoch} \
                         as number {}, entry {place} of a higher priority waits since {written}",
                        book.client, book.sent
                    ))
                }
                _ => Ok(()),
            };
        }
        Ok(())
    }

    /// Whether a copy was due that did not go out.
    pub(crate) fn is_missing(&self, epoch: u64, note: u32) -> bool {
        let book = self.open.get(&epoch);
        book.is_some_and(|book| book.waiting.contains_key(&note))
    }
}

impl Book {
    /// The first entry that waits with a higher priority.
    fn first_above(&self, priority: u8) -> Option<(u64, u64)> {
        let above = (Bound::Excluded(priority), Bound::Unbounded);
        let mut above = self.firm.range(above);
        let first = |firm: &BTreeMap<u64, u64>| {
            let (place, written) = firm.first_key_value()?;
            Some((*place, *written))
        };
        above.find_map(|(_, firm)| first(firm))
    }

    /// What the shard counts for the session against what it was due.
    pub(crate) fn check(&self, is: &ClientInfo) -> Result<(), String> {
        let counters = &is.counters;
        let all = counters.sent + is.queued as u64 + counters.dropped.total();
        let fits = match self.shares {
            true => all >= self.due,
            false => (self.due..=self.due + self.perhaps).contains(&all),
        };
        match fits {
            true => Ok(()),
            false => Err(format!(
                "{} was due {} copies, and perhaps {} more; sent, queued and dropped are {all}: {is:?}",
                self.client, self.due, self.perhaps
            )),
        }
    }

    /// The same once nothing waits: what went out by the wire, and why the others did not.
    pub(crate) fn check_at_rest(
        &self,
        is: &ClientInfo,
        weaknesses: impl Fn(u32) -> Weaknesses,
    ) -> Result<(), String> {
        let ClientInfo { counters, .. } = is;
        let counted = counters.sent == self.sent;
        let fits = counted && (self.shares || self.explains(&counters.dropped, weaknesses));
        match fits {
            true => Ok(()),
            false => Err(format!(
                "{} was sent {} messages, and these did not go out: {:?}; the shard counts {is:?}",
                self.client, self.sent, self.waiting
            )),
        }
    }

    /// Whether what did not go out is what was dropped.
    fn explains(&self, dropped: &Dropped, weaknesses: impl Fn(u32) -> Weaknesses) -> bool {
        let (mut all, mut certain, mut qos0, mut expires, mut too_large) = (0, 0, 0, 0, 0);
        for (note, entries) in &self.waiting {
            let weak = match *note {
                NAMELESS => Weaknesses::default(),
                note => weaknesses(note),
            };
            let count = entries.len() as u64;
            all += count;
            certain += entries.iter().filter(|entry| entry.certain).count() as u64;
            let least = |entry: &&Entry| entry.qos == QoS::AtMostOnce;
            qos0 += entries.iter().filter(least).count() as u64;
            expires += u64::from(weak.expires) * count;
            too_large += u64::from(weak.too_large) * count;
        }
        (certain..=all).contains(&dropped.total())
            && dropped.offline <= qos0
            && dropped.expired <= expires
            && dropped.too_large <= too_large
            && dropped.session_ended + dropped.no_member == 0
    }
}
