//! Steps of a chain: their order for each listener, and back ends that are asked by HTTP, well and not so well.

#[path = "program/back_end.rs"]
mod back_end;
mod program;
#[path = "program/server.rs"]
mod server;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use back_end::{Answer, BackEnd};
use serde_json::{Value, json};
use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::RawPeer;

const LISTENER: &str = "[[listener]]\naddress = '127.0.0.1:0'\n";

fn start(folder: &Path, config: &str) -> Server {
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    Server::start(folder)
}

fn expect(server: &Server, connect: &str, reason: &str) {
    drop(server.answer(&format!("CONNECT client_id=c {connect}"), reason));
}

/// A file of passwords with one user.
fn passwords(folder: &Path, user: &str, password: &str) {
    let made = ternmq(folder, &["passwd", "-c", "-b", "passwords", user, password]);
    assert!({ made }.output().unwrap().status.success());
}

/// What a back end of this server has counted.
fn counted(server: &Server, step: &str, result: &str) -> u64 {
    let url = format!("{}/metrics", server.http["url"].as_str().unwrap());
    let page = ureq::get(&url).call().unwrap().body_mut().read_to_string();
    let start = format!("ternmq_access_step_total{{step=\"{step}\",result=\"{result}\"}} ");
    let page = page.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

fn publish(peer: &mut RawPeer, topic: &str, reason: &str) {
    let line = format!("PUBLISH qos=1 id=1 payload=x topic={topic}");
    peer.send(&line).unwrap();
    let got = peer.expect(&format!("PUBACK id=1 reason={reason}"));
    got.unwrap_or_else(|error| panic!("{line}: {error:?}"));
}

/// By the user name: those who are let in, refused, unknown, and those about whom nobody can say anything.
fn by_name(asked: &Value) -> Answer {
    match asked["username"].as_str().unwrap_or_default() {
        "anna" if asked["password"] == "geheim" => Answer::status(204),
        "json" => Answer::json(&json!({ "result": "allow", "is_superuser": false })),
        "limited" => Answer::json(&json!({ "result": "allow", "acl": [
            { "permission": "allow", "action": "publish", "topic": "own/%c" }] })),
        "root" => Answer::json(&json!({ "result": "allow", "is_superuser": true, "acl": [] })),
        "maybe" => Answer::json(&json!({ "result": "allow", "is_superuser": "yes" })),
        "denied" => Answer::json(&json!({ "result": "deny" })),
        "other" => Answer::json(&json!({ "result": "ignore" })),
        "liar" => Answer::text(200, "<html>welcome</html>"),
        "noise" => Answer::Raw(b"\x16\x03\x01 no HTTP at all\r\n\r\n"),
        "broken" => Answer::status(503),
        "odd" => Answer::status(500),
        "halved" => Answer::text(200, "{\"result\": \"all"),
        "badacl" => Answer::json(&json!({ "result": "allow", "acl": 7 })),
        "moved" => Answer::status(302),
        "slow" => Answer::Never,
        "endless" => Answer::Endless,
        _ => Answer::status(403),
    }
}

#[test]
fn each_listener_has_its_steps_and_the_first_with_an_opinion_decides() {
    let folder = folder("steps_order");
    passwords(&folder, "other", "pw");
    let web = BackEnd::start(by_name);
    let config = format!(
        "{LISTENER}steps = ['web', 'passwords']\n{LISTENER}steps = ['passwords']\n{LISTENER}steps = []\n\
         [access]\npassword_file = 'passwords'\n\
         [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{}/user'\n",
        web.url()
    );
    let mut server = start(&folder, &config);
    let (second, third) = (server.event(), server.event());
    for (connect, reason) in [
        ("username=anna password=geheim", "0"),
        ("username=json password=x", "0"),
        ("username=denied password=x", "0x86"),
        ("username=nobody password=x", "0x86"),
        ("username=other password=pw", "0"),
        ("username=other password=x", "0x86"),
    ] {
        expect(&server, connect, reason);
    }
    let first = web.asked();
    let asked = &first[0];
    assert_eq!(
        (&asked["path"], &asked["clientid"]),
        (&"/user".into(), &"c".into())
    );
    let elsewhere = |told: &Value, connect: &str, reason: &str| {
        let address: SocketAddr = told["address"].as_str().unwrap().parse().unwrap();
        let mut peer = RawPeer::connect(address, 5).unwrap();
        peer.send(&format!("CONNECT client_id=d {connect}"))
            .unwrap();
        let got = peer.expect(&format!("CONNACK reason={reason}"));
        got.unwrap_or_else(|error| panic!("{connect}: {error:?}"));
    };
    elsewhere(&second, "username=anna password=geheim", "0x86");
    elsewhere(&second, "username=other password=pw", "0");
    // Without steps names are not looked at.
    elsewhere(&third, "username=anybody password=x", "0");
    assert_eq!(web.asked().len(), first.len(), "the others asked nobody");
    // A listener gets another list while the server runs.
    let swapped = config.replace("steps = ['web', 'passwords']", "steps = ['passwords']");
    let told = server.reload("ternmq.toml", &swapped);
    assert!(
        told.iter().any(|told| told["changed"][0] == "listener"),
        "{told:?}"
    );
    expect(&server, "username=anna password=geheim", "0x86");
    let unknown = config.replace("'web', 'pass", "'wab', 'pass");
    let told = server.reload("ternmq.toml", &unknown);
    assert!(told[0].to_string().contains("there is no step"), "{told:?}");
    expect(&server, "username=other password=pw", "0");
}

#[test]
fn what_a_back_end_grants_holds_and_no_name_gets_out_of_its_place() {
    let folder = folder("steps_http_names");
    let web = BackEnd::start(by_name);
    let step = |more: &str| {
        format!(
            "{LISTENER}[[access.step]]\nname = 'web'\nkind = 'http'\n\
             authenticate = '{}/u/${{clientid}}'\n{more}",
            web.url()
        )
    };
    let server = start(&folder, &step(""));
    let mut peer = server.answer("CONNECT client_id=c username=limited password=x", "0");
    publish(&mut peer, "own/c", "0x10");
    publish(&mut peer, "own/d", "0x87");
    let strange = "a\"}/../?x=1&y=%00#\\u0041";
    let line = ternmq_test_broker_wire::Line::of(&["CONNECT"])
        .with("client_id", strange)
        .with(
            "username",
            "a\",\"password\":\"geheim\",\"username\":\"anna",
        )
        .with("password", "x");
    let mut peer = RawPeer::connect(server.address(), 5).unwrap();
    peer.send_line(&line).unwrap();
    peer.expect("CONNACK reason=0x86").unwrap();
    let asked = web.asked().pop().unwrap();
    assert_eq!(asked["clientid"], strange);
    assert_eq!(
        asked["path"],
        "/u/a%22%7D%2F..%2F%3Fx%3D1%26y%3D%2500%23%5Cu0041"
    );
    let before = web.asked().len();
    drop(server.answer("CONNECT client_id=.. username=anna password=geheim", "0x86"));
    assert_eq!(web.asked().len(), before, "that would be another path");
    drop(server);
    let form = step("method = 'post_form'\nheaders = ['Authorization: Bearer T0KEN']\n");
    let server = start(&folder, &form);
    expect(&server, "username=a%26password=x password=x", "0x86");
    let asked = web.asked().pop().unwrap();
    assert_eq!(asked["username"], "a&password=x");
    assert_eq!(asked["authorization"], "Bearer T0KEN");
    for command in [
        &["config", "show", "-c", "ternmq.toml"][..],
        &[
            "config",
            "explain",
            "-c",
            "ternmq.toml",
            "access.step.headers",
        ],
    ] {
        let shown = ternmq(&folder, command).output().unwrap();
        let shown = format!("{shown:?}");
        assert!(
            !shown.contains("T0KEN") && shown.contains("ExitStatus(unix_wait_status(0))"),
            "{shown}"
        );
    }
}

#[test]
fn a_back_end_that_says_nothing_is_no_answer_and_the_policy_holds() {
    let folder = folder("steps_http_down");
    passwords(&folder, "slow", "pw");
    let web = BackEnd::start(by_name);
    let config = |policy: &str| {
        format!(
            "{LISTENER}steps = ['web', 'passwords']\n[http]\naddress = '127.0.0.1:0'\n\
             [access]\npassword_file = 'passwords'\n\
             [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{}/user'\n\
             timeout_ms = 300\nfailures = 0\nwhen_down = '{policy}'\n",
            web.url()
        )
    };
    let server = start(&folder, &config("deny"));
    for name in ["liar", "noise", "broken", "moved", "slow", "endless"] {
        expect(&server, &format!("username={name} password=pw"), "0x88");
    }
    assert_eq!(counted(&server, "web", "late"), 2);
    assert_eq!(counted(&server, "web", "down"), 2);
    assert_eq!(counted(&server, "web", "garbled"), 2);
    expect(&server, "username=anna password=geheim", "0");
    assert_eq!(counted(&server, "web", "allowed"), 1);
    drop(server);
    let server = start(&folder, &config("ignore"));
    expect(&server, "username=slow password=pw", "0");
    expect(&server, "username=slow password=x", "0x86");
    expect(&server, "username=liar password=pw", "0x86");
}

#[test]
fn a_back_end_that_hangs_holds_up_nobody_else() {
    let folder = folder("steps_http_hangs");
    passwords(&folder, "ben", "pw");
    // Accepts and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "shards = 1\n{LISTENER}steps = ['passwords']\n{LISTENER}steps = ['web']\n\
         [access]\npassword_file = 'passwords'\ndefault = 'allow'\n\
         [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = 'http://{0}/user'\n\
         authorise = 'http://{0}/acl'\ntimeout_ms = 60000\n",
        silent.local_addr().unwrap()
    );
    let mut server = start(&folder, &config);
    let second = server.event();
    let login = |id: &str| format!("CONNECT client_id={id} username=ben password=pw");
    let mut subscriber = server.answer(&login("s"), "0");
    subscriber
        .send("SUBSCRIBE id=1 filter=t options=0")
        .unwrap();
    subscriber.expect("SUBACK id=1 code=0").unwrap();
    let address: SocketAddr = second["address"].as_str().unwrap().parse().unwrap();
    let mut waiting = RawPeer::connect(address, 5).unwrap();
    waiting
        .send("CONNECT client_id=w username=x password=x")
        .unwrap();
    // The question is there, and is not answered.
    let (_held, _) = silent.accept().unwrap();
    let mut publisher = server.answer(&login("p"), "0");
    publish(&mut publisher, "t", "0");
    subscriber.expect("PUBLISH topic=t payload=x").unwrap();
}

#[test]
fn after_failures_in_a_row_it_is_left_alone_and_asked_again_when_it_is_back() {
    let folder = folder("steps_http_breaker");
    // A port that nobody listens on.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = format!(
        "{LISTENER}[http]\naddress = '127.0.0.1:0'\n\
         [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = 'http://{address}/user'\n\
         failures = 2\npause = 1\n"
    );
    let server = start(&folder, &config);
    let login = "username=anna password=geheim";
    for _ in 0..3 {
        expect(&server, login, "0x88");
    }
    assert_eq!(counted(&server, "web", "down"), 2);
    assert_eq!(counted(&server, "web", "not_asked"), 1);
    let _web = BackEnd::start_at(address, by_name);
    let in_time = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let mut peer = RawPeer::connect(server.address(), 5).unwrap();
        peer.send(&format!("CONNECT client_id=c {login}")).unwrap();
        match peer.expect("CONNACK reason=0") {
            Ok(_) => break,
            Err(error) => assert!(std::time::Instant::now() < in_time, "{error:?}"),
        }
    }
    expect(&server, login, "0");
}

