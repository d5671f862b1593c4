//! What is said to a SOCKS5 proxy (RFC 1928), with user name and password (RFC 1929). Names are for
//! the proxy to look up: ours may not know them, and a lookup here would tell where we go.

use std::net::IpAddr;

use crate::proxy::ProxyError;

const VERSION: u8 = 5;
/// Of the dialogue about user name and password.
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// One opening of a way.
#[derive(Debug)]
pub(crate) struct Socks {
    /// What the proxy is asked for once it knows us.
    request: Vec<u8>,
    /// The answer to its question who we are; empty when we say nothing.
    login: Vec<u8>,
    expects: Expects,
    heard: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Expects {
    Method,
    Welcome,
    Reply,
}

/// What follows from what the proxy said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It has not said enough.
    Listen,
    Say(Vec<u8>),
    Open,
}

impl Socks {
    /// The dialogue, and what begins it.
    ///
    /// # Errors
    /// A name or password that has no room.
    pub(crate) fn begin(
        host: &str,
        port: u16,
        user_name: Option<&str>,
        password: &[u8],
    ) -> Result<(Self, Vec<u8>), ProxyError> {
        let mut request = vec![VERSION, CONNECT, 0];
        match host.parse() {
            Ok(IpAddr::V4(address)) => {
                request.push(IPV4);
                request.extend(address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(IPV6);
                request.extend(address.octets());
            }
            Err(_) => {
                request.push(NAME);
                put(&mut request, host.as_bytes())?;
            }
        }
        request.extend(port.to_be_bytes());
        let mut login = Vec::new();
        let mut greeting = vec![VERSION, 1, NO_LOGIN];
        if let Some(user_name) = user_name {
            login.push(LOGIN_VERSION);
            put(&mut login, user_name.as_bytes())?;
            put(&mut login, password)?;
            greeting = vec![VERSION, 2, NO_LOGIN, LOGIN];
        }
        let socks = Self {
            request,
            login,
            expects: Expects::Method,
            heard: Vec::new(),
        };
        Ok((socks, greeting))
    }

    /// How many bytes have to be heard before it goes on. No more may be read: what follows the last
    /// answer is the server's.
    pub(crate) fn lacks(&self) -> usize {
        let needs = match (&self.expects, &self.heard[..]) {
            (Expects::Reply, [_, _, _, IPV4, ..]) => 4 + 4 + 2,
            (Expects::Reply, [_, _, _, IPV6, ..]) => 4 + 16 + 2,
            (Expects::Reply, [_, _, _, NAME, len, ..]) => 5 + usize::from(*len) + 2,
            (Expects::Reply, _) => 5,
            _ => 2,
        };
        needs.saturating_sub(self.heard.len())
    }

    /// The proxy has said this; no more than it [lacked](Self::lacks).
    ///
    /// # Errors
    /// It refuses, or does not speak SOCKS5.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<Next, ProxyError> {
        self.heard.extend_from_slice(bytes);
        let version = match self.expects {
            Expects::Welcome => LOGIN_VERSION,
            _ => VERSION,
        };
        if self.heard.first().is_some_and(|first| *first != version) {
            return Err(ProxyError::NoSocks);
        }
        // A refusal may be cut short behind its code.
        if let (Expects::Reply, [_, code, ..]) = (&self.expects, &self.heard[..])
            && *code != 0
        {
            return Err(refusal(*code));
        }
        if let (Expects::Reply, [_, _, _, kind, ..]) = (&self.expects, &self.heard[..])
            && ![IPV4, NAME, IPV6].contains(kind)
        {
            return Err(ProxyError::NoSocks);
        }
        if self.lacks() > 0 {
            return Ok(Next::Listen);
        }
        let answer = std::mem::take(&mut self.heard)[1];
        match self.expects {
            Expects::Method if answer == LOGIN && !self.login.is_empty() => {
                self.expects = Expects::Welcome;
                Ok(Next::Say(std::mem::take(&mut self.login)))
            }
            Expects::Method if answer == NO_LOGIN => Ok(self.ask()),
            Expects::Welcome if answer == 0 => Ok(self.ask()),
            Expects::Method | Expects::Welcome => Err(ProxyError::AuthenticationRequired),
            Expects::Reply => Ok(Next::Open),
        }
    }

