//! Every action of the window, declared once: name, help, keys, availability.
//! Buttons, shortcuts, tooltips and the sheet of keys all come from here.

use egui::{Key, KeyboardShortcut, Modifiers, Response, Ui};

use super::App;

/// Something the user can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Choose a photo in a dialog.
    Open,
    /// Take a picture from the clipboard.
    Paste,
    /// Open the picture that comes with the program.
    OpenSample,
    /// Choose model files of others in a dialog.
    AddModel,
    /// The list of many photos, or one photo.
    Queue,
    /// Choose photos for the queue in a dialog.
    AddPhotos,
    /// Choose a folder of photos for the queue in a dialog.
    AddFolder,
    /// Choose a folder for the results of the queue in a dialog.
    ResultsFolder,
    /// Do with other photos what is set for this one.
    ManyPhotos,
    /// Work the queue off, or pause.
    StartQueue,
    /// Enlarge the photo.
    Upscale,
    /// Enlarge or repair the photo.
    SwitchTask,
    /// Teach a model one's own photos.
    Train,
    /// Fill what is marked.
    Fill,
    /// Take JPEG artefacts, noise and blur away.
    Clean,
    /// Give a grey photo colours.
    Colourise,
    /// Make the result the photo.
    Adopt,
    /// Take the fill or the last stroke back.
    Undo,
    /// Do again what was taken back.
    Redo,
    /// Mark nothing.
    ClearMask,
    /// Mark everything.
    MarkAll,
    /// Mark the rest.
    InvertMask,
    /// What the tools paint: marks, or what is protected.
    Protect,
    /// Mark what does not belong on the photo.
    FindMarks,
    /// A thinner brush.
    SmallerBrush,
    /// A thicker brush.
    LargerBrush,
    /// A brush with a softer border.
    SofterBrush,
    /// A brush with a harder border.
    HarderBrush,
    /// Marks what it goes over.
    Brush,
    /// Takes marks away.
    Eraser,
    /// The eraser in place of the brush, and back.
    SwapBrush,
    /// Marks what is between two corners.
    Rectangle,
    /// Marks what a line goes around.
    Lasso,
    /// Marks the scratch between two places.
    Trace,
    /// Marks what has one colour.
    Wand,
    /// The mask with the photo or without it.
    MaskAlone,
    /// See what models make of the place in view.
    Preview,
    /// Show one of four previews, counted from 0, in place of the result.
    Flip(u8),
    /// Show where detail was invented.
    HeatMap,
    /// Make a picture of before and after.
    Share,
    /// End the running job.
    Cancel,
    /// Write the result beside the photo.
    Save,
    /// Write the result to a chosen place.
    SaveAs,
    /// The command line that makes this result again.
    CopyRecipe,
    /// See the whole picture.
    Fit,
    /// One pixel for one pixel.
    ActualSize,
    /// Closer.
    ZoomIn,
    /// Farther.
    ZoomOut,
    /// Next of side by side, split line and single.
    CycleView,
    /// Squares or interpolation.
    SharpPixels,
    /// Dark or light.
    Theme,
    /// The sheet of keys.
    Help,
    /// Close the window.
    Quit,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 56] = [
        Self::Open,
        Self::Paste,
        Self::OpenSample,
        Self::AddModel,
        Self::Queue,
        Self::AddPhotos,
        Self::AddFolder,
        Self::ResultsFolder,
        Self::ManyPhotos,
        Self::StartQueue,
        Self::Upscale,
        Self::SwitchTask,
        Self::Train,
        Self::Fill,
        Self::Clean,
        Self::Colourise,
        Self::Adopt,
        Self::Undo,
        Self::Redo,
        Self::ClearMask,
        Self::MarkAll,
        Self::InvertMask,
        Self::Protect,
        Self::FindMarks,
        Self::SmallerBrush,
        Self::LargerBrush,
        Self::SofterBrush,
        Self::HarderBrush,
        Self::Brush,
        Self::Eraser,
        Self::SwapBrush,
        Self::Rectangle,
        Self::Lasso,
        Self::Trace,
        Self::Wand,
        Self::MaskAlone,
        Self::Preview,
        Self::Flip(0),
        Self::Flip(1),
        Self::Flip(2),
        Self::Flip(3),
        Self::HeatMap,
        Self::Share,
        Self::Cancel,
        Self::Save,
        Self::SaveAs,
        Self::CopyRecipe,
        Self::Fit,
        Self::ActualSize,
        Self::ZoomIn,
        Self::ZoomOut,
        Self::CycleView,
        Self::SharpPixels,
        Self::Theme,
        Self::Help,
        Self::Quit,
    ];

    /// For buttons.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "Open…",
            Self::Paste => "Paste",
            Self::OpenSample => "Try the sample photo",
            Self::AddModel => "Add models…",
            Self::Queue => "Queue",
            Self::AddPhotos => "Add photos…",
            Self::AddFolder => "Add a folder…",
            Self::ResultsFolder => "Folder for results…",
            Self::ManyPhotos => "Do the same with many…",
            Self::StartQueue => "Start or pause",
            Self::Upscale => "Upscale the photo",
            Self::SwitchTask => "Upscale or repair",
            Self::Train => "Train",
            Self::Fill => "Fill",
            Self::Clean => "Clean",
            Self::Colourise => "Colourise",
            Self::Adopt => "Go on with this",
            Self::Undo => "Undo",
            Self::Redo => "Redo",
            Self::ClearMask => "Clear",
            Self::MarkAll => "All",
            Self::InvertMask => "Invert",
            Self::Protect => "Protect",
            Self::FindMarks => "Find marks",
            Self::SmallerBrush => "Thinner brush",
            Self::LargerBrush => "Thicker brush",
            Self::SofterBrush => "Softer brush",
            Self::HarderBrush => "Harder brush",
            Self::Brush => "Brush",
            Self::Eraser => "Eraser",
            Self::SwapBrush => "Brush or eraser",
            Self::Rectangle => "Box",
            Self::Lasso => "Lasso",
            Self::Trace => "Trace",
            Self::Wand => "Wand",
            Self::MaskAlone => "Mask alone",
            Self::Preview => "Preview here",
            Self::Flip(0) => "First preview",
            Self::Flip(1) => "Second preview",
            Self::Flip(2) => "Third preview",
            Self::Flip(_) => "Fourth preview",
            Self::HeatMap => "Invented detail",
            Self::Share => "Before/after",
            Self::Cancel => "Cancel",
            Self::Save => "Save",
            Self::SaveAs => "Save as…",
            Self::CopyRecipe => "Copy as command",
            Self::Fit => "Fit",
            Self::ActualSize => "100 %",
            Self::ZoomIn => "Zoom in",
            Self::ZoomOut => "Zoom out",
            Self::CycleView => "Next view",
            Self::SharpPixels => "Sharp pixels",
            Self::Theme => "Theme",
            Self::Help => "Keys",
            Self::Quit => "Quit",
        }
    }

    /// For tooltips and the sheet of keys.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Open => "Choose a photo; you can also drop one on the window",
            Self::Paste => "Take a picture from the clipboard",
            Self::OpenSample => "Open the picture that comes with Pixmend",
            Self::AddModel => {
                "Models of others: .pth, .safetensors or ncnn files (or drop them on the window)"
            }
            Self::Queue => "Many photos: show the list, or the photo",
            Self::AddPhotos => "Choose photos for the queue; you can also drop them on the window",
            Self::AddFolder => "Choose a folder; the photos of the folders in it come along",
            Self::ResultsFolder => "Choose a folder for the results; the tree of folders is kept",
            Self::ManyPhotos => "Choose other photos, with which the queue does what is set here",
            Self::StartQueue => "Work the queue off, or pause it before the next tile",
            Self::Upscale => "Enlarge the photo four times, starting with what you look at",
            Self::SwitchTask => "Switch between enlarging and repairing",
            Self::Train => "Teach a model your own photos, and back",
            Self::Fill => "Fill what is marked; nothing else changes",
            Self::Clean => "Take away JPEG artefacts, noise and blur: of what is marked, or of all",
            Self::Colourise => "Give a grey photo colours: what is marked, or all of it",
            Self::Adopt => "Make the result the photo, to repair or enlarge it further",
            Self::Undo => "Take the result back, then stroke after stroke",
            Self::Redo => "Do again what was taken back",
            Self::ClearMask => "Mark nothing",
            Self::MarkAll => "Mark everything",
            Self::InvertMask => "Mark the rest instead",
            Self::Protect => {
                "Paint what stays as it is, whatever Fill, Clean and Colourise do; and back"
            }
            Self::FindMarks => {
                "Mark scratches, dust and watermarks that repeat themselves; nothing is filled"
            }
            Self::SmallerBrush => "Make the brush thinner; or drag with Alt and the right button",
            Self::LargerBrush => "Make the brush thicker; or drag with Alt and the right button",
            Self::SofterBrush => "Make the border of the brush softer",
            Self::HarderBrush => "Make the border of the brush harder",
            Self::Brush => {
                "Mark what you go over; hold Shift for a straight line, use the right button to erase"
            }
            Self::Eraser => "Take marks away",
            Self::SwapBrush => "The eraser in place of the brush, and back",
            Self::Rectangle => "Mark what is between two corners",
            Self::Lasso => "Mark what you go around",
            Self::Trace => "Mark the scratch between two clicks, and on from there",
            Self::MaskAlone => "Show the mask without the photo",
            Self::Wand => {
                "Mark what has the colour of the place you click and hangs together with it"
            }
            Self::Preview => {
                "See what models make of the place below the pointer, or in view, in about a second"
            }
            Self::Flip(_) => "Show this preview in place of the result, and the result again",
            Self::HeatMap => "Show where the result has detail that the photo does not",
            Self::Share => "Write a picture of what is in view, before and after, beside the photo",
            Self::Cancel => "Stop; what is done stays on screen",
            Self::Save => "Write the result beside the photo, never over a file",
            Self::CopyRecipe => "Copy the command line that makes this result again",
            Self::SaveAs => "Write the result to a place of your choice",
            Self::Fit => "See the whole picture",
            Self::ActualSize => "One pixel of the result for each pixel of the screen",
            Self::ZoomIn => "Closer",
            Self::ZoomOut => "Farther",
            Self::CycleView => "Side by side, split line, single",
            Self::SharpPixels => "Show pixels as squares when zoomed in",
            Self::Theme => "Switch between dark and light",
            Self::Help => "Show all keys",
            Self::Quit => "Close the window",
        }
    }

    /// Keys that do it; the first is the one that is shown.
    #[must_use]
    pub fn shortcuts(self) -> Vec<KeyboardShortcut> {
        let command = |key| KeyboardShortcut::new(Modifiers::COMMAND, key);
        let plain = |key| KeyboardShortcut::new(Modifiers::NONE, key);
        match self {
            Self::Open => vec![command(Key::O)],
            // The system turns Ctrl+V into an event of its own.
            Self::Paste
            | Self::OpenSample
            | Self::AddModel
            | Self::AddPhotos
            | Self::AddFolder
            | Self::ResultsFolder
            | Self::ManyPhotos
            | Self::StartQueue
            | Self::Theme
            | Self::Clean
            | Self::Colourise
            | Self::Share
            | Self::Adopt => vec![],
            Self::Preview => vec![plain(Key::V)],
            Self::Flip(place) => {
                let keys = [Key::Num1, Key::Num2, Key::Num3, Key::Num4];
                keys.get(usize::from(place)).copied().map(plain).into_iter().collect()
            }
            Self::HeatMap => vec![plain(Key::H)],
            Self::Queue => vec![command(Key::J)],
            Self::SwitchTask => vec![plain(Key::R)],
            Self::Train => vec![command(Key::T)],
            Self::Fill => vec![plain(Key::Enter)],
            Self::Undo => vec![command(Key::Z)],
            Self::Redo => vec![
                KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z),
                command(Key::Y),
            ],
            Self::ClearMask => vec![command(Key::D)],
            Self::MarkAll => vec![command(Key::A)],
            Self::InvertMask => vec![command(Key::I)],
            Self::Protect => vec![plain(Key::K)],
            Self::FindMarks => vec![plain(Key::F)],
            Self::SmallerBrush => vec![plain(Key::OpenBracket)],
            Self::LargerBrush => vec![plain(Key::CloseBracket)],
            // Shift makes other keys of them, but not on every system.
            Self::SofterBrush => vec![
                KeyboardShortcut::new(Modifiers::SHIFT, Key::OpenBracket),
                plain(Key::OpenCurlyBracket),
            ],
            Self::HarderBrush => vec![
                KeyboardShortcut::new(Modifiers::SHIFT, Key::CloseBracket),
                plain(Key::CloseCurlyBracket),
            ],
            Self::Brush => vec![plain(Key::B)],
            Self::Eraser => vec![plain(Key::E)],
            Self::SwapBrush => vec![plain(Key::X)],
            Self::Rectangle => vec![plain(Key::M)],
            Self::Lasso => vec![plain(Key::L)],
            Self::Trace => vec![plain(Key::T)],
            Self::Wand => vec![plain(Key::W)],
            Self::MaskAlone => vec![plain(Key::Q)],
            Self::Upscale => vec![command(Key::Enter), command(Key::U)],
            Self::Cancel => vec![plain(Key::Escape)],
            Self::Save => vec![command(Key::S)],
            Self::SaveAs => {
                vec![KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::S)]
            }
            Self::CopyRecipe => vec![],
            Self::Fit => vec![command(Key::Num0)],
            Self::ActualSize => vec![command(Key::Num1)],
            Self::ZoomIn => vec![command(Key::Plus), command(Key::Equals)],
            Self::ZoomOut => vec![command(Key::Minus)],
            Self::CycleView => vec![plain(Key::Y)],
            Self::SharpPixels => vec![plain(Key::P)],
            Self::Help => vec![plain(Key::F1), plain(Key::Questionmark)],
            Self::Quit => vec![command(Key::Q)],
        }
    }

    /// The shown keys as text; empty without any.
    #[must_use]
    pub fn keys(self, ctx: &egui::Context) -> String {
        if self == Self::Paste {
            return ctx.format_shortcut(&KeyboardShortcut::new(Modifiers::COMMAND, Key::V));
        }
        let first = self.shortcuts().into_iter().next();
        let Some(keys) = first else { return String::new() };
        // The key as it is printed on keyboards: "[" and not "OpenBracket".
        let (shown, key) = (ctx.format_shortcut(&keys), keys.logical_key);
        match shown.strip_suffix(key.name()) {
            Some(modifiers) => format!("{modifiers}{}", key.symbol_or_name()),
            None => shown,
        }
    }

    /// Whether it can be done now. A command that cannot leaves its keys alone.
    #[must_use]
    pub fn is_enabled(self, app: &App) -> bool {
        match self {
            Self::Open | Self::OpenSample | Self::Train | Self::Theme | Self::Help | Self::Quit => {
                true
            }
            Self::Queue | Self::AddPhotos | Self::AddFolder | Self::ResultsFolder => true,
            Self::ManyPhotos => app.has_photo(),
            Self::StartQueue => app.batch.counts.waiting > 0,
            Self::AddModel => app.importing.is_none(),
            Self::Paste => false,
            Self::Upscale => app.can_upscale(),
            Self::SwitchTask => app.has_photo(),
            Self::Fill
            | Self::Clean
            | Self::Colourise
            | Self::ClearMask
            | Self::MarkAll
            | Self::InvertMask
            | Self::Protect
            | Self::SmallerBrush
            | Self::LargerBrush
            | Self::SofterBrush
            | Self::HarderBrush
            | Self::Brush
            | Self::Eraser
            | Self::SwapBrush
            | Self::Rectangle
            | Self::Lasso
            | Self::Trace
            | Self::Wand
            | Self::MaskAlone => app.can_mark(),
            Self::FindMarks => app.can_mark() && app.looks_for_marks().is_none(),
            Self::Undo => app.can_undo(),
            Self::Redo => app.can_redo(),
            Self::Adopt => app.can_save(),
            Self::Preview => app.can_preview(),
            Self::Flip(place) => app.can_flip(usize::from(place)),
            Self::HeatMap => app.heat_map().is_some(),
            Self::Share => app.can_share(),
            Self::Cancel => app.can_cancel(),
            Self::Save | Self::SaveAs => app.can_save(),
            Self::CopyRecipe => app.command_line().is_some(),
            Self::Fit
            | Self::ActualSize
            | Self::ZoomIn
            | Self::ZoomOut
            | Self::CycleView
            | Self::SharpPixels => app.has_photo(),
        }
    }

    /// Its button, with the keys in the tooltip.
    pub fn button(self, ui: &mut Ui, app: &App) -> Response {
        self.decorated(ui, app, egui::Button::new(self.name()))
    }

    /// A button of another look that does it.
    pub fn decorated(self, ui: &mut Ui, app: &App, button: egui::Button<'_>) -> Response {
        let keys = self.keys(ui.ctx());
        let help = if keys.is_empty() {
            self.help().to_owned()
        } else {
            format!("{}  ({keys})", self.help())
        };
        ui.add_enabled(self.is_enabled(app), button)
            .on_hover_text(&help)
            .on_disabled_hover_text(&help)
    }
}

