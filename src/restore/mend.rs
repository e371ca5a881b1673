//! Filling what a mask marks; nothing else changes.
//!
//! Each region of the mask is filled apart, from a window that shows what is around it. So a small
//! scratch on a large photo costs what the scratch costs.

use std::{collections::HashMap, time::Instant};

use image::{DynamicImage, GrayImage, imageops};
use serde::{Deserialize, Serialize};

pub use super::unveil::Planes;
use super::{
    Monitor, Patch, Progress, Start,
    blend::{Layer, blend},
    diffuse::diffuse,
    opaque::is_opaque,
    repaint::check_scope,
    texture::{self, Hole},
    tiled::{self, Engine, Task},
    unveil::{Evidence, Fit, Lifted},
    upscale::bleed,
};

use crate::{
    device::Chosen,
    error::{Error, Result},
    mask::{self, Regions, Scope},
    model::Model,
    picture::Picture,
    rect::Rect,
};

/// Regions that are deeper than this are rather holes than marks: [`Filler::Auto`] fills them with
/// texture. In pixels from the border.
const DEEP: f32 = 20.0;

/// Width in pixels of the ring around a hole by which its fill is matched in colour.
const RING: f32 = 3.0;

/// How much a pixel of the ring counts by itself, 0 to 1: little, so that means of many are matched
/// and not each for itself.
const TRUST: f32 = 1.0 / 64.0;

/// Parts that are asked for the veil that all have in common, the largest ones.
const MOST_COMPARED: usize = 24;

/// Rows of the result that leave together.
const BAND: u32 = 256;

/// What fills a hole.
#[derive(Clone, Copy)]
pub enum Filler<'a> {
    /// A network that takes masks; it also uses what shines through.
    Network {
        /// Its weights.
        model: &'a Model,
        /// Where it runs.
        device: &'a Chosen,
    },
    /// What the rest of the picture is made of; see [`texture`].
    Texture {
        /// Decides what is drawn by lot.
        seed: u64,
    },
    /// What shines through an even mark, as it is; the network for other marks, texture for deep
    /// holes.
    Auto {
        /// The network's weights.
        model: &'a Model,
        /// Where it runs.
        device: &'a Chosen,
        /// Decides what is drawn by lot.
        seed: u64,
    },
}

/// What the user wants a hole to be filled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The shipped network for marks, and texture for deep holes.
    Auto,
    /// The shipped network.
    Network,
    /// What the photo is made of.
    Texture,
}

impl Fill {
    /// The network that it needs.
    #[must_use]
    pub fn network(self) -> Option<Model> {
        (self != Self::Texture).then(Model::mending)
    }

    /// What fills, given [`Self::network`].
    #[must_use]
    pub const fn filler<'a>(self, network: Option<&'a Model>, device: &'a Chosen) -> Filler<'a> {
        let seed = 0;
        match (network, self) {
            (Some(model), Self::Auto) => Filler::Auto { model, device, seed },
            (Some(model), Self::Network) => Filler::Network { model, device },
            _ => Filler::Texture { seed },
        }
    }
}

/// What the user sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MendOptions {
    /// Pixels by which the mask is made larger; less than 0 makes it smaller.
    pub grow: f32,
    /// Width in pixels of the soft join around the mask.
    pub feather: f32,
    /// Nothing of what is under the mask is of use: it is an object, not a mark. Otherwise each
    /// region is judged by how it looks.
    pub hides: bool,
    /// Grey pixels of the mask are filled as much as they are bright, as a soft brush leaves them;
    /// otherwise wholly, whatever a program made grey to smooth a border.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub soft: bool,
}

impl MendOptions {
    fn check(&self) -> Result<()> {
        let sound = self.grow.abs() <= mask::MOST && (0.0..=mask::MOST).contains(&self.feather);
        if sound {
            return Ok(());
        }
        Err(Error::Setting(format!("grow and feather are at most {} pixels", mask::MOST)))
    }
}

/// What was done, in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct MendReceipt {
    /// Width and height of the photo and of the result.
    pub size: (u32, u32),
    /// What filled it: a model's name, `texture` or both.
    pub filler: String,
    /// Device that ran the network, if one ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What computed the network there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernels: Option<String>,
    /// Parts of the mask that were filled apart.
    pub regions: usize,
    /// Pixels of the mask, grown and feathered.
    pub marked: u64,
    /// Pixels that differ from the photo's, of all outside of these: counted, and always 0.
    pub changed_outside: u64,
    /// From the first region to the last.
    pub seconds: f64,
}

impl MendReceipt {
    /// What was done, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { regions, filler, changed_outside, .. } = self;
        let noun = if *regions == 1 { "region" } else { "regions" };
        let filler = if filler.is_empty() { "nothing" } else { filler };
        format!(
            "{regions} {noun} filled by {filler}, {changed_outside} pixels changed outside the mask"
        )
    }
}

