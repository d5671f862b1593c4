//! The trace: where lines go, which there are, and that they are those of Paho.
#![allow(missing_docs)]

use Library::{Ours, Paho};
use ternmq_test_abi::actor::{Actor, Library, Said};
use ternmq_test_abi::peer::{Manners, Peer, publish};

const STEPS: &str = "create callbacks connect arrived:3 subscribe:a:1 publish:a:one:1 delivered:1 \
    publish:a:two:2:1 delivered:2 publish:a:a-payload-of-more-than-twenty-bytes:0 unsubscribe:a \
    disconnect:1000 destroy";

fn server(v5: bool) -> Peer {
    Peer::start(Manners {
        greeting: [
            publish(v5, 0, 0, "z"),
            publish(v5, 1, 7, "x"),
            publish(v5, 2, 8, "y"),
        ]
        .concat(),
        ..Manners::polite(v5)
    })
}

/// The lines about packets, without time and socket, sorted: acknowledgements may come earlier or later.
fn packets(said: &Said) -> Vec<String> {
    let mut packets: Vec<String> = said
        .0
        .iter()
        .filter_map(|line| {
            line.split_once(" actor ")
                .filter(|_| line.starts_with("20"))
        })
        .map(|(_, packet)| packet.to_owned())
        .collect();
    packets.sort();
    packets
}

#[test]
fn packets_are_traced_in_the_words_of_paho() {
    let actor = Actor::build();
    for (v5, steps) in [
        (false, format!("version:4 clean:1 {STEPS}")),
        (true, format!("version:5 clean:0 {STEPS}")),
    ] {
        let traced = |library| {
            let peer = server(v5);
            let level = if v5 { "TRACE_PROTOCOL" } else { "PROTOCOL" };
            let environment = [
                ("MQTT_C_CLIENT_TRACE", "ON"),
                ("MQTT_C_CLIENT_TRACE_LEVEL", level),
            ];
            let said = actor.run_with(library, &peer.uri(), &steps, &environment);
            assert!(said.0[0].starts_with("====="), "{said}");
            assert_eq!(said.0[1], "                   Trace Output");
            assert!(said.0[2].starts_with("Product name: "), "{said}");
            assert!(said.0[3].starts_with("Version: "), "{said}");
            packets(&said)
        };
        let (ours, paho) = (traced(Ours), traced(Paho));
        assert_eq!(ours, paho);
        assert_eq!(ours.len(), 21, "{ours:?}");
    }
}

#[test]
fn a_file_is_kept_beside_one_older_file() {
    let actor = Actor::build();
    let peer = server(false);
    let file = actor.folder("file").join("trace");
    let environment = [
        ("MQTT_C_CLIENT_TRACE", file.to_str().expect("a name")),
        ("MQTT_C_CLIENT_TRACE_LEVEL", "PROTOCOL"),
        ("MQTT_C_CLIENT_TRACE_MAX_LINES", "10"),
    ];
    let said = actor.run_with(Ours, &peer.uri(), STEPS, &environment);
    assert!(packets(&said).is_empty(), "{said}");
    let lines = |name: &str| {
        let text = std::fs::read_to_string(file.with_file_name(name)).expect("a file");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (older, newer) = (lines("trace.0"), lines("trace"));
    assert_eq!(older.len(), 10);
    assert!((1..10).contains(&newer.len()), "{newer:?}");
    let last = newer.last().expect("a line");
    assert!(last.ends_with("actor -> DISCONNECT (0)"), "{last}");
    let time = last.split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(time.len(), "20260102 030405.678".len(), "{time}");
    assert_eq!(time.as_bytes()[15], b'.');
}

/// What the environment can't name is standard output, and without it there is no line at all.
#[test]
fn without_a_place_lines_go_to_standard_output_or_nowhere() {
    let actor = Actor::build();
    let peer = server(false);
    for (name, level, lines) in [("/dev/null/x", "ERROR", 7), ("", "PROTOCOL", 0)] {
        let environment = [
            ("MQTT_C_CLIENT_TRACE", name),
            ("MQTT_C_CLIENT_TRACE_LEVEL", level),
        ];
        let said = actor.run_with(Ours, &peer.uri(), "create destroy", &environment);
        assert_eq!(said.0.len(), lines + 2, "{name}: {said}");
    }
}

/// The function may call the library: it runs without any lock. Two texts are waited for by programs.
#[test]
fn a_function_of_the_application_gets_the_lines_and_may_call_the_library() {
    let actor = Actor::build();
    let peer = Peer::start(Manners::polite(false));
    let steps = "inflight:1 listen:4:1 create callbacks connect publish:a:one:1 delivered:1 \
        disconnect:1000 destroy";
    let said = actor.run(Ours, &peer.uri(), steps);
    let traced = said.lines("traced");
    assert!(traced[0].starts_with("traced 3 connected 0: ==="), "{said}");
    let sent = "-> PUBLISH msgid: 1 qos: 1 retained: 0 rc 0 payload len(3): one";
    assert!(traced.iter().any(|line| line.ends_with(sent)), "{said}");
    assert!(
        traced
            .iter()
            .any(|line| line.starts_with("traced 4 connected 1: ")),
        "{said}"
    );
    assert!(
        traced
            .last()
            .expect("a line")
            .ends_with("-> DISCONNECT (0)"),
        "{said}"
    );
}

#[test]
fn a_publish_that_waits_for_its_place_is_told_of() {
    let actor = Actor::build();
    for library in [Ours, Paho] {
        let peer = Peer::start(Manners::silent(false));
        // The second publish waits for ever; the program ends when it is told to pause by the trace.
        let steps = "inflight:1 listen:3 quits:Blocking create callbacks connect publish:a:one:1 \
            publish:a:two:1";
        let said = actor.run(library, &peer.uri(), steps);
        let text = "Blocking publish on queue full for client actor";
        let traced = said.lines("traced 3");
        assert!(
            traced.iter().any(|line| line.ends_with(text)),
            "{library:?}: {said}"
        );
    }
}
