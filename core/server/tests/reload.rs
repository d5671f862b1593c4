//! A server that is told to read its configuration again.

mod program;
#[path = "program/server.rs"]
mod server;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::RawPeer;

/// A server with this configuration, which is edited.
fn start(name: &str, config: &str) -> Server {
    let folder = folder(name);
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    Server::start(&folder)
}

const LISTENER: &str = "[[listener]]\naddress = '127.0.0.1:0'\n";

fn passwd(name: &str) -> String {
    let mut command = ternmq(Path::new("."), &["passwd", name, "--iterations", "4096"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"geheim\n").unwrap();
    drop(stdin);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn what_can_change_does_and_what_can_not_is_named() {
    let before = format!("shards = 1\n{LISTENER}");
    let mut server = start("reload", &before);
    let mut there = server.answer("CONNECT client_id=there", "0");
    let after = format!(
        "shards = 2\ndrain_rate = 5\n[limits]\nsubscriptions = 1\nkeep_alive = 30\nqueue_messages = 500000\n\
         packet_size = 4096\n[[ban]]\nclient_id = 'thief'\n{LISTENER}connections = 9\n{}",
        passwd("anna")
    );
    let changed = [
        "drain_rate",
        "limits.keep_alive",
        "limits.subscriptions",
        "listener",
        "user",
        "ban",
    ];
    let restart = ["shards", "limits.packet_size"];
    let told = server.reload("ternmq.toml", &after);
    let sorted = |keys: &Value| {
        let keys = keys.as_array().unwrap().iter();
        let mut keys: Vec<String> = keys.map(|key| key.as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    };
    let sort = |keys: &[&str]| sorted(&json!(keys));
    assert_eq!(told[0]["event"], "reloaded");
    assert_eq!(sorted(&told[0]["changed"]), sort(&changed));
    assert_eq!(told[1]["what"], "restart_needed");
    assert_eq!(sorted(&told[1]["keys"]), sort(&restart));
    drop(server.answer("CONNECT client_id=thief", "0x8a"));
    drop(server.answer("CONNECT client_id=a username=anna password=geheim", "0"));
    drop(server.answer("CONNECT client_id=a username=anna password=wrong", "0x86"));
    for (id, code) in [(1, "0"), (2, "0x97")] {
        there
            .send(&format!("SUBSCRIBE id={id} filter=t/{id} options=0"))
            .unwrap();
        there
            .expect(&format!("SUBACK id={id} code={code}"))
            .unwrap();
    }
    // The same again: what has changed is no news, what needs a restart still does.
    let told = server.reload("ternmq.toml", &after);
    assert_eq!(told[0]["what"], "restart_needed");
    assert_eq!(told.len(), 2);
    // Back to what runs.
    let told = server.reload("ternmq.toml", &before);
    assert_eq!(sorted(&told[0]["changed"]), sort(&changed));
    assert_eq!(told.len(), 2, "{told:?}");
    drop(server.answer("CONNECT client_id=thief username=who", "0"));
}

#[test]
fn a_wrong_configuration_changes_nothing_and_says_why() {
    let mut server = start("reload-wrong", LISTENER);
    let ban = "[[ban]]\nclient_id = 'a'\n";
    for (wrong, words) in [
        ("[limits]\ninflight = 0\n".to_owned(), "0 is out of range"),
        (
            "[limits]\nqueue_mesages = 1\n".to_owned(),
            "did you mean `queue_messages`?",
        ),
        ("shards = ".to_owned(), "string"),
        (
            "[limits]\npacket_size = 4096\nshard_input_bytes = 1048576\n".to_owned(),
            "no room",
        ),
        (format!("{0}{0}", passwd("anna")), "twice"),
    ] {
        let told = server.reload("ternmq.toml", &format!("{ban}{wrong}\n{LISTENER}"));
        assert_eq!((told.len(), &told[0]["what"]), (1, &"not_reloaded".into()));
        assert!(told[0]["problems"].to_string().contains(words), "{told:?}");
        drop(server.answer("CONNECT client_id=a", "0"));
    }
    let told = server.reload("ternmq.toml", &format!("{ban}{LISTENER}"));
    assert_eq!(told[0]["changed"], json!(["ban"]));
    drop(server.answer("CONNECT client_id=a", "0x8a"));
}

/// The events about listeners, and their addresses.
fn of_listeners(told: &[Value]) -> Vec<(&str, &str)> {
    let said = told.iter().filter_map(|told| {
        let event = told["event"].as_str()?;
        let address = told["url"].as_str()?.strip_prefix("mqtt://")?;
        event.ends_with("listening").then_some((event, address))
    });
    said.collect()
}

#[test]
fn listeners_come_and_go_and_clients_stay() {
    let mut server = start("reload-listeners", LISTENER);
    let first = server.address();
    let mut there = server.answer("CONNECT client_id=there", "0");
    let second = format!("{LISTENER}{LISTENER}versions = ['5']\n");
    let told = server.reload("ternmq.toml", &second);
    assert_eq!(told[0]["changed"], json!(["listener"]));
    let [("listening", new)] = of_listeners(&told)[..] else {
        panic!("{told:?}");
    };
    let new: SocketAddr = new.parse().unwrap();
    let mut old = RawPeer::connect(new, 4).unwrap();
    old.send("CONNECT client_id=old").unwrap();
    old.expect("CONNACK reason=1").unwrap();
    let mut peer = RawPeer::connect(new, 5).unwrap();
    peer.send("CONNECT client_id=new").unwrap();
    peer.expect("CONNACK reason=0").unwrap();
    let told = server.reload("ternmq.toml", &format!("{LISTENER}versions = ['5']\n"));
    assert_eq!(
        of_listeners(&told),
        [("not_listening", &*first.to_string())]
    );
    assert!(TcpStream::connect(first).is_err());
    for peer in [&mut there, &mut peer] {
        peer.send("PINGREQ").unwrap();
        peer.expect("PINGRESP").unwrap();
    }
}

#[test]
fn a_listener_moves_to_all_addresses_of_its_port_and_back_while_clients_stay() {
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let at = |ip: &str| format!("[[listener]]\naddress = '{ip}:{port}'\nanonymous = true\n");
    let mut server = start("reload-move", &at("127.0.0.1"));
    let mut there = vec![server.answer("CONNECT client_id=one", "0")];
    let beside = SocketAddr::from(([127, 0, 0, 2], port));
    assert!(TcpStream::connect(beside).is_err());
    for (ip, other, id) in [
        ("0.0.0.0", "127.0.0.1", "two"),
        ("127.0.0.1", "0.0.0.0", "three"),
        ("0.0.0.0", "127.0.0.1", "four"),
    ] {
        let told = server.reload("ternmq.toml", &at(ip));
        let (old, new) = (format!("{other}:{port}"), format!("{ip}:{port}"));
        let moved = [("not_listening", &*old), ("listening", &*new)];
        assert_eq!(of_listeners(&told), moved, "{told:?}");
        assert_eq!(TcpStream::connect(beside).is_ok(), ip == "0.0.0.0");
        there.push(server.answer(&format!("CONNECT client_id={id}"), "0"));
        for peer in &mut there {
            peer.send("PINGREQ").unwrap();
            peer.expect("PINGRESP").unwrap();
        }
    }
    // What is wrong with the file leaves it where it is.
    let told = server.reload("ternmq.toml", &format!("{}shards = 'x'\n", at("127.0.0.1")));
    assert_eq!(told[0]["what"], "not_reloaded");
    assert!(TcpStream::connect(beside).is_ok());
}

#[test]
fn a_listener_that_can_not_be_changes_nothing_and_its_line_is_named() {
    let mut server = start("reload-taken", LISTENER);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let tls = "certificate = 'missing.pem'\nkey = 'missing.key'\n";
    let ban = "[[ban]]\nclient_id = 'a'\n";
    for (wrong, key, line) in [
        (format!("address = '{taken}'\n"), "listener[1].address", 6),
        (
            format!("address = '127.0.0.1:0'\ntype = 'tls'\n{tls}"),
            "listener[1].certificate",
            8,
        ),
        (
            "type = 'unix'\npath = '/no/such/folder/s'\n".to_owned(),
            "listener[1].path",
            7,
        ),
    ] {
        let told = server.reload(
            "ternmq.toml",
            &format!("{LISTENER}{ban}[[listener]]\n{wrong}"),
        );
        assert_eq!((told.len(), &told[0]["what"]), (1, &"not_reloaded".into()));
        let problem = &told[0]["problems"][0];
        assert_eq!(
            (&problem["key"], &problem["where"]["line"]),
            (&key.into(), &line.into())
        );
        drop(server.answer("CONNECT client_id=a", "0"));
    }
}
