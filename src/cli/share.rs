//! `pixmend share`

use std::{path::PathBuf, str::FromStr, sync::Arc};

use super::{output::writable, tell};
use crate::{
    error::{Error, Result},
    picture::Picture,
    rect::Rect,
    restore::{
        Mosaic, Patch,
        sheet::{self, Pair},
    },
    settings::Existing,
};

/// Arguments of `pixmend share`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo as it was
    #[arg(value_name = "PHOTO")]
    photo: PathBuf,
    /// What was made of it, larger or of the same size
    #[arg(value_name = "RESULT")]
    result: PathBuf,
    /// Picture of both; the ending names its format [default: beside RESULT, NAME-before-after.png]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Part of the result to show, in its pixels: 800x600+1200+300 is 800 wide and 600 high, 1200
    /// from the left and 300 from the top [default: all]
    #[arg(long, value_name = "WxH+X+Y")]
    crop: Option<Crop>,
    /// Words on the two halves
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], default_values = ["Before", "After"])]
    words: Vec<String>,
    /// Replace OUT if it exists
    #[arg(long)]
    overwrite: bool,
}

/// A part of a picture, as `ImageMagick` writes it.
#[derive(Clone, Copy, Debug)]
struct Crop(Rect);

impl FromStr for Crop {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no part of a picture; write it as 800x600+1200+300");
        let mut parts = text.split(['x', '+']).map(|part| part.parse::<u32>().ok());
        let mut next = || parts.next().flatten().ok_or_else(wrong);
        let (width, height, x, y) = (next()?, next()?, next()?, next()?);
        let fits = x.checked_add(width).is_some() && y.checked_add(height).is_some();
        if parts.next().is_some() || !fits || text.split('+').count() != 3 {
            return Err(wrong());
        }
        Ok(Self(Rect { x, y, width, height }))
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { photo: before, result: after, crop, words, overwrite, .. } = arguments;
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => {
            let mut name = crate::picture::stem(after);
            name.push("-before-after.png");
            after.with_file_name(name)
        }
    };
    let existing = match (overwrite, &arguments.output) {
        (true, _) => Existing::Replace,
        (false, Some(_)) => Existing::Refuse,
        (false, None) => Existing::Number,
    };
    writable(&path, existing, &[before, after])?;
    let (photo, made) = (Picture::open(before)?, Picture::open(after)?);
    check_shapes(&photo, &made, after)?;
    let (width, height) = made.size();
    let color = made.pixels.color();
    let patch = Patch { area: Rect::of_size(width, height), pixels: made.pixels };
    let result = Mosaic { size: (width, height), color, patches: vec![Arc::new(patch)] };
    let pair = Pair { photo: &photo, result: &result, metadata: &made.metadata };
    let [first, second] = [0, 1].map(|place| words.get(place).map_or("", String::as_str));
    let picture = pair.sheet(crop.map(|crop| crop.0), [first, second])?;
    let (wide, high) = picture.dimensions();
    let written = sheet::save(picture, &path, existing)?;
    tell(&format!("{} ({wide} x {high} pixels)", written.display()));
    Ok(())
}

/// That a result has the proportions of its photo, to a pixel of the photo.
fn check_shapes(photo: &Picture, made: &Picture, path: &std::path::Path) -> Result<()> {
    let ((width, height), (wide, high)) = (photo.size(), made.size());
    let [across, down] = [(wide, width), (high, height)].map(|(a, b)| f64::from(a) / f64::from(b));
    let off = (across / down - 1.0).abs() * f64::from(width.max(height));
    if off <= 1.0 + 1.0 / across.min(down) {
        return Ok(());
    }
    let reason = format!(
        "it has {wide} x {high} pixels, which are not the proportions of the photo's {width} x {height}"
    );
    Err(Error::Mismatch { path: path.to_owned(), reason })
}
