//! Small letters can still be read once a model has enlarged them.

use image::{GenericImageView as _, RgbImage, imageops::FilterType};
use pixmend::{device::Chosen, model::Model, rect::Rect, restore::evaluate::upscale_rgb};

#[path = "../assets/page.rs"]
mod page;

/// Sum of squared differences of a cell of the page and a picture of one.
fn difference(page: &RgbImage, index: usize, cell: &RgbImage) -> f64 {
    let Rect { x, y, width, height } = page::cell(index);
    let seen = page.view(x, y, width, height);
    let pairs = seen.pixels().zip(cell.pixels());
    let values = pairs.flat_map(|((_, _, one), other)| one.0.into_iter().zip(other.0));
    values.map(|(a, b)| f64::from(a.abs_diff(b)).powi(2)).sum()
}

/// The letter that a cell looks most like.
fn read(page: &RgbImage, index: usize) -> Option<char> {
    let unlike = |letter| difference(page, index, &page::letter(index, letter));
    let letters = page::LETTERS.chars().map(|letter| (letter, unlike(letter)));
    letters.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(letter, _)| letter)
}

#[test]
fn letters_of_twelve_pixels_stay_legible() {
    let (large, small) = (page::large(), page::small());
    let expected: Vec<char> = page::LETTERS.chars().cycle().take(page::count()).collect();
    let error = |picture: &RgbImage| -> f64 {
        let each = expected.iter().enumerate();
        each.map(|(index, letter)| difference(picture, index, &page::letter(index, *letter))).sum()
    };
    let (width, height) = large.dimensions();
    let bicubic = error(&image::imageops::resize(&small, width, height, FilterType::CatmullRom));
    for name in ["starter", "fast-4x"] {
        let model = Model::find(name).unwrap();
        let enlarged = upscale_rgb(&small, 4.0, &model, &Chosen::cpu()).unwrap();
        let seen: Vec<Option<char>> =
            (0..page::count()).map(|index| read(&enlarged, index)).collect();
        let wrong: Vec<(char, Option<char>)> = expected
            .iter()
            .zip(seen)
            .filter(|(expected, seen)| Some(**expected) != *seen)
            .map(|(expected, seen)| (*expected, seen))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let share = error(&enlarged) / bicubic;
        assert!(share < 0.6, "{name}: {share:.2} of the bicubic enlargement's error");
    }
}
