//! `pixmend eval`

use std::path::PathBuf;

use super::{print_json, print_line};
use crate::{
    device::Chosen,
    error::Result,
    metric::Score,
    model::Model,
    restore::{UpscaleOptions, evaluate::evaluate},
    settings::DEFAULT_MODEL,
};

/// Arguments of `pixmend eval`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of a shipped model, or a model file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_MODEL)]
    model: String,
    /// Folder of the original pictures
    #[arg(long, value_name = "DIR")]
    hr: PathBuf,
    /// Folder of the small pictures, under the same names [default: made by bicubic shrinking]
    #[arg(long, value_name = "DIR")]
    lr: Option<PathBuf>,
    /// How many times the originals are larger than the small pictures
    #[arg(long, default_value_t = 4)]
    scale: u32,
    /// auto, gpu, cpu or the name of an adapter
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let model = Model::find(&arguments.model)?;
    let device = Chosen::by_name(&arguments.device)?;
    let options = UpscaleOptions { scale: f64::from(arguments.scale), tile: None };
    let line = |name: &str, score: Score, bicubic: Score| {
        format!(
            "{name:<20} {:>8.3} {:>8.4} {:>10.3} {:>8.4}",
            score.psnr, score.ssim, bicubic.psnr, bicubic.ssim
        )
    };
    if !arguments.json {
        print_line(&format!("PSNR in dB and SSIM on Y, {} border pixels shaved", arguments.scale))?;
        print_line(&format!(
            "{:<20} {:>8} {:>8} {:>10} {:>8}",
            "picture", "PSNR", "SSIM", "bicubic", "SSIM"
        ))?;
    }
    let evaluation =
        evaluate(&arguments.hr, arguments.lr.as_deref(), &model, &device, &options, |row| {
            if arguments.json {
                return Ok(());
            }
            print_line(&line(&row.name, row.score, row.bicubic))
        })?;
    if arguments.json {
        return print_json(&evaluation);
    }
    print_line(&line("mean", evaluation.mean, evaluation.bicubic))
}
