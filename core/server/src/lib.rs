//! The command `ternmq`: MQTT server and command line client. A library only so that the configuration
//! can be read without a server.
#![forbid(unsafe_code)]

mod bans;
mod cli;
mod config;
mod connection;
mod data;
mod limits;
mod listeners;
mod passwd;
mod publish;
mod rates;
mod report;
mod serve;
mod shares;
mod slow;
mod subscribe;
mod topics;
mod users;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

pub use crate::bans::read_text as read_bans;
pub use crate::config::{Settings, read_text};

/// Runs the command with the arguments of the process.
pub fn main() -> ExitCode {
    let outcome = match &Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Passwd(args) => passwd::run(args),
        Command::Publish(args) => publish::run(args),
        Command::Subscribe(args) => subscribe::run(args),
    };
    outcome.unwrap_or_else(|text| {
        report::error(&text);
        ExitCode::FAILURE
    })
}
