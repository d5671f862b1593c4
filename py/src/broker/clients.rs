//! What is known of clients, as Python gets it.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ternmq_broker::{Broker, ClientCursor, ClientInfo, Stats};
use ternmq_protocol::ProtocolVersion;

/// The sessions of a broker.
pub(super) fn all(broker: &Broker) -> Vec<ClientInfo> {
    let mut all = Vec::new();
    let mut next = Some(ClientCursor::default());
    while let Some(from) = next {
        let page = broker.clients(from, usize::MAX);
        all.extend(page.clients);
        next = page.next;
    }
    all
}

/// The arguments of Python's `ClientInfo`.
pub(super) fn to_dict<'py>(py: Python<'py>, client: &ClientInfo) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("client_id", &*client.client_id)?;
    dict.set_item("connected", client.connection.is_some())?;
    let connection = client.connection.as_ref();
    let version = connection.map(|connection| match connection.version {
        ProtocolVersion::V3_1 => 3,
        ProtocolVersion::V3_1_1 => 4,
        ProtocolVersion::V5_0 => 5,
    });
    dict.set_item("version", version)?;
    dict.set_item("keepalive", connection.map(|c| c.keep_alive))?;
    dict.set_item("username", connection.and_then(|c| c.user_name.as_deref()))?;
    dict.set_item("subscriptions", client.subscriptions)?;
    dict.set_item("queued", client.queued)?;
    dict.set_item("inflight", client.inflight)?;
    dict.set_item("received", client.counters.received)?;
    dict.set_item("sent", client.counters.sent)?;
    Ok(dict)
}

/// The counters that tests and small systems look at.
pub(super) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let mqtt = &stats.mqtt;
    for (name, value) in [
        ("connections", mqtt.connections),
        ("connected", mqtt.connected),
        ("sessions", mqtt.sessions),
        ("sessions_expired", mqtt.sessions_expired),
        ("subscriptions", mqtt.subscriptions),
        ("received", mqtt.received.iter().sum()),
        ("sent", mqtt.sent.iter().sum()),
        ("queued", mqtt.queued),
        ("wills", mqtt.wills),
        ("accepted", stats.accepted),
        ("closed", stats.closed),
        ("bytes_in", stats.bytes_in),
        ("bytes_out", stats.bytes_out),
        ("retained_expired", stats.retained_expired),
        ("passwords_wrong", stats.passwords_wrong),
        ("tls_failed", stats.tls_failed),
        ("events_lost", stats.client_events_lost),
        ("local_dropped", stats.local_dropped),
        ("hooks_full", stats.hooks_full),
    ] {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}
