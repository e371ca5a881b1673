//! The panel for repairing: tools for the mask, what fills it, and cleaning.

use egui::{ComboBox, ProgressBar, Slider, Ui, Vec2};

use crate::{
    mask::{
        Layer,
        detect::{DetectOptions, Kind},
        paint::Brush,
    },
    model::library::About,
    settings::Settings,
};

use super::{
    super::{
        App, Command, Made,
        repair::{FILLS, RADII, Tool},
        theme,
    },
    steps,
    strength::{self, percent},
    upscale::{busy_ui, many_ui, models_ui, photo_ui, result_ui, tall_ui},
};

/// Width of the button that shows the colour of marks.
const SWATCH: f32 = 30.0;

/// What can be looked for, with a name and an explanation.
const KINDS: [(Kind, &str, &str); 3] = [
    (Kind::Auto, "Any", "Scratches, dust and marks that repeat themselves"),
    (Kind::Scratches, "Scratches", "Scratches and dust"),
    (Kind::Watermark, "Tiled mark", "A watermark that repeats itself all over the photo"),
];

pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    let Some(picture) = app.document.as_ref().map(|document| document.picture.clone()) else {
        return;
    };
    // All of it should be seen at once in a window of usual height.
    ui.spacing_mut().item_spacing.y = 3.0;
    ui.spacing_mut().interact_size.y = 22.0;
    ui.spacing_mut().button_padding.y = 2.5;
    photo_ui(&picture, ui);
    if steps::ui(app, ui) {
        return;
    }
    theme::section(ui, "MARK");
    let idle = app.running.is_none();
    ui.add_enabled_ui(idle, |ui| {
        tools_ui(app, ui);
        mask_ui(app, ui);
        find_ui(app, ui);
    });
    ui.add_space(6.0);
    theme::section(ui, "FILL");
    ui.add_enabled_ui(idle, |ui| fill_ui(app, ui));
    ui.add_space(4.0);
    if busy_ui(app, ui) {
        return;
    }
    let fill = if app.made_by() == Some(Made::Fill) {
        egui::Button::new("Fill again")
    } else {
        theme::primary(Command::Fill.name())
    };
    tall_ui(app, ui, Command::Fill, fill);
    result_ui(app, ui);
    ui.add_space(10.0);
    theme::section(ui, "WHOLE PHOTO");
    let before = app.settings.clone();
    for (command, colours) in [(Command::Clean, false), (Command::Colourise, true)] {
        ui.horizontal(|ui| {
            let button = egui::Button::new(command.name()).min_size(Vec2::new(84.0, 0.0));
            let button = command.decorated(ui, app, button);
            if button.clicked() {
                app.queue.push(command);
            }
            let fits = |model: &About| {
                model.scale == 1 && !model.takes_mask && model.gives_colours == colours
            };
            let Settings { cleaning_model, colouring_model, .. } = &mut app.settings;
            let chosen = if colours { colouring_model } else { cleaning_model };
            let asked = models_ui(ui, &app.models, fits, chosen, button.id);
            app.asked(asked);
        });
    }
    if app.settings != before {
        app.keep_settings();
    }
    strength::ui(ui, &mut app.strength);
    ui.add_space(4.0);
    many_ui(app, ui);
}

/// Buttons beside each other that queue their commands.
fn row_ui(app: &mut App, ui: &mut Ui, commands: &[Command]) {
    ui.horizontal(|ui| {
        for command in commands {
            if command.button(ui, app).clicked() {
                app.queue.push(*command);
            }
        }
    });
}

/// What the tools paint.
fn layers_ui(app: &mut App, ui: &mut Ui) {
    let Some(now) = app.repair().map(|repair| repair.layer) else { return };
    let keys = Command::Protect.keys(ui.ctx());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let height = ui.spacing().interact_size.y;
        let size = Vec2::new((ui.available_width() - SWATCH - 8.0) / 2.0, height);
        let marks = "Paint what is to change";
        for (layer, name, help) in [
            (Layer::Marks, "Change", marks),
            (Layer::Protected, Command::Protect.name(), Command::Protect.help()),
        ] {
            let button = egui::Button::selectable(now == layer, name).frame_when_inactive(true);
            let button = ui.add_sized(size, button).on_hover_text(format!("{help}  ({keys})"));
            if button.clicked() && now != layer {
                app.queue.push(Command::Protect);
            }
        }
        ui.spacing_mut().interact_size.x = SWATCH;
        let mut colour = app.settings.marks;
        let swatch = ui.color_edit_button_srgba_unmultiplied(&mut colour);
        let info = || egui::WidgetInfo::labeled(egui::Role::ColorWell, true, "Colour of marks");
        swatch.widget_info(info);
        swatch.on_hover_text("Colour and opacity of the marks on screen");
        if colour != app.settings.marks {
            app.settings.marks = colour;
            app.keep_settings();
        }
    });
}

