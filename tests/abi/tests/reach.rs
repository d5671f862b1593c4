//! C programs and the ways to a server: TLS in every mode, WebSockets, Unix sockets, proxies; where the
//! system's Paho has the way too, both libraries do the same with the same options.
#![allow(missing_docs)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ternmq_broker::quic::QuicOptions;
use ternmq_broker::tls::{ClientCertificates, Identity, Roots, TlsServerOptions};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Broker, Config, ListenerConfig};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root, system_paho};
use ternmq_test_certificates::{Authority, Issued, authority};

/// The listeners of the broker, in their order.
#[derive(Clone, Copy)]
enum At {
    Plain,
    Tls,
    /// Its certificate is for another host.
    OtherName,
    /// Its certificate has a common name and no other.
    CommonName,
    /// It wants to see a certificate.
    Clients,
    Web,
    SecureWeb,
    Quic,
}

/// A broker with all listeners, the files that programs are given, and the programs under both libraries.
struct Bench {
    broker: Broker,
    files: Scratch,
    ours: Scratch,
}

/// What a program has said.
struct Said {
    /// Return codes and outcomes: what both libraries are to agree about.
    codes: String,
    /// The rest.
    texts: String,
}

impl Bench {
    fn start() -> Self {
        let (files, ours) = (Scratch::new(), installed_library());
        std::fs::write(files.path("ca.pem"), authority().pem()).unwrap();
        std::fs::write(files.path("other.pem"), Authority::new("another").pem()).unwrap();
        std::fs::write(files.path("nothing.pem"), "no certificate").unwrap();
        std::fs::create_dir(files.path("folder")).unwrap();
        std::fs::write(files.path("folder/ca.pem"), authority().pem()).unwrap();
        output(
            Command::new("openssl")
                .arg("rehash")
                .arg(files.path("folder")),
        );
        let me = authority().client("me");
        me.write(&files.path(""), "me");
        std::fs::write(files.path("both.pem"), format!("{}{}", me.chain, me.key)).unwrap();
        let broker = Broker::start(Config {
            listeners: listeners(&files),
            shards: 1,
            ..Config::default()
        });
        let bench = Self {
            broker: broker.unwrap(),
            files,
            ours,
        };
        bench.build("secure", "secure", &[]);
        bench.build("async_secure", "async_secure", &[]);
        bench
    }

    fn build(&self, program: &str, name: &str, flags: &[&str]) {
        let library = match program {
            "secure" => "-lpaho-mqtt3cs",
            _ => "-lpaho-mqtt3as",
        };
        output(
            compiler()
                .args(["-D_GNU_SOURCE", "-pthread"])
                .args(flags)
                .arg(root().join(format!("tests/abi/programs/{program}.c")))
                .arg("-L")
                .arg(self.ours.path(""))
                .args([library, "-o"])
                .arg(self.files.path(name)),
        );
    }

    /// `localhost` is what the certificates are for.
    fn uri(&self, scheme: &str, at: At) -> String {
        let port = self.broker.local_addrs()[at as usize].port();
        format!("{scheme}://localhost:{port}")
    }

    fn run(&self, program: &str, library: PathBuf, uri: &str, arguments: &str) -> Said {
        self.run_with(program, library, uri, arguments, &[])
    }

    /// Arguments stand between spaces; `@` is the folder of the files.
    fn run_with(
        &self,
        program: &str,
        library: PathBuf,
        uri: &str,
        arguments: &str,
        environment: &[(&str, &str)],
    ) -> Said {
        let folder = format!("{}/", self.files.path("").display());
        let arguments = arguments
            .replace('@', folder.trim_end_matches('/'))
            .replace("//", "/");
        let arguments = arguments.replace("http:/", "http://");
        let said = output(
            Command::new("timeout")
                .arg("60")
                .arg(self.files.path(program))
                .arg(uri)
                .args(arguments.split_whitespace())
                .env("LD_LIBRARY_PATH", library)
                .envs(environment.iter().copied()),
        );
        let (texts, codes): (Vec<&str>, Vec<&str>) =
            said.lines().partition(|line| line.starts_with("text: "));
        Said {
            codes: codes.join("; "),
            texts: texts.join("\n"),
        }
    }

