//! `ternmq config`.

use serde_json::{Value, json};

use super::{Loaded, Sources, explain, json_schema, print};
use crate::cli::{ConfigArgs, ConfigCommand};

/// The exit status for a configuration that is wrong, and for a key that is none.
const WRONG: u8 = 2;

pub(crate) fn run(args: &ConfigArgs) -> Result<u8, String> {
    match &args.command {
        ConfigCommand::Check { file, json } => Ok(check(file.clone(), *json)),
        ConfigCommand::Explain { key, sources, json } => {
            let places = match explain::find(key) {
                Ok(places) => places,
                Err(problem) => {
                    crate::report::error(&problem.to_string());
                    return Ok(WRONG);
                }
            };
            let Loaded { map, .. } = load(sources)?;
            if *json {
                let all: Vec<Value> = (places.iter())
                    .map(|place| explain::json(place, &map))
                    .collect();
                crate::report::line(&Value::from(all).to_string());
            } else {
                let all: Vec<String> = (places.iter())
                    .map(|place| explain::text(place, &map))
                    .collect();
                print!("{}", all.join("\n"));
            }
            Ok(crate::SUCCESS)
        }
        ConfigCommand::Show { sources } => {
            print!("{}", explain::show(&load(sources)?.map));
            Ok(crate::SUCCESS)
        }
        ConfigCommand::Schema => {
            println!("{:#}", json_schema::schema());
            Ok(crate::SUCCESS)
        }
        ConfigCommand::Default => {
            print!("{}", print::default_file());
            Ok(crate::SUCCESS)
        }
        ConfigCommand::Reference => {
            print!("{}", print::reference());
            Ok(crate::SUCCESS)
        }
    }
}

fn load(sources: &Sources) -> Result<Loaded, String> {
    sources.load().map_err(|problems| problems.to_string())
}

fn check(file: Option<std::path::PathBuf>, json: bool) -> u8 {
    let sources = Sources {
        config: file,
        ..Sources::default()
    };
    let loaded = sources.load().and_then(|loaded| {
        super::outside::check(&loaded)?;
        Ok(loaded)
    });
    let (problems, warnings) = match &loaded {
        Ok(loaded) => (&[][..], &loaded.warnings[..]),
        Err(problems) => (problems.list(), &[][..]),
    };
    if json {
        let list = |list: &[super::problem::Problem]| -> Value {
            list.iter().map(|problem| problem.json()).collect()
        };
        let told = json!({ "ok": loaded.is_ok(), "problems": list(problems),
            "warnings": list(warnings) });
        crate::report::line(&told.to_string());
    } else {
        for warning in warnings {
            anstream::eprintln!("warning: {warning}");
        }
        for problem in problems {
            crate::report::error(&problem.to_string());
        }
        if loaded.is_ok() {
            crate::report::line("the configuration is right");
        }
    }
    match loaded {
        Ok(_) => crate::SUCCESS,
        Err(_) => WRONG,
    }
}
