//! The models of [ncnn](https://github.com/Tencent/ncnn): a graph in text (`.param`) and its
//! weights (`.bin`), which say nothing about themselves; they follow each other as the layers do.
//!
//! ```text
//! 7767517
//! 2 2
//! Input        data   0 1 data
//! Convolution  conv1  1 1 data conv1 0=64 1=3 5=1 6=1728
//! ```
//!
//! First a magic number, then how many layers and blobs there are, then a line for each layer:
//! type, name, number of inputs and outputs, their names, parameters by number. A number of -23300
//! and less is a list: `-23310=1,0.2` is parameter 10 with one entry.
//!
//! Files are not trusted. What a layer claims is held against the bytes that are left before
//! memory is taken, and all bytes must have a layer: a type with weights that is not known here
//! shows as too many of them.

use std::{collections::BTreeMap, path::Path};

use super::tensors::{Kind, beside, length_of, refused};
use crate::error::{Error, Result};

/// The first line of every graph.
const MAGIC: &str = "7767517";

/// What comes before weights of half precision.
const HALF: u32 = 0x0130_6B47;

/// What comes before weights of single precision, where anything but zero does.
const SINGLE: u32 = 0x0002_C056;

/// What comes before weights of eight bits.
const INT8: u32 = 0x000D_4B38;

/// The longest graph that is read; those of the largest networks in use have a tenth of it.
const MAX_TEXT_BYTES: u64 = 4 << 20;

/// A parameter of a layer: whole numbers are floats too.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// `id=value`.
    Number(f64),
    /// `-23300-id=count,value,...`.
    List(Vec<f64>),
}

/// A tensor that belongs to a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `weight`, `bias`, `slope`, `mean`, `variance` or `data`.
    pub name: &'static str,
    /// Extents, outermost first. Convolutions: outputs, inputs (of a group), rows, columns.
    pub shape: Vec<usize>,
    /// The numbers in row-major order.
    pub values: Vec<f32>,
}

/// One line of the graph and its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// Such as `Convolution`.
    pub kind: String,
    /// Unique within a graph.
    pub name: String,
    /// The blobs it takes.
    pub inputs: Vec<String>,
    /// The blobs it gives.
    pub outputs: Vec<String>,
    /// By number; what each means depends on the type.
    pub parameters: BTreeMap<u32, Parameter>,
    /// In the order of the file.
    pub weights: Vec<Weights>,
}

impl Layer {
    /// The parameter `id` as a number, or `default` where the line does not say it.
    #[must_use]
    pub fn number(&self, id: u32, default: f64) -> f64 {
        match self.parameters.get(&id) {
            Some(Parameter::Number(value)) => *value,
            _ => default,
        }
    }

    /// The parameter `id` as a list; empty where the line does not say it.
    #[must_use]
    pub fn list(&self, id: u32) -> &[f64] {
        match self.parameters.get(&id) {
            Some(Parameter::List(values)) => values,
            _ => &[],
        }
    }

    /// The parameter `id` as a size, 0 where the line does not say it.
    fn size(&self, id: u32) -> Result<usize, String> {
        let value = self.number(id, 0.0);
        if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
            return Ok(value as usize);
        }
        Err(format!("its layer {} has a size of {value}", self.name))
    }
}

/// A network as a list of layers, each after those whose outputs it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// In the order of the file.
    pub layers: Vec<Layer>,
}

impl Graph {
    /// Reads a `.param` file and the `.bin` file beside it; either can be named.
    ///
    /// # Errors
    /// [`Error::Model`] saying what is wrong, [`Error::Read`] and its kin.
    pub fn open(path: &Path) -> Result<Self> {
        let (text, bytes) = (beside(path, "param"), beside(path, "bin"));
        if length_of(&text)? > MAX_TEXT_BYTES {
            return Err(refused(&text, "it is no graph of ncnn"));
        }
        length_of(&bytes)?;
        let graph = std::fs::read(&text).map_err(|error| Error::read(&text, error))?;
        let graph = str::from_utf8(&graph).map_err(|_binary| {
            refused(&text, "it is no graph of ncnn in text (a file .param, not .param.bin)")
        })?;
        let graph = Self::parse(graph).map_err(|reason| refused(&text, reason))?;
        let weights = std::fs::read(&bytes).map_err(|error| Error::read(&bytes, error))?;
        graph.with_weights(&weights).map_err(|reason| refused(&bytes, reason))
    }

