//! `assay packs`: the specs that come with the program.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Done, print};
use crate::exit::Exit;
use crate::packs::{PACKS, find};

/// Flags of `packs`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The pack to print; without it all are listed
    name: Option<String>,
    /// Form of the list
    #[arg(long, value_enum, default_value_t, conflicts_with = "name")]
    format: Form,
}

/// Forms of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Form {
    /// For a person
    #[default]
    Human,
    /// One JSON object
    Json,
}

/// Runs `assay packs`.
pub(super) fn run(arguments: &Arguments) -> Done {
    let text = match (&arguments.name, arguments.format) {
        (Some(name), _) => {
            // As specs name it, too.
            let name = name.strip_prefix("pack:").unwrap_or(name);
            find(name).map_err(anyhow::Error::msg)?.spec.to_owned()
        }
        (None, Form::Human) => list(),
        (None, Form::Json) => {
            let packs = PACKS.iter().map(|pack| {
                json!({"name": pack.name, "source": format!("pack:{}", pack.name), "summary": pack.summary})
            });
            let packs: Vec<Value> = packs.collect();
            let document = json!({"schemaVersion": 1, "packs": packs});
            format!("{}\n", serde_json::to_string_pretty(&document)?)
        }
    };
    print(&text)?;
    Ok(Exit::Pass)
}

fn list() -> String {
    let width = PACKS.iter().map(|pack| pack.name.len()).max().unwrap_or(0);
    let mut list = String::new();
    for pack in PACKS {
        // Writing to a String cannot fail.
        let _ = writeln!(list, "{:width$}  {}", pack.name, pack.summary);
    }
    list
}
