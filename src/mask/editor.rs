//! A mask under the user's hands: strokes that can be taken back and done again.

use image::{GrayImage, imageops};

use super::paint::Place;
use crate::rect::Rect;

/// What all edits that can be taken back may take together, in bytes.
const MOST_BYTES: usize = 256 << 20;

/// The part of a mask that an edit changed, before and after it.
#[derive(Clone, Debug)]
struct Edit {
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
    before: GrayImage,
    changed: Option<Rect>,
    last: Option<Place>,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Editor {
    mask: GrayImage,
    done: Vec<Edit>,
    undone: Vec<Edit>,
    open: Option<Open>,
    position: i64,
    revision: u64,
}

impl Editor {
    /// An empty mask.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let mask = GrayImage::new(width, height);
        Self { mask, done: Vec::new(), undone: Vec::new(), open: None, position: 0, revision: 0 }
    }

    /// As it is now.
    #[must_use]
    pub const fn mask(&self) -> &GrayImage {
        &self.mask
    }

    /// Begins an edit that [`Self::close`] ends; one that is open goes on.
    pub fn begin(&mut self) {
        if self.open.is_none() {
            let before = self.mask.clone();
            self.open = Some(Open { before, changed: None, last: None });
        }
    }

    /// Changes the mask within an edit. `change` is given the place at which the last one ended and
    /// says what changed.
    pub fn extend(
        &mut self,
        to: Place,
        change: impl FnOnce(&mut GrayImage, Place) -> Option<Rect>,
    ) -> Option<Rect> {
        let open = self.open.as_mut()?;
        let changed = change(&mut self.mask, open.last.unwrap_or(to));
        open.last = Some(to);
        if let Some(area) = changed {
            open.changed = Some(open.changed.map_or(area, |all| all.joined(&area)));
        }
        changed
    }

    /// Ends an edit, which can be taken back from now on.
    pub fn close(&mut self) {
        let Some(Open { before, changed: Some(area), .. }) = self.open.take() else { return };
        let before = cut(&before, area);
        let after = cut(&self.mask, area);
        if before == after {
            return;
        }
        self.undone.clear();
        self.position += 1;
        self.revision += 1;
        self.done.push(Edit { area, before, after });
        let mut bytes: usize = self.done.iter().map(Edit::bytes).sum();
        while bytes > MOST_BYTES && self.done.len() > 1 {
            bytes -= self.done.remove(0).bytes();
        }
    }

    /// A whole edit at once.
    pub fn edit(&mut self, change: impl FnOnce(&mut GrayImage) -> Option<Rect>) -> Option<Rect> {
        self.close();
        self.begin();
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
    pub fn can_undo(&self) -> bool {
        !self.done.is_empty()
    }

    /// Whether something was taken back that can be done again.
    #[must_use]
    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    /// Takes the last edit back; gives the pixels that changed.
    pub fn undo(&mut self) -> Option<Rect> {
        self.close();
        let edit = self.done.pop()?;
        paste(&mut self.mask, &edit.before, edit.area);
        let area = edit.area;
        self.undone.push(edit);
        self.position -= 1;
        self.revision += 1;
        Some(area)
    }

    /// Does again what was taken back last; gives the pixels that changed.
    pub fn redo(&mut self) -> Option<Rect> {
        self.close();
        let edit = self.undone.pop()?;
        paste(&mut self.mask, &edit.after, edit.area);
        let area = edit.area;
        self.done.push(edit);
        self.position += 1;
        self.revision += 1;
        Some(area)
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
    use crate::mask::paint;

    #[derive(Clone, Debug)]
    enum Action {
        Stroke { from: Place, to: Place, radius: f32, on: bool },
        Rectangle { from: Place, to: Place, on: bool },
        Undo,
        Redo,
    }

    fn action() -> impl Strategy<Value = Action> {
        let place = || (-9.0_f32..60.0, -9.0_f32..50.0).prop_map(|(x, y)| [x, y]);
        prop_oneof![
            3 => (place(), place(), 0.1_f32..9.0, any::<bool>())
                .prop_map(|(from, to, radius, on)| Action::Stroke { from, to, radius, on }),
            1 => (place(), place(), any::<bool>())
                .prop_map(|(from, to, on)| Action::Rectangle { from, to, on }),
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
            let (mut seen, mut now) = (vec![editor.mask().clone()], 0_usize);
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
                    Action::Stroke { from, to, radius, on } => {
                        editor.begin();
                        editor.extend(from, |mask, _| paint::stroke(mask, from, from, radius, on));
                        editor.extend(to, |mask, last| {
                            assert_eq!(last, from);
                            paint::stroke(mask, last, to, radius, on)
                        });
                        editor.close();
                        if *editor.mask() != seen[now] {
                            seen.truncate(now + 1);
                            seen.push(editor.mask().clone());
                            now += 1;
                        }
                    }
                    Action::Rectangle { from, to, on } => {
                        editor.edit(|mask| paint::rectangle(mask, from, to, on));
                        if *editor.mask() != seen[now] {
                            seen.truncate(now + 1);
                            seen.push(editor.mask().clone());
                            now += 1;
                        }
                    }
                }
                prop_assert!(*editor.mask() == seen[now]);
            }
        }
    }

    #[test]
    fn taking_back_in_the_middle_of_a_stroke_takes_the_stroke() {
        let mut editor = Editor::new(30, 30);
        editor.begin();
        editor.extend([9.0; 2], |mask, at| paint::stroke(mask, at, at, 4.0, true));
        assert!(editor.undo().is_some());
        assert_eq!(super::super::count(editor.mask()), 0);
        assert!(editor.extend([9.0; 2], |_, _| unreachable!("no edit is open")).is_none());
    }
}
