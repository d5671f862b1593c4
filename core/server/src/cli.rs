//! The command line: what can be said, and what it means when it isn't.
//!
//! `pub` and `sub` take the flags of mosquitto's clients where both have the same thing, so that a
//! habit or a script goes on working. That is why `-h` is the host and only `--help` is help there.

mod clients;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ternmq_protocol::codec::QoS;

use crate::background::{Start, Status, Stop};
use crate::bench::Bench;
use crate::config::Sources;
use crate::trace::TraceArgs;

pub(crate) use clients::{Ask, Connection, Output, Publish, Subscribe, Version};

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
  SIGINT, SIGTERM  let no client in any more, let go of those that are here within `drain_seconds` of the
                   configuration, then stop; a second one ends at once
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
    /// Write down what such a server says to a client and hears from it, for Wireshark
    Trace(TraceArgs),
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
    /// Publish a request, wait for its answer and print it
    #[command(name = "rr", visible_alias = "request")]
    Ask(Ask),
    /// Put load on a broker and measure
    Bench(Bench),
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
  4  it depends on what only a connection can show, such as a password, or on who was not asked";

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
        /// Through the listener with this address, behind its mount point; without it the topic is a whole
        /// one, and the steps are those of the first listener
        #[arg(long, value_name = "ADDR")]
        listener: Option<String>,
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
        /// Through the listener with this address, behind its mount point; without it the topic is a whole
        /// one, and the steps are those of the first listener
        #[arg(long, value_name = "ADDR")]
        listener: Option<String>,
    },
    /// Come in
    #[command(after_help = EXPLAIN_STATUSES)]
    Connect {
        #[command(flatten)]
        who: ExplainedClient,
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
    /// Its password, where one is needed; the environment keeps it out of the process list. Without this and
    /// --password-file it is asked for on a terminal
    #[arg(
        short = 'P',
        long = "pw",
        env = "TERNMQ_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) password: Option<String>,
    /// File whose first line is the password; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub(crate) password_file: Option<PathBuf>,
    /// Folder of the server, which may run: its bans hold too
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Ask no back end (HTTP, SQL, Redis, LDAP, keys under a URL), and say which were not asked
    #[arg(long)]
    pub(crate) offline: bool,
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
    /// Show no progress. It is shown on a terminal, for people
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
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
    /// Write a copy of it, as of one moment, also while a server uses it. `restore` makes a data folder of it.
    /// Until it is whole it has `.part` behind its name. What stands beside the store, such as bans, is not
    /// in it
    Backup(WithFile),
    /// Make a backup the state of a folder. All of it is read first; a backup that is damaged, or whose
    /// program was newer, changes nothing. The server is stopped for it, and started again after
    Restore(Restore),
    /// Write all of it in the documented format (core/store/EXPORT.md) for other programs and versions
    Export(WithFile),
    /// Read what `export` wrote into a new folder, or one without anything in it
    Import(FromFile),
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

/// A folder that is to be a data folder again, and its backup.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The folder: one that is not there is made; one that a server uses is refused, and one that has a store
    #[arg(value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The file that `backup` wrote: it is copied, and stays as it is
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Take the place of a store that is there; it stays beside it as `store.redb.replaced-1`, or the next
    /// number that is free
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A folder that is to be a data folder, and what it is to hold.
#[derive(Args, Debug)]
pub(crate) struct FromFile {
    /// The folder: one that is not there is made; one that holds messages or sessions already is refused
    #[arg(value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The file that `export` wrote: it is read, and stays as it is
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A data folder and another file.
#[derive(Args, Debug)]
pub(crate) struct WithFile {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// The file to write. It must not be there yet: nothing is written over
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

/// An address to listen on. Names are refused: one name can be several addresses.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let example = "expected an IP address and a port, as in 127.0.0.1:1883 or [::1]:1883";
    text.parse().map_err(|_| example.to_owned())
}

pub(crate) fn qos(text: &str) -> Result<QoS, String> {
    match text {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        "2" => Ok(QoS::ExactlyOnce),
        _ => Err("QoS is 0, 1 or 2".to_owned()),
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
