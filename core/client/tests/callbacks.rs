//! Callbacks on the executor: what a face that calls the application builds on.
#![allow(missing_docs)]

mod peer;

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use peer::{PATIENCE, deadline};
use ternmq_broker::{Broker, Config};
use ternmq_client::ConnectOptions;
use ternmq_client::executor::Strand;
use ternmq_client::link::{Event, Link, Notify, Status, WeakLink};
use ternmq_protocol::client::{Event as SessionEvent, Token};
use ternmq_protocol::codec::{Properties, QoS, SubscriptionOptions};
use ternmq_protocol::{Message, ReasonCode, Time};

fn broker() -> Broker {
    Broker::start(Config::listen("127.0.0.1:0".parse().unwrap())).unwrap()
}

fn message(topic: &str, payload: &[u8]) -> Message {
    let qos = QoS::AtLeastOnce;
    Message::new(topic, payload, qos, false, Properties::EMPTY, Time(0)).unwrap()
}

/// A client whose messages are given to a callback, as the C face does it.
struct Called {
    link: Link,
    strand: Strand,
}

/// Passes the word on to a strand that is made after the link.
#[derive(Default)]
struct Bell(OnceLock<Strand>);

impl Notify for Bell {
    fn notify(&self) {
        if let Some(strand) = self.0.get() {
            strand.schedule();
        }
    }
}

impl Called {
    fn new(broker: &Broker, on_message: impl Fn(&Link, &Message) + Send + Sync + 'static) -> Self {
        let uri = format!("mqtt://{}", broker.local_addrs()[0]);
        let options = ConnectOptions::from_uri(&uri).unwrap();
        let bell = Arc::new(Bell::default());
        let link = Link::open(options, bell.clone()).unwrap();
        let weak: WeakLink = link.downgrade();
        let run = move || {
            let Some(link) = weak.upgrade() else { return };
            let mut events = Vec::new();
            link.take_events(&mut events);
            for event in &events {
                if let Event::Session(SessionEvent::Message(incoming)) = event {
                    on_message(&link, &incoming.message);
                }
            }
        };
        let strand = Strand::new(run).unwrap();
        assert!(bell.0.set(strand.clone()).is_ok());
        link.connect().unwrap();
        let connected = link.wait(deadline(), |s| s.is_connected().then_some(()));
        assert!(connected.is_some());
        Self { link, strand }
    }

    fn subscribe(&self, filter: &str) {
        let requests = [(filter, SubscriptionOptions::default())];
        let token = self.link.subscribe(&requests, Properties::EMPTY).unwrap();
        complete(&self.link, token);
    }
}

fn complete(link: &Link, token: Token) {
    let done = link.wait(deadline(), |s| (!s.is_pending(token)).then_some(()));
    assert!(done.is_some(), "{token:?}");
}

fn teller() -> (SyncSender<Vec<u8>>, impl Fn() -> Vec<u8>) {
    let (sender, receiver) = sync_channel::<Vec<u8>>(1024);
    (sender, move || receiver.recv_timeout(PATIENCE).unwrap())
}

#[test]
fn a_callback_may_publish_subscribe_wait_and_disconnect() {
    let broker = broker();
    let (told, next) = teller();
    let client = Called::new(&broker, move |link, message| match message.topic() {
        "begin" => {
            let requests = [("more", SubscriptionOptions::default())];
            complete(link, link.subscribe(&requests, Properties::EMPTY).unwrap());
            complete(
                link,
                link.publish(self::message("more", b"from inside")).unwrap(),
            );
        }
        _ => {
            told.send(message.payload().to_vec()).unwrap();
            link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY)
                .unwrap();
            let closed = |s: &mut ternmq_client::link::State<'_>| {
                (s.status() == Status::Closed).then_some(())
            };
            assert!(link.wait(deadline(), closed).is_some());
            told.send(b"closed".to_vec()).unwrap();
        }
    });
    client.subscribe("begin");
    client.link.publish(message("begin", b"")).unwrap();
    assert_eq!(next(), b"from inside");
    assert_eq!(next(), b"closed");
}

#[test]
fn a_callback_that_hangs_stalls_its_own_client_alone() {
    let broker = broker();
    let (entered, enters) = sync_channel(1);
    let (open, gate) = sync_channel::<()>(1);
    let gate = Mutex::new(gate);
    let stuck = Called::new(&broker, move |_, _| {
        entered.send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
    });
    stuck.subscribe("t");
    let (told, next) = teller();
    let free = Called::new(&broker, move |_, message| {
        told.send(message.payload().to_vec()).unwrap();
    });
    free.subscribe("t");
    stuck.link.publish(message("t", b"1")).unwrap();
    enters.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next(), b"1");
    // The API of the stuck client still works from other threads.
    complete(&stuck.link, stuck.link.publish(message("t", b"2")).unwrap());
    assert_eq!(next(), b"2");
    open.send(()).unwrap();
    enters.recv_timeout(PATIENCE).unwrap();
    open.send(()).unwrap();
    stuck.strand.close();
}

#[test]
fn callbacks_of_one_client_come_in_order_and_one_at_a_time() {
    let broker = broker();
    let (told, next) = teller();
    let inside = Mutex::new(());
    let client = Called::new(&broker, move |_, message| {
        let _alone = inside.try_lock().expect("one callback at a time");
        told.send(message.payload().to_vec()).unwrap();
    });
    client.subscribe("t");
    for n in 0..1_000u32 {
        client.link.publish(message("t", &n.to_be_bytes())).unwrap();
    }
    for n in 0..1_000u32 {
        assert_eq!(next(), n.to_be_bytes());
    }
    client.strand.close();
    client.link.publish(message("t", b"not told")).unwrap();
}
