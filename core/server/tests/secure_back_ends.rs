//! Back ends that are reached by TLS: the real ones, which take nobody without it. Who has signed their
//! certificates counts, and the host that these are for.

#[path = "program/back_end.rs"]
mod back_end;
#[path = "program/databases.rs"]
#[allow(dead_code, reason = "other tests ask a directory")]
mod databases;
mod program;
#[path = "program/server.rs"]
#[allow(dead_code, reason = "other tests reload it")]
mod server;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use back_end::{Answer, BackEnd};
use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::RawPeer;
use ternmq_test_certificates::{Authority, Issued, authority};

/// The hash of `geheim`.
const BCRYPT: &str = "$2b$04$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mGC";

const IN: &str = "0";
/// The back end is away.
const OUT: &str = "0x88";

/// A folder with the authority's certificate and another one's.
fn folder_with_authorities(name: &str) -> std::path::PathBuf {
    let folder = folder(name);
    fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
    fs::write(folder.join("other.pem"), Authority::new("another").pem()).unwrap();
    folder
}

/// A certificate for 127.0.0.1 by either of its names, but not for `localhost`.
fn certificate() -> Issued {
    authority().issue(&["127.0.0.1", "::ffff:127.0.0.1"])
}

fn sql(url: &str, more: &str) -> String {
    format!(
        "kind = 'sql'\nurl = '{url}'\npassword_query = 'SELECT hash FROM users WHERE name = ${{username}}'\n{more}"
    )
}

/// With this step, `anna` is answered so; and what is said of the step, if it fails.
fn answers(folder: &Path, step: &str, reason: &str, words: &str) {
    let config = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[[access.step]]\nname = 'data'\ntimeout_ms = 20000\nfailures = 1\n{step}"
    );
    fs::write(folder.join("ternmq.toml"), config).unwrap();
    let mut server = Server::start(folder);
    server.answer("CONNECT client_id=c username=anna password=geheim", reason);
    if reason != OUT {
        return;
    }
    let mut told = server.event();
    while told["event"] != "warning" {
        told = server.event();
    }
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains(words), "{step}: {told}, not {words}");
    assert!(!told.to_string().contains("geheim"), "{told}");
}

const UNKNOWN: &str = "UnknownIssuer";
const OTHER_NAME: &str = "certificate not valid for name";

#[test]
fn postgres_shows_a_certificate_for_its_host() {
    let folder = folder_with_authorities("tls_postgres");
    let base = databases::postgres(&folder, Some(&certificate()));
    base.run("CREATE TABLE users (name TEXT, hash TEXT)");
    base.run(&format!("INSERT INTO users VALUES ('anna', '{BCRYPT}')"));
    let near = &*base.url;
    // The same server, which does not look like one of this machine.
    let far = near.replace("127.0.0.1", "[::ffff:127.0.0.1]");
    let name = near.replace("127.0.0.1", "localhost");
    let (ca, other) = ("ca = 'ca.pem'\n", "ca = 'other.pem'\n");
    for (url, more, reason, words) in [
        // On this machine any will do.
        (near, "", IN, ""),
        (near, ca, IN, ""),
        (near, other, OUT, UNKNOWN),
        (&*far, "", OUT, UNKNOWN),
        (&far, ca, IN, ""),
        (&far, other, OUT, UNKNOWN),
        (&format!("{far}?sslmode=require"), "", IN, ""),
        (&format!("{near}?sslmode=disable"), "", OUT, "28000"),
        (&name, ca, OUT, OTHER_NAME),
        (&format!("{name}?sslmode=verify-ca"), ca, IN, ""),
        (&format!("{name}?sslmode=verify-ca"), other, OUT, UNKNOWN),
    ] {
        answers(&folder, &sql(url, more), reason, words);
    }
}

#[test]
fn mariadb_shows_a_certificate_for_its_host() {
    let folder = folder_with_authorities("tls_mariadb");
    let base = databases::mariadb(&folder, Some(&certificate()));
    base.run("CREATE TABLE users (name VARCHAR(100), hash VARCHAR(300))");
    base.run(&format!("INSERT INTO users VALUES ('anna', '{BCRYPT}')"));
    let by_tls = "AND (SELECT LENGTH(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS \
                  WHERE VARIABLE_NAME = \"Ssl_cipher\") > 0";
    let near = &*base.url;
    let far = near.replace("127.0.0.1", "[::ffff:127.0.0.1]");
    let name = near.replace("127.0.0.1", "localhost");
    let (ca, other) = ("ca = 'ca.pem'\n", "ca = 'other.pem'\n");
    for (url, more, reason, words) in [
        (near, "", IN, ""),
        (near, ca, IN, ""),
        (near, other, OUT, UNKNOWN),
        (&*far, "", OUT, UNKNOWN),
        (&far, ca, IN, ""),
        (&far, other, OUT, UNKNOWN),
        (&format!("{far}?ssl-mode=REQUIRED"), "", IN, ""),
        // Where nobody is asked for a password nobody is asked for TLS: it says whether there is.
        (&format!("{near}?ssl-mode=DISABLED"), "", "0x86", ""),
        (&name, ca, OUT, OTHER_NAME),
        (&format!("{name}?ssl-mode=VERIFY_CA"), ca, IN, ""),
        (&format!("{name}?ssl-mode=VERIFY_CA"), other, OUT, UNKNOWN),
    ] {
        let step = sql(url, more).replace("${username}", &format!("${{username}} {by_tls}"));
        answers(&folder, &step, reason, words);
    }
    answers(&folder, &sql(near, ""), IN, "");
    only_the_server_speaks(&folder);
}

