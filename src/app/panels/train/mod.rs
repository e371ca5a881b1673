//! The panel for training, in three steps: photos, what to learn, and the run itself. Controls
//! stand in the panel at the side, pictures and plots on the canvas.

use std::time::Duration;

use egui::{Button, ProgressBar, RichText, Ui, Vec2, WidgetInfo};

use super::{
    super::{App, theme, training::Page},
    in_words,
};
use crate::{error::capitalised, train::goal::Goal};

mod compare;
mod learn;
mod photos;
mod plot;
mod runs;
mod tune;
mod watch;

/// Height of the large buttons.
const TALL: f32 = 40.0;

/// The controls.
pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    let page = app.training.page;
    match page {
        Page::Photos => photos_ui(app, ui),
        Page::Learn => learn::ui(app, ui),
        Page::Watch => watch::ui(app, ui),
    }
}

/// Pictures and plots.
pub(super) fn canvas_ui(app: &mut App, ui: &mut Ui) {
    let margin = egui::Frame::new().inner_margin(18);
    margin.show(ui, |ui| match app.training.page {
        Page::Photos => photos::ui(app, ui),
        Page::Learn => learn::canvas_ui(app, ui),
        Page::Watch => watch::canvas_ui(app, ui),
    });
}

/// A button across the panel.
fn tall_ui(ui: &mut Ui, enabled: bool, button: Button<'_>) -> egui::Response {
    let button = button.min_size(Vec2::new(0.0, TALL));
    ui.add_enabled_ui(enabled, |ui| ui.vertical_centered_justified(|ui| ui.add(button)).inner).inner
}

/// Text that wraps.
fn note_ui(ui: &mut Ui, text: impl Into<String>) {
    ui.label(theme::quiet(text));
}

fn bar_ui(ui: &mut Ui, share: f32, name: &str) {
    let bar = ui.add(ProgressBar::new(share).desired_height(8.0).fill(theme::ACCENT));
    bar.widget_info(|| WidgetInfo::labeled(egui::Role::ProgressIndicator, true, name));
}

fn photos_ui(app: &mut App, ui: &mut Ui) {
    choose_ui(app, ui);
    runs::all_ui(app, ui);
}

fn choose_ui(app: &mut App, ui: &mut Ui) {
    runs::unfinished_ui(app, ui);
    theme::section(ui, "1  CHOOSE PHOTOS");
    ui.horizontal(|ui| {
        if ui.button("Photos…").on_hover_text("Choose files; you can also drop them here").clicked()
        {
            app.ask_which_photos(ui.ctx(), false);
        }
        if ui.button("Folder…").on_hover_text("All photos in a folder and those in it").clicked()
        {
            app.ask_which_photos(ui.ctx(), true);
        }
    });
    let open = app.document.as_ref().and_then(|document| document.picture.source.clone());
    if let Some(open) = open.filter(|path| !app.training.places.contains(path))
        && ui.button("Add the open photo").clicked()
    {
        app.add_photos(vec![open]);
    }
    if let Some((_, done, total)) = app.training.examining {
        ui.add_space(6.0);
        bar_ui(ui, done as f32 / total.max(1) as f32, "Examining");
        note_ui(ui, format!("Examining {done} of {total}"));
        return;
    }
    let Some(checkup) = &app.training.checkup else {
        note_ui(
            ui,
            "Ten to a few hundred photos of the kind that you want to restore. They stay on this computer.",
        );
        return;
    };
    let (all, kept) = (checkup.photos.len(), checkup.kept().len());
    let found = checkup.photos.iter().filter(|photo| !photo.problems.is_empty()).count();
    ui.add_space(6.0);
    ui.label(RichText::new(format!("{kept} of {all} photos are used")).strong());
    note_ui(
        ui,
        match found {
            0 => "The doctor found nothing wrong.".to_owned(),
            1 => "The doctor found something about one of them.".to_owned(),
            _ => format!("The doctor found something about {found} of them."),
        },
    );
    match &app.training.plan {
        Some(Ok(plan)) => {
            note_ui(
                ui,
                format!(
                    "{} to learn from; held out: {} to choose the best weights by, {} for the verdict.",
                    plan.train.len(),
                    plan.validation.len(),
                    plan.test.len()
                ),
            );
            note_ui(ui, format!("{}.", capitalised(&plan.advice)));
        }
        Some(Err(reason)) => {
            let color = theme::warning(ui.visuals().dark_mode);
            ui.label(RichText::new(capitalised(reason)).small().color(color));
        }
        None => {}
    }
    if ui.button("Start over").on_hover_text("Choose other photos").clicked() {
        app.forget_photos();
        return;
    }
    ui.add_space(10.0);
    theme::section(ui, "2  WHAT SHALL BE LEARNT?");
    let ready = matches!(app.training.plan, Some(Ok(_))) && !app.training.run_goes_on();
    for goal in Goal::ALL {
        let button = match goal {
            Goal::Upscale => theme::primary(goal.name()),
            _ => Button::new(goal.name()),
        };
        if tall_ui(ui, ready, button).on_hover_text(help(goal)).clicked() {
            app.learn(goal);
        }
    }
}

const fn help(goal: Goal) -> &'static str {
    match goal {
        Goal::Upscale => "To enlarge photos like these",
        Goal::Clean => "To take away JPEG artefacts, noise or blur",
        Goal::Mend => "To fill scratches or watermarks",
        Goal::Colour => "To colour grey photos",
    }
}

/// Asks whether the window may close, and whether a run may be deleted.
pub(super) fn dialogs_ui(app: &mut App, ui: &Ui) {
    runs::delete_ui(app, ui);
    if !app.training.asks_to_close {
        return;
    }
    let ctx = ui.ctx().clone();
    theme::dialog(&ctx, "close over a run").show(&ctx, |ui| {
        ui.set_width(360.0);
        ui.heading("A training run goes on");
        ui.label("What it has learnt is kept. Next time, \"Resume\" goes on with it.");
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            if ui.add(theme::primary("Keep it and close")).clicked() {
                app.close_over_run(&ctx);
            }
            if ui.button("Go on training").clicked() {
                app.training.asks_to_close = false;
            }
        });
    });
}

/// A time in words, as far as it is known.
fn time_left(seconds: f64) -> String {
    in_words(Duration::from_secs_f64(seconds.clamp(0.0, 1e8)))
}
