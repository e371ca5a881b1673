//! A page of letters 12 pixels high, to see whether they can be read once they are enlarged.

use image::{Rgb, RgbImage, imageops};
use pixmend::{
    picture::{lettering, resample::shrink_exact},
    rect::Rect,
};

/// How many times larger the page is drawn than it is given.
pub const TIMES: u32 = 4;

/// All that is to be read.
pub const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Height of the letters (of an em) on the small page, in pixels.
const SIZE: f32 = 12.0;

/// A letter's cell on the small page, in pixels.
const CELL: (u32, u32) = (14, 18);

const COLUMNS: u32 = 16;

/// The first half of the page is black on white, the second white on dark.
const INKS: [[[u8; 3]; 2]; 2] = [[[255; 3], [0; 3]], [[38, 44, 52], [255; 3]]];

/// How many letters the page has.
pub fn count() -> usize {
    INKS.len() * LETTERS.len()
}

/// The page as it should look, [`TIMES`] times enlarged.
pub fn large() -> RgbImage {
    let rows = count() as u32 / 2 / COLUMNS + 1;
    let mut page =
        RgbImage::new(TIMES * COLUMNS * CELL.0, TIMES * INKS.len() as u32 * rows * CELL.1);
    let half = page.height() / INKS.len() as u32;
    for (_, y, pixel) in page.enumerate_pixels_mut() {
        *pixel = Rgb(INKS[(y / half) as usize][0]);
    }
    for (index, expected) in LETTERS.chars().cycle().take(count()).enumerate() {
        let Rect { x, y, .. } = cell(index);
        imageops::replace(&mut page, &letter(index, expected), x.into(), y.into());
    }
    page
}

/// The page as it is given.
pub fn small() -> RgbImage {
    shrink_exact(&large(), TIMES)
}

/// A cell of the large page with a letter in it.
pub fn letter(index: usize, letter: char) -> RgbImage {
    let [paper, ink] = INKS[index / LETTERS.len()].map(Rgb);
    let mut cell = RgbImage::from_pixel(TIMES * CELL.0, TIMES * CELL.1, paper);
    // No two neighbours lie alike on the pixels of the small page.
    let shift = (index * 7 % 4) as f32;
    let place = [TIMES as f32 + shift, (TIMES * 14) as f32 + shift];
    lettering::draw(&mut cell, &letter.to_string(), place, SIZE * TIMES as f32, ink);
    cell
}

/// Where a letter is on the large page.
pub fn cell(index: usize) -> Rect {
    let (half, index) = (index / LETTERS.len(), (index % LETTERS.len()) as u32);
    let rows = LETTERS.len() as u32 / COLUMNS + 1;
    let (column, row) = (index % COLUMNS, half as u32 * rows + index / COLUMNS);
    let (width, height) = (TIMES * CELL.0, TIMES * CELL.1);
    Rect { x: column * width, y: row * height, width, height }
}
