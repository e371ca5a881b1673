//! `pixmend detect`

use std::{path::PathBuf, sync::atomic::Ordering, time::Instant};

use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};
use serde::Serialize;

use super::{
    interrupted,
    output::{peak_memory, same_file},
    print_json, tell,
};
use crate::{
    error::{Error, Result},
    mask::{
        self,
        detect::{DetectOptions, Kind, Repeats, detect},
    },
    picture::{Format, Picture},
    settings::{self, Existing},
};

/// Arguments of `pixmend detect`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to look at
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where the mask goes, a PNG file: white on what was found, black elsewhere
    #[arg(short, long, value_name = "MASK")]
    output: PathBuf,
    /// What to look for: scratches and dust, a watermark that repeats itself all over the photo, or
    /// both
    #[arg(long, value_name = "KIND", default_value = "auto")]
    #[arg(value_parser = Kind::NAMED.map(|(name, _)| name))]
    kind: String,
    /// How little is enough, 0 to 1: with more, more is found, and more that is part of the photo
    #[arg(long, default_value_t = DetectOptions::default().sensitivity)]
    sensitivity: f32,
    /// Replace the mask if it exists
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object about what was found
    #[arg(long)]
    json: bool,
}

/// What was found, in numbers.
#[derive(Serialize)]
struct Found {
    output: String,
    size: (u32, u32),
    scratches: usize,
    specks: usize,
    repeats: Option<Repeats>,
    /// Pixels.
    marked: u64,
    seconds: f64,
    peak_memory_bytes: Option<u64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { input, output, sensitivity, overwrite, json, .. } = arguments;
    if !overwrite && output.symlink_metadata().is_ok() {
        return Err(Error::Exists { path: output.clone() });
    }
    if same_file(output, input) {
        return Err(Error::OutputIsInput { path: output.clone() });
    }
    if Format::of_path(output) != Some(Format::Png) {
        return Err(Error::Setting(format!(
            "the mask {} needs a name that ends in .png",
            output.display()
        )));
    }
    let kind = Kind::named(&arguments.kind).unwrap_or_default();
    let options = DetectOptions { kind, sensitivity: *sensitivity };
    let picture = Picture::open(input)?;
    let (begin, interrupted) = (Instant::now(), interrupted());
    let found = detect(&picture.pixels, options, &mut |_| {
        if interrupted.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    let (width, height) = found.mask.dimensions();
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&found.mask, width, height, ExtendedColorType::L8)
        .map_err(|error| Error::write(output, std::io::Error::other(error)))?;
    let existing = if *overwrite { Existing::Replace } else { Existing::Refuse };
    let written = settings::write(output, &bytes, existing)?;
    if *json {
        return print_json(&Found {
            output: written.to_string_lossy().into_owned(),
            size: (width, height),
            scratches: found.scratches,
            specks: found.specks,
            repeats: found.repeats,
            marked: mask::count(&found.mask),
            seconds,
            peak_memory_bytes: peak_memory(),
        });
    }
    tell(&format!("{} ({})", written.display(), found.in_words(kind)));
    Ok(())
}
