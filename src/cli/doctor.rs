//! `pixmend doctor`

use std::{path::PathBuf, sync::atomic::Ordering};

use serde::Serialize;

use super::{interrupted, print_json, print_line};
use crate::{
    error::{Error, Result},
    model::Model,
    settings::DEFAULT_MODEL,
    train::{
        TrainOptions,
        doctor::{Checkup, Plan, examine},
    },
};

/// Arguments of `pixmend doctor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photos to learn from: files and folders
    #[arg(value_name = "PHOTOS", required = true)]
    photos: Vec<PathBuf>,
    /// The model that is to learn from them
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_MODEL)]
    base: String,
    /// Side of the small crops in pixels, as training takes it
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(8..=512))]
    crop: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    checkup: &'a Checkup,
    /// Missing if the photos are too few.
    plan: Option<&'a Plan>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let crop = arguments.crop * Model::find(&arguments.base)?.scale();
    let interrupted = interrupted();
    let checkup = examine(&arguments.photos, crop, |_, _| {
        if interrupted.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    })?;
    let TrainOptions { validation_share, test_share, .. } = TrainOptions::default();
    let plan = checkup.plan(validation_share, test_share);
    if arguments.json {
        return print_json(&Answer { checkup: &checkup, plan: plan.as_ref().ok() });
    }
    for photo in checkup.photos.iter().filter(|photo| !photo.problems.is_empty()) {
        let problems: Vec<String> = photo.problems.iter().map(|each| each.sentence()).collect();
        let word = if photo.kept { "kept" } else { "better left out" };
        print_line(&format!("{}: {} ({word})", photo.path.display(), problems.join("; ")))?;
    }
    let (all, kept) = (checkup.photos.len(), checkup.kept().len());
    print_line(&format!("{kept} of {all} photos are fit to learn from"))?;
    let plan = plan?;
    print_line(&format!(
        "{} to learn from, {} to choose by, {} for the verdict; {}",
        plan.train.len(),
        plan.validation.len(),
        plan.test.len(),
        plan.advice
    ))
}
