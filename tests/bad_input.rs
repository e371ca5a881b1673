//! Whatever goes wrong: one sentence that names the file, exit code 1, no file
//! left behind, no panic.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use crate::support::{files, picture, pixmend, stderr, upscale, write};

/// Holds a failed run against the rules, and what it may have left in `folder`.
#[track_caller]
fn assert_refused(output: &Output, name: &str, folder: &Path, before: &[String]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "one sentence: {text}");
    assert!(text.starts_with("pixmend: "), "{text}");
    assert!(text.contains(name), "{name} is not named: {text}");
    assert!(text.contains("; "), "it does not say what to do: {text}");
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(files(folder), before);
}

/// Tries to enlarge a file with this content.
#[track_caller]
fn refuse(name: &str, content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), content).unwrap();
    let before = files(folder.path());
    let output = upscale(&path, &[]);
    assert_refused(&output, name, folder.path(), &before);
    stderr(&output)
}

fn encoded(extension: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &format!("whole.{extension}"), &picture(120, 90));
    fs::read(path).unwrap()
}

#[test]
fn a_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = upscale(&folder.path().join("nowhere.jpg"), &[]);
    assert_refused(&output, "nowhere.jpg", folder.path(), &[]);
}

#[test]
fn a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("photos")).unwrap();
    let output = upscale(&folder.path().join("photos"), &[]);
    assert_refused(&output, "photos", folder.path(), &["photos".to_owned()]);
}

#[test]
fn text_and_nothing_named_jpg() {
    refuse("letter.jpg", b"Dear all,\nthis is not a photo.\n");
    refuse("empty.jpg", b"");
}

#[test]
fn pictures_cut_off_anywhere() {
    for extension in ["jpg", "png", "webp", "tif", "bmp"] {
        let whole = encoded(extension);
        for part in [whole.len() / 2, whole.len() * 9 / 10, 40] {
            refuse(&format!("cut-{part}.{extension}"), &whole[..part]);
        }
    }
}

#[test]
fn a_picture_with_rubbish_in_its_middle_never_panics() {
    for extension in ["jpg", "png", "webp", "tif", "bmp"] {
        let mut bytes = encoded(extension);
        let middle = bytes.len() / 2;
        for (i, byte) in bytes[middle..middle + 40].iter_mut().enumerate() {
            *byte = (i * 37) as u8;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("rubbish.{extension}"));
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), &bytes).unwrap();
        let output = upscale(&path, &[]);
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        assert!([Some(0), Some(1)].contains(&output.status.code()));
    }
}

/// A PNG of a size whose pixels end after the first row.
fn png_of_size(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    std::io::Write::write_all(&mut stream, &vec![0; width as usize * 3]).unwrap();
    std::io::Write::flush(&mut stream).unwrap();
    drop(stream);
    drop(writer);
    bytes
}

/// A BMP header that claims a size.
fn bmp_of_size(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.resize(54 + 300, 0);
    bytes
}

#[test]
fn a_decompression_bomb_is_refused_before_memory_is_taken() {
    for (name, bomb) in
        [("bomb.png", png_of_size(30_000, 30_000)), ("bomb.bmp", bmp_of_size(30_000, 30_000))]
    {
        let text = refuse(name, &bomb);
        assert!(text.contains("too large") && text.contains("30000 x 30000"), "{text}");
    }
    refuse("worse.bmp", &bmp_of_size(60_000, 60_000));
}

#[test]
fn a_result_that_its_format_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let long = write(folder.path(), "long.png", &picture(16_384, 2));
    for (name, limit) in [("long.jpg", "65535"), ("long.webp", "16383")] {
        let out = folder.path().join(name);
        let output = upscale(&long, &["-o", out.to_str().unwrap()]);
        assert_refused(&output, name, folder.path(), &["long.png".to_owned()]);
        assert!(stderr(&output).contains(limit));
    }
}

#[test]
fn an_existing_result_an_unknown_ending_and_the_photo_itself() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let other = write(folder.path(), "other.png", &picture(8, 8));
    let before = files(folder.path());
    let content = fs::read(&other).unwrap();

    let to = |path: &Path, more: &[&str]| {
        upscale(&photo, &[&["-o", path.to_str().unwrap()], more].concat())
    };
    assert_refused(&to(&other, &[]), "other.png", folder.path(), &before);
    assert_eq!(fs::read(&other).unwrap(), content);
    assert_refused(&to(&folder.path().join("a.xyz"), &[]), "a.xyz", folder.path(), &before);
    assert_refused(&to(&folder.path().join("noending"), &[]), "noending", folder.path(), &before);
    assert_refused(&to(&photo, &["--overwrite"]), "photo.png", folder.path(), &before);
    assert_eq!(image::open(&photo).unwrap().width(), 20, "the photo is untouched");
}

#[test]
fn a_folder_that_is_missing_or_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let before = files(folder.path());
    let mut places = vec![folder.path().join("missing").join("out.png")];
    if cfg!(target_os = "linux") {
        // Not even root may create files there.
        places.push(PathBuf::from("/proc/out.png"));
    }
    for place in places {
        let output = upscale(&photo, &["-o", place.to_str().unwrap()]);
        assert_refused(&output, "out.png", folder.path(), &before);
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk() {
    use std::process::Command;
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(160, 120));
    let before = files(folder.path());
    for name in ["out.png", "out.tif", "out.jpg", "out.webp", "out.bmp"] {
        // A limit on the size of files stands in for a full disk: the write
        // fails, and the signal that comes with it is ignored.
        let script = r#"trap '' XFSZ; ulimit -f 4; exec "$0" upscale "$1" -o "$2" --device cpu"#;
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_pixmend")])
            .args([&photo, &folder.path().join(name)])
            .output()
            .unwrap();
        assert_refused(&output, name, folder.path(), &before);
        assert!(stderr(&output).contains("disk is full"), "{}", stderr(&output));
    }
}

