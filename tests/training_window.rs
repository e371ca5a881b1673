//! The panel for training without a screen, on photos made here and with a tiny network.

use std::path::{Path, PathBuf};

use egui::{Key, Modifiers, Role};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use image::codecs::jpeg::JpegEncoder;
use pixmend::{
    app::App,
    model::library,
    net::{NetworkConfig, residual::ResidualConfig},
    settings::{Existing, Settings},
    train::Trainer,
};

use crate::{
    support::{own_library, photograph, write},
    window::{click, drop_file, press, shows, step_until, use_cpu, wait_for, window},
};

/// A folder of photos, with a duplicate and one that JPEG has ruined.
fn photos(folder: &Path) -> PathBuf {
    let folder = folder.join("holiday");
    std::fs::create_dir(&folder).unwrap();
    for seed in 0..10 {
        write(&folder, &format!("{seed}.png"), &photograph(seed, 200, 170));
    }
    std::fs::copy(folder.join("3.png"), folder.join("twin.png")).unwrap();
    let mut bytes = Vec::new();
    let ruined = photograph(20, 200, 170);
    JpegEncoder::new_with_quality(&mut bytes, 8).encode_image(&ruined).unwrap();
    write(&folder, "ruined.png", &image::load_from_memory(&bytes).unwrap().into_rgb8());
    folder
}

/// Settings in which a tiny network enlarges, which is in the library.
fn tiny(home: &Path, name: &str) -> PathBuf {
    own_library();
    let network = ResidualConfig { channels: 4, blocks: 1, ..ResidualConfig::starter() };
    let model = Trainer::fresh(&NetworkConfig::Residual(network), 3).unwrap();
    let file = model.save(&home.join(format!("{name}.safetensors")), Existing::Refuse).unwrap();
    library::add(&file, Existing::Replace).unwrap();
    let path = use_cpu(home);
    let settings = Settings { model: name.to_owned(), ..Settings::load(&path).unwrap() };
    settings.save(&path).unwrap();
    path
}

/// How many steps the plot of losses shows.
fn points(harness: &Harness<'_, App>) -> usize {
    let plot = harness.query_all_by_label_contains("Loss: ").next();
    let label = plot.and_then(|plot| plot.accesskit_node().label());
    let count = label.and_then(|label| label.split(' ').nth(1)?.parse().ok());
    count.unwrap_or(0)
}

#[track_caller]
fn wait_for_points(harness: &mut Harness<'static, App>, count: usize) {
    step_until(harness, &format!("{count} steps are done"), |harness| points(harness) >= count);
}

fn toggle(harness: &mut Harness<'static, App>, photo: &str) {
    let label = format!("Use {photo}");
    harness.get_by_role_and_label(Role::CheckBox, &label).click();
    harness.step();
    harness.step();
}

/// Presses what may be scrolled out of view.
fn choose(harness: &mut Harness<'static, App>, button: &str) {
    harness.get_by_label(button).click_accesskit();
    harness.step();
    harness.step();
}

/// As by the button of the window.
fn ask_to_close(harness: &mut Harness<'static, App>) {
    let viewport = |harness: &mut Harness<'static, App>| {
        let viewports = &mut harness.input_mut().viewports;
        viewports.get_mut(&egui::ViewportId::ROOT).unwrap().events.clone()
    };
    assert!(viewport(harness).is_empty());
    let events = |harness: &mut Harness<'static, App>, events: Vec<egui::ViewportEvent>| {
        let viewports = &mut harness.input_mut().viewports;
        viewports.get_mut(&egui::ViewportId::ROOT).unwrap().events = events;
    };
    events(harness, vec![egui::ViewportEvent::Close]);
    harness.step();
    events(harness, Vec::new());
    harness.step();
}

