//! J. Liu et al., "Residual feature distillation network for lightweight image super-resolution",
//! ECCVW 2020.

use super::{
    Family,
    builder::{Answer, Builder, root},
    rlfn::{SLOPE, attended, ranged},
};
use crate::net::layered::ValueId;

pub(super) const RFDN: Family = Family {
    name: "RFDN",
    marks: &["fea_conv.weight", "B1.c1_d.weight", "B1.esa.conv_f.weight", "LR_conv.weight"],
    // As those of RLFN.
    variants: 2,
    build: |builder, variant| build(builder, [255.0, 1.0][variant]),
};

fn build(builder: &mut Builder<'_>, range: f32) -> Result<Answer, String> {
    let channels = *builder.shape("fea_conv.weight")?.get(1).unwrap_or(&0);
    let picture = builder.picture(channels);
    let input = ranged(builder, picture, range);
    let first = builder.conv(input, "fea_conv")?;
    let mut made = vec![first];
    for number in 1..=builder.count("B", 1, ".c1_d.weight") {
        let value = block(builder, made[number - 1], &format!("B{number}"))?;
        made.push(value);
    }
    let joined = builder.joined(&made[1..]);
    let mixed = builder.conv(joined, "c.0")?;
    let mixed = builder.leaky(mixed, SLOPE);
    let last = builder.conv(mixed, "LR_conv")?;
    let sum = builder.sum(last, first, 1.0);
    let answer = builder.conv(sum, "upsampler.0")?;
    let scale = root(builder.channels(answer), channels)?;
    let answer = builder.shuffle(answer, scale);
    Ok(ranged(builder, answer, 1.0 / range))
}

fn block(builder: &mut Builder<'_>, input: ValueId, key: &str) -> Result<ValueId, String> {
    let (mut features, mut distilled) = (input, Vec::new());
    for step in 1..=3 {
        let part = builder.conv(features, &format!("{key}.c{step}_d"))?;
        distilled.push(builder.leaky(part, SLOPE));
        let rest = builder.conv(features, &format!("{key}.c{step}_r"))?;
        let rest = builder.sum(rest, features, 1.0);
        features = builder.leaky(rest, SLOPE);
    }
    let part = builder.conv(features, &format!("{key}.c4"))?;
    distilled.push(builder.leaky(part, SLOPE));
    let joined = builder.joined(&distilled);
    let mixed = builder.conv(joined, &format!("{key}.c5"))?;
    attended(builder, mixed, &format!("{key}.esa"))
}
