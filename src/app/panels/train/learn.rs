//! The second step: what is learnt from what, by which model, and for how long.

use std::fmt::Debug;

use egui::{Button, CollapsingHeader, ComboBox, DragValue, Grid, RichText, TextEdit, Ui, Vec2};

use super::{
    super::{
        super::{
            App, theme,
            training::{Length, Page},
        },
        upscale::models_ui,
    },
    bar_ui, compare, note_ui,
    plot::Plot,
    tall_ui, time_left, tune,
};
use crate::train::{NEW, loss::Pixels, schedule::Schedule};

pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    app.prepare();
    if ui.button("Back to the photos").clicked() {
        app.training.page = Page::Photos;
        return;
    }
    let goal = app.training.goal;
    theme::section(ui, "2  WHAT TO LEARN");
    ui.label(RichText::new(goal.name()).strong());
    // What is looked for is for the settings as they are.
    let idle = !app.training.finding.is_going_on();
    ui.add_enabled_ui(idle, |ui| learn_ui(app, ui));
    note_ui(ui, "It learns the way back from photos that are made worse like this.");
    ui.add_space(6.0);
    ui.add_enabled_ui(idle, |ui| length_ui(app, ui));
    ui.add_space(6.0);
    let ready = app.training.cost.is_some() || app.training.own_steps;
    if tall_ui(ui, ready && idle, theme::primary("Start training")).clicked() {
        app.begin_run();
        return;
    }
    ui.add_space(10.0);
    tune::ui(app, ui);
    ui.add_space(6.0);
    ui.add_enabled_ui(idle, |ui| {
        CollapsingHeader::new("For experts").show(ui, |ui| experts_ui(app, ui));
    });
}

fn learn_ui(app: &mut App, ui: &mut Ui) {
    let goal = app.training.goal;
    Grid::new("learn").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
        let label = ui.label("Base");
        if app.training.options.base == NEW {
            ui.label(theme::quiet("a fresh network"));
        } else {
            let models = &app.models;
            let base = &mut app.training.options.base;
            let asked = models_ui(ui, models, |model| goal.fits(model), base, label.id);
            app.asked(asked);
        }
        ui.end_row();
        let label = ui.label("From");
        let kinds = goal.degradations();
        let chosen = &mut app.training.options.degradation;
        let shown = kinds.iter().find(|(name, _)| name == chosen).map_or("", |(_, words)| words);
        let width = ui.available_width();
        ComboBox::from_id_salt("degradation")
            .selected_text(shown)
            .width(width)
            .truncate()
            .show_ui(ui, |ui| {
                for (name, words) in kinds {
                    ui.selectable_value(chosen, (*name).to_owned(), *words);
                }
            })
            .response
            .labelled_by(label.id);
        ui.end_row();
    });
}

fn length_ui(app: &mut App, ui: &mut Ui) {
    theme::section(ui, "LENGTH");
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 3.0;
        ui.spacing_mut().button_padding.x = 1.0;
        let room = ui.available_width() - 6.0;
        for ((length, name), part) in Length::ALL.into_iter().zip([0.3, 0.38, 0.32]) {
            let size = Vec2::new(part * room, 34.0);
            let chosen = !app.training.own_steps && app.training.length == length;
            let text = RichText::new(format!("{name} {:.0} min", length.minutes())).size(11.0);
            let button = Button::selectable(chosen, text).frame_when_inactive(true);
            if ui.add_sized(size, button).clicked() {
                (app.training.length, app.training.own_steps) = (length, false);
            }
        }
    });
    let options = &app.training.options;
    match &app.training.cost {
        Some(cost) => {
            let seconds = options.steps as f64 * cost.step
                + (options.steps / options.validate_every) as f64 * cost.look;
            note_ui(
                ui,
                format!(
                    "{} steps on {}, {:.1} crops/s measured: about {}, and less if it stops getting \
                 better.",
                    options.steps,
                    cost.device,
                    cost.speed(),
                    time_left(seconds)
                ),
            );
        }
        None if app.is_measuring() => {
            ui.horizontal(|ui| {
                ui.spinner();
                note_ui(ui, "Measuring a few real steps…");
            });
        }
        None => note_ui(ui, "What a step costs could not be measured."),
    }
}

