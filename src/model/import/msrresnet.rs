//! MSRResNet: SRResNet without batch normalisation, added to the bilinear enlargement, as ESRGAN's
//! authors train it (X. Wang et al., 2018).

use super::{
    Family,
    builder::{Answer, Builder},
};

/// As BasicSR names its layers.
pub(super) const BASIC: Family = Family {
    name: "MSRResNet",
    marks: &["conv_first.weight", "body.0.conv1.weight", "conv_hr.weight", "conv_last.weight"],
    variants: 1,
    build: |builder, _| build(builder, "body", "conv_hr"),
};

/// As earlier code names them.
pub(super) const KAIR: Family = Family {
    name: "MSRResNet",
    marks: &["conv_first.weight", "recon_trunk.0.conv1.weight", "HRconv.weight"],
    variants: 1,
    build: |builder, _| build(builder, "recon_trunk", "HRconv"),
};

/// Slope of the activations outside of the blocks.
const SLOPE: f32 = 0.1;

fn build(builder: &mut Builder<'_>, body: &str, hr: &str) -> Result<Answer, String> {
    let channels = *builder.shape("conv_first.weight")?.get(1).unwrap_or(&0);
    let picture = builder.picture(channels);
    let first = builder.conv(picture, "conv_first")?;
    let mut features = builder.leaky(first, SLOPE);
    for block in 0..builder.count(&format!("{body}."), 0, ".conv1.weight") {
        let inner = builder.conv(features, &format!("{body}.{block}.conv1"))?;
        let inner = builder.leaky(inner, 0.0);
        let inner = builder.conv(inner, &format!("{body}.{block}.conv2"))?;
        features = builder.sum(features, inner, 1.0);
    }
    let mut scale = 1;
    for up in 1..=builder.count("upconv", 1, ".weight") {
        let width = builder.channels(features);
        let conv = builder.conv(features, &format!("upconv{up}"))?;
        let factor = super::builder::root(builder.channels(conv), width)?;
        let large = builder.shuffle(conv, factor);
        features = builder.leaky(large, SLOPE);
        scale *= factor;
    }
    let conv = builder.conv(features, hr)?;
    let conv = builder.leaky(conv, SLOPE);
    let answer = builder.conv(conv, "conv_last")?;
    let base = if scale == 1 { picture } else { builder.enlarged(picture, scale, true) };
    Ok(builder.sum(answer, base, 1.0))
}
