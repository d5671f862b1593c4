//! How other commands reach a server that runs: `ternmq store backup` by a socket in the data folder, `status`,
//! `stop` and `trace` by one beside the file with its process.
//!
//! One line each way: a request as JSON, and the answer as JSON; behind the answer to `trace` the blocks of a
//! file. Only who may enter the folder and write
//! to the socket is heard.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signal_hook::consts::{SIGTERM, SIGUSR1};
use ternmq_broker::store::Store;

use crate::http::{About, Asking};
use crate::trace::{self, Wanted};

const SOCKET: &str = "control";

/// Bytes of a request: a path, and what stands around it.
const REQUEST: u64 = 16 << 10;

/// How long somebody may take to say what they want.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the server may take to say how it is.
const ANSWER: Duration = Duration::from_secs(5);

/// Commands that wait for the server's end. One more is told and does not wait.
const WAITING: usize = 16;

/// The socket of a running server. It is gone with this value.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
}

/// What a socket is asked about.
struct Answers {
    /// Not kept alive: a store that is not closed is read whole when it is opened again.
    store: Option<Weak<Store>>,
    asking: Asking,
    /// Open until the process ends, which is how those at the other end learn of that.
    waiting: Vec<UnixStream>,
    told: Option<Stop>,
}

/// How a server is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// All clients are let go first, as SIGUSR1 does.
    Drain,
    /// As SIGTERM does.
    Now,
}

impl Control {
    /// In a data folder. Answers requests on a thread of its own, one after the other, until the process
    /// ends.
    pub(crate) fn in_folder(
        folder: &Path,
        store: &Arc<Store>,
        asking: Asking,
    ) -> Result<Self, String> {
        Self::listen(folder.join(SOCKET), Some(Arc::downgrade(store)), asking)
    }

    /// Beside the file with the process.
    pub(crate) fn beside(pid_file: &Path, asking: Asking) -> Result<Self, String> {
        Self::listen(beside(pid_file), None, asking)
    }

    fn listen(path: PathBuf, store: Option<Weak<Store>>, asking: Asking) -> Result<Self, String> {
        let listen = || {
            // Left by a server that was killed: the folder, or the file beside it, is ours.
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            io::Result::Ok(listener)
        };
        let listener = listen().map_err(|e| format!("cannot listen on {}: {e}", path.display()))?;
        let mut answers = Answers {
            store,
            asking,
            waiting: Vec::new(),
            told: None,
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever has gone needs no answer.
                let _ = answers.answer(stream);
            }
        });
        Ok(Self { path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Nobody is there to answer: if it can't be removed, who connects is refused.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where a server is reached of which this is the file with its process.
fn beside(pid_file: &Path) -> PathBuf {
    let mut name = pid_file.as_os_str().to_owned();
    name.push(".control");
    name.into()
}

/// Has the server that has the folder write a backup. Its answer.
pub(crate) fn backup(folder: &Path, target: &Path) -> Result<Value, String> {
    let target = std::path::absolute(target).map_err(|e| e.to_string())?;
    let line = ask(&folder.join(SOCKET), &json!({ "backup": target }))
        .map_err(|e| format!("the server that has the folder does not answer: {e}"))?
        .0;
    let answer: Value = serde_json::from_str(&line)
        .map_err(|_| "the server that has the folder has ended meanwhile".to_owned())?;
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer),
    }
}

/// How the server is of which this is the file with its process.
pub(crate) fn status(pid_file: &Path) -> Result<Value, String> {
    let failed = |e| format!("the server does not answer: {e}");
    let (line, _) = ask(&beside(pid_file), &json!({ "status": true })).map_err(failed)?;
    serde_json::from_str(&line).map_err(|_| "the server has ended meanwhile".to_owned())
}

/// Has it stop. What is returned ends with the process.
pub(crate) fn stop(pid_file: &Path, how: Stop) -> Result<UnixStream, String> {
    let failed = |e| format!("the server does not answer: {e}");
    let request = json!({ "stop": if how == Stop::Drain { "drain" } else { "now" } });
    let (line, stream) = ask(&beside(pid_file), &request).map_err(failed)?;
    match serde_json::from_str::<Value>(&line).unwrap_or_default()["stopping"].as_bool() {
        Some(true) => Ok(stream),
        _ => Err("the server has ended meanwhile".to_owned()),
    }
}

/// Has it trace a client. What is returned gives the blocks of a file as they come.
pub(crate) fn trace(pid_file: &Path, wanted: &Wanted) -> Result<BufReader<UnixStream>, String> {
    let begin = || {
        let mut stream = UnixStream::connect(beside(pid_file))?;
        writeln!(stream, "{}", wanted.request())?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line)?;
        io::Result::Ok((line, stream))
    };
    let (line, stream) = begin().map_err(|e| format!("the server does not answer: {e}"))?;
    let answer: Value =
        serde_json::from_str(&line).map_err(|_| "the server has ended meanwhile".to_owned())?;
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(stream),
    }
}

fn ask(socket: &Path, request: &Value) -> io::Result<(String, UnixStream)> {
    let mut stream = UnixStream::connect(socket)?;
    if request["backup"].is_null() {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    writeln!(stream, "{request}")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    Ok((line, stream))
}

impl Answers {
    fn answer(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new((&stream).take(REQUEST)).read_line(&mut line)?;
        let request: Value = serde_json::from_str(&line).unwrap_or_default();
        let stop = match request["stop"].as_str() {
            Some("drain") => Some(Stop::Drain),
            Some(_) => Some(Stop::Now),
            None => None,
        };
        let answer = match (stop, request["backup"].as_str(), &self.store) {
            (Some(how), ..) => self.stop(how),
            (None, Some(target), Some(store)) => backed_up(store, target),
            _ if request["status"] == true => return self.tell_the_status(&stream),
            _ if trace::answer(&request, self.asking.tracer.get(), &stream) => return Ok(()),
            _ => json!({ "error": "not a request that this server knows" }),
        };
        writeln!(&stream, "{answer}")?;
        if stop.is_some() && self.waiting.len() < WAITING {
            self.waiting.push(stream);
        }
        Ok(())
    }

    /// Once only: the second signal would end the process at once.
    fn stop(&mut self, how: Stop) -> Value {
        if self.told < Some(how) {
            self.told = Some(how);
            let signal = match how {
                Stop::Drain => SIGUSR1,
                Stop::Now => SIGTERM,
            };
            if let Err(error) = signal_hook::low_level::raise(signal) {
                return json!({ "error": error.to_string() });
            }
        }
        json!({ "stopping": true })
    }

    fn tell_the_status(&self, mut stream: &UnixStream) -> io::Result<()> {
        let until = Instant::now() + ANSWER;
        // While it starts and stops, the thread that would answer does that.
        let page = match self.asking.stage().answers() {
            true => self.asking.ask(About::Status, until),
            false => None,
        };
        let stage = self.asking.stage().words();
        let alone = || json!({ "stage": stage, "pid": std::process::id() }).to_string();
        writeln!(stream, "{}", page.unwrap_or_else(alone))
    }
}

fn backed_up(store: &Weak<Store>, target: &str) -> Value {
    match store.upgrade().map(|store| store.backup(Path::new(target))) {
        Some(Ok(rows)) => json!({ "rows": rows }),
        Some(Err(error)) => json!({ "error": error.to_string() }),
        None => json!({ "error": "the server is ending" }),
    }
}
