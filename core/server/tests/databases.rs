//! Data bases that know clients: the real ones, well, away, silent and garbled.

#[path = "program/databases.rs"]
#[allow(dead_code, reason = "other tests ask a directory")]
mod databases;
mod program;
#[path = "program/server.rs"]
#[allow(dead_code, reason = "other tests reload it")]
mod server;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use databases::DataBase;
use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::{Line, RawPeer};

const TABLES: &str = "\
CREATE TABLE users (name VARCHAR(100), client VARCHAR(100), hash VARCHAR(300), \
    is_superuser BOOLEAN, number INTEGER, word VARCHAR(9));
CREATE TABLE acl (id INTEGER, name VARCHAR(100), permission VARCHAR(9), action VARCHAR(9), topic VARCHAR(99));
";

/// Hashes in the formats of files of passwords; all are of the password `geheim`.
fn rows(folder: &Path) -> String {
    let hash = |flags: &[&str]| {
        let mut args = vec!["passwd", "-c", "-b"];
        args.extend(flags);
        args.extend(["pw", "u", "geheim"]);
        assert!(ternmq(folder, &args).output().unwrap().status.success());
        let text = std::fs::read_to_string(folder.join("pw")).unwrap();
        std::fs::remove_file(folder.join("pw")).unwrap();
        text.trim_end().split_once(':').unwrap().1.to_owned()
    };
    let argon2 = hash(&[]);
    let bcrypt = "$2b$04$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mGC";
    let pbkdf2 = "$pbkdf2-sha512$7$trb2vtd6j9H6P.ec8x6DUA$fjUR3MRp26GGJUvUd0DKTIur1dOkQBSBEPJ0aGHcXlFgEOGuvbMl/\
                  pWUpWYKz8DNEf2Ssmsi4phoBidgBt6UTw";
    format!(
        "INSERT INTO users VALUES ('anna', 'c', '{argon2}', NULL, NULL, NULL), \
         ('ben', 'c', '{bcrypt}', FALSE, 0, 'false'), ('carl', 'c', '{pbkdf2}', NULL, NULL, NULL), \
         ('dora', 'c', NULL, TRUE, 1, 'true'), ('emil', 'c', 'geheim', TRUE, 1, 'true'), \
         ('root', 'c', '{bcrypt}', TRUE, 1, 'true'), ('odd', 'c', '{bcrypt}', FALSE, 7, 'yes');
         INSERT INTO acl VALUES (1, 'anna', 'deny', 'publish', 'own/%u/secret'), \
         (2, 'anna', 'allow', 'all', 'own/%u/#'), (3, 'ben', 'allow', 'sometimes', 'x');"
    )
}

fn config(url: &str, more: &str) -> String {
    format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[[access.step]]\nname = 'data'\nkind = 'sql'\nurl = '{url}'\n\
         password_query = 'SELECT hash FROM users WHERE name = ${{username}} AND client = ${{clientid}}'\n\
         acl_query = 'SELECT permission, action, topic FROM acl WHERE name = ${{username}} ORDER BY id'\n{more}"
    )
}

fn start(folder: &Path, config: &str) -> Server {
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    Server::start(folder)
}

fn answer(server: &Server, id: &str, user: &str, password: &str, reason: &str) -> RawPeer {
    let connect = Line::of(&["CONNECT"])
        .with("client_id", id)
        .with("username", user)
        .with("password", password);
    let mut peer = RawPeer::connect(server.address(), 5).unwrap();
    peer.send_line(&connect).unwrap();
    let got = peer.expect(&format!("CONNACK reason={reason}"));
    got.unwrap_or_else(|error| panic!("{id} {user} {password}: {error:?}"));
    peer
}

fn publish(peer: &mut RawPeer, topic: &str, reason: &str) {
    peer.send(&format!("PUBLISH qos=1 id=1 payload=x topic={topic}"))
        .unwrap();
    let got = peer.expect(&format!("PUBACK id=1 reason={reason}"));
    got.unwrap_or_else(|error| panic!("{topic}: {error:?}"));
}

