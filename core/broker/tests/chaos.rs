//! Clients that come, go and take each other's place all over the shards at once. Whatever
//! interleaving happens, the books balance afterwards and nothing is left.

mod support;

use std::net::SocketAddr;
use std::thread;

use support::{spread, until};
use ternmq_test_broker_wire::RawPeer;

const THREADS: u64 = 6;
const LIVES: u64 = 400;

/// Numbers that look random and are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One connection from CONNECT to its end. Any step may fail: another thread may have taken over.
fn live(address: SocketAddr, numbers: &mut Numbers) -> Option<()> {
    let level = [4, 5][numbers.below(2) as usize];
    let mut peer = RawPeer::connect(address, level).expect("a connection");
    let id = numbers.below(10);
    let will = ["", "will_topic=w/1 will_payload=gone"][numbers.below(2) as usize];
    peer.send(&format!("CONNECT client_id=c{id} {will}")).ok()?;
    if numbers.below(8) == 0 {
        return None; // gone before CONNACK
    }
    peer.expect("CONNACK reason=0").ok()?;
    if numbers.below(2) == 0 {
        let filter = ["#", "w/+", "t/1"][numbers.below(3) as usize];
        let qos = numbers.below(3);
        peer.send(&format!("SUBSCRIBE id=1 filter={filter} options={qos}"))
            .ok()?;
    }
    for id in 1..=numbers.below(30) {
        let (topic, retain) = (numbers.below(4), u64::from(numbers.below(10) == 0));
        let qos = numbers.below(2);
        let id = if qos == 0 {
            String::new()
        } else {
            format!("id={id}")
        };
        peer.send(&format!(
            "PUBLISH topic=t/{topic} qos={qos} retain={retain} {id} payload=x"
        ))
        .ok()?;
    }
    match numbers.below(3) {
        0 => peer.send("DISCONNECT").ok()?,
        1 => peer.stop_sending().ok()?,
        _ => return None,
    }
    // Acknowledging nothing: what is in flight ends with the session.
    while peer.next_packet().ok()?.is_some() {}
    Some(())
}

#[test]
fn after_any_interleaving_nothing_is_left_and_every_copy_is_accounted_for() {
    let broker = spread(4);
    let address = broker.local_addrs()[0];
    let threads: Vec<_> = (1..=THREADS)
        .map(|n| {
            thread::spawn(move || {
                let mut numbers = Numbers(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                (0..LIVES)
                    .filter_map(|_| live(address, &mut numbers))
                    .count()
            })
        })
        .collect();
    let whole: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert!(whole > 0, "nobody lived to the end");
    let stats = until(&broker, |stats| {
        stats.accepted == THREADS * LIVES
            && stats.mqtt.connections == 0
            && stats.mqtt.sessions == 0
            && stats.routed == 0
    });
    let mqtt = &stats.mqtt;
    assert_eq!(
        mqtt.copies(),
        mqtt.sent() + mqtt.queued + mqtt.dropped.total()
    );
    assert_eq!(
        (mqtt.subscriptions, mqtt.queued, stats.mail_lost),
        (0, 0, 0)
    );
    assert!(stats.moved > 0 && mqtt.taken_over > 0 && stats.mail_messages > 0);
}
