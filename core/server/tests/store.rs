//! `ternmq store` as whoever looks after a server uses it: backups under load and back again, and what a
//! terminal shows meanwhile.

mod program;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};

use serde_json::Value;
use ternmq_test_broker_wire::RawPeer;

use crate::program::program;

/// Messages that are acknowledged before the backup, at least.
const BEFORE: u32 = 200;

/// A server that keeps its state in the folder `data`. Killed when it is dropped.
struct Server(Child, SocketAddr);

impl Server {
    fn on(folder: &Path) -> Self {
        let mut command = Command::new(program());
        command.args([
            "serve",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--data",
            "data",
        ]);
        let mut child = command
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let listening = { events }
            .find(|event| event["event"] == "listening")
            .unwrap();
        let address = listening["address"].as_str().unwrap().parse().unwrap();
        Self(child, address)
    }

    /// A client whose session lasts.
    fn kept(&self, client_id: &str, present: bool) -> RawPeer {
        let mut peer = RawPeer::connect(self.1, 4).unwrap();
        let connect = format!("CONNECT client_id={client_id} clean_start=0");
        peer.send(&connect).unwrap();
        let connack = peer.expect("CONNACK reason=0").unwrap();
        assert_eq!(connack.number("session_present", 0) == 1, present);
        peer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}"));
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn store(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("store").args(args).stdin(Stdio::null());
    command.current_dir(folder).output().unwrap()
}

/// What a command says that does what it is asked.
fn works(folder: &Path, args: &[&str]) -> String {
    let output = store(folder, args);
    let says = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {says}");
    // Nothing but a terminal has a bar.
    assert_eq!(says, "", "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that refuses.
fn refuses(folder: &Path, args: &[&str], words: &str) {
    let output = store(folder, args);
    let says = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {says}");
    assert!(says.contains(words), "{args:?}: {says}");
}

/// Publishes numbers one after the other until the server is gone, and says when some are acknowledged, if
/// somebody still takes it.
fn publish(address: SocketAddr, some: SyncSender<u32>) {
    let mut peer = RawPeer::introduced(address, 4, "CONNECT client_id=publisher").unwrap();
    for number in 1.. {
        let id = number % 60_000 + 1;
        let publish = format!("PUBLISH topic=t qos=1 id={id} payload={number}");
        let acknowledged = peer
            .send(&publish)
            .is_ok_and(|()| peer.expect(&format!("PUBACK id={id}")).is_ok());
        if !acknowledged {
            return;
        }
        if number % BEFORE == 0 {
            // Nobody looks any more when it is full.
            let _ = some.try_send(number);
        }
    }
}

#[test]
fn a_backup_that_was_made_under_load_is_restored_up_to_what_was_acknowledged_before_it() {
    let folder = folder("load");
    let server = Server::on(&folder);
    let mut reader = server.kept("reader", false);
    reader.send("SUBSCRIBE id=1 filter=t options=1").unwrap();
    reader.expect("SUBACK id=1 code=1").unwrap();
    drop(reader);
    let (some, acknowledged) = sync_channel(4);
    let address = server.1;
    let publisher = std::thread::spawn(move || publish(address, some));
    let before = acknowledged.recv().unwrap();
    works(&folder, &["backup", "data", "copy"]);
    // It goes on publishing while that is restored elsewhere.
    works(&folder, &["restore", "again/data", "copy"]);
    acknowledged.recv().unwrap();
    let again = Server::on(&folder.join("again"));
    let mut reader = again.kept("reader", true);
    for number in 1..=before {
        let message = reader.expect("PUBLISH topic=t qos=1").unwrap();
        assert_eq!(message.text("payload", ""), number.to_string());
        let id = message.number("id", 0);
        reader.send(&format!("PUBACK id={id}")).unwrap();
    }
    drop(server);
    publisher.join().unwrap();
}

#[test]
fn a_backup_takes_the_place_of_nothing_that_is_used_or_wanted() {
    let folder = folder("refused");
    let server = Server::on(&folder);
    works(&folder, &["backup", "data", "copy"]);
    refuses(
        &folder,
        &["restore", "data", "copy"],
        "there is a store in data already",
    );
    refuses(
        &folder,
        &["restore", "data", "copy", "--force"],
        "in use by another server",
    );
    refuses(
        &folder,
        &["restore", "new", "data/store.redb"],
        "`ternmq store backup` makes",
    );
    drop(server);
    refuses(&folder, &["restore", "data", "copy"], "--force");
    refuses(&folder, &["restore", "new", "absent"], "absent");
    std::fs::write(folder.join("words"), "no store").unwrap();
    refuses(&folder, &["restore", "new", "words"], "damaged");
    assert!(!folder.join("new").exists());
    let before = std::fs::read(folder.join("data/store.redb")).unwrap();
    refuses(&folder, &["restore", "data", "words", "--force"], "damaged");
    assert_eq!(
        std::fs::read(folder.join("data/store.redb")).unwrap(),
        before
    );
    let says = works(&folder, &["restore", "data", "copy", "--force"]);
    assert!(says.contains("store.redb.replaced-1"), "{says}");
    assert_eq!(
        std::fs::read(folder.join("data/store.redb.replaced-1")).unwrap(),
        before
    );
    works(&folder, &["check", "data"]);
    std::fs::create_dir(folder.join("old")).unwrap();
    std::fs::write(folder.join("old/records"), "").unwrap();
    refuses(&folder, &["restore", "old", "copy"], "older ternmq");
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_how_far_it_is_unless_it_is_to_be_quiet() {
    let folder = folder("terminal");
    let server = Server::on(&folder);
    drop(server.kept("reader", false));
    drop(server);
    works(&folder, &["backup", "data", "copy"]);
    let shown = |args: &str| {
        let command = format!("'{}' store {args}", program().display());
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        let output = terminal.current_dir(&folder).stdin(Stdio::null()).output();
        let output = output.expect("script, of util-linux");
        let says = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{args}: {says}");
        says
    };
    for (args, words) in [
        ("check data", "reading ["),
        ("dump data > lines", "reading ["),
        ("compact data", "compacting ..."),
        ("backup data second", "reading ["),
        ("restore third copy", "copying ["),
        ("export data all", "reading ["),
        ("import fourth all", "taking in ["),
    ] {
        let says = shown(args);
        assert!(says.contains(words), "{args}: {says:?}");
        let last = says.rsplit("\r\x1b[K").next().unwrap();
        assert!(
            !last.contains("reading") && !last.contains(" %"),
            "{args}: {says:?}"
        );
    }
    for args in [
        "check data --quiet",
        "--quiet compact data",
        "check data --json",
        "dump data",
    ] {
        let says = shown(args);
        assert!(!says.contains('\x1b'), "{args}: {says:?}");
    }
}
