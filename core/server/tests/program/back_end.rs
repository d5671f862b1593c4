//! Somebody who is asked by HTTP or HTTPS, with answers of a test's own.
#![allow(dead_code, reason = "not every test needs all answers")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Map, Value};
use ternmq_test_certificates::{Authority, Issued};

/// What is answered.
pub(crate) enum Answer {
    /// A status and a body.
    Text(u16, String),
    /// These bytes, and the end.
    Raw(&'static [u8]),
    /// Nothing, and the connection stays.
    Never,
    /// A body that never ends, a byte at a time.
    Endless,
    /// A body of so many bytes.
    Huge(usize),
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Text(status, String::new())
    }

    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::Text(status, text.to_owned())
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self::Text(200, value.to_string())
    }
}

/// Answers until the process ends.
pub(crate) struct BackEnd {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Value>>>,
    scheme: &'static str,
}

/// A connection, in the clear or not.
trait Stream: Read + Write + Send {
    fn set_read_timeout(&self, timeout: Duration);
}

impl Stream for TcpStream {
    fn set_read_timeout(&self, timeout: Duration) {
        Self::set_read_timeout(self, Some(timeout)).unwrap();
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn set_read_timeout(&self, timeout: Duration) {
        self.sock.set_read_timeout(Some(timeout)).unwrap();
    }
}

type Said = Arc<dyn Fn(&Value) -> Answer + Send + Sync>;

impl BackEnd {
    pub(crate) fn start(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), answer)
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with("http", address, None, answer)
    }

    /// By TLS with this certificate, for clients that show one of `clients`, if it is there.
    pub(crate) fn start_secure(
        own: &Issued,
        clients: Option<&Authority>,
        answer: impl Fn(&Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        let tls = Arc::new(tls(own, clients));
        Self::start_with("https", address, Some(tls), answer)
    }

    fn start_with(
        scheme: &'static str,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Value) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let back_end = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            scheme,
        };
        let (asked, answer): (_, Said) = (back_end.asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (asked, answer, tls) = (asked.clone(), answer.clone(), tls.clone());
                let stream = stream.unwrap();
                std::thread::spawn(move || {
                    let stream: Box<dyn Stream> = match tls {
                        Some(tls) => {
                            let tls = ServerConnection::new(tls).unwrap();
                            Box::new(StreamOwned::new(tls, stream))
                        }
                        None => Box::new(stream),
                    };
                    serve(stream, &asked, &answer);
                });
            }
        });
        back_end
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// All questions so far: what was sent, `path`, `authorization`, and `number`, how many came before about
    /// the same.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

fn tls(own: &Issued, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let pem = authority.pem().as_bytes();
            roots
                .add(CertificateDer::from_pem_slice(pem).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let chain = CertificateDer::from_pem_slice(own.chain.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    builder.with_single_cert(vec![chain], key).unwrap()
}

/// Answers one question after the other, until the client leaves.
fn serve(stream: Box<dyn Stream>, asked: &Mutex<Vec<Value>>, answer: &Said) {
    let mut reader = BufReader::new(stream);
    while let Some(mut question) = read(&mut reader) {
        let number = {
            let mut asked = asked.lock().unwrap();
            let same = |other: &&Value| {
                other["topic"] == question["topic"] && other["path"] == question["path"]
            };
            let number = asked.iter().filter(same).count();
            question["number"] = number.into();
            asked.push(question.clone());
            number
        };
        question["number"] = number.into();
        let stream = reader.get_mut();
        // The client may have lost patience.
        let written = match answer(&question) {
            Answer::Text(status, body) => write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            Answer::Raw(bytes) => {
                let _ = stream.write_all(bytes);
                return;
            }
            Answer::Never => Ok(()),
            Answer::Endless => {
                let head = b"HTTP/1.1 200 X\r\nContent-Length: 99999\r\n\r\n";
                let mut written = stream.write_all(head);
                // Slowly, until the client leaves.
                stream.set_read_timeout(Duration::from_millis(20));
                while written.is_ok() && !matches!(stream.read(&mut [0]), Ok(0)) {
                    written = stream.write_all(b" ").and_then(|()| stream.flush());
                }
                written
            }
            Answer::Huge(bytes) => write!(
                stream,
                "HTTP/1.1 200 X\r\nContent-Length: {bytes}\r\n\r\n{}",
                " ".repeat(bytes)
            ),
        };
        if written.is_err() {
            return;
        }
    }
}

/// A request, with what its body or the parameters of its URL say.
fn read(reader: &mut BufReader<Box<dyn Stream>>) -> Option<Value> {
    let mut line = || {
        let mut line = String::new();
        (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end().to_owned())
    };
    let first = line()?;
    let (mut length, mut authorization) = (0, Value::Null);
    while let Some(header) = line()?.split_once(':') {
        match &*header.0.to_ascii_lowercase() {
            "content-length" => length = header.1.trim().parse().ok()?,
            "authorization" => authorization = header.1.trim().into(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let target = first.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut question = match body.first() {
        Some(b'{') => serde_json::from_slice(&body).ok()?,
        Some(_) => form(std::str::from_utf8(&body).ok()?),
        None => form(query),
    };
    question["path"] = path.into();
    question["authorization"] = authorization;
    Some(question)
}

fn form(text: &str) -> Value {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let fields: Map<String, Value> = pairs
        .map(|(name, value)| (name.to_owned(), decoded(value).into()))
        .collect();
    Value::Object(fields)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [a, b, after @ ..]) => {
                let hex = String::from_utf8(vec![*a, *b]).unwrap();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
