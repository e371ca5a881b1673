//! A plot of a run's numbers over its steps.

use egui::{
    Align2, Color32, CornerRadius, FontId, Pos2, Rect, Response, Sense, Shape, Stroke, Ui, Vec2,
    WidgetInfo,
};

use super::super::super::theme;

/// More points than this are drawn as means of several.
const POINTS: usize = 600;

/// Room for the numbers at the left and below, in points.
const EDGE: Vec2 = Vec2::new(62.0, 20.0);

/// What is drawn.
pub(super) struct Plot<'a> {
    pub title: &'a str,
    /// By step; drawn faintly where there is also a `smooth` one.
    pub points: &'a [(f64, f64)],
    pub smooth: &'a [(f64, f64)],
    /// A level to compare with, and its name.
    pub level: Option<(f64, &'a str)>,
    /// Whether each power of ten gets the same height, or width.
    pub log: (bool, bool),
    /// Places that are marked, with their names.
    pub marks: &'a [(f64, &'a str)],
    pub number: fn(f64) -> String,
}

impl Plot<'_> {
    /// Draws it as wide as there is room.
    pub fn ui(&self, ui: &mut Ui, size: Vec2) -> Response {
        let (area, response) = ui.allocate_exact_size(size, Sense::hover());
        let count = self.points.len();
        let last = self.points.last().map_or(String::new(), |point| (self.number)(point.1));
        let about = format!("{}: {count} points, {last}", self.title);
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, &about));
        let (weak, text) = (ui.visuals().weak_text_color(), ui.visuals().text_color());
        let painter = ui.painter_at(area);
        painter.rect_filled(area, CornerRadius::same(8), ui.visuals().panel_fill);
        let font = FontId::proportional(11.5);
        let title = area.min + Vec2::new(10.0, 7.0);
        painter.text(title, Align2::LEFT_TOP, self.title, FontId::proportional(13.0), text);
        let inner = Rect::from_min_max(
            area.min + Vec2::new(EDGE.x, 30.0),
            area.max - Vec2::new(14.0, EDGE.y),
        );
        let Some(frame) = Frame::of(self, inner) else {
            let place = inner.center();
            painter.text(place, Align2::CENTER_CENTER, "nothing yet", font, weak);
            return response;
        };
        for value in frame.ticks() {
            let y = frame.place((frame.x.0, value)).y;
            let line = [Pos2::new(inner.left(), y), Pos2::new(inner.right(), y)];
            painter.line_segment(line, Stroke::new(1.0, weak.gamma_multiply(0.25)));
            let at = Pos2::new(inner.left() - 6.0, y);
            painter.text(at, Align2::RIGHT_CENTER, (self.number)(value), font.clone(), weak);
        }
        let name = |x: f64| if frame.log.1 { format!("{x:.0e}") } else { format!("{x:.0}") };
        for (x, anchor) in [(frame.x.0, Align2::LEFT_TOP), (frame.x.1, Align2::RIGHT_TOP)] {
            let at = Pos2::new(frame.place((x, frame.y.0)).x, inner.bottom() + 3.0);
            painter.text(at, anchor, name(x), font.clone(), weak);
        }
        if let Some((value, name)) = self.level {
            let y = frame.place((frame.x.0, value)).y;
            let ends = [Pos2::new(inner.left(), y), Pos2::new(inner.right(), y)];
            painter.extend(Shape::dashed_line(&ends, Stroke::new(1.2, text), 5.0, 4.0));
            let at = Pos2::new(inner.right(), y - 2.0);
            painter.text(at, Align2::RIGHT_BOTTOM, name, font.clone(), text);
        }
        for (rank, (x, name)) in self.marks.iter().enumerate() {
            let top = frame.place((*x, frame.y.1));
            let ends = [top, Pos2::new(top.x, inner.bottom())];
            painter.extend(Shape::dashed_line(&ends, Stroke::new(1.2, text), 4.0, 4.0));
            let at = top + Vec2::new(4.0, 14.0 * rank as f32);
            painter.text(at, Align2::LEFT_TOP, *name, font.clone(), text);
        }
        let strong = theme::curve(ui.visuals().dark_mode);
        let faint = if self.smooth.is_empty() { strong } else { weak.gamma_multiply(0.6) };
        frame.line(&painter, self.points, Stroke::new(1.5, faint));
        frame.line(&painter, self.smooth, Stroke::new(2.0, strong));
        self.hover(ui, &response, &frame, strong);
        response
    }

    /// Says what is under the pointer.
    fn hover(&self, ui: &Ui, response: &Response, frame: &Frame, color: Color32) {
        let points = if self.smooth.is_empty() { self.points } else { self.smooth };
        let Some(pointer) = response.hover_pos() else { return };
        let distance = |point: &(f64, f64)| (frame.place(*point).x - pointer.x).abs();
        let Some(nearest) = points.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))) else {
            return;
        };
        let place = frame.place(*nearest);
        ui.painter().circle_filled(place, 3.5, color);
        let text = format!("{}: {}", nearest.0, (self.number)(nearest.1));
        let left = place.x > frame.area.center().x;
        let (anchor, by) =
            if left { (Align2::RIGHT_BOTTOM, -8.0) } else { (Align2::LEFT_BOTTOM, 8.0) };
        let font = FontId::proportional(12.0);
        ui.painter().text(
            place + Vec2::new(by, -6.0),
            anchor,
            text,
            font,
            ui.visuals().strong_text_color(),
        );
    }
}

