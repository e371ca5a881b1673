//! Where a convolution leaves its sums, and what is done to them on the way.

use super::{map::Map, simd::Isa};

/// A map that a convolution writes to.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) to: &'a Map,
    /// Added to the result. May be `to`, which is then added to in place.
    pub(super) residual: Option<&'a Map>,
    /// Whether the residual is added before the activation.
    pub(super) early: bool,
    /// Pixel shuffle by this factor. The convolution's channels are then ordered by the position
    /// within an enlarged pixel, each position beginning a channel block.
    pub(super) shuffle: usize,
    /// Channel blocks of each position.
    pub(super) blocks: usize,
}

impl<'a> Output<'a> {
    pub(super) const fn plain(to: &'a Map, residual: Option<&'a Map>) -> Self {
        let blocks = to.channels.div_ceil(to.lanes);
        Self { to, residual, early: false, shuffle: 1, blocks }
    }

    /// That a convolution of so many outputs and these images, height and width stays inside.
    pub(super) fn check(&self, outputs: usize, [images, height, width]: [usize; 3], lanes: usize) {
        let Self { to, shuffle, blocks, .. } = *self;
        let sizes = |map: &Map| [map.images, map.height, map.width];
        assert!(to.lanes == lanes && blocks <= to.channels.div_ceil(lanes));
        assert!(outputs.div_ceil(lanes) <= blocks * shuffle * shuffle);
        assert!(sizes(to) == [images, height * shuffle, width * shuffle]);
        if let Some(residual) = self.residual {
            assert!(shuffle == 1 && residual.lanes == lanes);
            assert!(residual.channels.div_ceil(lanes) >= blocks);
            assert!(sizes(residual) == [images, height, width]);
        }
    }

    /// The pixels of one channel block.
    #[inline(always)]
    pub(super) unsafe fn target(&self, block: usize) -> Target {
        let (to, factor) = (self.to, self.shuffle);
        unsafe {
            let (position, inner) = (block / self.blocks, block % self.blocks);
            let at = to.index(inner * to.lanes, position / factor, position % factor);
            let residual = self.residual.map(|map| {
                let from = map.data.pointer().cast_const();
                (from.add(map.index(block * map.lanes, 0, 0)), map.row, map.image)
            });
            Target {
                to: to.data.pointer().add(at),
                row: to.row * factor,
                pixel: to.lanes * factor,
                image: to.image,
                residual,
                early: self.early,
            }
        }
    }
}

/// See [`Output::target`].
#[derive(Clone, Copy)]
pub(super) struct Target {
    to: *mut f32,
    row: usize,
    pixel: usize,
    image: usize,
    /// Where it begins, and the steps from row to row and from image to image.
    residual: Option<(*const f32, usize, usize)>,
    early: bool,
}

impl Target {
    /// The pixels from a place of an image on.
    #[inline(always)]
    pub(super) unsafe fn at<S: Isa>(self, image: usize, y: usize, x: usize) -> Self {
        unsafe {
            let to = self.to.add(image * self.image + y * self.row + x * self.pixel);
            let residual = self.residual.map(|(from, row, step)| {
                (from.add(image * step + y * row + x * S::LANES), row, step)
            });
            Self { to, residual, ..self }
        }
    }

    /// Finishes a sum and stores it, `y` rows and `x` pixels on.
    #[inline(always)]
    pub(super) unsafe fn put<S: Isa>(&self, y: usize, x: usize, sum: S::V, slope: Option<S::V>) {
        unsafe {
            let zero = S::splat(0.0);
            let residual =
                self.residual.map(|(from, row, _)| S::load(from.add(y * row + x * S::LANES)));
            let mut value = sum;
            if let (Some(residual), true) = (residual, self.early) {
                value = S::add(value, residual);
            }
            if let Some(slope) = slope {
                value = S::fma(slope, S::min(value, zero), S::max(value, zero));
            }
            if let (Some(residual), false) = (residual, self.early) {
                value = S::add(value, residual);
            }
            S::store(self.to.add(y * self.row + x * self.pixel), value);
        }
    }
}
