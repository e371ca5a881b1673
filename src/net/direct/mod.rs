//! The CPU path: the networks in vector instructions.
//!
//! Burn's CPU backend works through im2col on one thread. Here a network is a list of steps over
//! numbered values ([`Graph`]), and its convolutions go through three kernels: Winograd's method
//! for 3x3 of stride 1, a matrix product for other sizes and strides, and one with vectors along
//! the input channels for tails of few outputs. Training goes through Burn's graph, in which
//! Winograd's method and some other parts are operations of ours. Burn remains the reference in
//! tests (differences below 1e-4) and the fallback.
#![expect(unsafe_code, reason = "vector instructions, and maps that threads share")]

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};

pub use self::{
    enlarge::onto_bilinear,
    graph::{Beside, Filter, Graph, VIEW, Value},
    memory::KeptMemory,
    prelu::prelu,
    train::convolution,
};
use self::{
    peak::Peak,
    plan::Plan,
    simd::{Isa, Portable},
};
use super::{Generator, Network, Reach, layered};

pub(super) use self::graph::{Numbers, Step};

mod enlarge;
#[expect(clippy::needless_range_loop, reason = "kernels walk several arrays by one index")]
mod gemm;
mod graph;
mod layout;
mod map;
mod memory;
#[expect(clippy::needless_range_loop, reason = "kernels walk several arrays by one index")]
mod narrow;
mod output;
mod peak;
mod picture;
mod plan;
mod point;
mod prelu;
mod simd;
#[cfg(test)]
mod tests;
mod train;
#[expect(clippy::needless_range_loop, reason = "kernels walk several arrays by one index")]
mod winograd;

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// x86-64, sixteen lanes.
    Avx512,
    /// x86-64, eight lanes.
    Avx2,
    /// 64-bit ARM, four lanes.
    Neon,
    /// Any processor.
    Portable,
}

impl InstructionSet {
    /// Those that this processor has, the fastest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if simd::Avx512::available() {
                sets.push(Self::Avx512);
            }
            if simd::Avx2::available() {
                sets.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Self::Neon);
        sets.push(Self::Portable);
        sets
    }

    /// Multiplications and additions that one thread does in a second at best, measured.
    ///
    /// # Panics
    /// If this processor does not have the instruction set.
    #[must_use]
    pub fn peak(self) -> f64 {
        self.run(Peak)
    }

    fn run<W: OnSet>(self, work: W) -> W::Answer {
        assert!(Self::available().contains(&self), "this processor does not have {self:?}");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => work.run::<simd::Avx512>(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => work.run::<simd::Avx2>(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => work.run::<simd::Neon>(),
            _ => work.run::<Portable>(),
        }
    }
}

/// Work that any instruction set can do.
trait OnSet {
    type Answer;
    fn run<S: Isa>(self) -> Self::Answer;
}

/// Makes a plan.
struct Planned(Graph);

impl OnSet for Planned {
    type Answer = Box<dyn Runner>;

    fn run<S: Isa>(self) -> Box<dyn Runner> {
        Box::new(Plan::<S>::new(self.0))
    }
}

/// A plan without its instruction set.
trait Runner: Send {
    fn run(&mut self, planes: &[f32], size: [usize; 2], threads: usize, answer: &mut [f32]);
    fn kernels(&self) -> String;
    #[cfg(test)]
    fn reverse(&mut self);
}

impl<S: Isa> Runner for Plan<S> {
    fn run(&mut self, planes: &[f32], size: [usize; 2], threads: usize, answer: &mut [f32]) {
        Self::run(self, planes, size, threads, answer);
    }

    fn kernels(&self) -> String {
        format!("{}, {}", if self.transforms() { "Winograd" } else { "products" }, S::NAME)
    }

    #[cfg(test)]
    fn reverse(&mut self) {
        self.backwards = !self.backwards;
    }
}

/// A network, for the CPU.
pub struct Direct {
    plan: Mutex<Box<dyn Runner>>,
    threads: usize,
    scale: usize,
    /// Channels of the answer; see [`Graph::outputs`].
    outputs: usize,
    about: About,
}

/// What the steps do not say.
#[derive(Clone, Copy)]
pub(super) struct About {
    scale: u32,
    takes_mask: bool,
    takes_marked: bool,
    reach: Reach,
    grid: u32,
    memory: usize,
    parameters: usize,
    /// What the answer is resized by at the end.
    resized: Option<[usize; 2]>,
}