/// Fills the pixels where a mask, of the picture's size, is not black, and that are not protected;
/// the result leaves through [`Monitor::patch`] when all of it is there. All pixels outside of the
/// grown and feathered mask, and all that are wholly protected, are those of the picture, to the
/// bit.
///
/// An empty mask changes nothing, and the monitor is told so.
///
/// # Errors
/// [`Error::Setting`] if the model fills no masks, the mask has another size or a number is out of
/// range, [`Error::Cancelled`], [`Error::BadTile`], [`Error::Model`], or what the monitor returns.
pub fn mend<'a>(
    picture: &Picture,
    scope: impl Into<Scope<'a>>,
    filler: Filler<'_>,
    options: MendOptions,
    monitor: &mut dyn Monitor,
) -> Result<MendReceipt> {
    let begin = Instant::now();
    options.check()?;
    let scope = scope.into();
    check_scope(scope, picture.size())?;
    let Scope { mask: Some(mask), protected } = scope else {
        return Err(Error::Setting("nothing says what is to be filled".to_owned()));
    };
    if let Filler::Network { model, .. } | Filler::Auto { model, .. } = filler
        && !model.takes_mask()
    {
        return Err(Error::Setting(format!("the model {} does not fill masks", model.name())));
    }
    let reach = (options.grow.max(0.0) + options.feather).ceil() as u32 + 1;
    // So far apart that no pixel has a share in two of them.
    let regions = Regions::of(mask, 2 * reach);
    let (width, height) = picture.size();
    let device = match filler {
        Filler::Network { device, .. } | Filler::Auto { device, .. } => Some(device.name()),
        Filler::Texture { .. } => None,
    };
    monitor.start(&Start {
        size: (width, height),
        color: picture.pixels.color(),
        device: device.unwrap_or(crate::device::CPU).to_owned(),
        tiles: regions.boxes().len(),
    })?;
    if regions.boxes().is_empty() {
        monitor.note("nothing is marked: the result is the photo as it was");
    }
    let targets: Vec<Rect> =
        regions.boxes().iter().map(|region| region.grown_within(reach, width, height)).collect();
    let mut job = Job {
        picture,
        mask,
        protected,
        filler,
        options,
        begin,
        done: 0,
        total: targets.iter().map(Rect::area).sum::<u64>().max(1),
        regions: &regions,
        veil: None,
        evidence: HashMap::new(),
        network: None,
        kernels: None,
        used: [false; 3],
        monitor,
    };
    let mut edited = picture.pixels.clone();
    let mut shares = GrayImage::new(width, height);
    job.compare(&targets)?;
    for (part, target) in targets.into_iter().enumerate() {
        job.tell()?;
        job.fill(part, target, &mut edited, &mut shares)?;
        job.done += target.area();
    }
    let Job { kernels, used, monitor, total, .. } = job;
    let changed_outside = changed(&picture.pixels, &edited, &shares);
    for top in (0..height).step_by(BAND as usize) {
        let area = Rect::spanning(0, top, width, (top + BAND).min(height));
        let pixels = edited.crop_imm(0, top, width, area.height);
        monitor.patch(Patch { area, pixels })?;
    }
    monitor.progress(Progress { done: total, total, remaining: None })?;
    let model = match filler {
        Filler::Network { model, .. } | Filler::Auto { model, .. } => model.name(),
        Filler::Texture { .. } => "",
    };
    let names: Vec<&str> = [model, TEXTURE, UNVEILING]
        .into_iter()
        .zip(used)
        .filter_map(|(name, was)| was.then_some(name))
        .collect();
    Ok(MendReceipt {
        size: (width, height),
        filler: names.join(" and "),
        device: device.filter(|_| used[0]).map(str::to_owned),
        kernels,
        regions: regions.boxes().len(),
        marked: mask::count(&shares),
        changed_outside,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// What it is called that a mark was taken off.
const UNVEILING: &str = "unveiling";

/// What [`Filler::Texture`] is called.
pub const TEXTURE: &str = "texture";

/// Pixels that differ where there is no share.
fn changed(before: &DynamicImage, after: &DynamicImage, shares: &GrayImage) -> u64 {
    let bytes = usize::from(before.color().bytes_per_pixel());
    let pairs = before.as_bytes().chunks_exact(bytes).zip(after.as_bytes().chunks_exact(bytes));
    let outside = pairs.zip(shares.iter()).filter(|(_, share)| **share == 0);
    outside.filter(|((before, after), _)| before != after).count() as u64
}

/// A run of [`mend`].
struct Job<'a> {
    picture: &'a Picture,
    mask: &'a GrayImage,
    protected: Option<&'a GrayImage>,
    regions: &'a Regions,
    filler: Filler<'a>,
    options: MendOptions,
    begin: Instant,
    done: u64,
    total: u64,
    /// What all parts of a see-through mark have in common.
    veil: Option<Fit>,
    /// What those say that were asked for it.
    evidence: HashMap<usize, Evidence>,
    /// Made when it is needed first.
    network: Option<Engine<'a>>,
    kernels: Option<String>,
    /// Whether the network, texture and unveiling had something to do.
    used: [bool; 3],
    monitor: &'a mut dyn Monitor,
}

/// What a filler works on.
#[derive(Clone)]
struct Window {
    area: Rect,
    pixels: DynamicImage,
    /// All that is marked in it, grown: exactly 0 or 255.
    marks: GrayImage,
    /// The marks as they were made, before they are grown.
    painted: GrayImage,
    /// What of the answer is used: the part at hand, grown and feathered.
    shares: GrayImage,
    /// Nothing of what is under the marks is of use.
    hides: bool,
    /// It is rather a hole than a mark.
    deep: bool,
    /// Pixels of the part's box, by which progress is told.
    target: u64,
}

impl<'a> Job<'a> {
    /// Asks the monitor whether to go on.
    fn tell(&mut self) -> Result<()> {
        tell(self.monitor, self.begin, self.done, self.total)
    }

    /// What `change` makes of a piece of the mask, given more of it: what lies beyond the piece
    /// reaches into it.
    fn piece(&self, area: Rect, change: impl FnOnce(GrayImage, Rect) -> GrayImage) -> GrayImage {
        let MendOptions { grow, feather, .. } = self.options;
        let (width, height) = self.picture.size();
        let wide = area.grown_within((grow.abs() + feather).ceil() as u32, width, height);
        let changed = change(cut(self.mask, wide), wide);
        cut(&changed, Rect { x: area.x - wide.x, y: area.y - wide.y, ..area })
    }

    /// Takes what is wholly protected from marks that lie at `area`.
    fn spare(&self, marks: &mut GrayImage, area: Rect) {
        let Some(protected) = self.protected else { return };
        for (mark, protected) in marks.iter_mut().zip(cut(protected, area).iter()) {
            *mark = if *protected == 255 { 0 } else { *mark };
        }
    }

    /// How much of the answer is used where: what is marked of a part, grown and feathered.
    fn shares(&self, part: usize, area: Rect, own: &GrayImage) -> GrayImage {
        let MendOptions { grow, feather, soft, .. } = self.options;
        let mut shares = if soft {
            let own = |piece: GrayImage, area| self.regions.own(part, &piece, area);
            self.piece(area, |piece, area| mask::softened(&own(piece, area), grow, feather))
        } else {
            mask::feathered(own, feather)
        };
        if let Some(protected) = self.protected {
            mask::protect(&mut shares, &cut(protected, area));
        }
        shares
    }

    /// What a filler of a part works on, which reaches as far as `target`; `None` if nothing is left
    /// of it.
    fn window(&self, part: usize, target: Rect) -> Option<Window> {
        let (width, height) = self.picture.size();
        let side = target.width.max(target.height);
        // As much again around it as it is large.
        let context = (side / 2).clamp(64, 256);
        let area = target.grown_within(context, width, height);
        let (regions, grow) = (self.regions, self.options.grow);
        let own =
            self.piece(area, |piece, area| mask::grown(&regions.own(part, &piece, area), grow));
        let shares = self.shares(part, area, &own);
        let mut own = own;
        self.spare(&mut own, area);
        if mask::count(&own) == 0 {
            return None; // It was made so small that nothing is left, or is protected.
        }
        let pixels = self.picture.pixels.crop_imm(area.x, area.y, area.width, area.height);
        let mut marks = self.piece(area, |piece, _| mask::grown(&piece, grow));
        let mut painted = cut(self.mask, area);
        self.spare(&mut marks, area);
        self.spare(&mut painted, area);
        Some(Window {
            area,
            hides: self.options.hides || is_opaque(&luma(&planes(&pixels)), &marks),
            pixels: bleed(&pixels).unwrap_or(pixels),
            marks,
            painted,
            shares,
            deep: mask::depth(&own) > DEEP,
            target: target.area(),
        })
    }

    /// Whether what shines through is computed.
    const fn unveils(&self) -> bool {
        match self.filler {
            Filler::Texture { .. } => false,
            Filler::Auto { .. } => true,
            // Others want the photo as it is.
            Filler::Network { model, .. } => model.config().takes_marked(),
        }
    }

    /// What a window says of the mark that the photo shines through, if it may.
    fn evidence(&self, window: &Window) -> Option<Evidence> {
        let wanted = self.unveils() && !window.hides;
        wanted.then(|| Evidence::of(&planes(&window.pixels), &window.painted, &window.marks))?
    }

    /// Finds the veil that the largest parts of what is marked have in common, if they do.
    fn compare(&mut self, targets: &[Rect]) -> Result<()> {
        if !self.unveils() || targets.len() < 2 {
            return Ok(());
        }
        let mut parts: Vec<usize> = (0..targets.len()).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(targets[*part].area()));
        parts.truncate(MOST_COMPARED);
        let mut all = Vec::new();
        for part in parts {
            self.tell()?;
            let window = self.window(part, targets[part]);
            if let Some(evidence) = window.and_then(|window| self.evidence(&window)) {
                all.push(evidence.clone());
                self.evidence.insert(part, evidence);
            }
        }
        if all.len() > 1 {
            self.veil = Evidence::together(&all).fit();
        }
        Ok(())
    }

    /// Fills a part of what is marked, which reaches as far as `target`.
    fn fill(
        &mut self,
        part: usize,
        target: Rect,
        edited: &mut DynamicImage,
        shares: &mut GrayImage,
    ) -> Result<()> {
        let Some(window) = self.window(part, target) else { return Ok(()) };
        let area = window.area;
        let evidence = self.evidence.remove(&part).or_else(|| self.evidence(&window));
        let veil = evidence.and_then(|evidence| {
            let shared = self.veil.as_ref().and_then(|veil| evidence.judge(veil));
            Fit::better(evidence.fit(), shared)
        });
        let mut planes = match (veil, self.filler) {
            (
                Some(veil),
                Filler::Network { model, device } | Filler::Auto { model, device, .. },
            ) => self.unveiled(window.clone(), &veil, model, device)?,
            (_, Filler::Texture { seed }) => self.textured(&window, seed)?,
            (None, Filler::Auto { model, device, seed }) if window.deep => {
                match self.textured(&window, seed) {
                    // There is nothing to copy from.
                    Err(Error::Setting(_)) => self.through(&window, model, device)?,
                    other => other?,
                }
            }
            (None, Filler::Network { model, device } | Filler::Auto { model, device, .. }) => {
                self.through(&window, model, device)?
            }
        };
        match_ring(&mut planes, &window, self.options.feather);
        let layer = Layer { area, planes: [&planes[0], &planes[1], &planes[2]] };
        let share = |column, row| window.shares.get_pixel(column, row).0[0];
        blend(edited, &layer, target, |column, row| f32::from(share(column, row)) / 255.0);
        for y in target.y..target.bottom() {
            for x in target.x..target.right() {
                let all = shares.get_pixel_mut(x, y);
                all.0[0] = all.0[0].max(share(x - area.x, y - area.y));
            }
        }
        Ok(())
    }

    /// The window without a see-through mark: what is wholly under it is computed, and the network
    /// is asked for its soft border, which is a mark of a pixel or two, within what the veil allows.
    fn unveiled(
        &mut self,
        mut window: Window,
        veil: &Fit,
        model: &'a Model,
        device: &'a Chosen,
    ) -> Result<Planes> {
        let given = planes(&window.pixels);
        let Lifted { planes: mut lifted, computed } = veil.lifted(&given, &window.painted);
        self.used[2] = true;
        let wide = window.area.width as usize;
        window.pixels = window.with(&lifted, |x, y| computed[y as usize * wide + x as usize]);
        for (mark, computed) in window.marks.iter_mut().zip(&computed) {
            *mark = if *computed { 0 } else { *mark };
        }
        if mask::count(&window.marks) == 0 {
            return Ok(lifted);
        }
        let guess = self.through(&window, model, device)?;
        for (i, _) in window.marks.iter().enumerate().filter(|(_, mark)| **mark > 0) {
            let at = |planes: &Planes| [0, 1, 2].map(|channel| planes[channel][i]);
            let border = veil.allowed(at(&given), at(&guess));
            lifted.iter_mut().zip(border).for_each(|(plane, value)| plane[i] = value);
        }
        Ok(lifted)
    }

    fn textured(&mut self, window: &Window, seed: u64) -> Result<Planes> {
        let (planes, open) = (planes(&window.pixels), window.marks.iter().map(|mark| *mark > 0));
        let mut hole = Hole {
            width: window.area.width as usize,
            height: window.area.height as usize,
            planes,
            open: open.collect(),
        };
        let Self { begin, done, total, .. } = *self;
        texture::fill(&mut hole, seed, |round, rounds| {
            let part = window.target * round as u64 / rounds.max(1) as u64;
            tell(self.monitor, begin, done + part, total)
        })?;
        self.used[1] = true;
        Ok(hole.planes)
    }

    /// The network's answer for a window.
    fn through(&mut self, window: &Window, model: &'a Model, device: &'a Chosen) -> Result<Planes> {
        self.used[0] = true;
        if self.network.is_none() {
            let engine = Engine::new(model, device)?;
            self.network = Some(engine);
        }
        let Some(engine) = &mut self.network else { unreachable!("it was made above") };
        let hides = window.hides;
        let begun = (hides || engine.network.takes_marked())
            .then(|| continued(&planes(&window.pixels), &window.marks))
            .map(|planes| window.with(&planes, |x, y| window.marks.get_pixel(x, y).0[0] > 0));
        let source = begun.as_ref().unwrap_or(&window.pixels);
        let Rect { width, height, .. } = window.area;
        let task = Task {
            marked: Some(if hides { source } else { &window.pixels }),
            mask: Some(&window.marks),
            wanted: Some(&window.shares),
            ..Task::over(source, (width, height), None, device, &*engine.network)
        };
        let tiles = tiled::tiles(&task, &*engine.network)?;
        let (begin, done, total) = (self.begin, self.done, self.total);
        let monitor = &mut *self.monitor;
        let mut part = Part { monitor, begin, done, target: window.target, total };
        let painted = tiled::whole(&task, engine, tiles, &mut part);
        self.kernels = Some(engine.kernels());
        painted
    }
}

fn cut(mask: &GrayImage, area: Rect) -> GrayImage {
    imageops::crop_imm(mask, area.x, area.y, area.width, area.height).to_image()
}

fn tell(monitor: &mut dyn Monitor, begin: Instant, done: u64, total: u64) -> Result<()> {
    let remaining =
        (done > 0).then(|| begin.elapsed().mul_f64((total - done) as f64 / done as f64));
    monitor.progress(Progress { done, total, remaining })
}

/// Listens to the tiles of one region.
struct Part<'a> {
    monitor: &'a mut dyn Monitor,
    begin: Instant,
    done: u64,
    /// What the region counts.
    target: u64,
    total: u64,
}

