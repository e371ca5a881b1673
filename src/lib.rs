//! Pixmend restores photographs on the user's own machine.
//!
//! `ARCHITECTURE.md` is the map. Dependencies between the modules go one way,
//! from `app` and `cli` at the top to `net` and `error` at the bottom.

pub mod app;
pub mod cli;
pub mod device;
pub mod encoding;
pub mod error;
pub mod jobs;
pub mod mask;
pub mod metric;
pub mod model;
pub mod net;
pub mod picture;
pub mod rect;
pub mod restore;
pub mod settings;
pub mod size;
pub mod train;

pub use error::{Error, Result};
