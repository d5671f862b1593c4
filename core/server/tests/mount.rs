//! Mount points as a configuration says them, with clients of another make.

mod program;
#[path = "program/server.rs"]
mod server;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use server::{Server, folder, ternmq};

/// For each user a place of its own, and the whole tree.
const CONFIG: &str = "\
[[listener]]
address = '127.0.0.1:0'
mount_point = 'users/${username}/'
[[listener]]
address = '127.0.0.1:0'
[access]
rules = 'rules'
";

const RULES: &str = "\
deny publish topic users/+/secret/#
allow topic users/%u/#
allow address 127.0.0.0/8 subscribe topic users/#
";

fn with(name: &str, config: &str) -> std::path::PathBuf {
    let folder = folder(name);
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    std::fs::write(folder.join("rules"), RULES).unwrap();
    folder
}

fn port(listening: &Value) -> String {
    let address = listening["address"].as_str().unwrap();
    address.rsplit(':').next().unwrap().to_owned()
}

/// What mosquitto's client says, and whether it was content.
fn mosquitto(program: &str, port: &str, args: &[&str]) -> (String, bool) {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", port]).args(args);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (said, output.status.success())
}

#[test]
fn clients_of_another_make_see_a_part_of_the_tree_as_the_whole() {
    let mut server = Server::start(&with("mount", CONFIG));
    let inside = port(&server.listening);
    let whole = port(&server.event());
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let run = |program, port: &str, args: &[&str]| {
                let args = [&["-V", version, "-q", qos], args].concat();
                mosquitto(program, port, &args)
            };
            let text = format!("{version}-{qos}");
            for user in ["ann", "ben"] {
                let (_, well) = run(
                    "mosquitto_pub",
                    &inside,
                    &["-u", user, "-r", "-t", "state", "-m", &text],
                );
                assert!(well);
            }
            let once = ["-v", "-C", "1", "-W", "10", "-t"];
            // A QoS 0 message is there before what asks for it.
            for filter in ["state", "#", "+"] {
                let args = [&["-u", "ann"][..], &once, &[filter]].concat();
                let got = run("mosquitto_sub", &inside, &args);
                assert_eq!(got, (format!("state {text}\n"), true), "{filter}");
            }
            let args = [&once[..], &["users/ben/#"]].concat();
            let got = run("mosquitto_sub", &whole, &args);
            assert_eq!(got, (format!("users/ben/state {text}\n"), true));
        }
    }
    // Who is nobody has no place, and whole topics are what the rules are about.
    let (_, well) = mosquitto("mosquitto_pub", &inside, &["-q", "1", "-t", "x", "-m", "x"]);
    assert!(!well);
    let mut ann = server.answer("CONNECT client_id=c username=ann", "0");
    for (topic, reason) in [("own", "0x10"), ("secret/x", "0x87")] {
        ann.send(&format!("PUBLISH qos=1 id=1 topic={topic} payload=x"))
            .unwrap();
        ann.expect(&format!("PUBACK id=1 reason={reason}")).unwrap();
    }
    // SIGHUP: for who comes then, and where no rule lets anybody.
    let told = server.reload("ternmq.toml", &CONFIG.replace("users/", "people/"));
    assert!(told.iter().any(|told| told["changed"][0] == "listener"));
    let mut ben = server.answer("CONNECT client_id=d username=ben", "0");
    for (peer, reason) in [(&mut ann, "0x10"), (&mut ben, "0x87")] {
        peer.send("PUBLISH qos=1 id=1 topic=own payload=x").unwrap();
        peer.expect(&format!("PUBACK id=1 reason={reason}"))
            .unwrap();
    }
}

fn explain(folder: &Path, words: &str) -> Value {
    let mut args = vec!["explain"];
    args.extend(words.split(' '));
    args.extend(["--json", "-c", "ternmq.toml"]);
    let output = ternmq(folder, &args).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn explain_puts_the_mount_point_of_the_listener_before_the_topic() {
    let config = CONFIG.replacen("127.0.0.1:0", "127.0.0.1:1883", 1);
    let folder = with("mount-explain", &config);
    let through = "--listener 127.0.0.1:1883";
    for (words, verdict, meant) in [
        (
            format!("publish -u ann -t own {through}"),
            "allowed",
            Some("users/ann/own"),
        ),
        (
            format!("publish -u ann -t secret/x {through}"),
            "denied",
            Some("users/ann/secret/x"),
        ),
        (
            format!("subscribe -u ann -t $share/g/# {through}"),
            "allowed",
            Some("users/ann/#"),
        ),
        (
            format!("subscribe -u ann -t own/# {through}"),
            "allowed",
            Some("users/ann/own/#"),
        ),
        // Whole topics, where no listener is named.
        ("publish -u ann -t own".to_owned(), "denied", Some("own")),
        (
            "publish -u ann -t users/ann/own".to_owned(),
            "allowed",
            Some("users/ann/own"),
        ),
        // A client that is not let in there means nothing.
        (format!("publish -t own {through}"), "denied", None),
    ] {
        let told = explain(&folder, &words);
        assert_eq!(told["verdict"], verdict, "{words}: {told}");
        assert_eq!(told["meant"].as_str(), meant, "{words}: {told}");
    }
}

#[test]
fn what_is_no_mount_point_is_named_with_its_line() {
    for (point, words) in [
        ("tenant", "does not end with `/`"),
        ("$SYS/", "begins with `$`"),
        ("a/#/", "wildcard"),
        ("${user}/", "is none of"),
    ] {
        let config = CONFIG.replace("users/${username}/", point);
        let folder = with("mount-wrong", &config);
        let output = ternmq(&folder, &["config", "check", "ternmq.toml"])
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(words) && said.contains("ternmq.toml, line 3"),
            "{said}"
        );
    }
}
