//! The command `ternmq`: MQTT server and command line client.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod data;
mod report;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let outcome = match &Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        _ => Err("soon".into()),
    };
    outcome.unwrap_or_else(|text| {
        report::error(&text);
        ExitCode::FAILURE
    })
}