/// What libraries have to say may quote what they are asked, and is limited by nobody.
fn only_the_server_speaks(folder: &Path) {
    let log = folder.join("log-of-ternmq");
    let mut server = ternmq(folder, &["serve", "--config", "ternmq.toml"])
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    let port = said.trim_end().rsplit(':').next().unwrap();
    let mut peer = RawPeer::connect(([127, 0, 0, 1], port.parse().unwrap()).into(), 5).unwrap();
    peer.send("CONNECT client_id=c username=anna password=geheim")
        .unwrap();
    peer.expect("CONNACK").unwrap();
    let stop = Command::new("kill").arg(server.id().to_string()).status();
    assert!(stop.unwrap().success() && server.wait().is_ok());
    let lines = fs::read_to_string(log).unwrap();
    assert!(lines.contains("client \"c\""), "{lines}");
    assert!(!lines.contains("DEBUG"), "{lines}");
}

/// Nobody is told a password who has no certificate.
#[test]
fn a_data_base_without_tls_is_none_that_is_far_away() {
    let folder = folder_with_authorities("no_tls");
    let bases = [
        (databases::postgres(&folder, None), "sslmode=disable"),
        (databases::mariadb(&folder, None), "ssl-mode=DISABLED"),
    ];
    for (base, without) in &bases {
        base.run("CREATE TABLE users (name VARCHAR(100), hash VARCHAR(300))");
        base.run(&format!("INSERT INTO users VALUES ('anna', '{BCRYPT}')"));
        let far = base.url.replace("127.0.0.1", "[::ffff:127.0.0.1]");
        let none = "does not support TLS";
        answers(&folder, &sql(&far, ""), OUT, none);
        answers(&folder, &sql(&base.url, "ca = 'ca.pem'\n"), OUT, none);
        answers(&folder, &sql(&format!("{far}?{without}"), ""), IN, "");
        answers(&folder, &sql(&base.url, ""), IN, "");
    }
}

#[test]
fn redis_shows_a_certificate_for_its_host() {
    let folder = folder_with_authorities("tls_redis");
    let base = databases::redis(&folder, Some(&certificate()));
    base.run(&format!("HSET user:anna password_hash {BCRYPT}"));
    let name = base.url.replace("127.0.0.1", "localhost");
    let plain = base.url.replace("rediss:", "redis:");
    for (url, more, reason, words) in [
        (&base.url, "ca = 'ca.pem'\n", IN, ""),
        (&base.url, "ca = 'other.pem'\n", OUT, UNKNOWN),
        (&base.url, "", OUT, UNKNOWN),
        (&name, "ca = 'ca.pem'\n", OUT, OTHER_NAME),
        (&plain, "", OUT, ""),
    ] {
        let step =
            format!("kind = 'redis'\nurl = '{url}'\nuser_key = 'user:${{username}}'\n{more}");
        answers(&folder, &step, reason, words);
    }
}

#[test]
fn who_is_asked_by_https_shows_a_certificate_for_its_host() {
    let folder = folder_with_authorities("tls_http");
    let asked = BackEnd::start_secure(&certificate(), None, |_| Answer::status(200));
    let url = format!("{}/", asked.url());
    let name = url.replace("127.0.0.1", "localhost");
    for (url, more, reason, words) in [
        (&url, "ca = 'ca.pem'\n", IN, ""),
        (&url, "ca = 'other.pem'\n", OUT, UNKNOWN),
        (&url, "", OUT, UNKNOWN),
        (&name, "ca = 'ca.pem'\n", OUT, OTHER_NAME),
        (&url.replace("https:", "http:"), "", OUT, ""),
    ] {
        let step = format!("kind = 'http'\nauthenticate = '{url}'\n{more}");
        answers(&folder, &step, reason, words);
    }
}

#[test]
fn a_file_of_certificates_that_is_of_no_use_is_told_of() {
    let folder = folder_with_authorities("tls_wrong");
    fs::write(folder.join("none.pem"), "no certificate").unwrap();
    let redis = |url: &str, ca: &str| {
        format!("kind = 'redis'\nurl = '{url}'\nuser_key = 'a'\nca = '{ca}'\n")
    };
    let with = |url: &str, ca: &str| sql(url, &format!("ca = '{ca}'\n"));
    for (step, words) in [
        (
            with("postgres://h/b", "none.pem"),
            "none.pem: there is no certificate in it",
        ),
        (with("mysql://h/b", "missing.pem"), "missing.pem: "),
        (
            with("postgres://h/b?sslmode=require", "ca.pem"),
            "`ca` means nothing with this `sslmode`",
        ),
        (with("sqlite::memory:", "ca.pem"), "`ca` is for PostgreSQL"),
        (
            redis("rediss://h/", "none.pem"),
            "none.pem: there is no certificate in it",
        ),
        (redis("redis://h/", "ca.pem"), "`ca` is for rediss://"),
        (
            redis("rediss://h/#insecure", "ca.pem"),
            "`access.step[0].url`",
        ),
    ] {
        let config = format!("[[access.step]]\nname = 'data'\n{step}");
        fs::write(folder.join("ternmq.toml"), config).unwrap();
        let checked = ternmq(&folder, &["config", "check", "ternmq.toml"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned()
            + &String::from_utf8_lossy(&checked.stdout);
        assert!(
            !checked.status.success() && said.contains(words),
            "{step}{said}"
        );
    }
}
