//! What outlives the process: the records of both libraries, byte for byte, and messages that one of
//! them has left and the other delivers.
#![allow(missing_docs)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use Library::{Ours, Paho};
use ternmq_test_abi::actor::{Actor, Library, files};
use ternmq_test_abi::peer::{Manners, Peer, publish};

/// A server that leaves everything half done: no PUBACK; PUBREC for `two` only; no PUBCOMP; and it sends
/// messages of QoS 1 and 2 without PUBREL.
fn unfinished(v5: bool) -> Manners {
    Manners {
        greeting: [publish(v5, 1, 7, "x"), publish(v5, 2, 8, "y")].concat(),
        pubrec: Some(&["two"]),
        ..Manners::silent(v5)
    }
}

fn version(v5: bool) -> u8 {
    if v5 { 5 } else { 4 }
}

/// A client is killed while messages are in flight in both directions.
fn leave(actor: &Actor, library: Library, peer: &Peer, v5: bool, folder: &Path) {
    peer.behave(unfinished(v5));
    // The wait, which is in vain, gives PUBREC and PUBREL of `two` the time they need.
    let steps = format!(
        "version:{} clean:0 store:files:{} create callbacks refuse:99 connect publish:a:one:1 \
         publish:a/b:two:2 publish:a:three:2:1 arrived:1 wait:1:300 pause",
        version(v5),
        folder.display()
    );
    let said = actor.run(library, &peer.uri(), &steps);
    let published = said.lines("publish a").join("; ");
    assert_eq!(
        published,
        "publish a: 0, token 1; publish a/b: 0, token 2; publish a: 0, token 3"
    );
    assert!(peer.seen().contains(&"62020002".to_owned()), "{said}");
}

/// For MQTT 5.0 Paho means to keep what waits for the application, but takes a length for an error and
/// never does.
fn is_of_queue_5(name: &str) -> bool {
    name.contains("q5-")
}

#[test]
fn files_are_those_of_paho_byte_for_byte() {
    let actor = Actor::build();
    for v5 in [false, true] {
        let left = |library| {
            let peer = Peer::start(unfinished(v5));
            let folder = actor.folder(&format!("files-{library:?}-{v5}"));
            leave(&actor, library, &peer, v5, &folder);
            let mut files = files(&folder, peer.port());
            files.retain(|name, _| !is_of_queue_5(name));
            files
        };
        let (ours, paho) = (left(Ours), left(Paho));
        assert_eq!(ours, paho);
        let names = match v5 {
            false => "q-1 r-8 s-1 s-2 s-3 sc-2",
            true => "r5-8 s5-1 s5-2 s5-3 sc5-2",
        };
        let expected = names
            .split(' ')
            .map(|key| format!("actor-127.0.0.1-PORT/{key}.msg"));
        assert!(ours.into_keys().eq(expected));
    }
}

/// Upgrade and downgrade: what one library has left when it was killed, the other delivers, once.
#[test]
fn messages_that_one_library_has_left_are_delivered_by_the_other() {
    let actor = Actor::build();
    for v5 in [false, true] {
        for (before, after) in [(Ours, Ours), (Paho, Ours), (Ours, Paho), (Paho, Paho)] {
            let peer = Peer::start(unfinished(v5));
            let folder = actor.folder(&format!("{before:?}-{after:?}-{v5}"));
            leave(&actor, before, &peer, v5, &folder);
            // See `is_of_queue_5`.
            let messages = if v5 && before == Paho { 0 } else { 2 };
            let case = format!("{before:?} to {after:?}, MQTT 5.0: {v5}");
            deliver(&actor, after, &peer, v5, &folder, messages, &case);
        }
    }
}

