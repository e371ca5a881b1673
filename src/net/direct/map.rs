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
    /// Owns what `start` points to, unless that is a part of other memory.
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
        // SAFETY: `start` and `length` describe the memory that `lines` or another one owns.
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

/// Size and layout of a [`Map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) images: usize,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Channels of a block; 1 for planes.
    pub(super) lanes: usize,
    /// Zeros around each picture, in pixels.
    pub(super) border: usize,
    /// What height and width are rounded up to within the zeros.
    pub(super) tile: usize,
}

impl Shape {
    /// Values from one row to the next.
    const fn row(&self) -> usize {
        (self.width.next_multiple_of(self.tile) + 2 * self.border) * self.lanes
    }

    /// Values from one image to the next.
    const fn image(&self) -> usize {
        self.row() * (self.height.next_multiple_of(self.tile) + 2 * self.border)
    }

    /// Values from one channel block to the next.
    const fn block(&self) -> usize {
        // A few vectors more: successive blocks should not fall into the same cache sets.
        self.image() * self.images + 5 * self.lanes
    }

    /// Where a channel begins that is the first of a block.
    pub(super) const fn start_of(&self, channel: usize) -> usize {
        self.block() * (channel / self.lanes)
    }

    /// Values of the whole, to full cache lines.
    pub(super) const fn length(&self) -> usize {
        (self.block() * self.channels.div_ceil(self.lanes)).next_multiple_of(16)
    }
}

/// Feature maps: `[channel block][image][y + border][x + border][lane]`. Around each picture lies
/// a border that stays zero: a few pixels, and what rounds height and width up to the tile of the
/// transform. So kernels need no special cases at edges.
pub(super) struct Map {
    pub(super) data: Aligned,
    pub(super) images: usize,
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
    pub(super) border: usize,
}

impl Map {
    /// A map of its own memory.
    #[cfg(test)]
    pub(super) fn zeroed(shape: &Shape) -> Self {
        Self::with(shape, Aligned::zeroed(shape.length()))
    }

    /// In memory that is used again.
    pub(super) fn lent(shape: &Shape) -> Self {
        let mut data = Aligned::lent(shape.length());
        data.slice_mut().fill(0.0);
        Self::with(shape, data)
    }

    /// A map in a part of some memory.
    ///
    /// # Safety
    /// `memory` outlives the map, and who runs kernels on maps that share a part of it sees to it
    /// that only one of them is in use.
    pub(super) unsafe fn within(shape: &Shape, memory: &Aligned, offset: usize) -> Self {
        let length = shape.block() * shape.channels.div_ceil(shape.lanes);
        assert!(offset + length <= memory.length);
        // SAFETY: inside the memory, as was asserted.
        let start = unsafe { memory.start.add(offset) };
        Self::with(shape, Aligned { lines: Vec::new(), start, length, lent: false })
    }

    const fn with(shape: &Shape, data: Aligned) -> Self {
        let Shape { images, channels, height, width, lanes, border, .. } = *shape;
        let (row, image, block) = (shape.row(), shape.image(), shape.block());
        Self { data, images, channels, height, width, lanes, row, image, block, border }
    }

    /// Where a value of the first image lies.
    #[inline(always)]
    pub(super) const fn index(&self, channel: usize, y: usize, x: usize) -> usize {
        channel / self.lanes * self.block
            + (y + self.border) * self.row
            + (x + self.border) * self.lanes
            + channel % self.lanes
    }

    /// Where `index(channel, y - up, x - left)` is; both are within the border.
    #[inline(always)]
    pub(super) const fn index_before(
        &self,
        block: usize,
        [y, up]: [usize; 2],
        [x, left]: [usize; 2],
    ) -> usize {
        block * self.block
            + (y + self.border - up) * self.row
            + (x + self.border - left) * self.lanes
    }

    /// Makes the border zero, which other maps may have written to.
    ///
    /// # Safety
    /// Nobody else uses the border meanwhile.
    pub(super) unsafe fn clear_border(&self) {
        let zero = |from: usize, to: usize| {
            assert!(from <= to && to <= self.data.length);
            // SAFETY: inside the map, as was asserted.
            unsafe { self.data.start.add(from).write_bytes(0, to - from) }
        };
        let left = self.border * self.lanes;
        let right = left + self.width * self.lanes;
        for block in 0..self.channels.div_ceil(self.lanes) {
            for image in 0..self.images {
                let first = block * self.block + image * self.image;
                zero(first, first + self.border * self.row);
                for y in self.border..self.border + self.height {
                    zero(first + y * self.row, first + y * self.row + left);
                    zero(first + y * self.row + right, first + (y + 1) * self.row);
                }
                zero(first + (self.border + self.height) * self.row, first + self.image);
            }
            zero(block * self.block + self.images * self.image, (block + 1) * self.block);
        }
    }

    /// A row of a channel of the first image, and what lies behind it.
    pub(super) fn pixels(&self, channel: usize, y: usize) -> impl Iterator<Item = &f32> {
        self.data.slice()[self.index(channel, y, 0)..].iter().step_by(self.lanes)
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
        channel / self.lanes * self.block
            + image * self.image
            + y * self.row
            + self.border * self.lanes
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
                    let y = (place.rows.start + y).checked_sub(map.border);
                    let Some(y) = y.filter(|y| *y < place.height) else {
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
                    let at = map.line(image, channel, line + map.border);
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
