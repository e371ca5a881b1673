//! What is marked and what is protected, under the user's hands: strokes that can be taken back and
//! done again.

use std::sync::Arc;

use image::{GrayImage, imageops};

use super::{Layer, paint::Place};
use crate::rect::Rect;

/// What all edits that can be taken back may take together, in bytes.
const MOST_BYTES: usize = 256 << 20;

/// The part of a layer that an edit changed, before and after it.
#[derive(Clone, Debug)]
struct Edit {
    layer: Layer,
    area: Rect,
    before: GrayImage,
    after: GrayImage,
}

impl Edit {
    fn bytes(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

/// An edit that is being made.
#[derive(Clone, Debug)]
struct Open {
    layer: Layer,
    changed: Option<Rect>,
    last: Option<Place>,
}

/// One layer.
#[derive(Clone, Debug)]
struct Sheet {
    now: GrayImage,
    /// As the last edit left it: what an edit that is being made began with. No stroke needs a copy
    /// of the whole layer, and others can have it for nothing.
    before: Arc<GrayImage>,
}

impl Sheet {
    fn new(width: u32, height: u32) -> Self {
        let now = GrayImage::new(width, height);
        Self { before: Arc::new(now.clone()), now }
    }

    fn replace(&mut self, piece: &GrayImage, area: Rect) {
        paste(&mut self.now, piece, area);
        paste(Arc::make_mut(&mut self.before), piece, area);
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Editor {
    sheets: [Sheet; 2],
    done: Vec<Edit>,
    undone: Vec<Edit>,
    open: Option<Open>,
    position: i64,
    revision: u64,
}

impl Editor {
    /// Nothing is marked and nothing is protected.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let sheets = [0; 2].map(|_| Sheet::new(width, height));
        Self { sheets, done: Vec::new(), undone: Vec::new(), open: None, position: 0, revision: 0 }
    }

    /// What is marked, as it is now.
    #[must_use]
    pub const fn mask(&self) -> &GrayImage {
        self.layer(Layer::Marks)
    }

    /// A layer as it is now.
    #[must_use]
    pub const fn layer(&self, layer: Layer) -> &GrayImage {
        &self.sheets[layer as usize].now
    }

    /// A layer as the last edit left it, without a copy.
    #[must_use]
    pub fn snapshot(&self, layer: Layer) -> Arc<GrayImage> {
        self.sheets[layer as usize].before.clone()
    }

    /// Begins an edit that [`Self::close`] ends; one that is open goes on.
    pub const fn begin(&mut self, layer: Layer) {
        if self.open.is_none() {
            self.open = Some(Open { layer, changed: None, last: None });
        }
    }

    /// Changes the layer within an edit. `change` is given the place at which the last one ended and
    /// says what changed.
    pub fn extend(
        &mut self,
        to: Place,
        change: impl FnOnce(&mut GrayImage, Place) -> Option<Rect>,
    ) -> Option<Rect> {
        let open = self.open.as_mut()?;
        let sheet = &mut self.sheets[open.layer as usize];
        let changed = change(&mut sheet.now, open.last.unwrap_or(to));
        open.last = Some(to);
        if let Some(area) = changed {
            open.changed = Some(open.changed.map_or(area, |all| all.joined(&area)));
        }
        changed
    }

    /// Ends an edit, which can be taken back from now on.
    pub fn close(&mut self) {
        let Some(Open { layer, changed: Some(area), .. }) = self.open.take() else { return };
        let sheet = &mut self.sheets[layer as usize];
        let (before, after) = (cut(&sheet.before, area), cut(&sheet.now, area));
        if before == after {
            return;
        }
        paste(Arc::make_mut(&mut sheet.before), &after, area);
        self.undone.clear();
        self.position += 1;
        self.revision += 1;
        self.done.push(Edit { layer, area, before, after });
        let mut bytes: usize = self.done.iter().map(Edit::bytes).sum();
        while bytes > MOST_BYTES && self.done.len() > 1 {
            bytes -= self.done.remove(0).bytes();
        }
    }

    /// A whole edit at once.
    pub fn edit(
        &mut self,
        layer: Layer,
        change: impl FnOnce(&mut GrayImage) -> Option<Rect>,
    ) -> Option<Rect> {
        self.close();
        self.begin(layer);
        let changed = self.extend([0.0; 2], |mask, _| change(mask));
        self.close();
        changed
    }

    /// How many edits have led here, those that were taken back not counted: whoever remembers it
    /// can tell whether strokes came since.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// How often it has changed, in whichever way.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether an edit is being made.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether there is something to take back.
    #[must_use]
    pub const fn can_undo(&self) -> bool {
        !self.done.is_empty()
    }

    /// Whether something was taken back that can be done again.
    #[must_use]
    pub const fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    /// Takes the last edit back; gives the layer and the pixels that changed.
    pub fn undo(&mut self) -> Option<(Layer, Rect)> {
        self.close();
        let edit = self.done.pop()?;
        let (layer, area) = (edit.layer, edit.area);
        self.sheets[layer as usize].replace(&edit.before, area);
        self.undone.push(edit);
        self.position -= 1;
        self.revision += 1;
        Some((layer, area))
    }

    /// Does again what was taken back last; gives the layer and the pixels that changed.
    pub fn redo(&mut self) -> Option<(Layer, Rect)> {
        self.close();
        let edit = self.undone.pop()?;
        let (layer, area) = (edit.layer, edit.area);
        self.sheets[layer as usize].replace(&edit.after, area);
        self.done.push(edit);
        self.position += 1;
        self.revision += 1;
        Some((layer, area))
    }
}

fn cut(mask: &GrayImage, area: Rect) -> GrayImage {
    imageops::crop_imm(mask, area.x, area.y, area.width, area.height).to_image()
}

fn paste(mask: &mut GrayImage, piece: &GrayImage, area: Rect) {
    imageops::replace(mask, piece, i64::from(area.x), i64::from(area.y));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mask::paint::{self, Brush};

    /// Both, as the user sees them.
    fn layers(editor: &Editor) -> [GrayImage; 2] {
        Layer::ALL.map(|layer| editor.layer(layer).clone())
    }

    #[derive(Clone, Debug)]
    enum Action {
        Stroke { layer: Layer, from: Place, to: Place, radius: f32, hardness: f32, on: bool },
        Rectangle { layer: Layer, from: Place, to: Place, on: bool },
        Undo,
        Redo,
    }

    fn action() -> impl Strategy<Value = Action> {
        let layer = || any::<bool>().prop_map(|first| Layer::ALL[usize::from(first)]);
        let place = || (-9.0_f32..60.0, -9.0_f32..50.0).prop_map(|(x, y)| [x, y]);
        prop_oneof![
            3 => (layer(), place(), place(), 0.1_f32..9.0, 0.0_f32..1.0, any::<bool>()).prop_map(
                |(layer, from, to, radius, hardness, on)| {
                    Action::Stroke { layer, from, to, radius, hardness, on }
                },
            ),
            1 => (layer(), place(), place(), any::<bool>())
                .prop_map(|(layer, from, to, on)| Action::Rectangle { layer, from, to, on }),
            2 => Just(Action::Undo),
            1 => Just(Action::Redo),
        ]
    }

    proptest! {
        #[test]
        fn undo_and_redo_are_each_others_reverse(
            actions in prop::collection::vec(action(), 1..25),
        ) {
            let mut editor = Editor::new(50, 40);
            // All masks that the user has seen and can come back to, and which one it is.
            let (mut seen, mut now) = (vec![layers(&editor)], 0_usize);
            for action in actions {
                match action {
                    Action::Undo => {
                        prop_assert_eq!(editor.can_undo(), now > 0);
                        prop_assert_eq!(editor.undo().is_some(), now > 0);
                        now = now.saturating_sub(1);
                    }
                    Action::Redo => {
                        prop_assert_eq!(editor.redo().is_some(), now + 1 < seen.len());
                        now = (now + 1).min(seen.len() - 1);
                    }
                    Action::Stroke { layer, from, to, radius, hardness, on } => {
                        editor.begin(layer);
                        let brush = Brush { radius, hardness };
                        editor.extend(from, |mask, _| paint::stroke(mask, from, from, brush, on));
                        editor.extend(to, |mask, last| {
                            assert_eq!(last, from);
                            paint::stroke(mask, last, to, brush, on)
                        });
                        editor.close();
                        if layers(&editor) != seen[now] {
                            seen.truncate(now + 1);
                            seen.push(layers(&editor));
                            now += 1;
                        }
                    }
                    Action::Rectangle { layer, from, to, on } => {
                        editor.edit(layer, |mask| paint::rectangle(mask, from, to, on));
                        if layers(&editor) != seen[now] {
                            seen.truncate(now + 1);
                            seen.push(layers(&editor));
                            now += 1;
                        }
                    }
                }
                prop_assert!(layers(&editor) == seen[now]);
                let kept = Layer::ALL.map(|layer| GrayImage::clone(&editor.snapshot(layer)));
                prop_assert!(kept == seen[now], "what others are given");
            }
        }
    }

    #[test]
    fn taking_back_in_the_middle_of_a_stroke_takes_the_stroke() {
        let mut editor = Editor::new(30, 30);
        editor.begin(Layer::Marks);
        let brush = Brush::hard(4.0);
        editor.extend([9.0; 2], |mask, at| paint::stroke(mask, at, at, brush, true));
        assert!(editor.undo().is_some());
        assert_eq!(super::super::count(editor.mask()), 0);
        assert!(editor.extend([9.0; 2], |_, _| unreachable!("no edit is open")).is_none());
    }
}