fn experts_ui(app: &mut App, ui: &mut Ui) {
    let training = &mut app.training;
    let options = &mut training.options;
    ui.spacing_mut().interact_size.y = 24.0;
    Grid::new("experts").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
        let mut row = |name: &str, help: &str, value: DragValue<'_>| {
            let label = ui.label(name);
            let changed = ui.add(value).labelled_by(label.id).on_hover_text(help).changed();
            ui.end_row();
            changed
        };
        let whole = |value| DragValue::new(value).range(1..=10_000_000);
        training.own_steps |= row("Steps", "Of the whole run", whole(&mut options.steps));
        row(
            "Look every",
            "Steps between looks at held-out photos",
            whole(&mut options.validate_every),
        );
        row(
            "Patience",
            "Looks without a better one; 0 never stops early",
            DragValue::new(&mut options.patience).range(0..=1000),
        );
        row("Batch", "Pairs of crops at once", DragValue::new(&mut options.batch).range(1..=256));
        row(
            "Accumulate",
            "Batches in a step",
            DragValue::new(&mut options.accumulate).range(1..=64),
        );
        row(
            "Crop",
            "Side of the small crops in pixels",
            DragValue::new(&mut options.crop).range(8..=256),
        );
        row(
            "Rate",
            "Highest learning rate",
            DragValue::new(&mut options.rate).range(1e-7..=1.0).speed(1e-6).max_decimals(7),
        );
        row(
            "Warm-up",
            "Steps that the rate takes to rise",
            DragValue::new(&mut options.warm_up).range(0..=100_000),
        );
        row(
            "Average",
            "How much of the averaged weights is kept at each step",
            DragValue::new(&mut options.average).range(0.0..=0.9999).speed(0.0005).max_decimals(4),
        );
        row(
            "Clip",
            "Largest norm of the gradients",
            DragValue::new(&mut options.clip).range(0.001..=1000.0).speed(0.01),
        );
        row(
            "Backbone",
            "Rate of the first layers over that of the last",
            DragValue::new(&mut options.backbone_rate).range(0.0..=1.0).speed(0.01),
        );
        row(
            "Freeze",
            "First steps in which only the last layers learn",
            DragValue::new(&mut options.freeze).range(0..=1_000_000),
        );
        row(
            "Bend",
            "Share of crops that are turned and bent",
            DragValue::new(&mut options.warp).range(0.0..=1.0).speed(0.01),
        );
        row(
            "Strength",
            "How strongly photos that are learnt from are made worse; held-out ones always by 1",
            DragValue::new(&mut options.strength).range(0.0..=4.0).speed(0.01),
        );
        row(
            "Anchor",
            "Weight of the distance to the base's weights, which holds what is learnt near it",
            DragValue::new(&mut options.anchor).range(0.0..=100.0).speed(0.001).max_decimals(5),
        );
        row(
            "Variation",
            "Weight of the total variation of the result",
            DragValue::new(&mut options.total_variation)
                .range(0.0..=10.0)
                .speed(0.0001)
                .max_decimals(5),
        );
        row(
            "Adversarial",
            "Weight of a discriminator's opinion; 0.001 in SRGAN",
            DragValue::new(&mut options.adversarial).range(0.0..=1.0).speed(0.0001).max_decimals(5),
        );
        row("Seed", "Decides everything that is drawn", DragValue::new(&mut options.seed));
        let schedules = [Schedule::Constant, Schedule::Cosine, Schedule::OneCycle];
        choice_ui(ui, "Schedule", &mut options.schedule, &schedules);
        let losses = [Pixels::L1, Pixels::Mse, Pixels::Charbonnier];
        choice_ui(ui, "Loss", &mut options.loss, &losses);
    });
    CollapsingHeader::new("All options as text").show(ui, |ui| recipe_ui(app, ui));
    ui.add_space(4.0);
    theme::section(ui, "LEARNING RATE");
    if let Some((_, done, total)) = app.training.searching {
        bar_ui(ui, done as f32 / total.max(1) as f32, "Trying rates");
        return;
    }
    if ui.button("Find a rate").on_hover_text("Tries rising rates for 100 steps").clicked() {
        app.find_rate();
    }
    let Some(search) = &app.training.search else { return };
    for (rate, why) in [
        (search.steepest, "where the loss falls fastest"),
        (search.tenth_of_lowest, "a tenth of where it is lowest"),
    ] {
        if ui.button(format!("Take {rate:.1e}")).on_hover_text(why).clicked() {
            app.training.options.rate = rate;
        }
    }
}

