//! How strongly results are compressed; each format remembers its own.

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

/// One struct for the command line, the settings file and the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct Encoding {
    /// Quality of a JPEG, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 95, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub jpeg_quality: u8,
    /// How finely a JPEG holds colour
    #[arg(long, value_name = "444|422|420", value_enum, default_value_t = JpegColour::Full)]
    pub jpeg_colour: JpegColour,
    /// How hard a PNG is compressed; all levels keep every bit
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = PngLevel::Balanced)]
    pub png_level: PngLevel,
    /// Quality of a WebP with losses, 1 to 100; without it every pixel is kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub webp_quality: Option<u8>,
    /// How a TIFF is compressed; all ways keep every bit
    #[arg(long, value_name = "WAY", value_enum, default_value_t = TiffCompression::None)]
    pub tiff_compression: TiffCompression,
}

/// How a result is written, beside its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Writing {
    /// How strongly it is compressed.
    pub encoding: Encoding,
    /// Where the photo was made is left out.
    pub strip_location: bool,
}

impl Default for Encoding {
    fn default() -> Self {
        Self {
            jpeg_quality: 95,
            jpeg_colour: JpegColour::default(),
            png_level: PngLevel::default(),
            webp_quality: None,
            tiff_compression: TiffCompression::default(),
        }
    }
}

impl Encoding {
    /// As options of the command line; what has its default is not said.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let usual = Self::default();
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        [
            (
                self.jpeg_quality != usual.jpeg_quality,
                "--jpeg-quality",
                self.jpeg_quality.to_string(),
            ),
            (
                self.jpeg_colour != usual.jpeg_colour,
                "--jpeg-colour",
                name(self.jpeg_colour.to_possible_value()),
            ),
            (
                self.png_level != usual.png_level,
                "--png-level",
                name(self.png_level.to_possible_value()),
            ),
            (
                self.webp_quality != usual.webp_quality,
                "--webp-quality",
                self.webp_quality.map_or_else(String::new, |quality| quality.to_string()),
            ),
            (
                self.tiff_compression != usual.tiff_compression,
                "--tiff-compression",
                name(self.tiff_compression.to_possible_value()),
            ),
        ]
        .into_iter()
        .filter(|(differs, ..)| *differs)
        .flat_map(|(_, option, value)| [option.to_owned(), value])
        .collect()
    }
}

/// Colour samples of a JPEG for 2 x 2 pixels of brightness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum JpegColour {
    /// One for each pixel: the pixels were just made with care.
    #[default]
    #[serde(rename = "444")]
    #[value(name = "444")]
    Full,
    /// One for two pixels beside each other.
    #[serde(rename = "422")]
    #[value(name = "422")]
    Half,
    /// One for all four.
    #[serde(rename = "420")]
    #[value(name = "420")]
    Quarter,
}

/// Time against size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PngLevel {
    /// Large files, fast.
    Fast,
    /// Between.
    #[default]
    Balanced,
    /// Small files, slow.
    Best,
}

/// What TIFF can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum TiffCompression {
    /// Not at all: every program reads it.
    #[default]
    None,
    /// By a dictionary, as old programs read it.
    Lzw,
    /// As ZIP does: smaller.
    Deflate,
}
