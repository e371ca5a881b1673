//! The report of a run as a page for a browser: the sentence, the curve, the figures, and the held-out
//! photos before, by the base and by the new model.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use image::{ColorType, RgbImage, imageops};

use super::{
    Trainer,
    verdict::{Piece, Verdict, pairs},
};
use crate::{
    encoding::Encoding,
    error::{Error, Result, capitalised},
    metric::Figures,
    picture::{Metadata, PictureWriter, formats::Header, resample::resize_exact},
    restore::evaluate::restored_rgb,
    settings::{self, Existing},
};

/// Side of the crops in pixels of the original; they are shown twice as large.
const CROP: u32 = 160;

/// Photos with crops at most; the table has all of them.
const PHOTOS: usize = 12;

/// Style of the page.
const STYLE: &str = "body{font:15px sans-serif;margin:2em auto;padding:0 1.5em;max-width:1360px;color:#222}\
h1{font-size:1.4em}table{border-collapse:collapse;margin:1em 0}td,th{padding:.3em .8em;\
text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}tr:last-child{font-weight:bold}\
figure{display:inline-block;margin:.3em}figcaption{font-size:.85em;color:#666}\
img{width:320px;height:320px;image-rendering:pixelated}";

pub(super) fn write(trainer: &Trainer, verdict: &Verdict, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(|error| Error::write(folder, error))?;
    let curve = curve(trainer);
    // By itself as well, for the card of a model.
    settings::write(&folder.join("curve.svg"), curve.as_bytes(), Existing::Replace)?;
    let mut page = String::from("<!doctype html><meta charset=\"utf-8\">");
    // Writing into a string cannot fail.
    let _infallible = write!(
        page,
        "<title>Training report</title><style>{STYLE}</style><h1>{}</h1>\
         <p>{} steps; {} photos to learn from, {} to choose by, {} for this verdict.</p>{curve}{}",
        escaped(&capitalised(&verdict.sentence)),
        trainer.done(),
        trainer.split.train.len(),
        trainer.split.validation.len(),
        trainer.split.test.len(),
        table(verdict),
    );
    crops(trainer, folder, &mut page)?;
    let path = folder.join("index.html");
    settings::write(&path, page.as_bytes(), Existing::Replace)
}

