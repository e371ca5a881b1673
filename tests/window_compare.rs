//! Comparing in the window: strength, heat map, sheet, previews.

use egui::{Key, Modifiers, Role, accesskit};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use pixmend::app::App;

use crate::{
    support::{files, picture, upscale, write},
    window::{click, press, shows, step_until, use_cpu, wait_for, window},
};

/// Sets a slider as a screen reader does.
fn set(harness: &mut Harness<'static, App>, slider: &str, value: f64) {
    let node = harness.get_by_role_and_label(Role::Slider, slider);
    let (target_node, target_tree) = node.accesskit_node().locate();
    harness.event(egui::Event::AccessKitActionRequest(accesskit::ActionRequest {
        target_node,
        target_tree,
        action: accesskit::Action::SetValue,
        data: Some(accesskit::ActionData::NumericValue(value)),
    }));
    harness.step();
    harness.step();
}

#[test]
fn strength_is_set_after_the_run_and_saved_as_the_command_line_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a.png", &picture(90, 60));
    let mut harness = window(Some(photo.clone()), Some(use_cpu(home.path())));
    wait_for(&mut harness, "a.png");
    assert!(!shows(&harness, "Strength"), "there is nothing to take less of");
    click(&mut harness, "Upscale 4×");
    wait_for(&mut harness, "360 × 240 in");
    set(&mut harness, "Strength", 0.4);
    click(&mut harness, "Save");
    wait_for(&mut harness, "Saved ");
    let saved = std::fs::read(folder.path().join("a-4x.png")).unwrap();
    let expected = folder.path().join("expected.png");
    let done = upscale(&photo, &["--strength", "0.4", "-o", expected.to_str().unwrap()]);
    assert!(done.status.success());
    assert!(saved == std::fs::read(&expected).unwrap());

    // Without running again, all of it.
    set(&mut harness, "Strength", 1.0);
    // The button may lie below the message of the first time.
    press(&mut harness, Modifiers::COMMAND, Key::S);
    let second = folder.path().join("a-4x-1.png");
    step_until(&mut harness, "the second file is there", |_| second.exists());
    let whole = folder.path().join("whole.png");
    assert!(upscale(&photo, &["-o", whole.to_str().unwrap()]).status.success());
    assert!(std::fs::read(&second).unwrap() == std::fs::read(&whole).unwrap());
}

/// Whether a button is the chosen one.
fn is_on(harness: &Harness<'_, App>, button: &str) -> bool {
    let node = harness.get_by_role_and_label(Role::Button, button);
    node.accesskit_node().toggled() == Some(accesskit::Toggled::True)
}

#[test]
fn invented_detail_is_told_and_shown_and_before_and_after_are_shared() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a.png", &picture(90, 60));
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "a.png");
    press(&mut harness, Modifiers::NONE, Key::H);
    assert!(!shows(&harness, "Invented detail"), "there is none yet");
    click(&mut harness, "Upscale 4×");
    wait_for(&mut harness, "360 × 240 in");
    assert!(shows(&harness, "levels overall"));
    assert!(!is_on(&harness, "Invented detail"));
    click(&mut harness, "Invented detail");
    assert!(is_on(&harness, "Invented detail"));
    press(&mut harness, Modifiers::NONE, Key::H);
    assert!(!is_on(&harness, "Invented detail"), "the key takes it away");
    press(&mut harness, Modifiers::NONE, Key::H);

    // All of the photo is in view; a second picture gets a number.
    for name in ["a-before-after.png", "a-before-after-1.png"] {
        harness.get_by_role_and_label(Role::Button, "Before/after").click_accesskit();
        harness.step();
        wait_for(&mut harness, &format!("/{name}"));
    }
    let sheet = image::open(folder.path().join("a-before-after.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (2 * 360 + 4, 240));
    assert_eq!(files(folder.path()), ["a-before-after-1.png", "a-before-after.png", "a.png"]);
    // A map of another result is not this one's.
    click(&mut harness, "Upscale again");
    wait_for(&mut harness, "360 × 240 in");
    assert!(!is_on(&harness, "Invented detail"));
}

#[test]
fn models_are_previewed_flipped_through_and_the_whole_run_follows() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a.png", &picture(120, 90));
    let mut harness = window(Some(photo.clone()), Some(use_cpu(home.path())));
    wait_for(&mut harness, "a.png");
    wait_for(&mut harness, "Upscale 4×");
    press(&mut harness, Modifiers::NONE, Key::Num2);
    press(&mut harness, Modifiers::NONE, Key::V);
    let ready = |harness: &Harness<'static, App>| !shows(harness, "Looking…");
    wait_for(&mut harness, "1  starter");
    step_until(&mut harness, "all are there", ready);
    assert!(shows(&harness, "2  photo-4x") && shows(&harness, "3  fast-4x"));
    assert!(shows(&harness, " s, all "), "what it took, and what all would take");
    assert!(is_on(&harness, "1  starter"));
    press(&mut harness, Modifiers::NONE, Key::Num3);
    assert!(is_on(&harness, "3  fast-4x") && !is_on(&harness, "1  starter"));
    press(&mut harness, Modifiers::NONE, Key::Num3);
    assert!(!is_on(&harness, "3  fast-4x"), "the result again, as far as there is one");
    press(&mut harness, Modifiers::NONE, Key::Num3);
    click(&mut harness, "Use fast-4x");
    wait_for(&mut harness, "Upscale 4×");
    click(&mut harness, "Leave photo-4x out");
    assert!(!shows(&harness, "photo-4x"));
    press(&mut harness, Modifiers::NONE, Key::V);
    step_until(&mut harness, "all are there", ready);
    click(&mut harness, "Upscale 4×");
    wait_for(&mut harness, "480 × 360 in");
    click(&mut harness, "Save");
    wait_for(&mut harness, "Saved ");
    let expected = folder.path().join("expected.png");
    let done = upscale(&photo, &["--model", "fast-4x", "-o", expected.to_str().unwrap()]);
    assert!(done.status.success());
    let saved = std::fs::read(folder.path().join("a-4x.png")).unwrap();
    assert!(saved == std::fs::read(&expected).unwrap(), "its tiles are those of the whole run");

    // Another photo has none.
    let other = write(folder.path(), "b.png", &picture(50, 40));
    crate::window::drop_file(&mut harness, &other);
    wait_for(&mut harness, "b.png");
    press(&mut harness, Modifiers::NONE, Key::Num1);
    assert!(!is_on(&harness, "1  starter"));
}
