//! The canvas: the photo before and after, seen by one camera.

use std::sync::Arc;

use eframe::egui_wgpu::{self, RenderState};
use egui::{
    CursorIcon, Key, PointerButton, Pos2, Rect, Response, Sense, TouchPhase, Ui, Vec2, WidgetInfo,
};
use serde::{Deserialize, Serialize};

use self::{
    camera::Camera,
    heat::Heat,
    layer::{CELL, Layer},
    previews::Previews,
    render::{Kind, Quad, Renderer, Texture},
};
use image::GrayImage;

use super::{repair::Touch, theme};
use crate::{
    jobs::Focus,
    mask::{
        self,
        editor::Editor,
        paint::{Brush, Place},
    },
    picture::{Picture, pyramid::Pyramid},
    restore::Patch,
    settings::MARKS,
};

pub mod camera;
mod heat;
mod layer;
mod previews;
mod render;

/// Textures uploaded in one frame at most: about 5 milliseconds of copying.
const UPLOADS_PER_FRAME: u32 = 12;

/// How far from the split line the pointer takes hold of it, in points.
const SPLIT_GRIP: f32 = 10.0;

/// How far the pointer goes to make the softest brush the hardest one, in points.
const ALL_HARD: f32 = 200.0;

/// How before and after share the canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Two panes.
    #[default]
    SideBySide,
    /// One pane, before on the left of a line and after on its right.
    Split,
    /// One pane with the result, or the photo if there is none.
    Single,
}

impl View {
    /// All of them, in the order of cycling.
    pub const ALL: [Self; 3] = [Self::SideBySide, Self::Split, Self::Single];

    /// For a button.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SideBySide => "Side by side",
            Self::Split => "Split",
            Self::Single => "Single",
        }
    }

    /// The next in the cycle.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::SideBySide => Self::Split,
            Self::Split => Self::Single,
            Self::Single => Self::SideBySide,
        }
    }
}

/// The mask without the photo.
const BLACK: [f32; 4] = [0.0, 0.0, 0.0, 1.0];
const WHITE: [f32; 4] = [1.0; 4];

/// Where the mask is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// Nowhere.
    Hidden,
    /// Where the photo is.
    OverPhoto,
    /// Over the result, too: it has changed since.
    OverAll,
}

/// What one pane shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// A part of the canvas and what it shows.
struct Pane {
    side: Side,
    /// Where the camera projects to.
    frame: Rect,
    /// What is visible of it; smaller than the frame beside a split line.
    clip: Rect,
}

/// What of a mask is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Mask(mask::Layer),
    /// What will be filled.
    Reach,
}

/// What is shown of a mask as it was before.
#[derive(Debug)]
struct Behind {
    shown: Shown,
    area: crate::rect::Rect,
}

/// Where a change of a mask can be seen in what it reaches when it is grown by so many pixels.
fn reached(mask: &GrayImage, area: crate::rect::Rect, most: f32) -> crate::rect::Rect {
    area.grown_within(most.abs().ceil() as u32 + 1, mask.width(), mask.height())
}

/// Pixels of a mask that are taken over at once, so that the window does not wait for them.
const AT_ONCE: u32 = 1 << 20;

/// State of the canvas.
#[derive(Debug)]
pub struct Viewer {
    /// How the canvas is divided.
    pub view: View,
    /// Squares instead of interpolation when enlarged.
    pub sharp_pixels: bool,
    camera: Camera,
    /// Place of the split line as a fraction of the canvas.
    split: f32,
    dragging_split: bool,
    before: Option<Layer>,
    after: Option<Layer>,
    /// A result that is not shown for now.
    withdrawn: Option<Layer>,
    /// In place of the result.
    previews: Previews,
    /// Over the result.
    heat: Option<Heat>,
    /// The photo as large as the result, for as much of it as is taken.
    plain: Option<Layer>,
    renderer: Option<Renderer>,
    focus: Focus,
    /// Screen pixels in the last frame.
    pane: Rect,
    /// Left edge of the second pane in the last frame; infinite without one.
    second_pane: f32,
    /// Source pixel below the pointer.
    hovered: Option<(u32, u32)>,
    /// What is marked, drawn over the photo.
    mask: Option<Layer>,
    /// What is protected, drawn over that.
    protected: Option<Layer>,
    /// What will be filled: the mask, grown by so many pixels.
    reach: Option<Layer>,
    reach_by: f32,
    /// What of the masks is still to be shown as it is now.
    behind: Vec<Behind>,
    /// Over what is marked, multiplied by its alpha.
    pub marked: [f32; 4],
    /// The mask is shown without the photo.
    pub mask_alone: bool,
    /// How much of the result is shown over the photo, 0 to 1.
    pub strength: f32,
    /// The pointer paints with this brush, in pixels of the photo, and does not move the photo. One
    /// without a radius is a tool that has none.
    pub brush: Option<Brush>,
    /// A line that is being drawn, in pixels of the photo.
    pub line: Vec<Place>,
    /// Where the mask is shown.
    pub marks: Marks,
    /// The pointer is painting. A stroke stays in the pane in which it began: by so much it is
    /// moved into the first one.
    touching: Option<(f32, PointerButton)>,
    /// The pointer changes the brush, which is shown where it began; and where it was last.
    shaping: Option<[Pos2; 2]>,
    /// How hard a pen is pressed, 0 to 1.
    force: f32,
    touches: Vec<Touch>,
}

