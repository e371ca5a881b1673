//! All kernels and networks against Burn's, or against the plain sum.

use burn::{
    nn::pool::MaxPool2dConfig,
    tensor::{
        DType,
        activation::{prelu, relu, tanh},
        module::conv2d,
        ops::ConvOptions,
    },
};

use super::{
    super::{
        NetworkConfig,
        blocks::{ActivationKind, Interpolation, enlarge, repeated},
        enhancenet::{EnhanceNetConfig, EnhanceNetKind},
        graphics::Graphics,
        residual::{ResidualConfig, Upsampler},
        slots,
        unet::UnetConfig,
    },
    map::{Aligned, Map, Place, Shape},
    output::Output,
    winograd::{After, Layer, Scratch, TILE, Winograd},
    *,
};

pub(super) fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn layer(inputs: usize, outputs: usize, seed: u32) -> Layer {
    let norm = 1.0 / (9.0 * inputs as f32).sqrt();
    Layer {
        inputs,
        outputs,
        weight: noise(outputs * inputs * 9, seed).iter().map(|w| w * norm).collect(),
        bias: noise(outputs, seed + 1),
        after: After::Slope(noise(outputs, seed + 2)),
    }
}

/// The plain sum in double precision.
fn expected(
    layer: &Layer,
    input: &[f32],
    residual: &[f32],
    height: usize,
    width: usize,
) -> Vec<f32> {
    let mut result = Vec::new();
    for output in 0..layer.outputs {
        for y in 0..height {
            for x in 0..width {
                let mut sum = f64::from(layer.bias[output]);
                for channel in 0..layer.inputs {
                    for k in 0..9 {
                        let (sy, sx) = ((y + k / 3).wrapping_sub(1), (x + k % 3).wrapping_sub(1));
                        if sy < height && sx < width {
                            let value = input[(channel * height + sy) * width + sx];
                            let weight = layer.weight[(output * layer.inputs + channel) * 9 + k];
                            sum += f64::from(value) * f64::from(weight);
                        }
                    }
                }
                if let (true, After::Slope(slopes)) = (sum < 0.0, &layer.after) {
                    sum *= f64::from(slopes[output]);
                }
                let place = (output * height + y) * width + x;
                result.push(sum as f32 + residual[place]);
            }
        }
    }
    result
}

fn check_kernel<S: Isa>() {
    if !S::available() {
        return; // `every_available_set_is_tested` counts those that are.
    }
    let sizes = [
        (3, 48, 5, 9),
        (48, 48, 13, 31),
        (64, 64, 8, 12),
        (64, 48, 4, 4),
        (32, 16, 1, 3),
        (16, 32, 7, 1),
        (28, 50, 9, 10),
        (5, 3, 6, 17),
        (1, 1, 1, 1),
    ];
    for (seed, (inputs, outputs, height, width)) in (1..).zip(sizes) {
        let layer = layer(inputs, outputs, seed);
        let input = noise(inputs * height * width, 77);
        let residual = noise(outputs * height * width, 78);
        let map = |channels, values: &[f32]| {
            let (images, lanes, border, tile) = (1, S::LANES, 1, TILE);
            let shape = Shape { images, channels, height, width, lanes, border, tile };
            let mut map = Map::zeroed(&shape);
            map.fill::<S>(values, &Place { height, first: 0, images: 1, rows: 0..height });
            map
        };
        let from = map(inputs, &input);
        // Added in place, as the body of a network does.
        let to = map(outputs, &residual);
        let kernel = Winograd::<S>::new(&layer, Aligned::zeroed);
        // SAFETY: availability was asked for, and nobody else uses the maps.
        unsafe {
            let output = Output::plain(&to, Some(&to));
            kernel.run(&from, output, 0..to.tiles(), &mut Scratch::new());
        }
        let expected = expected(&layer, &input, &residual, height, width);
        let mut inside = 0.0;
        for (i, expected) in expected.iter().enumerate() {
            let (channel, place) = (i / (height * width), i % (height * width));
            let got = to.data.slice()[to.index(channel, place / width, place % width)];
            assert!((got - expected).abs() < 1e-5, "{} {i}: {got} {expected}", S::NAME);
            inside += f64::from(got.abs());
        }
        let total: f64 = to.data.slice().iter().map(|value| f64::from(value.abs())).sum();
        assert!((total - inside).abs() <= 1e-6 * total, "the border was written to");
    }
}

