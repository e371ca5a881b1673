//! What the user marks on the photo, with which tool, and what is to fill it.

use serde::{Deserialize, Serialize};

use crate::{
    mask::{
        Layer,
        detect::DetectOptions,
        editor::Editor,
        find::Find,
        paint::{self, Brush, Place},
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
    (
        Fill::Auto,
        "Automatic",
        "Uncovers what shines through an even mark; the network for others, texture for deep holes",
    ),
    (Fill::Network, "Network", "For scratches, lettering and watermarks, however wide"),
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
        /// How hard a pen is pressed, 0 to 1; 1 of what tells no pressure.
        force: f32,
    },
    /// It moved while it was pressed.
    Move {
        /// In pixels of the photo.
        at: Place,
        /// As in [`Touch::Down`].
        force: f32,
    },
    /// It changed the brush.
    Reshape {
        /// Pixels by which the radius grows.
        wider: f32,
        /// By how much the hardness grows.
        harder: f32,
    },
    /// It was released.
    Up,
}

/// What a touch asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wish {
    /// These pixels of the layer in use have changed: they are to be shown.
    Shown(Rect),
    /// Something is to be found, and marked if true, else taken away.
    Found(Find, bool),
}

/// What a mask's file says beside the mask.
#[derive(Serialize, Deserialize)]
struct Kept {
    radius: f32,
    #[serde(default = "hard")]
    hardness: f32,
    grow: f32,
    feather: f32,
    hides: bool,
}

