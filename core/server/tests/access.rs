//! Who may do what by the files of rules that a configuration names.

mod program;
#[path = "program/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::RawPeer;

/// A folder with these files.
fn with(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = folder(name);
    for (file, text) in files {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder
}

/// What a server says of a file that has changed: the first event that is about rules, or a refusal.
fn reload(server: &mut Server, file: &str, text: &str) -> Value {
    let told = server.reload(file, text).into_iter();
    let mut told =
        told.filter(|told| told["event"] == "rules_reloaded" || told["what"] == "not_reloaded");
    told.next().expect("something of the rules")
}

fn client(server: &Server, client_id: &str, user: &str) -> RawPeer {
    let connect = format!("CONNECT client_id={client_id} username={user} password=x");
    server.answer(&connect, "0")
}

fn output(folder: &Path, args: &[&str]) -> Output {
    ternmq(folder, args).output().unwrap()
}

/// Publishes and subscribes, and compares the reason codes.
fn expect(peer: &mut RawPeer, line: &str, reason: &str) {
    let (kind, rest) = line.split_once(' ').unwrap();
    let answer = match kind {
        "publish" => {
            peer.send(&format!("PUBLISH qos=1 id=1 payload=x {rest}"))
                .unwrap();
            format!("PUBACK id=1 reason={reason}")
        }
        _ => {
            peer.send(&format!("SUBSCRIBE id=1 {rest}")).unwrap();
            format!("SUBACK id=1 code={reason}")
        }
    };
    let got = peer.expect(&answer);
    got.unwrap_or_else(|error| panic!("{line}: {error:?}"));
}

const CONFIG: &str = "[[listener]]\naddress = '127.0.0.1:0'\n[access]\nrules = 'rules'\n";

const RULES: &str = "\
group sensors = s1 \"s*\"
allow group sensors publish qos 1 topic sensors/%u/%c/#
deny client bad-* topic #
allow subscribe topic public/#
allow address 192.0.2.0/24
";

/// Allowed, though nobody subscribes.
const YES: &str = "0x10";
const NO: &str = "0x87";

#[test]
fn a_file_of_rules_decides_and_what_it_does_not_name_is_denied() {
    let server = Server::start(&with("rules", &[("ternmq.toml", CONFIG), ("rules", RULES)]));
    let mut one = client(&server, "c1", "s1");
    expect(&mut one, "publish topic=sensors/s1/c1/t", YES);
    expect(&mut one, "publish topic=sensors/s1/c2/t", NO);
    expect(&mut one, "publish topic=other", NO);
    expect(&mut one, "subscribe filter=public/# options=0", "0");
    expect(&mut one, "subscribe filter=# options=0", NO);
    let mut bad = client(&server, "bad-1", "s1");
    expect(&mut bad, "subscribe filter=public/# options=0", NO);
    // Names that would be wildcards or more than a level, were they not compared.
    for (id, user) in [("+", "+"), ("#", "s1"), ("c1/x", "s*"), ("c1", "#")] {
        let mut peer = client(&server, id, user);
        for topic in [
            "sensors/s1/c1/t",
            "sensors/+",
            "sensors/s1/c1/x/t",
            "sensors/s*/c1",
        ] {
            if !topic.contains('+') {
                expect(&mut peer, &format!("publish topic={topic}"), NO);
            }
        }
        for filter in ["sensors/#", "sensors/+/+/#", "sensors/+/c1"] {
            expect(
                &mut peer,
                &format!("subscribe filter={filter} options=0"),
                NO,
            );
        }
    }
}

#[test]
fn a_reload_takes_all_of_a_file_or_nothing_and_says_where_it_is_wrong() {
    let files = [("ternmq.toml", CONFIG), ("rules", RULES)];
    let mut server = Server::start(&with("rules_again", &files));
    let mut peer = client(&server, "c1", "s1");
    expect(&mut peer, "publish topic=sensors/s1/c1/t", YES);
    // The line in front of the wrong one does not hold either.
    let told = reload(&mut server, "rules", "allow\n\n  deny publsh topic x\n");
    let place = &told["problems"][0]["where"];
    assert_eq!(told["what"], "not_reloaded");
    assert_eq!((&place["line"], &place["column"]), (&3.into(), &8.into()));
    assert!(place["file"].as_str().unwrap().ends_with("rules"), "{told}");
    expect(&mut peer, "publish topic=other", NO);
    expect(&mut peer, "publish topic=sensors/s1/c1/t", YES);
    // A file that is gone keeps the rules as well.
    std::fs::remove_file(server.folder.join("rules")).unwrap();
    let told = reload(&mut server, "ternmq.toml", CONFIG);
    assert!(
        told["problems"][0]["what"]
            .as_str()
            .unwrap()
            .contains("rules"),
        "{told}"
    );
    expect(&mut peer, "publish topic=other", NO);
    let told = reload(&mut server, "rules", "allow publish topic other\n");
    assert_eq!(told["rules"], 1);
    expect(&mut peer, "publish topic=other", YES);
    expect(&mut peer, "publish topic=sensors/s1/c1/t", NO);
    // What holds where no rule does is read again with the rest.
    let allow = format!("{CONFIG}default = 'allow'\n");
    assert_eq!(reload(&mut server, "ternmq.toml", &allow)["rules"], 1);
    expect(&mut peer, "publish topic=sensors/s1/c1/t", YES);
}

#[test]
fn an_acl_file_of_mosquitto_is_read_as_it_is() {
    let config = CONFIG.replace("rules = 'rules'", "mosquitto_acl_file = 'aclfile'");
    let acl = "topic read news/#\n\nuser anna\ntopic lab/#\ntopic deny lab/secret\n\n# all\npattern write %u/%c\n";
    let server = Server::start(&with(
        "aclfile",
        &[("ternmq.toml", &config), ("aclfile", acl)],
    ));
    let mut anna = client(&server, "c1", "anna");
    expect(&mut anna, "publish topic=lab/x", YES);
    expect(&mut anna, "publish topic=lab/secret", NO);
    expect(&mut anna, "subscribe filter=lab/# options=0", NO);
    expect(&mut anna, "subscribe filter=lab/x/# options=0", "0");
    expect(&mut anna, "publish topic=anna/c1", YES);
    expect(&mut anna, "publish topic=ben/c1", NO);
    expect(&mut anna, "subscribe filter=news/# options=0", NO);
    let mut nobody = server.answer("CONNECT client_id=c2", "0");
    expect(&mut nobody, "subscribe filter=news/# options=0", "0");
    expect(&mut nobody, "publish topic=lab/x", NO);
}

#[test]
fn a_server_does_not_start_without_the_rules_that_it_is_to_follow() {
    let wrong = with(
        "rules_wrong",
        &[("ternmq.toml", CONFIG), ("rules", "allow\nallow usr x")],
    );
    let none = with("rules_none", &[("ternmq.toml", CONFIG)]);
    for (folder, told) in [
        (&wrong, "rules, line 2, column 7: expected `user`"),
        (&none, "rules"),
    ] {
        for args in [
            &["serve", "--config", "ternmq.toml"][..],
            &["config", "check", "ternmq.toml"],
        ] {
            let output = output(folder, args);
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(
                !output.status.success() && text.contains(told),
                "{args:?}: {text}"
            );
        }
    }
}

/// `ternmq explain` with these words: its exit status and what it says for programs.
fn explain(folder: &Path, words: &str) -> (i32, Value) {
    let mut args = vec!["explain"];
    args.extend(words.split(' '));
    args.extend(["--json", "-c", "ternmq.toml"]);
    let output = output(folder, &args);
    let told = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), told.unwrap_or_default())
}

