//! Models of others become models of ours: which architecture a weight file is for is found from
//! the names and shapes of its tensors, never asked for.
//!
//! A new architecture is one file with a [`Family`] and a line in [`FAMILIES`].

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use burn::tensor::{Device, Tensor, TensorData};

use self::{
    builder::{Answer, Builder},
    ncnn::from_ncnn,
};
use super::{
    Model,
    tensors::{self, Tensors, refused},
};
use crate::{
    error::Result,
    net::{
        Generator as _, Network, NetworkConfig,
        direct::{Direct, InstructionSet},
        layered::LayeredConfig,
        slots,
    },
};

mod builder;
mod compact;
mod dncnn;
mod esrgan;
mod msrresnet;
mod ncnn;
mod rfdn;
mod rlfn;
mod span;
mod srresnet;

/// An architecture.
struct Family {
    /// What it is called.
    name: &'static str,
    /// Names of tensors, all of which a file of it has.
    marks: &'static [&'static str],
    /// Weights do not always say which activation lies between them or which range of values they
    /// are for: so many networks are tried, and the one is taken that stays closest to its input.
    variants: usize,
    /// The layers of one of the variants.
    build: fn(&mut Builder<'_>, usize) -> Result<Answer, String>,
}

/// All of them; the first whose marks a file has is its own.
const FAMILIES: [Family; 12] = [
    esrgan::NEW,
    esrgan::NEWER,
    esrgan::OLD,
    span::SPAN,
    rlfn::RLFN,
    rfdn::RFDN,
    msrresnet::BASIC,
    msrresnet::KAIR,
    srresnet::LEFTTHOMAS,
    srresnet::LORNATANG,
    compact::COMPACT,
    dncnn::DNCNN,
];

/// Architectures that are met and not run, by a tensor that only they have.
const UNSUPPORTED: [(&str, &str); 12] = [
    ("HAT", "relative_position_index_SA"),
    ("DAT", "before_RG.1.weight"),
    ("SwinIR", "layers.0.residual_group.blocks.0.attn.relative_position_index"),
    ("RealPLKSR", "feats.1.lk.conv.weight"),
    ("OmniSR", "residual_layer.0.residual_layer.0.layer.0.fn.0.weight"),
    ("SCUNet", "m_head.0.weight"),
    ("SAFMN", "feats.0.safm.mfr.0.weight"),
    ("RCAN", "body.0.body.0.body.3.conv_du.0.weight"),
    ("EDSR", "head.0.weight"),
    ("GFPGAN", "stylegan_decoder.style_mlp.1.weight"),
    ("DRUNet", "m_head.weight"),
    ("LaMa", "generator.model.1.ffc.convl2l.weight"),
];

/// Reads a file of others.
///
/// # Errors
/// [`crate::error::Error::Model`] saying what is wrong with the file or what it is that is not
/// supported, [`crate::error::Error::Read`] and its kin.
pub(super) fn open(path: &Path) -> Result<Model> {
    let name = path.display().to_string();
    if tensors::is_ncnn(path) {
        let answer = from_ncnn(super::ncnn::Graph::open(path)?);
        let (config, weights) = answer.map_err(|reason| refused(path, reason))?;
        return finished(path, &name, vec![(config, weights)]);
    }
    let tensors = tensors::open(path)?;
    let has = |mark: &str| tensors.keys().any(|key| key == mark);
    if let Some((name, _)) = UNSUPPORTED.iter().find(|(_, mark)| has(mark)) {
        return Err(refused(path, format!("{name} is not supported yet")));
    }
    let family = FAMILIES.iter().find(|family| family.marks.iter().all(|mark| has(mark)));
    let Some(family) = family else {
        let mut known: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        known.dedup();
        let known = known.join(", ");
        return Err(refused(
            path,
            format!("it is for none of the architectures that are supported: {known}"),
        ));
    };
    let mut variants = Vec::new();
    for variant in 0..family.variants {
        let built = built(family, &tensors, variant);
        variants.push(built.map_err(|reason| refused(path, reason))?);
    }
    finished(path, &name, variants)
}

