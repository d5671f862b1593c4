//! The same steps under both libraries, against servers with the same manners: return codes, callbacks
//! with their arguments, and packets are compared. What may differ stands here line by line, and with
//! its reason in ffi-c/COMPATIBILITY.md.
#![allow(missing_docs)]

use Library::{Ours, Paho};
use ternmq_test_abi::actor::{Actor, Library, Said};
use ternmq_test_abi::peer::{Manners, Peer, publish};

/// What can be seen of a run.
#[derive(Debug, PartialEq)]
struct Seen {
    steps: String,
    /// Callbacks in the order of each kind, for threads may interleave kinds, and what `returned` says.
    callbacks: Vec<String>,
    /// What the server got, sorted: acknowledgements may go out earlier or later.
    packets: Vec<String>,
}

fn observe(actor: &Actor, library: Library, v5: bool, manners: &Manners, steps: &str) -> Seen {
    let peer = Peer::start(manners.clone());
    let version = if v5 { 5 } else { 4 };
    let steps = format!("version:{version} clean:1 {steps}");
    let said: Said = actor.run(library, &peer.uri(), &steps);
    let kinds = [
        "arrived",
        "delivered",
        "published",
        "lost,",
        "disconnected",
        "  ",
    ];
    let callbacks = kinds.iter().flat_map(|kind| said.lines(kind));
    let mut callbacks: Vec<String> = callbacks.map(str::to_owned).collect();
    if !v5 {
        // Of MQTT 5.0 Paho never says that there was a session.
        callbacks.extend(said.lines("returned").into_iter().map(str::to_owned));
    }
    let mut packets = peer.seen();
    packets.sort();
    Seen {
        steps: said.steps(),
        callbacks,
        packets,
    }
}

/// Both libraries show the same.
fn same(v5: bool, manners: Manners, steps: &str) {
    let actor = Actor::build();
    let ours = observe(&actor, Ours, v5, &manners, steps);
    // On a busy machine Paho at times keeps a message of QoS 2 for ever that comes with CONNACK: such a run
    // shows no habit of Paho's. Ours has one try.
    let mut tries = (0..3).map(|_| observe(&actor, Paho, v5, &manners, steps));
    let in_time = |seen: &Seen| !seen.steps.contains("too late");
    let paho = tries.find(in_time).expect("a run of Paho that is in time");
    assert_eq!(ours, paho, "{steps}");
}

/// Both libraries show the same but for what the steps said.
fn differs(v5: bool, manners: Manners, steps: &str, ours: &str, paho: &str) {
    let actor = Actor::build();
    let said = |library| observe(&actor, library, v5, &manners, steps).steps;
    assert_eq!(said(Ours), ours, "{steps}");
    assert_eq!(said(Paho), paho, "{steps}");
}

fn greeting(v5: bool, messages: &[(u8, u8, &str)]) -> Manners {
    let packets = messages.iter();
    let packets = packets.map(|(qos, id, payload)| publish(v5, *qos, *id, payload));
    Manners {
        greeting: packets.collect::<Vec<_>>().concat(),
        ..Manners::polite(v5)
    }
}

/// One message at a time: Paho hands out one for each packet that comes in, so that several may wait for
/// ever.
#[test]
fn messages_both_ways_with_every_qos() {
    for v5 in [false, true] {
        for (qos, id) in [(0, 0), (1, 7), (2, 8)] {
            same(
                v5,
                greeting(v5, &[(qos, id, "x")]),
                "create callbacks callbacks5 connect arrived:1 subscribe:a:1 publish:a:none:0 \
                 publish:a:one:1:1 delivered:1 publish:a:two:2 delivered:2 publish:a::1 delivered:3 \
                 pending unsubscribe:a connected disconnect:1000 connected destroy",
            );
        }
    }
}

#[test]
fn messages_fetched_without_callbacks() {
    for v5 in [false, true] {
        let manners = greeting(v5, &[(0, 0, "z"), (1, 7, "x")]);
        same(
            v5,
            manners,
            "create receive:10 connect receive:5000 receive:5000 receive:10 publish:a:one:1 \
             wait:1:5000 wait:1:10 wait:77:10 disconnect:1000 receive:10 wait:1:10 destroy",
        );
    }
}

#[test]
fn what_is_not_acknowledged_stays_pending_and_is_sent_again() {
    for v5 in [false, true] {
        let manners = Manners {
            session_present: true,
            ..Manners::silent(v5)
        };
        same(
            v5,
            manners,
            "clean:0 create callbacks connect publish:a:one:1 publish:a:two:2 pending wait:1:50 \
             disconnect:10 pending connect pending disconnect:10 destroy",
        );
    }
}

#[test]
fn a_clean_session_ends_with_its_connection() {
    same(
        false,
        Manners::silent(false),
        "create callbacks connect publish:a:one:1 publish:a:two:2 pending disconnect:10 pending \
         connect pending publish:a:three:1 pending disconnect:10 destroy",
    );
}

