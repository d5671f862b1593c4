//! Options of the clients on the command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, value_parser};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::QoS;

use super::qos;
use crate::listeners::TlsVersionName;
use crate::output::Template;

/// How to reach a server: options that `pub` and `sub` share.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Connection {
    /// Server as URL
    #[arg(
        help = "Server as URL: mqtt://[user[:password]@]host[:port][/topic], or mqtts, quic, ws, wss (with a path), unix:///path",
        short = 'L',
        long,
        value_name = "URL",
        conflicts_with_all = ["host", "port"],
        help_heading = "Connection"
    )]
    pub(crate) url: Option<String>,
    /// Server host [default: localhost]
    #[arg(short = 'h', long, help_heading = "Connection")]
    pub(crate) host: Option<String>,
    /// Server port [default: 1883, with TLS 8883]
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) port: Option<u16>,
    /// Unix socket of the server
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = ["url", "host", "port"],
        help_heading = "Connection"
    )]
    pub(crate) unix: Option<String>,
    /// Address of this machine that the connection comes from
    #[arg(
        short = 'A',
        long,
        value_name = "IP",
        conflicts_with = "unix",
        help_heading = "Connection"
    )]
    pub(crate) bind_address: Option<IpAddr>,
    /// Reach the server through this HTTP proxy: http://[user[:password]@]host[:port]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,
    /// Header line for the opening of a WebSocket; repeatable
    #[arg(long, value_parser = header, value_name = "NAME: VALUE", help_heading = "Connection")]
    pub(crate) header: Vec<(String, String)>,
    /// Compress WebSockets, if the server wants it too; not for secrets beside what others can choose
    #[arg(long, help_heading = "Connection")]
    pub(crate) deflate: bool,
    /// Protocol version
    #[arg(
        short = 'V',
        long,
        value_enum,
        default_value = "5",
        help_heading = "Connection"
    )]
    pub(crate) protocol_version: Version,
    /// Client identifier [default: the server assigns one]
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) id: Option<String>,
    /// Client identifier: this and the number of the process
    #[arg(
        short = 'I',
        long,
        value_name = "PREFIX",
        conflicts_with = "id",
        help_heading = "Connection"
    )]
    pub(crate) id_prefix: Option<String>,
    /// User name
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) username: Option<String>,
    /// Password; the environment keeps it out of the process list
    #[arg(
        short = 'P',
        long = "pw",
        env = "TERNMQ_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD",
        help_heading = "Connection"
    )]
    pub(crate) password: Option<String>,
    /// Keep alive in seconds, 0 for none
    #[arg(short, long, default_value_t = 60, help_heading = "Connection")]
    pub(crate) keepalive: u16,
    /// Keep the session: no clean start (needs --id)
    #[arg(short = 'c', long, requires = "id", help_heading = "Connection")]
    pub(crate) disable_clean_session: bool,
    /// Seconds the server keeps the session after the connection ends (MQTT 5.0), -1 for ever
    /// [default: -1 with --disable-clean-session, else 0]
    #[arg(
        short = 'x',
        long,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        value_parser = session_expiry,
        help_heading = "Connection"
    )]
    pub(crate) session_expiry_interval: Option<u32>,
    /// Property of MQTT 5.0: of which packet (connect, publish, subscribe, unsubscribe, disconnect, will), its
    /// name as in message-expiry-interval, and its value, of a user-property two; repeatable
    #[arg(
        short = 'D',
        long,
        num_args = 3..=4,
        value_names = ["PACKET", "NAME", "VALUE"],
        help_heading = "Properties"
    )]
    pub(crate) property: Vec<String>,
    /// Say what happens, on standard error
    #[arg(short, long)]
    pub(crate) debug: bool,
    /// Don't say what fails once the command line is understood; the exit status tells
    #[arg(long)]
    pub(crate) quiet: bool,
    /// As it always is: small packets are sent at once
    #[arg(long, help_heading = "Connection")]
    nodelay: bool,
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// Seconds to wait for the connection
    #[arg(
        long,
        default_value_t = 30,
        value_name = "SECONDS",
        help_heading = "Connection"
    )]
    pub(crate) connect_timeout: u64,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// Topic of the will message
    #[arg(long, value_name = "TOPIC", help_heading = "Will")]
    pub(crate) will_topic: Option<String>,
    /// Payload of the will message
    #[arg(
        long,
        value_name = "PAYLOAD",
        allow_hyphen_values = true,
        requires = "will_topic",
        help_heading = "Will"
    )]
    pub(crate) will_payload: Option<String>,
    /// QoS of the will message
    #[arg(long, value_parser = qos, value_name = "QOS", requires = "will_topic", help_heading = "Will")]
    pub(crate) will_qos: Option<QoS>,
    /// Retain the will message
    #[arg(long, requires = "will_topic", help_heading = "Will")]
    pub(crate) will_retain: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// What mosquitto's clients take and these can't do: each is refused with its reason.