/// Text that a browser shows as it is: file names can hold anything.
fn escaped(text: &str) -> String {
    let replace = |letter: char| match letter {
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '&' => "&amp;".to_owned(),
        '"' => "&quot;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(replace).collect()
}

/// PSNR on the validation photos over the steps, against the base's line.
fn curve(trainer: &Trainer) -> String {
    const SIZE: (f64, f64) = (640.0, 260.0);
    let points: Vec<(f64, f64)> = trainer
        .history
        .iter()
        .filter(|point| point.psnr.is_finite())
        .map(|point| (point.step as f64, point.psnr))
        .collect();
    let base = trainer.base_psnr();
    let values = || points.iter().map(|point| point.1).chain([base]);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let across = |step: f64| 40.0 + step / trainer.done().max(1) as f64 * (SIZE.0 - 60.0);
    let down = |psnr: f64| SIZE.1 - 30.0 - (psnr - low) / (high - low).max(0.01) * (SIZE.1 - 60.0);
    let mut line = String::new();
    for (step, psnr) in &points {
        let _infallible = write!(line, "{:.1},{:.1} ", across(*step), down(*psnr));
    }
    let (width, height) = SIZE;
    let level = down(base);
    // At the left the values of both ends and of the base, below how many steps.
    let mut labels = String::new();
    let apart = [low, high].iter().all(|end| (down(*end) - level).abs() > 14.0);
    let middle = apart.then_some((base, level));
    for (value, y) in [(low, down(low)), (high, down(high))].into_iter().chain(middle) {
        let _infallible = write!(labels, "<text x=\"0\" y=\"{:.1}\">{value:.2}</text>", y + 4.0);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-size=\"12\" font-family=\"sans-serif\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <path d=\"M40 {level:.1}H{:.0}\" stroke=\"#999\" stroke-dasharray=\"4\"/>\
         <polyline points=\"{line}\" fill=\"none\" stroke=\"#c60\" stroke-width=\"2\"/>{labels}\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{} steps</text>\
         <text x=\"40\" y=\"14\">PSNR in dB of the photos to choose by; dashed: the base</text></svg>",
        width - 20.0,
        width - 20.0,
        height - 6.0,
        trainer.done()
    )
}

fn table(verdict: &Verdict) -> String {
    let mut rows = String::new();
    let masked = verdict.base.is_some_and(|mean| mean.inside.is_some());
    let mut row = |name: &str, base: &Figures, tuned: &Figures| {
        let _infallible = write!(rows, "<tr><td>{}", escaped(name));
        for [base, tuned] in [
            [Some(base.score.psnr), Some(tuned.score.psnr)],
            [base.inside, tuned.inside],
            [Some(base.mse), Some(tuned.mse)],
        ] {
            let _infallible = match (base, tuned) {
                (Some(base), Some(tuned)) => {
                    write!(rows, "<td>{base:.2}<td>{tuned:.2}<td>{:+.2}", tuned - base)
                }
                // Nothing of this photo is masked.
                _ if masked => write!(rows, "<td>-<td>-<td>-"),
                _ => Ok(()),
            };
        }
        let _infallible = write!(rows, "<td>{:.4}<td>{:.4}", base.score.ssim, tuned.score.ssim);
        if let (Some(base), Some(tuned)) = (base.distance, tuned.distance) {
            let _infallible = write!(rows, "<td>{base:.4}<td>{tuned:.4}");
        }
    };
    for photo in &verdict.photos {
        row(&photo.photo, &photo.base, &photo.tuned);
    }
    let mut heads = vec!["base, dB", "tuned, dB", "gain"];
    if let (Some(base), Some(tuned)) = (&verdict.base, &verdict.tuned) {
        row("mean", base, tuned);
        if masked {
            heads.extend(["base inside the mask, dB", "tuned", "gain"]);
        }
        heads.extend(["base, MSE", "tuned, MSE", "difference", "base, SSIM", "tuned, SSIM"]);
        if base.distance.is_some() {
            heads.extend(["base, feature distance", "tuned, feature distance"]);
        }
    }
    format!("<table><tr><th>held-out photo<th>{}{rows}</table>", heads.join("<th>"))
}

/// Detailed pieces of held-out photos, in four versions each.
fn crops(trainer: &Trainer, folder: &Path, page: &mut String) -> Result<()> {
    let test = &trainer.split.test[..trainer.split.test.len().min(PHOTOS)];
    let options = &trainer.options;
    let scale = trainer.base.scale();
    // With surroundings, so that the border of the crop is not one for the network.
    let pairs = pairs(test, &options.recipe(), scale, options.seed, Piece::Detailed(2 * CROP))?;
    for (index, pair) in pairs.iter().enumerate() {
        let mask = pair.mask.as_ref();
        let restored = |model| restored_rgb(&pair.small, mask, scale, model, &trainer.chosen);
        let (width, height) = pair.large.dimensions();
        let versions = [
            (
                if scale == 1 { "before" } else { "before (bicubic)" },
                resize_exact(&pair.small, width, height),
            ),
            ("base", restored(&trainer.base)?),
            ("tuned", restored(&trainer.best_model)?),
            ("original", pair.large.clone()),
        ];
        page.push_str("<div>");
        for (name, picture) in versions {
            let (w, h) = (CROP.min(width), CROP.min(height));
            let (x, y) = ((width - w) / 2, (height - h) / 2);
            let crop = imageops::crop_imm(&picture, x, y, w, h).to_image();
            let word = name.split(' ').next().unwrap_or(name);
            let file = format!("{index}-{word}.png");
            save(&folder.join(&file), crop)?;
            let _infallible = write!(
                page,
                "<figure><img src=\"{file}\" alt=\"{name}\"><figcaption>{name}</figcaption></figure>"
            );
        }
        page.push_str("</div>");
    }
    Ok(())
}

fn save(path: &Path, crop: RgbImage) -> Result<()> {
    let header = Header {
        width: crop.width(),
        height: crop.height(),
        color: ColorType::Rgb8,
        metadata: Metadata::default(),
        encoding: Encoding::default(),
    };
    let mut writer = PictureWriter::create(path, header)?;
    writer.push(crop.into_raw())?;
    writer.finish(Existing::Replace)?;
    Ok(())
}
