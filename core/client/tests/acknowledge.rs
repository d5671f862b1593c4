//! Manual acknowledgements, against a server that uses Packet Identifiers again.

mod peer;

use std::time::Duration;

use peer::{Conn, PATIENCE, Server};
use ternmq_client::{Backoff, ReasonCode, Received, blocking};
use ternmq_protocol::client::Acknowledge;
use ternmq_protocol::codec::{Packet, QoS};

fn connect(server: &Server) -> (blocking::Client, Conn) {
    let mut options = server.options();
    options.session.acknowledge = Acknowledge::Manual;
    options.reconnect = Some(Backoff {
        min: Duration::ZERO,
        ..Backoff::default()
    });
    let connecting = std::thread::spawn(|| blocking::Client::connect(options).unwrap());
    let conn = server.accept_mqtt(false);
    (connecting.join().unwrap(), conn)
}

fn subscribe(client: &blocking::Client, conn: &mut Conn, filter: &str) -> blocking::Subscription {
    std::thread::scope(|scope| {
        let subscribing = scope.spawn(|| client.subscribe(filter, QoS::AtLeastOnce).unwrap());
        conn.grant();
        subscribing.join().unwrap()
    })
}

/// PUBLISH with topic t, QoS 1 and Packet Identifier 7.
fn send(conn: &mut Conn, payload: u8) {
    conn.send(&[0x32, 7, 0, 1, b't', 0, 7, 0, payload]);
}

fn take(messages: &mut blocking::Subscription, payload: u8) -> Received {
    let received = messages.next_timeout(PATIENCE).unwrap();
    assert_eq!(received.payload(), [payload]);
    received
}

fn expect_puback(conn: &mut Conn) {
    conn.expect(|packet| match packet {
        Packet::PubAck(ack) => assert_eq!(ack.packet_id, 7),
        other => panic!("not a PUBACK: {other:?}"),
    });
}

#[test]
fn after_a_reconnection_it_does_not_mean_a_new_message() {
    let server = Server::start();
    let (client, mut conn) = connect(&server);
    let mut messages = subscribe(&client, &mut conn, "t");
    send(&mut conn, b'1');
    let old = take(&mut messages, b'1');
    drop(conn);
    let mut conn = server.accept_mqtt(false);
    conn.grant();
    send(&mut conn, b'2');
    let new = take(&mut messages, b'2');
    assert!(!client.acknowledge(&old, ReasonCode::SUCCESS));
    assert!(client.acknowledge(&new, ReasonCode::SUCCESS));
    expect_puback(&mut conn);
}

#[test]
fn of_a_message_that_two_subscriptions_got_counts_once() {
    let server = Server::start();
    let (client, mut conn) = connect(&server);
    let mut exact = subscribe(&client, &mut conn, "t");
    let mut all = subscribe(&client, &mut conn, "#");
    send(&mut conn, b'1');
    let (first, twin) = (take(&mut exact, b'1'), take(&mut all, b'1'));
    assert!(client.acknowledge(&first, ReasonCode::SUCCESS));
    expect_puback(&mut conn);
    send(&mut conn, b'2');
    let next = take(&mut exact, b'2');
    assert!(!client.acknowledge(&twin, ReasonCode::SUCCESS));
    assert!(client.acknowledge(&next, ReasonCode::SUCCESS));
    expect_puback(&mut conn);
}
