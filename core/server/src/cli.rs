//! The command line: what can be said, and what it means when it isn't.
//!
//! `pub` and `sub` take the flags of mosquitto's clients where both have the same thing, so that a
//! habit or a script goes on working. That is why `-h` is the host and only `--help` is help there.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, value_parser};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::QoS;

use crate::background::{Start, Status, Stop};
use crate::config::Sources;
use crate::listeners::TlsVersionName;

/// MQTT 3.1, 3.1.1 and 5.0: server and command line client.
#[derive(Debug, Parser)]
#[command(name = "ternmq", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `ternmq serve` does when it is told something by the system.
const SIGNALS: &str = "\
Signals:
  SIGINT, SIGTERM  stop; a second one ends at once
  SIGHUP           read the configuration, the `bans.json` of the data folder and the files of all
                   certificates and keys again, and tell what of that only a restart changes (see
                   `ternmq config explain KEY`); connections go on. While anything of the
                   configuration or the bans is wrong, nothing changes
  SIGUSR1          drain: let no client in any more and let go of those that are here, with
                   `server_reference` and at the `drain_rate` of the configuration, then stop";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server until Ctrl-C or SIGTERM
    Serve(Serve),
    /// Run the server in the background; returns once it serves
    Start(Start),
    /// Stop a server that was given a file for its process
    Stop(Stop),
    /// Say how such a server is
    Status(Status),
    /// Explain, check and print the configuration
    Config(ConfigArgs),
    /// Say whether a client may come in or do something, and which line says so
    Explain(Explain),
    /// Make a configuration of one of mosquitto
    Import(Import),
    /// Keep a file of passwords, or print the lines of a user for the configuration file
    Passwd(Passwd),
    /// Look at and look after the data folder of a server
    Store(StoreArgs),
    /// Publish messages
    #[command(name = "pub", visible_alias = "publish")]
    Publish(Publish),
    /// Subscribe and print what arrives
    #[command(name = "sub", visible_alias = "subscribe")]
    Subscribe(Subscribe),
}

/// Options of `ternmq config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What is wanted of the configuration. Each key can also be a variable of the environment:
/// TERNMQ_LIMITS__QUEUE_MESSAGES=1000.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say everything that is wrong; the exit status is 2 if anything is
    Check {
        /// Configuration file; without it the environment alone is looked at
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a key means, its type and default, its value now and where that comes from
    Explain {
        /// The key as in `limits.queue_messages`, a table, or the beginning of a name
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        sources: Sources,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration that holds, each line with where it comes from, without secrets
    Show {
        #[command(flatten)]
        sources: Sources,
    },
    /// Print a JSON Schema of the configuration file
    Schema,
    /// Print a configuration file with all keys and their defaults
    Default,
    /// Print all keys as Markdown
    Reference,
}

/// What a script wants to know.
const EXPLAIN_STATUSES: &str = "\
Exit status:
  0  it may
  1  that can't be said, such as with a configuration that is wrong
  2  the command line is wrong
  3  it may not
  4  it depends on what only a connection can show, such as a password";

/// Options of `ternmq explain`.
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN_STATUSES)]
pub(crate) struct Explain {
    #[command(subcommand)]
    pub(crate) command: ExplainCommand,
}

/// What somebody wants to do.
#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Publish a message
    #[command(after_help = EXPLAIN_STATUSES)]
    Publish {
        #[command(flatten)]
        who: ExplainedClient,
        /// Topic
        #[arg(short, long)]
        topic: String,
        /// QoS of the message
        #[arg(short, long, value_parser = qos, default_value = "0")]
        qos: QoS,
        /// With the RETAIN flag
        #[arg(short, long)]
        retain: bool,
    },
    /// Subscribe
    #[command(after_help = EXPLAIN_STATUSES)]
    Subscribe {
        #[command(flatten)]
        who: ExplainedClient,
        /// Topic filter
        #[arg(short, long)]
        topic: String,
        /// The highest QoS that is asked for
        #[arg(short, long, value_parser = qos, default_value = "0")]
        qos: QoS,
    },
    /// Come in
    #[command(after_help = EXPLAIN_STATUSES)]
    Connect {
        #[command(flatten)]
        who: ExplainedClient,
        /// Password; the environment keeps it out of the process list
        #[arg(
            short = 'P',
            long = "pw",
            env = "TERNMQ_PASSWORD",
            hide_env_values = true
        )]
        password: Option<String>,
        /// Through the listener with this address, as the configuration writes it [default: the first]
        #[arg(long, value_name = "ADDR")]
        listener: Option<String>,
    },
}

/// Who it is about.
#[derive(Args, Debug)]
pub(crate) struct ExplainedClient {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// Client identifier
    #[arg(short = 'i', long, value_name = "ID", default_value = "")]
    pub(crate) client: String,
    /// User name
    #[arg(short, long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The client's address; without it no rule about addresses applies
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a script wants to know of `ternmq import`.
const IMPORT_STATUSES: &str = "\
Exit status:
  0  all of it is in the new configuration
  1  there is none: a file can't be read, or the new one is there already
  2  the command line is wrong
  3  something is left, and told with its line";

/// Options of `ternmq import`. The files that listeners name, the password_file and those of include_dir are
/// looked for from the current folder, as mosquitto does.
#[derive(Args, Debug)]
#[command(after_help = IMPORT_STATUSES)]
pub(crate) struct Import {
    /// mosquitto.conf
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write the configuration there, readable by its owner alone; without it, to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print JSON: what is left, what is to be known, and without --output the configuration
    #[arg(long)]
    pub(crate) json: bool,
}

/// What stands in a file of passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileHash {
    Argon2id,
    Sha512Pbkdf2,
}

