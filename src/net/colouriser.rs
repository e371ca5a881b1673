//! Colours for grey photos: SqueezeNet 1.1 (F. Iandola et al., 2016) sees what is on a photo, a
//! decoder like a U-Net's paints it at a quarter of its size.
//!
//! Colours are seen less sharply than brightness: `restore::colour` fits them to the photo's edges.

use super::layered::{Curve, Layer, LayeredConfig, ValueId};

/// [`LayeredConfig::family`] of these networks.
pub const FAMILY: &str = "colouriser";

/// What SqueezeNet of Caffe takes from red, green and blue, 0 to 255.
const MEAN: [f32; 3] = [123.0, 117.0, 104.0];

/// Layers as they are written down.
struct Layers(Vec<Layer>);

impl Layers {
    fn push(&mut self, layer: Layer) -> ValueId {
        self.0.push(layer);
        self.0.len()
    }

    /// A convolution that keeps the size (but for its stride), and its non-linearity.
    fn conv(
        &mut self,
        from: ValueId,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> ValueId {
        let from = self.linear(from, [inputs, outputs], kernel, stride);
        self.push(Layer::Activation { from, curve: Curve::Leaky { slope: 0.0 } })
    }

    fn linear(
        &mut self,
        from: ValueId,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> ValueId {
        self.push(Layer::Conv { from, inputs, outputs, kernel, stride, padding: kernel / 2 })
    }

    /// 1x1 to few channels, then 1x1 and 3x3 side by side.
    fn fire(&mut self, from: ValueId, inputs: usize, squeeze: usize, expand: usize) -> ValueId {
        let narrow = self.conv(from, [inputs, squeeze], 1, 1);
        let small = self.conv(narrow, [squeeze, expand], 1, 1);
        let large = self.conv(narrow, [squeeze, expand], 3, 1);
        self.push(Layer::Joined { from: vec![small, large] })
    }

    fn pool(&mut self, from: ValueId) -> ValueId {
        self.push(Layer::Pool { from, kernel: 3, stride: 2 })
    }

    /// A map of fewer channels, of the size of another.
    fn fitted(
        &mut self,
        from: ValueId,
        channels: [usize; 2],
        kernel: usize,
        like: ValueId,
    ) -> ValueId {
        let from = self.conv(from, channels, kernel, 1);
        self.push(Layer::Fitted { from, like })
    }
}

/// The network: a picture of three equal channels, 0 to 1, in; the same with colours out.
///
/// Its first 25 convolutions are SqueezeNet's up to `fire9`, with a border of zeros around the
/// first one, which Caffe's has not.
#[must_use]
pub fn config() -> LayeredConfig {
    const PICTURE: ValueId = 0;
    let mut net = Layers(Vec::new());
    let addend = MEAN.map(|mean| -mean).to_vec();
    let seen = net.push(Layer::Affine { from: PICTURE, factor: vec![255.0], addend });
    let conv1 = net.conv(seen, [3, 64], 3, 2);
    let quarter = net.pool(conv1);
    let fire2 = net.fire(quarter, 64, 16, 64);
    let fire3 = net.fire(fire2, 128, 16, 64);
    let eighth = net.pool(fire3);
    let fire4 = net.fire(eighth, 128, 32, 128);
    let fire5 = net.fire(fire4, 256, 32, 128);
    let sixteenth = net.pool(fire5);
    let fire6 = net.fire(sixteenth, 256, 48, 192);
    let fire7 = net.fire(fire6, 384, 48, 192);
    let fire8 = net.fire(fire7, 384, 64, 256);
    let fire9 = net.fire(fire8, 512, 64, 256);

    // Poolings leave maps of odd sizes: they are fitted to those of the picture's own pixels.
    let eighth = net.push(Layer::Unshuffle { from: PICTURE, factor: 8 });
    let quarter = net.push(Layer::Unshuffle { from: PICTURE, factor: 4 });
    let far = net.fitted(fire9, [512, 96], 3, eighth);
    let near = net.fitted(fire5, [256, 64], 1, eighth);
    let both = net.push(Layer::Joined { from: vec![far, near] });
    let both = net.conv(both, [160, 64], 3, 1);
    let far = net.push(Layer::Enlarged { from: both, factor: 2, smooth: true });
    let near = net.fitted(fire3, [128, 48], 1, quarter);
    let both = net.push(Layer::Joined { from: vec![far, near] });
    let both = net.conv(both, [112, 64], 3, 1);
    let both = net.conv(both, [64, 48], 3, 1);
    let colours = net.linear(both, [48, 3], 3, 1);
    let colours = net.push(Layer::Enlarged { from: colours, factor: 4, smooth: true });
    net.push(Layer::Sum { first: PICTURE, second: colours, factor: 1.0 });
    LayeredConfig { family: FAMILY.to_owned(), channels: 3, layers: net.0, resized: None }
}
