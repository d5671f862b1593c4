//! Clients that mean harm together: each within its own limits, and all of them too much. A bystander goes
//! on all the while, the limits in sum hold, and each of the crowd gets the code for its limit.
//!
//! One shard, as these limits are of a shard.
#![allow(missing_docs)]

mod support;

use std::fmt::Write as _;
use support::{Scene, codes, durable, let_in, nothing_more, packet, subscribe};
use ternmq_broker::{Config, Stats};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

/// What everybody may hold, whatever the others do.
const ALLOWANCE: u64 = 4096;

const MIB: usize = 1 << 20;

fn scene(change: impl FnOnce(&mut Config)) -> Scene {
    Scene::with(|config| {
        config.shards = 1;
        config.session.connect_timeout_ms = 10 * PATIENCE.as_millis() as u64;
        change(config);
    })
}

/// What a scene comes back to when the crowd has gone.
fn sums(stats: &Stats) -> [u64; 8] {
    let mqtt = &stats.mqtt;
    [
        mqtt.input_bytes,
        stats.outbound_bytes,
        mqtt.queued_bytes,
        mqtt.inflight_bytes,
        mqtt.filter_bytes,
        mqtt.will_bytes,
        mqtt.name_bytes,
        mqtt.alias_bytes,
    ]
}

/// Ends a scene in which only the bystanders are left with what was theirs at its beginning.
fn comes_back(mut scene: Scene, before: &Stats) -> Stats {
    scene.goes_on();
    scene.until(|stats| sums(stats) == sums(before));
    scene.finish()
}

#[test]
fn half_packets_of_many_are_bounded_and_those_that_sit_longest_go() {
    const PART: usize = 65_536;
    const CROWD: usize = 40;
    let mut scene = scene(|config| {
        config.session.packet_size = MIB as u32;
        config.session.sums.input_bytes = MIB;
    });
    let before = scene.until(|stats| stats.mqtt.input_bytes == 0);
    let whole = packet(0x30, &[&[0, 1, b't'][..], &vec![b'x'; 900_000]].concat());
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        // Some have not even been let in.
        let level = [4, 5, 5][n % 3];
        let mut peer = match n % 3 {
            2 => scene.silent(level),
            _ => scene.client(level, &format!("CONNECT client_id=hoarder{n}")),
        };
        let read = scene.stats().bytes_in;
        let mut part = whole[..PART].to_vec();
        part[0] = if n % 3 == 2 { 0x10 } else { 0x30 };
        peer.send_bytes(&part).expect("sent");
        let stats = scene.until(|stats| stats.bytes_in >= read + PART as u64);
        assert!(stats.mqtt.input_bytes <= MIB as u64, "{stats:#?}");
        crowd.push(peer);
        scene.goes_on();
    }
    let gone = scene.stats().mqtt.over_limit.shard_input_bytes as usize;
    assert!((CROWD - 16..=CROWD - 8).contains(&gone), "{gone}");
    for (n, mut peer) in crowd.drain(..gone).enumerate() {
        match n % 3 {
            1 => peer.expect_refusal("DISCONNECT reason=151"),
            _ => peer.expect_close(),
        }
        .unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    // One that is left goes on where it was, once there is room for a whole packet: one of 3.1.1, for
    // which the packet is right.
    let mut last = crowd.remove((3 - gone % 3) % 3);
    drop(crowd);
    scene.until(|stats| stats.mqtt.input_bytes <= 2 * PART as u64);
    last.send_bytes(&whole[PART..]).expect("sent");
    nothing_more(&mut last);
    drop(last);
    comes_back(scene, &before);
}

