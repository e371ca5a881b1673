//! How large the result is to be, and what happens for it.

use egui::{ComboBox, DragValue, RichText, Ui};

use super::super::{App, theme};
use crate::{
    error::capitalised,
    size::{Print, Size, Steps},
};

/// Ways to say it; each begins with what fits the photo.
const WAYS: [(&str, &str); 7] = [
    ("As the model does", "What the network makes, to the pixel"),
    ("Factor", "So many times the photo's sides"),
    ("Width", "Pixels of the result's width"),
    ("Height", "Pixels of the result's height"),
    ("Long side", "Pixels of the result's longer side"),
    ("Megapixels", "Million pixels of the result"),
    ("Print", "As large as fits on a sheet of paper"),
];

const fn way(size: &Size) -> usize {
    match size {
        Size::Model => 0,
        Size::Scale(_) => 1,
        Size::Width(_) => 2,
        Size::Height(_) => 3,
        Size::LongSide(_) => 4,
        Size::Megapixels(_) => 5,
        Size::Print(_) => 6,
    }
}

/// Another way to ask for the size that `output` is.
fn asked(way: usize, factor: f64, (width, height): (u32, u32)) -> Size {
    match way {
        0 => Size::Model,
        1 => Size::Scale((factor * 100.0).round() / 100.0),
        2 => Size::Width(width),
        3 => Size::Height(height),
        4 => Size::LongSide(width.max(height)),
        5 => Size::Megapixels((f64::from(width) * f64::from(height) / 1e5).round() / 10.0),
        _ => Size::Print(Print::default()),
    }
}

/// The row of a grid in which it is chosen.
pub(super) fn row_ui(app: &mut App, ui: &mut Ui) {
    let Some(document) = &app.document else { return };
    let (photo, scale) = (document.picture.size(), app.scale());
    let now = app.settings.size.steps(photo, scale).or_else(|_| Size::Model.steps(photo, scale));
    let size = &mut app.settings.size;
    let label = ui.label("Size");
    let chosen = way(size);
    ComboBox::from_id_salt("size")
        .selected_text(WAYS[chosen].0)
        .width(ui.available_width())
        .show_ui(ui, |ui| {
            for (index, (name, help)) in WAYS.into_iter().enumerate() {
                let row = ui.selectable_label(index == chosen, name).on_hover_text(help);
                if row.clicked()
                    && let Ok(now) = &now
                {
                    *size = asked(index, now.factor(), now.output);
                }
            }
        })
        .response
        .labelled_by(label.id);
    ui.end_row();
    if *size == Size::Model {
        return;
    }
    ui.label("");
    ui.horizontal(|ui| value_ui(size, ui));
    ui.end_row();
}

fn value_ui(size: &mut Size, ui: &mut Ui) {
    let name = WAYS[way(size)].0;
    let pixels = |ui: &mut Ui, value: &mut u32| {
        number_ui(ui, DragValue::new(value).range(1..=1_000_000).speed(10.0).suffix(" px"), name);
    };
    match size {
        Size::Model => {}
        Size::Scale(factor) => {
            let value = DragValue::new(factor).range(0.05..=16.0).speed(0.02).suffix("×");
            number_ui(ui, value.max_decimals(3), name);
        }
        Size::Width(value) | Size::Height(value) | Size::LongSide(value) => pixels(ui, value),
        Size::Megapixels(count) => {
            let value = DragValue::new(count).range(0.01..=4000.0).speed(0.2).suffix(" Mpx");
            number_ui(ui, value.max_decimals(2), name);
        }
        Size::Print(Print { width, height, dpi }) => {
            ui.spacing_mut().item_spacing.x = 4.0;
            ui.spacing_mut().interact_size.x = 38.0;
            let side = |ui: &mut Ui, value, name| {
                let value = DragValue::new(value).range(0.5..=1000.0).speed(0.1).max_decimals(1);
                number_ui(ui, value, name);
            };
            side(ui, width, "Sheet width in cm");
            ui.label("×");
            side(ui, height, "Sheet height in cm");
            ui.label("cm at");
            let value = DragValue::new(dpi).range(10.0..=2400.0).speed(1.0).max_decimals(0);
            number_ui(ui, value, "Pixels per inch");
            ui.label("dpi");
        }
    }
}

fn number_ui(ui: &mut Ui, value: DragValue<'_>, name: &str) {
    let shown = ui.add(value).on_hover_text(name);
    ui.ctx().accesskit_node_builder(shown.id, |node| node.set_label(name));
}

/// From what to what, and by which steps; `None` where it cannot be done, which is told.
pub(super) fn steps_ui(app: &mut App, ui: &mut Ui) -> Option<Steps> {
    let (width, height) = app.document.as_ref()?.picture.size();
    match app.settings.size.steps((width, height), app.scale()) {
        Ok(steps) => {
            let (across, down) = steps.output;
            ui.label(format!("{width} × {height} to {across} × {down}"));
            if app.settings.size != Size::Model {
                ui.label(theme::quiet(steps.to_string()));
            }
            let forecast = app.forecast().map(|words| capitalised(&words));
            ui.label(theme::quiet(forecast.unwrap_or_default()));
            Some(steps)
        }
        Err(error) => {
            let text = RichText::new(capitalised(&error.to_string()));
            ui.label(text.color(ui.visuals().warn_fg_color));
            None
        }
    }
}