#[test]
fn models_that_are_cut_missing_or_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let weights = include_bytes!("../models/starter.safetensors");
    for (name, content) in [
        ("half.safetensors", &weights[..weights.len() / 2]),
        ("photo.safetensors", &fs::read(&photo).unwrap()[..]),
        ("empty.safetensors", &[]),
    ] {
        let path = folder.path().join(name);
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), content).unwrap();
        let before = files(folder.path());
        let output = upscale(&photo, &["--model", path.to_str().unwrap()]);
        assert_refused(&output, name, folder.path(), &before);
    }
    let before = files(folder.path());
    let output = upscale(&photo, &["--model", "nosuchmodel"]);
    assert_refused(&output, "nosuchmodel", folder.path(), &before);
    assert!(stderr(&output).contains("starter"), "names what there is");
}

#[test]
fn settings_out_of_range_and_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let before = files(folder.path());
    for more in [["--scale", "17"], ["--scale", "0"], ["--scale", "nan"], ["--tile", "10"]] {
        let output = upscale(&photo, &more);
        assert_eq!(output.status.code(), Some(1), "{more:?}: {}", stderr(&output));
        assert_eq!(files(folder.path()), before);
    }
    let refused =
        pixmend().args(["upscale", photo.to_str().unwrap(), "--device", "Voodoo 2"]).output();
    assert_refused(&refused.unwrap(), "Voodoo 2", folder.path(), &before);
    for usage in [vec!["upscale"], vec!["upscale", "a", "--scale", "big"], vec!["--nonsense"]] {
        let output = pixmend().args(&usage).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{usage:?}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let pipe = folder.path().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let before = files(folder.path());
    assert_refused(&upscale(&pipe, &[]), "pipe.png", folder.path(), &before);
    let as_model = upscale(&photo, &["--model", pipe.to_str().unwrap()]);
    assert_refused(&as_model, "pipe.png", folder.path(), &before);
}

#[cfg(unix)]
#[test]
fn names_that_are_too_long_or_hold_control_characters() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{}.png", "x".repeat(250));
    let photo = write(folder.path(), &name, &picture(20, 20));
    let before = files(folder.path());
    // The result's name would have three characters more than any file may.
    assert_refused(&upscale(&photo, &[]), "too long", folder.path(), &before);
    let folder = tempfile::tempdir().unwrap();
    let output = upscale(&folder.path().join("two\nlines\x1b[31m.png"), &[]);
    assert_refused(&output, "two\\nlines", folder.path(), &[]);
}

#[test]
fn models_with_wrong_types_shapes_and_strange_words() {
    use safetensors::{Dtype, serialize, tensor::TensorView};
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(20, 20));
    let zeros = vec![0_u8; 1 << 16];
    let shapes = |channels: usize| {
        let mut shapes = vec![
            ("head.weight".to_owned(), vec![channels, 3, 3, 3]),
            ("head.bias".to_owned(), vec![channels]),
        ];
        for (name, outputs) in [("body_conv", channels), ("upsample", 48)] {
            shapes.push((format!("{name}.weight"), vec![outputs, channels, 3, 3]));
            shapes.push((format!("{name}.bias"), vec![outputs]));
        }
        shapes
    };
    let words = |channels: usize, architecture: &str| {
        let pairs = [
            ("architecture", architecture.to_owned()),
            ("activation", "prelu".to_owned()),
            ("skip", "bilinear".to_owned()),
            ("channels", channels.to_string()),
            ("blocks", "0".to_owned()),
            ("scale", "4".to_owned()),
        ];
        Some(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let mut without_bias = shapes(4);
    without_bias.retain(|(name, _)| name != "head.bias");
    let mut extra = shapes(4);
    extra.push(("evil\n\x1b[31m".to_owned(), vec![1]));
    for (name, channels, dtype, shapes, architecture) in [
        ("zero.safetensors", 0, Dtype::F32, shapes(0), "residual"),
        ("brain.safetensors", 4, Dtype::BF16, shapes(4), "residual"),
        ("nobias.safetensors", 4, Dtype::F32, without_bias, "residual"),
        ("extra.safetensors", 4, Dtype::F32, extra, "residual"),
        ("words.safetensors", 4, Dtype::F32, shapes(4), "two\nlines"),
    ] {
        let views = shapes.iter().map(|(name, shape)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name.clone(), TensorView::new(dtype, shape.clone(), &zeros[..bytes]).unwrap())
        });
        let bytes = serialize(views, words(channels, architecture)).unwrap();
        let path = folder.path().join(name);
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), &bytes).unwrap();
        let before = files(folder.path());
        let output = upscale(&photo, &["--model", path.to_str().unwrap()]);
        assert_refused(&output, name, folder.path(), &before);
    }
}

#[cfg(unix)]
#[test]
fn being_told_to_stop_leaves_nothing_even_twice() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(2500, 1200));
    let before = files(folder.path());
    let mut run = pixmend()
        .arg("upscale")
        .arg(&photo)
        .args(["--device", "cpu"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Once the unfinished file is there, the job is under way.
    let start = std::time::Instant::now();
    while files(folder.path()) == before {
        assert!(start.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for _ in 0..2 {
        let told = std::process::Command::new("kill").arg(run.id().to_string()).status();
        assert!(told.unwrap().success());
    }
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert_eq!(files(folder.path()), before);
}
