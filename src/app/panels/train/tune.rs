//! The search for settings: its controls, and what it has tried so far.

use egui::{Button, ComboBox, DragValue, Grid, RichText, ScrollArea, Ui};

use super::{
    super::super::{App, theme},
    bar_ui, note_ui, tall_ui,
};
use crate::{
    error::capitalised,
    train::{
        Point,
        tune::{Method, Stage, Tried, Tuned},
    },
};

const METHODS: [(Method, &str, &str); 2] = [
    (Method::Halving, "Try many", "Many settings in short runs; the best third goes on"),
    (
        Method::DeltaStn,
        "Tune one run",
        "A run that tunes how strongly photos are bent and made worse and weights are held \
         (Delta-STN), beside one with the usual settings",
    ),
];

/// The controls.
pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    theme::section(ui, "SETTINGS");
    let finding = &mut app.training.finding;
    if finding.is_going_on() {
        let stage = finding.stage.as_ref();
        bar_ui(ui, stage.map_or(0.0, |stage| stage.share as f32), "Finding settings");
        let doing = stage.map_or("waiting for its turn", |stage| stage.doing.as_str());
        note_ui(ui, format!("{}.", capitalised(doing)));
        if tall_ui(ui, true, Button::new("Cancel the search")).clicked() {
            app.stop_tuning();
        }
        return;
    }
    let ready = matches!(app.training.plan, Some(Ok(_)));
    let help = "Tries settings on your photos, and takes those that do best on held-out ones";
    if tall_ui(ui, ready, Button::new("Find good settings")).on_hover_text(help).clicked() {
        app.find_settings();
        return;
    }
    let finding = &mut app.training.finding;
    Grid::new("tune").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
        let label = ui.label("Time");
        let minutes = DragValue::new(&mut finding.minutes).range(0.1..=1440.0).max_decimals(1);
        ui.add(minutes.suffix(" min")).labelled_by(label.id).on_hover_text("How long to look");
        ui.end_row();
        let label = ui.label("Way");
        let shown = METHODS.iter().find(|(method, ..)| *method == finding.method);
        ComboBox::from_id_salt("method")
            .selected_text(shown.map_or("", |(_, name, _)| name))
            .width(ui.available_width())
            .show_ui(ui, |ui| {
                for (method, name, help) in METHODS {
                    ui.selectable_value(&mut finding.method, method, name).on_hover_text(help);
                }
            })
            .response
            .labelled_by(label.id);
        ui.end_row();
    });
    let Some((tuned, _)) = &finding.found else { return };
    let changed = tuned.chosen != 0;
    note_ui(ui, format!("{}.", capitalised(&tuned.sentence)));
    if changed && ui.button("Back to the usual settings").clicked() {
        app.leave_found();
    }
}

/// What was tried, the furthest and best first; nothing where nothing was.
pub(super) fn table_ui(app: &App, ui: &mut Ui) {
    let finding = &app.training.finding;
    if let Some(Stage { tried, base_psnr: Some(base), .. }) = &finding.stage {
        rows_ui(ui, "What was tried so far", tried, *base, None);
    } else if let Some((Tuned { tried, base_psnr, chosen, .. }, _)) = &finding.found {
        rows_ui(ui, "What was tried", tried, *base_psnr, Some(*chosen));
    }
}

/// Whether there is something to show.
pub(super) fn has_table(app: &App) -> bool {
    let finding = &app.training.finding;
    finding.found.is_some() || finding.stage.as_ref().is_some_and(|stage| !stage.tried.is_empty())
}

fn rows_ui(ui: &mut Ui, title: &str, tried: &[Tried], base: f64, chosen: Option<usize>) {
    ui.label(RichText::new(title).strong());
    ui.add_space(4.0);
    let mut rows: Vec<(usize, &Tried)> = tried.iter().enumerate().collect();
    let last = |tried: &Tried| tried.looks.last().copied();
    let key = |point: Option<Point>| point.map_or((0, f64::NEG_INFINITY), |p| (p.step, p.psnr));
    rows.sort_by(|(_, a), (_, b)| {
        let (a, b) = (key(last(a)), key(last(b)));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    ScrollArea::both().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().interact_size.y = 20.0;
        Grid::new("tried").num_columns(4).spacing([18.0, 5.0]).striped(true).show(ui, |ui| {
            for title in ["Settings", "Steps", "Against the base", ""] {
                ui.label(theme::quiet(title));
            }
            ui.end_row();
            for (which, tried) in rows {
                let name = if which == 0 { "the usual settings" } else { tried.changes.as_str() };
                let text = RichText::new(name).small();
                let is_chosen = chosen == Some(which);
                ui.label(if is_chosen { text.strong() } else { text });
                let (steps, gain) = match last(tried) {
                    None if chosen.is_some() => ("–".to_owned(), "not tried".to_owned()),
                    None => ("–".to_owned(), "waits".to_owned()),
                    Some(point) => (
                        point.step.to_string(),
                        match point.distance {
                            None => format!("{:+.3} dB", point.psnr - base),
                            Some(distance) => {
                                format!("{:+.3} dB, distance {distance:.4}", point.psnr - base)
                            }
                        },
                    ),
                };
                ui.label(RichText::new(steps).small());
                ui.label(RichText::new(gain).small());
                ui.label(theme::quiet(if is_chosen { "taken" } else { "" }));
                ui.end_row();
            }
        });
    });
}