impl Monitor for Part<'_> {
    fn progress(&mut self, Progress { done, total, .. }: Progress) -> Result<()> {
        let part = (self.target as f64 * done as f64 / total.max(1) as f64) as u64;
        tell(self.monitor, self.begin, self.done + part.min(self.target), self.total)
    }

    fn patch(&mut self, _patch: Patch) -> Result<()> {
        Ok(()) // Areas are taken before they become patches.
    }

    fn note(&mut self, note: &str) {
        self.monitor.note(note);
    }
}

impl Window {
    /// Its pixels, with others in some places.
    fn with(&self, planes: &Planes, place: impl Fn(u32, u32) -> bool) -> DynamicImage {
        let area = Rect::of_size(self.area.width, self.area.height);
        let mut pixels = self.pixels.clone();
        let layer = Layer { area, planes: [&planes[0], &planes[1], &planes[2]] };
        blend(&mut pixels, &layer, area, |x, y| f32::from(u8::from(place(x, y))));
        pixels
    }
}

/// What a network that fills masks learns from: a picture, what is marked of it (not 0), and
/// whether nothing of what is under the marks is of use, as far as that is known. As [`mend`] shows
/// it to one that takes what is marked: with a smooth continuation in the place of the marks; and as
/// it was given.
#[must_use]
pub fn shown(given: Planes, marks: &GrayImage, hides: bool) -> [Planes; 2] {
    let begun = continued(&given, marks);
    let hides = hides || is_opaque(&luma(&given), marks);
    [begun.clone(), if hides { begun } else { given }]
}