const fn hard() -> f32 {
    1.0
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Repair {
    /// What is marked and what is protected, and their history.
    pub editor: Editor,
    /// What the tools paint.
    pub layer: Layer,
    /// In use.
    pub tool: Tool,
    /// Of brush, eraser and trace, in pixels of the photo.
    pub brush: Brush,
    /// What is looked for.
    pub detect: DetectOptions,
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
            layer: Layer::Marks,
            tool: Tool::Brush,
            brush: Brush::hard(radius),
            detect: DetectOptions::default(),
            // Masks that are a little too tight leave a rim.
            options: MendOptions { grow: 2.0, feather: 1.0, hides: false, soft: true },
            fill: Fill::Auto,
            line: Vec::new(),
            erases: false,
            last: None,
        }
    }

    /// The same tools for a photo on which nothing is marked.
    #[must_use]
    pub fn unmarked(size: (u32, u32), tools: &Self) -> Self {
        let Self { tool, brush, detect, options, fill, .. } = *tools;
        Self { tool, brush, detect, options, fill, ..Self::new(size) }
    }

    /// What is kept with the mask, as text.
    #[must_use]
    pub fn kept(&self) -> String {
        let MendOptions { grow, feather, hides, .. } = self.options;
        let Brush { radius, hardness } = self.brush;
        let kept = Kept { radius, hardness, grow, feather, hides };
        toml::to_string(&kept).unwrap_or_default()
    }

    /// Takes over what [`Self::kept`] gave; what cannot be understood stays as it is.
    pub fn restore(&mut self, text: &str) {
        let Ok(Kept { radius, hardness, grow, feather, hides }) = toml::from_str(text) else {
            return;
        };
        let is_brush = RADII.contains(&radius) && (0.0..=1.0).contains(&hardness);
        if is_brush && grow.abs() <= 32.0 && (0.0..=32.0).contains(&feather) {
            self.brush = Brush { radius, hardness };
            self.options = MendOptions { grow, feather, hides, ..self.options };
        }
    }

    /// What is under the pointer; without a radius for tools that have none.
    #[must_use]
    pub const fn cursor(&self) -> Brush {
        if self.tool.is_round() { self.brush } else { Brush::hard(0.0) }
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
                let arm = self.brush.radius.max(3.0);
                let to = |x: f32, y: f32| [at[0] + x * arm, at[1] + y * arm];
                vec![to(-1.0, 0.0), to(1.0, 0.0), *at, to(0.0, -1.0), to(0.0, 1.0)]
            }
            _ => Vec::new(),
        }
    }

    /// Multiplies the radius, which stays a whole number, by a factor, and changes it by a pixel at
    /// least.
    pub fn resize(&mut self, factor: f32) {
        let radius = self.brush.radius;
        let next = (radius * factor).round();
        let next = if factor > 1.0 { next.max(radius + 1.0) } else { next.min(radius - 1.0) };
        self.reshape(next - radius, 0.0);
    }

    /// Changes the brush by so many pixels, and its hardness by so much.
    pub const fn reshape(&mut self, wider: f32, harder: f32) {
        let Brush { radius, hardness } = &mut self.brush;
        *radius = (*radius + wider).clamp(*RADII.start(), *RADII.end());
        *hardness = (*hardness + harder).clamp(0.0, 1.0);
    }

    /// Ends a stroke as far as it is, and forgets a line that is not closed.
    pub fn abandon(&mut self) {
        self.line.clear();
        self.editor.close();
    }

    /// Takes a touch.
    pub fn touch(&mut self, touch: Touch) -> Option<Wish> {
        let Self { tool, layer, .. } = *self;
        // A pen that is hardly pressed still draws a line.
        let pressed = |brush: Brush, force: f32| Brush {
            radius: (brush.radius * force).max(*RADII.start()).min(brush.radius),
            ..brush
        };
        let changed = match touch {
            Touch::Reshape { wider, harder } => {
                self.reshape(wider, harder);
                None
            }
            Touch::Down { at, erases, straight, force } => {
                self.erases = erases || tool == Tool::Eraser;
                let on = !self.erases;
                if tool == Tool::Wand {
                    if at[0] < 0.0 || at[1] < 0.0 {
                        return None;
                    }
                    let at = (at[0] as u32, at[1] as u32);
                    return Some(Wish::Found(Find::Wand { at, tolerance: TOLERANCE }, on));
                }
                if tool == Tool::Trace {
                    // The first click begins, each further one leads on from the last.
                    let from = self.line.pop();
                    self.line = vec![at];
                    let brush = self.brush;
                    return from.map(|from| Wish::Found(Find::Trace { from, to: at, brush }, on));
                }
                if !tool.is_round() {
                    self.line = vec![at];
                    return None;
                }
                let from = self.last.filter(|_| straight).unwrap_or(at);
                self.last = Some(at);
                let brush = pressed(self.brush, force);
                self.editor.begin(layer);
                self.editor.extend(at, |mask, _| paint::stroke(mask, from, at, brush, on))
            }
            Touch::Move { .. } | Touch::Up if tool == Tool::Trace => None,
            Touch::Move { at, force } if tool.is_round() => {
                let on = !self.erases;
                self.last = Some(at);
                let brush = pressed(self.brush, force);
                self.editor.extend(at, |mask, from| paint::stroke(mask, from, at, brush, on))
            }
            Touch::Move { at, .. } => {
                if !self.line.is_empty() {
                    self.line.push(at);
                }
                None
            }
            Touch::Up => {
                let (line, on) = (std::mem::take(&mut self.line), !self.erases);
                match (tool, line.first(), line.last()) {
                    (Tool::Rectangle, Some(a), Some(b)) if line.len() > 1 => {
                        self.editor.edit(layer, |mask| paint::rectangle(mask, *a, *b, on))
                    }
                    (Tool::Lasso, Some(_), Some(_)) => {
                        self.editor.edit(layer, |mask| paint::polygon(mask, &line, on))
                    }
                    _ => {
                        self.editor.close();
                        None
                    }
                }
            }
        };
        changed.map(Wish::Shown)
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, Rgb, RgbImage};

    use super::*;
    use crate::mask::{
        count,
        find::{find, lay},
    };

    fn down(at: Place) -> Touch {
        Touch::Down { at, erases: false, straight: false, force: 1.0 }
    }

    const fn to(at: Place) -> Touch {
        Touch::Move { at, force: 1.0 }
    }

    fn photo() -> DynamicImage {
        RgbImage::from_fn(80, 60, |x, _| Rgb([if x < 40 { 10 } else { 200 }; 3])).into()
    }

    /// Does what a touch asks for, as the window does.
    fn touch(repair: &mut Repair, touch: Touch, photo: &DynamicImage) {
        if let Some(Wish::Found(what, on)) = repair.touch(touch)
            && let Some(marks) = find(photo, &what, &mut |_| Ok(())).unwrap().marks
        {
            repair.editor.edit(repair.layer, |mask| lay(mask, &marks, on));
        }
    }

    #[test]
    fn every_tool_marks_erases_and_is_one_edit() {
        for (tool, path, least, most) in [
            (Tool::Brush, vec![[10.0, 10.0], [40.0, 10.0]], 300, 400),
            (Tool::Rectangle, vec![[10.0, 10.0], [25.0, 30.0], [30.0, 20.0]], 200, 200),
            (Tool::Lasso, vec![[10.0, 10.0], [50.0, 10.0], [50.0, 40.0]], 600, 700),
            (Tool::Wand, vec![[50.0, 50.0]], 2400, 2400),
        ] {
            for layer in Layer::ALL {
                let mut repair = Repair::new((80, 60));
                (repair.tool, repair.brush, repair.layer) = (tool, Brush::hard(5.0), layer);
                let draw = |repair: &mut Repair, erases| {
                    let down = Touch::Down { at: path[0], erases, straight: false, force: 1.0 };
                    touch(repair, down, &photo());
                    for place in &path[1..] {
                        touch(repair, to(*place), &photo());
                    }
                    touch(repair, Touch::Up, &photo());
                };
                draw(&mut repair, false);
                let marked = count(repair.editor.layer(layer));
                assert!((least..=most).contains(&marked), "{tool:?}: {marked}");
                let other = Layer::ALL[usize::from(layer == Layer::Marks)];
                assert_eq!(count(repair.editor.layer(other)), 0, "{tool:?}");
                draw(&mut repair, true);
                assert_eq!(count(repair.editor.layer(layer)), 0, "{tool:?}");
                assert!(repair.editor.undo().is_some());
                assert_eq!(count(repair.editor.layer(layer)), marked);
                assert!(repair.editor.undo().is_some() && repair.editor.undo().is_none());
                assert!(repair.line().is_empty());
            }
        }
    }

    #[test]
    fn a_trace_goes_from_click_to_click_and_is_one_edit_each() {
        let scratched: DynamicImage = RgbImage::from_fn(80, 60, |x, y| {
            let on = y == 20 + x / 4;
            Rgb([if on { 230 } else { 60 + (x * y % 5) as u8 }; 3])
        })
        .into();
        let mut repair = Repair::new((80, 60));
        (repair.tool, repair.brush) = (Tool::Trace, Brush::hard(1.0));
        for at in [[4.5, 21.5], [40.5, 30.5], [70.5, 37.5]] {
            touch(&mut repair, down(at), &scratched);
            touch(&mut repair, Touch::Up, &scratched);
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
        repair.brush = Brush::hard(2.0);
        repair.touch(down([10.0, 30.0]));
        repair.touch(Touch::Up);
        repair.touch(Touch::Down { at: [70.0, 30.0], erases: false, straight: true, force: 1.0 });
        repair.touch(Touch::Up);
        assert!((10..70).all(|x| repair.editor.mask().get_pixel(x, 30).0[0] > 0));
    }

    #[test]
    fn a_pen_that_is_pressed_less_draws_a_thinner_line() {
        let height = |force: f32| {
            let mut repair = Repair::new((80, 60));
            repair.brush = Brush::hard(10.0);
            repair.touch(Touch::Down { at: [10.5, 30.5], erases: false, straight: false, force });
            repair.touch(Touch::Move { at: [70.5, 30.5], force });
            repair.touch(Touch::Up);
            (0..60).filter(|y| repair.editor.mask().get_pixel(40, *y).0[0] > 0).count()
        };
        assert_eq!([1.0, 0.5, 0.0].map(height), [21, 11, 3]);
    }

    #[test]
    fn the_brush_changes_within_its_limits() {
        let mut repair = Repair::new((80, 60));
        repair.brush = Brush::hard(20.0);
        repair.touch(Touch::Reshape { wider: 7.5, harder: -0.25 });
        assert_eq!(repair.brush, Brush { radius: 27.5, hardness: 0.75 });
        repair.touch(Touch::Reshape { wider: -1e9, harder: 9.0 });
        assert_eq!(repair.brush, Brush::hard(1.0));
        repair.touch(Touch::Reshape { wider: 1e9, harder: -9.0 });
        assert_eq!(repair.brush, Brush { radius: 400.0, hardness: 0.0 });
        let kept = repair.kept();
        let mut other = Repair::new((80, 60));
        other.restore(&kept);
        assert_eq!(other.brush, repair.brush);
        other.restore("radius = 12.0\ngrow = 1.0\nfeather = 1.0\nhides = false\n");
        assert_eq!(other.brush, Brush::hard(12.0), "as it was kept when all brushes were hard");
    }

    #[test]
    fn lines_are_shown_while_they_are_drawn() {
        let mut repair = Repair::new((80, 60));
        repair.tool = Tool::Rectangle;
        repair.touch(down([10.0, 10.0]));
        assert!(repair.line().is_empty());
        repair.touch(to([20.0, 30.0]));
        assert_eq!(repair.line()[2], [20.0, 30.0]);
        assert_eq!(repair.line().len(), 5);
        repair.resize(1e9);
        assert_eq!(repair.brush.radius, 400.0);
        repair.brush.radius = 1.0;
        repair.resize(1.2);
        assert_eq!(repair.brush.radius, 2.0);
        repair.resize(1.0 / 1.2);
        assert_eq!(repair.brush.radius, 1.0);
    }
}
