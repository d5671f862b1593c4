//! Opening a WebSocket (RFC 6455 section 4): a request and an answer of HTTP.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

use super::deflate::{self, Agreed, Deflate};
use super::error::WebSocketError;
use crate::http::HEADERS;

/// The subprotocol of MQTT (section 6 of MQTT 5.0).
const SUBPROTOCOL: &str = "mqtt";

/// What clients of MQTT 3.1 offered before the standard, and some still offer alone.
const SUBPROTOCOL_3_1: &str = "mqttv3.1";

/// What both ends put behind the key before they hash it.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client says when it opens a WebSocket, besides host and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// Header lines of one's own, in their order. `Host` and `Origin` take the place of those that are
    /// sent anyway; the lines that open the WebSocket can't be replaced. Values may be secrets and are
    /// not shown.
    pub headers: Vec<(String, String)>,
    /// The largest frame that is taken. A stream is not kept in memory, so this is about a peer that
    /// has gone mad; the largest packet of MQTT fits by default.
    pub frame_bytes: u64,
    /// Bytes of the head of the server's answer.
    pub head_bytes: usize,
    /// Compression, if the server wants it too; `None`: it isn't offered.
    pub deflate: Option<Deflate>,
}

/// Whom a server opens a WebSocket for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketServer {
    /// The path that clients have to ask for, without a query; `None`: any.
    pub path: Option<String>,
    /// The web sites whose scripts may connect (`https://example.com`), by the `Origin` that browsers
    /// send; `None`: any. Who sends none is no browser and is let in.
    pub origins: Option<Vec<String>>,
    /// The largest frame that is taken.
    pub frame_bytes: u64,
    /// Bytes of the head of the client's request.
    pub head_bytes: usize,
    /// Compression for clients that offer it; `None`: for nobody.
    pub deflate: Option<Deflate>,
}

/// The largest packet of MQTT: four bytes of length say that much, and five stand before it.
pub(super) const FRAME_BYTES: u64 = 268_435_455 + 5;

/// What browsers send with many cookies still fits.
const HEAD_BYTES: usize = 16 * 1024;

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            frame_bytes: FRAME_BYTES,
            head_bytes: HEAD_BYTES,
            deflate: None,
        }
    }
}

impl Default for WebSocketServer {
    /// Path `/mqtt`, scripts of any web site.
    fn default() -> Self {
        Self {
            path: Some("/mqtt".to_owned()),
            origins: None,
            frame_bytes: FRAME_BYTES,
            head_bytes: HEAD_BYTES,
            deflate: None,
        }
    }
}

/// A client's request.
///
/// # Errors
/// [`WebSocketError::Header`].
pub(super) fn request(
    options: &WebSocketOptions,
    secure: bool,
    authority: &str,
    path: &str,
    key: &str,
) -> Result<Vec<u8>, WebSocketError> {
    let own = |name: &str| {
        let mut own = options.headers.iter();
        own.any(|(header, _)| header.eq_ignore_ascii_case(name))
    };
    let mut text = format!("GET {path} HTTP/1.1\r\n");
    if !own("Host") {
        text += &format!("Host: {authority}\r\n");
    }
    if !own("Origin") {
        let scheme = if secure { "https" } else { "http" };
        text += &format!("Origin: {scheme}://{authority}\r\n");
    }
    text += &format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
    );
    if let Some(deflate) = &options.deflate {
        text += &format!("{EXTENSIONS}: {}\r\n", deflate::offer(deflate));
    }
    for (name, value) in &options.headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let right = !name.is_empty()
            && name.bytes().all(token)
            && !value.contains(|c: char| c.is_control() && c != '\t')
            && !REPLY_LINES
                .iter()
                .any(|line| name.eq_ignore_ascii_case(line));
        if !right {
            return Err(WebSocketError::Header(name.clone()));
        }
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    Ok(text.into_bytes())
}

/// Lines that open the WebSocket.
const REPLY_LINES: [&str; 6] = [
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    EXTENSIONS,
];

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// Whether the server's answer opens the WebSocket that was asked for with `key`, and what is agreed on of
/// the compression that was offered.
pub(super) fn check_answer(
    head: &[u8],
    key: &str,
    offered: Option<&Deflate>,
) -> Result<Option<Agreed>, WebSocketError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    complete(response.parse(head))?;
    let status = response.code.unwrap_or(0);
    if status != 101 {
        let reason = response.reason.unwrap_or_default().to_owned();
        return Err(WebSocketError::Refused(status, reason));
    }
    let headers = response.headers;
    if !has_word(headers, "Upgrade", "websocket") || !has_word(headers, "Connection", "upgrade") {
        return Err(WebSocketError::Answer("nothing is upgraded"));
    }
    if value(headers, "Sec-WebSocket-Accept") != Some(accept(key).as_bytes()) {
        return Err(WebSocketError::Answer("it has not read the question"));
    }
    let mut extensions = lines(headers, EXTENSIONS);
    let agreed = match (extensions.next(), extensions.next(), offered) {
        (None, _, _) => None,
        (Some(line), None, Some(offered)) => Some(deflate::agree(line, offered)?),
        _ => return Err(WebSocketError::Answer("an extension that nobody offered")),
    };
    match value(headers, "Sec-WebSocket-Protocol") {
        Some(protocol) if protocol == SUBPROTOCOL.as_bytes() => Ok(agreed),
        _ => Err(WebSocketError::Answer("the subprotocol is not mqtt")),
    }
}

