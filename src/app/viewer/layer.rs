//! A picture as the viewer holds it: cut into cells that become textures when
//! they are looked at.
//!
//! A result can be far larger than any texture may be, so each level of its
//! pyramid is cut into cells of [`CELL`] pixels. A cell carries one pixel of
//! its neighbours on every side, so that interpolation shows no joins. Only
//! cells in view are uploaded, a few per frame; the ones that were not looked
//! at for longest make room.

use std::{collections::HashMap, sync::Arc};

use image::{DynamicImage, GrayImage, Rgba, RgbaImage, imageops::crop_imm};

use super::render::{Renderer, Texture};
use crate::{
    picture::{
        Picture,
        colour::Screen,
        pyramid::{Pyramid, shown},
    },
    rect::Rect,
    restore::{Patch, plain::Plain},
};

/// Pixels of a level in a cell, in each direction.
pub const CELL: u32 = 512;

/// Cells on the GPU at most: 256 MiB a layer.
const MOST_CELLS: usize = 256;

/// Which cell: level, column, row.
pub type Key = (u32, u32, u32);

/// Where the pixels of level 0 come from.
#[derive(Debug)]
enum Base {
    Picture(Arc<Picture>),
    Patches(Vec<Arc<Patch>>),
    Mask(GrayImage),
    /// A photo enlarged by interpolation: how, for each level that is larger than itself.
    Plain(Arc<Picture>, Vec<Plain>),
}

#[derive(Debug)]
struct Cell {
    texture: Texture,
    last_seen: u64,
    /// Its pixels have changed since.
    stale: bool,
}

/// A picture that can be drawn.
#[derive(Debug)]
pub struct Layer {
    size: (u32, u32),
    transparent: bool,
    base: Base,
    pyramid: Pyramid,
    /// How its colours get onto the screen; `None` where they are the screen's.
    screen: Option<Arc<Screen>>,
    /// Pixels of level 0 that are still unknown.
    missing: u64,
    cells: HashMap<Key, Cell>,
    frame: u64,
}

impl Layer {
    /// A picture that is there.
    #[must_use]
    pub fn of_picture(picture: Arc<Picture>, pyramid: Pyramid) -> Self {
        let screen = Screen::of(&picture.metadata).map(Arc::new);
        let transparent = picture.pixels.color().has_alpha();
        Self { screen, ..Self::new(picture.size(), transparent, Base::Picture(picture), pyramid) }
    }

    /// A result that comes in patches, in colours as [`Self::screen`] of its photo.
    #[must_use]
    pub fn of_patches(size: (u32, u32), transparent: bool, screen: Option<Arc<Screen>>) -> Self {
        let pyramid = Pyramid::empty(size.0, size.1);
        Self { screen, ..Self::new(size, transparent, Base::Patches(Vec::new()), pyramid) }
    }

    /// How its colours get onto the screen.
    #[must_use]
    pub fn screen(&self) -> Option<Arc<Screen>> {
        self.screen.clone()
    }

    /// The photo enlarged by interpolation to another size, its cells made when they are looked at;
    /// `None` for anything but a photo, and where it would be no larger.
    #[must_use]
    pub fn enlarged(&self, size: (u32, u32)) -> Option<Self> {
        let Base::Picture(picture) = &self.base else { return None };
        let pyramid = Pyramid::empty(size.0, size.1);
        let levels = (0..=pyramid.last()).map(|level| pyramid.size_of(level));
        let larger = levels.take_while(|size| size.0 > self.size.0 && size.1 > self.size.1);
        let ways: Vec<Plain> = larger.map(|size| Plain::of(&picture.pixels, size)).collect();
        if ways.is_empty() {
            return None;
        }
        let base = Base::Plain(picture.clone(), ways);
        let layer = Self::new(size, self.transparent, base, pyramid);
        Some(Self { screen: self.screen.clone(), ..layer })
    }

    /// An empty mask, which is drawn as how much of it is marked.
    #[must_use]
    pub fn of_mask(size: (u32, u32)) -> Self {
        let base = Base::Mask(GrayImage::new(size.0, size.1));
        Self::new(size, true, base, Pyramid::empty(size.0, size.1))
    }

    fn new(size: (u32, u32), transparent: bool, base: Base, pyramid: Pyramid) -> Self {
        let missing = match base {
            Base::Picture(_) | Base::Mask(_) | Base::Plain(..) => 0,
            Base::Patches(_) => u64::from(size.0) * u64::from(size.1),
        };
        Self {
            size,
            transparent,
            base,
            pyramid,
            screen: None,
            missing,
            cells: HashMap::new(),
            frame: 0,
        }
    }

