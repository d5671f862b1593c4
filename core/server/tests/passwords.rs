//! Files of passwords, from the command that writes them to a client that is let in.

mod program;
#[path = "program/server.rs"]
mod server;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use server::{Server, folder, ternmq};

/// A server at every address of this machine, as one for others has them.
fn start(folder: &Path, more: &str) -> Server {
    let config = format!(
        "[[listener]]\naddress = '0.0.0.0:0'\n[access]\npassword_file = 'passwords'\n{more}"
    );
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    let server = Server::start(folder);
    assert_eq!(server.listening["anonymous"], false);
    server
}

fn expect(server: &Server, connect: &str, reason: &str) {
    drop(server.answer(&format!("CONNECT client_id=c {connect}"), reason));
}

fn knows(server: &Server, name: &str, password: &str) {
    let named = format!("username={name}");
    expect(server, &format!("{named} password={password}"), "0");
    expect(server, &format!("{named} password={password}x"), WRONG);
    expect(server, &named, WRONG);
}

const WRONG: &str = "0x86";
const NO: &str = "0x87";

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
    let server = start(&folder, "");
    knows(&server, "anna", "geheim");
    knows(&server, "ben", "secret");
    knows(&server, "cleo", "x");
    expect(&server, "username=dora password=geheim", WRONG);
    // From elsewhere nobody comes in without a name.
    expect(&server, "", NO);
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
    let mut server = start(&folder, "");
    knows(&server, "anna", "anders");
    knows(&server, "ben", "secret");
    knows(&server, "cleo", "x");
    done(&["-D", "passwords", "ben"], "");
    assert_eq!(lines(&folder), [&after[0], &after[2]].map(String::clone));
    let text = after[0].clone();
    let told = server.reload("passwords", &text);
    assert_eq!(told[told.len() - 1]["event"], "certificates_reloaded");
    knows(&server, "anna", "anders");
    expect(&server, "username=cleo password=x", WRONG);
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
    let server = start(&folder, "");
    knows(&server, "dora", "clear");
    knows(&server, "anna", "x");
}

#[test]
fn a_file_that_is_wrong_is_named_by_its_line_and_the_old_users_stay() {
    let folder = folder("passwords_wrong");
    passwd(&folder, &["-c", "-b", "passwords", "anna", "geheim"], "");
    let good = lines(&folder)[0].clone();
    let mut server = start(&folder, "");
    knows(&server, "anna", "geheim");
    let told = &server.reload("passwords", &format!("{good}\nben:geheim\n"))[0];
    let problem = &told["problems"][0];
    assert_eq!(told["what"], "not_reloaded");
    assert_eq!(problem["where"]["line"], 2, "{told}");
    assert!(!told.to_string().contains("geheim"), "{told}");
    knows(&server, "anna", "geheim");
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
    let server = start(&folder, "client_id = '%u-*'\n");
    for (id, user, reason) in [
        ("anna-1", "anna", "0"),
        ("anna-", "anna", "0"),
        ("anna", "anna", "0x85"),
        ("ben-1", "anna", "0x85"),
        ("", "anna", "0x85"),
        ("anna-1", "*", "0x85"),
        ("*-1", "*", "0"),
    ] {
        let connect = format!("CONNECT client_id={id} username={user} password=x");
        drop(server.answer(&connect, reason));
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
    expect(&server, "", "0x85");
}

#[test]
fn users_of_the_file_and_of_the_configuration_come_in_side_by_side_and_are_explained() {
    let folder = folder("passwords_both");
    passwd(&folder, &["-c", "-b", "passwords", "anna", "geheim"], "");
    let ben = passwd(&folder, &["ben", "--iterations", "4096"], "secret");
    let server = start(&folder, &String::from_utf8(ben.stdout).unwrap());
    knows(&server, "anna", "geheim");
    knows(&server, "ben", "secret");
    expect(&server, "username=dora password=x", WRONG);
    expect(&server, "", NO);
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
