//! All integration tests in one binary: each would link wgpu and Burn anew.
#![expect(clippy::unwrap_used, reason = "tests")]

mod avif;
mod bad_input;
mod cli;
mod comparing;
mod detect;
mod engine;
mod files;
mod formats;
mod importing;
mod layering;
mod legible;
mod metadata;
mod models;
mod queue;
mod reference;
mod repair;
mod runs;
mod support;
mod training;
mod training_window;
mod window;
mod window_compare;
mod window_queue;
mod window_repair;
