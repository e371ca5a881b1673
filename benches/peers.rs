//! How fast we are beside others: `cargo bench --bench peers [-- training inference ...]`.
//!
//! Others are programs of their own, in Python, whose interpreter `PIXMEND_PYTHON` names. All take
//! turns, round by round, so that a busy machine slows all of them.

use std::{error::Error, path::PathBuf};

use clap::{Parser as _, ValueEnum};

#[path = "peers/inference.rs"]
mod inference;
#[path = "peers/network.rs"]
mod network;
#[path = "peers/training.rs"]
mod training;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Training,
    Inference,
}

/// Compares our speed with that of others.
#[derive(clap::Parser)]
struct Arguments {
    /// What is compared; all if nothing is named
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
    /// Only these of those that inference is compared with
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<String>>,
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
        let [who, network, size, threads, _weights, answer] = &job[..] else {
            return Err("six words".into());
        };
        return inference::serve(who, network, size, threads.parse()?, &PathBuf::from(answer));
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
