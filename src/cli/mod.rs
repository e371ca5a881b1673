//! The command line: the same engine without a window.

use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{Parser, Subcommand};

use crate::{
    error::{Error, Result},
    restore::tiled::panic_text,
};

mod batch;
mod compare;
mod degrade;
mod detect;
mod devices;
mod doctor;
mod eval;
mod mend;
mod models;
mod output;
mod repaint;
mod share;
mod train;
mod tune;
mod upscale;

/// Restores photographs on your own machine.
#[derive(Debug, Parser)]
#[command(name = "pixmend", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a command the window opens. Exit codes: 0 done, 1 something \
                        failed, 2 wrong usage.")]
pub struct Arguments {
    /// Photo to open in the window
    pub photo: Option<PathBuf>,

    /// Begin to enlarge it at once
    #[arg(long, requires = "photo")]
    pub enlarge: bool,

    /// What to do; without it the window opens
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Commands of the command line.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Enlarge photos
    Upscale(upscale::Arguments),
    /// Fill what a mask marks: watermarks, scratches, folds, tears, objects
    Mend(mend::Arguments),
    /// Take JPEG artefacts, noise and blur out of a photo
    Clean(repaint::Arguments),
    /// Colour a grey photo
    Colour(repaint::Arguments),
    /// Propose a mask: scratches, dust, a watermark that repeats itself
    Detect(detect::Arguments),
    /// List what the networks can run on, each with its self-test
    Devices(devices::Arguments),
    /// Measure a model on pictures whose original is known
    Eval(eval::Arguments),
    /// Measure how near a result of any program is to its original
    Compare(compare::Arguments),
    /// Make a picture of before and after to show to others
    Share(share::Arguments),
    /// Fine-tune a model on photos, and be told whether it got better
    Train(Box<train::Arguments>),
    /// Look for settings that suit photos, before a model is fine-tuned on them
    Tune(Box<tune::Arguments>),
    /// Say what is wrong with photos before they are learnt from
    Doctor(doctor::Arguments),
    /// Make a photo worse, as training does
    Degrade(degrade::Arguments),
    /// List models, and write them to files
    #[command(subcommand)]
    Models(models::Arguments),
}

/// Runs a command; failures are printed as one sentence.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    // Decoders and drivers may panic on what they are given.
    let result = catch_unwind(AssertUnwindSafe(|| match command {
        Command::Upscale(arguments) => upscale::run(arguments),
        Command::Mend(arguments) => mend::run(arguments),
        Command::Clean(arguments) => repaint::run(arguments, repaint::Job::Clean),
        Command::Colour(arguments) => repaint::run(arguments, repaint::Job::Colour),
        Command::Detect(arguments) => detect::run(arguments),
        Command::Devices(arguments) => devices::run(arguments),
        Command::Eval(arguments) => eval::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Share(arguments) => share::run(arguments),
        Command::Train(arguments) => train::run(arguments),
        Command::Tune(arguments) => tune::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Degrade(arguments) => degrade::run(arguments),
        Command::Models(arguments) => models::run(arguments),
    }));
    match result.unwrap_or_else(|panic| Err(Error::Panic(panic_text(&*panic)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error as one sentence, and its technical causes to the log.
pub fn report(error: &Error) {
    tell(&format!("pixmend: {}", error.sentence()));
    for cause in error.causes() {
        log::info!("caused by: {cause}");
    }
}

/// A line for the user beside the command's result. Without anyone to read it, it is lost.
fn tell(line: &str) {
    let _lost = writeln!(std::io::stderr(), "{line}");
}

/// A flag that Ctrl+C and a request to end set: the job then stops before its next tile and
/// takes its unfinished file with it.
fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    let installed = ctrlc::set_handler(move || set.store(true, Ordering::Relaxed));
    if let Err(error) = installed {
        log::warn!("Ctrl+C cannot be caught: {error}");
    }
    flag
}

/// Prints a value as one JSON object on standard output.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Error::Setting(error.to_string()))?;
    print_line(&text)
}

/// Prints a line of a command's result on standard output. A reader that has heard enough and
/// closed its end is no failure.
fn print_line(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::write("standard output", error))
        }
        _ => Ok(()),
    }
}
