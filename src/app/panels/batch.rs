//! The queue: a list of photos in the middle, and beside it what is done with them.

use std::{collections::HashMap, time::Duration};

use egui::{
    Align, Button, Color32, ComboBox, CornerRadius, Layout, ProgressBar, Rect, RichText, Sense,
    TextEdit, Ui, UiBuilder, Vec2,
};

use super::{
    super::{App, Command, batch::What, theme},
    strength,
    upscale::{device_ui, in_words, models_ui, tall_ui},
};
use crate::{
    jobs::queue::{
        Item, State,
        operation::Operation,
        worker::{Order, Running},
    },
    mask::Anchor,
    model::library::About,
    settings::Settings,
};

/// Height of a row in points.
const ROW: f32 = 60.0;

/// Width of the buttons of a row in points.
const BUTTONS: f32 = 176.0;

/// Least size of a button of a row in points.
const SMALL: Vec2 = Vec2::new(28.0, 24.0);

/// Height of two lines of a row in points.
const LINES: f32 = 36.0;

/// A row on its way to another place.
struct Dragged {
    id: u64,
    from: usize,
}

/// What a row asks for.
enum Wish {
    Order(Order),
    Open(std::path::PathBuf),
    Reveal(std::path::PathBuf),
}

/// The list.
pub(super) fn list_ui(app: &mut App, ui: &mut Ui) {
    if app.batch.items.is_empty() {
        empty_ui(app, ui);
        return;
    }
    let items = app.batch.items.clone();
    let ready = ready_in(app, &items);
    let mut wish = None;
    ui.spacing_mut().item_spacing.y = 0.0;
    egui::ScrollArea::vertical().auto_shrink(false).show_rows(ui, ROW, items.len(), |ui, rows| {
        for place in rows {
            let width = ui.available_width();
            let item = &items[place];
            let (rect, _) = ui.allocate_exact_size(Vec2::new(width, ROW), Sense::hover());
            if place % 2 == 1 {
                ui.painter().rect_filled(rect, CornerRadius::ZERO, ui.visuals().faint_bg_color);
            }
            let sense = if item.state == State::Waiting { Sense::drag() } else { Sense::hover() };
            let response = ui.interact(rect, ui.scope_id().with(("row", item.id)), sense);
            drag_ui(ui, &response, (item.id, place), &mut wish);
            let inner = rect.shrink2(Vec2::new(14.0, 6.0));
            let builder = UiBuilder::new().max_rect(inner).id_salt(items[place].id);
            let mut row = ui.new_child(builder);
            row.spacing_mut().item_spacing = Vec2::new(6.0, 2.0);
            let ready = ready.get(&item.id).copied();
            row_ui(app, &mut row, (item, ready), (place, items.len()), &mut wish);
        }
    });
    match wish {
        Some(Wish::Order(Order::Shift(id, to))) => app.batch.shift(id, to),
        Some(Wish::Order(order)) => app.batch.order(order),
        Some(Wish::Open(path)) => {
            app.batch.shown = false;
            app.open(path);
        }
        Some(Wish::Reveal(path)) => app.show_in_folder(&path),
        None => {}
    }
}

fn empty_ui(app: &mut App, ui: &mut Ui) {
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() / 2.0 - 90.0).max(20.0));
        ui.label(RichText::new("Drop photos and folders here").heading().strong());
        ui.label(RichText::new("They are done one after the other, as set on the right.").weak());
        ui.add_space(14.0);
        let add = theme::primary(Command::AddPhotos.name()).min_size(Vec2::new(220.0, 40.0));
        if Command::AddPhotos.decorated(ui, app, add).clicked() {
            app.queue.push(Command::AddPhotos);
        }
        ui.add_space(6.0);
        if Command::AddFolder.button(ui, app).clicked() {
            app.queue.push(Command::AddFolder);
        }
    });
}

/// When each photo that waits will be ready, in the order of the list, while they are worked off.
fn ready_in(app: &App, items: &[Item]) -> HashMap<u64, Duration> {
    let Some((running, rate)) =
        app.batch.running.and_then(|running| Some((running, running.rate?)))
    else {
        return HashMap::new();
    };
    let known = items.iter().filter_map(|item| item.pixels).filter(|pixels| *pixels > 0);
    let mean = known.clone().sum::<u64>() / known.count().max(1) as u64;
    let mut seconds = running.progress.remaining.unwrap_or_default().as_secs_f64();
    let waiting = items.iter().filter(|item| item.state == State::Waiting);
    waiting
        .map(|item| {
            seconds += rate * item.pixels.unwrap_or(mean) as f64;
            (item.id, Duration::try_from_secs_f64(seconds).unwrap_or_default())
        })
        .collect()
}

