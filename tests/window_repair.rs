//! Repairing in the real window: what is found, what is protected, and the brush.

use std::path::Path;

use egui::{Event, Key, Modifiers, PointerButton, Role, TouchDeviceId, TouchId, TouchPhase};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use image::{GrayImage, Rgb, RgbImage};
use pixmend::{app::App, mask::count};

use crate::{
    support::{files, photograph, picture, write},
    window::{begin_repair, click, drag, press, shows, step_until, use_cpu, wait_for, window},
};

fn mask(path: &Path) -> Option<GrayImage> {
    image::open(path).ok().map(image::DynamicImage::into_luma8)
}

fn slider(harness: &Harness<'_, App>, name: &str) -> f64 {
    let slider = harness.get_by_role_and_label(Role::Slider, name);
    slider.accesskit_node().numeric_value().unwrap()
}

/// Moves of the pointer, and what it presses and releases, at fractions of the canvas.
type Step = ([f32; 2], Option<(PointerButton, bool)>);

fn steps(harness: &mut Harness<'static, App>, modifiers: Modifiers, list: &[Step]) {
    let place = on_canvas(harness);
    for (at, button) in list {
        let pos = place(*at);
        harness.input_mut().events.push(match button {
            None => Event::PointerMoved(pos),
            Some((button, pressed)) => {
                Event::PointerButton { pos, button: *button, pressed: *pressed, modifiers }
            }
        });
        harness.step();
    }
    harness.step();
}

fn on_canvas(harness: &Harness<'_, App>) -> impl Fn([f32; 2]) -> egui::Pos2 + use<> {
    let canvas = harness.get_by_label("Photo, Single").rect();
    move |[x, y]| canvas.min + canvas.size() * egui::vec2(x, y)
}

/// A photo with a long scratch across.
fn scratched() -> RgbImage {
    let mut photo = photograph(2, 320, 240);
    for x in 20..300 {
        for y in 0..2 {
            photo.put_pixel(x, 100 + x / 6 + y, Rgb([250; 3]));
        }
    }
    photo
}

#[test]
fn marks_are_found_shown_and_taken_back_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "old.png", &scratched());
    let sidecar = folder.path().join("old.png.mask.png");
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    click(&mut harness, "Find marks");
    wait_for(&mut harness, "Found ");
    assert!(shows(&harness, "scratch"), "the toast says what");
    assert!(!shows(&harness, "filled by"), "nothing is filled unasked");
    step_until(&mut harness, "the proposal is kept", |_| mask(&sidecar).is_some());
    let found = mask(&sidecar).unwrap();
    let on = (30..290).filter(|x| found.get_pixel(*x, 100 + x / 6).0[0] > 0).count();
    assert!(on > 200 && count(&found) < 6 * 300, "{on} of 260, {} in all", count(&found));
    // It is an edit like any other.
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    step_until(&mut harness, "nothing is marked", |_| !sidecar.exists());
    press(&mut harness, Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "0 pixels changed outside the mask");
}

#[test]
fn where_nothing_is_found_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let even = RgbImage::from_pixel(160, 120, Rgb([90, 120, 150]));
    let photo = write(folder.path(), "even.png", &even);
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "even.png");
    begin_repair(&mut harness);
    press(&mut harness, Modifiers::NONE, Key::F);
    wait_for(&mut harness, "Nothing found: no scratch");
    assert_eq!(files(folder.path()), ["even.png"]);
}

#[test]
fn what_is_protected_is_left_alone_and_there_again_another_day() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = use_cpu(home.path());
    let original = picture(160, 120);
    let photo = write(folder.path(), "old.png", &original);
    let [marks, protection] =
        ["old.png.mask.png", "old.png.protect.png"].map(|name| folder.path().join(name));
    let mut harness = window(Some(photo.clone()), Some(settings.clone()));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    press(&mut harness, Modifiers::NONE, Key::M);
    drag(&mut harness, [0.4, 0.4], [0.6, 0.6]);
    click(&mut harness, "Protect");
    drag(&mut harness, [0.5, 0.3], [0.8, 0.8]);
    // One more, taken back: the layers share one history.
    drag(&mut harness, [0.1, 0.1], [0.3, 0.3]);
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    let extent = |path: &Path| mask(path).as_ref().and_then(pixmend::mask::extent);
    step_until(&mut harness, "both are kept", |_| {
        let left = extent(&protection).map(|area| area.x);
        extent(&marks).is_some() && left.is_some_and(|left| left > 70)
    });
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "0 pixels changed outside the mask");
    click(&mut harness, "Save");
    wait_for(&mut harness, "Saved ");
    let kept = mask(&protection).unwrap();
    let changed = |name: &str| -> Vec<(u32, u32)> {
        let result = image::open(folder.path().join(name)).unwrap().into_rgb8();
        let places = result.enumerate_pixels().filter(|(x, y, p)| *p != original.get_pixel(*x, *y));
        places.map(|(x, y, _)| (x, y)).collect()
    };
    let free = |places: &[(u32, u32)]| places.iter().all(|(x, y)| kept.get_pixel(*x, *y).0[0] == 0);
    let mended = changed("old-mended.png");
    assert!(mended.len() > 100 && free(&mended), "{} pixels", mended.len());
    drop(harness);

    // The command line heeds it, with and without the window's marks.
    let run = |arguments: &[&str]| {
        let mut command = crate::support::pixmend();
        command.current_dir(folder.path()).args(arguments).args(["--device", "cpu"]);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", crate::support::stderr(&done));
    };
    run(&["mend", "old.png", "-o", "again.png", "--grow", "3", "--feather", "2"]);
    let again = changed("again.png");
    assert!(again.len() > 100 && free(&again));
    run(&["clean", "old.png", "-o", "clean.png", "--protect", "old.png.protect.png"]);
    let clean = changed("clean.png");
    assert!(clean.len() > 1000 && free(&clean));

    // Another day: protected still, until it is erased.
    let mut harness = window(Some(photo), Some(settings));
    wait_for(&mut harness, "Your marks of last time are here again");
    press(&mut harness, Modifiers::NONE, Key::K);
    press(&mut harness, Modifiers::COMMAND, Key::D);
    step_until(&mut harness, "nothing is protected", |_| !protection.exists());
    assert!(marks.exists(), "what is marked stays marked");
}