#[test]
fn what_is_wrong_with_the_answers_for_one_client_costs_others_nothing() {
    let folder = folder("steps_http_odd");
    passwords(&folder, "odd", "pw");
    let web = BackEnd::start(|asked| match asked["path"].as_str().unwrap() {
        "/user" => by_name(asked),
        _ if asked["topic"] == "odd" => Answer::text(200, "<html>"),
        _ => Answer::status(200),
    });
    for (policy, otherwise) in [("deny", "0x88"), ("ignore", "0")] {
        let config = format!(
            "{LISTENER}steps = ['web', 'passwords']\n[http]\naddress = '127.0.0.1:0'\n\
             [access]\ndefault = 'allow'\npassword_file = 'passwords'\n\
             [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{0}/user'\nauthorise = '{0}/acl'\n\
             failures = 1\npause = 600\nwhen_down = '{policy}'\n",
            web.url()
        );
        let mut server = start(&folder, &config);
        expect(&server, "username=odd password=pw", otherwise);
        for name in ["halved", "liar"] {
            let reason = if policy == "deny" { "0x88" } else { "0x86" };
            expect(&server, &format!("username={name} password=pw"), reason);
        }
        // What it means by this is nobody's guess, whatever the policy.
        expect(&server, "username=badacl password=pw", "0x86");
        expect(&server, "username=maybe password=pw", "0x86");
        let mut anna = server.answer("CONNECT client_id=a username=anna password=geheim", "0");
        let odd = if policy == "deny" { "0x87" } else { "0x10" };
        publish(&mut anna, "odd", odd);
        publish(&mut anna, "even", "0x10");
        assert_eq!(counted(&server, "web", "garbled"), 4);
        assert_eq!(counted(&server, "web", "bad_record"), 2);
        assert_eq!(counted(&server, "web", "not_asked"), 0);
        let mut told = server.event();
        while told["what"] != "step_refused" {
            told = server.event();
        }
        let words = told["error"].as_str().unwrap();
        assert!(
            words.contains("badacl") && words.contains("`acl`"),
            "{told}"
        );
    }
}