#[test]
fn from_a_folder_of_photos_to_a_better_model_on_the_open_photo() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = tiny(home.path(), "tiny");
    let photos = photos(folder.path());
    let open = write(folder.path(), "open.png", &photograph(40, 60, 50));
    let mut harness = window(Some(open.clone()), Some(settings.clone()));
    wait_for(&mut harness, "open.png");
    press(&mut harness, Modifiers::COMMAND, Key::T);
    wait_for(&mut harness, "Teach a model your own photos");

    // Choose photos: the doctor finds what was planted, and nothing else.
    drop_file(&mut harness, &photos);
    wait_for(&mut harness, "10 of 12 photos are used");
    assert!(shows(&harness, "The doctor found something about 2 of them"));
    assert!(shows(&harness, "a duplicate") && shows(&harness, "heavy JPEG"));
    assert!(shows(&harness, "6 to learn from; held out: 2 to choose the best weights by, 2 for"));
    toggle(&mut harness, "ruined.png");
    assert!(shows(&harness, "11 of 12 photos are used"), "the user knows better");
    toggle(&mut harness, "ruined.png");
    assert!(shows(&harness, "10 of 12 photos are used"));

    // What to learn: what it costs is measured.
    click(&mut harness, "Upscaling");
    wait_for(&mut harness, "crops/s measured: about");
    wait_for(&mut harness, "What it gets and What it is to give");
    click(&mut harness, "Short 5 min");
    click(&mut harness, "Start training");

    // Watch: the plot grows, also while a photo is enlarged.
    wait_for_points(&mut harness, 10);
    assert!(shows(&harness, "6 photos to learn from, 2 to choose by, 2 for the verdict"));
    let before = points(&harness);
    press(&mut harness, Modifiers::COMMAND, Key::T);
    press(&mut harness, Modifiers::COMMAND, Key::Enter);
    wait_for(&mut harness, "240 × 200 in");
    assert!(shows(&harness, "Training: step "), "the run is seen from everywhere");
    press(&mut harness, Modifiers::COMMAND, Key::T);
    wait_for_points(&mut harness, before + 10);

    click(&mut harness, "Pause");
    wait_for(&mut harness, "Paused; all of it is on disk");
    let paused = points(&harness);
    for _ in 0..20 {
        harness.step();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(points(&harness), paused);

    // Closing asks, and keeps the run.
    ask_to_close(&mut harness);
    wait_for(&mut harness, "A training run goes on");
    click(&mut harness, "Go on training");
    assert!(!shows(&harness, "A training run goes on"));
    ask_to_close(&mut harness);
    click(&mut harness, "Keep it and close");
    drop(harness);

    let mut harness = window(Some(open), Some(settings.clone()));
    wait_for(&mut harness, "The training run holiday-upscaling waits to go on");
    press(&mut harness, Modifiers::COMMAND, Key::T);
    wait_for(&mut harness, "steps are done, and all of it is kept");
    // The button has the focus.
    press(&mut harness, Modifiers::NONE, Key::Enter);
    wait_for_points(&mut harness, paused + 5);
    wait_for(&mut harness, " MB, best");

    click(&mut harness, "Stop");
    wait_for(&mut harness, "Better than the base on 2 of 2 held-out photos");
    click(&mut harness, "Report");
    let report = home.path().join("runs/holiday-upscaling/page.report/index.html");
    assert!(report.is_file());

    // One click uses it, one takes it back.
    click(&mut harness, "Use it");
    wait_for(&mut harness, "240 × 200 in");
    assert_eq!(Settings::load(&settings).unwrap().model, "holiday-upscaling");
    assert!(library::names().contains(&"holiday-upscaling".to_owned()));
    press(&mut harness, Modifiers::COMMAND, Key::T);
    click(&mut harness, "Take it back");
    step_until(&mut harness, "it is gone", |_| {
        !library::names().contains(&"holiday-upscaling".to_owned())
    });
    assert_eq!(Settings::load(&settings).unwrap().model, "tiny");
    click(&mut harness, "Train again");
    wait_for(&mut harness, "Teach a model your own photos");
    assert!(!shows(&harness, "A RUN WAITS"), "a run that was judged is over");
}

