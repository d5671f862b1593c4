//! `ternmq explain` through back ends and data folders, beside servers that are told the same.

#[path = "program/back_end.rs"]
mod back_end;
#[path = "program/databases.rs"]
#[allow(dead_code, reason = "other tests ask data bases")]
mod databases;
#[path = "program/directory.rs"]
#[allow(dead_code, reason = "other tests search it")]
mod directory;
mod program;
#[path = "program/server.rs"]
#[allow(dead_code, reason = "other tests read its metrics")]
mod server;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use back_end::{Answer, BackEnd};
use serde_json::{Value, json};
use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::RawPeer;

/// Exit status and what is said for programs. No password may be in it.
fn explain(folder: &Path, words: &[&str]) -> (i32, Value) {
    let args = [&["explain"], words, &["--json", "-c", "ternmq.toml"]].concat();
    let output = ternmq(folder, &args).output().unwrap();
    let text = format!("{output:?}");
    assert!(
        !text.contains("geheim") && !text.contains("T0KEN"),
        "{text}"
    );
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{text}: {e}"));
    (output.status.code().unwrap(), told)
}

/// The same of a client with a user name and a password that is in a file.
fn of(folder: &Path, user: &str, words: &str) -> (i32, Value) {
    let words: Vec<&str> = words.split(' ').collect();
    let who = ["-i", "c", "-u", user, "--password-file", "word"];
    explain(folder, &[&words[..], &who].concat())
}

fn verdict(status: i32) -> &'static str {
    match status {
        0 => "allowed",
        3 => "denied",
        4 => "depends",
        other => panic!("{other}"),
    }
}

fn start(folder: &Path, config: &str) -> Server {
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    std::fs::write(folder.join("word"), "geheim\nmore\n").unwrap();
    Server::start(folder)
}

/// What the server itself says: whether it lets somebody in, and takes what it publishes.
fn really(server: &Server, user: &str, topic: &str) -> (bool, bool) {
    let mut peer = RawPeer::connect(server.address(), 5).unwrap();
    peer.send(&format!(
        "CONNECT client_id=c username={user} password=geheim"
    ))
    .unwrap();
    if peer.expect("CONNACK reason=0").is_err() {
        return (false, false);
    }
    peer.send(&format!("PUBLISH qos=1 id=1 payload=x topic={topic}"))
        .unwrap();
    (true, peer.expect("PUBACK id=1 reason=0x10").is_ok())
}

/// A file of passwords with one user.
fn users(folder: &Path) {
    let made = ternmq(
        folder,
        &["passwd", "-c", "-b", "passwords", "ben", "geheim"],
    );
    assert!({ made }.output().unwrap().status.success());
}

fn web(asked: &Value) -> Answer {
    let user = asked["username"].as_str().unwrap_or_default();
    match (
        asked["path"].as_str().unwrap(),
        user,
        asked["topic"].as_str(),
    ) {
        ("/user", _, _) if asked["password"] != "geheim" => Answer::status(403),
        ("/user", "anna", _) => Answer::status(200),
        ("/user", "root", _) => Answer::json(&json!({ "result": "allow", "is_superuser": true })),
        ("/user", "limited", _) => Answer::json(&json!({ "result": "allow",
            "acl": [{ "permission": "allow", "action": "all", "topic": "own/#" }] })),
        ("/user", "badacl", _) => Answer::json(&json!({ "result": "allow", "acl": 7 })),
        ("/user", "broken", _) => Answer::status(503),
        ("/user", "over", _) => Answer::json(&json!({ "result": "allow", "expire_at": 5 })),
        ("/user", _, _) => Answer::json(&json!({ "result": "ignore" })),
        (_, _, Some("yes")) => Answer::status(200),
        (_, _, Some("no")) => Answer::status(403),
        (_, _, Some("lost")) => Answer::status(503),
        _ => Answer::json(&json!({ "result": "ignore" })),
    }
}