#[test]
fn answers_are_kept_for_their_time_and_for_the_same_question_only() {
    let folder = folder("steps_http_cache");
    let web = BackEnd::start(by_name);
    let config = format!(
        "{LISTENER}[http]\naddress = '127.0.0.1:0'\n\
         [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{}/user'\n\
         cache = {{ entries = 2, time = 600 }}\n",
        web.url()
    );
    let server = start(&folder, &config);
    for (login, reason, asked) in [
        ("username=anna password=geheim", "0", 1),
        ("username=anna password=geheim", "0", 1),
        ("username=anna password=falsch", "0x86", 2),
        ("username=anna password=falsch", "0x86", 2),
        ("username=json password=x", "0", 3),
        // The third has pushed it out.
        ("username=anna password=geheim", "0", 4),
        // What is no answer is not kept.
        ("username=broken password=x", "0x88", 5),
        ("username=broken password=x", "0x88", 6),
    ] {
        expect(&server, login, reason);
        assert_eq!(web.asked().len(), asked, "{login}");
    }
    assert_eq!(counted(&server, "web", "cached"), 2);
}

#[test]
fn who_may_do_what_is_asked_too_and_a_failure_is_not_remembered() {
    let folder = folder("steps_http_acl");
    let web = BackEnd::start(|asked| match asked["topic"].as_str() {
        _ if asked["path"] == "/user" => Answer::status(204),
        Some("yes" | "by/rule") => Answer::json(&json!({ "result": "allow" })),
        Some("no") => Answer::status(403),
        Some("once") if asked["number"] == 0 => Answer::status(500),
        Some("once") => Answer::status(204),
        _ => Answer::json(&json!({ "result": "ignore" })),
    });
    let config = format!(
        "{LISTENER}[access]\nrules = 'rules'\ndefault = 'deny'\n\
         [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{0}/user'\nauthorise = '{0}/acl'\n\
         failures = 0\n",
        web.url()
    );
    std::fs::write(folder.join("rules"), "deny topic by/rule\n").unwrap();
    let server = start(&folder, &config);
    let mut peer = server.answer("CONNECT client_id=c username=anna password=x", "0");
    publish(&mut peer, "yes", "0x10");
    let asked = web.asked().pop().unwrap();
    let told =
        ["clientid", "username", "action", "topic", "qos", "retain"].map(|key| asked[key].clone());
    assert_eq!(
        told,
        ["c", "anna", "publish", "yes", "1", "false"].map(Value::from)
    );
    publish(&mut peer, "no", "0x87");
    publish(&mut peer, "by/rule", "0x87");
    publish(&mut peer, "unknown", "0x87");
    // A verdict is kept by the connection, a failure is not.
    let before = web.asked().len();
    publish(&mut peer, "yes", "0x10");
    assert_eq!(web.asked().len(), before);
    publish(&mut peer, "once", "0x87");
    publish(&mut peer, "once", "0x10");
    peer.send("SUBSCRIBE id=2 filter=yes options=1").unwrap();
    peer.expect("SUBACK id=2 code=1").unwrap();
    peer.send("SUBSCRIBE id=3 filter=# options=1").unwrap();
    peer.expect("SUBACK id=3 code=0x87").unwrap();
}

