//! What the user marks on the photo, with which tool, and what is to fill it.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{
    mask::{
        editor::Editor,
        paint::{self, Place},
        trace::trace,
    },
    rect::Rect,
    restore::mend::{Fill, MendOptions},
};

/// Smallest and largest radius of the brush, in pixels of the photo.
pub const RADII: std::ops::RangeInclusive<f32> = 1.0..=400.0;

/// How far colours may be from the one that the wand touches, in levels.
const TOLERANCE: u8 = 24;

/// What a touch of the photo does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Marks what it goes over.
    Brush,
    /// Takes the mark from what it goes over.
    Eraser,
    /// Marks what is between two corners.
    Rectangle,
    /// Marks what a line goes around.
    Lasso,
    /// Marks the scratch between two places.
    Trace,
    /// Marks what has the colour of one place and hangs together with it.
    Wand,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Brush, Self::Eraser, Self::Rectangle, Self::Lasso, Self::Trace, Self::Wand];

    const fn is_round(self) -> bool {
        matches!(self, Self::Brush | Self::Eraser | Self::Trace)
    }
}

/// What can fill a mask, with a name and an explanation.
pub const FILLS: [(Fill, &str, &str); 3] = [
    (Fill::Auto, "Automatic", "Uncovers what shines through an even mark; texture for the rest"),
    (Fill::Network, "Network", "Uses what shines through a watermark"),
    (Fill::Texture, "Texture", "Continues what the photo itself is made of; for objects"),
];

/// Something that the pointer did on the photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Touch {
    /// It was pressed: with the other button it erases, with Shift it goes straight on.
    Down {
        /// In pixels of the photo.
        at: Place,
        /// Erases, whatever the tool.
        erases: bool,
        /// A straight stroke from where the last one ended.
        straight: bool,
    },
    /// It moved while it was pressed.
    Move(Place),
    /// It was released.
    Up,
}

/// What a mask's file says beside the mask.
#[derive(Serialize, Deserialize)]
struct Kept {
    radius: f32,
    grow: f32,
    feather: f32,
    hides: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Repair {
    /// The mask and its history.
    pub editor: Editor,
    /// In use.
    pub tool: Tool,
    /// Of brush and eraser, in pixels of the photo.
    pub radius: f32,
    /// How the mask is filled.
    pub options: MendOptions,
    /// By what.
    pub fill: Fill,
    /// Corners of a line that is being drawn.
    line: Vec<Place>,
    /// The stroke at hand takes marks away.
    erases: bool,
    /// Where the last stroke ended.
    last: Option<Place>,
}

impl Repair {
    /// Nothing is marked yet.
    #[must_use]
    pub fn new((width, height): (u32, u32)) -> Self {
        // Wide enough for a scratch on a photo of this size.
        let radius = (f64::from(width.max(height)) / 120.0).round().clamp(3.0, 40.0) as f32;
        Self {
            editor: Editor::new(width, height),
            tool: Tool::Brush,
            radius,
            // Masks that are a little too tight leave a rim.
            options: MendOptions { grow: 2.0, feather: 1.0, hides: false },
            fill: Fill::Auto,
            line: Vec::new(),
            erases: false,
            last: None,
        }
    }

    /// The same tools for a photo on which nothing is marked.
    #[must_use]
    pub fn unmarked(size: (u32, u32), tools: &Self) -> Self {
        let Self { tool, radius, options, fill, .. } = *tools;
        Self { tool, radius, options, fill, ..Self::new(size) }
    }

    /// What is kept with the mask, as text.
    #[must_use]
    pub fn kept(&self) -> String {
        let MendOptions { grow, feather, hides } = self.options;
        toml::to_string(&Kept { radius: self.radius, grow, feather, hides }).unwrap_or_default()
    }

    /// Takes over what [`Self::kept`] gave; what cannot be understood stays as it is.
    pub fn restore(&mut self, text: &str) {
        let Ok(Kept { radius, grow, feather, hides }) = toml::from_str(text) else { return };
        if RADII.contains(&radius) && grow.abs() <= 32.0 && (0.0..=32.0).contains(&feather) {
            self.radius = radius;
            self.options = MendOptions { grow, feather, hides };
        }
    }