    /// Both APIs connect and talk, twice.
    fn works(&self, uri: &str, arguments: &str) {
        for (program, talks) in [("secure", TALKS), ("async_secure", ASYNC_TALKS)] {
            let said = self.run(program, self.ours.path(""), uri, arguments);
            let whole = format!("create 0; {talks}; {talks}");
            assert_eq!(
                said.codes, whole,
                "{program} {uri} {arguments}\n{}",
                said.texts
            );
            if program == "secure" {
                let name = uri.split_once("://").unwrap().1;
                let name = name.split_once("/a").map_or(name, |(name, _)| name);
                assert!(
                    said.texts.contains(&format!("text: at {name}")),
                    "{}",
                    said.texts
                );
            }
        }
    }

    /// Neither API connects, and the application is told of it once, with these words.
    fn fails(&self, uri: &str, arguments: &str, words: &str) {
        let fails = "create 0; connect -1";
        let async_fails = "create 0; connect 0; connect failed -1";
        for (program, codes) in [("secure", fails), ("async_secure", async_fails)] {
            let said = self.run(program, self.ours.path(""), uri, arguments);
            let what = format!("{program} {uri} {arguments}\n{}", said.texts);
            assert_eq!(said.codes, codes, "{what}");
            assert!(said.texts.contains(words), "{what}");
            assert!(said.texts.contains("text: told 1"), "{what}");
        }
    }

    /// With Paho the same comes of it.
    fn same(&self, uri: &str, arguments: &str) {
        for program in ["secure", "async_secure"] {
            let ours = self.run(program, self.ours.path(""), uri, arguments);
            let paho = self.run(program, system_paho(), uri, arguments);
            let texts = format!("{}\n{}", ours.texts, paho.texts);
            assert_eq!(
                ours.codes, paho.codes,
                "{program} {uri} {arguments}\n{texts}"
            );
        }
    }

    fn works_as_with_paho(&self, uri: &str, arguments: &str) {
        self.works(uri, arguments);
        self.same(uri, arguments);
    }

    fn fails_as_with_paho(&self, uri: &str, arguments: &str, words: &str) {
        self.fails(uri, arguments, words);
        self.same(uri, arguments);
    }

    /// Refused by the call itself, with one code or another.
    fn is_refused(&self, uri: &str, arguments: &str, code: i32, async_code: i32) {
        for (program, code) in [("secure", code), ("async_secure", async_code)] {
            let said = self.run(program, self.ours.path(""), uri, arguments);
            let codes = format!("create 0; connect {code}");
            assert_eq!(said.codes, codes, "{program} {uri} {arguments}");
        }
    }

    /// Encrypts the client's key with the password `secret`.
    fn encrypt(&self, arguments: &str, name: &str) {
        output(
            Command::new("openssl")
                .args(arguments.split(' '))
                .args(["-passout", "pass:secret", "-in"])
                .arg(self.files.path("me.key"))
                .arg("-out")
                .arg(self.files.path(name)),
        );
    }
}

const TALKS: &str = "connect 0; subscribe 0; publish 0; wait 0; received hello; disconnect 0";
const ASYNC_TALKS: &str = "connect 0; connect succeeded; subscribe 0; subscribe succeeded; publish 0; \
                           publish succeeded; received hello; disconnect 0; disconnect succeeded";

fn listeners(files: &Scratch) -> Vec<ListenerConfig> {
    let plain = ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap());
    let tls = |issued: Issued| TlsServerOptions::new(Identity::pem(issued.chain, issued.key));
    let secure = |options: TlsServerOptions| ListenerConfig {
        tls: Some(options),
        ..plain.clone()
    };
    let web = |listener: ListenerConfig| ListenerConfig {
        websocket: Some(WebSocketServer {
            path: None,
            ..WebSocketServer::default()
        }),
        ..listener
    };
    let good = || tls(authority().issue(&["localhost", "127.0.0.1"]));
    let mut clients = good();
    clients.clients = ClientCertificates::Required(vec![Roots::Pem(authority().pem().into())]);
    let mut behind = good();
    behind.alpn.clear();
    vec![
        plain.clone(),
        secure(good()),
        secure(tls(authority().issue(&["other.example"]))),
        secure(tls(authority().issue_with("localhost", &[], |_| {}))),
        secure(clients),
        web(plain.clone()),
        web(secure(behind)),
        ListenerConfig {
            quic: Some(QuicOptions::default()),
            ..secure(good())
        },
        ListenerConfig::unix(files.path("socket"), 0o600),
    ]
}

