//! The photos that were chosen, as the doctor sees them.

use egui::{
    Align, Align2, CornerRadius, FontId, Layout, RichText, Sense, Stroke, StrokeKind, Ui, Vec2,
};

use super::super::super::{App, theme};
use crate::train::doctor::Examined;

/// Size of a card; it is wider where a row has room left.
const CARD: Vec2 = Vec2::new(176.0, 206.0);

/// Between cards.
const GAP: f32 = 10.0;

/// Room for the bar that scrolls.
const BAR: f32 = 10.0;

pub(super) fn ui(app: &mut App, ui: &mut Ui) {
    if app.training.checkup.is_none() {
        empty_ui(app, ui);
        return;
    }
    let mut changed = false;
    let (thumbnails, plan) = (&app.training.thumbnails, &app.training.plan);
    let plan = plan.as_ref().and_then(|plan| plan.as_ref().ok());
    let Some(checkup) = &mut app.training.checkup else { return };
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing = Vec2::splat(GAP);
        let room = ui.available_width() - BAR + GAP;
        let columns = (room / (CARD.x + GAP)).floor().max(1.0);
        let card = Vec2::new(room / columns - GAP, CARD.y);
        // Photos that something is wrong with come first: these are to be decided on.
        let (ill, sound): (Vec<_>, Vec<_>) =
            checkup.photos.iter_mut().partition(|photo| !photo.problems.is_empty());
        let mut photos: Vec<&mut Examined> = ill.into_iter().chain(sound).collect();
        for row in photos.chunks_mut(columns as usize) {
            ui.horizontal(|ui| {
                for photo in row {
                    let held_out = plan.is_some_and(|plan| {
                        plan.validation.contains(&photo.path) || plan.test.contains(&photo.path)
                    });
                    let before = photo.kept;
                    card_ui(ui, card, photo, thumbnails.get(&photo.path), held_out);
                    changed |= before != photo.kept;
                }
            });
        }
    });
    if changed {
        app.plan();
    }
}

fn card_ui(
    ui: &mut Ui,
    size: Vec2,
    photo: &mut Examined,
    thumbnail: Option<&egui::TextureHandle>,
    held_out: bool,
) {
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(area, CornerRadius::same(8), ui.visuals().panel_fill);
    let (dark, used) = (ui.visuals().dark_mode, photo.kept && photo.is_usable());
    let inner = area.shrink(8.0);
    let frame = egui::Rect::from_min_size(inner.min, Vec2::new(inner.width(), 116.0));
    ui.painter().rect_filled(frame, CornerRadius::same(5), ui.visuals().extreme_bg_color);
    if let Some(thumbnail) = thumbnail {
        let size = thumbnail.size_vec2();
        let fits = (frame.width() / size.x).min(frame.height() / size.y).min(1.0);
        let place = egui::Rect::from_center_size(frame.center(), size * fits);
        let uv = egui::Rect::from_min_max(egui::Pos2::ZERO, egui::pos2(1.0, 1.0));
        let tint = egui::Color32::WHITE.gamma_multiply(if used { 1.0 } else { 0.35 });
        ui.painter().image(thumbnail.id(), place, uv, tint);
    }
    if held_out {
        let at = frame.left_bottom() + Vec2::new(5.0, -5.0);
        let (font, white) = (FontId::proportional(11.0), egui::Color32::WHITE);
        let text = ui.painter().layout_no_wrap("held out".to_owned(), font, white);
        let label = Align2::LEFT_BOTTOM.anchor_size(at, text.size() + Vec2::new(10.0, 4.0));
        let shade = egui::Color32::from_black_alpha(170);
        ui.painter().rect_filled(label, CornerRadius::same(6), shade);
        ui.painter().galley(label.min + Vec2::new(5.0, 2.0), text, white);
    }
    let rest = egui::Rect::from_min_max(frame.left_bottom() + Vec2::new(0.0, 4.0), inner.max);
    let builder = egui::UiBuilder::new().max_rect(rest).layout(Layout::top_down(Align::LEFT));
    // A child does not move the place of the next card.
    let ui = &mut ui.new_child(builder);
    ui.spacing_mut().item_spacing.y = 1.0;
    ui.spacing_mut().interact_size.y = 22.0;
    let name = photo.path.file_name().unwrap_or_default().display().to_string();
    let usable = photo.is_usable();
    ui.add_enabled_ui(usable, |ui| {
        let shown = RichText::new(shortened(&name)).small();
        let check = ui.checkbox(&mut photo.kept, shown);
        check.widget_info(|| {
            egui::WidgetInfo::selected(
                egui::Role::CheckBox,
                usable,
                photo.kept,
                format!("Use {name}"),
            )
        });
        check.on_hover_text(photo.path.display().to_string());
    });
    let (width, height) = photo.size;
    if width > 0 {
        ui.label(theme::quiet(format!("{width} × {height}")));
    }
    let names: Vec<&str> = photo.problems.iter().map(|problem| problem.name()).collect();
    if !names.is_empty() {
        let grave = photo.problems.iter().any(|problem| problem.is_grave());
        let text = RichText::new(names.join(", ")).small();
        let text = if grave { text.color(theme::warning(dark)) } else { text };
        let sentences: Vec<String> =
            photo.problems.iter().map(|problem| problem.sentence()).collect();
        ui.label(text).on_hover_text(sentences.join("\n"));
    }
}

/// A name that fits on a card; its end tells more than its middle.
fn shortened(name: &str) -> String {
    const LETTERS: usize = 20;
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= LETTERS {
        return name.to_owned();
    }
    let (start, end) = (&letters[..9], &letters[letters.len() - 10..]);
    start.iter().chain(['…'].iter()).chain(end).collect()
}

/// Before there are photos.
fn empty_ui(app: &mut App, ui: &mut Ui) {
    let area = ui.available_rect_before_wrap();
    let card = egui::Rect::from_center_size(area.center(), Vec2::new(520.0, 230.0));
    let line = ui.visuals().weak_text_color().gamma_multiply(0.6);
    ui.painter().rect_stroke(
        card,
        CornerRadius::same(18),
        Stroke::new(1.5, line),
        StrokeKind::Inside,
    );
    ui.scope_builder(egui::UiBuilder::new().max_rect(card.shrink(28.0)), |ui| {
        ui.vertical_centered(|ui| {
            ui.add_space(22.0);
            ui.label(RichText::new("Teach a model your own photos").heading().strong());
            ui.label(
                RichText::new("Drop photos or a folder here. They stay on this computer.").weak(),
            );
            ui.label(
                RichText::new("Some are held out, and tell you whether the result is better.")
                    .weak(),
            );
            ui.add_space(14.0);
            let choose = theme::primary("Choose a folder…").min_size(Vec2::new(256.0, 40.0));
            if ui.add(choose).clicked() {
                app.ask_which_photos(ui.ctx(), true);
            }
            if app.training.examining.is_some() {
                ui.spinner();
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_start_and_their_end() {
        assert_eq!(shortened("short.jpg"), "short.jpg");
        assert_eq!(shortened("a-very-long-name-of-a-photo-0123.jpeg"), "a-very-lo…-0123.jpeg");
    }
}