/// A list of layers and the numbers of its slots.
type Built = (LayeredConfig, Vec<(String, Vec<f32>)>);

fn built(family: &Family, tensors: &Tensors, variant: usize) -> Result<Built, String> {
    let mut builder = Builder::new(tensors);
    let answer = (family.build)(&mut builder, variant)?;
    builder.finish(family.name, answer)
}

/// The network with its numbers that passes the test best.
fn finished(path: &Path, name: &str, variants: Vec<Built>) -> Result<Model> {
    let device = Device::flex();
    let mut best: Option<(f32, LayeredConfig, Network)> = None;
    let mut reason = "its weights fit no network".to_owned();
    for (config, weights) in variants {
        config.check().map_err(|clause| refused(path, clause))?;
        let mut weights: std::collections::HashMap<String, Vec<f32>> =
            weights.into_iter().collect();
        let network = Network::Layered(config.init(&device));
        let network = slots::filled(network, &device, |path| weights.remove(path));
        // Sizes that do not fit each other show when a network runs.
        let tried = catch_unwind(AssertUnwindSafe(|| tried(&network)));
        match tried.unwrap_or_else(|_panic| Err("its layers do not fit together".to_owned())) {
            Ok(error) if best.as_ref().is_none_or(|(least, ..)| error < *least) => {
                best = Some((error, config, network));
            }
            Ok(_) => {}
            Err(clause) => reason = clause,
        }
    }
    let Some((_, config, network)) = best else { return Err(refused(path, reason)) };
    Model::of(name, &NetworkConfig::Layered(config), &network)
}

/// Side of the picture that a network is tried on.
const SIDE: usize = 48;

/// How far from the picture an answer may be in its mean over blocks of eight pixels, black 0 and
/// white 1, to be an answer at all. Those of good models are within 0.03, of wrong ones above 0.2.
const FAR: f32 = 0.15;

/// Runs a network on a picture of soft waves and gives the mean difference of both over blocks, or
/// says what is wrong with the answer.
fn tried(network: &Network) -> Result<f32, String> {
    let device = Device::flex();
    let wave = |at: usize| {
        let (c, y, x) = (at / (SIDE * SIDE), at / SIDE % SIDE, at % SIDE);
        let wave = (x as f32 * (0.11 + 0.03 * c as f32)).sin() * (y as f32 * 0.13 + c as f32).cos();
        0.5 + 0.3 * wave
    };
    let values: Vec<f32> = (0..3 * SIDE * SIDE).map(wave).collect();
    let picture = Tensor::from_data(TensorData::new(values, [1, 3, SIDE, SIDE]), &device);
    let set = InstructionSet::available()[0];
    let answer = match Direct::on(network, set, rayon::current_num_threads()) {
        Some(direct) => direct.forward(picture.clone()),
        None => network.forward(picture.clone()),
    };
    let scale = answer.dims()[3] / SIDE;
    let blocks = |picture: Tensor<4>, side: usize| -> Vec<f32> {
        let mean = picture.reshape([3, SIDE / 8, side, SIDE / 8, side]).mean_dim(4).mean_dim(2);
        mean.into_data().try_into_vec().unwrap_or_default()
    };
    let (before, after) = (blocks(picture, 8), blocks(answer.clone(), 8 * scale));
    if !answer.is_finite().all().into_scalar::<bool>() {
        return Err("its answer to a picture is not a number".to_owned());
    }
    let spread = after.iter().fold(f32::MIN, |m, v| m.max(*v))
        - after.iter().fold(f32::MAX, |m, v| m.min(*v));
    if spread < 0.02 {
        return Err("its answer to a picture is flat".to_owned());
    }
    let error = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).sum::<f32>();
    let error = error / before.len() as f32;
    if error > FAR {
        return Err(
            "its answer to a picture is another picture: the weights are damaged, or for a \
                    job that is none of this program's"
                .to_owned(),
        );
    }
    Ok(error)
}
