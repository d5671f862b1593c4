//! What is wrong with what a right configuration names: files, addresses, and values that don't go together.

use ternmq_broker::tls::TlsError;
use ternmq_broker::{ListenerConfig, StartError};

use super::Loaded;
use super::problem::{Problem, Problems};
use super::tree::{Map, Node, Value};

/// What can be told without taking anything.
///
/// # Errors
/// All of it.
pub(crate) fn check(loaded: &Loaded) -> Result<(), Problems> {
    let broker = &loaded.settings.broker;
    let of_all = |error: String| Problem::of_all(error);
    let mut problems = Vec::new();
    problems.extend(broker.check().err().map(|error| of_all(error.to_string())));
    let access = &loaded.settings.access;
    let (rules, steps) = (access.read().err(), access.look_at_steps().err());
    for wrong in rules.into_iter().chain(steps) {
        problems.extend(wrong.list().iter().cloned());
    }
    let users = ternmq_broker::auth::Users::new(&broker.users);
    problems.extend(users.err().map(|error| of_all(error.to_string())));
    problems.extend(certificates(&broker.listeners, &loaded.map));
    Problems::none(problems)
}

/// What is wrong with the files of TLS.
pub(crate) fn certificates(listeners: &[ListenerConfig], map: &Map) -> Vec<Problem> {
    let tried = listeners.iter().enumerate().filter_map(|(at, listener)| {
        let mut tls = listener.tls.clone()?;
        // Looking makes no file.
        tls.key_log = tls.key_log.filter(|file| file.exists());
        let error = tls.build().err()?;
        let what = format!("{}: {error}", listener.address);
        Some(of_listener(map, at, &key_of(&error, map, at), what))
    });
    tried.collect()
}

/// Why a broker does not take a configuration, and where that stands in it.
pub(crate) fn refusal(error: &StartError, listeners: &[ListenerConfig], map: &Map) -> Problem {
    let (address, key): (_, &dyn Fn(usize) -> String) = match error {
        StartError::Listen(address, _) if address.ip().is_none() => {
            (address, &|_| "path".to_owned())
        }
        StartError::Listen(address, _) => (address, &|_| "address".to_owned()),
        StartError::Tls(address, error) => (address, &|at| key_of(error, map, at)),
        _ => return Problem::of_all(error.to_string()),
    };
    let mut places = listeners.iter();
    match places.position(|listener| listener.address == *address) {
        Some(at) => of_listener(map, at, &key(at), error.to_string()),
        None => Problem::of_all(error.to_string()),
    }
}

/// The key of a listener that names what an error of TLS is about.
fn key_of(error: &TlsError, map: &Map, at: usize) -> String {
    let text = error.to_string();
    let named = |key: &'static str| {
        let node = table(map, at).and_then(|table| table.get(key));
        let length = node.map_or(0, |node| longest(node, &text));
        (length > 0).then_some((length, key))
    };
    let keys = [
        "certificate",
        "key",
        "certificates",
        "client_ca",
        "client_crl",
        "key_log",
    ];
    let otherwise = match error {
        TlsError::NothingToOffer(_) => "cipher_suites",
        _ => "certificate",
    };
    let found = keys.into_iter().filter_map(named).max();
    found.map_or(otherwise, |(_, key)| key).to_owned()
}

/// The length of the longest path in a node that stands in a text, or 0: one path may be the end of another.
fn longest(node: &Node, text: &str) -> usize {
    match &node.value {
        Value::Text(path) if text.contains(path.as_str()) => path.len(),
        Value::List(nodes) => nodes
            .iter()
            .map(|node| longest(node, text))
            .max()
            .unwrap_or(0),
        Value::Table(map) => map
            .values()
            .map(|node| longest(node, text))
            .max()
            .unwrap_or(0),
        _ => 0,
    }
}

fn of_listener(map: &Map, at: usize, key: &str, what: String) -> Problem {
    let node = table(map, at).and_then(|table| table.get(key));
    let whole = || match map.get("listener").map(|node| &node.value) {
        Some(Value::List(nodes)) => nodes.get(at),
        _ => None,
    };
    match node.or_else(whole) {
        Some(node) => Problem::new(node.origin.clone(), &format!("listener[{at}].{key}"), what),
        None => Problem::of_all(what),
    }
}

/// The lines of a listener.
fn table(map: &Map, at: usize) -> Option<&Map> {
    let Value::List(nodes) = &map.get("listener")?.value else {
        return None;
    };
    match &nodes.get(at)?.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}