impl Viewer {
    /// Without a graphics device (in tests) it does everything but draw.
    #[must_use]
    pub fn new(state: Option<&RenderState>) -> Self {
        Self {
            view: View::default(),
            sharp_pixels: false,
            camera: Camera::whole((1, 1)),
            split: 0.5,
            dragging_split: false,
            before: None,
            after: None,
            withdrawn: None,
            previews: Previews::default(),
            heat: None,
            plain: None,
            renderer: state.map(Renderer::new),
            focus: Focus::default(),
            pane: Rect::from_min_size(Pos2::ZERO, Vec2::splat(1.0)),
            second_pane: f32::INFINITY,
            hovered: None,
            mask: None,
            protected: None,
            reach: None,
            reach_by: 0.0,
            behind: Vec::new(),
            marked: theme::over(MARKS),
            mask_alone: false,
            strength: 1.0,
            brush: None,
            line: Vec::new(),
            marks: Marks::Hidden,
            touching: None,
            shaping: None,
            force: 1.0,
            touches: Vec::new(),
        }
    }

    /// What the pointer did since the last call, while it paints.
    pub fn touches(&mut self) -> Vec<Touch> {
        std::mem::take(&mut self.touches)
    }

    /// Shows what has changed of a mask of the photo's size: at once, or if it is much a band of it
    /// with each [`Self::catch_up`].
    pub fn update_mask(&mut self, layer: mask::Layer, mask: &GrayImage, area: crate::rect::Rect) {
        let marks = layer == mask::Layer::Marks;
        self.update(Shown::Mask(layer), mask, area);
        if marks && self.reach_by != 0.0 {
            self.update(Shown::Reach, mask, reached(mask, area, self.reach_by));
        }
    }

    /// Shows a band more of what has changed; whether something is left.
    pub fn catch_up(&mut self, editor: &Editor) -> bool {
        if let Some(Behind { shown, area }) = self.behind.pop() {
            let mask = match shown {
                Shown::Mask(layer) => editor.layer(layer),
                Shown::Reach => editor.mask(),
            };
            self.update(shown, mask, area);
        }
        !self.behind.is_empty()
    }

    fn update(&mut self, shown: Shown, mask: &GrayImage, area: crate::rect::Rect) {
        let rows = (AT_ONCE / area.width.max(1)).max(2) / 2 * 2;
        let band = crate::rect::Rect { height: rows.min(area.height), ..area };
        if band.height < area.height {
            let rest = crate::rect::Rect { y: band.bottom(), height: area.height - rows, ..area };
            self.behind.push(Behind { shown, area: rest });
        }
        let (size, pixels) = (mask.dimensions(), self.reach_by);
        let own = match shown {
            Shown::Mask(mask::Layer::Marks) => &mut self.mask,
            Shown::Mask(mask::Layer::Protected) => &mut self.protected,
            Shown::Reach if pixels == 0.0 => return,
            Shown::Reach => &mut self.reach,
        };
        let own = own.get_or_insert_with(|| Layer::of_mask(size));
        match shown {
            Shown::Mask(_) => own.update_mask(mask, band),
            Shown::Reach => {
                own.replace_mask(band, |area| mask::grown_within(mask, area, pixels));
            }
        }
    }

    /// Shows how far a mask reaches when it is grown by so many pixels.
    pub fn show_reach(&mut self, mask: &GrayImage, pixels: f32) {
        if pixels == self.reach_by {
            return;
        }
        let before = std::mem::replace(&mut self.reach_by, pixels);
        if pixels == 0.0 {
            self.reach = None;
        } else if let Some(area) = mask::extent(mask) {
            // What was to be shown of the old one is in it.
            self.behind.retain(|behind| behind.shown != Shown::Reach);
            let area = reached(mask, area, before.abs().max(pixels.abs()));
            self.update(Shown::Reach, mask, area);
        }
    }

    /// Shows no result any more.
    pub fn forget_result(&mut self) {
        (self.after, self.heat) = (None, None);
    }

    /// Shows no result for now.
    pub fn withdraw_result(&mut self) {
        self.heat = None;
        self.withdrawn = self.after.take();
    }