/// What every data base has to do.
fn knows_its_users(folder: &Path, url: &str) {
    let server = start(folder, &config(url, "failures = 0\n"));
    for (user, password, reason) in [
        ("ben", "geheim", "0"),
        ("carl", "geheim", "0"),
        ("anna", "Geheim", "0x86"),
        ("anna", "", "0x86"),
        ("nobody", "geheim", "0x86"),
        // No hash, and something that is none.
        ("dora", "geheim", "0x86"),
        ("emil", "geheim", "0x86"),
    ] {
        drop(answer(&server, "c", user, password, reason));
    }
    for evil in [
        "' OR 1=1 --",
        "c' OR '1'='1",
        "\\' OR 1=1 -- ",
        "'; DROP TABLE users; --",
        "c\" OR \"\"=\"",
        "${username}",
        "$1",
        "?",
        "c/**/",
        "%",
        "_",
    ] {
        drop(answer(&server, evil, "anna", "geheim", "0x86"));
        drop(answer(&server, "c", evil, "geheim", "0x86"));
        drop(answer(&server, "c", "anna", evil, "0x86"));
    }
    // All tables are there.
    let mut anna = answer(&server, "c", "anna", "geheim", "0");
    publish(&mut anna, "own/anna/x", "0x10");
    publish(&mut anna, "own/anna/secret", "0x87");
    publish(&mut anna, "own/ben/x", "0x87");
    anna.send("SUBSCRIBE id=2 filter=own/anna/# options=1")
        .unwrap();
    anna.expect("SUBACK id=2 code=1").unwrap();
    anna.send("SUBSCRIBE id=3 filter=own/# options=1").unwrap();
    anna.expect("SUBACK id=3 code=0x87").unwrap();
    // A rule that can't be understood allows nothing.
    let mut ben = answer(&server, "c", "ben", "geheim", "0");
    publish(&mut ben, "x", "0x87");
    let shown = ternmq(folder, &["config", "show", "-c", "ternmq.toml"])
        .output()
        .unwrap();
    let shown = format!("{shown:?}");
    assert!(
        shown.contains("password_query") && !shown.contains(url),
        "{shown}"
    );
}

/// Whoever is a superuser may do everything, in whatever type the data base says so.
fn knows_its_superusers(folder: &Path, url: &str) {
    for column in ["is_superuser", "number", "word"] {
        let config = config(url, "failures = 0\n");
        let config = config.replace(
            "SELECT hash",
            &format!("SELECT hash, {column} AS is_superuser"),
        );
        let server = start(folder, &config);
        let mut root = answer(&server, "c", "root", "geheim", "0");
        publish(&mut root, "own/anna/secret", "0x10");
        root.send("SUBSCRIBE id=2 filter=# options=1").unwrap();
        root.expect("SUBACK id=2 code=1").unwrap();
        drop(answer(&server, "c", "root", "falsch", "0x86"));
        for user in ["anna", "carl"] {
            let mut other = answer(&server, "c", user, "geheim", "0");
            publish(&mut other, "elsewhere", "0x87");
        }
        let odd = if column == "is_superuser" {
            "0"
        } else {
            "0x86"
        };
        drop(answer(&server, "c", "odd", "geheim", odd));
    }
}

fn fill(base: &DataBase, folder: &Path) {
    let text = format!("{TABLES}{}", rows(folder));
    base.run(&text);
}

#[test]
fn postgresql_knows_its_users() {
    let folder = folder("sql_postgres");
    let base = databases::postgres(&folder, None);
    fill(&base, &folder);
    knows_its_users(&folder, &base.url);
    knows_its_superusers(&folder, &base.url);
    // Another password, so that the data base refuses.
    let wrong = base.url.replace("geheim", "falsch");
    let server = start(&folder, &config(&wrong, ""));
    drop(answer(&server, "c", "anna", "geheim", "0x88"));
    drop(server);
    let server = start(&folder, &config(&base.url, "failures = 0\n"));
    drop(answer(&server, "c", "anna", "geheim", "0"));
    drop(base);
    drop(answer(&server, "c", "anna", "geheim", "0x88"));
}