/// From numbers to places.
struct Frame {
    area: Rect,
    x: (f64, f64),
    y: (f64, f64),
    log: (bool, bool),
}

impl Frame {
    /// Around all that is drawn; `None` for nothing.
    fn of(plot: &Plot<'_>, area: Rect) -> Option<Self> {
        let level = plot.level.map(|(value, _)| value);
        let finite = |value: &f64| value.is_finite() && (!plot.log.0 || *value > 0.0);
        let values = plot.points.iter().map(|point| point.1).chain(level).filter(finite);
        let around = |low: f64, high: f64| low.is_finite().then_some((low, high));
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
        let y = around(low, high)?;
        let x = (plot.points.first()?.0, plot.points.last()?.0);
        let y = if plot.log.0 {
            (y.0 / 1.05, y.1 * 1.05)
        } else {
            // Some air, also around a level line; but nothing below 0 that is not there.
            let air = (0.06 * (y.1 - y.0)).max((0.02 * y.1.abs()).min(0.05)).max(1e-9);
            let least = if y.0 >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
            ((y.0 - air).max(least), y.1 + air)
        };
        let x = if x.1 > x.0 { x } else { (x.0, x.0 + 1.0) };
        Some(Self { area, x, y, log: plot.log })
    }

    fn place(&self, (x, y): (f64, f64)) -> Pos2 {
        let share = |value: f64, (low, high): (f64, f64), log: bool| {
            let of = |value: f64| if log { value.max(1e-12).ln() } else { value };
            ((of(value) - of(low)) / (of(high) - of(low)).max(1e-12)).clamp(0.0, 1.0) as f32
        };
        let (u, v) = (share(x, self.x, self.log.1), share(y, self.y, self.log.0));
        Pos2::new(
            self.area.left() + u * self.area.width(),
            self.area.bottom() - v * self.area.height(),
        )
    }

    /// A few values at even heights.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, high) = self.y;
        let log = self.log.0;
        (0..4).map(move |i| {
            let share = f64::from(i) / 3.0;
            if log { low * (high / low).powf(share) } else { low + (high - low) * share }
        })
    }

    fn line(&self, painter: &egui::Painter, points: &[(f64, f64)], stroke: Stroke) {
        let together = points.len().div_ceil(POINTS).max(1);
        let mean = |points: &[(f64, f64)]| {
            let count = points.len() as f64;
            let sum =
                points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
            (sum.0 / count, sum.1 / count)
        };
        let places: Vec<Pos2> = points
            .chunks(together)
            .map(mean)
            .filter(|point| point.1.is_finite())
            .map(|point| self.place(point))
            .collect();
        match places[..] {
            [] => {}
            [only] => {
                painter.circle_filled(only, 3.0, stroke.color);
            }
            _ => {
                painter.line(places, stroke);
            }
        }
    }
}

/// The moving mean of values, of which each one keeps `share` of what was before: corrected for its
/// start, as Adam does.
pub(super) fn smoothed(points: &[(f64, f64)], share: f64) -> Vec<(f64, f64)> {
    let (mut mean, mut weight) = (0.0, 0.0);
    let mut smooth = |point: &(f64, f64)| {
        if point.1.is_finite() {
            mean = share * mean + (1.0 - share) * point.1;
            weight = share * weight + (1.0 - share);
        }
        (point.0, if weight > 0.0 { mean / weight } else { point.1 })
    };
    points.iter().map(&mut smooth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_begins_with_the_first_value_and_follows_slowly() {
        let points: Vec<(f64, f64)> =
            (0..50).map(|i| (f64::from(i), if i < 10 { 1.0 } else { 0.0 })).collect();
        let smooth = smoothed(&points, 0.8);
        assert!((smooth[0].1 - 1.0).abs() < 1e-12 && (smooth[9].1 - 1.0).abs() < 1e-12);
        assert!((0.7..0.9).contains(&smooth[10].1) && smooth[49].1 < 0.01);
        assert_eq!(smoothed(&points, 0.0), points);
        let broken = smoothed(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)], 0.5);
        assert!(broken.iter().all(|point| (point.1 - 1.0).abs() < 1e-12));
    }
}
