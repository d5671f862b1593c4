//! The raw peer on its socket, in either role.

use crate::line::{Bindings, Line};
use crate::packet;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long a peer waits for what its script says comes next. Only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Largest packet the peer reads, in bytes.
const LARGEST_PACKET: usize = 1 << 20;

/// What a script said and the other side did not do.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// A raw peer that plays the broker: a listener on a free port of the loopback interface.
pub struct Listener(TcpListener);

impl Listener {
    /// Starts to listen.
    ///
    /// # Errors
    /// No free port.
    pub fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(false)?;
        Ok(Self(listener))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// None came within [`PATIENCE`].
    pub fn accept(&self, level: u8) -> Result<RawPeer, Failure> {
        let failed = |e: &dyn fmt::Display| Failure(format!("nobody connected: {e}"));
        // The standard library has no accept with a deadline: a thread waits, and a connection of
        // our own wakes it when the deadline has passed.
        let address = self.address().map_err(|e| failed(&e))?;
        let listener = self.0.try_clone().map_err(|e| failed(&e))?;
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || drop(send.send(listener.accept())));
        match receive.recv_timeout(PATIENCE) {
            Ok(Ok((stream, _))) => RawPeer::over(stream, level).map_err(|e| failed(&e)),
            Ok(Err(e)) => Err(failed(&e)),
            Err(e) => {
                drop(TcpStream::connect(address));
                Err(failed(&e))
            }
        }
    }
}

/// One raw connection, in MQTT `level`.
pub struct RawPeer {
    stream: TcpStream,
    level: u8,
    bindings: Bindings,
    unread: Vec<u8>,
}

impl RawPeer {
    /// Connects to a broker, and sends nothing yet.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(address: SocketAddr, level: u8) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?, level)
    }

    /// Connects and goes through CONNECT and a CONNACK with reason 0, which it returns.
    ///
    /// # Errors
    /// The broker refuses or does not answer.
    pub fn introduced(address: SocketAddr, level: u8, connect: &str) -> Result<Self, Failure> {
        let mut peer = Self::connect(address, level).map_err(|e| Failure(e.to_string()))?;
        peer.send(connect)?;
        peer.expect("CONNACK reason=0")?;
        Ok(peer)
    }

    fn over(stream: TcpStream, level: u8) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            level,
            bindings: Bindings::new(),
            unread: Vec::new(),
        })
    }

    /// Sends the packet of a line; `<name>` stands for what an earlier line has bound.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.send_line(&Line::parse(text).map_err(Failure)?)
    }

    /// The same for a line already parsed.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send_line(&mut self, line: &Line) -> Result<(), Failure> {
        let line = line.bound(&self.bindings).map_err(Failure)?;
        self.send_bytes(&packet::encode(self.level, &line))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream
            .write_all(bytes)
            .map_err(|e| Failure(format!("cannot send: {e}")))
    }

    /// Waits for the next packet and requires it to match the line.
    ///
    /// # Errors
    /// Another packet, none within [`PATIENCE`], or the end of the connection.
    pub fn expect(&mut self, text: &str) -> Result<Line, Failure> {
        self.expect_line(&Line::parse(text).map_err(Failure)?)
    }

    /// The same for a line already parsed.
    ///
    /// # Errors
    /// As [`RawPeer::expect`].
    pub fn expect_line(&mut self, wanted: &Line) -> Result<Line, Failure> {
        let packet = self.next_packet()?;
        let packet = packet.ok_or_else(|| {
            Failure(format!(
                "`{wanted}` expected, but the connection was closed"
            ))
        })?;
        wanted
            .matches(&packet, &mut self.bindings)
            .map_err(Failure)?;
        Ok(packet)
    }

    /// The next packet as a line; `None` at the end of the connection.
    ///
    /// # Errors
    /// None within [`PATIENCE`], or one that breaks the standard.
    pub fn next_packet(&mut self) -> Result<Option<Line>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((first, start, end)) = frame(&self.unread)? {
                let line = packet::decode(self.level, first, &self.unread[start..end]);
                let line = line.map_err(|e| Failure(format!("a malformed packet: {e}")))?;
                self.unread.drain(..end);
                if line.word(0) == "CONNECT" {
                    self.level = line.number("level", u32::from(self.level)) as u8;
                }
                return Ok(Some(line));
            }
            if !self.fill(deadline)? {
                return match self.unread.len() {
                    0 => Ok(None),
                    n => Err(Failure(format!("closed after {n} bytes of a packet"))),
                };
            }
        }
    }

    /// Requires the other side to close the connection without another packet.
    ///
    /// # Errors
    /// A packet comes, or nothing within [`PATIENCE`].
    pub fn expect_close(&mut self) -> Result<(), Failure> {
        match self.next_packet()? {
            None => Ok(()),
            Some(packet) => Err(Failure(format!("`{packet}` instead of a close"))),
        }
    }

    /// Reads and forgets whatever comes until the other side closes.
    ///
    /// # Errors
    /// It does not within [`PATIENCE`].
    pub fn read_to_end(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while self.fill(deadline)? {
            self.unread.clear();
        }
        Ok(())
    }

    /// Requires the other side to refuse: in MQTT 5 a `packet` (CONNACK or DISCONNECT) may say why
    /// and then must have this reason, in MQTT 3 nothing may come; then the connection closes.
    ///
    /// # Errors
    /// Anything else happens.
    pub fn expect_refusal(&mut self, packet: &str) -> Result<(), Failure> {
        if self.level == 5 {
            self.expect(packet)?;
        }
        self.expect_close()
    }

    /// Closes the connection in both directions.
    pub fn cut(self) {
        drop(self.stream.shutdown(Shutdown::Both));
    }

    /// Closes our sending direction and goes on reading: a half-open socket.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn stop_sending(&mut self) -> Result<(), Failure> {
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(|e| Failure(format!("cannot close the sending direction: {e}")))
    }

    /// Reads once into `unread`; false at the end of the connection.
    fn fill(&mut self, deadline: Instant) -> Result<bool, Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure(format!("nothing came within {PATIENCE:?}")));
        }
        let failed = |e: io::Error| Failure(format!("cannot read: {e}"));
        self.stream.set_read_timeout(Some(left)).map_err(failed)?;
        let mut scratch = [0; 16 * 1024];
        match self.stream.read(&mut scratch) {
            Ok(n) => {
                self.unread.extend(&scratch[..n]);
                Ok(n > 0)
            }
            // A reset is an end like another: what the broker had not read yet makes one.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            // A process that was stopped for a while is interrupted in a read that has a time limit.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(true)
            }
            Err(e) => Err(failed(e)),
        }
    }
}

