//! SRVGGNetCompact: X. Wang et al., "Real-ESRGAN: training real-world blind super-resolution with
//! pure synthetic data", ICCVW 2021. A row of convolutions, added to the repeated pixels.

use super::{Family, builder::root};
use crate::net::layered::Curve;

pub(super) const COMPACT: Family = Family {
    name: "Compact",
    marks: &["body.0.weight", "body.2.weight"],
    // Without slopes: the activation is ReLU or leaky.
    variants: 2,
    build: |builder, variant| {
        let convs: Vec<usize> = builder
            .numbered("body.", ".weight")
            .into_iter()
            .filter(|n| builder.shape(&format!("body.{n}.weight")).is_ok_and(|s| s.len() == 4))
            .collect();
        let channels = *builder.shape("body.0.weight")?.get(1).unwrap_or(&0);
        let picture = builder.picture(channels);
        let mut features = picture;
        for (place, number) in convs.iter().enumerate() {
            features = builder.conv(features, &format!("body.{number}"))?;
            let activation = format!("body.{}", number + 1);
            if place + 1 == convs.len() {
                continue;
            }
            features = if builder.has(&format!("{activation}.weight")) {
                builder.prelu(features, &activation)?
            } else {
                builder.curve(features, Curve::Leaky { slope: 0.1 * variant as f32 })
            };
        }
        let scale = root(builder.channels(features), channels)?;
        let large = builder.shuffle(features, scale);
        let repeated = builder.enlarged(picture, scale, false);
        Ok(builder.sum(large, repeated, 1.0))
    },
};
