//! The third step: the run while it goes on, and its verdict.

use egui::{Button, Grid, OpenUrl, RichText, ScrollArea, Slider, Ui, Vec2};

use super::{
    super::super::{
        App, theme,
        training::{Watched, as_url},
    },
    bar_ui, compare, note_ui,
    plot::{Plot, smoothed},
    tall_ui, time_left,
};
use crate::{
    error::capitalised,
    metric::Figures,
    train::{run::Summary, verdict::Verdict},
};

pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    let Some(run) = &app.training.run else { return };
    let summary = run.summary.clone();
    theme::section(ui, "3  WATCH");
    let Some(summary) = summary else {
        ui.horizontal(|ui| {
            ui.spinner();
            note_ui(ui, "Getting ready: scoring the base on the held-out photos…");
        });
        return;
    };
    ui.label(RichText::new(&summary.name).strong());
    note_ui(
        ui,
        format!(
            "on {}; {} photos to learn from, {} to choose by, {} for the verdict",
            run.device, run.photos[0], run.photos[1], run.photos[2]
        ),
    );
    if let Some(verdict) = &summary.verdict {
        verdict_ui(app, ui, &summary, verdict);
    } else if run.is_going_on() {
        running_ui(run, ui, &summary);
    } else {
        note_ui(ui, "The run has ended; what it has learnt is kept.");
        if tall_ui(ui, true, theme::primary("Resume")).clicked() {
            app.resume_run(&summary);
            return;
        }
        if ui.button("Back to the photos").clicked() {
            app.leave_run();
            return;
        }
    }
    checkpoints_ui(app, ui, &summary);
    ui.add_space(6.0);
    let label = ui.label(theme::quiet("Smoothing of the loss"));
    ui.spacing_mut().slider_width = 150.0;
    ui.add(Slider::new(&mut app.training.smoothing, 0.0..=0.99).fixed_decimals(2))
        .labelled_by(label.id);
}

fn running_ui(run: &Watched, ui: &mut Ui, summary: &Summary) {
    let (done, steps) = (run.step(), summary.steps);
    ui.add_space(6.0);
    bar_ui(ui, done as f32 / steps.max(1) as f32, "Training");
    ui.label(RichText::new(format!("Step {done} of {steps}")).strong());
    if run.judging {
        note_ui(ui, "Comparing on the photos that were kept for the verdict…");
        return;
    }
    if let Some(pace) = run.pace {
        note_ui(
            ui,
            format!(
                "{} left, {:.1} crops/s, rate {:.1e}",
                time_left(pace.seconds_left),
                pace.crops_per_second,
                pace.report.rate
            ),
        );
    }
    ui.add_space(6.0);
    if run.paused {
        note_ui(ui, "Paused; all of it is on disk.");
        if tall_ui(ui, true, theme::primary("Resume")).clicked() {
            run.control.go_on();
        }
    } else if tall_ui(ui, true, Button::new("Pause")).clicked() {
        run.control.pause();
    }
    let stop = tall_ui(ui, true, Button::new("Stop"));
    if stop.on_hover_text("End the run, and compare what it has learnt with the base").clicked() {
        run.control.stop();
    }
}

fn verdict_ui(app: &mut App, ui: &mut Ui, summary: &Summary, verdict: &Verdict) {
    ui.add_space(6.0);
    theme::section(ui, "VERDICT");
    ui.label(RichText::new(capitalised(&verdict.sentence)).size(15.0).strong());
    ui.add_space(6.0);
    match app.training.run.as_ref().and_then(|run| run.adopted.name()) {
        // See below.
        Some(_) => {}
        None if summary.model().is_file() => {
            let help = "Puts it into the list of models, and uses it on the open photo";
            let button = match verdict.is_better {
                true => theme::primary("Use it"),
                false => Button::new("Use it anyway"),
            };
            if tall_ui(ui, app.importing.is_none(), button).on_hover_text(help).clicked() {
                app.use_weights(summary.model());
            }
        }
        None => note_ui(ui, "The base stays as it is."),
    }
    ui.horizontal(|ui| {
        if ui.button("Report").on_hover_text("Opens in the browser").clicked() {
            ui.ctx().open_url(OpenUrl::new_tab(as_url(&summary.page())));
        }
        if ui.button("Train again").on_hover_text("Back to the photos").clicked() {
            app.leave_run();
        }
    });
}

/// What of the run is in the list of models.
fn taken_ui(app: &mut App, ui: &mut Ui) {
    let name = app.training.run.as_ref().and_then(|run| run.adopted.name());
    let Some(name) = name.map(str::to_owned) else { return };
    note_ui(ui, format!("{name} is in the list of models, and used."));
    if tall_ui(ui, true, Button::new("Take it back")).clicked() {
        app.take_weights_back();
    }
}