#[test]
fn a_superuser_may_do_everything_and_nobody_is_asked() {
    let folder = folder("steps_superuser");
    let web = BackEnd::start(|asked| match asked["path"].as_str().unwrap() {
        "/user" => by_name(asked),
        _ => Answer::status(403),
    });
    let config = format!(
        "{LISTENER}[access]\nrules = 'rules'\ndefault = 'deny'\n\
         [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{0}/user'\nauthorise = '{0}/acl'\n\
         failures = 0\n",
        web.url()
    );
    std::fs::write(folder.join("rules"), "deny topic #\n").unwrap();
    let server = start(&folder, &config);
    let will = "will_topic=w will_payload=x will_qos=1";
    let mut root = server.answer(
        &format!("CONNECT client_id=r username=root password=x {will}"),
        "0",
    );
    root.send("SUBSCRIBE id=2 filter=# options=1").unwrap();
    root.expect("SUBACK id=2 code=1").unwrap();
    root.send("PUBLISH qos=1 id=1 payload=x topic=a").unwrap();
    root.expect("PUBLISH topic=a payload=x").unwrap();
    root.expect("PUBACK id=1 reason=0").unwrap();
    // What is the server's own stays so.
    publish(&mut root, "$SYS/x", "0x87");
    let asked = web.asked();
    assert!(
        asked.iter().all(|asked| asked["path"] == "/user"),
        "{asked:?}"
    );
    let mut other = server.answer("CONNECT client_id=o username=json password=x", "0");
    publish(&mut other, "a", "0x87");
    other.send("SUBSCRIBE id=2 filter=# options=1").unwrap();
    other.expect("SUBACK id=2 code=0x87").unwrap();
    drop(server.answer(
        &format!("CONNECT client_id=p username=json password=x {will}"),
        "0x87",
    ));
    // What is not clear makes nobody anything.
    expect(&server, "username=maybe password=x", "0x86");
}