const TOPICS: &str =
    "[topics]\ndelayed = true\n[[topics.rewrite]]\nsource = 'old/#'\ntarget = 'sensors/$1'\n";

#[test]
fn explain_names_the_line_that_decides() {
    let config = format!("{CONFIG}{TOPICS}");
    let folder = with("explain", &[("ternmq.toml", &config), ("rules", RULES)]);
    let who = "-i c1 -u s1 -q 1";
    for (words, verdict, line) in [
        (
            format!("publish {who} -t sensors/s1/c1/t"),
            "allowed",
            Some(2),
        ),
        (format!("publish {who} -t old/s1/c1/t"), "allowed", Some(2)),
        (
            format!("publish {who} -t $delayed/9/sensors/s1/c1/t"),
            "allowed",
            Some(2),
        ),
        (format!("publish {who} -t $SYS/x"), "denied", None),
        (
            "publish -i c1 -u s1 -t sensors/s1/c1/t".into(),
            "denied",
            None,
        ),
        (
            format!("subscribe {who} -t $share/g/public/#"),
            "allowed",
            Some(4),
        ),
        ("subscribe -i bad-1 -t #".into(), "denied", Some(3)),
        (
            "subscribe -i + -u + -t sensors/+/+/#".into(),
            "denied",
            None,
        ),
        (
            "subscribe -i c1 -t # --address 192.0.2.9".into(),
            "allowed",
            Some(5),
        ),
    ] {
        let (status, told) = explain(&folder, &words);
        assert_eq!(told["verdict"], verdict, "{words}: {told}");
        assert_eq!(status, if verdict == "allowed" { 0 } else { 3 }, "{words}");
        assert_eq!(told["where"]["line"].as_u64(), line, "{words}: {told}");
        if line.is_some() {
            assert_eq!(told["where"]["file"], "rules");
        }
    }
}

