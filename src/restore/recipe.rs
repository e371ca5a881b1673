//! What was done, as a command that does it again.

use std::path::Path;

use super::UpscaleOptions;
use crate::encoding::Writing;

/// All that decides about the bytes of an enlarged photo, beside the photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Name of a model, or path of a model file.
    pub model: String,
    /// As the command line takes it.
    pub device: String,
    /// What the user set.
    pub options: UpscaleOptions,
    /// How the result is written.
    pub writing: Writing,
}

impl Recipe {
    /// The command, to be pasted into a shell; what has its default is not said.
    #[must_use]
    pub fn command(&self, input: &Path) -> String {
        let mut words = vec!["pixmend".to_owned(), "upscale".to_owned()];
        words.push(input.to_string_lossy().into_owned());
        words.extend(["--model".to_owned(), self.model.clone()]);
        words.extend(["--device".to_owned(), self.device.clone()]);
        words.extend(self.options.arguments());
        words.extend(self.writing.encoding.arguments());
        words.extend(self.writing.strip_location.then(|| "--strip-location".to_owned()));
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it: of Unix, and in double quotes of Windows.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if cfg!(windows) {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::Size;

    #[test]
    fn only_what_is_not_the_default_is_said() {
        let mut recipe = Recipe {
            model: "starter".to_owned(),
            device: "auto".to_owned(),
            options: UpscaleOptions::default(),
            writing: Writing::default(),
        };
        let command = recipe.command(Path::new("/home/me/a.jpg"));
        assert_eq!(command, "pixmend upscale /home/me/a.jpg --model starter --device auto");
        recipe.options = UpscaleOptions {
            size: Size::LongSide(6000),
            colour_lock: false,
            ..UpscaleOptions::default()
        };
        recipe.writing.encoding.jpeg_quality = 80;
        recipe.writing.strip_location = true;
        let command = recipe.command(Path::new("it's.jpg"));
        assert!(
            command
                .ends_with("--long-side 6000 --no-colour-lock --jpeg-quality 80 --strip-location")
        );
        if !cfg!(windows) {
            assert!(command.starts_with(r"pixmend upscale 'it'\''s.jpg' "), "{command}");
        }
    }
}
