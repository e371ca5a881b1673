//! Where detail was invented, as colours over the result.

use egui::{Rect, Ui};
use image::{Rgba, RgbaImage};

use super::{
    Pane, Viewer, WHITE,
    camera::Camera,
    over_picture,
    render::{Kind, Quad, Renderer, Texture},
};
use crate::{
    app::theme,
    restore::invented::{self, HeatMap},
};

/// A map of cells, stretched over the photo.
#[derive(Debug)]
pub(super) struct Heat {
    /// A pixel for each cell, colours multiplied by alpha.
    cells: RgbaImage,
    /// The photo, in cells.
    extent: (f32, f32),
    texture: Option<Texture>,
}

impl Heat {
    fn of(map: &HeatMap) -> Self {
        let (columns, rows) = map.cells();
        let cells = RgbaImage::from_fn(columns, rows, |column, row| {
            let [red, green, blue, alpha] = invented::colour(map.levels(column, row));
            let laid = |value: u8| (u32::from(value) * u32::from(alpha) / 255) as u8;
            Rgba([laid(red), laid(green), laid(blue), alpha])
        });
        Self { cells, extent: map.extent(), texture: None }
    }

    /// Over all of the picture that a pane shows.
    pub fn quad(
        &mut self,
        size: (u32, u32),
        camera: &Camera,
        pane: &Pane,
        renderer: &Renderer,
    ) -> (Quad, Option<Texture>) {
        let texture = self.texture.get_or_insert_with(|| renderer.upload(&self.cells));
        let quad = over_picture(size, camera, pane, WHITE, Kind::Picture);
        let texels = [0.0, 0.0, self.extent.0, self.extent.1];
        (Quad { texels, ..quad }, Some(texture.clone()))
    }
}

/// What the colours stand for, in the lower left corner of a pane.
pub(super) fn legend(ui: &Ui, pane: Rect) {
    let full = invented::FULL;
    let steps = [0.0, 0.5, 1.0].map(|share| format!("{:.0}", share * full));
    let [none, half, all] = steps;
    theme::legend(
        ui,
        pane,
        "Invented detail, levels of 255",
        [&none, &half, &format!("{all}+")],
        |share| invented::colour(share * full),
    );
}

impl Viewer {
    /// Whether a map lies over the result.
    #[must_use]
    pub const fn shows_heat(&self) -> bool {
        self.heat.is_some()
    }

    /// Lays a map over the result, or takes it away.
    pub fn show_heat(&mut self, map: Option<&HeatMap>) {
        self.heat = map.map(Heat::of);
    }
}
