//! Says in the log how far a start has come, so that it can be timed from outside:
//! `RUST_LOG=pixmend::app::milestones=info`, which `benches/peers` reads.

use egui::Context;

/// What a user waits for after starting the program, in this order.
const WORDS: [&str; 3] = ["the window is shown", "the photo is shown", "a restored tile is shown"];

/// How many of [`WORDS`] have come true, and were said.
#[derive(Default)]
pub(super) struct Milestones {
    painted: usize,
    said: usize,
}

impl Milestones {
    /// To be called in each frame, which shows what is passed.
    pub(super) fn frame(&mut self, photo: bool, tile: bool, ctx: &Context) {
        // What the frame before painted is on the screen by now.
        for words in &WORDS[self.said..self.painted] {
            log::info!("{words}");
        }
        self.said = self.painted;
        self.painted = self.painted.max(1 + usize::from(photo) + usize::from(photo && tile));
        if self.said < self.painted {
            ctx.request_repaint();
        }
    }
}
