//! A connection to a directory: the few requests of LDAP (RFC 4511) that a step makes, one after the other.

use std::io::{self, Read, Write};
use std::time::Instant;

use super::ber::{
    BOOLEAN, ENUMERATED, Elements, INTEGER, Malformed, OCTETS, SEQUENCE, SET, length, length_bytes,
    put, put_all, put_number,
};
use super::socket::{Stream, Tls};
use crate::chain::Failure;

/// Bytes of all answers to one request; beyond it, they are none.
const MAX_ANSWER: usize = 256 << 10;

/// What asks for TLS on a connection that has begun without.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

const BIND: u8 = 0x60;
const BOUND: u8 = 0x61;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const SEARCHED: u8 = 0x65;
const ELSEWHERE: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENDED_DONE: u8 = 0x78;

/// Who a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Nobody,
    /// The account that searches.
    Account,
    /// A client, or one that has tried to be.
    Client,
}

/// One at a time, after an answer each.
pub(super) struct Connection {
    stream: Stream,
    number: u32,
    /// Bytes that the answers to this request may still have.
    left: usize,
    pub(super) who: Who,
}

/// Why a request has come to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The other side has ended the connection; a new one may do.
    Lost(String),
    Failed(Failure),
}

/// What is looked for.
pub(super) struct Search<'a> {
    pub(super) base: &'a str,
    /// Everything below the base, or the entry itself.
    pub(super) below: bool,
    pub(super) filter: &'a [u8],
    /// Attributes that are wanted.
    pub(super) attributes: &'a [&'a str],
    /// Entries that are wanted at most.
    pub(super) most: u32,
    /// For the directory, in seconds.
    pub(super) time: u32,
}

/// What has been found.
pub(super) struct Found {
    pub(super) code: Code,
    pub(super) entries: Vec<Entry>,
}

/// An entry.
pub(super) struct Entry {
    pub(super) name: String,
    /// Of the attributes that were wanted, in their order.
    pub(super) values: Vec<Vec<String>>,
}

/// What a directory says of how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    pub(super) const SUCCESS: Self = Self(0);
    pub(super) const TOO_MANY: Self = Self(4);
    pub(super) const NO_SUCH_ENTRY: Self = Self(32);

    /// It says of a client that it is not who it says it is, or may not be let in: no such entry, no name, no
    /// password or the wrong one, no right, not willing, locked.
    pub(super) const fn refuses_client(self) -> bool {
        matches!(self.0, 19 | 32 | 34 | 48 | 49 | 50 | 53)
    }

    /// It can't be asked.
    pub(super) fn failure(self, what: &str) -> Failure {
        let why = match self.0 {
            1 => "operations error: it may have to be bound for this",
            2 => "protocol error",
            3 => "time limit exceeded",
            7 => "simple bind is not supported",
            8 => "something stronger is required",
            10 => "it refers to another directory, which is not asked",
            11 => "administrative limit exceeded",
            13 => "TLS is required",
            32 => "no such entry",
            34 => "no name of an entry",
            49 => "wrong name or password",
            50 => "no right to",
            51 => "busy",
            52 => "unavailable",
            53 => "unwilling",
            _ => "it refuses",
        };
        Failure::Down(format!("{what}: code {}, {why}", self.0))
    }
}

impl From<Malformed> for Trouble {
    fn from(_: Malformed) -> Self {
        garbled("no LDAP")
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof,
        };
        match error.kind() {
            TimedOut => Self::Failed(Failure::Late),
            UnexpectedEof => Self::Lost("it has ended the connection".to_owned()),
            BrokenPipe | ConnectionAborted | ConnectionReset => Self::Lost(error.to_string()),
            _ => Self::Failed(Failure::Down(error.to_string())),
        }
    }
}

impl Trouble {
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Lost(why) => Failure::Down(why),
            Self::Failed(failure) => failure,
        }
    }
}

fn garbled(why: &str) -> Trouble {
    Trouble::Failed(Failure::Garbled(why.to_owned()))
}