/// Weights that are kept.
fn checkpoints_ui(app: &mut App, ui: &mut Ui, summary: &Summary) {
    taken_ui(app, ui);
    if summary.checkpoints.is_empty() {
        return;
    }
    let Some(run) = &mut app.training.run else { return };
    ui.add_space(8.0);
    theme::section(ui, "CHECKPOINTS");
    let last = run.tuned.last().map(|(step, _)| *step);
    ui.spacing_mut().item_spacing.y = 3.0;
    ui.spacing_mut().interact_size.y = 24.0;
    for checkpoint in summary.checkpoints.iter().rev() {
        let best = if summary.best == Some(checkpoint.step) { ", best" } else { "" };
        let megabytes = checkpoint.bytes as f64 / 1e6;
        let text = format!(
            "step {}: {:+.2} dB, {megabytes:.1} MB{best}",
            checkpoint.step,
            checkpoint.psnr - summary.base_psnr
        );
        let chosen = run.shown.or(last) == Some(checkpoint.step);
        let row = ui.selectable_label(chosen, RichText::new(text).small());
        if row.on_hover_text("Show the held-out photo by these weights").clicked() {
            run.shown = Some(checkpoint.step);
        }
    }
    let shown = run.shown.or(last);
    if let Some(step) = shown {
        let help =
            "Puts the chosen weights into the list of models, and uses them on the open photo";
        let button =
            ui.add_enabled(app.importing.is_none(), Button::new(format!("Use step {step}")));
        if button.on_hover_text(help).clicked() {
            app.use_weights(summary.weights(step));
        }
    }
    note_ui(ui, format!("in {}", summary.folder.display()));
}

pub(super) fn canvas_ui(app: &mut App, ui: &mut Ui) {
    let smoothing = app.training.smoothing;
    let Some(run) = &mut app.training.run else { return };
    let room = ui.available_size();
    let over = run.summary.as_ref().and_then(|summary| summary.verdict.clone());
    let sentence = capitalised(&run.sentence());
    ui.label(RichText::new(&sentence).size(16.0).strong());
    ui.add_space(6.0);
    plots_ui(run, ui, smoothing, Vec2::new(room.x, (room.y * 0.36).max(150.0)));
    ui.add_space(6.0);
    ui.horizontal_top(|ui| {
        let left = ui.available_size();
        let table = if over.is_some() { 300.0_f32.min(left.x * 0.4) } else { 0.0 };
        ui.vertical(|ui| sample_ui(run, ui, Vec2::new(left.x - table - 16.0, left.y)));
        if let Some(verdict) = &over {
            ui.add_space(14.0);
            ui.vertical(|ui| table_ui(verdict, ui));
        }
    });
}

fn plots_ui(run: &Watched, ui: &mut Ui, smoothing: f64, room: Vec2) {
    let gap = 10.0;
    let width = room.x - 2.0 * gap;
    let losses: Vec<(f64, f64)> =
        run.losses.iter().map(|loss| (loss.step as f64, loss.loss)).collect();
    let rates: Vec<(f64, f64)> =
        run.losses.iter().map(|loss| (loss.step as f64, loss.rate)).collect();
    let scores: Vec<(f64, f64)> =
        run.history.iter().map(|point| (point.step as f64, point.psnr)).collect();
    let base = run.summary.as_ref().map(|summary| (summary.base_psnr, "base"));
    let smooth = smoothed(&losses, smoothing);
    let plot = Plot {
        title: "Loss",
        points: &losses,
        smooth: &smooth,
        level: None,
        log: (true, false),
        marks: &[],
        number: |value| format!("{value:.4}"),
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = gap;
        plot.ui(ui, Vec2::new(width * 0.42, room.y));
        Plot {
            title: "PSNR on held-out photos",
            points: &scores,
            smooth: &[],
            level: base,
            log: (false, false),
            number: |value| format!("{value:.2} dB"),
            ..plot
        }
        .ui(ui, Vec2::new(width * 0.38, room.y));
        Plot {
            title: "Learning rate",
            points: &rates,
            smooth: &[],
            log: (false, false),
            number: |value| if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") },
            ..plot
        }
        .ui(ui, Vec2::new(width * 0.20, room.y));
    });
}

/// A held-out photo before, by the base, and by the weights of a look.
fn sample_ui(run: &mut Watched, ui: &mut Ui, room: Vec2) {
    let (Some(before), Some(base)) = (&run.before, &run.base) else {
        ui.centered_and_justified(|ui| ui.spinner());
        return;
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        ui.label("A held-out photo:");
        ui.add_space(6.0);
        for (against_base, name) in [(false, "Before"), (true, "Base")] {
            if ui.selectable_label(run.against_base == against_base, name).clicked() {
                run.against_base = against_base;
            }
        }
        ui.label("against tuned");
    });
    let shown = run.shown.or(run.tuned.last().map(|(step, _)| *step));
    let tuned = run.tuned.iter().find(|(step, _)| Some(*step) == shown);
    let name =
        tuned.map_or("Base (no look yet)".to_owned(), |(step, _)| format!("Tuned, step {step}"));
    let right = tuned.map_or(base, |(_, texture)| texture);
    let left = if run.against_base { (base, "Base") } else { (before, "Before") };
    let room = Vec2::new(room.x, (room.y - 44.0).max(80.0));
    compare::ui(ui, [left, (right, &name)], &mut run.split, room);
}

/// The figures of the verdict.
fn table_ui(verdict: &Verdict, ui: &mut Ui) {
    ui.label(RichText::new("Photos of the verdict").strong());
    ScrollArea::vertical().show(ui, |ui| {
        Grid::new("verdict").num_columns(3).spacing([14.0, 4.0]).show(ui, |ui| {
            for title in ["", "base", "tuned"] {
                ui.label(theme::quiet(title));
            }
            ui.end_row();
            for row in &verdict.photos {
                let decibels = |figures: &Figures| format!("{:.2} dB", figures.score.psnr);
                for text in [row.photo.clone(), decibels(&row.base), decibels(&row.tuned)] {
                    ui.label(RichText::new(text).small());
                }
                ui.end_row();
            }
        });
    });
}
