//! `ternmq serve` as a process that is killed and started again on one folder.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The process, and the folder that outlives it.
pub struct Process {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
    told: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Process {
    /// Starts the program in `folder`, which is to exist, with this configuration.
    pub(crate) fn start(program: &Path, folder: &Path, config: &str) -> Result<Self, String> {
        let file = folder.join("ternmq.toml");
        std::fs::write(&file, config).map_err(|e| format!("{}: {e}", file.display()))?;
        let (child, told) = spawn(program, folder)?;
        let mut server = Self {
            program: program.into(),
            folder: folder.into(),
            child,
            told,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        server.learn_address()?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGKILL: nothing of the process runs any more when this returns.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        self.child.kill().map_err(|e| format!("kill: {e}"))?;
        self.child
            .wait()
            .map(drop)
            .map_err(|e| format!("wait: {e}"))
    }

    /// Starts it again after [`kill`](Self::kill), on the same folder.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        (self.child, self.told) = spawn(&self.program, &self.folder)?;
        self.learn_address()
    }

    /// SIGTERM, and waits until it has ended well.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        sent.map_err(|e| format!("kill: {e}"))?;
        let ended = self.child.wait().map_err(|e| format!("wait: {e}"))?;
        match ended.success() {
            true => Ok(()),
            false => Err(format!("the server has ended with {ended}")),
        }
    }

    fn learn_address(&mut self) -> Result<(), String> {
        loop {
            let mut line = String::new();
            self.told.read_line(&mut line).map_err(|e| e.to_string())?;
            if line.is_empty() {
                return Err("the server ended before it listened".into());
            }
            let event: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
            if event["event"] == "listening" {
                let address = event["address"].as_str().unwrap_or_default().parse();
                self.address = address.map_err(|_| format!("the server said {event}"))?;
                return Ok(());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already where it was stopped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(program: &Path, folder: &Path) -> Result<(Child, BufReader<ChildStdout>), String> {
    let mut command = Command::new(program);
    command
        .args(["serve", "--json", "--listen", "127.0.0.1:0"])
        .args(["--config", "ternmq.toml", "--data", "data"])
        // Clients come and go by the thousand.
        .env("TERNMQ_LOG__LEVEL", "warn")
        .current_dir(folder)
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let told = child.stdout.take().ok_or("no pipe to the server")?;
    Ok((child, BufReader::new(told)))
}