    /// Pixels.
    #[must_use]
    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Whether something below may shine through.
    #[must_use]
    pub const fn is_transparent(&self) -> bool {
        self.transparent
    }

    /// Whether every pixel is known.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Whether a piece of just this area was added.
    #[must_use]
    pub fn has(&self, area: Rect) -> bool {
        matches!(&self.base, Base::Patches(patches) if patches.iter().any(|own| own.area == area))
    }

    /// Adds a piece of a result.
    pub fn add(&mut self, patch: Arc<Patch>) {
        let area = patch.area;
        self.missing = self.missing.saturating_sub(area.area());
        self.pyramid.update(&shown(&patch.pixels, self.screen.as_deref()), area);
        if let Base::Patches(patches) = &mut self.base {
            patches.push(patch);
        }
        self.outdate(area);
    }

    /// Takes over what has changed in a mask: only that is uploaded again.
    pub fn update_mask(&mut self, mask: &GrayImage, area: Rect) {
        self.replace_mask(area, |area| {
            crop_imm(mask, area.x, area.y, area.width, area.height).to_image()
        });
    }

    /// As [`Self::update_mask`], with what `piece_of` makes for an area that may be larger.
    pub fn replace_mask(&mut self, area: Rect, piece_of: impl FnOnce(Rect) -> GrayImage) {
        let Base::Mask(own) = &mut self.base else { return };
        // Means of the coarser levels are of pairs.
        let even = |value: u32| value / 2 * 2;
        let area = Rect::spanning(
            even(area.x),
            even(area.y),
            (even(area.right()) + 2).min(self.size.0),
            (even(area.bottom()) + 2).min(self.size.1),
        );
        let piece = piece_of(area);
        image::imageops::replace(own, &piece, i64::from(area.x), i64::from(area.y));
        self.pyramid.update(&coverage(&piece), area);
        self.outdate(area);
    }

    /// The mask that it shows, if it shows one.
    #[cfg(test)]
    pub const fn marked(&self) -> Option<&GrayImage> {
        match &self.base {
            Base::Mask(mask) => Some(mask),
            _ => None,
        }
    }

    /// The cells that show some of an area have to be uploaded again.
    fn outdate(&mut self, area: Rect) {
        for ((level, column, row), cell) in &mut self.cells {
            // One pixel more for the neighbours' border.
            let side = CELL << level;
            let covered = Rect { x: column * side, y: row * side, width: side, height: side };
            let reached = covered.grown_within(1 << level, self.size.0, self.size.1);
            cell.stale |= reached.intersection(&area).is_some();
        }
    }

    /// The smallest level that still has a pixel for every pixel of the
    /// screen, where one pixel of level 0 takes `zoom` pixels of the screen.
    #[must_use]
    pub fn level_for(&self, zoom: f32) -> u32 {
        // Half a level of tolerance: slight shrinking by interpolation is sharp.
        let level = (-zoom.log2() + 0.4).floor().max(0.0);
        let last = match &self.base {
            Base::Plain(_, ways) => ways.len() as u32 - 1,
            _ => self.pyramid.last(),
        };
        (level as u32).min(last)
    }

    /// The smallest level of all, a single cell, which can be had at once; an enlarged photo has
    /// none.
    #[must_use]
    pub fn last_level(&self) -> Option<u32> {
        (!matches!(self.base, Base::Plain(..))).then(|| self.pyramid.last())
    }

    /// Width and height of a level in pixels.
    #[must_use]
    pub fn size_of(&self, level: u32) -> (u32, u32) {
        self.pyramid.size_of(level)
    }

    /// Begins a frame: what was asked for before it counts as seen earlier.
    pub fn begin_frame(&mut self) {
        self.frame += 1;
    }

    /// The texture of a cell, uploaded if `budget` allows. One that is out of
    /// date is given rather than none.
    pub fn texture(&mut self, key: Key, renderer: &Renderer, budget: &mut u32) -> Option<Texture> {
        let frame = self.frame;
        let fresh = self.cells.get(&key).is_some_and(|cell| !cell.stale);
        if !fresh && *budget > 0 {
            *budget -= 1;
            let texture = renderer.upload(&self.cell_pixels(key));
            self.make_room();
            let cell = Cell { texture, last_seen: frame, stale: false };
            self.cells.insert(key, cell);
        }
        let cell = self.cells.get_mut(&key)?;
        cell.last_seen = frame;
        Some(cell.texture.clone())
    }

    fn make_room(&mut self) {
        while self.cells.len() >= MOST_CELLS {
            let oldest = self.cells.iter().min_by_key(|(_, cell)| cell.last_seen);
            match oldest.map(|(key, cell)| (*key, cell.last_seen)) {
                Some((key, seen)) if seen < self.frame => self.cells.remove(&key),
                // All of them are in view.
                _ => return,
            };
        }
    }

