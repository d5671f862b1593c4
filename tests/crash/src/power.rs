//! A broker on a disk in memory whose power is cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ternmq_broker::store::{Backend, Options, Store};
use ternmq_broker::{Broker, Config, DelayedLimits, Durability, MountPoint, Placement};

use crate::chance::Chance;
use crate::faults::Fault;
use crate::wire::{Addresses, MOUNT_POINT};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The broker, and the disk that outlives it.
pub struct Powered {
    shards: usize,
    durability: Durability,
    disk: Arc<Disk>,
    broker: Option<Broker>,
    at: Addresses,
    chance: Chance,
}

impl Powered {
    pub(crate) fn start(shards: usize, seed: u64, durability: Durability) -> Result<Self, String> {
        let mut powered = Self {
            shards,
            durability,
            disk: Arc::default(),
            broker: None,
            at: Addresses {
                main: ANY,
                tenant: ANY,
            },
            chance: Chance::new(seed),
        };
        powered.start_again()?;
        Ok(powered)
    }

    pub(crate) fn address(&self) -> Addresses {
        self.at
    }

    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        let store = Store::over(self.disk.clone(), &Options::default());
        let store = store.map_err(|e| format!("the store: {e}"))?;
        let mut config = Config {
            shards: self.shards,
            placement: Placement::ByClientId,
            store: Some(Arc::new(store)),
            ..Config::listen(ANY)
        };
        config.topics.delayed = Some(DelayedLimits::default());
        let mut tenants = config.listeners[0].clone();
        let mount_point = MOUNT_POINT.parse::<MountPoint>();
        let mount_point = mount_point.map_err(|e| e.to_string())?;
        tenants.mount_point = Some(mount_point);
        config.listeners.push(tenants);
        for listener in &mut config.listeners {
            listener.durability = self.durability;
        }
        let broker = Broker::start(config).map_err(|e| format!("the broker: {e}"))?;
        let addresses = broker.local_addrs();
        self.at = Addresses {
            main: addresses[0],
            tenant: addresses[1],
        };
        self.broker = Some(broker);
        Ok(())
    }

    /// The disk first: from then on the broker has nothing any more to acknowledge with.
    pub(crate) fn cut(&mut self) -> Result<(), String> {
        let image = self.disk.cut(&mut self.chance);
        if let Some(broker) = self.broker.take() {
            // It complains that it can't save, and rightly.
            drop(broker.stop());
        }
        self.disk = Arc::new(Disk::with(image));
        Ok(())
    }

    /// From now on something is wrong with the disk.
    pub(crate) fn spoil(&mut self) {
        let mut state = self.disk.lock();
        let bytes = state.now.len() as u64;
        state.fault = Some(Fault::any(bytes, &mut self.chance));
    }

    /// The disk is well again. Returns how often something went wrong.
    pub(crate) fn mend(&mut self) -> u64 {
        let mut state = self.disk.lock();
        state.fault = None;
        std::mem::take(&mut state.failed)
    }

    /// How often something went wrong since the power was there.
    pub(crate) fn failed(&self) -> u64 {
        self.disk.lock().failed
    }

    pub(crate) fn stop(&mut self) -> Result<(), String> {
        match self.broker.take() {
            Some(broker) => broker.stop().map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }
}

/// A disk with a cache that forgets.
#[derive(Debug, Default)]
struct Disk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What programs see.
    now: Vec<u8>,
    /// What is there for certain.
    synced: Vec<u8>,
    /// What was done since.
    pending: Vec<Pending>,
    /// The power has gone.
    dead: bool,
    /// What is wrong with it.
    fault: Option<Fault>,
    /// What has gone wrong by that.
    failed: u64,
}

impl State {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        put(&mut self.now, at as usize, bytes);
        self.pending.push(Pending::Write(at, bytes.into()));
    }

    fn fails<T>(&mut self, error: io::Error) -> io::Result<T> {
        self.failed += 1;
        Err(error)
    }
}

#[derive(Debug)]
enum Pending {
    Write(u64, Box<[u8]>),
    Length(u64),
}

/// What is written whole or not at all.
const SECTOR: usize = 512;

