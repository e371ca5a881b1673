//! Where the viewer looks. Pure arithmetic, shared by both panes.

use egui::{Pos2, Rect, Vec2};

/// A look at the source picture. Lengths on the screen are in physical
/// pixels, lengths in the picture in pixels of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// The point of the picture in the middle of a pane.
    pub centre: Pos2,
    /// Screen pixels that a pixel of the source takes.
    pub zoom: f32,
    /// Follows the size of the pane so that the whole picture is seen.
    pub fits: bool,
}

/// A source pixel is never enlarged more than this.
const MOST_ZOOM: f32 = 128.0;

/// Share of a pane that a fitted picture takes.
const FIT: f32 = 0.96;

impl Camera {
    /// The whole of a picture.
    #[must_use]
    pub fn whole(size: (u32, u32)) -> Self {
        Self { centre: Pos2::new(size.0 as f32, size.1 as f32) * 0.5, zoom: 1.0, fits: true }
    }

    /// The zoom at which the picture fills a pane. Small pictures are enlarged
    /// to full pixels only.
    #[must_use]
    pub fn fitting_zoom(size: (u32, u32), pane: Vec2) -> f32 {
        let zoom = (pane.x / size.0 as f32).min(pane.y / size.1 as f32) * FIT;
        if zoom > 1.0 { zoom.floor().max(1.0) } else { zoom }
    }

    /// Keeps a fitted picture fitted, and the centre on the picture.
    pub fn settle(&mut self, size: (u32, u32), pane: Vec2) {
        if self.fits {
            *self = Self { zoom: Self::fitting_zoom(size, pane), ..Self::whole(size) };
        }
        let least = Self::fitting_zoom(size, pane).min(1.0) / 4.0;
        self.zoom = self.zoom.clamp(least, MOST_ZOOM);
        self.centre = self.centre.clamp(Pos2::ZERO, Pos2::new(size.0 as f32, size.1 as f32));
    }

    /// The place on the screen of a point of the picture.
    #[must_use]
    pub fn screen_from_picture(&self, point: Pos2, pane: Rect) -> Pos2 {
        pane.center() + (point - self.centre) * self.zoom
    }

    /// The point of the picture at a place on the screen.
    #[must_use]
    pub fn picture_from_screen(&self, place: Pos2, pane: Rect) -> Pos2 {
        self.centre + (place - pane.center()) / self.zoom
    }

    /// Zooms so that the picture below `place` stays there.
    pub fn zoom_at(&mut self, factor: f32, place: Pos2, pane: Rect) {
        let point = self.picture_from_screen(place, pane);
        self.zoom = (self.zoom * factor).min(MOST_ZOOM);
        self.centre = point - (place - pane.center()) / self.zoom;
        self.fits = false;
    }

    /// Moves the picture with the pointer.
    pub fn pan(&mut self, by: Vec2) {
        self.centre -= by / self.zoom;
        self.fits = false;
    }

    /// What is seen of the picture: left, top, right, bottom as fractions.
    #[must_use]
    pub fn seen(&self, size: (u32, u32), pane: Rect) -> [f32; 4] {
        let (width, height) = (size.0 as f32, size.1 as f32);
        let from = self.picture_from_screen(pane.min, pane);
        let to = self.picture_from_screen(pane.max, pane);
        [from.x / width, from.y / height, to.x / width, to.y / height]
            .map(|edge| edge.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANE: Rect = Rect { min: Pos2::new(100.0, 50.0), max: Pos2::new(500.0, 350.0) };

    #[test]
    fn zooming_keeps_the_point_below_the_cursor() {
        let mut camera = Camera::whole((1000, 800));
        camera.settle((1000, 800), PANE.size());
        let place = Pos2::new(180.0, 300.0);
        let point = camera.picture_from_screen(place, PANE);
        for factor in [1.7, 3.0, 0.4] {
            camera.zoom_at(factor, place, PANE);
            let after = camera.picture_from_screen(place, PANE);
            assert!((after - point).length() < 1e-2, "{after:?} {point:?}");
        }
        assert!(!camera.fits);
    }

    #[test]
    fn a_fitted_picture_is_seen_whole() {
        for size in [(3000, 200), (200, 3000), (40, 30), (1, 1)] {
            let mut camera = Camera::whole(size);
            camera.settle(size, PANE.size());
            assert_eq!(camera.seen(size, PANE), [0.0, 0.0, 1.0, 1.0]);
        }
    }

    #[test]
    fn panning_moves_the_picture_with_the_pointer() {
        let mut camera = Camera::whole((1000, 800));
        camera.zoom = 2.0;
        let point = Pos2::new(400.0, 300.0);
        let before = camera.screen_from_picture(point, PANE);
        camera.pan(Vec2::new(30.0, -12.0));
        let after = camera.screen_from_picture(point, PANE);
        assert!((after - before - Vec2::new(30.0, -12.0)).length() < 1e-3);
    }
}
