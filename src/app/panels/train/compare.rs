//! Two versions of a picture on one place, with a line between them.

use egui::{
    CornerRadius, CursorIcon, Pos2, Rect, Sense, Stroke, TextureHandle, Ui, Vec2, WidgetInfo,
};

use super::super::super::theme;

/// Draws them as large as there is room.
pub(super) fn ui(
    ui: &mut Ui,
    [left, right]: [(&TextureHandle, &str); 2],
    split: &mut f32,
    room: Vec2,
) {
    let size = left.0.size_vec2();
    let fits = (room.x / size.x).min(room.y / size.y);
    let (area, response) = ui.allocate_exact_size(size * fits, Sense::click_and_drag());
    let about = format!("{} and {}", left.1, right.1);
    response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, &about));
    if let Some(pointer) = response.interact_pointer_pos() {
        *split = ((pointer.x - area.left()) / area.width()).clamp(0.0, 1.0);
    }
    let x = area.left() + *split * area.width();
    let white = egui::Color32::WHITE;
    let whole = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
    for (texture, from, to) in [(left.0, area.left(), x), (right.0, x, area.right())] {
        let part = Rect::from_x_y_ranges(from..=to, area.y_range());
        ui.painter().with_clip_rect(part).image(texture.id(), area, whole, white);
    }
    let line = [Pos2::new(x, area.top()), Pos2::new(x, area.bottom())];
    ui.painter().line_segment(line, Stroke::new(2.0, white));
    ui.painter().rect_filled(
        Rect::from_center_size(Pos2::new(x, area.center().y), Vec2::new(8.0, 30.0)),
        CornerRadius::same(4),
        white,
    );
    theme::caption(ui, Rect::from_x_y_ranges(area.left()..=x, area.y_range()), false, left.1);
    theme::caption(ui, Rect::from_x_y_ranges(x..=area.right(), area.y_range()), true, right.1);
    response.on_hover_cursor(CursorIcon::ResizeHorizontal);
}