#[test]
fn each_scheme_leads_to_its_server() {
    let bench = Bench::start();
    bench.works_as_with_paho(&bench.uri("tcp", At::Plain), "");
    bench.works_as_with_paho(&bench.uri("mqtt", At::Plain), "ssl=0");
    bench.works_as_with_paho(&bench.uri("ssl", At::Tls), "trust=@/ca.pem");
    bench.works_as_with_paho(&bench.uri("mqtts", At::Tls), "trust=@/ca.pem clean=0");
    bench.works(&bench.uri("tls", At::Tls), "trust=@/ca.pem");
    // Without a comparison: Paho 1.3.12 looks at the second packet of a frame when the next frame comes.
    bench.works(&bench.uri("ws", At::Web), "");
    bench.works(
        &format!("{}/a/path?and=query", bench.uri("ws", At::Web)),
        "header=X-A:b",
    );
    bench.works(&bench.uri("wss", At::SecureWeb), "trust=@/ca.pem verify=1");
    bench.works(
        &format!("unix://{}", bench.files.path("socket").display()),
        "",
    );
    bench.fails(&bench.uri("ssl", At::Plain), "check=0", "TLS");
}

/// Paho has no such scheme, and none of its own is touched by it.
#[test]
fn quic_is_spoken_by_the_options_for_ssl() {
    let bench = Bench::start();
    let quic = bench.uri("quic", At::Quic);
    bench.works(&quic, "trust=@/ca.pem");
    bench.works(&quic, "check=0 clean=0");
    bench.fails(&quic, "trust=@/other.pem", "unknown issuer");
    let named = quic.replace("localhost", "[::ffff:127.0.0.1]");
    bench.fails(&named, "trust=@/ca.pem verify=1", "it is not for");
    bench.is_refused(&quic, "ssl=0", -6, -6);
}

#[test]
fn a_server_is_looked_at_as_strictly_as_the_options_say() {
    let bench = Bench::start();
    let good = bench.uri("ssl", At::Tls);
    let (other, common) = (
        bench.uri("ssl", At::OtherName),
        bench.uri("ssl", At::CommonName),
    );
    bench.fails_as_with_paho(&good, "", "unknown issuer");
    bench.fails_as_with_paho(&good, "defaults=0", "unknown issuer");
    bench.fails_as_with_paho(&good, "trust=@/other.pem", "unknown issuer");
    bench.fails_as_with_paho(&good, "trust=@/nowhere.pem", "nowhere.pem");
    bench.fails_as_with_paho(&good, "trust=@/nothing.pem", "no certificate in");
    bench.works_as_with_paho(&good, "check=0");
    bench.works_as_with_paho(&good, "folder=@/folder");
    bench.works_as_with_paho(&good, "trust=@/ca.pem verify=1");
    bench.works_as_with_paho(
        &good.replace("localhost", "127.0.0.1"),
        "trust=@/ca.pem verify=1",
    );
    bench.works_as_with_paho(&other, "trust=@/ca.pem");
    bench.works(&other, "check=0 verify=1");
    bench.fails(&other, "trust=@/ca.pem verify=1", "it is not for localhost");
    bench.same(&other, "trust=@/ca.pem verify=1");
    bench.works_as_with_paho(&common, "trust=@/ca.pem verify=1");
}

#[test]
fn clients_show_certificates_whose_keys_may_be_encrypted() {
    let bench = Bench::start();
    bench.encrypt("pkcs8 -topk8 -v2 aes-256-cbc", "modern.key");
    bench.encrypt("pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1", "old.key");
    bench.encrypt("ec -aes256", "legacy.key");
    bench.encrypt("ec -des3", "older.key");
    bench.encrypt("ec -aes128", "shorter.key");
    let uri = bench.uri("ssl", At::Clients);
    let with = |rest: &str| format!("trust=@/ca.pem {rest}");
    bench.fails(&uri, &with(""), "certificate required");
    bench.same(&uri, &with(""));
    bench.works_as_with_paho(&uri, &with("certificate=@/both.pem"));
    bench.works_as_with_paho(&uri, &with("certificate=@/me.pem key=@/me.key"));
    for key in ["modern", "old", "legacy", "older", "shorter"] {
        let me = with(&format!("certificate=@/me.pem key=@/{key}.key"));
        bench.works(&uri, &format!("{me} password=secret"));
        bench.fails(
            &uri,
            &format!("{me} password=wrong"),
            "the password is wrong",
        );
        bench.same(&uri, &format!("{me} password=wrong"));
        bench.fails(&uri, &me, "there is no password");
    }
    bench.same(
        &uri,
        &with("certificate=@/me.pem key=@/legacy.key password=secret"),
    );
    bench.fails_as_with_paho(&uri, &with("certificate=@/me.pem"), "no private key in");
    bench.fails_as_with_paho(
        &uri,
        &with("certificate=@/ca.pem key=@/me.key"),
        "can't be used",
    );
}

