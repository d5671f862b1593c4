//! The command `ternmq`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ternmq_server::run(std::env::args_os()).into()
}
