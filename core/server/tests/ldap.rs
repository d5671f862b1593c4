//! A directory that knows clients: a real slapd, and one that is away, silent, slow or lying.

#[path = "program/databases.rs"]
#[allow(dead_code, reason = "other tests ask data bases")]
mod databases;
#[path = "program/directory.rs"]
mod directory;
#[path = "program/liar.rs"]
mod liar;
mod program;
#[path = "program/server.rs"]
#[allow(dead_code, reason = "other tests reload it")]
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use directory::{ACCOUNT, CLOSED, FOUND, NAMED, config, entries};
use liar::{BOUND, ENTRY, EXTENDED, Liar, SEARCHED, element, found, message, result};
use serde_json::Value;
use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::{Line, RawPeer};
use ternmq_test_certificates::{Authority, authority};

fn start(folder: &Path, config: &str) -> Server {
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    Server::start(folder)
}

fn answer(server: &Server, user: &str, password: &str, reason: &str) -> RawPeer {
    let connect = Line::of(&["CONNECT"])
        .with("client_id", "c")
        .with("username", user)
        .with("password", password);
    let mut peer = RawPeer::connect(server.address(), 5).unwrap();
    peer.send_line(&connect).unwrap();
    let got = peer.expect(&format!("CONNACK reason={reason}"));
    got.unwrap_or_else(|error| panic!("{user} {password}: {error:?}"));
    peer
}

fn publish(peer: &mut RawPeer, topic: &str, reason: &str) {
    peer.send(&format!("PUBLISH qos=1 id=1 payload=x topic={topic}"))
        .unwrap();
    let got = peer.expect(&format!("PUBACK id=1 reason={reason}"));
    got.unwrap_or_else(|error| panic!("{topic}: {error:?}"));
}

fn subscribe(peer: &mut RawPeer, filter: &str, code: &str) {
    let line = format!("SUBSCRIBE id=2 filter={filter} options=1");
    peer.send(&line).unwrap();
    let got = peer.expect(&format!("SUBACK id=2 code={code}"));
    got.unwrap_or_else(|error| panic!("{filter}: {error:?}"));
}

