//! The models that are compared on the place in view.

use std::time::Duration;

use egui::{Align, Button, ComboBox, Layout, RichText, Ui, Vec2};

use super::{
    super::{
        App, Command,
        previews::{self, MOST},
        theme,
    },
    upscale::{in_words, tall_ui},
};

/// The button, and below it what came of it.
pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    ui.scope(|ui| rows_ui(app, ui));
}

fn rows_ui(app: &mut App, ui: &mut Ui) {
    let busy = app.previews.running().next().is_some();
    let text = if busy { "Looking…" } else { Command::Preview.name() };
    tall_ui(app, ui, Command::Preview, Button::new(text));
    if app.previews.all.is_empty() {
        return;
    }
    ui.spacing_mut().item_spacing.y = 4.0;
    ui.spacing_mut().interact_size.y = 26.0;
    ui.spacing_mut().button_padding.y = 4.0;
    let mut removed = None;
    for place in 0..app.previews.all.len() {
        ui.horizontal(|ui| removed = removed.or(row_ui(app, ui, place)));
    }
    if let Some(place) = removed {
        app.leave_out(place);
    }
    ui.horizontal(|ui| {
        let shown = app.previews.flipped.and_then(|place| app.previews.all.get(place));
        if let Some(model) = shown.map(|preview| preview.model.clone())
            && model != app.settings.model
            && ui.button(format!("Use {model}")).clicked()
        {
            app.settings.model = model;
            app.keep_settings();
        }
        if app.previews.all.len() < MOST {
            more_ui(app, ui);
        }
    });
}

/// A model with its key; whether it is to be left out.
fn row_ui(app: &mut App, ui: &mut Ui, place: usize) -> Option<usize> {
    let flip = Command::Flip(place as u8);
    let preview = &app.previews.all[place];
    let words = match (&preview.running, preview.taken) {
        (Some(_), _) => "…".to_owned(),
        (None, Some(taken)) => {
            let time = |seconds: f64| in_words(Duration::from_secs_f64(seconds));
            let all = taken.whole.map_or_else(String::new, |all| format!(", all {}", time(all)));
            format!("{}{all}", time(taken.seconds))
        }
        (None, None) => String::new(),
    };
    let model = preview.model.clone();
    let shown = app.previews.flipped == Some(place);
    let name = Button::selectable(shown, RichText::new(format!("{}  {model}", place + 1)));
    let size = Vec2::new(112.0, ui.spacing().interact_size.y);
    let left = Layout::top_down_justified(Align::LEFT);
    let name = |ui: &mut Ui| flip.decorated(ui, app, name.truncate());
    if ui.allocate_ui_with_layout(size, left, name).inner.clicked() {
        app.queue.push(flip);
    }
    ui.label(theme::quiet(words));
    let idle = app.can_preview();
    let layout = Layout::right_to_left(Align::Center);
    let cross = |ui: &mut Ui| {
        let help = format!("Leave {model} out");
        let cross = Button::new("×").small().frame(false);
        let cross = ui.add_enabled(idle, cross).on_hover_text(&help);
        cross.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, idle, &help));
        cross.clicked().then_some(place)
    };
    ui.with_layout(layout, cross).inner
}

/// One model more.
fn more_ui(app: &mut App, ui: &mut Ui) {
    let free = |name: &str| app.previews.all.iter().all(|preview| preview.model != name);
    let others: Vec<String> = app
        .models
        .iter()
        .filter(|model| previews::enlarges(model) && free(&model.name))
        .map(|model| model.name.clone())
        .collect();
    if others.is_empty() {
        return;
    }
    let mut chosen = None;
    ui.add_enabled_ui(app.can_preview(), |ui| {
        ComboBox::from_id_salt("compare with").selected_text("Compare with…").show_ui(ui, |ui| {
            for name in others {
                if ui.selectable_label(false, &name).clicked() {
                    chosen = Some(name);
                }
            }
        });
    });
    if let Some(name) = chosen {
        app.compare_with(name);
    }
}
