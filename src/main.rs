//! Parses the arguments, then runs the window or a command.

use std::process::ExitCode;

use clap::Parser as _;
use pixmend::{app, cli, settings::Settings};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,eframe=off"))
        .init();
    // What panics is caught where it matters and told in a sentence.
    std::panic::set_hook(Box::new(|panic| log::debug!("{panic}")));
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
