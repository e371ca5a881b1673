//! Feature maps blocked by channels, in aligned memory.

use std::sync::{Mutex, PoisonError};

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

    /// Takes rows out of `planes`, `[image][channel][y][x]`, whose pictures are `height` high:
    /// from `top` on, of `images` images from `first` on. The rows above and below are those of
    /// the picture, or zeros beyond it.
    pub(super) fn fill(
        &mut self,
        planes: &[f32],
        height: usize,
        first: usize,
        images: usize,
        top: usize,
    ) {
        let (lanes, width) = (self.lanes, self.width);
        for image in 0..images {
            for channel in (0..self.channels).step_by(lanes) {
                let plane = ((first + image) * self.channels + channel) * height * width;
                for y in 0..self.image / self.row {
                    let at = channel / lanes * self.block + image * self.image + y * self.row;
                    let row = &mut self.data.slice_mut()[at + lanes..][..width * lanes];
                    let Some(y) = (top + y).checked_sub(1).filter(|y| *y < height) else {
                        row.fill(0.0);
                        continue;
                    };
                    for lane in 0..lanes.min(self.channels - channel) {
                        let line = &planes[plane + (lane * height + y) * width..][..width];
                        for (pixel, value) in row.chunks_exact_mut(lanes).zip(line) {
                            pixel[lane] = *value;
                        }
                    }
                }
            }
        }
    }

    /// The opposite of [`Self::fill`], for `rows` rows without those around them.
    ///
    /// # Safety
    /// `planes` has as many values as the batch, and nobody else uses those rows of it.
    pub(super) unsafe fn write(
        &self,
        planes: *mut f32,
        height: usize,
        first: usize,
        images: usize,
        rows: std::ops::Range<usize>,
    ) {
        let (lanes, width) = (self.lanes, self.width);
        for image in 0..images {
            for channel in (0..self.channels).step_by(lanes) {
                let plane = ((first + image) * self.channels + channel) * height * width;
                for y in rows.clone() {
                    let at = channel / lanes * self.block + image * self.image;
                    let at = at + (y - rows.start + 1) * self.row + lanes;
                    let row = &self.data.slice()[at..][..width * lanes];
                    for lane in 0..lanes.min(self.channels - channel) {
                        let start = plane + (lane * height + y) * width;
                        // SAFETY: the caller's promise.
                        let line =
                            unsafe { std::slice::from_raw_parts_mut(planes.add(start), width) };
                        for (pixel, value) in row.chunks_exact(lanes).zip(line) {
                            *value = pixel[lane];
                        }
                    }
                }
            }
        }
    }
}
