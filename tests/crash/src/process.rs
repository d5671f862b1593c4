//! `ternmq serve` as a process that is killed and started again on one folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::wire::{Addresses, MOUNT_POINT};

/// The process, and the folder that outlives it.
pub struct Process {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
    told: BufReader<ChildStdout>,
    at: Addresses,
}

impl Process {
    /// Starts the program in `folder`, which is to exist, with this configuration.
    pub(crate) fn start(program: &Path, folder: &Path, config: &str) -> Result<Self, String> {
        let file = folder.join("ternmq.toml");
        let config = format!("{config}\n{LISTENERS}mount_point = '{MOUNT_POINT}'\n");
        std::fs::write(&file, config).map_err(|e| format!("{}: {e}", file.display()))?;
        let (child, mut told) = spawn(program, folder)?;
        let at = learn_addresses(&mut told)?;
        Ok(Self {
            program: program.into(),
            folder: folder.into(),
            child,
            told,
            at,
        })
    }

    pub(crate) fn address(&self) -> Addresses {
        self.at
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
        self.at = learn_addresses(&mut self.told)?;
        Ok(())
    }

    /// Bans a client, as an operator does; when this returns the server has said that it is so.
    pub(crate) fn ban(&mut self, client_id: &str) -> Result<(), String> {
        let file = self.folder.join("data/bans.json");
        let bans = format!("[{{\"client_id\": \"{client_id}\"}}]");
        std::fs::write(&file, bans).map_err(|e| format!("{}: {e}", file.display()))?;
        self.signal("-HUP")?;
        wait_for(&mut self.told, "bans_reloaded").map(drop)
    }

    /// SIGTERM, and waits until it has ended well.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        self.signal("-TERM")?;
        let ended = self.child.wait().map_err(|e| format!("wait: {e}"))?;
        match ended.success() {
            true => Ok(()),
            false => Err(format!("the server has ended with {ended}")),
        }
    }

    fn signal(&self, signal: &str) -> Result<(), String> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        sent.map(drop).map_err(|e| format!("kill: {e}"))
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
        .args(["serve", "--json", "--config", "ternmq.toml"])
        .args(["--data", "data"])
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

/// Where clients come in, to stand behind all else of a configuration; the last one has a mount point.
const LISTENERS: &str = "\
[topics]
delayed = true
[[listener]]
address = '127.0.0.1:0'
[[listener]]
address = '127.0.0.1:0'
";

fn learn_addresses(told: &mut BufReader<ChildStdout>) -> Result<Addresses, String> {
    let mut learn = || {
        let event = wait_for(told, "listening")?;
        let address = event["address"].as_str().unwrap_or_default().parse();
        address.map_err(|_| format!("the server said {event}"))
    };
    Ok(Addresses {
        main: learn()?,
        tenant: learn()?,
    })
}

/// The next thing of this kind that the server says.
fn wait_for(told: &mut BufReader<ChildStdout>, what: &str) -> Result<Value, String> {
    loop {
        let mut line = String::new();
        told.read_line(&mut line).map_err(|e| e.to_string())?;
        if line.is_empty() {
            return Err(format!("the server ended before it said `{what}`"));
        }
        let event: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
        if event["event"] == what {
            return Ok(event);
        }
    }
}