#[test]
fn photos_that_are_too_few_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "one.png", &photograph(1, 200, 170));
    let mut harness = window(None, Some(use_cpu(home.path())));
    harness.step();
    click(&mut harness, "Train");
    drop_file(&mut harness, &photo);
    wait_for(&mut harness, "1 of 1 photos are used");
    assert!(shows(&harness, "Three photos that differ are the least"));
    let button = harness.get_by_role_and_label(Role::Button, "Upscaling");
    assert!(button.accesskit_node().is_disabled());
}

#[test]
fn experts_find_a_rate_and_all_options() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = tiny(home.path(), "small");
    let photos = photos(folder.path());
    let mut harness = window(None, Some(settings));
    harness.step();
    click(&mut harness, "Train");
    drop_file(&mut harness, &photos);
    wait_for(&mut harness, "10 of 12 photos are used");
    click(&mut harness, "Upscaling");
    wait_for(&mut harness, "crops/s measured: about");
    choose(&mut harness, "For experts");
    wait_for(&mut harness, "LEARNING RATE");
    choose(&mut harness, "Find a rate");
    wait_for(&mut harness, "Loss against learning rate: ");
    assert_eq!(harness.query_all_by_label_contains("Take ").count(), 2, "two suggestions");

    // What has no row of its own is set as text, and what is no option is told so.
    choose(&mut harness, "All options as text");
    wait_for(&mut harness, "Take these");
    let text = harness.get_by_role(Role::MultilineTextInput);
    let before = text.value().unwrap();
    assert!(before.contains("validation_share = 0.15") && !before.contains("holiday"), "{before}");
    text.focus();
    harness.step();
    harness.get_by_role(Role::MultilineTextInput).type_text("nonsense");
    harness.step();
    choose(&mut harness, "Take these");
    wait_for(&mut harness, "These options cannot be understood");
    choose(&mut harness, "Undo changes");
    let after = harness.get_by_role(Role::MultilineTextInput).value().unwrap();
    assert!(!after.contains("nonsense"));
}

/// A window that is about to train on photos of a folder.
fn about_to_train(home: &Path, folder: &Path, name: &str, goal: &str) -> Harness<'static, App> {
    let settings = tiny(home, name);
    let photos = photos(folder);
    let mut harness = window(None, Some(settings));
    harness.step();
    click(&mut harness, "Train");
    drop_file(&mut harness, &photos);
    wait_for(&mut harness, "10 of 12 photos are used");
    click(&mut harness, goal);
    wait_for(&mut harness, "crops/s measured: about");
    harness
}

fn set(harness: &mut Harness<'static, App>, number: &str, value: f64) {
    harness.get_by_role_and_label(Role::SpinButton, number).set_value_accesskit(value);
    harness.step();
    harness.step();
}

/// All options, as the window shows them.
fn recipe(harness: &mut Harness<'static, App>) -> String {
    if !shows(harness, "Take these") {
        choose(harness, "All options as text");
        wait_for(harness, "Take these");
    }
    choose(harness, "Undo changes");
    harness.step();
    harness.get_by_role(Role::MultilineTextInput).value().unwrap()
}

#[test]
fn good_settings_are_found_and_taken_into_the_form() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut harness = about_to_train(home.path(), folder.path(), "tuned", "Upscaling");
    choose(&mut harness, "For experts");
    let before = recipe(&mut harness);

    // A search can be left.
    choose(&mut harness, "Find good settings");
    wait_for(&mut harness, "Settings 1 of ");
    wait_for(&mut harness, "What was tried so far");
    assert!(shows(&harness, "the usual settings"));
    let start = harness.get_by_role_and_label(Role::Button, "Start training");
    assert!(start.accesskit_node().is_disabled(), "settings are still looked for");
    choose(&mut harness, "Cancel the search");
    wait_for(&mut harness, "Find good settings");
    assert_eq!(recipe(&mut harness), before);

    // What it finds is in the form then, unless the usual settings did best.
    set(&mut harness, "Time", 0.3);
    choose(&mut harness, "Find good settings");
    wait_for(&mut harness, "What was tried so far");
    step_until(&mut harness, "something is found", |harness| {
        shows(harness, " dB on the held-out photos") && shows(harness, "Find good settings")
    });
    assert!(shows(&harness, "taken"));
    let found = recipe(&mut harness);
    if shows(&harness, "The usual settings did best") {
        assert_eq!(found, before);
    } else {
        assert!(found != before && shows(&harness, "the usual settings "));
        let steps =
            |text: &str| text.lines().find(|line| line.starts_with("steps = ")).map(str::to_owned);
        assert_eq!(steps(&found), steps(&before), "a run is as long as it was to be");
        choose(&mut harness, "Back to the usual settings");
        assert_eq!(recipe(&mut harness), before);
    }
}