/// All options, for those that have no row.
fn recipe_ui(app: &mut App, ui: &mut Ui) {
    let now = app.training.recipe_text();
    let text = app.training.recipe.get_or_insert(now);
    let label = ui.label(theme::quiet("As in a recipe file; the steps are yours then."));
    let edit = TextEdit::multiline(text).code_editor().desired_rows(14);
    ui.add(edit.desired_width(f32::INFINITY)).labelled_by(label.id);
    ui.horizontal(|ui| {
        if ui.button("Take these").clicked() {
            app.take_recipe();
        }
        if ui.button("Undo changes").clicked() {
            app.training.recipe = None;
        }
    });
}

/// A row with one of a few words.
fn choice_ui<T: Copy + PartialEq + Debug>(ui: &mut Ui, name: &str, chosen: &mut T, all: &[T]) {
    let label = ui.label(name);
    ComboBox::from_id_salt(name)
        .selected_text(format!("{chosen:?}"))
        .show_ui(ui, |ui| {
            for each in all {
                ui.selectable_value(chosen, *each, format!("{each:?}"));
            }
        })
        .response
        .labelled_by(label.id);
    ui.end_row();
}

pub(super) fn canvas_ui(app: &mut App, ui: &mut Ui) {
    let room = ui.available_size();
    if tune::has_table(app) {
        ui.horizontal_top(|ui| {
            let beside = Vec2::new(room.x * 0.42, room.y);
            ui.allocate_ui(beside, |ui| preview_ui(app, ui, beside));
            ui.add_space(14.0);
            ui.vertical(|ui| tune::table_ui(app, ui));
        });
        return;
    }
    let searched = app.training.search.is_some();
    let above = Vec2::new(room.x, if searched { room.y * 0.6 } else { room.y });
    ui.allocate_ui(above - Vec2::new(0.0, 40.0), |ui| preview_ui(app, ui, above));
    if let Some(search) = &app.training.search {
        let marks =
            [(search.steepest, "steepest"), (search.tenth_of_lowest, "a tenth of the lowest")];
        Plot {
            title: "Loss against learning rate",
            points: &search.points,
            smooth: &[],
            level: None,
            log: (false, true),
            marks: &marks,
            number: |value| format!("{value:.4}"),
        }
        .ui(ui, Vec2::new(room.x, room.y * 0.38));
    }
}

/// What becomes of a photo.
fn preview_ui(app: &App, ui: &mut Ui, room: Vec2) {
    let Some([original, worse]) = &app.training.preview else {
        ui.centered_and_justified(|ui| ui.spinner());
        return;
    };
    ui.vertical(|ui| {
        ui.label(RichText::new("A piece of your photos, and what it is made into").strong());
        ui.add_space(4.0);
        let id = egui::Id::unique("split of the preview");
        let mut split = ui.data(|data| data.get_temp(id).unwrap_or(0.5));
        let room = Vec2::new(room.x, room.y - 80.0);
        let sides = [(worse, "What it gets"), (original, "What it is to give")];
        compare::ui(ui, sides, &mut split, room);
        ui.data_mut(|data| data.insert_temp(id, split));
    });
}
