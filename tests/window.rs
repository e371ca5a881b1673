//! The real window without a screen, driven through its accessibility tree.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use egui::{Key, Modifiers, Role};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use pixmend::app::{App, Setup};

use crate::support::{files, own_library, picture, write};

pub fn window(photo: Option<PathBuf>, settings: Option<PathBuf>) -> Harness<'static, App> {
    own_library();
    // Each window has a queue of its own, which is there again when its settings are.
    let queue = settings.as_ref().map(|path| path.with_file_name("queue"));
    Harness::builder().with_size([1180.0, 760.0]).build_eframe(move |cc| {
        App::new(cc, Setup { photo, settings, queue, ..Setup::default() }).unwrap()
    })
}

/// Frames until something is there.
#[track_caller]
pub fn step_until(
    harness: &mut Harness<'static, App>,
    what: &str,
    done: impl Fn(&Harness<'static, App>) -> bool,
) {
    let start = Instant::now();
    while !done(harness) {
        if start.elapsed() > Duration::from_secs(60) {
            let texts = harness.query_all_by(|node| node.label().is_some());
            let texts: Vec<String> =
                texts.filter_map(|node| node.accesskit_node().label()).collect();
            panic!("timed out waiting until {what}; the window shows {texts:?}");
        }
        harness.step();
        std::thread::sleep(Duration::from_millis(4));
    }
}

pub fn shows(harness: &Harness<'_, App>, text: &str) -> bool {
    harness.query_all_by_label_contains(text).next().is_some()
}

#[track_caller]
pub fn wait_for(harness: &mut Harness<'static, App>, text: &str) {
    step_until(harness, &format!("\"{text}\" appears"), |harness| shows(harness, text));
}

pub fn click(harness: &mut Harness<'static, App>, button: &str) {
    // What has just appeared finds its place in the next frames.
    harness.step();
    harness.step();
    harness.get_by_role_and_label(Role::Button, button).click();
    harness.step();
    harness.step();
}

pub fn press(harness: &mut Harness<'static, App>, modifiers: Modifiers, key: Key) {
    harness.key_press_modifiers(modifiers, key);
    harness.step();
    harness.step();
}

/// One pane, and the panel for repairing.
pub fn begin_repair(harness: &mut Harness<'static, App>) {
    press(harness, Modifiers::NONE, Key::Y);
    press(harness, Modifiers::NONE, Key::Y);
    press(harness, Modifiers::NONE, Key::R);
    wait_for(harness, "Feather");
}

pub fn use_cpu(folder: &Path) -> PathBuf {
    // Tests must not depend on what graphics the machine has.
    let path = folder.join("settings.toml");
    let settings = pixmend::settings::Settings {
        device: "cpu".to_owned(),
        runs: Some(folder.join("runs")),
        ..Default::default()
    };
    settings.save(&path).unwrap();
    path
}

#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }
    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

pub fn drop_file(harness: &mut Harness<'static, App>, path: &Path) {
    drop_files(harness, &[path]);
}

pub fn drop_files(harness: &mut Harness<'static, App>, paths: &[&Path]) {
    for path in paths {
        harness.input_mut().dropped_files.push(Arc::new(Dropped((*path).to_owned())));
    }
    harness.step();
}

#[test]
fn from_a_dropped_photo_to_a_saved_result() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "holiday.png", &picture(90, 60));
    let mut harness = window(None, Some(use_cpu(home.path())));
    harness.step();
    assert!(shows(&harness, "Drop a photo here"));
    drop_file(&mut harness, &photo);
    wait_for(&mut harness, "holiday.png");
    assert!(shows(&harness, "90 × 60 to 360 × 240"));

    click(&mut harness, "Upscale 4×");
    wait_for(&mut harness, "360 × 240 in");
    let target = folder.path().join("holiday-4x.png");
    assert!(shows(&harness, &target.display().to_string()), "the full path stands there");
    click(&mut harness, "Save");
    wait_for(&mut harness, "Saved ");
    assert_eq!(image::open(&target).unwrap().width(), 360);

    // A second save takes the next name, and says so beforehand.
    wait_for(&mut harness, "holiday-4x-1.png");
    press(&mut harness, Modifiers::COMMAND, Key::S);
    let second = folder.path().join("holiday-4x-1.png");
    step_until(&mut harness, "the second file is there", |_| second.exists());
    assert_eq!(files(folder.path()), ["holiday-4x-1.png", "holiday-4x.png", "holiday.png"]);
}

