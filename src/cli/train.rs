//! `pixmend train`

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use clap::{CommandFactory as _, FromArgMatches as _, parser::ValueSource};
use serde::Serialize;

use super::{interrupted, print_json, tell};
use crate::{
    device::Chosen,
    error::{Error, Result},
    net::{
        NetworkConfig, colouriser,
        enhancenet::{EnhanceNetConfig, EnhanceNetKind},
        residual::ResidualConfig,
        unet::UnetConfig,
    },
    settings::{self, Existing},
    train::{NEW, StepReport, TrainOptions, Trainer, search::range_test, verdict::Verdict},
};

/// Arguments of `pixmend train`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photos to learn from: files and folders; those of the recipe if none are given
    #[arg(value_name = "PHOTOS", required_unless_present_any = ["recipe", "resume"])]
    photos: Vec<PathBuf>,
    /// Kind of a fresh network [default: residual]
    #[arg(long, value_enum)]
    network: Option<Kind>,
    /// Channels of a fresh network; of a U-Net, those of its first stage [default: by its kind]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=512))]
    channels: Option<u16>,
    /// Blocks of a fresh network; of a U-Net, those of each stage [default: by its kind]
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=128))]
    blocks: Option<u16>,
    /// How many times a fresh network enlarges [default: 4; a U-Net: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=16))]
    scale: Option<u16>,
    /// A fresh U-Net fills what a mask marks
    #[arg(long)]
    mask: bool,
    /// The new model
    #[arg(short, long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// TOML file with the options below; those given here go before it
    #[arg(long, value_name = "FILE.toml")]
    recipe: Option<PathBuf>,
    /// Stop after this many minutes at the latest
    #[arg(long)]
    minutes: Option<f64>,
    /// Go on with the run that was begun for this output, with its options
    #[arg(long)]
    resume: bool,
    /// auto, gpu, cpu or the name of an adapter
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Replace the model if it exists
    #[arg(long)]
    overwrite: bool,
    /// Try rising learning rates for 100 steps, suggest two, and draw FILE.rates.svg
    #[arg(long)]
    find_rate: bool,
    /// Print a JSON object for each step and each result, one a line
    #[arg(long)]
    json_events: bool,
    #[command(flatten)]
    options: TrainOptions,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Started { train: usize, validation: usize, test: usize, base_psnr: f64, first_step: u64 },
    Step(StepReport),
    Finished { output: Option<&'a Path>, verdict: &'a Verdict, waiting_share: f64 },
}

