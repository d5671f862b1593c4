//! A server that does what a test says, and no more: which acknowledgements it sends, and what it sends
//! by itself once a client is connected.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does on connections that are made from now on.
#[derive(Clone, Debug)]
pub struct Manners {
    /// MQTT 5.0 instead of 3.1.1.
    pub v5: bool,
    /// Session Present in CONNACK.
    pub session_present: bool,
    /// The code of CONNACK; `None` for none at all.
    pub connack: Option<u8>,
    /// Properties of CONNACK (MQTT 5.0), without their length.
    pub properties: Vec<u8>,
    /// Sent behind CONNACK.
    pub greeting: Vec<u8>,
    /// PUBACK is sent.
    pub puback: bool,
    /// PUBREC is sent for these payloads.
    pub pubrec: Option<&'static [&'static str]>,
    /// PUBREL is sent for PUBREC.
    pub pubrel: bool,
    /// PUBCOMP is sent.
    pub pubcomp: bool,
    /// SUBACK is sent.
    pub suback: bool,
    /// PINGRESP is sent.
    pub pingresp: bool,
    /// A PUBLISH with this payload ends the connection.
    pub hangs_up_at: Option<&'static str>,
}

impl Manners {
    /// A server that acknowledges everything.
    pub fn polite(v5: bool) -> Self {
        Self {
            v5,
            session_present: false,
            connack: Some(0),
            properties: Vec::new(),
            greeting: Vec::new(),
            puback: true,
            pubrec: None,
            pubrel: true,
            pubcomp: true,
            suback: true,
            pingresp: true,
            hangs_up_at: None,
        }
    }

    /// One that never acknowledges anything.
    pub fn silent(v5: bool) -> Self {
        Self {
            puback: false,
            pubrec: Some(&[]),
            pubrel: false,
            pubcomp: false,
            ..Self::polite(v5)
        }
    }
}

impl Manners {
    fn hangs_up(&self, packet: &[u8]) -> bool {
        let ends = |text: &str| packet[0] >> 4 == 3 && packet.ends_with(text.as_bytes());
        self.hangs_up_at.is_some_and(ends)
    }
}

type Witness = Box<dyn FnMut(&[u8]) + Send>;

/// The server, on a port of its own until it is dropped.
pub struct Peer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// A connection was closed.
    closed: Arc<Condvar>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long connections may take to close once their program has ended.
const PATIENCE: Duration = Duration::from_secs(10);

struct State {
    manners: Manners,
    /// Packets that came in, in hexadecimal.
    seen: Vec<String>,
    /// Looks at each packet before it is answered.
    witness: Option<Witness>,
    /// Connections.
    open: usize,
}

impl Peer {
    /// Starts it.
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State {
            manners,
            seen: Vec::new(),
            witness: None,
            open: 0,
        }));
        let closed = Arc::new(Condvar::new());
        let ended = Arc::new(AtomicBool::new(false));
        let (shared, flag, told) = (state.clone(), ended.clone(), closed.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if flag.load(Ordering::Acquire) {
                    return;
                }
                lock(&shared).open += 1;
                let (shared, told) = (shared.clone(), told.clone());
                std::thread::spawn(move || {
                    serve(stream, &shared);
                    lock(&shared).open -= 1;
                    told.notify_all();
                });
            }
        });
        Self {
            address,
            state,
            closed,
            ended,
            thread: Some(thread),
        }
    }

    /// The address with the scheme that programs are given.
    pub fn uri(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes its manners, and forgets what it has seen.
    pub fn behave(&self, manners: Manners) {
        let mut state = lock(&self.state);
        state.manners = manners;
        state.seen.clear();
    }

    /// Has somebody look at each packet before it is answered.
    pub fn watch(&self, witness: impl FnMut(&[u8]) + Send + 'static) {
        lock(&self.state).witness = Some(Box::new(witness));
    }

    /// The packets that came in, in hexadecimal, once the clients are gone; so after the programs have
    /// ended.
    pub fn seen(&self) -> Vec<String> {
        let state = lock(&self.state);
        let open = |state: &mut State| state.open > 0;
        let waited = self.closed.wait_timeout_while(state, PATIENCE, open);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .seen
            .clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the thread; without a connection it has ended already.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A PUBLISH to the topic `t`, without properties.
pub fn publish(v5: bool, qos: u8, packet_id: u8, payload: &str) -> Vec<u8> {
    let mut body = b"\0\x01t".to_vec();
    if qos > 0 {
        body.extend([0, packet_id]);
    }
    if v5 {
        body.push(0);
    }
    body.extend(payload.as_bytes());
    let mut packet = vec![0x30 | qos << 1, body.len() as u8];
    packet.append(&mut body);
    packet
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    while let Ok(packet) = read_packet(&mut stream) {
        let answer = {
            let mut state = lock(state);
            let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
            state.seen.push(hex);
            if let Some(witness) = &mut state.witness {
                witness(&packet);
            }
            if state.manners.hangs_up(&packet) {
                return;
            }
            answer(&state.manners, &packet)
        };
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn read_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0];
    stream.read_exact(&mut packet)?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        packet.push(byte[0]);
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            break;
        }
    }
    let begin = packet.len();
    packet.resize(begin + length, 0);
    stream.read_exact(&mut packet[begin..])?;
    Ok(packet)
}

/// The answer to a packet, whose length needs one byte.
fn answer(manners: &Manners, packet: &[u8]) -> Vec<u8> {
    let id = |at: usize| [packet[at], packet[at + 1]];
    match packet[0] >> 4 {
        1 => {
            let Some(code) = manners.connack else {
                return Vec::new();
            };
            let present = u8::from(manners.session_present);
            let properties = &manners.properties;
            let length = properties.len() as u8;
            let begin: &[u8] = match manners.v5 {
                true => &[0x20, 3 + length, present, code, length],
                false => &[0x20, 2, present, code],
            };
            [begin, properties, &manners.greeting].concat()
        }
        3 => {
            let id_at = 4 + usize::from(packet[3]);
            let kept = |texts: &[&str]| texts.iter().any(|text| packet.ends_with(text.as_bytes()));
            match packet[0] >> 1 & 3 {
                1 if manners.puback => [&[0x40, 2][..], &id(id_at)].concat(),
                2 if manners.pubrec.is_none_or(kept) => [&[0x50, 2][..], &id(id_at)].concat(),
                _ => Vec::new(),
            }
        }
        5 if manners.pubrel => [&[0x62, 2][..], &id(2)].concat(),
        6 if manners.pubcomp => [&[0x70, 2][..], &id(2)].concat(),
        8 if manners.suback => {
            let properties: &[u8] = if manners.v5 { &[0] } else { &[] };
            let length = 3 + properties.len() as u8;
            [&[0x90, length][..], &id(2), properties, &[1]].concat()
        }
        10 => match manners.v5 {
            true => [&[0xb0, 4][..], &id(2), &[0, 0]].concat(),
            false => [&[0xb0, 2][..], &id(2)].concat(),
        },
        12 if manners.pingresp => vec![0xd0, 0],
        _ => Vec::new(),
    }
}
