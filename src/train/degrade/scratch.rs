use image::{RgbImage, imageops};
use super::{Damage, Recipe, Step, Watermark};
#[test]
#[ignore]
fn scratch_sheets() {
    let photos: Vec<_> = std::fs::read_dir("/work/shared/data/train/clic").unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "webp")).take(6).collect();
    let none = Damage { kinds: [1, 1], scratches: [0, 0], folds: [0, 0], tears: [0, 0], corners: [0, 0], stains: [0, 0], dust: [0.0, 0.0], ..Damage::default() };
    let d = Damage::default();
    let sheets = [
        ("watermark", Step::Watermark(Watermark::default())),
        ("text", Step::Watermark(Watermark { tiled: 0.0, text: 1.0, ..Watermark::default() })),
        ("logo", Step::Watermark(Watermark { tiled: 0.0, text: 0.0, opacity: [0.8, 1.0], ..Watermark::default() })),
        ("scratches", Step::Damage(Damage { scratches: d.scratches, ..none })),
        ("folds", Step::Damage(Damage { folds: d.folds, ..none })),
        ("tears", Step::Damage(Damage { tears: d.tears, ..none })),
        ("corners", Step::Damage(Damage { corners: d.corners, ..none })),
        ("stains", Step::Damage(Damage { stains: d.stains, ..none })),
        ("dust", Step::Damage(Damage { dust: d.dust, ..none })),
        ("damage", Step::Damage(d)),
    ];
    for (side, cols, rows) in [(256, 5, 3), (128, 8, 4), (640, 2, 2)] {
    let crops: Vec<RgbImage> = photos.iter().map(|p| { let photo = image::open(p).unwrap().into_rgb8(); imageops::crop_imm(&photo, 20, 20, side, side).to_image() }).collect();
    for (name, step) in sheets {
        let recipe = Recipe { after: vec![step], ..Recipe::default() };
        let mut sheet = RgbImage::new(cols * (side + 4), rows * (side + 4));
        let mut took = std::time::Duration::ZERO;
        for i in 0..cols * rows {
            let start = std::time::Instant::now();
            let made = recipe.apply(&crops[(i as usize) % crops.len()], 1, &mut fastrand::Rng::with_seed(u64::from(i))).unwrap();
            took += start.elapsed();
            imageops::replace(&mut sheet, &made.picture, i64::from(i % cols * (side + 4)), i64::from(i / cols * (side + 4)));
        }
        println!("{name} {side}: {:?} each", took / (cols * rows));
        sheet.save(format!("/tmp/a-{name}-{side}.png")).unwrap();
    }
    }
    let photo = image::open(&photos[0]).unwrap().into_rgb8();
    let warp = crate::train::warp::Warp { rotate: 20.0, zoom: 0.5, shear: 0.1, perspective: 0.1, shift: 0.1, probability: 1.0 };
    let mut sheet = RgbImage::new(5 * 260, 3 * 260);
    let start = std::time::Instant::now();
    for i in 0..15_u32 {
        let made = warp.crop(&photo, 256, &mut fastrand::Rng::with_seed(u64::from(i)));
        imageops::replace(&mut sheet, &made, i64::from(i % 5 * 260), i64::from(i / 5 * 260));
    }
    println!("warp 256: {:?} each", start.elapsed() / 15);
    sheet.save("/tmp/a-warp.png").unwrap();
}
