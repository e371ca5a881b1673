//! The engine on the CPU with the shipped model, without a window.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use image::{DynamicImage, Rgb, RgbImage};
use pixmend::{
    Error, Result,
    device::Chosen,
    jobs::{EventKind, Focus, Job, Outcome, Workers},
    model::Model,
    picture::Picture,
    restore::{Monitor, Mosaic, Patch, Progress, UpscaleOptions, strips, upscale},
    size::Size,
};

use crate::support::{files, kinds, picture, upscale as command, write};

/// Keeps all patches, and ends the job after some tiles.
struct Collect {
    patches: Vec<Arc<Patch>>,
    cancel_after: usize,
}

impl Monitor for Collect {
    fn progress(&mut self, _progress: Progress) -> Result<()> {
        if self.patches.len() >= self.cancel_after {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    fn patch(&mut self, patch: Patch) -> Result<()> {
        self.patches.push(Arc::new(patch));
        Ok(())
    }
}

/// The result as the raw bytes of its rows.
fn enlarged(source: &DynamicImage, scale: f64, tile: u32) -> Vec<u8> {
    let source = Picture::from_pixels("test", source.clone());
    let model = Model::find("starter").unwrap();
    let options =
        UpscaleOptions { size: Size::Scale(scale), tile: Some(tile), ..UpscaleOptions::default() };
    let mut collect = Collect { patches: Vec::new(), cancel_after: usize::MAX };
    let receipt = upscale(&source, &model, &Chosen::cpu(), &options, &mut collect).unwrap();
    let mosaic = Mosaic {
        size: receipt.output_size,
        color: source.pixels.color(),
        patches: collect.patches,
    };
    assert!(mosaic.is_complete());
    strips::of_mosaic(&mosaic).collect::<Vec<_>>().concat()
}

fn worst(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn flat_grey_a_gradient_and_a_photo_show_no_seam() {
    let (width, height) = (150, 140);
    let grey = RgbImage::from_pixel(width, height, Rgb([128; 3]));
    let gradient = RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x + 40) as u8, (y + 60) as u8, ((x + y) / 2) as u8])
    });
    for source in [grey, gradient, picture(width, height)] {
        let source = DynamicImage::from(source);
        // Tiles of 80 with a halo of 19: 3 x 3 of them.
        let whole = enlarged(&source, 4.0, 400);
        assert!(worst(&whole, &enlarged(&source, 4.0, 80)) <= 1);
        let half = enlarged(&source, 2.0, 400);
        assert!(worst(&half, &enlarged(&source, 2.0, 80)) <= 1);
    }
}

#[test]
fn flat_colours_stay_what_they_are() {
    for color in [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 255], [128, 128, 128]] {
        let flat = RgbImage::from_pixel(60, 60, Rgb(color));
        let result = enlarged(&flat.into(), 4.0, 256);
        let expected = color.repeat(240 * 240);
        // In the middle; the border is where the network pads with black.
        let row = &result[(120 * 240 + 100) * 3..(120 * 240 + 140) * 3];
        assert!(worst(row, &expected[..row.len()]) <= 6, "{color:?}: {:?}", &row[..6]);
    }
}

#[test]
fn pictures_of_any_size_and_kind_come_out_as_their_kind() {
    for (width, height) in [(1, 1), (1, 37), (53, 2), (61, 67)] {
        for source in kinds(width, height) {
            let bytes = enlarged(&source, 4.0, 256).len();
            let pixel = usize::from(source.color().bytes_per_pixel());
            assert_eq!(bytes, (width * height * 16) as usize * pixel, "{:?}", source.color());
        }
    }
}

#[test]
fn sixteen_bits_are_real() {
    // Neighbouring values of a slope that 8 bit cannot tell apart.
    let slope = image::ImageBuffer::from_fn(64, 16, |x, _| image::Luma([30_000 + x as u16 * 16]));
    let bytes = enlarged(&DynamicImage::ImageLuma16(slope), 4.0, 256);
    let row: Vec<u16> = bytes[8 * 256 * 4..][..512]
        .chunks_exact(2)
        .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
        .collect();
    let distinct: std::collections::BTreeSet<u16> = row[20..236].iter().copied().collect();
    assert!(distinct.len() > 100, "{} values", distinct.len());
}

