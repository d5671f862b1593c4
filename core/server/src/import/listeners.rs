//! Listeners of mosquitto as ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use ternmq_broker::MountPoint;
use ternmq_broker::tls::CipherSuite;

use super::Converted;
use super::lines::Line;
use crate::config::quoted;

/// What a listener may have lines of.
pub(super) const KEYS: &[&str] = &[
    "accept_protocol_versions",
    "bind_interface",
    "cafile",
    "capath",
    "certfile",
    "ciphers",
    "ciphers_tls1.3",
    "crlfile",
    "dhparamfile",
    "http_dir",
    "keyfile",
    "max_connections",
    "max_qos",
    "max_topic_alias",
    "mount_point",
    "protocol",
    "psk_hint",
    "require_certificate",
    "socket_domain",
    "tls_engine",
    "tls_engine_kpass_sha1",
    "tls_keyform",
    "tls_version",
    "use_identity_as_username",
    "use_subject_as_username",
    "use_username_as_clientid",
    "websockets_headers_size",
    "websockets_origin",
];

/// What there is for all, or with per_listener_settings for each listener.
pub(super) const SECURITY: &[&str] = &["allow_anonymous", "password_file", "acl_file"];

/// Lines without which a listener would let in more, or mix what was apart.
const NEEDED: &[(&str, &str)] = &[
    ("bind_interface", "there is no listening at an interface"),
    ("psk_hint", "there are no pre-shared keys"),
    ("tls_engine", "there are no engines"),
];

/// One listener, as far as it has been read.
pub(super) struct Listener {
    /// The line that began it; of the default one any of its lines.
    pub(super) at: Line,
    pub(super) port: u16,
    /// An address, a host, or the file of a Unix socket.
    pub(super) host: Option<String>,
    /// By their keys. Of several the last holds.
    pub(super) lines: BTreeMap<String, Line>,
    pub(super) origins: Vec<String>,
}

impl Listener {
    pub(super) fn new(at: &Line, port: u16, host: Option<String>) -> Self {
        Self {
            at: at.clone(),
            port,
            host,
            lines: BTreeMap::new(),
            origins: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, line: &Line) {
        if line.key == "websockets_origin" {
            self.origins.push(line.value.clone());
        }
        self.lines.insert(line.key.clone(), line.clone());
    }

    fn says(&self, key: &str) -> bool {
        self.lines.get(key).and_then(Line::truth) == Some(true)
    }

    /// Its tables, one for each address; empty for one that is left.
    pub(super) fn convert(&self, anonymous: bool, converted: &mut Converted) -> String {
        for (key, why) in NEEDED {
            if let Some(line) = self.lines.get(*key) {
                converted.leave(line, format!("{why}, so that this listener is left"));
                return String::new();
            }
        }
        let Some(places) = self.places(converted) else {
            return String::new();
        };
        let Some(kind) = self.kind(converted) else {
            return String::new();
        };
        let mut rest = format!("anonymous = {anonymous}\n");
        if let Some(line) = self.lines.get("mount_point") {
            // Ours have places that mean nothing there.
            let why = match line.value.parse::<MountPoint>() {
                _ if line.value.contains('$') => Some("`$` means other things here".to_owned()),
                Err(error) => Some(error.to_string()),
                Ok(_) => None,
            };
            if let Some(why) = why {
                converted.leave(line, format!("{why}, so that this listener is left"));
                return String::new();
            }
            rest.push_str(&format!("mount_point = {}\n", quoted(&line.value)));
        }
        if kind.ends_with('s') && kind != "ws" {
            self.tls(&mut rest, converted);
        }
        if kind.starts_with('w') {
            self.websocket(&mut rest, converted);
        }
        self.others(&mut rest, converted);
        let table = |place: &String| {
            let kind = if place.starts_with("path") {
                "unix"
            } else {
                kind
            };
            format!("\n[[listener]]\ntype = \"{kind}\"\n{place}\n{rest}")
        };
        places.iter().map(table).collect()
    }

    /// The lines that say where it listens.
    fn places(&self, converted: &mut Converted) -> Option<Vec<String>> {
        let host = self.host.as_deref();
        if let (0, Some(path)) = (self.port, host) {
            return Some(vec![format!("path = {}", quoted(path))]);
        }
        let domain = self.lines.get("socket_domain").map(|line| &*line.value);
        let addresses = match host {
            None if domain == Some("ipv4") => vec![SocketAddr::from(([0; 4], self.port))],
            // IPv4 comes in there too.
            None => vec![SocketAddr::from(([0_u16; 8], self.port))],
            Some(host) => match resolve(host, self.port) {
                Ok(addresses) => addresses,
                Err(error) => {
                    converted.leave(&self.at, format!("the address of {host:?}: {error}"));
                    return None;
                }
            },
        };
        let fits = |address: &SocketAddr| match domain {
            Some("ipv4") => address.is_ipv4(),
            Some("ipv6") => address.is_ipv6(),
            _ => true,
        };
        let line = |address: SocketAddr| format!("address = \"{address}\"");
        Some(addresses.into_iter().filter(fits).map(line).collect())
    }

    /// What is spoken below MQTT.
    fn kind(&self, converted: &mut Converted) -> Option<&'static str> {
        let protocol = self.lines.get("protocol");
        let websocket = match protocol.map(|line| &*line.value) {
            None | Some("mqtt") => false,
            Some("websockets") => true,
            Some(_) => {
                let line = protocol.unwrap_or(&self.at);
                converted.leave(line, "this is not spoken, so that the listener is left");
                return None;
            }
        };
        let [certificate, key] = ["certfile", "keyfile"].map(|key| self.lines.get(key));
        if let (Some(line), None) | (None, Some(line)) = (certificate, key) {
            let why = "certfile and keyfile go together, so that the listener is left";
            converted.leave(line, why);
            return None;
        }
        if certificate.is_none()
            && let Some(line) = self.lines.get("require_certificate")
            && line.truth() == Some(true)
        {
            converted.leave(
                line,
                "without certfile there is no TLS: the listener is left",
            );
            return None;
        }
        Some(match (websocket, certificate.is_some()) {
            (false, false) => "tcp",
            (false, true) => "tls",
            (true, false) => "ws",
            (true, true) => "wss",
        })
    }