/// What has become of questions to the directory.
fn counted(server: &Server, result: &str) -> u64 {
    let url = format!("{}/metrics", server.http["url"].as_str().unwrap());
    let page = ureq::get(&url).call().unwrap().body_mut().read_to_string();
    let start = format!("ternmq_access_step_total{{step=\"directory\",result=\"{result}\"}} ");
    let page = page.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

#[test]
fn a_bind_lets_in_and_no_name_is_more_than_a_value() {
    let folder = folder("ldap_bind");
    // A bind with a name and an empty password is nobody's here, and goes well.
    let more = format!("allow bind_anon_cred bind_anon_dn\n{CLOSED}");
    let directory = databases::slapd(&folder, &entries(), &more);
    for lines in [NAMED.to_owned(), format!("{FOUND}{ACCOUNT}")] {
        let server = start(&folder, &config(&directory.url, &lines));
        for (user, password, reason) in [
            ("anna", "geheim", "0"),
            ("fay, (x)*\\41+=;<>\"", "geheim", "0"),
            ("anna", "Geheim", "0x86"),
            ("nobody", "geheim", "0x86"),
            // It has none, by which it could come in.
            ("dora", "geheim", "0x86"),
            // As if they were binds of nobody.
            ("anna", "", "0x86"),
            ("dora", "", "0x86"),
            ("", "", "0x86"),
            ("", "geheim", "0x86"),
            ("anna", "\0geheim", "0x86"),
            ("anna", "geheim\0", "0x86"),
        ] {
            drop(answer(&server, user, password, reason));
        }
        for evil in [
            "*",
            "ann*",
            "anna)(uid=*",
            "*)(|(uid=*))",
            "anna,ou=people",
            "anna,ou=people,dc=example,dc=org",
            "anna+cn=anna",
            "\\61nna",
            "#04616e6e61",
            "\"anna\"",
            "${clientid}",
            "fay\\2C \\28x\\29*",
        ] {
            drop(answer(&server, evil, "geheim", "0x86"));
        }
        drop(server.answer("CONNECT client_id=c username=anna", "0x86"));
        assert_eq!(counted(&server, "down") + counted(&server, "garbled"), 0);
    }
    // A client identifier is a value like a user name.
    let by_id = "dn = 'uid=${clientid},ou=people,dc=example,dc=org'\n";
    let server = start(&folder, &config(&directory.url, by_id));
    for (id, reason) in [("anna", "0"), ("anna,ou=people", "0x86"), ("x", "0x86")] {
        drop(server.answer(
            &format!("CONNECT client_id={id} username=x password=geheim"),
            reason,
        ));
    }
}

#[test]
fn members_of_groups_may_do_what_its_rules_say() {
    let folder = folder("ldap_groups");
    let open = databases::slapd(&folder, &entries(), "");
    let groups = "[[access.step.groups]]\ngroup = 'cn=Sensors, ou=groups, dc=example, dc=org'\n\
         rules = ['allow publish topic own/%u/#', 'allow subscribe qos 0 topic news/#']\n\
         [[access.step.groups]]\ngroup = 'staff'\nrules = ['allow topic staff/#']\n\
         [[access.step.groups]]\ngroup = 'admins'\nsuperuser = true\n";
    let search = "group_base = 'ou=groups,dc=example,dc=org'\ngroup_filter = '(&(objectClass=groupOfNames)(member=${dn}))'\n";
    let attribute = "group_attribute = 'memberof'\n";
    for (entry, member) in [
        (NAMED, search),
        (NAMED, attribute),
        (FOUND, search),
        (FOUND, attribute),
    ] {
        let text = config(&open.url, &format!("{entry}{member}{groups}"));
        let server = start(&folder, &text);
        let mut anna = answer(&server, "anna", "geheim", "0");
        publish(&mut anna, "own/anna/x", "0x10");
        publish(&mut anna, "own/ben/x", "0x87");
        publish(&mut anna, "staff/x", "0x87");
        subscribe(&mut anna, "news/#", "0x87");
        anna.send("SUBSCRIBE id=3 filter=news/# options=0").unwrap();
        anna.expect("SUBACK id=3 code=0").unwrap();
        let mut ben = answer(&server, "ben", "geheim", "0");
        publish(&mut ben, "own/ben/x", "0x10");
        subscribe(&mut ben, "staff/#", "1");
        publish(&mut ben, "other", "0x87");
        let mut eva = answer(&server, "eva", "geheim", "0");
        publish(&mut eva, "other", "0x10");
        subscribe(&mut eva, "#", "1");
        subscribe(&mut eva, "$SYS/#", "1");
        drop(answer(&server, "carl", "geheim", "0x87"));
        drop(server);
        let lines = format!("{entry}{member}without_group = 'allow'\n{groups}");
        let server = start(&folder, &config(&open.url, &lines));
        publish(&mut answer(&server, "carl", "geheim", "0"), "any", "0x10");
        publish(&mut answer(&server, "anna", "geheim", "0"), "any", "0x87");
    }
}

#[test]
fn superusers_of_a_directory_are_above_rules_and_defaults() {
    let folder = folder("ldap_superuser");
    let open = databases::slapd(&folder, &entries(), "");
    let groups = "group_attribute = 'memberOf'\nuser_attribute = 'uid'\n\
         groups = [{ group = 'staff', rules = ['deny topic #'] }, { group = 'sensors' },\
         { group = 'admins', superuser = true }]\n[access]\nrules = 'rules'\ndefault = 'deny'\n";
    std::fs::write(
        folder.join("rules"),
        "deny topic secret/#\nallow topic open\n",
    )
    .unwrap();
    let server = start(&folder, &config(&open.url, &format!("{NAMED}{groups}")));
    let mut eva = answer(&server, "eva", "geheim", "0");
    subscribe(&mut eva, "#", "1");
    for topic in ["secret/x", "other"] {
        eva.send(&format!("PUBLISH qos=1 id=1 payload=x topic={topic}"))
            .unwrap();
        eva.expect(&format!("PUBLISH topic={topic} payload=x"))
            .unwrap();
        eva.expect("PUBACK id=1 reason=0").unwrap();
    }
    // What is the server's own stays so.
    publish(&mut eva, "$SYS/x", "0x87");
    let mut anna = answer(&server, "anna", "geheim", "0");
    publish(&mut anna, "open", "0x10");
    publish(&mut anna, "secret/x", "0x87");
    publish(&mut anna, "other", "0x87");
}

#[test]
fn an_account_searches_and_a_user_has_the_name_of_its_entry() {
    let folder = folder("ldap_account");
    let directory = databases::slapd(&folder, &entries(), CLOSED);
    std::fs::write(folder.join("word"), "suchwort\nmore\n").unwrap();
    let file = ACCOUNT.replace("bind_password = 'suchwort'", "bind_password_file = 'word'");
    let groups = "user_attribute = 'uid'\ngroup_base = 'ou=groups,dc=example,dc=org'\n\
                  group_filter = '(member=${dn})'\n\
                  groups = [{ group = 'sensors', rules = ['allow topic own/%u'] }, { group = 'staff' }]\n";
    for entry in [NAMED, FOUND] {
        let server = start(
            &folder,
            &config(&directory.url, &format!("{entry}{file}{groups}")),
        );
        for name in ["anna", "ANNA", "Anna "] {
            let mut anna = answer(&server, name, "geheim", "0");
            publish(&mut anna, "own/anna", "0x10");
            publish(&mut anna, "own/ANNA", "0x87");
        }
        // It is in one group with rules and in one without.
        publish(
            &mut answer(&server, "ben", "geheim", "0"),
            "own/ben",
            "0x10",
        );
        publish(&mut answer(&server, "ben", "geheim", "0"), "other", "0x87");
        // It is only in one without.
        publish(&mut answer(&server, "eva", "geheim", "0"), "other", "0x10");
    }
    // Without an account nobody may search here; with the wrong password neither.
    for lines in [
        FOUND.to_owned(),
        format!("{FOUND}{}", ACCOUNT.replace("such", "falsch")),
    ] {
        let server = start(&folder, &config(&directory.url, &lines));
        drop(answer(&server, "anna", "geheim", "0x88"));
        assert_eq!(counted(&server, "down"), 1);
    }
    let shown = ternmq(&folder, &["config", "show", "-c", "ternmq.toml"]);
    let shown = format!("{:?}", { shown }.output().unwrap());
    assert!(
        shown.contains("bind_dn") && !shown.contains("falschwort"),
        "{shown}"
    );
}

#[test]
fn more_than_one_entry_is_refused_and_told() {
    let folder = folder("ldap_twins");
    let directory = databases::slapd(&folder, &entries(), "");
    for policy in ["deny", "ignore"] {
        let lines = format!("{FOUND}when_down = '{policy}'\nfailures = 1\n");
        let text = config(&directory.url, &lines).replace("failures = 0\n", "");
        let mut server = start(&folder, &text);
        drop(answer(&server, "twin", "geheim", "0x86"));
        let mut told = server.event();
        while told["what"] != "step_refused" {
            told = server.event();
        }
        let words = told["error"].as_str().unwrap();
        assert!(
            words.contains("more than one entry is user \"twin\""),
            "{told}"
        );
        // Nothing is wrong with the directory, so that nobody else has to wait.
        drop(answer(&server, "anna", "geheim", "0"));
    }
}

#[test]
fn tls_is_with_the_server_that_was_meant_only() {
    let folder = folder("ldap_tls");
    let (chain, key) = authority()
        .issue(&["localhost", "127.0.0.1"])
        .write(&folder, "slapd");
    std::fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
    std::fs::write(folder.join("other.pem"), Authority::new("another").pem()).unwrap();
    let more = format!(
        "TLSCertificateFile {}\nTLSCertificateKeyFile {}\nsecurity simple_bind=128\n",
        chain.display(),
        key.display()
    );
    let directory = databases::slapd(&folder, &entries(), &more);
    let (plain, secure) = directory.url.split_once(' ').unwrap();
    let start_tls = "start_tls = true\n";
    for (url, lines, reason) in [
        (secure.to_owned(), "ca = 'ca.pem'\n".to_owned(), "0"),
        (
            secure.replace("127.0.0.1", "localhost"),
            "ca = 'ca.pem'\n".to_owned(),
            "0",
        ),
        (plain.to_owned(), format!("{start_tls}ca = 'ca.pem'\n"), "0"),
        // It wants TLS.
        (plain.to_owned(), String::new(), "0x88"),
        (secure.to_owned(), "ca = 'other.pem'\n".to_owned(), "0x88"),
        (
            plain.to_owned(),
            format!("{start_tls}ca = 'other.pem'\n"),
            "0x88",
        ),
        // The system does not know who has signed it.
        (secure.to_owned(), String::new(), "0x88"),
        // TLS on the plain port, and the reverse.
        (
            plain.replace("ldap:", "ldaps:"),
            "ca = 'ca.pem'\n".to_owned(),
            "0x88",
        ),
        (
            secure.replace("ldaps:", "ldap:"),
            "timeout_ms = 1000\n".to_owned(),
            "0x88",
        ),
    ] {
        let server = start(&folder, &config(&url, &format!("{NAMED}{lines}")));
        drop(answer(&server, "anna", "geheim", reason));
        drop(answer(
            &server,
            "anna",
            "Geheim",
            if reason == "0" { "0x86" } else { reason },
        ));
    }
    drop(directory);
    let folder = folder.join("another");
    std::fs::create_dir_all(&folder).unwrap();
    authority().issue(&["ldap.example"]).write(&folder, "slapd");
    std::fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
    let more = more.replace("slapd.", "another/slapd.");
    let directory = databases::slapd(&folder, &entries(), &more);
    let (_, secure) = directory.url.split_once(' ').unwrap();
    let server = start(&folder, &config(secure, &format!("{NAMED}ca = 'ca.pem'\n")));
    drop(answer(&server, "anna", "geheim", "0x88"));
}

#[test]
fn a_unix_socket_will_do_and_referrals_are_not_followed() {
    let folder = folder("ldap_socket");
    let directory = databases::slapd(&folder, &entries(), "");
    let path = folder.join("ldapi").display().to_string();
    let url = format!("ldapi://{}", path.replace('/', "%2F"));
    let far = &FOUND.replace("dc=example", "ou=far,dc=example");
    for (url, lines, reason) in [
        (&*url, NAMED, "0"),
        (&*format!("{url}x"), NAMED, "0x88"),
        (&*directory.url, far, "0x88"),
    ] {
        let server = start(&folder, &config(url, lines));
        drop(answer(&server, "anna", "geheim", reason));
        let down = u64::from(reason != "0");
        assert_eq!(counted(&server, "down"), down, "{url}");
    }
    // One that is gone is away, also for those who have a connection to it.
    let server = start(&folder, &config(&directory.url, FOUND));
    drop(answer(&server, "anna", "geheim", "0"));
    drop(directory);
    drop(answer(&server, "anna", "geheim", "0x88"));
}

/// Whatever comes first is answered with this, and nothing else.
fn lies(folder: &Path, lines: &str, said: Option<Vec<u8>>, counter: &str) {
    let liar = Liar::start(move |_, _| said.clone());
    let time = if counter == "late" { 300 } else { 60_000 };
    let text = config(&liar.url(), &format!("timeout_ms = {time}\n{lines}"));
    let server = start(folder, &text);
    drop(answer(&server, "anna", "geheim", "0x88"));
    assert_eq!(counted(&server, counter), 1, "{counter}");
}

#[test]
fn a_directory_that_lies_lets_nobody_in() {
    let folder = folder("ldap_lies");
    let mut deep = Vec::new();
    while deep.len() < 100_000 {
        deep = element(0x30, &deep);
    }
    let good = message(1, BOUND, &result(0));
    for (said, counter) in [
        // It says nothing, or begins to.
        (Some(Vec::new()), "late"),
        (Some(good[..good.len() - 1].to_vec()), "late"),
        (None, "down"),
        (Some(message(0, EXTENDED, &result(52))), "down"),
        (Some(message(1, BOUND, &result(51))), "down"),
        (Some(message(1, BOUND, &result(10))), "down"),
        (Some(vec![0x5a; 4096]), "garbled"),
        (Some(vec![0x30, 0]), "garbled"),
        (Some(vec![0x30, 0x80, 0, 0]), "garbled"),
        (Some(vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]), "garbled"),
        (Some(vec![0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 1]), "garbled"),
        (Some(deep.clone()), "garbled"),
        (Some(message(1, BOUND, &deep)), "garbled"),
        (Some(message(2, BOUND, &result(0))), "garbled"),
        (Some(message(0xff, BOUND, &result(0))), "garbled"),
        (Some(message(1, SEARCHED, &result(0))), "garbled"),
        (Some(message(1, BOUND, &[])), "garbled"),
        (Some(message(1, BOUND, &[0x0a, 0, 4, 0, 4, 0])), "garbled"),
    ] {
        lies(&folder, NAMED, said, counter);
    }
    let done = message(1, SEARCHED, &result(0));
    for (entries, counter) in [
        (found(1, b"uid=anna").repeat(20_000), "garbled"),
        ([found(1, b"\xff=x"), done.clone()].concat(), "garbled"),
        (
            [message(1, ENTRY, &[4, 9]), done.clone()].concat(),
            "garbled",
        ),
        (
            [found(1, b"uid=anna"), message(1, SEARCHED, &result(3))].concat(),
            "down",
        ),
        ([found(1, b"uid=anna"), good.clone()].concat(), "garbled"),
    ] {
        lies(&folder, FOUND, Some(entries), counter);
    }
}

