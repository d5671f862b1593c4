//! Clients that get their messages late, over real sockets.

mod support;

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use support::{ANY_PORT, client, publish, start, start_listening, subscribe, until};
use ternmq_broker::{Broker, Config, Event, Latency, Placement, SlowLimits, SlowSubscriber};
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::{Message, Time};

/// Nobody is late by accident, also on a busy machine.
const THRESHOLD: u64 = 2_000;

/// A broker of two shards, and what it tells.
fn watching(latency: Latency) -> (Broker, Receiver<Event>) {
    let (tell, told) = sync_channel(16);
    let mut config = Config {
        shards: 2,
        placement: Placement::ByClientId,
        slow: Some(SlowLimits {
            latency,
            threshold_ms: THRESHOLD,
            ..SlowLimits::default()
        }),
        events: Some(tell),
        ..Config::listen(ANY_PORT)
    };
    config.session.outbound_bytes = 4_096;
    (start_listening(config, &told), told)
}

/// Returns once the broker's clock shows that the threshold has passed since `from`, or since now.
fn let_it_be_late(broker: &Broker) {
    let from = broker.now();
    until(broker, |_| broker.now().since(from) > THRESHOLD);
}

fn the_only(list: &[SlowSubscriber]) -> &SlowSubscriber {
    let [only] = list else {
        panic!("one entry, not {list:?}");
    };
    only
}

fn told_of(told: &Receiver<Event>) -> SlowSubscriber {
    match told.recv() {
        Ok(Event::SlowSubscriber(subscriber)) => subscriber,
        other => panic!("not a slow subscriber: {other:?}"),
    }
}

#[test]
fn who_acknowledges_late_is_listed_and_told_of_and_nobody_else() {
    let (broker, told) = watching(Latency::Whole);
    let names = ["late1", "late2", "late3"];
    let mut late = names.map(|name| client(&broker, 5, name));
    for (peer, name) in late.iter_mut().zip(names) {
        subscribe(peer, &format!("to/{name}"), 1);
    }
    let mut prompt = client(&broker, 4, "prompt");
    subscribe(&mut prompt, "to/#", 2);
    let mut publisher = client(&broker, 4, "p");
    for name in names {
        publish(&mut publisher, &format!("to/{name}"), 1, "x");
        let packet = prompt.expect("PUBLISH qos=1").expect("PUBLISH");
        let id = packet.number("id", 0);
        prompt.send(&format!("PUBACK id={id}")).expect("sent");
    }
    until(&broker, |stats| stats.mqtt.acknowledged == 3);
    assert_eq!(broker.slow_subscribers(), []);
    let_it_be_late(&broker);
    for (n, peer) in late.iter_mut().enumerate() {
        peer.expect("PUBLISH id=1").expect("PUBLISH");
        peer.send("PUBACK id=1").expect("sent");
        until(&broker, |stats| stats.mqtt.acknowledged == 4 + n as u64);
    }
    let list = broker.slow_subscribers();
    let mut found: Vec<&str> = list.iter().map(|s| &*s.client_id).collect();
    found.sort_unstable();
    assert_eq!(found, names, "of both shards");
    let by_latency = |pair: &[SlowSubscriber]| pair[0].latency_ms >= pair[1].latency_ms;
    assert!(list.windows(2).all(by_latency), "{list:?}");
    for entry in &list {
        assert!(entry.latency_ms > THRESHOLD && entry.late == 1, "{entry:?}");
        assert_eq!(*entry.topic, format!("to/{}", entry.client_id));
        assert!(entry.updated <= broker.now());
    }
    let mut events: Vec<_> = names.iter().map(|_| told_of(&told)).collect();
    events.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    for (event, name) in events.iter().zip(names) {
        assert_eq!(*event.client_id, *name);
    }
    broker.clear_slow_subscribers();
    assert_eq!(broker.slow_subscribers(), []);
    assert_eq!(broker.stats().mqtt.late_deliveries, 3);
    broker.stop().expect("a clean stop");
    assert!(matches!(told.recv(), Ok(Event::ListenerClosed(_))));
    assert!(told.recv().is_err(), "each is told of once");
}

