//! What is left of clients that are gone. Alone in its process: it counts threads and descriptors.
#![allow(missing_docs)]

mod peer;

use std::sync::Arc;
use std::time::Duration;

use peer::{PATIENCE, Server};
use ternmq_broker::{Broker, Config};
use ternmq_client::link::{Link, Silent, Status};
use ternmq_client::{Backoff, ConnectOptions, Publish, QoS, blocking, io};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn wait_for(link: &Link, status: Status) {
    let seen = link.wait(peer::deadline(), |s| (s.status() == status).then_some(()));
    assert!(seen.is_some(), "{status:?}, but it is {link:?}");
}

fn open(uri: &str) -> Link {
    let options = ConnectOptions::from_uri(uri).unwrap();
    let link = Link::open(options.reconnect(Backoff::default()), Arc::new(Silent)).unwrap();
    link.connect().unwrap();
    link
}

#[test]
fn dropped_clients_leave_no_thread_and_no_descriptor() {
    let broker = Broker::start(Config::listen("127.0.0.1:0".parse().unwrap())).unwrap();
    let uri = format!("mqtt://{}", broker.local_addrs()[0]);
    let silent = Server::start();
    let before = descriptors();
    for _ in 0..3 {
        let idle = Link::open(ConnectOptions::from_uri(&uri).unwrap(), Arc::new(Silent)).unwrap();
        let connected = open(&uri);
        wait_for(&connected, Status::Connected);
        let handshaking = open(&silent.uri());
        let mut conn = silent.accept();
        conn.expect_connect();
        let looking_up = open("mqtt://no-such-host.invalid");
        let waiting = open(&silent.uri());
        drop(silent.accept_mqtt(false));
        wait_for(&waiting, Status::Waiting);
        let client = blocking::Client::connect(ConnectOptions::from_uri(&uri).unwrap()).unwrap();
        let messages = client.subscribe("a", QoS::AtLeastOnce).unwrap();
        client
            .publish(Publish::new("a", "").qos(QoS::AtLeastOnce))
            .unwrap();
        let paused = open(&uri);
        paused.pause(true);
        drop((
            idle,
            connected,
            handshaking,
            looking_up,
            waiting,
            client,
            paused,
        ));
        drop(messages);
        conn.expect_end();
        drop(conn);
        assert!(io::wait_for_end(PATIENCE), "the IO thread goes on");
    }
    // The broker's ends of the connections close when it has seen ours close.
    let begun = std::time::Instant::now();
    while descriptors() > before && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(descriptors(), before);
    assert!(
        io::wait_for_end(Duration::MAX),
        "nobody has started it again"
    );
}
