//! `ternmq start`, `ternmq status` and `ternmq stop`, and what a server tells its supervisor.

mod program;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

use crate::program::program;

const FREE: &str = "[[listener]]\naddress = '127.0.0.1:0'\n";

/// A folder with a configuration, in which servers may run. Whatever runs is killed when it is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, config: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("background-{name}"));
        // Left over from an earlier run, or not there.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("ternmq.toml"), config).unwrap();
        Self(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).current_dir(&self.0);
        command.stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        told(self.command(args).output().unwrap())
    }

    /// What `ternmq status` says of a server that is there.
    fn status(&self) -> Value {
        let (status, stdout, stderr) = self.run(&["status", "--json"]);
        assert_eq!(status, 0, "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    fn start(&self) -> Value {
        let args = ["start", "--config", "ternmq.toml", "--json"];
        let (status, stdout, stderr) = self.run(&args);
        assert_eq!(status, 0, "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    fn has(&self, file: &str) -> bool {
        self.0.join(file).exists()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let text = fs::read_to_string(self.0.join("ternmq.pid"));
        if let Ok(pid) = text.unwrap_or_default().trim().parse::<u32>() {
            kill("KILL", pid);
        }
    }
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    (status, text(output.stdout), text(output.stderr))
}

fn kill(signal: &str, pid: u32) {
    let pid = pid.to_string();
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-s", signal, &pid]).output();
}

fn client(status: &Value, client_id: &str) -> RawPeer {
    let url = status["listeners"][0].as_str().unwrap();
    let address = url.trim_start_matches("mqtt://").parse().unwrap();
    RawPeer::introduced(address, 5, &format!("CONNECT client_id={client_id}")).unwrap()
}

#[test]
fn a_server_starts_says_how_it_is_and_stops() {
    let place = Place::new("whole", FREE);
    assert_eq!(place.run(&["status"]).0, 3);
    let started = place.start();
    let pid = started["pid"].as_u64().unwrap();
    assert_eq!(started["stage"], "ready");
    assert!(place.has("ternmq.log"));
    let url = started["listeners"][0].as_str().unwrap();
    let _client = client(&started, "one");
    for payload in ["a", "b"] {
        let published = place.run(&["pub", "-L", url, "-t", "x", "-m", payload, "-q", "1"]);
        assert_eq!(published.0, 0, "{}", published.2);
    }
    let status = place.status();
    assert_eq!(status["running"], true);
    assert_eq!(status["pid"], pid);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_seconds"].is_u64(), "{status}");
    assert_eq!(status["listeners"], started["listeners"]);
    assert_eq!(status["clients"], 1);
    assert_eq!(status["messages"]["received"], 2);
    let (_, text, _) = place.run(&["status"]);
    for part in [
        format!("ready: pid {pid}\n"),
        format!("listening on {url}\n"),
        "1 clients, 1 sessions, ".to_owned(),
        "messages: 2 received, 0 sent, 0 dropped\n".to_owned(),
    ] {
        assert!(text.contains(&part), "{text}");
    }
    let again = place.run(&["start", "--config", "ternmq.toml"]);
    assert_eq!(again.0, 1);
    assert!(
        again.2.contains(&format!("runs already: pid {pid}")),
        "{}",
        again.2
    );
    let third = place.run(&[
        "serve",
        "--config",
        "ternmq.toml",
        "--pid-file",
        "ternmq.pid",
    ]);
    assert_eq!(third.0, 1);
    assert!(
        third.2.contains(&format!("runs already: pid {pid}")),
        "{}",
        third.2
    );
    let stopped = place.run(&["stop"]);
    assert_eq!(stopped, (0, String::new(), format!("stopped: pid {pid}\n")));
    let (status, stdout, _) = place.run(&["status"]);
    assert_eq!((status, stdout.as_str()), (3, "not running\n"));
    for file in ["ternmq.pid", "ternmq.pid.control", "ternmq.pid.ready"] {
        assert!(!place.has(file), "{file} is left");
    }
    let log = fs::read_to_string(place.0.join("ternmq.log")).unwrap();
    assert!(log.contains("\"by\":\"SIGTERM\""), "{log}");
    assert_eq!(
        place.run(&["stop"]),
        (0, String::new(), "not running\n".into())
    );
}

#[test]
fn a_server_that_was_killed_does_not_run() {
    let place = Place::new("killed", FREE);
    let started = place.start();
    let pid = started["pid"].as_u64().unwrap();
    let mut peer = client(&started, "one");
    kill("KILL", u32::try_from(pid).unwrap());
    peer.expect_close().unwrap();
    // Its connections may be closed a moment before its lock.
    let (status, stdout) = loop {
        let (status, stdout, _) = place.run(&["status", "--json"]);
        if status != 4 && status != 0 {
            break (status, stdout);
        }
    };
    let said: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (status, &said["running"], &said["killed"]),
        (3, &false.into(), &true.into())
    );
    // The number of some other process that runs, which must not be taken for it.
    fs::write(
        place.0.join("ternmq.pid"),
        format!("{}\n", std::process::id()),
    )
    .unwrap();
    assert_eq!(place.run(&["status"]).0, 3);
    assert_eq!(place.run(&["stop"]).0, 0);
    assert_ne!(place.start()["pid"], pid);
    assert_eq!(place.run(&["stop"]).0, 0);
}

