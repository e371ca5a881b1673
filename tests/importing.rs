//! Models of others. The files in `fixtures/models` and their answers were made by other programs;
//! see the script there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor, TensorData};
use pixmend::{
    Error,
    model::{Model, tensors},
    net::{Generator, NetworkConfig, Reach},
};

use crate::support::{pixmend, stderr};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

/// The picture of the script, `[1, 3, h, w]`.
fn picture(height: usize, width: usize) -> Tensor<4> {
    let value = |at: usize| {
        let (c, y, x) = (at / (height * width), at / width % height, at % width);
        let (c, y, x) = (c as f32, y as f32, x as f32);
        0.5 + 0.3 * (x * (0.11 + 0.03 * c)).sin() * (y * 0.13 + c).cos()
    };
    let values: Vec<f32> = (0..3 * height * width).map(value).collect();
    Tensor::from_data(TensorData::new(values, [1, 3, height, width]), &Device::flex())
}

fn numbers(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn worst(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// File, family, scale, height and width of its picture, and whether it runs on our own kernels.
type Case = (&'static str, &'static str, u32, [usize; 2], bool);

const CASES: [Case; 27] = [
    ("esrgan-old-4x.pth", "ESRGAN", 4, [9, 7], true),
    ("esrgan-old-2x.pth", "ESRGAN", 2, [9, 7], true),
    ("esrgan-grey-2x.pth", "ESRGAN", 2, [9, 7], true),
    ("esrgan-old-8x.pth", "ESRGAN", 8, [6, 5], true),
    ("esrgan-old-1x.pth", "ESRGAN", 1, [9, 7], true),
    ("esrgan-plus-2x.pth", "ESRGAN", 2, [9, 7], true),
    ("esrgan-new-4x.pth", "ESRGAN", 4, [9, 7], true),
    ("esrgan-newer-4x.safetensors", "ESRGAN", 4, [9, 7], true),
    ("esrgan-unshuffle-2x.pth", "ESRGAN", 2, [8, 12], true),
    ("esrgan-unshuffle-1x.pth", "ESRGAN", 1, [8, 12], true),
    ("esrgan-ncnn-2x.param", "ESRGAN", 2, [8, 12], true),
    ("compact-prelu-4x.pth", "Compact", 4, [9, 7], true),
    ("compact-prelu-1x.pth", "Compact", 1, [9, 7], true),
    ("compact-relu-2x.pth", "Compact", 2, [9, 7], true),
    ("compact-leakyrelu-2x.pth", "Compact", 2, [9, 7], true),
    ("compact-ncnn-3x.bin", "Compact", 3, [8, 12], true),
    ("span-norm-2x.pth", "SPAN", 2, [9, 7], false),
    ("span-plain-2x.pth", "SPAN", 2, [9, 7], false),
    ("dncnn.pth", "DnCNN", 1, [9, 7], true),
    ("dncnn-grey.pth", "DnCNN", 1, [9, 7], true),
    ("msrresnet-4x.pth", "MSRResNet", 4, [9, 7], true),
    ("msrresnet-3x.pth", "MSRResNet", 3, [9, 7], true),
    ("msrresnet-2x.pth", "MSRResNet", 2, [9, 7], true),
    ("srresnet-tanh-2x.pth", "SRResNet", 2, [9, 7], true),
    ("srresnet-plain-2x.pth", "SRResNet", 2, [9, 7], true),
    ("rlfn-255-2x.pth", "RLFN", 2, [24, 20], false),
    ("rlfn-1-2x.pth", "RLFN", 2, [24, 20], false),
];

#[test]
fn every_architecture_answers_as_the_program_it_comes_from() {
    let cases = CASES.into_iter().chain([("rfdn-2x.pth", "RFDN", 2, [24, 20], false)]);
    for (file, family, scale, [height, width], own) in cases {
        let path = fixtures().join(file);
        let model = Model::open(&path).unwrap();
        let NetworkConfig::Layered(config) = model.config() else { panic!("{file}") };
        assert_eq!((config.family.as_str(), model.scale()), (family, scale), "{file}");
        let expected = floats(&path.with_extension("f32"));
        let device = Device::flex();
        let burn = numbers(model.trainable(&device).unwrap().forward(picture(height, width)));
        let network = model.on(&device).unwrap();
        let answer = numbers(network.forward(picture(height, width)));
        assert_eq!(network.kernels() != "Burn", own, "{file}: {}", network.kernels());
        // Grey networks were asked with the three colours one after the other.
        assert!(worst(&burn, &expected) < 1e-4, "{file}: {}", worst(&burn, &expected));
        assert!(worst(&answer, &expected) < 1e-4, "{file}: {}", worst(&answer, &expected));
    }
}

#[test]
fn a_window_with_its_reach_around_it_gives_what_the_whole_picture_gives() {
    for (file, _, scale, ..) in CASES {
        let network = Model::open(&fixtures().join(file)).unwrap().on(&Device::flex()).unwrap();
        let Reach::Pixels(reach) = network.reach() else { continue };
        let (reach, grid, scale) = (reach as usize, network.grid() as usize, scale as usize);
        let first = grid * 2;
        let margin = reach.next_multiple_of(grid);
        let side = first + 2 * margin + 8 + grid;
        let whole = picture(side, side);
        let window = whole.clone().narrow(2, first, side - first).narrow(3, first, side - first);
        let inner = |answer: Tensor<4>, begin: usize| {
            let (begin, length) = (begin * scale, 8 * scale);
            numbers(answer.narrow(2, begin, length).narrow(3, begin, length))
        };
        let expected = inner(network.forward(whole), first + margin);
        let cut = inner(network.forward(window), margin);
        assert!(worst(&cut, &expected) < 1e-5, "{file}: {}", worst(&cut, &expected));
    }
}

#[test]
fn an_imported_model_is_kept_used_and_removed_by_its_name() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = pixmend();
        command.env("XDG_DATA_HOME", home.path()).env("HOME", home.path());
        command.env("APPDATA", home.path()).args(arguments).output().unwrap()
    };
    let file = fixtures().join("compact-prelu-4x.pth");
    let file = file.to_str().unwrap();
    let added = run(&["models", "import", file, "--json"]);
    assert!(added.status.success(), "{}", stderr(&added));
    let said = String::from_utf8(added.stdout).unwrap();
    assert!(said.contains(r#""name":"compact-prelu-4x""#) && said.contains("Compact"), "{said}");

    let listed = String::from_utf8(run(&["models", "list"]).stdout).unwrap();
    assert!(listed.contains("compact-prelu-4x: Compact"), "{listed}");
    let shown = run(&["models", "show", "compact-prelu-4x", "--json"]);
    assert!(String::from_utf8(shown.stdout).unwrap().contains(r#""family":"Compact""#));

    let again = run(&["models", "import", file]);
    assert!(!again.status.success() && stderr(&again).contains("exists"), "{}", stderr(&again));
    assert!(run(&["models", "import", file, "--overwrite"]).status.success());

    let source = home.path().join("photo.png");
    image::RgbImage::from_fn(20, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 80]))
        .save(&source)
        .unwrap();
    let output = home.path().join("large.png");
    let (source, output) = (source.to_str().unwrap(), output.to_str().unwrap());
    let enlarged =
        run(&["upscale", source, "-o", output, "--model", "compact-prelu-4x", "--device", "cpu"]);
    assert!(enlarged.status.success(), "{}", stderr(&enlarged));
    assert_eq!(image::image_dimensions(output).unwrap(), (80, 64));

    let exported = home.path().join("out.safetensors");
    let to = exported.to_str().unwrap();
    assert!(run(&["models", "export", "compact-prelu-4x", "--to", to]).status.success());
    assert!(Model::open(&exported).is_ok());

    assert!(run(&["models", "remove", "compact-prelu-4x"]).status.success());
    let gone = run(&["models", "show", "compact-prelu-4x"]);
    assert!(!gone.status.success());
    let shipped = run(&["models", "remove", "starter"]);
    assert!(stderr(&shipped).contains("comes with Pixmend"), "{}", stderr(&shipped));
    // A name is no path.
    let outside = run(&["models", "remove", "../photo"]);
    assert!(!outside.status.success() && Path::new(source).exists());
}

#[test]
fn a_folder_is_imported_and_what_fails_in_it_is_named() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("models of mine");
    fs::create_dir(&folder).unwrap();
    for file in ["compact-ncnn-3x.param", "compact-ncnn-3x.bin", "dncnn.pth"] {
        fs::copy(fixtures().join(file), folder.join(file)).unwrap();
    }
    fs::copy(fixtures().join("make.py"), folder.join("broken.pth")).unwrap();
    let mut command = pixmend();
    command.env("XDG_DATA_HOME", home.path()).env("HOME", home.path());
    let output = command.args(["models", "import"]).arg(&folder).output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(said.contains("compact-ncnn-3x") && said.contains("dncnn"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(!output.status.success() && stderr(&output).contains("broken.pth"));
}

/// The sentence with which a file is refused.
fn refused(path: &Path) -> String {
    let error = Model::open(path).unwrap_err();
    assert!(matches!(error, Error::Model { .. }), "{error}");
    let sentence = error.sentence();
    assert!(!sentence.contains('\n'), "{sentence}");
    sentence
}

/// A `.safetensors` file of tensors of one value.
fn written(path: &Path, tensors: &[(&str, &[usize], f32)]) {
    use safetensors::{Dtype, serialize, tensor::TensorView};
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape, value)| value.to_le_bytes().repeat(shape.iter().product()))
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    fs::OpenOptions::new().create(true).write(true).truncate(true).open(path).unwrap();
    let whole = serialize(views, None).unwrap();
    std::io::Write::write_all(&mut fs::File::create(path).unwrap(), &whole).unwrap();
}

#[test]
fn what_is_not_supported_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    for (mark, name) in [
        ("layers.0.residual_group.blocks.0.attn.relative_position_index", "SwinIR"),
        ("before_RG.1.weight", "DAT"),
        ("feats.1.lk.conv.weight", "RealPLKSR"),
        ("residual_layer.0.residual_layer.0.layer.0.fn.0.weight", "OmniSR"),
    ] {
        written(&path, &[("conv_first.weight", &[2, 3, 3, 3], 0.1), (mark, &[4], 0.1)]);
        assert!(refused(&path).contains(&format!("{name} is not supported yet")));
    }
    written(&path, &[("fc.weight", &[10, 20], 0.1)]);
    assert!(refused(&path).contains("none of the architectures"));
}

