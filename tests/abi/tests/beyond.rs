//! What `ternmq.h` has beyond Paho for clients, as C programs see it.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root};

#[test]
fn batches_and_shared_messages_are_as_the_header_says() {
    check("beyond", &[]);
}

#[test]
fn acknowledging_by_hand_and_polling_are_as_the_header_says() {
    check("beyond_acknowledge", &[]);
}

#[test]
fn who_polls_late_holds_the_server_back_and_loses_nothing() {
    check("beyond_flood", &[]);
}

/// The address sanitizer sees what is released twice, used afterwards, or not at all.
#[test]
fn nothing_is_leaked_or_used_after_it_was_released() {
    for program in ["beyond", "beyond_acknowledge", "beyond_flood"] {
        check(program, &["-g", "-fsanitize=address"]);
    }
}

/// Inside the library, where the compiler's sanitizers don't look.
#[test]
fn memory_is_in_order_inside_the_library() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build(&folder, "beyond_acknowledge", &ours, &["-g"]);
    let mut command = Command::new("valgrind");
    command.args([
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
        "--show-leak-kinds=definite,indirect",
    ]);
    run_with_broker(command.arg(binary), &ours);
}

fn check(program: &str, flags: &[&str]) {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build(&folder, program, &ours, flags);
    run_with_broker(Command::new("timeout").arg("100").arg(binary), &ours);
}

fn run_with_broker(command: &mut Command, library: &Scratch) {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(Config::listen(address)).expect("a broker");
    let uri = format!("tcp://{}", broker.local_addrs()[0]);
    output(command.arg(uri).env("LD_LIBRARY_PATH", library.path("")));
    broker.stop().expect("the broker ends well");
}

fn build(folder: &Scratch, program: &str, library: &Scratch, flags: &[&str]) -> PathBuf {
    let binary = folder.path(program);
    let source: &Path = &root().join(format!("tests/abi/programs/{program}.c"));
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread"])
            .args(flags)
            .arg(source)
            .arg("-L")
            .arg(library.path(""))
            .args(["-l:libternmq.so.0", "-o"])
            .arg(&binary),
    );
    binary
}