#[test]
fn mariadb_knows_its_users() {
    let folder = folder("sql_mariadb");
    let base = databases::mariadb(&folder, None);
    fill(&base, &folder);
    knows_its_users(&folder, &base.url);
    knows_its_superusers(&folder, &base.url);
}

#[test]
fn sqlite_knows_its_users() {
    let folder = folder("sql_sqlite");
    let url = databases::sqlite(&folder, &format!("{TABLES}{}", rows(&folder)));
    knows_its_users(&folder, &url);
    knows_its_superusers(&folder, &url);
    let server = start(&folder, &config("sqlite:none/none.db", ""));
    drop(answer(&server, "c", "anna", "geheim", "0x88"));
}

#[test]
fn a_data_base_that_is_silent_or_garbled_is_no_answer() {
    let folder = folder("sql_silent");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbled = TcpListener::bind("127.0.0.1:0").unwrap();
    let noise = garbled.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in garbled.incoming() {
            // The client may leave at any time.
            let _ = stream.unwrap().write_all(&[0x5a; 4096]);
        }
    });
    for kind in ["postgres", "mysql"] {
        for address in [silent.local_addr().unwrap(), noise] {
            let url = format!("{kind}://a:geheim@{address}/t");
            let more = "timeout_ms = 300\nfailures = 0\n";
            let server = start(&folder, &config(&url, more));
            drop(answer(&server, "c", "anna", "geheim", "0x88"));
            drop(answer(&server, "c", "anna", "geheim", "0x88"));
        }
    }
}

#[test]
fn redis_knows_its_users_and_no_name_leaves_its_key() {
    let folder = folder("redis_users");
    let base = databases::redis(&folder, None);
    let bcrypt = "$2b$04$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mGC";
    base.run(&format!("HSET mqtt:user:ben password_hash {bcrypt}"));
    base.run(&format!("HSET other password_hash {bcrypt}"));
    base.run("HSET mqtt:user:emil password_hash geheim");
    base.run("SET mqtt:user:text x");
    base.run(&format!(
        "HSET mqtt:user:root password_hash {bcrypt} is_superuser 1"
    ));
    base.run(&format!(
        "HSET mqtt:user:odd password_hash {bcrypt} is_superuser yes"
    ));
    base.run("HSET mqtt:acl:ben own/%u/# publish news/+ subscribe");
    let config = |url: &str| {
        format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n[[access.step]]\nname = 'data'\nkind = 'redis'\n\
             url = '{url}'\nuser_key = 'mqtt:user:${{username}}'\nacl_key = 'mqtt:acl:${{username}}'\n\
             failures = 0\ntimeout_ms = 500\n"
        )
    };
    let server = start(&folder, &config(&base.url));
    for (user, password, reason) in [
        ("ben", "Geheim", "0x86"),
        ("anna", "geheim", "0x86"),
        ("ben\r\nHGET other password_hash", "geheim", "0x86"),
        ("*", "geheim", "0x86"),
        ("emil", "geheim", "0x86"),
        ("text", "geheim", "0x86"),
        ("odd", "geheim", "0x86"),
    ] {
        drop(answer(&server, "c", user, password, reason));
    }
    let mut ben = answer(&server, "c", "ben", "geheim", "0");
    publish(&mut ben, "own/ben/x", "0x10");
    publish(&mut ben, "news/x", "0x87");
    let mut root = answer(&server, "r", "root", "geheim", "0");
    publish(&mut root, "news/y", "0x10");
    ben.send("SUBSCRIBE id=2 filter=news/x options=1").unwrap();
    ben.expect("SUBACK id=2 code=1").unwrap();
    ben.send("SUBSCRIBE id=3 filter=news/# options=1").unwrap();
    ben.expect("SUBACK id=3 code=0x87").unwrap();
    // Connections that the server ends are made again.
    let url = base.url.clone();
    base.run("CLIENT KILL TYPE normal SKIPME yes");
    drop(answer(&server, "c", "ben", "geheim", "0"));
    drop(base);
    drop(answer(&server, "c", "ben", "geheim", "0x88"));
    drop(server);
    let port = url.rsplit([':', '/']).nth(1).unwrap().to_owned();
    let _silent = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let server = start(&folder, &config(&url));
    drop(answer(&server, "c", "ben", "geheim", "0x88"));
    let shown = Command::new(program::program())
        .args(["config", "show", "-c", "ternmq.toml"])
        .current_dir(&folder)
        .output();
    let shown = format!("{:?}", shown.unwrap());
    assert!(
        shown.contains("user_key") && !shown.contains("geheim"),
        "{shown}"
    );
}