#[test]
fn when_many_are_late_at_once_they_are_told_of_little_by_little_and_none_is_left_out() {
    let (tell, told) = sync_channel(32);
    let config = Config {
        shards: 1,
        slow: Some(SlowLimits {
            threshold_ms: 20,
            entries: 25,
            ..SlowLimits::default()
        }),
        events: Some(tell),
        ..Config::listen(ANY_PORT)
    };
    let broker = start_listening(config, &told);
    let mut late: Vec<_> = (0..25)
        .map(|n| client(&broker, 5, &format!("c{n:02}")))
        .collect();
    for peer in &mut late {
        subscribe(peer, "t", 1);
    }
    publish(&mut client(&broker, 4, "p"), "t", 1, "x");
    for peer in &mut late {
        peer.expect("PUBLISH id=1").expect("PUBLISH");
    }
    let from = broker.now();
    until(&broker, |_| broker.now().since(from) > 20);
    let begun = Instant::now();
    for peer in &mut late {
        peer.send("PUBACK id=1").expect("sent");
    }
    let mut names: Vec<_> = late.iter().map(|_| told_of(&told).client_id).collect();
    // Three times 10 at most, a second between them.
    assert!(
        begun.elapsed().as_millis() >= 1_990,
        "{:?}",
        begun.elapsed()
    );
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 25);
}

#[test]
fn who_reads_slowly_is_listed_with_any_qos_and_nobody_else() {
    for qos in [0, 1] {
        let (broker, told) = watching(Latency::Internal);
        let mut slow = client(&broker, 5, "slow");
        subscribe(&mut slow, "#", qos);
        let mut prompt = client(&broker, 5, "prompt");
        subscribe(&mut prompt, "#", 0);
        let mut publisher = client(&broker, 4, "p");
        let payload = "x".repeat(60_000);
        let mut count = 0;
        // Until the buffers of its socket are full, and the broker's.
        while broker.stats().mqtt.queued < 3 {
            publish(&mut publisher, "t", qos, &payload);
            prompt.expect("PUBLISH topic=t").expect("PUBLISH");
            count += 1;
        }
        let_it_be_late(&broker);
        for _ in 0..count {
            let packet = slow.expect("PUBLISH topic=t").expect("PUBLISH");
            if qos == 1 {
                let id = packet.number("id", 0);
                slow.send(&format!("PUBACK id={id}")).expect("sent");
            }
        }
        let stats = until(&broker, |stats| stats.mqtt.queued == 0);
        assert_eq!(stats.mqtt.dropped.total(), 0);
        let list = broker.slow_subscribers();
        let entry = the_only(&list);
        assert_eq!((&*entry.client_id, &*entry.topic), ("slow", "t"));
        assert!(entry.latency_ms > THRESHOLD, "{entry:?}");
        assert!(entry.late >= 3 && entry.late < count, "{entry:?}");
        assert_eq!(*told_of(&told).client_id, *"slow");
    }
}

#[test]
fn a_message_published_in_process_comes_in_when_it_is_published() {
    let (broker, told) = watching(Latency::Whole);
    let mut subscriber = client(&broker, 5, "s");
    subscribe(&mut subscriber, "t", 1);
    let_it_be_late(&broker);
    let made = Time(broker.now().0 - THRESHOLD);
    let none = Properties::EMPTY;
    let message = Message::new("t", b"x", QoS::AtLeastOnce, false, none, made).expect("a message");
    broker.publish(&message).expect("taken");
    subscriber.expect("PUBLISH id=1").expect("PUBLISH");
    subscriber.send("PUBACK id=1").expect("sent");
    let stats = until(&broker, |stats| stats.mqtt.acknowledged == 1);
    assert_eq!(stats.mqtt.late_deliveries, 0);
    assert_eq!(broker.slow_subscribers(), []);
    broker.stop().expect("a clean stop");
    assert!(matches!(told.recv(), Ok(Event::ListenerClosed(_))));
    assert!(told.recv().is_err());
}

#[test]
fn by_default_nothing_is_measured() {
    let broker = start(Config::listen(ANY_PORT));
    let mut late = client(&broker, 5, "late");
    subscribe(&mut late, "t", 1);
    let mut publisher = client(&broker, 4, "p");
    publish(&mut publisher, "t", 1, "x");
    late.expect("PUBLISH id=1").expect("PUBLISH");
    let_it_be_late(&broker);
    late.send("PUBACK id=1").expect("sent");
    let stats = until(&broker, |stats| stats.mqtt.acknowledged == 1);
    assert_eq!(stats.mqtt.late_deliveries, 0);
    assert_eq!(broker.slow_subscribers(), []);
    broker.clear_slow_subscribers();
}
