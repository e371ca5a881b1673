//! Parses the arguments, then runs the window or a command.

use std::process::ExitCode;

use clap::Parser as _;
use pixmend::{app, cli, settings::Settings};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,eframe=off"))
        .init();
    if let Some(command) = &arguments.command {
        return cli::run(command);
    }
    let opened =
        app::run(app::Setup { photo: arguments.photo, settings: Settings::default_path() });
    match opened {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::report(&error);
            ExitCode::FAILURE
        }
    }
}