#[test]
fn what_a_grant_allows_holds_where_no_step_has_an_opinion() {
    let folder = folder("steps_no_opinion");
    let web = BackEnd::start(|asked| {
        match (
            asked["path"].as_str().unwrap(),
            asked["topic"].as_str().unwrap_or_default(),
        ) {
            ("/user", _) => Answer::json(&json!({ "result": "allow", "acl": {
            "publish": ["own/#"], "subscribe": ["own/#"] } })),
            (_, "own/denied") => Answer::status(403),
            (_, "own/broken") => Answer::status(500),
            _ => Answer::json(&json!({ "result": "ignore" })),
        }
    });
    let config = format!(
        "{LISTENER}[access]\nrules = 'rules'\ndefault = 'deny'\n\
         [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = '{0}/user'\nauthorise = '{0}/acl'\n\
         failures = 0\n",
        web.url()
    );
    std::fs::write(folder.join("rules"), "deny topic own/rule\n").unwrap();
    let server = start(&folder, &config);
    let connect = |topic: &str, reason: &str| {
        let will = format!("will_topic={topic} will_payload=x");
        server.answer(
            &format!("CONNECT client_id=c username=a password=x {will}"),
            reason,
        )
    };
    let mut peer = connect("own/will", "0");
    for (topic, reason) in [
        ("own/x", "0x10"),
        ("own/denied", "0x87"),
        ("own/broken", "0x87"),
        ("own/rule", "0x87"),
        ("other", "0x87"),
    ] {
        publish(&mut peer, topic, reason);
    }
    peer.send("SUBSCRIBE id=2 filter=own/x options=1").unwrap();
    peer.expect("SUBACK id=2 code=1").unwrap();
    drop(connect("own/denied", "0x87"));
    drop(connect("other", "0x87"));
}