#[test]
fn an_entry_without_a_name_lets_nobody_in() {
    let folder = folder("ldap_nameless");
    // It finds an entry, and takes every password.
    for (name, reason) in [(&b"uid=anna"[..], "0"), (b"", "0x88")] {
        let liar = Liar::start(move |_, got| {
            let entry = [found(1, name), message(1, SEARCHED, &result(0))].concat();
            Some(match got[4] {
                1 => entry,
                asked => message(asked, BOUND, &result(0)),
            })
        });
        let server = start(&folder, &config(&liar.url(), FOUND));
        drop(answer(&server, "anna", "geheim", reason));
        assert_eq!(counted(&server, "garbled"), u64::from(reason != "0"));
    }
}

#[test]
fn a_slow_directory_has_its_time_for_the_whole_of_a_question() {
    let folder = folder("ldap_slow");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream
                .set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            let mut say = vec![0x30, 0x81, 0xff];
            say.resize(258, 0);
            for byte in say {
                // A byte at a time, until the server leaves.
                if stream.write_all(&[byte]).is_err() || matches!(stream.read(&mut [0; 99]), Ok(0))
                {
                    break;
                }
            }
        }
    });
    let text = config(
        &format!("ldap://{address}"),
        &format!("{NAMED}timeout_ms = 300\n"),
    );
    let server = start(&folder, &text);
    let begun = Instant::now();
    drop(answer(&server, "anna", "geheim", "0x88"));
    assert_eq!(counted(&server, "late"), 1);
    // All bytes would take five seconds at least.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn no_password_goes_out_before_tls_and_an_empty_one_never() {
    let folder = folder("ldap_secrets");
    let agreed = message(1, EXTENDED, &result(0));
    for said in [
        message(1, EXTENDED, &result(2)),
        // What comes in plain behind the word for TLS is not heard.
        [
            agreed.clone(),
            message(1, BOUND, &result(0)),
            message(2, BOUND, &result(0)),
        ]
        .concat(),
        message(1, BOUND, &result(0)),
    ] {
        let liar = Liar::start(move |_, _| Some(said.clone()));
        let lines = format!("{FOUND}{ACCOUNT}start_tls = true\ntimeout_ms = 500\n");
        let server = start(&folder, &config(&liar.url(), &lines));
        drop(answer(&server, "anna", "geheim", "0x88"));
        let got = liar.got.lock().unwrap();
        let text = String::from_utf8_lossy(&got);
        assert!(text.contains("1.3.6.1.4.1.1466.20037"), "{text}");
        assert!(!text.contains("geheim") && !text.contains("such"), "{text}");
    }
    // It would say yes to anything.
    let liar = Liar::start(|_, _| Some(message(1, BOUND, &result(0))));
    let server = start(&folder, &config(&liar.url(), NAMED));
    for (user, password) in [("anna", ""), ("", ""), ("anna", "\0"), ("anna", "\0x")] {
        drop(answer(&server, user, password, "0x86"));
    }
    assert_eq!(liar.connections.load(Ordering::Relaxed), 0);
    drop(answer(&server, "", "geheim", "0x86"));
    assert!(liar.got.lock().unwrap().is_empty(), "nobody is meant");
    drop(answer(&server, "anna", "geheim", "0"));
}

