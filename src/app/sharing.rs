//! What is shown of a result beside its pixels: where detail was invented, and a picture of before
//! and after to show to others.

use std::path::PathBuf;

use super::{App, Summary};
use crate::{
    jobs::Job, picture::Format, rect::Rect, restore::invented::HeatMap, settings::free_name,
};

impl App {
    /// Where detail was invented in the result on screen.
    pub(super) fn heat_map(&self) -> Option<&HeatMap> {
        let Summary { receipt, .. } = self.finished()?.summary.as_ref()?;
        receipt.as_ref()?.invented.as_ref()
    }

    pub(super) fn switch_heat_map(&mut self) {
        let shown = self.viewer.shows_heat();
        let map = if shown { None } else { self.heat_map().cloned() };
        self.viewer.show_heat(map.as_ref());
    }

    pub(super) fn can_share(&self) -> bool {
        self.finished().is_some() && self.sharing.is_none()
    }

    /// Writes what is in view, before and after, beside the photo.
    pub(super) fn share(&mut self) {
        let Some((document, result)) = self.document.as_ref().zip(self.finished()) else { return };
        let (photo, (width, height)) = (&document.picture, result.mosaic.size);
        let across = width as f32 / photo.size().0 as f32;
        let down = height as f32 / photo.size().1 as f32;
        let ([left, top, right, bottom], _) = self.viewer.looked_at();
        let (left, top) = ((left * across) as u32, (top * down) as u32);
        let crop = Rect::spanning(
            left.min(width - 1),
            top.min(height - 1),
            ((right * across).ceil() as u32).clamp(left + 1, width.max(left + 1)),
            ((bottom * down).ceil() as u32).clamp(top + 1, height.max(top + 1)),
        );
        let Some(crop) = crop.intersection(&Rect::of_size(width, height)) else { return };
        let mut path: PathBuf = photo.default_output("before-after");
        if !matches!(Format::of_path(&path), Some(Format::Jpeg | Format::Png)) {
            path.set_extension(Format::Png.extension());
        }
        let job = Job::Share {
            picture: photo.clone(),
            result: result.mosaic.clone(),
            strength: self.strength_of(result),
            crop,
            path: free_name(&path),
        };
        self.sharing = Some(self.workers.submit(job));
    }
}
