//! A look at what a model makes of a part of a photo, in about a second.
//!
//! It is the run over the whole photo, with the tiles in view first and left when time is up: so it
//! shows what the whole run will, and its tiles need not be made again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{EventKind, Outcome, Reporter};
use crate::{
    error::{Error, Result},
    model::Model,
    picture::Picture,
    rect::Rect,
    restore::{Monitor, Patch, Progress, Start, UpscaleOptions, upscale},
    size::Size,
};

/// No tile begins that would end later than this, but the first.
const BUDGET: Duration = Duration::from_millis(1200);

/// Bytes of tiles that are kept at most.
const MOST: usize = 128 << 20;

/// What a network answered for tiles of one photo, with one model, device and settings.
#[derive(Clone, Debug, Default)]
pub struct Tiles(Arc<Mutex<HashMap<Rect, Vec<u16>>>>);

impl Tiles {
    /// As [`Monitor::kept`].
    #[must_use]
    pub fn get(&self, area: Rect) -> Option<Vec<f32>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let values = kept.get(&area)?.iter();
        Some(values.map(|value| f32::from(*value) / 65_535.0).collect())
    }

    /// As [`Monitor::keep`]; what there is no room for is not kept.
    pub fn put(&self, area: Rect, planes: &[f32]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = kept.values().map(|values| 2 * values.len()).sum();
        if held + 2 * planes.len() <= MOST {
            let values = planes.iter().map(|value| (value * 65_535.0).round() as u16);
            kept.insert(area, values.collect());
        }
    }
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// The photo.
    pub picture: Arc<Picture>,
    /// Name of a model, or path of a model file.
    pub model: String,
    /// As [`crate::device::Chosen::by_name`] takes it.
    pub device: String,
    /// What the user set.
    pub options: UpscaleOptions,
    /// The part in view: left, top, right and bottom in pixels of the photo.
    pub view: [f32; 4],
    /// The place in it that matters most, in pixels of the photo.
    pub place: [f32; 2],
    /// Those that are known, and where new ones go.
    pub tiles: Tiles,
}

/// What a look took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Seconds until it was shown.
    pub seconds: f64,
    /// Seconds that the whole photo would take, if a tile was made.
    pub whole: Option<f64>,
}

impl Look {
    /// The same options where a part can be made alone: what takes two passes is looked at after
    /// the first, and its tiles are not those of the whole run.
    fn partial(&self, model: &Model) -> Result<(UpscaleOptions, bool)> {
        let options = UpscaleOptions { strength: 1.0, ..self.options };
        let steps = options.steps(self.picture.size(), model)?;
        Ok(match steps.passes {
            1 => (options, true),
            _ => (UpscaleOptions { size: Size::Model, ..options }, false),
        })
    }
}

impl Reporter<'_> {
    pub(super) fn preview(&mut self, look: &Look) -> Result<Outcome> {
        let begun = Instant::now();
        let model = Model::find(&look.model)?;
        let device = self.chosen(&look.device)?;
        let (options, lasting) = look.partial(&model)?;
        let mut watch = Watch::new(self, look, lasting, begun);
        let ended = upscale(&look.picture, &model, &device, &options, &mut watch);
        let Watch { enough, whole, shown, .. } = watch;
        match ended {
            Err(Error::Cancelled) if enough && !shown => Err(Error::Setting(format!(
                "the model {} looks at the whole photo at once: it has no preview of a part",
                model.name()
            ))),
            Err(error) if !enough => Err(error),
            _ => Ok(Outcome::Previewed(Taken { seconds: begun.elapsed().as_secs_f64(), whole })),
        }
    }
}

