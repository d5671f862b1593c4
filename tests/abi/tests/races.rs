//! The library under the thread sanitizer, its own code included: every access to memory of every thread,
//! and what orders them.
//!
//! The runtime that comes with the compiler is linked into programs of C, together with the library built
//! for it. The standard library is the one that everybody has, built without; `programs/std_sync.c` says
//! what that keeps from the sanitizer. Nothing is suppressed.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, compiler, output, root};

/// Functions of the standard library: the macro for the name in `std_sync.c`, and the name's beginning
/// and end without what the compiler mixes into it.
const OF_STD: [(&str, &str, &str); 6] = [
    ("LOCK_CONTENDED", "5mutex5futex", "5Mutex14lock_contended"),
    ("READ_CONTENDED", "6rwlock5futex", "6RwLock14read_contended"),
    (
        "WRITE_CONTENDED",
        "6rwlock5futex",
        "6RwLock15write_contended",
    ),
    ("WAIT", "7condvar5futex", "7Condvar4wait"),
    ("WAIT_TIMEOUT", "7condvar5futex", "7Condvar12wait_timeout"),
    ("ONCE_CALL", "4once5futex", "4Once4call"),
];

/// What a program says that has raced.
const REPORT: &str = "WARNING: ThreadSanitizer: data race";

#[test]
fn sixty_four_threads_on_blocking_clients_do_not_race() {
    Sanitized::new().build("storm", &[]).is_calm(&[]);
}

#[test]
fn sixty_four_threads_on_async_clients_do_not_race() {
    Sanitized::new().build("async_storm", &[]).is_calm(&[]);
}

#[test]
fn sixty_four_threads_with_files_do_not_race() {
    let sanitized = Sanitized::new();
    for program in ["storm", "async_storm"] {
        let files = Scratch::new();
        let files = files.path("").display().to_string();
        sanitized.build(program, &["-DSTORE"]).is_calm(&[&files]);
    }
}

#[test]
fn many_threads_on_one_client_do_not_race() {
    Sanitized::new().build("crowd", &[]).is_calm(&[]);
}

#[test]
fn calls_inside_callbacks_do_not_race() {
    let sanitized = Sanitized::new();
    sanitized.build("liberties", &[]).is_calm(&[]);
    sanitized.build("async_liberties", &[]).is_calm(&[]);
}

#[test]
fn a_race_inside_the_library_is_noticed() {
    let told = Sanitized::new().build("race", &[]).is_wild();
    assert!(told.contains("MQTTProperties_add"), "{told}");
}

#[test]
fn a_lock_that_orders_nothing_is_noticed() {
    let mut sanitized = Sanitized::new();
    // With locks that the sanitizer can't see, all that they guard is a race.
    sanitized.std_sync = false;
    let told = sanitized.build("storm", &[]).is_wild();
    assert!(told.contains("core/client/src/"), "{told}");
}

/// The library, and what it takes to link programs with it.
struct Sanitized {
    folder: Scratch,
    library: PathBuf,
    runtime: PathBuf,
    /// Whether the sanitizer is told of the locks.
    std_sync: bool,
}

struct Program<'s> {
    binary: PathBuf,
    _of: &'s Sanitized,
}

impl Sanitized {
    /// Builds the library, unless another test has done so.
    fn new() -> Self {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let told = output(Command::new(&rustc).arg("-vV"));
        let mut lines = told.lines();
        let host = lines.find_map(|line| line.strip_prefix("host: "));
        let host = host.expect("the compiler says for what it is").to_owned();
        let folder = root().join("target/race");
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        cargo
            .current_dir(root())
            .args(["rustc", "--quiet", "--locked", "--package", "ternmq-ffi-c"])
            .args(["--lib", "--crate-type", "staticlib", "--target", &host])
            .arg("--target-dir")
            .arg(&folder)
            // The sanitizer's switch is not a stable one. That crates agree on it is our affair here.
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env(
                "RUSTFLAGS",
                "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer",
            );
        output(&mut cargo);
        let libraries = output(Command::new(&rustc).args(["--print", "target-libdir"]));
        let mut files = std::fs::read_dir(libraries.trim()).expect("the compiler's libraries");
        let runtime = files
            .find_map(|file| {
                let path = file.expect("an entry").path();
                path.to_string_lossy()
                    .ends_with("_rt.tsan.a")
                    .then_some(path)
            })
            .expect("the compiler comes with the sanitizer's runtime");
        Self {
            folder: Scratch::new(),
            library: folder.join(host).join("debug/libternmq.a"),
            runtime,
            std_sync: true,
        }
    }

