//! What a broker tells of its clients.

mod support;

use std::collections::BTreeMap;

use support::{client, publish, spread, subscribe, until};
use ternmq_broker::{Broker, ClientCounters, ClientCursor, ClientInfo};
use ternmq_protocol::ProtocolVersion;

/// All clients, by pages of `max`.
fn all(broker: &Broker, max: usize) -> BTreeMap<String, ClientInfo> {
    let mut found = BTreeMap::new();
    let mut from = Some(ClientCursor::default());
    while let Some(cursor) = from {
        let page = broker.clients(cursor, max);
        assert!(page.clients.len() <= max);
        for info in page.clients {
            let known = found.insert(String::from(&*info.client_id), info);
            assert!(known.is_none(), "told twice: {known:?}");
        }
        from = page.next;
    }
    found
}

#[test]
fn every_client_is_told_of_and_their_counters_add_up() {
    let broker = spread(3);
    let mut peers: Vec<_> = (0..20)
        .map(|n| client(&broker, 4 + n % 2, &format!("c{n} username=u{n}")))
        .collect();
    subscribe(&mut peers[3], "t/+", 1);
    subscribe(&mut peers[4], "t/4", 2);
    for (n, qos) in [(5, 0), (6, 1), (7, 2)] {
        publish(&mut peers[n], "t/4", qos, "x");
    }
    let stats = until(&broker, |stats| stats.mqtt.sent() == 6);
    for max in [1, 7, 100] {
        let clients = all(&broker, max);
        assert_eq!(clients.len(), 20);
        let mut sum = ClientCounters::default();
        for (id, info) in &clients {
            assert_eq!(broker.client(id).as_ref(), Some(info));
            sum.add(&info.counters);
        }
        assert_eq!((sum.received, sum.sent), (3, 6));
        let info = &clients["c3"];
        let connection = info.connection.as_ref().expect("connected");
        assert_eq!(connection.version, ProtocolVersion::V5_0);
        assert_eq!((connection.listener.0, info.subscriptions), (0, 1));
        assert_eq!(connection.user_name.as_deref(), Some("u3"));
        assert_eq!((info.inflight, clients["c4"].inflight), (2, 2));
        assert_eq!((info.queued, info.queued_bytes), (0, 0));
        assert_eq!(clients["c7"].counters.received, 1);
    }
    assert_eq!(stats.ended_clients, ClientCounters::default());
    assert_eq!(broker.client("nobody"), None);
    drop(peers);
    let stats = until(&broker, |stats| stats.mqtt.sessions == 0);
    assert!(all(&broker, 100).is_empty());
    assert_eq!(
        (stats.ended_clients.received, stats.ended_clients.sent),
        (3, 6)
    );
    assert_eq!(stats.ended_clients.dropped, stats.mqtt.dropped);
}