#[test]
fn cipher_suites_and_protocols_are_chosen() {
    let bench = Bench::start();
    let uri = bench.uri("ssl", At::Tls);
    let with = |rest: &str| format!("trust=@/ca.pem {rest}");
    bench.works_as_with_paho(&uri, &with("ciphers=ECDHE-ECDSA-AES128-GCM-SHA256"));
    bench.works_as_with_paho(&uri, &with("ciphers=HIGH:!aNULL:!MD5"));
    bench.fails_as_with_paho(&uri, &with("ciphers=NOTHING"), "no cipher suite");
    bench.fails(&uri, &with("ciphers=PSK-AES128-CBC-SHA"), "no cipher suite");
    bench.works_as_with_paho(&uri, &with("protocols=mqtt"));
    bench.fails(&uri, &with("protocols=!"), "no list of protocols");
}

#[test]
fn wrong_options_are_refused_with_the_codes_of_paho() {
    let bench = Bench::start();
    let uri = bench.uri("ssl", At::Tls);
    for (arguments, code) in [
        ("ssl=0", -6),
        ("version=6", -8),
        ("version=-1", -8),
        ("id=NONE", -8),
    ] {
        bench.is_refused(&uri, arguments, code, code);
        bench.same(&uri, arguments);
    }
    // Whoever wants keys that both know beforehand is not given certificates instead.
    bench.is_refused(&uri, "trust=@/ca.pem psk=1", -10, -13);
    bench.is_refused(&bench.uri("tcp", At::Plain), "proxy=https://a", -15, -15);
    bench.is_refused(&bench.uri("tcp", At::Plain), "proxy=socks5://a", -15, -15);
    bench.works(&bench.uri("tcp", At::Plain), "trust=@/nowhere.pem psk=1");
}

#[test]
fn members_behind_the_declared_version_are_not_read() {
    let bench = Bench::start();
    let other = bench.uri("ssl", At::OtherName);
    for arguments in [
        "version=0 verify=1",
        "version=1 verify=1",
        "version=3 psk=1",
    ] {
        bench.works_as_with_paho(&other, &format!("trust=@/ca.pem {arguments}"));
    }
    bench.works_as_with_paho(&other, "trust=@/ca.pem version=4 protocols=!");
    let said = bench.run("secure", bench.ours.path(""), &other, "version=2");
    assert_eq!(said.codes, "create 0; connect -1");
    assert_eq!(said.texts, "text: told 0");
}

/// The address sanitizer of the C compiler sees what is not released, and ends the program badly.
#[test]
fn nothing_is_leaked_on_the_way() {
    let bench = Bench::start();
    let key = "trust=@/ca.pem certificate=@/me.pem key=@/legacy.key password";
    bench.encrypt("ec -aes256", "legacy.key");
    for program in ["secure", "async_secure"] {
        bench.build(program, "watched", &["-g", "-fsanitize=address"]);
        for (uri, arguments, outcome) in [
            (
                bench.uri("ssl", At::Clients),
                format!("{key}=secret"),
                "received hello",
            ),
            (bench.uri("ssl", At::Clients), format!("{key}=wrong"), "-1"),
            (
                bench.uri("ssl", At::OtherName),
                "trust=@/ca.pem verify=1".into(),
                "-1",
            ),
            (
                bench.uri("ws", At::Web),
                "header=X-A:b".into(),
                "received hello",
            ),
        ] {
            let said = bench.run("watched", bench.ours.path(""), &uri, &arguments);
            assert!(
                said.codes.contains(outcome),
                "{uri} {arguments}: {}",
                said.codes
            );
        }
    }
}

/// A proxy that opens ways.
struct Proxy {
    port: u16,
    /// Ways that were opened.
    opened: Arc<AtomicUsize>,
    /// The bytes that a server has sent, once its way is closed.
    sent: Receiver<u64>,
}

fn proxy() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let (closed, sent) = sync_channel(1000);
    let opened = count.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let Some(target) = head.split(' ').nth(1) else {
                continue;
            };
            let server = TcpStream::connect(target).unwrap();
            count.fetch_add(1, Ordering::AcqRel);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let closed = closed.clone();
            std::thread::spawn(move || closed.try_send(pass(from, to)));
            std::thread::spawn(move || pass(client, server));
        }
    });
    Proxy { port, opened, sent }
}

/// A server that notes the head of each request, and refuses it.
fn witness() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, heads) = sync_channel(1000);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            // Whoever asks no more has what it wants.
            let _ = seen.send(String::from_utf8_lossy(&head).into_owned());
            let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, heads)
}

