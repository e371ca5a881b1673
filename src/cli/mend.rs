//! `pixmend mend`

use std::path::{Path, PathBuf};

use super::{
    batch::{self, Batch, lasting},
    output::Destination,
};
use crate::{
    error::{Error, Result},
    jobs::queue::operation::{Marks, Operation},
    mask::Anchor,
    restore::mend::MendOptions,
};

/// Arguments of `pixmend mend`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Photo to mend: JPEG, PNG, WebP, TIFF, BMP, GIF, QOI or PNM; or many photos, and folders of them
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,
    /// Picture of the photo's size: whatever is not black in it is filled [default: the marks that the
    /// window keeps beside the photo]
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// Picture of the photo's size: nothing that is white in it changes, whatever the mask says
    /// [default without --mask: what the window keeps beside the photo]
    #[arg(long, value_name = "MASK")]
    protect: Option<PathBuf>,
    /// Fill what is grey in the mask as much as it is bright [default: wholly, unless the mask is the
    /// window's]
    #[arg(long)]
    soft: bool,
    /// Where the mask lies on a photo of another size than its own: for a watermark that is at the same
    /// place on many photos
    #[arg(long, value_name = "PLACE", value_parser = Anchor::NAMED.map(|(name, _)| name))]
    anchor: Option<String>,
    #[command(flatten)]
    destination: Destination,
    /// A model, `texture` for what the photo itself is made of, or `auto`: what shines through an even
    /// mark is uncovered, texture fills deep holes, and the model `mend` the rest
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
    /// auto, gpu, cpu or the name of an adapter; with :f32 behind it, never numbers of 16 bit
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    #[command(flatten)]
    batch: Batch,
}

/// What two files of masks say, wherever the operation is done later.
pub(super) fn marks(
    mask: Option<&Path>,
    protect: Option<&Path>,
    anchor: Option<&str>,
) -> Result<Marks> {
    let lasting = |path: Option<&Path>| {
        path.map(std::path::absolute).transpose().map_err(|error| Error::Setting(error.to_string()))
    };
    let anchor = anchor.and_then(Anchor::named);
    Ok(Marks { mask: lasting(mask)?, anchor, protect: lasting(protect)? })
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { inputs, destination, batch, grow, feather, object, seed, .. } = arguments;
    // The window's own masks are grey where its brush was soft.
    let soft = arguments.soft || arguments.mask.is_none();
    let operation = Operation::Mend {
        model: lasting(&arguments.model),
        device: arguments.device.clone(),
        marks: marks(
            arguments.mask.as_deref(),
            arguments.protect.as_deref(),
            arguments.anchor.as_deref(),
        )?,
        options: MendOptions { grow: *grow, feather: *feather, hides: *object, soft },
        seed: *seed,
    };
    batch::run(inputs, destination, batch, &operation, None)
}
