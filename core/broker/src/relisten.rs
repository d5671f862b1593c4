//! The listeners of a broker: those it starts with, and others while it runs.

use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use ternmq_protocol::broker::ListenerId;
use ternmq_transport::{Listener, Registrar};

use crate::config::ListenerConfig;
use crate::connections::{Door, Doors};
use crate::driver::listener_token;
use crate::error::StartError;
use crate::listener::Address;

/// Listeners that are ready to take the place of those that are there. Nothing has happened when it is
/// dropped, unless its `modes` are kept.
pub(crate) struct Listeners {
    pub(crate) doors: Doors,
    /// Sockets that are new. They are watched already, so whoever accepts has to look at once.
    pub(crate) opened: Vec<(ListenerId, Arc<Listener>)>,
    pub(crate) closed: Vec<ListenerId>,
    pub(crate) modes: Modes,
}

/// Permissions of Unix sockets as they were: they are again when this is dropped.
#[derive(Default)]
pub(crate) struct Modes(Vec<(PathBuf, u32)>);

impl Modes {
    /// What has changed shall stay.
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }

    fn set(&mut self, path: &Path, before: u32, mode: u32) -> io::Result<()> {
        set_permissions(path, Permissions::from_mode(mode))?;
        self.0.push((path.to_owned(), before));
        Ok(())
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        for (path, mode) in self.0.drain(..) {
            // They could be set a moment ago.
            let _ = set_permissions(path, Permissions::from_mode(mode));
        }
    }
}

impl Listeners {
    /// Makes ready to have these listeners. One at an address that is listened at already keeps its socket
    /// and its number, and nobody notices who is there or about to come. Numbers of which nobody is here any
    /// more are given to new ones.
    ///
    /// # Errors
    /// [`StartError::Listen`], [`StartError::Tls`], [`StartError::Config`]: too many.
    pub(crate) fn prepare(
        before: &Doors,
        configs: &[ListenerConfig],
        registrar: &Registrar,
    ) -> Result<Self, StartError> {
        let mut closed = before.order.clone();
        let numbers = take_over(before, configs, &mut closed);
        let used =
            |at: usize| before.order.contains(&ListenerId(at as u16)) || before.all[at].is_used();
        let mut free: Vec<usize> = (0..before.all.len()).filter(|at| !used(*at)).collect();
        free.reverse();
        let mut prepared = Self {
            doors: before.clone(),
            opened: Vec::new(),
            closed,
            modes: Modes::default(),
        };
        prepared.doors.order.clear();
        for (config, number) in configs.iter().zip(numbers) {
            match number {
                Some(id) => prepared.go_on(id, config)?,
                None => {
                    let at = free.pop().unwrap_or(prepared.doors.all.len());
                    let id = u16::try_from(at).ok().filter(|id| *id < u16::MAX);
                    let id = id.ok_or(StartError::Config("too many listeners"))?;
                    prepared.open(ListenerId(id), config, before, registrar)?;
                }
            }
        }
        Ok(prepared)
    }

    /// Has one go on that is there.
    fn go_on(&mut self, id: ListenerId, config: &ListenerConfig) -> Result<(), StartError> {
        let door = &mut self.doors.all[usize::from(id.0)];
        self.doors.order.push(id);
        if door.config == *config {
            return Ok(());
        }
        if let (Address::Unix { path, mode: before }, Address::Unix { mode, .. }) =
            (&door.config.address, &config.address)
            && before != mode
        {
            let set = self.modes.set(path, *before, *mode);
            set.map_err(|error| StartError::Listen(config.address.clone(), error))?;
        }
        *door = Arc::new(door.changed(config)?);
        Ok(())
    }

    /// Begins to listen.
    fn open(
        &mut self,
        id: ListenerId,
        config: &ListenerConfig,
        before: &Doors,
        registrar: &Registrar,
    ) -> Result<(), StartError> {
        let at = usize::from(id.0);
        let counts = before.all.get(at).map(|door| door.counts.clone());
        let going = self.going(before, config);
        let opened = Door::open(config, counts.unwrap_or_default(), &going);
        let stays = |id: &ListenerId| !self.closed.contains(id) && overlaps(before, *id, config);
        let (mut door, mut listener) = opened.map_err(|error| match error {
            StartError::Listen(address, error)
                if error.kind() == io::ErrorKind::AddrInUse && before.order.iter().any(stays) =>
            {
                StartError::Listen(address, io::Error::new(error.kind(), OWN))
            }
            error => error,
        })?;
        registrar
            .register_listener(&mut listener, listener_token(id))
            .map_err(|error| StartError::Listen(config.address.clone(), error))?;
        let listener = Arc::new(listener);
        door.socket = Arc::downgrade(&listener);
        let door = Arc::new(door);
        match self.doors.all.get_mut(at) {
            Some(place) => *place = door,
            None => self.doors.all.push(door),
        }
        self.doors.order.push(id);
        self.opened.push((id, listener));
        Ok(())
    }

    /// The sockets that are to go and have the port of this one.
    fn going(&self, before: &Doors, config: &ListenerConfig) -> Vec<Arc<Listener>> {
        let overlapping = self
            .closed
            .iter()
            .filter(|id| overlaps(before, **id, config));
        let sockets = overlapping.map(|id| &before.all[usize::from(id.0)].socket);
        sockets.filter_map(Weak::upgrade).collect()
    }
}

/// Why an address is in use that no other program has.
const OWN: &str = "this server listens there itself, for a listener that goes on";

/// The number of each listener that goes on as one of those that are there; these are taken out of `left`.
fn take_over(
    before: &Doors,
    configs: &[ListenerConfig],
    left: &mut Vec<ListenerId>,
) -> Vec<Option<ListenerId>> {
    type Same = fn(&ListenerConfig, &ListenerConfig) -> bool;
    let same: [Same; 2] = [|a, b| a == b, ListenerConfig::is_at_place_of];
    let mut numbers = vec![None; configs.len()];
    // Of several with port 0 each keeps its own, if there is one that is the same in everything.
    for same in same {
        for (config, number) in configs.iter().zip(&mut numbers) {
            let fits = |id: &ListenerId| same(&before.all[usize::from(id.0)].config, config);
            if number.is_none()
                && let Some(at) = left.iter().position(fits)
            {
                *number = Some(left.remove(at));
            }
        }
    }
    numbers
}

/// Whether a listener has the port that another one is to have.
fn overlaps(doors: &Doors, id: ListenerId, config: &ListenerConfig) -> bool {
    let there = doors.all[usize::from(id.0)].address;
    match (there, &config.address) {
        _ if doors.all[usize::from(id.0)].config.is_quic() != config.is_quic() => false,
        (Some(there), Address::Ip(address)) => there.port() == address.port(),
        _ => false,
    }
}
