//! A face of the client in a process of its own, driven line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use ternmq_test_broker_wire::Line;

/// How long a shim may take for one step. Only a failing scenario waits this long.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A shim that runs: one actor of a story.
pub struct Shim {
    process: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    complaints: Arc<Mutex<String>>,
}

impl Shim {
    /// Starts the program.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(mut command: Command) -> Result<Self, String> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", command.get_program().display()))?;
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut errors = process.stderr.take().expect("a pipe");
        // A shim answers one line at a time, so a few lines are all that can wait here.
        let (send, answers) = sync_channel(4);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let complaints = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&complaints);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = errors.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..n]);
                heard.lock().expect("never poisoned").push_str(&text);
            }
        });
        Ok(Self {
            input: process.stdin.take(),
            process,
            answers,
            complaints,
        })
    }

    /// Hands a step over, without waiting for its outcome.
    ///
    /// # Errors
    /// The process has ended.
    pub fn ask(&mut self, request: &Line) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("the shim has been told to end")?;
        writeln!(input, "{request}")
            .and_then(|()| input.flush())
            .map_err(|e| self.blame(&format!("the shim is gone: {e}")))
    }

    /// Waits for the outcome of the step handed over last.
    ///
    /// # Errors
    /// None came within [`PATIENCE`], the process has ended, or it wrote something else.
    pub fn answer(&mut self) -> Result<Line, String> {
        let text = self
            .answers
            .recv_timeout(PATIENCE)
            .map_err(|e| self.blame(&format!("the shim does not answer: {e}")))?;
        Line::parse(&text).map_err(|e| self.blame(&e))
    }

    /// Lets the shim end by itself at the end of its input.
    ///
    /// # Errors
    /// It ends with a bad status, or not at all.
    pub fn finish(mut self) -> Result<(), String> {
        drop(self.input.take());
        // Its output closes when it ends.
        while self
            .answers
            .recv_timeout(PATIENCE)
            .map_or_else(
                |e| match e {
                    std::sync::mpsc::RecvTimeoutError::Timeout => Err("the shim does not end"),
                    std::sync::mpsc::RecvTimeoutError::Disconnected => Ok(false),
                },
                |_| Ok(true),
            )
            .map_err(|e| self.blame(e))?
        {}
        let status = self.process.wait().map_err(|e| e.to_string())?;
        if status.success() {
            return Ok(());
        }
        Err(self.blame(&format!("the shim ended with {status}")))
    }

    fn blame(&self, what: &str) -> String {
        let complaints = self.complaints.lock().expect("never poisoned");
        match complaints.trim() {
            "" => what.to_string(),
            text => format!("{what}\nits standard error:\n{text}"),
        }
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // Nothing to do about a process that is gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
