//! The stage with a real server.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::script::Setting;
use crate::stage::{Arrival, PATIENCE_MS, Stage};

/// A process of `ternmq serve` on a free port.
pub struct Server {
    child: Child,
    address: SocketAddr,
    config: PathBuf,
}

impl Server {
    /// Starts one with two shards and these settings.
    ///
    /// # Errors
    /// It can't be built, or does not start.
    pub fn start(settings: &[Setting]) -> Result<Self, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let program = program()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ternmq-wire-{}-{number}.toml", std::process::id());
        let config = std::env::temp_dir().join(name);
        let mut text = "shards = 2\n[limits]\n".to_owned();
        for Setting { key, value } in settings {
            text += &format!("{key} = {value}\n");
        }
        fs::write(&config, text).map_err(|e| e.to_string())?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("ternmq serve: {e}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let read = BufReader::new(stdout).read_line(&mut line);
            read.map_err(|e| e.to_string())?;
        }
        let address = line.trim().rsplit('/').next().unwrap_or_default();
        let address = address
            .parse()
            .map_err(|_| format!("ternmq serve said `{line}`"))?;
        Ok(Self {
            child,
            address,
            config,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(&self.config));
    }
}

/// The server of this build; cargo builds no programs of other packages for a test.
fn program() -> Result<&'static PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--package", "ternmq-server"])
            .current_dir(ternmq_test_faces::workspace_root())
            .output()
            .map_err(|e| format!("cargo build: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let target = own.ancestors().nth(3).ok_or("no target folder")?;
        Ok(target.join("debug").join("ternmq"))
    });
    built.as_ref().map_err(Clone::clone)
}

/// Connections to a server.
pub struct Sockets {
    address: SocketAddr,
    streams: Vec<TcpStream>,
    begun: Instant,
}

impl Sockets {
    /// To the server at this address.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self {
            address,
            streams: Vec::new(),
            begun: Instant::now(),
        }
    }
}

impl Stage for Sockets {
    fn connect(&mut self) -> Result<usize, String> {
        let stream = TcpStream::connect(self.address).map_err(|e| e.to_string())?;
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

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }
}