fn deliver(
    actor: &Actor,
    library: Library,
    peer: &Peer,
    v5: bool,
    folder: &Path,
    messages: usize,
    case: &str,
) {
    // The server goes on with the session: PUBREL for what it has PUBREC for.
    peer.behave(Manners {
        session_present: true,
        greeting: vec![0x62, 2, 0, 8],
        ..Manners::polite(v5)
    });
    let steps = format!(
        "version:{} clean:0 store:files:{} create callbacks pending connect arrived:{messages} \
         delivered:3 pending disconnect:1000 destroy",
        version(v5),
        folder.display()
    );
    let said = actor.run(library, &peer.uri(), &steps);
    assert_eq!(
        said.steps(),
        "create: 0; callbacks: 0; pending 0: 1 2 3; connect: 0; pending 0:; disconnect: 0; end",
        "{case}"
    );
    let mut delivered = said.lines("delivered");
    delivered.sort_unstable();
    assert_eq!(
        delivered,
        ["delivered 1", "delivered 2", "delivered 3"],
        "{case}"
    );
    let waiting = [
        "arrived t (0) x qos 1 retained 0 dup 0 id 7",
        "arrived t (0) y qos 2 retained 0 dup 0 id 8",
    ];
    assert_eq!(said.lines("arrived"), waiting[..messages], "{case}");
    // The first and the third are sent again, with DUP; of the second only PUBREL.
    let seen = peer.seen();
    for (begin, times) in [
        ("3a", 1),
        ("3d", 1),
        ("3c", 0),
        ("62020002", 1),
        ("62020003", 1),
        ("70020008", 1),
    ] {
        let count = seen.iter().filter(|packet| packet.starts_with(begin));
        assert_eq!(count.count(), times, "{case}: {begin} {seen:?}");
    }
    let left = std::fs::read_dir(folder).expect("the folder").count();
    assert_eq!(left, 0, "{case}: the client's folder goes when it is empty");
}

/// The application's own store: the same keys, the same pieces, in the same order for each key.
#[test]
fn a_store_of_the_application_is_called_as_by_paho() {
    let actor = Actor::build();
    let silent = Manners::silent(false);
    for (name, v5, manners, steps) in [
        ("flows", false, polite(false), FLOWS),
        ("flows of MQTT 5.0", true, polite(true), FLOWS),
        ("nothing acknowledged, then clean", false, silent, CLEAN),
        ("what was left", false, polite(false), RESTORE),
        ("MQTT 5.0 in an older client", false, polite(false), FOREIGN),
        ("without callbacks", false, polite(false), RECEIVE),
    ] {
        let told = |library| {
            let peer = Peer::start(manners.clone());
            let steps = format!("version:{} clean:0 store:memory {steps}", version(v5));
            let said = actor.run(library, &peer.uri(), &steps);
            let mut store = said.store();
            store.retain(|key, _| !is_of_queue_5(key));
            for call in store.values_mut().flatten() {
                *call = call.replace(&peer.port().to_string(), "PORT");
            }
            let callbacks: Vec<String> = ["arrived", "delivered", "published"]
                .iter()
                .flat_map(|begin| said.lines(begin))
                .map(str::to_owned)
                .collect();
            (store, callbacks, said.steps())
        };
        let (mut ours, paho) = (told(Ours), told(Paho));
        if steps == FOREIGN {
            // A store that was opened in vain is closed; Paho forgets it.
            let calls = ours.0.get_mut("").expect("calls without key");
            assert_eq!(calls.pop().as_deref(), Some("store close handle"));
        }
        assert_eq!(ours, paho, "{name}");
        assert!(!ours.0.is_empty(), "{name}");
    }
}

fn polite(v5: bool) -> Manners {
    Manners {
        greeting: [
            publish(v5, 0, 0, "z"),
            publish(v5, 1, 7, "x"),
            publish(v5, 2, 8, "y"),
        ]
        .concat(),
        ..Manners::polite(v5)
    }
}

const FLOWS: &str = "create callbacks callbacks5 connect arrived:3 publish:a:one:1 delivered:1 \
    publish:a:two:2 delivered:2 publish:a:none:0 disconnect:1000 destroy";
const CLEAN: &str = "create callbacks connect publish:a:one:1 publish:a:two:2 disconnect:10 pending \
    clean:1 connect pending publish:a:three:1 disconnect:10 pending destroy";
const RESTORE: &str = "holds:s-1:320800016100016f6e65 holds:s-9:3209 holds:sc-7:62020007 \
    holds:r-3:3000 holds:c-1:00 create callbacks pending destroy";
const FOREIGN: &str = "holds:s5-1:32090001610001006f6e65 create";
const RECEIVE: &str =
    "create connect receive:5000 receive:5000 receive:5000 disconnect:1000 destroy";

