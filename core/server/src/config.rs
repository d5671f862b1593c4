//! The configuration file, and what it makes of the command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use ternmq_broker::store::Options;
use ternmq_broker::{Config, Drain, Durability, Flapping};
use ternmq_protocol::topic::TopicFilter;

use crate::cli::Serve;
use crate::limits::Limits;
use crate::listeners::{Listener, listener};

/// Where the server listens when nobody says anything.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

/// `ternmq.toml`. Unknown keys are refused, so that a typing error can't go unnoticed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    /// Shard threads; 0 takes one per core.
    shards: usize,
    /// Seconds between two publications of `$SYS`; 0 for none.
    sys_interval: Option<u64>,
    /// Clients let go of in a second; 0 for all at once.
    drain_rate: Option<u32>,
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
    /// Who may come in by a password.
    user: Vec<crate::users::Line>,
    shared_subscriptions: crate::shares::Table,
    slow_subscribers: Option<crate::slow::Table>,
    store: crate::data::Table,
    durability: Vec<DurabilityLine>,
}

/// What is promised for messages whose topics match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DurabilityLine {
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
struct Priority {
    #[serde(deserialize_with = "filter")]
    filter: Box<str>,
    priority: u8,
}

/// Clients that connect over and over; times in seconds.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FlappingTable {
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
}

/// What holds when nobody says anything, as a file with comments.
pub(crate) const DEFAULTS: &str = include_str!("default.toml");

/// Seconds between two publications of `$SYS`.
const SYS_INTERVAL: u64 = 10;

/// Clients let go of in a second.
const DRAIN_RATE: u32 = 100;

fn filter<'de, D: Deserializer<'de>>(source: D) -> Result<Box<str>, D::Error> {
    let text = String::deserialize(source)?;
    TopicFilter::parse(&text, usize::MAX).map_err(D::Error::custom)?;
    Ok(text.into())
}

/// The configuration from the file, if there is one, and the command line, which wins.
pub(crate) fn load(args: &Serve) -> Result<Settings, String> {
    let file = match &args.config {
        Some(path) => read(path)?,
        None => File::default(),
    };
    Ok(merge(file, &args.listen))
}

/// What a server does that is given this text as its configuration file.
///
/// # Errors
/// What is wrong with the text, and where; no more than the line of what may be a secret.
pub fn read_text(text: &str) -> Result<Settings, String> {
    parse(text).map(|file| merge(file, &[]))
}

fn read(path: &Path) -> Result<File, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error| crate::users::without_secrets(&error, text))
}

