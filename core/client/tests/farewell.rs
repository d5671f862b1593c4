//! Ends that wait for what is under way, and repetitions that ask first.
#![allow(missing_docs)]

mod peer;

use std::time::Duration;

use peer::{Events, Server, deadline, open};
use ternmq_client::link::{Event, Link, Status};
use ternmq_client::{Backoff, Target};
use ternmq_protocol::client::{Cause, Event as SessionEvent};
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::{Message, ReasonCode, Time};

const NORMAL: ReasonCode = ReasonCode::NORMAL_DISCONNECTION;
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

fn message(qos: QoS) -> Message {
    Message::new("t", b"x", qos, false, Properties::EMPTY, Time(0)).unwrap()
}

fn wait_for(link: &Link, status: Status) {
    let seen = link.wait(deadline(), |s| (s.status() == status).then_some(()));
    assert!(seen.is_some(), "{status:?}, but it is {link:?}");
}

fn retrying() -> Backoff {
    Backoff {
        min: Duration::from_millis(1),
        max: Duration::from_millis(1),
        ..Backoff::default()
    }
}

#[test]
fn a_disconnect_waits_for_acknowledgements() {
    let server = Server::start();
    let (link, _) = open(server.options());
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    link.publish(message(QoS::AtLeastOnce)).unwrap();
    let (first, ..) = conn.expect_publish();
    let asked = link.disconnect_when_done(LONG, NORMAL, Properties::EMPTY);
    assert_eq!(asked, Ok(true));
    link.publish(message(QoS::AtLeastOnce)).unwrap();
    let (second, ..) = conn.expect_publish();
    conn.send_puback(first);
    conn.send_puback(second);
    conn.expect_disconnect();
    conn.expect_end();
    wait_for(&link, Status::Closed);
}

#[test]
fn a_disconnect_waits_no_longer_than_it_is_told() {
    let server = Server::start();
    let (link, _) = open(server.options());
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    link.publish(message(QoS::ExactlyOnce)).unwrap();
    conn.expect_publish();
    let patience = Duration::from_millis(20);
    let asked = link.disconnect_when_done(patience, NORMAL, Properties::EMPTY);
    assert_eq!(asked, Ok(true));
    conn.expect_disconnect();
    conn.expect_end();
    wait_for(&link, Status::Closed);
}

#[test]
fn a_connection_lost_during_a_farewell_is_not_made_again() {
    let server = Server::start();
    let (link, _) = open(server.options().reconnect(retrying()));
    let mut events = Events::of(&link);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    link.publish(message(QoS::AtLeastOnce)).unwrap();
    conn.expect_publish();
    link.disconnect_when_done(LONG, NORMAL, Properties::EMPTY)
        .unwrap();
    drop(conn);
    wait_for(&link, Status::Closed);
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Connected(_))
    ));
    assert!(matches!(
        events.next(),
        Event::Session(SessionEvent::Disconnected {
            cause: Cause::Lost,
            ..
        })
    ));
}

#[test]
fn a_farewell_ends_with_its_connection() {
    let server = Server::start();
    let (link, _) = open(server.options());
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    link.publish(message(QoS::AtLeastOnce)).unwrap();
    conn.expect_publish();
    let asked = link.disconnect_when_done(LONG, NORMAL, Properties::EMPTY);
    assert_eq!(asked, Ok(true));
    link.disconnect(NORMAL, Properties::EMPTY).unwrap();
    conn.expect_disconnect();
    conn.expect_end();
    wait_for(&link, Status::Closed);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    // The message that was under way comes again; then nothing is left to wait for.
    let token = link.publish(message(QoS::AtLeastOnce)).unwrap();
    for _ in 0..2 {
        let (id, ..) = conn.expect_publish();
        conn.send_puback(id);
    }
    let done = link.wait(deadline(), |s| (!s.is_pending(token)).then_some(()));
    assert!(done.is_some());
    link.publish(message(QoS::AtLeastOnce)).unwrap();
    conn.expect_publish();
}

#[test]
fn a_reconnection_asks_first_and_tells_where_it_went() {
    let server = Server::start();
    let mut options = server.options().reconnect(retrying());
    let nobody = "127.0.0.1:1".parse().unwrap();
    options.endpoints.insert(0, Target::Server(nobody));
    let (link, _) = open(options);
    let mut events = Events::of(&link);
    link.ask_before_retry(true);
    assert_eq!(link.endpoint(), None);
    link.connect().unwrap();
    drop(server.accept_mqtt(false));
    while !matches!(events.next(), Event::RetryDue) {}
    assert_eq!(link.endpoint(), Some(1), "nobody listens at the first");
    assert_eq!(link.status(), Status::Waiting);
    link.reconfigure(|options| options.session.user_name = Some("anew".into()));
    link.connect().unwrap();
    let _conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
}