/// A proxy is told where to go, so no port of the system is needed.
#[test]
fn each_scheme_has_its_port() {
    let bench = Bench::start();
    let (port, heads) = witness();
    let proxies = format!("proxy=http://127.0.0.1:{port} secure_proxy=http://127.0.0.1:{port}");
    for (scheme, expected) in [
        ("tcp", 1883),
        ("mqtt", 1883),
        ("ssl", 8883),
        ("mqtts", 8883),
        ("tls", 8883),
        ("ws", 80),
        ("wss", 443),
    ] {
        for program in ["secure", "async_secure"] {
            let ours = bench.ours.path("");
            let uri = format!("{scheme}://broker.example");
            bench.run(program, ours, &uri, &format!("{proxies} check=0"));
            let head = heads.recv_timeout(Duration::from_secs(20)).unwrap();
            let begins = format!("CONNECT broker.example:{expected} HTTP/1.1\r\n");
            assert!(head.starts_with(&begins), "{program} {uri}: {head}");
            while heads.try_recv().is_ok() {}
        }
    }
}

#[test]
fn headers_of_the_options_arrive_at_the_server() {
    let bench = Bench::start();
    let (port, heads) = witness();
    for program in ["secure", "async_secure"] {
        let uri = format!("ws://localhost:{port}/mqtt?a=b");
        bench.run(program, bench.ours.path(""), &uri, "header=X-Token:abc=1");
        let head = heads.recv_timeout(Duration::from_secs(20)).unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("GET /mqtt?a=b HTTP/1.1"), "{head}");
        let is_ours = |line: &str| line.replace(": ", ":") == "X-Token:abc=1";
        assert_eq!(lines.filter(|line| is_ours(line)).count(), 1, "{head}");
        while heads.try_recv().is_ok() {}
    }
}

/// Passes on what comes, and how it ends; how much it was.
fn pass(mut from: TcpStream, mut to: TcpStream) -> u64 {
    let (mut passed, mut buffer) = (0, [0; 4096]);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
        passed += read as u64;
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
    passed
}

/// The certificate, by far the longest that the server says, is shown the first time only.
#[test]
fn who_keeps_the_session_goes_on_with_that_of_tls() {
    let (bench, proxy) = (Bench::start(), proxy());
    for (clean, resumes) in [(0, true), (1, false)] {
        let arguments = format!(
            "trust=@/ca.pem secure_proxy=http://127.0.0.1:{} clean={clean}",
            proxy.port
        );
        bench.works(&bench.uri("ssl", At::Tls), &arguments);
        // Either API has connected twice.
        for api in 0..2 {
            let sent = || proxy.sent.recv_timeout(Duration::from_secs(20)).unwrap();
            let (first, second) = (sent(), sent());
            assert_eq!(second + 300 < first, resumes, "{api} {first} {second}");
        }
    }
}

#[test]
fn proxies_of_the_options_and_of_the_environment_are_used() {
    let bench = Bench::start();
    let Proxy { port, opened, .. } = proxy();
    let address = format!("http://127.0.0.1:{port}");
    let (plain, secure) = (bench.uri("tcp", At::Plain), bench.uri("ssl", At::Tls));
    let ways = || opened.swap(0, Ordering::AcqRel);
    // Two programs that connect twice.
    bench.works(&plain, &format!("proxy={address}"));
    assert_eq!(ways(), 4);
    bench.works(
        &secure,
        &format!("trust=@/ca.pem verify=1 secure_proxy={address}"),
    );
    assert_eq!(ways(), 4);
    bench.works(&plain, &format!("secure_proxy={address}"));
    assert_eq!(ways(), 0);
    let talks = format!("create 0; {TALKS}; {TALKS}");
    let uses = ("PAHO_C_CLIENT_USE_HTTP_PROXY", "TRUE");
    let proxy = ("http_proxy", &address[..]);
    for (environment, expected) in [
        (&[proxy][..], 0),
        (&[proxy, uses], 2),
        (&[proxy, ("PAHO_C_CLIENT_USE_HTTP_PROXY", "FALSE")], 0),
        (&[proxy, uses, ("no_proxy", "localhost")], 0),
        (&[("http_proxy", "socks5://nowhere"), uses], 0),
    ] {
        let ours = bench.ours.path("");
        let said = bench.run_with("secure", ours, &plain, "", environment);
        assert_eq!(said.codes, talks, "{environment:?}");
        assert_eq!(ways(), expected, "{environment:?}");
    }
}