    /// Reads the text of a graph, whose layers are without their weights then.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        if lines.next().map(str::trim) != Some(MAGIC) {
            return Err("it is no graph of ncnn".to_owned());
        }
        let counts: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        let layers: Vec<Layer> = lines.map(layer_of).collect::<Result<_, _>>()?;
        if counts.first().and_then(|count| count.parse().ok()) != Some(layers.len()) {
            return Err("it is cut off or damaged: it names another number of layers".to_owned());
        }
        Ok(Self { layers })
    }

    /// Gives the layers their weights.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub fn with_weights(mut self, bytes: &[u8]) -> Result<Self, String> {
        let mut rest = Rest(bytes);
        for layer in &mut self.layers {
            layer.weights = weights_of(layer, &mut rest)?;
        }
        match rest.0.len() {
            0 => Ok(self),
            left => Err(format!("it holds {left} bytes more than the layers of its graph take")),
        }
    }

    /// Name, shape and numbers of all weights; the names are `layer.weight` and the like.
    pub fn into_tensors(self) -> impl Iterator<Item = (String, Vec<usize>, Vec<f32>)> {
        self.layers.into_iter().flat_map(|layer| {
            let of = move |weights: Weights| {
                (format!("{}.{}", layer.name, weights.name), weights.shape, weights.values)
            };
            layer.weights.into_iter().map(of)
        })
    }
}

/// One line of the graph.
fn layer_of(line: &str) -> Result<Layer, String> {
    let damaged = || format!("it has a line that is no layer: {:?}", short(line));
    let mut words = line.split_whitespace();
    let mut next = || words.next().ok_or_else(damaged);
    let (kind, name) = (next()?.to_owned(), next()?.to_owned());
    let mut count = || next()?.parse::<usize>().map_err(|_no_number| damaged());
    let (inputs, outputs) = (count()?, count()?);
    let mut blobs = |count: usize| {
        let names: Vec<String> = words.by_ref().take(count).map(str::to_owned).collect();
        if names.len() == count { Ok(names) } else { Err(damaged()) }
    };
    let (inputs, outputs) = (blobs(inputs)?, blobs(outputs)?);
    let mut parameters = BTreeMap::new();
    for word in words {
        let (id, value) = word.split_once('=').ok_or_else(damaged)?;
        let id: i64 = id.parse().map_err(|_no_number| damaged())?;
        let number = |text: &str| text.parse::<f64>().map_err(|_no_number| damaged());
        let (id, value) = if id <= -23300 {
            let mut values = value.split(',').map(number);
            let count = values.next().ok_or_else(damaged)??;
            let values: Vec<f64> = values.collect::<Result<_, _>>()?;
            if count != values.len() as f64 {
                return Err(damaged());
            }
            (-23300 - id, Parameter::List(values))
        } else {
            (id, Parameter::Number(number(value)?))
        };
        parameters.insert(u32::try_from(id).map_err(|_negative| damaged())?, value);
    }
    Ok(Layer { kind, name, inputs, outputs, parameters, weights: Vec::new() })
}