    fn tls(&self, out: &mut String, converted: &mut Converted) {
        for (theirs, ours) in [("certfile", "certificate"), ("keyfile", "key")] {
            if let Some(line) = self.lines.get(theirs) {
                out.push_str(&format!("{ours} = {}\n", quoted(&line.value)));
            }
        }
        let authorities = self.lines.get("cafile").or(self.lines.get("capath"));
        if self.says("require_certificate") {
            match authorities {
                Some(line) => {
                    let identity = match () {
                        () if self.says("use_identity_as_username") => "cn",
                        () if self.says("use_subject_as_username") => "dn",
                        () => "none",
                    };
                    let path = quoted(&line.value);
                    out.push_str(&format!("client_ca = {path}\nidentity = \"{identity}\"\n"));
                    if let Some(line) = self.lines.get("crlfile") {
                        out.push_str(&format!("client_crl = [{}]\n", quoted(&line.value)));
                    }
                }
                // Nobody could show one that is good.
                None => converted.leave(&self.at, "require_certificate without cafile or capath"),
            }
        }
        match self
            .lines
            .get("tls_version")
            .map(|line| (line, &*line.value))
        {
            Some((_, "tlsv1.3")) => out.push_str("min_tls = \"1.3\"\n"),
            Some((_, "tlsv1.2")) | None => {}
            Some((line, _)) => converted.leave(line, "versions before 1.2 are not spoken"),
        }
        let mut suites = Vec::new();
        for key in ["ciphers", "ciphers_tls1.3"] {
            let Some(line) = self.lines.get(key) else {
                continue;
            };
            let known = |name: &&str| name.parse::<CipherSuite>().is_ok();
            let (good, bad): (Vec<&str>, Vec<&str>) = line.value.split(':').partition(known);
            suites.extend(good.into_iter().map(quoted));
            if !bad.is_empty() {
                converted.leave(line, format!("not known: {}", bad.join(", ")));
            }
        }
        if !suites.is_empty() {
            out.push_str(&format!("cipher_suites = [{}]\n", suites.join(", ")));
        }
        for key in ["dhparamfile", "tls_keyform", "tls_engine_kpass_sha1"] {
            if let Some(line) = self.lines.get(key) {
                converted.leave(line, "has no counterpart");
            }
        }
    }

    fn websocket(&self, out: &mut String, converted: &mut Converted) {
        out.push_str("websocket_path = \"*\"\n");
        if !self.origins.is_empty() {
            let origins: Vec<String> = self.origins.iter().map(|origin| quoted(origin)).collect();
            out.push_str(&format!("origins = [{}]\n", origins.join(", ")));
        }
        if let Some(line) = self.lines.get("websockets_headers_size") {
            match line.number() {
                Some(size) if size > 0 => out.push_str(&format!("head_bytes = {size}\n")),
                _ => converted.leave(line, "no number of bytes"),
            }
        }
        if let Some(line) = self.lines.get("http_dir") {
            converted.leave(line, "there are no files for browsers");
        }
    }

    fn others(&self, out: &mut String, converted: &mut Converted) {
        if let Some(line) = self.lines.get("max_connections") {
            match line.number() {
                Some(-1) => {}
                Some(most) if most > 0 => out.push_str(&format!("connections = {most}\n")),
                _ => converted.leave(line, "no number of connections"),
            }
        }
        if let Some(line) = self.lines.get("accept_protocol_versions") {
            let version = |text: &str| match text.trim() {
                "3" => Some("\"3.1\""),
                "4" => Some("\"3.1.1\""),
                "5" => Some("\"5\""),
                _ => None,
            };
            let versions: Option<Vec<&str>> = line.value.split(',').map(version).collect();
            match versions {
                Some(versions) => {
                    out.push_str(&format!("versions = [{}]\n", versions.join(", ")));
                }
                None => converted.leave(line, "versions are 3, 4 and 5"),
            }
        }
        if let Some(line) = self.lines.get("use_username_as_clientid")
            && line.truth() != Some(false)
        {
            converted.leave(line, "client identifiers are what clients say");
        }
    }
}

/// The addresses of a host: one that is a name may have several.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found = (host, port).to_socket_addrs().map_err(|e| e.to_string())?;
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    Ok(all)
}
