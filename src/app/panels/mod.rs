//! The parts of the window around the canvas.

use egui::{
    Align, Align2, CentralPanel, Color32, CornerRadius, Frame, Layout, Margin, Panel, RichText,
    Sense, Stroke, StrokeKind, Ui, Vec2,
};

use super::{App, Command, Task, theme, viewer::View};

mod batch;
mod preview;
mod repair;
mod saving;
mod size;
mod steps;
mod strength;
mod train;
mod upscale;

pub(super) use upscale::in_words;

/// Draws everything.
pub(super) fn show(app: &mut App, ui: &mut Ui) {
    let bar = Frame::new().fill(ui.visuals().panel_fill).inner_margin(Margin::symmetric(12, 8));
    Panel::top("toolbar").frame(bar).show(ui, |ui| toolbar_ui(app, ui));
    let bar = Frame::new().fill(ui.visuals().panel_fill).inner_margin(Margin::symmetric(14, 4));
    Panel::bottom("status").frame(bar).show(ui, |ui| status_ui(app, ui));
    if app.document.is_some() || app.batch.shown || app.trains() {
        // Its contents keep the margin at the right, in which their scroll bar stands.
        let margin = Margin { right: 0, ..theme::panel_margin() };
        let side = Frame::new().fill(ui.visuals().panel_fill).inner_margin(margin);
        Panel::right("task")
            .resizable(false)
            .exact_size(theme::PANEL_WIDTH)
            .frame(side)
            .show(ui, |ui| if app.batch.shown { queue_ui(app, ui) } else { task_ui(app, ui) });
    }
    let visuals = ui.visuals();
    let ground =
        if app.batch.shown { visuals.panel_fill } else { theme::canvas(visuals.dark_mode) };
    let canvas = Frame::new().fill(ground);
    CentralPanel::no_frame().frame(canvas).show(ui, |ui| {
        if app.batch.shown {
            batch::list_ui(app, ui);
        } else if app.trains() {
            train::canvas_ui(app, ui);
        } else if app.document.is_some() {
            app.viewer.ui(ui);
        } else {
            welcome_ui(app, ui);
        }
        drop_hint_ui(app, ui);
    });
    keys_ui(app, ui);
    train::dialogs_ui(app, ui);
}

/// The panel beside the canvas.
fn task_ui(app: &mut App, ui: &mut Ui) {
    let keys = Command::SwitchTask.keys(ui.ctx());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        let photo = format!("{}  ({keys})", Command::SwitchTask.help());
        let keys = Command::Train.keys(ui.ctx());
        let train = format!("{}  ({keys})", Command::Train.help());
        for (task, name, help) in [
            (Task::Upscale, "Upscale", &photo),
            (Task::Repair, "Repair", &photo),
            (Task::Train, "Train", &train),
        ] {
            let tab = ui
                .selectable_label(app.task == task, RichText::new(name).strong())
                .on_hover_text(help);
            if tab.clicked() {
                app.task = task;
            }
        }
    });
    ui.add_space(10.0);
    scrolled(ui, |ui| match app.task {
        Task::Upscale => upscale::ui(app, ui),
        Task::Repair => repair::ui(app, ui),
        Task::Train => train::ui(app, ui),
    });
}

/// What may be higher than the panel. The bar stands in the margin at the right: over the contents it
/// would take the clicks of the buttons there.
fn scrolled(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    let margin = Margin { right: theme::panel_margin().right, ..Margin::ZERO };
    egui::ScrollArea::vertical().content_margin(margin).show(ui, contents);
}

/// The panel beside the queue's list.
fn queue_ui(app: &mut App, ui: &mut Ui) {
    scrolled(ui, |ui| batch::side_ui(app, ui));
}

fn toolbar_ui(app: &mut App, ui: &mut Ui) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Pixmend").strong().size(16.0));
        ui.add_space(10.0);
        click(app, ui, Command::Open);
        let counts = app.batch.counts;
        let text = match (counts.waiting, app.batch.items.len()) {
            (0, _) => Command::Queue.name().to_owned(),
            (waiting, all) => format!("{} {}/{all}", Command::Queue.name(), all - waiting),
        };
        let button = egui::Button::selectable(app.batch.shown, text).frame_when_inactive(true);
        if Command::Queue.decorated(ui, app, button).clicked() {
            app.queue.push(Command::Queue);
        }
        if app.batch.shown {
            // The list has a bar of its own.
        } else if !app.has_photo() {
            click(app, ui, Command::Train);
        } else if !app.trains() {
            ui.add_space(10.0);
            view_switch_ui(app, ui);
            ui.add_space(10.0);
            click(app, ui, Command::Fit);
            click(app, ui, Command::ActualSize);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            click(app, ui, Command::Help);
            click(app, ui, Command::Theme);
        });
    });
}

