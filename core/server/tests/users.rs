//! Users of the server, from `ternmq passwd` to a client that is let in.

mod program;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::program::program;

fn ternmq(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).env_remove("TERNMQ_PASSWORD");
    command
}

fn passwd(args: &[&str], password: &str) -> Output {
    let mut child = ternmq(&["passwd"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(password.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn publish(url: &str, user: &str, password: &str, version: &str) -> Output {
    let mut command = ternmq(&["pub", "--url", url, "-t", "t", "-m", "x", "-q", "1"]);
    command.args(["-V", version, "-u", user, "-P", password]);
    command.output().unwrap()
}

#[test]
fn who_has_a_password_is_let_in_and_nobody_else() {
    let printed = passwd(&["--iterations", "4096", "an\"na"], "geheim\n");
    assert!(printed.status.success());
    let lines = String::from_utf8(printed.stdout).unwrap();
    assert!(lines.contains("name = \"an\\\"na\"") && !lines.contains("geheim"));
    let config = "[[listener]]\naddress = '127.0.0.1:0'\nanonymous = false\n";
    let config = file("users.toml", &format!("{config}{lines}"));
    let mut child = ternmq(&["serve", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let _server = Server(child);
    let url = line.trim().strip_prefix("listening on ").unwrap();
    for version in ["31", "311", "5"] {
        let good = publish(url, "an\"na", "geheim", version);
        assert!(good.status.success(), "{version}: {good:?}");
        for (user, password) in [("an\"na", "wrong"), ("ben", "geheim")] {
            let bad = publish(url, user, password, version);
            assert!(!bad.status.success(), "{version}");
        }
    }
    let nobody = ternmq(&["pub", "--url", url, "-t", "t", "-m", "x"]).output();
    assert!(!nobody.unwrap().status.success());
}

#[test]
fn what_can_not_be_used_is_refused_and_no_secret_is_shown() {
    let weak = passwd(&["--iterations", "4095", "anna"], "geheim");
    let text = String::from_utf8(weak.stderr).unwrap();
    assert!(!weak.status.success() && text.contains("4096"), "{text}");
    assert!(!passwd(&["anna"], "").status.success(), "an empty password");

    let secret = "U0VDUkVUU0VDUkVU";
    for (name, user, told) in [
        (
            "form",
            format!("scram_sha_256 = 'SCRAM-SHA-256$4096:{secret}'"),
            "line 3",
        ),
        (
            "syntax",
            format!("scram_sha_256 = 'SCRAM-SHA-256$4096:{secret}"),
            "line 3",
        ),
        (
            "other",
            format!("scram_sha_512 = 'SCRAM-SHA-256$4096:{secret}$a:b'"),
            "line 3",
        ),
        ("none", String::new(), "user"),
    ] {
        let config = file(
            &format!("{name}.toml"),
            &format!("[[user]]\nname = 'anna'\n{user}\n"),
        );
        let output = ternmq(&["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && text.contains(told),
            "{name}: {text}"
        );
        assert!(!text.contains(secret), "{name}: {text}");
    }
}
