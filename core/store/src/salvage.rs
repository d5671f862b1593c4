//! What can be read of a file that the engine refuses.
//!
//! The engine's pages have checksums, and one that is wrong makes it refuse the whole file. So its
//! trees are walked here, with nothing taken for granted: a page is where its parent says or it isn't,
//! and a row counts if its own checksum says so. Where a page can't be read, all other pages of the
//! file are searched for rows that would have been behind it. Such a row may be older than what was
//! lost, and what was removed since may be there again; a row that was never written is not.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ternmq_protocol::broker::record::{Epoch, NodeId};

use crate::backend::Backend;
use crate::block::Block;
use crate::engine::{Change, Engine, Flow};
use crate::error::StoreError;
use crate::index::Tail;
use crate::meta::{self, Log};
use crate::row::{self, kind};

const PAGE: usize = 4096;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// Bytes of the engine's header.
const HEADER: usize = 320;

/// Where the header says which of its two slots is the present one, how regions are made, and where
/// the slots are.
const PRESENT: usize = 9;
const REGION_HEADER_PAGES: usize = 16;
const REGION_PAGES: usize = 20;
const SLOTS: [usize; 2] = [64, 192];

/// In a slot, and in what the tree of tables says of one.
const ROOT_IN_SLOT: usize = 8;
const ROOT_IN_TABLE: usize = 10;

/// The largest page, as a power of two of the smallest.
const LARGEST: u64 = 20;

/// Pages in one region, if the header does not say.
const DEFAULT_REGION_PAGES: u32 = 1 << 20;

/// Bytes of rows that are written in one transaction.
const BATCH: usize = 4 << 20;

/// How far numbers go on behind the last message that was found, for there may have been others.
const GAP: u64 = 1 << 32;

/// What was saved of a damaged store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// What the engine said.
    pub reason: String,
    /// Where the damaged file is now, if it was in a folder.
    pub aside: Option<PathBuf>,
    /// Rows that were found undamaged: blocks, sessions, subscriptions, retained and delayed messages.
    pub rows: u64,
    /// Rows whose checksum is wrong. They were set aside; readable messages of blocks are served.
    pub damaged: u64,
    /// Pages that could not be read; the rows that were on them are lost, unless they were found
    /// elsewhere.
    pub pages: u64,
    /// Rows that were found by searching all of the file.
    pub searched: u64,
}

impl Salvaged {
    /// A file of so many bytes that was there, and had nothing of a store in it.
    pub(crate) fn of_nothing(bytes: u64) -> Self {
        Self {
            reason: format!("there was nothing of a store in its {bytes} bytes"),
            ..Self::default()
        }
    }
}

type Hole = RangeInclusive<Vec<u8>>;

/// A file of the engine's, by its pages.
struct Pages<'a> {
    file: &'a dyn Backend,
    len: u64,
    header: [u8; HEADER],
    seen: HashSet<u64>,
}

impl<'a> Pages<'a> {
    fn new(file: &'a dyn Backend) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Io("read the store".into(), error);
        let len = file.len().map_err(failed)?;
        let mut header = [0; HEADER];
        if len >= HEADER as u64 {
            file.read(0, &mut header).map_err(failed)?;
        }
        Ok(Self {
            file,
            len,
            header,
            seen: HashSet::new(),
        })
    }

    /// Where a page is, and how long; `None` if that is not in the file.
    fn place(&self, number: u64) -> Option<(u64, usize)> {
        let order = number >> 59;
        let (index, region) = (number & (0xF_FFFF >> order), number >> 20 & 0xF_FFFF);
        if order > LARGEST {
            return None;
        }
        let heads = u64::from(half(&self.header, REGION_HEADER_PAGES)?).min(1 << 20);
        let pages = match half(&self.header, REGION_PAGES)? {
            0 => DEFAULT_REGION_PAGES,
            pages => pages,
        };
        let page = PAGE as u64;
        let region = region * (heads + u64::from(pages)) * page;
        let at = page + region + heads * page + index * (page << order);
        let len = PAGE << order;
        (at + len as u64 <= self.len).then_some((at, len))
    }

    fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut page = vec![0; len];
        self.file.read(at, &mut page).ok()?;
        Some(page)
    }

    /// A page that was not read before.
    fn page(&mut self, number: u64) -> Option<Vec<u8>> {
        let (at, len) = self.place(number)?;
        let page = self.read(at, len)?;
        self.seen.insert(at).then_some(page)
    }

    /// The root of the table in the state that a slot is about.
    fn root(&mut self, slot: usize) -> Option<u64> {
        let mut tables = vec![word(&self.header, slot + ROOT_IN_SLOT)?];
        while let Some(number) = tables.pop() {
            let page = self.page(number)?;
            match page[0] {
                LEAF => {
                    let table = entries(&page).find(|(key, _)| *key == b"ternmq");
                    if let Some(root) = table.and_then(|(_, value)| word(value, ROOT_IN_TABLE)) {
                        return Some(root);
                    }
                }
                BRANCH => tables.extend(children(&page).map(|(number, _)| number)),
                _ => return None,
            }
        }
        None
    }
}

