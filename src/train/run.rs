//! A run in a folder of its own: its recipe, all that it needs to go on, its course, what the
//! weights looked like on the way, and in the end the model and the report.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use image::{ColorType, RgbImage};
use serde::{Deserialize, Serialize};

use super::{StepReport, TrainOptions, Trainer, sample::Sample, verdict::Verdict};
use crate::{
    device::Chosen,
    encoding::Encoding,
    error::{Error, Result},
    picture::{Metadata, Picture, PictureWriter, formats::Header},
    settings::{self, Existing, free_name},
};

/// Files of a run, in its folder.
const RECIPE: &str = "recipe.toml";
const CHECKPOINT: &str = "run.checkpoint";
const SUMMARY: &str = "run.json";
const LOSSES: &str = "losses.csv";
const WEIGHTS: &str = "weights";
const REPORT: &str = "report.json";

/// The folder of the page; with this ending no later run learns from its pictures.
const PAGE: &str = "page.report";

/// Weights of this many looks are kept, beside the best ones.
const KEPT: usize = 4;

/// Weights as they were at a look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// After this many steps.
    pub step: u64,
    /// Mean over the validation photos, in dB.
    pub psnr: f64,
    /// Of its file.
    pub bytes: u64,
}

/// What there is to know of a run without loading it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the model that it makes.
    pub name: String,
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Weights that are kept, oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// Of its folder; only where runs are listed.
    #[serde(skip)]
    pub bytes: u64,
    /// The step of the best ones.
    pub best: Option<u64>,
    /// Mean PSNR of the base over the validation photos, in dB.
    pub base_psnr: f64,
    /// Once the run is over.
    pub verdict: Option<Verdict>,
}

impl Summary {
    /// The page with the verdict.
    #[must_use]
    pub fn page(&self) -> PathBuf {
        self.folder.join(PAGE).join("index.html")
    }

    /// The new model, if it is better than its base.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.folder.join(format!("{}.safetensors", self.name))
    }

    /// The options that `pixmend train --recipe` runs.
    #[must_use]
    pub fn recipe(&self) -> PathBuf {
        self.folder.join(RECIPE)
    }

    /// Weights of a look.
    #[must_use]
    pub fn weights(&self, step: u64) -> PathBuf {
        self.folder.join(WEIGHTS).join(format!("{}-{step:07}.safetensors", self.name))
    }

    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(SUMMARY);
        let text = std::fs::read_to_string(&path).map_err(|error| Error::read(&path, error))?;
        let summary: Self = serde_json::from_str(&text).map_err(|_error| Error::Model {
            name: path.display().to_string(),
            reason: "it is no run of this program".to_owned(),
        })?;
        Ok(Self { folder: folder.to_owned(), ..summary })
    }
}

/// Where runs are kept unless the user says otherwise; `None` where the system has no home folder.
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("io.github", "pixmend", "Pixmend")?;
    Some(dirs.data_dir().join("runs"))
}

/// The runs in a folder, the last one that was worked on first.
#[must_use]
pub fn list(folder: &Path) -> Vec<Summary> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let summaries = entries.filter_map(|entry| Summary::read(&entry.path()).ok());
    let mut runs: Vec<Summary> =
        summaries.map(|summary| Summary { bytes: bytes_in(&summary.folder), ..summary }).collect();
    let touched = |summary: &Summary| {
        std::fs::metadata(summary.folder.join(SUMMARY)).and_then(|about| about.modified()).ok()
    };
    runs.sort_by_key(|summary| std::cmp::Reverse(touched(summary)));
    runs
}

/// Of all files in a folder and in those in it.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| {
        // Of a link, not of what it leads to.
        let about = entry.metadata().ok()?;
        Some(if about.is_dir() { bytes_in(&entry.path()) } else { about.len() })
    });
    bytes.sum()
}

/// Removes a run with all that it holds.
///
/// # Errors
/// [`Error::Model`] for a folder that is no run, or [`Error::Write`].
pub fn delete(folder: &Path) -> Result<()> {
    Summary::read(folder)?;
    // What tells that it is a run goes last: what could not be removed is still listed.
    let entries = std::fs::read_dir(folder).map_err(|error| Error::read(folder, error))?;
    for entry in entries.flatten().filter(|entry| entry.file_name() != SUMMARY) {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let gone =
            if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        gone.map_err(|error| Error::write(&path, error))?;
    }
    std::fs::remove_dir_all(folder).map_err(|error| Error::write(folder, error))
}