    /// Shows the result again that was withdrawn.
    pub fn restore_result(&mut self) {
        self.after = self.withdrawn.take();
    }

    /// Shows another photo of the same size at the same place.
    pub fn replace(&mut self, picture: Arc<Picture>, pyramid: Pyramid) {
        let camera = self.camera;
        self.show(picture, pyramid);
        self.camera = camera;
    }

    /// Shows a photo, whole, and forgets the result of the last one.
    pub fn show(&mut self, picture: Arc<Picture>, pyramid: Pyramid) {
        self.camera = Camera::whole(picture.size());
        self.before = Some(Layer::of_picture(picture, pyramid));
        self.after = None;
        self.withdrawn = None;
        self.plain = None;
        self.heat = None;
        self.mask = None;
        self.protected = None;
        self.reach = None;
        self.behind.clear();
        self.mask_alone = false;
        self.focus = Focus::default();
        self.focus.look_at([0.0, 0.0, 1.0, 1.0]);
    }

    /// Makes room for a result; the camera stays.
    pub fn begin_result(&mut self, size: (u32, u32), transparent: bool) {
        (self.plain, self.heat) = (None, None);
        let screen = self.before.as_ref().and_then(Layer::screen);
        self.after = Some(Layer::of_patches(size, transparent, screen));
    }

    /// Shows a piece of the result.
    pub fn add(&mut self, patch: Arc<Patch>) {
        if let Some(after) = &mut self.after {
            after.add(patch);
        }
    }

    /// The part of the photo in view, for whoever chooses the next tile.
    #[must_use]
    pub fn focus(&self) -> Focus {
        self.focus.clone()
    }

    /// The source pixel below the pointer.
    #[must_use]
    pub const fn hovered(&self) -> Option<(u32, u32)> {
        self.hovered
    }

    /// Screen pixels that a pixel of the picture of most detail takes: of the
    /// result if there is one.
    #[must_use]
    pub fn magnification(&self) -> f32 {
        self.camera.zoom / self.detail()
    }

    /// Shows the whole picture.
    pub fn fit(&mut self) {
        self.camera.fits = true;
    }

    /// One pixel of the result, or else of the photo, for each of the screen.
    pub fn actual_size(&mut self) {
        let centre = self.pane.center();
        self.magnify(1.0, centre);
    }

    /// Zooms around the middle of the pane.
    pub fn zoom(&mut self, factor: f32) {
        let pane = self.pane;
        self.camera.zoom_at(factor, pane.center(), pane);
    }

    fn magnify(&mut self, magnification: f32, place: Pos2) {
        let (factor, pane) = (magnification / self.magnification(), self.pane);
        self.camera.zoom_at(factor, place, pane);
    }

    /// The part of the photo in view, left, top, right and bottom, and the place in it below the
    /// pointer, or else its middle: in pixels of the photo.
    #[must_use]
    pub fn looked_at(&self) -> ([f32; 4], [f32; 2]) {
        let Some(size) = self.before.as_ref().map(Layer::size) else {
            return ([0.0; 4], [0.0; 2]);
        };
        let [left, top, right, bottom] = self.camera.seen(size, self.pane);
        let (width, height) = (size.0 as f32, size.1 as f32);
        let view = [left * width, top * height, right * width, bottom * height];
        let middle = [f32::midpoint(view[0], view[2]), f32::midpoint(view[1], view[3])];
        let place = self.hovered.map(|(x, y)| [x as f32 + 0.5, y as f32 + 0.5]);
        (view, place.unwrap_or(middle))
    }

    /// What is on the right: a preview or the result.
    fn shown(&self) -> Option<&Layer> {
        self.previews.flipped().or(self.after.as_ref())
    }

    /// Has the photo ready as large as the result, if it is seen through that.
    fn enlarge_plainly(&mut self) {
        let result = self.after.as_ref().filter(|_| self.previews.flipped().is_none());
        let result = result.filter(|result| self.strength < 1.0 && result.is_complete());
        match (result.map(Layer::size), &self.before) {
            (Some(size), Some(photo)) if self.plain.is_none() => self.plain = photo.enlarged(size),
            (Some(_), _) => {}
            (None, _) => self.plain = None,
        }
    }

    /// Result pixels for each source pixel.
    fn detail(&self) -> f32 {
        match (&self.before, self.shown()) {
            (Some(before), Some(after)) => after.size().0 as f32 / before.size().0 as f32,
            _ => 1.0,
        }
    }

