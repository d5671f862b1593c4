//! The floor: a server that moves the same bytes with the same system calls and knows neither topics nor
//! sessions. CONNECT and SUBSCRIBE are answered, acknowledgements given and packet identifiers put in,
//! because clients would stop without; whole packets of a publisher are appended to the output of whoever the
//! shape says, and each output is written once per turn.

use std::io::{self, ErrorKind, IoSlice};

use ternmq_transport::{Listener, Poller, Ready, Stream};

use crate::options::{Options, Scenario};
use crate::wire;

const LISTENER: usize = usize::MAX - 1;
const READ: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    New,
    Publisher,
    Subscriber,
}

struct Peer {
    stream: Stream,
    role: Role,
    /// The number at the end of the topic.
    topic: Option<u32>,
    carry: Vec<u8>,
    out: Vec<u8>,
    queued: bool,
}

struct Relay {
    pairs: bool,
    version5: bool,
    peers: Vec<Option<Peer>>,
    subscribers: Vec<usize>,
    /// Of pairs: who hears the topic with this number.
    heard_by: Vec<Option<usize>>,
    to_flush: Vec<usize>,
    id: u16,
}

/// Says where, and serves until it is killed.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let mut poller = Poller::new(1024)?;
    let mut listener = Listener::bind(options.address())?;
    poller
        .registrar()?
        .register_listener(&mut listener, LISTENER)?;
    if let Some(address) = listener.local_addr()? {
        println!("{address}");
    }
    let mut relay = Relay {
        pairs: matches!(options.shape, Scenario::Pairs | Scenario::Latency),
        version5: options.version == 5,
        peers: Vec::new(),
        subscribers: Vec::new(),
        heard_by: Vec::new(),
        to_flush: Vec::new(),
        id: 0,
    };
    let mut ready = Vec::new();
    let mut scratch = vec![0; READ];
    loop {
        ready.clear();
        poller.wait(None, &mut ready)?;
        for one in &ready {
            match one.token {
                LISTENER => relay.accept(&poller, &listener)?,
                _ => relay.handle(*one, &mut scratch),
            }
        }
        for number in std::mem::take(&mut relay.to_flush) {
            relay.flush(number);
        }
    }
}

impl Relay {
    fn accept(&mut self, poller: &Poller, listener: &Listener) -> io::Result<()> {
        while let Some((mut stream, _)) = listener.accept()? {
            let number = self
                .peers
                .iter()
                .position(Option::is_none)
                .unwrap_or(self.peers.len());
            poller.register(&mut stream, number)?;
            let peer = Peer {
                stream,
                role: Role::New,
                topic: None,
                carry: Vec::new(),
                out: Vec::new(),
                queued: false,
            };
            match self.peers.get_mut(number) {
                Some(place) => *place = Some(peer),
                None => self.peers.push(Some(peer)),
            }
        }
        Ok(())
    }

    fn handle(&mut self, ready: Ready, scratch: &mut [u8]) {
        let number = ready.token;
        if ready.readable || ready.closed {
            self.receive(number, scratch);
        }
        if ready.writable
            && self
                .peers
                .get(number)
                .is_some_and(|peer| peer.as_ref().is_some_and(|peer| !peer.out.is_empty()))
        {
            self.flush(number);
        }
    }

