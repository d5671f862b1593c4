//! A connection that is lost and made again: what is told of it, and what happens meanwhile.
#![allow(missing_docs)]

mod peer;

use std::time::Duration;

use peer::{Server, deadline, open};
use ternmq_client::link::{Event, Link, Status};
use ternmq_client::{Backoff, ConnectOptions};
use ternmq_protocol::client::{Cause, Event as SessionEvent};
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::{Message, ReasonCode, Time};

/// Long enough that no test sees its end.
const WAIT: Duration = Duration::from_secs(600);

fn message() -> Message {
    let qos = QoS::AtLeastOnce;
    Message::new("t", b"x", qos, false, Properties::EMPTY, Time(0)).unwrap()
}

fn wait_for(link: &Link, status: Status) {
    let seen = link.wait(deadline(), |s| (s.status() == status).then_some(()));
    assert!(seen.is_some(), "{status:?}, but it is {link:?}");
}

fn options(server: &Server) -> ConnectOptions {
    server.options().reconnect(Backoff {
        min: WAIT,
        max: WAIT,
        jitter: 0.0,
        ..Backoff::default()
    })
}

#[test]
fn a_planned_retry_is_told_before_the_loss_and_the_link_stays_held() {
    let server = Server::start();
    let (link, _) = open(options(&server));
    assert!(!link.is_held());
    link.connect().unwrap();
    let conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    assert!(link.is_held());
    drop(conn);
    wait_for(&link, Status::Waiting);
    assert!(link.is_held() && !link.is_connected());
    let mut events = Vec::new();
    link.take_events(&mut events);
    assert!(
        matches!(
            events.as_slice(),
            [
                Event::ConnectBegun,
                Event::Session(SessionEvent::Connected(_)),
                Event::RetryPlanned { after: WAIT },
                Event::Session(SessionEvent::Disconnected {
                    cause: Cause::Lost,
                    ..
                })
            ]
        ),
        "{events:?}"
    );
    assert_eq!(link.stats().losses, 1);
    link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY)
        .unwrap();
    wait_for(&link, Status::Closed);
    assert!(!link.is_held());
}

#[test]
fn a_connection_that_is_left_for_good_is_held_no_more() {
    let server = Server::start();
    let (link, _) = open(options(&server));
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY)
        .unwrap();
    assert!(!link.is_held());
    conn.expect_disconnect();
    wait_for(&link, Status::Closed);
    assert!(!link.is_held());
    assert_eq!(link.stats().losses, 0);
}

#[test]
fn a_connection_that_is_renewed_is_made_again() {
    let server = Server::start();
    let (link, _) = open(options(&server));
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
    link.renew();
    conn.expect_disconnect();
    wait_for(&link, Status::Waiting);
    assert!(link.is_held());
    link.connect().unwrap();
    let _again = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
}

#[test]
fn an_attempt_may_be_asked_for_while_a_wait_is_being_ended() {
    let server = Server::start();
    let (link, _) = open(options(&server));
    link.connect().unwrap();
    for _ in 0..50 {
        let conn = server.accept_mqtt(false);
        wait_for(&link, Status::Connected);
        drop(conn);
        wait_for(&link, Status::Waiting);
        link.take_events(&mut Vec::new());
        link.close();
        link.connect().unwrap();
        let events = link.wait(deadline(), |state| {
            let told = state.events().iter();
            let told = told.map(|event| matches!(event, Event::ConnectBegun));
            let told: Vec<bool> = told.collect();
            told.contains(&true).then_some(told)
        });
        assert_eq!(
            events,
            Some(vec![false, true]),
            "first the end, then the new one"
        );
    }
    let _last = server.accept_mqtt(false);
    wait_for(&link, Status::Connected);
}

#[test]
fn a_publish_that_was_dropped_is_known_until_its_token_is_used_again() {
    let server = Server::start();
    let mut options = options(&server);
    options.session.max_queued_messages = 1;
    options.session.drop_oldest = true;
    let (link, _) = open(options);
    let first = link.publish(message()).unwrap();
    let second = link.publish(message()).unwrap();
    let dropped = |token| {
        let look = |state: &mut ternmq_client::link::State<'_>| Some(state.was_dropped(token));
        link.wait(deadline(), look).unwrap()
    };
    assert!(dropped(first) && !dropped(second));
    let levels = link.levels();
    assert_eq!((levels.queued_messages, levels.in_flight), (1, 0));
    let mut tokens = Vec::new();
    while tokens.last() != Some(&first) {
        tokens.push(link.publish(message()).unwrap());
    }
    assert!(!dropped(first));
}