    /// The canvas; takes all the space there is.
    pub fn ui(&mut self, ui: &mut Ui) -> Response {
        let (canvas, response) =
            ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        response.widget_info(|| {
            WidgetInfo::labeled(egui::Role::Image, true, format!("Photo, {}", self.view.name()))
        });
        let Some(size) = self.before.as_ref().map(Layer::size) else {
            return response;
        };
        let hold_original = !ui.ctx().egui_wants_keyboard_input()
            && ui.input(|input| input.key_down(Key::Backslash));
        let scale = ui.ctx().pixels_per_point();
        let in_pixels = |rect: Rect| Rect {
            min: ((rect.min - canvas.min) * scale).to_pos2(),
            max: ((rect.max - canvas.min) * scale).to_pos2(),
        };
        let whole = in_pixels(canvas);
        let frames = self.frames(whole, scale);
        self.pane = frames[0];
        self.second_pane = frames.get(1).map_or(f32::INFINITY, |frame| frame.min.x);
        self.camera.settle(size, self.pane.size());
        self.interact(ui, &response, canvas, scale);
        self.camera.settle(size, self.pane.size());

        let panes = self.panes(whole, hold_original, scale);
        let last = panes.last().map_or(self.pane, |pane| pane.frame);
        self.focus.look_at(self.camera.seen(size, last));
        self.draw(ui, canvas, &panes, scale, hold_original);
        self.tool_lines(ui, canvas, &panes, scale);
        self.captions(ui, canvas, &panes, scale);
        response
    }

    /// The one or two places that the camera projects to.
    fn frames(&self, whole: Rect, scale: f32) -> Vec<Rect> {
        if self.view != View::SideBySide {
            return vec![whole];
        }
        let gap = (theme::PANE_GAP * scale).round();
        let width = ((whole.width() - gap) / 2.0).floor();
        let left = Rect::from_min_size(whole.min, Vec2::new(width, whole.height()));
        vec![left, left.translate(Vec2::new(width + gap, 0.0))]
    }

    fn panes(&self, whole: Rect, hold_original: bool, scale: f32) -> Vec<Pane> {
        let frames = self.frames(whole, scale);
        let shown = if hold_original { Side::Before } else { Side::After };
        let pane = |side, frame, clip| Pane { side, frame, clip };
        match self.view {
            View::SideBySide => {
                vec![pane(Side::Before, frames[0], frames[0]), pane(shown, frames[1], frames[1])]
            }
            View::Single => vec![pane(shown, whole, whole)],
            View::Split => {
                let line = self.split_line(whole);
                let (left, right) = whole.split_left_right_at_x(line);
                vec![pane(Side::Before, whole, left), pane(shown, whole, right)]
            }
        }
    }

    fn split_line(&self, whole: Rect) -> f32 {
        (whole.min.x + self.split * whole.width()).round()
    }

    fn interact(&mut self, ui: &Ui, response: &Response, canvas: Rect, scale: f32) {
        let to_pixels = |place: Pos2| ((place - canvas.min) * scale).to_pos2();
        let whole = Rect::from_min_max(Pos2::ZERO, to_pixels(canvas.max));
        let near_line = |viewer: &Self, place: Pos2| {
            viewer.view == View::Split
                && (to_pixels(place).x - viewer.split_line(whole)).abs() < SPLIT_GRIP * scale
        };
        self.paint(ui, response, canvas, scale, near_line);
        if response.drag_started()
            && let Some(origin) = ui.input(|input| input.pointer.press_origin())
        {
            let primary = response.dragged_by(egui::PointerButton::Primary);
            let space = ui.input(|input| input.key_down(Key::Space));
            self.dragging_split = primary && !space && near_line(self, origin);
        }
        if response.dragged() {
            if self.dragging_split {
                if let Some(place) = response.interact_pointer_pos() {
                    self.split = ((place.x - canvas.min.x) / canvas.width()).clamp(0.0, 1.0);
                }
            } else if self.touching.is_none() {
                self.camera.pan(response.drag_delta() * scale);
            }
        }
        if response.drag_stopped() {
            self.dragging_split = false;
        }

        let hover = response.hover_pos();
        self.hovered = hover.and_then(|place| self.source_pixel(to_pixels(place)));
        let Some(place) = hover else { return };
        let (scroll, pinch) = ui.input(|input| (input.smooth_scroll_delta.y, input.zoom_delta()));
        let factor = pinch * (scroll / 240.0).exp2();
        let place_px = self.in_first_pane(to_pixels(place));
        if (factor - 1.0).abs() > 1e-4 {
            let pane = self.pane;
            self.camera.zoom_at(factor, place_px, pane);
        }
        if response.double_clicked() && self.brush.is_none() {
            if self.camera.fits {
                self.magnify(1.0, place_px);
            } else {
                self.fit();
            }
        }
        let icon = if self.dragging_split || near_line(self, place) {
            CursorIcon::ResizeHorizontal
        } else if self.brush.is_some() {
            CursorIcon::Crosshair
        } else if response.dragged() {
            CursorIcon::Grabbing
        } else {
            CursorIcon::Grab
        };
        ui.ctx().set_cursor_icon(icon);
    }

