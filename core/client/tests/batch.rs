//! Publishing several messages in one go, against a scripted server.
#![allow(missing_docs)]

mod peer;

use peer::{Server, deadline, open};
use ternmq_protocol::client::PublishRefused;
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::{Message, Time};

/// A message with a number for its payload.
fn message(n: u32) -> Message {
    let (qos, none) = (QoS::AtLeastOnce, Properties::EMPTY);
    Message::new("t", &n.to_be_bytes(), qos, false, none, Time(0)).unwrap()
}

#[test]
fn of_several_messages_the_first_are_taken_and_leave_together() {
    let server = Server::start();
    let mut options = server.options();
    options.session.max_queued_messages = 4;
    let (link, _) = open(options);
    let messages = |count: u32| (0..count).map(message);
    let (mut tokens, mut looked) = (Vec::new(), Vec::new());
    let noted = messages(6).map(|message| (message, 0));
    let refused = link.publish_all_noted(noted, &mut tokens, |new| looked.extend_from_slice(new));
    assert_eq!(refused, Err(PublishRefused::Full));
    assert_eq!(looked, tokens);
    assert_eq!(link.pending(), tokens);
    assert_eq!(tokens.len(), 4);
    link.connect().unwrap();
    let mut conn = server.accept_mqtt(false);
    let connected = link.wait(deadline(), |s| s.is_connected().then_some(()));
    assert!(connected.is_some());
    for n in 0..4u32 {
        let (id, _, payload, _) = conn.expect_publish();
        assert_eq!(
            (id, payload),
            (tokens[n as usize].0, n.to_be_bytes().to_vec())
        );
        conn.send_puback(id);
    }
    let done = link.wait(deadline(), |s| (s.pending() == 0).then_some(()));
    assert!(done.is_some());
    let before = link.stats().writes;
    link.publish_all(messages(100), &mut tokens).unwrap();
    assert_eq!(tokens.len(), 104);
    for n in 0..100u32 {
        let (_, _, payload, _) = conn.expect_publish();
        assert_eq!(payload, n.to_be_bytes());
    }
    assert_eq!(link.stats().writes, before + 1);
}