#[test]
fn the_brush_is_shaped_by_keys_and_by_dragging_with_alt() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "old.png", &picture(160, 120));
    let sidecar = folder.path().join("old.png.mask.png");
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    assert_eq!((slider(&harness, "Brush"), slider(&harness, "Hard")), (3.0, 1.0));
    press(&mut harness, Modifiers::SHIFT, Key::OpenBracket);
    press(&mut harness, Modifiers::SHIFT, Key::OpenBracket);
    press(&mut harness, Modifiers::SHIFT, Key::CloseBracket);
    let hardness = slider(&harness, "Hard");
    assert!((hardness - 0.9).abs() < 1e-6 && slider(&harness, "Brush") == 3.0, "{hardness}");

    let right = PointerButton::Secondary;
    let dragged = [
        ([0.4, 0.5], None),
        ([0.4, 0.5], Some((right, true))),
        ([0.45, 0.5], None),
        ([0.45, 0.4], None),
        ([0.45, 0.4], Some((right, false))),
    ];
    steps(&mut harness, Modifiers::ALT, &dragged);
    assert!(slider(&harness, "Brush") > 6.0, "{}", slider(&harness, "Brush"));
    let hardness = slider(&harness, "Hard");
    assert!(hardness < 0.8, "{hardness}");
    assert!(!sidecar.exists(), "nothing is painted or erased");

    // A soft stroke is grey at its rim, and is kept and filled so.
    drag(&mut harness, [0.4, 0.5], [0.6, 0.5]);
    step_until(&mut harness, "the stroke is kept", |_| mask(&sidecar).is_some());
    let soft = mask(&sidecar).unwrap();
    let grey = soft.iter().filter(|value| (1..255).contains(*value)).count();
    assert!(grey > 50, "{grey} grey pixels");
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "0 pixels changed outside the mask");

    // X takes the eraser in place of the brush, and the brush again.
    let marked = || mask(&sidecar).map_or(0, |mask| count(&mask));
    let before = marked();
    press(&mut harness, Modifiers::NONE, Key::X);
    drag(&mut harness, [0.45, 0.5], [0.55, 0.5]);
    step_until(&mut harness, "less is marked", |_| marked() < before);
    let less = marked();
    press(&mut harness, Modifiers::NONE, Key::X);
    drag(&mut harness, [0.45, 0.5], [0.55, 0.5]);
    step_until(&mut harness, "more is marked", |_| marked() > less);
}

#[test]
fn a_pen_draws_as_wide_as_it_is_pressed() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "old.png", &picture(320, 240));
    let sidecar = folder.path().join("old.png.mask.png");
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    for _ in 0..12 {
        press(&mut harness, Modifiers::NONE, Key::CloseBracket);
    }
    let place = on_canvas(&harness);
    let mut stroke = |force: f32| {
        let touch = |phase, at| Event::Touch {
            device_id: TouchDeviceId(1),
            id: TouchId(1),
            phase,
            pos: place(at),
            force: Some(force),
        };
        let button = |at, pressed| Event::PointerButton {
            pos: place(at),
            button: PointerButton::Primary,
            pressed,
            modifiers: Modifiers::NONE,
        };
        let (from, to) = ([0.3, 0.5], [0.7, 0.5]);
        // As egui tells of a touch: first itself, then as a pointer.
        for list in [
            vec![
                touch(TouchPhase::Start, from),
                Event::PointerMoved(place(from)),
                button(from, true),
            ],
            vec![touch(TouchPhase::Move, to), Event::PointerMoved(place(to))],
            vec![touch(TouchPhase::End, to), button(to, false)],
        ] {
            harness.input_mut().events.extend(list);
            harness.step();
        }
        harness.step();
        step_until(&mut harness, "the stroke is kept", |_| mask(&sidecar).is_some());
        let wide = count(&mask(&sidecar).unwrap());
        press(&mut harness, Modifiers::COMMAND, Key::Z);
        step_until(&mut harness, "it is taken back", |_| !sidecar.exists());
        wide
    };
    let (full, light) = (stroke(1.0), stroke(0.3));
    assert!(light > 50 && 2 * light < full, "{light} and {full} pixels");
}

#[test]
fn everything_is_marked_at_once_and_the_colour_of_marks_is_there_to_choose() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "old.png", &picture(160, 120));
    let sidecar = folder.path().join("old.png.mask.png");
    let marked = || mask(&sidecar).map(|mask| count(&mask));
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    press(&mut harness, Modifiers::NONE, Key::M);
    drag(&mut harness, [0.4, 0.4], [0.6, 0.6]);
    step_until(&mut harness, "a part is kept", |_| {
        marked().is_some_and(|marked| marked > 0 && marked < 160 * 120)
    });
    click(&mut harness, "All");
    step_until(&mut harness, "all of it is kept", |_| marked() == Some(160 * 120));
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    step_until(&mut harness, "a part again", |_| marked().is_some_and(|n| n < 160 * 120));
    press(&mut harness, Modifiers::COMMAND, Key::A);
    step_until(&mut harness, "all of it again", |_| marked() == Some(160 * 120));
    assert!(shows(&harness, "Colour of marks"));
}
