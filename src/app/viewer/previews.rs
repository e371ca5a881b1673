//! Previews in the viewer: layers of which one at a time stands in for the result.

use std::sync::Arc;

use super::{Layer, Viewer};
use crate::restore::Patch;

/// The layers, and which of them is shown under which name.
#[derive(Debug, Default)]
pub(super) struct Previews {
    layers: Vec<Option<Layer>>,
    flipped: Option<(usize, String)>,
}

impl Previews {
    /// The one that is shown.
    pub fn flipped(&self) -> Option<&Layer> {
        let (place, _) = self.flipped.as_ref()?;
        self.layers.get(*place)?.as_ref()
    }

    /// The same, to be drawn.
    pub fn flipped_mut(&mut self) -> Option<&mut Layer> {
        let (place, _) = self.flipped.as_ref()?;
        self.layers.get_mut(*place)?.as_mut()
    }

    /// Its name.
    pub fn caption(&self) -> Option<&str> {
        self.flipped().and(self.flipped.as_ref()).map(|(_, caption)| caption.as_str())
    }
}

impl Viewer {
    /// Makes room for a preview of a result of this size; one of the same size goes on.
    pub fn begin_preview(&mut self, place: usize, size: (u32, u32), transparent: bool) {
        let screen = self.before.as_ref().and_then(Layer::screen);
        let layers = &mut self.previews.layers;
        layers.resize_with(layers.len().max(place + 1), || None);
        if layers[place].as_ref().is_none_or(|layer| layer.size() != size) {
            layers[place] = Some(Layer::of_patches(size, transparent, screen));
        }
    }

    /// Shows a piece of a preview.
    pub fn add_preview(&mut self, place: usize, patch: Arc<Patch>) {
        if let Some(Some(layer)) = self.previews.layers.get_mut(place)
            && !layer.has(patch.area)
        {
            layer.add(patch);
        }
    }

    /// Shows a preview under a name, or the result.
    pub fn flip(&mut self, preview: Option<(usize, String)>) {
        self.previews.flipped = preview;
    }

    /// Shows none any more.
    pub fn forget_previews(&mut self) {
        self.previews = Previews::default();
    }
}