/// A button that queues its command.
fn click(app: &mut App, ui: &mut Ui, command: Command) {
    if command.button(ui, app).clicked() {
        app.queue.push(command);
    }
}

fn view_switch_ui(app: &mut App, ui: &mut Ui) {
    ui.spacing_mut().item_spacing.x = 2.0;
    for view in View::ALL {
        let chosen = app.viewer.view == view;
        let keys = Command::CycleView.keys(ui.ctx());
        let button = ui
            .selectable_label(chosen, view.name())
            .on_hover_text(format!("{} ({keys} for the next view)", view.name()));
        if button.clicked() {
            app.viewer.view = view;
        }
    }
    ui.spacing_mut().item_spacing.x = 8.0;
}

fn status_ui(app: &App, ui: &mut Ui) {
    ui.horizontal(|ui| {
        ui.set_min_height(20.0);
        let device = app.running.as_ref().and_then(|running| running.device.as_ref());
        let device = device.or_else(|| app.finished()?.summary.as_ref()?.device.as_ref());
        let text = match device {
            Some(device) => format!("Running on {device}"),
            None if app.opening.is_some() => "Opening…".to_owned(),
            None if app.batch.works => "The queue is at work.".to_owned(),
            None => "Ready. Nothing leaves this computer.".to_owned(),
        };
        let text = if app.running.is_none() { text.replace("Running", "Ran") } else { text };
        ui.label(theme::quiet(text));
        if let Some(text) = app.training_status() {
            ui.separator();
            ui.label(theme::quiet(text));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if app.document.is_some() && !app.trains() {
                let percent = app.viewer.magnification() * 100.0;
                let text = if percent < 10.0 {
                    format!("{percent:.1} %")
                } else {
                    format!("{percent:.0} %")
                };
                ui.label(theme::quiet(text))
                    .on_hover_text("Screen pixels for a pixel of the result");
            }
            if let Some((x, y)) = app.viewer.hovered() {
                ui.label(theme::quiet(format!("{x}, {y}")));
            }
        });
    });
}

/// What is seen before there is a photo.
fn welcome_ui(app: &mut App, ui: &mut Ui) {
    let area = ui.available_rect_before_wrap();
    let card = egui::Rect::from_center_size(area.center(), Vec2::new(540.0, 372.0));
    let line = ui.visuals().weak_text_color();
    let shapes = egui::Shape::dashed_line(
        &rounded_outline(card),
        Stroke::new(1.5, line.gamma_multiply(0.6)),
        7.0,
        6.0,
    );
    ui.painter().extend(shapes);
    let inner = card.shrink(28.0);
    ui.scope_builder(egui::UiBuilder::new().max_rect(inner), |ui| {
        ui.vertical_centered(|ui| {
            ui.add_space(22.0);
            photo_sign_ui(ui);
            ui.add_space(10.0);
            ui.label(RichText::new("Drop a photo here").heading().strong());
            ui.label(
                RichText::new("JPEG, PNG, WebP, TIFF, BMP, GIF… It stays on this computer.").weak(),
            );
            ui.add_space(14.0);
            let open = theme::primary("Open a photo…").min_size(Vec2::new(256.0, 40.0));
            if Command::Open.decorated(ui, app, open).clicked() {
                app.queue.push(Command::Open);
            }
            ui.add_space(8.0);
            let thumbnail = egui::Image::new((app.sample.id(), Vec2::new(96.0, 64.0)))
                .corner_radius(CornerRadius::same(5))
                .alt_text("");
            let sample = egui::Button::image_and_text(thumbnail, Command::OpenSample.name());
            if Command::OpenSample.decorated(ui, app, sample).clicked() {
                app.queue.push(Command::OpenSample);
            }
            if app.opening.is_some() {
                ui.spinner();
            }
        });
    });
}