#[test]
fn every_available_set_computes_the_plain_sum() {
    check_kernel::<Portable>();
    #[cfg(target_arch = "x86_64")]
    {
        check_kernel::<simd::Avx2>();
        check_kernel::<simd::Avx512>();
    }
    #[cfg(target_arch = "aarch64")]
    check_kernel::<simd::Neon>();
}

fn tensor(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn filter(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Filter {
    let area = kernel * kernel;
    let norm = 1.0 / ((area * inputs) as f32).sqrt();
    let seed = (inputs * 7 + outputs * 3 + area) as u32;
    Filter {
        inputs,
        outputs,
        kernel,
        stride,
        weight: noise(outputs * inputs * area, seed).iter().map(|w| w * norm).collect(),
        bias: noise(outputs, seed + 1),
        slope: Some(noise(outputs, seed + 2)),
    }
}

/// What Burn makes of it, without the activation.
fn convolved(filter: &Filter, input: Tensor<4>) -> Tensor<4> {
    let Filter { inputs, outputs, kernel, stride, .. } = *filter;
    let weight = tensor(filter.weight.clone(), [outputs, inputs, kernel, kernel]);
    let bias = TensorData::new(filter.bias.clone(), [outputs]);
    let bias = Tensor::<1>::from_data(bias, &Device::flex());
    let pad = kernel / 2;
    let options = ConvOptions::new([stride; 2], [pad; 2], [1; 2], 1);
    conv2d(input, weight, Some(bias), options)
}

fn sloped(filter: &Filter, sums: Tensor<4>) -> Tensor<4> {
    match &filter.slope {
        Some(slope) => {
            let slope = TensorData::new(slope.clone(), [slope.len()]);
            prelu(sums, Tensor::<1>::from_data(slope, &Device::flex()))
        }
        None => sums,
    }
}

fn shuffled(input: Tensor<4>, factor: usize) -> Tensor<4> {
    burn::nn::PixelShuffleConfig::new(factor).init().forward(input)
}

/// The sizes at which every kind of layer is compared.
const SIZES: [[usize; 2]; 4] = [[1, 1], [5, 7], [33, 31], [8, 64]];

/// That a graph of three inputs and outputs gives on every instruction set what Burn gives.
fn check(name: &str, graph: &Graph, expected: impl Fn(Tensor<4>) -> Tensor<4>) {
    for [height, width] in SIZES {
        let input = noise(graph.inputs * height * width, 11);
        let answer = expected(tensor(input.clone(), [1, graph.inputs, height, width]));
        let answer = answer.into_data().try_into_vec::<f32>().unwrap();
        for set in InstructionSet::available() {
            let got = Direct::with(graph.clone(), set, 2).run(&input, height, width);
            let what = format!("{name}, {set:?}, {height}x{width}");
            assert_eq!(got.len(), answer.len(), "{what}");
            let worst = worst(&got, &answer);
            assert!(worst < 2e-5, "{what}: {worst}");
        }
        let graphics = Graphics::with(graph, &Device::flex(), DType::F32);
        let got = graphics.forward(tensor(input, [1, graph.inputs, height, width]));
        let got = got.into_data().try_into_vec::<f32>().unwrap();
        let worst = worst(&got, &answer);
        assert!(got.len() == answer.len() && worst < 2e-5, "{name}, {height}x{width}: {worst}");
    }
}

fn worst(one: &[f32], other: &[f32]) -> f32 {
    let differences = one.iter().zip(other).map(|(a, b)| (a - b).abs());
    // `max` alone would pass over what is no number.
    differences.fold(0.0, |worst, next| if worst.is_nan() || next <= worst { worst } else { next })
}

fn plain(inputs: usize) -> (Graph, Value) {
    let mut graph = Graph::new(inputs, 1);
    let picture = graph.picture(vec![1.0; inputs], vec![0.0; inputs]);
    (graph, picture)
}

#[test]
fn every_kind_of_convolution_is_that_of_burn() {
    for (kernel, stride, middle, last) in [
        (1, 1, 20, 3),
        (3, 1, 16, 5),
        (7, 2, 9, 7),
        (9, 1, 33, 9),
        (5, 1, 48, 5),
        (1, 2, 70, 1),
        (3, 2, 64, 3),
    ] {
        let inputs = if stride == 2 { 4 } else { 3 };
        let (mut graph, picture) = plain(inputs);
        // From planes, between blocks, and to few outputs.
        let filters = [
            filter(inputs, middle, kernel, 1),
            filter(middle, 50, kernel, stride),
            filter(50, if stride == 2 { 12 } else { 3 }, last, 1),
        ];
        let mut value = picture;
        for filter in &filters {
            value = graph.conv(value, filter.clone(), Beside::NOTHING);
        }
        if stride == 2 {
            // Sizes that are odd come back too large.
            let graph = graph.finished(value, 1, 2, None);
            let [height, width] = [22, 18];
            let input = noise(4 * height * width, 3);
            let expected = filters
                .iter()
                .fold(tensor(input.clone(), [1, 4, height, width]), |input, filter| {
                    sloped(filter, convolved(filter, input))
                });
            let expected = shuffled(expected, 2).into_data().try_into_vec::<f32>().unwrap();
            for set in InstructionSet::available() {
                let got = Direct::with(graph.clone(), set, 2).run(&input, height, width);
                assert!(worst(&got, &expected) < 2e-5, "{kernel}x{kernel} by 2, {set:?}");
            }
            continue;
        }
        let graph = graph.finished(value, 1, 1, None);
        check(&format!("{kernel}x{kernel}"), &graph, |input| {
            filters.iter().fold(input, |input, filter| sloped(filter, convolved(filter, input)))
        });
    }
}

#[test]
fn what_stands_beside_a_convolution_is_that_of_burn() {
    let (mut graph, picture) = plain(3);
    let (head, early, late) = (filter(3, 21, 3, 1), filter(21, 21, 3, 1), filter(21, 21, 1, 1));
    let (up, tail) = (filter(21, 4 * 21, 3, 1), filter(21, 3, 9, 1));
    let (small, repeating) = (filter(21, 40, 3, 1), filter(40, 3, 9, 1));
    let first = graph.conv(picture, head.clone(), Beside::NOTHING);
    let second = graph.conv(first, early.clone(), Beside::plus_early(first));
    let third = graph.conv(second, late.clone(), Beside::plus(first));
    let fourth = graph.conv(third, up.clone(), Beside::shuffled(2, 0));
    // Repeated before a convolution for the next kernel, and before a tail.
    let fifth = graph.conv(fourth, small.of_repeated(), Beside::shuffled(2, 0));
    let sixth = graph.conv(fifth, repeating.of_repeated(), Beside::NOTHING);
    let one = graph.clone().finished(sixth, 8, 2, None).through_tanh();
    check("repeated", &one, |input| {
        let first = sloped(&head, convolved(&head, input));
        let second = sloped(&early, convolved(&early, first.clone()) + first.clone());
        let third = sloped(&late, convolved(&late, second)) + first;
        let fourth = shuffled(sloped(&up, convolved(&up, third)), 2);
        let fifth = sloped(&small, convolved(&small, repeated(fourth, 2)));
        let sixth = sloped(&repeating, convolved(&repeating, repeated(fifth, 2)));
        (tanh(sixth) + 1.0) / 2.0
    });

    for by in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
        let mut graph = graph.clone();
        let answer = graph.conv(fourth, tail.clone(), Beside::NOTHING);
        let graph = graph.finished(answer, 2, 1, Some(by));
        check("onto the picture", &graph, |input| {
            let first = sloped(&head, convolved(&head, input.clone()));
            let second = sloped(&early, convolved(&early, first.clone()) + first.clone());
            let third = sloped(&late, convolved(&late, second)) + first;
            let fourth = shuffled(sloped(&up, convolved(&up, third)), 2);
            sloped(&tail, convolved(&tail, fourth)) + enlarge(input, 2, by)
        });
    }
}

#[test]
fn pooling_blur_and_joined_channels_are_those_of_burn() {
    let mut graph = Graph::new(3, 4);
    let picture = graph.picture(vec![2.0, 3.0, 4.0], vec![0.5, 0.0, -1.0]);
    let (head, up) = (filter(3, 19, 3, 1), filter(19, 4 * 13, 1, 1));
    let tail = filter(13 + 19 + 3, 3, 1, 1);
    let first = graph.conv(picture, head.clone(), Beside::NOTHING);
    let pooled = graph.pool(first);
    let high = graph.conv(pooled, up.clone(), Beside::shuffled(2, 0));
    let joined = graph.blur(high, 19 + 3);
    graph.normed_relu_into(first, None, joined, 13).unwrap();
    let numbers = (vec![1.0; 3], vec![0.25; 3]);
    graph.picture_into(joined, 13 + 19, (1, Interpolation::Bilinear), numbers);
    let answer = graph.conv(joined, tail.clone(), Beside::NOTHING);
    let graph = graph.finished(answer, 1, 1, None);
    check("joined", &graph, |input| {
        let [_, _, height, width] = input.dims();
        let missing = |side: usize| side.next_multiple_of(4) - side;
        let input = crate::net::blocks::continued(input, [0, missing(width), 0, missing(height)]);
        let numbers = |values: [f32; 3]| tensor(values.to_vec(), [1, 3, 1, 1]);
        let scaled = input.clone() * numbers([2.0, 3.0, 4.0]) + numbers([0.5, 0.0, -1.0]);
        let first = sloped(&head, convolved(&head, scaled));
        let pool = MaxPool2dConfig::new([3, 3])
            .with_strides([2, 2])
            .with_padding(burn::nn::PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init();
        let high = shuffled(sloped(&up, convolved(&up, pool.forward(first.clone()))), 2);
        let high = crate::net::blocks::blurred(high);
        let joined = Tensor::cat(vec![high, relu(first), input + 0.25], 1);
        let answer = sloped(&tail, convolved(&tail, joined));
        answer.narrow(2, 0, height).narrow(3, 0, width)
    });
}

/// A network with numbers that are none of the defaults, in its normalisations too.
fn drawn(config: &NetworkConfig) -> Network {
    let device = Device::flex();
    let network = config.init(&device);
    let shapes = slots::of(&network);
    slots::filled(network, &device, |path| {
        let number = shapes.iter().position(|slot| slot.path == path)?;
        let slot = &shapes[number];
        let values = noise(slot.len(), number as u32 + 1);
        let fan_in: usize = slot.shape.iter().skip(1).product();
        Some(match slot.shape.len() {
            4 => values.iter().map(|v| 1.2 * v / (fan_in as f32).sqrt()).collect(),
            _ if path.ends_with("running_var") => values.iter().map(|v| 1.0 + 0.5 * v).collect(),
            _ if path.ends_with("weight") => values.iter().map(|v| 0.7 + 0.3 * v).collect(),
            _ => values.iter().map(|v| 0.2 * v).collect(),
        })
    })
}

fn tiny() -> Vec<NetworkConfig> {
    let mut configs = Vec::new();
    for (activation, upsampler, batch_norm) in [
        (ActivationKind::Relu, Upsampler::Direct, false),
        (ActivationKind::LeakyRelu { slope: 0.2 }, Upsampler::Direct, true),
        (ActivationKind::PRelu, Upsampler::SubPixel, true),
        (ActivationKind::PReluPerChannel, Upsampler::SubPixel, false),
        (ActivationKind::PReluPerChannel, Upsampler::Direct, false),
    ] {
        let (channels, blocks, scale) = (20, 3, 4);
        configs.push(NetworkConfig::Residual(ResidualConfig {
            channels,
            blocks,
            batch_norm,
            activation,
            upsampler,
            scale,
            ..ResidualConfig::starter()
        }));
    }
    for marked in [false, true] {
        let usual = ResidualConfig { channels: 20, blocks: 1, ..ResidualConfig::mender() };
        configs.push(NetworkConfig::Residual(ResidualConfig { marked, ..usual }));
    }
    for (stride, scale) in [(2, 1), (2, 2), (4, 1)] {
        let usual = ResidualConfig { channels: 20, blocks: 2, ..ResidualConfig::starter() };
        configs.push(NetworkConfig::Residual(ResidualConfig { stride, scale, ..usual }));
    }
    for (scale, mask, batch_norm, width) in
        [(1, false, true, 4), (1, true, false, 12), (2, false, true, 8), (4, false, false, 16)]
    {
        let blocks = [1, 2, 1, 1];
        let marked = width == 12;
        let config = UnetConfig { width, blocks, batch_norm, scale, mask, marked };
        configs.push(NetworkConfig::Unet(config));
    }
    for kind in [EnhanceNetKind::Residual, EnhanceNetKind::BicubicSkip, EnhanceNetKind::Plain] {
        configs.push(NetworkConfig::EnhanceNet(EnhanceNetConfig { kind, channels: 18, blocks: 2 }));
    }
    configs
}

fn answer(network: &dyn Generator, count: usize, height: usize, width: usize) -> Vec<f32> {
    let channels = network.inputs();
    let input = noise(count * channels * height * width, 5);
    let input = input.iter().map(|value| 0.5 + 0.5 * value).collect();
    let answer = network.forward(tensor(input, [count, channels, height, width]));
    answer.into_data().try_into_vec::<f32>().unwrap()
}

fn compare(config: &NetworkConfig, sizes: &[(usize, usize)]) {
    let network = drawn(config);
    for (height, width) in sizes.iter().copied() {
        let expected = answer(&network, 2, height, width);
        let largest = worst(&expected, &vec![0.0; expected.len()]);
        assert!((0.01..100.0).contains(&largest), "{config:?}: {largest}");
        for set in InstructionSet::available() {
            let direct = Direct::on(&network, set, 2).unwrap();
            assert_eq!(direct.scale(), network.scale());
            let got = answer(&direct, 2, height, width);
            assert_eq!(got.len(), expected.len());
            let worst = worst(&got, &expected) / largest.max(1.0);
            assert!(worst < 1e-4, "{config:?}, {set:?}, {height}x{width}: {worst}");
        }
        for (numbers, most) in [(DType::F32, 1e-4), (DType::F16, 0.05)] {
            let graphics = Graphics::of(&network, &Device::flex(), numbers).unwrap();
            assert_eq!(graphics.scale(), network.scale());
            let got = answer(&graphics, 2, height, width);
            assert_eq!(got.len(), expected.len());
            let worst = worst(&got, &expected) / largest.max(1.0);
            assert!(worst < most, "{config:?}, {numbers:?}, {height}x{width}: {worst}");
        }
    }
}

#[test]
fn networks_answer_as_with_burn() {
    for config in tiny() {
        compare(&config, &[(1, 1), (2, 9), (23, 31)]);
    }
}

#[test]
fn networks_of_full_size_answer_as_with_burn() {
    compare(&NetworkConfig::SrganKeras, &[(9, 13)]);
    compare(&NetworkConfig::Residual(ResidualConfig::srgan()), &[(9, 13)]);
    compare(&NetworkConfig::Unet(UnetConfig::full()), &[(33, 64)]);
    let paper = EnhanceNetConfig::paper(EnhanceNetKind::BicubicSkip);
    compare(&NetworkConfig::EnhanceNet(paper), &[(9, 13)]);
}

#[test]
fn neither_the_threads_nor_their_order_change_a_bit() {
    for config in tiny() {
        let network = drawn(&config);
        for set in InstructionSet::available() {
            let one = answer(&Direct::on(&network, set, 1).unwrap(), 1, 70, 33);
            for threads in [2, 3, 7] {
                let several = answer(&Direct::on(&network, set, threads).unwrap(), 1, 70, 33);
                assert!(one == several, "{config:?}, {set:?}, {threads} threads");
            }
            let direct = Direct::on(&network, set, 2).unwrap();
            direct.plan.lock().unwrap().reverse();
            assert!(one == answer(&direct, 1, 70, 33), "{config:?}, {set:?}, backwards");
        }
    }
}

#[test]
fn another_size_before_changes_nothing() {
    // Maps of different sizes share memory: what one leaves behind must not be seen.
    for config in tiny() {
        let network = drawn(&config);
        let direct = Direct::of(Box::new(network)).unwrap();
        let first = answer(&direct, 1, 21, 34);
        let _larger = answer(&direct, 1, 40, 37);
        assert!(first == answer(&direct, 1, 21, 34), "{config:?}");
        assert!(first == answer(&direct, 1, 21, 34), "{config:?}");
    }
}
