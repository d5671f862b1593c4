//! A server in the background: `ternmq start`, `ternmq status` and `ternmq stop`. All three find it by the file
//! with its process.

mod start;
pub(crate) mod status;
mod stop;

use std::path::{Path, PathBuf};

use clap::Args;

pub(crate) use start::{Start, run as start};
pub(crate) use status::{Status, run as status};
pub(crate) use stop::{Stop, run as stop};

/// The exit status when there is none, as that of `systemctl status`.
pub(crate) const NOT_RUNNING: u8 = 3;

const PID_FILE: &str = "ternmq.pid";

/// Which server.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// File with the process [default: ternmq.pid in the folder of --data, else in the current one]
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Folder of the server
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

impl Which {
    pub(crate) fn pid_file(&self) -> PathBuf {
        pid_file(self.pid_file.as_deref(), self.data.as_deref())
    }
}

fn pid_file(named: Option<&Path>, data: Option<&Path>) -> PathBuf {
    match (named, data) {
        (Some(path), _) => path.to_owned(),
        (None, Some(data)) => data.join(PID_FILE),
        (None, None) => PID_FILE.into(),
    }
}