/// More logins and wishes of clients with bad records than failures would be borne; `ben` still comes in.
fn bad_records_cost_others_nothing(folder: &Path, config: &str, users: &[&str], ben: &str) {
    for policy in ["deny", "ignore"] {
        let config = format!(
            "{config}failures = 2\nwhen_down = '{policy}'\n[http]\naddress = '127.0.0.1:0'\n"
        );
        let mut server = start(folder, &config);
        for user in users {
            for _ in 0..3 {
                drop(answer(&server, "c", user, "geheim", "0x86"));
                let mut told = server.event();
                while told["event"] != "warning" {
                    told = server.event();
                }
                assert_eq!(told["what"], "step_refused");
                let words = told["error"].as_str().unwrap();
                assert!(words.contains(&format!("user {user:?}")), "{told}");
                assert!(!words.contains("geheim"), "{told}");
            }
        }
        let mut peer = answer(&server, "c", "ben", ben, "0");
        for topic in ["a", "b", "d"] {
            publish(&mut peer, topic, "0x87");
        }
        drop(answer(&server, "c", "ben", ben, "0"));
        let url = format!("{}/metrics", server.http["url"].as_str().unwrap());
        let page = ureq::get(&url).call().unwrap().body_mut().read_to_string();
        let page = page.unwrap();
        let bad = users.len() * 3 + 3;
        for line in [
            &*format!("access_step_total{{step=\"data\",result=\"bad_record\"}} {bad}\n"),
            "access_step_total{step=\"data\",result=\"garbled\"} 0\n",
            "access_step_total{step=\"data\",result=\"down\"} 0\n",
            "access_step_left_alone{step=\"data\"} 0\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
    }
}

#[test]
fn bad_records_of_a_data_base_are_no_failure_of_it() {
    let folder = folder("sql_bad_records");
    let blob = "INSERT INTO users (name, client, hash) VALUES ('fay', 'c', x'ff00');";
    let url = databases::sqlite(&folder, &format!("{TABLES}{}{blob}", rows(&folder)));
    bad_records_cost_others_nothing(&folder, &config(&url, ""), &["emil", "fay"], "geheim");
}

#[test]
fn bad_records_of_redis_are_no_failure_of_it() {
    let folder = folder("redis_bad_records");
    let base = databases::redis(&folder, None);
    let bcrypt = "$2b$04$IO11Rm6w1/Rlqc0Z59HakOqlrpx8NzPjo8CipUEmOlEWWsPAU6mGC";
    base.run(&format!("HSET user:ben password_hash {bcrypt}"));
    base.run("HSET user:emil password_hash geheim");
    base.run("SET user:text x");
    base.run("HSET acl:ben x sometimes");
    let config = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[[access.step]]\nname = 'data'\nkind = 'redis'\n\
         url = '{}'\nuser_key = 'user:${{username}}'\nacl_key = 'acl:${{username}}'\n",
        base.url
    );
    bad_records_cost_others_nothing(&folder, &config, &["emil", "text"], "geheim");
}