#[test]
fn calls_without_a_connection_and_a_second_end() {
    for v5 in [false, true] {
        same(
            v5,
            Manners::polite(v5),
            "create publish:a:x:0 publish:a:x:1 subscribe:a:1 unsubscribe:a disconnect:10 wait:1:10 \
             pending connected connect disconnect:10 disconnect:10 publish:a:x:1 destroy",
        );
    }
}

#[test]
fn a_server_that_goes_away_is_told_of_once() {
    for v5 in [false, true] {
        let manners = Manners {
            hangs_up_at: Some("bye"),
            ..Manners::polite(v5)
        };
        same(
            v5,
            manners,
            "create callbacks callbacks5 connect publish:a:bye:0 lost:1 connected publish:a:x:1 \
             subscribe:a:1 disconnect:10 connect connected disconnect:10 destroy",
        );
    }
}

#[test]
fn a_server_that_falls_silent_is_noticed() {
    let manners = Manners {
        pingresp: false,
        ..Manners::polite(false)
    };
    let actor = Actor::build();
    let steps = "keepalive:1 create callbacks connect lost:1 connected destroy";
    let told = |library| {
        let seen = observe(&actor, library, false, &manners, steps);
        assert!(seen.packets.contains(&"c000".to_owned()), "{seen:?}");
        // How often a PINGREQ is sent, and whether a DISCONNECT is at last, may differ.
        (seen.steps, seen.callbacks)
    };
    let ours = told(Ours);
    assert_eq!(
        ours.0,
        "create: 0; callbacks: 0; connect: 0; connected: 0; end"
    );
    assert_eq!(ours, told(Paho));
}

#[test]
fn a_request_without_an_answer_ends_with_the_command_timeout() {
    let manners = Manners {
        suback: false,
        ..Manners::polite(false)
    };
    same(
        false,
        manners,
        "create callbacks timeout:4999 timeout:5000 connect subscribe:a:1 lost:1 connected \
         disconnect:10 destroy",
    );
}

/// Paho offers it again when another packet comes in, if its other thread does not read that.
#[test]
fn a_message_that_is_refused_comes_again_unchanged() {
    let actor = Actor::build();
    let manners = greeting(false, &[(1, 7, "x"), (1, 8, "y")]);
    let steps = "create callbacks refuse:2 connect arrived:4 disconnect:100 destroy";
    let seen = observe(&actor, Ours, false, &manners, steps);
    let message = |payload, id| format!("arrived t (0) {payload} qos 1 retained 0 dup 0 id {id}");
    let x = message('x', 7);
    assert_eq!(
        seen.callbacks[..4],
        [x.clone(), x.clone(), x, message('y', 8)]
    );
}

#[test]
fn a_qos_that_does_not_exist_is_refused() {
    differs(
        false,
        Manners::polite(false),
        "create connect publish:a:x:3 publish:a:y:1 disconnect:100 destroy",
        "create: 0; connect: 0; publish a: -9, token -1; publish a: 0, token 1; disconnect: 0; end",
        "create: 0; connect: 0; publish a: 0, token 1; publish a: 0, token 2; disconnect: 0; end",
    );
}

#[test]
fn topics_that_the_standard_forbids_are_refused() {
    differs(
        false,
        Manners::polite(false),
        "create connect publish::x:0 publish:a/#:x:0 subscribe::1 subscribe:a/#/b:1 disconnect:10 \
         destroy",
        "create: 0; connect: 0; publish : -1, token -1; publish a/#: -1, token -1; subscribe : -1; \
         subscribe a/#/b: -1; disconnect: 0; end",
        "create: 0; connect: 0; publish : 0, token -1; publish a/#: 0, token -1; subscribe : 0; \
         subscribe a/#/b: 0; disconnect: 0; end",
    );
}

/// The documented use of the callback, which ends the process with Paho.
#[test]
fn a_program_may_connect_again_when_it_is_told_of_the_loss() {
    let actor = Actor::build();
    for v5 in [false, true] {
        let manners = Manners {
            hangs_up_at: Some("bye"),
            ..Manners::polite(v5)
        };
        let steps = "create callbacks reconnects connect publish:a:bye:0 lost:1 connected \
            publish:a:x:1 delivered:1 disconnect:100 destroy";
        let seen = observe(&actor, Ours, v5, &manners, steps);
        assert_eq!(
            seen.steps,
            "create: 0; callbacks: 0; connect: 0; publish a: 0, token -1; connected: 1; \
             publish a: 0, token 1; disconnect: 0; end"
        );
        assert!(
            seen.callbacks
                .contains(&"lost, connect again: 0".to_owned()),
            "{seen:?}"
        );
    }
}

/// Without a version, 3.1.1 is tried and then 3.1, in the time of one connect.
#[test]
fn the_version_falls_back_as_with_paho() {
    for connack in [Some(0), Some(1), Some(5), None] {
        let manners = Manners {
            connack,
            ..Manners::polite(false)
        };
        same(
            false,
            manners,
            "version:0 create connect connected disconnect:10 destroy",
        );
    }
    for connack in [Some(0x80), Some(0x8a)] {
        let manners = Manners {
            connack,
            ..Manners::polite(true)
        };
        same(true, manners, "create connect connected destroy");
    }
}
