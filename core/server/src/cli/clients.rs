//! Options of the clients on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, value_parser};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::QoS;

use super::qos;
use crate::listeners::TlsVersionName;

/// How to reach a server: options that `pub` and `sub` share.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Connection {
    /// Server as URL
    #[arg(
        help = "Server as URL: mqtt://[user[:password]@]host[:port], or mqtts, ws, wss (with a path), unix:///path",
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
    /// Reach the server through this HTTP proxy: http://[user[:password]@]host[:port]
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,
    /// Header line for the opening of a WebSocket; repeatable
    #[arg(long, value_parser = header, value_name = "NAME: VALUE", help_heading = "Connection")]
    pub(crate) header: Vec<(String, String)>,
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
    /// Seconds the server keeps the session after the connection ends (MQTT 5.0)
    #[arg(short = 'x', long, value_name = "SECONDS", help_heading = "Connection")]
    pub(crate) session_expiry_interval: Option<u32>,
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
    /// Accept a certificate that is for another host: whoever has one of the same authority can play
    /// the server
    #[arg(long)]
    pub(crate) insecure: bool,
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
    /// Topic to publish to
    #[arg(short, long)]
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) source: Source,
    /// 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// Have the server keep the message for later subscribers
    #[arg(short, long)]
    pub(crate) retain: bool,
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
    /// Topic filter; repeatable
    #[arg(short, long, required = true)]
    pub(crate) topic: Vec<String>,
    /// Highest QoS to receive with
    #[arg(short, long, value_parser = qos, default_value = "0")]
    pub(crate) qos: QoS,
    /// End after this many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this many seconds; the exit status is 27 if --count was not reached
    #[arg(short = 'W', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Print the topic before each payload
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Don't print retained messages
    #[arg(short = 'R', long)]
    pub(crate) no_retained: bool,
    /// No newline after each payload
    #[arg(short = 'N', long)]
    pub(crate) no_newline: bool,
    /// Print each message as a JSON object, one a line
    #[arg(long, conflicts_with_all = ["verbose", "no_newline"])]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
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
