//! `pixmend eval`

use std::path::PathBuf;

use fastrand::Rng;
use image::RgbImage;

use super::{print_json, print_line};
use crate::{
    device::Chosen,
    error::{Error, Result},
    metric::{self, Figures},
    model::{Model, features::Perceptual},
    restore::evaluate::{Source, evaluate},
    settings::DEFAULT_MODEL,
    train::degrade::Recipe,
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
    /// How the pictures that the model is given are made worse: as for `degrade`
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "lr")]
    degradation: Option<String>,
    /// Draws the same degradations again
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many times the originals are larger than the small pictures [default: the model's scale]
    #[arg(long)]
    scale: Option<u32>,
    /// auto, gpu, cpu or the name of an adapter; with :f32 behind it, never numbers of 16 bit
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Ask the model eight times: as for `upscale`
    #[arg(long)]
    ensemble: bool,
    #[command(flatten)]
    by_features: ByFeatures,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A network whose features are compared.
#[derive(Debug, clap::Args)]
pub(super) struct ByFeatures {
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
}

impl ByFeatures {
    /// The network, if one was named.
    pub(super) fn open(&self) -> Result<Option<Perceptual>> {
        let features = self.features.as_deref();
        features.map(|file| Perceptual::open(file, self.lpips.as_deref())).transpose()
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let model = Model::find(&arguments.model)?;
    let model = if arguments.ensemble { model.as_ensemble()? } else { model };
    let perceptual = arguments.by_features.open()?;
    let device = Chosen::by_name(&arguments.device)?;
    let scale = arguments.scale.unwrap_or_else(|| model.scale());
    if model.takes_mask() && scale != 1 {
        return Err(Error::Setting(format!("the model {} does not enlarge", model.name())));
    }
    let recipe = arguments.degradation.as_deref().map(Recipe::find).transpose()?;
    let masks = recipe.as_ref().is_some_and(Recipe::masks);
    let greys = recipe.as_ref().is_some_and(Recipe::greys);
    if model.takes_mask() && !masks {
        return Err(Error::Setting(format!(
            "the model {} fills masks: name a --degradation that has them (watermark, damage)",
            model.name()
        )));
    }
    let made = |original: &RgbImage, index: usize| {
        let mut rng = Rng::with_seed(arguments.seed.wrapping_add(index as u64));
        let recipe = recipe.clone().unwrap_or_default();
        recipe.apply(original, scale, &mut rng).map(|worse| (worse.picture, worse.mask))
    };
    let source = match (&arguments.lr, &recipe) {
        (Some(folder), _) => Source::Folder(folder),
        (None, Some(_)) => Source::Made(&made),
        (None, None) => Source::Shrunk,
    };

    let line = |name: &str, model: &Figures, before: &Figures| {
        let mut line = format!("{name:<20}");
        for figures in [model, before] {
            line += &format!(" {:>9.3} {:>8.4}", figures.score.psnr, figures.score.ssim);
            let optional = |wanted: bool, number: Option<f64>| match (wanted, number) {
                (false, _) => String::new(),
                (true, Some(number)) => format!(" {number:>9.4}"),
                (true, None) => format!(" {:>9}", "-"),
            };
            line += &optional(masks, figures.inside);
            line += &optional(perceptual.is_some(), figures.distance);
            line += &optional(greys, Some(figures.psnr_of_colours()));
            line += &optional(greys, Some(figures.colourfulness));
        }
        line
    };
    if !arguments.json {
        let shaved = metric::shaved(scale);
        print_line(&format!("PSNR in dB and SSIM on Y, {shaved} border pixels shaved"))?;
        if masks {
            print_line("inside: PSNR in dB of red, green and blue where the mask is white")?;
        }
        if let Some(perceptual) = &perceptual {
            print_line(&format!("distance: {}, smaller is better", perceptual.name()))?;
        }
        if greys {
            print_line(
                "RGB: PSNR in dB of red, green and blue; colourful: by Hasler and Süsstrunk",
            )?;
        }
        let before = if scale == 1 { "given" } else { "bicubic" };
        let mut columns = format!("{:<20}", "picture");
        for psnr in ["PSNR", before] {
            columns += &format!(" {psnr:>9} {:>8}", "SSIM");
            columns += if masks { "    inside" } else { "" };
            columns += if perceptual.is_some() { "  distance" } else { "" };
            columns += if greys { "       RGB colourful" } else { "" };
        }
        print_line(&columns)?;
    }
    let evaluation =
        evaluate(&arguments.hr, &source, scale, &model, &device, perceptual.as_ref(), |row| {
            if arguments.json {
                return Ok(());
            }
            print_line(&line(&row.name, &row.model, &row.bicubic))
        })?;
    if arguments.json {
        return print_json(&evaluation);
    }
    print_line(&line("mean", &evaluation.mean, &evaluation.bicubic))
}
