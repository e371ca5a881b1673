//! ESRGAN's generator, RRDBNet: X. Wang et al., "ESRGAN: enhanced super-resolution generative
//! adversarial networks", 2018, and its form for Real-ESRGAN with a pixel unshuffle before it.

use super::{
    Family,
    builder::{Answer, Builder, PICTURE},
};
use crate::net::layered::ValueId;

/// As BasicSR names its layers.
pub(super) const NEW: Family = Family {
    name: "ESRGAN",
    marks: &["conv_first.weight", "body.0.rdb1.conv1.weight", "conv_body.weight"],
    variants: 1,
    build: |builder, _| {
        let dense = |block, part| format!("body.{block}.rdb{part}");
        named(builder, dense, "conv_body", "conv_up", "conv_hr")
    },
};

/// As the first release of the code in PyTorch names them.
pub(super) const NEWER: Family = Family {
    name: "ESRGAN",
    marks: &["conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight", "trunk_conv.weight"],
    variants: 1,
    build: |builder, _| {
        let dense = |block, part| format!("RRDB_trunk.{block}.RDB{part}");
        named(builder, dense, "trunk_conv", "upconv", "HRconv")
    },
};

/// By number, as most models of the community name them.
pub(super) const OLD: Family = Family {
    name: "ESRGAN",
    marks: &["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"],
    variants: 1,
    build: |builder, _| {
        let numbers = builder.numbered("model.", ".weight");
        let name = |number: &usize| format!("model.{number}");
        let [0, ups @ .., hr, last] = &numbers[..] else {
            return Err("its last layers are missing".to_owned());
        };
        let names = Names {
            first: "model.0".to_owned(),
            dense: |block, part| format!("model.1.sub.{block}.RDB{part}"),
            inner: ".0",
            trunk: Trunk::Behind("model.1.sub"),
            ups: ups.iter().map(name).collect(),
            hr: name(hr),
            last: name(last),
        };
        build(builder, &names)
    },
};

/// Where the convolution after the blocks is.
enum Trunk {
    Named(&'static str),
    /// The next number after the last block.
    Behind(&'static str),
}

struct Names {
    first: String,
    /// A dense block by the number of its residual block, from 0, and its own, from 1.
    dense: fn(usize, usize) -> String,
    /// Behind the name of a convolution of a dense block.
    inner: &'static str,
    trunk: Trunk,
    ups: Vec<String>,
    hr: String,
    last: String,
}

/// A network whose layers have names.
fn named(
    builder: &mut Builder<'_>,
    dense: fn(usize, usize) -> String,
    trunk: &'static str,
    up: &str,
    hr: &str,
) -> Result<Answer, String> {
    let ups = builder.count(up, 1, ".weight");
    let names = Names {
        first: "conv_first".to_owned(),
        dense,
        inner: "",
        trunk: Trunk::Named(trunk),
        ups: (1..=ups).map(|n| format!("{up}{n}")).collect(),
        hr: hr.to_owned(),
        last: "conv_last".to_owned(),
    };
    build(builder, &names)
}

/// Slope of the activations.
const SLOPE: f32 = 0.2;

/// What every block is multiplied by before it is added.
const RESIDUAL: f32 = 0.2;

fn build(builder: &mut Builder<'_>, names: &Names) -> Result<Answer, String> {
    let Names { dense, inner, .. } = names;
    let inputs = *builder.shape(&format!("{}.weight", names.first))?.get(1).unwrap_or(&0);
    let outputs = *builder.shape(&format!("{}.weight", names.last))?.first().unwrap_or(&0);
    let picture = builder.picture(outputs);
    let unshuffled = match (1..=4).find(|factor| factor * factor * outputs == inputs) {
        Some(1) => picture,
        Some(factor) => builder.unshuffle(picture, factor),
        None => return Err(format!("it takes {inputs} channels and makes {outputs}")),
    };
    let first = builder.conv(unshuffled, &names.first)?;
    let mut features = first;
    let exists = |builder: &Builder<'_>, block: usize| {
        builder.has(&format!("{}.conv1{inner}.weight", dense(block, 1)))
    };
    let mut blocks = 0;
    while exists(builder, blocks) {
        let before = features;
        for part in 1..=3 {
            features = block(builder, features, &dense(blocks, part), inner)?;
        }
        features = builder.sum(before, features, RESIDUAL);
        blocks += 1;
    }
    let trunk = match names.trunk {
        Trunk::Named(name) => name.to_owned(),
        Trunk::Behind(list) => format!("{list}.{blocks}"),
    };
    let trunk = builder.conv(features, &trunk)?;
    features = builder.sum(first, trunk, 1.0);
    for up in &names.ups {
        let larger = builder.enlarged(features, 2, false);
        let conv = builder.conv(larger, up)?;
        features = builder.leaky(conv, SLOPE);
    }
    let conv = builder.conv(features, &names.hr)?;
    features = builder.leaky(conv, SLOPE);
    builder.conv(features, &names.last)
}

/// Five convolutions, each of which reads what all before it read and made. With a convolution
/// `conv1x1` it is that of ESRGAN+ (N. Rakotonirina and A. Rasoanaivo, 2020).
fn block(
    builder: &mut Builder<'_>,
    input: ValueId,
    key: &str,
    inner: &str,
) -> Result<ValueId, String> {
    debug_assert_ne!(input, PICTURE);
    let mut made = vec![input];
    let plus = format!("{key}.conv1x1");
    for number in 1..=4 {
        let read = if number == 1 { input } else { builder.joined(&made) };
        let conv = builder.conv(read, &format!("{key}.conv{number}{inner}"))?;
        let mut value = builder.leaky(conv, SLOPE);
        if builder.has(&format!("{plus}.weight")) {
            if number == 2 {
                let beside = builder.conv(input, &plus)?;
                value = builder.sum(value, beside, 1.0);
            } else if number == 4 {
                value = builder.sum(value, made[2], 1.0);
            }
        }
        made.push(value);
    }
    let read = builder.joined(&made);
    let last = builder.conv(read, &format!("{key}.conv5{inner}"))?;
    Ok(builder.sum(input, last, RESIDUAL))
}
