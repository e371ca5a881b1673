//! The command line: the same engine without a window.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};

mod devices;
mod eval;
mod upscale;

/// Restores photographs on your own machine.
#[derive(Debug, Parser)]
#[command(name = "pixmend", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a command the window opens. Exit codes: 0 done, 1 something \
                        failed, 2 wrong usage.")]
pub struct Arguments {
    /// Photo to open in the window
    pub photo: Option<PathBuf>,

    /// What to do; without it the window opens
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Commands of the command line.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Enlarge a photo
    Upscale(upscale::Arguments),
    /// List what the networks can run on, each with its self-test
    Devices(devices::Arguments),
    /// Measure a model on pictures whose original is known
    Eval(eval::Arguments),
}

/// Runs a command; failures are printed as one sentence.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    let result = match command {
        Command::Upscale(arguments) => upscale::run(arguments),
        Command::Devices(arguments) => devices::run(arguments),
        Command::Eval(arguments) => eval::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error as one sentence, and its technical causes to the log.
pub fn report(error: &Error) {
    eprintln!("pixmend: {}", error.sentence());
    for cause in error.causes() {
        log::info!("caused by: {cause}");
    }
}

/// A flag that Ctrl+C sets; a second Ctrl+C ends the program at once.
fn interrupted() -> Arc<AtomicBool> {
    use std::sync::atomic::Ordering;
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    let installed = ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            #[expect(clippy::exit, reason = "the user insists; temporary files are named as such")]
            std::process::exit(130);
        }
    });
    if let Err(error) = installed {
        log::warn!("Ctrl+C cannot be caught: {error}");
    }
    flag
}

/// Prints a value as one JSON object on standard output.
#[expect(clippy::print_stdout, reason = "the output of a command")]
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Error::Setting(error.to_string()))?;
    println!("{text}");
    Ok(())
}

/// Prints a line of a command's result on standard output.
#[expect(clippy::print_stdout, reason = "the output of a command")]
fn print_line(line: &str) {
    println!("{line}");
}
