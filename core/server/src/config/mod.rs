//! The configuration file, and what it makes of the command line.

mod check;
mod command;
mod environment;
mod explain;
mod json_schema;
mod keys;
mod limits;
mod listen;
mod outside;
mod print;
mod problem;
mod reload;
mod schema;
#[cfg(test)]
mod tests;
mod tree;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use ternmq_broker::store::Options;
use ternmq_broker::{Config, Drain, Durability, Flapping};
use ternmq_protocol::topic::TopicFilter;

use crate::access::AccessFiles;
use crate::listeners::{Listener, listener};

pub(crate) use command::run;
pub(crate) use limits::Limits;
pub(crate) use outside::refusal;
pub(crate) use print::default_file;
pub(crate) use problem::{Problem, Problems};
pub(crate) use reload::{Refused, Running};

use keys::ROOT;
pub(crate) use listen::Listen;
pub(crate) use tree::{Map, Origin, quoted};
use tree::{Node, Source, Value};

/// Where the server listens when nobody says anything.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

/// `ternmq.toml`, once its keys are known to be right. What they mean stands in [`keys`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    /// Shard threads; 0 takes one per core.
    shards: usize,
    /// Seconds between two publications of `$SYS`; 0 for none.
    sys_interval: Option<u64>,
    /// Clients let go of in a second; 0 for all at once.
    drain_rate: Option<u32>,
    drain_seconds: Option<u32>,
    /// Where they are to go instead.
    server_reference: Option<String>,
    /// For good.
    server_moved: bool,
    listener: Vec<Listener>,
    limits: Limits,
    priority: Vec<Priority>,
    flapping: Option<FlappingTable>,
    ban: Vec<crate::bans::Configured>,
    topics: crate::topics::Table,
    access: crate::access::Table,
    jwt: Option<crate::jwt::Tokens>,
    /// Who may come in by a password.
    user: Vec<crate::users::Line>,
    shared_subscriptions: crate::shares::Table,
    slow_subscribers: Option<crate::slow::Table>,
    store: crate::data::Table,
    log: crate::log::Table,
    http: Option<crate::http::Table>,
    durability: Vec<DurabilityLine>,
}

/// What is promised for messages whose topics match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DurabilityLine {
    #[serde(deserialize_with = "filter")]
    filter: Box<str>,
    mode: Mode,
}

/// When a message is acknowledged.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    None,
    Group,
    Each,
}

impl From<Mode> for Durability {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::None => Self::None,
            Mode::Group => Self::Group,
            Mode::Each => Self::Each,
        }
    }
}

/// A topic filter that could be read, and the priority of what it matches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Priority {
    #[serde(deserialize_with = "filter")]
    filter: Box<str>,
    priority: u8,
}

/// Clients that connect over and over; times in seconds.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FlappingTable {
    max: u16,
    window: u64,
    ban_for: u64,
}

impl Default for FlappingTable {
    fn default() -> Self {
        Self {
            max: 15,
            window: 60,
            ban_for: 300,
        }
    }
}

impl From<FlappingTable> for Flapping {
    fn from(table: FlappingTable) -> Self {
        Self {
            max: table.max,
            window: Duration::from_secs(table.window),
            ban_for: Duration::from_secs(table.ban_for),
        }
    }
}

/// How the server runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its broker, without what command line and data folder add.
    pub broker: Config,
    /// How it lets go of its clients when it is told to.
    pub drain: Drain,
    /// How its data folder is used.
    pub store: Options,
    /// What it writes down.
    pub(crate) log: crate::log::Table,
    /// Where programs that watch it ask.
    pub(crate) http: Option<crate::http::Table>,
    /// Files of rules, which are not read yet.
    pub(crate) access: AccessFiles,
}

/// Seconds between two publications of `$SYS`.
const SYS_INTERVAL: u64 = 10;

/// Clients let go of in a second.
const DRAIN_RATE: u32 = 100;

/// Seconds in which they are gone when a server stops: with the grace and the store's end behind it less
/// than the ten that Docker waits.
const DRAIN_SECONDS: u32 = 5;

fn filter<'de, D: Deserializer<'de>>(source: D) -> Result<Box<str>, D::Error> {
    let text = String::deserialize(source)?;
    TopicFilter::parse(&text, usize::MAX).map_err(D::Error::custom)?;
    Ok(text.into())
}

/// Where a configuration comes from.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen here instead of where the configuration says; port 0 takes a free one; repeatable
    /// [default: 127.0.0.1:1883]
    #[arg(
        help = "Listen here instead of where the configuration says: an address, or a URL as in quic://127.0.0.1:14567 \
                (mqtt, mqtts, ws, wss, quic; with --cert and --key for mqtts, wss and quic). Port 0 takes a free one; \
                repeatable [default: 127.0.0.1:1883]",
        short,
        long,
        value_name = "ADDR:PORT|URL"
    )]
    pub(crate) listen: Vec<Listen>,
    /// PEM file with the certificate of what --listen names
    #[arg(
        id = "listen_cert",
        long = "cert",
        value_name = "FILE",
        requires = "listen_key",
        requires = "listen"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(
        id = "listen_key",
        long = "key",
        value_name = "FILE",
        requires = "listen_cert"
    )]
    pub(crate) key: Option<PathBuf>,
}

/// A configuration that is right.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// As it is written, all sources together.
    pub(crate) map: Map,
    /// What may not be meant so.
    pub(crate) warnings: Vec<Problem>,
}

