//! The panel beside the canvas: the photo, the settings, the one button, and
//! afterwards where the result goes.

use std::time::Duration;

use egui::{Align, ComboBox, Layout, ProgressBar, RichText, Ui, Vec2};

use super::{
    super::{App, Command, Made, ResultSoFar, Running, Summary, theme},
    preview, saving, size, steps, strength,
};
use crate::{
    device::CPU,
    model::library::About,
    picture::{Format, Picture},
};

/// Height of the large buttons.
const TALL: f32 = 40.0;

pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    let Some(picture) = app.document.as_ref().map(|document| document.picture.clone()) else {
        return;
    };
    photo_ui(&picture, ui);
    if steps::ui(app, ui) {
        return;
    }
    theme::section(ui, "ENLARGE");
    settings_ui(app, ui);
    ui.add_space(6.0);
    let steps = size::steps_ui(app, ui);
    ui.add_space(2.0);

    if busy_ui(app, ui) {
        return;
    }
    if let Some(steps) = steps {
        let upscale = if app.made_by() == Some(Made::Upscale) {
            egui::Button::new("Upscale again")
        } else {
            theme::primary(format!("Upscale {}×", (steps.factor() * 100.0).round() / 100.0))
        };
        tall_ui(app, ui, Command::Upscale, upscale);
    }
    // Where a result is, it is what comes next.
    let has_result = app.has_result();
    if steps.is_some() && !has_result {
        preview::ui(app, ui);
    }
    result_ui(app, ui);
    if steps.is_some() && has_result {
        ui.add_space(14.0);
        preview::ui(app, ui);
    }
    ui.add_space(14.0);
    many_ui(app, ui);
}

/// The name of the photo and what it is.
pub(super) fn photo_ui(picture: &Picture, ui: &mut Ui) {
    theme::section(ui, "PHOTO");
    ui.label(RichText::new(&picture.name).strong());
    ui.label(theme::quiet(description(picture)));
    ui.add_space(14.0);
}

/// How far the running job is, if there is one.
pub(super) fn busy_ui(app: &mut App, ui: &mut Ui) -> bool {
    let Some(running) = &app.running else { return false };
    running_ui(running, ui);
    let cancelling = running.handle.is_cancelling();
    let text = if cancelling { "Stopping after this tile…" } else { Command::Cancel.name() };
    tall_ui(app, ui, Command::Cancel, egui::Button::new(text));
    true
}

/// What was done and where it goes.
pub(super) fn result_ui(app: &mut App, ui: &mut Ui) {
    if let Some(result) = app.document.as_ref().and_then(|document| document.result.as_ref()) {
        ui.add_space(14.0);
        theme::section(ui, "RESULT");
        summary_ui(result, ui);
    }
    if app.made_by() == Some(Made::Upscale) {
        strength::ui(ui, &mut app.enlarged_strength);
        invented_ui(app, ui);
    }
    if app.finished().is_some() {
        save_ui(app, ui);
    }
}

/// The way from one photo to many.
pub(super) fn many_ui(app: &mut App, ui: &mut Ui) {
    if Command::ManyPhotos.button(ui, app).clicked() {
        app.queue.push(Command::ManyPhotos);
    }
}

/// A button across the panel that queues its command.
pub(super) fn tall_ui(app: &mut App, ui: &mut Ui, command: Command, button: egui::Button<'_>) {
    let button = button.min_size(Vec2::new(0.0, TALL));
    let shown = ui.vertical_centered_justified(|ui| command.decorated(ui, app, button));
    if shown.inner.clicked() {
        app.queue.push(command);
    }
}

fn settings_ui(app: &mut App, ui: &mut Ui) {
    let before = app.settings.clone();
    let enabled = app.running.is_none();
    ui.add_enabled_ui(enabled, |ui| {
        egui::Grid::new("settings").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
            let label = ui.label("Model");
            let chosen = &mut app.settings.model;
            let enlarges = |model: &About| model.scale > 1 && !model.takes_mask;
            let asked = models_ui(ui, &app.models, enlarges, chosen, label.id);
            app.asked(asked);
            ui.end_row();

            device_ui(app, ui);
            ui.end_row();

            size::row_ui(app, ui);
        });
        ui.checkbox(&mut app.settings.colour_lock, "Keep the photo's colours").on_hover_text(
            "Light and colour of larger areas are matched to the photo; a network may tint them",
        );
    });
    if app.settings != before {
        app.keep_settings();
    }
}

