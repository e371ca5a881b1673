//! `pixmend models`

use std::path::PathBuf;

use serde::Serialize;

use super::{print_json, print_line};
use crate::{error::Result, model::Model, net::NetworkConfig, settings::Existing};

/// Arguments of `pixmend models`.
#[derive(Debug, clap::Subcommand)]
pub enum Arguments {
    /// List the models that can be named
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Say what a model is
    Show {
        /// Name of a shipped model, or a model file
        #[arg(value_name = "NAME|FILE")]
        model: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write a model to a file
    Export {
        /// Name of a shipped model, or a model file
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
    },
}

#[derive(Serialize)]
struct Listing {
    models: Vec<About>,
}

#[derive(Serialize)]
struct About {
    name: String,
    /// Output size over input size.
    scale: u32,
    /// Whether it fills what a mask marks.
    takes_mask: bool,
    parameters: usize,
    bytes: usize,
    network: NetworkConfig,
}

impl About {
    fn of(model: &Model) -> Self {
        Self {
            name: model.name().to_owned(),
            scale: model.scale(),
            takes_mask: model.takes_mask(),
            parameters: model.config().parameters(),
            bytes: model.bytes().len(),
            network: model.config(),
        }
    }

    fn line(&self) -> String {
        let Self { name, scale, takes_mask, parameters, bytes, .. } = self;
        let job = match (scale, takes_mask) {
            (_, true) => "fills a mask".to_owned(),
            (1, _) => "keeps the size".to_owned(),
            _ => format!("enlarges {scale}x"),
        };
        let mebibytes = *bytes as f64 / f64::from(1 << 20);
        format!("{name}: {job}, {parameters} parameters, {mebibytes:.1} MiB")
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    match arguments {
        Arguments::List { json } => {
            let models: Result<Vec<About>> =
                Model::shipped().map(|name| Ok(About::of(&Model::find(name)?))).collect();
            let models = models?;
            if *json {
                return print_json(&Listing { models });
            }
            models.iter().try_for_each(|model| print_line(&model.line()))
        }
        Arguments::Show { model, json } => {
            let about = About::of(&Model::find(model)?);
            if *json { print_json(&about) } else { print_line(&about.line()) }
        }
        Arguments::Export { model, to, half, overwrite } => {
            let model = Model::find(model)?;
            let model = if *half { model.halved()? } else { model };
            let existing = if *overwrite { Existing::Replace } else { Existing::Refuse };
            let path = model.save(to, existing)?;
            print_line(&path.display().to_string())
        }
    }
}