/// A photo with a mountain, drawn with lines.
fn photo_sign_ui(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(Vec2::new(64.0, 50.0), Sense::hover());
    let stroke = Stroke::new(2.0, theme::ACCENT);
    let painter = ui.painter();
    painter.rect_stroke(rect, CornerRadius::same(7), stroke, StrokeKind::Inside);
    let at = |x: f32, y: f32| rect.min + Vec2::new(x, y);
    painter.line(
        vec![at(7.0, 40.0), at(24.0, 21.0), at(36.0, 33.0), at(44.0, 26.0), at(57.0, 40.0)],
        stroke,
    );
    painter.circle_stroke(at(46.0, 15.0), 4.5, stroke);
}

/// Corners of a rectangle with rounded corners, as a closed line.
fn rounded_outline(rect: egui::Rect) -> Vec<egui::Pos2> {
    const RADIUS: f32 = 18.0;
    let corners = [
        (rect.right_top() + Vec2::new(-RADIUS, RADIUS), -90.0_f32),
        (rect.right_bottom() + Vec2::new(-RADIUS, -RADIUS), 0.0),
        (rect.left_bottom() + Vec2::new(RADIUS, -RADIUS), 90.0),
        (rect.left_top() + Vec2::new(RADIUS, RADIUS), 180.0),
    ];
    let mut points: Vec<egui::Pos2> = corners
        .into_iter()
        .flat_map(|(centre, start)| {
            (0..=8).map(move |step| {
                let angle = (start + 90.0 * step as f32 / 8.0).to_radians();
                centre + RADIUS * Vec2::angled(angle)
            })
        })
        .collect();
    points.push(points[0]);
    points
}

/// While a file hangs over the window.
fn drop_hint_ui(app: &App, ui: &Ui) {
    let text = match ui.input(|input| input.raw.hovered_files.len()) {
        0 => return,
        1 if !app.batch.shown => "Drop to open",
        _ => "Drop to add to the queue",
    };
    let rect = ui.ctx().content_rect();
    let painter = ui
        .ctx()
        .layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop hint")));
    painter.rect_filled(rect, CornerRadius::ZERO, Color32::from_black_alpha(170));
    let stroke = Stroke::new(3.0, theme::ACCENT);
    painter.rect_stroke(rect.shrink(14.0), CornerRadius::same(14), stroke, StrokeKind::Inside);
    painter.text(
        rect.center(),
        Align2::CENTER_CENTER,
        text,
        egui::FontId::proportional(26.0),
        Color32::WHITE,
    );
}

/// The sheet of keys, made from the commands themselves.
fn keys_ui(app: &mut App, ui: &Ui) {
    let mut open = app.shows_keys;
    egui::Window::new("Keys")
        .open(&mut open)
        .collapsible(false)
        .resizable(false)
        .frame(Frame::window(&ui.ctx().global_style()).inner_margin(Margin::same(18)))
        .anchor(Align2::CENTER_CENTER, Vec2::ZERO)
        .show(ui.ctx(), |ui| {
            ui.spacing_mut().interact_size.y = 18.0;
            // A low window has less room than there are keys.
            let room = ui.ctx().content_rect().height() - 120.0;
            let scrolled = egui::ScrollArea::vertical().max_height(room).min_scrolled_height(room);
            scrolled.show(ui, |ui| {
                egui::Grid::new("keys").num_columns(2).spacing([28.0, 7.0]).show(ui, |ui| {
                    let ctx = ui.ctx().clone();
                    let mut row = |keys: &str, help: &str| {
                        ui.label(RichText::new(keys).strong());
                        ui.label(help);
                        ui.end_row();
                    };
                    // The keys of previews are one row.
                    let told = |command: &Command| !matches!(command, Command::Flip(1..));
                    for command in Command::ALL.into_iter().filter(told) {
                        let mut keys = command.keys(&ctx);
                        if command == Command::Flip(0) {
                            keys += " to 4";
                        }
                        if !keys.is_empty() {
                            row(&keys, command.help());
                        }
                    }
                    row("Wheel", "Zoom at the pointer, both panes together");
                    row("Drag", "Move the photo (while repairing: middle, or Space and left)");
                    row("Right drag", "Erase marks");
                    row("Shift and click", "A straight stroke from the last one");
                    row("Double click", "Whole picture or 100 %");
                    row("\\ (hold)", "Show the original");
                });
            });
        });
    app.shows_keys = open;
}