/// The start of a text that can be of any length.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// What has no layer yet of the weights.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// The next `count` bytes.
    fn bytes(&mut self, count: Option<usize>, layer: &Layer) -> Result<&[u8], String> {
        let parts = count.and_then(|count| self.0.split_at_checked(count));
        let cut = || format!("it ends before the weights of the layer {}", short(&layer.name));
        let (taken, rest) = parts.ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    /// `count` plain numbers of single precision.
    fn plain(&mut self, count: usize, layer: &Layer) -> Result<Vec<f32>, String> {
        Ok(Kind::F32.floats(self.bytes(count.checked_mul(4), layer)?))
    }

    /// `count` numbers whose precision is said before them.
    fn tagged(&mut self, count: usize, layer: &Layer) -> Result<Vec<f32>, String> {
        let mut tag = [0; 4];
        tag.copy_from_slice(self.bytes(Some(4), layer)?);
        match u32::from_le_bytes(tag) {
            0 | SINGLE => self.plain(count, layer),
            HALF => {
                let size = count.checked_mul(2).and_then(|size| size.checked_next_multiple_of(4));
                let mut values = Kind::F16.floats(self.bytes(size, layer)?);
                values.truncate(count);
                Ok(values)
            }
            INT8 => Err("its weights have eight bits, which is not read here".to_owned()),
            _ => {
                let name = short(&layer.name);
                Err(format!("the weights of its layer {name} are of a kind that is not read here"))
            }
        }
    }
}

/// The weights of a layer, whose type and parameters say what they are.
fn weights_of(layer: &Layer, rest: &mut Rest<'_>) -> Result<Vec<Weights>, String> {
    let mut found = Vec::new();
    let vector = |name, values: Vec<f32>| Weights { name, shape: vec![values.len()], values };
    match layer.kind.as_str() {
        "Convolution" | "ConvolutionDepthWise" | "Deconvolution" | "DeconvolutionDepthWise" => {
            let (outputs, columns, count) = (layer.size(0)?, layer.size(1)?, layer.size(6)?);
            let rows = if layer.parameters.contains_key(&11) { layer.size(11)? } else { columns };
            let shape = matrix(layer, count, &[outputs, rows, columns])?;
            let values = rest.tagged(count, layer)?;
            let shape = vec![outputs, shape, rows, columns];
            found.push(Weights { name: "weight", shape, values });
            if layer.size(5)? != 0 {
                found.push(vector("bias", rest.plain(outputs, layer)?));
            }
        }
        "InnerProduct" => {
            let (outputs, count) = (layer.size(0)?, layer.size(2)?);
            let inputs = matrix(layer, count, &[outputs])?;
            let values = rest.tagged(count, layer)?;
            found.push(Weights { name: "weight", shape: vec![outputs, inputs], values });
            if layer.size(1)? != 0 {
                found.push(vector("bias", rest.plain(outputs, layer)?));
            }
        }
        "PReLU" => found.push(vector("slope", rest.plain(layer.size(0)?, layer)?)),
        "BatchNorm" => {
            for name in ["weight", "mean", "variance", "bias"] {
                found.push(vector(name, rest.plain(layer.size(0)?, layer)?));
            }
        }
        // -233 stands for a scale that comes from another layer.
        "Scale" if layer.number(0, 0.0) != -233.0 => {
            found.push(vector("weight", rest.plain(layer.size(0)?, layer)?));
            if layer.size(1)? != 0 {
                found.push(vector("bias", rest.plain(layer.size(0)?, layer)?));
            }
        }
        "MemoryData" => {
            let sizes = [layer.size(2)?, layer.size(11)?, layer.size(1)?, layer.size(0)?];
            let shape: Vec<usize> = sizes.into_iter().filter(|size| *size > 0).collect();
            let count = shape.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
            let values = rest.plain(count.unwrap_or(usize::MAX), layer)?;
            found.push(Weights { name: "data", shape, values });
        }
        _ => {}
    }
    Ok(found)
}

