//! A UDP socket with the connections that share it.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::{ConnectionHandle, EcnCodepoint, Endpoint, Transmit};
use quinn_udp::{RecvMeta, UdpSocketState, is_msg_size_err};

use super::listener::Gate;
use crate::poller::Poller;
use crate::stream::same_family;

/// Datagrams taken from the kernel at once; each buffer has room for a row of them.
pub(super) const AT_ONCE: usize = 8;

/// Bytes of one of these buffers: the largest row that the kernel makes of datagrams.
pub(super) const ROW: usize = 64 * 1024;

/// Datagrams of one connection that are handed to the kernel as one row.
const SEGMENTS: usize = 16;

/// Bytes that the kernel is to hold for a listener each way.
const BUFFER: usize = 1 << 20;

/// Messages in a row that nobody listens at the server's port, with nothing from the server between them,
/// after which that is believed of a connection which exists. They can be forged by who knows both ports.
const REFUSALS: u32 = 3;

/// A client's socket is replaced so often at most.
const REBIND_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Port {
    socket: mio::net::UdpSocket,
    udp: UdpSocketState,
    pub(super) endpoint: Endpoint,
    /// Places of the connections.
    pub(super) places: HashMap<ConnectionHandle, usize>,
    /// A row that the kernel had no room for; others wait behind it.
    unsent: Option<(Transmit, Vec<u8>)>,
    /// Places of connections that have more to send.
    pub(super) waiting: Vec<usize>,
    /// What the listener sees, where there is one.
    pub(super) gate: Option<Arc<Gate>>,
    /// Connections that have no stream yet.
    pub(super) half_open: usize,
    /// The server of a client.
    server: Option<SocketAddr>,
    /// Where it is to come from, of a client.
    local: Option<IpAddr>,
    refusals: u32,
    /// There is no way from the address that the socket has.
    stranded: bool,
    rebound: Option<Instant>,
}

impl Port {
    /// A listener's.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn listen(
        socket: mio::net::UdpSocket,
        endpoint: Endpoint,
        gate: Arc<Gate>,
    ) -> io::Result<Self> {
        let mut port = Self::new(socket, endpoint)?;
        // As much as the system allows; all clients have to get by with it.
        let _ = port.udp.set_recv_buffer_size((&port.socket).into(), BUFFER);
        let _ = port.udp.set_send_buffer_size((&port.socket).into(), BUFFER);
        port.gate = Some(gate);
        Ok(port)
    }

    /// A client's, to one server alone: then the kernel tells when nobody is there.
    ///
    /// # Errors
    /// No way there, no descriptor.
    pub(super) fn connect(
        server: SocketAddr,
        local: Option<IpAddr>,
        endpoint: Endpoint,
    ) -> io::Result<Self> {
        let mut port = Self::new(socket_to(server, local)?, endpoint)?;
        (port.server, port.local) = (Some(server), local);
        Ok(port)
    }

    fn new(socket: mio::net::UdpSocket, endpoint: Endpoint) -> io::Result<Self> {
        Ok(Self {
            udp: UdpSocketState::new((&socket).into())?,
            socket,
            endpoint,
            places: HashMap::new(),
            unsent: None,
            waiting: Vec::new(),
            gate: None,
            half_open: 0,
            server: None,
            local: None,
            refusals: 0,
            stranded: false,
            rebound: None,
        })
    }

    pub(super) fn register(&mut self, poller: &Poller, token: usize) -> io::Result<()> {
        poller.register_datagrams(&mut self.socket, token)
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// How many datagrams go into one row.
    pub(super) fn segments(&self) -> usize {
        self.udp.max_gso_segments().clamp(1, SEGMENTS)
    }

    /// Fills `buffers` with what has come.
    ///
    /// # Errors
    /// `WouldBlock`, or what became of datagrams that were sent.
    pub(super) fn receive(
        &mut self,
        buffers: &mut [Vec<u8>; AT_ONCE],
        metas: &mut [RecvMeta; AT_ONCE],
    ) -> io::Result<usize> {
        let mut slices = buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let received = self.udp.recv((&self.socket).into(), &mut slices, metas);
        match &received {
            Ok(_) => self.refusals = 0,
            Err(error) => self.heed(error),
        }
        received
    }

    /// Sends a row of datagrams, or keeps it until there is room: false then. What the network refuses is
    /// lost as anything may be that is sent.
    pub(super) fn send(&mut self, transmit: Transmit, bytes: &[u8]) -> bool {
        match self.try_send(&transmit, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unsent = Some((transmit, bytes.to_vec()));
                false
            }
            Err(error) => {
                self.heed(&error);
                true
            }
            Ok(()) => true,
        }
    }

    /// An answer to nobody's connection: lost if there is no room.
    pub(super) fn answer(&mut self, transmit: &Transmit, bytes: &[u8]) {
        if self.unsent.is_none() {
            let _ = self.try_send(transmit, bytes);
        }
    }

    /// Whether something waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// There may be room. Who has waited for it.
    pub(super) fn unblock(&mut self) -> Vec<usize> {
        if let Some((transmit, bytes)) = self.unsent.take()
            && !self.send(transmit, &bytes)
        {
            return Vec::new();
        }
        std::mem::take(&mut self.waiting)
    }

    /// Whether nobody listens where a client sends to. Before there is a connection, one message says so.
    pub(super) fn is_refused(&self, established: bool) -> bool {
        self.server.is_some() && self.refusals >= if established { REFUSALS } else { 1 }
    }

    /// Whether a client should have another socket now.
    pub(super) fn should_rebind(&mut self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < REBIND_EVERY;
        std::mem::take(&mut self.stranded) && !self.rebound.is_some_and(lately)
    }

    /// Gives a client another socket.
    ///
    /// # Errors
    /// No way there; the old one stays.
    pub(super) fn rebind(
        &mut self,
        now: Instant,
        poller: &Poller,
        token: usize,
    ) -> io::Result<bool> {
        let Some(server) = self.server else {
            return Ok(false);
        };
        self.rebound = Some(now);
        let mut socket = socket_to(server, self.local)?;
        let udp = UdpSocketState::new((&socket).into())?;
        poller.register_datagrams(&mut socket, token)?;
        (self.socket, self.udp) = (socket, udp);
        Ok(true)
    }

    fn try_send(&self, transmit: &Transmit, bytes: &[u8]) -> io::Result<()> {
        let ecn = |ecn: EcnCodepoint| quinn_udp::EcnCodepoint::from_bits(ecn as u8);
        let transmit = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(ecn),
            contents: &bytes[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.udp.try_send((&self.socket).into(), &transmit)
    }

    fn heed(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
            io::ErrorKind::ConnectionRefused => self.refusals += 1,
            // One that looks how large they may be.
            _ if is_msg_size_err(error) => {}
            _ => self.stranded = true,
        }
    }
}

fn socket_to(server: SocketAddr, local: Option<IpAddr>) -> io::Result<mio::net::UdpSocket> {
    let local = match (local, server) {
        (Some(local), _) => same_family(server, local)?,
        (None, SocketAddr::V4(_)) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        (None, SocketAddr::V6(_)) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = mio::net::UdpSocket::bind(local)?;
    socket.connect(server)?;
    Ok(socket)
}
