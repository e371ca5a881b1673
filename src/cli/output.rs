//! What commands that make a picture share: where it goes, and how it gets there.

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
    encoding::{Encoding, Writing},
    error::{Error, Result},
    picture::{Format, Picture},
    restore::{Monitor, Patch, Progress, Start, file::ResultFile, report::Report},
    settings::Existing,
};

/// Where a result goes.
#[derive(Debug, clap::Args)]
pub struct Destination {
    /// Result; the ending names its format [default: beside IN, named after what was done]. For
    /// many photos, the folder for their results
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Replace the result if it exists
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Leave out where the photo was made, from EXIF, XMP and IPTC
    #[arg(long)]
    strip_location: bool,
    #[command(flatten, next_help_heading = "Compression")]
    encoding: Encoding,
    /// Save what was done beside the result, as JSON: photo-4x.png.json
    #[arg(long)]
    pub(super) receipt: bool,
    /// Print one JSON object about what was done; for many photos, one for each thing that happens
    #[arg(long)]
    pub(super) json: bool,
}

/// A result that can be written, as far as that is known beforehand.
pub(super) struct Target {
    path: PathBuf,
    existing: Existing,
    format: Format,
    writing: Writing,
    receipt: bool,
    json: bool,
}

impl Destination {
    /// How results are written.
    pub(super) const fn writing(&self) -> Writing {
        Writing { encoding: self.encoding, strip_location: self.strip_location }
    }

    /// Finds out what would fail when the long part is done.
    pub(super) fn target(
        &self,
        input: &Path,
        default: PathBuf,
        size: (u32, u32),
    ) -> Result<Target> {
        let existing = match (self.overwrite, &self.output) {
            (true, _) => Existing::Replace,
            (false, Some(_)) => Existing::Refuse,
            (false, None) => Existing::Number,
        };
        let path = self.output.clone().unwrap_or(default);
        let format = writable(&path, existing, &[input])?;
        format.check_size(size.0, size.1, &path)?;
        Ok(Target {
            path,
            existing,
            format,
            writing: self.writing(),
            receipt: self.receipt,
            json: self.json,
        })
    }
}

impl Target {
    /// The ending says that not all pixels will be kept as they are.
    pub(super) const fn is_lossy(&self) -> bool {
        matches!(self.format, Format::Jpeg)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn format(&self) -> Format {
        self.format
    }

    pub(super) const fn writing(&self) -> Writing {
        self.writing
    }

    /// Tells something before the long part, unless only JSON was asked for.
    pub(super) fn tell(&self, line: &str) {
        if !self.json {
            tell(line);
        }
    }

    /// Runs a job into the file, and says what was done: `sentence` of its receipt, or the receipt.
    pub(super) fn fill<R: Serialize>(
        self,
        picture: &Picture,
        dpi: Option<u32>,
        run: impl FnOnce(&mut dyn Monitor) -> Result<R>,
        sentence: impl FnOnce(&R) -> String,
    ) -> Result<()> {
        let metadata = picture.metadata.for_result(self.writing.strip_location, dpi);
        let mut monitor = ToFile {
            file: ResultFile::new(self.path, metadata.clone(), self.writing.encoding),
            bar: bar(self.json),
            interrupted: interrupted(),
        };
        let receipt = run(&mut monitor)?;
        monitor.bar.finish_and_clear();
        let output = monitor.file.finish(self.existing, &mut |_, _| Ok(()))?;
        for loss in self.format.losses(picture.pixels.color(), &metadata) {
            tell(&format!("note: {loss}"));
        }
        let done = sentence(&receipt);
        let report = Report {
            output: output.to_string_lossy().into_owned(),
            receipt,
            metadata: self.format.fates(picture.pixels.color(), &metadata),
            peak_memory_bytes: peak_memory(),
        };
        if self.receipt {
            // It may not fail where the result did not.
            let replaces = self.existing == Existing::Replace;
            report.save(if replaces { Existing::Replace } else { Existing::Number })?;
        }
        if self.json {
            return print_json(&report);
        }
        tell(&format!("{} ({done})", output.display()));
        Ok(())
    }
}

/// The format of a picture that is to be written, if it can be: to a name that is not taken, and is
/// none of these files.
pub(super) fn writable(path: &Path, existing: Existing, others: &[&Path]) -> Result<Format> {
    let named = || path.to_owned();
    if path.is_dir() {
        return Err(Error::Directory { path: named() });
    }
    // A link that leads nowhere takes the name, too.
    if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
        return Err(Error::Exists { path: named() });
    }
    if others.iter().any(|other| *other == path || same_file(path, other)) {
        return Err(Error::OutputIsInput { path: named() });
    }
    Format::of_path(path).ok_or_else(|| Error::UnknownFormat { path: named() })
}

/// Whether two paths are one file, through links too.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// A bar on a terminal.
pub(super) fn bar(hidden: bool) -> ProgressBar {
    if hidden || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:32} {msg}";
    ProgressBar::new(1).with_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// Moves a bar.
pub(super) fn set_length(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

/// Writes the result while it comes, and shows how far it is.
struct ToFile {
    file: ResultFile,
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Monitor for ToFile {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.file.start(start)
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        set_length(&self.bar, progress);
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
        self.file.push(patch)
    }

    fn note(&mut self, note: &str) {
        self.bar.suspend(|| tell(&format!("note: {note}")));
    }
}

/// The most memory this process has had, in bytes, where the system tells.
pub(super) fn peak_memory() -> Option<u64> {
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
