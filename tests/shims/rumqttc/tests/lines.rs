//! The shim keeps to what tests/shims/README.md says of all: a line for each step, and a calm end.
//! The interop tests run what cargo builds for this.
#![allow(missing_docs)]

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

#[test]
fn it_tells_of_what_fails_and_ends_with_its_input() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener); // Nobody listens there now.
    let mut shim = Command::new(env!("CARGO_BIN_EXE_shim-rumqttc"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the shim starts");
    let mut input = shim.stdin.take().expect("its input");
    writeln!(
        input,
        "connects host=127.0.0.1 port={port} version=4 client_id=a"
    )
    .expect("it reads");
    drop(input);
    let output = shim.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stdout).expect("lines of text");
    assert!(output.status.success(), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("failed"), "{said}");
}
