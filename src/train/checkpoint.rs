//! A run as a file, from which it goes on with the same next losses.

use std::{collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{Best, TrainOptions, adam::Numbers};
use crate::{
    error::{Error, Result},
    settings::{self, Existing},
};

/// Everything but the weights. Random draws need no state: they follow from the seed and the
/// number of the step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) options: TrainOptions,
    pub(super) base: String,
    pub(super) step: u64,
    /// Name and number of updates of each parameter of the generator and of the discriminator; in
    /// [`save`] they are taken from the numbers.
    pub(super) parameters: [Vec<(String, u64)>; 2],
    pub(super) rate_scale: f64,
    pub(super) mean_loss: f64,
    pub(super) best: Option<Best>,
    pub(super) history: Vec<super::Point>,
    /// Signatures of the photos by their use, in order.
    pub(super) photos: [Vec<u64>; 3],
}

/// The two whose numbers are kept.
const NETWORKS: [&str; 2] = ["generator", "discriminator"];

/// Key of the progress in the file's metadata.
const PROGRESS: &str = "pixmend.train";

pub(super) fn save(
    path: &Path,
    mut progress: Progress,
    base: &[u8],
    best: &[u8],
    networks: [&[Numbers]; 2],
) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::Setting(error.to_string());
    let mut tensors: Vec<(String, Vec<u8>, Dtype)> = vec![
        ("base".to_owned(), base.to_vec(), Dtype::U8),
        ("best".to_owned(), best.to_vec(), Dtype::U8),
    ];
    for (network, numbers) in NETWORKS.into_iter().zip(networks) {
        for numbers in numbers {
            for (name, values) in [
                ("value", &numbers.value),
                ("first", &numbers.first),
                ("second", &numbers.second),
                ("average", &numbers.average),
            ] {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((format!("{network}.{name}.{}", numbers.path), bytes, Dtype::F32));
            }
        }
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, bytes, dtype)| {
            let length = bytes.len() * 8 / dtype.bitsize();
            TensorView::new(*dtype, vec![length], bytes).map(|view| (name.as_str(), view))
        })
        .collect();
    let named = |numbers: &Numbers| (numbers.path.clone(), numbers.updates);
    progress.parameters = networks.map(|numbers| numbers.iter().map(named).collect());
    let text = serde_json::to_string(&progress).map_err(|error| failed(&error))?;
    let metadata = HashMap::from([(PROGRESS.to_owned(), text)]);
    let bytes = views
        .and_then(|views| safetensors::serialize(views, Some(metadata)))
        .map_err(|error| failed(&error))?;
    settings::write(path, &bytes, Existing::Replace)?;
    Ok(())
}

/// A run as it was saved.
pub(super) struct Saved {
    pub(super) progress: Progress,
    /// File of the base model.
    pub(super) base: Vec<u8>,
    /// File of the best model so far.
    pub(super) best: Vec<u8>,
    /// Of the generator, in the order of its parameters.
    pub(super) generator: Vec<Numbers>,
    /// Of the discriminator; empty without one.
    pub(super) discriminator: Vec<Numbers>,
}

pub(super) fn load(path: &Path) -> Result<Saved> {
    let damaged = |reason: &str| Error::Model {
        name: path.display().to_string(),
        reason: format!("it is no checkpoint of a run that can go on ({reason})"),
    };
    let bytes = std::fs::read(path).map_err(|error| Error::read(path, error))?;
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|_error| damaged("it is cut off"))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(PROGRESS));
    let text = text.ok_or_else(|| damaged("it does not say how far it is"))?;
    let progress: Progress = serde_json::from_str(text)
        .map_err(|_error| damaged("it is of another version of the program"))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|_error| damaged("it is cut off"))?;
    let raw = |name: &str| {
        let tensor = tensors.tensor(name).map_err(|_error| damaged("a part is missing"))?;
        Ok::<_, Error>(tensor.data().to_vec())
    };
    let values = |name: String| {
        let bytes = raw(&name)?;
        let floats = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok::<_, Error>(floats.collect())
    };
    let numbers = |network: &str, parameters: &[(String, u64)]| {
        let each = parameters.iter().map(|(path, updates)| {
            let of = |list: &str| values(format!("{network}.{list}.{path}"));
            Ok(Numbers {
                path: path.clone(),
                updates: *updates,
                value: of("value")?,
                first: of("first")?,
                second: of("second")?,
                average: of("average")?,
            })
        });
        each.collect::<Result<Vec<_>>>()
    };
    let generator = numbers(NETWORKS[0], &progress.parameters[0])?;
    let discriminator = numbers(NETWORKS[1], &progress.parameters[1])?;
    Ok(Saved { progress, base: raw("base")?, best: raw("best")?, generator, discriminator })
}
