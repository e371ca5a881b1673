//! `pixmend mend`

use std::path::{Path, PathBuf};

use image::GrayImage;

use super::{
    output::{Destination, chosen},
    tell,
};
use crate::{
    device::Chosen,
    error::{Error, Result},
    mask::{Anchor, placed, sidecar},
    model::Model,
    picture::{Format, Picture},
    restore::mend::{Filler, MendOptions, TEXTURE, mend},
};

/// For a result that cannot keep what it should.
pub(super) const COMPRESSED: &str = "note: JPEG compresses the whole photo again; PNG, TIFF and \
                                     WebP keep every pixel outside of the mask";

/// Arguments of `pixmend mend`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to mend: JPEG, PNG, WebP, TIFF, BMP, GIF, QOI or PNM
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Picture of the photo's size: whatever is not black in it is filled [default: the marks that the
    /// window keeps beside the photo]
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// Where the mask lies on a photo of another size than its own: for a watermark that is at the same
    /// place on many photos
    #[arg(long, value_name = "PLACE", value_parser = Anchor::NAMED.map(|(name, _)| name))]
    anchor: Option<String>,
    #[command(flatten)]
    destination: Destination,
    /// A model file, `texture` for what the photo itself is made of, or `auto`: a shipped network for
    /// marks, if there is one, and texture for the rest
    #[arg(long, value_name = "NAME|FILE|texture|auto", default_value = "auto")]
    model: String,
    /// Make the mask larger by so many pixels, or smaller with a number below 0
    #[arg(long, value_name = "PX", default_value_t = 0.0, allow_negative_numbers = true)]
    grow: f32,
    /// Width of the soft join around the mask in pixels
    #[arg(long, value_name = "PX", default_value_t = 0.0)]
    feather: f32,
    /// What is under the mask is of no use: an object, not a mark that something shines through
    #[arg(long)]
    object: bool,
    /// Decides what texture draws by lot
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, gpu, cpu or the name of an adapter
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { seed, .. } = *arguments;
    let network = match arguments.model.as_str() {
        TEXTURE => None,
        "auto" => Model::mending(),
        name => Some(Model::find(name)?),
    };
    let picture = Picture::open(&arguments.input)?;
    let mask = match &arguments.mask {
        Some(path) => open_mask(path)?,
        None => {
            let kept = sidecar::load(&arguments.input, picture.size());
            let (mask, _) = kept.ok_or_else(|| {
                Error::Setting(format!(
                    "nothing says what is to be filled: give --mask, or mark it in the window, which \
                     keeps {}",
                    sidecar::path_for(&arguments.input).display()
                ))
            })?;
            mask
        }
    };
    let mask = match arguments.anchor.as_deref().and_then(Anchor::named) {
        Some(anchor) if mask.dimensions() != picture.size() => {
            placed(&mask, picture.size(), anchor)
        }
        _ => mask,
    };
    let options =
        MendOptions { grow: arguments.grow, feather: arguments.feather, hides: arguments.object };
    let default = picture.default_output_kept("mended");
    let target = arguments.destination.target(&arguments.input, default, picture.size())?;
    if target.is_lossy() {
        tell(COMPRESSED);
    }
    let device = match &network {
        Some(_) => chosen(&arguments.device)?,
        None => Chosen::cpu(),
    };
    let filler = match &network {
        None => Filler::Texture { seed },
        Some(model) if arguments.model == "auto" => Filler::Auto { model, device: &device, seed },
        Some(model) => Filler::Network { model, device: &device },
    };
    target.fill(
        &picture,
        |monitor| mend(&picture, &mask, filler, options, monitor),
        |receipt| format!("{}, {:.1} s", receipt.in_words(), receipt.seconds),
    )
}

/// A mask from a file: whatever is not black, nor wholly transparent, is marked.
pub(super) fn open_mask(path: &Path) -> Result<GrayImage> {
    let picture = Picture::open(path)?;
    if picture.format == Format::Jpeg {
        return Err(Error::Setting(format!(
            "{} cannot be a mask: JPEG blurs its borders (use PNG)",
            path.display()
        )));
    }
    let color = picture.pixels.color();
    let bytes = usize::from(color.bytes_per_pixel());
    let alpha = if color.has_alpha() { bytes / usize::from(color.channel_count()) } else { 0 };
    let mut mask = picture.pixels.to_luma8();
    let pixels = picture.pixels.as_bytes().chunks_exact(bytes);
    for (mark, pixel) in mask.iter_mut().zip(pixels) {
        let (colours, alpha) = pixel.split_at(bytes - alpha);
        let clear = !alpha.is_empty() && alpha.iter().all(|byte| *byte == 0);
        let black = colours.iter().all(|byte| *byte == 0);
        // The darkest colours round to black.
        *mark = if clear || black { 0 } else { (*mark).max(1) };
    }
    Ok(mask)
}