    /// The pixels of a cell with a border of one pixel: of its neighbours, or
    /// at the picture's edge its own repeated.
    fn cell_pixels(&self, (level, column, row): Key) -> RgbaImage {
        let (width, height) = self.size_of(level);
        let own = Rect::spanning(
            column * CELL,
            row * CELL,
            ((column + 1) * CELL).min(width),
            ((row + 1) * CELL).min(height),
        );
        let known = own.grown_within(1, width, height);
        let inside = self.read(level, known);
        if known.width == own.width + 2 && known.height == own.height + 2 {
            return inside;
        }
        RgbaImage::from_fn(own.width + 2, own.height + 2, |x, y| {
            let column = (own.x + x).saturating_sub(1 + known.x).min(known.width - 1);
            let row = (own.y + y).saturating_sub(1 + known.y).min(known.height - 1);
            *inside.get_pixel(column, row)
        })
    }

    /// Pixels of a level; transparent where nothing is known yet.
    fn read(&self, level: u32, area: Rect) -> RgbaImage {
        let Rect { x, y, width, height } = area;
        if let Base::Plain(picture, ways) = &self.base {
            let pixels = ways[level as usize].pixels(&picture.pixels, area);
            return shown(&pixels, self.screen.as_deref());
        }
        if level > 0 {
            return crop_imm(self.pyramid.level(level), x, y, width, height).to_image();
        }
        let screen = self.screen.as_deref();
        match &self.base {
            Base::Picture(picture) => shown(&picture.pixels.crop_imm(x, y, width, height), screen),
            Base::Mask(mask) => coverage(&crop_imm(mask, x, y, width, height).to_image()),
            Base::Patches(patches) => {
                let mut pixels = RgbaImage::new(width, height);
                for patch in patches {
                    let Some(common) = patch.area.intersection(&area) else {
                        continue;
                    };
                    let piece: DynamicImage = patch.pixels.crop_imm(
                        common.x - patch.area.x,
                        common.y - patch.area.y,
                        common.width,
                        common.height,
                    );
                    let (left, top) = (common.x - x, common.y - y);
                    image::imageops::replace(
                        &mut pixels,
                        &shown(&piece, screen),
                        i64::from(left),
                        i64::from(top),
                    );
                }
                pixels
            }
            // It was read above.
            Base::Plain(..) => RgbaImage::new(width, height),
        }
    }
}

