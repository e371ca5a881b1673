//! `pixmend models`

use std::path::PathBuf;

use serde::Serialize;

use super::{print_json, print_line, tell};
use crate::{
    error::{Error, Result},
    model::{
        Model,
        library::{self, About},
    },
    net::NetworkConfig,
    settings::Existing,
};

/// Arguments of `pixmend models`.
#[derive(Debug, clap::Subcommand)]
pub enum Arguments {
    /// List the models that can be named
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Add models of others (.pth, .safetensors, ncnn), which can then be named
    ///
    /// Each is checked, tried on a small picture, and kept in the folder of the program.
    Import {
        /// Model files, or folders of them; either file of an ncnn model
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Replace models of the same names
        #[arg(long)]
        overwrite: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove a model that was added
    Remove {
        /// Its name
        name: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Say what a model is
    Show {
        /// Name of a model, or a model file
        #[arg(value_name = "NAME|FILE")]
        model: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write a model to a file
    Export {
        /// Name of a model, or a model file
        #[arg(value_name = "NAME|FILE")]
        model: String,
        /// The file
        #[arg(long, value_name = "FILE.safetensors")]
        to: PathBuf,
        /// Write numbers of 16 bit: half the size, and a rounding that is rarely seen
        #[arg(long)]
        half: bool,
        /// Replace the file if it exists
        #[arg(long)]
        overwrite: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Listing {
    models: Vec<About>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    about: About,
    network: &'a NetworkConfig,
}

fn line(about: &About) -> String {
    let About { name, architecture, scale, colours, takes_mask, parameters, bytes, .. } = about;
    let job = match (scale, takes_mask) {
        _ if about.gives_colours => "gives grey photos their colours".to_owned(),
        (_, true) => "fills a mask".to_owned(),
        (1, _) => "keeps the size".to_owned(),
        _ => format!("enlarges {scale}x"),
    };
    let job = if *colours == 1 { format!("{job}, each colour apart") } else { job };
    let mebibytes = *bytes as f64 / f64::from(1 << 20);
    let line =
        format!("{name}: {architecture}, {job}, {parameters} parameters, {mebibytes:.1} MiB");
    match about.job {
        Some(job) => format!("{line}; {job}"),
        None => line,
    }
}

fn print_all(models: Vec<About>, json: bool) -> Result<()> {
    if json {
        return print_json(&Listing { models });
    }
    models.iter().try_for_each(|model| print_line(&line(model)))
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    match arguments {
        Arguments::List { json } => {
            let (models, broken) = library::list();
            broken.iter().for_each(|error| tell(&error.sentence()));
            print_all(models, *json)
        }
        Arguments::Import { files, overwrite, json } => {
            let existing = if *overwrite { Existing::Replace } else { Existing::Refuse };
            let (added, mut failed) = library::add_all(files, existing, || Ok(()))?;
            let last = failed.pop();
            failed.iter().for_each(|error| tell(&error.sentence()));
            if added.is_empty() && last.is_none() {
                return Err(Error::Setting("there is no model file to import there".to_owned()));
            }
            print_all(added.iter().map(About::of).collect(), *json)?;
            last.map_or(Ok(()), Err)
        }
        Arguments::Remove { name, json } => {
            library::remove(name)?;
            if *json { print_json(&serde_json::json!({ "removed": name })) } else { Ok(()) }
        }
        Arguments::Show { model, json } => {
            let model = Model::find(model)?;
            let shown = Shown { about: About::of(&model), network: model.config() };
            if *json { print_json(&shown) } else { print_line(&line(&shown.about)) }
        }
        Arguments::Export { model, to, half, overwrite, json } => {
            let model = Model::find(model)?;
            let model = if *half { model.halved()? } else { model };
            let existing = if *overwrite { Existing::Replace } else { Existing::Refuse };
            let path = model.save(to, existing)?;
            if *json {
                return print_json(&serde_json::json!({ "output": path }));
            }
            print_line(&path.display().to_string())
        }
    }
}
