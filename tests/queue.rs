//! Many photos: what becomes of good and bad ones, and of a run that is killed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use image::GenericImageView as _;
use pixmend::{
    Error,
    encoding::Writing,
    jobs::queue::{Job, OnConflict, Queue, State, Watch, operation::Operation},
    restore::{Progress, UpscaleOptions},
    settings::Existing,
    size::Size,
};
use serde_json::Value;

use crate::support::{picture, pixmend, stderr, write};

/// All files below a folder by their place, and what is in them; without what begins with a dot.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name != ".pixmend" {
            found.insert(name, Vec::new());
        } else if entry.path().is_dir() && name != ".pixmend" {
            let inner = contents(&entry.path());
            found
                .extend(inner.into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else if name != ".pixmend" {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn put(path: &Path, content: &[u8]) {
    pixmend::settings::write(path, content, Existing::Replace).unwrap();
}

fn batch(inputs: &[&Path], out: &Path, more: &[&str]) -> Command {
    let mut command = pixmend();
    command.arg("upscale").args(inputs).arg("-o").arg(out);
    command.args(["--model", "fast-4x", "--device", "cpu"]).args(more);
    command
}

fn run(inputs: &[&Path], out: &Path, more: &[&str]) -> Output {
    batch(inputs, out, more).output().unwrap()
}

fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// So many photos of different sizes in a tree, the first of several tiles of 64 pixels.
fn photos(folder: &Path, count: u32) {
    for i in 0..count {
        let place = folder.join(["", "trip", "trip/day 2"][i as usize % 3]);
        fs::create_dir_all(&place).unwrap();
        let size = if i == 0 { (230, 170) } else { (20 + i % 17, 16 + i % 11) };
        let ending = ["png", "jpg", "tif"][i as usize / 3 % 3];
        write(&place, &format!("{i:03}.{ending}"), &picture(size.0, size.1));
    }
}

/// Files that are no photos, whatever their names say; gives their names.
fn bad_ones(folder: &Path) -> Vec<&'static str> {
    let whole = fs::read(write(folder, "whole.png", &picture(60, 40))).unwrap();
    fs::remove_file(folder.join("whole.png")).unwrap();
    put(&folder.join("bad-cut.png"), &whole[..whole.len() / 2]);
    put(&folder.join("bad-empty.jpg"), b"");
    put(&folder.join("bad-text.jpg"), b"Dear all,\nthis is not a photo.\n");
    put(&folder.join("bad-rubbish.png"), &[&whole[..40], &[7; 300]].concat());
    let mut names = vec!["bad-cut.png", "bad-empty.jpg", "bad-rubbish.png", "bad-text.jpg"];
    if cfg!(unix) {
        // Nobody may read it, not even root; and nobody ever writes to it.
        let pipe = folder.join("bad-pipe.jpg");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        names.push("bad-pipe.jpg");
    }
    names
}

#[test]
fn bad_files_are_named_with_their_reasons_and_all_others_are_done() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), 9);
    let bad = bad_ones(folder.path());
    put(&folder.path().join("notes.txt"), b"for later");
    let before = contents(&folder.path().join("trip"));
    let out = folder.path().join("results");
    let output = run(&[folder.path()], &out, &["--recursive"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let summary = format!("pixmend: 9 done, {} failed; ", bad.len());
    assert!(text.lines().last().unwrap().starts_with(&summary), "{text}");
    assert!(text.contains("1 file was left out") && text.contains(".txt"), "{text}");
    for name in &bad {
        let reason = text.lines().find(|line| line.contains(name) && line.contains("; "));
        assert!(reason.is_some(), "{name}: {text}");
    }
    let results = contents(&out);
    assert_eq!(results.len(), 9, "{:?}", results.keys());
    assert!(results.contains_key("trip/day 2/002-4x.png"), "{:?}", results.keys());
    assert_eq!(contents(&folder.path().join("trip")), before, "the photos are untouched");

    // One photo by itself gives the same bytes.
    for (place, ending) in [("000", "png"), ("trip/004", "jpg"), ("trip/day 2/008", "tif")] {
        let single = folder.path().join(format!("single.{ending}"));
        let photo = folder.path().join(format!("{place}.{ending}"));
        let output = run(&[&photo], &single, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(results[&format!("{place}-4x.{ending}")] == fs::read(&single).unwrap(), "{place}");
    }
}

#[test]
fn programs_are_told_what_happens() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), 3);
    put(&folder.path().join("bad.jpg"), b"no photo");
    let out = folder.path().join("out");
    let output = run(&[folder.path()], &out, &["--recursive", "--json"]);
    let events = events(&output);
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((of("planned"), of("started"), of("done"), of("failed")), (1, 4, 3, 1));
    assert!(of("progress") >= 3);
    let last = events.last().unwrap();
    assert_eq!((&last["done"], &last["failed"]), (&3.into(), &1.into()), "{last}");
    let failure = &last["failures"][0];
    assert!(failure["source"].as_str().unwrap().ends_with("bad.jpg"));
    assert!(
        failure["reason"].as_str().unwrap().starts_with("this is no picture that is read"),
        "{failure}"
    );
    let done = events.iter().find(|event| event["event"] == "done").unwrap();
    assert_eq!(done["receipt"]["model"], "fast-4x");
    assert_eq!(done["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(output.status.code(), Some(1));
}

/// Starts a run, and kills it when a line of its events says so or it ends.
fn kill_when(mut command: Command, when: impl Fn(&Value) -> bool) -> bool {
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut killed = false;
    for line in lines {
        let Ok(event) = serde_json::from_str(&line.unwrap()) else { continue };
        if !killed && when(&event) {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    killed
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), 12);
    let bad = bad_ones(folder.path());
    let (undisturbed, out) = (folder.path().join("undisturbed"), folder.path().join("out"));
    let more = ["--recursive", "--resume", "--json", "--tile", "64"];
    run(&[folder.path()], &undisturbed, &more);
    let expected = contents(&undisturbed);
    assert_eq!(expected.len(), 12);
    fs::rename(&undisturbed, folder.path().join(".undisturbed")).unwrap();

    // In the middle of the first photo, between photos, in a bad one, and just after the start.
    let kinds = ["progress", "started", "done", "failed", "planned"];
    let mut kills = 0;
    for (round, kind) in kinds.iter().cycle().take(8).enumerate() {
        let seen = std::cell::Cell::new(0);
        let when = |event: &Value| {
            seen.set(seen.get() + usize::from(event["event"] == *kind));
            seen.get() > round / 4 && event["event"] == *kind
        };
        kills += usize::from(kill_when(batch(&[folder.path()], &out, &more), when));
    }
    assert!(kills >= 5, "{kills}");
    let output = run(&[folder.path()], &out, &more);
    let events = events(&output);
    let last = events.last().unwrap();
    assert_eq!((&last["done"], &last["failed"]), (&12.into(), &bad.len().into()), "{last}");
    assert!(contents(&out) == expected, "{:?}", contents(&out).keys());
    let left = fs::read_dir(out.join(".pixmend/1-of-1")).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["journal.jsonl", "lock"], "no tiles are left");
}

