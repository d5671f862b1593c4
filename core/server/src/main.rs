//! The command `ternmq`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ternmq_server::main()
}
