//! Messages that appear in a corner and do not stop the work.

use egui::{Align2, Area, Color32, Context, Frame, Id, RichText, Stroke, Vec2};

use super::theme;
use crate::error::{Error, capitalised};

/// How long a piece of good news stays, in seconds.
const NEWS_SECONDS: f64 = 7.0;

#[derive(Debug)]
struct Toast {
    id: u64,
    text: String,
    hint: Option<String>,
    details: Vec<String>,
    /// When it goes by itself; failures stay until they are closed.
    ends: Option<f64>,
}

/// The messages on screen.
#[derive(Debug, Default)]
pub struct Toasts {
    shown: Vec<Toast>,
    next_id: u64,
}

impl Toasts {
    /// Something worth knowing.
    pub fn news(&mut self, ctx: &Context, text: impl Into<String>) {
        let ends = ctx.input(|input| input.time) + NEWS_SECONDS;
        self.push(&text.into(), None, Vec::new(), Some(ends));
    }

    /// Something that failed.
    pub fn failure(&mut self, error: &Error) {
        let hint = error.hint().map(|hint| format!("{}.", capitalised(&hint)));
        self.push(&error.to_string(), hint, error.causes(), None);
    }

    fn push(&mut self, text: &str, hint: Option<String>, details: Vec<String>, ends: Option<f64>) {
        self.next_id += 1;
        self.shown.push(Toast { id: self.next_id, text: capitalised(text), hint, details, ends });
    }

    /// Draws them above everything else.
    pub fn ui(&mut self, ctx: &Context) {
        let now = ctx.input(|input| input.time);
        self.shown.retain(|toast| toast.ends.is_none_or(|end| end > now));
        if let Some(next) = self.shown.iter().filter_map(|toast| toast.ends).reduce(f64::min) {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64((next - now).max(0.05)));
        }
        let mut closed = None;
        // Over the photo: at the right they would cover the panel's buttons.
        Area::new(Id::unique("toasts"))
            .anchor(Align2::LEFT_BOTTOM, Vec2::new(16.0, -44.0))
            .order(egui::Order::Foreground)
            .show(ctx, |ui| {
                for toast in &self.shown {
                    let edge = if toast.ends.is_some() {
                        theme::ACCENT
                    } else {
                        ui.visuals().error_fg_color
                    };
                    Frame::window(ui.style())
                        .inner_margin(egui::Margin::same(12))
                        .stroke(Stroke::new(1.0, edge))
                        .shadow(egui::Shadow {
                            offset: [0, 4],
                            blur: 16,
                            spread: 0,
                            color: Color32::from_black_alpha(90),
                        })
                        .show(ui, |ui| {
                            ui.set_width(360.0);
                            ui.horizontal_top(|ui| {
                                ui.vertical(|ui| {
                                    ui.set_width(310.0);
                                    ui.label(RichText::new(&toast.text).strong());
                                    if let Some(hint) = &toast.hint {
                                        ui.label(hint);
                                    }
                                    if !toast.details.is_empty() {
                                        egui::CollapsingHeader::new("Details")
                                            .id_salt(toast.id)
                                            .show(ui, |ui| {
                                                for line in &toast.details {
                                                    ui.label(theme::quiet(line));
                                                }
                                            });
                                    }
                                });
                                let close = ui.button("×").on_hover_text("Close this message");
                                if close.clicked() {
                                    closed = Some(toast.id);
                                }
                            });
                        });
                }
            });
        self.shown.retain(|toast| Some(toast.id) != closed);
    }
}