#[derive(Args, Debug)]
struct Elsewhere {
    #[arg(short = 'S', hide = true, action = ArgAction::Set, num_args = 0, default_missing_value = "", value_parser = |_: &str| refused("servers are not looked for by SRV records: name the host"))]
    srv: Option<String>,
    #[arg(long, hide = true, value_parser = |_: &str| refused(NO_PSK))]
    psk: Option<String>,
    #[arg(long, hide = true, value_parser = |_: &str| refused(NO_PSK))]
    psk_identity: Option<String>,
    #[arg(long, hide = true, value_parser = |_: &str| refused(NO_ENGINE))]
    tls_engine: Option<String>,
    #[arg(long, hide = true, value_parser = |_: &str| refused(NO_ENGINE))]
    tls_engine_kpass_sha1: Option<String>,
}

const NO_PSK: &str = "TLS with pre-shared keys is not spoken here; use certificates";
const NO_ENGINE: &str = "engines are OpenSSL's, which is not used here; use key files";

fn refused(why: &str) -> Result<String, String> {
    Err(why.to_owned())
}

/// How TLS is spoken. Any of these without --url means TLS.
#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
pub(crate) struct Tls {
    /// PEM file with the authorities that are trusted, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cafile: Option<PathBuf>,
    /// Folder with PEM files of such
    #[arg(long, value_name = "DIR")]
    pub(crate) capath: Option<PathBuf>,
    /// Trust the system's authorities, as without --cafile and --capath, or besides them
    #[arg(long)]
    pub(crate) tls_use_os_certs: bool,
    /// PEM file with our certificate, for servers that ask for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// What the key is in: pem, as always
    #[arg(long, value_name = "pem", value_parser = ["pem"])]
    keyform: Option<String>,
    /// Accept a certificate that is for another host: whoever has one of the same authority can play
    /// the server
    #[arg(long)]
    pub(crate) insecure: bool,
    /// List of revoked certificates of servers (CRL), as PEM or DER; repeatable. There has to be one of
    /// each authority
    #[arg(long, value_name = "FILE")]
    pub(crate) crl: Vec<PathBuf>,
    /// File that the secrets of the connections are appended to, for Wireshark: whoever has it reads
    /// everything
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_keylog: Option<PathBuf>,
    /// Protocol to ask for (ALPN)
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_alpn: Option<String>,
    /// This version alone: tlsv1.2 or tlsv1.3
    #[arg(long, value_name = "VERSION")]
    pub(crate) tls_version: Option<TlsVersionName>,
    /// Cipher suites by their names in the IANA registry or OpenSSL's, separated by colons
    #[arg(long, value_name = "NAMES")]
    pub(crate) ciphers: Option<String>,
}

/// Options of `ternmq pub`.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Publish {
    /// Topic to publish to, if it does not stand in the URL
    #[arg(short, long, required_unless_present = "url")]
    pub(crate) topic: Option<String>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// Have the server keep the message for later subscribers
    #[arg(short, long)]
    pub(crate) retain: bool,
    /// Messages of QoS 1 and 2 on their way at a time
    #[arg(short = 'M', long, default_value_t = 1000, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pub(crate) max_inflight: u16,
    /// Publish the message this many times
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) repeat: u32,
    /// Seconds between repetitions
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub(crate) repeat_delay: f64,
    /// Seconds until the message expires (MQTT 5.0)
    #[arg(long, value_name = "SECONDS", help_heading = "Properties")]
    pub(crate) expiry: Option<u32>,
    /// Content type (MQTT 5.0)
    #[arg(long, value_name = "TEXT", help_heading = "Properties")]
    pub(crate) content_type: Option<String>,
    /// Where an answer is expected (MQTT 5.0)
    #[arg(long, value_name = "TOPIC", help_heading = "Properties")]
    pub(crate) response_topic: Option<String>,
    /// Correlation data for the answer (MQTT 5.0)
    #[arg(long, value_name = "TEXT", help_heading = "Properties")]
    pub(crate) correlation_data: Option<String>,
    /// User property (MQTT 5.0); repeatable
    #[arg(long, value_parser = key_value, value_name = "NAME=VALUE", help_heading = "Properties")]
    pub(crate) user_property: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Where the payload of `ternmq pub` comes from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Source {
    /// The payload itself
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true)]
    pub(crate) message: Option<String>,
    /// A file as the payload
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Each line of standard input as a message
    #[arg(short = 'l', long)]
    pub(crate) stdin_line: bool,
    /// All of standard input as one message
    #[arg(short = 's', long)]
    pub(crate) stdin_file: bool,
    /// An empty payload; with --retain it deletes the retained message
    #[arg(short, long)]
    pub(crate) null_message: bool,
}

