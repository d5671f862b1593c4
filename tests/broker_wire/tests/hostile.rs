//! Clients that mean harm, over sockets: each stays within its limits, and a bystander goes on.
#![allow(missing_docs)]

mod support;

use std::fmt::Write as _;
use std::time::Duration;
use support::{Scene, bytes, codes, last_words, nothing_more, packet, subscribe};
use ternmq_broker::Flapping;

#[test]
fn a_subscription_bomb_gets_as_many_as_the_limit_and_can_take_them_back() {
    const MOST: usize = 100_000;
    let mut scene = Scene::new();
    let mut peer = scene.client(5, "CONNECT client_id=bomb");
    let (mut asked, mut given_up) = (vec![0, 1, 0], vec![0, 2, 0]);
    for n in 0..MOST + 10 {
        let filter = format!("bomb/{n}");
        for body in [&mut asked, &mut given_up] {
            body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
            body.extend_from_slice(filter.as_bytes());
        }
        asked.push(0);
    }
    peer.send_bytes(&packet(0x82, &asked)).expect("sent");
    scene.goes_on();
    let codes_got = codes(&mut peer, "SUBACK");
    assert_eq!(codes_got.len(), MOST + 10);
    assert!(codes_got[..MOST].iter().all(|code| code == "0"));
    assert!(codes_got[MOST..].iter().all(|code| code == "151"));
    assert_eq!(scene.stats().mqtt.subscriptions, MOST as u64 + 1);
    peer.send_bytes(&packet(0xa2, &given_up)).expect("sent");
    scene.goes_on();
    let codes_got = codes(&mut peer, "UNSUBACK");
    assert!(codes_got[..MOST].iter().all(|code| code == "0"));
    assert!(codes_got[MOST..].iter().all(|code| code == "17"));
    assert_eq!(scene.stats().mqtt.subscriptions, 1);
    drop(peer);
    scene.finish();
}

#[test]
fn who_abuses_aliases_is_cut_off() {
    let mut scene = Scene::new();
    for (alias, reason) in [(0, 0x94), (65, 0x94)] {
        let mut peer = scene.client(5, "CONNECT client_id=alias");
        peer.send(&format!("PUBLISH topic=a topic_alias={alias}"))
            .expect("sent");
        peer.expect_refusal(&format!("DISCONNECT reason={reason}"))
            .expect("refused");
        scene.goes_on();
    }
    // 256 KiB of topics, and a little more.
    let mut peer = scene.client(5, "CONNECT client_id=alias");
    for alias in 1..=5 {
        let topic = format!("{alias}").repeat(60_000);
        peer.send(&format!("PUBLISH topic={topic} topic_alias={alias}"))
            .expect("sent");
    }
    peer.expect_refusal("DISCONNECT reason=151")
        .expect("refused");
    scene.finish();
}

#[test]
fn who_never_releases_at_qos_2_is_cut_off_beyond_receive_maximum() {
    let scene = Scene::new();
    let mut peer = scene.client(5, "CONNECT client_id=endless");
    for id in 1..=1024 {
        peer.send(&format!("PUBLISH topic=a qos=2 id={id}"))
            .expect("sent");
        peer.expect(&format!("PUBREC id={id}")).expect("PUBREC");
    }
    peer.send("PUBLISH topic=a qos=2 id=1025").expect("sent");
    peer.expect_refusal("DISCONNECT reason=147")
        .expect("refused");
    scene.finish();
}

#[test]
fn a_topic_of_65_535_levels_harms_nobody() {
    let mut scene = Scene::with(|config| config.session.topic_levels = 128);
    let mut peer = scene.client(5, "CONNECT client_id=deep");
    let deep = "/".repeat(65_535);
    peer.send(&format!("SUBSCRIBE id=1 filter={deep} options=1"))
        .expect("sent");
    peer.expect("SUBACK id=1 code=143").expect("refused");
    peer.send(&format!("UNSUBSCRIBE id=2 filter={deep}"))
        .expect("sent");
    peer.expect("UNSUBACK id=2 code=143").expect("refused");
    scene.goes_on();
    peer.send(&format!("PUBLISH topic={deep} qos=1 id=3"))
        .expect("sent");
    let answer = peer.next_packet().expect("a packet").expect("an answer");
    assert_eq!(answer.number("reason", 0), 0x90, "{answer}");
    drop(peer);
    scene.finish();
}

#[test]
fn a_thief_of_an_id_tells_each_older_one_and_is_banned_at_last() {
    const MOST: u16 = 100;
    let mut scene = Scene::with(|config| {
        config.flapping = Some(Flapping {
            max: MOST,
            window: Duration::from_secs(3600),
            ban_for: Duration::from_secs(3600),
        });
    });
    let mut owner = scene.client(5, "CONNECT client_id=wanted");
    for _ in 1..MOST {
        let thief = scene.client(5, "CONNECT client_id=wanted");
        owner
            .expect_refusal("DISCONNECT reason=142")
            .expect("taken over");
        owner = thief;
    }
    scene.goes_on();
    let mut thief = scene.silent(5);
    thief.send("CONNECT client_id=wanted").expect("sent");
    thief.expect_refusal("CONNACK reason=138").expect("banned");
    drop(owner);
    scene.finish();
}

