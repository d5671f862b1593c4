//! `ternmq pub`, `sub` and `rr` beside mosquitto's clients: the same flags do the same.

mod program;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::RawPeer;

use crate::program::program;

/// What mosquitto's clients take and ours refuse, with the words that say why.
const REFUSED: &[(&str, &str)] = &[
    ("--psk", "pre-shared keys"),
    ("--psk-identity", "pre-shared keys"),
    ("--tls-engine", "OpenSSL"),
    ("--tls-engine-kpass-sha1", "OpenSSL"),
];

struct Server {
    child: Child,
    address: String,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start() -> Self {
        let mut child = ternmq(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("listening on mqtt://");
        Self {
            child,
            address: address.to_owned(),
            _stdout: stdout,
        }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    fn socket(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    /// The client of mosquitto, or ours, with the same arguments.
    fn client(&self, ours: bool, kind: &str, args: &[&str]) -> Command {
        let mut command = match ours {
            true => ternmq(&[kind]),
            false => Command::new(format!("mosquitto_{kind}")),
        };
        if !args.contains(&"-L") {
            command.args(["-h", "127.0.0.1", "-p", self.port()]);
        }
        if !args.contains(&"-V") {
            command.args(["-V", "5"]);
        }
        command.args(args).stdin(Stdio::null()).env("TZ", "UTC");
        command
    }

    fn publish(&self, args: &[&str]) {
        let output = self.client(true, "pub", args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn keep_three_messages(&self) {
        self.publish(&["-t", "r/a", "-m", "he\"llo", "-r", "-q", "1"]);
        let properties = "-D publish content-type text/x -D publish correlation-data cd \
             -D publish payload-format-indicator 1 -D publish response-topic r/t \
             -D publish user-property a b -D publish user-property c d";
        let mut args = vec!["-t", "r/b", "-m", "{\"a\":1,\"b\":[1,2]}", "-r", "-q", "1"];
        args.extend(properties.split_whitespace());
        self.publish(&args);
        self.publish(&["-t", "r/c", "-m", "12", "-r", "-q", "2"]);
    }

    fn client_of(&self, client_id: &str) -> RawPeer {
        RawPeer::introduced(self.socket(), 5, &format!("CONNECT client_id={client_id}")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ternmq(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env_remove("TERNMQ_PASSWORD");
    command.stdin(Stdio::null());
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}

/// The flags that stand in a help text.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.split(|char: char| char.is_whitespace() || "[]{}|,:=".contains(char));
    let is_flag = |word: &&str| {
        let name = word.trim_start_matches('-');
        let hyphens = word.len() - name.len();
        let is_name = name.starts_with(|char: char| char.is_ascii_alphabetic())
            && name
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || char == '-');
        is_name && (hyphens == 2 && name.len() > 1 || hyphens == 1 && name.len() == 1)
    };
    let words = words.map(|word| word.trim_end_matches(['.', ')']));
    words.filter(is_flag).map(str::to_owned).collect()
}

#[test]
fn every_flag_of_mosquitto_is_taken_or_refused_with_its_reason() {
    for kind in ["pub", "sub", "rr"] {
        let theirs = Command::new(format!("mosquitto_{kind}"))
            .arg("--help")
            .output();
        let theirs = flags(&String::from_utf8(theirs.unwrap().stdout).unwrap());
        assert!(theirs.len() > 35, "{theirs:?}");
        let help = ternmq(&[kind, "--help"]).output().unwrap();
        let ours = flags(&String::from_utf8(help.stdout).unwrap());
        let missing: Vec<&str> = theirs.difference(&ours).map(String::as_str).collect();
        let mut refused: Vec<&str> = REFUSED.iter().map(|(flag, _)| *flag).collect();
        refused.sort_unstable();
        assert_eq!(missing, refused, "ternmq {kind}");
        for (flag, why) in REFUSED {
            let output = ternmq(&[kind, "-t", "a", flag, "x"]).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{flag}");
            assert!(stderr.contains(why), "{flag}: {stderr}");
        }
    }
}

#[test]
fn what_is_printed_is_the_same() {
    let server = Server::start();
    server.keep_three_messages();
    let url = format!("{}/r/a", server.url());
    let every = "A=%A C=%C D=%D E=%E F=%F l=%l P=%P p=%p q=%q R=%R r=%r S=%S t=%t x=%x X=%X|%10t|\
         %-10t|%5.2t|%05l|%-5l|%20p|%-20p|%03q|%%|@@|a\\tb\\\\\\e[1m";
    let cases: &[&[&str]] = &[
        &["-t", "r/#", "-C", "3"],
        &["-t", "r/#", "-C", "3", "-v"],
        &["-t", "r/#", "-C", "3", "-N"],
        &[
            "-t", "r/a", "-t", "r/c", "-C", "2", "-q", "2", "-F", "%t %q %m",
        ],
        &["-t", "r/#", "-C", "3", "-q", "1", "-F", every],
        &["-t", "r/#", "-C", "3", "-V", "311", "-F", every],
        &["-t", "r/#", "-C", "3", "-N", "-F", "%p\\0"],
        &["-t", "r/#", "-C", "2", "-T", "r/b", "-F", "%t"],
        &["-t", "r/#", "-C", "2", "-T", "+/b", "-v", "-F", "%p@@"],
        &["-t", "r/#", "-W", "1", "-R"],
        &["-t", "r/#", "-W", "1", "--retained-only", "-C", "3"],
        &["-t", "r/#", "-E", "-i", "only-this"],
        &["-L", &url, "-C", "1", "-v"],
        &["-t", "r/a", "-U", "r/#", "-C", "1"],
        &[
            "-t",
            "r/a",
            "-C",
            "1",
            "-D",
            "subscribe",
            "user-property",
            "a",
            "b",
            "--quiet",
        ],
        &[
            "-t",
            "r/a",
            "-C",
            "1",
            "-D",
            "connect",
            "receive-maximum",
            "5",
            "--nodelay",
        ],
        &[
            "-t", "r/a", "-C", "1", "-i", "for-ever", "-x", "-1", "-k", "30",
        ],
        &[
            "-t",
            "r/a",
            "-C",
            "1",
            "-c",
            "-i",
            "stays",
            "--retain-as-published",
        ],
    ];
    for case in cases {
        let theirs = server.client(false, "sub", case).output().unwrap();
        let ours = server.client(true, "sub", case).output().unwrap();
        let stderr = String::from_utf8_lossy(&ours.stderr);
        assert_eq!(said(&ours), said(&theirs), "{case:?}: {stderr}");
    }
}

#[test]
fn a_probability_of_one_prints_all_and_unknown_sequences_are_refused() {
    let server = Server::start();
    server.keep_three_messages();
    let all = ["-t", "r/#", "-C", "3", "--random-filter", "100", "-F", "%t"];
    let output = server.client(true, "sub", &all).output().unwrap();
    assert_eq!(said(&output).1, "r/a\nr/b\nr/c\n");
    for wrong in ["%z", "@", "%", "\\q", "%99999999999999999999t"] {
        let ours = server
            .client(true, "sub", &["-t", "r/#", "-F", wrong])
            .output();
        assert_eq!(ours.unwrap().status.code(), Some(2), "{wrong}");
    }
}

/// Time is left out, of which the two know more or less.
#[test]
fn json_and_times_are_the_same() {
    let server = Server::start();
    server.keep_three_messages();
    let without_time = |text: &str| {
        let pieces: Vec<&str> = text.split("\"tst\":").collect();
        let rest = |piece: &&str| piece.trim_start().split_once(',').unwrap().1.to_owned();
        let mut all = vec![pieces[0].to_owned()];
        all.extend(pieces[1..].iter().map(rest));
        all.join("#")
    };
    for case in [
        &["-t", "r/#", "-C", "3", "-q", "1", "-F", "%j"][..],
        &["-t", "r/b", "-t", "r/c", "-C", "2", "-F", "%J"],
        &["-t", "r/#", "-C", "3", "-F", "%j", "--pretty"],
        &["-t", "r/b", "-C", "1", "-F", "%J", "--pretty"],
    ] {
        let theirs = server.client(false, "sub", case).output().unwrap();
        let ours = server.client(true, "sub", case).output().unwrap();
        let (theirs, ours) = (said(&theirs), said(&ours));
        assert_eq!(without_time(&ours.1), without_time(&theirs.1), "{case:?}");
    }
    let day = ["-t", "r/a", "-C", "1", "-F", "@Y-@m-@d %U %I @N"];
    let words = |ours| {
        let output = server.client(ours, "sub", &day).output().unwrap();
        let text = said(&output).1;
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words
    };
    let (mut theirs, mut ours) = (words(false), words(true));
    if ours[0] != theirs[0] {
        // Midnight came between the two.
        (theirs, ours) = (words(false), words(true));
    }
    assert_eq!(ours[0], theirs[0]);
    let seconds = |words: &[String]| words[1].split('.').next().unwrap().parse::<u64>().unwrap();
    assert!(
        seconds(&ours) - seconds(&theirs) < 60,
        "{ours:?} {theirs:?}"
    );
    let shape = |word: &String| word.replace(|char: char| char.is_ascii_digit(), "9");
    assert_eq!(shape(&ours[1]), shape(&theirs[1]));
    assert_eq!(shape(&ours[2]), shape(&theirs[2]));
    assert_eq!(ours[3].len(), 9);
}

/// With FILE and URL for what only the test knows.
const PUBLISHED: &[&str] = &[
    "-t p/a -m one -q 1 -M 3",
    "-L URL/p/url -m by-URL",
    "-t p/n -n",
    "-t p/f -f FILE --repeat 3 --repeat-delay 0.01",
    "-t p/d -m x -q 2 -D publish content-type t -D PUBLISH user-property k v \
     -D publish message-expiry-interval 60",
    "-t p/d -m x -D disconnect user-property k v -d -i me",
];

#[test]
fn what_is_published_is_the_same() {
    let server = Server::start();
    let file = format!("{}/flags-payload", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, "of a file").unwrap();
    server.publish(&["-t", "p/marker", "-m", "ready", "-r"]);
    for case in PUBLISHED {
        let case = case.replace("FILE", &file).replace("URL", &server.url());
        let case: Vec<&str> = case.split_whitespace().collect();
        let count = if case.contains(&"--repeat") { 3 } else { 1 };
        let watched = |ours| {
            let mut watch = server.client(true, "sub", &["-t", "p/#", "--json", "-q", "2"]);
            let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
            // The retained one shows that it is subscribed.
            lines.next().unwrap().unwrap();
            let output = server.client(ours, "pub", &case).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{case:?} {output:?}");
            let got: Vec<Value> = (0..count)
                .map(|_| serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap())
                .collect();
            watch.kill().unwrap();
            watch.wait().unwrap();
            got
        };
        assert_eq!(watched(true), watched(false), "{case:?}");
    }
}

#[test]
fn what_is_wrong_with_a_property_is_said() {
    let server = Server::start();
    for (args, why) in [
        ("-t a -m x -D publish nothing x", "no such property"),
        ("-t a -m x -D puback reason-string x", "packets are"),
        ("-t a -m x -D publish topic-alias 70000", "number that fits"),
        ("-t a -m x -D connect content-type x", "not allowed"),
        ("-t a -m x -V 311 -D publish content-type x", "5.0"),
        ("-L mqtt://127.0.0.1:1 -m x", "topic is missing"),
    ] {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output = server.client(true, "pub", &args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr.contains(why), "{args:?}: {stderr}");
    }
    let quiet = ["-t", "a/#", "-m", "x", "--quiet"];
    let output = server.client(true, "pub", &quiet).output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(1), &b""[..]));
}

#[test]
fn retained_messages_are_removed_by_both() {
    let server = Server::start();
    for ours in [false, true] {
        server.keep_three_messages();
        let args = [
            "-t",
            "r/#",
            "--remove-retained",
            "-T",
            "r/c",
            "-W",
            "1",
            "-F",
            "%t",
            "-q",
            "1",
        ];
        let output = server.client(ours, "sub", &args).output().unwrap();
        // The deletions are messages too.
        assert!(said(&output).1.starts_with("r/a\nr/b\n"), "{output:?}");
        let left = ["-t", "r/#", "-C", "1", "-F", "%t"];
        let output = server.client(true, "sub", &left).output().unwrap();
        assert_eq!(said(&output).1, "r/c\n");
    }
}

#[test]
fn a_will_has_its_properties() {
    let server = Server::start();
    let mut seen = Vec::new();
    for ours in [false, true] {
        let mut watcher = server.client_of("watcher");
        watcher
            .send("SUBSCRIBE id=1 filter=w/will options=1")
            .unwrap();
        watcher.expect("SUBACK id=1").unwrap();
        let args = [
            "-t",
            "w/x",
            "-v",
            "-i",
            "mortal",
            "--will-topic",
            "w/will",
            "--will-payload",
            "gone",
            "--will-qos",
            "1",
            "-D",
            "will",
            "content-type",
            "t",
            "-D",
            "will",
            "user-property",
            "a",
            "b",
        ];
        server.publish(&["-t", "w/x", "-m", "here", "-r"]);
        let mut child = server
            .client(ours, "sub", &args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let will = watcher.next_packet().unwrap().unwrap();
        seen.push(format!("{will:?}"));
    }
    assert!(seen[0].contains("content_type"), "{seen:?}");
    assert_eq!(seen[0], seen[1]);
}

/// Answers one request for each of them.
#[test]
fn a_request_is_answered() {
    let server = Server::start();
    let mut service = server.client_of("service");
    service.send("SUBSCRIBE id=1 filter=ask options=1").unwrap();
    service.expect("SUBACK id=1").unwrap();
    let args = [
        "-t",
        "ask",
        "-e",
        "answers/me",
        "-m",
        "much?",
        "-v",
        "-W",
        "20",
        "-D",
        "publish",
        "correlation-data",
        "n1",
    ];
    for ours in [false, true] {
        let asking = server
            .client(ours, "rr", &args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let asked = "PUBLISH topic=ask payload=much? response_topic=answers/me correlation=n1";
        service.expect(asked).unwrap();
        if ours {
            service
                .send("PUBLISH topic=answers/me qos=0 payload=other correlation=n0")
                .unwrap();
        }
        service
            .send("PUBLISH topic=answers/me qos=0 payload=much correlation=n1")
            .unwrap();
        let output = asking.wait_with_output().unwrap();
        assert_eq!(said(&output), (Some(0), "answers/me much\n".to_owned()));
    }
    let nobody = ["-t", "nobody", "-e", "answers/me", "-n", "-W", "1"];
    for ours in [false, true] {
        let output = server.client(ours, "rr", &nobody).output().unwrap();
        assert_eq!(said(&output), (Some(27), String::new()), "ours: {ours}");
    }
    // Before MQTT 5.0 there are no properties, and answers all the same.
    let old = [
        "-t",
        "ask",
        "-e",
        "answers/old",
        "-m",
        "x",
        "-V",
        "311",
        "-W",
        "20",
    ];
    let asking = server
        .client(true, "rr", &old)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    service.expect("PUBLISH topic=ask payload=x").unwrap();
    service
        .send("PUBLISH topic=answers/old qos=0 payload=y")
        .unwrap();
    assert_eq!(said(&asking.wait_with_output().unwrap()).1, "y\n");
}
