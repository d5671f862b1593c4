//! The faces, and how each one's shim is made ready.

use crate::story::Story;
use crate::workspace_root;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The faces in the order of the report.
pub const FACES: [&str; 6] = [
    "rust",
    "c-sync",
    "c-async",
    "python-blocking",
    "python-asyncio",
    "python-paho",
];

/// Clients of other makers behind the same shims: they play the stories against our broker, and none
/// of those with a raw peer, which would only test them.
pub const OTHERS: [&str; 3] = ["paho-c-sync", "paho-c-async", "paho-python"];

/// Whether the client of that name plays the story.
pub fn plays(name: &str, story: &Story) -> bool {
    FACES.contains(&name) || !story.has_peer()
}

/// [`FACES`] and [`OTHERS`].
pub fn all() -> impl Iterator<Item = &'static str> {
    FACES.into_iter().chain(OTHERS)
}

/// A face whose shim is ready to start.
pub struct Face {
    /// One of [`all`].
    pub name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Face {
    /// Makes the shim of a face ready: compiles it where that is not cargo's work.
    ///
    /// # Errors
    /// What is missing, and what provides it.
    pub fn prepare(name: &'static str, rust_shim: &Path) -> Result<Self, String> {
        let shims = workspace_root().join("tests/shims");
        let (program, arguments) = match name {
            "rust" => (rust_shim.to_path_buf(), vec![]),
            "c-sync" => (compile_c(&shims.join("c"), "sync", Library::Ours)?, vec![]),
            "c-async" => (compile_c(&shims.join("c"), "async", Library::Ours)?, vec![]),
            "paho-c-sync" => (compile_c(&shims.join("c"), "sync", Library::Paho)?, vec![]),
            "paho-c-async" => (compile_c(&shims.join("c"), "async", Library::Paho)?, vec![]),
            "python-blocking" => python(&shims.join("python/blocking_shim.py"), &[])?,
            "python-asyncio" => python(&shims.join("python/asyncio_shim.py"), &[])?,
            "python-paho" => python(&shims.join("python/paho_shim.py"), &["--ternmq"])?,
            "paho-python" => python(&shims.join("python/paho_shim.py"), &[])?,
            _ => return Err(format!("there is no face {name}")),
        };
        Ok(Self {
            name,
            program,
            arguments,
        })
    }

    /// The command that starts one actor.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// The interpreter that has the wheel installed; `make test` sets one up.
pub fn python_with_wheel() -> PathBuf {
    env::var_os("TERNMQ_TEST_PYTHON").map_or_else(
        || workspace_root().join("target/venv/bin/python"),
        PathBuf::from,
    )
}

fn python(script: &Path, options: &[&str]) -> Result<(PathBuf, Vec<String>), String> {
    let python = python_with_wheel();
    if !python.exists() {
        return Err(format!("no {}: run `make wheel` first", python.display()));
    }
    let mut arguments = vec![script.to_string_lossy().into_owned()];
    arguments.extend(options.iter().map(ToString::to_string));
    Ok((python, arguments))
}

/// Which library a C shim is built against.
#[derive(Clone, Copy)]
enum Library {
    /// `include/` and the one that cargo has built.
    Ours,
    /// The Paho of the system.
    Paho,
}

/// Compiles `STYLE.c` and the files both C shims share, unless that has been done since they and
/// the headers last changed. Several tests may do so at once: each writes its own file and renames.
fn compile_c(folder: &Path, style: &str, library: Library) -> Result<PathBuf, String> {
    let root = workspace_root();
    let place = library_folder()?;
    let name = match library {
        Library::Ours => format!("shim-c-{style}"),
        Library::Paho => format!("shim-paho-c-{style}"),
    };
    let out = place.join(&name);
    let sources = [style, "line", "inbox"].map(|name| folder.join(format!("{name}.c")));
    let mut inputs = files_of(folder)?;
    inputs.extend(files_of(&root.join("include"))?);
    if is_newer(&out, &inputs) {
        return Ok(out);
    }
    let fresh = place.join(format!("{name}.{}", std::process::id()));
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args([
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-pthread",
        "-o",
    ]);
    compiler.arg(&fresh).args(&sources);
    match library {
        Library::Ours => {
            compiler.arg("-I").arg(root.join("include"));
            compiler.arg("-L").arg(&place).arg("-lternmq");
            compiler.arg(format!("-Wl,-rpath,{}", place.display()));
        }
        Library::Paho if style == "sync" => drop(compiler.arg("-lpaho-mqtt3c")),
        Library::Paho => drop(compiler.arg("-lpaho-mqtt3a")),
    }
    let output = compiler
        .output()
        .map_err(|e| format!("cannot run the C compiler: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("the C shim does not compile:\n{text}"));
    }
    fs::rename(&fresh, &out).map_err(|e| e.to_string())?;
    Ok(out)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(entries.filter_map(|e| Some(e.ok()?.path())).collect())
}

/// Where cargo has put the C library, next to the test programs; there it gets the soname that
/// programs look for, too.
fn library_folder() -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let folder = program.parent().expect("a program lies in a folder");
    match std::os::unix::fs::symlink("libternmq.so", folder.join("libternmq.so.0")) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e.to_string()),
        _ => Ok(folder.to_path_buf()),
    }
}

fn is_newer(out: &Path, inputs: &[PathBuf]) -> bool {
    let time = |p: &Path| fs::metadata(p).and_then(|m| m.modified()).ok();
    let Some(made) = time(out) else {
        return false;
    };
    inputs
        .iter()
        .all(|p| time(p).unwrap_or(SystemTime::UNIX_EPOCH) <= made)
}