/// What a server says to a request: the answer, and whether it opens a WebSocket, with what compression.
pub(super) fn answer(
    head: &[u8],
    server: &WebSocketServer,
) -> (Vec<u8>, Result<Option<Agreed>, WebSocketError>) {
    match accepted(head, server) {
        Ok(Accepted {
            accept,
            subprotocol,
            deflate,
        }) => {
            let (agreed, extension) = deflate.map_or((None, String::new()), |(agreed, text)| {
                (Some(agreed), format!("{EXTENSIONS}: {text}\r\n"))
            });
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n{extension}\r\n"
            );
            (answer.into_bytes(), Ok(agreed))
        }
        Err(error) => (refusal(&error), Err(error)),
    }
}

/// The answer that says what was wrong.
pub(super) fn refusal(error: &WebSocketError) -> Vec<u8> {
    let (status, why) = match error {
        WebSocketError::Request(status, why) => (*status, *why),
        WebSocketError::HeadTooLarge => (431, "the head is too long"),
        _ => (400, "no HTTP"),
    };
    let reason = match status {
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    };
    let more = match status {
        405 => "Allow: GET\r\n",
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        _ => "",
    };
    let body = format!("{why}\n");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\n{more}Connection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What a server says to a request that opens a WebSocket.
struct Accepted {
    /// Proves that the request was read.
    accept: String,
    subprotocol: &'static str,
    deflate: Option<(Agreed, String)>,
}

fn accepted(head: &[u8], server: &WebSocketServer) -> Result<Accepted, WebSocketError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    complete(request.parse(head))?;
    let refuse = |status, why| Err(WebSocketError::Request(status, why));
    if request.method != Some("GET") {
        return refuse(405, "a WebSocket is opened with GET");
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if server.path.as_deref().is_some_and(|only| only != path) {
        return refuse(404, "there is nothing here");
    }
    let headers = request.headers;
    if !has_word(headers, "Upgrade", "websocket") || !has_word(headers, "Connection", "upgrade") {
        return refuse(426, "here is a WebSocket for MQTT");
    }
    if value(headers, "Sec-WebSocket-Version") != Some(b"13") {
        return refuse(426, "WebSockets of version 13 are spoken");
    }
    if let (Some(origin), Some(allowed)) = (value(headers, "Origin"), &server.origins) {
        let mut allowed = allowed.iter();
        if !allowed.any(|site| site.as_bytes().eq_ignore_ascii_case(origin)) {
            return refuse(403, "scripts of this web site may not connect");
        }
    }
    let mut subprotocols = [SUBPROTOCOL, SUBPROTOCOL_3_1].into_iter();
    let offered = |name: &&str| has_word(headers, "Sec-WebSocket-Protocol", name);
    let Some(subprotocol) = subprotocols.find(offered) else {
        return refuse(400, "the subprotocol mqtt is not offered");
    };
    let key = value(headers, "Sec-WebSocket-Key").and_then(|key| str::from_utf8(key).ok());
    let key = key.filter(|key| BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    match key {
        Some(key) => Ok(Accepted {
            accept: accept(key),
            subprotocol,
            deflate: (server.deflate.as_ref())
                .and_then(|deflate| deflate::choose(lines(headers, EXTENSIONS), deflate)),
        }),
        None => refuse(400, "no key, or none of 16 bytes"),
    }
}

fn complete(parsed: httparse::Result<usize>) -> Result<(), WebSocketError> {
    match parsed {
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(WebSocketError::HeadTooLarge),
        _ => Err(WebSocketError::NoHttp),
    }
}

/// What proves that a key was read.
fn accept(key: &str) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    BASE64_STANDARD.encode(hash)
}

/// The values of the header lines with a name.
fn lines<'a, 'h>(
    headers: &'a [httparse::Header<'h>],
    name: &'a str,
) -> impl Iterator<Item = &'h [u8]> + use<'a, 'h> {
    let lines = headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
    lines.map(|line| line.value.trim_ascii())
}

/// The value of a header line that may be there once.
fn value<'h>(headers: &[httparse::Header<'h>], name: &str) -> Option<&'h [u8]> {
    let mut lines = lines(headers, name);
    let only = lines.next()?;
    lines.next().is_none().then_some(only)
}