#[test]
fn who_never_reads_has_no_more_than_its_queue() {
    const ITEMS: usize = 100;
    const SIZE: usize = 16 << 10;
    let mut scene = Scene::with(|config| config.session.queue.items = ITEMS);
    let mut slow = scene.client(5, "CONNECT client_id=slow");
    subscribe(&mut slow, "flood", 0);
    let mut publisher = scene.client(5, "CONNECT client_id=publisher");
    let payload = "x".repeat(SIZE);
    for _ in 0..2_000 {
        publisher
            .send(&format!("PUBLISH topic=flood payload={payload}"))
            .expect("sent");
    }
    nothing_more(&mut publisher);
    scene.goes_on();
    let stats = scene.until(|stats| stats.mqtt.dropped.total() > 0);
    assert!(stats.mqtt.queued <= ITEMS as u64 + 2, "{stats:#?}");
    assert!(stats.mqtt.queued_bytes <= ((ITEMS + 2) * 2 * SIZE) as u64);
    slow.cut();
    scene.until(|stats| stats.mqtt.connections == 3 && stats.mqtt.queued_bytes == 0);
    scene.goes_on();
}

#[test]
fn thousands_of_overlapping_filters_hold_nobody_up() {
    let mut scene = Scene::new();
    let mut peer = scene.client(5, "CONNECT client_id=overlap");
    let mut body = vec![0, 1, 0];
    for mask in 0..4096u32 {
        let level = |at: u32| if (mask >> at) & 1 == 1 { "+" } else { "a" };
        let filter = (0..12).map(level).collect::<Vec<_>>().join("/");
        body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
        body.extend_from_slice(filter.as_bytes());
        body.push(0);
    }
    peer.send_bytes(&packet(0x82, &body)).expect("sent");
    assert_eq!(codes(&mut peer, "SUBACK").len(), 4096);
    let before = scene.stats().mqtt.work;
    let topic = ["a"; 12].join("/");
    for n in 0..50 {
        peer.send(&format!("PUBLISH topic={topic} payload={n}"))
            .expect("sent");
    }
    scene.goes_on();
    for n in 0..50 {
        peer.expect(&format!("PUBLISH topic={topic} payload={n}"))
            .expect("one copy");
    }
    nothing_more(&mut peer);
    assert!(scene.stats().mqtt.work - before >= 50 * 4096);
    drop(peer);
    scene.finish();
}

// [MQTT-3.3.4-7]
#[test]
fn qos_2_without_release_ends_at_receive_maximum() {
    let mut scene = Scene::with(|config| {
        config.session.receive_maximum = 20;
        config.session.open_qos2 = 30;
    });
    for (level, most, reason) in [(5, 20, Some(0x93)), (4, 30, None)] {
        let mut hoarder = scene.client(level, "CONNECT client_id=hoarder");
        for id in 1..=most {
            let publish = format!("PUBLISH topic=q qos=2 id={id}");
            hoarder.send(&publish).expect("sent");
            hoarder.expect(&format!("PUBREC id={id}")).expect("PUBREC");
        }
        hoarder
            .send(&format!("PUBLISH topic=q qos=2 id={}", most + 1))
            .expect("sent");
        let words = last_words(&mut hoarder, level);
        assert_eq!(words.map(|words| words.number("reason", 0)), reason);
        scene.goes_on();
    }
}

/// The bystander's answer comes while the work is still being done: told by counters, not by time.
#[test]
fn publishes_to_thousands_of_overlapping_filters_let_others_have_their_turn() {
    const FILTERS: usize = 8_192;
    let mut scene = Scene::with(|config| {
        config.shards = 1;
        config.session.queue.items = 10;
    });
    let mut busy = scene.client(4, "CONNECT client_id=busy");
    // Every way to put `+` into thirteen levels.
    let mut filters = String::from("SUBSCRIBE id=1");
    for mask in 0..FILTERS {
        let level = |bit: usize| if mask >> bit & 1 == 1 { "+" } else { "a" };
        let filter: Vec<_> = (0..13).map(level).collect();
        write!(filters, " filter={} options=0", filter.join("/")).expect("a string takes all");
    }
    busy.send(&filters).expect("sent");
    busy.next_packet().expect("an answer").expect("SUBACK");
    let before = scene.stats().mqtt.work;
    let topic = ["a"; 13].join("/");
    let rounds = 2_000;
    let message = bytes(4, &format!("PUBLISH topic={topic} payload=x"));
    busy.send_bytes(&message.repeat(rounds)).expect("sent");
    scene.goes_on();
    let work = scene.stats().mqtt.work - before;
    let whole = (rounds * FILTERS * 2) as u64;
    assert!(work < whole, "answered only after all {whole} steps");
    busy.cut();
    scene.goes_on();
}