#[test]
fn connections_are_used_again_and_made_anew_when_they_are_lost() {
    let folder = folder("ldap_connections");
    // The first one ends after an answer.
    let liar = Liar::start(|number, got| {
        let asked = got[4];
        (number > 0 || asked == 1).then(|| message(asked, BOUND, &result(0)))
    });
    let lines = format!("{NAMED}cache = {{ time = 600 }}\n");
    let server = start(&folder, &config(&liar.url(), &lines));
    for (user, connections) in [("a", 1), ("a", 1), ("b", 2), ("c", 2), ("b", 2)] {
        drop(answer(&server, user, "geheim", "0"));
        assert_eq!(
            liar.connections.load(Ordering::Relaxed),
            connections,
            "{user}"
        );
    }
    assert_eq!(counted(&server, "cached"), 2);
    assert_eq!(counted(&server, "allowed"), 5);
}

#[test]
fn a_connection_that_was_kept_has_the_whole_time_for_its_next_question() {
    let folder = folder("ldap_kept");
    let liar = Liar::start(|_, got| Some(message(got[4], BOUND, &result(0))));
    let text = config(&liar.url(), &format!("{NAMED}timeout_ms = 2000\n"));
    let server = start(&folder, &text);
    let begun = Instant::now();
    drop(answer(&server, "anna", "geheim", "0"));
    // The time of the first question has passed.
    while begun.elapsed() < Duration::from_millis(2100) {
        assert_eq!(counted(&server, "late"), 0);
    }
    drop(answer(&server, "ben", "geheim", "0"));
    assert_eq!(counted(&server, "late"), 0);
    assert_eq!(liar.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_directory_that_hangs_holds_up_nobody_else_and_the_policy_holds() {
    let folder = folder("ldap_hangs");
    let made = ternmq(&folder, &["passwd", "-c", "-b", "passwords", "ben", "pw"]);
    assert!({ made }.output().unwrap().status.success());
    // Accepts and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "shards = 1\n[[listener]]\naddress = '127.0.0.1:0'\nsteps = ['passwords']\n\
         [[listener]]\naddress = '127.0.0.1:0'\nsteps = ['directory']\n\
         [access]\npassword_file = 'passwords'\n[[access.step]]\nname = 'directory'\nkind = 'ldap'\n\
         url = 'ldap://{}'\ntimeout_ms = 60000\n{NAMED}",
        silent.local_addr().unwrap()
    );
    let mut server = start(&folder, &text);
    let second = server.event();
    let address: SocketAddr = second["address"].as_str().unwrap().parse().unwrap();
    let mut waiting = RawPeer::connect(address, 5).unwrap();
    waiting
        .send("CONNECT client_id=w username=x password=x")
        .unwrap();
    // The question is there, and is not answered.
    let (_held, _) = silent.accept().unwrap();
    let mut ben = answer(&server, "ben", "pw", "0");
    subscribe(&mut ben, "t", "1");
    drop(server);
    for (policy, reason) in [("deny", "0x88"), ("ignore", "0")] {
        let text = text
            .replace(
                "steps = ['passwords']",
                "steps = ['directory', 'passwords']",
            )
            .replace(
                "timeout_ms = 60000",
                &format!("timeout_ms = 300\nwhen_down = '{policy}'"),
            );
        let server = start(&folder, &text);
        drop(answer(&server, "ben", "pw", reason));
    }
}

/// Lines of a step that are refused with these words, and no password in them.
fn refused(folder: &Path, lines: &[(String, &str)]) {
    for (lines, words) in lines {
        let text = format!("[[access.step]]\nname = 'a'\nkind = 'ldap'\n{lines}");
        std::fs::write(folder.join("wrong.toml"), &text).unwrap();
        let check = ternmq(folder, &["config", "check", "wrong.toml"]);
        let check = { check }.output().unwrap();
        let told = format!("{check:?}");
        assert!(
            !check.status.success() && told.contains(words),
            "{text}: {told}"
        );
        assert!(!told.contains("geheim"), "{told}");
    }
}

#[test]
fn steps_that_can_not_be_meant_are_refused() {
    let folder = folder("ldap_wrong");
    let url = "url = 'ldap://h'\n";
    let searched = format!("{url}{FOUND}");
    let named = format!("{url}{NAMED}");
    let lines = [
        (NAMED.to_owned(), "`url` is missing"),
        (url.to_owned(), "`dn`, or `base` and `filter`, is missing"),
        (format!("{named}base = 'x'\n"), "with `dn` there is no"),
        (format!("{url}dn = 'uid=x'\n"), "without a placeholder"),
        (format!("{url}dn = '${{username}}'\n"), "stands for a value"),
        (
            format!("{url}base = 'x'\nfilter = '(uid=x)'\n"),
            "has to find the client",
        ),
        (
            format!("{url}base = 'x'\nfilter = '(uid=${{dn}})'\n"),
            "has to find the client",
        ),
        (
            format!("{url}base = 'x'\nfilter = 'uid=${{username}}'\n"),
            "expected `(`",
        ),
        (
            format!("{url}base = 'x'\nfilter = '(uid=${{user}})'\n"),
            "no such placeholder",
        ),
        (
            format!("{searched}bind_dn = 'cn=x'\n"),
            "`bind_dn` has a password",
        ),
        (
            format!("{searched}bind_password = 'x'\n"),
            "`bind_dn` is missing",
        ),
        (
            format!("{searched}bind_dn = 'cn=x'\nbind_password = ''\n"),
            "is empty",
        ),
        (
            format!("{searched}bind_dn = 'cn=x'\nbind_password_file = 'none'\n"),
            "none",
        ),
    ];
    refused(&folder, &lines);
}

#[test]
fn groups_and_ways_that_can_not_be_meant_are_refused() {
    let folder = folder("ldap_wrong_groups");
    let named = format!("url = 'ldap://h'\n{NAMED}");
    let lines = [
        (
            format!("{named}group_attribute = 'memberOf'\n"),
            "`groups` is missing",
        ),
        (
            format!("{named}group_attribute = 'member of'\ngroups = []\n"),
            "a name of an attribute",
        ),
        (
            format!("{named}groups = [{{ group = 'a' }}]\n"),
            "where groups are",
        ),
        (format!("{named}group_base = 'x'\n"), "go together"),
        (
            format!("{named}without_group = 'allow'\n"),
            "means nothing without",
        ),
        (
            format!(
                "{named}group_base = 'x'\ngroup_filter = '(cn=x)'\ngroups = [{{ group = 'a' }}]\n"
            ),
            "has to find groups",
        ),
        (
            format!(
                "{named}group_attribute = 'm'\ngroups = [{{ group = 'a', rules = ['allow topik x'] }}]\n"
            ),
            "rule 1 of the group, column 7",
        ),
        (
            format!("{named}group_attribute = 'm'\ngroups = [{{ group = 'a', rule = 'x' }}]\n"),
            "rule",
        ),
        (format!("{named}group_filtre = 'x'\n"), "group_filter"),
        (
            format!("{named}user_key = 'x'\n"),
            "`user_key` is not for a step",
        ),
        (format!("{named}ca = 'x'\n"), "`ca` is for ldaps://"),
        (
            format!("{named}start_tls = true\nca = 'none.pem'\n"),
            "none.pem",
        ),
        (
            format!("url = 'ldaps://h'\nstart_tls = true\n{NAMED}"),
            "begins with TLS",
        ),
        (
            format!("url = 'ldapi://%2Fx'\nstart_tls = true\n{NAMED}"),
            "a Unix socket has no TLS",
        ),
        (
            format!("url = 'ldap://u:geheim@h'\n{NAMED}"),
            "behind the host",
        ),
    ];
    refused(&folder, &lines);
}

#[test]
fn a_directory_is_explained_as_a_step_that_somebody_else_answers() {
    let folder = folder("ldap_explained");
    std::fs::write(
        folder.join("ternmq.toml"),
        config("ldap://127.0.0.1:1", NAMED),
    )
    .unwrap();
    let args = "explain connect --json -c ternmq.toml -i c -u anna -P x --offline";
    let args: Vec<&str> = args.split(' ').collect();
    let output = ternmq(&folder, &args).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["verdict"], &told["by"]),
        (&"depends".into(), &"step".into())
    );
    assert!(told.to_string().contains("directory"), "{told}");
}
