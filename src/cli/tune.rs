//! `pixmend tune`

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use serde::Serialize;

use super::{interrupted, print_json, tell, train::merged};
use crate::{
    device::Chosen,
    error::{Error, Result},
    settings::{self, Existing},
    train::{
        TrainOptions,
        tune::{Method, Stage, Tuned, tune},
    },
};

/// Arguments of `pixmend tune`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photos to learn from: files and folders; those of the recipe if none are given
    #[arg(value_name = "PHOTOS", required_unless_present = "recipe")]
    photos: Vec<PathBuf>,
    /// The recipe that is found, for `pixmend train --recipe`; what was tried goes into a report
    /// beside it
    #[arg(short, long, value_name = "RECIPE.toml")]
    output: PathBuf,
    /// How long to look for it
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// How to look for it
    #[arg(long, value_enum, default_value_t)]
    method: Method,
    /// TOML file with the usual settings; those given here go before it
    #[arg(long, value_name = "FILE.toml")]
    recipe: Option<PathBuf>,
    /// auto, gpu, cpu or the name of an adapter
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Replace the recipe if it exists
    #[arg(long)]
    overwrite: bool,
    /// Print a JSON object for each change of what is done and for the result, one a line
    #[arg(long)]
    json_events: bool,
    #[command(flatten)]
    options: TrainOptions,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Tuning(&'a Stage),
    Tuned { output: &'a Path, found: &'a Tuned },
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { output, json_events, .. } = arguments;
    let report = output.with_extension("report.json");
    let taken = |path: &&&Path| path.symlink_metadata().is_ok();
    if !arguments.overwrite
        && let Some(path) = [output.as_path(), &report].iter().find(taken)
    {
        return Err(Error::Exists { path: (*path).to_owned() });
    }
    let mut options = merged("tune", arguments.recipe.as_deref(), &arguments.options)?;
    if !arguments.photos.is_empty() {
        options.photos.clone_from(&arguments.photos);
    }
    let device = Chosen::by_name(&arguments.device)?;
    let interrupted = interrupted();
    let mut told = String::new();
    let mut watch = |stage: &Stage| {
        // Steps are counted behind a colon.
        let doing = stage.doing.split(':').next().unwrap_or_default();
        if doing != told {
            doing.clone_into(&mut told);
            match json_events {
                true => print_json(&Event::Tuning(stage))?,
                false => tell(&format!("{:3.0} %: {}", 100.0 * stage.share, stage.doing)),
            }
        }
        if interrupted.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    };
    let found = tune(options, arguments.method, arguments.minutes, device, &mut watch)?;

    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    // Whoever trains by it says on which photos.
    let recipe = TrainOptions { photos: Vec::new(), ..found.options.clone() };
    let failed = |error: &dyn std::fmt::Display| Error::Setting(error.to_string());
    let text = toml::to_string(&recipe).map_err(|error| failed(&error))?;
    settings::write(output, text.as_bytes(), existing)?;
    let text = serde_json::to_string(&found).map_err(|error| failed(&error))?;
    settings::write(&report, text.as_bytes(), existing)?;
    if *json_events {
        return print_json(&Event::Tuned { output, found: &found });
    }
    tell(&found.sentence);
    tell(&output.display().to_string());
    Ok(())
}