/// A row that waits can be drawn to the place of another, where a line says so.
fn drag_ui(
    ui: &mut Ui,
    response: &egui::Response,
    (id, place): (u64, usize),
    wish: &mut Option<Wish>,
) {
    let rect = response.rect;
    response.dnd_set_drag_payload(Dragged { id, from: place });
    if response.dragged() {
        ui.painter().rect_filled(
            rect,
            CornerRadius::ZERO,
            ui.visuals().selection.bg_fill.gamma_multiply(0.2),
        );
    }
    // Near an end of the list, the list moves.
    if response.dragged()
        && let Some(pointer) = ui.input(|input| input.pointer.hover_pos())
    {
        let seen = ui.clip_rect();
        let beyond =
            (seen.top() + ROW - pointer.y).max(0.0) - (pointer.y - seen.bottom() + ROW).max(0.0);
        if beyond != 0.0 {
            ui.scroll_with_delta(Vec2::new(0.0, beyond * 0.2));
            ui.ctx().request_repaint();
        }
    }
    let over = ui.rect_contains_pointer(rect);
    let Some(dragged) = egui::DragAndDrop::payload::<Dragged>(ui.ctx()).filter(|_| over) else {
        return;
    };
    let edge = if dragged.from < place { rect.bottom() } else { rect.top() };
    if dragged.from != place {
        let line = egui::Stroke::new(2.0, theme::ACCENT);
        ui.painter().hline(rect.x_range(), edge, line);
    }
    if ui.input(|input| input.pointer.any_released()) {
        egui::DragAndDrop::clear_payload(ui.ctx());
        if dragged.from != place {
            *wish = Some(Wish::Order(Order::Shift(dragged.id, place)));
        }
    }
}

/// A row in four columns: the photo, its name, what became of it, and what can be done.
fn row_ui(
    app: &mut App,
    ui: &mut Ui,
    (item, ready): (&Item, Option<Duration>),
    place: (usize, usize),
    wish: &mut Option<Wish>,
) {
    let source = &item.job.source;
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let row = ui.max_rect();
    let name_width = ((row.width() - ROW - BUTTONS) * 0.5).max(60.0);
    let edges =
        [row.left() + ROW, row.left() + ROW + name_width, row.right() - BUTTONS, row.right()];
    // Two lines in the middle of the row.
    let column = |place: usize, height: f32| {
        let left_top = egui::pos2(edges[place], row.center().y - height / 2.0);
        Rect::from_min_size(left_top, Vec2::new(edges[place + 1] - edges[place] - 10.0, height))
    };
    thumbnail_ui(app, ui, item);
    ui.scope_builder(UiBuilder::new().max_rect(column(0, LINES)), |ui| {
        ui.add(egui::Label::new(RichText::new(&name).strong()).truncate())
            .on_hover_text(source.display().to_string());
        let words = format!("{}, {}", doing(&item.job.operation), folder_of(source));
        ui.add(egui::Label::new(theme::quiet(words)).truncate());
    });
    let height = if item.state == State::Waiting { LINES / 2.0 } else { LINES };
    ui.scope_builder(UiBuilder::new().max_rect(column(1, height)), |ui| {
        let running = app.batch.running.filter(|running| running.id == item.id);
        state_ui(ui, item, running, ready);
    });
    let buttons = Rect::from_x_y_ranges(edges[2]..=edges[3], row.y_range());
    let layout = Layout::right_to_left(Align::Center);
    ui.scope_builder(UiBuilder::new().max_rect(buttons).layout(layout), |ui| {
        buttons_ui(ui, item, &name, place, wish);
    });
}

fn thumbnail_ui(app: &mut App, ui: &mut Ui, item: &Item) {
    let rect = Rect::from_min_size(ui.max_rect().min, Vec2::splat(ROW - 12.0));
    let texture = app.batch.thumbnail(&mut app.workers, item);
    match texture {
        Some(texture) => {
            let size = texture.size_vec2();
            let scale = (rect.size() / size).min_elem();
            let shown = Rect::from_center_size(rect.center(), size * scale);
            let whole = Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
            ui.painter().image(texture.id(), shown, whole, Color32::WHITE);
            // Large enough to see whether marks lie where they should.
            ui.interact(rect, ui.scope_id().with("thumbnail"), Sense::hover()).on_hover_ui(|ui| {
                ui.image((texture.id(), size));
            });
        }
        None => {
            let fill = ui.visuals().faint_bg_color;
            ui.painter().rect_filled(rect.shrink(4.0), CornerRadius::same(4), fill);
        }
    }
}

