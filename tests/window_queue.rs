//! The window's queue, driven through its accessibility tree.

use std::{fs, path::Path};

use egui::{Key, Modifiers};

use crate::{
    support::{files, picture, write},
    window::{
        begin_repair, click, drag, drop_files, press, shows, step_until, use_cpu, wait_for, window,
    },
};

fn put(path: &Path, content: &[u8]) {
    pixmend::settings::write(path, content, pixmend::settings::Existing::Replace).unwrap();
}

#[test]
fn dropped_photos_are_ordered_done_tried_again_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let trip = folder.path().join("trip");
    fs::create_dir(&trip).unwrap();
    let first = write(folder.path(), "a.png", &picture(60, 40));
    let bad = folder.path().join("bad.jpg");
    put(&bad, b"no photo");
    write(&trip, "c.png", &picture(50, 30));
    put(&trip.join("notes.txt"), b"for later");
    let mut harness = window(None, Some(use_cpu(home.path())));
    harness.step();
    drop_files(&mut harness, &[&first, &bad, &trip]);
    wait_for(&mut harness, "0 done, 3 waiting");
    assert!(shows(&harness, "a.png") && shows(&harness, "bad.jpg") && shows(&harness, "c.png"));
    wait_for(&mut harness, "1 file was left out");
    assert!(shows(&harness, "Queue 0/3"), "the button says how far it is");

    // In another order, and without one of them.
    let above = |harness: &_, upper: &str, lower: &str| {
        let top = |name| label_top(harness, name);
        top(upper) < top(lower)
    };
    assert!(above(&harness, "a.png", "c.png"));
    click(&mut harness, "Sooner: c.png");
    step_until(&mut harness, "c is above bad", |harness| above(harness, "c.png", "bad.jpg"));
    click(&mut harness, "Remove from the queue: a.png");
    wait_for(&mut harness, "0 done, 2 waiting");
    drop_files(&mut harness, &[&first]);
    wait_for(&mut harness, "0 done, 3 waiting");

    click(&mut harness, "Start");
    wait_for(&mut harness, "The queue is finished: 2 photos done, 1 failed");
    wait_for(&mut harness, "This is no picture that is read");
    assert_eq!(image::open(folder.path().join("a-4x.png")).unwrap().width(), 240);
    assert_eq!(files(&trip), ["c-4x.png", "c.png", "notes.txt"]);

    // The bad one is a photo now.
    write(folder.path(), "good.png", &picture(30, 20));
    fs::rename(folder.path().join("good.png"), &bad).unwrap();
    click(&mut harness, "Retry 1 failed");
    wait_for(&mut harness, "2 done, 1 waiting");
    click(&mut harness, "Start");
    wait_for(&mut harness, "The queue is finished: 3 photos done");
    assert!(folder.path().join("bad-4x.png").exists());

    click(&mut harness, "Open the result: c.png");
    wait_for(&mut harness, "c-4x.png");
    wait_for(&mut harness, "200 × 120 to 800 × 480");
    press(&mut harness, Modifiers::COMMAND, Key::J);
    click(&mut harness, "Clear finished");
    wait_for(&mut harness, "Drop photos and folders here");
}

fn label_top(harness: &egui_kittest::Harness<'static, pixmend::app::App>, name: &str) -> f32 {
    use egui_kittest::kittest::Queryable as _;
    harness.get_by_label(name).rect().top()
}

#[test]
fn a_queue_that_was_closed_goes_on_in_the_next_window() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = use_cpu(home.path());
    let photos: Vec<_> = (0..3)
        .map(|i| write(folder.path(), &format!("{i}.png"), &picture(700 - 200 * i, 500 - 150 * i)))
        .collect();
    let photos: Vec<&Path> = photos.iter().map(|photo| &**photo).collect();
    let mut harness = window(None, Some(settings.clone()));
    harness.step();
    drop_files(&mut harness, &photos);
    wait_for(&mut harness, "0 done, 3 waiting");
    click(&mut harness, "Start");
    wait_for(&mut harness, "measuring the speed");
    step_until(&mut harness, "a tile is done", |harness| {
        shows(harness, " of 5.6 Mpx") && !shows(harness, "0.0 of 5.6 Mpx")
    });
    click(&mut harness, "Pause");
    wait_for(&mut harness, "Paused: nothing is lost");
    click(&mut harness, "Start");
    wait_for(&mut harness, " of 5.6 Mpx");
    drop(harness);
    let kept = fs::read_dir(home.path().join("queue")).unwrap();
    let tiles = kept.filter(|file| {
        file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "tiles")
    });
    assert_eq!(tiles.count(), 1, "the tiles of the photo in work are there");

    // Another photo is in the first one's place.
    let mut harness = window(None, Some(settings));
    wait_for(&mut harness, "From the last time the program ran");
    assert!(shows(&harness, "0 done, 3 waiting") && shows(&harness, "1.png"));
    click(&mut harness, "Go on");
    wait_for(&mut harness, "The queue is finished: 3 photos done");
    let expected = folder.path().join("expected.png");
    let output = crate::support::upscale(photos[0], &["-o", expected.to_str().unwrap()]);
    assert!(output.status.success());
    assert!(fs::read(folder.path().join("0-4x.png")).unwrap() == fs::read(&expected).unwrap());
}

