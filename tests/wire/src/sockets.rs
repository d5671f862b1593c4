//! The stage with a real server.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::script::Config;
use crate::stage::{Arrival, PATIENCE_MS, Stage};

/// A process of `ternmq serve`, and connections to it.
pub struct Sockets {
    server: Server,
    streams: Vec<TcpStream>,
    begun: Instant,
}

impl Sockets {
    /// To a fresh server with this configuration, two shards and a data folder.
    ///
    /// # Errors
    /// It can't be built, or does not start.
    pub fn start(config: &Config) -> Result<Self, String> {
        Ok(Self {
            server: Server::start(Folder::new(config)?)?,
            streams: Vec::new(),
            begun: Instant::now(),
        })
    }
}

impl Stage for Sockets {
    fn connect(&mut self) -> Result<usize, String> {
        let stream = TcpStream::connect(self.server.address).map_err(|e| e.to_string())?;
        let patience = Some(Duration::from_millis(PATIENCE_MS));
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        stream
            .set_write_timeout(patience)
            .map_err(|e| e.to_string())?;
        self.streams.push(stream);
        Ok(self.streams.len() - 1)
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) -> Result<(), String> {
        match self.streams[conn].write_all(bytes) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(format!("the broker does not read: {e}"))
            }
            _ => Ok(()),
        }
    }

    fn receive(&mut self, conn: usize, most_ms: u64) -> Result<Arrival, String> {
        let stream = &mut self.streams[conn];
        let most = Duration::from_millis(most_ms.max(1));
        stream
            .set_read_timeout(Some(most))
            .map_err(|e| e.to_string())?;
        let mut scratch = [0; 16 * 1024];
        match stream.read(&mut scratch) {
            Ok(0) => Ok(Arrival::End),
            Ok(n) => Ok(Arrival::Bytes(scratch[..n].to_vec())),
            // A reset is an end like another: what the broker had not read yet makes one.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(Arrival::End),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Arrival::Nothing)
            }
            Err(e) => Err(e.to_string()),
        }
    }

    fn cut(&mut self, conn: usize) {
        drop(self.streams[conn].shutdown(Shutdown::Both));
    }

    fn cut_and_wait(&mut self, conn: usize) -> Result<(), String> {
        self.stop_sending(conn);
        while self.receive(conn, PATIENCE_MS)? != Arrival::End {
            if self.now_ms() > 6 * PATIENCE_MS {
                return Err("the broker never closed the connection".into());
            }
        }
        self.cut(conn);
        Ok(())
    }

    fn stop_sending(&mut self, conn: usize) {
        drop(self.streams[conn].shutdown(Shutdown::Write));
    }

    fn pass(&mut self, _ms: u64) -> Result<(), String> {
        Err("real time can't be made to pass".into())
    }

    fn drain(&mut self) -> Result<(), String> {
        self.server.signal("USR1")?;
        self.server.wait_for("draining").map(drop)
    }

    fn restart(&mut self) -> Result<(), String> {
        self.server.restart()
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }
}

/// A process of `ternmq serve` on a free port.
struct Server {
    child: Child,
    /// What it tells of itself, one JSON object a line.
    told: BufReader<ChildStdout>,
    address: SocketAddr,
    folder: Folder,
}

impl Server {
    fn start(folder: Folder) -> Result<Self, String> {
        let (child, told) = folder.spawn()?;
        let mut server = Self {
            child,
            told,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder,
        };
        server.learn_address()?;
        Ok(server)
    }

    /// Stops it as an operator does, and starts it again with the same folder.
    fn restart(&mut self) -> Result<(), String> {
        self.signal("TERM")?;
        self.wait_for("stopped")?;
        let ended = self.child.wait().map_err(|e| e.to_string())?;
        if !ended.success() {
            return Err(format!("ternmq serve has stopped with {ended}"));
        }
        (self.child, self.told) = self.folder.spawn()?;
        self.learn_address()
    }

    fn learn_address(&mut self) -> Result<(), String> {
        let event = self.wait_for("listening")?;
        let address = event["address"].as_str().unwrap_or_default().parse();
        self.address = address.map_err(|_| format!("ternmq serve said {event}"))?;
        Ok(())
    }

    /// Reads what it tells up to an event of this name.
    fn wait_for(&mut self, name: &str) -> Result<Value, String> {
        loop {
            let mut line = String::new();
            self.told.read_line(&mut line).map_err(|e| e.to_string())?;
            if line.is_empty() {
                return Err(format!("ternmq serve ended before it was {name}"));
            }
            let event: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
            if event["event"] == name {
                return Ok(event);
            }
        }
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let (signal, pid) = (format!("-{name}"), self.child.id().to_string());
        let sent = Command::new("kill").args([signal, pid]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("kill: {other:?}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where a server finds its configuration and what it has kept.
struct Folder(PathBuf);

impl Folder {
    fn new(config: &Config) -> Result<Self, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ternmq-wire-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).map_err(|e| e.to_string())?;
        let text = format!("shards = 2\n{}", config.text);
        fs::write(folder.0.join("ternmq.toml"), text).map_err(|e| e.to_string())?;
        Ok(folder)
    }

    fn spawn(&self) -> Result<(Child, BufReader<ChildStdout>), String> {
        let mut child = Command::new(program()?)
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--config"])
            .arg(self.0.join("ternmq.toml"))
            .arg("--data")
            .arg(self.0.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("ternmq serve: {e}"))?;
        let told = child.stdout.take().ok_or("ternmq serve has no output")?;
        Ok((child, BufReader::new(told)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The server of this build; cargo builds no programs of other packages for a test. Where all of the
/// workspace is tested it is there already, as `TERNMQ_TEST_BUILT` says.
///
/// # Errors
/// It can't be built.
pub fn program() -> Result<&'static PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if std::env::var_os("TERNMQ_TEST_BUILT").is_none() {
            build()?;
        }
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let target = own.ancestors().nth(3).ok_or("no target folder")?;
        Ok(target.join("debug").join("ternmq"))
    });
    built.as_ref().map_err(Clone::clone)
}

fn build() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", "ternmq-server"])
        .current_dir(ternmq_test_faces::workspace_root())
        .output()
        .map_err(|e| format!("cargo build: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(())
}
