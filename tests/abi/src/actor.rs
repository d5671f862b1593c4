//! The program `actor`: a client that does what it is told in steps, under either library.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Scratch, compiler, output, root, system_paho};

/// Which library a program runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// This one.
    Ours,
    /// The system's Paho C.
    Paho,
}

/// The program, built once, and both libraries.
pub struct Actor {
    folder: Scratch,
    ours: Scratch,
    /// The process that runs, or ran last.
    process: Arc<AtomicU32>,
}

/// What a run said, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(pub Vec<String>);

impl Actor {
    /// Builds it against our headers.
    pub fn build() -> Self {
        let (folder, ours) = (Scratch::new(), crate::installed_library());
        let programs = root().join("tests/abi/programs");
        output(
            compiler()
                .args(["-D_GNU_SOURCE", "-pthread"])
                .arg(programs.join("actor.c"))
                .arg(programs.join("actor_store.c"))
                .arg("-L")
                .arg(ours.path(""))
                .args(["-lpaho-mqtt3c", "-o"])
                .arg(folder.path("actor")),
        );
        Self {
            folder,
            ours,
            process: Arc::default(),
        }
    }

    /// Kills the program that runs, once, from whatever thread.
    pub fn killer(&self) -> impl Fn() + Send + 'static {
        let process = self.process.clone();
        move || {
            let id = process.swap(0, Ordering::AcqRel);
            if id != 0 {
                output(Command::new("kill").args(["-KILL", &id.to_string()]));
            }
        }
    }

    /// An empty folder for a run.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// Runs all steps, which stand between spaces; a step `pause` ends the program by a signal.
    pub fn run(&self, library: Library, uri: &str, steps: &str) -> Said {
        self.run_with(library, uri, steps, &[])
    }

    /// The same with variables in the environment.
    pub fn run_with(
        &self,
        library: Library,
        uri: &str,
        steps: &str,
        environment: &[(&str, &str)],
    ) -> Said {
        let path = match library {
            Library::Ours => self.ours.path(""),
            Library::Paho => system_paho(),
        };
        let mut child = Command::new(self.folder.path("actor"))
            .arg(uri)
            .args(steps.split_whitespace())
            .current_dir(self.folder.path(""))
            .env("LD_LIBRARY_PATH", path)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the actor");
        self.process.store(child.id(), Ordering::Release);
        let said = listen(&mut child);
        let status = child.wait().expect("its end");
        let killed = status.signal() == Some(9);
        assert!(
            status.success() || killed,
            "{library:?} {steps}: {status}\n{said}"
        );
        said
    }
}

/// Reads what a program says, and kills it when it says that it pauses.
fn listen(child: &mut Child) -> Said {
    let stdout = BufReader::new(child.stdout.take().expect("its output"));
    let mut lines = Vec::new();
    for line in stdout.lines() {
        let line = line.expect("text");
        let paused = line == "paused";
        lines.push(line);
        if paused {
            child.kill().expect("a child");
        }
    }
    Said(lines)
}

impl Said {
    /// The lines that begin so, in their order.
    pub fn lines(&self, begin: &str) -> Vec<&str> {
        let lines = self.0.iter().map(String::as_str);
        lines.filter(|line| line.starts_with(begin)).collect()
    }

    /// What the steps said, in one line: neither callbacks nor calls of the store, which come from other
    /// threads.
    pub fn steps(&self) -> String {
        let others = [
            "store",
            "arrived ",
            "delivered ",
            "lost,",
            "published ",
            "disconnected ",
            "traced ",
            "returned ",
            "  ",
        ];
        let of_step = |line: &&String| !others.iter().any(|other| line.starts_with(other));
        let lines: Vec<&str> = self.0.iter().filter(of_step).map(String::as_str).collect();
        lines.join("; ")
    }

    /// The calls of the store for each key, in their order; those without a key under "".
    pub fn store(&self) -> BTreeMap<String, Vec<String>> {
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut last = String::new();
        for line in self.lines("store ") {
            let words: Vec<&str> = line.split(' ').collect();
            if !words[1].is_empty() {
                last = words
                    .get(3)
                    .filter(|_| words[1] != "open")
                    .unwrap_or(&"")
                    .to_string();
            }
            calls.entry(last.clone()).or_default().push(line.to_owned());
        }
        calls
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The files below a folder with what is in them, in hexadecimal; the port, which differs between runs,
/// stands as PORT.
pub fn files(folder: &Path, port: u16) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below the folder");
            let name = name.to_string_lossy().replace(&port.to_string(), "PORT");
            let bytes = std::fs::read(&path).expect("a file");
            let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            found.insert(name, hex);
        }
    }
    found
}
