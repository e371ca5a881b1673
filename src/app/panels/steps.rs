//! The list of what was done to the photo.

use egui::{Align, Layout, ProgressBar, RichText, Stroke, Ui, Vec2};

use super::{
    super::{App, Command, steps::Change, theme},
    upscale::tall_ui,
};

/// Shows the list where there is one; whether it is being done again.
pub(super) fn ui(app: &mut App, ui: &mut Ui) -> bool {
    let replaying = replaying_ui(app, ui);
    let steps: Vec<(String, bool)> =
        app.steps().iter().map(|step| (step.action.name(), step.on)).collect();
    if steps.is_empty() {
        return replaying;
    }
    theme::section(ui, "STEPS");
    let mut change = None;
    let last = steps.len() - 1;
    ui.add_enabled_ui(app.can_change_steps(), |ui| {
        for (place, (name, on)) in steps.into_iter().enumerate() {
            ui.horizontal(|ui| {
                let mut checked = on;
                let help = "Do this step or leave it out";
                if ui.checkbox(&mut checked, name.as_str()).on_hover_text(help).clicked() {
                    change = Some(Change::Switch(place));
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    ui.spacing_mut().item_spacing.x = 2.0;
                    let number = place + 1;
                    if sign_ui(ui, Sign::Cross, true, &format!("Remove step {number}")) {
                        change = Some(Change::Remove(place));
                    }
                    if sign_ui(ui, Sign::Down, place < last, &format!("Do step {number} later")) {
                        change = Some(Change::Swap(place));
                    }
                    if sign_ui(ui, Sign::Up, place > 0, &format!("Do step {number} earlier")) {
                        change = Some(Change::Swap(place - 1));
                    }
                });
            });
        }
    });
    if let Some(change) = change {
        app.change_steps(change);
    }
    if app.finished().is_none() && app.has_work() && !replaying && app.running.is_none() {
        ui.add_space(4.0);
        tall_ui(app, ui, Command::Save, egui::Button::new(Command::Save.name()));
    }
    ui.add_space(12.0);
    replaying
}

/// On a small button.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Up,
    Down,
    Cross,
}

/// A small button with a sign that the typeface does not have; whether it was clicked.
fn sign_ui(ui: &mut Ui, sign: Sign, enabled: bool, help: &str) -> bool {
    let button = egui::Button::new("").min_size(Vec2::splat(18.0)).frame(false);
    let shown = ui.add_enabled(enabled, button).on_hover_text(help);
    shown.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, enabled, help));
    let middle = shown.rect.center();
    let at = |x: f32, y: f32| middle + Vec2::new(x, y);
    let color = ui.style().interact(&shown).fg_stroke.color;
    let color = if enabled { color } else { color.gamma_multiply(0.35) };
    let stroke = Stroke::new(1.4, color);
    let lines = match sign {
        Sign::Up => vec![vec![at(-4.0, 2.0), at(0.0, -2.0), at(4.0, 2.0)]],
        Sign::Down => vec![vec![at(-4.0, -2.0), at(0.0, 2.0), at(4.0, -2.0)]],
        Sign::Cross => vec![vec![at(-3.0, -3.0), at(3.0, 3.0)], vec![at(-3.0, 3.0), at(3.0, -3.0)]],
    };
    for line in lines {
        ui.painter().line(line, stroke);
    }
    shown.clicked()
}

fn replaying_ui(app: &mut App, ui: &mut Ui) -> bool {
    let Some(adopting) = app.adopting.as_ref().filter(|adopting| adopting.keeps_marks()) else {
        return false;
    };
    let progress = adopting.progress;
    let share =
        progress.map_or(0.0, |progress| progress.done as f32 / progress.total.max(1) as f32);
    theme::section(ui, "DOING THE STEPS AGAIN");
    let bar = ui.add(ProgressBar::new(share).desired_height(8.0).fill(theme::ACCENT));
    bar.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, "Progress"));
    ui.label(RichText::new(format!("{:.0} %", 100.0 * share)).small().weak());
    tall_ui(app, ui, Command::Cancel, egui::Button::new(Command::Cancel.name()));
    ui.add_space(12.0);
    true
}