    /// Radius of what is under the pointer; 0 for tools without one.
    #[must_use]
    pub const fn cursor(&self) -> f32 {
        if self.tool.is_round() { self.radius } else { 0.0 }
    }

    /// The line that is being drawn, for the screen.
    #[must_use]
    pub fn line(&self) -> Vec<Place> {
        match (self.tool, &self.line[..]) {
            (Tool::Rectangle, [a, .., b]) => {
                vec![*a, [b[0], a[1]], *b, [a[0], b[1]], *a]
            }
            (Tool::Lasso, line) => line.to_vec(),
            // A cross where the next trace begins.
            (Tool::Trace, [.., at]) => {
                let arm = self.radius.max(3.0);
                let to = |x: f32, y: f32| [at[0] + x * arm, at[1] + y * arm];
                vec![to(-1.0, 0.0), to(1.0, 0.0), *at, to(0.0, -1.0), to(0.0, 1.0)]
            }
            _ => Vec::new(),
        }
    }

    /// Multiplies the radius, which stays a whole number, by a factor, and changes it by a pixel at
    /// least.
    pub fn resize(&mut self, factor: f32) {
        let next = (self.radius * factor).round();
        let least = if factor > 1.0 { self.radius + 1.0 } else { self.radius - 1.0 };
        let next = if factor > 1.0 { next.max(least) } else { next.min(least) };
        self.radius = next.clamp(*RADII.start(), *RADII.end());
    }

    /// Ends a stroke as far as it is, and forgets a line that is not closed.
    pub fn abandon(&mut self) {
        self.line.clear();
        self.editor.close();
    }

