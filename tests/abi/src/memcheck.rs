//! Programs under valgrind's memcheck, which looks inside the library, too: no byte is read or written that
//! isn't there or has no value, and what was allocated is freed.

use std::net::SocketAddr;
use std::process::Command;

use ternmq_broker::{Broker, Config};

use crate::{Scratch, compiler, installed_library, library_name, output, root};

/// Programs that are looked at by each run of all tests.
pub const QUICK: [&str; 8] = [
    "tables",
    "checks",
    "flows",
    "callbacks",
    "async_checks",
    "async_flows",
    "async_outcomes",
    "async_peer",
];

/// Those that the command `memcheck` looks at besides. `habits` is about forks, whose child has no threads and so
/// no owners of what they had, and about sums of malloc, which valgrind replaces;
/// `async_liberties` sends 100,000 messages in a time that valgrind takes longer for.
pub const THOROUGH: [&str; 8] = [
    "older_structs",
    "silent_server",
    "liberties",
    "large",
    "crowd",
    "storm",
    "async_older_structs",
    "async_storm",
];

/// Runs a program, with a broker of its own. Nothing is suppressed.
///
/// # Panics
/// It ends with another status than 0, which is valgrind's word for an error, too.
pub fn memcheck(program: &str) {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = folder.path(program);
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread", "-g"])
            .arg(root().join(format!("tests/abi/programs/{program}.c")))
            .arg("-L")
            .arg(ours.path(""))
            .arg(format!("-l{}", library_name(program)))
            .arg("-o")
            .arg(&binary),
    );
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(Config::listen(address)).expect("a broker");
    output(
        Command::new("timeout")
            .args(["600", "valgrind", "--quiet", "--error-exitcode=99"])
            .args(["--leak-check=full", "--fair-sched=yes"])
            .arg("--errors-for-leak-kinds=definite,indirect")
            .arg("--show-leak-kinds=definite,indirect")
            .arg(binary)
            .arg(format!("tcp://{}", broker.local_addrs()[0]))
            .env("LD_LIBRARY_PATH", ours.path("")),
    );
    broker.stop().expect("the broker ends well");
}
