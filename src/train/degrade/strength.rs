//! The same degradation, weaker or stronger.

use super::{Change, Recipe, Step};

impl Recipe {
    /// The recipe with blur, noise, resizing and JPEG `strength` times as strong: 1 is the recipe
    /// itself, 0 leaves pictures as sharp and clean as they are. Marks, and grey, stay.
    #[must_use]
    pub fn scaled(&self, strength: f32) -> Self {
        if strength == 1.0 {
            return self.clone();
        }
        let steps = |steps: &[Step]| {
            steps
                .iter()
                .map(|step| Step { change: step.change.scaled(strength), ..*step })
                .collect()
        };
        Self { before: steps(&self.before), after: steps(&self.after), ..self.clone() }
    }

    /// Whether [`Self::scaled`] changes anything.
    #[must_use]
    pub fn has_strength(&self) -> bool {
        let mut changes = self.before.iter().chain(&self.after).map(|step| step.change);
        changes.any(|change| change.scaled(0.5) != change)
    }
}

impl Change {
    fn scaled(self, strength: f32) -> Self {
        let times = |range: [f32; 2], most: f32| range.map(|sigma| (sigma * strength).min(most));
        match self {
            Self::Blur { sigma } => Self::Blur { sigma: times(sigma, 100.0) },
            Self::Noise { sigma } => Self::Noise { sigma: times(sigma, 1.0) },
            // Half as strong is the root: applied twice, it is the whole.
            Self::Resize { factor } => {
                Self::Resize { factor: factor.map(|factor| factor.powf(strength).clamp(0.05, 4.0)) }
            }
            Self::Jpeg { quality, shifted } => {
                let scaled = |quality: f32| (100.0 - (100.0 - quality) * strength).max(1.0);
                Self::Jpeg { quality: quality.map(scaled), shifted }
            }
            Self::Grey | Self::Watermark(_) | Self::Damage(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::degrade::NAMED;

    #[test]
    fn a_strength_scales_what_has_one_and_stays_sound() {
        for name in NAMED {
            let recipe = Recipe::named(name).unwrap();
            assert_eq!(recipe.scaled(1.0), recipe, "{name}");
            let has = !["bicubic", "grey", "watermark", "damage"].contains(&name);
            assert_eq!(recipe.has_strength(), has, "{name}");
            for strength in [0.0, 0.3, 2.0, 4.0] {
                let scaled = recipe.scaled(strength);
                scaled.check().unwrap();
                assert_eq!(scaled != recipe, has, "{name} {strength}");
            }
        }
        let Change::Jpeg { quality, .. } =
            Recipe::named("jpeg").unwrap().scaled(0.5).after[0].change
        else {
            panic!("jpeg compresses");
        };
        assert_eq!(quality, [52.5, 97.5]);
    }
}