fn merge(file: File, listen: &[SocketAddr]) -> Settings {
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
    config.listeners = if !listen.is_empty() {
        listen.iter().map(|a| listener(*a, None)).collect()
    } else if file.listener.is_empty() {
        vec![listener(DEFAULT_LISTEN, None)]
    } else {
        file.listener
            .into_iter()
            .map(|listener| listener.0)
            .collect()
    };
    file.limits.apply(&mut config);
    let priorities = file.priority.into_iter();
    config.session.priorities.filters = priorities.map(|p| (p.filter, p.priority)).collect();
    file.topics.apply(&mut config.topics);
    config.users = file.user.into_iter().map(Into::into).collect();
    Settings {
        broker: config,
        drain: Drain {
            server_reference: file.server_reference,
            moved: file.server_moved,
            rate: file.drain_rate.unwrap_or(DRAIN_RATE),
        },
        store: file.store.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_broker::{Address, Latency, SlowLimits};

    #[test]
    fn without_anything_it_listens_on_loopback_and_lets_everybody_in() {
        let config = merge(File::default(), &[]).broker;
        let [only] = &config.listeners[..] else {
            panic!("one listener, not {:?}", config.listeners);
        };
        assert_eq!(only.address, Address::Ip(DEFAULT_LISTEN));
        assert!(only.anonymous);
    }

    #[test]
    fn remote_clients_need_a_line_in_the_file_to_be_let_in() {
        let config = merge(File::default(), &["0.0.0.0:0".parse().unwrap()]).broker;
        assert!(!config.listeners[0].anonymous);
        let file = parse("[[listener]]\naddress = '[::]:1883'\nanonymous = true").unwrap();
        assert!(merge(file, &[]).broker.listeners[0].anonymous);
    }

    #[test]
    fn the_files_in_the_readme_are_some() {
        let readme = include_str!("../../../README.md");
        let blocks = readme.split("```toml\n").skip(1);
        let texts = blocks.map(|block| block.split("```").next().unwrap());
        let configs: Vec<_> = texts
            .map(|text| merge(parse(text).unwrap(), &[]).broker)
            .collect();
        let [open, tls, topics] = &configs[..] else {
            panic!("{} files in the README", configs.len());
        };
        assert!(
            open.listeners[0].anonymous && !open.listeners[0].address.ip().unwrap().is_loopback()
        );
        assert!(tls.listeners[0].tls.is_some() && !tls.listeners[0].anonymous);
        assert!(topics.topics.exclusive && topics.topics.delayed.is_some());
        assert_eq!(topics.topics.auto_subscribe.len(), 1);
    }

    #[test]
    fn the_command_line_replaces_the_listeners_of_the_file() {
        let file = parse("shards = 3\n[[listener]]\naddress = '127.0.0.1:1'").unwrap();
        let config = merge(file, &["127.0.0.1:2".parse().unwrap()]).broker;
        let addresses: Vec<String> = config
            .listeners
            .iter()
            .map(|l| l.address.to_string())
            .collect();
        assert_eq!(
            (&*addresses[0], addresses.len(), config.shards),
            ("127.0.0.1:2", 1, 3)
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_its_place_and_a_hint() {
        let error = parse("[[listener]]\naddress = 'localhost:1883'").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("127.0.0.1:1883"),
            "{error}"
        );
    }

    #[test]
    fn limits_reach_the_broker() {
        let file = parse("[limits]\nconnections = 7\nqueue_messages = 8\nconnect_timeout = 9");
        let config = merge(file.unwrap(), &[]).broker;
        assert_eq!(config.limits.connections, 7);
        assert_eq!(config.session.queue.items, 8);
        assert_eq!(config.session.connect_timeout_ms, 9_000);
    }

    #[test]
    fn what_is_offered_reaches_the_broker() {
        let text = "[topics]\nmaximum_qos = 1\nretain = false\nwildcard_subscriptions = false\n\
            subscription_identifiers = false\ncheck_payload_format = true\nexclusive = true\nshared_subscriptions = false\n\
            response_information = 'r/${clientid}'\n\
            delayed = true\ndelayed_messages = 3\ndelayed_bytes = 4\ndelayed_seconds = 5";
        let topics = merge(parse(text).unwrap(), &[]).broker.topics;
        assert_eq!(topics.maximum_qos as u8, 1);
        assert!(!topics.retain_available && !topics.wildcard_subscriptions);
        assert!(!topics.subscription_identifiers && topics.check_payload_format);
        assert!(topics.exclusive && !topics.shared_subscriptions);
        assert!(topics.response_information.is_some());
        let delayed = topics.delayed.unwrap();
        assert_eq!(
            (delayed.messages, delayed.bytes, delayed.seconds),
            (3, 4, 5)
        );
        let topics = merge(File::default(), &[]).broker.topics;
        assert!(
            topics.retain_available
                && topics.response_information.is_none()
                && topics.delayed.is_none()
        );
    }

    #[test]
    fn rules_for_topics_reach_the_broker_in_their_order() {
        let text = "[[topics.rewrite]]\nsource = 'a/+'\ntarget = 'b/$1'\non = 'publish'\n\
            [[topics.rewrite]]\nsource = '#'\nexpression = '^(.*)$'\ntarget = 'c/$1'\n\
            [[topics.auto_subscribe]]\nfilter = 'in/${clientid}/#'\nqos = 1\nno_local = true";
        let topics = merge(parse(text).unwrap(), &[]).broker.topics;
        let [first, second] = &topics.rewrite[..] else {
            panic!("two rules, not {:?}", topics.rewrite);
        };
        assert!(format!("{first:?}").contains("Publish") && format!("{second:?}").contains("All"));
        assert_eq!(topics.auto_subscribe.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_topics_is_named_with_its_place() {
        for (line, words) in [
            ("maximum_qos = 3", "3 is no QoS"),
            ("retain = 1", "boolean"),
            ("response_information = 'a/${user}'", "`${user}` is none of"),
            ("rewrite = [{source = 'a#', target = 'b'}]", "the source: "),
            (
                "rewrite = [{source = '#', expression = '(', target = 'b'}]",
                "the expression: ",
            ),
            (
                "rewrite = [{source = 'a', target = 'b/$1'}]",
                "captured for $1",
            ),
            (
                "rewrite = [{source = 'a', target = 'b', on = 'x'}]",
                "unknown variant `x`",
            ),
            ("rewrite = [{source = 'a'}]", "missing field `target`"),
            ("auto_subscribe = [{filter = 'a/$1'}]", "captured for $1"),
            ("auto_subscribe = [{filter = 'a#'}]", "the filter: wildcard"),
            ("auto_subscribe = [{filter = 'a', qos = 4}]", "4 is no QoS"),
            (
                "auto_subscribe = [{filter = 'a', retain_handling = 3}]",
                "retain_handling: 3",
            ),
            ("retained = true", "unknown field `retained`"),
        ] {
            let error = parse(&format!("[topics]\n{line}")).unwrap_err();
            assert!(error.contains("line 2") && error.contains(words), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_and_named_with_its_place() {
        let error = parse("shards = 1\nlistner = []").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(
            error.contains("listner") && error.contains("listener"),
            "{error}"
        );
    }

    /// The default file with some of its lines made to count: those with one #, or all.
    fn uncommented(examples: bool) -> String {
        let line = |line: &'static str| {
            let key = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
            let example = line.strip_prefix("##").filter(|_| examples);
            example.or(line.strip_prefix('#').filter(key)).unwrap_or("")
        };
        let lines: Vec<&str> = DEFAULTS.lines().map(line).collect();
        lines.join("\n")
    }

    #[test]
    fn the_file_that_is_printed_says_what_holds_without_it() {
        let printed = merge(parse(&uncommented(false)).unwrap(), &[]);
        let without = merge(File::default(), &[]);
        assert_eq!(format!("{printed:#?}"), format!("{without:#?}"));
        assert!(
            uncommented(false)
                .lines()
                .filter(|line| line.contains('='))
                .count()
                > 50
        );
    }

    #[test]
    fn the_examples_of_the_file_that_is_printed_are_right() {
        let settings = merge(parse(&uncommented(true)).unwrap(), &[]);
        let broker = &settings.broker;
        assert_eq!(
            settings.drain.server_reference.as_deref(),
            Some("other.example:1883")
        );
        assert_eq!(broker.listeners[0].connections, 1000);
        assert_eq!(
            (broker.bans.len(), broker.session.priorities.filters.len()),
            (3, 1)
        );
        assert_eq!(broker.shares.by_name.len(), 1);
        assert_eq!(broker.listeners[0].rates.bytes_in.per_second, 10_000_000);
        assert_eq!(broker.listeners[0].client_rates.messages_in.burst, 500);
        assert_eq!(broker.flapping, Some(FlappingTable::default().into()));
        assert_eq!(broker.slow, Some(crate::slow::Table::default().into()));
        assert_eq!(
            (
                broker.topics.rewrite.len(),
                broker.topics.auto_subscribe.len()
            ),
            (1, 1)
        );
    }

    /// Every key that a table knows, as the error about one that it doesn't know lists them.
    #[test]
    fn no_key_is_left_out_of_the_file_that_is_printed() {
        for table in [
            "",
            "[limits]",
            "[topics]",
            "[[listener]]",
            "[[priority]]",
            "[flapping]",
            "[slow_subscribers]",
            "[[ban]]",
            "[shared_subscriptions]",
            "[[shared_subscriptions.group]]",
            "[[topics.rewrite]]",
            "[[topics.auto_subscribe]]",
            "[store]",
            "[[durability]]",
        ] {
            let error = parse(&format!("{table}\nno_such_key = 1")).unwrap_err();
            let (_, keys) = error.split_once("expected ").unwrap();
            let keys: Vec<&str> = keys.split('`').skip(1).step_by(2).collect();
            assert!(!keys.is_empty(), "{error}");
            for key in keys {
                let said = uncommented(true).lines().any(|line| {
                    let line = match line.starts_with('[') {
                        true => line.trim_matches(['[', ']']).rsplit('.').next().unwrap(),
                        false => line,
                    };
                    line.strip_prefix(key)
                        .is_some_and(|rest| rest.starts_with(" =") || rest.is_empty())
                });
                // `by` is for the file of the data folder.
                assert!(said || key == "by", "{key} of {table}");
            }
        }
    }

    /// The fields of the limits, as their debugging output names them.
    #[test]
    fn every_limit_has_a_key() {
        let config = Config::default();
        let both = [
            ("limits", format!("{:#?}", config.limits)),
            ("session", format!("{:#?}", config.session)),
        ];
        for (name, text) in both {
            let fields = text.lines().filter_map(|line| {
                let field = line
                    .strip_prefix("    ")
                    .filter(|line| !line.starts_with([' ', '}', ')', ']']))?;
                field
                    .split_once(':')
                    .map(|(field, _)| format!("{name}.{field}"))
            });
            for field in fields.filter(|field| field != "limits.pipe_bytes") {
                let known = crate::limits::FIELDS.iter().any(|(_, target)| {
                    let rest = target.replace(' ', "");
                    rest.strip_prefix(&*field)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                });
                assert!(known, "{field}");
            }
        }
    }

    #[test]
    fn what_one_listener_allows_reaches_the_broker() {
        let text = "[[listener]]\naddress = '127.0.0.1:0'\nconnections = 5\nconnection_rate = 6\n\
            versions = ['3.1.1', '5']";
        let config = merge(parse(text).unwrap(), &[]).broker;
        let only = &config.listeners[0];
        assert_eq!((only.connections, only.connection_rate), (5, 6));
        assert!(!only.versions.v3_1 && only.versions.v3_1_1 && only.versions.v5_0);
    }

    #[test]
    fn slow_subscribers_are_listed_if_there_is_a_table() {
        let slow = |text| merge(parse(text).unwrap(), &[]).broker.slow;
        assert_eq!(slow(""), None);
        assert_eq!(slow("[slow_subscribers]"), Some(SlowLimits::default()));
        let text = "[slow_subscribers]\nlatency = 'response'\nthreshold_ms = 7\n\
            entries = 8\nkeep_for = 9";
        let limits = SlowLimits {
            latency: Latency::Response,
            threshold_ms: 7,
            entries: 8,
            expire_ms: 9_000,
        };
        assert_eq!(slow(text), Some(limits));
    }

    #[test]
    fn what_is_promised_reaches_the_broker_in_its_order() {
        let text = "[[listener]]\naddress = '127.0.0.1:0'\ndurability = 'each'\n\
            [[durability]]\nfilter = 'a/#'\nmode = 'none'\n\
            [[durability]]\nfilter = '#'\nmode = 'group'";
        let config = merge(parse(text).unwrap(), &[]).broker;
        assert_eq!(config.listeners[0].durability, Durability::Each);
        let rules = [("a/#", Durability::None), ("#", Durability::Group)];
        assert_eq!(config.durability, rules.map(|(f, d)| (f.into(), d)));
        let config = merge(File::default(), &[]).broker;
        assert_eq!(config.listeners[0].durability, Durability::Group);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, words) in [
            ("[[durability]]\nfilter = 'a#'\nmode = 'none'", "line 2"),
            (
                "[[durability]]\nfilter = 'a'\nmode = 'most'",
                "unknown variant `most`",
            ),
            ("[[ban]]\naddress = '10.0.0.1/8'", "line 1"),
            (
                "shards = 1\n[[ban]]\nclient_id = 'a'\nuser_name = 'b'",
                "line 2",
            ),
            (
                "[[ban]]\nclient_id = 'a'\nuntil = 2030-01-01T00:00:00",
                "not 2030-01-01",
            ),
            ("[[ban]]\nclient_id = 'a'\nby = 'me'", "`by` is for"),
            ("[[ban]]\nclient = 'a'", "line 2"),
            (
                "[[listener]]\naddress = '127.0.0.1:0'\nversions = ['6']",
                "line 3",
            ),
            ("[limits]\nqueue_policy = 'refuse'", "`drop_newest`"),
            ("[[priority]]\nfilter = 'a#'\npriority = 1", "line 2"),
            ("[flapping]\nmax = 0\nbans = 1", "line 3"),
            (
                "[slow_subscribers]\nlatency = 'half'",
                "unknown variant `half`",
            ),
            (
                "[shared_subscriptions]\nstrategy = 'fair'",
                "unknown variant `fair`",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
