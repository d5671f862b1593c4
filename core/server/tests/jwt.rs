//! A server that lets in whoever has a token: configured, read again, and explained.

mod program;
#[path = "program/server.rs"]
mod server;
#[path = "../../access/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use server::{Server, folder, ternmq};
use support::Pair;

/// A server with this configuration.
fn start(folder: &Path, config: &str) -> Server {
    let config = format!("[[listener]]\naddress = '127.0.0.1:0'\n{config}");
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    Server::start(folder)
}

fn expect(server: &Server, connect: &str, reason: &str) {
    drop(server.answer(&format!("CONNECT client_id=c {connect}"), reason));
}

fn claims(more: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = json!({ "name": "anna", "aud": "mqtt", "exp": now.as_secs() + 3600 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// The verdict of `ternmq explain connect`, who said it, and why.
fn explain(folder: &Path, words: &[&str]) -> [String; 3] {
    let mut args = vec!["explain", "connect", "--json", "-c", "ternmq.toml"];
    args.extend(words);
    let output = ternmq(folder, &args).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    ["verdict", "by", "text"].map(|key| told[key].as_str().unwrap().to_owned())
}

fn pairs(folder: &Path) -> [Pair; 2] {
    [("old", "EdDSA"), ("new", "ES256")].map(|(name, algorithm)| Pair::new(folder, name, algorithm))
}

fn jwks(key: &Value) -> String {
    json!({ "keys": [key] }).to_string()
}

#[test]
fn keys_are_read_again_and_while_they_are_wrong_the_old_ones_hold() {
    let folder = folder("server_jwt_reload");
    let file = folder.join("jwks.json");
    let [old, new] = pairs(&folder);
    std::fs::write(&file, jwks(&old.jwk("a"))).unwrap();
    let config = "[jwt]\nkeys = 'jwks.json'\naudience = 'mqtt'\nuser_claim = 'name'\n";
    let mut server = start(&folder, config);
    let first = old.token(Some("a"), &claims(&json!({})));
    let second = new.token(Some("b"), &claims(&json!({})));
    expect(&server, &format!("password={first}"), "0");
    expect(&server, &format!("username=anna password={first}"), "0");
    expect(&server, &format!("username=ben password={first}"), "0x86");
    expect(&server, &format!("password={second}"), "0x86");
    expect(&server, "username=anna password=x", "0x86");
    // This machine's address, and no name.
    expect(&server, "", "0");
    let told = server.reload("jwks.json", "{\"keys\": 7}");
    assert_eq!(told[0]["what"], "not_reloaded");
    assert!(told[0].to_string().contains("jwks.json"), "{told:?}");
    expect(&server, &format!("password={first}"), "0");
    let told = server.reload("jwks.json", &jwks(&new.jwk("b")));
    assert_eq!(told[told.len() - 1]["event"], "certificates_reloaded");
    expect(&server, &format!("password={second}"), "0");
    expect(&server, &format!("password={first}"), "0x86");
    std::fs::write(&file, "short").unwrap();
    let check = ternmq(&folder, &["config", "check", "ternmq.toml"]);
    let check = { check }.output().unwrap();
    let text = format!("{check:?}");
    assert!(
        !check.status.success() && text.contains("jwks.json"),
        "{text}"
    );
    assert!(!text.contains("\"short\""), "{text}");
    std::fs::write(folder.join("none.toml"), "[jwt]\naudience = 'mqtt'\n").unwrap();
    let serve = ternmq(&folder, &["serve", "--config", "none.toml"]).output();
    let serve = format!("{:?}", serve.unwrap());
    assert!(serve.contains("`jwt.keys` is missing"), "{serve}");
}

#[test]
fn tokens_and_passwords_go_side_by_side_and_are_explained() {
    let folder = folder("server_jwt_both");
    let [own, other] = pairs(&folder);
    std::fs::write(folder.join("jwks.json"), jwks(&own.jwk("a"))).unwrap();
    let made = ternmq(
        &folder,
        &["passwd", "-c", "-b", "passwords", "ben", "geheim"],
    )
    .output();
    assert!(made.unwrap().status.success());
    let config = "[access]\npassword_file = 'passwords'\nclient_id = '%u*'\n\
                  [jwt]\nkeys = 'jwks.json'\naudience = 'mqtt'\nuser_claim = 'name'\n";
    let server = start(&folder, config);
    let good = own.token(Some("a"), &claims(&json!({})));
    let late = own.token(Some("a"), &claims(&json!({ "exp": 1 })));
    let elsewhere = own.token(Some("a"), &claims(&json!({ "aud": "web" })));
    let forged = other.token(Some("a"), &claims(&json!({})));
    let peer = |id: &str, user: &str, password: &str, reason: &str| {
        let connect = format!("CONNECT client_id={id} username={user} password={password}");
        drop(server.answer(&connect, reason));
    };
    for (user, password, reason, by, why) in [
        ("anna", &*good, "0", "jwt", "is good"),
        ("anna", &*late, "0x86", "jwt", "expired"),
        ("anna", &*elsewhere, "0x86", "jwt", "audience"),
        ("anna", &*forged, "0x86", "jwt", "no key"),
        ("ben", &*good, "0x86", "jwt", "another user"),
        ("ben", "geheim", "0", "password_file", "the user's password"),
        ("ben", "x", "0x86", "password_file", "not this"),
        ("anna", "x", "0x86", "password_file", "no user"),
    ] {
        peer(&format!("{user}1"), user, password, reason);
        let [verdict, said, text] = explain(
            &folder,
            &["-i", &format!("{user}1"), "-u", user, "-P", password],
        );
        let expected = if reason == "0" { "allowed" } else { "denied" };
        assert_eq!((&*verdict, &*said), (expected, by), "{user}: {text}");
        assert!(text.contains(why), "{text}");
        assert!(!text.contains(password) || password.len() < 8, "{text}");
    }
    // Nobody takes another's session over with a token of their own.
    peer("ben1", "anna", &good, "0x85");
    peer("ben1", "ben", &good, "0x86");
}
