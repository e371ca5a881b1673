//! Colours, sizes and the few shapes that several parts of the window share.
//! No other module names a colour.

use egui::{
    Align2, Color32, Context, CornerRadius, FontId, Margin, Rect, RichText, Stroke, TextStyle, Ui,
    Vec2,
};

use crate::settings::MARKS;

/// Between the two panes, in points.
pub const PANE_GAP: f32 = 2.0;

/// Width of the side panel, in points.
pub const PANEL_WIDTH: f32 = 288.0;

/// The lighter grey below transparent pictures.
pub const GROUND: [f32; 4] = [0.62, 0.62, 0.62, 1.0];

/// Over the parts of a result that are still to come.
pub const VEIL: [f32; 4] = [0.0, 0.0, 0.0, 0.45];

/// Over what is protected, multiplied by its alpha.
pub const PROTECTED: [f32; 4] = [0.05, 0.3, 0.42, 0.5];

/// Between the two panes.
pub const DIVIDER: [f32; 4] = [0.27, 0.27, 0.27, 1.0];

/// For the one thing to do next.
pub const ACCENT: Color32 = Color32::from_rgb(0xF2, 0xA0, 0x3D);

/// Text on the accent.
pub const ON_ACCENT: Color32 = Color32::from_rgb(0x24, 0x17, 0x05);

/// What is wrong with a photo.
#[must_use]
pub const fn warning(dark: bool) -> Color32 {
    if dark { Color32::from_rgb(0xF0, 0x8A, 0x7A) } else { Color32::from_rgb(0xB3, 0x3A, 0x28) }
}

/// The main line of a plot, in the accent of a shade that is seen on the ground.
#[must_use]
pub const fn curve(dark: bool) -> Color32 {
    if dark { ACCENT } else { Color32::from_rgb(0xC2, 0x6F, 0x0A) }
}

/// Around the photo: neutral, so that it does not colour the eye.
#[must_use]
pub const fn canvas(dark: bool) -> Color32 {
    if dark { Color32::from_gray(0x17) } else { Color32::from_gray(0xC9) }
}

/// Colours, sizes and fonts of all widgets.
pub fn apply(ctx: &Context, dark: bool) {
    ctx.set_theme(if dark { egui::Theme::Dark } else { egui::Theme::Light });
    ctx.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Small, FontId::proportional(12.0)),
            (TextStyle::Body, FontId::proportional(14.0)),
            (TextStyle::Button, FontId::proportional(14.0)),
            (TextStyle::Heading, FontId::proportional(19.0)),
            (TextStyle::Monospace, FontId::monospace(13.0)),
        ]
        .into();
        style.spacing.item_spacing = Vec2::new(8.0, 8.0);
        style.spacing.button_padding = Vec2::new(12.0, 6.0);
        style.spacing.interact_size.y = 30.0;
        style.spacing.combo_width = 0.0;
        style.interaction.selectable_labels = false;

        let visuals = &mut style.visuals;
        let radius = CornerRadius::same(7);
        for widget in [
            &mut visuals.widgets.noninteractive,
            &mut visuals.widgets.inactive,
            &mut visuals.widgets.hovered,
            &mut visuals.widgets.active,
            &mut visuals.widgets.open,
        ] {
            widget.corner_radius = radius;
            widget.expansion = 0.0;
        }
        visuals.window_corner_radius = CornerRadius::same(10);
        visuals.menu_corner_radius = CornerRadius::same(8);
        visuals.selection.bg_fill = ACCENT;
        visuals.selection.stroke = Stroke::new(1.0, ON_ACCENT);
        let grey = Color32::from_gray;
        // Explanations keep a contrast of 4.5 to 1 (WCAG 2.2) on the panel and on the canvas.
        visuals.weak_text_color = Some(grey(if visuals.dark_mode { 0x9E } else { 0x50 }));
        if visuals.dark_mode {
            visuals.panel_fill = grey(0x21);
            visuals.window_fill = grey(0x2A);
            visuals.extreme_bg_color = grey(0x17);
            visuals.faint_bg_color = grey(0x28);
            visuals.override_text_color = None;
            visuals.widgets.noninteractive.bg_stroke = Stroke::new(1.0, grey(0x33));
            visuals.widgets.noninteractive.fg_stroke = Stroke::new(1.0, grey(0xC8));
            visuals.widgets.inactive.weak_bg_fill = grey(0x35);
            visuals.widgets.inactive.bg_fill = grey(0x35);
            visuals.widgets.inactive.fg_stroke = Stroke::new(1.0, grey(0xE2));
            visuals.widgets.hovered.weak_bg_fill = grey(0x42);
            visuals.widgets.hovered.bg_stroke = Stroke::new(1.0, grey(0x58));
            visuals.widgets.active.weak_bg_fill = grey(0x4C);
        } else {
            visuals.panel_fill = grey(0xF3);
            visuals.window_fill = grey(0xFC);
            visuals.extreme_bg_color = grey(0xFF);
            visuals.faint_bg_color = grey(0xEA);
            visuals.widgets.noninteractive.bg_stroke = Stroke::new(1.0, grey(0xD8));
            visuals.widgets.noninteractive.fg_stroke = Stroke::new(1.0, grey(0x3A));
            visuals.widgets.inactive.weak_bg_fill = grey(0xE0);
            visuals.widgets.inactive.bg_fill = grey(0xE0);
            visuals.widgets.hovered.weak_bg_fill = grey(0xD4);
        }
    });
}

/// Margin of panels.
#[must_use]
pub const fn panel_margin() -> Margin {
    Margin::symmetric(16, 14)
}

