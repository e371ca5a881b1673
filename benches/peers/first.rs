//! What a user waits for: the window, the photo, and the first restored tile of it.
//!
//! The program itself is started with a photo of 12 megapixels, and its log says what has got on
//! the screen. It needs a screen (`Xvfb` will do), and gets settings of its own, not the user's.

use std::{
    error::Error,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use super::{growth, median};

const MEGAPIXELS: f64 = 12.0;

/// What it waits for, in this order, as `src/app/milestones.rs` says it.
const MILESTONES: [&str; 3] =
    ["the window is shown", "the photo is shown", "a restored tile is shown"];

/// Measures, and prints a table.
pub fn measure(rounds: u32) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let folder = tempfile::tempdir()?;
    let photo = folder.path().join("photo.jpg");
    growth::photo(MEGAPIXELS, 4.0 / 3.0).save(&photo)?;
    let rounds =
        (0..rounds).map(|_| start(&photo, folder.path())).collect::<Result<Vec<_>, _>>()?;
    writeln!(out, "\nFrom the start of the program, a photo of {MEGAPIXELS} megapixels, seconds:")?;
    for (index, words) in MILESTONES.iter().enumerate() {
        let seconds: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
        let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = seconds.iter().copied().fold(0.0, f64::max);
        writeln!(out, "{words:26} {:.2} ({least:.2} to {most:.2})", median(&seconds))?;
    }
    Ok(())
}

/// Seconds until each milestone.
fn start(photo: &Path, settings: &Path) -> Result<Vec<f64>, Box<dyn Error>> {
    let begin = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_pixmend"))
        .arg("--enlarge")
        .arg(photo)
        .env("RUST_LOG", "pixmend::app::milestones=info")
        .env("XDG_CONFIG_HOME", settings)
        .env("XDG_DATA_HOME", settings)
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(program.stderr.take().ok_or("no pipe")?).lines();
    let mut wait_for = |words: &str| -> Result<f64, Box<dyn Error>> {
        let mut said = String::new();
        for line in &mut lines {
            said = line?;
            if said.contains(words) {
                return Ok(begin.elapsed().as_secs_f64());
            }
        }
        Err(format!("the program ended before {words}: {said}").into())
    };
    let seconds = MILESTONES.iter().map(|words| wait_for(words)).collect();
    program.kill()?;
    program.wait()?;
    seconds
}
