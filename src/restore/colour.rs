//! Colours for a grey photo. Its brightness stays: the network paints a small copy, and the colours
//! are fitted to the edges of the photo by a guided filter (K. He and J. Sun, "Fast guided filter",
//! 2015).

use std::time::Instant;

use image::{DynamicImage, GrayImage};

use super::{
    Monitor, Patch, Receipt, Start,
    blend::{Layer, blend},
    repaint::{check_scope, check_strength, in_colours},
    tiled::{self, Engine, Task},
    upscale::bleed,
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    mask::Scope,
    model::Model,
    picture::Picture,
    rect::Rect,
};

/// Longest side in pixels of what the network sees. What is on a photo is seen at a glance, and
/// models learn from photos of about this size.
const SEEN: u32 = 288;

/// Half the side, less one, of the windows in which colours follow brightness, in seen pixels.
const RADIUS: usize = 4;

/// Where brightness (0 to 1) varies by much less than the root of this, colours are even.
const SMOOTH: f32 = 1e-3;

/// Rows of the result that leave together.
const BAND: u32 = 256;

/// Gives a photo colours, as much as `strength` says (0 to 1); the result leaves through
/// [`Monitor::patch`], in colour where the photo is grey. Colours that the photo has are not
/// looked at. With a mask, of the picture's size, only what is not black in it changes, as much as
/// its value says, and nothing that is protected.
///
/// # Errors
/// [`Error::Setting`] if the model does not keep the size, or the strength or the mask does not
/// fit, or as [`super::upscale()`].
pub fn colour(
    picture: &Picture,
    scope: Scope<'_>,
    model: &Model,
    device: &Chosen,
    strength: f32,
    monitor: &mut dyn Monitor,
) -> Result<Receipt> {
    let begin = Instant::now();
    let size = picture.size();
    if model.scale() != 1 || model.takes_mask() {
        return Err(Error::Setting(format!(
            "the model {} does not colour: one that keeps the size of a photo is needed",
            model.name()
        )));
    }
    check_strength(strength)?;
    check_scope(scope, size)?;
    let shares = scope.shares();
    let mask = shares.as_deref();
    let bled = bleed(&picture.pixels);
    let seen = seen(bled.as_ref().unwrap_or(&picture.pixels));
    let mut engine = Engine::new(model, device)?;
    let seen_size = (seen.width(), seen.height());
    let task = Task::over(&seen, seen_size, None, device, &*engine.network);
    let tiles = tiled::tiles(&task, &*engine.network)?;
    let count = tiles.len();
    let color = in_colours(DynamicImage::new(1, 1, picture.pixels.color())).color();
    monitor.start(&Start { size, color, device: device.name().to_owned(), tiles: count })?;
    let painted = tiled::whole(&task, &mut engine, tiles, monitor)?;
    let colours = Colours::of(&seen, &painted);
    for top in (0..size.1).step_by(BAND as usize) {
        let area = Rect::spanning(0, top, size.0, (top + BAND).min(size.1));
        let piece = picture.pixels.crop_imm(0, top, area.width, area.height);
        let planes = colours.over(&piece, top, size);
        let mut pixels = in_colours(piece);
        let within = Rect::of_size(area.width, area.height);
        let layer = Layer { area: within, planes: [&planes[0], &planes[1], &planes[2]] };
        blend(&mut pixels, &layer, within, |column, row| {
            let inside = |mask: &GrayImage| f32::from(mask.get_pixel(column, top + row).0[0]);
            strength * mask.map_or(1.0, |mask| inside(mask) / 255.0)
        });
        monitor.patch(Patch { area, pixels })?;
    }
    let receipt = Receipt::new(begin, [size, size], model, device, engine.kernels(), count);
    Ok(Receipt { strength, ..receipt })
}

/// What the network sees of a photo: grey, and no larger than it needs.
fn seen(pixels: &DynamicImage) -> DynamicImage {
    let (width, height) = (pixels.width(), pixels.height());
    let longest = width.max(height);
    let small = if longest > SEEN {
        let side = |length: u32| (u64::from(length) * u64::from(SEEN) / u64::from(longest)).max(1);
        pixels.thumbnail_exact(side(width) as u32, side(height) as u32)
    } else {
        pixels.clone()
    };
    in_grey(&small)
}

/// As bright, without colours.
fn in_grey(pixels: &DynamicImage) -> DynamicImage {
    let mut values = luma(pixels).into_iter().map(|value| (255.0 * value).round() as u8);
    GrayImage::from_fn(pixels.width(), pixels.height(), |_, _| {
        image::Luma([values.next().unwrap_or_default()])
    })
    .into()
}

/// Brightness (BT.601), 0 to 1, row by row.
fn luma(pixels: &DynamicImage) -> Vec<f32> {
    let pixels = pixels.to_rgb32f();
    pixels.pixels().map(|pixel| bt601(pixel.0)).collect()
}