#[test]
fn one_that_cannot_serve_is_told_with_its_log_and_leaves_nothing() {
    let place = Place::new("wrong", "shards = 'many'\n");
    fs::write(place.0.join("ternmq.log"), "of another day\n").unwrap();
    let (status, stdout, stderr) = place.run(&["start", "--config", "ternmq.toml"]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(
        stderr.contains("the server has ended (exit status: 1)"),
        "{stderr}"
    );
    assert!(
        stderr.contains("ternmq.toml, line 1") && stderr.contains("shards"),
        "{stderr}"
    );
    assert!(!stderr.contains("of another day"), "{stderr}");
    assert_eq!(place.run(&["status"]).0, 3);
    assert!(!place.has("ternmq.pid") && !place.has("ternmq.pid.ready"));
}

#[test]
fn who_runs_and_cannot_be_reached_is_told_apart() {
    let place = Place::new("mute", FREE);
    place.start();
    fs::remove_file(place.0.join("ternmq.pid.control")).unwrap();
    let (status, _, stderr) = place.run(&["status"]);
    assert_eq!(status, 4, "{stderr}");
    let (status, _, stderr) = place.run(&["stop"]);
    assert_eq!(status, 1);
    assert!(stderr.contains("does not answer"), "{stderr}");
}

#[test]
fn a_data_folder_names_its_server() {
    let place = Place::new("folder", FREE);
    let args = [
        "start",
        "--config",
        "ternmq.toml",
        "--data",
        "state",
        "--json",
    ];
    let (status, stdout, stderr) = place.run(&args);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("\"ready\""), "{stdout}");
    assert!(place.has("state/ternmq.pid") && place.has("state/ternmq.log"));
    assert_eq!(place.run(&["status", "--data", "state"]).0, 0);
    assert_eq!(place.run(&["status"]).0, 3);
    assert_eq!(place.run(&["stop", "--data", "state"]).0, 0);
    assert_eq!(place.run(&["status", "--data", "state"]).0, 3);
}

#[test]
fn a_drain_sends_clients_elsewhere_and_a_stop_waits_no_longer_than_it_was_told() {
    let config = "server_reference = 'other.example:1883'\ndrain_rate = 1\n";
    let place = Place::new("drain", &format!("{config}{FREE}"));
    let started = place.start();
    // One goes at once, each of the others a second later.
    let mut peers: Vec<RawPeer> = (0..60)
        .map(|n| client(&started, &format!("c{n}")))
        .collect();
    let (status, _, stderr) = place.run(&["stop", "--drain", "--timeout", "0"]);
    assert_eq!(status, 1);
    assert!(stderr.contains("runs still after 0 s"), "{stderr}");
    let draining = place.status();
    assert_eq!(draining["stage"], "draining");
    assert_eq!(place.run(&["stop"]).0, 0);
    let moved = peers.iter_mut().filter_map(|peer| {
        let told = "DISCONNECT reason=0x9C server_reference=other.example:1883";
        peer.expect(told).ok()
    });
    assert!(moved.count() > 0, "nobody was sent elsewhere");
}

