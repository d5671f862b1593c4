//! A broker goes on with another configuration, and nobody who is there is harmed.

mod support;

use support::{ANY_PORT, publish, start};
use ternmq_broker::auth::{Credentials, Hash, MIN_ITERATIONS, User};
use ternmq_broker::{Broker, Config, Placement, StartError};
use ternmq_protocol::broker::{Rewrite, RewriteOn};
use ternmq_test_broker_wire::RawPeer;

fn user(name: &str, password: &str) -> User {
    User {
        name: name.into(),
        credentials: vec![Credentials::new(Hash::Sha256, password, MIN_ITERATIONS).expect("made")],
    }
}

fn config() -> Config {
    Config {
        shards: 2,
        placement: Placement::ByClientId,
        ..Config::listen(ANY_PORT)
    }
}

fn change(broker: &Broker, change: impl FnOnce(&mut Config)) {
    let mut config = config();
    change(&mut config);
    broker.reconfigure(&config).expect("it can").apply();
}

/// The reason code of CONNACK.
fn connect(broker: &Broker, packet: &str, reason: &str) -> RawPeer {
    let mut peer = RawPeer::connect(broker.local_addrs()[0], 5).expect("connected");
    peer.send(packet).expect("sent");
    peer.expect(&format!("CONNACK reason={reason}"))
        .expect(packet);
    peer
}

#[test]
fn users_come_and_go_while_clients_stay() {
    let broker = start(config());
    let anna = "CONNECT client_id=a username=anna password=secret";
    // Without users nobody looks at names.
    let mut early = connect(
        &broker,
        "CONNECT client_id=early username=x password=y",
        "0",
    );
    change(&broker, |config| {
        config.users = vec![user("anna", "secret")]
    });
    drop(connect(&broker, anna, "0"));
    drop(connect(
        &broker,
        "CONNECT client_id=b username=anna password=wrong",
        "0x86",
    ));
    change(&broker, |config| config.users = vec![user("ben", "geheim")]);
    drop(connect(&broker, anna, "0x86"));
    drop(connect(
        &broker,
        "CONNECT client_id=c username=ben password=geheim",
        "0",
    ));
    early.send("PINGREQ").expect("sent");
    early.expect("PINGRESP").expect("still there");
    broker.stop().expect("stopped");
}

#[test]
fn limits_hold_from_now_on_for_who_is_there_too() {
    let broker = start(config());
    let mut peer = connect(&broker, "CONNECT client_id=a", "0");
    let mut subscribe = |id: u16, code: &str| {
        peer.send(&format!("SUBSCRIBE id={id} filter=t/{id} options=0"))
            .expect("sent");
        peer.expect(&format!("SUBACK id={id} code={code}"))
            .expect("an answer");
    };
    subscribe(1, "0");
    subscribe(2, "0");
    change(&broker, |config| config.session.subscriptions = 2);
    subscribe(3, "0x97");
    // This one was announced to clients, so that it stays.
    change(&broker, |config| {
        config.session.subscriptions = 3;
        config.session.packet_size = 2048;
    });
    subscribe(4, "0");
    let payload = "x".repeat(4096);
    peer.send(&format!("PUBLISH id=9 qos=1 topic=t payload={payload}"))
        .expect("sent");
    peer.expect("PUBACK id=9 reason=0x10").expect("taken");
    // The connection that is there counts.
    change(&broker, |config| config.limits.connections = 1);
    let mut second = RawPeer::connect(broker.local_addrs()[0], 5).expect("accepted");
    second.expect_close().expect("closed");
    broker.stop().expect("stopped");
}

#[test]
fn rules_for_topics_hold_for_the_next_packet() {
    let broker = start(config());
    let mut peer = connect(&broker, "CONNECT client_id=a", "0");
    peer.send("SUBSCRIBE id=1 filter=new options=0")
        .expect("sent");
    peer.expect("SUBACK id=1 code=0").expect("an answer");
    change(&broker, |config| {
        let rule = Rewrite::new(RewriteOn::Publish, "old", None, "new").expect("a rule");
        config.topics.rewrite = vec![rule];
    });
    let mut other = connect(&broker, "CONNECT client_id=b", "0");
    publish(&mut other, "old", 0, "1");
    peer.expect("PUBLISH topic=new payload=1")
        .expect("rewritten");
    change(&broker, |_| {});
    publish(&mut other, "old", 0, "2");
    publish(&mut other, "new", 0, "3");
    peer.expect("PUBLISH topic=new payload=3")
        .expect("as it came");
    broker.stop().expect("stopped");
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let broker = start(config());
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        config.session.subscriptions = 0;
        change(&mut config);
        broker.reconfigure(&config).expect_err("nonsense")
    };
    let error = refused(&|config| config.session.inflight = 0);
    assert!(matches!(error, StartError::Config(_)), "{error}");
    // Fits the packet size of this configuration, but that of the broker does not change.
    let error = refused(&|config| {
        config.session.packet_size = 4096;
        config.session.connect_size = 4096;
        config.session.sums.input_bytes = 8192;
    });
    assert!(matches!(error, StartError::Config(_)), "{error}");
    let error = refused(&|config| config.users = vec![user("anna", "a"), user("anna", "b")]);
    assert!(matches!(error, StartError::Users(_)), "{error}");
    // One that is only made ready changes nothing either.
    let mut other = config();
    other.session.subscriptions = 0;
    other.users = vec![user("anna", "a")];
    drop(broker.reconfigure(&other).expect("it could"));
    let mut peer = connect(&broker, "CONNECT client_id=a username=anna password=b", "0");
    peer.send("SUBSCRIBE id=1 filter=t options=0")
        .expect("sent");
    peer.expect("SUBACK id=1 code=0").expect("an answer");
    broker.stop().expect("stopped");
}
