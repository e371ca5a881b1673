//! What the commands do and print.

use std::fs;

use image::GenericImageView as _;
use pixmend::settings::Existing;
use serde_json::Value;

use crate::support::{files, picture, pixmend, stderr, upscale, write};

#[test]
fn the_result_goes_beside_the_photo_and_never_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a photo.jpg", &picture(40, 30));
    let source = fs::read(&photo).unwrap();
    for expected in ["a photo-4x.jpg", "a photo-4x-1.jpg", "a photo-4x-2.jpg"] {
        let output = upscale(&photo, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        let result = image::open(folder.path().join(expected)).unwrap();
        assert_eq!(result.dimensions(), (160, 120));
    }
    assert_eq!(files(folder.path()).len(), 4);
    assert_eq!(fs::read(&photo).unwrap(), source, "the photo is untouched");
}

#[test]
fn overwriting_happens_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let out = write(folder.path(), "out.png", &picture(3, 3));
    let output = upscale(&photo, &["-o", out.to_str().unwrap(), "--overwrite"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(image::open(&out).unwrap().dimensions(), (80, 80));
    assert_eq!(files(folder.path()), ["out.png", "photo.png"]);
}

#[test]
fn json_says_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(100, 70));
    let output = upscale(&photo, &["--json", "--tile", "64"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["input_size"], serde_json::json!([100, 70]));
    assert_eq!(report["output_size"], serde_json::json!([400, 280]));
    assert_eq!(report["model"], "starter");
    assert_eq!(report["device"], "CPU");
    assert_eq!(report["tiles"], 6);
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    assert!(report["megapixels_per_second"].as_f64().unwrap() > 0.0);
    if cfg!(unix) {
        let peak = report["peak_memory_bytes"].as_u64().unwrap();
        assert!((1 << 20..8 << 30).contains(&peak), "{peak}");
    }
    let path = report["output"].as_str().unwrap();
    assert!(path.ends_with("photo-4x.png"), "{path}");
    assert_eq!(image::open(path).unwrap().dimensions(), (400, 280));
}

#[test]
fn other_scales_shrink_the_fourfold_result() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(50, 41));
    for (scale, size) in [("2", (100, 82)), ("3", (150, 123)), ("1.5", (75, 62)), ("1", (50, 41))] {
        let output = upscale(&photo, &["--scale", scale]);
        assert!(output.status.success(), "{}", stderr(&output));
        let result = image::open(folder.path().join(format!("photo-{scale}x.png"))).unwrap();
        assert_eq!(result.dimensions(), size);
    }
}

