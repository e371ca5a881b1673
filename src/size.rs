//! How large a result is to be, and by what steps it gets there.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a user asks for. The photo's proportions are always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// What the model does.
    #[default]
    Model,
    /// So many times the photo's sides.
    Scale(f64),
    /// So many pixels wide.
    Width(u32),
    /// So many pixels high.
    Height(u32),
    /// So many pixels along the longer side.
    LongSide(u32),
    /// So many million pixels.
    Megapixels(f64),
    /// As large as fits on a sheet.
    Print(Print),
}

/// A sheet of paper, turned as the photo is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Print {
    /// Centimetres.
    pub width: f64,
    /// Centimetres.
    pub height: f64,
    /// Pixels per inch.
    pub dpi: f64,
}

impl Default for Print {
    fn default() -> Self {
        Self { width: 30.0, height: 20.0, dpi: 300.0 }
    }
}

/// Centimetres in an inch.
const INCH: f64 = 2.54;

impl Size {
    /// Dots per inch of a print; `None` where nothing is said of one.
    #[must_use]
    pub fn dpi(&self) -> Option<u32> {
        match self {
            Self::Print(print) => Some(print.dpi.round() as u32),
            _ => None,
        }
    }
}

impl FromStr for Print {
    type Err = String;

    /// `30x20cm@300`, `12x8in@240`, `300x200mm`; 300 dpi unless another number is given.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no print size; write it as 30x20cm@300 or 12x8in@300");
        let (sheet, dpi) = text.split_once('@').unwrap_or((text, "300"));
        let sheet = sheet.trim().to_lowercase();
        let units = [("cm", 1.0), ("mm", 0.1), ("in", INCH)];
        let unit = units.iter().find(|(unit, _)| sheet.ends_with(unit)).ok_or_else(wrong)?;
        let sides = sheet[..sheet.len() - unit.0.len()].trim().split_once(['x', '×']);
        let number = |text: &str| {
            let number = text.trim().parse().ok();
            number.filter(|number: &f64| number.is_finite() && *number > 0.0).ok_or_else(wrong)
        };
        let (width, height) = sides.ok_or_else(wrong)?;
        let dpi = dpi.trim().trim_end_matches("dpi");
        Ok(Self {
            width: number(width)? * unit.1,
            height: number(height)? * unit.1,
            dpi: number(dpi)?,
        })
    }
}

impl fmt::Display for Print {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What inches become in binary is rounded away.
        let short = |value: f64| (value * 1e4).round() / 1e4;
        write!(formatter, "{}x{}cm@{}", short(self.width), short(self.height), short(self.dpi))
    }
}

/// Beyond that a network draws on what it has drawn itself.
const MOST_PASSES: u32 = 2;

/// How a result of some size is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// How often the network enlarges.
    pub passes: u32,
    /// What it enlarges each time.
    pub scale: u32,
    /// The photo.
    pub input: (u32, u32),
    /// The result.
    pub output: (u32, u32),
}

impl Size {
    /// Width and height of the result for a photo of `size` with a model that enlarges `scale`
    /// times.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is nothing, or more than the model can give in two passes.
    pub fn steps(&self, input: (u32, u32), scale: u32) -> Result<Steps> {
        let output = self.output(input, scale);
        let factor = self.factor(input, scale);
        let most = f64::from(scale.pow(MOST_PASSES));
        if !(factor > 0.0 && factor.is_finite()) {
            return Err(Error::Setting(format!("a result {factor} times as large cannot be made")));
        }
        let [width, height] = [output.0, output.1].map(|side| side.round().max(1.0));
        if factor > most && scale == 1 {
            return Err(Error::Setting(format!(
                "a scale of {factor:.3} cannot be made with this model, which keeps the size"
            )));
        }
        if factor > most {
            return Err(Error::Setting(format!(
                "a scale of {factor:.3} cannot be made with this model, which enlarges up to {most} \
                 times in two passes"
            )));
        }
        let passes = if factor > f64::from(scale) { MOST_PASSES } else { 1 };
        // Before shrinking, the network's own size is computed with.
        let native = long(input) * f64::from(scale.pow(passes));
        if native > f64::from(i32::MAX) {
            return Err(Error::Setting(format!(
                "a result of {width} x {height} pixels is larger than any format holds"
            )));
        }
        Ok(Steps { passes, scale, input, output: (width as u32, height as u32) })
    }

    /// Result over photo.
    fn factor(&self, (width, height): (u32, u32), scale: u32) -> f64 {
        let (width, height) = (f64::from(width), f64::from(height));
        match *self {
            Self::Model => f64::from(scale),
            Self::Scale(factor) => factor,
            Self::Width(wanted) => f64::from(wanted) / width,
            Self::Height(wanted) => f64::from(wanted) / height,
            Self::LongSide(wanted) => f64::from(wanted) / width.max(height),
            Self::Megapixels(wanted) => (wanted * 1e6 / (width * height)).sqrt(),
            Self::Print(Print { width: across, height: down, dpi }) => {
                let long = across.max(down) / INCH * dpi / width.max(height);
                let short = across.min(down) / INCH * dpi / width.min(height);
                long.min(short)
            }
        }
    }