/// What became of a photo.
fn state_ui(ui: &mut Ui, item: &Item, running: Option<Running>, ready: Option<Duration>) {
    let told = |ui: &mut Ui, text: RichText, whole: &str| {
        ui.add(egui::Label::new(text).truncate()).on_hover_text(whole);
    };
    match &item.state {
        State::Waiting => {
            let when = ready.map(|time| format!("Waiting, ready in {}", in_words(time)));
            ui.label(theme::quiet(when.unwrap_or_else(|| "Waiting".to_owned())));
        }
        State::Running => {
            let Some(running) = running else {
                ui.label(theme::quiet("Getting ready…"));
                return;
            };
            let progress = running.progress;
            let share = progress.done as f32 / progress.total.max(1) as f32;
            ui.add_space(5.0);
            let bar = ProgressBar::new(share).desired_height(7.0).fill(theme::ACCENT);
            let bar = ui.add(bar.desired_width(ui.available_width().min(220.0)));
            bar.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, "Progress")
            });
            let megapixels = |pixels: u64| pixels as f64 / 1e6;
            let left = match (running.gives_way, progress.remaining) {
                (true, _) => "gives way to your photo".to_owned(),
                (false, None) => "measuring the speed".to_owned(),
                (false, Some(left)) => format!("{} left", in_words(left)),
            };
            let (done, total) = (megapixels(progress.done), megapixels(progress.total));
            ui.label(theme::quiet(format!("{done:.1} of {total:.1} Mpx, {left}")));
        }
        State::Done(done) => {
            let time = Duration::from_secs_f64(done.seconds.max(0.0));
            ui.label(format!("Done in {}", in_words(time)));
            let name = done.output.file_name().unwrap_or_default().to_string_lossy();
            told(ui, theme::quiet(name), &done.output.display().to_string());
        }
        State::Failed { reason } => {
            ui.label(RichText::new("Failed").color(ui.visuals().error_fg_color));
            told(ui, theme::quiet(crate::error::capitalised(reason)), reason);
        }
        State::Skipped { reason } => {
            ui.label(RichText::new("Skipped").color(ui.visuals().warn_fg_color));
            told(ui, theme::quiet(crate::error::capitalised(reason)), reason);
        }
    }
}

/// From right to left.
fn buttons_ui(
    ui: &mut Ui,
    item: &Item,
    name: &str,
    (place, count): (usize, usize),
    wish: &mut Option<Wish>,
) {
    let button = |ui: &mut Ui, text: &str, help: &str, enabled: bool| {
        let help = format!("{help}: {name}");
        let text = RichText::new(text).size(13.0);
        let button = Button::new(text).small().min_size(SMALL);
        let button = ui.add_enabled(enabled, button).on_hover_text(&help);
        button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, enabled, &help));
        button.clicked()
    };
    let id = item.id;
    if button(ui, "×", "Remove from the queue", true) {
        *wish = Some(Wish::Order(Order::Remove(vec![id])));
    }
    match &item.state {
        State::Waiting => {
            if arrow_ui(ui, &format!("Later: {name}"), false, place + 1 < count) {
                *wish = Some(Wish::Order(Order::Shift(id, place + 1)));
            }
            if arrow_ui(ui, &format!("Sooner: {name}"), true, place > 0) {
                *wish = Some(Wish::Order(Order::Shift(id, place - 1)));
            }
        }
        State::Running => {}
        State::Done(done) => {
            if button(ui, "Folder", "Show in its folder", true) {
                *wish = Some(Wish::Reveal(done.output.clone()));
            }
            if button(ui, "Open", "Open the result", true) {
                *wish = Some(Wish::Open(done.output.clone()));
            }
        }
        State::Failed { .. } | State::Skipped { .. } => {
            if button(ui, "Retry", "Try again", true) {
                *wish = Some(Wish::Order(Order::Retry(vec![id])));
            }
        }
    }
}

/// A small button with a triangle, which the font has not.
fn arrow_ui(ui: &mut Ui, help: &str, up: bool, enabled: bool) -> bool {
    let button = ui.add_enabled(enabled, Button::new("").small().min_size(SMALL));
    button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, enabled, help));
    let (middle, height) = (button.rect.center(), if up { -3.0 } else { 3.0 });
    let corners = [(-4.5, -height), (4.5, -height), (0.0, height)];
    let corners = corners.map(|(x, y)| middle + Vec2::new(x, y)).to_vec();
    let visuals = ui.style().interact(&button);
    let colour = visuals.fg_stroke.color.gamma_multiply(if enabled { 1.0 } else { 0.4 });
    let triangle = egui::Shape::convex_polygon(corners, colour, egui::Stroke::NONE);
    ui.painter().add(triangle);
    button.on_hover_text(help).clicked()
}