/// Loss and rate of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Which step.
    pub step: u64,
    /// Before its update.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
}

/// A run that is worked on.
pub struct Run {
    trainer: Trainer,
    summary: Summary,
    /// All steps so far.
    losses: Vec<Loss>,
    /// Of these, so many are in the file.
    written: usize,
    sample: Sample,
    /// The sample by the weights that are kept.
    tuned: Vec<(u64, Arc<RgbImage>)>,
}

impl Run {
    /// A new run of this name, in a folder of its own in `parent`. The options say which photos and
    /// which base.
    ///
    /// # Errors
    /// As [`Trainer::new`], or those of writing.
    pub fn begin(parent: &Path, name: &str, options: TrainOptions, chosen: Chosen) -> Result<Self> {
        let base = Trainer::base_of(&options)?;
        let trainer = Trainer::new(&options.photos.clone(), base, options, chosen)?;
        std::fs::create_dir_all(parent).map_err(|error| Error::write(parent, error))?;
        let folder = free_name(&parent.join(name));
        let weights = folder.join(WEIGHTS);
        std::fs::create_dir_all(&weights).map_err(|error| Error::write(weights, error))?;
        let sample = Sample::of(&trainer)?;
        let summary = Summary {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder,
            step: 0,
            steps: trainer.options().steps,
            checkpoints: Vec::new(),
            bytes: 0,
            best: None,
            base_psnr: trainer.base_psnr(),
            verdict: None,
        };
        let mut run =
            Self { trainer, summary, losses: Vec::new(), written: 0, sample, tuned: Vec::new() };
        run.write_losses()?;
        run.save()?;
        Ok(run)
    }

    /// Goes on with a run.
    ///
    /// # Errors
    /// As [`Trainer::resume`], or those of reading.
    pub fn resume(folder: &Path, chosen: Chosen) -> Result<Self> {
        let summary = Summary::read(folder)?;
        let trainer = Trainer::resume(&folder.join(CHECKPOINT), &[], chosen)?;
        let sample = Sample::of(&trainer)?;
        let losses = read_losses(&folder.join(LOSSES), trainer.done());
        let tuned = summary.checkpoints.iter().filter_map(|checkpoint| {
            let picture = Picture::open(&picture_of(&summary, checkpoint.step)).ok()?;
            Some((checkpoint.step, Arc::new(picture.pixels.into_rgb8())))
        });
        let tuned = tuned.collect();
        let summary = Summary { step: trainer.done(), ..summary };
        let mut run = Self { trainer, summary, losses, written: 0, sample, tuned };
        run.write_losses()?;
        Ok(run)
    }

    /// Its trainer.
    #[must_use]
    pub const fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// What there is to know of it.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// All steps so far.
    #[must_use]
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// The held-out photo that is shown.
    #[must_use]
    pub const fn sample(&self) -> &Sample {
        &self.sample
    }

    /// The same by the weights that are kept, with their steps.
    #[must_use]
    pub fn tuned(&self) -> &[(u64, Arc<RgbImage>)] {
        &self.tuned
    }

    /// One step; after a look, all is saved.
    ///
    /// # Errors
    /// As [`Trainer::step`], or those of writing.
    pub fn step(&mut self) -> Result<StepReport> {
        let batch = self.trainer.options().batch;
        let report = self.trainer.step()?;
        let StepReport { step, loss, rate, .. } = report;
        self.losses.push(Loss { step, loss, rate });
        if report.batch != batch {
            self.write_recipe()?;
        }
        if let Some(psnr) = report.validation {
            self.keep(psnr)?;
            self.save()?;
        }
        Ok(report)
    }