/// The device in two columns of a grid.
pub(super) fn device_ui(app: &mut App, ui: &mut Ui) {
    let label = ui.label("Device");
    let width = ui.available_width();
    let shown = match app.settings.device.as_str() {
        "auto" => "Automatic",
        "cpu" => CPU,
        name => name,
    };
    ComboBox::from_id_salt("device")
        .selected_text(shown)
        .width(width)
        .truncate()
        .show_ui(ui, |ui| {
            let device = &mut app.settings.device;
            ui.selectable_value(device, "auto".to_owned(), "Automatic")
                .on_hover_text("The graphics card if it computes correctly, or the CPU");
            for name in &app.adapters {
                ui.selectable_value(device, name.clone(), name);
            }
            ui.selectable_value(device, "cpu".to_owned(), CPU);
        })
        .response
        .labelled_by(label.id);
}

/// What the user wants of a list of models, beside choosing one.
pub(super) enum Asked {
    Nothing,
    Add,
    Remove(String),
}

/// A list of the models that `fits` takes, of which one is chosen.
pub(super) fn models_ui(
    ui: &mut Ui,
    models: &[About],
    fits: impl Fn(&About) -> bool,
    chosen: &mut String,
    label: egui::Id,
) -> Asked {
    let mut asked = Asked::Nothing;
    let width = ui.available_width();
    ComboBox::from_id_salt(label)
        .selected_text(chosen.clone())
        .width(width)
        .height(420.0)
        .truncate()
        .show_ui(ui, |ui| {
            ui.set_width(width - ui.spacing().menu_margin.sum().x);
            for model in models.iter().filter(|model| fits(model)) {
                if model_ui(ui, model, chosen) {
                    asked = Asked::Remove(model.name.clone());
                }
            }
            ui.separator();
            let add = ui
                .selectable_label(false, Command::AddModel.name())
                .on_hover_text(Command::AddModel.help());
            if add.clicked() {
                asked = Asked::Add;
            }
        })
        .response
        .labelled_by(label);
    asked
}

/// A row of the list; whether the model is to be removed.
fn model_ui(ui: &mut Ui, model: &About, chosen: &mut String) -> bool {
    let About { name, architecture, scale, bytes, .. } = model;
    let megabytes = *bytes as f64 / 1e6;
    let job = model.job.unwrap_or("added by you");
    let about = format!("{name}: {job}\n{architecture}, {scale}×, {megabytes:.1} MB");
    let size = Vec2::new(ui.available_width(), ui.spacing().interact_size.y);
    let row = |ui: &mut Ui| {
        let mut removes = false;
        if !model.shipped {
            let help = format!("Remove {name} from the list");
            let button = ui.add(egui::Button::new("×").small().frame(false)).on_hover_text(&help);
            button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &help));
            removes = button.clicked();
        }
        ui.with_layout(Layout::top_down_justified(Align::LEFT), |ui| {
            let label = egui::Button::selectable(chosen == name, name).truncate();
            if ui.add(label).on_hover_text(about).clicked() {
                *chosen = name.clone();
                ui.close();
            }
        });
        removes
    };
    // The cross comes first: at the right the scroll bar of a long list would take its clicks.
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), row).inner
}

impl App {
    pub(super) fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Nothing => {}
            Asked::Add => self.queue.push(Command::AddModel),
            Asked::Remove(name) => self.remove_model(name),
        }
    }
}

fn running_ui(running: &Running, ui: &mut Ui) {
    let (fraction, text) = match running.progress {
        None => (0.0, "Getting ready…".to_owned()),
        Some(progress) => {
            let megapixels = |pixels: u64| pixels as f64 / 1e6;
            let left = match progress.remaining {
                None => "measuring the speed".to_owned(),
                Some(left) => format!("{} left", in_words(left)),
            };
            (
                progress.done as f32 / progress.total.max(1) as f32,
                format!(
                    "{:.1} of {:.1} Mpx, {left}",
                    megapixels(progress.done),
                    megapixels(progress.total)
                ),
            )
        }
    };
    let bar = ui.add(ProgressBar::new(fraction).desired_height(8.0).fill(theme::ACCENT));
    bar.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, "Progress"));
    ui.label(theme::quiet(text));
}

