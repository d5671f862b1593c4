//! Clients with tokens, over sockets; the tokens are OpenSSL's.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Pair, base64, folder, keyed, unsigned};
use ternmq_access::jwt::{Jwt, Terms};
use ternmq_broker::hooks::Access;
use ternmq_broker::{Broker, Config};
use ternmq_test_broker_wire::RawPeer;

const WRONG: &str = "0x86";

/// A broker that lets in whoever has a token, and the step that looks at them.
fn broker(keys: &Path, terms: Terms) -> (Broker, Arc<Jwt>) {
    let step = Arc::new(Jwt::open(keys, terms, false).expect("keys"));
    let mut config = Config::listen(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.listeners[0].anonymous = false;
    config.access = Access {
        authenticate: vec![step.clone()],
        ..Access::default()
    };
    (Broker::start(config).expect("a broker"), step)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// Claims that are good for an hour, and these.
fn claims(more: Value) -> Value {
    let mut claims = json!({ "sub": "anna", "exp": now() + 3600 });
    for (name, value) in more.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    claims
}

fn connect(broker: &Broker, level: u8, words: &str) -> (RawPeer, String) {
    let mut peer = RawPeer::connect(broker.local_addrs()[0], level).expect("connected");
    peer.send(&format!("CONNECT {words}")).expect("sent");
    let connack = peer.next_packet().expect("a packet").expect("CONNACK");
    (peer, format!("{:#x}", connack.number("reason", 0)))
}

fn expect(broker: &Broker, token: &str, reason: &str) {
    let (_, got) = connect(broker, 5, &format!("client_id=c password={token}"));
    let expected = if reason == "0" { "0x0" } else { reason };
    assert_eq!(got, expected, "{token}");
}

#[test]
fn every_kind_of_key_in_pem_lets_in_who_signs_with_it_and_nobody_else() {
    for (name, algorithm) in [
        ("rsa", "RS256"),
        ("pss", "PS256"),
        ("ec", "ES256"),
        ("ed", "EdDSA"),
    ] {
        let folder = folder(&format!("jwt_{name}"));
        let (own, other) = (
            Pair::new(&folder, "own", algorithm),
            Pair::new(&folder, "other", algorithm),
        );
        let (broker, _) = broker(&own.pem(), Terms::default());
        let good = own.token(None, &claims(json!({})));
        expect(&broker, &good, "0");
        expect(&broker, &other.token(None, &claims(json!({}))), WRONG);
        // Somebody else's claims under a signature that is good.
        let (_, signature) = good.rsplit_once('.').expect("three parts");
        let header = json!({ "alg": algorithm });
        let forged = unsigned(&header, &claims(json!({ "sub": "root" })));
        expect(&broker, &format!("{forged}.{signature}"), WRONG);
        // A public key is no secret for HMAC.
        let pem = std::fs::read(own.pem()).expect("a key");
        expect(&broker, &keyed(&folder, &pem, &claims(json!({}))), WRONG);
        for none in ["none", "None", "HS256", "RS256", "x"] {
            let text = unsigned(&json!({ "alg": none }), &claims(json!({})));
            expect(&broker, &format!("{text}."), WRONG);
        }
    }
}

#[test]
fn a_secret_lets_in_who_knows_it_and_a_short_one_is_none() {
    let folder = folder("jwt_secret");
    let secret = b"0123456789abcdef0123456789abcdef";
    let file = folder.join("secret");
    std::fs::write(&file, [&secret[..], b"\n"].concat()).expect("written");
    let (broker, _) = broker(&file, Terms::default());
    expect(&broker, &keyed(&folder, secret, &claims(json!({}))), "0");
    let other = b"0123456789abcdef0123456789abcdeX";
    expect(&broker, &keyed(&folder, other, &claims(json!({}))), WRONG);
    for wrong in [
        "short",
        "",
        "{}",
        "{\"keys\": []}",
        "-----BEGIN PUBLIC KEY-----\n",
    ] {
        std::fs::write(&file, wrong).expect("written");
        let refused = Jwt::open(&file, Terms::default(), false).expect_err(wrong);
        assert!(refused[0].to_string().contains("secret:"), "{refused:?}");
    }
}

#[test]
fn what_a_token_says_has_to_fit() {
    let folder = folder("jwt_claims");
    let own = Pair::new(&folder, "own", "EdDSA");
    let terms = Terms {
        audience: Some("mqtt".into()),
        issuer: Some("home".into()),
        client_id_claim: Some("device".into()),
        ..Terms::default()
    };
    let good = json!({ "aud": ["x", "mqtt"], "iss": "home", "device": "c" });
    let (strict, _) = broker(&own.pem(), terms);
    let (usual, _) = broker(&own.pem(), Terms::default());
    for (change, reason) in [
        (json!({}), "0"),
        (json!({ "aud": "other" }), WRONG),
        (json!({ "aud": null }), WRONG),
        (json!({ "iss": "elsewhere" }), WRONG),
        (json!({ "iss": null }), WRONG),
        (json!({ "device": "d" }), WRONG),
        (json!({ "device": null }), WRONG),
        (json!({ "sub": null }), WRONG),
        (json!({ "sub": "" }), WRONG),
        (json!({ "sub": 7 }), WRONG),
        (json!({ "exp": now() - 1 }), WRONG),
        (json!({ "exp": null }), WRONG),
        (json!({ "exp": "soon" }), WRONG),
        (json!({ "exp": -1 }), WRONG),
        (json!({ "exp": 1e300 }), WRONG),
        (json!({ "exp": now() as f64 + 60.5 }), "0"),
        (json!({ "nbf": now() - 1 }), "0"),
        (json!({ "nbf": now() + 60 }), WRONG),
        (json!({ "nbf": "x" }), WRONG),
        (json!({ "acl": "all" }), WRONG),
        (json!({ "acl": { "publish": "a" } }), WRONG),
        (json!({ "acl": { "write": ["a"] } }), WRONG),
        (json!({ "acl": { "publish": ["a/#/b"] } }), WRONG),
    ] {
        let mut all = claims(good.clone());
        for (name, value) in change.as_object().expect("claims") {
            all[name] = value.clone();
        }
        expect(&strict, &own.token(None, &all), reason);
    }
    // A token for somebody is for nobody here who has no name of that kind.
    let named = own.token(None, &claims(json!({ "aud": "mqtt" })));
    expect(&usual, &named, WRONG);
    let token = own.token(None, &claims(json!({})));
    for (words, reason) in [
        (format!("username=anna password={token}"), "0x0"),
        (format!("username=ben password={token}"), WRONG),
        ("username=anna password=geheim".to_owned(), WRONG),
        ("username=anna".to_owned(), WRONG),
        (String::new(), "0x87"),
    ] {
        let (_, got) = connect(&usual, 5, &format!("client_id=c {words}"));
        assert_eq!(got, reason, "{words}");
    }
    let shown = usual.client("c").is_none();
    assert!(shown, "nobody stays");
}

#[test]
fn a_client_may_do_what_its_token_says_and_no_more() {
    let folder = folder("jwt_acl");
    let own = Pair::new(&folder, "own", "ES256");
    let (broker, _) = broker(&own.pem(), Terms::default());
    let acl = json!({ "publish": ["up/%u/#"], "subscribe": ["down/%c/+", "news"], "all": [] });
    for (acl, narrow) in [(acl, true), (json!({}), true), (Value::Null, false)] {
        let empty = acl == json!({});
        let mut all = claims(json!({}));
        if !acl.is_null() {
            all["acl"] = acl;
        }
        let token = own.token(None, &all);
        let (mut peer, got) = connect(&broker, 5, &format!("client_id=c password={token}"));
        assert_eq!(got, "0x0");
        for (filter, listed) in [
            ("down/c/x", true),
            ("news", true),
            ("down/d/x", false),
            ("down/+/x", false),
            ("#", false),
            ("up/anna/x", false),
        ] {
            let code = if narrow && (empty || !listed) {
                "0x87"
            } else {
                "0"
            };
            peer.send(&format!("SUBSCRIBE id=1 filter={filter} options=0"))
                .expect("sent");
            let expected = format!("SUBACK id=1 code={code}");
            peer.expect(&expected).expect(filter);
        }
        if narrow {
            let code = if empty { "0x87" } else { "0x10" };
            for (topic, code) in [("up/anna/x", code), ("up/ben/x", "0x87"), ("news", "0x87")] {
                peer.send(&format!("PUBLISH id=2 qos=1 topic={topic} payload=x"))
                    .expect("sent");
                let expected = format!("PUBACK id=2 reason={code}");
                peer.expect(&expected).expect(topic);
            }
        }
    }
}

#[test]
fn a_client_goes_when_its_token_expires_and_can_not_come_again_with_it() {
    let folder = folder("jwt_expiry");
    let own = Pair::new(&folder, "own", "EdDSA");
    let (broker, _) = broker(&own.pem(), Terms::default());
    let token = own.token(None, &claims(json!({ "nbf": now() - 60 })));
    let words = |id: &str| format!("client_id={id} username=anna keep_alive=0 password={token}");
    let (mut five, _) = connect(&broker, 5, &words("five"));
    let (mut old, _) = connect(&broker, 4, &words("old"));
    broker.advance(Duration::from_secs(3500));
    for peer in [&mut five, &mut old] {
        peer.send("PINGREQ").expect("sent");
        peer.expect("PINGRESP").expect("it is still there");
    }
    broker.advance(Duration::from_secs(101));
    five.expect("DISCONNECT reason=0x87").expect("told");
    for peer in [&mut five, &mut old] {
        assert!(peer.next_packet().expect("an end").is_none());
    }
    expect(&broker, &token, WRONG);
    // What was not valid yet is by now.
    let later = json!({ "nbf": now() + 3000, "exp": now() + 9000 });
    expect(&broker, &own.token(None, &claims(later)), "0");
}

#[test]
fn keys_of_a_set_are_found_by_their_kid_and_change_while_the_broker_runs() {
    let folder = folder("jwt_set");
    let file = folder.join("jwks.json");
    let (old, new) = (
        Pair::new(&folder, "old", "RS256"),
        Pair::new(&folder, "new", "ES256"),
    );
    let third = Pair::new(&folder, "third", "EdDSA");
    let write = |keys: &[Value]| {
        let unknown = json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "z", "pub": "x" });
        let all = [keys, &[unknown]].concat();
        std::fs::write(&file, json!({ "keys": all }).to_string()).expect("written");
    };
    write(&[old.jwk("a"), third.jwk("t")]);
    let (broker, step) = broker(&file, Terms::default());
    let token = |pair: &Pair, kid: Option<&str>| pair.token(kid, &claims(json!({})));
    for (token, reason) in [
        (token(&old, Some("a")), "0"),
        (token(&third, Some("t")), "0"),
        (token(&old, None), "0"),
        (token(&old, Some("t")), WRONG),
        (token(&old, Some("b")), WRONG),
        (token(&new, Some("b")), WRONG),
        (token(&new, Some("a")), WRONG),
        (token(&new, None), WRONG),
    ] {
        expect(&broker, &token, reason);
    }
    let words = format!("client_id=stays password={}", token(&old, Some("a")));
    let (mut stays, _) = connect(&broker, 5, &words);
    write(&[new.jwk("b")]);
    step.replace(step.read_again().expect("keys"), false);
    expect(&broker, &token(&new, Some("b")), "0");
    expect(&broker, &token(&old, Some("a")), WRONG);
    stays.send("PINGREQ").expect("sent");
    stays.expect("PINGRESP").expect("it stays");
    // A key for one algorithm is for no other.
    let mut only = old.jwk("a");
    only["alg"] = "RS512".into();
    write(&[only]);
    step.replace(step.read_again().expect("keys"), false);
    expect(&broker, &token(&old, Some("a")), WRONG);
    std::fs::write(&file, "{\"keys\": [{}]}").expect("written");
    step.read_again().expect_err("no keys");
}

#[test]
fn what_only_looks_like_a_token_is_a_password() {
    for (text, is) in [
        (format!("{}.x.", base64("{\"alg\":\"none\"}")), true),
        (format!("{}.x.y", base64("{\"typ\":\"JWT\"}")), false),
        (format!("{}.x", base64("{\"alg\":\"HS256\"}")), false),
        ("eyes.wide.shut".to_owned(), false),
        ("..".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(ternmq_access::jwt::is_token(text.as_bytes()), is, "{text}");
    }
}
