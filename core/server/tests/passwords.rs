//! Files of passwords, from the command that writes them to a client that is let in.

mod program;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::RawPeer;

use crate::program::program;

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// Every address of this machine, as a server for others has them.
    fn start(folder: &Path, more: &str) -> Self {
        let config = format!(
            "[[listener]]\naddress = '0.0.0.0:0'\n[access]\npassword_file = 'passwords'\n{more}"
        );
        std::fs::write(folder.join("ternmq.toml"), config).unwrap();
        let mut child = ternmq(folder, &["serve", "--json", "--config", "ternmq.toml"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdout,
            address: SocketAddr::from(([0; 4], 0)),
            folder: folder.to_owned(),
        };
        let listening = server.event();
        assert_eq!(listening["anonymous"], false);
        let address: SocketAddr = listening["address"].as_str().unwrap().parse().unwrap();
        server.address = SocketAddr::from(([127, 0, 0, 1], address.port()));
        server
    }

    fn event(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// Has the file read again: what it says last.
    fn reload(&mut self, file: &str) -> Value {
        std::fs::write(self.folder.join("passwords"), file).unwrap();
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(status.unwrap().success());
        loop {
            let event = self.event();
            if event["event"] == "certificates_reloaded" || event["what"] == "not_reloaded" {
                return event;
            }
        }
    }

    fn expect(&self, connect: &str, reason: &str) {
        let mut peer = RawPeer::connect(self.address, 5).unwrap();
        peer.send(&format!("CONNECT client_id=c {connect}"))
            .unwrap();
        let got = peer.expect(&format!("CONNACK reason={reason}"));
        got.unwrap_or_else(|error| panic!("{connect}: {error:?}"));
    }

    fn knows(&self, name: &str, password: &str) {
        let named = format!("username={name}");
        self.expect(&format!("{named} password={password}"), "0");
        self.expect(&format!("{named} password={password}x"), WRONG);
        self.expect(&named, WRONG);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const WRONG: &str = "0x86";
const NO: &str = "0x87";

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn ternmq(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

/// `ternmq passwd` with these words, and a password from standard input.
fn passwd(folder: &Path, args: &[&str], password: &str) -> Output {
    let mut command = ternmq(folder, &[&["passwd"], args].concat());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may want none.
    let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
    child.wait_with_output().unwrap()
}

fn lines(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("passwords")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// mosquitto's own command: that of the system, or what `make test` has unpacked.
fn mosquitto_passwd(folder: &Path, args: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mosquitto");
    let unpacked = root.join("usr/bin/mosquitto_passwd");
    let program = match unpacked.exists() {
        true => unpacked,
        false => "mosquitto_passwd".into(),
    };
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    let output = command.args(args).current_dir(folder).output();
    let output = output.expect("mosquitto_passwd, which tests/setup unpacks");
    assert!(output.status.success(), "{args:?}: {output:?}");
}

#[test]
fn what_mosquitto_passwd_writes_lets_its_users_in() {
    let folder = folder("of_mosquitto");
    mosquitto_passwd(&folder, &["-c", "-b", "passwords", "anna", "geheim"]);
    mosquitto_passwd(
        &folder,
        &["-H", "sha512", "-b", "passwords", "ben", "secret"],
    );
    mosquitto_passwd(
        &folder,
        &["-H", "sha512-pbkdf2", "-b", "passwords", "cleo", "x"],
    );
    let kinds: Vec<String> = (lines(&folder).iter())
        .map(|line| line.split(':').nth(1).unwrap()[..3].to_owned())
        .collect();
    assert_eq!(kinds, ["$7$", "$6$", "$7$"]);
    let server = Server::start(&folder, "");
    server.knows("anna", "geheim");
    server.knows("ben", "secret");
    server.knows("cleo", "x");
    server.expect("username=dora password=geheim", WRONG);
    // From elsewhere nobody comes in without a name.
    server.expect("", NO);
}

#[test]
fn passwd_keeps_a_file_as_mosquittos_does() {
    let folder = folder("passwd");
    let done = |args: &[&str], password: &str| {
        let output = passwd(&folder, args, password);
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let failed = |args: &[&str]| {
        let before = std::fs::read(folder.join("passwords")).ok();
        let output = passwd(&folder, args, "x");
        assert!(!output.status.success(), "{args:?}");
        assert_eq!(
            std::fs::read(folder.join("passwords")).ok(),
            before,
            "{args:?}"
        );
    };
    failed(&["passwords", "anna"]); // not there
    done(&["-c", "passwords", "anna"], "geheim\n");
    let mode = std::os::unix::fs::MetadataExt::mode(&folder.join("passwords").metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);
    done(&["-b", "passwords", "ben", "secret"], "");
    done(
        &[
            "-H",
            "sha512-pbkdf2",
            "-I",
            "101",
            "-b",
            "passwords",
            "cleo",
            "x",
        ],
        "",
    );
    let before = lines(&folder);
    assert!(
        before[0].starts_with("anna:$argon2id$v=19$m=19456,t=2,p=1$"),
        "{before:?}"
    );
    assert!(before[2].starts_with("cleo:$7$101$"), "{before:?}");
    done(&["passwords", "anna"], "anders");
    let after = lines(&folder);
    assert!(
        after[0] != before[0] && after[1..] == before[1..],
        "in its place"
    );
    failed(&["-D", "passwords", "dora"]);
    for wrong in [
        &["-b", "passwords", "a:b", "x"][..],
        &["-b", "passwords", "anna", ""],
        &["-b", "passwords", "anna"],
        &["-c", "-D", "passwords", "anna"],
        &["-U", "passwords", "anna"],
    ] {
        failed(wrong);
    }
    let mut server = Server::start(&folder, "");
    server.knows("anna", "anders");
    server.knows("ben", "secret");
    server.knows("cleo", "x");
    done(&["-D", "passwords", "ben"], "");
    assert_eq!(lines(&folder), [&after[0], &after[2]].map(String::clone));
    let text = after[0].clone();
    assert_eq!(server.reload(&text)["event"], "certificates_reloaded");
    server.knows("anna", "anders");
    server.expect("username=cleo password=x", WRONG);
}

#[test]
fn passwords_in_the_clear_become_hashes_and_hashes_stay() {
    let folder = folder("passwd_upgrade");
    passwd(&folder, &["-c", "-b", "passwords", "anna", "x"], "");
    let first = lines(&folder)[0].clone();
    let plain = [first, "# new ones".into(), "dora:clear".into()];
    std::fs::write(folder.join("passwords"), plain.join("\n")).unwrap();
    assert!(passwd(&folder, &["-U", "passwords"], "").status.success());
    let upgraded = lines(&folder);
    assert_eq!(upgraded[..2], plain[..2]);
    assert!(upgraded[2].starts_with("dora:$argon2id$"), "{upgraded:?}");
    // A hash that lacks a letter must not become a password.
    std::fs::write(folder.join("broken"), "a:$7$101$x").unwrap();
    assert!(!passwd(&folder, &["-U", "broken"], "").status.success());
    let server = Server::start(&folder, "");
    server.knows("dora", "clear");
    server.knows("anna", "x");
}

#[test]
fn a_file_that_is_wrong_is_named_by_its_line_and_the_old_users_stay() {
    let folder = folder("passwords_wrong");
    passwd(&folder, &["-c", "-b", "passwords", "anna", "geheim"], "");
    let good = lines(&folder)[0].clone();
    let mut server = Server::start(&folder, "");
    server.knows("anna", "geheim");
    let told = server.reload(&format!("{good}\nben:geheim\n"));
    let problem = &told["problems"][0];
    assert_eq!(told["what"], "not_reloaded");
    assert_eq!(problem["where"]["line"], 2, "{told}");
    assert!(!told.to_string().contains("geheim"), "{told}");
    server.knows("anna", "geheim");
    let output = ternmq(&folder, &["serve", "-c", "ternmq.toml"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && text.contains("passwords, line 2, column 5"),
        "{text}"
    );
}

#[test]
fn a_user_has_the_client_identifiers_that_one_line_says() {
    let folder = folder("bound");
    passwd(&folder, &["-c", "-b", "passwords", "anna", "x"], "");
    passwd(&folder, &["-b", "passwords", "*", "x"], "");
    let server = Server::start(&folder, "client_id = '%u-*'\n");
    for (id, user, reason) in [
        ("anna-1", "anna", "0"),
        ("anna-", "anna", "0"),
        ("anna", "anna", "0x85"),
        ("ben-1", "anna", "0x85"),
        ("", "anna", "0x85"),
        ("anna-1", "*", "0x85"),
        ("*-1", "*", "0"),
    ] {
        let mut peer = RawPeer::connect(server.address, 5).unwrap();
        let connect = format!("CONNECT client_id={id} username={user} password=x");
        peer.send(&connect).unwrap();
        let got = peer.expect(&format!("CONNACK reason={reason}"));
        got.unwrap_or_else(|error| panic!("{connect}: {error:?}"));
        let words = [
            "explain",
            "connect",
            "-c",
            "ternmq.toml",
            "-i",
            id,
            "-u",
            user,
            "-P",
            "x",
        ];
        let status = ternmq(&folder, &words).output().unwrap().status.code();
        let expected = if reason == "0" { 0 } else { 3 };
        assert_eq!(status, Some(expected), "{connect}");
    }
    server.expect("", "0x85");
}

#[test]
fn users_of_the_file_and_of_the_configuration_come_in_side_by_side_and_are_explained() {
    let folder = folder("passwords_both");
    passwd(&folder, &["-c", "-b", "passwords", "anna", "geheim"], "");
    let ben = passwd(&folder, &["ben", "--iterations", "4096"], "secret");
    let server = Server::start(&folder, &String::from_utf8(ben.stdout).unwrap());
    server.knows("anna", "geheim");
    server.knows("ben", "secret");
    server.expect("username=dora password=x", WRONG);
    server.expect("", NO);
    for (words, status, by) in [
        ("-u anna", 4, "password_file"),
        ("-u anna -P geheim", 0, "password_file"),
        ("-u anna -P wrong", 3, "password_file"),
        ("-u ben -P secret", 0, "user"),
        ("-u dora -P secret", 3, "user"),
        ("-i c", 3, "anonymous"),
    ] {
        let mut args = vec!["explain", "connect", "--json", "-c", "ternmq.toml"];
        args.extend(words.split(' '));
        let output = ternmq(&folder, &args).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(status), "{words}: {told}");
        assert_eq!(told["by"], by, "{words}: {told}");
        if by == "password_file" {
            assert_eq!(told["where"]["line"], 1, "{told}");
        }
    }
}