fn summary_ui(result: &ResultSoFar, ui: &mut Ui) {
    let (width, height) = result.mosaic.size;
    let text = match &result.summary {
        Some(Summary { text, device, seconds, .. }) => {
            let device = device.as_ref().map_or_else(String::new, |device| format!(" on {device}"));
            format!("{text} in {}{device}", in_words(Duration::from_secs_f64(*seconds)))
        }
        None => {
            let done: u64 = result.mosaic.patches.iter().map(|patch| patch.area.area()).sum();
            let share = done as f64 / (f64::from(width) * f64::from(height));
            format!("Stopped at {:.0} %: what was done is shown", share * 100.0)
        }
    };
    ui.label(theme::quiet(text));
    let receipt = result.summary.as_ref().and_then(|summary| summary.receipt.as_ref());
    if let Some(shift) = receipt.and_then(|receipt| receipt.colour_shift) {
        let text = format!("Colours off by {:.2} ΔE (network: {:.2})", shift.after, shift.before);
        ui.label(theme::quiet(text)).on_hover_text(
            "Mean CIEDE2000 over areas of the photo; 1 can just be seen side by side",
        );
    }
    if let Some(decibels) = receipt.and_then(|receipt| receipt.consistency) {
        ui.label(theme::quiet(format!("Shrunk again {decibels:.1} dB from the photo")))
            .on_hover_text("PSNR; high where nothing was changed, only added");
    }
}

/// How much detail was invented, and the way to see where.
fn invented_ui(app: &mut App, ui: &mut Ui) {
    let Some(map) = app.heat_map() else { return };
    let ((most, _), overall) = (map.most(), map.overall());
    let text = format!("{overall:.1} levels overall, {most:.1} at most");
    ui.horizontal(|ui| {
        let button = egui::Button::selectable(app.viewer.shows_heat(), Command::HeatMap.name());
        let button = button.frame_when_inactive(true);
        if Command::HeatMap.decorated(ui, app, button).clicked() {
            app.queue.push(Command::HeatMap);
        }
        ui.add(egui::Label::new(theme::quiet(text)).wrap()).on_hover_text(
            "How much the result varies inside of the area of a pixel of the photo, beyond what \
             interpolation draws there: in levels of 255",
        );
    });
}

fn save_ui(app: &mut App, ui: &mut Ui) {
    let saving = app.saving.is_some();
    let text = if saving { "Saving…" } else { Command::Save.name() };
    tall_ui(app, ui, Command::Save, theme::primary(text));
    if let Some(result) = app.finished() {
        if let Some(target) = &result.target {
            ui.label(theme::quiet(target.display().to_string()));
        }
        let document = app.document.as_ref();
        let losses = document.zip(result.target.as_ref()).map(|(document, target)| {
            let format = Format::of_path(target);
            let losses =
                format.map(|format| format.losses(result.mosaic.color, &document.picture.metadata));
            losses.unwrap_or_default()
        });
        for loss in losses.unwrap_or_default() {
            ui.label(RichText::new(loss).small().color(ui.visuals().warn_fg_color));
        }
    }
    ui.horizontal(|ui| {
        for command in [Command::SaveAs, Command::Adopt] {
            if command.button(ui, app).clicked() {
                app.queue.push(command);
            }
        }
    });
    ui.horizontal(|ui| {
        if Command::Share.button(ui, app).clicked() {
            app.queue.push(Command::Share);
        }
        if app.command_line().is_some() && Command::CopyRecipe.button(ui, app).clicked() {
            app.queue.push(Command::CopyRecipe);
        }
    });
    let target = app.finished().and_then(|result| result.target.as_deref());
    saving::ui(app, target.and_then(Format::of_path), ui);
}

/// Size, format and kind of a photo.
fn description(picture: &Picture) -> String {
    let (width, height) = picture.size();
    let color = picture.pixels.color();
    let bits = 8 * color.bytes_per_pixel() / color.channel_count();
    let megapixels = f64::from(width) * f64::from(height) / 1e6;
    let kind = if color.has_color() { "colour" } else { "grey" };
    let alpha = if color.has_alpha() { " with transparency" } else { "" };
    format!(
        "{width} × {height}, {megapixels:.1} Mpx, {}, {bits} bit {kind}{alpha}",
        picture.format.name()
    )
}

/// A time that nobody would state more precisely.
pub(in crate::app) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 100.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_like_people_do() {
        assert_eq!(in_words(Duration::from_millis(1_440)), "1.4 s");
        assert_eq!(in_words(Duration::from_secs(42)), "42 s");
        assert_eq!(in_words(Duration::from_secs(600)), "10 min");
    }
}
