//! Keys of tokens under a URL: a real server of HTTPS, well, with other keys, away, slow, huge and lying.

#[path = "program/back_end.rs"]
mod back_end;
mod program;
#[path = "program/server.rs"]
#[allow(dead_code, reason = "other tests need all of it")]
mod server;
#[path = "../../access/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use back_end::{Answer, BackEnd};
use serde_json::{Value, json};
use server::{Server, folder, ternmq};
use support::{Pair, base64};
use ternmq_test_broker_wire::RawPeer;
use ternmq_test_certificates::authority;

const WRONG: &str = "0x86";
const NOT_NOW: &str = "0x88";

/// What is answered now.
#[derive(Clone)]
enum Now {
    Keys(Vec<Value>),
    Status(u16),
    Text(&'static str),
    Never,
    Endless,
    Huge,
}

/// Somebody who has keys, by HTTPS, and what that one answers.
struct Login {
    back_end: BackEnd,
    now: Arc<Mutex<Now>>,
}

impl Login {
    fn start(folder: &Path, keys: Vec<Value>) -> Self {
        std::fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
        let now = Arc::new(Mutex::new(Now::Keys(keys)));
        let said = now.clone();
        let own = authority().issue(&["127.0.0.1"]);
        let back_end =
            BackEnd::start_secure(&own, None, move |_| match said.lock().unwrap().clone() {
                Now::Keys(keys) => Answer::json(&json!({ "keys": keys })),
                Now::Status(status) => Answer::status(status),
                Now::Text(text) => Answer::text(200, text),
                Now::Never => Answer::Never,
                Now::Endless => Answer::Endless,
                Now::Huge => Answer::Huge(4 << 20),
            });
        Self { back_end, now }
    }

    fn says(&self, now: Now) {
        *self.now.lock().unwrap() = now;
    }

    fn looks(&self) -> usize {
        self.back_end.asked().len()
    }

    /// Looked at every hour, and for a `kid` that is not known again after `retry` seconds.
    fn config(&self, retry: u64) -> String {
        format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n[http]\naddress = '127.0.0.1:0'\n\
             [jwt]\njwks_url = '{}/jwks'\njwks_ca = 'ca.pem'\njwks_refresh = 3600\njwks_retry = {retry}\n\
             jwks_timeout_ms = 500\n",
            self.back_end.url()
        )
    }
}

fn start(folder: &Path, config: &str) -> Server {
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    Server::start(folder)
}

fn token(pair: &Pair, kid: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({ "sub": "anna", "exp": now.as_secs() + 3600 });
    pair.token(Some(kid), &claims)
}

fn reason(server: &Server, token: &str) -> String {
    let mut peer = RawPeer::connect(server.address(), 5).unwrap();
    peer.send(&format!("CONNECT client_id=c password={token}"))
        .unwrap();
    let connack = peer.next_packet().unwrap().unwrap();
    format!("{:#x}", connack.number("reason", 0))
}

fn expect(server: &Server, token: &str, expected: &str) {
    assert_eq!(reason(server, token), expected, "{token}");
}

/// Until a token is answered so: a time that the server waits for has to pass.
fn until(server: &Server, token: &str, expected: &str) {
    let in_time = Instant::now() + Duration::from_secs(30);
    while reason(server, token) != expected {
        assert!(Instant::now() < in_time, "{token}");
    }
}

