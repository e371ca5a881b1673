//! Feature maps blocked by channels, in aligned memory.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::simd::{Isa, Kernel};

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Zeroed floats that begin at a cache line.
///
/// Kernels write through [`Self::pointer`] from several threads; who does so answers for what
/// is written where.
pub(super) struct Aligned {
    /// Owns what `start` points to.
    lines: Vec<Line>,
    start: *mut f32,
    length: usize,
    /// Whether somebody else gets the memory afterwards.
    lent: bool,
}

/// Memory that was lent before. Training wants the same sizes thousands of times, and pages from
/// the system cost more than what is done with them.
static SPARE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

// SAFETY: it owns plain numbers; see the type's documentation for shared writes.
unsafe impl Send for Aligned {}
// SAFETY: as above.
unsafe impl Sync for Aligned {}

impl Aligned {
    pub(super) fn zeroed(length: usize) -> Self {
        let mut lines = vec![Line([0.0; 16]); length.div_ceil(16)];
        Self { start: lines.as_mut_ptr().cast(), lines, length, lent: false }
    }

    /// Memory of any content, used again after it.
    pub(super) fn lent(length: usize) -> Self {
        let count = length.div_ceil(16);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(_, lines): &(usize, &Vec<Line>)| lines.len() >= count;
        let fitting = spare.iter().enumerate().filter(fits).min_by_key(|(_, lines)| lines.len());
        let place = fitting.map(|(place, _)| place);
        let lines = place.map(|place| spare.swap_remove(place));
        drop(spare);
        let mut lines = lines.unwrap_or_else(|| vec![Line([0.0; 16]); count]);
        Self { start: lines.as_mut_ptr().cast(), lines, length, lent: true }
    }

    /// The values, padded with zeros to whole vectors.
    pub(super) fn padded(values: &[f32], lanes: usize) -> Self {
        let mut memory = Self::zeroed(values.len().next_multiple_of(lanes));
        memory.slice_mut()[..values.len()].copy_from_slice(values);
        memory
    }

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) const fn pointer(&self) -> *mut f32 {
        self.start
    }

    pub(super) const fn slice(&self) -> &[f32] {
        // SAFETY: `start` and `length` describe the memory that `lines` owns.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }

    pub(super) const fn slice_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `&mut self` excludes other users.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

/// Gives back the memory that nobody has borrowed.
pub(super) fn forget_spare() {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Drop for Aligned {
    fn drop(&mut self) {
        if self.lent {
            let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
            spare.push(std::mem::take(&mut self.lines));
        }
    }
}

/// The sizes of a batch, `[image][channel][y][x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) images: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// Feature maps: `[channel block][image][y + 1][x + 1][lane]`. Around each picture lies a border
/// that stays zero: one pixel, and what rounds height and width up to the tile of the transform.
/// So kernels need no special cases at edges.
pub(super) struct Map {
    pub(super) data: Aligned,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) lanes: usize,
    /// Values from one row to the next.
    pub(super) row: usize,
    /// Values from one image to the next.
    pub(super) image: usize,
    /// Values from one channel block to the next.
    pub(super) block: usize,
}

impl Map {
    pub(super) fn zeroed(sizes: Sizes, lanes: usize, tile: usize) -> Self {
        Self::of(sizes, lanes, tile, Aligned::zeroed)
    }

    /// In memory that is used again.
    pub(super) fn lent(sizes: Sizes, lanes: usize, tile: usize) -> Self {
        let mut map = Self::of(sizes, lanes, tile, Aligned::lent);
        map.data.slice_mut().fill(0.0);
        map
    }

    fn of(sizes: Sizes, lanes: usize, tile: usize, memory: impl Fn(usize) -> Aligned) -> Self {
        let Sizes { images, channels, height, width } = sizes;
        let row = (width.next_multiple_of(tile) + 2) * lanes;
        let image = row * (height.next_multiple_of(tile) + 2);
        // A few vectors more: successive blocks should not fall into the same cache sets.
        let block = image * images + 5 * lanes;
        let data = memory(block * channels.div_ceil(lanes));
        Self { data, channels, height, width, lanes, row, image, block }
    }

    /// Where a value of the first image lies.
    pub(super) const fn index(&self, channel: usize, y: usize, x: usize) -> usize {
        channel / self.lanes * self.block
            + (y + 1) * self.row
            + (x + 1) * self.lanes
            + channel % self.lanes
    }

    /// Takes rows out of `planes`: the opposite of [`Self::write`]. The rows above and below are
    /// those of the picture, or zeros beyond it.
    pub(super) fn fill<S: Isa>(&mut self, planes: &[f32], place: &Place) {
        assert!(S::available() && self.lanes == S::LANES);
        assert!(planes.len() >= self.plane(place.first + place.images, 0, place));
        // SAFETY: the instruction set is there, `planes` reaches far enough, and the map is the
        // caller's alone.
        unsafe { S::enter(Fill { map: self, planes: planes.as_ptr(), place }) }
    }

    /// Puts rows into `planes`, `[image][channel][y][x]`.
    ///
    /// # Safety
    /// `planes` has as many values as the batch, and nobody else uses those rows of it.
    pub(super) unsafe fn write<S: Isa>(&self, planes: *mut f32, place: &Place) {
        assert!(S::available() && self.lanes == S::LANES);
        // SAFETY: the instruction set is there; the caller's promise.
        unsafe { S::enter(Write { map: self, planes, place }) }
    }

    /// Where a channel begins among the planes of a batch.
    const fn plane(&self, image: usize, channel: usize, place: &Place) -> usize {
        (image * self.channels + channel) * place.height * self.width
    }

    /// Where a row of a channel block begins, counted with the border.
    const fn line(&self, image: usize, channel: usize, y: usize) -> usize {
        channel / self.lanes * self.block + image * self.image + y * self.row + self.lanes
    }
}

/// What part of a batch a map holds.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Of the pictures.
    pub(super) height: usize,
    /// Number of the first picture.
    pub(super) first: usize,
    pub(super) images: usize,
    pub(super) rows: Range<usize>,
}

