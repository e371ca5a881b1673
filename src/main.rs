//! Parses the arguments, then runs the window or a command.

use std::process::ExitCode;

use clap::Parser as _;
use pixmend::{app, cli, jobs::queue, settings::Settings};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,eframe=off"))
        .init();
    if let Some(command) = &arguments.command {
        // A panic is caught there and told in a sentence.
        std::panic::set_hook(Box::new(|panic| log::debug!("{panic}")));
        quiet_drivers();
        return cli::run(command);
    }
    let opened = app::run(app::Setup {
        photo: arguments.photo,
        enlarge: arguments.enlarge,
        settings: Settings::default_path(),
        queue: queue::user_folder(),
    });
    match opened {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Without a desktop, a layer of Mesa's Vulkan drivers prints complaints among the program's own
/// words. All it does is to sort devices, which commands do by themselves.
#[expect(unsafe_code, reason = "the environment can be changed only while there is one thread")]
fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: nothing has started a thread yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