fn bt601([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// How colours depend on brightness, place by place: red and blue less luma are `slope * luma +
/// start`.
struct Colours {
    width: usize,
    height: usize,
    /// Slope and start of red, slope and start of blue.
    lines: [Vec<f32>; 4],
}

impl Colours {
    /// From what was seen, and what was painted on it.
    fn of(seen: &DynamicImage, painted: &[Vec<f32>; 3]) -> Self {
        let (width, height) = (seen.width() as usize, seen.height() as usize);
        let guide = luma(seen);
        let [red, green, blue] = painted;
        let apart = |plane: &[f32]| -> Vec<f32> {
            let places = 0..plane.len();
            places.map(|i| plane[i] - bt601([red[i], green[i], blue[i]])).collect()
        };
        let mean = |plane: &[f32]| blurred(plane, width);
        let product =
            |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
        let guide_mean = mean(&guide);
        let square_mean = mean(&product(&guide, &guide));
        let line = |plane: Vec<f32>| {
            let (plane_mean, both_mean) = (mean(&plane), mean(&product(&guide, &plane)));
            let slope: Vec<f32> = (0..plane.len())
                .map(|i| {
                    let variance = square_mean[i] - guide_mean[i] * guide_mean[i];
                    let covariance = both_mean[i] - guide_mean[i] * plane_mean[i];
                    covariance / (variance.max(0.0) + SMOOTH)
                })
                .collect();
            let places = slope.iter().zip(&plane_mean).zip(&guide_mean);
            let start: Vec<f32> =
                places.map(|((slope, plane), guide)| plane - slope * guide).collect();
            [mean(&slope), mean(&start)]
        };
        let [red, blue] = [line(apart(red)), line(apart(blue))];
        let ([a, b], [c, d]) = (red, blue);
        Self { width, height, lines: [a, b, c, d] }
    }

    /// Red, green and blue, 0 to 1, of some rows of the photo, whose size is given.
    fn over(&self, rows: &DynamicImage, top: u32, size: (u32, u32)) -> [Vec<f32>; 3] {
        let luma = luma(rows);
        let columns: Vec<Between> =
            (0..size.0).map(|x| Between::of(x, size.0, self.width)).collect();
        let mut planes = [0; 3].map(|_| Vec::with_capacity(luma.len()));
        for (row, y) in luma.chunks_exact(size.0 as usize).zip(top..) {
            let down = Between::of(y, size.1, self.height);
            for (luma, across) in row.iter().zip(&columns) {
                let [slope_red, red, slope_blue, blue] =
                    [0, 1, 2, 3].map(|i| down.of_rows(&self.lines[i], self.width, across));
                let (red, blue) = (slope_red * luma + red, slope_blue * luma + blue);
                // Of red, green and blue less luma, the luma is 0.
                let green = -(0.299 * red + 0.114 * blue) / 0.587;
                for (plane, apart) in planes.iter_mut().zip([red, green, blue]) {
                    plane.push(luma + apart);
                }
            }
        }
        planes
    }
}

/// A place between two pixels of a smaller row or column.
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

impl Between {
    fn of(place: u32, length: u32, small: usize) -> Self {
        let at = (place as f32 + 0.5) * small as f32 / length as f32 - 0.5;
        let at = at.clamp(0.0, small.saturating_sub(1) as f32);
        let first = at as usize;
        Self { first, second: (first + 1).min(small - 1), share: at - first as f32 }
    }

    fn mix(&self, first: f32, second: f32) -> f32 {
        first + self.share * (second - first)
    }

    /// The value there, `across` being the place in the row.
    fn of_rows(&self, values: &[f32], width: usize, across: &Self) -> f32 {
        let row = |line: usize| {
            let row = &values[line * width..][..width];
            across.mix(row[across.first], row[across.second])
        };
        self.mix(row(self.first), row(self.second))
    }
}

/// Means of squares around each place, as much of them as lies in the picture.
fn blurred(plane: &[f32], width: usize) -> Vec<f32> {
    let height = plane.len() / width.max(1);
    let across: Vec<f32> = plane.chunks_exact(width).flat_map(means).collect();
    let mut result = vec![0.0; plane.len()];
    for x in 0..width {
        let column: Vec<f32> = (0..height).map(|y| across[y * width + x]).collect();
        for (y, mean) in means(&column).into_iter().enumerate() {
            result[y * width + x] = mean;
        }
    }
    result
}

fn means(row: &[f32]) -> Vec<f32> {
    let around = |at: usize| {
        let window = &row[at.saturating_sub(RADIUS)..(at + RADIUS + 1).min(row.len())];
        window.iter().sum::<f32>() / window.len() as f32
    };
    (0..row.len()).map(around).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use image::{GenericImageView as _, Luma, Rgb, RgbImage};

    use super::*;
    use crate::{
        net::{NetworkConfig, colouriser, residual::ResidualConfig},
        restore::Mosaic,
    };

    struct Gather(Vec<Patch>);

    impl Monitor for Gather {
        fn patch(&mut self, patch: Patch) -> Result<()> {
            self.0.push(patch);
            Ok(())
        }
    }

    /// A network that was not trained: it paints whatever it is let to.
    fn model() -> Model {
        let config = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::restorer() };
        let config = NetworkConfig::Residual(config);
        Model::of("untrained", &config, &config.init(&Device::flex())).unwrap()
    }

    fn coloured(
        photo: &DynamicImage,
        mask: Option<&GrayImage>,
        model: &Model,
        strength: f32,
    ) -> DynamicImage {
        let picture = Picture::from_pixels("test", photo.clone());
        let mut gather = Gather(Vec::new());
        let scope = Scope { mask, protected: None };
        colour(&picture, scope, model, &Chosen::cpu(), strength, &mut gather).unwrap();
        let color = gather.0[0].pixels.color();
        let patches = gather.0.into_iter().map(Into::into).collect();
        Mosaic { size: picture.size(), color, patches }.pixels()
    }

    fn grey(width: u32, height: u32) -> DynamicImage {
        GrayImage::from_fn(width, height, |x, y| Luma([(x * 2 + y * 3) as u8])).into()
    }

    #[test]
    fn the_brightness_of_a_photo_stays_whatever_its_size() {
        for (width, height) in [(90, 70), (1100, 640), (1, 1)] {
            let photo = grey(width, height);
            let result = coloured(&photo, None, &model(), 1.0);
            assert_eq!(result.color(), image::ColorType::Rgb8);
            let mut changed = 0;
            for (x, y, pixel) in result.to_rgb8().enumerate_pixels() {
                let [red, green, blue] = pixel.0.map(f32::from);
                let before = f32::from(photo.get_pixel(x, y).0[0]);
                // A colour that is brighter or darker than can be is cut off.
                if pixel.0.iter().all(|value| (1..255).contains(value)) {
                    assert!((bt601([red, green, blue]) - before).abs() < 1.0, "{x} {y}");
                    changed += usize::from(red != blue);
                }
            }
            assert!(width == 1 || changed > 1000, "{changed}");
        }
    }

    #[test]
    fn colours_end_at_the_edges_of_a_large_photo() {
        // Left dark and red, right bright and blue, as seen at a quarter of the size.
        let seen: DynamicImage =
            GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { 60 } else { 200 }])).into();
        // The painter was careless: one colour becomes the other over eight pixels.
        let paint = |left: f32, right: f32| -> Vec<f32> {
            let share = |i: i32| ((i % 64 - 28) as f32 / 8.0).clamp(0.0, 1.0);
            (0..64 * 64).map(|i| left + share(i) * (right - left)).collect()
        };
        let painted = [paint(0.5, 0.6), paint(0.1, 0.8), paint(0.1, 0.95)];
        let colours = Colours::of(&seen, &painted);
        let photo: DynamicImage =
            GrayImage::from_fn(256, 8, |x, _| Luma([if x < 128 { 60 } else { 200 }])).into();
        let [red, _, blue] = colours.over(&photo, 0, (256, 256));
        let step = |from: usize, to: usize| (blue[to] - red[to]) - (blue[from] - red[from]);
        assert!(step(127, 128) > 0.4 * step(0, 255), "{} of {}", step(127, 128), step(0, 255));
    }

    #[test]
    fn strength_and_mask_say_how_much_changes() {
        let (photo, model) = (grey(60, 50), model());
        let unchanged = coloured(&photo, None, &model, 0.0);
        assert!(unchanged == DynamicImage::from(photo.to_rgb8()));
        let mask = GrayImage::from_fn(60, 50, |x, _| Luma([if x < 20 { 255 } else { 0 }]));
        let part = coloured(&photo, Some(&mask), &model, 1.0);
        let whole = coloured(&photo, None, &model, 1.0);
        for (x, y, pixel) in part.pixels() {
            let expected = if x < 20 { whole.get_pixel(x, y) } else { unchanged.get_pixel(x, y) };
            assert_eq!(pixel, expected, "{x} {y}");
        }
    }

    #[test]
    fn the_colours_that_a_photo_has_are_not_looked_at() {
        let config = NetworkConfig::Layered(colouriser::config());
        let model = Model::of("fresh", &config, &config.init(&Device::flex())).unwrap();
        let photo = RgbImage::from_fn(40, 40, |x, y| Rgb([(x * 5) as u8, (y * 5) as u8, 90]));
        let photo = DynamicImage::from(photo);
        let of_colours = coloured(&photo, None, &model, 1.0);
        let of_greys = coloured(&in_grey(&photo), None, &model, 1.0);
        let apart = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        let most = of_colours.as_bytes().iter().zip(of_greys.as_bytes()).map(apart).max();
        // The greys were rounded once more.
        assert!(most <= Some(2), "{most:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let picture = Picture::from_pixels("test", grey(30, 30));
        let refused = |mask: Option<&GrayImage>, model: &Model, strength: f32, word: &str| {
            let device = Chosen::cpu();
            let scope = Scope { mask, protected: None };
            let run = colour(&picture, scope, model, &device, strength, &mut Gather(Vec::new()));
            let error = run.unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(None, &model(), 1.5, "0 to 1");
        refused(Some(&GrayImage::new(3, 4)), &model(), 1.0, "3 x 4");
        refused(None, &Model::find("starter").unwrap(), 1.0, "does not colour");
    }
}