    /// What the pointer does while it paints.
    fn paint(
        &mut self,
        ui: &Ui,
        response: &Response,
        canvas: Rect,
        scale: f32,
        near_line: impl Fn(&Self, Pos2) -> bool,
    ) {
        let to_pixels = |place: Pos2| ((place - canvas.min) * scale).to_pos2();
        let place_of = |viewer: &Self, place: Pos2, aside: f32| {
            let place = to_pixels(place) - Vec2::new(aside, 0.0);
            let point = viewer.camera.picture_from_screen(place, viewer.pane);
            [point.x, point.y]
        };
        let (events, space, down) = ui.input(|input| {
            let of_pointer = |event: &&egui::Event| {
                matches!(
                    event,
                    egui::Event::PointerMoved(_)
                        | egui::Event::PointerButton { .. }
                        | egui::Event::Touch { .. }
                )
            };
            let events: Vec<_> = input.events.iter().filter(of_pointer).cloned().collect();
            let pointer = &input.pointer;
            let down = pointer.primary_down() || pointer.secondary_down();
            (events, input.key_down(Key::Space), down)
        });
        let may_begin = self.brush.is_some()
            && !space
            && response.contains_pointer()
            && !egui::Popup::is_any_open(ui.ctx());
        for event in events {
            match (event, self.touching) {
                // Comes before what the same touch does as a pointer.
                (egui::Event::Touch { phase, force, .. }, _) => {
                    let touches = matches!(phase, TouchPhase::Start | TouchPhase::Move);
                    self.force = force.filter(|_| touches).unwrap_or(1.0).clamp(0.0, 1.0);
                }
                (
                    egui::Event::PointerButton {
                        pos,
                        button: button @ (PointerButton::Primary | PointerButton::Secondary),
                        pressed: true,
                        modifiers,
                    },
                    None,
                ) if may_begin && canvas.contains(pos) && !near_line(self, pos) => {
                    let place = to_pixels(pos);
                    let aside = place.x - self.in_first_pane(place).x;
                    self.touching = Some((aside, button));
                    let has_radius = self.brush.is_some_and(|brush| brush.radius > 0.0);
                    if modifiers.alt && button == PointerButton::Secondary && has_radius {
                        self.shaping = Some([pos; 2]);
                        continue;
                    }
                    let at = place_of(self, pos, aside);
                    let (erases, straight) = (button == PointerButton::Secondary, modifiers.shift);
                    let force = self.force;
                    self.touches.push(Touch::Down { at, erases, straight, force });
                }
                (egui::Event::PointerMoved(to), Some((aside, _))) => {
                    let touch = match &mut self.shaping {
                        Some([_, last]) => {
                            let by = to - std::mem::replace(last, to);
                            let wider = by.x * scale / self.camera.zoom;
                            Touch::Reshape { wider, harder: by.y / ALL_HARD }
                        }
                        None => Touch::Move { at: place_of(self, to, aside), force: self.force },
                    };
                    self.touches.push(touch);
                }
                (egui::Event::PointerButton { button, pressed: false, .. }, Some((_, held)))
                    if button == held =>
                {
                    self.release();
                }
                _ => {}
            }
        }
        // A release outside of the window is not told.
        if self.touching.is_some() && (!down || self.brush.is_none()) {
            self.release();
        }
    }

    /// Ends a touch.
    fn release(&mut self) {
        self.touching = None;
        if self.shaping.take().is_none() {
            self.touches.push(Touch::Up);
        }
    }

    /// A place of the second pane as the same place of the first one.
    fn in_first_pane(&self, place: Pos2) -> Pos2 {
        if place.x >= self.second_pane {
            Pos2::new(place.x - self.second_pane + self.pane.min.x, place.y)
        } else {
            place
        }
    }

    fn source_pixel(&self, place: Pos2) -> Option<(u32, u32)> {
        let size = self.before.as_ref()?.size();
        let place = self.in_first_pane(place);
        let point = self.camera.picture_from_screen(place, self.pane);
        let inside =
            point.x >= 0.0 && point.y >= 0.0 && point.x < size.0 as f32 && point.y < size.1 as f32;
        inside.then_some((point.x as u32, point.y as u32))
    }

