//! The configuration file, and what it makes of the command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use ternmq_broker::{Config, ListenerConfig};

use crate::cli::Serve;

/// Where the server listens when nobody says anything.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

/// `ternmq.toml`. Unknown keys are refused, so that a typing error can't go unnoticed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    /// Shard threads; 0 takes one per core.
    shards: usize,
    listener: Vec<Listener>,
    limits: Limits,
    topics: crate::topics::Table,
    /// Who may come in by a password.
    user: Vec<crate::users::Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listener {
    /// IP address and port; port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    address: SocketAddr,
    /// Let clients in that don't authenticate. Without this line: yes on a loopback address, no on
    /// any other.
    anonymous: Option<bool>,
}

/// What happens at each limit stands in the documentation of `ternmq_broker::Limits` and
/// `ternmq_broker::SessionLimits`, whose defaults hold for every line that isn't there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    /// Open connections.
    connections: Option<usize>,
    /// Sessions on each shard, connected or not.
    sessions: Option<usize>,
    /// Seconds from opening a connection until its CONNECT is complete.
    connect_timeout: Option<u64>,
    /// Longest Keep Alive in seconds.
    keep_alive: Option<u16>,
    /// Bytes of the largest packet that a client may send, 1,024 at least.
    packet_size: Option<u32>,
    /// QoS 1 and 2 messages sent to a client and not acknowledged.
    inflight: Option<u16>,
    /// Messages that wait for one session.
    queue_messages: Option<usize>,
    /// The same in bytes.
    queue_bytes: Option<usize>,
    /// Longest Session Expiry Interval in seconds.
    session_expiry: Option<u32>,
    /// Subscriptions of one session.
    subscriptions: Option<usize>,
    /// Retained messages.
    retained_messages: Option<usize>,
    /// The same in bytes.
    retained_bytes: Option<usize>,
    /// Messages on their way from one shard to another.
    mailbox_messages: Option<usize>,
    /// The same in bytes.
    mailbox_bytes: Option<usize>,
}

impl Limits {
    fn apply(&self, config: &mut Config) {
        fn set<T: Copy>(target: &mut T, value: Option<T>) {
            *target = value.unwrap_or(*target);
        }
        let (broker, session) = (&mut config.limits, &mut config.session);
        set(&mut broker.connections, self.connections);
        set(&mut broker.retained.messages, self.retained_messages);
        set(&mut broker.retained.bytes, self.retained_bytes);
        set(&mut broker.mailbox_messages, self.mailbox_messages);
        set(&mut broker.mailbox_bytes, self.mailbox_bytes);
        set(&mut session.sessions, self.sessions);
        let connect_timeout_ms = self.connect_timeout.map(|s| s.saturating_mul(1000));
        set(&mut session.connect_timeout_ms, connect_timeout_ms);
        set(&mut session.keep_alive, self.keep_alive);
        set(&mut session.packet_size, self.packet_size);
        set(&mut session.inflight, self.inflight);
        set(&mut session.queue.items, self.queue_messages);
        set(&mut session.queue.bytes, self.queue_bytes);
        set(&mut session.session_expiry, self.session_expiry);
        set(&mut session.subscriptions, self.subscriptions);
    }
}

fn address<'de, D: Deserializer<'de>>(source: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(source)?;
    crate::cli::address(&text).map_err(D::Error::custom)
}

/// The broker's configuration from the file, if there is one, and the command line, which wins.
pub(crate) fn load(args: &Serve) -> Result<Config, String> {
    let file = match &args.config {
        Some(path) => read(path)?,
        None => File::default(),
    };
    Ok(merge(file, &args.listen))
}

fn read(path: &Path) -> Result<File, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let error = crate::users::without_secrets(&error, &text);
        format!("{}: {error}", path.display())
    })
}

fn merge(file: File, listen: &[SocketAddr]) -> Config {
    let mut config = Config {
        shards: file.shards,
        ..Config::default()
    };
    config.listeners = if !listen.is_empty() {
        listen.iter().map(|a| listener(*a, None)).collect()
    } else if file.listener.is_empty() {
        vec![listener(DEFAULT_LISTEN, None)]
    } else {
        let listeners = file.listener.iter();
        listeners
            .map(|l| listener(l.address, l.anonymous))
            .collect()
    };
    file.limits.apply(&mut config);
    file.topics.apply(&mut config.topics);
    config.users = file.user.into_iter().map(Into::into).collect();
    config
}

fn listener(address: SocketAddr, anonymous: Option<bool>) -> ListenerConfig {
    ListenerConfig {
        anonymous: anonymous.unwrap_or(address.ip().is_loopback()),
        ..ListenerConfig::anonymous(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn without_anything_it_listens_on_loopback_and_lets_everybody_in() {
        let config = merge(File::default(), &[]);
        let [only] = config.listeners[..] else {
            panic!("one listener, not {:?}", config.listeners);
        };
        assert_eq!(only.address, "127.0.0.1:1883".parse().unwrap());
        assert!(only.anonymous);
    }

    #[test]
    fn remote_clients_need_a_line_in_the_file_to_be_let_in() {
        let config = merge(File::default(), &["0.0.0.0:0".parse().unwrap()]);
        assert!(!config.listeners[0].anonymous);
        let file = parse("[[listener]]\naddress = '[::]:1883'\nanonymous = true").unwrap();
        assert!(merge(file, &[]).listeners[0].anonymous);
    }

    #[test]
    fn the_file_in_the_readme_is_one() {
        let readme = include_str!("../../../README.md");
        let (_, after) = readme.split_once("```toml\n").unwrap();
        let (text, _) = after.split_once("```").unwrap();
        let config = merge(parse(text).unwrap(), &[]);
        assert!(config.listeners[0].anonymous && !config.listeners[0].address.ip().is_loopback());
    }

    #[test]
    fn the_command_line_replaces_the_listeners_of_the_file() {
        let file = parse("shards = 3\n[[listener]]\naddress = '127.0.0.1:1'").unwrap();
        let config = merge(file, &["127.0.0.1:2".parse().unwrap()]);
        let ports: Vec<u16> = config.listeners.iter().map(|l| l.address.port()).collect();
        assert_eq!((ports, config.shards), (vec![2], 3));
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
        let config = merge(file.unwrap(), &[]);
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
        let topics = merge(parse(text).unwrap(), &[]).topics;
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
        let topics = merge(File::default(), &[]).topics;
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
        let topics = merge(parse(text).unwrap(), &[]).topics;
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
}
