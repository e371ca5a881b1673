//! SRResNet and SRGAN's generator: C. Ledig et al., "Photo-realistic single image
//! super-resolution using a generative adversarial network", CVPR 2017.

use super::{
    Family,
    builder::{Answer, Builder, EPSILON, root},
};
use crate::net::layered::{Curve, ValueId};

/// As leftthomas/SRGAN names its layers; the answer goes through a hyperbolic tangent.
pub(super) const LEFTTHOMAS: Family = Family {
    name: "SRResNet",
    marks: &["block1.0.weight", "block2.conv1.weight", "block2.bn1.running_mean"],
    variants: 1,
    build: |builder, _| {
        let first = head(builder, "block1.0", "block1.1")?;
        let mut features = first;
        let blocks = builder.count("block", 2, ".conv1.weight");
        for block in 2..2 + blocks {
            let key = |name: &str| format!("block{block}.{name}");
            let inner = builder.conv_norm(features, &key("conv1"), &key("bn1"), EPSILON)?;
            let inner = builder.prelu(inner, &key("prelu"))?;
            let inner = builder.conv_norm(inner, &key("conv2"), &key("bn2"), EPSILON)?;
            features = builder.sum(features, inner, 1.0);
        }
        let (body, tail) = (format!("block{}", 2 + blocks), format!("block{}", 3 + blocks));
        // Some versions have an activation in place of the normalisation.
        let trunk = if builder.has(&format!("{body}.1.running_mean")) {
            builder.conv_norm(features, &format!("{body}.0"), &format!("{body}.1"), EPSILON)?
        } else {
            let conv = builder.conv(features, &format!("{body}.0"))?;
            builder.prelu(conv, &format!("{body}.1"))?
        };
        features = builder.sum(first, trunk, 1.0);
        let stages = builder.count(&format!("{tail}."), 0, ".conv.weight");
        for stage in 0..stages {
            let key = |name: &str| format!("{tail}.{stage}.{name}");
            features = enlarged(builder, features, &key("conv"), &key("prelu"))?;
        }
        let answer = builder.conv(features, &format!("{tail}.{stages}"))?;
        let answer = builder.curve(answer, Curve::Tanh);
        Ok(builder.affine(answer, &[0.5], &[0.5]))
    },
};

/// As Lornatang/SRGAN-PyTorch names them; the answer is taken as it is.
pub(super) const LORNATANG: Family = Family {
    name: "SRResNet",
    marks: &["conv1.0.weight", "trunk.0.rcb.0.weight", "conv3.weight"],
    variants: 1,
    build: |builder, _| {
        let first = head(builder, "conv1.0", "conv1.1")?;
        let mut features = first;
        for block in 0..builder.count("trunk.", 0, ".rcb.0.weight") {
            let key = |number: usize| format!("trunk.{block}.rcb.{number}");
            let inner = builder.conv_norm(features, &key(0), &key(1), EPSILON)?;
            let inner = builder.prelu(inner, &key(2))?;
            let inner = builder.conv_norm(inner, &key(3), &key(4), EPSILON)?;
            features = builder.sum(features, inner, 1.0);
        }
        let trunk = builder.conv_norm(features, "conv2.0", "conv2.1", EPSILON)?;
        features = builder.sum(first, trunk, 1.0);
        for stage in 0..builder.count("upsampling.", 0, ".upsample_block.0.weight") {
            let key = |number: usize| format!("upsampling.{stage}.upsample_block.{number}");
            features = enlarged(builder, features, &key(0), &key(2))?;
        }
        builder.conv(features, "conv3")
    },
};

/// The first convolution and its activation.
fn head(builder: &mut Builder<'_>, conv: &str, slopes: &str) -> Result<ValueId, String> {
    let channels = *builder.shape(&format!("{conv}.weight"))?.get(1).unwrap_or(&0);
    let picture = builder.picture(channels);
    let first = builder.conv(picture, conv)?;
    builder.prelu(first, slopes)
}

/// Convolution, pixel shuffle and activation.
fn enlarged(
    builder: &mut Builder<'_>,
    from: ValueId,
    conv: &str,
    slopes: &str,
) -> Result<Answer, String> {
    let width = builder.channels(from);
    let conv = builder.conv(from, conv)?;
    let factor = root(builder.channels(conv), width)?;
    let large = builder.shuffle(conv, factor);
    builder.prelu(large, slopes)
}