/// Moves the pointer from one place of the canvas to another with a button held; places are
/// fractions of it.
pub fn drag(harness: &mut Harness<'static, App>, from: [f32; 2], to: [f32; 2]) {
    let canvas = harness.get_by_label("Photo, Single").rect();
    let place = |[x, y]: [f32; 2]| canvas.min + canvas.size() * egui::vec2(x, y);
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    harness.input_mut().events.push(egui::Event::PointerMoved(place(from)));
    harness.step();
    harness.input_mut().events.push(button(place(from), true));
    harness.step();
    harness.input_mut().events.push(egui::Event::PointerMoved(place(to)));
    harness.step();
    harness.input_mut().events.push(button(place(to), false));
    harness.step();
    harness.step();
}

#[test]
fn what_is_marked_is_filled_and_nothing_else_changes() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let original = picture(160, 120);
    let photo = write(folder.path(), "old.png", &original);
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    // A stroke and a box; the box is taken back.
    drag(&mut harness, [0.45, 0.5], [0.55, 0.5]);
    press(&mut harness, Modifiers::NONE, Key::M);
    drag(&mut harness, [0.1, 0.1], [0.9, 0.9]);
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "0 pixels changed outside the mask");
    assert!(shows(&harness, "1 region filled"), "of the box nothing is left");
    click(&mut harness, "Save");
    wait_for(&mut harness, "Saved ");
    let result = image::open(folder.path().join("old-mended.png")).unwrap().into_rgb8();
    let changed: Vec<(u32, u32)> = result
        .enumerate_pixels()
        .filter(|(x, y, pixel)| *pixel != original.get_pixel(*x, *y))
        .map(|(x, y, _)| (x, y))
        .collect();
    assert!(changed.len() > 30, "{} pixels", changed.len());
    assert!(changed.iter().all(|(x, y)| x.abs_diff(80) < 40 && y.abs_diff(60) < 12), "{changed:?}");

    // The result is taken back, then the stroke; what is gone cannot be saved.
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    assert!(!shows(&harness, "0 pixels changed"));
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "1 region filled");
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "0 regions filled by nothing");
    // Mended photos can be repaired further.
    press(&mut harness, Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "1 region filled");
    click(&mut harness, "Go on with this");
    step_until(&mut harness, "the result is the photo", |harness| !shows(harness, "region filled"));
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "0 regions filled by nothing");
}

