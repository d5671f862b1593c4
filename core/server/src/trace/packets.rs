//! Bytes of connections as packets of TCP, as a capture on the wire would have had them without TLS and
//! WebSockets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ternmq_broker::{Traced, TracedPart};

/// Bytes of one packet: with its headers less than IP allows.
const SEGMENT: usize = 16 * 1024;

const SYN: u8 = 2;
const FIN: u8 = 1;
const ACK: u8 = 16;
const PUSH: u8 = 8;

/// The protocol's number, and the hops that may be left.
const TCP: u8 = 6;
const HOPS: u8 = 64;

/// The ports of connections that have none begin here.
const PORTS: u64 = 49_152;

/// All connections of a trace.
#[derive(Default)]
pub(super) struct Connections(HashMap<u64, Connection>);

/// How far a connection is: what each side has sent.
struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    received: u32,
    sent: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

impl Connections {
    /// The packets of a part of a trace.
    pub(super) fn packets(&mut self, part: &Traced) -> Vec<Vec<u8>> {
        let connection = self
            .0
            .entry(part.connection)
            .or_insert_with(|| Connection::new(part));
        match &part.what {
            TracedPart::Opened => connection.opened(),
            TracedPart::Received(before, bytes) => connection.data(From::Client, *before, bytes),
            TracedPart::Sent(before, bytes) => connection.data(From::Server, *before, bytes),
            TracedPart::Closed => {
                let closed = connection.closed();
                self.0.remove(&part.connection);
                closed
            }
        }
    }

    /// Whether nothing of this connection was told so far.
    pub(super) fn is_new(&self, connection: u64) -> bool {
        !self.0.contains_key(&connection)
    }
}

impl Connection {
    fn new(part: &Traced) -> Self {
        // Who has no address gets one of this machine.
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let port = PORTS + part.connection % (u64::from(u16::MAX) - PORTS);
        let canonical =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            client: part.peer.map_or(here(port as u16), canonical),
            server: part.local.map_or(here(1883), canonical),
            received: 1,
            sent: 1,
        }
    }

    fn opened(&self) -> Vec<Vec<u8>> {
        vec![
            self.packet(From::Client, SYN, (0, 0), &[]),
            self.packet(From::Server, SYN | ACK, (0, 1), &[]),
            self.packet(From::Client, ACK, (1, 1), &[]),
        ]
    }

    fn data(&mut self, from: From, before: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        // The numbers of TCP begin again after four gigabytes.
        let mut seq = (before as u32).wrapping_add(1);
        let segments = bytes.chunks(SEGMENT).map(|segment| {
            let acknowledged = match from {
                From::Client => self.sent,
                From::Server => self.received,
            };
            let packet = self.packet(from, ACK | PUSH, (seq, acknowledged), segment);
            seq = seq.wrapping_add(segment.len() as u32);
            packet
        });
        let packets = segments.collect();
        match from {
            From::Client => self.received = seq,
            From::Server => self.sent = seq,
        }
        packets
    }

    fn closed(&self) -> Vec<Vec<u8>> {
        let (received, sent) = (self.received, self.sent);
        vec![
            self.packet(From::Server, FIN | ACK, (sent, received), &[]),
            self.packet(
                From::Client,
                FIN | ACK,
                (received, sent.wrapping_add(1)),
                &[],
            ),
        ]
    }

    fn packet(&self, from: From, flags: u8, (seq, ack): (u32, u32), data: &[u8]) -> Vec<u8> {
        let (source, target) = match from {
            From::Client => (self.client, self.server),
            From::Server => (self.server, self.client),
        };
        let mut tcp = Vec::with_capacity(20 + data.len());
        tcp.extend_from_slice(&source.port().to_be_bytes());
        tcp.extend_from_slice(&target.port().to_be_bytes());
        tcp.extend_from_slice(&seq.to_be_bytes());
        tcp.extend_from_slice(&ack.to_be_bytes());
        // Five words of header, all of the window, no checksum yet, nothing urgent.
        tcp.extend_from_slice(&[5 << 4, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        tcp.extend_from_slice(data);
        match (source.ip(), target.ip()) {
            (IpAddr::V4(source), IpAddr::V4(target)) => ip4(source.octets(), target.octets(), tcp),
            (source, target) => ip6(octets(source), octets(target), tcp),
        }
    }
}

/// An address of IPv4 among those of IPv6, when a proxy has told of one by the other.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn ip4(source: [u8; 4], target: [u8; 4], mut tcp: Vec<u8>) -> Vec<u8> {
    let len = tcp.len() as u16;
    let mut pseudo = [&source[..], &target[..], &[0, TCP]].concat();
    pseudo.extend_from_slice(&len.to_be_bytes());
    let sum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut header = vec![4 << 4 | 5, 0];
    header.extend_from_slice(&(len + 20).to_be_bytes());
    // No fragments.
    header.extend_from_slice(&[0, 0, 0x40, 0, HOPS, TCP, 0, 0]);
    header.extend_from_slice(&source);
    header.extend_from_slice(&target);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header, tcp].concat()
}

fn ip6(source: [u8; 16], target: [u8; 16], mut tcp: Vec<u8>) -> Vec<u8> {
    let len = tcp.len() as u16;
    let mut pseudo = [&source[..], &target[..], &[0, 0]].concat();
    pseudo.extend_from_slice(&len.to_be_bytes());
    pseudo.extend_from_slice(&[0, 0, 0, TCP]);
    let sum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut header = vec![6 << 4, 0, 0, 0];
    header.extend_from_slice(&len.to_be_bytes());
    header.extend_from_slice(&[TCP, HOPS]);
    header.extend_from_slice(&source);
    header.extend_from_slice(&target);
    [header, tcp].concat()
}

/// RFC 1071. All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for word in parts.iter().flat_map(|part| part.chunks(2)) {
        let low = word.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([word[0], low]));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}