/// With what surrounds the marks in their place.
fn continued(planes: &Planes, marks: &GrayImage) -> Planes {
    let known: Vec<f32> = marks.iter().map(|mark| if *mark > 0 { 0.0 } else { 1.0 }).collect();
    let mut planes = planes.clone();
    planes.iter_mut().for_each(|plane| diffuse(plane, &known, marks.width() as usize));
    planes
}

/// Red, green and blue, 0 to 1.
fn planes(pixels: &DynamicImage) -> Planes {
    let pixels = pixels.to_rgb32f();
    [0, 1, 2].map(|channel| pixels.pixels().map(|pixel| pixel.0[channel]).collect())
}

/// Brightness, 0 to 1, row by row (BT.709).
fn luma([red, green, blue]: &Planes) -> Vec<f32> {
    let colours = red.iter().zip(green).zip(blue);
    colours.map(|((red, green), blue)| 0.2126 * red + 0.7152 * green + 0.0722 * blue).collect()
}

/// Takes what a fill is too bright or too colourful, as its surroundings show it, from all of it:
/// smoothly, so that its texture stays.
fn match_ring(fill: &mut Planes, window: &Window, feather: f32) {
    let near = mask::grown(&window.marks, RING.max(feather + 1.0));
    let ring: Vec<f32> = near
        .iter()
        .zip(window.marks.iter())
        .map(|(near, mark)| if *near > 0 && *mark == 0 { TRUST } else { 0.0 })
        .collect();
    // Without a ring there is nothing to go by.
    if ring.iter().all(|known| *known == 0.0) {
        return;
    }
    for (fill, photo) in fill.iter_mut().zip(planes(&window.pixels)) {
        let mut apart: Vec<f32> =
            fill.iter().zip(&photo).map(|(fill, photo)| fill - photo).collect();
        diffuse(&mut apart, &ring, window.area.width as usize);
        fill.iter_mut().zip(&apart).for_each(|(fill, apart)| *fill -= apart);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::paint::{self, Brush};
    use crate::{
        net::{NetworkConfig, unet::UnetConfig},
        restore::{Mosaic, strips},
    };
    use burn::tensor::Device;
    use image::{Luma, Rgba, RgbaImage};

    #[derive(Default)]
    struct Gather {
        patches: Vec<Patch>,
        notes: Vec<String>,
        /// Ends the job when it was asked so often.
        patience: Option<u32>,
    }

    impl Monitor for Gather {
        fn progress(&mut self, progress: Progress) -> Result<()> {
            assert!(progress.done <= progress.total);
            match &mut self.patience {
                Some(0) => Err(Error::Cancelled),
                Some(left) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }
        fn patch(&mut self, patch: Patch) -> Result<()> {
            self.patches.push(patch);
            Ok(())
        }
        fn note(&mut self, note: &str) {
            self.notes.push(note.to_owned());
        }
    }

    /// A network that was not trained: it changes whatever it is let to.
    fn model(mask: bool) -> Model {
        let config =
            UnetConfig { width: 4, blocks: [1; 4], mask, marked: mask, ..UnetConfig::small() };
        let config = NetworkConfig::Unet(config);
        Model::of("untrained", &config, &config.init(&Device::flex())).unwrap()
    }

    fn photo() -> RgbaImage {
        RgbaImage::from_fn(150, 110, |x, y| {
            let alpha = if x > 140 { 0 } else { 200 + (y % 50) as u8 };
            Rgba([(x * 3 % 251) as u8, (y * 5 % 241) as u8, ((x ^ y) * 7 % 256) as u8, alpha])
        })
    }

    fn marked(inside: impl Fn(u32, u32) -> bool) -> GrayImage {
        GrayImage::from_fn(150, 110, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
    }

    /// The result and its receipt; what the receipt says is counted again.
    fn mended<'a>(
        pixels: &DynamicImage,
        mask: impl Into<Scope<'a>>,
        filler: Filler<'_>,
        options: MendOptions,
    ) -> (DynamicImage, MendReceipt) {
        let picture = Picture::from_pixels("test", pixels.clone());
        let mut gather = Gather::default();
        let receipt = mend(&picture, mask, filler, options, &mut gather).unwrap();
        let mosaic = Mosaic {
            size: picture.size(),
            color: pixels.color(),
            patches: gather.patches.into_iter().map(Into::into).collect(),
        };
        assert!(mosaic.is_complete());
        let bytes = strips::of_mosaic(&mosaic).collect::<Vec<_>>().concat();
        let mut result = pixels.clone();
        match &mut result {
            DynamicImage::ImageLuma8(image) => image.copy_from_slice(&bytes),
            DynamicImage::ImageRgba8(image) => image.copy_from_slice(&bytes),
            DynamicImage::ImageRgba16(image) => {
                for (to, two) in image.iter_mut().zip(bytes.chunks_exact(2)) {
                    *to = u16::from_ne_bytes([two[0], two[1]]);
                }
            }
            other => panic!("{:?}", other.color()),
        }
        (result, receipt)
    }

    /// Pixels in which two pictures differ.
    fn differences(a: &DynamicImage, b: &DynamicImage) -> GrayImage {
        let bytes = usize::from(a.color().bytes_per_pixel());
        let pairs = a.as_bytes().chunks_exact(bytes).zip(b.as_bytes().chunks_exact(bytes));
        let apart = pairs.map(|(a, b)| if a == b { 0 } else { 255 }).collect();
        GrayImage::from_raw(a.width(), a.height(), apart).unwrap()
    }

    const TEXTURED: Filler<'_> = Filler::Texture { seed: 1 };

    #[test]
    fn not_one_pixel_changes_outside_of_the_mask() {
        let (model, device) = (model(true), Chosen::cpu());
        let network = Filler::Network { model: &model, device: &device };
        let eight = DynamicImage::from(photo());
        let masks = [
            marked(|x, y| (20..40).contains(&x) && (10..30).contains(&y)),
            // At two borders, and a pixel far from them.
            marked(|x, y| (x < 9 && y > 40) || y == 109 || (x, y) == (120, 20)),
            // A line of a pixel.
            marked(|x, y| x == y),
        ];
        for pixels in [eight.clone(), eight.to_rgba16().into(), eight.to_luma8().into()] {
            for mask in &masks {
                for (filler, options) in [
                    (network, MendOptions::default()),
                    (network, MendOptions { grow: 2.5, feather: 3.0, hides: true, soft: false }),
                    (TEXTURED, MendOptions { grow: 1.0, feather: 2.0, hides: false, soft: true }),
                ] {
                    let (result, receipt) = mended(&pixels, mask, filler, options);
                    let allowed =
                        mask::feathered(&mask::grown(mask, options.grow), options.feather);
                    let changed = differences(&pixels, &result);
                    let outside = changed.iter().zip(allowed.iter());
                    assert_eq!(outside.filter(|(c, a)| **c > 0 && **a == 0).count(), 0);
                    assert_eq!(receipt.changed_outside, 0);
                    let filled = mask::count(&changed);
                    assert!(
                        filled * 2 > mask::count(mask),
                        "only {filled} of {} were filled by {}",
                        mask::count(mask),
                        receipt.filler
                    );
                    assert!(receipt.marked >= mask::count(mask));
                    if pixels.color().has_alpha() {
                        let alpha = |image: &DynamicImage| {
                            image.to_rgba16().pixels().map(|p| p.0[3]).collect::<Vec<_>>()
                        };
                        assert!(alpha(&pixels) == alpha(&result), "alpha stays");
                    }
                }
            }
        }
    }

    #[test]
    fn a_soft_mask_is_filled_as_much_as_it_is_bright() {
        let photo = DynamicImage::from(photo());
        let brush = Brush { radius: 14.0, hardness: 0.2 };
        let mut mask = GrayImage::new(150, 110);
        paint::stroke(&mut mask, [60.0, 50.0], [80.0, 50.0], brush, true);
        for (grow, feather) in [(0.0, 0.0), (3.0, 0.0), (2.0, 3.0), (-2.0, 1.0)] {
            let hard = MendOptions { grow, feather, ..MendOptions::default() };
            let soft = MendOptions { soft: true, ..hard };
            let (full, _) = mended(&photo, &mask, TEXTURED, hard);
            let (part, receipt) = mended(&photo, &mask, TEXTURED, soft);
            assert_eq!(receipt.changed_outside, 0);
            let shares = mask::softened(&mask, grow, feather);
            let [full, part] = [full, part].map(DynamicImage::into_rgba8);
            let old = photo.to_rgba8();
            for (x, y, share) in shares.enumerate_pixels() {
                let [old, full, part] = [&old, &full, &part].map(|image| image.get_pixel(x, y).0);
                assert!(share.0[0] > 0 || part == old, "{x} {y} has changed");
                // Where the hard fill took all of the answer, the soft one took its share of it.
                if mask::grown(&mask, grow).get_pixel(x, y).0[0] == 0 {
                    continue;
                }
                for ((old, full), part) in old.into_iter().zip(full).zip(part) {
                    let [old, full, part] = [old, full, part].map(f32::from);
                    let expected = old + (full - old) * f32::from(share.0[0]) / 255.0;
                    assert!((part - expected).abs() <= 1.0, "{x} {y}: {part}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn what_is_protected_stays_whatever_is_marked() {
        let (model, device) = (model(true), Chosen::cpu());
        let network = Filler::Network { model: &model, device: &device };
        let mask = marked(|x, y| (30..80).contains(&x) && (30..60).contains(&y));
        let kept = marked(|x, y| x > 55 || y == 40);
        let scope = Scope { mask: Some(&mask), protected: Some(&kept) };
        let options = MendOptions { grow: 4.0, feather: 4.0, ..MendOptions::default() };
        for (filler, soft) in [(network, false), (TEXTURED, false), (TEXTURED, true)] {
            let photo = DynamicImage::from(photo());
            let (result, receipt) = mended(&photo, scope, filler, MendOptions { soft, ..options });
            let changed = differences(&photo, &result);
            let both = changed.iter().zip(kept.iter()).filter(|(c, k)| **c > 0 && **k > 0);
            assert_eq!((both.count(), receipt.changed_outside), (0, 0));
            assert!(mask::count(&changed) > 500);
        }
        let all = marked(|_, _| true);
        let scope = Scope { protected: Some(&all), ..scope };
        let (same, receipt) = mended(&photo().into(), scope, TEXTURED, options);
        assert!(same == DynamicImage::from(photo()) && receipt.marked == 0);
    }

    #[test]
    fn a_feather_reaches_beyond_the_mask() {
        let mask = marked(|x, y| (60..75).contains(&x) && (40..55).contains(&y));
        let options = MendOptions { feather: 6.0, ..MendOptions::default() };
        let photo = DynamicImage::from(photo());
        let (result, _) = mended(&photo, &mask, TEXTURED, options);
        let changed = differences(&photo, &result);
        let soft = mask::feathered(&mask, 6.0);
        let around = |changed: &GrayImage| {
            let pairs = changed.iter().zip(mask.iter().zip(soft.iter()));
            pairs.filter(|(c, (m, s))| **c > 0 && **m == 0 && **s > 0).count()
        };
        assert!(around(&changed) > 50, "{}", around(&changed));
    }

    #[test]
    fn a_part_within_the_box_of_another_is_filled_once() {
        let photo = imageops::resize(&photo(), 300, 220, imageops::FilterType::Nearest).into();
        let marked = |inside: &dyn Fn(u32, u32) -> bool| {
            GrayImage::from_fn(300, 220, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
        };
        let frame = |x: u32, y: u32| x == 5 || x == 294 || y == 5 || y == 214;
        let dot = |x: u32, y: u32| (140..150).contains(&x) && (100..110).contains(&y);
        let options = MendOptions { feather: 3.0, ..MendOptions::default() };
        let (_, receipt) = mended(&photo, &marked(&frame), TEXTURED, options);
        assert_eq!(receipt.regions, 1);
        let mask = marked(&|x, y| frame(x, y) || dot(x, y));
        let (result, receipt) = mended(&photo, &mask, TEXTURED, options);
        assert_eq!((receipt.regions, receipt.changed_outside), (2, 0));
        assert_eq!(receipt.marked, mask::count(&mask::feathered(&mask, 3.0)));
        assert!(mask::count(&differences(&photo, &result)) > 300);
    }

    #[test]
    fn an_empty_mask_changes_nothing_and_says_so() {
        let picture = Picture::from_pixels("test", photo().into());
        let mut gather = Gather::default();
        let empty = GrayImage::new(150, 110);
        let receipt =
            mend(&picture, &empty, TEXTURED, MendOptions::default(), &mut gather).unwrap();
        assert!(gather.notes.iter().any(|note| note.contains("nothing is marked")));
        assert_eq!((receipt.regions, receipt.marked, receipt.filler.as_str()), (0, 0, ""));
        let (same, _) = mended(&picture.pixels, &empty, TEXTURED, MendOptions::default());
        assert!(same == picture.pixels);
    }

    #[test]
    fn a_whole_picture_can_be_marked_for_a_network() {
        let (model, device) = (model(true), Chosen::cpu());
        let all = marked(|_, _| true);
        let options = MendOptions { hides: true, ..MendOptions::default() };
        let filler = Filler::Network { model: &model, device: &device };
        let (result, receipt) = mended(&photo().into(), &all, filler, options);
        assert_eq!(receipt.marked, 150 * 110);
        assert!(result != DynamicImage::from(photo()));
        let picture = Picture::from_pixels("test", photo().into());
        let refused = mend(&picture, &all, TEXTURED, options, &mut Gather::default()).unwrap_err();
        assert!(refused.to_string().contains("nothing to fill"), "{refused}");
    }

    #[test]
    fn auto_takes_texture_for_deep_holes_only() {
        let (model, device) = (model(true), Chosen::cpu());
        let auto = Filler::Auto { model: &model, device: &device, seed: 4 };
        let deep = |x, y| (10..70).contains(&x) && (10..70).contains(&y);
        let thin = |_, y| y == 100;
        for (mask, expected) in [
            (marked(thin), "untrained"),
            (marked(deep), TEXTURE),
            (marked(|x, y| deep(x, y) || thin(x, y)), TEXTURE),
        ] {
            let (_, receipt) = mended(&photo().into(), &mask, auto, MendOptions::default());
            assert!(receipt.filler.contains(expected), "{}", receipt.filler);
        }
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let picture = Picture::from_pixels("test", photo().into());
        let mask = marked(|x, y| (30..60).contains(&x) && (30..60).contains(&y));
        for patience in [0, 1, 5] {
            let mut gather = Gather { patience: Some(patience), ..Gather::default() };
            let ended = mend(&picture, &mask, TEXTURED, MendOptions::default(), &mut gather);
            assert!(matches!(ended, Err(Error::Cancelled)) && gather.patches.is_empty());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let picture = Picture::from_pixels("test", photo().into());
        let refused = |mask: &GrayImage, masks: bool, options, word: &str| {
            let (model, device) = (model(masks), Chosen::cpu());
            let filler = Filler::Network { model: &model, device: &device };
            let error = mend(&picture, mask, filler, options, &mut Gather::default()).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        };
        let usual = MendOptions::default();
        refused(&GrayImage::new(40, 41), true, usual, "40 x 41 pixels and the picture 150 x 110");
        refused(&marked(|_, _| true), false, usual, "does not fill masks");
        refused(&marked(|_, _| true), true, MendOptions { grow: f32::NAN, ..usual }, "at most");
        refused(&marked(|_, _| true), true, MendOptions { feather: -1.0, ..usual }, "at most");
    }
}
