//! Inference beside Burn, ncnn and PyTorch, on the same network with the same numbers.
//!
//! Each is a program of its own, ours too: so each has a peak of memory of its own. Answers are
//! compared as well. On the CPU ours has kernels of its own; on a graphics card it is Burn step by
//! step, in 32 and in 16 bit, beside Burn layer by layer, ncnn through Vulkan and PyTorch through
//! CUDA.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};

use burn::tensor::{DType, Device, Tensor, TensorData};
use pixmend::{
    device::Chosen,
    net::{
        Generator as _,
        direct::{Direct, InstructionSet},
        graphics::Graphics,
    },
};

use super::{
    median,
    network::{self, Network, picture},
};

/// The last is too large for Burn to take part.
pub const SIZES: [&str; 4] = ["128x128", "256x256", "512x512", "1000x1500"];

const LARGEST_FOR_BURN: usize = 512 * 512;

/// Larger answers are not compared.
const LARGEST_COMPARED: usize = 256 * 256;

const PEERS: [&str; 4] = ["Pixmend", "Burn", "ncnn", "torch"];

const ON_GRAPHICS: [&str; 5] = ["Pixmend", "Half", "Burn", "ncnn", "torch"];

/// What stands in place of a number of threads where a graphics card computes.
const GRAPHICS: &str = "gpu:";

/// What is to be compared.
pub struct Request {
    pub rounds: u32,
    pub networks: Vec<String>,
    pub sizes: Vec<String>,
    pub threads: Vec<usize>,
    /// A graphics card in place of threads.
    pub adapter: Option<String>,
    pub only: Option<Vec<String>>,
}

