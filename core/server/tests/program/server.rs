//! A server that runs in a folder of its own and tells what happens as JSON.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::RawPeer;

use crate::program::program;

/// Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said of its first listener.
    pub(crate) listening: Value,
    /// What it said of its metrics.
    #[allow(dead_code, reason = "not every test asks for them")]
    pub(crate) http: Value,
    pub(crate) folder: PathBuf,
}

impl Server {
    /// With the `ternmq.toml` that is in the folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = ternmq(folder, &["serve", "--json", "--config", "ternmq.toml"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdout,
            listening: Value::Null,
            http: Value::Null,
            folder: folder.to_owned(),
        };
        while server.listening["event"] != "listening" {
            server.listening = server.event();
            if server.listening["event"] == "http" {
                server.http = std::mem::take(&mut server.listening);
            }
        }
        server
    }

    /// Where its first listener is from this machine.
    #[allow(dead_code, reason = "not every test asks there")]
    pub(crate) fn address(&self) -> SocketAddr {
        let address: SocketAddr = self.listening["address"].as_str().unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    /// Changes a file of its folder and has it read everything again: what it says until it has read its
    /// certificates, which come last, or has refused.
    pub(crate) fn reload(&mut self, file: &str, text: &str) -> Vec<Value> {
        std::fs::write(self.folder.join(file), text).unwrap();
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(status.unwrap().success());
        let mut told = vec![self.event()];
        while !is_the_last(&told[told.len() - 1]) {
            told.push(self.event());
        }
        told
    }

    #[allow(dead_code, reason = "not every test has such clients")]
    /// A client of MQTT 5.0 that is answered with this reason code.
    pub(crate) fn answer(&self, connect: &str, reason: &str) -> RawPeer {
        let mut peer = RawPeer::connect(self.address(), 5).unwrap();
        peer.send(connect).unwrap();
        let got = peer.expect(&format!("CONNACK reason={reason}"));
        got.unwrap_or_else(|error| panic!("{connect}: {error:?}"));
        peer
    }

    /// What it says next.
    pub(crate) fn event(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An empty folder.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The command in a folder, without anything to read.
pub(crate) fn ternmq(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn is_the_last(told: &Value) -> bool {
    told["event"] == "certificates_reloaded" || told["what"] == "not_reloaded"
}
