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
    /// Enlarge the photo.
    Upscale,
    /// End the running job.
    Cancel,
    /// Write the result beside the photo.
    Save,
    /// Write the result to a chosen place.
    SaveAs,
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
    pub const ALL: [Self; 16] = [
        Self::Open,
        Self::Paste,
        Self::OpenSample,
        Self::Upscale,
        Self::Cancel,
        Self::Save,
        Self::SaveAs,
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
            Self::Upscale => "Upscale 4×",
            Self::Cancel => "Cancel",
            Self::Save => "Save",
            Self::SaveAs => "Save as…",
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
            Self::Upscale => "Enlarge the photo four times, starting with what you look at",
            Self::Cancel => "Stop; what is done stays on screen",
            Self::Save => "Write the result beside the photo, never over a file",
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
            Self::Paste | Self::OpenSample | Self::Theme => vec![],
            Self::Upscale => vec![command(Key::Enter), command(Key::U)],
            Self::Cancel => vec![plain(Key::Escape)],
            Self::Save => vec![command(Key::S)],
            Self::SaveAs => {
                vec![KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::S)]
            }
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
        first.map_or_else(String::new, |keys| ctx.format_shortcut(&keys))
    }

    /// Whether it can be done now. A command that cannot leaves its keys alone.
    #[must_use]
    pub fn is_enabled(self, app: &App) -> bool {
        match self {
            Self::Open | Self::OpenSample | Self::Theme | Self::Help | Self::Quit => true,
            Self::Paste => false,
            Self::Upscale => app.can_upscale(),
            Self::Cancel => app.can_cancel(),
            Self::Save | Self::SaveAs => app.can_save(),
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
    bindings.retain(|(keys, _)| !typing || keys.modifiers.any());
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