impl Connection {
    pub(super) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            number: 0,
            left: 0,
            who: Who::Nobody,
        }
    }

    /// Nothing waits beyond this any more.
    pub(super) fn until(&mut self, end: Instant) {
        self.stream.until(end);
    }

    /// Goes on by TLS, from the first byte on or when the directory agrees.
    pub(super) fn secure(&mut self, tls: &Tls, agreed: bool) -> Result<(), Trouble> {
        if !agreed {
            self.send(EXTENDED, |out| put(out, 0x80, START_TLS))?;
            let (tag, answer) = self.receive()?;
            if tag != EXTENDED_DONE {
                return Err(garbled("an answer to another question"));
            }
            match result(&mut Elements::new(&answer))? {
                Code::SUCCESS => {}
                code => return Err(Trouble::Failed(code.failure("it does not begin TLS"))),
            }
        }
        // What comes in plain behind the answer is no TLS, and fails as such: no byte of it was read yet.
        match self.stream.secure(tls) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Trouble::Failed(
                Failure::Down(format!("no TLS with it: {error}")),
            )),
            done => Ok(done?),
        }
    }

    /// Tries to be this one. Who calls has to see to it that no name comes without a password.
    pub(super) fn bind(&mut self, name: &str, password: &[u8], who: Who) -> Result<Code, Trouble> {
        // Whatever comes of it, it is no longer who it was.
        self.who = Who::Client;
        self.send(BIND, |out| {
            put_number(out, INTEGER, 3);
            put(out, OCTETS, name.as_bytes());
            put(out, 0x80, password);
        })?;
        let (tag, answer) = self.receive()?;
        if tag != BOUND {
            return Err(garbled("an answer to another question"));
        }
        let code = result(&mut Elements::new(&answer))?;
        if code == Code::SUCCESS {
            self.who = who;
        }
        Ok(code)
    }

    /// Looks for entries. Those of other directories are left out.
    pub(super) fn search(&mut self, search: &Search<'_>) -> Result<Found, Trouble> {
        self.send(SEARCH, |out| {
            put(out, OCTETS, search.base.as_bytes());
            put_number(out, ENUMERATED, if search.below { 2 } else { 0 });
            // Aliases are not followed.
            put_number(out, ENUMERATED, 0);
            put_number(out, INTEGER, search.most);
            put_number(out, INTEGER, search.time);
            put(out, BOOLEAN, &[0]);
            out.extend_from_slice(search.filter);
            put_all(out, SEQUENCE, |out| {
                for attribute in search.attributes {
                    put(out, OCTETS, attribute.as_bytes());
                }
                if search.attributes.is_empty() {
                    // An empty list would stand for all; this stands for none.
                    put(out, OCTETS, b"1.1");
                }
            });
        })?;
        let mut entries = Vec::new();
        loop {
            let (tag, answer) = self.receive()?;
            let mut answer = Elements::new(&answer);
            match tag {
                ENTRY => entries.push(entry(&mut answer, search.attributes)?),
                ELSEWHERE => {}
                SEARCHED => {
                    let code = result(&mut answer)?;
                    return Ok(Found { code, entries });
                }
                _ => return Err(garbled("an answer to another question")),
            }
        }
    }

    fn send(&mut self, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), Trouble> {
        // From 1 on; 0 is for what the directory says by itself.
        self.number = self.number % 0x7fff_ffff + 1;
        self.left = MAX_ANSWER;
        let mut message = Vec::new();
        put_all(&mut message, SEQUENCE, |out| {
            put_number(out, INTEGER, self.number);
            put_all(out, tag, fill);
        });
        self.stream.write_all(&message)?;
        Ok(self.stream.flush()?)
    }

    /// What the next answer is, and its contents.
    fn receive(&mut self) -> Result<(u8, Vec<u8>), Trouble> {
        let message = self.message()?;
        let mut message = Elements::new(&message);
        let number = message.number(INTEGER)?;
        let (tag, contents) = message.next()?;
        match number {
            0 if tag == EXTENDED_DONE => Err(Trouble::Lost(
                "it has said that it ends the connection".to_owned(),
            )),
            own if own == self.number => Ok((tag, contents.to_vec())),
            _ => Err(garbled("an answer to another question")),
        }
    }

    /// The contents of the next message. Not a byte behind it is read.
    fn message(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        if head[0] != SEQUENCE {
            return Err(Malformed.into());
        }
        let mut more = [0; super::ber::MAX_LENGTH];
        let more = &mut more[..length_bytes(head[1])?];
        self.stream.read_exact(more)?;
        let length = length(head[1], more);
        if length > self.left {
            return Err(garbled("it is too long"));
        }
        self.left -= length;
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message)?;
        Ok(message)
    }
}

/// The code of a result, and no word of it: that may quote a name.
fn result(answer: &mut Elements<'_>) -> Result<Code, Malformed> {
    let code = answer.number(ENUMERATED)?;
    // The entry up to which it knew, and words.
    answer.expect(OCTETS)?;
    answer.expect(OCTETS)?;
    Ok(Code(code))
}

fn entry(answer: &mut Elements<'_>, wanted: &[&str]) -> Result<Entry, Malformed> {
    let name = answer.text()?.to_owned();
    let mut attributes = Elements::new(answer.expect(SEQUENCE)?);
    let mut values = vec![Vec::new(); wanted.len()];
    while !attributes.is_empty() {
        let mut attribute = Elements::new(attributes.expect(SEQUENCE)?);
        let described = attribute.text()?;
        let mut all = Elements::new(attribute.expect(SET)?);
        // With options it is another attribute.
        let mut places = wanted.iter();
        if let Some(place) = places.position(|wanted| wanted.eq_ignore_ascii_case(described)) {
            while !all.is_empty() {
                values[place].push(all.text()?.to_owned());
            }
        }
    }
    Ok(Entry { name, values })
}
