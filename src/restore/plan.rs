//! How a picture is cut into tiles. Pure arithmetic.
//!
//! All windows have one size, so that a GPU compiles and tunes its kernels
//! once: the last of a row moves inward instead of shrinking. A window that
//! touches the border of the picture ends there, so that the network pads as
//! it does for the whole picture; on its other sides it holds a margin of real
//! neighbours that the result does not use.
//!
//! A network that works on a smaller grid of squares sees the same squares in a
//! window as in the whole picture only if the window begins where one begins:
//! at a multiple of `grid`. The last windows of a row may then be larger, by
//! less than that.

use crate::rect::Rect;

/// One run of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// What the network reads, in source pixels.
    pub window: Rect,
    /// What the result takes from it; the cores cover the picture once.
    pub core: Rect,
}

/// One axis of a tile.
#[derive(Clone, Copy)]
struct Span {
    window: (u32, u32),
    core: (u32, u32),
}

/// The smallest tile side for a margin: some core must remain.
#[must_use]
pub const fn smallest_tile(margin: u32, grid: u32) -> u32 {
    2 * margin + if grid > 16 { grid } else { 16 }
}

/// The smallest window that cuts a length into no more pieces than `tile` does, so that
/// neighbours share their margins only.
#[must_use]
pub fn balanced(length: u32, tile: u32, margin: u32, grid: u32) -> u32 {
    if length <= tile {
        return length;
    }
    let count = |window: u32| spans(length, window, margin, grid).len();
    let most = count(tile);
    (smallest_tile(margin, grid)..tile).find(|window| count(*window) <= most).unwrap_or(tile)
}

/// Tiles in reading order.
///
/// `tile` is width and height of a window, each at least [`smallest_tile`] or the
/// picture's own; a picture that is smaller in a direction is not cut in it.
#[must_use]
pub fn plan(width: u32, height: u32, tile: (u32, u32), margin: u32, grid: u32) -> Vec<Tile> {
    let columns = spans(width, tile.0, margin, grid);
    let rows = spans(height, tile.1, margin, grid);
    let rect = |x: (u32, u32), y: (u32, u32)| Rect::spanning(x.0, y.0, x.1, y.1);
    rows.iter()
        .flat_map(|row| {
            columns.iter().map(move |column| Tile {
                window: rect(column.window, row.window),
                core: rect(column.core, row.core),
            })
        })
        .collect()
}

fn spans(length: u32, tile: u32, margin: u32, grid: u32) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    loop {
        let last = length.saturating_sub(tile);
        let left = start.min(last) / grid * grid;
        // What would be left over is less than a square: it comes along.
        let ends = start >= last || left + tile + grid > length;
        let right = if ends { length } else { left + tile };
        let begin = spans.last().map_or(0, |last: &Span| last.core.1);
        let end = if right == length { length } else { right - margin };
        spans.push(Span { window: (left, right), core: (begin, end) });
        if end == length {
            return spans;
        }
        start = end - margin;
    }
}

/// Weight of position `x` of a window in a feathered join: rises linearly over
/// the `overlap` it shares with its left neighbour and falls over the one it
/// shares with its right one. The weights of both sum to 1.
#[must_use]
pub fn feather(x: u32, window: u32, overlap_left: u32, overlap_right: u32) -> f32 {
    let ramp = |distance: u32, overlap: u32| (distance as f32 + 0.5) / overlap as f32;
    let mut weight = 1.0_f32;
    if x < overlap_left {
        weight = weight.min(ramp(x, overlap_left));
    }
    let from_right = window - 1 - x;
    if from_right < overlap_right {
        weight = weight.min(ramp(from_right, overlap_right));
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cores_cover_every_pixel_once_and_have_their_margin(
            width in 1_u32..300, height in 1_u32..300, margin in 0_u32..20, extra in 0_u32..80,
            grid in prop::sample::select(vec![1_u32, 2, 3, 32]),
        ) {
            let tile = smallest_tile(margin, grid) + extra;
            let tiles = plan(width, height, (tile, tile), margin, grid);
            let mut seen = vec![0_u8; (width * height) as usize];
            for Tile { window, core } in &tiles {
                prop_assert!((tile..tile + grid).contains(&window.width) || window.width == width);
                prop_assert!((tile..tile + grid).contains(&window.height) || window.height == height);
                prop_assert!(window.x % grid == 0 && window.y % grid == 0);
                prop_assert!(window.right() <= width && window.bottom() <= height);
                // The margin is whole, or the picture ends.
                prop_assert_eq!(core.grown_within(margin, width, height).intersection(window),
                    Some(core.grown_within(margin, width, height)));
                for y in core.y..core.bottom() {
                    for x in core.x..core.right() {
                        seen[(y * width + x) as usize] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().all(|count| *count == 1));
        }

        #[test]
        fn balanced_windows_are_smaller_and_not_more(
            length in 1_u32..3000, margin in 0_u32..40, extra in 0_u32..400,
            grid in prop::sample::select(vec![1_u32, 2, 32]),
        ) {
            let tile = smallest_tile(margin, grid) + extra;
            let window = balanced(length, tile, margin, grid);
            prop_assert!(window <= tile);
            let count = |tile| spans(length, tile, margin, grid).len();
            prop_assert!(count(window) <= count(tile));
        }

        #[test]
        fn feathers_of_neighbours_sum_to_one(overlap in 1_u32..40, window in 80_u32..120) {
            for i in 0..overlap {
                let left = feather(window - overlap + i, window, 0, overlap);
                let right = feather(i, window, overlap, 0);
                prop_assert!((left + right - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_picture_that_fits_is_one_tile() {
        let tiles = plan(100, 60, (128, 128), 19, 1);
        assert_eq!(tiles.len(), 1);
        assert_eq!(tiles[0].window, Rect::of_size(100, 60));
        assert_eq!(tiles[0].core, Rect::of_size(100, 60));
    }
}
