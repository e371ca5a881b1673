//! The models that the user has added, in a folder of the program's own, as files of ours.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde::Serialize;

use super::{Model, tensors};
use crate::{
    error::{Error, Result},
    settings::Existing,
};

/// Ending of the files.
const ENDING: &str = "safetensors";

/// Endings of models that are one file.
const SINGLE: [&str; 4] = ["pth", "pt", "ckpt", ENDING];

/// Endings of files that can be imported.
#[must_use]
pub fn endings() -> Vec<&'static str> {
    [&SINGLE[..], &tensors::NCNN].concat()
}

/// What a model is, for lists.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct About {
    /// By which it is found.
    pub name: String,
    /// Whether it comes with the program.
    pub shipped: bool,
    /// What it is for, if it comes with the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<&'static str>,
    /// What its architecture is called.
    pub architecture: String,
    /// Output size over input size.
    pub scale: u32,
    /// Colours that it sees at once: 3, or 1.
    pub colours: usize,
    /// Whether it fills what a mask marks.
    pub takes_mask: bool,
    /// Whether it gives grey photos their colours.
    pub gives_colours: bool,
    /// How many numbers it holds.
    pub parameters: usize,
    /// Of its file.
    pub bytes: usize,
}

impl About {
    /// What there is to say about a model.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let config = model.config();
        Self {
            name: model.name().to_owned(),
            shipped: Model::shipped().any(|name| name == model.name()),
            job: Model::job_of(model.name()),
            architecture: config.family().to_owned(),
            scale: config.scale(),
            colours: config.colours(),
            takes_mask: config.takes_mask(),
            gives_colours: model.gives_colours(),
            parameters: config.parameters(),
            bytes: model.bytes().len(),
        }
    }
}

/// All models that have a name, those that ship first, and what is wrong with files that cannot be
/// read.
#[must_use]
pub fn list() -> (Vec<About>, Vec<Error>) {
    let (mut models, mut broken) = (Vec::new(), Vec::new());
    for name in Model::names() {
        match Model::find(&name) {
            Ok(model) => models.push(About::of(&model)),
            Err(error) => broken.push(error),
        }
    }
    (models, broken)
}

/// See [`keep_in`].
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Keeps models in this folder in place of the user's, for as long as the program runs; the first
/// call counts.
pub fn keep_in(folder: PathBuf) {
    FOLDER.get_or_init(|| folder);
}

/// Where the files lie; `None` where the system has no home folder.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    if let Some(folder) = FOLDER.get() {
        return Some(folder.clone());
    }
    let dirs = directories::ProjectDirs::from("io.github", "pixmend", "Pixmend")?;
    Some(dirs.data_dir().join("models"))
}

/// Their names in the order of the alphabet.
#[must_use]
pub fn names() -> Vec<String> {
    let Some(files) = folder().and_then(|folder| std::fs::read_dir(folder).ok()) else {
        return Vec::new();
    };
    let name = |path: PathBuf| {
        let ours = path.extension() == Some(OsStr::new(ENDING));
        ours.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
    };
    let mut names: Vec<String> = files.filter_map(|file| name(file.ok()?.path())).collect();
    names.sort();
    names
}

/// The file of a model of this name.
#[must_use]
pub(super) fn file(name: &str) -> Option<PathBuf> {
    // A name is a name, not a path.
    let path = Path::new(name);
    let plain = path.file_name() == Some(path.as_os_str());
    let file = folder()?.join(format!("{name}.{ENDING}"));
    (plain && file.is_file()).then_some(file)
}

/// Reads a model file of any supported kind, checks it, and keeps it as a file of ours under the
/// name of its own file.
///
/// # Errors
/// What [`Model::open`] returns; [`Error::Exists`] if there is one of that name and `existing`
/// refuses; [`Error::Setting`] for the name of a model that ships.
pub fn add(path: &Path, existing: Existing) -> Result<Model> {
    let model = Model::open(path)?;
    let name = path.file_stem().and_then(OsStr::to_str).unwrap_or("model");
    if Model::shipped().any(|shipped| shipped == name) {
        return Err(Error::Setting(format!(
            "{name} is the name of a model that comes with Pixmend: rename {}",
            path.display()
        )));
    }
    let folder = folder().ok_or_else(|| {
        Error::Setting("this system has no folder for the models of a user".to_owned())
    })?;
    let target = folder.join(format!("{name}.{ENDING}"));
    std::fs::create_dir_all(&folder).map_err(|error| Error::write(&target, error))?;
    let target = model.save(&target, existing)?;
    let name = target.file_stem().and_then(OsStr::to_str).unwrap_or(name).to_owned();
    Ok(Model { name, ..model })
}

/// Removes a model that the user added.
///
/// # Errors
/// [`Error::Setting`] for one that ships, [`Error::ModelUnknown`], [`Error::Write`].
pub fn remove(name: &str) -> Result<()> {
    if Model::shipped().any(|shipped| shipped == name) {
        return Err(Error::Setting(format!("{name} comes with Pixmend and cannot be removed")));
    }
    let file = file(name)
        .ok_or_else(|| Error::ModelUnknown { name: name.to_owned(), known: names().join(", ") })?;
    std::fs::remove_file(&file).map_err(|error| Error::write(&file, error))
}

/// Whether a file looks like a model by its name: it can be one, or half of one.
#[must_use]
pub fn is_model_file(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    SINGLE.contains(&ending.to_ascii_lowercase().as_str()) || tensors::is_ncnn(path)
}

/// Whether there are models in a folder, not counting the folders in it.
#[must_use]
pub fn has_models(folder: &Path) -> bool {
    !model_files(&[folder.to_owned()]).is_empty()
}

/// Adds the models among these files and folders, each as [`add`] does; one that fails does not
/// keep the others out.
///
/// # Errors
/// What `before` returns, which is asked before each.
pub fn add_all(
    paths: &[PathBuf],
    existing: Existing,
    before: impl Fn() -> Result<()>,
) -> Result<(Vec<Model>, Vec<Error>)> {
    let (mut added, mut failed) = (Vec::new(), Vec::new());
    for file in model_files(paths) {
        before()?;
        match add(&file, existing) {
            Ok(model) => added.push(model),
            Err(error) => failed.push(error),
        }
    }
    Ok((added, failed))
}

/// The model files among these files and folders (not the folders in them), each model once.
fn model_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut take = |path: PathBuf, given: bool| {
        // The two files of an ncnn model are one.
        let path = if tensors::is_ncnn(&path) { path.with_extension("param") } else { path };
        if (given || is_model_file(&path)) && !found.contains(&path) {
            found.push(path);
        }
    };
    for path in paths {
        if path.is_dir() {
            let files = std::fs::read_dir(path).into_iter().flatten().flatten();
            let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
            files.sort();
            files.into_iter().filter(|file| file.is_file()).for_each(|file| take(file, false));
        } else {
            take(path.clone(), true);
        }
    }
    found
}