#[test]
fn steps_can_be_left_out_changed_and_done_again_another_day() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = use_cpu(home.path());
    let original = picture(160, 120);
    let photo = write(folder.path(), "old.png", &original);
    let list = folder.path().join("old.png.pixmend");
    let mut harness = window(Some(photo.clone()), Some(settings.clone()));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    let step = |harness: &mut Harness<'static, App>, from, to, name: &str| {
        drag(harness, from, to);
        press(harness, Modifiers::NONE, Key::Enter);
        wait_for(harness, "1 region filled");
        click(harness, "Go on with this");
        wait_for(harness, name);
        step_until(harness, "it is a step", |harness| !shows(harness, "region filled"));
    };
    step(&mut harness, [0.45, 0.5], [0.55, 0.5], "Remove step 1");
    step(&mut harness, [0.2, 0.3], [0.3, 0.3], "Remove step 2");

    // What is saved is what the steps that are on have made.
    let changed_in = |name: &str| -> [bool; 2] {
        let saved = image::open(folder.path().join(name)).unwrap().into_rgb8();
        let differs = |(x, y): (u32, u32)| saved.get_pixel(x, y) != original.get_pixel(x, y);
        let around = |x: u32, y: u32| (x - 12..x + 12).map(move |x| (x, y)).any(differs);
        [around(80, 60), around(40, 36)]
    };
    click(&mut harness, "Save");
    wait_for(&mut harness, "Saved ");
    assert_eq!(changed_in("old-edited.png"), [true, true]);
    harness.get_all_by_role_and_label(Role::CheckBox, "Fill").next().unwrap().click();
    harness.step();
    harness.step();
    step_until(&mut harness, "it was done again", |harness| !shows(harness, "DOING"));
    click(&mut harness, "Save");
    let second = folder.path().join("old-edited-1.png");
    step_until(&mut harness, "the second file is there", |_| second.exists());
    assert_eq!(changed_in("old-edited-1.png"), [false, true]);

    // The last step is taken back and done again by the keys.
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    step_until(&mut harness, "it is taken back", |harness| !shows(harness, "Remove step 2"));
    step_until(&mut harness, "it was done again", |harness| !shows(harness, "DOING"));
    press(&mut harness, Modifiers::COMMAND, Key::Y);
    wait_for(&mut harness, "Remove step 2");
    step_until(&mut harness, "it was done again", |harness| !shows(harness, "DOING"));
    step_until(&mut harness, "the list is kept", |_| list.exists());
    drop(harness);

    let mut harness = window(Some(photo), Some(settings));
    wait_for(&mut harness, "What you did to this photo last time is done again");
    wait_for(&mut harness, "Remove step 2");
    step_until(&mut harness, "it was done again", |harness| !shows(harness, "DOING"));
    click(&mut harness, "Remove step 2");
    step_until(&mut harness, "it is gone", |harness| !shows(harness, "Remove step 2"));
    step_until(&mut harness, "it was done again", |harness| !shows(harness, "DOING"));
    click(&mut harness, "Remove step 1");
    step_until(&mut harness, "no list is left", |_| !list.exists());
    assert_eq!(files(folder.path()), ["old-edited-1.png", "old-edited.png", "old.png"]);
}

#[test]
fn marks_are_there_again_when_the_photo_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = use_cpu(home.path());
    let photo = write(folder.path(), "old.png", &picture(160, 120));
    let sidecar = folder.path().join("old.png.mask.png");
    let mut harness = window(Some(photo.clone()), Some(settings.clone()));
    wait_for(&mut harness, "old.png");
    begin_repair(&mut harness);
    drag(&mut harness, [0.45, 0.5], [0.55, 0.5]);
    step_until(&mut harness, "the stroke is kept", |_| sidecar.exists());
    let marked = |path: &Path| {
        let mask = image::open(path).unwrap().into_luma8();
        mask.iter().filter(|value| **value > 0).count()
    };
    let first = marked(&sidecar);
    assert!(first > 30);
    // Taken back and drawn elsewhere: the same number of edits, another mask.
    press(&mut harness, Modifiers::COMMAND, Key::Z);
    press(&mut harness, Modifiers::NONE, Key::M);
    drag(&mut harness, [0.3, 0.3], [0.7, 0.7]);
    step_until(&mut harness, "the box is kept", |_| {
        sidecar.exists() && image::open(&sidecar).is_ok() && marked(&sidecar) > 2 * first
    });
    drop(harness);

    // The command line takes them too.
    let mended = crate::support::pixmend().arg("mend").arg(&photo).output().unwrap();
    assert!(mended.status.success(), "{}", crate::support::stderr(&mended));
    std::fs::remove_file(folder.path().join("old-mended.png")).unwrap();

    let mut harness = window(Some(photo), Some(settings));
    wait_for(&mut harness, "Your marks of last time are here again");
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for(&mut harness, "1 region filled");
    press(&mut harness, Modifiers::COMMAND, Key::D);
    step_until(&mut harness, "nothing is kept", |_| !sidecar.exists());
    assert_eq!(files(folder.path()), ["old.png"]);
}

