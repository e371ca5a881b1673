//! `pixmend compare`

use std::path::PathBuf;

use image::RgbImage;

use super::{eval::ByFeatures, print_json, print_line};
use crate::{
    error::{Error, Result},
    picture::Picture,
    restore::evaluate::{figures_of, smallest},
};

/// Arguments of `pixmend compare`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What some program made of a photo
    #[arg(value_name = "RESULT")]
    result: PathBuf,
    /// What the photo was, of the same size
    #[arg(value_name = "ORIGINAL")]
    original: PathBuf,
    /// How many times it was enlarged: as many border pixels do not count, as in papers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    scale: u32,
    #[command(flatten)]
    by_features: ByFeatures,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { result, original, scale, .. } = arguments;
    let open = |path| -> Result<RgbImage> { Ok(Picture::open(path)?.pixels.into_rgb8()) };
    let (made, truth) = (open(result)?, open(original)?);
    let refused = |reason: String| Error::Mismatch { path: result.clone(), reason };
    if made.dimensions() != truth.dimensions() {
        let ((width, height), (other_width, other_height)) =
            (made.dimensions(), truth.dimensions());
        return Err(refused(format!(
            "it has {width} x {height} pixels and the original {other_width} x {other_height}"
        )));
    }
    let perceptual = arguments.by_features.open()?;
    if made.width().min(made.height()) < smallest(*scale, perceptual.as_ref()) {
        return Err(refused("the picture is too small to be scored".to_owned()));
    }
    let figures = figures_of(&made, &truth, None, *scale, perceptual.as_ref())?;
    if arguments.json {
        return print_json(&figures);
    }
    let score = figures.score;
    print_line(&format!("{:.3} dB PSNR and {:.4} SSIM on Y", score.psnr, score.ssim))?;
    if let Some((distance, by)) = figures.distance.zip(perceptual) {
        print_line(&format!("{distance:.4}: {}, smaller is better", by.name()))?;
    }
    Ok(())
}