#[test]
fn weights_that_fit_no_network_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    let compact = |first: &[usize], last: &[usize], value: f32| {
        written(
            &path,
            &[
                ("body.0.weight", first, value),
                ("body.0.bias", &[first[0].min(64)], 0.0),
                ("body.2.weight", last, value),
                ("body.2.bias", &last[..1], 0.0),
            ],
        );
    };
    compact(&[8, 3, 3, 3], &[12, 8, 3, 3], 0.001);
    assert_eq!(Model::open(&path).unwrap().scale(), 2);
    compact(&[8, 3, 3, 3], &[12, 9, 3, 3], 0.001);
    assert!(refused(&path).contains("another number of channels"));
    compact(&[8, 3, 3, 3], &[13, 8, 3, 3], 0.001);
    assert!(refused(&path).contains("no enlarged picture"));
    compact(&[8, 3, 3, 3], &[12, 8, 3, 3], f32::NAN);
    assert!(refused(&path).contains("no numbers"));
    compact(&[8, 3, 3, 3], &[12, 8, 3, 3], 5.0);
    assert!(refused(&path).contains("another picture"));
    compact(&[8, 0, 3, 3], &[12, 8, 3, 3], 0.001);
    assert!(refused(&path).contains("extent out of range"));
    // No number at all, and yet it would want a bias for each of its channels.
    compact(&[1 << 30, 0, 3, 3], &[12, 8, 3, 3], 0.001);
    assert!(refused(&path).contains("out of range"));
    written(
        &path,
        &[
            ("body.0.weight", &[8, 3, 3, 3], 0.001),
            ("body.2.weight", &[12, 8, 3, 3], 0.001),
            ("extra.weight", &[1], 0.0),
        ],
    );
    assert!(refused(&path).contains("extra.weight"));
}