    fn output(&self, input: (u32, u32), scale: u32) -> (f64, f64) {
        let factor = self.factor(input, scale);
        (f64::from(input.0) * factor, f64::from(input.1) * factor)
    }

    /// Short enough for the name of a file: `4x`, `6000w`, `24mp`.
    #[must_use]
    pub fn label(&self, scale: u32) -> String {
        match self {
            Self::Model => format!("{scale}x"),
            Self::Scale(factor) => format!("{factor}x"),
            Self::Width(pixels) => format!("{pixels}w"),
            Self::Height(pixels) => format!("{pixels}h"),
            Self::LongSide(pixels) => format!("{pixels}px"),
            Self::Megapixels(count) => format!("{count}mp"),
            Self::Print(print) => print.to_string().replace('@', "-"),
        }
    }

    /// As options of the command line; none for what the model does.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let (option, value) = match self {
            Self::Model => return Vec::new(),
            Self::Scale(factor) => ("--scale", factor.to_string()),
            Self::Width(pixels) => ("--width", pixels.to_string()),
            Self::Height(pixels) => ("--height", pixels.to_string()),
            Self::LongSide(pixels) => ("--long-side", pixels.to_string()),
            Self::Megapixels(count) => ("--megapixels", count.to_string()),
            Self::Print(print) => ("--print", print.to_string()),
        };
        vec![option.to_owned(), value]
    }
}

fn long(size: (u32, u32)) -> f64 {
    f64::from(size.0.max(size.1))
}

impl Steps {
    /// The result's longer side over the photo's.
    #[must_use]
    pub fn factor(&self) -> f64 {
        long(self.output) / long(self.input)
    }

    /// Width and height before the last step, which makes it the result's.
    #[must_use]
    pub const fn native(&self) -> (u32, u32) {
        let factor = self.scale.pow(self.passes);
        (self.input.0 * factor, self.input.1 * factor)
    }
}

impl fmt::Display for Steps {
    /// `4× twice, then down to 6000 × 4000`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passes, scale, output: (width, height), .. } = self;
        match (*passes, *scale) {
            (_, 1) => write!(formatter, "the size is kept")?,
            (1, scale) => write!(formatter, "{scale}×")?,
            (_, scale) => write!(formatter, "{scale}× twice")?,
        }
        if self.native() == self.output {
            write!(formatter, " to {width} × {height}")
        } else {
            write!(formatter, ", then down to {width} × {height}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(size: Size) -> (u32, u32) {
        size.steps((1500, 1000), 4).unwrap().output
    }

    #[test]
    fn every_way_to_ask_keeps_the_proportions() {
        assert_eq!(output(Size::Model), (6000, 4000));
        assert_eq!(output(Size::Scale(0.5)), (750, 500));
        assert_eq!(output(Size::Scale(2.5)), (3750, 2500));
        assert_eq!(output(Size::Width(3000)), (3000, 2000));
        assert_eq!(output(Size::Height(3000)), (4500, 3000));
        assert_eq!(output(Size::LongSide(1501)), (1501, 1001));
        assert_eq!(output(Size::Megapixels(24.0)), (6000, 4000));
        // 30 cm at 254 dpi are 3000 pixels, and 15 cm 1500: the shorter side decides.
        let sheet = |text: &str| output(Size::Print(text.parse().unwrap()));
        assert_eq!(sheet("30x20cm@254"), (3000, 2000));
        assert_eq!(sheet("30x15cm@254"), (2250, 1500));
        assert_eq!(sheet("20x30cm@254"), (3000, 2000), "the sheet is turned as the photo is");
        assert_eq!(sheet("12x8in"), (3600, 2400));
        assert_eq!(sheet("300x200mm@254dpi"), (3000, 2000));
    }

    #[test]
    fn what_happens_is_told() {
        let told = |size: Size| size.steps((1500, 1000), 4).unwrap().to_string();
        assert_eq!(told(Size::Model), "4× to 6000 × 4000");
        assert_eq!(told(Size::Scale(2.0)), "4×, then down to 3000 × 2000");
        assert_eq!(told(Size::Width(9000)), "4× twice, then down to 9000 × 6000");
        assert_eq!(told(Size::Scale(16.0)), "4× twice to 24000 × 16000");
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        for size in [
            Size::Scale(0.0),
            Size::Scale(-1.0),
            Size::Scale(f64::NAN),
            Size::Scale(f64::INFINITY),
            Size::Scale(16.1),
            Size::Width(0),
            Size::Megapixels(-3.0),
        ] {
            assert!(size.steps((1500, 1000), 4).is_err(), "{size:?}");
        }
        assert!(Size::Scale(1.1).steps((1500, 1000), 1).is_err());
        assert!(Size::Model.steps((400_000_000, 2_000_000), 4).is_ok());
        assert!(Size::Scale(5.0).steps((400_000_000, 2), 4).is_err());
        for text in ["30x20", "x20cm", "30x20cm@", "0x20cm", "30cm@300", "infx1cm", "30x20cm@-3"] {
            assert!(text.parse::<Print>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sheet_is_read_as_it_is_written() {
        let print = Print { width: 30.5, height: 20.0, dpi: 240.0 };
        assert_eq!(print.to_string().parse(), Ok(print));
    }
}