    fn ask(&mut self) -> Next {
        self.expects = Expects::Reply;
        Next::Say(std::mem::take(&mut self.request))
    }
}

/// A text behind its length.
fn put(bytes: &mut Vec<u8>, text: &[u8]) -> Result<(), ProxyError> {
    bytes.push(u8::try_from(text.len()).map_err(|_| ProxyError::NoRoom)?);
    bytes.extend_from_slice(text);
    Ok(())
}

fn refusal(code: u8) -> ProxyError {
    let words = match code {
        1 => "general failure",
        2 => "not allowed",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "no answer in time",
        7 => "command not supported",
        8 => "kind of address not supported",
        _ => "unknown reason",
    };
    ProxyError::Refused(code.into(), words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says the bytes in pieces that are as long as what is lacked, or shorter.
    fn say(socks: &mut Socks, mut bytes: &[u8], most: usize) -> Result<Next, ProxyError> {
        let mut next = Next::Listen;
        while !bytes.is_empty() && next == Next::Listen {
            let (now, later) = bytes.split_at(socks.lacks().min(most).min(bytes.len()));
            next = socks.hear(now)?;
            bytes = later;
        }
        assert!(bytes.is_empty(), "{next:?} before {bytes:?}");
        Ok(next)
    }

    #[test]
    fn a_way_opens_with_and_without_a_login() {
        for most in [1, 100] {
            let (mut socks, greeting) = Socks::begin("h", 258, Some("u"), b"pw").unwrap();
            assert_eq!(greeting, [5, 2, 0, 2]);
            let login = Next::Say(vec![1, 1, b'u', 2, b'p', b'w']);
            assert_eq!(say(&mut socks, &[5, 2], most), Ok(login));
            let request = Next::Say(vec![5, 1, 0, 3, 1, b'h', 1, 2]);
            assert_eq!(say(&mut socks, &[1, 0], most), Ok(request));
            let reply = [5, 0, 0, 3, 2, b'x', b'y', 0, 0];
            assert_eq!(say(&mut socks, &reply, most), Ok(Next::Open));

            let (mut socks, greeting) = Socks::begin("::1", 1, None, b"").unwrap();
            assert_eq!(greeting, [5, 1, 0]);
            let request = say(&mut socks, &[5, 0], most).unwrap();
            assert!(matches!(request, Next::Say(bytes) if bytes[3] == IPV6 && bytes.len() == 22));
            let reply = [5, 0, 0, 1, 1, 2, 3, 4, 0, 0];
            assert_eq!(say(&mut socks, &reply, most), Ok(Next::Open));
        }
    }

    #[test]
    fn what_is_refused_or_no_socks_says_so() {
        let begin = |login| Socks::begin("1.2.3.4", 1, login, b"").unwrap().0;
        let required = Err(ProxyError::AuthenticationRequired);
        assert_eq!(begin(None).hear(&[5, 2]), required);
        assert_eq!(begin(Some("u")).hear(&[5, 255]), required);
        let mut refused = begin(Some("u"));
        refused.hear(&[5, 2]).unwrap();
        assert_eq!(refused.hear(&[1, 1]), required);
        let mut refused = begin(None);
        refused.hear(&[5, 0]).unwrap();
        let not_allowed = ProxyError::Refused(2, "not allowed".to_owned());
        assert_eq!(refused.hear(&[5, 2]), Err(not_allowed));
        assert_eq!(begin(None).hear(b"H"), Err(ProxyError::NoSocks));
        let mut strange = begin(None);
        strange.hear(&[5, 0]).unwrap();
        assert_eq!(strange.hear(&[5, 0, 0, 9, 1]), Err(ProxyError::NoSocks));
        let long = Socks::begin(&"h".repeat(256), 1, None, b"");
        assert!(matches!(long, Err(ProxyError::NoRoom)));
    }
}
