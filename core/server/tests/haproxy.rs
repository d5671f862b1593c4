//! The server behind HAProxy, which says by the PROXY protocol who its clients are.

mod program;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use ternmq_test_certificates::authority;

use crate::program::program;

const PATIENCE: Duration = Duration::from_secs(20);

/// A program that runs until the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a stream of a program says, line by line.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = sync_channel(1_000);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    told
}

/// Waits for a line with these words.
fn until(told: &Receiver<String>, words: &[&str]) -> String {
    loop {
        let line = told.recv_timeout(PATIENCE).expect("a line with the words");
        if words.iter().all(|word| line.contains(word)) {
            return line;
        }
    }
}

fn serve(folder: &Path) -> (Running, Vec<SocketAddr>, Receiver<String>) {
    let mut child = Command::new(program())
        .args(["serve", "--config", "ternmq.toml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = lines(child.stdout.take().unwrap());
    let log = lines(child.stderr.take().unwrap());
    let running = Running(child);
    let addresses = (0..2).map(|_| {
        let line = until(&said, &["listening on "]);
        line.rsplit('/').next().unwrap().parse().unwrap()
    });
    (running, addresses.collect(), log)
}

/// HAProxy: that of the system, or what `make test` has unpacked.
fn haproxy(folder: &Path, config: &str, ports: &[u16]) -> Running {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/haproxy");
    let mut command = match Path::new("/usr/sbin/haproxy") {
        installed if installed.exists() => Command::new(installed),
        _ => {
            let mut command = Command::new(unpacked.join("usr/sbin/haproxy"));
            command.env("LD_LIBRARY_PATH", unpacked.join("usr/lib/x86_64-linux-gnu"));
            command
        }
    };
    std::fs::write(folder.join("haproxy.cfg"), config).unwrap();
    command
        .args(["-db", "-f", "haproxy.cfg"])
        .current_dir(folder);
    let child = command.stdin(Stdio::null()).spawn();
    let mut running = Running(child.expect("haproxy, which tests/setup unpacks"));
    let begun = Instant::now();
    while !ports
        .iter()
        .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
    {
        let ended = running.0.try_wait().unwrap();
        assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{ended:?}");
        std::thread::yield_now();
    }
    running
}

/// HAProxy takes none by itself; the kernel does not give this one out again so soon.
fn free_port() -> u16 {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    taken.local_addr().unwrap().port()
}

/// mosquitto's client, which can choose the address that it comes from.
fn publish(from: &str, port: u16, id: &str, ca: Option<&Path>) -> Output {
    let mut command = Command::new("mosquitto_pub");
    command
        .args(["-h", "127.0.0.1", "-A", from, "-p", &port.to_string()])
        .args(["-i", id, "-q", "1", "-t", "t", "-m", "m"]);
    if let Some(ca) = ca {
        command.arg("--cafile").arg(ca);
    }
    command.output().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Version 1 and version 2 with its checksum, to a plain listener and one with TLS, with health checks of
/// HAProxy's own.
#[test]
fn clients_behind_haproxy_are_known_by_their_own_addresses() {
    let folder = folder("haproxy");
    authority()
        .issue(&["localhost", "127.0.0.1"])
        .write(&folder, "server");
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority().pem()).unwrap();
    let listener = "[[listener]]\naddress = '127.0.0.1:0'\nproxy_protocol = true\nproxy_from = ['127.0.0.1']\n";
    let config = format!(
        "{listener}{listener}type = 'tls'\ncertificate = 'server.pem'\nkey = 'server.key'\n\
         [[ban]]\naddress = '127.0.0.6'\n"
    );
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    let (_server, addresses, log) = serve(&folder);
    let mut config = "global\n  log stderr format raw daemon alert\ndefaults\n  mode tcp\n  \
                      timeout connect 20s\n  timeout client 60s\n  timeout server 60s\n"
        .to_owned();
    let ways = ["send-proxy", "send-proxy-v2 proxy-v2-options crc32c"];
    let mut ports = Vec::new();
    for (way, address) in ways
        .iter()
        .flat_map(|way| addresses.iter().map(move |a| (way, a)))
    {
        let port = free_port();
        config += &format!(
            "listen at{port}\n  bind 127.0.0.1:{port}\n  \
             server ternmq {address} {way} check check-send-proxy inter 200ms\n"
        );
        ports.push(port);
    }
    let _haproxy = haproxy(&folder, &config, &ports);
    for (port, ca) in ports.iter().zip([None, Some(&*ca)].into_iter().cycle()) {
        let id = format!("through-{port}");
        let output = publish("127.0.0.5", *port, &id, ca);
        assert!(output.status.success(), "{output:?}");
        until(&log, &["connected from", &id, "127.0.0.5"]);
        let output = publish("127.0.0.6", *port, &id, ca);
        assert!(!output.status.success(), "{output:?}");
        until(&log, &["127.0.0.6", "banned"]);
    }
    // Whoever is no proxy, and says nothing as one, is refused for it.
    let direct = publish("127.0.0.5", addresses[0].port(), "direct", None);
    assert!(!direct.status.success(), "{direct:?}");
    until(&log, &["127.0.0.5", "none of the proxies"]);
    let direct = publish("127.0.0.1", addresses[0].port(), "direct", None);
    assert!(!direct.status.success(), "{direct:?}");
    until(&log, &["127.0.0.1", "no PROXY protocol"]);
}
