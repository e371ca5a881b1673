//! A rectangle of pixels.

/// A rectangle in the pixels of some picture; the owner says of which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// From the top left corner.
    #[must_use]
    pub const fn of_size(width: u32, height: u32) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// From `left..right` and `top..bottom`.
    #[must_use]
    pub const fn spanning(left: u32, top: u32, right: u32, bottom: u32) -> Self {
        Self { x: left, y: top, width: right - left, height: bottom - top }
    }

    /// First column to the right of it.
    #[must_use]
    pub const fn right(&self) -> u32 {
        self.x + self.width
    }

    /// First row below it.
    #[must_use]
    pub const fn bottom(&self) -> u32 {
        self.y + self.height
    }

    /// Pixels in it.
    #[must_use]
    pub const fn area(&self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Grown by `margin` on all sides, but not beyond a picture of this size.
    #[must_use]
    pub fn grown_within(&self, margin: u32, width: u32, height: u32) -> Self {
        Self::spanning(
            self.x.saturating_sub(margin),
            self.y.saturating_sub(margin),
            (self.right() + margin).min(width),
            (self.bottom() + margin).min(height),
        )
    }

    /// The smallest one that holds both.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        Self::spanning(
            self.x.min(other.x),
            self.y.min(other.y),
            self.right().max(other.right()),
            self.bottom().max(other.bottom()),
        )
    }

    /// The common part; `None` if there is none.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (left, top) = (self.x.max(other.x), self.y.max(other.y));
        let (right, bottom) = (self.right().min(other.right()), self.bottom().min(other.bottom()));
        (left < right && top < bottom).then(|| Self::spanning(left, top, right, bottom))
    }
}
