//! Dependencies between modules go one way.

use std::path::Path;

/// Floors of the house, top first. A module may use those on lower floors and
/// its own; `cli` and `app` share a floor and do not know each other.
const FLOORS: [&[&str]; 7] = [
    &["app", "cli"],
    &["jobs"],
    &["train"],
    &["restore"],
    &["model", "metric"],
    &["picture", "device", "mask"],
    &["net", "rect", "error", "settings", "size", "encoding"],
];

/// Crates that only one module may name.
const FENCED: [(&str, &[&str]); 10] = [
    ("egui", &["app"]),
    ("eframe", &["app"]),
    ("rfd", &["app"]),
    // What a user can set is one struct: arguments, recipe file and panel alike.
    ("clap", &["cli", "main", "train", "encoding"]),
    ("indicatif", &["cli"]),
    ("imageproc", &["mask"]),
    ("tiny_skia", &["train", "picture"]),
    ("skrifa", &["picture"]),
    ("wgpu", &["app", "device"]),
    ("burn", &["net", "model", "restore", "device", "train"]),
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// `(module, file, text without comments)` of every source file.
fn sources(folder: &Path, module: Option<&str>, found: &mut Vec<(String, String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let module = module.unwrap_or(&stem).to_owned();
        if path.is_dir() {
            sources(&path, Some(&module), found);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<&str> =
                text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            found.push((module, path.display().to_string(), code.join("\n")));
        }
    }
}

fn all_sources() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut found);
    assert!(found.len() > 20, "the source files were not found");
    found
}

/// The first segments of all paths below `crate`.
fn used(code: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut modules = Vec::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    modules.push(identifier(item.trim()));
                    item.clear();
                    if depth == 0 {
                        break;
                    }
                } else {
                    item.push(c);
                }
            }
        } else {
            modules.push(identifier(rest));
        }
    }
    modules.retain(|module| module.chars().next().is_some_and(char::is_lowercase));
    modules
}

#[test]
fn modules_only_use_lower_floors() {
    let mut arrows = 0;
    for (module, file, code) in all_sources() {
        if ["main", "lib"].contains(&module.as_str()) {
            continue;
        }
        let own = floor(&module).unwrap_or_else(|| panic!("{module} stands on no floor"));
        for other in used(&code).into_iter().filter(|other| *other != module) {
            let below = floor(&other).unwrap_or_else(|| panic!("{file} uses {other}"));
            let fits = below > own || (below == own && own > 0);
            assert!(fits, "{file}: {module} must not use {other}");
            arrows += 1;
        }
    }
    assert!(arrows > 40, "only {arrows} arrows were found: the reader is broken");
}

#[test]
fn crates_stay_behind_their_fences() {
    for (module, file, code) in all_sources() {
        for (name, allowed) in FENCED {
            let named =
                code.contains(&format!("{name}::")) || code.contains(&format!("use {name}"));
            assert!(!named || allowed.contains(&module.as_str()), "{file} names {name}");
        }
    }
}