impl Disk {
    fn with(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(State {
            now: bytes.clone(),
            synced: bytes,
            ..State::default()
        }))
    }

    /// What is on it once the power has gone. Everything fails from now on.
    ///
    /// Of what was not synced each sector is there or not, whatever was written before and after it.
    fn cut(&self, chance: &mut Chance) -> Vec<u8> {
        let mut state = self.lock();
        state.dead = true;
        let mut image = std::mem::take(&mut state.synced);
        // Now nearly everything has reached the disk, now nearly nothing.
        let luck = chance.below(9);
        for pending in std::mem::take(&mut state.pending) {
            match pending {
                Pending::Length(len) if chance.below(8) < luck => image.resize(len as usize, 0),
                Pending::Length(_) => {}
                Pending::Write(at, bytes) => {
                    for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                        if chance.below(8) < luck {
                            put(&mut image, at as usize + number * SECTOR, sector);
                        }
                    }
                }
            }
        }
        image
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        match state.dead {
            true => Err(io::Error::other("the power is gone")),
            false => Ok(state),
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    let end = at + what.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(what);
}

impl Backend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.now.len() as u64)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.alive()?;
        let from = at as usize;
        let bytes = state.now.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.alive()?;
        let end = at + bytes.len() as u64;
        if let Some((error, half)) = state.fault.and_then(|fault| fault.of_write(end)) {
            if half {
                state.write(at, &bytes[..bytes.len() / 2]);
            }
            return state.fails(error);
        }
        state.write(at, bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        if let Some((error, _)) = state.fault.and_then(|fault| fault.of_write(len)) {
            return state.fails(error);
        }
        state.now.resize(len as usize, 0);
        state.pending.push(Pending::Length(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        if let Some(error) = state.fault.and_then(Fault::of_sync) {
            return state.fails(error);
        }
        for pending in std::mem::take(&mut state.pending) {
            match pending {
                Pending::Write(at, bytes) => put(&mut state.synced, at as usize, &bytes),
                Pending::Length(len) => state.synced.resize(len as usize, 0),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_disk_is_told_and_half_a_write_is_there() {
        let disk = Disk::default();
        disk.write(0, &[1; 4]).unwrap();
        disk.sync().unwrap();
        let spoil = |fault| disk.lock().fault = Some(fault);
        let (full, broken) = (
            Some(io::ErrorKind::StorageFull),
            io::Error::from_raw_os_error(5).kind(),
        );
        let write = |at| disk.write(at, &[2; 4]).err().map(|error| error.kind());
        spoil(Fault::Full(4));
        assert_eq!((write(2), write(0)), (full, None));
        spoil(Fault::NoRoom);
        assert_eq!((write(0), disk.sync().is_ok()), (full, true));
        spoil(Fault::Unsynced);
        assert_eq!((write(0), disk.sync().is_ok()), (None, false));
        spoil(Fault::Broken);
        assert_eq!((write(0), disk.sync().is_ok()), (Some(broken), false));
        disk.lock().now.fill(0);
        spoil(Fault::Short);
        assert_eq!((write(0), disk.sync().is_ok()), (Some(broken), true));
        assert_eq!(disk.lock().now, [2, 2, 0, 0]);
        assert_eq!(disk.lock().failed, 6);
    }

    #[test]
    fn a_cut_takes_what_was_not_synced_and_nothing_else() {
        let (mut some, mut all) = (0, 0);
        for seed in 0..200 {
            let disk = Disk::default();
            disk.write(0, &[1; 4 * SECTOR]).unwrap();
            disk.sync().unwrap();
            disk.write(SECTOR as u64, &[2; 2 * SECTOR]).unwrap();
            let image = disk.cut(&mut Chance::new(seed));
            let of = |sector: usize| image[sector * SECTOR];
            assert_eq!((image.len(), of(0), of(3)), (4 * SECTOR, 1, 1));
            some += u32::from(of(1) != of(2));
            all += u32::from(of(1) == 2 && of(2) == 2);
            assert!(disk.sync().is_err() && disk.write(0, &[3]).is_err());
        }
        assert!(some > 20 && all > 20 && some + all < 190, "{some} {all}");
    }
}