/// Ends a run when what is in view is there, or time is up.
struct Watch<'a, 'b> {
    reporter: &'a Reporter<'b>,
    look: &'a Look,
    /// Tiles are those of the whole run.
    lasting: bool,
    begun: Instant,
    /// When the tile in work was chosen.
    chosen: Option<Instant>,
    /// It was asked before whether to go on.
    asked: bool,
    /// The longest that a tile took.
    longest: Duration,
    /// Tiles in view that are still to be made.
    left: usize,
    /// It was ended here.
    enough: bool,
    shown: bool,
    /// Pixels of the whole result.
    pixels: f64,
    whole: Option<f64>,
}

impl<'a, 'b> Watch<'a, 'b> {
    fn new(reporter: &'a Reporter<'b>, look: &'a Look, lasting: bool, begun: Instant) -> Self {
        Self {
            reporter,
            look,
            lasting,
            begun,
            chosen: None,
            asked: false,
            longest: Duration::ZERO,
            left: 0,
            enough: false,
            shown: false,
            pixels: 0.0,
            whole: None,
        }
    }
}

impl Monitor for Watch<'_, '_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.pixels = f64::from(start.size.0) * f64::from(start.size.1);
        self.reporter.send(EventKind::Started(start.clone()));
        Ok(())
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        if progress.done == progress.total {
            return Ok(());
        }
        if self.reporter.handle.is_cancelling() {
            return Err(Error::Cancelled);
        }
        let spent = self.begun.elapsed();
        let up = spent + self.longest > BUDGET;
        self.enough = match self.chosen.take() {
            Some(_) => self.shown && (self.left == 0 || up),
            // A run that does not ask which tile is next goes over all of the photo.
            None => self.asked,
        };
        self.asked = true;
        if self.enough { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn next(&mut self, waiting: &[Rect]) -> usize {
        let Look { view: [left, top, right, bottom], place: [x, y], .. } = self.look;
        let seen = |area: &Rect| {
            (area.x as f32) < *right
                && area.right() as f32 > *left
                && (area.y as f32) < *bottom
                && area.bottom() as f32 > *top
        };
        let distance = |area: &Rect| {
            let off = |place: f32, start: u32, end: u32| {
                (start as f32 - place).max(place - end as f32).max(0.0)
            };
            off(*x, area.x, area.right()).hypot(off(*y, area.y, area.bottom()))
        };
        self.chosen = Some(Instant::now());
        self.left = waiting.iter().filter(|area| seen(area)).count().saturating_sub(1);
        // What is in view first; the rest is only reached where nothing of that could be shown.
        let rank = |area: &Rect| (!seen(area), distance(area));
        let nearest = waiting.iter().enumerate().min_by(|(_, a), (_, b)| {
            let ((beyond, far), (other_beyond, other_far)) = (rank(a), rank(b));
            beyond.cmp(&other_beyond).then(far.total_cmp(&other_far))
        });
        nearest.map_or(0, |(index, _)| index)
    }

    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.shown = true;
        self.reporter.send(EventKind::Patch(Arc::new(patch)));
        Ok(())
    }

    fn kept(&mut self, area: Rect) -> Option<Vec<f32>> {
        self.look.tiles.get(area).filter(|_| self.lasting)
    }

    fn keep(&mut self, area: Rect, planes: &[f32]) {
        if let Some(chosen) = self.chosen {
            let took = chosen.elapsed();
            self.longest = self.longest.max(took);
            self.whole = Some(took.as_secs_f64() * self.pixels / area.area() as f64);
        }
        if self.lasting {
            self.look.tiles.put(area, planes);
        }
    }

    fn note(&mut self, note: &str) {
        self.reporter.send(EventKind::Note(note.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::jobs::{Event, Focus, Job, Workers};

    fn photo() -> Arc<Picture> {
        let pixels = RgbImage::from_fn(700, 500, |x, y| {
            Rgb([(x * 3 % 256) as u8, (y * 5 % 256) as u8, ((x ^ y) * 7 % 256) as u8])
        });
        Arc::new(Picture::from_pixels("photo", pixels.into()))
    }

    fn look(tiles: &Tiles, options: UpscaleOptions, place: [f32; 2]) -> Look {
        let [x, y] = place;
        Look {
            picture: photo(),
            model: "fast-4x".to_owned(),
            device: "cpu".to_owned(),
            options,
            view: [x - 20.0, y - 20.0, x + 20.0, y + 20.0],
            place,
            tiles: tiles.clone(),
        }
    }

    /// The patches of a job, and how it ended.
    fn done(workers: &mut Workers, job: Job) -> (Vec<Arc<Patch>>, EventKind) {
        let handle = workers.submit(job);
        let mut patches = Vec::new();
        let begin = Instant::now();
        loop {
            let events: Vec<Event> = workers.events().collect();
            for event in events.into_iter().filter(|event| event.id == handle.id) {
                match event.kind {
                    EventKind::Patch(patch) => patches.push(patch),
                    EventKind::Started(_) | EventKind::Progress(_) | EventKind::Note(_) => {}
                    end => return (patches, end),
                }
            }
            assert!(begin.elapsed().as_secs() < 60, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn whole(tiles: Tiles, options: UpscaleOptions) -> Job {
        Job::Upscale {
            picture: photo(),
            model: "fast-4x".to_owned(),
            device: "cpu".to_owned(),
            options,
            focus: Focus::default(),
            tiles,
        }
    }

    #[test]
    fn a_look_shows_what_the_whole_run_makes_and_its_tiles_are_taken() {
        let mut workers = Workers::start(|| {}).unwrap();
        let (tiles, options) = (Tiles::default(), UpscaleOptions::default());
        let job = Job::Preview(Box::new(look(&tiles, options, [650.0, 450.0])));
        let (seen, end) = done(&mut workers, job);
        let EventKind::Finished(Outcome::Previewed(taken)) = end else { panic!("{end:?}") };
        assert!(taken.whole.unwrap() > 0.0);
        assert!(seen.iter().any(|patch| patch.area.x <= 2600 && patch.area.right() > 2600));
        let (patches, _) = done(&mut workers, whole(Tiles::default(), options));
        let all: u64 = patches.iter().map(|patch| patch.area.area()).sum();
        assert_eq!(all, 2800 * 2000);
        assert!(seen.iter().map(|patch| patch.area.area()).sum::<u64>() < all / 2);
        for patch in &seen {
            let same = patches.iter().find(|other| other.area == patch.area).unwrap();
            assert!(same.pixels == patch.pixels);
        }
        // The whole run takes the tile as it was kept: here a black one.
        let mut kept = tiles.0.lock().unwrap();
        assert_eq!(kept.len(), 1, "one tile was in view");
        let area = *kept.keys().next().unwrap();
        kept.values_mut().for_each(|values| values.fill(0));
        drop(kept);
        let bare = UpscaleOptions { colour_lock: false, ..options };
        let (patches, _) = done(&mut workers, whole(tiles, bare));
        let black = patches.iter().find(|patch| patch.area == area).unwrap();
        assert!(black.pixels.as_bytes().iter().all(|value| *value == 0));
    }

    #[test]
    fn what_takes_two_passes_is_looked_at_after_the_first() {
        let mut workers = Workers::start(|| {}).unwrap();
        let tiles = Tiles::default();
        let options = UpscaleOptions { size: Size::Scale(9.0), ..UpscaleOptions::default() };
        let job = Job::Preview(Box::new(look(&tiles, options, [10.0, 10.0])));
        let (seen, end) = done(&mut workers, job);
        assert!(matches!(end, EventKind::Finished(Outcome::Previewed(_))), "{end:?}");
        assert!(!seen.is_empty());
        assert!(tiles.0.lock().unwrap().is_empty(), "they are not those of the whole run");
        let mut unknown = look(&tiles, options, [10.0, 10.0]);
        unknown.model = "nothing".to_owned();
        let (_, end) = done(&mut workers, Job::Preview(Box::new(unknown)));
        assert!(matches!(end, EventKind::Failed(Error::ModelUnknown { .. })), "{end:?}");
    }
}
