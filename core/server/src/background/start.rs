//! `ternmq start`: a process of its own that runs `ternmq serve`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use super::{pid_file, status};
use crate::cli::Serve;
use crate::pid_file::{Found, look, running};
use crate::{control, notify, report};

/// How soon it is seen that the server has ended instead of being ready.
const LOOK: Duration = Duration::from_millis(50);

/// What is shown of the log of a server that does not start.
const SHOWN: u64 = 4096;

/// What a script wants to know.
const STATUSES: &str = "\
Exit status:
  0  it serves, and all that it has kept is there again
  1  it does not: what it said is in its log. Or one with this file runs already
  2  the command line is wrong";

/// Options of `ternmq start`.
#[derive(Args, Debug)]
#[command(after_help = STATUSES)]
pub(crate) struct Start {
    #[command(flatten)]
    serve: Serve,
    /// Where the server writes what it has to say, behind what is there [default: beside the file with its
    /// process, with the ending .log]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Seconds until it has to be ready; one that is not is ended
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u32,
}

/// Starts a server, and waits until it is ready.
pub(crate) fn run(args: &Start, arguments: &[OsString]) -> Result<u8, String> {
    let serve = &args.serve;
    if serve.print_config {
        return crate::serve::run(serve);
    }
    let path = pid_file(serve.pid_file.as_deref(), serve.data.as_deref());
    if let Some(data) = &serve.data {
        fs::create_dir_all(data)
            .map_err(|e| format!("cannot make the folder {}: {e}", data.display()))?;
    }
    if let Found::Running(pid) = look(&path)? {
        return Err(running(&path, pid));
    }
    let log_path = args.log_file.clone();
    let log_path = log_path.unwrap_or_else(|| path.with_extension("log"));
    let mut log = open_log(&log_path)
        .map_err(|error| format!("cannot write {}: {error}", log_path.display()))?;
    let begin = log.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
    let ready = Ready::listen(&path)?;
    let mut command = again(arguments)?;
    told(&mut command, serve, &path);
    command
        .env(notify::SOCKET, &ready.path)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|e| e.to_string())?)
        .stderr(log.try_clone().map_err(|e| e.to_string())?)
        // Ctrl-C at the terminal is not for it.
        .process_group(0);
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot start a process: {error}"))?;
    let timeout = Duration::from_secs(args.timeout.into());
    if let Err(why) = ready.wait(&mut child, timeout) {
        return Err(format!(
            "{why}; its log is {}{}",
            log_path.display(),
            end_of(log, begin).map_or(String::new(), |text| format!(":\n{text}"))
        ));
    }
    let status = control::status(&path)?;
    match serve.json {
        true => report::line(&status.to_string()),
        false => report::line(&format!(
            "{}\nlog: {}",
            status::words(&status),
            log_path.display()
        )),
    }
    Ok(crate::SUCCESS)
}

/// What this command was run by, without its arguments: a program alone, or one that runs others, as Python.
fn again(arguments: &[OsString]) -> Result<Command, String> {
    let all: Vec<OsString> = std::env::args_os().collect();
    let own = arguments.get(1..).unwrap_or_default();
    let by = all
        .strip_suffix(own)
        .ok_or("cannot tell what this command was run by")?;
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let called = by
        .first()
        .and_then(|name| called_by(Path::new(name), &program));
    let mut command = Command::new(called.unwrap_or(program));
    command.args(by.get(1..).unwrap_or_default());
    Ok(command)
}

/// The path of this program by which it was called, as a shell finds it: by a link to it Python knows its virtual
/// environment.
fn called_by(name: &Path, program: &Path) -> Option<PathBuf> {
    let all = std::env::var_os("PATH").unwrap_or_default();
    let folders = match name.components().count() {
        1 => std::env::split_paths(&all).collect(),
        _ => vec![PathBuf::new()],
    };
    let program = fs::canonicalize(program).ok()?;
    let paths = folders.iter().map(|folder| folder.join(name));
    let is_it = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| path == program);
    paths.into_iter().find(is_it)
}

/// The same options for `ternmq serve`.
fn told(command: &mut Command, serve: &Serve, pid_file: &Path) {
    command.arg("serve").arg("--pid-file").arg(pid_file);
    if let Some(config) = &serve.sources.config {
        command.arg("--config").arg(config);
    }
    for address in &serve.sources.listen {
        command.arg("--listen").arg(address.to_string());
    }
    for (option, file) in [
        ("--cert", &serve.sources.cert),
        ("--key", &serve.sources.key),
    ] {
        command.args(
            file.iter()
                .flat_map(|file| [option.as_ref(), file.as_os_str()]),
        );
    }
    if let Some(data) = &serve.data {
        command.arg("--data").arg(data);
    }
    if serve.json {
        command.arg("--json");
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    options.open(path)
}

/// What the server has written since it was started, or the end of that.
fn end_of(mut log: File, begin: u64) -> Option<String> {
    let end = log.seek(SeekFrom::End(0)).ok()?;
    let from = begin.max(end.saturating_sub(SHOWN));
    log.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    log.take(SHOWN).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Where the server says that it is ready. It is gone with this value.
struct Ready {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Ready {
    fn listen(pid_file: &Path) -> Result<Self, String> {
        let mut name = std::path::absolute(pid_file)
            .map_err(|e| e.to_string())?
            .into_os_string();
        name.push(".ready");
        let path = PathBuf::from(name);
        // Left by a start that was killed.
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)
            .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
        Ok(Self { path, socket })
    }

    /// # Errors
    /// In words: it has ended, or has taken too long and was ended.
    fn wait(&self, child: &mut Child, timeout: Duration) -> Result<(), String> {
        let until = Instant::now() + timeout;
        let set = self.socket.set_read_timeout(Some(LOOK));
        set.map_err(|error| error.to_string())?;
        let mut scratch = [0; 256];
        loop {
            // A word that is not there yet is no error; it is looked again whether it can come at all.
            if let Ok(read) = self.socket.recv(&mut scratch)
                && is_ready(&scratch[..read])
            {
                return Ok(());
            }
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the server has ended ({status})"));
            }
            if Instant::now() >= until {
                // It may end by itself at this moment.
                let _ = child.kill();
                let _ = child.wait();
                let seconds = timeout.as_secs();
                return Err(format!(
                    "the server was not ready after {seconds} s, and is ended"
                ));
            }
        }
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // A file that stays is written over by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_ready(told: &[u8]) -> bool {
    told.split(|byte| *byte == b'\n')
        .any(|line| line == b"READY=1")
}