#[test]
fn a_model_file_is_as_good_as_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(30, 30));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/starter.safetensors");
    for (model, name) in [("starter", "a.png"), (file, "b.png")] {
        let out = folder.path().join(name);
        let output = upscale(&photo, &["--model", model, "-o", out.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let read = |name| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("a.png"), read("b.png"));
}

#[test]
fn devices_always_has_the_cpu() {
    let output = pixmend().args(["devices", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
    let devices = listing["devices"].as_array().unwrap();
    let cpu = devices.last().unwrap();
    assert_eq!(cpu["name"], "CPU");
    assert_eq!(cpu["passed"], true);
    for device in devices {
        assert!(device["name"].is_string() && device["passed"].is_boolean(), "{device}");
        if device["kind"] == "software" {
            assert_eq!(device["automatic"], false);
        }
    }
}

#[test]
fn without_any_graphics_driver_the_command_line_works() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(30, 20));
    let mut command = pixmend();
    command.arg("upscale").arg(&photo);
    for variable in [
        "VK_DRIVER_FILES",
        "VK_ICD_FILENAMES",
        "LIBGL_DRIVERS_PATH",
        "__EGL_VENDOR_LIBRARY_FILENAMES",
    ] {
        command.env(variable, "/nonexistent");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("on CPU"), "{}", stderr(&output));
}

#[test]
fn without_a_screen_the_window_says_so_in_a_sentence() {
    if !cfg!(target_os = "linux") {
        return; // Other systems always have one.
    }
    let home = tempfile::tempdir().unwrap();
    let output = pixmend()
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .output()
        .unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("pixmend: the window cannot be opened"), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
}

#[test]
fn eval_scores_pictures_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let originals = folder.path().join("hr");
    fs::create_dir(&originals).unwrap();
    write(&originals, "b.png", &picture(101, 83));
    write(&originals, "a.png", &picture(64, 64));
    let run = |more: &[&str]| {
        let mut command = pixmend();
        command.args(["eval", "--device", "cpu", "--hr"]).arg(&originals).args(more);
        command.output().unwrap()
    };
    let output = run(&["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pictures = result["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), 2);
    assert_eq!(pictures[0]["name"], "a");
    let psnr = |value: &Value| value["psnr"].as_f64().unwrap();
    let mean = (psnr(&pictures[0]) + psnr(&pictures[1])) / 2.0;
    assert!((psnr(&result["mean"]) - mean).abs() < 1e-9);
    assert!(psnr(&result["mean"]) > psnr(&result["bicubic"]), "{result}");

    // Made worse by a recipe, again and again the same.
    let worse = |more: &[&str]| -> Value {
        let output = run(&[&["--json", "--degradation", "blind"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert!(psnr(&worse(&[])["bicubic"]) < psnr(&result["bicubic"]));
    assert_eq!(worse(&["--seed", "3"]), worse(&["--seed", "3"]));
    assert_ne!(worse(&["--seed", "3"]), worse(&["--seed", "4"]));
    assert!(worse(&[])["mean"]["inside"].is_null());
    // With marks, what is inside them is told apart.
    let marked = run(&["--json", "--degradation", "damage"]);
    let marked: Value = serde_json::from_slice(&marked.stdout).unwrap();
    assert!(marked["mean"]["inside"].as_f64().unwrap() < psnr(&marked["mean"]), "{marked}");
    assert!(result["bicubic"]["ssim"].as_f64().unwrap() < 1.0);

    let text = String::from_utf8(run(&[]).stdout).unwrap();
    assert!(text.contains("bicubic") && text.lines().last().unwrap().starts_with("mean"), "{text}");

    // Nothing is known of a feature network that nobody named.
    assert!(result.get("distance_name").is_none() && pictures[0].get("distance").is_none());
    let features = folder.path().join("features.pth");
    let pickle = b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.";
    pixmend::settings::write(&features, pickle, Existing::Refuse).unwrap();
    let features = features.to_str().unwrap();
    let refused = run(&["--features", features]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).starts_with("pixmend: the model cannot be used, it"));
    assert_eq!(stderr(&refused).trim().lines().count(), 1, "{}", stderr(&refused));
    let alone = run(&["--lpips", features]);
    assert_eq!(alone.status.code(), Some(2), "{}", stderr(&alone));

    // Small pictures that do not belong to the originals.
    let low = folder.path().join("lr");
    fs::create_dir(&low).unwrap();
    write(&low, "a.png", &picture(16, 15));
    write(&low, "b.png", &picture(25, 20));
    let refused = run(&["--lr", low.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("a.png"), "{}", stderr(&refused));
    fs::remove_file(low.join("a.png")).unwrap();
    write(&low, "a.png", &picture(16, 16));
    assert!(run(&["--lr", low.to_str().unwrap()]).status.success());
}

#[cfg(unix)]
#[test]
fn a_closed_output_is_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let script = r#""$0" upscale "$1" --device cpu --json 2>/dev/full | true; "$0" upscale "$1" --device cpu --json >/dev/full"#;
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_pixmend")])
        .arg(&photo)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "the report could not be written");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    assert_eq!(files(folder.path()).len(), 3, "both results are there");
}

#[test]
fn devices_are_named_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let run = |name: &str| pixmend().arg("upscale").arg(&photo).args(["--device", name]).output();
    assert!(run("CPU").unwrap().status.success());
    assert_eq!(run("").unwrap().status.code(), Some(1), "no name is not every name");
}

#[test]
fn very_small_scales_work() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(260, 700));
    for scale in ["0.5", "0.022", "0.003"] {
        let output = upscale(&photo, &["--scale", scale]);
        assert!(output.status.success(), "{scale}: {}", stderr(&output));
    }
    let small = image::open(folder.path().join("photo-0.022x.png")).unwrap();
    assert_eq!(small.dimensions(), (6, 15));
}

#[test]
fn results_of_other_programs_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let original = picture(64, 48);
    let mut result = original.clone();
    result.iter_mut().for_each(|value| *value = value.saturating_add(4));
    write(folder.path(), "a.png", &original);
    write(folder.path(), "b.png", &result);
    write(folder.path(), "c.png", &picture(64, 49));
    let compare = |a: &str, b: &str, more: &[&str]| {
        let mut command = pixmend();
        command.current_dir(folder.path()).args(["compare", a, b]).args(more).output().unwrap()
    };
    let same = compare("a.png", "a.png", &["--json"]);
    let same: serde_json::Value = serde_json::from_slice(&same.stdout).unwrap();
    assert_eq!((same["psnr"].as_f64(), same["ssim"].as_f64()), (Some(100.0), Some(1.0)));
    let apart = compare("b.png", "a.png", &["--json", "--scale", "4"]);
    let apart: serde_json::Value = serde_json::from_slice(&apart.stdout).unwrap();
    let psnr = apart["psnr"].as_f64().unwrap();
    assert!((36.0..40.0).contains(&psnr), "{psnr}");
    let words = compare("b.png", "a.png", &[]);
    assert!(String::from_utf8_lossy(&words.stdout).contains("dB PSNR"));
    let refused = compare("c.png", "a.png", &[]);
    assert!(stderr(&refused).contains("64 x 49 pixels and the original 64 x 48"));
}
