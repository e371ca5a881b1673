//! C. Wan et al., "Swift parameter-free attention network for efficient super-resolution",
//! CVPRW 2024.

use super::{
    Family,
    builder::{Answer, Builder, Filter, root},
};
use crate::net::layered::{Curve, ValueId};

pub(super) const SPAN: Family = Family {
    name: "SPAN",
    marks: &["block_1.c1_r.eval_conv.weight", "conv_cat.weight", "upsampler.0.weight"],
    variants: 1,
    build: |builder, _| build(builder),
};

/// What the pictures that it learnt from have less of, in red, green and blue.
const MEAN: [f32; 3] = [0.4488, 0.4371, 0.4040];

fn build(builder: &mut Builder<'_>) -> Result<Answer, String> {
    let channels = *builder.shape("conv_1.eval_conv.weight")?.get(1).unwrap_or(&0);
    let mut input = builder.picture(channels);
    // A buffer of this name stands for models that take pictures as they are.
    if builder.has("no_norm") {
        builder.skip("no_norm");
    } else if channels == 3 {
        input = builder.affine(input, &[255.0; 3], &MEAN.map(|mean| -255.0 * mean));
    } else {
        return Err("it is neither for colour nor for plain pictures".to_owned());
    }
    let first = merged(builder, input, "conv_1")?;
    let (mut features, mut kept) = (first, first);
    let mut second = first;
    let blocks = builder.count("block_", 1, ".c1_r.eval_conv.weight");
    for block in 1..=blocks {
        let key = |name: &str| format!("block_{block}.{name}");
        let one = merged(builder, features, &key("c1_r"))?;
        kept = builder.curve(one, Curve::Silu);
        let two = merged(builder, kept, &key("c2_r"))?;
        let two = builder.curve(two, Curve::Silu);
        let three = merged(builder, two, &key("c3_r"))?;
        let attention = builder.curve(three, Curve::Sigmoid);
        let attention = builder.affine(attention, &[1.0], &[-0.5]);
        let sum = builder.sum(three, features, 1.0);
        features = builder.product(sum, attention);
        if block == 1 {
            second = features;
        }
    }
    let last = merged(builder, features, "conv_2")?;
    let joined = builder.joined(&[first, last, second, kept]);
    let joined = builder.conv(joined, "conv_cat")?;
    let answer = builder.conv(joined, "upsampler.0")?;
    let scale = root(builder.channels(answer), channels)?;
    Ok(builder.shuffle(answer, scale))
}

/// A convolution that was several while it was trained: 1x1, 3x3 and 1x1 after each other, and
/// a 1x1 beside them.
fn merged(builder: &mut Builder<'_>, from: ValueId, key: &str) -> Result<ValueId, String> {
    let has = |name: &str| builder.has(&format!("{key}.{name}.weight"));
    if !has("conv.0") || !has("sk") {
        return builder.conv(from, &format!("{key}.eval_conv"));
    }
    // Files keep an older sum of them too.
    builder.skip(&format!("{key}.eval_conv.weight"));
    builder.skip(&format!("{key}.eval_conv.bias"));
    let mut filter = |name: &str| builder.filter(&format!("{key}.{name}"));
    let (one, two, three) = (filter("conv.0")?, filter("conv.1")?, filter("conv.2")?);
    let beside = filter("sk")?;
    let [inner, inputs, ..] = one.shape;
    let [outputs, middle, ..] = three.shape;
    let fits = two.shape == [middle, inner, 3, 3] && beside.shape == [outputs, inputs, 1, 1];
    let most = 1 << 10; // twenty times the channels of published models
    let small = [inner, inputs, outputs, middle].iter().all(|extent| *extent <= most);
    if !fits || !small || one.shape[2] != 1 || three.shape[2] != 1 {
        return Err(format!("the shapes of its tensors {key} do not fit together"));
    }
    // The first two: each tap of the second reads mixed inputs.
    let mut weight = vec![0.0_f64; middle * inputs * 9];
    let mut bias: Vec<f64> = two.bias.iter().map(|value| f64::from(*value)).collect();
    for output in 0..middle {
        for through in 0..inner {
            let taps = &two.weight[(output * inner + through) * 9..][..9];
            for (tap, value) in taps.iter().enumerate() {
                let value = f64::from(*value);
                bias[output] += value * f64::from(one.bias[through]);
                for input in 0..inputs {
                    weight[(output * inputs + input) * 9 + tap] +=
                        value * f64::from(one.weight[through * inputs + input]);
                }
            }
        }
    }
    // The third, and what is beside.
    let mut whole = vec![0.0_f64; outputs * inputs * 9];
    let mut addend: Vec<f64> = Vec::new();
    for output in 0..outputs {
        let row = &three.weight[output * middle..][..middle];
        let sum: f64 = row.iter().zip(&bias).map(|(weight, bias)| f64::from(*weight) * bias).sum();
        addend.push(sum + f64::from(three.bias[output]) + f64::from(beside.bias[output]));
        for (through, value) in row.iter().enumerate() {
            for at in 0..inputs * 9 {
                whole[output * inputs * 9 + at] +=
                    f64::from(*value) * weight[through * inputs * 9 + at];
            }
        }
        for input in 0..inputs {
            whole[(output * inputs + input) * 9 + 4] +=
                f64::from(beside.weight[output * inputs + input]);
        }
    }
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    let filter =
        Filter { shape: [outputs, inputs, 3, 3], weight: narrow(whole), bias: narrow(addend) };
    Ok(builder.convolve(from, filter, 1, 1))
}