fn counted(server: &Server, line: &str) -> u64 {
    let url = format!("{}/metrics", server.http["url"].as_str().unwrap());
    let page = ureq::get(&url).call().unwrap().body_mut().read_to_string();
    let page = page.unwrap();
    let start = format!("ternmq_{line} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

fn looked(server: &Server, result: &str) -> u64 {
    let line = format!("access_keys_total{{step=\"jwt\",result=\"{result}\"}}");
    counted(server, &line)
}

#[test]
fn new_keys_are_found_by_their_kid_and_old_ones_are_gone_then() {
    let folder = folder("jwks_rotation");
    let (old, new) = (
        Pair::new(&folder, "old", "RS256"),
        Pair::new(&folder, "new", "ES256"),
    );
    let login = Login::start(&folder, vec![old.jwk("a")]);
    let mut server = start(&folder, &login.config(1));
    assert_eq!(login.looks(), 1, "before it listens");
    expect(&server, &token(&old, "a"), "0x0");
    assert_eq!(login.looks(), 1, "its key is there");
    let mut stays = server.answer(
        &format!("CONNECT client_id=stays password={}", token(&old, "a")),
        "0",
    );
    login.says(Now::Keys(vec![new.jwk("b")]));
    until(&server, &token(&new, "b"), "0x0");
    expect(&server, &token(&old, "a"), WRONG);
    stays.send("PINGREQ").unwrap();
    stays.expect("PINGRESP").unwrap();
    assert_eq!(counted(&server, "access_keys{step=\"jwt\"}"), 1);
    assert!(
        counted(
            &server,
            "access_keys_total{step=\"jwt\",result=\"fetched\"}"
        ) >= 2
    );
    let told = server.event();
    assert_eq!(
        (&told["event"], &told["keys"]),
        (&"keys_changed".into(), &1.into())
    );
}

#[test]
fn tokens_that_nobody_knows_bring_one_look_and_no_more() {
    let folder = folder("jwks_rate");
    let (own, other) = (
        Pair::new(&folder, "own", "EdDSA"),
        Pair::new(&folder, "other", "EdDSA"),
    );
    let login = Login::start(&folder, vec![own.jwk("a")]);
    let server = start(&folder, &login.config(3600));
    for kid in ["b", "c", "d"] {
        expect(&server, &token(&other, kid), WRONG);
    }
    assert_eq!(login.looks(), 1);
    assert_eq!(looked(&server, "not_asked"), 3);
    // Under a kid that is known it is its signature that is wrong, which is no reason to look.
    expect(&server, &token(&other, "a"), WRONG);
    assert_eq!(looked(&server, "not_asked"), 3);
    expect(&server, &token(&own, "a"), "0x0");
}

#[test]
fn keys_hold_while_nobody_answers_or_the_answer_is_no_set_of_keys() {
    let folder = folder("jwks_down");
    let (own, other) = (
        Pair::new(&folder, "own", "EdDSA"),
        Pair::new(&folder, "other", "EdDSA"),
    );
    let login = Login::start(&folder, vec![own.jwk("a")]);
    let mut server = start(&folder, &login.config(3600));
    expect(&server, &token(&own, "a"), "0x0");
    let encryption = {
        let mut key = other.jwk("b");
        key["use"] = "enc".into();
        key
    };
    let signing = {
        let mut key = other.jwk("b");
        key["key_ops"] = json!(["sign"]);
        key
    };
    const RESULTS: [&str; 3] = ["late", "down", "garbled"];
    let mut counts = [0, 0, 0];
    for (now, result) in [
        (Now::Status(503), "down"),
        (Now::Status(302), "down"),
        (Now::Status(404), "down"),
        (Now::Never, "late"),
        (Now::Endless, "late"),
        (Now::Huge, "garbled"),
        // What could be a secret in a file is none here.
        (
            Now::Text("<html>welcome, please log in to this network</html>"),
            "garbled",
        ),
        (Now::Text(""), "garbled"),
        (Now::Text("{\"keys\": 7}"), "garbled"),
        (Now::Keys(Vec::new()), "garbled"),
        (Now::Keys(vec![encryption, signing]), "garbled"),
    ] {
        login.says(now);
        let at = RESULTS.iter().position(|known| *known == result).unwrap();
        counts[at] += 1;
        drop(server.reload("unused", ""));
        // The look is over once it is counted.
        let in_time = Instant::now() + Duration::from_secs(30);
        while RESULTS.map(|result| looked(&server, result)) != counts {
            assert!(Instant::now() < in_time, "{counts:?}");
        }
        expect(&server, &token(&own, "a"), "0x0");
        // It may have come since.
        expect(&server, &token(&other, "b"), NOT_NOW);
    }
    login.says(Now::Keys(vec![own.jwk("a"), other.jwk("b")]));
    drop(server.reload("unused", ""));
    until(&server, &token(&other, "b"), "0x0");
    expect(&server, &token(&own, "a"), "0x0");
}

#[test]
fn a_server_starts_without_its_keys_and_lets_nobody_in_until_they_are_there() {
    let folder = folder("jwks_start");
    let own = Pair::new(&folder, "own", "EdDSA");
    let login = Login::start(&folder, vec![own.jwk("a")]);
    login.says(Now::Status(500));
    let server = start(&folder, &login.config(1));
    expect(&server, &token(&own, "a"), NOT_NOW);
    login.says(Now::Keys(vec![own.jwk("a")]));
    until(&server, &token(&own, "a"), "0x0");
}

#[test]
fn keys_are_looked_at_again_after_their_time() {
    let folder = folder("jwks_refresh");
    let (old, new) = (
        Pair::new(&folder, "old", "EdDSA"),
        Pair::new(&folder, "new", "EdDSA"),
    );
    let login = Login::start(&folder, vec![old.jwk("a")]);
    let config = login.config(3600).replace("refresh = 3600", "refresh = 1");
    let server = start(&folder, &config);
    login.says(Now::Keys(vec![new.jwk("b")]));
    // No token of the new key has come.
    until(&server, &token(&old, "a"), WRONG);
    expect(&server, &token(&new, "b"), "0x0");
}

#[test]
fn whoever_is_not_who_the_url_names_has_no_keys() {
    let folder = folder("jwks_impostor");
    let own = Pair::new(&folder, "own", "EdDSA");
    let login = Login::start(&folder, vec![own.jwk("a")]);
    // By an authority that this server does not trust.
    let other = ternmq_test_certificates::Authority::new("another");
    std::fs::write(folder.join("ca.pem"), other.pem()).unwrap();
    let server = start(&folder, &login.config(3600));
    expect(&server, &token(&own, "a"), NOT_NOW);
    assert_eq!((login.looks(), looked(&server, "down")), (0, 1));
    drop(server);
    // By the right one, for another host.
    std::fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
    let elsewhere = login
        .config(3600)
        .replace("https://127.0.0.1", "https://localhost");
    let server = start(&folder, &elsewhere);
    expect(&server, &token(&own, "a"), NOT_NOW);
    assert_eq!((login.looks(), looked(&server, "down")), (0, 1));
}

#[test]
fn a_look_that_hangs_holds_up_one_token_and_nobody_else() {
    let folder = folder("jwks_hangs");
    let own = Pair::new(&folder, "own", "EdDSA");
    let (known, unknown) = (token(&own, "a"), token(&own, "b"));
    let login = Login::start(&folder, vec![own.jwk("a")]);
    let config = login
        .config(1)
        .replace("timeout_ms = 500", "timeout_ms = 60000");
    let server = start(&folder, &format!("{config}[access]\nthreads = 2\n"));
    login.says(Now::Never);
    // The first that does not come too soon has a look begin, which never ends.
    let mut waiting = Vec::new();
    while login.looks() < 2 {
        let mut peer = RawPeer::connect(server.address(), 5).unwrap();
        peer.send(&format!("CONNECT client_id=w password={unknown}"))
            .unwrap();
        waiting.push(peer);
        expect(&server, &known, "0x0");
    }
    for _ in 0..3 {
        expect(&server, &unknown, NOT_NOW);
        expect(&server, &known, "0x0");
    }
}

#[test]
fn algorithms_of_a_key_are_those_that_it_names() {
    let folder = folder("jwks_algorithms");
    let own = Pair::new(&folder, "own", "RS256");
    let mut key = own.jwk("a");
    key["alg"] = "PS256".into();
    let secret = json!({ "kty": "oct", "kid": "s", "k": base64([7; 32]), "alg": "HS512" });
    let login = Login::start(&folder, vec![key, secret]);
    let server = start(&folder, &login.config(3600));
    expect(&server, &token(&own, "a"), WRONG);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({ "sub": "anna", "exp": now.as_secs() + 3600 });
    expect(&server, &support::keyed(&folder, &[7; 32], &claims), WRONG);
}

#[test]
fn what_does_not_go_together_is_refused_and_explained() {
    let folder = folder("jwks_wrong");
    let own = Pair::new(&folder, "own", "EdDSA");
    for (config, words) in [
        (
            "[jwt]\nkeys = 'x'\njwks_url = 'https://a/'\n",
            "can't both say",
        ),
        ("[jwt]\nkeys = 'x'\njwks_ca = 'x'\n", "only for `jwks_url`"),
        ("[jwt]\njwks_url = 'ftp://a/'\n", "http:// or https://"),
        (
            "[jwt]\njwks_url = 'https://a/${username}'\n",
            "no placeholders",
        ),
        (
            "[jwt]\njwks_url = 'https://a/'\njwks_ca = 'none.pem'\n",
            "none.pem",
        ),
        (
            "[[access.step]]\nname = 'a'\nkind = 'certificate'\njwks_url = 'https://a/'\n",
            "`jwks_url` is not for a step",
        ),
    ] {
        std::fs::write(folder.join("wrong.toml"), config).unwrap();
        let check = ternmq(&folder, &["config", "check", "wrong.toml"]).output();
        let told = format!("{:?}", check.unwrap());
        assert!(
            told.contains(words) && !told.contains("ExitStatus(unix_wait_status(0))"),
            "{told}"
        );
    }
    let login = Login::start(&folder, vec![own.jwk("a")]);
    std::fs::write(folder.join("ternmq.toml"), login.config(3600)).unwrap();
    let token = token(&own, "a");
    let args = ["explain", "connect", "-i", "c", "-P", &token];
    let args = [&args[..], &["--json", "-c", "ternmq.toml"]].concat();
    let explain = || {
        let output = ternmq(&folder, &args).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(explain(), "allowed");
    login.says(Now::Status(500));
    assert_eq!(explain(), "depends");
}