/// Compares, and prints tables.
pub fn compare(request: &Request) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let set = InstructionSet::available()[0];
    let peak = set.peak();
    writeln!(out, "\nInference. One thread multiplies and adds {:.1} G/s at best", peak / 1e9)?;
    writeln!(out, "({set:?}); \"of peak\" is what the plain sums would be of that, by CPU time.")?;
    writeln!(out, "Ratios are Pixmend's time over that of each, medians of the rounds; MB is the")?;
    writeln!(
        out,
        "peak of the process, and before it ran; error is the largest difference to us."
    )?;
    for name in &request.networks {
        let network = Network::drawn(name);
        let folder = tempfile::tempdir()?;
        let weights = folder.path().join("network.bin");
        if let Some(network) = &network {
            std::fs::File::create(&weights)?.write_all(&network.bin())?;
            let param = std::fs::File::create(folder.path().join("network.param"));
            param?.write_all(network.param().as_bytes())?;
        }
        for size in &request.sizes {
            let (height, width) = parse(size)?;
            let places: Vec<String> = match &request.adapter {
                Some(adapter) => vec![format!("{GRAPHICS}{adapter}")],
                None => request.threads.iter().map(usize::to_string).collect(),
            };
            for place in &places {
                let on_graphics = place.starts_with(GRAPHICS);
                let unit = if on_graphics { "" } else { " threads" };
                writeln!(out, "\n{name}, {size}, {place}{unit}")?;
                let mut peers = Vec::new();
                let all = if on_graphics { &ON_GRAPHICS[..] } else { &PEERS[..] };
                for who in all.iter().copied() {
                    let wanted = request.only.as_ref().is_none_or(|only| {
                        only.iter().any(|name| name.eq_ignore_ascii_case(who)) || who == "Pixmend"
                    });
                    let own = is_ours(who);
                    let large = who == "Burn" && height * width > LARGEST_FOR_BURN;
                    if !wanted || large || !own && network.is_none() {
                        continue;
                    }
                    let job = [who, name, size, place];
                    match Peer::start(&job, &weights, folder.path(), &folder.path().join(who))? {
                        Ok(peer) => peers.push(peer),
                        Err(reason) => writeln!(out, "Without {who}: {reason}.")?,
                    }
                }
                for _ in 0..=request.rounds {
                    for peer in &mut peers {
                        peer.turn()?;
                    }
                }
                let operations = network.as_ref().map(|n| n.operations(height, width));
                let compared = height * width <= LARGEST_COMPARED;
                let least = operations.map(|count| count / peak).filter(|_| !on_graphics);
                report(&mut out, &peers, least, compared)?;
                if let Some(network) = network.as_ref().filter(|_| on_graphics) {
                    writeln!(
                        out,
                        "{:.1} Gflop and {} convolutions.",
                        network.operations(height, width) / 1e9,
                        network.convolutions(),
                    )?;
                    for (bits, bytes) in [(32, 4), (16, 2)] {
                        writeln!(
                            out,
                            "{bits} bit: {:.0} MB, {:.0} MB if each convolution did what follows it.",
                            network.moved(height, width, bytes) / 1e6,
                            network.traffic(height, width, bytes) / 1e6
                        )?;
                    }
                    for who in ["Pixmend", "Half", "Burn"] {
                        let job = [who, name, size, place];
                        let kernels = kernels(&job, &weights, folder.path())?;
                        let all: usize = kernels.values().sum();
                        let each = all as f64 / (height * width) as f64 * 1e6;
                        writeln!(
                            out,
                            "{who} runs {all} kernels, {each:.0} for a megapixel: {kernels:?}."
                        )?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn report(
    out: &mut std::io::Stdout,
    peers: &[Peer],
    least: Option<f64>,
    compared: bool,
) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        "{:22} {:>9} {:>9} {:>11} {:>11} {:>8} {:>11} {:>8}",
        "", "ms", "CPU ms", "ratio", "CPU ratio", "of peak", "MB", "error"
    )?;
    let ours = peers.first().ok_or("nobody")?;
    let expected = compared.then(|| ours.answer()).transpose()?;
    for peer in peers {
        // The first turn is a warm-up.
        let (wall, cpu) = (&peer.wall[1..], &peer.cpu[1..]);
        let ratio = |ours: &[f64], theirs: &[f64]| {
            let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
            median(&ratios)
        };
        let error = match &expected {
            Some(expected) => {
                let differences = peer.answer()?.into_iter().zip(expected);
                let worst = differences.map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max);
                let largest = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
                format!("{:.1e}", worst / f64::from(largest))
            }
            None => "-".to_owned(),
        };
        writeln!(
            out,
            "{:22} {:9.1} {:9.1} {:11.3} {:11.3} {:>8} {:>11} {:>8}",
            peer.name,
            1e3 * median(wall),
            1e3 * median(cpu),
            ratio(&ours.wall[1..], wall),
            ratio(&ours.cpu[1..], cpu),
            least.map_or("-".to_owned(), |least| format!("{:.2}", least / median(cpu))),
            format!("{:.0} ({:.0})", peer.peak / 1024.0, peer.before / 1024.0),
            error
        )?;
    }
    Ok(())
}

/// Whether this program is the peer.
fn is_ours(who: &str) -> bool {
    matches!(who, "Pixmend" | "Burn" | "Half")
}

fn parse(size: &str) -> Result<(usize, usize), Box<dyn Error>> {
    let (height, width) = size.split_once('x').ok_or("a size is HEIGHTxWIDTH")?;
    Ok((height.parse()?, width.parse()?))
}

/// The kernels that Burn runs for one answer, once it has tuned them, by their names.
fn kernels(
    job: &[&str],
    weights: &Path,
    folder: &Path,
) -> Result<BTreeMap<String, usize>, Box<dyn Error>> {
    let (settings, log) = (folder.join("cubecl.toml"), folder.join("kernels.log"));
    let text = format!("[profiling]\nlogger = {{ level = \"minimal\", file = {log:?} }}\n");
    std::fs::File::create(&settings)?.write_all(text.as_bytes())?;
    let mut peer = Peer::start(job, weights, folder, &folder.join("counted"))??;
    let mut turn = || -> Result<String, Box<dyn Error>> {
        peer.turn()?;
        Ok(std::fs::read_to_string(&log)?)
    };
    let (_tuned, before) = (turn()?, turn()?);
    let after = turn()?;
    std::fs::remove_file(settings)?;
    let mut counts = BTreeMap::new();
    for line in after[before.len()..].lines().filter_map(|line| line.strip_prefix("Executing ")) {
        let name = line.split_once('_').map_or(line, |(name, _hash)| name);
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// A program that waits for its turns.
struct Peer {
    name: String,
    child: Child,
    lines: BufReader<ChildStdout>,
    answer: std::path::PathBuf,
    wall: Vec<f64>,
    cpu: Vec<f64>,
    /// Peak of its memory, KiB, and what it was before the first turn.
    peak: f64,
    before: f64,
}

impl Peer {
    /// Starts it in a folder; the inner error says why it is not there.
    fn start(
        job: &[&str],
        weights: &Path,
        within: &Path,
        answer: &Path,
    ) -> Result<Result<Self, String>, Box<dyn Error>> {
        let who = job[0];
        let (program, mut command) = if is_ours(who) {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--serve");
            if !job[3].starts_with(GRAPHICS) {
                command.env("RAYON_NUM_THREADS", job[3]);
            }
            ("this program".to_owned(), command)
        } else {
            let python = std::env::var_os("PIXMEND_PYTHON").unwrap_or_else(|| "python3".into());
            let mut command = Command::new(&python);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/infer.py"));
            (python.display().to_string(), command)
        };
        let command = command.args(job).arg(weights).arg(answer).current_dir(within);
        let mut child = match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Err(format!("{program} cannot be started ({error})"))),
        };
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let (version, before) = match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["ready", version, before] => (version.to_owned(), before.parse()?),
            ["missing", module] => return Ok(Err(format!("{program} has no module {module}"))),
            _ => return Ok(Err(format!("{program} could not run it"))),
        };
        let (answer, peak) = (answer.to_owned(), 0.0);
        let name = format!("{who} {version}");
        Ok(Ok(Self { name, child, lines, answer, wall: vec![], cpu: vec![], peak, before }))
    }

    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let requests = self.child.stdin.as_mut().ok_or("no pipe")?;
        writeln!(requests, "go")?;
        requests.flush()?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let numbers: Vec<f64> =
            line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [wall, cpu, peak] = numbers[..] else {
            return Err(format!("{} has stopped", self.name).into());
        };
        self.wall.push(wall);
        self.cpu.push(cpu);
        self.peak = peak;
        Ok(())
    }

    fn answer(&self) -> Result<Vec<f32>, Box<dyn Error>> {
        let bytes = std::fs::read(&self.answer)?;
        let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(values.collect())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Waiting closes its input, at which it ends.
        let _ended = self.child.wait();
    }
}

