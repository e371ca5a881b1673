//! `pixmend eval`

use std::path::PathBuf;

use super::{print_json, print_line};
use crate::{
    device::Chosen,
    error::Result,
    metric::Score,
    model::{Model, features::Perceptual},
    restore::{
        UpscaleOptions,
        evaluate::{Distance, evaluate},
    },
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
    /// Weights of a feature network: compare by what it sees, too
    ///
    /// VGG-16, VGG-19, AlexNet or SqueezeNet 1.1 of torchvision (.pth or .safetensors), or
    /// SqueezeNet 1.1 of Caffe for ncnn (.param with its .bin beside it); which one it is, is
    /// found out. Smaller distances are better.
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Linear layers of LPIPS 0.1 for that network
    ///
    /// With them and VGG-16, AlexNet or SqueezeNet of torchvision the distance is LPIPS as papers
    /// report it, on whole pictures. With SqueezeNet of Caffe or without these layers it is not:
    /// it compares models here, not with numbers from elsewhere.
    #[arg(long, value_name = "FILE", requires = "features")]
    lpips: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let model = Model::find(&arguments.model)?;
    let features = arguments.features.as_deref();
    let perceptual = features
        .map(|features| Perceptual::open(features, arguments.lpips.as_deref()))
        .transpose()?;
    let device = Chosen::by_name(&arguments.device)?;
    let options = UpscaleOptions { scale: f64::from(arguments.scale), tile: None };
    let line = |name: &str, score: Score, bicubic: Score, distance: Option<Distance>| {
        let distance = distance.map_or_else(String::new, |Distance { model, bicubic }| {
            format!(" {model:>10.4} {bicubic:>8.4}")
        });
        format!(
            "{name:<20} {:>8.3} {:>8.4} {:>10.3} {:>8.4}{distance}",
            score.psnr, score.ssim, bicubic.psnr, bicubic.ssim
        )
    };
    if !arguments.json {
        print_line(&format!("PSNR in dB and SSIM on Y, {} border pixels shaved", arguments.scale))?;
        let mut columns = format!(
            "{:<20} {:>8} {:>8} {:>10} {:>8}",
            "picture", "PSNR", "SSIM", "bicubic", "SSIM"
        );
        if let Some(perceptual) = &perceptual {
            print_line(&format!("distance: {}, smaller is better", perceptual.name()))?;
            columns += &format!(" {:>10} {:>8}", "distance", "bicubic");
        }
        print_line(&columns)?;
    }
    let (hr, lr, perceptual) = (&arguments.hr, arguments.lr.as_deref(), perceptual.as_ref());
    let evaluation = evaluate(hr, lr, &model, &device, &options, perceptual, |row| {
        if arguments.json {
            return Ok(());
        }
        print_line(&line(&row.name, row.score, row.bicubic, row.distance))
    })?;
    if arguments.json {
        return print_json(&evaluation);
    }
    print_line(&line("mean", evaluation.mean, evaluation.bicubic, evaluation.distance))
}