struct Fill<'a> {
    map: &'a mut Map,
    planes: *const f32,
    place: &'a Place,
}

impl<S: Isa> Kernel<S> for Fill<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Fill { map, planes, place } = self;
        let (lanes, width, area) = (S::LANES, map.width, place.height * map.width);
        for image in 0..place.images {
            for channel in (0..map.channels).step_by(lanes) {
                let plane = map.plane(place.first + image, channel, place);
                let count = lanes.min(map.channels - channel);
                for y in 0..map.image / map.row {
                    let at = map.line(image, channel, y);
                    let row = &mut map.data.slice_mut()[at..][..width * lanes];
                    let y = (place.rows.start + y).checked_sub(1).filter(|y| *y < place.height);
                    let Some(y) = y else {
                        row.fill(0.0);
                        continue;
                    };
                    unsafe {
                        let from = planes.add(plane + y * width);
                        let mut x = 0;
                        while count == lanes && x + lanes <= width {
                            let to = row.as_mut_ptr().add(x * lanes);
                            S::transpose(from.add(x), area, to, lanes);
                            x += lanes;
                        }
                        for x in x..width {
                            for lane in 0..count {
                                row[x * lanes + lane] = *from.add(lane * area + x);
                            }
                        }
                    }
                }
            }
        }
    }
}

struct Write<'a> {
    map: &'a Map,
    planes: *mut f32,
    place: &'a Place,
}

impl<S: Isa> Kernel<S> for Write<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let Write { map, planes, place } = self;
        let (lanes, width, area) = (S::LANES, map.width, place.height * map.width);
        for image in 0..place.images {
            for channel in (0..map.channels).step_by(lanes) {
                let plane = map.plane(place.first + image, channel, place);
                let count = lanes.min(map.channels - channel);
                for (line, y) in place.rows.clone().enumerate() {
                    let at = map.line(image, channel, line + 1);
                    let row = &map.data.slice()[at..][..width * lanes];
                    unsafe {
                        let to = planes.add(plane + y * width);
                        let mut x = 0;
                        while count == lanes && x + lanes <= width {
                            let from = row.as_ptr().add(x * lanes);
                            S::transpose(from, lanes, to.add(x), area);
                            x += lanes;
                        }
                        for x in x..width {
                            for lane in 0..count {
                                *to.add(lane * area + x) = row[x * lanes + lane];
                            }
                        }
                    }
                }
            }
        }
    }
}