/// A file beside the model: its name with another ending added.
fn beside(output: &Path, ending: &str) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{ending}"));
    output.with_file_name(name)
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { output, .. } = arguments;
    if !arguments.overwrite && !arguments.resume {
        let companions = ["checkpoint", "toml", "report.json", "report", "rates.svg"];
        let names = companions.map(|ending| beside(output, ending));
        let taken = |name: &&PathBuf| name.symlink_metadata().is_ok();
        if let Some(path) = std::iter::once(output).chain(&names).find(taken) {
            return Err(Error::Exists { path: path.clone() });
        }
    }
    let checkpoint = beside(output, "checkpoint");
    let device = Chosen::by_name(&arguments.device)?;
    let mut trainer = if arguments.resume {
        Trainer::resume(&checkpoint, &arguments.photos, device)?
    } else {
        let mut options = merged("train", arguments.recipe.as_deref(), &arguments.options)?;
        match options.base.as_str() {
            NEW if options.network.is_none() || shaped(arguments) => {
                options.network = Some(fresh(arguments)?);
            }
            NEW => {}
            _ if shaped(arguments) => {
                return Err(Error::Setting(
                    "--network, --channels, --blocks, --scale and --mask are for --base new"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        let base = Trainer::base_of(&options)?;
        let photos = match &arguments.photos[..] {
            [] => options.photos.clone(),
            given => given.to_owned(),
        };
        Trainer::new(&photos, base, options, device)?
    };
    if arguments.find_rate {
        return find_rate(trainer, arguments);
    }
    let split = trainer.split();
    let started = Event::Started {
        train: split.train.len(),
        validation: split.validation.len(),
        test: split.test.len(),
        base_psnr: trainer.base_psnr(),
        first_step: trainer.done(),
    };
    if arguments.json_events {
        print_json(&started)?;
    } else {
        for reason in &split.left_out {
            tell(&format!("left out: {reason}"));
        }
        tell(&format!(
            "{} photos to learn from, {} to choose by, {} for the verdict; the base has {:.2} dB",
            split.train.len(),
            split.validation.len(),
            split.test.len(),
            trainer.base_psnr()
        ));
    }
    let text = toml::to_string(trainer.options()).map_err(|e| Error::Setting(e.to_string()))?;
    settings::write(&beside(output, "toml"), text.as_bytes(), Existing::Replace)?;

    let interrupted = interrupted();
    let (begin, first) = (Instant::now(), trainer.done());
    let limit = arguments.minutes.map(|minutes| {
        // Longer than time can be counted is no limit.
        Duration::try_from_secs_f64(minutes.max(0.0) * 60.0).unwrap_or(Duration::MAX)
    });
    while !trainer.is_over() {
        let stopped = interrupted.load(Ordering::Relaxed);
        if stopped || limit.is_some_and(|limit| begin.elapsed() >= limit) {
            if !stopped {
                trainer.settle()?;
            }
            trainer.save(&checkpoint)?;
            tell(&format!("stopped after {} steps; --resume goes on", trainer.done()));
            if stopped {
                return Ok(());
            }
            break;
        }
        let report = match trainer.step() {
            Ok(report) => report,
            Err(error) => {
                // What was learnt so far must not be lost with it.
                trainer.save(&checkpoint)?;
                return Err(error);
            }
        };
        if report.validation.is_some() {
            trainer.save(&checkpoint)?;
        }
        show(&report, &trainer, first, arguments.json_events)?;
    }
    let asked = || match interrupted.load(Ordering::Relaxed) {
        true => Err(Error::Cancelled),
        false => Ok(()),
    };
    let verdict = trainer.verdict(asked)?;
    let kept = verdict.is_better || trainer.is_fresh();
    if kept {
        let existing = match arguments.overwrite || arguments.resume {
            true => Existing::Replace,
            false => Existing::Refuse,
        };
        trainer.best_model().save(output, existing)?;
    }
    let report = trainer.record(&verdict);
    let report_path = beside(output, "report.json");
    settings::write(&report_path, report.to_string().as_bytes(), Existing::Replace)?;
    let page = trainer.report(&verdict, &beside(output, "report"))?;
    if arguments.json_events {
        let output = kept.then_some(output.as_path());
        let waiting_share = trainer.waiting_share();
        return print_json(&Event::Finished { output, verdict: &verdict, waiting_share });
    }
    tell(&format!("{}; see {}", verdict.sentence, page.display()));
    if kept {
        tell(&output.display().to_string());
    }
    Ok(())
}

fn find_rate(trainer: Trainer, arguments: &Arguments) -> Result<()> {
    let interrupted = interrupted();
    let search = range_test(trainer, 100, |_| match interrupted.load(Ordering::Relaxed) {
        true => Err(Error::Cancelled),
        false => Ok(()),
    })?;
    let plot = beside(&arguments.output, "rates.svg");
    let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
    let plot = settings::write(&plot, search.svg().as_bytes(), existing)?;
    if arguments.json_events {
        return print_json(&search);
    }
    tell(&format!(
        "--rate {:.1e} (where the loss falls fastest) or --rate {:.1e} (a tenth of where it is \
         lowest); the curve is in {}",
        search.steepest,
        search.tenth_of_lowest,
        plot.display()
    ));
    Ok(())
}

fn show(report: &StepReport, trainer: &Trainer, first: u64, json: bool) -> Result<()> {
    if json {
        return print_json(&Event::Step(*report));
    }
    if report.rolled_back {
        tell("diverging: went back to the last good state and halved the rate");
    }
    if let Some(psnr) = report.validation {
        let distance = trainer.history().last().and_then(|point| point.distance);
        let distance = distance.map(|distance| format!(", feature distance {distance:.4}"));
        tell(&format!(
            "step {} of {}: loss {:.5}, {psnr:.3} dB ({:+.3} to the base){}, {:.2} steps/s",
            report.step,
            trainer.options().steps,
            report.loss,
            psnr - trainer.base_psnr(),
            distance.unwrap_or_default(),
            trainer.speed(report.step - first)
        ));
    }
    Ok(())
}

/// Kinds of fresh networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Residual blocks, one pixel shuffle, added to the bilinear enlargement
    #[default]
    Residual,
    /// The same at half the size of the picture, which it keeps
    Restorer,
    /// SRResNet: 16 blocks of 64 channels with batch normalisation
    Srresnet,
    /// U-Net of a size to ship
    UnetSmall,
    /// U-Net on ResNet-34
    Unet,
    /// The network of EnhanceNet: 10 residual blocks
    Enhancenet,
    /// The same, added to the bicubic enlargement
    EnhancenetBicubic,
    /// The same without shortcuts
    EnhancenetPlain,
    /// The generator of SRGAN as in Keras programs
    SrganKeras,
    /// Colours for grey photos, on SqueezeNet
    Colouriser,
}

/// Whether something was said of a fresh network.
const fn shaped(arguments: &Arguments) -> bool {
    let Arguments { network, channels, blocks, scale, mask, .. } = *arguments;
    network.is_some() || channels.is_some() || blocks.is_some() || scale.is_some() || mask
}

/// The fresh network that was asked for.
fn fresh(arguments: &Arguments) -> Result<NetworkConfig> {
    let Arguments { network, channels, blocks, scale, mask, .. } = *arguments;
    let or = |given: Option<u16>, default: usize| given.map_or(default, usize::from);
    let residual = |usual: ResidualConfig| {
        NetworkConfig::Residual(ResidualConfig {
            channels: or(channels, usual.channels),
            blocks: or(blocks, usual.blocks),
            scale: or(scale, usual.scale),
            mask,
            marked: mask,
            ..usual
        })
    };
    let unet = |usual: UnetConfig| {
        let (width, scale) = (or(channels, usual.width), or(scale, usual.scale));
        let blocks = blocks.map_or(usual.blocks, |blocks| [usize::from(blocks); 4]);
        NetworkConfig::Unet(UnetConfig { width, blocks, scale, mask, ..usual })
    };
    let enhancenet = |kind: EnhanceNetKind| {
        let EnhanceNetConfig { channels: width, blocks: count, .. } = EnhanceNetConfig::paper(kind);
        let (channels, blocks) = (or(channels, width), or(blocks, count));
        NetworkConfig::EnhanceNet(EnhanceNetConfig { kind, channels, blocks })
    };
    let config = match network.unwrap_or_default() {
        Kind::Residual => residual(ResidualConfig::starter()),
        Kind::Restorer => residual(ResidualConfig::restorer()),
        Kind::Srresnet => residual(ResidualConfig::srgan()),
        Kind::UnetSmall => unet(UnetConfig::small()),
        Kind::Unet => unet(UnetConfig::full()),
        Kind::Enhancenet => enhancenet(EnhanceNetKind::Residual),
        Kind::EnhancenetBicubic => enhancenet(EnhanceNetKind::BicubicSkip),
        Kind::EnhancenetPlain => enhancenet(EnhanceNetKind::Plain),
        Kind::SrganKeras => NetworkConfig::SrganKeras,
        Kind::Colouriser => NetworkConfig::Layered(colouriser::config()),
    };
    let given = scale.map_or(config.scale(), u32::from);
    if given != config.scale() || mask != config.takes_mask() {
        return Err(Error::Setting(
            "this kind of network has no such --scale or --mask".to_owned(),
        ));
    }
    Ok(config)
}

/// The options of the recipe file, with what was given on the command line over it.
pub(super) fn merged(
    command: &str,
    recipe: Option<&Path>,
    options: &TrainOptions,
) -> Result<TrainOptions> {
    let Some(path) = recipe else {
        return Ok(options.clone());
    };
    let text = std::fs::read_to_string(path).map_err(|error| Error::read(path, error))?;
    let failed = |error: &toml::de::Error| {
        let message = error.message().replace('\n', " ");
        Error::Setting(format!("the recipe {} cannot be understood ({message})", path.display()))
    };
    let from_file: toml::Table = toml::from_str(&text).map_err(|error| failed(&error))?;
    let mut merged = toml::Table::try_from(options).map_err(|e| Error::Setting(e.to_string()))?;
    let given = given(command);
    for (key, value) in from_file {
        if !given.contains(&key) {
            merged.insert(key, value);
        }
    }
    if given.iter().any(|key| key == "degradation") {
        merged.remove("degradation_recipe");
    }
    merged.try_into().map_err(|error| failed(&error))
}

/// Names of the options of a command that stand on the command line.
fn given(command: &str) -> Vec<String> {
    let matches = super::Arguments::command().try_get_matches_from(std::env::args_os());
    let Ok(matches) = matches else { return Vec::new() };
    let Some(matches) = matches.subcommand_matches(command) else { return Vec::new() };
    // Only to make sure that the names are those of the options.
    debug_assert!(TrainOptions::from_arg_matches(matches).is_ok());
    let on_line = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    matches.ids().map(clap::Id::as_str).filter(on_line).map(str::to_owned).collect()
}