    fn draw(&mut self, ui: &Ui, canvas: Rect, panes: &[Pane], scale: f32, hold_original: bool) {
        let Some(renderer) = self.renderer.take() else {
            return;
        };
        let mut budget = UPLOADS_PER_FRAME;
        let mut quads = Vec::new();
        self.enlarge_plainly();
        let Self { before, after, plain, mask, reach, protected, previews, .. } = self;
        let own = [before, after, plain, mask, reach, protected].into_iter().flatten();
        own.chain(previews.flipped_mut()).for_each(Layer::begin_frame);
        // How much of a preview is taken is seen when the photo is enlarged.
        let previews = self.previews.flipped().is_some();
        let strength = if previews { 1.0 } else { self.strength };
        for pane in panes {
            let after = self.previews.flipped_mut().or(self.after.as_mut());
            let after = after.filter(|_| pane.side == Side::After);
            let Some(before) = &mut self.before else { continue };
            let size = before.size();
            if before.is_transparent() {
                quads.push((
                    over_picture(size, &self.camera, pane, theme::GROUND, Kind::Ground),
                    None,
                ));
            }
            let complete = after.as_ref().is_some_and(|after| after.is_complete());
            // Where a photo pixel takes several of the screen, it matters how they are interpolated.
            let plain = self.plain.as_mut().filter(|_| after.is_some() && self.camera.zoom > 1.0);
            // Transparent pixels must not lie over each other twice.
            let below = plain.is_none() || !before.is_transparent();
            if (!complete || strength < 1.0) && below {
                draw_layer(before, 1.0, &self.camera, pane, &renderer, &mut budget, &mut quads);
            }
            if let Some(plain) = plain {
                let detail = plain.size().0 as f32 / size.0 as f32;
                draw_layer(plain, detail, &self.camera, pane, &renderer, &mut budget, &mut quads);
            }
            let shown = match self.marks {
                Marks::Hidden => false,
                Marks::OverPhoto => after.is_none() && !hold_original,
                Marks::OverAll => !hold_original,
            };
            if let Some(after) = after {
                if !complete {
                    // Darker where the result is still to come.
                    let veil = over_picture(size, &self.camera, pane, theme::VEIL, Kind::Solid);
                    quads.push((veil, None));
                }
                let detail = after.size().0 as f32 / size.0 as f32;
                let first = quads.len();
                draw_layer(after, detail, &self.camera, pane, &renderer, &mut budget, &mut quads);
                for (quad, _) in &mut quads[first..] {
                    quad.color = [strength; 4];
                }
                if let Some(heat) = self.heat.as_mut().filter(|_| !previews) {
                    quads.push(heat.quad(size, &self.camera, pane, &renderer));
                }
            }
            let alone = self.mask_alone && shown;
            if alone {
                quads.push((over_picture(size, &self.camera, pane, BLACK, Kind::Solid), None));
            }
            // The outline is that of what will be filled.
            let kind = if self.reach.is_some() { Kind::Marks } else { Kind::Mask };
            let mask = self.mask.as_mut().map(|layer| (layer, self.marked, kind));
            let reached = theme::around(self.marked);
            let reach = self.reach.as_mut().map(|layer| (layer, reached, Kind::Mask));
            let protected =
                self.protected.as_mut().map(|layer| (layer, theme::PROTECTED, Kind::Mask));
            let layers = [reach, mask, protected].into_iter().flatten();
            for (layer, color, kind) in layers.filter(|_| shown) {
                let first = quads.len();
                draw_layer(layer, 1.0, &self.camera, pane, &renderer, &mut budget, &mut quads);
                let white = alone && color != theme::PROTECTED;
                for (quad, _) in &mut quads[first..] {
                    (quad.kind, quad.color) = (kind, if white { WHITE } else { color });
                }
            }
        }
        if self.view == View::Split {
            let whole = Rect::from_min_size(Pos2::ZERO, canvas.size() * scale);
            quads
                .extend(split_quads(self.split_line(whole), whole, scale).map(|quad| (quad, None)));
        }
        if self.view == View::SideBySide {
            let gap = Rect::from_x_y_ranges(
                panes[0].frame.max.x..=panes[1].frame.min.x,
                panes[0].frame.y_range(),
            );
            quads.push((solid(gap, theme::DIVIDER), None));
        }
        if budget == 0 {
            ui.ctx().request_repaint();
        }
        let size = canvas.size() * scale;
        let callback = renderer.paint([size.x, size.y], self.sharp_pixels, quads);
        ui.painter().add(egui_wgpu::Callback::new_paint_callback(canvas, callback));
        self.renderer = Some(renderer);
    }