/// A random number that depends on the seed alone.
fn lot(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// A file with some bytes changed, moved or left out.
fn mutated(whole: &[u8], seed: &mut u64) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    // Headers are where the harm is: half of the places lie among the first and last bytes.
    let place = |length: usize, seed: &mut u64| match lot(seed) % 4 {
        0 => lot(seed) as usize % length.min(400),
        1 => length - 1 - lot(seed) as usize % length.min(400),
        _ => lot(seed) as usize % length,
    };
    for _ in 0..1 + lot(seed) % 6 {
        let at = place(bytes.len(), seed);
        match lot(seed) % 6 {
            0 => bytes[at] = lot(seed) as u8,
            1 => bytes[at] ^= 1 << (lot(seed) % 8),
            2 => bytes[at] = [0, 0xFF, 0x7F, 0x80, b'9', b'-'][lot(seed) as usize % 6],
            3 => bytes.truncate(at.max(1)),
            4 => {
                let count = (1 + lot(seed) as usize % 16).min(bytes.len() - at);
                let from = place(bytes.len() - count + 1, seed);
                bytes.copy_within(from..from + count, at);
            }
            _ => {
                let more: Vec<u8> = (0..lot(seed) % 9).map(|_| lot(seed) as u8).collect();
                bytes.splice(at..at, more);
            }
        }
    }
    bytes
}

