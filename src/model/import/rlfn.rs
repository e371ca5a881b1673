//! F. Kong et al., "Residual local feature network for efficient super-resolution", CVPRW 2022.

use super::{
    Family,
    builder::{Answer, Builder, root},
};
use crate::net::layered::{Curve, ValueId};

pub(super) const RLFN: Family = Family {
    name: "RLFN",
    marks: &["conv_1.weight", "block_1.c1_r.weight", "block_1.esa.conv_f.weight"],
    // Trained on values up to 255 as a rule, and sometimes on those up to 1.
    variants: 2,
    build: |builder, variant| build(builder, [255.0, 1.0][variant]),
};

/// Slope of the activations.
pub(super) const SLOPE: f32 = 0.05;

fn build(builder: &mut Builder<'_>, range: f32) -> Result<Answer, String> {
    let channels = *builder.shape("conv_1.weight")?.get(1).unwrap_or(&0);
    let picture = builder.picture(channels);
    let input = ranged(builder, picture, range);
    let first = builder.conv(input, "conv_1")?;
    let mut features = first;
    for block in 1..=builder.count("block_", 1, ".c1_r.weight") {
        let key = |name: &str| format!("block_{block}.{name}");
        let mut inner = features;
        for conv in ["c1_r", "c2_r", "c3_r"] {
            inner = builder.conv(inner, &key(conv))?;
            inner = builder.leaky(inner, SLOPE);
        }
        let sum = builder.sum(inner, features, 1.0);
        let mixed = builder.conv(sum, &key("c5"))?;
        features = attended(builder, mixed, &key("esa"))?;
    }
    let last = builder.conv(features, "conv_2")?;
    let sum = builder.sum(last, first, 1.0);
    let answer = builder.conv(sum, "upsampler.0")?;
    let scale = root(builder.channels(answer), channels)?;
    let answer = builder.shuffle(answer, scale);
    Ok(ranged(builder, answer, 1.0 / range))
}

/// A value in another range.
pub(super) fn ranged(builder: &mut Builder<'_>, value: ValueId, factor: f32) -> ValueId {
    if factor == 1.0 { value } else { builder.affine(value, &[factor], &[0.0]) }
}

/// Enhanced spatial attention: J. Liu et al., "Residual feature aggregation network for image
/// super-resolution", CVPR 2020; with three convolutions on the small map as in RFDN, or with one.
pub(super) fn attended(
    builder: &mut Builder<'_>,
    input: ValueId,
    key: &str,
) -> Result<ValueId, String> {
    let key = |name: &str| format!("{key}.{name}");
    let narrow = builder.conv(input, &key("conv1"))?;
    let filter = builder.filter(&key("conv2"))?;
    let strided = builder.convolve(narrow, filter, 2, 0);
    let mut small = builder.pool(strided, 7, 3);
    if builder.has(&key("conv_max.weight")) {
        small = builder.conv(small, &key("conv_max"))?;
        small = builder.leaky(small, 0.0);
        small = builder.conv(small, &key("conv3"))?;
        small = builder.leaky(small, 0.0);
        small = builder.conv(small, &key("conv3_"))?;
    } else {
        small = builder.conv(small, &key("conv3"))?;
    }
    let large = builder.fitted(small, input);
    let beside = builder.conv(narrow, &key("conv_f"))?;
    let sum = builder.sum(large, beside, 1.0);
    let mask = builder.conv(sum, &key("conv4"))?;
    let mask = builder.curve(mask, Curve::Sigmoid);
    Ok(builder.product(input, mask))
}