/// The entries of a leaf, as far as they are inside of it.
fn entries(page: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let count = page
        .get(2..4)
        .map_or(0, |two| u16::from_le_bytes([two[0], two[1]])) as usize;
    let end = move |n: usize| half(page, 4 + 4 * n).map(|end| end as usize);
    (0..count).filter_map(move |n| {
        let keys = 4 + 8 * count;
        let key_from = if n == 0 { keys } else { end(n - 1)? };
        let values = count + n;
        let value_from = end(values - 1)?;
        let key = page.get(key_from..end(n)?)?;
        Some((key, page.get(value_from..end(values)?)?))
    })
}

/// The children of a branch, each with the key up to which its rows go; the last has none.
fn children(page: &[u8]) -> impl Iterator<Item = (u64, Option<&[u8]>)> {
    let count = page
        .get(2..4)
        .map_or(0, |two| u16::from_le_bytes([two[0], two[1]])) as usize;
    let numbers = 8 + 16 * (count + 1);
    let ends = numbers + 8 * (count + 1);
    let end = move |n: usize| half(page, ends + 4 * n).map(|end| end as usize);
    (0..=count).map_while(move |n| {
        let from = match n {
            0 => Some(ends + 4 * count),
            n => end(n - 1),
        };
        let key = from.and_then(|from| page.get(from..end(n)?));
        Some((word(page, numbers + 8 * n)?, key.filter(|_| n < count)))
    })
}

/// The work on one file.
struct Search<'a> {
    into: &'a Engine,
    changes: Vec<Change>,
    bytes: usize,
    holes: Vec<Hole>,
    found: Salvaged,
}

/// Puts what can be read of a damaged file into an engine that has nothing.
pub(crate) fn salvage(from: &dyn Backend, into: &Engine) -> Result<Salvaged, StoreError> {
    let mut pages = Pages::new(from)?;
    let mut search = Search {
        into,
        changes: Vec::new(),
        bytes: 0,
        holes: Vec::new(),
        found: Salvaged::default(),
    };
    let all = vec![0]..=vec![u8::MAX];
    let present = usize::from(pages.header[PRESENT] & 1);
    match pages.root(SLOTS[present]) {
        Some(root) => search.walk(&mut pages, root, all, false)?,
        None => search.hole(all),
    }
    search.flush()?;
    if !search.holes.is_empty() {
        // The state before, which has most of it; then pages that nothing leads to.
        if let Some(root) = pages.root(SLOTS[1 - present]) {
            search.walk(&mut pages, root, vec![0]..=vec![u8::MAX], true)?;
            search.flush()?;
        }
        let mut at = 0;
        while at + PAGE as u64 <= pages.len {
            if !pages.seen.contains(&at) {
                search.look(&pages, at)?;
            }
            at += PAGE as u64;
        }
        search.flush()?;
    }
    finish(into, &search)?;
    Ok(search.found)
}

/// Whether there is a row of a store in a file, wherever.
pub(crate) fn has_rows(file: &dyn Backend) -> Result<bool, StoreError> {
    let pages = Pages::new(file)?;
    let mut at = 0;
    while at + PAGE as u64 <= pages.len {
        let page = pages.read(at, PAGE).filter(|page| page[0] == LEAF);
        let is_row = |(key, value): (&[u8], &[u8])| is_whole(key, value);
        if page.is_some_and(|page| entries(&page).any(is_row)) {
            return Ok(true);
        }
        at += PAGE as u64;
    }
    Ok(false)
}