#[test]
fn a_job_ends_within_one_tile_of_being_cancelled() {
    let source = Picture::from_pixels("test", picture(200, 150).into());
    let model = Model::find("starter").unwrap();
    let options = UpscaleOptions {
        size: Size::Scale(4.0),
        colour_lock: false,
        tile: Some(64),
        ..UpscaleOptions::default()
    };
    let mut collect = Collect { patches: Vec::new(), cancel_after: 3 };
    let ended = upscale(&source, &model, &Chosen::cpu(), &options, &mut collect);
    assert!(matches!(ended, Err(Error::Cancelled)));
    assert_eq!(collect.patches.len(), 3, "what is done is kept");
}

/// Waits for the events of one job.
fn outcome(workers: &mut Workers, job: Job) -> (Vec<Arc<Patch>>, Outcome) {
    let handle = workers.submit(job);
    let (start, mut patches) = (Instant::now(), Vec::new());
    loop {
        assert!(start.elapsed() < Duration::from_secs(120), "timed out");
        let events: Vec<_> = workers.events().filter(|event| event.id == handle.id).collect();
        for event in events {
            match event.kind {
                EventKind::Patch(patch) => patches.push(patch),
                EventKind::Finished(outcome) => return (patches, outcome),
                EventKind::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_window_s_path_and_the_command_write_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut workers = Workers::start(|| {}).unwrap();
    for extension in ["png", "jpg", "tif", "webp", "bmp"] {
        let path = write(folder.path(), &format!("photo.{extension}"), &picture(600, 500));
        assert!(command(&path, &[]).status.success());
        let by_command =
            std::fs::read(folder.path().join(format!("photo-4x.{extension}"))).unwrap();

        let (_, opened) = outcome(&mut workers, Job::Open(path));
        let Outcome::Opened { picture, .. } = opened else { panic!("{opened:?}") };
        let focus = Focus::default();
        // Looking at the lower right corner changes the order of the tiles.
        focus.look_at([0.8, 0.8, 1.0, 1.0]);
        let job = Job::Upscale {
            picture: picture.clone(),
            model: "starter".to_owned(),
            device: "cpu".to_owned(),
            options: UpscaleOptions::default(),
            focus,
            tiles: Default::default(),
        };
        let (patches, upscaled) = outcome(&mut workers, job);
        let Outcome::Upscaled { receipt, target } = upscaled else { panic!("{upscaled:?}") };
        assert!(patches[0].area.x > 0 && patches[0].area.y > 0, "the corner comes first");
        assert!(target.ends_with(format!("photo-4x-1.{extension}")));
        let result = Mosaic { size: receipt.output_size, color: picture.pixels.color(), patches };
        let metadata = picture.metadata.clone();
        let save = Job::Save {
            picture: picture.clone(),
            result,
            strength: 1.0,
            metadata,
            encoding: Default::default(),
            receipt: None,
            path: target.clone(),
        };
        let (_, saved) = outcome(&mut workers, save);
        let Outcome::Saved { path, .. } = saved else { panic!("{saved:?}") };
        assert_eq!(path, target);
        assert!(std::fs::read(path).unwrap() == by_command, "{extension} differs");
    }
    assert_eq!(files(folder.path()).len(), 15);
}

#[test]
fn a_worker_survives_nonsense() {
    let mut workers = Workers::start(|| {}).unwrap();
    // A picture without pixels breaks arithmetic that every real one passes.
    let broken = Picture::from_pixels("empty", RgbImage::new(0, 0).into());
    let handle = workers.submit(Job::Upscale {
        picture: Arc::new(broken),
        model: "starter".to_owned(),
        device: "cpu".to_owned(),
        options: UpscaleOptions::default(),
        focus: Focus::default(),
        tiles: Default::default(),
    });
    let start = Instant::now();
    let failed = loop {
        assert!(start.elapsed() < Duration::from_secs(30));
        let found = workers.events().find(|event| {
            event.id == handle.id
                && matches!(event.kind, EventKind::Failed(_) | EventKind::Finished(_))
        });
        if let Some(event) = found {
            break event;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(matches!(failed.kind, EventKind::Failed(_)), "{failed:?}");
    let job = Job::OpenPixels(picture(8, 8).into());
    assert!(matches!(outcome(&mut workers, job).1, Outcome::Opened { .. }));
}
