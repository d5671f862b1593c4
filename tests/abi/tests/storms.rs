//! Many threads at once on handles that others destroy: nothing breaks, hangs or is told twice.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::process::Command;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root};

/// The thread sanitizer sees what the C program does with its memory and what it hands to the library.
/// The library's own locks are futexes, which it can't see, so what the library calls itself is left out;
/// races inside are for the compiler of the library to refuse.
const SUPPRESSIONS: &str = "called_from_lib:libternmq.so\n";

#[test]
fn sixty_four_threads_on_blocking_clients() {
    weather("storm", "paho-mqtt3c", &[]);
}

#[test]
fn sixty_four_threads_on_async_clients() {
    weather("async_storm", "paho-mqtt3a", &[]);
}

#[test]
fn sixty_four_threads_on_blocking_clients_leak_nothing() {
    weather("storm", "paho-mqtt3c", &["-g", "-fsanitize=address"]);
}

#[test]
fn sixty_four_threads_on_async_clients_leak_nothing() {
    weather("async_storm", "paho-mqtt3a", &["-g", "-fsanitize=address"]);
}

#[test]
fn sixty_four_threads_on_blocking_clients_do_not_race() {
    weather("storm", "paho-mqtt3c", &["-g", "-fsanitize=thread"]);
}

#[test]
fn sixty_four_threads_on_async_clients_do_not_race() {
    weather("async_storm", "paho-mqtt3a", &["-g", "-fsanitize=thread"]);
}

fn weather(program: &str, name: &str, flags: &[&str]) {
    let (ours, folder) = (installed_library(), Scratch::new());
    let suppressions = folder.write("suppressions", SUPPRESSIONS);
    let binary = folder.path(program);
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread"])
            .args(flags)
            .arg(root().join(format!("tests/abi/programs/{program}.c")))
            .arg("-L")
            .arg(ours.path(""))
            .arg(format!("-l{name}"))
            .arg("-o")
            .arg(&binary),
    );
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(Config::listen(address)).expect("a broker");
    let uri = format!("tcp://{}", broker.local_addrs()[0]);
    let options = format!("suppressions={}", suppressions.display());
    output(
        Command::new("timeout")
            .arg("120")
            .arg(binary)
            .arg(uri)
            .env("LD_LIBRARY_PATH", ours.path(""))
            .env("TSAN_OPTIONS", options),
    );
    broker.stop().expect("the broker ends well");
}