#[test]
fn the_sample_is_one_click_away() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = window(None, Some(use_cpu(home.path())));
    harness.step();
    click(&mut harness, "Try the sample photo");
    wait_for(&mut harness, "sample.png");
    assert!(shows(&harness, "Upscale 4×"));
}

#[test]
fn cancelling_keeps_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "large.png", &picture(900, 700));
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "large.png");
    press(&mut harness, Modifiers::COMMAND, Key::Enter);
    // One tile is enough to have something to keep.
    let goes_on = |harness: &_| shows(harness, "Mpx, measuring") || shows(harness, " left");
    step_until(&mut harness, "a tile is done", |harness| {
        goes_on(harness) && !shows(harness, "0.0 of")
    });
    press(&mut harness, Modifiers::NONE, Key::Escape);
    wait_for(&mut harness, "Stopped at");
    assert!(!shows(&harness, "Save"), "half a result is not saved");
    assert!(shows(&harness, "Upscale 4×"), "it can be started again");
    assert_eq!(files(folder.path()), ["large.png"]);
}

#[test]
fn a_bad_file_is_explained_and_the_photo_stays() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "good.png", &picture(40, 30));
    let half = folder.path().join("half.png");
    let bytes = std::fs::read(&photo).unwrap();
    std::io::Write::write_all(
        &mut std::fs::File::create(&half).unwrap(),
        &bytes[..bytes.len() / 2],
    )
    .unwrap();
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "good.png");
    drop_file(&mut harness, &half);
    wait_for(&mut harness, "The picture is damaged or cut off");
    assert!(shows(&harness, "half.png"));
    assert!(shows(&harness, "Copy it again"), "it says what to do");
    assert!(shows(&harness, "Details"));
    assert!(shows(&harness, "good.png"), "the photo stays");
    click(&mut harness, "×");
    harness.step();
    assert!(!shows(&harness, "half.png"));
}

#[test]
fn a_dropped_model_is_added_used_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = use_cpu(home.path());
    let photo = write(folder.path(), "small.png", &picture(24, 16));
    let mut harness = window(Some(photo), Some(settings.clone()));
    wait_for(&mut harness, "Upscale 4×");

    let broken = folder.path().join("broken.pth");
    std::fs::copy(folder.path().join("small.png"), &broken).unwrap();
    drop_file(&mut harness, &broken);
    wait_for(&mut harness, "broken.pth");

    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    // First in the list, which it shares with the models of other tests.
    let model = folder.path().join("a-msrresnet-3x.pth");
    std::fs::copy(fixtures.join("msrresnet-3x.pth"), &model).unwrap();
    drop_file(&mut harness, &model);
    wait_for(&mut harness, "Added a-msrresnet-3x: MSRResNet, enlarges 3×");
    wait_for(&mut harness, "24 × 16 to 72 × 48");
    click(&mut harness, "Upscale 3×");
    wait_for(&mut harness, "Save");
    wait_for(&mut harness, "72 × 48 in");

    // It is in the list, and still chosen in the next window.
    drop(harness);
    let photo = folder.path().join("small.png");
    let mut harness = window(Some(photo), Some(settings));
    wait_for(&mut harness, "Upscale 3×");
    harness.get_by_role_and_label(Role::ComboBox, "Model").click();
    harness.step();
    harness.step();
    assert!(shows(&harness, "fast-4x") && shows(&harness, "Add models…"));
    click(&mut harness, "Remove a-msrresnet-3x from the list");
    wait_for(&mut harness, "Upscale 4×");
    step_until(&mut harness, "it is gone", |harness| !shows(harness, "a-msrresnet-3x"));

    // A model that keeps the size is for cleaning.
    let model = fixtures.join("dncnn.pth");
    drop_file(&mut harness, &model);
    wait_for(&mut harness, "Added dncnn: DnCNN, keeps the size");
    click(&mut harness, "Repair");
    wait_for(&mut harness, "dncnn");
    click(&mut harness, "Clean");
    wait_for(&mut harness, "24 × 16 in");
}