/// Whether one of the words of a list, which may be in several lines, is this one. Subprotocols are
/// compared exactly, the others by what they mean.
fn has_word(headers: &[httparse::Header<'_>], name: &str, word: &str) -> bool {
    let mut words = lines(headers, name)
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii);
    words.any(|other| match word.starts_with(SUBPROTOCOL) {
        true => other == word.as_bytes(),
        false => other.eq_ignore_ascii_case(word.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_two_ends_understand_each_other() {
        let options = WebSocketOptions {
            headers: vec![
                ("X-Own".into(), "a b".into()),
                ("origin".into(), "null".into()),
            ],
            ..WebSocketOptions::default()
        };
        let request = request(&options, true, "h:443", "/mqtt?x", KEY).unwrap();
        let text = String::from_utf8(request.clone()).unwrap();
        assert!(text.contains("\r\nHost: h:443\r\n") && text.contains("\r\nX-Own: a b\r\n"));
        assert!(text.contains("\r\norigin: null\r\n") && !text.contains("Origin"));
        let (answer, opened) = answer(&request, &WebSocketServer::default());
        assert_eq!(
            (opened, check_answer(&answer, KEY, None)),
            (Ok(None), Ok(None))
        );
        let other = check_answer(&answer, "AAAAAAAAAAAAAAAAAAAAAA==", None);
        assert_eq!(
            other,
            Err(WebSocketError::Answer("it has not read the question"))
        );
    }

    #[test]
    fn a_line_of_ones_own_cannot_be_two_nor_open_the_websocket() {
        for (name, value) in [("a b", ""), ("", "x"), ("A", "x\r\nB: y"), ("upgrade", "x")] {
            let options = WebSocketOptions {
                headers: vec![(name.into(), value.into())],
                ..WebSocketOptions::default()
            };
            let refused = request(&options, false, "h:80", "/", KEY);
            assert_eq!(refused, Err(WebSocketError::Header(name.into())));
        }
    }

    fn asks(change: impl Fn(&str) -> String) -> Result<(), WebSocketError> {
        let request = request(&WebSocketOptions::default(), false, "h:80", "/mqtt", KEY).unwrap();
        let server = WebSocketServer {
            origins: Some(vec!["http://h:80".into()]),
            ..WebSocketServer::default()
        };
        let (answer, opened) = answer(
            change(str::from_utf8(&request).unwrap()).as_bytes(),
            &server,
        );
        assert_eq!(answer.starts_with(b"HTTP/1.1 101 "), opened.is_ok());
        opened.map(|deflate| assert_eq!(deflate, None))
    }

    #[test]
    fn a_request_for_something_else_is_refused() {
        assert_eq!(asks(|text| text.to_owned()), Ok(()));
        assert_eq!(
            asks(|text| text.replace("Upgrade\r\n", "keep-alive, upgrade\r\n")),
            Ok(())
        );
        assert_eq!(asks(|text| text.replace(": mqtt", ": wamp, mqtt")), Ok(()));
        assert_eq!(
            asks(|text| text.replace("Origin: http://h:80\r\n", "")),
            Ok(())
        );
        for (from, to, status) in [
            ("GET", "POST", 405),
            ("/mqtt", "/other", 404),
            ("Upgrade: websocket\r\n", "", 426),
            ("Version: 13", "Version: 8", 426),
            ("http://h", "http://evil", 403),
            (": mqtt", ": MQTT", 400),
            (": mqtt", ": mqttv5", 400),
            ("dGhl", "dGh", 400),
        ] {
            let refused = asks(|text| text.replacen(from, to, 1));
            let status_is =
                |e: &WebSocketError| matches!(e, WebSocketError::Request(s, _) if *s == status);
            assert!(refused.as_ref().is_err_and(status_is), "{to}: {refused:?}");
        }
        assert_eq!(
            asks(|_| "\x16\x03\x01\r\n\r\n".into()),
            Err(WebSocketError::NoHttp)
        );
        let many = |text: &str| text.replace("\r\n\r\n", &"\r\nA: b".repeat(65)) + "\r\n\r\n";
        assert_eq!(asks(many), Err(WebSocketError::HeadTooLarge));
    }

    #[test]
    fn an_answer_that_opens_nothing_is_refused() {
        let check = |head: &str| check_answer(head.as_bytes(), KEY, None).unwrap_err();
        let refused = check("HTTP/1.1 404 Not Found\r\n\r\n");
        assert_eq!(refused, WebSocketError::Refused(404, "Not Found".into()));
        let right = format!(
            "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            accept(KEY)
        );
        assert_eq!(check_answer(right.as_bytes(), KEY, None), Ok(None));
        for (from, to) in [
            ("Upgrade: WebSocket\r\n", ""),
            ("-Protocol: mqtt", "-Protocol: mqttv3.1"),
            ("Sec-WebSocket-Protocol: mqtt\r\n", ""),
            (
                "\r\n\r\n",
                "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            ),
        ] {
            let error = check(&right.replace(from, to));
            assert!(matches!(error, WebSocketError::Answer(_)), "{error}");
        }
    }
}
