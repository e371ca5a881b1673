//! A run as the window shows it.

use std::sync::Arc;

use super::Adopted;
use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use image::RgbImage;

use crate::{
    jobs::{
        JobHandle,
        training::{Control, Course, Look, Pace},
    },
    train::{
        Best, Point, in_words,
        run::{Loss, Summary},
    },
};

/// A run on screen.
pub(in crate::app) struct Watched {
    /// While it goes on.
    pub(super) handle: Option<JobHandle>,
    pub(in crate::app) control: Control,
    pub(in crate::app) summary: Option<Summary>,
    pub(in crate::app) photos: [usize; 3],
    pub(in crate::app) device: String,
    pub(in crate::app) history: Vec<Point>,
    best: Option<Best>,
    pub(in crate::app) losses: Vec<Loss>,
    pub(in crate::app) pace: Option<Pace>,
    pub(super) batch: Option<usize>,
    pub(super) rolled_back: Option<u64>,
    pub(in crate::app) paused: bool,
    pub(in crate::app) judging: bool,
    /// As it is, by the base, and by the weights of a look.
    pub(in crate::app) before: Option<TextureHandle>,
    pub(in crate::app) base: Option<TextureHandle>,
    pub(in crate::app) tuned: Vec<(u64, TextureHandle)>,
    /// The look that is shown; the last one if none was chosen.
    pub(in crate::app) shown: Option<u64>,
    /// The base is compared with, not the photo as it was.
    pub(in crate::app) against_base: bool,
    /// Where the split line is, 0 to 1.
    pub(in crate::app) split: f32,
    /// What of it is in the list of models.
    pub(in crate::app) adopted: Adopted,
}

impl Watched {
    pub(super) fn new(handle: JobHandle, control: Control) -> Self {
        Self {
            handle: Some(handle),
            control,
            summary: None,
            photos: [0; 3],
            device: String::new(),
            history: Vec::new(),
            best: None,
            losses: Vec::new(),
            pace: None,
            batch: None,
            rolled_back: None,
            paused: false,
            judging: false,
            before: None,
            base: None,
            tuned: Vec::new(),
            shown: None,
            against_base: true,
            split: 0.5,
            adopted: Adopted::default(),
        }
    }

    pub(in crate::app) const fn is_going_on(&self) -> bool {
        self.handle.is_some()
    }

    pub(in crate::app) fn step(&self) -> u64 {
        let last = self.losses.last().map(|loss| loss.step);
        last.or(self.summary.as_ref().map(|summary| summary.step)).unwrap_or(0)
    }

    /// How it is doing.
    pub(in crate::app) fn sentence(&self) -> String {
        let Some(summary) = &self.summary else { return "getting ready".to_owned() };
        if let Some(verdict) = &summary.verdict {
            return verdict.sentence.clone();
        }
        in_words(&self.history, self.best, summary.base_psnr, self.step(), self.rolled_back)
    }

    pub(super) fn begin(&mut self, ctx: &Context, course: Course) {
        let texture = |name: &str, picture: &RgbImage| texture(ctx, name, picture);
        self.before = Some(texture("before", &course.before));
        self.base = Some(texture("base", &course.base));
        let tuned = course.tuned.iter();
        self.tuned = tuned.map(|(step, picture)| (*step, texture("tuned", picture))).collect();
        self.photos = course.photos;
        self.device = course.device;
        self.history = course.history;
        self.best = course.best;
        self.shown = course.summary.verdict.as_ref().and(course.summary.best);
        self.losses = course.losses;
        self.summary = Some(course.summary);
    }

    pub(super) fn look(&mut self, ctx: &Context, look: Look) {
        let Look { point, best, summary, tuned } = look;
        if self.history.last().is_none_or(|last| last.step != point.step) {
            self.history.push(point);
            let tuned = tuned.map(|picture: Arc<RgbImage>| texture(ctx, "tuned", &picture));
            self.tuned.extend(tuned.map(|picture| (point.step, picture)));
        }
        let kept = |step: u64| summary.checkpoints.iter().any(|kept| kept.step == step);
        self.tuned.retain(|(step, _)| kept(*step));
        self.shown = self.shown.filter(|step| kept(*step));
        self.best = best;
        self.summary = Some(summary);
    }
}

/// A picture for egui.
pub(super) fn texture(ctx: &Context, name: &str, picture: &RgbImage) -> TextureHandle {
    let size = [picture.width() as usize, picture.height() as usize];
    ctx.load_texture(name, ColorImage::from_rgb(size, picture), TextureOptions::LINEAR)
}