/// What `infer.py` does, for us and for Burn.
pub fn serve(
    who: &str,
    name: &str,
    size: &str,
    place: &str,
    answer: &Path,
) -> Result<(), Box<dyn Error>> {
    let (height, width) = parse(size)?;
    let picture = picture(height, width);
    let (adapter, set) = (place.strip_prefix(GRAPHICS), InstructionSet::available()[0]);
    let device = match adapter {
        Some(name) => Chosen::by_name(name)?.burn().clone(),
        None => Device::flex(),
    };
    let threads = if adapter.is_some() { 1 } else { place.parse()? };
    let kind = if who == "Half" { DType::F16 } else { DType::F32 };
    if !device.supports_dtype(kind) {
        return Err("the device does not compute with 16 bit".into());
    }
    // The numbers are drawn anew, and are the same as those in the file.
    let direct = |ours: &pixmend::net::Network| Direct::on(ours, set, threads);
    let ours: Result<Direct, Box<dyn Fn(Tensor<4>) -> Tensor<4>>> =
        match (Network::drawn(name), network::of_ours(name, &device)) {
            (Some(network), _) if who == "Burn" => Err(Box::new(network.burn(&device))),
            (Some(network), _) if adapter.is_some() => {
                let graphics = Graphics::with(&network.graph(), &device, kind);
                Err(Box::new(move |input| graphics.forward(input)))
            }
            (Some(network), _) => Ok(Direct::with(network.graph(), set, threads)),
            (_, Some(network)) if who == "Burn" => {
                Err(Box::new(move |input| network.forward(input)))
            }
            (_, Some(network)) if adapter.is_some() => {
                let graphics = Graphics::of(&network, &device, kind).ok_or("no such network")?;
                Err(Box::new(move |input| graphics.forward(input)))
            }
            (_, network) => Ok(network.as_ref().and_then(direct).ok_or("no such network")?),
        };
    let run = || match &ours {
        Ok(direct) => direct.run(&picture, height, width),
        Err(burn) => {
            let data = TensorData::new(picture.clone(), [1, 3, height, width]);
            let answer = burn(Tensor::from_data(data, &device));
            answer.into_data().try_into_vec().unwrap_or_default()
        }
    };
    let mut out = std::io::stdout();
    let version = match who {
        "Burn" => {
            if adapter.is_some() {
                "(layers)"
            } else {
                "(flex)"
            }
        }
        "Half" => "(16_bit)",
        _ => env!("CARGO_PKG_VERSION"),
    };
    let (_, before) = usage();
    writeln!(out, "ready {version} {before}")?;
    for (number, _line) in std::io::stdin().lines().enumerate() {
        let (begin, (used, _)) = (Instant::now(), usage());
        let result = run();
        let (wall, (cpu, peak)) = (begin.elapsed().as_secs_f64(), usage());
        if number == 0 {
            let bytes: Vec<u8> = result.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::io::copy(&mut &bytes[..], &mut std::fs::File::create(answer)?)?;
        }
        writeln!(out, "{wall} {} {peak}", cpu - used)?;
    }
    Ok(())
}

/// Seconds that all threads of this process have used, and the peak of its memory in KiB.
#[cfg(unix)]
fn usage() -> (f64, i64) {
    usage_of(nix::sys::resource::UsageWho::RUSAGE_SELF)
}

#[cfg(not(unix))]
fn usage() -> (f64, i64) {
    (0.0, 0)
}

/// Seconds that all threads of programs that this one started, and that have ended, have used.
#[cfg(unix)]
pub fn usage_of_children() -> f64 {
    usage_of(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).0
}

#[cfg(not(unix))]
pub fn usage_of_children() -> f64 {
    0.0
}

#[cfg(unix)]
fn usage_of(who: nix::sys::resource::UsageWho) -> (f64, i64) {
    use nix::sys::{resource::getrusage, time::TimeValLike as _};
    let Ok(usage) = getrusage(who) else { return (0.0, 0) };
    let time = usage.user_time() + usage.system_time();
    (time.num_microseconds() as f64 / 1e6, usage.max_rss())
}
