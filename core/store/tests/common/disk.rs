//! Disks that fail.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use ternmq_store::{Backend, Memory};

use super::Seeded;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No room: writes, growth and flushes fail.
    Full,
    /// Everything fails.
    Broken,
    /// Half of a write is written; everything else fails.
    Short,
}

/// A disk in memory that fails from an operation on until it is mended.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(crate) memory: Memory,
    state: Mutex<(u64, Option<(u64, Fault)>)>,
}

impl Faulty {
    /// The `after`th operation from now fails, and all that follow.
    pub(crate) fn fail(&self, after: u64, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        *state = (0, Some((after, fault)));
    }

    /// It works again. Whether it had failed.
    pub(crate) fn mend(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let failed = matches!(*state, (count, Some((after, _))) if count > after);
        *state = (0, None);
        failed
    }

    /// The fault of this operation.
    fn fault(&self) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        match *state {
            (count, Some((after, fault))) if count > after => Some(fault),
            _ => None,
        }
    }

    fn check(&self, writes: bool) -> io::Result<()> {
        match self.fault() {
            Some(Fault::Full) if writes => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Broken | Fault::Short) => Err(io::Error::other("the disk is broken")),
            _ => Ok(()),
        }
    }
}

impl Backend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.check(false)?;
        self.memory.len()
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(false)?;
        self.memory.read(at, out)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let result = self.check(true);
        if matches!(&result, Err(error) if error.kind() != io::ErrorKind::StorageFull) {
            // As a disk does that dies within a write.
            let short = self.state.lock().unwrap().1;
            if let Some((_, Fault::Short)) = short {
                self.memory.write(at, &bytes[..bytes.len() / 2])?;
            }
        }
        result?;
        self.memory.write(at, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(true)?;
        self.memory.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.check(true)
    }
}

#[derive(Clone, Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// A disk whose power is cut at an operation: of what was not flushed by then, any part is there.
#[derive(Clone, Debug)]
pub(crate) struct Volatile(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    now: Vec<u8>,
    flushed: Vec<u8>,
    pending: Vec<Pending>,
    left: u64,
    seed: u64,
    image: Option<Vec<u8>>,
}

impl Volatile {
    /// An empty disk whose power is cut at the `cut`th operation.
    pub(crate) fn new(cut: u64, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            now: Vec::new(),
            flushed: Vec::new(),
            pending: Vec::new(),
            left: cut,
            seed,
            image: None,
        })))
    }

    /// What is on the disk after the cut, once that has happened.
    pub(crate) fn image(&self) -> Option<Vec<u8>> {
        self.disk().image.clone()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }
}

impl Disk {
    fn pass(&mut self) {
        if self.left == 0 && self.image.is_none() {
            self.image = Some(self.after_cut());
        }
        self.left = self.left.saturating_sub(1);
    }

    /// Sectors of 512 bytes are written whole or not; in any order.
    fn after_cut(&self) -> Vec<u8> {
        let mut random = Seeded(self.seed);
        let mut image = self.flushed.clone();
        let rate = random.below(5);
        let write = |image: &mut Vec<u8>, at: usize, bytes: &[u8]| {
            if image.len() < at + bytes.len() {
                image.resize(at + bytes.len(), 0);
            }
            image[at..at + bytes.len()].copy_from_slice(bytes);
        };
        for pending in &self.pending {
            match pending {
                Pending::Length(len) => {
                    if random.below(4) < rate {
                        image.resize(*len as usize, 0);
                    }
                }
                Pending::Write(at, bytes) => match random.below(4) {
                    0 if rate < 4 => {}
                    1 | 2 if rate < 3 => {
                        for (n, sector) in bytes.chunks(512).enumerate() {
                            if random.below(4) < rate {
                                write(&mut image, *at as usize + n * 512, sector);
                            }
                        }
                    }
                    _ => write(&mut image, *at as usize, bytes),
                },
            }
        }
        image
    }
}

impl Backend for Volatile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().now.len() as u64)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk();
        let from = at as usize;
        let bytes = disk.now.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.pending.push(Pending::Write(at, bytes.to_vec()));
        let (from, end) = (at as usize, at as usize + bytes.len());
        if disk.now.len() < end {
            disk.now.resize(end, 0);
        }
        disk.now[from..end].copy_from_slice(bytes);
        disk.pass();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.pending.push(Pending::Length(len));
        disk.now.resize(len as usize, 0);
        disk.pass();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.pass();
        disk.flushed = disk.now.clone();
        disk.pending.clear();
        Ok(())
    }
}