impl Search<'_> {
    /// Takes the rows of a tree; with `fill` those alone that are in holes.
    fn walk(
        &mut self,
        pages: &mut Pages<'_>,
        root: u64,
        all: Hole,
        fill: bool,
    ) -> Result<(), StoreError> {
        let mut rest = vec![(root, all)];
        while let Some((number, range)) = rest.pop() {
            let page = pages.page(number);
            match page.as_ref().and_then(|page| page.first()) {
                Some(&LEAF) => self.leaf(page.as_deref().unwrap_or_default(), range, fill)?,
                Some(&BRANCH) => {
                    let page = page.as_deref().unwrap_or_default();
                    let (mut from, end) = range.into_inner();
                    for (child, key) in children(page) {
                        let to = key.map_or_else(|| end.clone(), <[u8]>::to_vec);
                        rest.push((child, from..=to.clone()));
                        from = to;
                    }
                }
                _ if fill => {}
                _ => self.hole(range),
            }
        }
        Ok(())
    }

    fn hole(&mut self, range: Hole) {
        self.found.pages += 1;
        self.holes.push(range);
    }

    fn leaf(&mut self, page: &[u8], range: Hole, fill: bool) -> Result<(), StoreError> {
        let count = page
            .get(2..4)
            .map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
        let mut read = 0;
        for (key, value) in entries(page) {
            read += 1;
            let right = key_of_block(key, value);
            let key = right.as_deref().unwrap_or(key);
            let whole = is_whole(key, value);
            let inside = (range.start().as_slice()..=range.end().as_slice()).contains(&key);
            match (fill, whole && inside) {
                (true, true) if self.is_missing(key)? => {
                    self.found.searched += 1;
                    self.take(key, value)?;
                }
                (true, _) => {}
                (false, true) => self.take(key, value)?,
                (false, false) => {
                    self.found.damaged += 1;
                    if key.first() == Some(&kind::BLOCK) && inside {
                        self.take(key, value)?;
                    }
                    let aside = row::key(kind::DAMAGED, &[key]);
                    self.put(aside, value)?;
                }
            }
        }
        if !fill && (read < count || count == 0) {
            self.hole(range);
        }
        Ok(())
    }

    /// Looks for rows in holes on a page that nothing leads to.
    fn look(&mut self, pages: &Pages<'_>, at: u64) -> Result<(), StoreError> {
        let Some(page) = pages.read(at, PAGE).filter(|page| page[0] == LEAF) else {
            return Ok(());
        };
        // A page may be a larger one, whose end is where its last value ends.
        let count = u16::from_le_bytes([page[2], page[3]]) as usize;
        let end = half(&page, 4 + 4 * (2 * count).saturating_sub(1)).map_or(0, |end| end as usize);
        let large = match end > PAGE && at + end as u64 <= pages.len {
            true => pages.read(at, end),
            false => None,
        };
        for (key, value) in entries(large.as_deref().unwrap_or(&page)) {
            if is_whole(key, value) && self.is_missing(key)? {
                self.found.searched += 1;
                self.take(key, value)?;
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Whether a row would have been on a page that could not be read, and was not found yet.
    fn is_missing(&self, key: &[u8]) -> Result<bool, StoreError> {
        let in_hole =
            |hole: &Hole| (hole.start().as_slice()..=hole.end().as_slice()).contains(&key);
        if !self.holes.iter().any(in_hole) {
            return Ok(false);
        }
        let pending = self.changes.iter().any(|(other, _)| other == key);
        Ok(!pending && self.into.view()?.get(key, |_| ())?.is_none())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        // The index is made again from the blocks, and so is what depends on it.
        if matches!(key[0], kind::INDEX | kind::WAITING | kind::KEPT) {
            return Ok(());
        }
        self.found.rows += u64::from(key[0] != kind::META);
        self.put(key.to_vec(), value)
    }

    fn put(&mut self, key: Vec<u8>, value: &[u8]) -> Result<(), StoreError> {
        self.bytes += key.len() + value.len();
        self.changes.push((key, Some(value.to_vec())));
        match self.bytes > BATCH {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        match self.changes.is_empty() {
            true => Ok(()),
            false => self.into.commit(std::mem::take(&mut self.changes), true),
        }
    }
}

/// What else the store has to know.
fn finish(into: &Engine, search: &Search<'_>) -> Result<(), StoreError> {
    let found = &search.found;
    reindex(
        into,
        if found.pages + found.damaged > 0 {
            GAP
        } else {
            0
        },
    )?;
    let mut changes = vec![meta::format_row()];
    if meta::epoch(&into.view()?).unwrap_or_default() == 0 {
        // Higher than it can have been.
        changes.push(meta::epoch_row(NodeId(1), Epoch(GAP)));
    }
    into.commit(changes, true)
}

/// Makes the index of a store that has none from the blocks. Numbers go on `gap` behind the last
/// message.
pub(crate) fn reindex(into: &Engine, gap: u64) -> Result<(), StoreError> {
    let mut tail = Tail::default();
    let mut log = Log::read(&into.view()?).unwrap_or_default();
    (log.bytes, log.next) = (0, log.next.max(1));
    let mut from = vec![kind::BLOCK];
    loop {
        let mut more = false;
        let begin = from.clone();
        into.view()?
            .scan(&begin, &row::end(&[kind::BLOCK]), |key, value| {
                log.bytes += value.len() as u64;
                tail.add_bytes(value.len() as u64);
                for record in Block::new(value)
                    .into_iter()
                    .flat_map(|block| block.records())
                {
                    record
                        .streams()
                        .for_each(|stream| tail.add(stream, record.seq));
                    log.next = log.next.max(record.seq + 1);
                }
                from = row::behind(key);
                more = tail.is_full();
                match more {
                    true => Flow::Break(()),
                    false => Flow::Continue(()),
                }
            })?;
        let mut changes = Vec::new();
        tail.rows(&mut changes);
        tail.clear();
        into.commit(changes, true)?;
        if !more {
            break;
        }
    }
    log.next += gap;
    log.indexed = log.next - 1;
    into.commit(vec![log.row()], true)
}

/// The key that a whole block should have, if it has another.
fn key_of_block(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let first = Block::new(value).ok()?.first()?;
    Some(row::block(first)).filter(|right| *right != key)
}

fn is_whole(key: &[u8], value: &[u8]) -> bool {
    match key.first() {
        Some(&kind::BLOCK) => {
            let block = Block::new(value);
            key_of_block(key, value).is_none()
                && block.is_ok_and(|block| {
                    block.has_table() && block.count() == Some(block.records().count())
                })
        }
        Some(&kind::DAMAGED) => true,
        Some(_) => row::unseal(key, value).is_ok(),
        None => false,
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