/// The commands whose keys were pressed, in the frame that they were.
///
/// Keys with more modifiers are looked at first, since a shortcut also answers
/// to a press with more of them; single keys are left to a focused text field.
pub fn pressed(ctx: &egui::Context, app: &App) -> Vec<Command> {
    let mut bindings: Vec<(KeyboardShortcut, Command)> = Command::ALL
        .into_iter()
        .filter(|command| command.is_enabled(app))
        .flat_map(|command| command.shortcuts().into_iter().map(move |keys| (keys, command)))
        .collect();
    let count = |keys: &KeyboardShortcut| {
        let modifiers = keys.modifiers;
        [modifiers.shift, modifiers.alt, modifiers.command, modifiers.ctrl]
            .iter()
            .filter(|on| **on)
            .count()
    };
    bindings.sort_by_key(|(keys, _)| std::cmp::Reverse(count(keys)));
    let typing = ctx.text_edit_focused();
    let focused = ctx.memory(|memory| memory.focused()).is_some();
    // A text field knows these, too; and Enter presses a button that has the focus.
    let of_text = |command: &Command| {
        use Command::{ClearMask, InvertMask, MarkAll, Redo, Undo, Upscale};
        matches!(command, Undo | Redo | ClearMask | MarkAll | InvertMask | Upscale)
    };
    bindings.retain(|(keys, command)| {
        let enter = keys.logical_key == Key::Enter && keys.modifiers.is_none();
        (!typing || (keys.modifiers.any() && !of_text(command))) && !(focused && enter)
    });
    ctx.input_mut(|input| {
        bindings
            .into_iter()
            .filter(|(keys, _)| input.consume_shortcut(keys))
            .map(|(_, command)| command)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_unique() {
        for (i, a) in Command::ALL.iter().enumerate() {
            for b in &Command::ALL[i + 1..] {
                assert_ne!(a.name(), b.name());
                for keys in a.shortcuts() {
                    assert!(!b.shortcuts().contains(&keys), "{a:?} and {b:?}");
                }
            }
        }
    }
}