#[test]
fn what_waits_takes_new_settings_and_what_is_done_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let [a, b] = ["a.png", "b.png"].map(|name| write(folder.path(), name, &picture(40, 30)));
    let mut harness = window(None, Some(use_cpu(home.path())));
    harness.step();
    drop_files(&mut harness, &[&a, &b]);
    wait_for(&mut harness, "0 done, 2 waiting");
    assert!(shows(&harness, "4× by starter"));
    use egui_kittest::kittest::Queryable as _;
    harness.get_by_role_and_label(egui::Role::ComboBox, "Do").click();
    harness.step();
    harness.step();
    click(&mut harness, "Clean");
    assert!(shows(&harness, "4× by starter"), "what came in stays as it is");
    click(&mut harness, "Use this for the 2 that wait");
    step_until(&mut harness, "they are to be cleaned", |harness| !shows(harness, "4× by starter"));
    click(&mut harness, "Start");
    wait_for(&mut harness, "The queue is finished: 2 photos done");
    assert_eq!(files(folder.path()), ["a-clean.png", "a.png", "b-clean.png", "b.png"]);
}

#[test]
fn marks_of_one_photo_are_filled_on_many() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let [a, b] = ["a.png", "b.png"].map(|name| write(folder.path(), name, &picture(160, 120)));
    let mut harness = window(Some(a.clone()), Some(use_cpu(home.path())));
    wait_for(&mut harness, "a.png");
    begin_repair(&mut harness);
    drag(&mut harness, [0.45, 0.5], [0.55, 0.5]);
    click(&mut harness, "Do the same with many…");
    wait_for(&mut harness, "of a.png");
    drop_files(&mut harness, &[&a, &b]);
    wait_for(&mut harness, "0 done, 2 waiting");
    click(&mut harness, "Start");
    wait_for(&mut harness, "The queue is finished: 2 photos done");
    for (name, source) in [("a-mended.png", &a), ("b-mended.png", &b)] {
        let result = image::open(folder.path().join(name)).unwrap().into_rgb8();
        let source = image::open(source).unwrap().into_rgb8();
        let changed = result.pixels().zip(source.pixels()).filter(|(a, b)| a != b).count();
        assert!((30..2000).contains(&changed), "{name}: {changed}");
    }
    // The mask lies beside the queue as long as jobs in it may need it.
    let memory = home.path().join("queue");
    let masks = || files(&memory).iter().filter(|name| name.ends_with(".mask.png")).count();
    assert_eq!(masks(), 1);
    click(&mut harness, "Clear finished");
    wait_for(&mut harness, "Drop photos and folders here");
    drop(harness);
    let mut harness = window(None, Some(home.path().join("settings.toml")));
    step_until(&mut harness, "the mask is gone", |_| masks() == 0);
}

#[test]
fn rows_are_drawn_to_another_place_and_say_when_they_are_ready() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photos: Vec<_> = ["a.png", "b.png", "c.png"]
        .into_iter()
        .map(|name| write(folder.path(), name, &picture(600, 420)))
        .collect();
    let photos: Vec<&Path> = photos.iter().map(|photo| &**photo).collect();
    let mut harness = window(None, Some(use_cpu(home.path())));
    harness.step();
    click(&mut harness, "Queue");
    use egui_kittest::kittest::Queryable as _;
    harness.get_by_label("Save a receipt beside each").click();
    harness.step();
    drop_files(&mut harness, &photos);
    wait_for(&mut harness, "0 done, 3 waiting");
    harness.step();

    // The last row is drawn up to the first one.
    let place = |harness: &egui_kittest::Harness<'static, pixmend::app::App>, name: &str| {
        harness.get_by_label(name).rect().left_center() + egui::vec2(2.0, 0.0)
    };
    let (from, to) = (place(&harness, "c.png"), place(&harness, "a.png"));
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    harness.event(egui::Event::PointerMoved(from));
    harness.step();
    harness.event(button(from, true));
    harness.step();
    for share in [0.3, 0.6, 1.0] {
        harness.event(egui::Event::PointerMoved(from + (to - from) * share));
        harness.step();
    }
    harness.event(button(to, false));
    harness.step();
    step_until(&mut harness, "c is the first", |harness| {
        label_top(harness, "c.png") < label_top(harness, "a.png")
    });
    assert!(label_top(&harness, "a.png") < label_top(&harness, "b.png"));
    assert!(!shows(&harness, "ready in"), "nothing is measured yet");
    click(&mut harness, "Start");
    wait_for(&mut harness, "Waiting, ready in");
    wait_for(&mut harness, "left in all");
    wait_for(&mut harness, "The queue is finished: 3 photos done");
    let made = files(folder.path());
    assert_eq!(made.iter().filter(|name| name.ends_with("-4x.png.json")).count(), 3, "{made:?}");
}
