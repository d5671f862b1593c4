//! Traces of a client.

mod support;

use std::time::Instant;

use support::{broker, client, silent, spread, subscribe};
use ternmq_broker::{Broker, MAX_TRACES, Trace, TraceError, Traced, TracedPart};
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

fn next(trace: &Trace) -> Traced {
    trace.next(Instant::now() + PATIENCE).expect("a part")
}

/// All bytes to and from the client, of each connection, until so many have ended.
fn until_closed(trace: &Trace, ended: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut connections: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut closed = 0;
    while closed < ended {
        let part = next(trace);
        let at = part.connection as usize;
        if connections.len() <= at {
            connections.resize(at + 1, Default::default());
        }
        let (received, sent) = &mut connections[at];
        match part.what {
            TracedPart::Opened => assert!(received.is_empty() && sent.is_empty()),
            TracedPart::Received(before, bytes) => {
                assert_eq!(before, received.len() as u64);
                received.extend_from_slice(&bytes);
            }
            TracedPart::Sent(before, bytes) => {
                assert_eq!(before, sent.len() as u64);
                sent.extend_from_slice(&bytes);
            }
            TracedPart::Closed => closed += 1,
        }
    }
    connections
}

/// Connects, publishes and goes.
fn visit(broker: &Broker, client_id: &str) {
    let mut peer = silent(broker, 5);
    let connect = format!("CONNECT client_id={client_id} username=anna password=secret");
    peer.send(&connect).expect("sent");
    peer.expect("CONNACK reason=0").expect("let in");
    peer.send("PUBLISH topic=a qos=1 id=7 payload=hello")
        .expect("sent");
    peer.expect("PUBACK id=7").expect("taken");
    peer.send("DISCONNECT").expect("sent");
    peer.expect_close().expect("closed");
}

/// Connections come in at one shard, and go to that of their session.
#[test]
fn a_client_is_traced_from_its_connect_on_without_its_password() {
    let broker = spread(4);
    let tracer = broker.tracer();
    for n in 0..8 {
        let id = format!("c{n}");
        let trace = tracer.trace(&id).expect("a trace");
        visit(&broker, "other");
        visit(&broker, &id);
        visit(&broker, &id);
        let connections = until_closed(&trace, 2);
        assert_eq!(connections.len(), 2);
        for (received, sent) in connections {
            let text = String::from_utf8_lossy(&received).into_owned();
            assert_eq!(received[0], 0x10);
            assert!(
                text.contains("anna\0\x06******") && text.contains("hello"),
                "{text:?}"
            );
            assert!(text.ends_with("\u{fffd}\0"), "{text:?}");
            assert_eq!(sent[0], 0x20);
            let puback = [0x40, 3, 0, 7];
            assert!(sent.windows(4).any(|bytes| bytes == puback), "{sent:?}");
        }
        assert_eq!(trace.lost(), 0);
    }
}

#[test]
fn a_connection_that_is_there_is_traced_from_its_next_packet_on() {
    let broker = broker();
    let mut peer = client(&broker, 4, "here");
    subscribe(&mut peer, "t", 0);
    // Half a PINGREQ came before.
    let before = broker.stats().bytes_in;
    peer.send_bytes(&[0xC0]).expect("sent");
    support::until(&broker, |stats| stats.bytes_in > before);
    let trace = broker.tracer().trace("here").expect("a trace");
    peer.send_bytes(&[0]).expect("sent");
    peer.expect("PINGRESP").expect("an answer");
    peer.send("PUBLISH topic=t payload=x").expect("sent");
    peer.expect("PUBLISH payload=x").expect("its own message");
    drop(peer);
    let connections = until_closed(&trace, 1);
    let (received, sent) = &connections[0];
    assert_eq!(received, b"\x30\x04\0\x01tx");
    assert_eq!(sent, b"\xd0\0\x30\x04\0\x01tx");
}

#[test]
fn there_are_only_so_many_and_they_end_with_the_broker() {
    let broker = broker();
    let tracer = broker.tracer();
    let traces: Vec<Trace> = (0..MAX_TRACES)
        .map(|_| tracer.trace("a").expect("a trace"))
        .collect();
    assert_eq!(tracer.trace("a").expect_err("full"), TraceError::TooMany);
    drop(traces);
    let trace = tracer.trace("a").expect("room again");
    visit(&broker, "a");
    broker.stop().expect("no failure");
    assert_eq!(until_closed(&trace, 1).len(), 1);
    trace.next(Instant::now() + PATIENCE).expect_err("over");
    assert_eq!(tracer.trace("a").expect_err("over"), TraceError::Ended);
}

#[test]
fn what_nobody_reads_is_lost_and_counted_and_holds_up_nobody() {
    let broker = broker();
    let trace = broker.tracer().trace("loud").expect("a trace");
    let mut peer: RawPeer = client(&broker, 4, "loud");
    // Twelve megabytes; eight may wait.
    let payload = "x".repeat(100_000);
    for id in 1..=120 {
        let publish = format!("PUBLISH topic=t qos=1 id={id} payload={payload}");
        peer.send(&publish).expect("sent");
        peer.expect("PUBACK").expect("taken");
    }
    assert!(trace.lost() > 0);
    assert_eq!(next(&trace).what, TracedPart::Opened);
}
