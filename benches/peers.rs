//! How fast we are beside others: `cargo bench --bench peers [-- training inference ...]`; and how
//! long a user waits: `-- first growth`.
//!
//! Others are programs of their own, in Python, whose interpreter `PIXMEND_PYTHON` names. All take
//! turns, round by round, so that a busy machine slows all of them.

use std::{error::Error, path::PathBuf};

use clap::{Parser as _, ValueEnum};

#[path = "peers/first.rs"]
mod first;
#[path = "peers/growth.rs"]
mod growth;
#[path = "peers/inference.rs"]
mod inference;
#[path = "peers/network.rs"]
mod network;
#[path = "peers/training.rs"]
mod training;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Steps of training, beside others
    Training,
    /// Runs of networks, beside others
    Inference,
    /// From the start of the program to what is seen; needs a screen
    First,
    /// Time and memory from 1 to 100 megapixels; takes minutes
    Growth,
}

/// Compares our speed with that of others.
#[derive(clap::Parser)]
struct Arguments {
    /// What is measured; what is compared with others if nothing is named
    parts: Vec<Part>,
    /// Rounds, in each of which all take their turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Steps of a turn, in training
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Networks for inference
    #[arg(long, value_delimiter = ',', default_values_t = network::NAMES.map(str::to_owned))]
    networks: Vec<String>,
    /// Heights and widths for inference
    #[arg(long, value_delimiter = ',', default_values_t = inference::SIZES.map(str::to_owned))]
    sizes: Vec<String>,
    /// Numbers of threads for inference
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Inference on this graphics card (`gpu`, or a part of its name) in place of threads, and how
    /// many kernels it runs
    #[arg(long)]
    adapter: Option<String>,
    /// Only these of those that inference is compared with
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Model for growth
    #[arg(long, default_value = "fast-4x")]
    model: String,
    /// Largest photo for growth in megapixels
    #[arg(long, default_value_t = 100.0)]
    largest: f64,
    /// Draw growth into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// For the programs that this one starts
    #[arg(long, hide = true, num_args = 6)]
    serve: Option<Vec<String>>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(job) = &arguments.serve {
        let [who, network, size, place, _weights, answer] = &job[..] else {
            return Err("six words".into());
        };
        return inference::serve(who, network, size, place, &PathBuf::from(answer));
    }
    if arguments.parts.contains(&Part::First) {
        first::measure(arguments.rounds)?;
    }
    if arguments.parts.contains(&Part::Growth) {
        growth::measure(&arguments.model, arguments.largest, arguments.plot.as_deref())?;
    }
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wanted(Part::Training) {
        training::compare(arguments.rounds, arguments.steps)?;
    }
    if wanted(Part::Inference) {
        inference::compare(&inference::Request {
            rounds: arguments.rounds,
            networks: arguments.networks,
            sizes: arguments.sizes,
            threads: arguments.threads,
            adapter: arguments.adapter,
            only: arguments.only,
        })?;
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
