//! Many threads at once on handles that others destroy: nothing breaks, hangs or is told twice; `races` looks for races.
#![allow(missing_docs)]

use std::net::SocketAddr;
use std::process::Command;

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root};

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
fn sixty_four_threads_with_files_leak_nothing() {
    for (program, name) in [("storm", "paho-mqtt3c"), ("async_storm", "paho-mqtt3a")] {
        weather(program, name, &["-g", "-fsanitize=address", "-DSTORE"]);
    }
}

fn weather(program: &str, name: &str, flags: &[&str]) {
    let (ours, folder) = (installed_library(), Scratch::new());
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
    output(
        Command::new("timeout")
            .arg("120")
            .arg(binary)
            .arg(uri)
            .arg(folder.path("files"))
            .env("LD_LIBRARY_PATH", ours.path("")),
    );
    broker.stop().expect("the broker ends well");
}
