//! New colours over a photo, as much as a share says; where it says nothing, not one bit changes.

use image::{DynamicImage, ImageBuffer, Pixel};

use crate::rect::Rect;

/// Colours of a part of a photo: red, green and blue, 0 to 1, each row by row.
pub struct Layer<'a> {
    /// Where it lies, in pixels of the photo.
    pub area: Rect,
    /// As long as the area.
    pub planes: [&'a [f32]; 3],
}

/// Lays colours over the part of a photo that is in `within`, by `share` (0 to 1) of the column and
/// row in the layer. Grey photos get the luma of BT.601; alpha stays.
pub fn blend(
    photo: &mut DynamicImage,
    layer: &Layer<'_>,
    within: Rect,
    share: impl Fn(u32, u32) -> f32,
) {
    use DynamicImage::{
        ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8,
        ImageRgba16,
    };
    match photo {
        ImageLuma8(photo) => over(photo, layer, within, share),
        ImageLumaA8(photo) => over(photo, layer, within, share),
        ImageRgb8(photo) => over(photo, layer, within, share),
        ImageRgba8(photo) => over(photo, layer, within, share),
        ImageLuma16(photo) => over(photo, layer, within, share),
        ImageLumaA16(photo) => over(photo, layer, within, share),
        ImageRgb16(photo) => over(photo, layer, within, share),
        ImageRgba16(photo) => over(photo, layer, within, share),
        // A `Picture` has no other kinds.
        other => unreachable!("{:?}", other.color()),
    }
}

/// A number of a photo as a share of white.
trait Sample: Copy {
    const WHITE: f32;
    fn value(self) -> f32;
    fn of(value: f32) -> Self;
}

impl Sample for u8 {
    const WHITE: f32 = 255.0;
    fn value(self) -> f32 {
        f32::from(self)
    }
    fn of(value: f32) -> Self {
        value as Self
    }
}

impl Sample for u16 {
    const WHITE: f32 = 65_535.0;
    fn value(self) -> f32 {
        f32::from(self)
    }
    fn of(value: f32) -> Self {
        value as Self
    }
}

fn over<P: Pixel>(
    photo: &mut ImageBuffer<P, Vec<P::Subpixel>>,
    layer: &Layer<'_>,
    within: Rect,
    share: impl Fn(u32, u32) -> f32,
) where
    P::Subpixel: Sample,
{
    let Some(area) = layer.area.intersection(&within) else { return };
    let colours = usize::from(P::CHANNEL_COUNT) - usize::from(P::HAS_ALPHA);
    for y in area.y..area.bottom() {
        for x in area.x..area.right() {
            let (column, row) = (x - layer.area.x, y - layer.area.y);
            let share = share(column, row);
            if share <= 0.0 {
                continue;
            }
            let place = (row * layer.area.width + column) as usize;
            let [red, green, blue] = layer.planes.map(|plane| plane[place].clamp(0.0, 1.0));
            let new = if colours == 1 {
                [0.299 * red + 0.587 * green + 0.114 * blue; 3]
            } else {
                [red, green, blue]
            };
            let samples = photo.get_pixel_mut(x, y).channels_mut();
            for (sample, new) in samples.iter_mut().zip(new).take(colours) {
                let old = sample.value();
                let value = old + share * (new * P::Subpixel::WHITE - old);
                *sample = Sample::of((value + 0.5).clamp(0.0, P::Subpixel::WHITE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{LumaA, Rgb, Rgba};

    use super::*;

    fn layer(planes: [&[f32]; 3]) -> Layer<'_> {
        Layer { area: Rect { x: 1, y: 1, width: 2, height: 1 }, planes }
    }

    #[test]
    fn shares_mix_and_nothing_else_changes() {
        let mut photo = ImageBuffer::from_pixel(4, 3, Rgba([100_u8, 100, 100, 7])).into();
        let planes = [&[1.0, 0.0][..], &[0.5, 2.0], &[0.0, -1.0]];
        let all = Rect::of_size(4, 3);
        blend(&mut photo, &layer(planes), all, |x, _| if x == 0 { 0.5 } else { 1.0 });
        let photo = photo.into_rgba8();
        for (x, y, pixel) in photo.enumerate_pixels() {
            let expected = match (x, y) {
                (1, 1) => [178, 114, 50, 7],
                (2, 1) => [0, 255, 0, 7],
                _ => [100, 100, 100, 7],
            };
            assert_eq!(pixel.0, expected, "{x} {y}");
        }
    }

    #[test]
    fn sixteen_bit_and_grey_keep_their_kind() {
        let planes = [&[1.0, 1.0][..], &[0.0, 1.0], &[0.0, 1.0]];
        let mut wide = ImageBuffer::from_pixel(4, 3, Rgb([10_u16, 20, 30])).into();
        let only = Rect { x: 2, y: 0, width: 1, height: 3 };
        blend(&mut wide, &layer(planes), only, |_, _| 1.0);
        let wide = wide.into_rgb16();
        assert_eq!(wide.get_pixel(1, 1).0, [10, 20, 30], "not within");
        assert_eq!(wide.get_pixel(2, 1).0, [65_535; 3]);
        let mut grey = ImageBuffer::from_pixel(4, 3, LumaA([10_u8, 3])).into();
        blend(&mut grey, &layer(planes), Rect::of_size(4, 3), |_, _| 1.0);
        assert_eq!(grey.into_luma_alpha8().get_pixel(1, 1).0, [76, 3]);
    }
}