    /// Takes a touch; gives the pixels of the mask that changed.
    pub fn touch(&mut self, touch: Touch, photo: impl FnOnce() -> RgbImage) -> Option<Rect> {
        let Self { tool, radius, .. } = *self;
        match touch {
            Touch::Down { at, erases, straight } => {
                self.erases = erases || tool == Tool::Eraser;
                let on = !self.erases;
                if tool == Tool::Wand {
                    if at[0] < 0.0 || at[1] < 0.0 {
                        return None;
                    }
                    let pixel = (at[0] as u32, at[1] as u32);
                    let photo = photo();
                    return self
                        .editor
                        .edit(|mask| paint::wand(mask, &photo, pixel, TOLERANCE, on));
                }
                if tool == Tool::Trace {
                    // The first click begins, each further one leads on from the last.
                    let Some(from) = self.line.pop() else {
                        self.line = vec![at];
                        return None;
                    };
                    let line = trace(&photo(), from, at, 2.0 * radius);
                    self.line = vec![at];
                    return self.editor.edit(|mask| {
                        let strokes = line
                            .windows(2)
                            .map(|pair| paint::stroke(mask, pair[0], pair[1], radius, on));
                        strokes.flatten().reduce(|all, area| all.joined(&area))
                    });
                }
                if !tool.is_round() {
                    self.line = vec![at];
                    return None;
                }
                let from = self.last.filter(|_| straight).unwrap_or(at);
                self.last = Some(at);
                self.editor.begin();
                self.editor.extend(at, |mask, _| paint::stroke(mask, from, at, radius, on))
            }
            Touch::Move(_) | Touch::Up if tool == Tool::Trace => None,
            Touch::Move(at) if tool.is_round() => {
                let on = !self.erases;
                self.last = Some(at);
                self.editor.extend(at, |mask, from| paint::stroke(mask, from, at, radius, on))
            }
            Touch::Move(at) => {
                if !self.line.is_empty() {
                    self.line.push(at);
                }
                None
            }
            Touch::Up => {
                let (line, on) = (std::mem::take(&mut self.line), !self.erases);
                match (tool, line.first(), line.last()) {
                    (Tool::Rectangle, Some(a), Some(b)) if line.len() > 1 => {
                        self.editor.edit(|mask| paint::rectangle(mask, *a, *b, on))
                    }
                    (Tool::Lasso, Some(_), Some(_)) => {
                        self.editor.edit(|mask| paint::polygon(mask, &line, on))
                    }
                    _ => {
                        self.editor.close();
                        None
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::count;

    fn down(at: Place) -> Touch {
        Touch::Down { at, erases: false, straight: false }
    }

    fn photo() -> RgbImage {
        RgbImage::from_fn(80, 60, |x, _| image::Rgb([if x < 40 { 10 } else { 200 }; 3]))
    }

    #[test]
    fn every_tool_marks_erases_and_is_one_edit() {
        for (tool, path, least, most) in [
            (Tool::Brush, vec![[10.0, 10.0], [40.0, 10.0]], 300, 400),
            (Tool::Rectangle, vec![[10.0, 10.0], [25.0, 30.0], [30.0, 20.0]], 200, 200),
            (Tool::Lasso, vec![[10.0, 10.0], [50.0, 10.0], [50.0, 40.0]], 600, 700),
            (Tool::Wand, vec![[50.0, 50.0]], 2400, 2400),
        ] {
            let mut repair = Repair::new((80, 60));
            (repair.tool, repair.radius) = (tool, 5.0);
            let draw = |repair: &mut Repair, erases| {
                repair.touch(Touch::Down { at: path[0], erases, straight: false }, photo);
                for place in &path[1..] {
                    repair.touch(Touch::Move(*place), photo);
                }
                repair.touch(Touch::Up, photo);
            };
            draw(&mut repair, false);
            let marked = count(repair.editor.mask());
            assert!((least..=most).contains(&marked), "{tool:?}: {marked}");
            draw(&mut repair, true);
            assert_eq!(count(repair.editor.mask()), 0, "{tool:?}");
            assert!(repair.editor.undo().is_some());
            assert_eq!(count(repair.editor.mask()), marked);
            assert!(repair.editor.undo().is_some() && repair.editor.undo().is_none());
            assert!(repair.line().is_empty());
        }
    }

    #[test]
    fn a_trace_goes_from_click_to_click_and_is_one_edit_each() {
        let scratched = || {
            RgbImage::from_fn(80, 60, |x, y| {
                let on = y == 20 + x / 4;
                image::Rgb([if on { 230 } else { 60 + (x * y % 5) as u8 }; 3])
            })
        };
        let mut repair = Repair::new((80, 60));
        (repair.tool, repair.radius) = (Tool::Trace, 1.0);
        for at in [[4.5, 21.5], [40.5, 30.5], [70.5, 37.5]] {
            repair.touch(down(at), scratched);
            repair.touch(Touch::Up, scratched);
            assert_eq!(repair.line().len(), 5, "a cross shows where it goes on");
        }
        let on_scratch =
            (6..70).filter(|x| repair.editor.mask().get_pixel(*x, 20 + x / 4).0[0] > 0);
        assert!(on_scratch.count() > 60);
        let marked = count(repair.editor.mask());
        assert!(marked < 400, "{marked}");
        assert!(repair.editor.undo().is_some());
        assert!((100..marked).contains(&count(repair.editor.mask())));
        repair.abandon();
        assert!(repair.line().is_empty());
    }

    #[test]
    fn shift_goes_straight_from_the_end_of_the_last_stroke() {
        let mut repair = Repair::new((80, 60));
        repair.radius = 2.0;
        repair.touch(down([10.0, 30.0]), photo);
        repair.touch(Touch::Up, photo);
        repair.touch(Touch::Down { at: [70.0, 30.0], erases: false, straight: true }, photo);
        repair.touch(Touch::Up, photo);
        assert!((10..70).all(|x| repair.editor.mask().get_pixel(x, 30).0[0] > 0));
    }

    #[test]
    fn lines_are_shown_while_they_are_drawn() {
        let mut repair = Repair::new((80, 60));
        repair.tool = Tool::Rectangle;
        repair.touch(down([10.0, 10.0]), photo);
        assert!(repair.line().is_empty());
        repair.touch(Touch::Move([20.0, 30.0]), photo);
        assert_eq!(repair.line()[2], [20.0, 30.0]);
        assert_eq!(repair.line().len(), 5);
        repair.resize(1e9);
        assert_eq!(repair.radius, 400.0);
        repair.radius = 1.0;
        repair.resize(1.2);
        assert_eq!(repair.radius, 2.0);
        repair.resize(1.0 / 1.2);
        assert_eq!(repair.radius, 1.0);
    }
}
