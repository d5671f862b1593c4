//! What a running broker holds is saved again and again.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use support::{ANY_PORT, client, publish, silent, start, subscribe};
use ternmq_broker::store::{FolderStore, Saved, StoreError};
use ternmq_broker::{Broker, Config, Event, Placement};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

/// A folder for this test alone, empty.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("saving-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a folder");
    path
}

/// A broker on a folder, and what it tells.
fn on(folder: &Path, every: Option<Duration>) -> (Broker, Receiver<Event>) {
    let store = FolderStore::open(folder).expect("a folder");
    let (events, told) = sync_channel(1024);
    let broker = start(Config {
        shards: 2,
        placement: Placement::ByClientId,
        store: Some(Arc::new(store)),
        save_interval: every,
        events: Some(events),
        ..Config::listen(ANY_PORT)
    });
    (broker, told)
}

/// Waits for a save that has begun after this call.
fn saved(told: &Receiver<Event>) -> Saved {
    while told.try_recv().is_ok() {}
    // The first one may have been under way.
    next_save(told).expect("saved");
    next_save(told).expect("saved")
}

fn next_save(told: &Receiver<Event>) -> Result<Saved, StoreError> {
    loop {
        match told.recv_timeout(PATIENCE).expect("an event") {
            Event::Saved { saved, .. } => return Ok(saved),
            Event::NotSaved(error) => return Err(error),
            _ => {}
        }
    }
}

/// A client that keeps its session, and whether it was there.
fn durable(broker: &Broker, client_id: &str) -> (RawPeer, bool) {
    let mut peer = silent(broker, 4);
    let connect = format!("CONNECT client_id={client_id} clean_start=0");
    peer.send(&connect).expect("sent");
    let connack = peer.expect("CONNACK reason=0").expect("CONNACK");
    (peer, connack.number("session_present", 0) == 1)
}

/// What a broker would find that starts now, after this one had crashed.
fn after_a_crash(folder_of_the_other: &Path, name: &str) -> Broker {
    let copy = folder(name);
    fs::copy(folder_of_the_other.join("records"), copy.join("records")).expect("copied");
    on(&copy, None).0
}

const OFTEN: Option<Duration> = Some(Duration::from_millis(1));

#[test]
fn a_crash_loses_what_came_since_the_last_save_and_nothing_else() {
    let own = folder("own");
    let (broker, told) = on(&own, OFTEN);
    let mut publisher = client(&broker, 4, "publisher");
    for round in 1..=3 {
        let (mut peer, present) = durable(&broker, "reader");
        assert_eq!(present, round > 1);
        subscribe(&mut peer, &format!("t/{round}"), 1);
        drop(peer);
        publish(&mut publisher, &format!("t/{round}"), 1, "waits");
        publisher
            .send(&format!(
                "PUBLISH topic=kept/{round} qos=1 id=9 retain=1 payload=x"
            ))
            .expect("sent");
        publisher.expect("PUBACK id=9").expect("PUBACK");
        let saved = saved(&told);
        assert_eq!((saved.sessions, saved.retained), (1, round));
        let next = after_a_crash(&own, &format!("crash-{round}"));
        let found = next.restoration().expect("a store");
        assert_eq!((found.sessions, found.retained), (1, round));
        assert!(found.damaged == 0 && !found.cut, "{found:?}");
        let (mut peer, present) = durable(&next, "reader");
        assert!(present);
        // This round's message waits there; the running broker has delivered the one before.
        let got = peer.expect("PUBLISH qos=1 payload=waits").expect("it");
        assert_eq!(got.text("topic", ""), format!("t/{round}"));
        for topic in 1..=round {
            publish(&mut peer, &format!("t/{topic}"), 0, "live");
            peer.expect(&format!("PUBLISH topic=t/{topic} payload=live"))
                .expect("subscribed");
        }
        next.stop().expect("saved");
        let (mut peer, _) = durable(&broker, "reader");
        let got = peer.expect("PUBLISH qos=1 payload=waits").expect("it");
        let id = got.number("id", 0);
        peer.send(&format!("PUBACK id={id}")).expect("sent");
        peer.send("DISCONNECT").expect("sent");
        peer.expect_close().expect("closed");
    }
    assert!(broker.stats().saves >= 6);
    broker.stop().expect("saved");
}

#[test]
fn messages_flow_while_everything_is_saved_all_the_time() {
    let own = folder("busy");
    let (broker, told) = on(&own, OFTEN);
    for n in 0..200 {
        let (mut peer, _) = durable(&broker, &format!("away-{n}"));
        subscribe(&mut peer, "t", 1);
    }
    let (mut reader, _) = durable(&broker, "reader");
    subscribe(&mut reader, "t", 1);
    let mut publisher = client(&broker, 4, "publisher");
    for n in 0..300 {
        publish(&mut publisher, "t", 1, &n.to_string());
        let got = reader.expect("PUBLISH topic=t qos=1").expect("it");
        assert_eq!(got.text("payload", ""), n.to_string());
        let id = got.number("id", 0);
        reader.send(&format!("PUBACK id={id}")).expect("sent");
    }
    assert_eq!(saved(&told).sessions, 201);
    let next = after_a_crash(&own, "busy-crash");
    assert_eq!(next.restoration().expect("a store").sessions, 201);
    let stats = next.stats();
    // 300 for each that is away; the reader's last acknowledgement may have come since.
    assert!(
        (60_000..=60_001).contains(&stats.mqtt.restored),
        "{stats:?}"
    );
    let stats = broker.stats();
    assert_eq!((stats.saves_failed, stats.mqtt.dropped.total()), (0, 0));
}

#[test]
fn a_save_that_fails_is_told_and_tried_again() {
    let own = folder("gone");
    let (broker, told) = on(&own, OFTEN);
    let (mut peer, _) = durable(&broker, "reader");
    subscribe(&mut peer, "t", 1);
    saved(&told);
    let elsewhere = folder("elsewhere");
    fs::rename(&own, &elsewhere).expect("moved away");
    let error = loop {
        if let Err(error) = next_save(&told) {
            break error;
        }
    };
    assert!(matches!(error, StoreError::System(_)), "{error}");
    fs::rename(&elsewhere, &own).expect("moved back");
    while next_save(&told).is_err() {}
    assert!(broker.stats().saves_failed > 0);
    let next = after_a_crash(&own, "gone-crash");
    assert_eq!(next.restoration().expect("a store").sessions, 1);
}

#[test]
fn nobody_but_the_owner_reads_what_was_saved() {
    let own = folder("private");
    let (broker, told) = on(&own, OFTEN);
    saved(&told);
    let mode = fs::metadata(own.join("records")).expect("there").mode();
    assert_eq!(mode & 0o777, 0o600);
    broker.stop().expect("saved");
    let mode = fs::metadata(own.join("records")).expect("there").mode();
    assert_eq!(mode & 0o777, 0o600);
}