impl About {
    pub(super) fn of(network: &Network) -> Self {
        Self {
            scale: network.scale(),
            takes_mask: network.takes_mask(),
            takes_marked: network.takes_marked(),
            reach: network.reach(),
            grid: network.grid(),
            memory: network.memory(),
            parameters: network.parameters(),
            resized: network.resized(),
        }
    }

    /// Of a network of which nothing but its steps is known: it is taken to look everywhere.
    pub(super) fn steps(graph: &Graph) -> Self {
        Self {
            scale: graph.scale as u32,
            takes_mask: false,
            takes_marked: false,
            reach: Reach::Whole,
            grid: graph.multiple as u32,
            memory: 0,
            parameters: graph.parameters(),
            resized: None,
        }
    }
}

/// A network that runs the steps of a [`Graph`]; all else stands in its [`About`].
pub(super) trait Stepped: Send {
    fn about(&self) -> &About;

    /// As [`Generator::forward`], before the answer is resized.
    fn answer(&self, input: Tensor<4>) -> Tensor<4>;

    /// See [`Generator::kernels`].
    fn computed_by(&self) -> String;
}

impl<N: Stepped> Generator for N {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let answer = self.answer(input);
        match self.about().resized {
            Some(by) => layered::resized(answer, by),
            None => answer,
        }
    }

    fn scale(&self) -> u32 {
        self.about().scale
    }

    fn channels(&self) -> u32 {
        3
    }

    fn takes_mask(&self) -> bool {
        self.about().takes_mask
    }

    fn takes_marked(&self) -> bool {
        self.about().takes_marked
    }

    fn reach(&self) -> Reach {
        self.about().reach
    }

    fn grid(&self) -> u32 {
        self.about().grid
    }

    fn memory(&self) -> usize {
        self.about().memory
    }

    fn parameters(&self) -> usize {
        self.about().parameters
    }

    fn kernels(&self) -> String {
        self.computed_by()
    }
}

impl Direct {
    /// The same network on the fastest instruction set and all threads of the pool. Its own
    /// weights are given up before they are laid out anew, which for the largest is much memory.
    ///
    /// # Errors
    /// The network as it was, if it has layers that this path does not know.
    pub fn of(network: Box<Network>) -> Result<Self, Box<Network>> {
        let Some(graph) = network.graph() else { return Err(network) };
        let about = About::of(&network);
        drop(network);
        let set = InstructionSet::available()[0];
        Ok(Self { about, ..Self::with(graph, set, rayon::current_num_threads()) })
    }

    /// The same network on a chosen instruction set and number of threads; `None` if it has layers
    /// that this path does not know.
    ///
    /// # Panics
    /// If this processor does not have the instruction set.
    #[must_use]
    pub fn on(network: &Network, set: InstructionSet, threads: usize) -> Option<Self> {
        let about = About::of(network);
        Some(Self { about, ..Self::with(network.graph()?, set, threads) })
    }

    /// A network of which nothing but its steps is known: it is taken to look everywhere.
    ///
    /// # Panics
    /// If this processor does not have the instruction set.
    #[must_use]
    pub fn with(graph: Graph, set: InstructionSet, threads: usize) -> Self {
        Self {
            threads,
            scale: graph.scale,
            outputs: graph.outputs(),
            about: About::steps(&graph),
            plan: Mutex::new(set.run(Planned(graph))),
        }
    }

    /// Runs it on `planes`, `[channel][y][x]`.
    #[must_use]
    pub fn run(&self, planes: &[f32], height: usize, width: usize) -> Vec<f32> {
        let mut answer = vec![0.0; self.outputs * height * width * self.scale * self.scale];
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.run(planes, [height, width], self.threads, &mut answer);
        answer
    }
}

impl Stepped for Direct {
    fn about(&self) -> &About {
        &self.about
    }

    fn answer(&self, input: Tensor<4>) -> Tensor<4> {
        let [count, channels, height, width] = input.dims();
        let planes = input.into_data().try_into_vec::<f32>().unwrap_or_default();
        let (big_height, big_width) = (height * self.scale, width * self.scale);
        let mut answer = Vec::new();
        // A network for one channel takes those of a colour picture one after the other.
        let channels = if self.outputs == 1 { 1 } else { channels };
        for input in planes.chunks_exact(channels * height * width) {
            let own = self.run(input, height, width);
            if answer.is_empty() { answer = own } else { answer.extend(own) }
        }
        let shape = [count, 3, big_height, big_width];
        Tensor::from_data(TensorData::new(answer, shape), &Device::flex())
    }

    fn computed_by(&self) -> String {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.kernels()
    }
}
