//! How time and memory grow with the photo, from 1 to 100 megapixels.
//!
//! The program's own command enlarges photos of one shape, and then some of one width. Time is that
//! of all processors together, which other programs on the machine disturb less than the clock.

use std::{
    error::Error,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use image::{Rgb, RgbImage};

use super::inference::usage_of_children;

const MEGAPIXELS: [f64; 7] = [1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 100.0];

/// Of those photos that all have one width, and that width in pixels.
const AS_WIDE: [f64; 3] = [1.0, 3.0, 6.0];
const WIDTH: f64 = 3000.0;

struct Run {
    megapixels: f64,
    seconds: f64,
    processor: f64,
    megabytes: f64,
}

/// Measures, prints a table, and draws it into a file if one is given.
pub fn measure(model: &str, largest: f64, plot: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let folder = tempfile::tempdir()?;
    let measured = |megapixels: f64, shape: f64| -> Result<Run, Box<dyn Error>> {
        let run = run(megapixels, shape, model, folder.path())?;
        writeln!(
            std::io::stdout(),
            "{megapixels:6.0} {:9.0} {:9.1} {:11.1} {:9.0}",
            (megapixels * 1e6 * shape).sqrt(),
            run.seconds,
            run.processor,
            run.megabytes
        )?;
        Ok(run)
    };
    writeln!(out, "\nGrowth: {model} on the CPU, PNG with little compression.")?;
    writeln!(out, "{:>6} {:>9} {:>9} {:>11} {:>9}", "Mpx", "width", "s", "CPU s", "peak MB")?;
    let sizes = MEGAPIXELS.into_iter().filter(|size| *size <= largest);
    let runs: Vec<Run> = sizes.map(|size| measured(size, 4.0 / 3.0)).collect::<Result<_, _>>()?;
    let (slope, start, r2) = line(&runs);
    writeln!(out, "CPU s = {start:.1} + {slope:.2} a megapixel, R2 = {r2:.5}")?;
    writeln!(out, "All {WIDTH} pixels wide:")?;
    for size in AS_WIDE {
        measured(size, WIDTH * WIDTH / (size * 1e6))?;
    }
    if let Some(path) = plot {
        std::fs::File::create(path)?
            .write_all(drawn(model, &runs, (slope, start, r2)).as_bytes())?;
    }
    Ok(())
}

/// A picture with edges and grain of so many megapixels, as many times as wide as it is high.
pub fn photo(megapixels: f64, shape: f64) -> RgbImage {
    let width = (megapixels * 1e6 * shape).sqrt().round();
    let height = (megapixels * 1e6 / width).round();
    let mut grain = 1_u32;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let edge = if (x / 90 + y / 70) % 2 == 0 { 90 } else { 0 };
        let noise = (grain >> 27) as u8;
        let value = |shift: u32| ((x + y * shift) / 40 % 120) as u8 + edge + noise;
        Rgb([value(1), value(2), value(3)])
    })
}

fn run(megapixels: f64, shape: f64, model: &str, folder: &Path) -> Result<Run, Box<dyn Error>> {
    let (input, output) = (folder.join("in.bmp"), folder.join("out.png"));
    photo(megapixels, shape).save(&input)?;
    let (begin, before) = (Instant::now(), usage_of_children());
    let answer = Command::new(env!("CARGO_BIN_EXE_pixmend"))
        .args(["upscale", "--model", model, "--device", "cpu", "--png-level", "fast", "--json"])
        .args(["--overwrite".as_ref(), input.as_os_str(), "-o".as_ref(), output.as_os_str()])
        .stderr(Stdio::null())
        .output()?;
    let (seconds, processor) = (begin.elapsed().as_secs_f64(), usage_of_children() - before);
    let receipt: serde_json::Value = serde_json::from_slice(&answer.stdout)?;
    let peak = receipt["peak_memory_bytes"].as_f64().ok_or("no peak of memory")?;
    Ok(Run { megapixels, seconds, processor, megabytes: peak / 1e6 })
}

/// Slope, start and R² of the straight line through the times of the processor (least squares).
fn line(runs: &[Run]) -> (f64, f64, f64) {
    let count = runs.len() as f64;
    let mean = |value: fn(&Run) -> f64| runs.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|run| run.megapixels), mean(|run| run.processor));
    let sum = |value: &dyn Fn(f64, f64) -> f64| -> f64 {
        runs.iter().map(|run| value(run.megapixels - x, run.processor - y)).sum()
    };
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    (xy / xx, y - xy / xx * x, xy * xy / (xx * yy))
}

/// Both curves as SVG: time of the processor with its line, and the peak of memory.
fn drawn(model: &str, runs: &[Run], (slope, start, r2): (f64, f64, f64)) -> String {
    let right = runs.last().map_or(1.0, |run| run.megapixels);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 300\" \
         font-family=\"sans-serif\" font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
    );
    let titles = [
        format!("{model}: seconds of the processor, R² {r2:.4}"),
        "peak of memory in MB".to_owned(),
    ];
    for (index, title) in titles.iter().enumerate() {
        let value = |run: &Run| if index == 0 { run.processor } else { run.megabytes };
        let top = runs.iter().map(value).fold(1.0, f64::max);
        let left = 50.0 + 380.0 * index as f64;
        let place = |x: f64, y: f64| (left + 300.0 * x / right, 260.0 - 210.0 * y / top);
        // Writing into a string cannot fail.
        let _infallible = write!(
            svg,
            "<text x=\"{left}\" y=\"24\">{title}</text><path d=\"M{left} 40V260h310\" fill=\"none\" \
             stroke=\"#999\"/><text x=\"{}\" y=\"280\" text-anchor=\"middle\">{right} megapixels</text>\
             <text x=\"{}\" y=\"54\" text-anchor=\"end\">{top:.0}</text>",
            left + 300.0,
            left - 6.0
        );
        let mut points: Vec<(f64, f64)> =
            runs.iter().map(|run| place(run.megapixels, value(run))).collect();
        for (x, y) in &points {
            let _infallible =
                write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#26c\"/>");
        }
        if index == 0 {
            points = vec![place(0.0, start), place(right, start + slope * right)];
        }
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _infallible =
            write!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"#26c\"/>");
    }
    svg + "</svg>\n"
}