fn config(web: &BackEnd, policy: &str) -> String {
    format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[access]\npassword_file = 'passwords'\nrules = 'rules'\n\
         default = 'deny'\n[[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{0}/user'\n\
         authorise = '{0}/acl'\nheaders = ['Authorization: T0KEN']\nfailures = 0\nwhen_down = '{policy}'\n",
        web.url()
    )
}

#[test]
fn what_is_explained_is_what_the_server_does_with_each_user_and_topic() {
    let folder = folder("explain_http");
    let web = BackEnd::start(web);
    users(&folder);
    std::fs::write(
        folder.join("rules"),
        "deny topic secret\nallow topic open\n",
    )
    .unwrap();
    for (policy, default) in [("deny", "allow"), ("ignore", "allow"), ("ignore", "deny")] {
        let default = format!("default = '{default}'");
        let text = config(&web, policy).replace("default = 'deny'", &default);
        let server = start(&folder, &text);
        for user in [
            "anna", "root", "limited", "badacl", "broken", "over", "ben", "nobody",
        ] {
            for topic in ["secret", "open", "yes", "no", "lost", "own/x", "other"] {
                let (comes_in, publishes) = really(&server, user, topic);
                let (status, told) = of(&folder, user, "connect");
                assert_eq!(verdict(status) == "allowed", comes_in, "{user}: {told}");
                assert_eq!(told["verdict"], verdict(status));
                let words = format!("publish -q 1 -t {topic}");
                let (status, told) = of(&folder, user, &words);
                assert_ne!(verdict(status), "depends", "{user} {topic}: {told}");
                assert_eq!(
                    verdict(status) == "allowed",
                    publishes,
                    "{policy} {user} {topic}: {told}"
                );
            }
        }
    }
}

#[test]
fn who_decides_is_named_with_its_place() {
    let folder = folder("explain_places");
    let web = BackEnd::start(web);
    users(&folder);
    std::fs::write(folder.join("rules"), "deny topic secret\n").unwrap();
    drop(start(&folder, &config(&web, "ignore")));
    for (user, words, by, line, text) in [
        (
            "anna",
            "connect",
            "step",
            Some(7),
            "step \"web\" lets it in",
        ),
        ("root", "connect", "step", Some(7), "to do everything"),
        (
            "badacl",
            "connect",
            "step",
            Some(7),
            "`acl` is no list of rules",
        ),
        ("broken", "connect", "steps", None, "none of the steps"),
        (
            "ben",
            "connect",
            "password_file",
            Some(1),
            "the user's password",
        ),
        ("root", "publish -t secret", "superuser", None, "everything"),
        (
            "anna",
            "publish -t secret",
            "rule",
            Some(1),
            "deny topic secret",
        ),
        ("anna", "publish -t yes", "step", Some(7), "allows it"),
        ("anna", "subscribe -t no", "step", Some(7), "denies it"),
        ("anna", "publish -t other", "default", Some(6), "deny"),
        ("limited", "publish -t other", "grant", None, "do not allow"),
        (
            "limited",
            "publish -t own/x",
            "grant",
            None,
            "no rule applies",
        ),
        ("over", "publish -t own/x", "step", Some(7), "can't come in"),
    ] {
        let (_, told) = of(&folder, user, words);
        assert_eq!(told["by"], by, "{user} {words}: {told}");
        assert_eq!(
            told["where"]["line"].as_u64(),
            line,
            "{user} {words}: {told}"
        );
        assert!(told["text"].as_str().unwrap().contains(text), "{told}");
    }
}

#[test]
fn who_was_asked_before_and_who_was_not_asked_is_said() {
    let folder = folder("explain_said");
    let web = BackEnd::start(web);
    users(&folder);
    std::fs::write(folder.join("rules"), "").unwrap();
    drop(start(&folder, &config(&web, "ignore")));
    let (_, told) = of(&folder, "broken", "connect");
    let said = told["said"].to_string();
    assert!(said.contains("503") && said.contains("ignore"), "{told}");
    // Without a password nobody is asked who it is, and that is said.
    let before = web.asked().len();
    let (status, told) = explain(&folder, &["connect", "-i", "c", "-u", "anna"]);
    assert_eq!((status, &told["not_asked"]), (4, &json!(["web"])), "{told}");
    // Of who names nobody somebody else may know something.
    assert_eq!(explain(&folder, &["connect", "-i", "c"]).1["by"], "step");
    assert_eq!(web.asked().len(), before + 1);
}

#[test]
fn offline_nobody_is_asked_and_it_is_said_who_was_not() {
    let folder = folder("explain_offline");
    let web = BackEnd::start(web);
    users(&folder);
    std::fs::write(folder.join("rules"), "deny topic secret\n").unwrap();
    drop(start(&folder, &config(&web, "deny")));
    for (user, words, status, not_asked) in [
        ("anna", "connect", 4, json!(["web"])),
        ("ben", "connect", 0, json!([])),
        ("anna", "publish -t secret", 3, json!(["web"])),
        ("anna", "publish -t yes", 4, json!(["web"])),
    ] {
        let (code, told) = of(&folder, user, &format!("{words} --offline"));
        assert_eq!((code, &told["not_asked"]), (status, &not_asked), "{told}");
    }
    assert!(web.asked().is_empty());
    // For people too, and with the password on standard input.
    let args = "explain connect -c ternmq.toml -u anna --password-file - --offline";
    let args: Vec<&str> = args.split(' ').collect();
    let said = |args: &[&str]| {
        let mut child = ternmq(&folder, args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not want to know.
        let _ = child.stdin.take().unwrap().write_all(b"geheim\n");
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    assert!(
        said(&args).ends_with("  not asked: web\n"),
        "{}",
        said(&args)
    );
    let text = said(&args[..args.len() - 1]);
    assert!(
        text.starts_with("allowed: ") && text.contains("ternmq.toml, line 7"),
        "{text}"
    );
}

#[test]
fn redis_and_directories_are_asked_as_the_server_asks_them() {
    let folder = folder("explain_back_ends");
    let redis = databases::redis(&folder, None);
    let bcrypt = "$2b$04$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mGC";
    for command in [
        format!("HSET mqtt:user:ben password_hash {bcrypt}"),
        format!("HSET mqtt:user:root password_hash {bcrypt} is_superuser 1"),
        "HSET mqtt:user:emil password_hash geheim".to_owned(),
        "HSET mqtt:acl:ben own/%u/# publish".to_owned(),
    ] {
        redis.run(&command);
    }
    let directory = databases::slapd(&folder, &directory::entries(), "");
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[[access.step]]\nname = 'data'\nkind = 'redis'\nurl = '{}'\n\
         user_key = 'mqtt:user:${{username}}'\nacl_key = 'mqtt:acl:${{username}}'\ntimeout_ms = 60000\n\
         [[access.step]]\nname = 'people'\nkind = 'ldap'\nurl = '{}'\ntimeout_ms = 60000\n{}\
         group_attribute = 'memberOf'\ngroups = [{{ group = 'admins', superuser = true }}, \
         {{ group = 'sensors', rules = ['allow topic s/#'] }}]\n",
        redis.url,
        directory.url,
        directory::NAMED
    );
    let server = start(&folder, &text);
    for (user, by) in [
        ("ben", "data"),
        ("root", "data"),
        ("emil", "data"),
        ("anna", "people"),
        ("eva", "people"),
        ("carl", "people"),
    ] {
        for topic in ["own/ben/x", "s/x", "other"] {
            let (comes_in, publishes) = really(&server, user, topic);
            let (status, told) = of(&folder, user, "connect");
            assert_eq!(verdict(status) == "allowed", comes_in, "{user}: {told}");
            assert!(
                told["text"].as_str().unwrap().contains(by),
                "{user}: {told}"
            );
            let (status, told) = of(&folder, user, &format!("publish -t {topic}"));
            assert_eq!(
                verdict(status) == "allowed",
                publishes,
                "{user} {topic}: {told}"
            );
        }
    }
    drop(redis);
    let (status, told) = of(&folder, "ben", "connect");
    assert_eq!(status, 3);
    assert!(
        told["text"].as_str().unwrap().contains("no answer"),
        "{told}"
    );
}

/// Comes in for a moment, or is refused.
fn come(address: SocketAddr) {
    let mut peer = RawPeer::connect(address, 5).unwrap();
    peer.send("CONNECT client_id=wild").unwrap();
    // Either is an answer.
    let _ = peer.expect("CONNACK");
}

#[test]
fn the_bans_of_a_running_server_are_read_beside_it() {
    let folder = folder("explain_bans");
    let config =
        "[[listener]]\naddress = '127.0.0.1:0'\n[flapping]\nmax = 2\nwindow = 600\nban_for = 600\n";
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    let explained = |client: &str, data: &str| {
        let words = ["connect", "-i", client, "--data", data];
        explain(&folder, &words)
    };
    std::fs::create_dir(folder.join("data")).unwrap();
    assert_eq!(explained("wild", "data").0, 0);
    let mut child = ternmq(
        &folder,
        &["serve", "--json", "-c", "ternmq.toml", "--data", "data"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut event = |name: &str| loop {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0);
        let told: Value = serde_json::from_str(&line).unwrap();
        if told["event"] == name {
            return told;
        }
    };
    let listening = event("listening");
    let address = listening["address"].as_str().unwrap().parse().unwrap();
    (0..4).for_each(|_| come(address));
    event("banned");
    // The file is written after it is told; the server is asked to end, and so writes it at the latest.
    let file = folder.join("data/bans.json");
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("wild")) {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let (status, told) = explained("wild", "data");
    assert_eq!((status, told["by"].as_str()), (3, Some("ban")), "{told}");
    assert_eq!(told["where"]["line"], 2, "{told}");
    assert!(
        told["where"]["file"]
            .as_str()
            .unwrap()
            .ends_with("bans.json")
    );
    let publish = ["publish", "-i", "wild", "-t", "x", "-d", "data"];
    assert_eq!(explain(&folder, &publish).1["by"], "ban");
    assert_eq!(explained("tame", "data").0, 0);
    // It runs on, and its folder is still its own.
    let pid = child.id().to_string();
    let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(child.wait().unwrap().success());
    std::fs::write(&file, "[{}]").unwrap();
    let words = [
        "explain",
        "connect",
        "-i",
        "x",
        "-d",
        "data",
        "-c",
        "ternmq.toml",
    ];
    assert_eq!(
        ternmq(&folder, &words).output().unwrap().status.code(),
        Some(1)
    );
}
