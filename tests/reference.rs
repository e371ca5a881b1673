//! Against published pictures and the starter model's own reference outputs.
//! They are not part of the project: `PIXMEND_DATA` names their folder.

use std::path::{Path, PathBuf};

use image::{DynamicImage, RgbImage};
use pixmend::{
    device::{Chosen, adapters},
    metric::Score,
    model::Model,
    picture::{Picture, resample::shrink_exact},
    restore::{
        Monitor, Mosaic, Patch, UpscaleOptions,
        evaluate::{Source, evaluate},
        strips, upscale,
    },
    size::Size,
};

use crate::support::{pixmend, stderr};

fn data() -> PathBuf {
    std::env::var_os("PIXMEND_DATA").expect("PIXMEND_DATA names the folder of test data").into()
}

struct Collect(Vec<Patch>);

impl Monitor for Collect {
    fn patch(&mut self, patch: Patch) -> pixmend::Result<()> {
        self.0.push(patch);
        Ok(())
    }
}

fn enlarged(source: RgbImage, device: &Chosen, tile: Option<u32>) -> RgbImage {
    let source = Picture::from_pixels("test", DynamicImage::from(source));
    let options = UpscaleOptions {
        size: Size::Scale(4.0),
        colour_lock: false,
        tile,
        ..UpscaleOptions::default()
    };
    let mut collect = Collect(Vec::new());
    let model = Model::find("starter").unwrap();
    let receipt = upscale(&source, &model, device, &options, &mut collect).unwrap();
    let mosaic = Mosaic {
        size: receipt.output_size,
        color: source.pixels.color(),
        patches: collect.0.into_iter().map(Into::into).collect(),
    };
    let rows = strips::of_mosaic(&mosaic).collect::<Vec<_>>().concat();
    RgbImage::from_raw(mosaic.size.0, mosaic.size.1, rows).unwrap()
}

fn open(path: &Path) -> RgbImage {
    Picture::open(path).unwrap().pixels.into_rgb8()
}

fn worst(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// The values of a `NumPy` file of little-endian floats in C order.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[10..10 + header]).into_owned();
    assert!(text.contains("'<f4'") && text.contains("'fortran_order': False"), "{text}");
    bytes[10 + header..]
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect()
}

#[test]
#[ignore = "needs PIXMEND_DATA"]
fn the_small_pictures_are_exact_to_the_bit() {
    for name in ["img_003", "img_005"] {
        let original = open(&data().join(format!("test/set5/{name}.webp")));
        let expected = open(&data().join(format!("starter/input_{name}.png")));
        let cut =
            image::imageops::crop_imm(&original, 0, 0, expected.width() * 4, expected.height() * 4);
        assert!(shrink_exact(&cut.to_image(), 4) == expected, "{name} differs");
    }
}

#[test]
#[ignore = "needs PIXMEND_DATA"]
fn the_starter_gives_its_reference_outputs_on_the_cpu_whole_and_in_tiles() {
    let folder = data().join("starter");
    for name in ["img_003", "img_005"] {
        let input = open(&folder.join(format!("input_{name}.png")));
        let expected = open(&folder.join(format!("output_{name}.png")));
        for tile in [None, Some(60)] {
            assert!(worst(&enlarged(input.clone(), &Chosen::cpu(), tile), &expected) <= 1);
        }
    }
}

#[test]
#[ignore = "needs PIXMEND_DATA"]
fn the_network_gives_the_reference_floats() {
    use burn::tensor::{Device, Tensor, TensorData};
    let folder = data().join("starter");
    let input = open(&folder.join("input_img_003.png"));
    let expected = npy(&folder.join("output_img_003.npy"));
    let (width, height) = (input.width() as usize, input.height() as usize);
    let planes: Vec<f32> = (0..3)
        .flat_map(|channel| input.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 255.0))
        .collect();
    let network = Model::find("starter").unwrap().on(&Device::flex()).unwrap();
    let tensor =
        Tensor::<4>::from_data(TensorData::new(planes, [1, 3, height, width]), &Device::flex());
    let answer = network.forward(tensor).into_data().try_into_vec::<f32>().unwrap();
    assert_eq!(answer.len(), expected.len());
    let worst = answer.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst}");
}