fn tools_ui(app: &mut App, ui: &mut Ui) {
    layers_ui(app, ui);
    let chosen = app.repair().map(|repair| repair.tool);
    let gap = 4.0;
    let width = (ui.available_width() - 2.0 * gap) / 3.0;
    egui::Grid::new("tools").num_columns(3).spacing([gap, 4.0]).show(ui, |ui| {
        for (place, tool) in Tool::ALL.into_iter().enumerate() {
            let command = match tool {
                Tool::Brush => Command::Brush,
                Tool::Eraser => Command::Eraser,
                Tool::Rectangle => Command::Rectangle,
                Tool::Lasso => Command::Lasso,
                Tool::Trace => Command::Trace,
                Tool::Wand => Command::Wand,
            };
            let keys = command.keys(ui.ctx());
            let size = Vec2::new(width, ui.spacing().interact_size.y);
            let button = egui::Button::selectable(chosen == Some(tool), command.name());
            let button = ui
                .add_sized(size, button.frame_when_inactive(true))
                .on_hover_text(format!("{}  ({keys})", command.help()));
            if button.clicked() {
                app.queue.push(command);
            }
            if place % 3 == 2 {
                ui.end_row();
            }
        }
    });
    let Some(document) = &mut app.document else { return };
    ui.horizontal(|ui| {
        ui.spacing_mut().slider_width = 46.0;
        ui.spacing_mut().item_spacing.x = 5.0;
        let Brush { radius, hardness } = &mut document.repair.brush;
        let label = ui.label("Brush");
        let slider = Slider::new(radius, RADII).logarithmic(true).fixed_decimals(0).suffix(" px");
        ui.add(slider).labelled_by(label.id).on_hover_text(
            "Radius in pixels of the photo ([ and ], or drag with Alt and the right button)",
        );
        let label = ui.label("Hard");
        // The inner circle under the pointer shows it; a number would not fit beside the radius.
        ui.add(percent(hardness).show_value(false)).labelled_by(label.id).on_hover_text(
            "How hard its border is; a soft one is filled less and less (Shift+[ and Shift+])",
        );
    });
}

fn mask_ui(app: &mut App, ui: &mut Ui) {
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        ui.spacing_mut().button_padding.x = 6.0;
        let (clear, all, invert) = (Command::ClearMask, Command::MarkAll, Command::InvertMask);
        row_ui(app, ui, &[Command::Undo, Command::Redo, clear, all, invert]);
    });
}

/// Looking for marks: they are proposed, and nothing is filled.
fn find_ui(app: &mut App, ui: &mut Ui) {
    let looks = app.looks_for_marks();
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        if Command::FindMarks.button(ui, app).clicked() {
            app.queue.push(Command::FindMarks);
        }
        if let Some(share) = looks {
            let bar = ProgressBar::new(share).desired_height(8.0).desired_width(90.0);
            let bar = ui.add(bar.fill(theme::ACCENT));
            bar.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, "Looking for marks")
            });
            if Command::Cancel.button(ui, app).clicked() {
                app.queue.push(Command::Cancel);
            }
            return;
        }
        let Some(document) = &mut app.document else { return };
        let DetectOptions { kind, sensitivity } = &mut document.repair.detect;
        let shown = KINDS.iter().find(|(own, ..)| own == kind).map_or("", |(_, name, _)| name);
        let chosen = ComboBox::from_id_salt("kind of marks").selected_text(shown).width(70.0);
        let chosen = chosen.show_ui(ui, |ui| {
            for (own, name, help) in KINDS {
                ui.selectable_value(kind, own, name).on_hover_text(help);
            }
        });
        let named = |open| egui::WidgetInfo::labeled(egui::Role::ComboBox, open, "Kind of marks");
        chosen.response.widget_info(|| named(true));
        ui.spacing_mut().slider_width = 40.0;
        let slider = ui.add(percent(sensitivity).show_value(false));
        slider.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Slider, true, "Sensitivity"));
        slider.on_hover_text(
            "Sensitivity: further right more is found, and more that is part of the photo",
        );
    });
}

fn fill_ui(app: &mut App, ui: &mut Ui) {
    let Some(document) = &mut app.document else { return };
    let repair = &mut document.repair;
    egui::Grid::new("fill").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
        let label = ui.label("By");
        let width = ui.available_width();
        let shown =
            FILLS.iter().find(|(fill, ..)| *fill == repair.fill).map_or("", |(_, name, _)| name);
        ComboBox::from_id_salt("filler")
            .selected_text(shown)
            .width(width)
            .show_ui(ui, |ui| {
                for (fill, name, help) in FILLS {
                    ui.selectable_value(&mut repair.fill, fill, name).on_hover_text(help);
                }
            })
            .response
            .labelled_by(label.id);
        ui.end_row();
        let label = ui.label("Grow");
        ui.add(Slider::new(&mut repair.options.grow, -8.0..=32.0).fixed_decimals(0).suffix(" px"))
            .labelled_by(label.id)
            .on_hover_text(
                "How far beyond the marks is filled: a mask that is too tight leaves a rim",
            );
        ui.end_row();
        let label = ui.label("Feather");
        ui.add(
            Slider::new(&mut repair.options.feather, 0.0..=32.0).fixed_decimals(0).suffix(" px"),
        )
        .labelled_by(label.id)
        .on_hover_text("Width of the soft join around it");
        ui.end_row();
    });
    ui.checkbox(&mut repair.options.hides, "An object: nothing shines through")
        .on_hover_text("What is under the mask is not used at all");
}
