//! `pixmend upscale`

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{interrupted, print_json, tell};
use crate::{
    device::Chosen,
    error::{Error, Result},
    model::Model,
    picture::{Format, Metadata, Picture, PictureWriter, formats::Header},
    restore::{self, Monitor, Patch, Progress, Receipt, Start, UpscaleOptions, strips::Strips},
    settings::{DEFAULT_MODEL, Existing},
};

/// Arguments of `pixmend upscale`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to enlarge: JPEG, PNG, WebP, TIFF or BMP
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Result; the ending names its format [default: IN with -4x before its ending]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// How many times larger
    #[arg(long, default_value_t = 4.0)]
    scale: f64,
    /// Name of a shipped model, or a model file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_MODEL)]
    model: String,
    /// auto, gpu, cpu or the name of an adapter
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Side of a tile in pixels of the photo [default: what suits the device]
    #[arg(long, value_name = "N")]
    tile: Option<u32>,
    /// Replace the result if it exists
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object about what was done
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    output: String,
    #[serde(flatten)]
    receipt: Receipt,
    peak_memory_bytes: Option<u64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let model = Model::find(&arguments.model)?;
    let picture = Picture::open(&arguments.input)?;
    let options = UpscaleOptions { scale: arguments.scale, tile: arguments.tile };
    let size = options.output_size(picture.size(), &model)?;

    // What can fail is tried before the long part.
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => picture.default_output(options.scale),
    };
    let existing = match (arguments.overwrite, &arguments.output) {
        (true, _) => Existing::Replace,
        (false, Some(_)) => Existing::Refuse,
        (false, None) => Existing::Number,
    };
    if path.is_dir() {
        return Err(Error::Directory { path });
    }
    // A link that leads nowhere takes the name, too.
    if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
        return Err(Error::Exists { path });
    }
    if same_file(&path, &arguments.input) {
        return Err(Error::OutputIsInput { path });
    }
    let format =
        Format::of_path(&path).ok_or_else(|| Error::UnknownFormat { path: path.clone() })?;
    format.check_size(size.0, size.1, &path)?;
    let device = Chosen::by_name(&arguments.device)?;
    if let Some(note) = device.note() {
        tell(&format!("note: {note}"));
    }
    let mut monitor = ToFile {
        path: &path,
        metadata: picture.metadata.clone(),
        bar: bar(arguments.json),
        interrupted: interrupted(),
        parts: None,
    };
    let receipt = restore::upscale(&picture, &model, &device, &options, &mut monitor)?;
    let output = monitor.finish(existing)?;
    for loss in format.losses(picture.pixels.color(), &picture.metadata) {
        tell(&format!("note: {loss}"));
    }
    if arguments.json {
        return print_json(&Report {
            output: output.to_string_lossy().into_owned(),
            receipt,
            peak_memory_bytes: peak_memory(),
        });
    }
    tell(&format!(
        "{} ({} x {} pixels, {:.1} s on {})",
        output.display(),
        size.0,
        size.1,
        receipt.seconds,
        receipt.device
    ));
    Ok(())
}

/// Whether two paths are one file, through links too.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn bar(hidden: bool) -> ProgressBar {
    if hidden || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:32} {msg}";
    ProgressBar::new(1).with_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// Writes the result while it comes, and shows how far it is.
struct ToFile<'a> {
    path: &'a Path,
    metadata: Metadata,
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    parts: Option<(PictureWriter, Strips)>,
}

impl ToFile<'_> {
    fn finish(self, existing: Existing) -> Result<PathBuf> {
        self.bar.finish_and_clear();
        match self.parts {
            Some((writer, _)) => writer.finish(existing),
            None => Err(Error::Cancelled),
        }
    }
}

impl Monitor for ToFile<'_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        let header = Header {
            width: start.size.0,
            height: start.size.1,
            color: start.color,
            metadata: std::mem::take(&mut self.metadata),
        };
        let writer = PictureWriter::create(self.path, header)?;
        self.parts = Some((writer, Strips::new(start.size.0, start.color)));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
        let left = progress.remaining.map_or_else(
            || "measuring".to_owned(),
            |left| format!("{} left", indicatif::HumanDuration(left)),
        );
        let megapixels = |pixels: u64| pixels as f64 / 1e6;
        self.bar.set_message(format!(
            "{:.1} of {:.1} Mpx, {left}",
            megapixels(progress.done),
            megapixels(progress.total)
        ));
        Ok(())
    }

    fn patch(&mut self, patch: Patch) -> Result<()> {
        if let Some((writer, strips)) = &mut self.parts
            && let Some(rows) = strips.push(patch)
        {
            writer.push(rows)?;
        }
        Ok(())
    }

    fn note(&mut self, note: &str) {
        self.bar.suspend(|| tell(&format!("note: {note}")));
    }
}

/// The most memory this process has had, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let most = getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss();
        // Linux and the BSDs count kibibytes, macOS bytes.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        Some(u64::try_from(most).ok()? * unit)
    }
    #[cfg(not(unix))]
    None
}
