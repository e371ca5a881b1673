//! Feature maps blocked by channels, in aligned memory.

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
    _lines: Vec<Line>,
    start: *mut f32,
    length: usize,
}

// SAFETY: it owns plain numbers; see the type's documentation for shared writes.
unsafe impl Send for Aligned {}
// SAFETY: as above.
unsafe impl Sync for Aligned {}

impl Aligned {
    pub(super) fn zeroed(length: usize) -> Self {
        let mut lines = vec![Line([0.0; 16]); length.div_ceil(16)];
        Self { start: lines.as_mut_ptr().cast(), _lines: lines, length }
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
        // SAFETY: `start` and `length` describe the memory that `_lines` owns.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }

    pub(super) const fn slice_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `&mut self` excludes other users.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

/// A feature map: `[channel block][y + 1][x + 1][lane]`. Around the picture lies a border that
/// stays zero: one pixel, and what rounds height and width up to the tile of the transform. So
/// kernels need no special cases at edges.
pub(super) struct Map {
    pub(super) data: Aligned,
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) lanes: usize,
    /// Values from one row to the next.
    pub(super) row: usize,
    /// Values from one channel block to the next.
    pub(super) block: usize,
}

impl Map {
    pub(super) fn zeroed(
        channels: usize,
        height: usize,
        width: usize,
        lanes: usize,
        tile: usize,
    ) -> Self {
        let row = (width.next_multiple_of(tile) + 2) * lanes;
        // A few vectors more: successive blocks should not fall into the same cache sets.
        let block = row * (height.next_multiple_of(tile) + 2) + 5 * lanes;
        let data = Aligned::zeroed(block * channels.div_ceil(lanes));
        Self { data, channels, height, width, lanes, row, block }
    }

    pub(super) const fn index(&self, channel: usize, y: usize, x: usize) -> usize {
        channel / self.lanes * self.block
            + (y + 1) * self.row
            + (x + 1) * self.lanes
            + channel % self.lanes
    }

    /// Takes the values of `planes`, `[channel][y][x]`.
    pub(super) fn fill(&mut self, planes: &[f32]) {
        let (lanes, width, area) = (self.lanes, self.width, self.height * self.width);
        for (channel, plane) in planes.chunks_exact(area).enumerate() {
            for (y, line) in plane.chunks_exact(width).enumerate() {
                let at = self.index(channel, y, 0);
                let row = &mut self.data.slice_mut()[at..];
                for (to, value) in row.iter_mut().step_by(lanes).zip(line) {
                    *to = *value;
                }
            }
        }
    }
}