#[test]
fn shards_of_one_folder_share_the_work_and_one_that_is_killed_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let (alone, out) = (folder.path().join(".alone"), folder.path().join("out"));
    photos(folder.path(), 15);
    assert!(run(&[folder.path()], &alone, &["-r"]).status.success());
    let shard = |number: u32| {
        let shard = format!("{number}/3");
        batch(&[folder.path()], &out, &["-r", "--resume", "--json", "--shard", &shard])
    };
    let others: Vec<Child> = [1, 3]
        .into_iter()
        .map(|number| shard(number).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    assert!(kill_when(shard(2), |event| event["event"] == "started"));
    let mut done = 0;
    let mut count = |output: &Output| {
        assert!(output.status.success());
        let kind = |event: &Value| event["event"] == "done" || event["event"] == "kept";
        done += events(output).iter().filter(|event| kind(event)).count();
    };
    others.into_iter().for_each(|child| count(&child.wait_with_output().unwrap()));
    count(&shard(2).output().unwrap());
    assert_eq!(done, 15, "each photo belongs to one shard");
    assert!(contents(&out) == contents(&alone));
}

#[cfg(unix)]
#[test]
fn the_examples_for_clusters_do_the_work_and_go_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("my photos");
    photos(&home, 10);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/cluster");
    let program = Path::new(env!("CARGO_BIN_EXE_pixmend")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let sh = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("sh");
        command.args(arguments).env("PATH", &path).env("PARTS", "3");
        command
    };
    let part = |out: &Path, number: u32, slurm: bool| {
        if slurm {
            let mut command =
                sh(&[examples.join("slurm-array.sh").as_ref(), home.as_ref(), out.as_ref()]);
            command.env("SLURM_ARRAY_TASK_ID", number.to_string());
            return command;
        }
        let yaml = fs::read_to_string(examples.join("kubernetes-job.yaml")).unwrap();
        let (_, script) = yaml.split_once("            - |\n").unwrap();
        let (script, _) = script.split_once("          resources:").unwrap();
        let mut command = sh(&["-c".as_ref(), script.as_ref()]);
        command.env("JOB_COMPLETION_INDEX", (number - 1).to_string());
        command.env("PHOTOS", &home).env("RESULTS", out);
        command
    };
    let alone = folder.path().join("alone");
    let output = run(&[&home], &alone, &["-r"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let names = |folder: &Path| contents(folder).into_keys().collect::<Vec<_>>();
    let mut first = None;
    for slurm in [true, false] {
        let out = folder.path().join(format!("out {slurm}"));
        assert!(kill_when(part(&out, 1, slurm), |event| event["event"] == "started"));
        for number in [2, 3, 1] {
            let output = part(&out, number, slurm).output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
        }
        assert_eq!(names(&out), names(&alone));
        let results = contents(&out);
        assert!(first.get_or_insert_with(|| contents(&out)) == &results);
    }
}

#[test]
fn what_changed_meanwhile_is_done_anew_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("photos");
    fs::create_dir(&home).unwrap();
    for name in ["changed.png", "gone.png", "same.png"] {
        write(&home, name, &picture(30, 20));
    }
    put(&home.join("mended later.png"), b"no photo yet");
    let out = folder.path().join("out");
    assert_eq!(run(&[&home], &out, &[]).status.code(), Some(1));
    let first = contents(&out);
    assert_eq!(first.len(), 3);

    write(&home, "changed.png", &picture(31, 20));
    write(&home, "mended later.png", &picture(24, 20));
    write(&home, "new.png", &picture(22, 20));
    fs::remove_file(out.join("gone-4x.png")).unwrap();
    let output = run(&[&home], &out, &["--resume", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let events = events(&output);
    let kept: Vec<&Value> = events.iter().filter(|event| event["event"] == "kept").collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0]["source"].as_str().unwrap().ends_with("same.png"));
    let second = contents(&out);
    assert_eq!(second["changed-4x.png"], first["changed-4x.png"], "nothing is overwritten");
    assert_eq!(second["gone-4x.png"], first["gone-4x.png"]);
    let size = |name: &str| image::open(out.join(name)).unwrap().dimensions();
    assert_eq!(size("changed-4x-1.png"), (124, 80));
    assert_eq!(size("mended later-4x.png"), (96, 80));
    assert_eq!(second.len(), 6, "{:?}", second.keys());

    // Other settings make other results.
    let output = run(&[&home], &out, &["--resume", "--scale", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(contents(&out).len(), 11);
}

#[test]
fn a_taken_name_is_numbered_skipped_or_overwritten_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a.png", &picture(20, 20));
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    put(&out.join("a-4x.png"), b"mine");
    let go = |more: &[&str]| run(&[folder.path()], &out, more);
    let skipped = go(&["--on-conflict", "skip"]);
    assert!(skipped.status.success(), "{}", stderr(&skipped));
    assert!(stderr(&skipped).contains("0 done, 1 skipped"), "{}", stderr(&skipped));
    assert!(stderr(&skipped).contains("a-4x.png"));
    assert!(go(&[]).status.success());
    let results = contents(&out);
    assert_eq!(results["a-4x.png"], b"mine");
    assert!(results.contains_key("a-4x-1.png") && results.len() == 2, "{:?}", results.keys());
    assert!(go(&["--overwrite"]).status.success());
    assert_eq!(contents(&out)["a-4x.png"], results["a-4x-1.png"]);
    assert!(go(&["--name", "{counter} {name} by {model}"]).status.success());
    assert!(out.join("1 a by fast-4x.png").exists());

    // No photo is a result, whatever is asked for.
    let content = fs::read(&photo).unwrap();
    let refused = run(&[&photo], folder.path(), &["--name", "{name}", "--overwrite"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("would replace the photo"), "{}", stderr(&refused));
    assert_eq!(fs::read(&photo).unwrap(), content);
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a.png", &picture(20, 20));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let out = folder.path().join("out");
    let refused = |output: &Output, what: &str| {
        let text = stderr(output);
        assert!([Some(1), Some(2)].contains(&output.status.code()), "{text}");
        assert!(text.contains(what), "{text}");
        assert!(!out.exists());
    };
    refused(&run(&[&empty], &out, &[]), "there are no pictures in");
    refused(&run(&[folder.path()], folder.path(), &[]), "among their photos");
    refused(&run(&[folder.path()], &photo, &[]), "where a folder is needed");
    let mut nothing = pixmend();
    nothing.arg("upscale").arg(folder.path()).arg("-o").arg(&out).args(["--model", "nothing"]);
    refused(&nothing.output().unwrap(), "no model file called nothing");
    refused(&run(&[folder.path()], &out, &["--shard", "3/2"]), "no part of the work");
    refused(&run(&[folder.path()], &out, &["--name", "{x}"]), "{x} is no part of a name");
    let without = pixmend().arg("upscale").arg(folder.path()).output().unwrap();
    refused(&without, "many photos need a folder");
}

#[test]
fn a_run_that_stopped_is_not_begun_anew_by_mistake() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), 4);
    let out = folder.path().join("out");
    let more = ["-r", "--json"];
    assert!(kill_when(batch(&[folder.path()], &out, &more), |event| event["event"] == "done"));
    let refused = run(&[folder.path()], &out, &more);
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    assert!(text.contains("of 4 photos were done") && text.contains("--resume"), "{text}");
    let resumed = run(&[folder.path()], &out, &["-r", "--resume"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(contents(&out).len(), 4);
}

#[cfg(unix)]
#[test]
fn a_run_that_is_told_to_stop_says_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), 6);
    let out = folder.path().join("out");
    let mut command = batch(&[folder.path()], &out, &["-r", "--json", "--tile", "64"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if events.is_empty() {
            let stop = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            assert!(stop.unwrap().success());
        }
        events.push(event);
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let last = events.last().unwrap();
    let count = |key: &str| last[key].as_u64().unwrap();
    assert!(count("waiting") > 0 && count("waiting") + count("done") == 6, "{last}");
    assert!(contents(&out).keys().all(|name| !name.starts_with('.')), "no half file is left");
    assert!(run(&[folder.path()], &out, &["-r", "--resume"]).status.success());
    assert_eq!(contents(&out).len(), 6);
}

#[test]
fn one_mask_mends_many_photos_and_folders_are_cleaned() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("photos");
    fs::create_dir(&home).unwrap();
    write(&home, "a.png", &picture(60, 50));
    write(&home, "b.jpg", &picture(90, 70));
    let mask = image::GrayImage::from_fn(60, 50, |x, y| {
        image::Luma([if x > 50 && y > 40 { 255 } else { 0 }])
    });
    let mask_file = folder.path().join("mask.png");
    mask.save(&mask_file).unwrap();
    let out = folder.path().join("mended");
    let mut command = pixmend();
    command.arg("mend").arg(&home).arg("-o").arg(&out).arg("--mask").arg(&mask_file);
    let output = command.args(["--anchor", "bottom-right", "--device", "cpu"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for (name, source) in [("a-mended.png", "a.png"), ("b-mended.png", "b.jpg")] {
        let result = image::open(out.join(name)).unwrap().into_rgb8();
        let source = image::open(home.join(source)).unwrap().into_rgb8();
        let (width, height) = source.dimensions();
        let differs = |place: &(u32, u32)| {
            result.get_pixel(place.0, place.1) != source.get_pixel(place.0, place.1)
        };
        let all = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let changed: Vec<(u32, u32)> = all.filter(differs).collect();
        assert!(!changed.is_empty(), "{name}");
        assert!(changed.iter().all(|(x, y)| width - x < 14 && height - y < 14), "{name}");
    }

    let out = folder.path().join("clean");
    let mut command = pixmend();
    command.arg("clean").arg(&home).arg("-o").arg(&out).args(["--device", "cpu"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let names: Vec<String> = contents(&out).into_keys().collect();
    assert_eq!(names, ["a-clean.png", "b-clean.jpg"]);
}

/// Stops after so many tiles.
struct StopAfter(usize);

impl Watch for StopAfter {
    fn progress(&mut self, _: Progress) -> pixmend::Result<()> {
        if self.0 == 0 {
            return Err(Error::Cancelled);
        }
        self.0 -= 1;
        Ok(())
    }
}

fn job(source: &Path, target: &Path) -> Job {
    Job {
        source: source.to_owned(),
        place: source.to_owned(),
        target: target.to_owned(),
        operation: Operation::Upscale {
            model: "fast-4x".to_owned(),
            ensemble: false,
            device: "cpu".to_owned(),
            options: UpscaleOptions {
                size: Size::Scale(4.0),
                tile: Some(64),
                // It would take a tile that was blackened for a tint.
                colour_lock: false,
                ..UpscaleOptions::default()
            },
        },
        writing: Writing::default(),
        receipt: false,
        on_conflict: OnConflict::Number,
    }
}

#[test]
fn finished_tiles_are_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let photo = write(folder.path(), "a.png", &picture(150, 130));
    let memory = folder.path().join("queue");
    let mut queue = Queue::open(&memory).unwrap();
    queue
        .add(vec![
            job(&photo, &folder.path().join("whole")),
            job(&photo, &folder.path().join("parts")),
        ])
        .unwrap();
    queue.work(0, &mut StopAfter(usize::MAX)).unwrap();
    assert!(matches!(queue.work(1, &mut StopAfter(4)), Err(Error::Cancelled)));
    assert_eq!(queue.item(1).unwrap().state, State::Waiting);
    drop(queue);

    // One of the four is made black, to be seen again.
    let tiles = memory.join("1.tiles");
    let mut bytes = fs::read(&tiles).unwrap();
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let number = |bytes: &[u8], place: usize| {
        u32::from_le_bytes(bytes[place..place + 4].try_into().unwrap())
    };
    let [x, y, width, height] = [0, 4, 8, 12].map(|place| number(&bytes, line + place));
    let pixels = line + 20..line + 20 + (width * height * 6) as usize;
    bytes[pixels.clone()].fill(0);
    let checksum = crc32fast::hash(&bytes[pixels]);
    bytes[line + 16..line + 20].copy_from_slice(&checksum.to_le_bytes());
    put(&tiles, &bytes);

    let mut queue = Queue::open(&memory).unwrap();
    assert_eq!(queue.next(), Some(1));
    let made = queue.work(1, &mut StopAfter(usize::MAX)).unwrap();
    assert!(made.is_some());
    assert!(!tiles.exists());
    let whole = image::open(folder.path().join("whole.png")).unwrap().into_rgb8();
    let parts = image::open(folder.path().join("parts.png")).unwrap().into_rgb8();
    for (place, (a, b)) in
        whole.enumerate_pixels().zip(parts.pixels()).map(|((x, y, a), b)| ((x, y), (a, b)))
    {
        let kept = (x..x + width).contains(&place.0) && (y..y + height).contains(&place.1);
        assert!(if kept { b.0 == [0; 3] } else { a == b }, "{place:?}");
    }
}

#[test]
fn jobs_are_moved_removed_and_tried_again_and_that_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("queue");
    let names = ["a", "b", "c", "d"];
    let mut queue = Queue::open(&memory).unwrap();
    let path = |name: &str| folder.path().join(format!("{name}.png"));
    queue.add(names.map(|name| job(&path(name), &path(name))).to_vec()).unwrap();
    queue.shift(3, 0).unwrap();
    queue.remove(&[1]).unwrap();
    queue.work(3, &mut StopAfter(9)).unwrap();
    let order = |queue: &Queue| queue.items().iter().map(|item| item.id).collect::<Vec<_>>();
    assert_eq!(order(&queue), [3, 0, 2]);
    drop(queue);
    let mut queue = Queue::open(&memory).unwrap();
    assert_eq!(order(&queue), [3, 0, 2]);
    let State::Failed { reason } = &queue.item(3).unwrap().state else { panic!("it has failed") };
    assert!(reason.starts_with("there is no file ") && reason.contains("d.png"), "{reason}");
    write(folder.path(), "d.png", &picture(20, 20));
    queue.retry(3).unwrap();
    assert_eq!(queue.next(), Some(3));
    queue.work(3, &mut StopAfter(9)).unwrap();
    assert!(matches!(queue.item(3).unwrap().state, State::Done(_)));
    queue.add(vec![job(&path("e"), &path("e"))]).unwrap();
    assert_eq!(order(&queue), [3, 0, 2, 4], "a number is not given twice");
    assert_eq!(queue.counts().in_words(), "1 done, 3 waiting");
}

#[test]
fn five_hundred_files_twenty_of_them_bad_and_five_kills() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("photos");
    fs::create_dir(&home).unwrap();
    photos(&home, 480);
    for i in 0..5 {
        let inner = home.join(format!("bad {i}"));
        fs::create_dir(&inner).unwrap();
        let bad = bad_ones(&inner);
        fs::remove_file(inner.join(bad[2])).unwrap();
    }
    let (alone, out) = (folder.path().join("alone"), folder.path().join("out"));
    let more = ["--recursive", "--resume", "--json", "--tile", "64"];
    run(&[&home], &alone, &more);
    let mut kills = Vec::new();
    for round in 1..=5 {
        let seen = std::cell::Cell::new(0);
        let when = |event: &Value| {
            let counts = ["done", "failed", "progress"].iter().any(|kind| event["event"] == **kind);
            seen.set(seen.get() + usize::from(counts));
            seen.get() > 40 * round
        };
        assert!(kill_when(batch(&[&home], &out, &more), when));
        kills.push(contents(&out).len());
    }
    let output = run(&[&home], &out, &more);
    let events = events(&output);
    let last = events.last().unwrap();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((&last["done"], &last["failed"]), (&480.into(), &20.into()), "{last}");
    assert_eq!(last["failures"].as_array().unwrap().len(), 20);
    assert!(contents(&out) == contents(&alone));
    let paths: Vec<PathBuf> = vec![alone, out];
    eprintln!(
        "killed with {kills:?} files in the folder; the last run kept {} and made {}; {} files, \
         byte for byte the same in {paths:?}",
        of("kept"),
        of("done"),
        contents(&paths[0]).len()
    );
}
