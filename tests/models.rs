//! The models that ship: their files are those of their cards, and none of them does what a user
//! would be startled by.

use std::{fs, path::Path};

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use pixmend::{
    device::Chosen,
    mask::Scope,
    model::Model,
    picture::Picture,
    restore::{
        Monitor, Mosaic, Patch, UpscaleOptions,
        colour::colour,
        mend::{Filler, MendOptions, mend},
        strips, upscale,
    },
    size::Size,
};
use sha2::{Digest as _, Sha256};

use crate::support::{pixmend, stderr};

fn card(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.md"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_model_has_a_card_with_the_checksum_of_its_file() {
    let table = card("README");
    for name in Model::shipped() {
        let model = Model::find(name).unwrap();
        let sum: String =
            Sha256::digest(model.bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let card = card(name);
        assert!(card.contains(&sum), "the card of {name} does not say {sum}");
        for part in ["Architecture", "File", "Training", "Terms", "Measured", "Known failures"] {
            assert!(card.contains(&format!("**{part}")), "the card of {name} has no {part}");
        }
        let digits = model.config().parameters().to_string();
        let count: String = digits
            .chars()
            .enumerate()
            .flat_map(|(i, digit)| {
                let comma = (i > 0 && (digits.len() - i).is_multiple_of(3)).then_some(',');
                comma.into_iter().chain([digit])
            })
            .collect();
        assert!(card.contains(&format!("{count} parameters")), "{name} has {count}");
        assert!(table.contains(&format!("`{name}`")), "{name} is not in the table of all");
    }
}

#[test]
fn all_models_together_are_small_enough_to_ship() {
    let bytes: usize = Model::shipped().map(|name| Model::find(name).unwrap().bytes().len()).sum();
    assert!(bytes <= 25 << 20, "{bytes} bytes");
}

struct Collect(Vec<Patch>);

impl Monitor for Collect {
    fn patch(&mut self, patch: Patch) -> pixmend::Result<()> {
        self.0.push(patch);
        Ok(())
    }
}

/// The whole picture through a model; one that fills a mask fills all of it.
fn restored(picture: &RgbImage, model: &Model) -> RgbImage {
    let source = Picture::from_pixels("test", DynamicImage::from(picture.clone()));
    let mut collect = Collect(Vec::new());
    let size = if model.takes_mask() {
        let all = GrayImage::from_pixel(picture.width(), picture.height(), Luma([255]));
        let device = Chosen::cpu();
        let filler = Filler::Network { model, device: &device };
        mend(&source, &all, filler, MendOptions::default(), &mut collect).unwrap().size
    } else if model.gives_colours() {
        colour(&source, Scope::default(), model, &Chosen::cpu(), 1.0, &mut collect)
            .unwrap()
            .output_size
    } else {
        let options = UpscaleOptions {
            size: Size::Scale(f64::from(model.scale())),
            ..UpscaleOptions::default()
        };
        upscale(&source, model, &Chosen::cpu(), &options, &mut collect).unwrap().output_size
    };
    let mosaic = Mosaic {
        size,
        color: source.pixels.color(),
        patches: collect.0.into_iter().map(Into::into).collect(),
    };
    let rows = strips::of_mosaic(&mosaic).collect::<Vec<_>>().concat();
    RgbImage::from_raw(mosaic.size.0, mosaic.size.1, rows).unwrap()
}

/// Levels by which a flat picture may drift in each channel, and by which the channels of a
/// checkerboard may differ. A network that takes noise away sees noise in single pixels that alternate;
/// its card says how much it tints them.
fn limits(name: &str) -> (u8, u8) {
    if name == "photo-4x" { (32, 176) } else { (24, 128) }
}

#[test]
fn bright_and_pure_colours_stay_what_they_are() {
    let colours = (0..8_u8).map(|bits| [1, 2, 4].map(|bit| if bits & bit > 0 { 255 } else { 0 }));
    for name in Model::shipped() {
        let model = Model::find(name).unwrap();
        for colour in colours.clone() {
            let grey = colour.iter().all(|value| *value == colour[0]);
            if !grey && model.gives_colours() {
                continue; // It is given grey pictures only.
            }
            let result = restored(&RgbImage::from_pixel(48, 40, Rgb(colour)), &model);
            for (x, y, pixel) in result.enumerate_pixels() {
                let apart = pixel.0.iter().zip(colour).map(|(a, b)| a.abs_diff(b)).max().unwrap();
                assert!(apart <= limits(name).0, "{name} makes {pixel:?} of {colour:?} at {x} {y}");
            }
        }
    }
}

#[test]
fn no_pixel_of_a_checkerboard_flips_its_colour() {
    for name in Model::shipped() {
        let model = Model::find(name).unwrap();
        for side in [1, 2, 8] {
            let board = RgbImage::from_fn(48, 40, |x, y| {
                Rgb([if (x / side + y / side) % 2 == 0 { 255 } else { 0 }; 3])
            });
            let result = restored(&board, &model);
            for (x, y, pixel) in result.enumerate_pixels() {
                let [r, g, b] = pixel.0;
                let (least, most) = (r.min(g).min(b), r.max(g).max(b));
                assert!(
                    most - least < limits(name).1,
                    "{name}, {side} pixels: {pixel:?} at {x} {y}"
                );
            }
            // Far from what is between them, white is white and black is black.
            if side == 8 && !model.takes_mask() {
                let scale = model.scale();
                for (x, y) in [(12, 20), (20, 20), (28, 20), (20, 12)] {
                    let expected = if (x / 8 + y / 8) % 2 == 0 { 255 } else { 0_u8 };
                    let found = result.get_pixel(x * scale, y * scale).0;
                    assert!(
                        found.iter().all(|value| value.abs_diff(expected) <= 64),
                        "{name}: {found:?} where {expected} was at {x} {y}"
                    );
                }
            }
        }
    }
}

#[test]
fn models_are_listed_shown_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let listed = pixmend().args(["models", "list", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<&str> =
        listed["models"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, Model::shipped().collect::<Vec<_>>());

    let file = folder.path().join("half.safetensors");
    let export = |more: &[&str]| {
        pixmend()
            .args(["models", "export", "fast-4x", "--half", "--to"])
            .arg(&file)
            .args(more)
            .output()
            .unwrap()
    };
    assert!(export(&[]).status.success());
    let again = export(&[]);
    assert!(!again.status.success() && stderr(&again).contains("exists"), "{}", stderr(&again));
    assert!(export(&["--overwrite"]).status.success());
    let shown = pixmend().args(["models", "show", "--json"]).arg(&file).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["parameters"], 98_128);
    assert_eq!(shown["scale"], 4);
    assert_eq!(shown["bytes"].as_u64(), Some(fs::metadata(&file).unwrap().len()));
    let unknown = pixmend().args(["models", "show", "no-such-model"]).output().unwrap();
    assert!(!unknown.status.success() && stderr(&unknown).contains("no-such-model"));
}

/// What is measured for a card: the name of a row and, of the model's figures, which one.
struct Measured {
    model: &'static str,
    row: &'static str,
    pictures: &'static str,
    /// A file in `models/degradations`; shrunk by the scale without one.
    degradation: Option<&'static str>,
}

const fn shrunk(model: &'static str) -> Measured {
    Measured { model, row: "Set5", pictures: "set5", degradation: None }
}

const fn cleaned(row: &'static str, pictures: &'static str, degradation: &'static str) -> Measured {
    Measured { model: "clean", row, pictures, degradation: Some(degradation) }
}

const MEASURED: [Measured; 7] = [
    shrunk("starter"),
    shrunk("fast-4x"),
    Measured { model: "photo-4x", row: "Set14", pictures: "set14", degradation: Some("photo") },
    cleaned("LIVE1, JPEG 20", "live1", "jpeg-20"),
    cleaned("BSD100, noise 25", "bsd100", "noise-25"),
    Measured {
        model: "mend",
        row: "BSD100, opaque",
        pictures: "bsd100",
        degradation: Some("opaque"),
    },
    Measured { model: "colour", row: "BSD100", pictures: "bsd100", degradation: Some("grey") },
];

#[test]
#[ignore = "needs PIXMEND_DATA"]
fn the_figures_of_the_cards_are_measured_again() {
    let data = std::env::var_os("PIXMEND_DATA").expect("PIXMEND_DATA names the test data");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in Model::shipped() {
        assert!(MEASURED.iter().any(|of| of.model == name), "nothing is measured for {name}");
    }
    for Measured { model, row, pictures, degradation } in MEASURED {
        let card = card(model);
        let line = card.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let line = line.unwrap_or_else(|| panic!("the card of {model} has no row {row}"));
        let cell = line.split('|').nth(2).unwrap().trim().trim_matches('*');
        let stated: f64 = cell.split_whitespace().next().unwrap().parse().unwrap();
        let mut command = pixmend();
        command.args(["eval", "--device", "cpu", "--json", "--model", model, "--hr"]);
        command.arg(Path::new(&data).join("test").join(pictures));
        if let Some(recipe) = degradation {
            let file = root.join(format!("models/degradations/{recipe}.toml"));
            command.arg("--degradation").arg(file);
        }
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
        let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let figure = match model {
            "colour" => "colourfulness", // The luma says nothing of colours: it stays.
            "mend" => "inside",
            _ => "psnr",
        };
        let found = report["mean"][figure].as_f64().unwrap();
        assert!((found - stated).abs() < 0.02, "{model}, {row}: {found} is not {stated}");
    }
}