#[test]
fn explain_says_what_the_server_does_in_words_too() {
    let config = format!("{CONFIG}{TOPICS}");
    let files = [("ternmq.toml", &*config), ("rules", RULES)];
    let server = Server::start(&with("explain_words", &files));
    let mut peer = client(&server, "c1", "s1");
    expect(&mut peer, "publish topic=old/s1/c1/t", YES);
    expect(&mut peer, "publish topic=$delayed/9/sensors/s1/c1/t", "0x0");
    expect(
        &mut peer,
        "subscribe filter=$share/g/public/# options=0",
        "0",
    );

    let words = [
        "explain",
        "publish",
        "-t",
        "old/s1/c1/x",
        "-i",
        "c1",
        "-u",
        "s1",
        "-q",
        "1",
    ];
    let told = output(
        &server.folder,
        &[&words[..], &["-c", "ternmq.toml"]].concat(),
    );
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(
        text,
        "allowed: publish to \"old/s1/c1/x\" with QoS 1\n  rules:2: allow group sensors publish qos 1 topic \
         sensors/%u/%c/#\n  what is meant here is \"sensors/s1/c1/x\"\n"
    );
    std::fs::write(server.folder.join("rules"), "nonsense").unwrap();
    assert_eq!(explain(&server.folder, "publish -t x").0, 1);
    assert_eq!(explain(&server.folder, "publish").0, 2);
}

#[test]
fn explain_says_who_may_come_in_and_what_it_depends_on() {
    let mut passwd = ternmq(Path::new("."), &["passwd", "anna", "--iterations", "4096"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = passwd.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"geheim\n").unwrap();
    drop(stdin);
    let user = String::from_utf8(passwd.wait_with_output().unwrap().stdout).unwrap();
    let config = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[[listener]]\naddress = '0.0.0.0:0'\n[[ban]]\n\
         client_id = 'thief'\n{user}"
    );
    let folder = with("explain_connect", &[("ternmq.toml", &config)]);
    for (words, status, by, line) in [
        ("-i a", 0, "anonymous", None),
        ("-i a --listener 0.0.0.0:0", 3, "anonymous", None),
        ("-i thief", 3, "ban", Some(5)),
        ("-i a -u anna", 4, "user", Some(7)),
        ("-i a -u anna -P geheim", 0, "user", Some(7)),
        ("-i a -u anna -P wrong", 3, "user", Some(7)),
        ("-i a -u ben -P geheim", 3, "user", None),
    ] {
        let (code, told) = explain(&folder, &format!("connect {words}"));
        assert_eq!(
            (code, told["by"].as_str()),
            (status, Some(by)),
            "{words}: {told}"
        );
        assert_eq!(told["where"]["line"].as_u64(), line, "{words}: {told}");
    }
    assert_eq!(explain(&folder, "connect -i a --listener 1.2.3.4:5").0, 1);
}