#[test]
fn ten_thousand_damaged_files_of_each_kind_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (file, other) in [
        ("compact-relu-2x.pth", None),
        ("esrgan-old-2x.pth", None),
        ("esrgan-newer-4x.safetensors", None),
        ("compact-ncnn-3x.param", Some("compact-ncnn-3x.bin")),
        ("compact-ncnn-3x.bin", Some("compact-ncnn-3x.param")),
    ] {
        let whole = fs::read(fixtures().join(file)).unwrap();
        if let Some(other) = other {
            fs::copy(fixtures().join(other), folder.path().join(other)).unwrap();
        }
        let path = folder.path().join(file);
        let (mut seed, mut read) = (file.len() as u64, 0);
        for round in 0..10_000 {
            let bytes = mutated(&whole, &mut seed);
            std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), &bytes).unwrap();
            // What is read becomes a network now and then, which takes longer.
            let sound = if round % 100 == 0 {
                Model::open(&path).map(drop)
            } else {
                tensors::open(&path).and_then(|tensors| {
                    tensors.values().try_for_each(|tensor| tensor.values().map(drop))
                })
            };
            match sound {
                Ok(()) => read += 1,
                Err(error) => assert!(!error.sentence().contains('\n'), "{file}, {round}: {error}"),
            }
        }
        assert!((1..10_000).contains(&read), "{file}: {read} were read");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn lies_about_sizes_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("liar.safetensors");
    let lie = |header: &str| {
        let bytes =
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 64]].concat();
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), &bytes).unwrap();
    };
    let layers = |inner: &str| {
        let network = format!(
            r#"{{"architecture":"layered","family":"liar","channels":3,"layers":[{inner}]}}"#
        );
        let text = serde_json::to_string(&network).unwrap();
        format!(r#"{{"__metadata__":{{"network":{text}}}}}"#)
    };
    let conv = r#"{"layer":"conv","from":0,"inputs":3,"outputs":65536,"kernel":63,"stride":1,"padding":31}"#;
    for header in [
        r#"{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}"#
            .to_owned(),
        r#"{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,16]}}"#.to_owned(),
        layers(conv),
        layers(&vec![r#"{"layer":"shuffle","from":0,"factor":16}"#; 20_000].join(",")),
        layers(
            r#"{"layer":"joined","from":[0,0,0,0,0,0,0,0]},{"layer":"conv","from":7,"inputs":1,"outputs":1,"kernel":1,"stride":1,"padding":0}"#,
        ),
        layers(r#"{"layer":"enlarged","from":0,"factor":4000000000,"smooth":true}"#),
        layers(concat!(
            r#"{"layer":"enlarged","from":0,"factor":16,"smooth":false},"#,
            r#"{"layer":"joined","from":[1,1,1,1,1,1,1,1]},{"layer":"joined","from":[2,2,2,2,2,2,2,2]},"#,
            r#"{"layer":"joined","from":[3,3,3,3,3,3,3,3]},{"layer":"sum","first":1,"second":1,"factor":1.0}"#
        )),
    ] {
        lie(&header);
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", "ulimit -v 1048576; exec \"$0\" models show \"$1\""]);
        let output = limited.arg(env!("CARGO_BIN_EXE_pixmend")).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}: {}", &header[..60], stderr(&output));
        assert_eq!(stderr(&output).trim().lines().count(), 1, "{}", stderr(&output));
    }
    // A file of 50 GB, all of it a hole.
    let huge = folder.path().join("huge.pth");
    fs::File::create(&huge).unwrap().set_len(50 << 30).unwrap();
    assert!(refused(&huge).contains("larger than any model"));
}