#[test]
fn subscription_bombs_of_many_leave_room_for_others() {
    const EACH: usize = 4_000;
    const CROWD: u64 = 8;
    let mut scene = scene(|config| config.session.sums.filter_bytes = 8 * MIB);
    let before = scene.stats();
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let (level, failure) = if n % 2 == 0 { (5, "151") } else { (4, "128") };
        let mut peer = scene.client(level, &format!("CONNECT client_id=bomb{n}"));
        let mut body = vec![0, 1];
        body.extend((level == 5).then_some(0));
        for at in 0..EACH {
            let filter = format!("bomb/{n}/+/{at}/#");
            body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
            body.extend_from_slice(filter.as_bytes());
            body.push(0);
        }
        peer.send_bytes(&packet(0x82, &body)).expect("sent");
        let codes = codes(&mut peer, "SUBACK");
        let granted = codes.iter().filter(|code| *code == "0").count();
        assert!(codes[..granted].iter().all(|code| code == "0"));
        assert!(codes[granted..].iter().all(|code| code == failure));
        assert!(granted > 0 && (n > 0 || granted == EACH), "{n}: {granted}");
        crowd.push(peer);
        scene.goes_on();
        let mut modest = scene.client(4, "CONNECT client_id=modest");
        subscribe(&mut modest, "a/modest/+/filter", 1);
        modest.cut();
        let stats = scene.until(|stats| stats.mqtt.sessions == 3 + n);
        let most = 8 * MIB as u64 + (3 + n) * ALLOWANCE;
        assert!(stats.mqtt.filter_bytes <= most, "{stats:#?}");
    }
    assert!(scene.stats().mqtt.over_limit.shard_filter_bytes > EACH as u64);
    drop(crowd);
    comes_back(scene, &before);
}

#[test]
fn a_packet_of_millions_of_filters_ends_its_connection_and_nothing_else() {
    let mut scene = scene(|_| ());
    let before = scene.stats();
    for (first, tail) in [(0x82, &[0][..]), (0xa2, &[])] {
        for level in [4, 5] {
            let mut peer = scene.client(level, "CONNECT client_id=bomb");
            let one = [&[0, 1, b'a'], tail].concat();
            let mut body = vec![0, 1];
            body.extend((level == 5).then_some(0));
            body.extend(one.repeat((16 * MIB - 100) / one.len()));
            peer.send_bytes(&packet(first, &body)).expect("sent");
            match level {
                5 => peer.expect_refusal("DISCONNECT reason=151"),
                _ => peer.expect_close(),
            }
            .expect("refused");
            scene.goes_on();
        }
    }
    assert_eq!(scene.stats().mqtt.over_limit.packet_filters, 4);
    comes_back(scene, &before);
}

#[test]
fn wills_and_names_of_many_are_bounded_and_modest_clients_come_in() {
    let mut scene = scene(|config| {
        config.session.sums.will_bytes = MIB;
        config.session.sums.name_bytes = MIB;
    });
    let before = scene.stats();
    let large = "x".repeat(60_000);
    let mut crowd = Vec::new();
    let mut refused = [0; 2];
    for n in 0..60_usize {
        let level = if n % 2 == 0 { 5 } else { 4 };
        let connect = match n / 30 {
            0 => format!("CONNECT client_id=will{n} will_topic=w will_payload={large}"),
            _ => format!("CONNECT client_id=name{n}{large}"),
        };
        let mut peer = scene.silent(level);
        peer.send(&connect).expect("sent");
        let connack = peer.next_packet().expect("an answer").expect("CONNACK");
        match connack.number("reason", 99) {
            0 => crowd.push(peer),
            reason => {
                assert_eq!(reason, if level == 5 { 0x97 } else { 3 });
                peer.expect_close().expect("closed");
                refused[n / 30] += 1;
            }
        }
        let modest = "CONNECT client_id=modest will_topic=w will_payload=gone username=me";
        let_in(&scene, level, modest, "").cut();
        scene.goes_on();
    }
    // 17 of 60,000 bytes would be all of it, and the last one has left as much as it has.
    assert!(
        refused.iter().all(|refused| (13..=20).contains(refused)),
        "{refused:?}"
    );
    let stats = scene.stats();
    assert_eq!(stats.mqtt.over_limit.shard_will_bytes, refused[0]);
    assert_eq!(stats.mqtt.over_limit.shard_name_bytes, refused[1]);
    assert!(stats.mqtt.will_bytes <= MIB as u64 && stats.mqtt.name_bytes <= MIB as u64);
    drop(crowd);
    comes_back(scene, &before);
}