    /// Keeps the weights of a look, and forgets older ones.
    fn keep(&mut self, psnr: f64) -> Result<()> {
        let step = self.trainer.done();
        let path = self.summary.weights(step);
        self.trainer.latest_model().save(&path, Existing::Replace)?;
        let bytes = std::fs::metadata(&path).map_or(0, |about| about.len());
        let tuned = Arc::new(self.sample.tuned(&self.trainer)?);
        write_picture(&picture_of(&self.summary, step), &tuned)?;
        self.summary.best = self.trainer.best().map(|best| best.step);
        self.summary.checkpoints.push(Checkpoint { step, psnr, bytes });
        self.tuned.push((step, tuned));
        let checkpoints = &self.summary.checkpoints;
        let recent = checkpoints.len().saturating_sub(KEPT);
        let gone = checkpoints[..recent].iter().map(|checkpoint| checkpoint.step);
        let gone: Vec<u64> = gone.filter(|step| Some(*step) != self.summary.best).collect();
        for step in gone {
            // What cannot be removed takes room, no more.
            let _left = std::fs::remove_file(self.summary.weights(step));
            let _left = std::fs::remove_file(picture_of(&self.summary, step));
            self.summary.checkpoints.retain(|checkpoint| checkpoint.step != step);
            self.tuned.retain(|(of, _)| *of != step);
        }
        Ok(())
    }

    /// Writes all that the run needs to go on.
    ///
    /// # Errors
    /// Those of writing; what was saved before is whole then.
    pub fn save(&mut self) -> Result<()> {
        self.write_recipe()?;
        self.trainer.save(&self.summary.folder.join(CHECKPOINT))?;
        self.append_losses()?;
        self.summary.step = self.trainer.done();
        self.write_json(SUMMARY, &self.summary)
    }

    /// The verdict, the page that shows it, and the model if it is better. `each` is asked before
    /// each photo and can end it.
    ///
    /// # Errors
    /// As [`Trainer::verdict`], or those of writing.
    pub fn finish(&mut self, each: impl FnMut() -> Result<()>) -> Result<&Verdict> {
        self.trainer.settle()?;
        self.save()?;
        let trainer = &self.trainer;
        let verdict = trainer.verdict(each)?;
        if verdict.is_better || trainer.is_fresh() {
            trainer.best_model().save(&self.summary.model(), Existing::Replace)?;
        }
        trainer.report(&verdict, &self.summary.folder.join(PAGE))?;
        self.write_json(REPORT, &trainer.record(&verdict))?;
        self.summary.best = trainer.best().map(|best| best.step);
        self.summary.verdict = Some(verdict.clone());
        self.write_json(SUMMARY, &self.summary)?;
        Ok(self.summary.verdict.insert(verdict))
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text =
            serde_json::to_string(value).map_err(|error| Error::Setting(error.to_string()))?;
        settings::write(&self.summary.folder.join(name), text.as_bytes(), Existing::Replace)?;
        Ok(())
    }

    fn write_recipe(&self) -> Result<()> {
        let options = self.trainer.options();
        let text = toml::to_string(options).map_err(|error| Error::Setting(error.to_string()))?;
        settings::write(&self.summary.recipe(), text.as_bytes(), Existing::Replace)?;
        Ok(())
    }

    /// Begins the file of losses anew, with those that belong to the run.
    fn write_losses(&mut self) -> Result<()> {
        let path = self.summary.folder.join(LOSSES);
        settings::write(&path, b"step,loss,rate\n", Existing::Replace)?;
        self.written = 0;
        self.append_losses()
    }

    fn append_losses(&mut self) -> Result<()> {
        let path = self.summary.folder.join(LOSSES);
        let mut text = String::new();
        for Loss { step, loss, rate } in &self.losses[self.written..] {
            // Writing into a string cannot fail.
            let _infallible = writeln!(text, "{step},{loss},{rate}");
        }
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Error::write(&path, error))?;
        self.written = self.losses.len();
        Ok(())
    }
}

/// Losses up to a step; lines that were cut off are left out.
fn read_losses(path: &Path, upto: u64) -> Vec<Loss> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let loss = |line: &str| {
        let mut parts = line.split(',');
        let step = parts.next()?.parse().ok()?;
        Some(Loss { step, loss: parts.next()?.parse().ok()?, rate: parts.next()?.parse().ok()? })
    };
    text.lines().filter_map(loss).filter(|loss| loss.step <= upto).collect()
}

/// The sample by the weights of a look.
fn picture_of(summary: &Summary, step: u64) -> PathBuf {
    summary.weights(step).with_extension("png")
}

fn write_picture(path: &Path, picture: &RgbImage) -> Result<()> {
    let (width, height) = picture.dimensions();
    let header = Header {
        width,
        height,
        color: ColorType::Rgb8,
        metadata: Metadata::default(),
        encoding: Encoding::default(),
    };
    let mut writer = PictureWriter::create(path, header)?;
    writer.push(picture.as_raw().clone())?;
    writer.finish(Existing::Replace)?;
    Ok(())
}