/// Options of `ternmq sub`.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Subscribe {
    /// Topic filter; repeatable. One may stand in the URL
    #[arg(short, long, required_unless_present_any = ["url", "unsubscribe"])]
    pub(crate) topic: Vec<String>,
    /// End this subscription of the session; repeatable
    #[arg(short = 'U', long, value_name = "FILTER")]
    pub(crate) unsubscribe: Vec<String>,
    /// Leave out what matches; repeatable
    #[arg(short = 'T', long, value_name = "FILTER")]
    pub(crate) filter_out: Vec<String>,
    /// Highest QoS to receive with
    #[arg(short, long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// End after this many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End once all subscriptions are made
    #[arg(short = 'E', long)]
    pub(crate) exit_subscribed: bool,
    /// End after this many seconds, such as 5 or 0.3, with the exit status 27
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Retained messages only; the first other one is the end
    #[arg(long, conflicts_with = "no_retained")]
    pub(crate) retained_only: bool,
    /// Delete the retained messages that come
    #[arg(long)]
    pub(crate) remove_retained: bool,
    /// Have messages come with the RETAIN flag they were published with (MQTT 5.0)
    #[arg(long)]
    pub(crate) retain_as_published: bool,
    /// Print each message with this probability only, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) random_filter: Option<f64>,
    /// Print each message as a JSON object, one a line
    #[arg(long, conflicts_with_all = ["verbose", "no_newline", "format"])]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How messages are printed.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Print the topic before each payload
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print each message like this: %t topic, %p payload, %q QoS, %r RETAIN, %l length, %j JSON, @Y and so on
    /// the time; all sequences of mosquitto_sub
    #[arg(short = 'F', long, value_name = "TEMPLATE", allow_hyphen_values = true, value_parser = Template::parse)]
    pub(crate) format: Option<Template>,
    /// JSON of %j and %J on several lines
    #[arg(long)]
    pub(crate) pretty: bool,
    /// Don't print retained messages
    #[arg(short = 'R', long)]
    pub(crate) no_retained: bool,
    /// No newline after each payload
    #[arg(short = 'N', long)]
    pub(crate) no_newline: bool,
}

/// Options of `ternmq rr`.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Ask {
    /// Topic of the request, if it does not stand in the URL
    #[arg(short, long, required_unless_present = "url")]
    pub(crate) topic: Option<String>,
    /// Topic of the answer, which is subscribed to first
    #[arg(short = 'e', long, value_name = "TOPIC")]
    pub(crate) response_topic: String,
    #[command(flatten)]
    pub(crate) source: Request,
    /// QoS of the request, and the highest of the answer
    #[arg(short, long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// Give up after this many seconds, such as 5 or 0.3, with the exit status 27
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Where the payload of a request comes from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Request {
    /// The payload itself
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true)]
    pub(crate) message: Option<String>,
    /// A file as the payload
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// All of standard input
    #[arg(short = 's', long)]
    pub(crate) stdin_file: bool,
    /// An empty payload
    #[arg(short, long)]
    pub(crate) null_message: bool,
}

/// Protocol versions under the names that people and mosquitto's clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// MQTT 3.1
    #[value(name = "3.1", aliases = ["31", "3", "mqttv31"])]
    V3_1,
    /// MQTT 3.1.1
    #[value(name = "3.1.1", aliases = ["311", "4", "mqttv311"])]
    V3_1_1,
    /// MQTT 5.0
    #[value(name = "5", aliases = ["5.0", "mqttv5"])]
    V5_0,
}

impl From<Version> for ProtocolVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::V3_1 => Self::V3_1,
            Version::V3_1_1 => Self::V3_1_1,
            Version::V5_0 => Self::V5_0,
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("expected NAME=VALUE".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.to_owned(), value.trim().to_owned())),
        None => Err("expected NAME: VALUE".to_owned()),
    }
}

fn session_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text
            .parse()
            .map_err(|_| "expected seconds from 0 to 4294967295, or -1 for ever".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let wanted = number.filter(|number| *number > 0.0 && *number <= 100.0);
    wanted.ok_or_else(|| "expected a number above 0 and up to 100".to_owned())
}

/// A time in seconds, with or without a fraction. One beyond what a clock can tell is as good as none.
fn seconds(text: &str) -> Result<Duration, String> {
    let digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<f64>() {
        Ok(seconds) if digits => Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        _ => Err("seconds are a number such as 5 or 0.3".into()),
    }
}