#[test]
fn queues_of_many_are_bounded_and_drops_are_counted_for_each() {
    const CROWD: u64 = 6;
    let mut scene = scene(|config| config.session.sums.queued_bytes = MIB);
    for n in 0..CROWD {
        let level = if n % 2 == 0 { 5 } else { 4 };
        let mut peer = scene.client(level, &durable(level, &format!("hoarder{n}")));
        subscribe(&mut peer, "flood", 1);
        peer.cut();
    }
    let mut away = scene.client(4, &durable(4, "away"));
    subscribe(&mut away, "quiet", 1);
    away.cut();
    scene.until(|stats| stats.mqtt.connected == 2);
    let mut publisher = scene.client(4, "CONNECT client_id=publisher");
    let payload = "x".repeat(1_000);
    for n in 1..=600 {
        publisher
            .send(&format!(
                "PUBLISH topic=flood qos=1 id={n} payload={payload}"
            ))
            .expect("sent");
        publisher.expect(&format!("PUBACK id={n}")).expect("PUBACK");
        if n % 20 == 0 {
            publisher
                .send(&format!("PUBLISH topic=quiet qos=1 id={n} payload={n}"))
                .expect("sent");
            publisher.expect(&format!("PUBACK id={n}")).expect("PUBACK");
            scene.goes_on();
            let stats = scene.stats();
            assert!(stats.mqtt.queued_bytes <= MIB as u64, "{stats:#?}");
        }
    }
    let dropped = scene.stats().mqtt.dropped;
    assert!(dropped.queue_share > 1_000);
    assert_eq!(dropped.queue_share, dropped.total());
    let of_each = (0..CROWD).map(|n| {
        let client = scene.broker().client(&format!("hoarder{n}"));
        client.expect("it has a session").counters.dropped
    });
    let of_each: Vec<u64> = of_each.map(|dropped| dropped.queue_share).collect();
    assert!(of_each.iter().all(|count| *count > 0), "{of_each:?}");
    assert_eq!(of_each.iter().sum::<u64>(), dropped.total());
    // Who was away gets all that was for it, in order.
    let mut away = let_in(&scene, 4, &durable(4, "away"), "session_present=1");
    for n in (20..=600).step_by(20) {
        let wanted = format!("PUBLISH topic=quiet qos=1 id=<p{n}> payload={n} dup=0");
        away.expect(&wanted).expect("what it missed");
    }
    assert_eq!(scene.stats().mqtt.dropped.total(), dropped.total());
    scene.goes_on();
}

#[test]
fn slow_readers_in_a_crowd_hold_no_more_than_their_share() {
    const CROWD: usize = 6;
    const SIZE: usize = 16 << 10;
    let mut scene = scene(|config| {
        config.session.sums.outbound_bytes = MIB;
        config.session.queue.items = 50;
    });
    let mut crowd: Vec<RawPeer> = (0..CROWD)
        .map(|n| scene.client(5, &format!("CONNECT client_id=slow{n}")))
        .collect();
    for slow in &mut crowd {
        subscribe(slow, "flood", 0);
    }
    let mut publisher = scene.client(5, "CONNECT client_id=publisher");
    let publish = format!("PUBLISH topic=flood payload={}", "x".repeat(SIZE));
    // Until the system's own buffers are full too.
    let mut rounds = 0;
    while scene.stats().mqtt.dropped.queue_items < 500 {
        for _ in 0..50 {
            publisher.send(&publish).expect("sent");
        }
        nothing_more(&mut publisher);
        scene.goes_on();
        let stats = scene.stats();
        let most = MIB as u64 + CROWD as u64 * (ALLOWANCE + SIZE as u64 + 100);
        assert!(stats.outbound_bytes <= most, "{stats:#?}");
        rounds += 1;
        assert!(rounds < 2_000, "{stats:#?}");
    }
    let stats = scene.stats();
    assert!(stats.outbound_bytes > MIB as u64 / 2, "{stats:#?}");
    drop((crowd, publisher));
    scene.goes_on();
    scene.until(|stats| stats.mqtt.connections == 2 && stats.mqtt.queued_bytes == 0);
    scene.until(|stats| stats.outbound_bytes == 0);
}