    /// The brush below the pointer and the line that is being drawn.
    fn tool_lines(&self, ui: &Ui, canvas: Rect, panes: &[Pane], scale: f32) {
        let Some(brush) = self.brush else { return };
        let dark = egui::Stroke::new(3.0, egui::Color32::from_black_alpha(140));
        let light = egui::Stroke::new(1.2, egui::Color32::WHITE);
        for pane in panes.iter().filter(|_| self.line.len() > 1) {
            let on_screen = |place: &Place| {
                let point = Pos2::new(place[0], place[1]);
                let place = self.camera.screen_from_picture(point, pane.frame);
                canvas.min + place.to_vec2() / scale
            };
            let points: Vec<Pos2> = self.line.iter().map(on_screen).collect();
            let clip = Rect {
                min: canvas.min + pane.clip.min.to_vec2() / scale,
                max: canvas.min + pane.clip.max.to_vec2() / scale,
            };
            let painter = ui.painter().with_clip_rect(clip);
            painter.line(points.clone(), dark);
            painter.line(points, light);
        }
        let hover = ui.input(|input| input.pointer.hover_pos());
        let place = self.shaping.map(|[began, _]| began).or(hover);
        if let Some(place) = place.filter(|place| canvas.contains(*place) && brush.radius > 0.0) {
            let radius = (brush.radius * self.camera.zoom / scale).max(1.5);
            let painter = ui.painter().with_clip_rect(canvas);
            painter.circle_stroke(place, radius, dark);
            painter.circle_stroke(place, radius, light);
            // What it marks wholly.
            let core = radius * brush.hardness;
            if brush.hardness < 1.0 && core > 1.5 {
                let faint = egui::Stroke::new(1.0, egui::Color32::from_white_alpha(150));
                painter.circle_stroke(place, core, dark);
                painter.circle_stroke(place, core, faint);
            }
        }
    }

    /// Names in the corners of the panes.
    fn captions(&self, ui: &Ui, canvas: Rect, panes: &[Pane], scale: f32) {
        if self.shown().is_none() && self.view != View::SideBySide {
            return;
        }
        for pane in panes {
            let clip = Rect {
                min: canvas.min + pane.clip.min.to_vec2() / scale,
                max: canvas.min + pane.clip.max.to_vec2() / scale,
            };
            let right = self.view == View::Split && pane.clip.min.x > pane.frame.min.x;
            let text = match pane.side {
                Side::Before => "Before",
                Side::After if self.shown().is_none() => "Nothing done yet",
                Side::After => self.previews.caption().unwrap_or("After"),
            };
            theme::caption(ui, clip, right, text);
            let heat = self.heat.is_some() && self.previews.flipped().is_none();
            if pane.side == Side::After && heat {
                heat::legend(ui, clip);
            }
        }
    }
}

/// Draws what a pane sees of a layer: the smallest level first, so that there
/// is always something, then the fitting one over it.
fn draw_layer(
    layer: &mut Layer,
    detail: f32,
    camera: &Camera,
    pane: &Pane,
    renderer: &Renderer,
    budget: &mut u32,
    quads: &mut Vec<(Quad, Option<Texture>)>,
) {
    let zoom = camera.zoom / detail;
    let level = layer.level_for(zoom);
    let last = layer.last_level();
    let cells = cells_in_view(layer, level, zoom, camera, pane);
    let textures: Vec<Option<Texture>> =
        cells.iter().map(|(key, _)| layer.texture(*key, renderer, budget)).collect();
    // Nothing may lie below cells that are there: transparent ones would show
    // it twice.
    if let Some(last) = last.filter(|last| *last != level && textures.iter().any(Option::is_none)) {
        for (key, quad) in cells_in_view(layer, last, zoom, camera, pane) {
            if let Some(texture) = layer.texture(key, renderer, &mut 1) {
                quads.push((quad, Some(texture)));
            }
        }
    }
    for ((_, quad), texture) in cells.into_iter().zip(textures) {
        if texture.is_some() {
            quads.push((quad, texture));
        }
    }
}

/// The cells of a level that a pane sees, and their quads.
fn cells_in_view(
    layer: &Layer,
    level: u32,
    zoom: f32,
    camera: &Camera,
    pane: &Pane,
) -> Vec<(layer::Key, Quad)> {
    let (width, height) = layer.size_of(level);
    // Screen pixels for a pixel of the level. Odd sizes round up, so the last
    // pixel of a level may stand for less than the others do.
    let step = zoom * (1_u32 << level) as f32;
    let origin = camera.screen_from_picture(Pos2::ZERO, pane.frame);
    let picture_end = origin + Vec2::new(layer.size().0 as f32, layer.size().1 as f32) * zoom;
    let from = ((pane.clip.min - origin) / step / CELL as f32).floor().max(Vec2::ZERO);
    let to = ((pane.clip.max - origin) / step / CELL as f32).ceil();
    let last_column = (to.x.max(0.0) as u32).min(width.div_ceil(CELL));
    let last_row = (to.y.max(0.0) as u32).min(height.div_ceil(CELL));
    let clip = pane.clip.intersect(Rect::from_min_max(origin, picture_end));
    let mut cells = Vec::new();
    for row in from.y as u32..last_row {
        for column in from.x as u32..last_column {
            let (x, y) = (column * CELL, row * CELL);
            let (right, bottom) = ((x + CELL).min(width), (y + CELL).min(height));
            let at = |x: u32, y: u32| origin + Vec2::new(x as f32, y as f32) * step;
            let (min, max) = (at(x, y), at(right, bottom));
            let quad = Quad {
                rect: [min.x, min.y, max.x, max.y],
                // Past the border of one pixel.
                texels: [1.0, 1.0, (right - x + 1) as f32, (bottom - y + 1) as f32],
                clip: edges(clip),
                color: WHITE,
                kind: Kind::Picture,
            };
            cells.push(((level, column, row), quad));
        }
    }
    cells
}

