//! ncnn's graphs, layer by layer: whatever network they hold, as long as its layers are known.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::ncnn::{Graph, Layer, Weights},
    Built,
    builder::{Builder, Filter, PICTURE},
};
use crate::net::layered::{Curve, ValueId};

/// What a blob of the graph is.
#[derive(Clone)]
enum Blob {
    Value(ValueId),
    /// A number that does not come from the picture.
    Constant(f32),
}

/// The layers of a graph and the numbers of their slots, or a clause that says what is not known.
pub(super) fn from_ncnn(graph: Graph) -> Result<Built, String> {
    let unknown: BTreeSet<&str> = graph
        .layers
        .iter()
        .map(|layer| layer.kind.as_str())
        .filter(|kind| !KNOWN.contains(kind))
        .collect();
    if !unknown.is_empty() {
        let unknown: Vec<&str> = unknown.into_iter().take(8).collect();
        return Err(format!("its layers of the kind {} are not supported", unknown.join(", ")));
    }
    let none = BTreeMap::new();
    let mut reader = Reader { builder: Builder::new(&none), blobs: BTreeMap::new(), resized: None };
    let family = family(&graph);
    let mut answer = PICTURE;
    let mut clipped = false;
    for layer in graph.layers {
        // A clip at the end is one that every answer gets; elsewhere it would be a curve.
        let ends = ["Split", "Noop", "Dropout", "Interp", "Clip"].contains(&layer.kind.as_str());
        if clipped && !ends {
            return Err("it clips values before its last layers, which is not supported".to_owned());
        }
        clipped |= layer.kind == "Clip";
        if reader.resized.is_some() {
            return Err("it has layers behind the one that resizes its answer".to_owned());
        }
        let (name, outputs) = (layer.name.clone(), layer.outputs.clone());
        let made = reader
            .layer(layer)
            .map_err(|clause| format!("its layer {} {clause}", name.escape_debug()))?;
        if let Blob::Value(value) = made {
            answer = value;
        }
        for output in outputs {
            reader.blobs.insert(output, made.clone());
        }
    }
    let Reader { mut builder, resized, .. } = reader;
    if builder.channels(PICTURE) == 0 {
        builder.picture(3);
    }
    let (mut config, weights) = builder.finish(family, answer)?;
    config.resized = resized;
    Ok((config, weights))
}

/// Kinds of layers that are understood.
const KNOWN: [&str; 21] = [
    "BinaryOp",
    "Clip",
    "Concat",
    "Convolution",
    "Dropout",
    "Eltwise",
    "Input",
    "Interp",
    "MemoryData",
    "Noop",
    "PReLU",
    "Padding",
    "PixelShuffle",
    "Pooling",
    "ReLU",
    "Reorg",
    "Sigmoid",
    "Split",
    "Swish",
    "TanH",
    "UnaryOp",
];

/// A name for people, by the layers that only one of the known architectures has.
fn family(graph: &Graph) -> &'static str {
    let has = |kind: &str| graph.layers.iter().any(|layer| layer.kind == kind);
    match (has("Concat"), has("PixelShuffle"), has("PReLU")) {
        (true, false, false) => "ESRGAN",
        (false, true, true) if !has("Eltwise") => "Compact",
        _ => "ncnn graph",
    }
}

struct Reader<'a> {
    builder: Builder<'a>,
    blobs: BTreeMap<String, Blob>,
    /// By the last layer.
    resized: Option<[usize; 2]>,
}

