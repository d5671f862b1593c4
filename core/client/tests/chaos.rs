//! Several threads do to one link whatever they like, in a seeded order each; it works afterwards.
#![allow(missing_docs)]

mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peer::{Bell, deadline};
use ternmq_broker::{Broker, Config};
use ternmq_client::link::{Link, Status};
use ternmq_client::{Backoff, ConnectOptions, ProtocolVersion};
use ternmq_protocol::codec::{Properties, QoS, SubscriptionOptions};
use ternmq_protocol::{Message, ReasonCode, Time};

/// A small generator: the same seed gives the same order.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn message(qos: QoS) -> Message {
    Message::new(
        "chaos/x",
        b"payload",
        qos,
        false,
        Properties::EMPTY,
        Time(0),
    )
    .unwrap()
}

fn act(link: &Link, seeded: &mut Seeded, received: &AtomicU64) {
    let soon = Some(std::time::Instant::now() + Duration::from_micros(200));
    match seeded.below(12) {
        0 | 1 => drop(link.connect()),
        2 => drop(link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY)),
        3 if seeded.below(4) == 0 => link.close(),
        4 => {
            let requests = [("chaos/#", SubscriptionOptions::default())];
            let _ = link.subscribe(&requests, Properties::EMPTY);
        }
        5 => drop(link.unsubscribe(&["chaos/#"], Properties::EMPTY)),
        6 => {
            let mut events = Vec::new();
            link.take_events(&mut events);
            received.fetch_add(events.len() as u64, Ordering::Relaxed);
        }
        7 => link.pause(seeded.below(2) == 0),
        8 => drop(link.wait(soon, |s| s.is_connected().then_some(()))),
        9 => drop(link.forget()),
        _ => {
            let qos = QoS::from_bits(seeded.below(3) as u8).unwrap();
            let _ = link.publish(message(qos));
        }
    }
}

fn status_is(link: &Link, status: Status) {
    let seen = link.wait(deadline(), |s| (s.status() == status).then_some(()));
    assert!(seen.is_some(), "{status:?}, but it is {link:?}");
}

#[test]
fn a_link_survives_everything_that_can_be_done_to_it() {
    let broker = Broker::start(Config::listen("127.0.0.1:0".parse().unwrap())).unwrap();
    let uri = format!("mqtt://{}", broker.local_addrs()[0]);
    for round in 1..=6u64 {
        let backoff = Backoff {
            min: Duration::from_millis(1),
            max: Duration::from_millis(4),
            first_connect: true,
            ..Backoff::default()
        };
        let version = [ProtocolVersion::V3_1_1, ProtocolVersion::V5_0][round as usize % 2];
        let options = ConnectOptions::from_uri(&uri).unwrap();
        let options = options.version(version).reconnect(backoff);
        let bell = Arc::new(Bell::default());
        let link = Link::open(options, bell).unwrap();
        let received = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (link, received) = (link.clone(), &received);
                let mut seeded = Seeded(round * 1_000 + thread + 1);
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        act(&link, &mut seeded, received);
                    }
                });
            }
        });
        // Whatever it was doing: it can be ended, begun anew, and does its work.
        link.pause(false);
        link.close();
        status_is(&link, Status::Closed);
        link.forget();
        link.connect().unwrap();
        status_is(&link, Status::Connected);
        let token = link.publish(message(QoS::ExactlyOnce)).unwrap();
        let done = link.wait(deadline(), |s| (!s.is_pending(token)).then_some(()));
        assert!(done.is_some(), "round {round}: {link:?}");
    }
}