    fn receive(&mut self, number: usize, scratch: &mut [u8]) {
        loop {
            let Some(Some(peer)) = self.peers.get_mut(number) else {
                return;
            };
            let kept = peer.carry.len();
            scratch[..kept].copy_from_slice(&peer.carry);
            let asked = scratch.len() - kept;
            match peer.stream.read(&mut scratch[kept..]) {
                Ok(count) if count > 0 => {
                    peer.carry.clear();
                    self.packets(number, &mut scratch[..kept + count]);
                    if count < asked {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                _ => {
                    self.subscribers.retain(|one| *one != number);
                    self.heard_by
                        .iter_mut()
                        .filter(|one| **one == Some(number))
                        .for_each(|one| *one = None);
                    self.peers[number] = None;
                    return;
                }
            }
        }
    }

    fn packets(&mut self, number: usize, bytes: &mut [u8]) {
        // PUBLISHes that follow each other go on in one piece.
        let (mut at, mut from) = (0, 0);
        while let Some((first, body, end)) = wire::frame(&bytes[at..]) {
            if first >> 4 == wire::PUBLISH {
                self.publish(number, first, &mut bytes[at + body..at + end]);
                at += end;
                continue;
            }
            self.forward(number, &bytes[from..at]);
            self.answer(number, first, &bytes[at + body..at + end]);
            at += end;
            from = at;
        }
        self.forward(number, &bytes[from..at]);
        if let Some(Some(peer)) = self.peers.get_mut(number) {
            peer.carry.extend_from_slice(&bytes[at..]);
        }
    }

    /// Acknowledges, and gives the packet an identifier that the subscriber may see.
    fn publish(&mut self, number: usize, first: u8, body: &mut [u8]) {
        let Some(Some(peer)) = self.peers.get_mut(number) else {
            return;
        };
        let length = wire::u16_at(body, 0).unwrap_or(0);
        if peer.role == Role::New {
            peer.role = Role::Publisher;
            peer.topic = number_of(body.get(2..2 + usize::from(length)).unwrap_or(&[]));
        }
        let qos = first >> 1 & 3;
        let at = 2 + usize::from(length);
        if let (1.., Some(id)) = (qos, wire::u16_at(body, at)) {
            let kind = if qos == 1 { wire::PUBACK } else { wire::PUBREC };
            peer.out.extend(wire::ack(kind, id));
            self.queue(number);
            self.id = self.id.checked_add(1).unwrap_or(1);
            body[at..at + 2].copy_from_slice(&self.id.to_be_bytes());
        }
    }

    fn forward(&mut self, number: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.pairs {
            let topic = self.peers[number].as_ref().and_then(|peer| peer.topic);
            let to = topic.and_then(|topic| self.heard_by.get(topic as usize).copied().flatten());
            if let Some(to) = to {
                self.append(to, bytes);
            }
            return;
        }
        for at in 0..self.subscribers.len() {
            self.append(self.subscribers[at], bytes);
        }
    }

    fn append(&mut self, number: usize, bytes: &[u8]) {
        if let Some(Some(peer)) = self.peers.get_mut(number) {
            peer.out.extend_from_slice(bytes);
            self.queue(number);
        }
    }

    fn queue(&mut self, number: usize) {
        if let Some(Some(peer)) = self.peers.get_mut(number)
            && !peer.queued
        {
            peer.queued = true;
            self.to_flush.push(number);
        }
    }

    fn answer(&mut self, number: usize, first: u8, body: &[u8]) {
        let id = wire::u16_at(body, 0).unwrap_or(0);
        match first >> 4 {
            1 => self.reply(
                number,
                if self.version5 {
                    &[0x20, 3, 0, 0, 0]
                } else {
                    &[0x20, 2, 0, 0]
                },
            ),
            8 => {
                self.subscribe(number, body);
                let [high, low] = id.to_be_bytes();
                let qos = body.last().copied().unwrap_or(0) & 3;
                match self.version5 {
                    true => self.reply(number, &[0x90, 4, high, low, 0, qos]),
                    false => self.reply(number, &[0x90, 3, high, low, qos]),
                }
            }
            wire::PUBREC => self.reply(number, &wire::ack(wire::PUBREL, id)),
            wire::PUBREL => self.reply(number, &wire::ack(wire::PUBCOMP, id)),
            12 => self.reply(number, &[0xd0, 0]),
            // Acknowledgements, and goodbyes behind which the stream ends.
            _ => {}
        }
    }

    fn subscribe(&mut self, number: usize, body: &[u8]) {
        let topic = number_of(&body[..body.len().saturating_sub(1)]);
        self.subscribers.push(number);
        if let Some(Some(peer)) = self.peers.get_mut(number) {
            peer.role = Role::Subscriber;
        }
        if let (true, Some(topic)) = (self.pairs, topic) {
            let topic = topic as usize;
            self.heard_by
                .resize(self.heard_by.len().max(topic + 1), None);
            self.heard_by[topic] = Some(number);
        }
    }

    fn reply(&mut self, number: usize, bytes: &[u8]) {
        self.append(number, bytes);
    }

    fn flush(&mut self, number: usize) {
        let Some(Some(peer)) = self.peers.get_mut(number) else {
            return;
        };
        peer.queued = false;
        let mut written = 0;
        while written < peer.out.len() {
            match peer
                .stream
                .write_vectored(&[IoSlice::new(&peer.out[written..])])
            {
                Ok(count) => written += count,
                // The poller tells of room; reading tells of the end.
                Err(_) => break,
            }
        }
        peer.out.drain(..written);
    }
}

/// The number that the last eight characters are.
fn number_of(topic: &[u8]) -> Option<u32> {
    let digits = topic.get(topic.len().checked_sub(8)?..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_end_with_their_number() {
        assert_eq!(number_of(b"load/pair/00000042"), Some(42));
        assert_eq!(number_of(b"load/in/+"), None);
    }
}