/// Options of `ternmq passwd`.
#[derive(Args, Debug)]
pub(crate) struct Passwd {
    /// A name alone: print its lines for the configuration file. A file and a name: give the user of that
    /// name a password in a file of passwords
    #[arg(value_name = "[FILE] NAME", num_args = 1..=3, required = true)]
    pub(crate) words: Vec<String>,
    /// Make the file anew, with this user alone
    #[arg(short, long)]
    pub(crate) create: bool,
    /// Take the password as a third word, where everybody on this machine may see it
    #[arg(short, long)]
    pub(crate) batch: bool,
    /// Take the user out of the file
    #[arg(short = 'D', long)]
    pub(crate) delete: bool,
    /// FILE alone, of lines NAME:PASSWORD: make hashes of the passwords
    #[arg(short = 'U', long)]
    pub(crate) upgrade: bool,
    /// What is written into a file; mosquitto reads sha512-pbkdf2 only
    #[arg(short = 'H', long, value_enum, default_value = "argon2id")]
    pub(crate) file_hash: FileHash,
    /// Of a name alone: for which mechanism
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) hash: Mechanism,
    /// Iterations of the password's hash, 4,096 at least: what one guess costs, and one login
    #[arg(short = 'I', long, default_value_t = ternmq_broker::auth::DEFAULT_ITERATIONS)]
    pub(crate) iterations: u32,
}

/// What a script wants to know.
const STORE_STATUSES: &str = "\
Exit status:
  0  it is done, and nothing is damaged
  1  it could not be done, such as with a folder in use or a file that is there already; of an import:
     the file's end is missing, and what came before it is taken in
  2  the command line is wrong
  3  check, export, import: done, but something is damaged";

/// Options of `ternmq store`.
#[derive(Args, Debug)]
#[command(after_help = STORE_STATUSES)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

/// What is to be done with a data folder. All but `backup` need it to themselves: a folder that a server
/// uses is refused.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read all of it; the exit status is 3 if anything is damaged. A file that can't be used as it is
    /// becomes a new one with what can be read, and stays beside it under another name, as when a server
    /// starts
    Check(Folder),
    /// Print what is in it
    Dump(Folder),
    /// Give room back to the file system
    Compact(Folder),
    /// Write a copy of it, as of one moment, also while a server uses it. The copy is a data folder's file:
    /// put as `store.redb` into a folder, it is that folder's state. Until it is whole it has `.part` behind
    /// its name
    Backup(WithFile),
    /// Write all of it in the documented format for other programs and versions
    Export(WithFile),
    /// Read what `export` wrote into a folder that is empty
    Import(WithFile),
}

/// A data folder.
#[derive(Args, Debug)]
pub(crate) struct Folder {
    /// The folder, as given to `ternmq serve --data`
    #[arg(value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A data folder and another file.
#[derive(Args, Debug)]
pub(crate) struct WithFile {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// The other file. One that is written must not be there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Which of the two hashes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mechanism {
    /// SCRAM-SHA-256
    #[value(name = "sha-256")]
    Sha256,
    /// SCRAM-SHA-512
    #[value(name = "sha-512")]
    Sha512,
    /// Both
    Both,
}

/// Options of `ternmq serve`.
#[derive(Args, Debug)]
#[command(after_help = SIGNALS)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// Folder of this server: sessions with what they are due, retained and delayed messages and bans are
    /// there before they are acknowledged, and again when it starts; `listeners` in it names the URLs
    /// while it runs
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Write the number of the process there, and be reached by `ternmq status` and `ternmq stop`; who has the
    /// file locked runs
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Print a configuration file with all keys and their defaults, and end
    #[arg(long, exclusive = true)]
    pub(crate) print_config: bool,
    /// Print events as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

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

/// An address to listen on. Names are refused: one name can be several addresses.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let example = "expected an IP address and a port, as in 127.0.0.1:1883 or [::1]:1883";
    text.parse().map_err(|_| example.to_owned())
}

fn qos(text: &str) -> Result<QoS, String> {
    match text {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        "2" => Ok(QoS::ExactlyOnce),
        _ => Err("QoS is 0, 1 or 2".to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mosquitto_habits_work() {
        let cli = Cli::try_parse_from([
            "ternmq", "pub", "-h", "example", "-p", "1884", "-t", "a/b", "-m", "x", "-q", "1",
            "-r", "-V", "mqttv311", "-u", "me",
        ])
        .unwrap();
        let Command::Publish(publish) = cli.command else {
            panic!("not pub");
        };
        assert_eq!(publish.connection.host.as_deref(), Some("example"));
        assert_eq!(publish.connection.protocol_version, Version::V3_1_1);
        assert_eq!((publish.qos, publish.retain), (QoS::AtLeastOnce, true));
    }

    #[test]
    fn a_payload_may_begin_with_a_hyphen() {
        let args = ["ternmq", "pub", "-t", "celsius", "-m", "-5", "-q", "1"];
        let Command::Publish(publish) = Cli::try_parse_from(args).unwrap().command else {
            panic!("not pub");
        };
        assert_eq!(publish.source.message.as_deref(), Some("-5"));
        assert_eq!(publish.qos, QoS::AtLeastOnce);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_hint() {
        for (args, hint) in [
            (
                ["ternmq", "serve", "-l", "localhost:1883"],
                "127.0.0.1:1883",
            ),
            (["ternmq", "serve", "-l", "1883"], "127.0.0.1:1883"),
            (["ternmq", "sub", "-ta", "-C0"], "0 is not in 1.."),
        ] {
            let error = Cli::try_parse_from(args).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_payload_has_one_source() {
        for args in [
            &["ternmq", "pub", "-t", "a"][..],
            &["ternmq", "pub", "-t", "a", "-m", "x", "-l"],
        ] {
            assert!(Cli::try_parse_from(args).is_err());
        }
    }
}