/// CONNACK, three messages and the PUBREL of the last come in one piece. The store is through with them
/// before the facade hears of the first, and must not hand out the one of QoS 2 before the others.
#[test]
fn a_message_of_qos_2_does_not_overtake_those_before_it() {
    let actor = Actor::build();
    let greeting = [polite(false).greeting, vec![0x62, 2, 0, 8]].concat();
    let by_receiving = format!("store:memory {RECEIVE}");
    let by_callbacks = "store:memory create callbacks connect arrived:3 disconnect:1000 destroy";
    for (steps, begin) in [(&*by_receiving, "received"), (by_callbacks, "arrived")] {
        let peer = Peer::start(Manners {
            greeting: greeting.clone(),
            ..Manners::polite(false)
        });
        let said = actor.run(Ours, &peer.uri(), steps);
        let order = said.lines(&format!("{begin} t ("));
        let payloads: Vec<_> = (order.iter()).map(|line| line.split(' ').nth(3)).collect();
        assert_eq!(payloads, [Some("z"), Some("x"), Some("y")], "{said}");
    }
}

/// Nothing leaves that promises what is not stored: the record is there when the server sees the packet.
#[test]
fn what_is_on_the_wire_is_on_the_disk_before() {
    let actor = Actor::build();
    let folder = actor.folder("before");
    let peer = Peer::start(Manners {
        greeting: [publish(false, 1, 7, "x"), publish(false, 2, 8, "y")].concat(),
        ..Manners::polite(false)
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, port, top) = (seen.clone(), peer.port(), folder.clone());
    peer.watch(move |packet| {
        let record = match packet[0] >> 4 {
            3 if packet.ends_with(b"one") => "s-1",
            3 => "s-2",
            4 => "q-1",
            5 => "r-8",
            6 => "sc-2",
            _ => return,
        };
        let name = format!("actor-127.0.0.1-PORT/{record}.msg");
        let is_there = files(&top, port).contains_key(&name);
        noted.lock().unwrap().push((record, is_there));
    });
    // The application takes nothing, so that what waits for it stays.
    let steps = format!(
        "store:files:{} create callbacks refuse:999 connect publish:a:one:1 delivered:1 \
         publish:a:two:2 delivered:2 pause",
        folder.display()
    );
    actor.run(Ours, &peer.uri(), &steps);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    let all = ["q-1", "r-8", "s-1", "s-2", "sc-2"].map(|record| (record, true));
    assert_eq!(seen, all);
}

/// Records that can't be read are removed, files of other names are left alone.
#[test]
fn garbage_is_removed_and_never_believed() {
    let actor = Actor::build();
    let peer = Peer::start(Manners::polite(false));
    let folder = actor.folder("garbage");
    let inner = folder.join(format!("actor-127.0.0.1-{}", peer.port()));
    std::fs::create_dir_all(&inner).unwrap();
    for (name, bytes) in [
        ("s-1.msg", &b"\x32\x08\0\x01a\0\x01on"[..]),
        ("s-2.msg", b""),
        ("s-3.msg", b"\x32\xff\xff\xff\xff\xff\xff"),
        ("sc-4.msg", b"\x62\x02\0"),
        ("r-5.msg", b"\x32\x06\0\x01t\0\x05y"),
        ("r-6.msg", b"\xff\xff"),
        ("q-7.msg", b"\xff\xff\xff\x7f\0"),
        (
            "q-8.msg",
            b"\x01\0\0\0x\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0t\0\x01\0\0\0",
        ),
        ("q5-9.msg", b""),
        ("what.msg", b"what"),
        ("notes.txt", b"not ours"),
    ] {
        std::fs::write(inner.join(name), bytes).unwrap();
    }
    let steps = format!(
        "store:files:{} create callbacks pending connect publish:a:one:1 delivered:1 \
         disconnect:1000 destroy",
        folder.display()
    );
    let said = actor.run(Ours, &peer.uri(), &steps);
    assert_eq!(
        said.steps(),
        "create: 0; callbacks: 0; pending 0:; connect: 0; publish a: 0, token 1; \
         disconnect: 0; end"
    );
    assert!(said.lines("arrived").is_empty(), "{said}");
    let left: Vec<String> = files(&inner, peer.port()).into_keys().collect();
    assert_eq!(left, ["notes.txt"]);
}

#[test]
fn a_store_that_can_not_be_used_says_so_at_create() {
    let actor = Actor::build();
    let peer = Peer::start(Manners::polite(false));
    for (steps, code) in [
        ("store:files:/dev/null create", -2),
        ("store:files:/proc create", -2),
        ("id: store:files:. create", -2),
        ("store:memory fail:open:-77 create", -77),
        ("store:memory fail:keys:-77 create", -77),
        (
            "store:memory holds:s-1:320800016100016f6e65 fail:get:-77 create",
            -77,
        ),
    ] {
        for library in [Ours, Paho] {
            let said = actor.run(library, &peer.uri(), steps);
            assert_eq!(
                said.steps(),
                format!("create: {code}; end"),
                "{library:?} {steps}"
            );
        }
    }
}

/// What can't be stored is not accepted, so nothing that was accepted is lost; and what comes in is
/// delivered all the same.
#[test]
fn a_publish_that_can_not_be_stored_is_refused() {
    let actor = Actor::build();
    let peer = Peer::start(polite(false));
    let steps = "store:memory create callbacks fail:put:-77 connect arrived:3 publish:a:one:1 \
        publish:a:two:2 publish:a:none:0 pending fail:put:0 publish:a:three:1 delivered:1 \
        fail:remove:-77 publish:a:four:2 delivered:2 pending disconnect:1000 destroy";
    let said = actor.run(Ours, &peer.uri(), steps);
    assert_eq!(
        said.steps(),
        "create: 0; callbacks: 0; connect: 0; publish a: -2, token -1; publish a: -2, token -1; \
         publish a: 0, token -1; pending 0:; publish a: 0, token 1; publish a: 0, token 2; \
         pending 0:; disconnect: 0; end"
    );
    assert_eq!(said.lines("arrived").len(), 3, "{said}");
    let seen = peer.seen();
    let stored = |packet: &&String| packet.starts_with("32") || packet.starts_with("34");
    assert_eq!(seen.iter().filter(stored).count(), 2, "{seen:?}");
}

/// Messages come back in the order in which they were sent, also over the end of the identifiers, which
/// go on behind the last of them.
#[test]
fn messages_are_sent_again_in_their_order() {
    let actor = Actor::build();
    let sent = |library| {
        let peer = Peer::start(Manners {
            session_present: true,
            ..Manners::polite(false)
        });
        let steps = "store:memory holds:s-2:320800016100026f6e65 holds:s-65534:3208000161fffe6f6e65 \
            holds:s-1:320800016100016f6e65 holds:s-65535:3208000161ffff6f6e65 create callbacks \
            connect delivered:4 disconnect:1000 destroy";
        actor.run(library, &peer.uri(), steps);
        let mut seen = peer.seen();
        seen.retain(|packet| packet.starts_with('3'));
        seen
    };
    let ours = sent(Ours);
    assert_eq!(ours, sent(Paho));
    assert_eq!(ours.len(), 4);
    assert!(
        ours[0].contains("fffe") && ours[3].contains("0002"),
        "{ours:?}"
    );
}

/// A moment of death: the server sees a packet of this type, and kills the client before it answers.
/// Whichever library begins and whichever goes on, QoS 1 arrives, and QoS 2 arrives once.
#[test]
fn whenever_the_process_is_killed_nothing_is_lost_and_qos_2_comes_once() {
    const PACKETS: [u8; 5] = [3, 4, 5, 6, 7];
    let actor = Actor::build();
    for packet_type in PACKETS {
        for (before, after) in [(Ours, Ours), (Paho, Ours), (Ours, Paho)] {
            let case = format!("{before:?} to {after:?}, killed at packet {packet_type}");
            let folder = actor.folder(&format!("killed-{packet_type}-{before:?}-{after:?}"));
            survive(&actor, packet_type, before, after, &folder, &case);
        }
    }
}

fn survive(
    actor: &Actor,
    packet_type: u8,
    before: Library,
    after: Library,
    folder: &Path,
    case: &str,
) {
    let peer = Peer::start(Manners {
        greeting: [publish(false, 1, 7, "x"), publish(false, 2, 8, "y")].concat(),
        ..Manners::polite(false)
    });
    let kill = actor.killer();
    peer.watch(move |packet| {
        if packet[0] >> 4 == packet_type {
            kill();
        }
    });
    let store = format!("clean:0 store:files:{} create callbacks", folder.display());
    let steps = format!(
        "{store} connect publish:a:one:1 publish:a:two:2 delivered:2 arrived:2 disconnect:1000"
    );
    let first = actor.run(before, &peer.uri(), &steps);
    let seen = peer.seen();
    let left = files(folder, peer.port());
    let owed = owed_after(&seen);
    peer.watch(|_| ());
    peer.behave(Manners {
        session_present: true,
        greeting: owed,
        ..Manners::polite(false)
    });
    let told = |payload: &&&str| !first.lines(&format!("arrived t (0) {payload} ")).is_empty();
    let untold = 2 - ["x", "y"].iter().filter(told).count();
    // Acknowledgements have Paho hand out what waits.
    let steps = format!(
        "{store} pending connect publish:a:end:2 publish:a:end:1 wait:1:5000 wait:2:5000 wait:3:5000 \
         wait:4:5000 arrived:{untold} pending disconnect:2000 destroy"
    );
    let second = actor.run(after, &peer.uri(), &steps);
    assert!(
        second.steps().contains("pending 0:; disconnect: 0; end"),
        "{case}: {second}"
    );
    let arrived = |payload: &str| {
        let line = format!("arrived t (0) {payload} ");
        first.lines(&line).len() + second.lines(&line).len()
    };
    assert!(arrived("x") >= 1, "{case}: x\n{first}\n{second}");
    // Killed between its callback and the end of its record, it comes again: no store can help that.
    let waits = (left.iter()).any(|(name, hex)| name.contains("/q-") && is_of_y(hex));
    let twice = waits && arrived("y") == 2;
    assert!(arrived("y") == 1 || twice, "{case}: y\n{first}\n{second}");
    let said_of_first = first.steps();
    for (token, payload) in [(1, "one"), (2, "two")] {
        // Accepted is what publish has returned for.
        if said_of_first.contains(&format!("publish a: 0, token {token}")) {
            let sent: Vec<String> = seen.iter().cloned().chain(peer.seen()).collect();
            let hex: String = payload.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(
                sent.iter().any(|packet| packet.ends_with(&hex)),
                "{case}: {payload} {sent:?}"
            );
        }
    }
    if seen.contains(&"62020002".to_owned()) {
        let sent_again = peer.seen().iter().any(|packet| packet.ends_with("74776f"));
        assert!(!sent_again, "{case}: two after its PUBREL");
    }
}

/// Whether a record of what waits for the application is of the message `y`: its length, itself.
fn is_of_y(hex: &str) -> bool {
    hex.starts_with("0100000079")
}

/// What a server still owes by what it has seen of the client.
fn owed_after(seen: &[String]) -> Vec<u8> {
    let got = |packet: &str| seen.iter().any(|seen| seen == packet);
    let mut owed = Vec::new();
    if !got("40020007") {
        owed.extend(again(publish(false, 1, 7, "x")));
    }
    match (got("50020008"), got("70020008")) {
        (_, true) => {}
        (true, _) => owed.extend([0x62, 2, 0, 8]),
        (false, _) => owed.extend(again(publish(false, 2, 8, "y"))),
    }
    owed
}

/// A PUBLISH with DUP.
fn again(mut packet: Vec<u8>) -> Vec<u8> {
    packet[0] |= 8;
    packet
}

/// The library must not be called from a store, for locks are held there; it says so and does not hang.
#[test]
fn calls_inside_a_store_fail() {
    let actor = Actor::build();
    let peer = Peer::start(polite(false));
    let steps = "store:memory intrudes create callbacks connect arrived:3 publish:a:one:1 delivered:1 \
        disconnect:1000 destroy";
    let said = actor.run(Ours, &peer.uri(), steps);
    let inside = said.lines("traced inside");
    assert!(inside.len() > 5, "{said}");
    let refused = "traced inside the store: connected 0, publish -1, disconnect -1";
    assert!(inside.iter().all(|line| *line == refused), "{said}");
    assert!(
        said.steps()
            .ends_with("publish a: 0, token 1; disconnect: 0; end"),
        "{said}"
    );
}