/// The name of a pane in its corner.
pub fn caption(ui: &Ui, pane: Rect, right: bool, text: &str) {
    if pane.width() < 90.0 {
        return;
    }
    let painter = ui.painter().with_clip_rect(pane);
    let font = FontId::proportional(12.5);
    let (corner, anchor) = if right {
        (pane.right_top() + Vec2::new(-20.0, 17.0), Align2::RIGHT_TOP)
    } else {
        (pane.left_top() + Vec2::new(20.0, 17.0), Align2::LEFT_TOP)
    };
    let galley = painter.layout_no_wrap(text.to_owned(), font, Color32::WHITE);
    let area = anchor.anchor_size(corner, galley.size());
    painter.rect_filled(
        area.expand2(Vec2::new(9.0, 4.0)),
        CornerRadius::same(9),
        Color32::from_black_alpha(150),
    );
    painter.galley(area.min, galley, Color32::WHITE);
}

/// A small title above a group of controls.
pub fn section(ui: &mut Ui, title: &str) {
    ui.label(RichText::new(title).small().strong().color(ui.visuals().weak_text_color()));
}

/// A colour in sRGB with its opacity, for drawing over a photo: multiplied by its alpha.
#[must_use]
pub fn over([red, green, blue, opacity]: [u8; 4]) -> [f32; 4] {
    let alpha = f32::from(opacity) / 255.0;
    let [red, green, blue] = [red, green, blue].map(|value| f32::from(value) / 255.0 * alpha);
    [red, green, blue, alpha]
}

/// Fainter than over what is marked: over what is filled around it.
#[must_use]
pub fn around(marked: [f32; 4]) -> [f32; 4] {
    marked.map(|value| value * 0.36)
}

/// A small picture, its colours multiplied by their alpha, with the colour of marks over what is
/// marked: thin ones too.
#[must_use]
pub fn marked(mut pixels: image::RgbaImage, marks: Option<&image::GrayImage>) -> image::RgbaImage {
    let Some(marks) = marks.filter(|marks| marks.dimensions() == pixels.dimensions()) else {
        return pixels;
    };
    let colours = over(MARKS);
    let [.., alpha] = colours;
    for (pixel, mark) in pixels.pixels_mut().zip(marks.pixels()) {
        let share = (f32::from(mark.0[0]) / 64.0).min(1.0);
        for (value, colour) in pixel.0.iter_mut().zip(colours) {
            let below = f32::from(*value) * (1.0 - alpha * share);
            *value = (below + 255.0 * colour * share).min(255.0) as u8;
        }
    }
    pixels
}

/// Text that explains and may be overlooked.
#[must_use]
pub fn quiet(text: impl Into<String>) -> RichText {
    RichText::new(text).small().weak()
}

/// A question in front of everything else.
pub fn dialog(ctx: &egui::Context, name: &str) -> egui::Modal {
    let frame = egui::Frame::window(&ctx.global_style()).inner_margin(20);
    egui::Modal::new(egui::Id::unique(name)).frame(frame)
}

/// The button for what most people will do next.
pub fn primary(text: impl Into<String>) -> egui::Button<'static> {
    let text = RichText::new(text).strong().size(15.0).color(ON_ACCENT);
    egui::Button::new(text).fill(ACCENT).stroke(Stroke::NONE)
}

/// What a row of colours stands for, in the lower left corner of a pane: `colour` of 0 to 1, with
/// numbers for its beginning, middle and end.
pub fn legend(
    ui: &Ui,
    pane: Rect,
    title: &str,
    numbers: [&str; 3],
    colour: impl Fn(f32) -> [u8; 4],
) {
    const WIDTH: f32 = 176.0;
    const STEPS: usize = 44;
    if pane.width() < WIDTH + 60.0 || pane.height() < 120.0 {
        return;
    }
    let painter = ui.painter().with_clip_rect(pane);
    let size = Vec2::new(WIDTH + 24.0, 56.0);
    let area = Rect::from_min_size(pane.left_bottom() + Vec2::new(14.0, -14.0 - size.y), size);
    painter.rect_filled(area, CornerRadius::same(9), Color32::from_black_alpha(190));
    let font = FontId::proportional(12.0);
    let left = area.left_top() + Vec2::new(12.0, 7.0);
    painter.text(left, Align2::LEFT_TOP, title, font.clone(), Color32::WHITE);
    let bar = Rect::from_min_size(left + Vec2::new(0.0, 18.0), Vec2::new(WIDTH, 8.0));
    painter.rect_filled(bar, CornerRadius::ZERO, Color32::from_gray(0x70));
    let step = WIDTH / STEPS as f32;
    for place in 0..STEPS {
        let [red, green, blue, alpha] = colour((place as f32 + 0.5) / STEPS as f32);
        let corner = bar.left_top() + Vec2::new(step * place as f32, 0.0);
        let part = Rect::from_min_size(corner, Vec2::new(step, 8.0));
        let colour = Color32::from_rgba_unmultiplied(red, green, blue, alpha);
        painter.rect_filled(part, CornerRadius::ZERO, colour);
    }
    let anchors = [Align2::LEFT_TOP, Align2::CENTER_TOP, Align2::RIGHT_TOP];
    for ((number, anchor), share) in numbers.into_iter().zip(anchors).zip([0.0, 0.5, 1.0]) {
        let place = bar.left_bottom() + Vec2::new(WIDTH * share, 3.0);
        painter.text(place, anchor, number, font.clone(), Color32::WHITE);
    }
}
