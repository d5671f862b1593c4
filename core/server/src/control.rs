//! How `ternmq store backup` reaches the server that has the folder: a socket in it.
//!
//! One line each way: a request as JSON, and the answer as JSON. Only who may enter the folder and write
//! to the socket is heard.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use ternmq_broker::store::Store;

const SOCKET: &str = "control";

/// Bytes of a request: a path, and what stands around it.
const REQUEST: u64 = 16 << 10;

/// How long somebody may take to say what they want.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket of a running server. It is gone with this value.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    /// Answers requests on a thread of its own, one after the other, until the process ends. The thread
    /// does not keep the store: one that is not closed is read whole when it is opened again.
    pub(crate) fn listen(folder: &Path, store: &Arc<Store>) -> Result<Self, String> {
        let path = folder.join(SOCKET);
        let listen = || {
            // Left by a server that was killed: the folder is ours.
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            io::Result::Ok(listener)
        };
        let listener = listen().map_err(|e| format!("cannot listen on {}: {e}", path.display()))?;
        let store = Arc::downgrade(store);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever has gone needs no answer.
                let _ = answer(stream, &store);
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

/// Has the server that has the folder write a backup. Its answer.
pub(crate) fn backup(folder: &Path, target: &Path) -> Result<Value, String> {
    let target = std::path::absolute(target).map_err(|e| e.to_string())?;
    let ask = || {
        let mut stream = UnixStream::connect(folder.join(SOCKET))?;
        writeln!(stream, "{}", json!({ "backup": target }))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        io::Result::Ok(line)
    };
    let line = ask().map_err(|e| format!("the server that has the folder does not answer: {e}"))?;
    let answer: Value = serde_json::from_str(&line)
        .map_err(|_| "the server that has the folder has ended meanwhile".to_owned())?;
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer),
    }
}

fn answer(stream: UnixStream, store: &Weak<Store>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(REQUEST)).read_line(&mut line)?;
    let request: Value = serde_json::from_str(&line).unwrap_or_default();
    let answer = match (request["backup"].as_str(), store.upgrade()) {
        (Some(target), Some(store)) => match store.backup(Path::new(target)) {
            Ok(rows) => json!({ "rows": rows }),
            Err(error) => json!({ "error": error.to_string() }),
        },
        (Some(_), None) => json!({ "error": "the server is ending" }),
        (None, _) => json!({ "error": "not a request that this server knows" }),
    };
    writeln!(&stream, "{answer}")
}
