//! What the ABI tests share: the recorded ABI as rows, the library under its four names in a folder
//! of its own, and the C compiler.
#![forbid(unsafe_code)]

pub mod actor;
pub mod memcheck;
pub mod peer;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// One row of `data/paho-abi.tsv`, column by column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `struct`, `field`, `enumtype`, `enum`, `define`, `init`, `typedef` or `function`.
    pub section: String,
    /// The header that has it.
    pub header: String,
    /// The struct, enumeration or initializer it belongs to.
    pub owner: String,
    /// Its name, `(whole)` for the struct itself.
    pub name: String,
    /// Offset or value.
    pub value: String,
    /// Size in bytes.
    pub size: String,
    /// Type, alignment or signature.
    pub kind: String,
}

/// The recorded ABI of the newest Paho C.
pub fn recorded_abi() -> Vec<Row> {
    table("paho-abi.tsv")
        .into_iter()
        .filter(|cells| cells[0] != "section" && cells[7] != "1.3.12")
        .map(|cells| {
            let [section, header, owner, name, value, size, kind] =
                std::array::from_fn(|i| cells[i].clone());
            Row {
                section,
                header,
                owner,
                name,
                value,
                size,
                kind,
            }
        })
        .collect()
}

/// The rows of a file in `data/` as cells, without comments.
pub fn table(file: &str) -> Vec<Vec<String>> {
    let path = root().join("tests/abi/data").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository")
}

/// An empty folder that goes away with the value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh folder.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ternmq-abi-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Our library as `make install` lays it out: `libternmq.so.0` and the four Paho names.
pub fn installed_library() -> Scratch {
    let folder = Scratch::new();
    // Tests stand beside it, commands one folder above.
    let mut built = std::env::current_exe().expect("the test's own path");
    built.set_file_name("deps");
    if !built.exists() {
        built.pop();
    }
    built.push("libternmq.so");
    std::os::unix::fs::symlink(&built, folder.path("libternmq.so.0")).expect("a link");
    output(Command::new(root().join("ffi-c/paho-names")).arg(&folder.0));
    folder
}

/// The folder of the system's own Paho library (Debian: libpaho-mqtt-dev), or of the one that
/// `TERNMQ_TEST_PAHO` names.
pub fn system_paho() -> PathBuf {
    if let Some(other) = std::env::var_os("TERNMQ_TEST_PAHO") {
        return other.into();
    }
    let found = output(Command::new("cc").arg("-print-file-name=libpaho-mqtt3c.so.1"));
    let path = PathBuf::from(found.trim());
    assert!(
        path.is_absolute(),
        "the system has no libpaho-mqtt3c.so.1; `make test` installs it"
    );
    path.parent().expect("a folder").to_path_buf()
}

/// The name to link a program in `programs/` with. Those about MQTTAsync say so in theirs, and those that look at
/// codes do so with TLS at hand.
pub fn library_name(program: &str) -> &'static str {
    match program {
        "checks" => "paho-mqtt3cs",
        "async_checks" => "paho-mqtt3as",
        // What Paho does not have.
        "poll" => ":libternmq.so.0",
        _ if program.starts_with("beyond") => ":libternmq.so.0",
        _ if program.starts_with("async_") => "paho-mqtt3a",
        _ => "paho-mqtt3c",
    }
}

/// A C compiler that reads `include/` and takes every warning for an error.
pub fn compiler() -> Command {
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("include"));
    cc
}

/// Runs a command that must succeed and returns what it printed.
pub fn output(command: &mut Command) -> String {
    let result = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        result.status.success(),
        "{command:?}: {}\n{}{}",
        result.status,
        String::from_utf8_lossy(&result.stdout),
        String::from_utf8_lossy(&result.stderr)
    );
    String::from_utf8_lossy(&result.stdout).into_owned()
}

/// The functions that the headers in `include/` declare, sorted.
pub fn declared_functions() -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("include")).expect("the headers") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a header");
        let declarations = text.split("\nLIBMQTT_API ").skip(1);
        names.extend(declarations.map(|declaration| {
            let head = declaration.split('(').next().unwrap_or_default();
            let name = head
                .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                .next();
            name.unwrap_or_default().to_owned()
        }));
    }
    names.sort();
    names
}

/// The functions that a shared object exports, sorted.
pub fn exported_functions(object: &Path) -> Vec<String> {
    let listing = output(
        Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(object),
    );
    let mut names: Vec<String> = listing
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}
