//! The step "certificate" of an access chain: who has shown by one who it is comes in, under which name, and
//! who only seems to.

mod program;
#[path = "program/server.rs"]
#[allow(dead_code, reason = "only its folders and its command")]
mod server;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ternmq_client::blocking::Client;
use ternmq_client::tls::{Identity, Roots, TlsOptions};
use ternmq_client::{ConnectOptions, ProtocolVersion, Publish, QoS};
use ternmq_test_certificates::{Authority, Issued, authority, expired, not_yet_valid, self_signed};

use crate::server::{folder, ternmq};

/// A server whose log is in a file, and its URLs in the order of its listeners.
struct Logged {
    child: Child,
    urls: Vec<String>,
    folder: std::path::PathBuf,
}

impl Logged {
    /// With these listeners, which ask for certificates, and a file of passwords that knows `anna`.
    fn start(name: &str, clients: &Authority, listeners: &[&str]) -> Self {
        let folder = folder(name);
        authority().issue(&["127.0.0.1"]).write(&folder, "server");
        fs::write(folder.join("clients.pem"), clients.pem()).unwrap();
        let args = ["passwd", "-c", "-b", "staff.pw", "anna", "geheim"];
        assert!(ternmq(&folder, &args).output().unwrap().status.success());
        let mut config =
            "[access]\nrules = 'rules'\n[[access.step]]\nname = 'shown'\nkind = 'certificate'\n\
                          [[access.step]]\nname = 'staff'\nkind = 'passwords'\nfile = 'staff.pw'\n"
                .to_owned();
        fs::write(folder.join("rules"), "allow publish topic own/%u/#\n").unwrap();
        for lines in listeners {
            config += &format!(
                "[[listener]]\ntype = 'tls'\naddress = '127.0.0.1:0'\nanonymous = false\ncertificate = 'server.pem'\n\
                 key = 'server.key'\nclient_ca = 'clients.pem'\n{lines}\n"
            );
        }
        fs::write(folder.join("ternmq.toml"), config).unwrap();
        let mut child = ternmq(&folder, &["serve", "--config", "ternmq.toml"])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let urls = (0..listeners.len()).map(|_| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix("listening on ").unwrap().to_owned()
        });
        Self {
            urls: urls.collect(),
            child,
            folder,
        }
    }

    /// Connects by the listener at this place.
    fn connect(
        &self,
        at: usize,
        issued: Option<&Issued>,
        name: Option<(&str, &str)>,
    ) -> Result<Client, String> {
        let tls = TlsOptions {
            roots: vec![Roots::Pem(authority().pem().into())],
            identity: issued.map(|it| Identity::pem(it.chain.clone(), it.key.clone())),
            ..TlsOptions::default()
        };
        let options = ConnectOptions::from_uri(&self.urls[at]).unwrap();
        let mut options = options
            .version(ProtocolVersion::V5_0)
            .connect_timeout(Duration::from_secs(20))
            .tls(&tls)
            .unwrap();
        if let Some((user, password)) = name {
            options.session.user_name = Some(user.to_owned());
            options.session.password = Some(password.into());
        }
        Client::connect(options).map_err(|error| error.to_string())
    }

    /// Its log, when it has ended.
    fn log(mut self) -> String {
        let pid = self.child.id().to_string();
        let stop = Command::new("kill").arg(pid).status();
        assert!(stop.unwrap().success());
        self.child.wait().unwrap();
        fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const BOTH: &str = "steps = ['shown', 'staff']";
const OPTIONAL: &str = "client_certificates = 'optional'\nsteps = ['shown', 'staff']";

fn may(client: &Client, topic: &str) -> bool {
    client
        .publish(Publish::new(topic, "x").qos(QoS::AtLeastOnce))
        .is_ok()
}

#[test]
fn who_has_shown_a_certificate_needs_no_password_and_nobody_else_comes_in_by_it() {
    let clients = Authority::new("clients");
    let server = Logged::start("step", &clients, &[OPTIONAL, BOTH]);
    let known = clients.client("thermometer");
    for at in [0, 1] {
        let client = server.connect(at, Some(&known), None).unwrap();
        assert!(may(&client, "own/thermometer/x") && !may(&client, "own/anna/x"));
        // What it calls itself besides, and a wrong password, mean nothing.
        let client = server
            .connect(at, Some(&known), Some(("anna", "wrong")))
            .unwrap();
        assert!(may(&client, "own/thermometer/x") && !may(&client, "own/anna/x"));
    }
    // Without one the next step is asked.
    let anna = server.connect(0, None, Some(("anna", "geheim"))).unwrap();
    assert!(may(&anna, "own/anna/x") && !may(&anna, "own/thermometer/x"));
    for (name, words) in [
        (Some(("anna", "wrong")), "0x86"),
        (Some(("thermometer", "")), "0x86"),
        (None, "0x87"),
    ] {
        let refused = server.connect(0, None, name).map(drop).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    let refused = server
        .connect(1, None, Some(("anna", "geheim")))
        .map(drop)
        .unwrap_err();
    assert!(refused.contains("certificate required"), "{refused}");
}

/// None of these is anybody's, whether a certificate is wanted or only welcome, and with a right password too.
#[test]
fn a_certificate_that_does_not_hold_is_refused_and_no_step_is_asked() {
    let clients = Authority::new("clients");
    let server = Logged::start("step_wrong", &clients, &[OPTIONAL, BOTH]);
    let strangers = Authority::new("strangers");
    // By the name of the authority itself, but not by its key.
    let impostors = Authority::new("clients");
    for (issued, words) in [
        (self_signed("thermometer"), "unknown ca"),
        (strangers.client("thermometer"), "unknown ca"),
        (impostors.client("thermometer"), ""),
        (
            clients.issue_with("thermometer", &[], expired),
            "certificate expired",
        ),
        (
            clients.issue_with("thermometer", &[], not_yet_valid),
            "certificate",
        ),
    ] {
        for at in [0, 1] {
            let name = Some(("anna", "geheim"));
            let refused = server
                .connect(at, Some(&issued), name)
                .map(drop)
                .unwrap_err();
            assert!(
                refused.contains("refused TLS") && refused.contains(words),
                "{refused}"
            );
        }
    }
    server.connect(0, None, Some(("anna", "geheim"))).unwrap();
    let log = server.log();
    assert!(!log.contains("thermometer"), "{log}");
}

#[test]
fn the_name_in_a_certificate_that_counts_is_the_one_that_its_listener_maps() {
    let clients = Authority::new("clients");
    let kinds = ["cn", "dn", "dns", "email", "uri", "none"];
    let lines = kinds.map(|kind| format!("identity = '{kind}'\n{BOTH}"));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let server = Logged::start("step_names", &clients, &lines);
    let (many, few) = (
        clients.many_names("thermometer"),
        clients.client("thermometer"),
    );
    for at in 0..5 {
        server.connect(at, Some(&many), None).unwrap();
    }
    // Who has no such name is nobody.
    for at in 2..5 {
        let refused = server.connect(at, Some(&few), None).map(drop).unwrap_err();
        assert!(refused.contains("0x87"), "{refused}");
    }
    // Where a certificate is no name, it is none of a user either.
    let refused = server.connect(5, Some(&many), None).map(drop).unwrap_err();
    assert!(refused.contains("0x87"), "{refused}");
    server
        .connect(5, Some(&many), Some(("anna", "geheim")))
        .unwrap();
    let log = server.log();
    for name in [
        "thermometer",
        "CN=thermometer,O=Example",
        "t.example",
        "t@example",
        "spiffe://example/t",
        "anna",
    ] {
        let line = format!(" connected from 127.0.0.1 as {name:?}");
        assert_eq!(log.matches(&line).count(), 1, "{name}: {log}");
    }
}