#[test]
fn who_reads_and_never_acknowledges_has_a_limit_in_bytes() {
    const SIZE: usize = 256 << 10;
    let mut scene = scene(|config| config.session.inflight_bytes = 4 * SIZE);
    let mut silent = scene.client(5, "CONNECT client_id=silent");
    subscribe(&mut silent, "large", 1);
    let mut publisher = scene.client(5, "CONNECT client_id=publisher");
    let payload = "x".repeat(SIZE);
    for n in 1..=10 {
        publisher
            .send(&format!(
                "PUBLISH topic=large qos=1 id={n} payload={payload}"
            ))
            .expect("sent");
        publisher.expect(&format!("PUBACK id={n}")).expect("PUBACK");
        scene.goes_on();
    }
    let stats = scene.stats();
    assert!(stats.mqtt.inflight_bytes <= 4 * SIZE as u64, "{stats:#?}");
    assert_eq!(stats.mqtt.queued, 7);
    // With each acknowledgement goes one more, in order, and none is lost.
    for n in 1..=10 {
        silent
            .expect(&format!(
                "PUBLISH topic=large qos=1 id=<p{n}> payload={payload}"
            ))
            .expect("the next one");
        silent.send(&format!("PUBACK id=<p{n}>")).expect("sent");
    }
    nothing_more(&mut silent);
    drop((silent, publisher));
    let stats = scene.until(|stats| stats.mqtt.connections == 2);
    assert_eq!(
        (stats.mqtt.queued_bytes, stats.mqtt.dropped.total()),
        (0, 0)
    );
    scene.until(|stats| stats.mqtt.inflight_bytes == 0);
}

#[test]
fn aliases_of_many_are_bounded_and_modest_ones_work() {
    let mut scene = scene(|config| config.session.sums.alias_bytes = MIB);
    let before = scene.stats();
    let (mut crowd, mut ended) = (Vec::new(), 0);
    let topic = "t".repeat(60_000);
    for n in 0..30 {
        let mut peer = scene.client(5, &format!("CONNECT client_id=alias{n}"));
        peer.send(&format!("PUBLISH topic={topic} topic_alias=1 qos=1 id=1"))
            .expect("sent");
        let answer = peer.next_packet().expect("an answer").expect("a packet");
        if answer.word(0) == "DISCONNECT" {
            assert_eq!(answer.number("reason", 0), 0x97);
            ended += 1;
        } else {
            crowd.push(peer);
        }
        let mut modest = scene.client(5, "CONNECT client_id=modest");
        modest
            .send("PUBLISH topic=a/modest/topic topic_alias=1")
            .expect("sent");
        modest.send("PUBLISH topic= topic_alias=1").expect("sent");
        nothing_more(&mut modest);
        modest.cut();
        scene.goes_on();
    }
    let stats = scene.stats();
    assert!(ended >= 12, "{ended}");
    assert_eq!(stats.mqtt.over_limit.shard_alias_bytes, ended);
    assert!(stats.mqtt.alias_bytes <= MIB as u64 + ALLOWANCE);
    drop(crowd);
    comes_back(scene, &before);
}

