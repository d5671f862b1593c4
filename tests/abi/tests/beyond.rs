//! What `ternmq.h` has beyond Paho for clients, as C programs see it.
#![allow(missing_docs)]

use std::mem::offset_of;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ternmq::types::beyond::*;
use ternmq_broker::{Broker, Config};
use ternmq_test_abi::memcheck::memcheck;
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

#[test]
fn who_polls_is_told_of_connections_that_are_made_again() {
    check("beyond_again", &["-g", "-fsanitize=address"]);
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
    memcheck("beyond_acknowledge");
}

/// The program that measures; here it shows that each way has all messages.
#[test]
fn every_way_has_all_messages() {
    let (ours, folder) = (installed_library(), Scratch::new());
    let binary = build(&folder, "beyond_cost", &ours, &[]);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(Config::listen(address)).expect("a broker");
    let uri = format!("tcp://{}", broker.local_addrs()[0]);
    for way in [
        "publish", "batch", "publish1", "batch1", "receive", "arrived", "shared", "next",
    ] {
        let said = output(
            Command::new("timeout")
                .arg("60")
                .arg(&binary)
                .args([&uri, way, "5000", "100"])
                .env("LD_LIBRARY_PATH", ours.path("")),
        );
        assert!(said.starts_with(way), "{said}");
    }
    broker.stop().expect("the broker ends well");
}

/// Rows of a struct, its size first, and of its members.
macro_rules! layout {
    ($name:ident { $($c:literal $member:ident),* $(,)? }) => {
        [
            (format!("sizeof({})", stringify!($name)), size_of::<$name>()),
            $((format!("offsetof({}, {})", stringify!($name), $c), offset_of!($name, $member)),)*
        ]
    };
}

/// The structs that no record of Paho has.
#[test]
fn structs_are_laid_out_as_the_header_says() {
    let mut rows = Vec::new();
    rows.extend(layout!(ternmq_publication {
        "struct_size" struct_size, "topic" topic, "payload" payload, "payload_len" payload_len,
        "qos" qos, "retained" retained, "properties" properties, "token" token,
    }));
    rows.extend(layout!(ternmq_message {
        "struct_size" struct_size, "topic" topic, "topic_len" topic_len, "payload" payload, "payload_len" payload_len, "qos" qos,
        "retained" retained, "dup" dup, "packet_id" packet_id, "delivery" delivery,
        "expires_in" expires_in, "held" held,
    }));
    rows.extend(layout!(ternmq_event {
        "struct_size" struct_size, "type" r#type, "token" token,
        "reason" reason, "code" code, "session_present" session_present, "message" message,
    }));
    rows.extend(
        [
            ("TERNMQ_NOTHING", TERNMQ_NOTHING),
            ("TERNMQ_MESSAGE", TERNMQ_MESSAGE),
            ("TERNMQ_DELIVERED", TERNMQ_DELIVERED),
            ("TERNMQ_DROPPED", TERNMQ_DROPPED),
            ("TERNMQ_CONNECTED", TERNMQ_CONNECTED),
            ("TERNMQ_CONNECT_FAILED", TERNMQ_CONNECT_FAILED),
            ("TERNMQ_LOST", TERNMQ_LOST),
            ("TERNMQ_DISCONNECTED", TERNMQ_DISCONNECTED),
            ("TERNMQ_CLOSED", TERNMQ_CLOSED),
            ("TERNMQ_SUBSCRIBED", TERNMQ_SUBSCRIBED),
            ("TERNMQ_UNSUBSCRIBED", TERNMQ_UNSUBSCRIBED),
        ]
        .map(|(name, value)| (name.to_owned(), value as usize)),
    );
    let asserts: String = rows
        .iter()
        .map(|(what, value)| format!("_Static_assert({what} == {value}, \"{what}\");\n"))
        .collect();
    let folder = Scratch::new();
    let source = format!("#include <stddef.h>\n#include \"ternmq.h\"\n{asserts}");
    let source = folder.write("layout.c", &source);
    output(compiler().arg("-fsyntax-only").arg(source));
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
