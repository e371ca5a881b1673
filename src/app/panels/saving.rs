//! What goes into the file of a result beside its pixels, and how strongly it is compressed.

use egui::{CollapsingHeader, ComboBox, Grid, Slider, Ui};

use super::super::App;
use crate::{
    encoding::{JpegColour, PngLevel, TiffCompression},
    picture::{Format, Metadata, Picture},
};

/// What a WebP with losses begins with.
const WEBP_QUALITY: u8 = 90;

/// What can be set for files of this format; each format remembers its own.
pub(super) fn ui(app: &mut App, format: Option<Format>, ui: &mut Ui) {
    let before = app.settings.clone();
    CollapsingHeader::new("File options").show(ui, |ui| {
        let encoding = &mut app.settings.encoding;
        Grid::new("file options").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| match format {
            Some(Format::Jpeg) => {
                let label = ui.label("Quality");
                ui.add(Slider::new(&mut encoding.jpeg_quality, 1..=100)).labelled_by(label.id);
                ui.end_row();
                let colours = [
                    (JpegColour::Full, "Full (4:4:4)"),
                    (JpegColour::Half, "Half (4:2:2)"),
                    (JpegColour::Quarter, "A quarter (4:2:0)"),
                ];
                choice_ui(ui, "Colour", &mut encoding.jpeg_colour, &colours);
            }
            Some(Format::Png) => {
                let levels = [
                    (PngLevel::Fast, "Fast"),
                    (PngLevel::Balanced, "Balanced"),
                    (PngLevel::Best, "Smallest file"),
                ];
                choice_ui(ui, "Compression", &mut encoding.png_level, &levels);
            }
            Some(Format::WebP) => {
                let mut keeps_all = encoding.webp_quality.is_none();
                let label = ui.label("Compression");
                let kept = ui.checkbox(&mut keeps_all, "Keep every pixel");
                kept.labelled_by(label.id);
                ui.end_row();
                encoding.webp_quality = match encoding.webp_quality {
                    _ if keeps_all => None,
                    quality => {
                        let mut quality = quality.unwrap_or(WEBP_QUALITY);
                        let label = ui.label("Quality");
                        ui.add(Slider::new(&mut quality, 1..=100)).labelled_by(label.id);
                        ui.end_row();
                        Some(quality)
                    }
                };
            }
            Some(Format::Tiff) => {
                let ways = [
                    (TiffCompression::None, "None"),
                    (TiffCompression::Lzw, "LZW"),
                    (TiffCompression::Deflate, "ZIP"),
                ];
                choice_ui(ui, "Compression", &mut encoding.tiff_compression, &ways);
            }
            _ => {}
        });
        ui.checkbox(&mut app.settings.strip_location, "Leave out the location").on_hover_text(
            "Where the photo was made is taken out of its EXIF, XMP and IPTC; the rest is kept",
        );
        ui.checkbox(&mut app.settings.receipt, "Save a receipt beside it")
            .on_hover_text("What was done, as JSON: photo-4x.png.json");
    });
    if app.settings != before {
        app.keep_settings();
    }
}

fn choice_ui<T: Copy + PartialEq>(ui: &mut Ui, name: &str, chosen: &mut T, all: &[(T, &str)]) {
    let label = ui.label(name);
    let shown = all.iter().find(|(value, _)| value == chosen).map_or("", |(_, text)| text);
    ComboBox::from_id_salt(name)
        .selected_text(shown)
        .width(ui.available_width())
        .show_ui(ui, |ui| {
            for (value, text) in all {
                ui.selectable_value(chosen, *value, *text);
            }
        })
        .response
        .labelled_by(label.id);
    ui.end_row();
}

impl App {
    /// What of a photo's metadata goes into the result on screen.
    pub(in super::super) fn kept_metadata(&self, picture: &Picture) -> Metadata {
        let recipe = self.finished().and_then(|result| result.recipe.as_ref());
        let dpi = recipe.and_then(|recipe| recipe.options.size.dpi());
        picture.metadata.for_result(self.settings.strip_location, dpi)
    }
}
