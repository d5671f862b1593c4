//! The command `ternmq`: MQTT server and command line client. A library too, so that others can be the
//! command, as the Python package is, and that the configuration can be read without a server.
#![forbid(unsafe_code)]

mod access;
mod background;
mod bans;
mod bench;
mod cli;
mod config;
mod connection;
mod control;
mod data;
mod drain;
mod explain;
mod http;
mod import;
mod jwt;
mod listeners;
mod log;
mod metrics;
mod notify;
mod output;
mod passwd;
mod pid_file;
mod progress;
mod properties;
mod publish;
mod rates;
mod reload;
mod report;
mod request;
mod serve;
mod shares;
mod slow;
mod steps;
mod store;
mod subscribe;
mod topics;
mod trace;
mod users;

use std::ffi::OsString;

use clap::Parser;

use crate::cli::{Cli, Command};

pub use crate::bans::read_text as read_bans;
pub use crate::config::{Settings, read_text};

/// Exit statuses of every command; some have more.
const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

/// Runs the command, and returns the exit status. The first of `arguments` is what it is called by:
/// its help says so.
///
/// To be called from `main`: it takes the signals of the process, talks to its standard streams, and
/// ends the process when the broker fails or somebody loses patience with a server that is stopping.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        // A wrong argument, or a question for help, which is no error.
        Err(answer) => {
            // Nobody reading it changes nothing.
            let _ = answer.print();
            return u8::try_from(answer.exit_code()).unwrap_or(FAILURE);
        }
    };
    let outcome = match &cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Start(args) => background::start(args, &arguments),
        Command::Stop(args) => background::stop(args),
        Command::Status(args) => background::status(args),
        Command::Trace(args) => trace::run(args),
        Command::Config(args) => config::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Import(args) => import::run(args),
        Command::Passwd(args) => passwd::run(args),
        Command::Store(args) => store::run(args),
        Command::Publish(args) => publish::run(args),
        Command::Subscribe(args) => subscribe::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Ask(args) => request::run(args),
    };
    outcome.unwrap_or_else(|text| {
        report::error(&text);
        FAILURE
    })
}