impl Reader<'_> {
    fn layer(&mut self, mut layer: Layer) -> Result<Blob, String> {
        let weights = std::mem::take(&mut layer.weights);
        let blob = |reader: &Self, place: usize| -> Result<Blob, String> {
            let name = layer.inputs.get(place).ok_or("takes too few blobs")?;
            reader.blobs.get(name).cloned().ok_or_else(|| "takes what is not there yet".to_owned())
        };
        let value = |reader: &Self, place: usize| match blob(reader, place)? {
            Blob::Value(value) => Ok(value),
            Blob::Constant(_) => Err("takes a number for a picture".to_owned()),
        };
        let made = match layer.kind.as_str() {
            "Input" if self.blobs.is_empty() => PICTURE,
            "Input" => return Err("is a second picture".to_owned()),
            "Split" | "Noop" | "Dropout" => return blob(self, 0),
            // The answer is clamped in any case.
            "Clip" => value(self, 0)?,
            "MemoryData" => {
                let [Weights { values, .. }] = &weights[..] else {
                    return Err("holds no numbers".to_owned());
                };
                return match values[..] {
                    [number] => Ok(Blob::Constant(number)),
                    _ => Err("holds more than one number".to_owned()),
                };
            }
            "Convolution" => {
                let from = value(self, 0)?;
                self.convolution(&layer, weights, from)?
            }
            "PReLU" => {
                let [Weights { values, .. }] = <[Weights; 1]>::try_from(weights)
                    .map_err(|_other| "holds no slopes".to_owned())?;
                let from = value(self, 0)?;
                self.builder.prelu_by(from, values)
            }
            "ReLU" => {
                let from = value(self, 0)?;
                self.builder.leaky(from, layer.number(0, 0.0) as f32)
            }
            "Sigmoid" => {
                let from = value(self, 0)?;
                self.builder.curve(from, Curve::Sigmoid)
            }
            "Swish" => {
                let from = value(self, 0)?;
                self.builder.curve(from, Curve::Silu)
            }
            "TanH" => {
                let from = value(self, 0)?;
                self.builder.curve(from, Curve::Tanh)
            }
            "UnaryOp" => match layer.number(0, 0.0) as i64 {
                1 => {
                    let from = value(self, 0)?;
                    self.builder.affine(from, &[-1.0], &[0.0])
                }
                16 => {
                    let from = value(self, 0)?;
                    self.builder.curve(from, Curve::Tanh)
                }
                kind => return Err(format!("is an operation ({kind}) that is not supported")),
            },
            "BinaryOp" => {
                let first = blob(self, 0)?;
                let second = match layer.number(1, 0.0) as i64 {
                    0 => blob(self, 1)?,
                    _ => Blob::Constant(layer.number(2, 0.0) as f32),
                };
                self.binary(layer.number(0, 0.0) as i64, first, second)?
            }
            "Eltwise" => {
                let (first, second) = (value(self, 0)?, value(self, 1)?);
                let factors = layer.list(1);
                match (layer.number(0, 0.0) as i64, factors, layer.inputs.len()) {
                    (0, _, 2) => self.builder.product(first, second),
                    (1, [], 2) => self.builder.sum(first, second, 1.0),
                    (1, [one, other], 2) => {
                        let first = match *one {
                            1.0 => first,
                            one => self.builder.affine(first, &[one as f32], &[0.0]),
                        };
                        self.builder.sum(first, second, *other as f32)
                    }
                    _ => return Err("is a sum that is not supported".to_owned()),
                }
            }
            "Concat" if layer.number(0, 0.0) == 0.0 => {
                let parts: Vec<ValueId> =
                    (0..layer.inputs.len()).map(|n| value(self, n)).collect::<Result<_, _>>()?;
                self.builder.joined(&parts)
            }
            "Concat" => return Err("does not put channels behind each other".to_owned()),
            "PixelShuffle" if layer.number(1, 0.0) == 0.0 => {
                let from = value(self, 0)?;
                let factor = layer.number(0, 1.0);
                self.builder.shuffle(from, whole(factor).ok_or("has a factor out of range")?)
            }
            "Reorg" if layer.number(1, 0.0) == 0.0 => {
                let from = value(self, 0)?;
                let factor = layer.number(0, 1.0);
                self.builder.unshuffle(from, whole(factor).ok_or("has a factor out of range")?)
            }
            "PixelShuffle" | "Reorg" => return Err("orders channels in another way".to_owned()),
            "Interp" => {
                let from = value(self, 0)?;
                self.interpolated(&layer, from)?
            }
            "Pooling" => {
                let from = value(self, 0)?;
                let (kernel, stride) = (layer.number(1, 0.0), layer.number(2, 1.0));
                let plain = layer.number(0, 0.0) == 0.0
                    && layer.number(3, 0.0) == 0.0
                    && layer.number(4, 0.0) == 0.0
                    && layer.number(11, kernel) == kernel
                    && layer.number(12, stride) == stride;
                match (whole(kernel), whole(stride)) {
                    (Some(kernel), Some(stride)) if plain => {
                        self.builder.pool(from, kernel, stride)
                    }
                    _ => return Err("is a pooling that is not supported".to_owned()),
                }
            }
            "Padding" => {
                let sides = [0, 1, 2, 3].map(|id| layer.number(id, 0.0));
                if sides.iter().any(|side| *side != 0.0) {
                    return Err("puts a border around the picture".to_owned());
                }
                value(self, 0)?
            }
            _ => return Err(format!("is of the kind {}, which is not supported", layer.kind)),
        };
        Ok(Blob::Value(made))
    }

    fn convolution(
        &mut self,
        layer: &Layer,
        weights: Vec<Weights>,
        from: ValueId,
    ) -> Result<ValueId, String> {
        let number = |id: u32, default: f64| layer.number(id, default);
        let (kernel, stride, padding) = (number(1, 0.0), number(3, 1.0), number(4, 0.0));
        let square = number(11, kernel) == kernel
            && number(13, stride) == stride
            && [14, 15, 16].iter().all(|id| number(*id, padding) == padding);
        let plain = number(2, 1.0) == 1.0 && number(12, 1.0) == 1.0 && number(8, 0.0) == 0.0;
        let (Some(stride), true, true, true) = (
            whole(stride),
            square,
            plain,
            (0.0..=64.0).contains(&padding) && padding.fract() == 0.0,
        ) else {
            return Err("is a convolution that is not supported".to_owned());
        };
        let mut weights = weights.into_iter();
        let first = weights.next().ok_or("has no weights")?;
        let &[outputs, inputs, rows, columns] = &first.shape[..] else {
            return Err("has no weights".to_owned());
        };
        let bias = weights.next().map_or_else(|| vec![0.0; outputs], |bias| bias.values);
        if first.values.iter().chain(&bias).any(|value| !value.is_finite()) {
            return Err("holds values that are no numbers".to_owned());
        }
        let filter = Filter { shape: [outputs, inputs, rows, columns], weight: first.values, bias };
        let conv = self.builder.convolve(from, filter, stride, padding as usize);
        // An activation may be a part of the layer.
        let list = layer.list(10);
        Ok(match number(9, 0.0) as i64 {
            0 => conv,
            1 => self.builder.leaky(conv, 0.0),
            2 => {
                let slope = *list.first().ok_or("has an activation without a slope")?;
                self.builder.leaky(conv, slope as f32)
            }
            4 => self.builder.curve(conv, Curve::Sigmoid),
            kind => return Err(format!("has an activation ({kind}) that is not supported")),
        })
    }

    fn binary(&mut self, kind: i64, first: Blob, second: Blob) -> Result<ValueId, String> {
        use Blob::{Constant, Value};
        Ok(match (kind, first, second) {
            (0, Value(first), Value(second)) => self.builder.sum(first, second, 1.0),
            (1, Value(first), Value(second)) => self.builder.sum(first, second, -1.0),
            (2, Value(first), Value(second)) => self.builder.product(first, second),
            (0, Value(value), Constant(number)) | (0, Constant(number), Value(value)) => {
                self.builder.affine(value, &[1.0], &[number])
            }
            (1, Value(value), Constant(number)) => self.builder.affine(value, &[1.0], &[-number]),
            (1, Constant(number), Value(value)) | (7, Value(value), Constant(number)) => {
                self.builder.affine(value, &[-1.0], &[number])
            }
            (2, Value(value), Constant(number)) | (2, Constant(number), Value(value)) => {
                self.builder.affine(value, &[number], &[0.0])
            }
            (3, Value(value), Constant(number)) if number != 0.0 => {
                self.builder.affine(value, &[1.0 / number], &[0.0])
            }
            _ => return Err(format!("is an operation ({kind}) that is not supported")),
        })
    }

    /// An enlargement, or the answer made smaller at the end.
    fn interpolated(&mut self, layer: &Layer, from: ValueId) -> Result<ValueId, String> {
        let (high, wide) = (layer.number(1, 1.0), layer.number(2, 1.0));
        let corners = layer.number(6, 0.0) != 0.0;
        let fixed = [3, 4].iter().any(|id| layer.number(*id, 0.0) != 0.0);
        if high != wide || corners || fixed || layer.inputs.len() != 1 {
            return Err("is an enlargement that is not supported".to_owned());
        }
        match (layer.number(0, 0.0) as i64, whole(high)) {
            (1, Some(factor)) => Ok(self.builder.enlarged(from, factor, false)),
            (2, Some(factor)) => Ok(self.builder.enlarged(from, factor, true)),
            (3, _) => {
                // As a fraction of small numbers.
                let fits = |below: &usize| (high * *below as f64).fract() == 0.0 && high > 0.0;
                let below = (1..=16).find(fits).ok_or("resizes by a factor out of range")?;
                self.resized = Some([(high * below as f64) as usize, below]);
                Ok(from)
            }
            _ => Err("is an enlargement that is not supported".to_owned()),
        }
    }
}

/// A number that is a small whole one.
fn whole(number: f64) -> Option<usize> {
    (number.fract() == 0.0 && (1.0..=16.0).contains(&number)).then_some(number as usize)
}
