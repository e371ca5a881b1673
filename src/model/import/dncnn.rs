//! K. Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image
//! denoising", TIP 2017. A row of convolutions finds the noise, which is taken away.

use super::Family;

/// What its authors add to variances.
const EPSILON: f64 = 1e-4;

pub(super) const DNCNN: Family = Family {
    name: "DnCNN",
    marks: &["model.0.weight", "model.2.weight"],
    variants: 1,
    build: |builder, _| {
        let numbers = builder.numbered("model.", ".weight");
        let is = |number: &usize, length: usize| {
            builder.shape(&format!("model.{number}.weight")).is_ok_and(|s| s.len() == length)
        };
        let convs: Vec<usize> = numbers.iter().copied().filter(|n| is(n, 4)).collect();
        let channels = *builder.shape("model.0.weight")?.get(1).unwrap_or(&0);
        let picture = builder.picture(channels);
        let mut features = picture;
        for (place, number) in convs.iter().enumerate() {
            let (key, norm) = (format!("model.{number}"), format!("model.{}", number + 1));
            features = if builder.has(&format!("{norm}.running_mean")) {
                builder.conv_norm(features, &key, &norm, EPSILON)?
            } else {
                builder.conv(features, &key)?
            };
            if place + 1 < convs.len() {
                features = builder.leaky(features, 0.0);
            }
        }
        if builder.channels(features) != channels {
            return Err("it takes another number of channels than it makes".to_owned());
        }
        Ok(builder.sum(picture, features, -1.0))
    },
};
