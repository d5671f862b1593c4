//! Hooks that decide who may come in and who may do what, over sockets; some of them block.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use support::{ANY_PORT, client, publish, silent, start, subscribe, until};
use ternmq_broker::access::{Action, Rule, Rules, Verdict};
use ternmq_broker::auth::{Credentials, Hash, MIN_ITERATIONS, User};
use ternmq_broker::hooks::{Access, Acting, Authenticate, Authorise, Connecting, Decision};
use ternmq_broker::{Broker, Config, Placement};
use ternmq_protocol::ReasonCode;
use ternmq_test_broker_wire::PATIENCE;

fn broker(access: Access) -> Broker {
    start(config(access))
}

fn config(access: Access) -> Config {
    Config {
        shards: 2,
        placement: Placement::ByClientId,
        access,
        ..Config::listen(ANY_PORT)
    }
}

fn authenticating(hook: impl Authenticate + 'static) -> Access {
    Access {
        authenticate: vec![Arc::new(hook)],
        ..Access::default()
    }
}

fn authorising(hook: impl Authorise + 'static) -> Access {
    Access {
        authorise: vec![Arc::new(hook)],
        ..Access::default()
    }
}

/// A hook that says which action it is asked about, and waits to be told what to say.
struct Judge {
    asked: SyncSender<String>,
    verdicts: Mutex<Receiver<Option<Verdict>>>,
}

impl Authorise for Judge {
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Option<Verdict> {
        self.asked
            .send(format!("{} {}", client.client_id, words(action)))
            .expect("heard");
        self.verdicts
            .lock()
            .expect("a lock")
            .recv()
            .expect("a verdict")
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Publish {
            topic,
            qos,
            retain,
            will,
        } => format!("publish {topic} {} {retain} {will}", *qos as u8),
        Action::Subscribe {
            filter,
            qos,
            share_name,
        } => format!("subscribe {filter} {} {share_name:?}", *qos as u8),
    }
}

fn judged(
    change: impl FnOnce(&mut Access),
) -> (Broker, Receiver<String>, SyncSender<Option<Verdict>>) {
    let ((asked, questions), (answers, verdicts)) = (sync_channel(100), sync_channel(100));
    let verdicts = Mutex::new(verdicts);
    let mut access = authorising(Judge { asked, verdicts });
    change(&mut access);
    (broker(access), questions, answers)
}

fn outcome(broker: &Broker, level: u8, connect: &str) -> String {
    let mut peer = silent(broker, level);
    peer.send(connect).expect("sent");
    let connack = peer.next_packet().expect("a packet").expect("CONNACK");
    connack.text("reason", "")
}

// [MQTT-3.1.4-2]
#[test]
fn a_hook_lets_in_keeps_out_or_leaves_it_to_the_next() {
    let hook = |connecting: &Connecting<'_>| {
        assert_eq!(connecting.listener, 0);
        assert!(connecting.peer.expect("an address").ip().is_loopback());
        assert!(!format!("{connecting:?}").contains("geheim"));
        match (connecting.user_name, connecting.password) {
            (Some("anna"), Some(b"geheim")) => Decision::Allow,
            (Some("token"), _) => Decision::AllowAs("ben".into()),
            (Some("late"), _) => Decision::Deny(ReasonCode::SERVER_BUSY),
            (Some("anna" | "panics"), _) if connecting.user_name == Some("panics") => {
                panic!("on purpose")
            }
            (Some("anna"), _) => Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
            _ => Decision::Ignore,
        }
    };
    let mut config = config(authenticating(hook));
    config.listeners[0].anonymous = false;
    config.users = vec![User {
        name: "carl".into(),
        credentials: vec![Credentials::new(Hash::Sha256, "pw", MIN_ITERATIONS).expect("made")],
    }];
    let broker = start(config);
    for (login, five, old) in [
        ("username=anna password=geheim", "0", "0"),
        ("username=anna password=wrong", "134", "4"),
        ("username=token", "0", "0"),
        ("username=late", "137", "3"),
        ("username=panics", "128", "3"),
        // Users of the configuration come next, then whether nobody need be one.
        ("username=carl password=pw", "0", "0"),
        ("username=carl password=wrong", "134", "4"),
        ("", "135", "5"),
    ] {
        for (level, expected) in [(5, five), (4, old)] {
            let got = outcome(&broker, level, &format!("CONNECT client_id=c {login}"));
            assert_eq!(number(&got), expected, "{login} {level}");
        }
    }
    let stats = broker.stats();
    assert_eq!((stats.hooks_denied, stats.hooks_full), (6, 0));
}