fn doing(operation: &Operation) -> String {
    match operation {
        Operation::Upscale { model, .. } => {
            format!("{} by {model}", operation.done().replace('x', "×"))
        }
        Operation::Mend { .. } => "fill marks".to_owned(),
        Operation::Clean { model, .. } => format!("clean by {model}"),
        Operation::Colour { model, .. } => format!("colourise by {model}"),
    }
}

fn folder_of(file: &std::path::Path) -> String {
    let folder = file.parent().and_then(std::path::Path::file_name);
    folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The panel beside the list.
pub(super) fn side_ui(app: &mut App, ui: &mut Ui) {
    theme::section(ui, "QUEUE");
    let counts = app.batch.counts;
    let all = app.batch.items.len();
    let words = if all == 0 { "No photos yet".to_owned() } else { counts.in_words() };
    ui.label(RichText::new(words).strong());
    if all > 0 {
        let running = app.batch.running;
        let part = running.map_or(0.0, |Running { progress, .. }| {
            progress.done as f32 / progress.total.max(1) as f32
        });
        let share = ((all - counts.waiting) as f32 + part) / all as f32;
        let bar = ui.add(ProgressBar::new(share).desired_height(8.0).fill(theme::ACCENT));
        bar.widget_info(|| {
            egui::WidgetInfo::labeled(egui::Role::ProgressIndicator, true, "Progress of all")
        });
        let left = running.and_then(|running| running.left);
        let text = match (app.batch.works, left) {
            (true, Some(left)) => format!("{} left in all", in_words(left)),
            (true, None) => "Measuring the speed".to_owned(),
            (false, _) if app.batch.left_over => "From the last time the program ran".to_owned(),
            (false, _) if counts.waiting == 0 => "Nothing waits".to_owned(),
            (false, _) if !app.batch.begun => {
                "Ready to start; the list stays when you close the window".to_owned()
            }
            (false, _) => "Paused: nothing is lost, not even when you close the window".to_owned(),
        };
        ui.label(theme::quiet(text));
        ui.add_space(2.0);
        let button = match (app.batch.works, app.batch.left_over) {
            (true, _) => Button::new("Pause"),
            (false, true) => theme::primary("Go on"),
            (false, false) => theme::primary("Start"),
        };
        tall_ui(app, ui, Command::StartQueue, button);
        tidy_ui(app, ui);
    }
    ui.add_space(12.0);
    theme::section(ui, "PHOTOS THAT COME NEXT");
    plan_ui(app, ui);
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        for command in [Command::AddPhotos, Command::AddFolder] {
            if command.button(ui, app).clicked() {
                app.queue.push(command);
            }
        }
    });
}

/// Buttons for many rows at once.
fn tidy_ui(app: &App, ui: &mut Ui) {
    let batch = &app.batch;
    let failed = batch.ids(|state| matches!(state, State::Failed { .. }));
    let ended = batch.ids(|state| !matches!(state, State::Waiting | State::Running));
    if ended.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        if !failed.is_empty() && ui.button(format!("Retry {} failed", failed.len())).clicked() {
            batch.order(Order::Retry(failed));
        }
        let clear = ui
            .button("Clear finished")
            .on_hover_text("Take what is not waiting out of the list; the files stay");
        if clear.clicked() {
            batch.order(Order::Remove(ended));
        }
    });
}

