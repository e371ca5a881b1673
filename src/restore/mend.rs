//! Filling what a mask marks; nothing else changes.

use image::{DynamicImage, GrayImage, ImageBuffer, Pixel};

use super::{Monitor, Patch, Progress, Receipt, Start, UpscaleOptions, upscale};
use crate::{
    device::Chosen,
    error::{Error, Result},
    model::Model,
    picture::Picture,
    rect::Rect,
};

/// Fills the pixels where `mask`, of the picture's size, is not black; the result leaves through
/// [`Monitor::patch`]. All other pixels are those of the picture, to the bit.
///
/// # Errors
/// [`Error::Setting`] if the model fills no masks or the mask has another size, or as
/// [`super::upscale()`].
pub fn mend(
    picture: &Picture,
    mask: &GrayImage,
    model: &Model,
    device: &Chosen,
    monitor: &mut dyn Monitor,
) -> Result<Receipt> {
    if !model.takes_mask() {
        return Err(Error::Setting(format!("the model {} does not fill masks", model.name())));
    }
    if mask.dimensions() != picture.size() {
        return Err(Error::Setting(format!(
            "the mask has {} x {} pixels and the picture {} x {}",
            mask.width(),
            mask.height(),
            picture.size().0,
            picture.size().1
        )));
    }
    let options = UpscaleOptions { scale: 1.0, tile: None };
    let mut outside = Outside { picture: &picture.pixels, mask, monitor };
    upscale::run(picture, Some(mask), model, device, &options, &mut outside)
}

/// Puts the picture's own pixels back where the mask is black.
struct Outside<'a> {
    picture: &'a DynamicImage,
    mask: &'a GrayImage,
    monitor: &'a mut dyn Monitor,
}

impl Monitor for Outside<'_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.monitor.start(start)
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        self.monitor.progress(progress)
    }

    fn patch(&mut self, mut patch: Patch) -> Result<()> {
        let Rect { x, y, width, height } = patch.area;
        let mut kept = self.picture.crop_imm(x, y, width, height);
        copy_where(&patch.pixels, &mut kept, |across, down| {
            self.mask.get_pixel(x + across, y + down).0[0] > 0
        });
        patch.pixels = kept;
        self.monitor.patch(patch)
    }

    fn next(&mut self, waiting: &[Rect]) -> usize {
        self.monitor.next(waiting)
    }

    fn note(&mut self, note: &str) {
        self.monitor.note(note);
    }
}

/// Copies the pixels for which `inside` says so; both pictures have one size and kind.
fn copy_where(from: &DynamicImage, to: &mut DynamicImage, inside: impl Fn(u32, u32) -> bool) {
    fn copy<P: Pixel>(
        from: &ImageBuffer<P, Vec<P::Subpixel>>,
        to: &mut ImageBuffer<P, Vec<P::Subpixel>>,
        inside: impl Fn(u32, u32) -> bool,
    ) {
        for (x, y, pixel) in to.enumerate_pixels_mut().filter(|(x, y, _)| inside(*x, *y)) {
            *pixel = *from.get_pixel(x, y);
        }
    }
    use DynamicImage::{
        ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8,
        ImageRgba16,
    };
    match (from, to) {
        (ImageLuma8(from), ImageLuma8(to)) => copy(from, to, inside),
        (ImageLumaA8(from), ImageLumaA8(to)) => copy(from, to, inside),
        (ImageRgb8(from), ImageRgb8(to)) => copy(from, to, inside),
        (ImageRgba8(from), ImageRgba8(to)) => copy(from, to, inside),
        (ImageLuma16(from), ImageLuma16(to)) => copy(from, to, inside),
        (ImageLumaA16(from), ImageLumaA16(to)) => copy(from, to, inside),
        (ImageRgb16(from), ImageRgb16(to)) => copy(from, to, inside),
        (ImageRgba16(from), ImageRgba16(to)) => copy(from, to, inside),
        // `Picture` has no other kinds, and a patch has the kind of its picture.
        (from, to) => unreachable!("{:?} into {:?}", from.color(), to.color()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::{NetworkConfig, unet::UnetConfig},
        restore::{Mosaic, strips},
    };
    use burn::tensor::Device;
    use image::{Luma, RgbaImage};

    struct Gather(Vec<Patch>);

    impl Monitor for Gather {
        fn patch(&mut self, patch: Patch) -> Result<()> {
            self.0.push(patch);
            Ok(())
        }
    }

    /// A network that was not trained: it changes whatever it is let to.
    fn model(mask: bool) -> Model {
        let config = NetworkConfig::Unet(UnetConfig {
            width: 4,
            blocks: [1; 4],
            batch_norm: false,
            scale: 1,
            mask,
        });
        Model::of("untrained", config, &config.init(&Device::flex())).unwrap()
    }

    #[test]
    fn not_one_pixel_changes_outside_of_the_mask() {
        let pixels = RgbaImage::from_fn(70, 50, |x, y| {
            image::Rgba([(x * 3) as u8, (y * 5) as u8, (x * y) as u8, if x > 60 { 0 } else { 255 }])
        });
        let mask = GrayImage::from_fn(70, 50, |x, y| {
            Luma([if (20..40).contains(&x) && (10..30).contains(&y) { 255 } else { 0 }])
        });
        let picture = Picture::from_pixels("test", pixels.clone().into());
        let mut gather = Gather(Vec::new());
        mend(&picture, &mask, &model(true), &Chosen::cpu(), &mut gather).unwrap();
        let mosaic = Mosaic {
            size: (70, 50),
            color: picture.pixels.color(),
            patches: gather.0.into_iter().map(Into::into).collect(),
        };
        let bytes = strips::of_mosaic(&mosaic).collect::<Vec<_>>().concat();
        let result = RgbaImage::from_raw(70, 50, bytes).unwrap();
        let mut changed = 0;
        for (x, y, pixel) in result.enumerate_pixels() {
            if mask.get_pixel(x, y).0[0] == 0 {
                assert_eq!(pixel, pixels.get_pixel(x, y), "{x}, {y}");
            } else {
                changed += usize::from(pixel != pixels.get_pixel(x, y));
            }
        }
        assert!(changed > 200, "only {changed} of 400 pixels were filled");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let picture = Picture::from_pixels("test", RgbaImage::new(40, 40).into());
        let mut gather = Gather(Vec::new());
        let mut refused = |mask: &GrayImage, model: &Model, word: &str| {
            let error = mend(&picture, mask, model, &Chosen::cpu(), &mut gather).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        };
        refused(&GrayImage::new(40, 41), &model(true), "40 x 41");
        refused(&GrayImage::new(40, 40), &model(false), "does not fill masks");
    }
}