/// The topic of a PUBLISH has a length of two bytes: whatever else makes a packet of 10 MiB is payload or
/// properties.
#[test]
fn bombs_of_properties_and_the_longest_topic_reach_nobody() {
    let mut scene = scene(|_| ());
    let before = scene.stats();
    let mut all = scene.client(5, "CONNECT client_id=all");
    subscribe(&mut all, "t/#", 0);
    let mut peer = scene.client(5, "CONNECT client_id=bomb");
    let topic = format!("t/{}", "x".repeat(65_533));
    let properties = [0x26, 0, 1, b'k', 0, 1, b'v'].repeat(10 * MIB / 7);
    for (first, id) in [(0x30, &[][..]), (0x32, &[0, 7]), (0x34, &[0, 8])] {
        let mut body = vec![0xFF, 0xFF];
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(id);
        let mut left = properties.len();
        while left > 0 {
            body.push((left % 128) as u8 | if left > 127 { 0x80 } else { 0 });
            left /= 128;
        }
        body.extend_from_slice(&properties);
        peer.send_bytes(&packet(first, &body)).expect("sent");
        scene.goes_on();
    }
    peer.expect("PUBACK id=7 reason=151").expect("refused");
    peer.expect("PUBREC id=8 reason=151").expect("refused");
    // A topic as long as it may be is one like any other.
    peer.send(&format!("PUBLISH topic={topic} payload=good"))
        .expect("sent");
    all.expect(&format!("PUBLISH topic={topic} payload=good"))
        .expect("the only one");
    nothing_more(&mut all);
    // A length of 10 MB ends inside of what it says it is.
    let mut odd = scene.client(5, "CONNECT client_id=odd");
    odd.send_bytes(&packet(0x30, &[0xFF, 0xFF, b'x']))
        .expect("sent");
    odd.expect_refusal("DISCONNECT reason=129")
        .expect("malformed");
    for will in ["", "will."] {
        let mut connect = String::from("CONNECT client_id=bomb2");
        if !will.is_empty() {
            connect.push_str(" will_topic=w");
        }
        for n in 0..2_000 {
            write!(connect, " {will}user=key{n}:{}", "v".repeat(40)).expect("a string takes all");
        }
        let mut refused = scene.silent(5);
        refused.send(&connect).expect("sent");
        refused
            .expect_refusal("CONNACK reason=151")
            .expect("refused");
    }
    let stats = scene.stats().mqtt;
    assert_eq!(stats.publishes_refused.quota, 3);
    assert_eq!(stats.over_limit.property_bytes, 2);
    drop((peer, all));
    comes_back(scene, &before);
}

#[test]
fn the_deepest_topics_through_the_deepest_filters_let_others_have_their_turn() {
    let mut scene = scene(|_| ());
    let before = scene.stats();
    let mut deep = scene.client(5, "CONNECT client_id=deep");
    // All ways to put `+` into the first ten of 199 levels, none of which comes to an end.
    let mut text = String::from("SUBSCRIBE id=1");
    for mask in 0..1024 {
        let level = |at: usize| {
            if at > 9 || mask >> at & 1 == 1 {
                "+"
            } else {
                ""
            }
        };
        let levels: Vec<&str> = (0..198).map(level).collect();
        write!(text, " filter={}/never options=0", levels.join("/")).expect("a string takes all");
    }
    deep.send(&text).expect("sent");
    let granted = codes(&mut deep, "SUBACK");
    let granted = granted.iter().filter(|code| *code == "0").count();
    assert!(granted > 1_000, "{granted}");
    let work = scene.stats().mqtt.work;
    for n in 0..20 {
        // 198 slashes are 199 levels; the last one makes each topic another.
        deep.send(&format!("PUBLISH topic={}{n} qos=1 id=1", "/".repeat(198)))
            .expect("sent");
        scene.goes_on();
        let answer = deep.next_packet().expect("an answer").expect("PUBACK");
        assert_eq!(answer.number("reason", 0), 0x10, "{answer}");
    }
    assert!(scene.stats().mqtt.work - work > 20 * 1024 * 180);
    for levels in [201, 65_535] {
        let mut deeper = scene.client(5, "CONNECT client_id=deeper");
        deeper
            .send(&format!("PUBLISH topic={} qos=1 id=1", "/".repeat(levels)))
            .expect("sent");
        deeper
            .expect_refusal("DISCONNECT reason=144")
            .expect("refused");
        scene.goes_on();
    }
    drop(deep);
    comes_back(scene, &before);
}