/// What is done with photos that come in.
fn plan_ui(app: &mut App, ui: &mut Ui) {
    let before = app.settings.clone();
    egui::Grid::new("plan").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
        let label = ui.label("Do");
        let width = ui.available_width();
        let name = |what: &What| match what {
            What::Upscale => "Upscale",
            What::Clean => "Clean",
            What::Colour => "Colourise",
            What::Fill(_) => "Fill the same marks",
        };
        let what = &mut app.batch.what;
        ComboBox::from_id_salt("what")
            .selected_text(name(what))
            .width(width)
            .show_ui(ui, |ui| {
                for choice in [What::Upscale, What::Clean, What::Colour] {
                    let text = name(&choice);
                    ui.selectable_value(what, choice, text);
                }
            })
            .response
            .labelled_by(label.id);
        ui.end_row();
        match app.batch.what {
            What::Upscale => {
                let label = ui.label("Model");
                let fits = |model: &About| model.scale > 1 && !model.takes_mask;
                let asked = models_ui(ui, &app.models, fits, &mut app.settings.model, label.id);
                app.asked(asked);
                ui.end_row();
            }
            What::Clean | What::Colour => {
                let colours = app.batch.what == What::Colour;
                let label = ui.label("Model");
                let fits = |model: &About| {
                    model.scale == 1 && !model.takes_mask && model.gives_colours == colours
                };
                let Settings { cleaning_model, colouring_model, .. } = &mut app.settings;
                let chosen = if colours { colouring_model } else { cleaning_model };
                let asked = models_ui(ui, &app.models, fits, chosen, label.id);
                app.asked(asked);
                ui.end_row();
            }
            What::Fill(ref mut filling) => {
                ui.label("Marks");
                ui.add(egui::Label::new(format!("of {}", filling.name)).truncate());
                ui.end_row();
                let label = ui.label("Place");
                anchor_ui(ui, &mut filling.anchor, label.id);
                ui.end_row();
            }
        }
        device_ui(app, ui);
        ui.end_row();
        let label = ui.label("Results");
        results_ui(app, ui, label.id);
        ui.end_row();
        let label = ui.label("Name");
        let usual = match app.batch.what {
            What::Upscale => "{name}-{scale}x",
            What::Clean => "{name}-clean",
            What::Colour => "{name}-colour",
            What::Fill(_) => "{name}-mended",
        };
        ui.add(TextEdit::singleline(&mut app.settings.queue.name).hint_text(usual))
            .labelled_by(label.id)
            .on_hover_text(
                "Made of {name}, {scale}, {model}, {date} and {counter}; the ending is that of \
                 the photo's format",
            );
        ui.end_row();
    });
    match app.batch.what {
        What::Upscale => strength::ui(ui, &mut app.enlarged_strength),
        What::Clean | What::Colour => strength::ui(ui, &mut app.strength),
        What::Fill(_) => {}
    }
    ui.checkbox(&mut app.settings.queue.skips, "Skip photos whose result is there")
        .on_hover_text("Otherwise the new result gets a number; nothing is ever overwritten");
    ui.checkbox(&mut app.settings.receipt, "Save a receipt beside each")
        .on_hover_text("What was done, as JSON: photo-4x.png.json");
    if app.settings != before {
        app.keep_settings();
    }
    let plan = match app.queue_plan() {
        Ok(plan) => plan,
        Err(error) => {
            ui.label(
                RichText::new(crate::error::capitalised(&error.to_string()))
                    .small()
                    .color(ui.visuals().error_fg_color),
            );
            return;
        }
    };
    let waiting = app.batch.waiting();
    let differs = |item: &Item| {
        item.state == State::Waiting
            && (item.job.operation != plan.operation
                || item.job.on_conflict != plan.on_conflict
                || item.job.receipt != plan.receipt)
    };
    if app.batch.items.iter().any(differs) {
        let text = if waiting == 1 {
            "Use this for the one that waits".to_owned()
        } else {
            format!("Use this for the {waiting} that wait")
        };
        if ui.button(text).clicked() {
            app.batch.order(Order::Settle(plan));
        }
    }
}

fn anchor_ui(ui: &mut Ui, anchor: &mut Anchor, label: egui::Id) {
    let name = |anchor: Anchor| {
        let named = Anchor::NAMED.into_iter().find(|(_, own)| *own == anchor);
        named.map_or("", |(name, _)| name)
    };
    ComboBox::from_id_salt("anchor")
        .selected_text(name(*anchor))
        .width(ui.available_width())
        .show_ui(ui, |ui| {
            for (name, choice) in Anchor::NAMED {
                ui.selectable_value(anchor, choice, name);
            }
        })
        .response
        .labelled_by(label)
        .on_hover_text("Where the marks lie on photos of another size");
}

fn results_ui(app: &mut App, ui: &mut Ui, label: egui::Id) {
    let folder = &mut app.settings.queue.folder;
    let shown = folder.as_ref().map_or_else(
        || "Beside each photo".to_owned(),
        |folder| folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    );
    let mut asks = false;
    let response = ComboBox::from_id_salt("results")
        .selected_text(shown)
        .width(ui.available_width())
        .truncate()
        .show_ui(ui, |ui| {
            ui.selectable_value(folder, None, "Beside each photo");
            if let Some(chosen) = folder.clone() {
                let text = chosen.display().to_string();
                ui.selectable_value(folder, Some(chosen), text);
            }
            asks = ui.selectable_label(false, "In a folder…").clicked();
        })
        .response
        .labelled_by(label);
    if let Some(folder) = folder {
        response.on_hover_text(folder.display().to_string());
    }
    if asks {
        app.queue.push(Command::ResultsFolder);
    }
}