    fn build(&self, program: &str, flags: &[&str]) -> Program<'_> {
        let binary = self.folder.path(program);
        let object = self.folder.path(&format!("{program}.o"));
        self.compile(program, &object, flags, &["-fsanitize=thread"]);
        // Not `-fsanitize=thread`, which would bring the runtime of the C compiler.
        let mut link = Command::new("cc");
        link.arg("-o").arg(&binary).arg(object);
        if self.std_sync {
            let names = self.names_of_std();
            let macros: Vec<String> = names
                .iter()
                .map(|(name, symbol)| format!("-D{name}=\"{symbol}\""))
                .collect();
            let macros: Vec<&str> = macros.iter().map(String::as_str).collect();
            let object = self.folder.path("std_sync.o");
            self.compile("std_sync", &object, &macros, &[]);
            link.arg(object)
                .arg("-Wl,--wrap=__tsan_atomic64_fetch_sub")
                .args(names.iter().map(|(_, name)| format!("-Wl,--wrap={name}")));
        }
        link.arg(&self.library)
            .arg("-Wl,--whole-archive")
            .arg(&self.runtime)
            .args(["-Wl,--no-whole-archive", "-rdynamic"])
            .args(["-pthread", "-ldl", "-lm", "-lstdc++"]);
        output(&mut link);
        Program { binary, _of: self }
    }

    fn compile(&self, program: &str, object: &Path, flags: &[&str], more: &[&str]) {
        output(
            compiler()
                .args(["-D_GNU_SOURCE", "-pthread", "-g", "-c"])
                .args(flags)
                .args(more)
                .arg(root().join(format!("tests/abi/programs/{program}.c")))
                .arg("-o")
                .arg(object),
        );
    }

    /// The macros, and the whole names that they stand for.
    fn names_of_std(&self) -> Vec<(&'static str, String)> {
        let listing = output(Command::new("nm").arg(&self.library));
        let symbols: Vec<&str> = listing
            .lines()
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        let found = OF_STD.iter().map(|(name, module, end)| {
            let mut symbols = symbols.iter();
            let symbol = symbols.find(|symbol| symbol.contains(module) && symbol.ends_with(end));
            let symbol = symbol.unwrap_or_else(|| panic!("the library calls no {end}"));
            (*name, (*symbol).to_owned())
        });
        found.collect()
    }
}

impl Program<'_> {
    /// Runs it, with a broker of its own.
    fn run(&self, arguments: &[&str], options: &str) -> (bool, String) {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker = Broker::start(Config::listen(address)).expect("a broker");
        let result = Command::new("timeout")
            .arg("120")
            .arg(&self.binary)
            .arg(format!("tcp://{}", broker.local_addrs()[0]))
            .args(arguments)
            .env("TSAN_OPTIONS", options)
            .output()
            .expect("it runs");
        broker.stop().expect("the broker ends well");
        let told = [&result.stdout[..], &result.stderr[..]].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        (result.status.success(), told)
    }

    fn is_calm(&self, arguments: &[&str]) {
        let (success, told) = self.run(arguments, "");
        assert!(success && !told.contains(REPORT), "{told}");
    }

    /// What is said of its races.
    fn is_wild(&self) -> String {
        let (success, told) = self.run(&[], "");
        assert!(!success && told.contains(REPORT), "{told}");
        told
    }
}