#[test]
#[ignore = "needs PIXMEND_DATA and a graphics adapter"]
fn a_graphics_adapter_gives_the_reference_outputs() {
    // Any adapter will do, a software one too: it must compute the same.
    let Some(adapter) = adapters().into_iter().find(|adapter| adapter.self_test().is_ok()) else {
        panic!("no adapter passes its self-test: install a Vulkan driver (mesa-vulkan-drivers)");
    };
    let device = Chosen::by_name(&adapter.name).unwrap();
    let folder = data().join("starter");
    let input = open(&folder.join("input_img_003.png"));
    let expected = open(&folder.join("output_img_003.png"));
    assert!(worst(&enlarged(input, &device, None), &expected) <= 1, "{}", adapter.name);
}

#[test]
#[ignore = "needs PIXMEND_DATA"]
fn set5_scores_what_the_starter_was_measured_at() {
    let expected: f64 =
        std::fs::read_to_string(data().join("starter/set5_psnr")).unwrap().trim().parse().unwrap();
    let evaluation = evaluate(
        &data().join("test/set5"),
        &Source::Shrunk,
        4,
        &Model::find("starter").unwrap(),
        &Chosen::cpu(),
        None,
        |_| Ok(()),
    )
    .unwrap();
    let Score { psnr, ssim } = evaluation.mean.score;
    assert!((psnr - expected).abs() < 0.02, "{psnr}");
    assert!((ssim - 0.8869).abs() < 0.0005, "{ssim}");
    // The protocol: bicubic interpolation scores what papers print.
    assert!(
        (evaluation.bicubic.score.psnr - 28.43).abs() < 0.01,
        "{}",
        evaluation.bicubic.score.psnr
    );
    assert!(
        (evaluation.bicubic.score.ssim - 0.8113).abs() < 0.0005,
        "{}",
        evaluation.bicubic.score.ssim
    );
}

#[test]
#[ignore = "needs PIXMEND_DATA"]
fn a_run_by_features_textures_and_a_discriminator_learns_and_is_judged_by_features() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("look.safetensors");
    let squeezenet = data().join("weights/squeezenet_v1.1.param");
    let mut command = pixmend();
    command.arg("train").arg(data().join("train/elem")).arg("-o").arg(&output);
    command.args(["--base", "new", "--channels", "8", "--blocks", "1", "--device", "cpu"]);
    command.args(["--steps", "120", "--validate-every", "20", "--batch", "8", "--crop", "16"]);
    command.args(["--rate", "0.003", "--average", "0.9", "--features"]).arg(&squeezenet);
    command.args(["--perceptual", "fire3=0.01,fire5=0.01", "--texture", "relu1=0.01"]);
    command.args([
        "--adversarial",
        "0.001",
        "--discriminator-channels",
        "4",
        "--total-variation",
        "1e-4",
    ]);
    let run = command.arg("--json-events").output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let last = run.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
    let finished: serde_json::Value = serde_json::from_slice(last).unwrap();
    let verdict = &finished["verdict"];
    assert_eq!(verdict["measure"], "feature_distance", "{verdict}");
    let distance = |model: &str| verdict[model]["distance"].as_f64().unwrap();
    assert!(distance("tuned") < distance("base"), "{verdict}");
    assert!(verdict["sentence"].as_str().unwrap().contains("feature distance"), "{verdict}");

    // A layer that the network does not have is named with those that it has.
    let mut command = pixmend();
    command.arg("train").arg(data().join("train/elem")).arg("-o").arg(folder.path().join("x.st"));
    command.args(["--device", "cpu", "--perceptual", "pool9=1", "--features"]).arg(&squeezenet);
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("has no layer pool9"), "{}", stderr(&refused));
}