impl Loaded {
    /// Where a key was written, if it was.
    pub(crate) fn origin(&self, path: &[&str]) -> Option<&Origin> {
        let (name, tables) = path.split_last()?;
        let mut map = &self.map;
        for table in tables {
            match &map.get(*table)?.value {
                Value::Table(inner) => map = inner,
                _ => return None,
            }
        }
        Some(&map.get(*name)?.origin)
    }

    /// Where one of several tables was written.
    pub(crate) fn origin_in_list(&self, name: &str, at: usize) -> Option<&Origin> {
        match &self.map.get(name)?.value {
            Value::List(nodes) => nodes.get(at).map(|node| &node.origin),
            _ => None,
        }
    }
}

impl Loaded {
    /// Where a step of [access] was written; one of a short form has no table.
    pub(crate) fn origin_of_step(&self, name: &str) -> Option<&Origin> {
        let Value::Table(access) = &self.map.get("access")?.value else {
            return None;
        };
        let Value::List(steps) = &access.get("step")?.value else {
            return None;
        };
        let is_it = |node: &&Node| match &node.value {
            Value::Table(step) => step
                .get("name")
                .is_some_and(|own| matches!(&own.value, Value::Text(text) if text == name)),
            _ => false,
        };
        steps.iter().find(is_it).map(|node| &node.origin)
    }
}

impl Sources {
    /// The command line holds before the environment, and that before the file.
    ///
    /// # Errors
    /// All that is wrong.
    pub(crate) fn load(&self) -> Result<Loaded, Problems> {
        self.check()?;
        let mut problems = Vec::new();
        let mut map = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Problem::of_all(format!("cannot read {}: {error}", path.display()))
                })?;
                Source::new(&text, Some(path.clone())).read(&mut problems)
            }
            None => Map::new(),
        };
        // Who names no key has none that is not UTF-8.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let warnings = environment::apply(variables, &mut map, &ROOT, &mut problems);
        if !self.listen.is_empty() {
            map.insert("listener".to_owned(), self.listeners());
        }
        Ok(Loaded {
            settings: checked(merge(file(&map, problems)?))?,
            map,
            warnings,
        })
    }

    /// Whether what stands together on the command line goes together.
    fn check(&self) -> Result<(), Problems> {
        let secure = self.listen.iter().find(|listen| listen.is_secure());
        let words = match (secure, &self.cert) {
            (Some(listen), None) => format!("--listen {listen} needs --cert and --key"),
            (None, Some(_)) => "--cert is for --listen with mqtts://, wss:// or quic://".to_owned(),
            _ => return Ok(()),
        };
        Err(Problem::of_all(words).into())
    }

    fn listeners(&self) -> Node {
        let (cert, key) = (self.cert.as_deref(), self.key.as_deref());
        let listeners = self.listen.iter().map(|listen| listen.table(cert, key));
        Node {
            origin: Origin::CommandLine("--listen"),
            value: Value::List(listeners.collect()),
        }
    }
}

/// What a server does that is given this text as its configuration file.
///
/// # Errors
/// All that is wrong with the text, and where; no secret is in it.
pub fn read_text(text: &str) -> Result<Settings, String> {
    parse(text)
        .and_then(|file| checked(merge(file)))
        .map_err(|problems| problems.to_string())
}

fn parse(text: &str) -> Result<File, Problems> {
    let mut problems = Vec::new();
    let map = Source::new(text, None).read(&mut problems);
    file(&map, problems)
}

fn file(map: &Map, mut problems: Vec<Problem>) -> Result<File, Problems> {
    check::check(map, &ROOT, &mut problems);
    Problems::none(problems)?;
    let read = toml::Value::Table(tree::plain(map)).try_into();
    // Nothing that the keys allow should come here; it can't be quoted, for it may be a secret.
    read.map_err(|error: toml::de::Error| Problem::of_all(error.message()).into())
}

/// What only all tables together can be asked.
fn checked(settings: Settings) -> Result<Settings, Problems> {
    let wrong = settings.access.check_names().map_err(Problem::of_all);
    wrong.map(|()| settings).map_err(Into::into)
}

fn merge(file: File) -> Settings {
    let interval = Duration::from_secs(file.sys_interval.unwrap_or(SYS_INTERVAL));
    let mut config = Config {
        shards: file.shards,
        sys_interval: (!interval.is_zero()).then_some(interval),
        durability: (file.durability.into_iter())
            .map(|line| (line.filter, line.mode.into()))
            .collect(),
        flapping: file.flapping.map(Flapping::from),
        slow: file.slow_subscribers.map(Into::into),
        bans: file.ban.into_iter().map(|ban| ban.0).collect(),
        shares: file.shared_subscriptions.into(),
        ..Config::default()
    };
    let (mut listeners, mut lists): (Vec<_>, Vec<_>) = (file.listener.into_iter())
        .map(|listener| (listener.config, listener.steps))
        .unzip();
    if listeners.is_empty() {
        listeners.push(listener(DEFAULT_LISTEN, None));
        lists.push(None);
    }
    config.listeners = listeners;
    file.limits.apply(&mut config);
    let priorities = file.priority.into_iter();
    config.session.priorities.filters = priorities.map(|p| (p.filter, p.priority)).collect();
    file.topics.apply(&mut config.topics);
    config.users = file.user.into_iter().map(Into::into).collect();
    let access = file.access.apply(&mut config.access, file.jwt, lists);
    Settings {
        access,
        broker: config,
        drain: Drain {
            server_reference: file.server_reference,
            moved: file.server_moved,
            rate: file.drain_rate.unwrap_or(DRAIN_RATE),
            within: Duration::from_secs(file.drain_seconds.unwrap_or(DRAIN_SECONDS).into()),
        },
        store: file.store.into(),
        log: file.log,
        http: file.http,
    }
}
