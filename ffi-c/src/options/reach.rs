//! How servers are reached: TLS, the headers of WebSockets, proxies. Both connect structs have these
//! members, each from the same version on.

use std::ffi::{c_char, c_int};

use ternmq_client::{ConnectOptions, Proxies, Proxy, ProxyKind, Target};
use ternmq_transport::Endpoint;

use super::{text, tls};
use crate::ptr;
use crate::tls::TlsRequest;
use crate::trace::{ERROR, trace};
use crate::types::client::*;

/// Header lines of one's own.
const HEADERS: usize = 64;

/// Programs say by this variable that those for proxies count.
const USE_PROXY: &str = "PAHO_C_CLIENT_USE_HTTP_PROXY";

/// The members, NULL where the struct is too old for them.
pub(super) struct Reach {
    pub(super) ssl: *const MQTTClient_SSLOptions,
    pub(super) http_headers: *const MQTTClient_nameValue,
    pub(super) http_proxy: *const c_char,
    pub(super) https_proxy: *const c_char,
}

/// Reads the members of either struct.
///
/// Unsafe to use: the pointer leads to options, complete up to this version.
macro_rules! reach {
    ($p:expr, $version:expr) => {{
        let mut reach = $crate::options::reach::Reach::NOTHING;
        if $version >= 1 {
            reach.ssl = member!($p, ssl);
        }
        if $version >= 7 {
            reach.http_headers = member!($p, httpHeaders);
        }
        if $version >= 8 {
            reach.http_proxy = member!($p, httpProxy);
            reach.https_proxy = member!($p, httpsProxy);
        }
        reach
    }};
}
pub(super) use reach;

impl Reach {
    pub(super) const NOTHING: Self = Self {
        ssl: std::ptr::null(),
        http_headers: std::ptr::null(),
        http_proxy: std::ptr::null(),
        https_proxy: std::ptr::null(),
    };

    /// # Errors
    /// `MQTTCLIENT_NULL_PARAMETER` where a server wants TLS and nothing says how it is spoken.
    pub(super) fn check_presence(&self, server: &Endpoint) -> Result<(), c_int> {
        match server.scheme.is_secure() && self.ssl.is_null() {
            true => Err(MQTTCLIENT_NULL_PARAMETER),
            false => Ok(()),
        }
    }

    /// # Errors
    /// `MQTTCLIENT_BAD_STRUCTURE`.
    ///
    /// # Safety
    /// `ssl` is NULL or leads to options.
    pub(super) unsafe fn check_struct(&self) -> Result<(), c_int> {
        if self.ssl.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        unsafe { tls::version(self.ssl) }.map(drop)
    }

    /// Completes the options, whose endpoints are known by now. `no_psk` is the code for pre-shared
    /// keys, which are not spoken here.
    ///
    /// # Errors
    /// The code that names what is wrong.
    ///
    /// # Safety
    /// The pointers are NULL or lead to what C programs put there.
    pub(super) unsafe fn complete(
        &self,
        options: &mut ConnectOptions,
        no_psk: c_int,
    ) -> Result<Option<TlsRequest>, c_int> {
        let (mut is_secure, mut is_websocket) = (false, false);
        for target in &options.endpoints {
            if let Target::Server(server) = target {
                self.check_presence(server)?;
                is_secure |= server.scheme.is_secure();
                is_websocket |= server.scheme.is_websocket();
            }
        }
        // SAFETY: as the caller promises.
        unsafe {
            if is_websocket {
                options.websocket.headers = headers(self.http_headers)?;
            }
            options.proxies = proxies(text(self.http_proxy)?, text(self.https_proxy)?)?;
            match is_secure {
                true => tls::read(self.ssl, !options.session.clean_start, no_psk).map(Some),
                false => Ok(None),
            }
        }
    }
}

/// Copies header lines.
///
/// # Errors
/// `MQTTCLIENT_BAD_UTF8_STRING`; `MQTTCLIENT_BAD_MQTT_OPTION` for too many.
///
/// # Safety
/// `p` is NULL or leads to pairs of strings, of which the last one has a NULL.
unsafe fn headers(mut p: *const MQTTClient_nameValue) -> Result<Vec<(String, String)>, c_int> {
    let mut headers = Vec::new();
    // SAFETY: as the caller promises; nothing is read behind the last pair.
    unsafe {
        while let Some(pair) = ptr::get(p) {
            let (Some(name), Some(value)) = (text(pair.name)?, text(pair.value)?) else {
                break;
            };
            if headers.len() == HEADERS {
                return Err(MQTTCLIENT_BAD_MQTT_OPTION);
            }
            headers.push((name.to_owned(), value.to_owned()));
            p = p.add(1);
        }
    }
    Ok(headers)
}

/// The proxies that the options name; where they name none, those of the environment, if it says that
/// they count. An empty text stands for none at all.
///
/// # Errors
/// `MQTTCLIENT_BAD_MQTT_OPTION` for a text in the options that names no proxy.
fn proxies(plain: Option<&str>, secure: Option<&str>) -> Result<Proxies, c_int> {
    let given = |text: Option<&str>| match text {
        None | Some("") => Ok(None),
        Some(text) => match http_proxy(text) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(_) => Err(MQTTCLIENT_BAD_MQTT_OPTION),
        },
    };
    let mut proxies = Proxies {
        plain: given(plain)?,
        secure: given(secure)?,
        bypass: String::new(),
    };
    if !std::env::var(USE_PROXY).is_ok_and(|value| value.starts_with("TRUE")) {
        return Ok(proxies);
    }
    if plain.is_none() {
        proxies.plain = of_environment("http_proxy");
    }
    if secure.is_none() {
        proxies.secure = of_environment("https_proxy");
    }
    if plain.is_none() || secure.is_none() {
        proxies.bypass = std::env::var("no_proxy").unwrap_or_default();
    }
    Ok(proxies)
}

/// The proxy that a variable names. What is none of HTTP is for other programs.
fn of_environment(name: &str) -> Option<Proxy> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    let proxy = http_proxy(&text).inspect_err(|error| {
        trace!(ERROR, "{name} is passed over: {error}");
    });
    proxy.ok()
}

/// The proxy of a text; of HTTP, for Paho knows no others.
fn http_proxy(text: &str) -> Result<Proxy, String> {
    let proxy: Proxy = text.parse().map_err(|error| format!("{error}"))?;
    match proxy.kind {
        ProxyKind::Http => Ok(proxy),
        ProxyKind::Socks5 => Err(format!("{proxy} is none of HTTP")),
    }
}
