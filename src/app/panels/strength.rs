//! Shares that are set by a slider, and how much of a network's answer is taken.

use egui::{Slider, Ui};

/// A slider from 0 to 1, shown in percent.
pub(super) fn percent(share: &mut f32) -> Slider<'_> {
    Slider::new(share, 0.0..=1.0)
        .custom_formatter(|value, _| format!("{:.0} %", 100.0 * value))
        .custom_parser(|text| Some(text.trim_end_matches('%').trim().parse::<f64>().ok()? / 100.0))
}

/// How much of the new photo is taken.
pub(super) fn ui(ui: &mut Ui, strength: &mut f32) {
    ui.horizontal(|ui| {
        let label = ui.label("Strength");
        ui.spacing_mut().slider_width = 110.0;
        ui.add(percent(strength))
            .labelled_by(label.id)
            .on_hover_text("How much of the new photo is taken; seen at once");
    });
}
