//! Comparing in the window: strength, heat map, sheet, previews.

use egui::{Role, accesskit};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use pixmend::app::App;

use crate::{
    support::{picture, upscale, write},
    window::{click, shows, step_until, use_cpu, wait_for, window},
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
    click(&mut harness, "Save");
    let second = folder.path().join("a-4x-1.png");
    step_until(&mut harness, "the second file is there", |_| second.exists());
    let whole = folder.path().join("whole.png");
    assert!(upscale(&photo, &["-o", whole.to_str().unwrap()]).status.success());
    assert!(std::fs::read(&second).unwrap() == std::fs::read(&whole).unwrap());
}