/// A quad over all of the picture that a pane shows.
fn over_picture(
    size: (u32, u32),
    camera: &Camera,
    pane: &Pane,
    color: [f32; 4],
    kind: Kind,
) -> Quad {
    let min = camera.screen_from_picture(Pos2::ZERO, pane.frame);
    let max = camera.screen_from_picture(Pos2::new(size.0 as f32, size.1 as f32), pane.frame);
    let clip = edges(pane.clip);
    Quad { rect: [min.x, min.y, max.x, max.y], texels: [0.0; 4], clip, color, kind }
}

/// A rectangle of one colour.
fn solid(rect: Rect, color: [f32; 4]) -> Quad {
    Quad { rect: edges(rect), texels: [0.0; 4], clip: edges(rect), color, kind: Kind::Solid }
}

/// The split line with its shadow and its handle.
fn split_quads(line: f32, whole: Rect, scale: f32) -> impl Iterator<Item = Quad> {
    let quad = move |rect: Rect, color: [f32; 4], kind: Kind| Quad {
        rect: edges(rect),
        texels: [0.0; 4],
        clip: edges(whole),
        color,
        kind,
    };
    let bar = |half: f32| {
        Rect::from_x_y_ranges(line - half * scale..=line + half * scale, whole.y_range())
    };
    let middle = Pos2::new(line, whole.center().y);
    let disc = |radius: f32| Rect::from_center_size(middle, Vec2::splat(2.0 * radius * scale));
    let arrow = |side: f32| {
        let centre = middle + Vec2::new(side * 4.0 * scale, 0.0);
        Rect::from_center_size(centre, Vec2::new(1.5, 8.0) * scale)
    };
    [
        quad(bar(1.75), [0.0, 0.0, 0.0, 0.35], Kind::Solid),
        quad(bar(0.75), [1.0; 4], Kind::Solid),
        quad(disc(13.0), [0.0, 0.0, 0.0, 0.35], Kind::Disc),
        quad(disc(12.0), [1.0; 4], Kind::Disc),
        quad(arrow(-1.0), [0.15, 0.15, 0.16, 1.0], Kind::Solid),
        quad(arrow(1.0), [0.15, 0.15, 0.16, 1.0], Kind::Solid),
    ]
    .into_iter()
}

fn edges(rect: Rect) -> [f32; 4] {
    [rect.min.x, rect.min.y, rect.max.x, rect.max.y]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_change_is_shown_in_bands_and_a_small_one_at_once() {
        let size = (1500, 3001);
        let mut viewer = Viewer::new(None);
        let mut editor = Editor::new(size.0, size.1);
        let all = crate::rect::Rect::of_size(size.0, size.1);
        viewer.show_reach(editor.mask(), 2.0);
        let mark = |editor: &mut Editor, area: crate::rect::Rect| {
            editor.edit(mask::Layer::Marks, |mask| {
                for y in area.y..area.bottom() {
                    for x in area.x..area.right() {
                        mask.get_pixel_mut(x, y).0[0] = 255;
                    }
                }
                Some(area)
            })
        };
        let small = crate::rect::Rect { x: 700, y: 2900, width: 20, height: 20 };
        let area = mark(&mut editor, small).unwrap();
        viewer.update_mask(mask::Layer::Marks, editor.mask(), area);
        assert!(!viewer.catch_up(&editor), "it is shown at once");
        let shown = |viewer: &Viewer| {
            let own = [&viewer.mask, &viewer.reach].map(|layer| layer.as_ref().unwrap());
            own.map(|layer| layer.marked().unwrap().iter().filter(|mark| **mark > 0).count())
        };
        let [marks, reach] = shown(&viewer);
        assert_eq!(marks, 400);
        assert!(reach > 500, "{reach}");

        let area = mark(&mut editor, all).unwrap();
        viewer.update_mask(mask::Layer::Marks, editor.mask(), area);
        let everything = (size.0 * size.1) as usize;
        assert!(shown(&viewer)[0] < everything / 2, "the window does not wait for all of it");
        let mut bands = 0;
        while viewer.catch_up(&editor) {
            bands += 1;
        }
        assert!((6..=12).contains(&bands), "{bands}");
        assert_eq!(shown(&viewer), [everything; 2]);
    }
}