/// A mask as a white picture that is as opaque as it is marked.
fn coverage(mask: &GrayImage) -> RgbaImage {
    RgbaImage::from_fn(mask.width(), mask.height(), |x, y| Rgba([mask.get_pixel(x, y).0[0]; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_carry_their_neighbours() {
        let picture = RgbaImage::from_fn(700, 20, |x, y| {
            image::Rgba([x as u8, y as u8, (x >> 8) as u8, 255])
        });
        let picture = Arc::new(Picture::from_pixels("test", picture.into()));
        let layer = Layer::of_picture(picture.clone(), Pyramid::of(&picture.pixels, None));
        let first = layer.cell_pixels((0, 0, 0));
        assert_eq!(first.dimensions(), (514, 22));
        assert_eq!(first.get_pixel(0, 1).0, [0, 0, 0, 255], "the edge repeats");
        assert_eq!(first.get_pixel(513, 1).0, [0, 0, 2, 255], "pixel 512 of the neighbour");
        let second = layer.cell_pixels((0, 1, 0));
        assert_eq!(second.dimensions(), (700 - 512 + 2, 22));
        assert_eq!(second.get_pixel(0, 1).0, [255, 0, 1, 255], "pixel 511 of the neighbour");
    }

    #[test]
    fn patches_appear_where_they_belong_and_the_rest_is_transparent() {
        let mut layer = Layer::of_patches((40, 30), false, None);
        let pixels = image::RgbImage::from_pixel(10, 10, image::Rgb([9, 8, 7]));
        layer.add(Arc::new(Patch { area: Rect::spanning(20, 10, 30, 20), pixels: pixels.into() }));
        let cell = layer.cell_pixels((0, 0, 0));
        assert_eq!(cell.get_pixel(21, 11).0, [9, 8, 7, 255]);
        assert_eq!(cell.get_pixel(20, 11).0, [0; 4]);
        assert_eq!(cell.get_pixel(31, 11).0, [0; 4]);
    }

    #[test]
    fn a_mask_is_taken_over_where_it_changed() {
        let mut layer = Layer::of_mask((700, 30));
        let mask = GrayImage::from_fn(700, 30, |x, y| image::Luma([((x * 7) ^ y) as u8]));
        layer.update_mask(&mask, Rect::spanning(511, 9, 640, 20));
        let cell = layer.cell_pixels((0, 1, 0));
        assert_eq!(cell.get_pixel(1 + 600 - 512, 1 + 15).0, [mask.get_pixel(600, 15).0[0]; 4]);
        assert_eq!(cell.get_pixel(1 + 650 - 512, 1 + 15).0, [0; 4], "not yet");
        let coarse = layer.read(1, Rect::of_size(350, 15));
        let four = [(600, 14), (601, 14), (600, 15), (601, 15)];
        let sum: u32 = four.iter().map(|(x, y)| u32::from(mask.get_pixel(*x, *y).0[0])).sum();
        assert_eq!(u32::from(coarse.get_pixel(300, 7).0[3]), (sum + 2) / 4);
    }

    #[test]
    fn the_level_follows_the_zoom() {
        let layer = Layer::of_patches((4096, 4096), false, None);
        assert_eq!(layer.level_for(4.0), 0);
        assert_eq!(layer.level_for(1.0), 0);
        assert_eq!(layer.level_for(0.5), 1);
        assert_eq!(layer.level_for(0.25), 2);
        assert_eq!(Some(layer.level_for(1e-6)), layer.last_level());
    }

    /// Prints what a move of the brush takes on large photos: the mask, what is shown of it and of
    /// its outline, and the pixels that go to the graphics card; then the end of the stroke.
    #[test]
    #[ignore = "prints times"]
    fn painting_on_large_photos() {
        use std::time::Instant;

        use crate::mask::{
            self, editor,
            paint::{Brush, stroke},
        };

        for (width, height, zoom) in
            [(6000, 4000, 0.2), (6000, 4000, 1.0), (12_000, 8400, 0.1), (12_000, 8400, 1.0)]
        {
            let mut editor = editor::Editor::new(width, height);
            let [mut marks, mut reach] = [0; 2].map(|_| Layer::of_mask((width, height)));
            let brush = Brush { radius: 60.0, hardness: 0.5 };
            let level = marks.level_for(zoom);
            let mut times = Vec::new();
            let (mut last, begin) = ([500.0, 600.0], Instant::now());
            editor.begin(mask::Layer::Marks);
            let began = begin.elapsed();
            for step in 1..=60 {
                let to = [500.0 + 30.0 * step as f32, 600.0 + 12.0 * step as f32];
                let begin = Instant::now();
                let area = editor
                    .extend(to, |mask, _| stroke(mask, last, to, brush, true))
                    .expect("it is on the photo");
                marks.update_mask(editor.mask(), area);
                let wide = area.grown_within(4, width, height);
                reach.replace_mask(wide, |area| mask::grown_within(editor.mask(), area, 3.0));
                let side = CELL << level;
                let cells = |layer: &Layer| {
                    for row in wide.y / side..=(wide.bottom() - 1) / side {
                        for column in wide.x / side..=(wide.right() - 1) / side {
                            assert!(layer.cell_pixels((level, column, row)).width() > 2);
                        }
                    }
                };
                cells(&marks);
                cells(&reach);
                times.push(begin.elapsed().as_secs_f64() * 1e3);
                last = to;
            }
            let begin = Instant::now();
            editor.close();
            let kept = editor.snapshot(mask::Layer::Marks);
            let end = begin.elapsed().as_secs_f64() * 1e3;
            assert_eq!(kept.dimensions(), (width, height));
            // All of it at once: the edit, and a band of what is shown of it with its outline.
            let all = Rect::of_size(width, height);
            let begin = Instant::now();
            let changed = editor.edit(mask::Layer::Marks, |mask| {
                mask.iter_mut().for_each(|value| *value = 255 - *value);
                Some(all)
            });
            let inverted = begin.elapsed().as_secs_f64() * 1e3;
            let band = Rect { height: (1 << 20) / width / 2 * 2, ..changed.expect("all changed") };
            let begin = Instant::now();
            marks.update_mask(editor.mask(), band);
            reach.replace_mask(band, |area| mask::grown_within(editor.mask(), area, 3.0));
            let shown = begin.elapsed().as_secs_f64() * 1e3;
            eprintln!("{width} x {height}: inverted in {inverted:.1} ms, a band in {shown:.1} ms");
            times.sort_by(f64::total_cmp);
            eprintln!(
                "{width} x {height} at {zoom}: begin {:.3} ms, a move {:.2} ms in the middle, {:.2} \
                 at most, end {end:.2} ms",
                began.as_secs_f64() * 1e3,
                times[times.len() / 2],
                times[times.len() - 1]
            );
        }
    }
}