#[test]
#[ignore = "needs PIXMEND_DATA"]
fn published_models_answer_as_published() {
    let data = PathBuf::from(std::env::var_os("PIXMEND_DATA").unwrap()).join("weights");
    let npy = |name: &str| {
        let bytes = fs::read(data.join(format!("golden/{name}.npy"))).unwrap();
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let numbers = bytes[10 + header..].as_chunks().0;
        numbers.iter().map(|four| f32::from_le_bytes(*four)).collect::<Vec<f32>>()
    };
    let input = image::open(data.join("golden/input_rgb48x40.png")).unwrap().into_rgb8();
    let colours = |picture: &image::RgbImage| {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let values: Vec<f32> = (0..3)
            .flat_map(|c| picture.pixels().map(move |pixel| f32::from(pixel.0[c]) / 255.0))
            .collect();
        Tensor::from_data(TensorData::new(values, [1, 3, height, width]), &Device::flex())
    };
    let grey = Tensor::<1>::from_floats(&npy("input_gray48x40")[..], &Device::flex());
    let grey = grey.reshape([1, 1, 40, 48]).expand([1, 3, 40, 48]);
    for (file, golden, is_grey) in [
        ("upscayl-lite-4x.param", "upscayl-lite-4x", false),
        ("upscayl-lite-4x.fp16.safetensors", "upscayl-lite-4x", false),
        ("realesr-animevideov3-x4.bin", "realesr-animevideov3-x4", false),
        ("team00_rlfn.pth", "team00_rlfn", false),
        ("leftthomas_netG_epoch_4_100_6441e5b8.pth", "leftthomas_netG_epoch_4_100_6441e5b8", false),
        ("dncnn_25.pth", "dncnn_25", true),
        ("dncnn3.safetensors", "dncnn3", true),
    ] {
        let model = Model::open(&data.join(file)).unwrap();
        let network = model.on(&Device::flex()).unwrap();
        let input = if is_grey { grey.clone() } else { colours(&input) };
        let answer = numbers(network.forward(input));
        let expected = npy(golden);
        let worst = worst(&answer[..expected.len()], &expected);
        assert!(worst < 1e-3, "{file}: {worst}");
    }
    for scale in [4, 3, 2] {
        let model = Model::open(&data.join(format!("realesr-animevideov3-x{scale}.param")));
        let network = model.unwrap().on(&Device::flex()).unwrap();
        for name in ["img_003", "img_005"] {
            let golden = data.join("golden/ncnn");
            let input = image::open(golden.join(format!("{name}.png"))).unwrap().into_rgb8();
            let expected = golden.join(format!("realesr-animevideov3-x{scale}__{name}.png"));
            let expected = image::open(expected).unwrap().into_rgb8();
            let answer = numbers(network.forward(colours(&input)));
            let area = (expected.width() * expected.height()) as usize;
            let level = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
            let far = expected.pixels().enumerate().flat_map(|(at, pixel)| {
                (0..3).map(move |c| (at, c, pixel.0[c])).collect::<Vec<_>>()
            });
            let far = far.map(|(at, c, theirs)| level(answer[c * area + at]).abs_diff(theirs));
            let far = far.max().unwrap();
            assert!(far <= 1, "x{scale} {name}: {far}");
        }
    }
}