#[test]
fn a_pasted_picture_opens() {
    let home = tempfile::tempdir().unwrap();
    let mut harness = window(None, Some(use_cpu(home.path())));
    harness.step();
    let image = egui::ColorImage::filled([12, 9], egui::Color32::RED);
    harness.event(egui::Event::PasteImage(Arc::new(image)));
    wait_for(&mut harness, "pasted");
    assert!(shows(&harness, "12 × 9 to 48 × 36"));
}

#[test]
fn keys_change_the_view_and_the_zoom() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "photo.png", &picture(4000, 300));
    let mut harness = window(Some(photo), Some(use_cpu(home.path())));
    wait_for(&mut harness, "photo.png");
    assert!(shows(&harness, "Photo, Side by side"));
    press(&mut harness, Modifiers::NONE, Key::Y);
    assert!(shows(&harness, "Photo, Split"));
    press(&mut harness, Modifiers::NONE, Key::Y);
    assert!(shows(&harness, "Photo, Single"));
    press(&mut harness, Modifiers::COMMAND, Key::Num1);
    assert!(harness.query_all_by_label("100 %").count() >= 2, "the button and the status");
    press(&mut harness, Modifiers::COMMAND, Key::Num0);
    assert_eq!(harness.query_all_by_label("100 %").count(), 1, "the button alone");
    press(&mut harness, Modifiers::NONE, Key::F1);
    assert!(shows(&harness, "Zoom at the pointer"));
}

#[test]
fn settings_are_remembered() {
    let home = tempfile::tempdir().unwrap();
    let path = use_cpu(home.path());
    let mut harness = window(None, Some(path.clone()));
    harness.step();
    click(&mut harness, "Theme");
    let settings = pixmend::settings::Settings::load(&path).unwrap();
    assert!(!settings.dark);
    assert_eq!(settings.device, "cpu");
}

#[test]
fn a_size_is_chosen_what_happens_is_told_and_the_receipt_can_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("settings.toml");
    let settings = pixmend::settings::Settings {
        device: "cpu".to_owned(),
        size: pixmend::size::Size::Width(600),
        receipt: true,
        ..Default::default()
    };
    settings.save(&path).unwrap();
    let photo = write(folder.path(), "beach.png", &picture(90, 60));
    let mut harness = window(Some(photo), Some(path.clone()));
    wait_for(&mut harness, "90 × 60 to 600 × 400");
    assert!(shows(&harness, "4× twice, then down to 600 × 400"));
    wait_for(&mut harness, "of memory, at most 720 kB on the disk");
    click(&mut harness, "Upscale 6.67×");
    wait_for(&mut harness, "600 × 400 in");
    assert!(shows(&harness, "Colours off by ") && shows(&harness, "dB from the photo"));

    // Far down in the panel.
    harness.get_by_role_and_label(Role::Button, "Copy as command").click_accesskit();
    harness.step();
    wait_for(&mut harness, "command is in the clipboard");
    press(&mut harness, Modifiers::COMMAND, Key::S);
    wait_for(&mut harness, "Saved ");
    let receipt = folder.path().join("beach-600w.png.json");
    step_until(&mut harness, "the receipt is there", |_| receipt.exists());
    let receipt: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(receipt).unwrap()).unwrap();
    assert_eq!(receipt["output_size"], serde_json::json!([600, 400]));
    let command = receipt["command"].as_str().unwrap();
    assert!(command.contains("beach.png --model starter --device cpu --width 600"), "{command}");

    // What cannot be made is said instead of tried.
    let settings = pixmend::settings::Settings {
        size: pixmend::size::Size::Width(90 * 17),
        ..pixmend::settings::Settings::load(&path).unwrap()
    };
    settings.save(&path).unwrap();
    let photo = folder.path().join("beach.png");
    let mut harness = window(Some(photo), Some(path));
    wait_for(&mut harness, "up to 16 times in two passes");
    assert!(!shows(&harness, "Upscale 17×"));
}
