//! Training beside PyTorch.
//!
//! Both train the starter's architecture by L1 and Adam, with gradients clipped and a moving
//! average of the weights, on all cores. Ours is [`Trainer::step`] as `pixmend train` calls it,
//! photos included; PyTorch is `train.py`, a program of its own, with one batch that never
//! changes. They take turns, round by round, so that a busy machine slows both.

use std::{
    error::Error,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};

use fastrand::Rng;
use image::{Rgb, RgbImage};
use pixmend::{
    device::Chosen,
    model::Model,
    train::{TrainOptions, Trainer},
};

use super::median;

/// Steps before the first round; as many as in `train.py`.
const WARM_UP: u32 = 3;

/// What is compared with ours, as `train.py` calls it.
const PRECISIONS: [&str; 2] = ["f32", "bf16"];

/// Compares so many rounds of so many steps.
pub fn compare(rounds: u32, steps: u32) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();

    let threads = std::thread::available_parallelism()?.get();
    let mut peer = match Peer::start(threads)? {
        Ok(peer) => Some(peer),
        Err(reason) => {
            writeln!(out, "Without PyTorch: {reason}. PIXMEND_PYTHON names a Python that has it.")?;
            None
        }
    };
    let photos = tempfile::tempdir()?;
    draw_photos(photos.path())?;
    let mut ours = Ours::start(photos.path())?;
    if let Some(peer) = &peer
        && peer.parameters != ours.parameters
    {
        let (theirs, ours) = (peer.parameters, ours.parameters);
        return Err(format!("train.py has a network of {theirs} parameters, not {ours}").into());
    }

    let parameters = ours.parameters;
    writeln!(out, "The starter's architecture, {parameters} parameters; 16 crops of 32x32 to")?;
    writeln!(out, "128x128; L1, Adam; {threads} cores; rounds of {steps} steps.")?;
    let mut columns = vec![Column::new("Pixmend")];
    if let Some(peer) = &peer {
        writeln!(out, "PyTorch {} on {} threads.", peer.version, peer.threads)?;
        columns.extend(PRECISIONS.map(|precision| Column::new(&format!("PyTorch {precision}"))));
    }
    write!(out, "\nms a step")?;
    for column in &columns {
        write!(out, " {:>13}", column.name)?;
    }
    writeln!(out)?;

    ours.steps(WARM_UP)?;
    let (waited, worked) = (ours.waited(), ours.seconds);
    for round in 1..=rounds {
        write!(out, "{round:>9}")?;
        let theirs = PRECISIONS.iter().map(Some);
        for (column, precision) in columns.iter_mut().zip(std::iter::once(None).chain(theirs)) {
            let seconds = match (&mut peer, precision) {
                (Some(peer), Some(precision)) => peer.steps(precision, steps)?,
                _ => ours.steps(steps)?,
            };
            let time = seconds * 1e3 / f64::from(steps);
            column.times.push(time);
            write!(out, " {time:>13.1}")?;
            out.flush()?;
        }
        writeln!(out)?;
    }
    write!(out, "   median")?;
    for column in &columns {
        write!(out, " {:>13.1}", median(&column.times))?;
    }
    writeln!(out, "\n")?;
    let (own, others) = columns.split_first().ok_or("no columns")?;
    for other in others {
        let ratios: Vec<f64> = own.times.iter().zip(&other.times).map(|(a, b)| a / b).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        let (ratio, name) = (median(&ratios), &other.name);
        writeln!(
            out,
            "Pixmend's time over that of {name}: {ratio:.2} ({least:.2} to {most:.2}; median of \
             the rounds)."
        )?;
    }
    let share = (ours.waited() - waited) / (ours.seconds - worked);
    writeln!(out, "Our steps waited for photos {:.1} % of the time.", 100.0 * share.max(0.0))?;
    Ok(())
}

/// The times of one of those compared.
struct Column {
    name: String,
    /// Milliseconds a step, for each round.
    times: Vec<f64>,
}

impl Column {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), times: Vec::new() }
    }
}

/// Photos that are no two alike, of the size of a small camera's; what they show does not matter.
fn draw_photos(folder: &Path) -> Result<(), image::ImageError> {
    for number in 0..16_u64 {
        let picture = RgbImage::from_fn(1024, 768, |x, y| {
            let patch = |side: u32| {
                let place = u64::from(x / side) << 32 | u64::from(y / side) << 16 | number;
                let mut rng = Rng::with_seed(place * 64 + u64::from(side));
                [0, 1, 2].map(|_| rng.u8(..) / 3)
            };
            let [coarse, middle, fine] = [97, 23, 3].map(patch);
            Rgb([0, 1, 2].map(|c: usize| coarse[c] + middle[c] + fine[c]))
        });
        picture.save(folder.join(format!("{number:02}.png")))?;
    }
    Ok(())
}

struct Ours {
    trainer: Trainer,
    parameters: usize,
    /// Of all steps so far.
    seconds: f64,
}

impl Ours {
    fn start(photos: &Path) -> pixmend::Result<Self> {
        let never = 1_000_000;
        let options = TrainOptions {
            steps: never,
            batch: 16,
            crop: 32,
            validate_every: never,
            ..TrainOptions::default()
        };
        let device = Chosen::cpu();
        // It has the architecture that `train.py` builds.
        let starter = Model::find("starter")?;
        let parameters = starter.on(device.burn())?.parameters();
        let trainer = Trainer::new(&[photos.to_owned()], starter, options, device)?;
        Ok(Self { trainer, parameters, seconds: 0.0 })
    }

    /// Seconds that the steps took.
    fn steps(&mut self, count: u32) -> Result<f64, Box<dyn Error>> {
        let begin = Instant::now();
        for _ in 0..count {
            self.trainer.step()?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        self.seconds += seconds;
        Ok(seconds)
    }

    /// Seconds that all steps so far waited for photos.
    fn waited(&self) -> f64 {
        self.trainer.waiting_share() * self.seconds
    }
}

/// `train.py`, waiting for requests.
struct Peer {
    child: Child,
    answers: BufReader<ChildStdout>,
    version: String,
    threads: usize,
    parameters: usize,
}

impl Peer {
    /// Starts it; the inner error says why it is not there.
    fn start(threads: usize) -> Result<Result<Self, String>, Box<dyn Error>> {
        let python = std::env::var_os("PIXMEND_PYTHON").unwrap_or_else(|| "python3".into());
        let name = python.display().to_string();
        let started = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/train.py"))
            .args(["--serve", "--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("{name} cannot be started ({error})"))),
        };
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut peer = Self { child, answers, version: String::new(), threads, parameters: 0 };
        let answer = peer.answer()?;
        match answer.split_whitespace().collect::<Vec<_>>()[..] {
            ["ready", version, threads, parameters] => {
                peer.version = version.to_owned();
                peer.threads = threads.parse()?;
                peer.parameters = parameters.parse()?;
                Ok(Ok(peer))
            }
            ["missing", module] => Ok(Err(format!("{name} has no module {module}"))),
            _ => Ok(Err(format!("{name} could not run train.py"))),
        }
    }

    fn answer(&mut self) -> Result<String, std::io::Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }

    /// Seconds that the steps took.
    fn steps(&mut self, precision: &str, count: u32) -> Result<f64, Box<dyn Error>> {
        let requests = self.child.stdin.as_mut().ok_or("no pipe")?;
        writeln!(requests, "{precision} {count}")?;
        requests.flush()?;
        let answer = self.answer()?;
        Ok(answer.trim().parse().map_err(|_not_a_number| "train.py has stopped")?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Waiting closes its input, at which it ends.
        let _ended = self.child.wait();
    }
}
