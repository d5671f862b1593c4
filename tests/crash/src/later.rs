//! What is to happen later, whatever becomes of the server meanwhile: delayed messages and wills.
//!
//! Each has a name, and is told apart from what may happen anyway: a client that gets no answer knows nothing.
//! All of it goes to one subscriber, which notes when it came.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ternmq_test_broker_wire::{Failure, RawPeer};

use crate::chance::Chance;
use crate::mortal::settle;
use crate::notes::{Fate, Promise};
use crate::wire::Stage;

/// Under which topic it all comes.
pub(crate) const TOPIC: &str = "later/x";

/// Seconds that something is put off at most.
const MOST: u64 = 3;

/// Clients that ask for things to be done.
#[derive(Default)]
pub(crate) struct Later {
    asked: u32,
    /// Those that are connected when the server goes, with the name of their will and its delay.
    there: Vec<(RawPeer, String, u64)>,
}

impl Later {
    /// Asks for something; the server is there and its disk is well.
    pub(crate) fn ask(
        &mut self,
        stage: &Stage,
        address: SocketAddr,
        chance: &mut Chance,
    ) -> Result<(), String> {
        self.asked += 1;
        let name = format!("{}", self.asked);
        let delay = chance.below(MOST + 1);
        let asked = match chance.below(6) {
            0 => delayed(stage, address, &name, delay.max(1)),
            1 => delayed_unheard(stage, address, &name, delay.max(1)),
            2 => cut(stage, address, &name, delay),
            3 => leaves(stage, address, &name, delay),
            4 => returns(stage, address, &name),
            _ => will(address, &name, delay).map(|peer| self.there.push((peer, name, delay))),
        };
        asked.map_err(|failure| failure.0)
    }

    /// The server is going to be taken away.
    pub(crate) fn server_ends(&mut self, stage: &Stage) {
        for (_, name, delay) in &self.there {
            promise(stage, name, Fate::Comes, Instant::now(), *delay);
        }
    }

    /// It is gone.
    pub(crate) fn server_is_gone(&mut self) {
        self.there.clear();
    }
}

fn promise(stage: &Stage, name: &str, fate: Fate, since: Instant, delay: u64) {
    let promise = Promise {
        fate,
        due: since + Duration::from_secs(delay),
    };
    stage.notes().promised.insert(name.into(), promise);
}

/// A delayed message that is acknowledged.
fn delayed(stage: &Stage, address: SocketAddr, name: &str, delay: u64) -> Result<(), Failure> {
    let mut peer = RawPeer::introduced(address, 5, "CONNECT client_id=delays")?;
    let since = Instant::now();
    peer.send(&format!(
        "PUBLISH topic=$delayed/{delay}/{TOPIC} qos=2 id=1 payload={name}"
    ))?;
    peer.expect("PUBREC id=1 reason=0")?;
    promise(stage, name, Fate::Comes, since, delay);
    peer.send("PUBREL id=1")?;
    peer.expect("PUBCOMP id=1")?;
    peer.cut();
    Ok(())
}

/// One of whose acknowledgement nobody hears.
fn delayed_unheard(
    stage: &Stage,
    address: SocketAddr,
    name: &str,
    delay: u64,
) -> Result<(), Failure> {
    let mut peer = RawPeer::introduced(address, 5, "CONNECT client_id=delays")?;
    promise(stage, name, Fate::MayCome, Instant::now(), delay);
    peer.send(&format!(
        "PUBLISH topic=$delayed/{delay}/{TOPIC} qos=2 id=1 payload={name}"
    ))?;
    peer.cut();
    Ok(())
}

/// A client with a will that was let in.
fn will(address: SocketAddr, name: &str, delay: u64) -> Result<RawPeer, Failure> {
    let connect = format!(
        "CONNECT client_id=will-{name} clean_start=0 session_expiry=100 will_topic={TOPIC} \
         will_payload={name} will_qos=2 will.will_delay={delay}"
    );
    RawPeer::introduced(address, 5, &connect)
}

fn cut(stage: &Stage, address: SocketAddr, name: &str, delay: u64) -> Result<(), Failure> {
    let peer = will(address, name, delay)?;
    promise(stage, name, Fate::Comes, Instant::now(), delay);
    peer.cut();
    Ok(())
}

/// It says goodbye, and that is on the disk.
fn leaves(stage: &Stage, address: SocketAddr, name: &str, delay: u64) -> Result<(), Failure> {
    let mut peer = will(address, name, delay)?;
    goodbye(&mut peer, address)?;
    promise(stage, name, Fate::Never, Instant::now(), delay);
    Ok(())
}

/// It comes back before its will is due, and leaves well.
fn returns(stage: &Stage, address: SocketAddr, name: &str) -> Result<(), Failure> {
    let since = Instant::now();
    will(address, name, MOST)?.cut();
    let connect = format!("CONNECT client_id=will-{name} clean_start=0 session_expiry=100");
    let mut peer = RawPeer::introduced(address, 5, &connect)?;
    // On a machine that is slow enough it was due.
    let in_time = since.elapsed() < Duration::from_secs(MOST);
    goodbye(&mut peer, address)?;
    let fate = if in_time { Fate::Never } else { Fate::MayCome };
    promise(stage, name, fate, since, MOST);
    Ok(())
}

fn goodbye(peer: &mut RawPeer, address: SocketAddr) -> Result<(), Failure> {
    peer.send("DISCONNECT")?;
    peer.expect_close()?;
    settle(address)
}