/// The extent that is left when `count` numbers have the others; all must fit exactly.
fn matrix(layer: &Layer, count: usize, others: &[usize]) -> Result<usize, String> {
    let product = others.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
    match product {
        Some(product) if product > 0 && count > 0 && count.is_multiple_of(product) => {
            Ok(count / product)
        }
        _ => Err(format!("the sizes of its layer {} do not fit together", short(&layer.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAPH: &str = "7767517\n4 4\n\
        Input data 0 1 data\n\
        Convolution first 1 1 data a 0=1 1=3 11=1 5=1 6=3 9=2 -23310=1,0.2\n\
        PReLU slopes 1 1 a b 0=2\n\
        Convolution last 1 1 b c 0=2 1=1 6=2\n";

    /// The weights of [`GRAPH`]: the first layer's in half precision, padded to four bytes.
    fn bytes() -> Vec<u8> {
        let mut bytes = HALF.to_le_bytes().to_vec();
        bytes.extend([0x00, 0x3C, 0x00, 0xC0, 0x00, 0x38, 0, 0]);
        bytes.extend(0.25_f32.to_le_bytes());
        bytes.extend([0.1_f32, 0.2].iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend([7.0_f32, 8.0].iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_graph_and_its_weights_are_read_to_the_last_byte() {
        let graph = Graph::parse(GRAPH).unwrap().with_weights(&bytes()).unwrap();
        let first = &graph.layers[1];
        assert_eq!((first.kind.as_str(), first.name.as_str()), ("Convolution", "first"));
        assert_eq!(
            (&first.inputs[..], &first.outputs[..]),
            (&["data".into()][..], &["a".into()][..])
        );
        assert_eq!(
            (first.number(9, 0.0), first.number(3, 1.0), first.list(10)),
            (2.0, 1.0, &[0.2][..])
        );
        let tensors: Vec<_> = graph.into_tensors().collect();
        let expected = [
            ("first.weight", vec![1, 1, 1, 3], vec![1.0, -2.0, 0.5]),
            ("first.bias", vec![1], vec![0.25]),
            ("slopes.slope", vec![2], vec![0.1, 0.2]),
            ("last.weight", vec![2, 1, 1, 1], vec![7.0, 8.0]),
        ];
        assert_eq!(tensors, expected.map(|(name, shape, values)| (name.to_owned(), shape, values)));
    }

    #[test]
    fn weights_of_another_length_or_kind_are_refused() {
        let graph = Graph::parse(GRAPH).unwrap();
        let whole = bytes();
        for length in 0..whole.len() {
            assert!(graph.clone().with_weights(&whole[..length]).is_err(), "{length}");
        }
        let longer = [&whole[..], &[0; 4]].concat();
        assert!(graph.clone().with_weights(&longer).unwrap_err().contains("4 bytes more"));
        for tag in [INT8, 1, u32::MAX] {
            let other = [&tag.to_le_bytes()[..], &whole[4..]].concat();
            assert!(graph.clone().with_weights(&other).unwrap_err().contains("not read here"));
        }
    }

    #[test]
    fn claims_that_no_file_holds_are_refused_before_memory_is_taken() {
        for layer in [
            "Convolution x 1 1 a b 0=1 1=1 6=4294967295",
            "Convolution x 1 1 a b 0=4294967295 1=4294967295 6=4294967295",
            "Convolution x 1 1 a b 0=3 1=3 6=100",
            "Convolution x 1 1 a b 0=0 1=0 6=0",
            "Convolution x 1 1 a b 0=-5 1=1 6=5",
            "Convolution x 1 1 a b 0=1.5 1=1 6=3",
            "Convolution x 1 1 a b 0=nan 1=1 6=3",
            "InnerProduct x 1 1 a b 0=2 2=4294967294",
            "PReLU x 1 1 a b 0=4294967295",
            "BatchNorm x 1 1 a b 0=1e30",
            "MemoryData x 0 1 b 0=4294967295 1=4294967295 2=4294967295",
        ] {
            let graph = Graph::parse(&format!("7767517\n1 1\n{layer}\n")).unwrap();
            graph.with_weights(&[0; 64]).unwrap_err();
        }
    }

    #[test]
    fn text_that_is_no_graph_is_refused() {
        for text in [
            "",
            "7767517",
            "7767517\n2 2\nInput data 0 1 data",
            "7767517\n1 1\nInput",
            "7767517\n1 1\nInput data 0 18446744073709551615 data",
            "7767517\n1 1\nInput data x 1 data",
            "7767517\n1 1\nInput data 0 1 data 0",
            "7767517\n1 1\nInput data 0 1 data -1=5",
            "7767517\n1 1\nInput data 0 1 data -23300=2,1",
            "7767517\n1 1\nInput data 0 1 data -9223372036854775808=0",
            "PK\u{3}\u{4}",
        ] {
            assert!(Graph::parse(text).is_err(), "{text}");
        }
    }
}