fn number(text: &str) -> String {
    let hex = text
        .strip_prefix("0x")
        .map(|hex| u32::from_str_radix(hex, 16));
    hex.map_or_else(|| text.to_owned(), |hex| hex.expect("hex").to_string())
}

#[test]
fn the_user_that_a_hook_found_is_whom_rules_and_others_see() {
    let rules = vec![Rule {
        topics: vec!["user/%u".parse().expect("a pattern")],
        ..Rule::default()
    }];
    let rules = Rules::new(rules, Verdict::Deny).expect("rules");
    let broker = broker(Access {
        rules: rules.into(),
        ..authenticating(|_: &Connecting<'_>| Decision::AllowAs("ben".into()))
    });
    for n in 0..4 {
        let connect = format!("CONNECT client_id=c{n} username=anna");
        let mut peer = silent(&broker, 5);
        peer.send(&connect).expect("sent");
        peer.expect("CONNACK reason=0").expect("CONNACK");
        for (topic, reason) in [("user/ben", "0x10"), ("user/anna", "0x87")] {
            peer.send(&format!("PUBLISH topic={topic} qos=1 id=1 payload=x"))
                .expect("sent");
            peer.expect(&format!("PUBACK id=1 reason={reason}"))
                .expect("as ben");
        }
        let info = broker.client(&format!("c{n}")).expect("a client");
        let user = info.connection.expect("connected").user_name;
        assert_eq!(user.as_deref(), Some("ben"));
    }
}

// [MQTT-4.6.0-5]
#[test]
fn what_stands_behind_a_question_waits_and_nobody_else_does() {
    let (broker, questions, answers) = judged(|_| ());
    let mut asks = client(&broker, 5, "a");
    for n in 1..=3 {
        asks.send(&format!("PUBLISH topic=t/{n} qos=2 id={n} payload=x"))
            .expect("sent");
    }
    let question = questions.recv_timeout(PATIENCE).expect("asked");
    assert_eq!(question, "a publish t/1 2 false false");
    // Another client is served meanwhile.
    let mut other = client(&broker, 5, "b");
    other.send("PINGREQ").expect("sent");
    other.expect("PINGRESP").expect("served");
    answers.send(Some(Verdict::Allow)).expect("said");
    assert_eq!(
        questions.recv_timeout(PATIENCE).expect("asked"),
        "a publish t/2 2 false false"
    );
    answers.send(Some(Verdict::Deny)).expect("said");
    assert_eq!(
        questions.recv_timeout(PATIENCE).expect("asked"),
        "a publish t/3 2 false false"
    );
    answers.send(None).expect("said");
    asks.expect("PUBREC id=1 reason=0x10").expect("allowed");
    asks.expect("PUBREC id=2 reason=0x87").expect("denied");
    asks.expect("PUBREC id=3 reason=0x10")
        .expect("nobody denies");
    // Said once, it holds for a while; the refused identifier is free again.
    asks.send("PUBLISH topic=t/1 qos=2 id=2 payload=x")
        .expect("sent");
    asks.expect("PUBREC id=2 reason=0x10").expect("allowed");
    assert_eq!(broker.stats().mqtt.access_asked, 3);
}

#[test]
fn a_subscribe_is_asked_about_filter_by_filter_where_no_rule_decides() {
    let deny = Rule {
        topics: vec!["secret/#".parse().expect("a pattern")],
        verdict: Verdict::Deny,
        ..Rule::default()
    };
    let rules = Rules::new(vec![deny], Verdict::Deny).expect("rules");
    let (broker, questions, answers) = judged(|access| access.rules = rules.into());
    for (level, denied) in [(5, "0x87"), (4, "0x80")] {
        let mut peer = client(&broker, level, "a");
        let filters = "filter=x options=1 filter=secret/+ options=0 filter=$share/g/y options=2 filter=z options=0";
        peer.send(&format!("SUBSCRIBE id=9 {filters}"))
            .expect("sent");
        assert_eq!(
            questions.recv_timeout(PATIENCE).expect("asked"),
            "a subscribe x 1 None"
        );
        answers.send(Some(Verdict::Allow)).expect("said");
        assert_eq!(
            questions.recv_timeout(PATIENCE).expect("asked"),
            "a subscribe y 2 Some(\"g\")"
        );
        answers.send(Some(Verdict::Deny)).expect("said");
        assert_eq!(
            questions.recv_timeout(PATIENCE).expect("asked"),
            "a subscribe z 0 None"
        );
        // No opinion: as the rules say otherwise.
        answers.send(None).expect("said");
        let codes = format!("code=1 code={denied} code={denied} code={denied}");
        peer.expect(&format!("SUBACK id=9 {codes}"))
            .expect("SUBACK");
        drop(peer);
        until(&broker, |stats| stats.mqtt.connections == 0);
    }
    assert_eq!(broker.stats().mqtt.subscriptions_denied, 6);
}

#[test]
fn a_will_is_asked_about_before_its_client_is_let_in() {
    let (broker, questions, answers) = judged(|_| ());
    for (verdict, reason) in [(Verdict::Allow, "0"), (Verdict::Deny, "0x87")] {
        let mut peer = silent(&broker, 5);
        peer.send("CONNECT client_id=a will_topic=w will_payload=x will_qos=1 will_retain=1")
            .expect("sent");
        assert_eq!(
            questions.recv_timeout(PATIENCE).expect("asked"),
            "a publish w 1 true true"
        );
        answers.send(Some(verdict)).expect("said");
        let connack = peer.next_packet().expect("a packet").expect("CONNACK");
        assert_eq!(number(&connack.text("reason", "")), number(reason));
    }
}

#[test]
fn who_is_asked_about_too_often_is_refused_and_counted() {
    let (broker, questions, answers) = judged(|access| (access.queue, access.verdict_ms) = (1, 0));
    let publish = "PUBLISH topic=t qos=1 id=1 payload=x";
    let mut peers: Vec<_> = (0..3)
        .map(|n| client(&broker, 5, &format!("c{n}")))
        .collect();
    peers[0].send(publish).expect("sent");
    questions
        .recv_timeout(PATIENCE)
        .expect("the first is asked about");
    peers[1].send(publish).expect("sent");
    until(&broker, |stats| stats.mqtt.access_asked == 2);
    peers[2].send(publish).expect("sent");
    peers[2]
        .expect("PUBACK id=1 reason=0x97")
        .expect("no room for the third");
    for _ in 0..2 {
        answers.send(Some(Verdict::Allow)).expect("said");
    }
    peers[0].expect("PUBACK id=1 reason=0x10").expect("allowed");
    peers[1].expect("PUBACK id=1 reason=0x10").expect("allowed");
    // Nothing is remembered, so it is asked again.
    answers.send(Some(Verdict::Deny)).expect("said");
    peers[2].send(publish).expect("sent");
    peers[2].expect("PUBACK id=1 reason=0x87").expect("denied");
    assert_eq!(broker.stats().hooks_full, 1);
}

#[test]
fn who_leaves_while_it_is_asked_about_is_not_forgotten_before_it_is_answered() {
    let (broker, questions, answers) = judged(|_| ());
    let mut reader = client(&broker, 5, "reader");
    reader
        .send("SUBSCRIBE id=1 filter=t options=1")
        .expect("sent");
    questions.recv_timeout(PATIENCE).expect("asked");
    answers.send(Some(Verdict::Allow)).expect("said");
    reader.expect("SUBACK id=1 code=1").expect("SUBACK");
    let mut leaves = client(&broker, 5, "a");
    leaves
        .send("PUBLISH topic=t qos=1 id=1 payload=last")
        .expect("sent");
    questions.recv_timeout(PATIENCE).expect("asked");
    leaves.stop_sending().expect("said all");
    answers.send(Some(Verdict::Allow)).expect("said");
    reader
        .expect("PUBLISH topic=t qos=1 id=1 payload=last")
        .expect("what came before the end counts");
    // One that is ended from here has not published.
    let mut kicked = client(&broker, 5, "b");
    kicked
        .send("PUBLISH topic=t qos=1 id=1 payload=x")
        .expect("sent");
    questions.recv_timeout(PATIENCE).expect("asked");
    assert!(broker.kick("b", ReasonCode::ADMINISTRATIVE_ACTION));
    kicked.expect("DISCONNECT reason=0x98").expect("told");
    answers.send(Some(Verdict::Allow)).expect("said");
    until(&broker, |stats| stats.mqtt.connected == 1);
    assert_eq!(broker.stats().mqtt.received[1], 1);
}

#[test]
fn a_hook_may_call_the_broker_and_even_end_it() {
    let cell: Arc<Mutex<Option<Arc<Broker>>>> = Arc::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let (hook_cell, hook_calls) = (cell.clone(), calls.clone());
    let hook = move |connecting: &Connecting<'_>| {
        let broker = hook_cell.lock().expect("a lock").clone();
        let broker = broker.expect("a broker");
        assert_eq!(broker.client(connecting.client_id), None);
        broker.set_rules(Rules::default());
        hook_calls.fetch_add(1, Ordering::SeqCst);
        if connecting.client_id == "last" {
            // This is the last handle when it goes: the broker stops on this thread.
            hook_cell.lock().expect("a lock").take();
        }
        Decision::Allow
    };
    let broker = broker(authenticating(hook));
    let address = broker.local_addrs()[0];
    let ending = broker.ending();
    *cell.lock().expect("a lock") = Some(Arc::new(broker));
    let mut peer = ternmq_test_broker_wire::RawPeer::introduced(address, 5, "CONNECT client_id=a")
        .expect("CONNACK");
    publish(&mut peer, "t", 1, "x");
    let mut last = ternmq_test_broker_wire::RawPeer::connect(address, 5).expect("a connection");
    last.send("CONNECT client_id=last").expect("sent");
    assert_eq!(ending.wait(), None, "stopped, not failed");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_client_in_this_process_is_asked_about_nothing() {
    let hook = |_: &Connecting<'_>| Decision::Deny(ReasonCode::NOT_AUTHORIZED);
    let broker = broker(Access {
        rules: Rules::new(Vec::new(), Verdict::Deny).expect("rules").into(),
        ..authenticating(hook)
    });
    let mut stream = broker.connect();
    let connect = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c\x30\x04\0\x01tx\xc0\0";
    stream
        .write_vectored(&[std::io::IoSlice::new(connect)])
        .expect("written");
    let (mut got, mut scratch) = (Vec::new(), [0; 64]);
    while got.len() < 6 {
        if let Ok(n) = stream.read(&mut scratch) {
            got.extend_from_slice(&scratch[..n]);
        } else {
            broker.stats(); // takes a turn of the shards
        }
    }
    assert_eq!(got, b"\x20\x02\0\0\xd0\0");
    assert_eq!(broker.stats().mqtt.publishes_refused.total(), 0);
    let mut refused = silent(&broker, 5);
    refused.send("CONNECT client_id=x").expect("sent");
    refused
        .expect_refusal("CONNACK reason=0x87")
        .expect("refused");
    let _ = subscribe;
}
