//! Session state that outlives the process.

use super::*;

fn texts(session: &ClientSession) -> Vec<String> {
    let mut texts: Vec<String> = session
        .stored()
        .map(|stored| match stored {
            Stored::Publish {
                packet_id,
                message,
                sent,
            } => {
                format!("#{packet_id} {} sent={sent}", message.topic())
            }
            Stored::Pubrel { packet_id } => format!("#{packet_id} pubrel"),
            Stored::Received { packet_id } => format!("#{packet_id} received"),
        })
        .collect();
    texts[..2].sort();
    texts
}

fn busy() -> Peer {
    let mut few = keeping(V5);
    few.max_inflight = 3;
    let mut peer = Peer::connected(few);
    for (topic, qos) in [("a", 1), ("b", 2), ("c", 2), ("d", 1), ("e", 2)] {
        peer.publish(topic, QoS::from_bits(qos).unwrap()).unwrap();
    }
    peer.puback(1);
    peer.pubrec(2);
    peer.give_publish("in", QoS::ExactlyOnce, 7, false);
    peer.give_publish("in", QoS::ExactlyOnce, 8, false);
    let filter = [("s", Default::default())];
    peer.session
        .subscribe(peer.now, &filter, Properties::EMPTY)
        .unwrap();
    peer
}

#[test]
fn a_session_restored_goes_on_where_it_was() {
    let before = busy();
    let state = [
        "#7 received",
        "#8 received",
        "#3 c sent=true",
        "#4 d sent=true",
        "#2 pubrel",
        "#5 e sent=false",
    ];
    assert_eq!(texts(&before.session), state);
    let mut after = Peer::new(keeping(V5));
    for stored in before.session.stored() {
        assert!(after.session.restore(stored));
    }
    assert_eq!(texts(&after.session), state);
    after.open(true, Properties::EMPTY);
    assert_eq!(
        after.sent(),
        [
            "PUBREL #2",
            "PUBLISH c q2 #3 dup",
            "PUBLISH d q1 #4 dup",
            "PUBLISH e q2 #5"
        ]
    );
    after.give_publish("in", QoS::ExactlyOnce, 7, true);
    assert_eq!(after.events(), [""; 0]);
    assert_eq!(after.publish("f", QoS::AtLeastOnce), Ok(Token(6)));
}

#[test]
fn what_can_not_be_restored_is_refused() {
    let mut peer = Peer::new(keeping(V5));
    let publish = |packet_id, qos| Stored::Publish {
        packet_id,
        message: message("a", qos),
        sent: true,
    };
    assert!(peer.session.restore(publish(4, QoS::AtLeastOnce)));
    assert!(
        !peer.session.restore(publish(4, QoS::AtLeastOnce)),
        "in use"
    );
    assert!(!peer.session.restore(publish(0, QoS::AtLeastOnce)));
    assert!(!peer.session.restore(publish(5, QoS::AtMostOnce)));
    assert!(!peer.session.restore(Stored::Received { packet_id: 0 }));
    peer.open(true, Properties::EMPTY);
    assert!(
        !peer.session.restore(publish(6, QoS::AtLeastOnce)),
        "connected"
    );
}

#[test]
fn the_steps_of_qos_2_are_told_on_request() {
    let mut options = keeping(V5);
    options.report_progress = true;
    let mut peer = Peer::connected(options);
    peer.publish("a", QoS::ExactlyOnce).unwrap();
    peer.pubrec(1);
    peer.pubrec(1);
    peer.pubcomp(1);
    peer.give_publish("in", QoS::ExactlyOnce, 7, false);
    peer.pubrel(7);
    assert_eq!(
        peer.events(),
        [
            "progress Released(Token(1))",
            "published #1",
            "message in q2 #7",
            "progress Completed(7)"
        ]
    );
}
