//! The command line.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use ternmq_protocol::ProtocolVersion;

/// Bytes of a payload that are not padding; see `flow::Stamp`.
pub(crate) const HEAD: usize = 24;

/// Drives one broker and prints one line of JSON. Status: 0 all came once and in order, 3 something was
/// lost, came twice, late or to somebody else, 2 it could not be measured.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench-load")]
pub(crate) struct Options {
    /// What is done.
    #[arg(value_enum)]
    pub(crate) scenario: Scenario,
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: std::net::IpAddr,
    #[arg(long, default_value_t = 1883)]
    pub(crate) port: u16,
    /// 3 is MQTT 3.1, 4 is 3.1.1.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(3..=5))]
    pub(crate) version: u8,
    /// Whose CPU time and memory are told.
    #[arg(long)]
    pub(crate) broker_pid: Option<u32>,
    /// TLS to the broker, whose certificate is not looked at.
    #[arg(long)]
    pub(crate) tls: bool,
    /// WebSockets to the broker, path /mqtt.
    #[arg(long)]
    pub(crate) websocket: bool,
    /// The main number: publishers of fanin, subscribers of fanout and subs, pairs, connections of conns,
    /// clients at a time of churn.
    #[arg(long)]
    pub(crate) conns: Option<usize>,
    #[arg(long, default_value_t = 300)]
    pub(crate) keepalive: u16,
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    #[arg(long, default_value_t = 64)]
    pub(crate) size: usize,
    /// Messages, or connections of churn.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) count: u64,
    /// Seconds after which nothing more is published; 0 for no end.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) duration: f64,
    /// Messages before the measurement.
    #[arg(long, default_value_t = 1000)]
    pub(crate) warmup: u64,
    /// Messages a second in all, each due at a fixed time; 0 for as many as go.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// Unacknowledged messages of each publisher.
    #[arg(long, default_value_t = 100)]
    pub(crate) inflight: usize,
    /// Messages of each publisher that are not with all subscribers; 0 for no limit.
    #[arg(long, default_value_t = 1000)]
    pub(crate) window: u64,
    /// Messages in one write.
    #[arg(long, default_value_t = 16)]
    pub(crate) batch: u64,
    #[arg(long, default_value = "load")]
    pub(crate) topic_prefix: String,
    /// Filters that subs makes.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) subscriptions: u64,
    /// retained, offline: nothing is removed afterwards (nothing is anyway).
    #[arg(long)]
    pub(crate) keep: bool,
    /// conns, churn: each client subscribes to a topic of its own.
    #[arg(long)]
    pub(crate) subscribe: bool,
    /// conns: all are pinged at the end.
    #[arg(long)]
    pub(crate) ping: bool,
    /// conns: seconds for which they stay and ping twice per keep alive.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) hold: f64,
    /// Seconds of rest before memory and CPU are looked at.
    #[arg(long, default_value_t = 0.2)]
    pub(crate) settle: f64,
    /// Seconds without progress after which it is over.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) stall_timeout: f64,
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// relay: where everything goes.
    #[arg(long, value_enum, default_value_t = Scenario::Fanin)]
    pub(crate) shape: Scenario,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Publishers with a topic each, one subscriber with a wildcard.
    Fanin,
    /// One publisher, many subscribers of its topic.
    Fanout,
    /// Pairs of publisher and subscriber.
    Pairs,
    /// One pair at 1,000 messages a second.
    Latency,
    /// Retained messages are stored, then all asked for.
    Retained,
    /// Many filters, then messages for them.
    Subs,
    /// Messages for a session that is away, which then comes back.
    Offline,
    /// Idle connections.
    Conns,
    /// Connections that come and go.
    Churn,
    /// Not a load: a server that moves bytes and knows no topics, the least that a broker could cost.
    Relay,
}

impl Scenario {
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

impl Options {
    /// What was said, with what goes without saying, or what is wrong with it.
    pub(crate) fn checked(mut self) -> Result<Self, String> {
        if self.size < HEAD {
            return Err(format!("--size is at least {HEAD}"));
        }
        if self.batch == 0 || self.inflight == 0 || self.inflight > 65_535 || self.conns == Some(0)
        {
            return Err(
                "--batch, --inflight and --conns are at least 1, --inflight at most 65535"
                    .to_owned(),
            );
        }
        if self.scenario == Scenario::Latency && self.rate == 0.0 {
            self.rate = 1000.0;
        }
        if matches!(self.scenario, Scenario::Offline | Scenario::Retained) && self.qos == 0 {
            self.qos = 1;
        }
        if self.scenario == Scenario::Subs && self.subscriptions == 0 {
            return Err("--subscriptions is at least 1".to_owned());
        }
        Ok(self)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    pub(crate) fn protocol(&self) -> ProtocolVersion {
        match self.version {
            3 => ProtocolVersion::V3_1,
            4 => ProtocolVersion::V3_1_1,
            _ => ProtocolVersion::V5_0,
        }
    }
}