/// What the server under test tells its supervisor, by lines.
fn words(socket: &UnixDatagram) -> Vec<String> {
    let mut scratch = [0; 512];
    let read = socket.recv(&mut scratch).unwrap();
    let text = std::str::from_utf8(&scratch[..read]).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn supervised(place: &Place, socket: &UnixDatagram, name: &str) -> (Child, Vec<Vec<String>>) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = place.command(&[
        "serve",
        "--config",
        "ternmq.toml",
        "--pid-file",
        "ternmq.pid",
    ]);
    let child = command
        .env("NOTIFY_SOCKET", name)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = vec![words(socket)];
    kill("HUP", child.id());
    said.extend([words(socket), words(socket)]);
    kill("TERM", child.id());
    said.push(words(socket));
    (child, said)
}

#[test]
fn a_supervisor_is_told_of_every_step() {
    let place = Place::new("notify", FREE);
    let path = place.0.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let (mut child, said) = supervised(&place, &socket, path.to_str().unwrap());
    let first: Vec<&str> = said.iter().map(|lines| lines[0].as_str()).collect();
    assert_eq!(first, ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]);
    assert!(child.wait().unwrap().success());
}

/// What a unit of systemd allows for a stop may be less than `drain_seconds`.
#[test]
fn a_supervisor_is_asked_for_more_time_as_long_as_a_drain_goes_on() {
    let config = format!("drain_rate = 1\ndrain_seconds = 3600\n{FREE}");
    let place = Place::new("extend", &config);
    let path = place.0.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let arguments = "serve --config ternmq.toml --pid-file ternmq.pid";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut child = place
        .command(&arguments)
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(words(&socket)[0], "READY=1");
    // Who does not take its messages is waited for.
    let mut busy = client(&place.status(), "busy receive_maximum=1");
    busy.send("SUBSCRIBE id=1 filter=t options=1").unwrap();
    busy.expect("SUBACK").unwrap();
    for n in 2..=3 {
        busy.send(&format!("PUBLISH topic=t qos=1 id={n} payload={n}"))
            .unwrap();
    }
    busy.expect("PUBLISH payload=2").unwrap();
    kill("TERM", child.id());
    let more = "EXTEND_TIMEOUT_USEC=120000000";
    let status = |words: &[String]| {
        words
            .iter()
            .find(|word| word.starts_with("STATUS="))
            .cloned()
    };
    // That clients go, that the server is to end, and how far that is, again and again.
    let mut said = words(&socket);
    while !said.contains(&"STOPPING=1".to_owned()) {
        said = words(&socket);
    }
    assert!(said.contains(&more.to_owned()), "{said:?}");
    for _ in 0..2 {
        let said = words(&socket);
        assert!(said.contains(&more.to_owned()), "{said:?}");
        assert_eq!(
            status(&said).unwrap(),
            "STATUS=letting its clients go: 1 left"
        );
    }
    drop(busy);
    while !said.contains(&"STATUS=stopping".to_owned()) {
        said = words(&socket);
    }
    assert!(said.contains(&more.to_owned()), "{said:?}");
    assert!(child.wait().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_supervisor_may_listen_where_no_file_is() {
    use std::os::linux::net::SocketAddrExt;
    let place = Place::new("abstract", FREE);
    let name = format!("ternmq-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let (mut child, said) = supervised(&place, &socket, &format!("@{name}"));
    assert_eq!(said[3][0], "STOPPING=1");
    assert!(child.wait().unwrap().success());
}

/// On a terminal, which `script` makes, and into a pipe.
#[test]
fn colour_is_for_terminals() {
    let place = Place::new("colour", FREE);
    let program = program();
    let line = format!("{} stop --pid-file /dev/full/x", program.to_str().unwrap());
    let on_a_terminal = |line: &str| {
        let mut command = Command::new("script");
        let output = command
            .args(["-qec", line, "/dev/null"])
            .current_dir(&place.0)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = on_a_terminal(&line);
    assert!(
        shown.contains("\u{1b}[") && shown.contains("error:"),
        "{shown:?}"
    );
    let plain = on_a_terminal(&format!("NO_COLOR=1 {line}"));
    assert!(
        !plain.contains('\u{1b}') && plain.contains("error:"),
        "{plain:?}"
    );
    let (status, _, piped) = place.run(&["stop", "--pid-file", "/dev/full/x"]);
    assert_eq!(status, 1);
    assert!(
        !piped.contains('\u{1b}') && piped.contains("error:"),
        "{piped:?}"
    );
}
