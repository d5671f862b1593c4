//! Where lines are written: standard output, or a file with one older file beside it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{ERROR, Level, MINIMUM, PROTOCOL};

/// Lines in one file, unless the environment says otherwise.
const MAX_LINES: usize = 1_000;

pub(super) enum Output {
    Standard,
    File(Rotating),
}

/// A file that becomes `NAME.0` when it is full.
pub(super) struct Rotating {
    path: PathBuf,
    file: File,
    lines: usize,
    max_lines: usize,
}

impl Output {
    /// What `MQTT_C_CLIENT_TRACE` names: `ON` is standard output, else a file, which is emptied. A file
    /// that can't be opened gives standard output.
    pub(super) fn from_environment() -> Option<Self> {
        let name = std::env::var_os("MQTT_C_CLIENT_TRACE").filter(|name| !name.is_empty())?;
        if name == "ON" {
            return Some(Self::Standard);
        }
        let lines = std::env::var("MQTT_C_CLIENT_TRACE_MAX_LINES").ok();
        let max_lines = lines.and_then(|lines| lines.trim().parse().ok());
        let max_lines = max_lines.filter(|lines| *lines > 0).unwrap_or(MAX_LINES);
        let path = PathBuf::from(name);
        Some(match File::create(&path) {
            Ok(file) => Self::File(Rotating {
                path,
                file,
                lines: 0,
                max_lines,
            }),
            Err(_) => Self::Standard,
        })
    }

    /// Writes a line. What can't be written is lost: there is nobody to tell of it.
    pub(super) fn write(&mut self, line: &str) {
        match self {
            Self::Standard => print(line),
            Self::File(rotating) => {
                let _ = writeln!(rotating.file, "{line}");
                rotating.lines += 1;
                if rotating.lines >= rotating.max_lines && !rotating.rotate() {
                    *self = Self::Standard;
                }
            }
        }
    }
}

impl Rotating {
    /// Begins a new file; false when there can't be one.
    fn rotate(&mut self) -> bool {
        let mut older = self.path.clone().into_os_string();
        older.push(".0");
        let _ = std::fs::rename(&self.path, Path::new(&older));
        match File::create(&self.path) {
            Ok(file) => {
                (self.file, self.lines) = (file, 0);
                true
            }
            Err(_) => false,
        }
    }
}

/// The level that `MQTT_C_CLIENT_TRACE_LEVEL` names.
pub(super) fn level_of_environment() -> Option<Level> {
    let name = std::env::var("MQTT_C_CLIENT_TRACE_LEVEL").ok()?;
    match name.strip_prefix("TRACE_").unwrap_or(&name) {
        "MAXIMUM" => Some(1),
        "MEDIUM" => Some(2),
        "MINIMUM" => Some(MINIMUM),
        "PROTOCOL" => Some(PROTOCOL),
        "ERROR" => Some(ERROR),
        _ => None,
    }
}

/// The local time: `YYYYMMDD HHMMSS.mmm`.
pub(super) fn timestamp() -> String {
    // SAFETY: both structs are plain numbers, for which zeros are valid, and each call gets the address
    // of one.
    let (now, time) = unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        let mut time: libc::tm = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now);
        libc::localtime_r(&raw const now.tv_sec, &raw mut time);
        (now, time)
    };
    format!(
        "{:04}{:02}{:02} {:02}{:02}{:02}.{:03}",
        time.tm_year + 1900,
        time.tm_mon + 1,
        time.tm_mday,
        time.tm_hour,
        time.tm_min,
        time.tm_sec,
        now.tv_nsec / 1_000_000
    )
}

/// Prints a line as the C library does, so that it stands in order with what the program prints.
#[cfg(target_os = "linux")]
fn print(line: &str) {
    unsafe extern "C" {
        static stdout: *mut libc::FILE;
    }
    // SAFETY: `stdout` is the C library's, as is its lock; the line has as many bytes as it says.
    unsafe {
        let whole = [line.as_bytes(), b"\n"].concat();
        libc::fwrite(whole.as_ptr().cast(), 1, whole.len(), stdout);
        libc::fflush(stdout);
    }
}

#[cfg(not(target_os = "linux"))]
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
