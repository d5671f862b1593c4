//! Load for any broker, one thread, every message accounted for.
#![forbid(unsafe_code)]

mod crowd;
mod flow;
mod net;
mod options;
mod probe;
mod relay;
mod scenarios;
mod stamp;
mod track;
mod wire;

use std::process::ExitCode;

use clap::Parser;
use options::{Options, Scenario};
use serde_json::{Value, json};

/// Messages or connections are not as they have to be.
const WRONG: u8 = 3;

/// It could not be measured.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse().checked() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("bench-load: {why}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match options.scenario {
        Scenario::Relay => match relay::run(&options) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => Err(error.to_string()),
        },
        Scenario::Conns | Scenario::Churn => crowd::run(&options),
        _ => scenarios::run(&options),
    };
    let (mut report, verdict, status) = match outcome {
        Ok((report, correct)) => (
            report,
            json!({ "finished": true, "correct": correct }),
            if correct { 0 } else { WRONG },
        ),
        Err(why) => (
            json!({}),
            json!({ "finished": false, "correct": false, "first_error": why }),
            FAILED,
        ),
    };
    report["label"] = Value::from(options.label.as_str());
    report["scenario"] = Value::from(options.scenario.name());
    report["verdict"] = verdict;
    println!("{report}");
    ExitCode::from(status)
}