#[test]
fn a_run_tunes_itself_on_the_panels_wish() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut harness = about_to_train(home.path(), folder.path(), "selftuned", "Upscaling");
    harness.get_by_label("Way").click_accesskit();
    harness.step();
    wait_for(&mut harness, "Tune one run");
    harness.get_by_label("Tune one run").click_accesskit();
    harness.step();
    set(&mut harness, "Time", 0.3);
    choose(&mut harness, "Find good settings");
    wait_for(&mut harness, "Two runs side by side: step ");
    wait_for(&mut harness, "tunes itself");
    wait_for(&mut harness, "in the same time");
    assert!(shows(&harness, "What was tried") && shows(&harness, "anchor "));
}

#[test]
fn colouring_begins_with_the_model_that_colours() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut harness = about_to_train(home.path(), folder.path(), "plain", "Colouring");
    let base = harness.get_by_label("Base");
    assert_eq!(base.value().as_deref(), Some("colour"));
    choose(&mut harness, "For experts");
    let recipe = recipe(&mut harness);
    assert!(recipe.contains("base = \"colour\"") && recipe.contains("longest = 288"), "{recipe}");
    assert!(recipe.contains("degradation = \"grey\""));
}

#[test]
fn weights_of_any_checkpoint_are_used_and_old_runs_are_looked_at_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut harness = about_to_train(home.path(), folder.path(), "stepwise", "Upscaling");
    choose(&mut harness, "For experts");
    set(&mut harness, "Steps", 30.0);
    set(&mut harness, "Look every", 10.0);
    choose(&mut harness, "Start training");
    wait_for(&mut harness, "held-out photos, ");
    wait_for(&mut harness, "step 30: ");

    // An earlier look is shown and becomes a model, and is taken back.
    harness.query_all_by_label_contains("step 10: ").next().unwrap().click_accesskit();
    harness.step();
    harness.step();
    wait_for(&mut harness, "Tuned, step 10");
    choose(&mut harness, "Use step 10");
    wait_for(&mut harness, "holiday-upscaling-0000010 is in the list of models, and used.");
    assert!(library::names().contains(&"holiday-upscaling-0000010".to_owned()));
    choose(&mut harness, "Take it back");
    step_until(&mut harness, "it is gone", |_| {
        !library::names().contains(&"holiday-upscaling-0000010".to_owned())
    });

    // The run is listed with the room it takes, and can be looked at again.
    choose(&mut harness, "Train again");
    wait_for(&mut harness, "Runs of before (1, ");
    harness.query_all_by_label_contains("Runs of before").next().unwrap().click_accesskit();
    harness.step();
    wait_for(&mut harness, "Delete…");
    choose(&mut harness, "Look");
    wait_for(&mut harness, "VERDICT");
    wait_for(&mut harness, "step 30: ");
    assert!(!shows(&harness, "Resume"), "it is over");
    choose(&mut harness, "Train again");
    wait_for(&mut harness, "Delete…");

    // Deleting asks first.
    let run = home.path().join("runs/holiday-upscaling");
    choose(&mut harness, "Delete…");
    wait_for(&mut harness, "Delete the run holiday-upscaling?");
    choose(&mut harness, "Keep it");
    assert!(run.join("run.json").is_file() && !shows(&harness, "Delete the run"));
    choose(&mut harness, "Delete…");
    wait_for(&mut harness, "Delete the run holiday-upscaling?");
    choose(&mut harness, "Delete it");
    step_until(&mut harness, "the run is gone", |harness| !shows(harness, "Runs of before"));
    assert!(!run.exists());
}