#[test]
fn steps_that_can_not_be_meant_are_refused() {
    let folder = folder("steps_wrong");
    for (config, words) in [
        (
            "[[access.step]]\nname = 'a'\nkind = 'http'\n",
            "`authenticate` or `authorise` is missing",
        ),
        (
            "[[access.step]]\nname = 'a'\nkind = 'passwords'\n",
            "`file` is missing",
        ),
        (
            "[[access.step]]\nname = 'a'\nkind = 'certificate'\nfile = 'x'\n",
            "`file` is not for a step",
        ),
        (
            "[[access.step]]\nname = 'a b'\nkind = 'certificate'\n",
            "letters, digits",
        ),
        (
            "[[access.step]]\nname = 'a'\nkind = 'certificate'\n[[access.step]]\nname = 'a'\nkind = 'certificate'\n",
            "two steps \\\"a\\\"",
        ),
        (
            "[[access.step]]\nname = 'a'\nkind = 'http'\nauthenticate = 'http://h/${user}'\n",
            "no such placeholder",
        ),
        (
            "[[access.step]]\nname = 'a'\nkind = 'http'\nauthenticate = 'https://h/'\nca = 'none.pem'\n",
            "none.pem",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:0'\nsteps = ['x']\n",
            "there is no step",
        ),
    ] {
        std::fs::write(folder.join("wrong.toml"), config).unwrap();
        let check = ternmq(&folder, &["config", "check", "wrong.toml"])
            .output()
            .unwrap();
        let told = format!("{check:?}");
        assert!(
            !check.status.success() && told.contains(words),
            "{config}: {told}"
        );
    }
}

#[test]
fn a_chain_is_explained() {
    let folder = folder("steps_explained");
    passwords(&folder, "ben", "pw");
    let config = "[[listener]]\naddress = '127.0.0.1:1883'\nsteps = ['file', 'web']\n\
                  [[listener]]\naddress = '127.0.0.1:1884'\nsteps = ['file']\n\
                  [[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = 'http://127.0.0.1:1/'\n\
                  [[access.step]]\nname = 'file'\nkind = 'passwords'\nfile = 'passwords'\n";
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    for (words, verdict, by) in [
        ("-u ben -P pw", "allowed", "password_file"),
        ("-u ben -P x", "denied", "password_file"),
        ("-u anna -P x --offline", "depends", "step"),
        // Nobody listens there.
        ("-u anna -P x", "denied", "step"),
        (
            "-u anna -P x --listener 127.0.0.1:1884",
            "denied",
            "password_file",
        ),
    ] {
        let mut args = vec![
            "explain",
            "connect",
            "--json",
            "-c",
            "ternmq.toml",
            "-i",
            "c",
        ];
        args.extend(words.split(' '));
        let output = ternmq(&folder, &args).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&told["verdict"], &told["by"]),
            (&verdict.into(), &by.into()),
            "{told}"
        );
    }
}