/// First byte and the bounds of the body of the packet at the start of `bytes`, once it is whole.
///
/// # Errors
/// A length that no packet has, or that the peer takes none of.
pub fn frame(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Failure> {
    let [first, rest @ ..] = bytes else {
        return Ok(None);
    };
    let mut length = 0;
    for (at, b) in rest.iter().take(4).enumerate() {
        length |= usize::from(b & 0x7f) << (7 * at);
        if b & 0x80 == 0 {
            if length > LARGEST_PACKET {
                return Err(Failure(format!("a packet of {length} bytes")));
            }
            let start = at + 2;
            let end = start + length;
            return Ok((bytes.len() >= end).then_some((*first, start, end)));
        }
    }
    if rest.len() >= 4 {
        return Err(Failure("a remaining length of more than 4 bytes".into()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_raw_peers_understand_each_other_over_a_socket() {
        let listener = Listener::bind().expect("a listener");
        let address = listener.address().expect("an address");
        let mut client = RawPeer::connect(address, 5).expect("a connection");
        client
            .send("CONNECT client_id=a receive_maximum=3")
            .expect("sent");
        let mut broker = listener.accept(4).expect("a client");
        broker
            .expect("CONNECT client_id=a level=5 receive_maximum=3")
            .expect("CONNECT");
        broker.send("CONNACK maximum_qos=1").expect("sent");
        client
            .expect("CONNACK reason=0 maximum_qos=1")
            .expect("CONNACK");
        client.send("PUBLISH topic=t qos=1 id=9").expect("sent");
        broker.expect("PUBLISH id=<p>").expect("PUBLISH");
        broker.send("PUBACK id=<p>").expect("sent");
        client.expect("PUBACK id=9").expect("PUBACK");
        broker.cut();
        client.expect_close().expect("closed");
    }

    #[test]
    fn a_packet_that_does_not_match_is_a_failure() {
        let listener = Listener::bind().expect("a listener");
        let address = listener.address().expect("an address");
        let mut client = RawPeer::connect(address, 4).expect("a connection");
        let mut broker = listener.accept(4).expect("a client");
        broker.send("PUBACK id=1").expect("sent");
        let failure = client.expect("PUBACK id=2").expect_err("another id");
        assert!(failure.0.contains("id=2"), "{failure}");
        broker.send("PINGRESP").expect("sent");
        assert!(client.expect_close().is_err());
        client.cut();
        assert!(broker.expect("PINGREQ").is_err());
    }
}
