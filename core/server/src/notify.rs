//! What a server tells whoever has started it: the protocol of `sd_notify`, datagrams to the socket that the
//! variable NOTIFY_SOCKET names. systemd listens there, and so does `ternmq start`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::net::UnixDatagram;

/// The variable that names the socket.
pub(crate) const SOCKET: &str = "NOTIFY_SOCKET";

/// How long the supervisor is to wait for the next word while the server stops, in microseconds: as `TimeoutStopSec` of
/// the unit. A drain says it each second, so that it may take as long as the configuration has it, and one that hangs
/// is still ended.
const MORE_TIME: &str = "EXTEND_TIMEOUT_USEC=120000000";

/// Somebody who wants to know, or nobody.
#[derive(Debug)]
pub(crate) struct Supervisor(Option<OsString>);

impl Supervisor {
    /// As the environment says.
    pub(crate) fn of_the_environment() -> Self {
        Self(std::env::var_os(SOCKET).filter(|name| !name.is_empty()))
    }

    /// It serves, and all that it has kept is there again.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=ready");
    }

    /// It reads its files again; `ready` follows.
    pub(crate) fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reading the configuration again");
    }

    pub(crate) fn draining(&self) {
        self.tell("STATUS=letting its clients go");
    }

    /// The same, because it is to end.
    pub(crate) fn draining_to_stop(&self) {
        self.tell(&format!(
            "STOPPING=1\nSTATUS=letting its clients go\n{MORE_TIME}"
        ));
    }

    /// That goes on; so many are left.
    pub(crate) fn still_draining_to_stop(&self, left: u64) {
        self.tell(&format!(
            "STATUS=letting its clients go: {left} left\n{MORE_TIME}"
        ));
    }

    pub(crate) fn stopping(&self) {
        self.tell(&format!("STOPPING=1\nSTATUS=stopping\n{MORE_TIME}"));
    }

    /// Nobody listening is no reason to stop, and a supervisor that is slow must not hold the server up.
    fn tell(&self, text: &str) {
        if let Some(name) = &self.0 {
            let _ = send(name, text.as_bytes());
        }
    }
}

fn send(name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => to_abstract(&socket, name, bytes),
        None => socket.send_to(bytes, name).map(drop),
    }
}

/// Names that are in no file system, which Linux alone knows.
#[cfg(target_os = "linux")]
fn to_abstract(socket: &UnixDatagram, name: &[u8], bytes: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    socket.send_to_addr(bytes, &address).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn to_abstract(_: &UnixDatagram, _: &[u8], _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
