//! The command over TLS, WebSockets and Unix sockets, as its flags and its file say it.

mod program;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use ternmq_test_certificates::{Authority, authority, numbered};

use crate::program::program;

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<std::process::ChildStderr>,
    urls: Vec<String>,
}

impl Server {
    fn start(config: &Path, listeners: usize) -> Self {
        let mut child = ternmq(&["serve", "--config", config.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let urls = (0..listeners)
            .map(|_| {
                let line = line(&mut stdout);
                line.strip_prefix("listening on ")
                    .expect("a URL")
                    .to_owned()
            })
            .collect();
        Self {
            child,
            stdout,
            stderr,
            urls,
        }
    }

    /// What it says to SIGHUP, to the line that holds this.
    fn hang_up(&mut self, until: &str) -> String {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(sent.unwrap().success());
        let mut said = String::new();
        while !said.contains(until) {
            said += &line(&mut self.stderr);
        }
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn ternmq(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(args)
        .env_remove("TERNMQ_PASSWORD")
        .stdin(Stdio::null());
    command
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Publishes a retained message and reads it back.
fn round_trip(args: &[&str]) -> Result<(), String> {
    let both: [&[&str]; 2] = [
        &["pub", "-t", "here", "-m", "there", "-r", "-q", "1"],
        &["sub", "-t", "here", "-C", "1", "-W", "20"],
    ];
    let mut last = None;
    for which in both {
        let output: Output = ternmq(which).args(args).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        last = Some(output.stdout);
    }
    assert_eq!(last.as_deref(), Some(&b"there\n"[..]));
    Ok(())
}

/// A server with a listener of every type, and one that asks for certificates; its folder.
fn everywhere(name: &str) -> (Server, PathBuf) {
    let folder = folder(name);
    let at = |name: &str| path(&folder, name);
    authority()
        .issue(&["localhost", "127.0.0.1"])
        .write(&folder, "server");
    let clients = Authority::new("clients");
    clients.client("thermometer").write(&folder, "client");
    std::fs::write(at("ca.pem"), authority().pem()).unwrap();
    std::fs::write(at("clients.pem"), clients.pem()).unwrap();
    let tls = format!(
        "certificate = '{}'\nkey = '{}'",
        at("server.pem"),
        at("server.key")
    );
    let address = "address = '127.0.0.1:0'";
    let config = format!(
        "[[listener]]\ntype = 'tls'\n{address}\n{tls}\n\
         [[listener]]\ntype = 'ws'\n{address}\n\
         [[listener]]\ntype = 'wss'\n{address}\n{tls}\nwebsocket_path = '/x'\n\
         [[listener]]\ntype = 'unix'\npath = '{}'\n\
         [[listener]]\ntype = 'tls'\n{address}\nanonymous = false\n{tls}\nclient_ca = '{}'\n\
         [[listener]]\ntype = 'quic'\n{address}\nanonymous = false\n{tls}\nclient_ca = '{}'\n",
        at("socket"),
        at("clients.pem"),
        at("clients.pem"),
    );
    std::fs::write(at("ternmq.toml"), config).unwrap();
    (Server::start(&folder.join("ternmq.toml"), 6), folder)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// Who has shown a certificate has no password that a back end could be asked about.
#[test]
fn nobody_is_asked_about_whoever_has_shown_a_certificate() {
    let (server, folder) = everywhere("certificate_and_step");
    drop(server);
    let at = |name: &str| path(&folder, name);
    let config = std::fs::read_to_string(at("ternmq.toml")).unwrap();
    // Nobody listens there, and without an answer nobody comes in.
    let step =
        "[[access.step]]\nname = 'web'\nkind = 'http'\nauthenticate = 'http://127.0.0.1:1/'\n";
    std::fs::write(at("ternmq.toml"), format!("{config}{step}")).unwrap();
    let server = Server::start(&folder.join("ternmq.toml"), 6);
    let (ca, cert, key) = (at("ca.pem"), at("client.pem"), at("client.key"));
    let (tls, mutual) = (&server.urls[0], &server.urls[4]);
    let shown = ["--cafile", &*ca, "--cert", &*cert, "--key", &*key];
    round_trip(&[&["--url", mutual], &shown[..]].concat()).unwrap();
    let refused = round_trip(&["--url", tls, "--cafile", &ca, "-u", "x", "-P", "x"]);
    let refused = refused.unwrap_err();
    assert!(refused.contains("unavailable"), "{refused}");
}

#[test]
fn every_type_of_listener_may_stand_on_the_command_line() {
    let folder = folder("listen_urls");
    let at = |name: &str| path(&folder, name);
    let issued = authority().issue(&["127.0.0.1"]);
    issued.write(&folder, "server");
    std::fs::write(at("ca.pem"), authority().pem()).unwrap();
    let (cert, key, ca) = (at("server.pem"), at("server.key"), at("ca.pem"));
    let schemes = ["mqtt", "mqtts", "ws", "wss", "quic"];
    let urls = schemes.map(|scheme| format!("{scheme}://127.0.0.1:0"));
    let listen = urls.iter().flat_map(|url| ["--listen", url]);
    let mut args: Vec<&str> = ["serve"].into_iter().chain(listen).collect();
    args.extend(["--cert", &cert, "--key", &key]);
    let mut child = ternmq(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for scheme in schemes {
        let line = line(&mut stdout);
        let url = line.strip_prefix("listening on ").expect("a URL");
        assert!(url.starts_with(&format!("{scheme}://")), "{url}");
        let more: &[&str] = match scheme {
            "mqtt" | "ws" => &[],
            _ => &["--cafile", &ca],
        };
        round_trip(&[&["--url", url], more].concat()).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for (args, words) in [
        (
            &["--listen", "quic://127.0.0.1:0"][..],
            "needs --cert and --key",
        ),
        (
            &["--listen", "127.0.0.1:0", "--cert", &cert, "--key", &key],
            "--cert is for",
        ),
        (&["--cert", &cert, "--key", &key], "--listen"),
        (
            &["--listen", "quic://127.0.0.1:0", "--cert", &cert],
            "--key",
        ),
        (&["--listen", "quick://127.0.0.1:0"], "begins with mqtt"),
    ] {
        let output = ternmq(&[&["serve"], args].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
    let help = ternmq(&["serve", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("quic://"));
}

#[test]
fn a_client_comes_from_the_address_that_it_is_told() {
    let (mut server, folder) = everywhere("bind_address");
    let at = |name: &str| path(&folder, name);
    let (ca, cert, key) = (at("ca.pem"), at("client.pem"), at("client.key"));
    let [tls, ws, wss, unix, mutual, quic] = &server.urls.clone()[..] else {
        panic!("{:?}", server.urls);
    };
    let trusting = ["--cafile", &*ca];
    let shown = ["--cafile", &*ca, "--cert", &*cert, "--key", &*key];
    for (url, more) in [
        (ws, &[][..]),
        (tls, &trusting),
        (wss, &trusting),
        (mutual, &shown),
        (quic, &shown),
    ] {
        for flag in ["-A", "--bind-address"] {
            round_trip(&[&["--url", url, flag, "127.0.0.2"], more].concat()).unwrap();
            for _ in 0..2 {
                let mut said = line(&mut server.stderr);
                while !said.contains(" connected from ") {
                    said = line(&mut server.stderr);
                }
                assert!(said.contains(" connected from 127.0.0.2"), "{url}: {said}");
            }
        }
        let refused = |ip| round_trip(&[&["--url", url, "-A", ip], more].concat()).unwrap_err();
        assert!(
            refused("::1").contains("another family"),
            "{}",
            refused("::1")
        );
        // It is for documents, and nobody's.
        assert!(
            refused("192.0.2.1").contains("assign"),
            "{}",
            refused("192.0.2.1")
        );
        assert!(refused("x").contains("invalid"), "{}", refused("x"));
    }
    // Where there are no addresses it means nothing.
    round_trip(&["--url", unix, "-A", "127.0.0.2"]).unwrap();
}

#[test]
fn every_type_of_listener_is_reached_by_flags() {
    let (server, folder) = everywhere("every_type");
    let at = |name: &str| path(&folder, name);
    let [tls, ws, wss, unix, mutual, quic] = &server.urls[..] else {
        panic!("{:?}", server.urls);
    };
    let (ca, cert, key) = (at("ca.pem"), at("client.pem"), at("client.key"));
    round_trip(&["--url", tls, "--cafile", &ca]).unwrap();
    let (host, port) = tls
        .strip_prefix("mqtts://")
        .unwrap()
        .split_once(':')
        .unwrap();
    round_trip(&[
        "-h",
        host,
        "-p",
        port,
        "--cafile",
        &ca,
        "--tls-version",
        "tlsv1.2",
    ])
    .unwrap();
    let suite = "ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256";
    round_trip(&[
        "--url",
        tls,
        "--cafile",
        &ca,
        "--ciphers",
        suite,
        "--tls-alpn",
        "mqtt",
    ])
    .unwrap();
    round_trip(&["--url", ws]).unwrap();
    assert!(wss.ends_with("/x"), "{wss}");
    round_trip(&["--url", wss, "--cafile", &ca, "--header", "X-Own: y"]).unwrap();
    round_trip(&["--unix", &at("socket")]).unwrap();
    round_trip(&["--url", unix]).unwrap();
    round_trip(&[
        "--url", mutual, "--cafile", &ca, "--cert", &cert, "--key", &key,
    ])
    .unwrap();

    round_trip(&[
        "--url", quic, "--cafile", &ca, "--cert", &cert, "--key", &key,
    ])
    .unwrap();

    let refused = |args: &[&str]| round_trip(args).unwrap_err();
    assert!(refused(&["--url", quic, "--cafile", &ca]).contains("certificate required"));
    assert!(refused(&["--url", quic]).contains("unknown issuer"));
    assert!(refused(&["--url", tls]).contains("unknown issuer"));
    assert!(refused(&["--url", mutual, "--cafile", &ca]).contains("certificate required"));
    assert!(refused(&["--url", ws, "--cafile", &ca]).contains("need mqtts://"));
    assert!(refused(&["--url", tls, "--cafile", &key]).contains("no certificate in"));
    let other_name = "mqtts://[::ffff:127.0.0.1]:".to_owned() + port;
    assert!(refused(&["--url", &other_name, "--cafile", &ca]).contains("it is not for"));
    round_trip(&["--url", &other_name, "--cafile", &ca, "--insecure"]).unwrap();
}

#[test]
fn sighup_reads_certificates_again() {
    let folder = folder("sighup");
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    authority().issue(&["127.0.0.1"]).write(&folder, "server");
    let other = Authority::new("another authority");
    std::fs::write(at("ca.pem"), other.pem()).unwrap();
    let config = format!(
        "[[listener]]\ntype = 'tls'\naddress = '127.0.0.1:0'\ncertificate = '{}'\nkey = '{}'\n",
        at("server.pem"),
        at("server.key")
    );
    std::fs::write(at("ternmq.toml"), config).unwrap();
    let mut server = Server::start(Path::new(&at("ternmq.toml")), 1);
    let url = server.urls[0].clone();
    let args = ["--url", &url, "--cafile", &at("ca.pem")];
    assert!(round_trip(&args).unwrap_err().contains("unknown issuer"));
    other.issue(&["127.0.0.1"]).write(&folder, "server");
    let said = server.hang_up("SIGHUP: ");
    assert!(said.contains("certificates are read again"), "{said}");
    round_trip(&args).unwrap();
    std::fs::remove_file(at("server.key")).unwrap();
    // In several lines, of which the last one names the file.
    let said = server.hang_up("server.key");
    assert!(
        said.contains("stays as it was") && said.contains("line 5") && said.contains("server.key"),
        "{said}"
    );
    round_trip(&args).unwrap();
    let _ = &server.stdout;
}

#[test]
fn a_client_is_refused_once_its_certificate_is_revoked() {
    let folder = folder("revoked");
    let at = |name: &str| path(&folder, name);
    authority().issue(&["127.0.0.1"]).write(&folder, "server");
    let clients = Authority::new("clients");
    for number in [7, 8] {
        let client = clients.issue_with("thermometer", &[], numbered(number));
        client.write(&folder, &format!("client{number}"));
    }
    let list = |numbers: &[u64], until| {
        std::fs::write(at("clients.crl"), clients.revoke(numbers, until)).unwrap();
    };
    list(&[], 2200);
    std::fs::write(at("ca.pem"), authority().pem()).unwrap();
    std::fs::write(at("clients.pem"), clients.pem()).unwrap();
    let config = format!(
        "[[listener]]\ntype = 'tls'\naddress = '127.0.0.1:0'\ncertificate = '{}'\nkey = '{}'\n\
         client_ca = '{}'\nclient_crl = ['{}']\n",
        at("server.pem"),
        at("server.key"),
        at("clients.pem"),
        at("clients.crl")
    );
    std::fs::write(at("ternmq.toml"), config).unwrap();
    let mut server = Server::start(Path::new(&at("ternmq.toml")), 1);
    let (url, ca) = (server.urls[0].clone(), at("ca.pem"));
    let comes = |number: u64| {
        let (cert, key) = (
            at(&format!("client{number}.pem")),
            at(&format!("client{number}.key")),
        );
        round_trip(&[
            "--url", &url, "--cafile", &ca, "--cert", &cert, "--key", &key,
        ])
    };
    comes(7).unwrap();
    list(&[7], 2200);
    server.hang_up("certificates are read again");
    let refused = comes(7).unwrap_err();
    assert!(refused.contains("revoked"), "{refused}");
    comes(8).unwrap();
    // A damaged list changes nothing; one whose time is over lets nobody in.
    std::fs::write(at("clients.crl"), "-----BEGIN X509 CRL-----\n").unwrap();
    let said = server.hang_up("clients.crl");
    assert!(said.contains("stays as it was"), "{said}");
    comes(8).unwrap();
    list(&[], 2002);
    server.hang_up("certificates are read again");
    comes(8).unwrap_err();
}

#[test]
fn a_certificate_that_is_not_there_ends_the_start() {
    let folder = folder("missing");
    let config = folder.join("ternmq.toml");
    let text = "[[listener]]\ntype = 'tls'\naddress = '127.0.0.1:0'\ncertificate = '/no/such'\n\
                key = '/no/such'\n";
    std::fs::write(&config, text).unwrap();
    let output = ternmq(&["serve", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("/no/such"),
        "{error}"
    );
}
