//! Runs of before: what became of them, and what room they take.

use egui::{CollapsingHeader, RichText, Ui};

use super::{
    super::super::{App, theme},
    note_ui, tall_ui,
};
use crate::{error::capitalised, train::run::Summary};

/// A run of before that is not over, which comes first.
pub(super) fn unfinished_ui(app: &mut App, ui: &mut Ui) {
    if app.training.run.is_some() {
        return;
    }
    let Some(run) = app.unfinished().cloned() else { return };
    theme::section(ui, "A RUN WAITS");
    ui.label(RichText::new(&run.name).strong());
    note_ui(ui, format!("{} of {} steps are done, and all of it is kept.", run.step, run.steps));
    let resume = tall_ui(ui, true, theme::primary("Resume"));
    // Enter is enough.
    if ui.ctx().memory(|memory| memory.focused()).is_none() {
        resume.request_focus();
    }
    if resume.clicked() {
        app.resume_run(&run);
    }
    ui.add_space(14.0);
}

/// All of them, in a fold.
pub(super) fn all_ui(app: &mut App, ui: &mut Ui) {
    let runs = &app.training.runs;
    if runs.is_empty() {
        return;
    }
    let all = runs.iter().map(|run| run.bytes).sum();
    let title = format!("Runs of before ({}, {})", runs.len(), room(all));
    ui.add_space(10.0);
    let idle = !app.training.run_goes_on();
    let (mut open, mut delete) = (None, None);
    CollapsingHeader::new(title).id_salt("runs").show(ui, |ui| {
        for run in runs {
            ui.label(RichText::new(&run.name).strong());
            let state = match &run.verdict {
                Some(verdict) => capitalised(&verdict.sentence),
                None => format!("{} of {} steps are done", run.step, run.steps),
            };
            note_ui(ui, format!("{state}; {}.", room(run.bytes)));
            ui.horizontal(|ui| {
                let (word, help) = match run.verdict {
                    Some(_) => ("Look", "Its course, its verdict and its checkpoints"),
                    None => ("Go on", "Train further"),
                };
                if ui.add_enabled(idle, egui::Button::new(word)).on_hover_text(help).clicked() {
                    open = Some(run.clone());
                }
                if ui.button("Delete…").on_hover_text(run.folder.display().to_string()).clicked()
                {
                    delete = Some(run.clone());
                }
            });
            ui.add_space(6.0);
        }
    });
    if let Some(run) = open {
        app.resume_run(&run);
    }
    if delete.is_some() {
        app.training.asks_to_delete = delete;
    }
}

/// Room on the disk.
fn room(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 1000.0 {
        format!("{megabytes:.1} MB")
    } else {
        format!("{:.1} GB", megabytes / 1000.0)
    }
}

/// Asks whether a run shall be deleted.
pub(super) fn delete_ui(app: &mut App, ui: &Ui) {
    let Some(run) = app.training.asks_to_delete.clone() else { return };
    let Summary { name, bytes, .. } = &run;
    let answer = theme::dialog(ui.ctx(), "delete a run").show(ui.ctx(), |ui| {
        ui.set_width(360.0);
        ui.heading(format!("Delete the run {name}?"));
        ui.label(format!(
            "Its checkpoints, plots and report go with it, {} in all. Models that were taken into \
             the list stay.",
            room(*bytes)
        ));
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            let delete = ui.button("Delete it").clicked();
            let keep = ui.add(theme::primary("Keep it")).clicked();
            (delete, keep)
        })
        .inner
    });
    let (delete, keep) = answer.inner;
    if delete {
        app.delete_run(&run);
    }
    if delete || keep || answer.should_close() {
        app.training.asks_to_delete = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_in_two_units() {
        assert_eq!(
            [41_260_000, 999_000_000, 1_450_000_000].map(room),
            ["41.3 MB", "999.0 MB", "1.4 GB"]
        );
    }
}
