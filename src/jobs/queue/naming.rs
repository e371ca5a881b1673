//! Names of results, by a template.

use std::{
    collections::HashSet,
    ffi::OsString,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{Job, OnConflict, find::Found, operation::Operation};
use crate::{
    encoding::Writing,
    error::{Error, Result},
    picture,
};

/// A name of results, with parts that are different for each: `{name}-{scale}x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name,
    Scale,
    Model,
    Date,
    Counter,
}

impl FromStr for Template {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| Err(Error::Setting(what));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((word, after)) = after.split_once('}') else {
                return wrong(format!("the name {text} has a {{ without a }}"));
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(match word {
                "name" => Part::Name,
                "scale" => Part::Scale,
                "model" => Part::Model,
                "date" => Part::Date,
                "counter" => Part::Counter,
                _ => {
                    return wrong(format!(
                        "{{{word}}} is no part of a name: there are {{name}}, {{scale}}, \
                         {{model}}, {{date}} and {{counter}}"
                    ));
                }
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        if !parts.contains(&Part::Name) && !parts.contains(&Part::Counter) {
            return wrong(format!(
                "all results would be called {text}: a name needs {{name}} or {{counter}}"
            ));
        }
        if text.contains(['/', '\\', '\0']) {
            return wrong(format!(
                "the name {text} has folders in it, which are those of the photos by themselves"
            ));
        }
        Ok(Self(parts))
    }
}

/// What names of all jobs have in common.
struct Same<'a> {
    scale: String,
    model: &'a str,
    date: String,
}

impl Template {
    /// The usual one: the photo's name and what was done.
    #[must_use]
    pub fn usual(operation: &Operation) -> Self {
        Self(vec![Part::Name, Part::Text(format!("-{}", operation.done()))])
    }

    /// A result's name without its ending. `counter` is the photo's place among all, as text.
    fn name(&self, photo: &Path, same: &Same<'_>, counter: &str) -> OsString {
        let mut name = OsString::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push(text),
                Part::Name => name.push(picture::stem(photo)),
                Part::Scale => name.push(&same.scale),
                // A model can be a file.
                Part::Model => {
                    name.push(Path::new(same.model).file_stem().unwrap_or_default());
                }
                Part::Date => name.push(&same.date),
                Part::Counter => name.push(counter),
            }
        }
        name
    }
}

/// Jobs for photos, in their order: each result gets a name of its own in the photo's folder below
/// `folder`. `taken` are names that belong to other jobs.
#[must_use]
pub fn jobs(
    found: &[Found],
    folder: &Path,
    (operation, writing): (&Operation, Writing),
    template: &Template,
    on_conflict: OnConflict,
    taken: impl IntoIterator<Item = PathBuf>,
) -> Vec<Job> {
    let same = Same {
        scale: operation.scale(),
        model: operation.model(),
        date: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
    };
    let digits = found.len().to_string().len();
    // Some file systems do not tell small letters from capitals, and two photos that differ in
    // their ending may get results that do not.
    let plain = |path: &Path| path.to_string_lossy().to_lowercase();
    let mut taken: HashSet<String> = taken.into_iter().map(|path| plain(&path)).collect();
    let job = |(place, photo): (usize, &Found)| {
        let counter = format!("{:0digits$}", place + 1);
        let name = template.name(&photo.relative, &same, &counter);
        let target = folder.join(photo.relative.with_file_name(name));
        let numbered = |number: u32| match number {
            0 => target.clone(),
            _ => {
                let mut name = target.clone().into_os_string();
                name.push(format!("-{number}"));
                name.into()
            }
        };
        let mut names = (0..).map(numbered);
        let target = names.find(|name| taken.insert(plain(name))).unwrap_or_else(|| target.clone());
        let Found { source, relative: place } = photo.clone();
        let (operation, receipt) = (operation.clone(), false);
        Job { source, place, target, operation, writing, receipt, on_conflict }
    };
    found.iter().enumerate().map(job).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{restore::UpscaleOptions, size::Size};

    fn upscale(model: &str) -> Operation {
        Operation::Upscale {
            model: model.to_owned(),
            ensemble: false,
            device: "cpu".to_owned(),
            options: UpscaleOptions { size: Size::Scale(2.5), ..UpscaleOptions::default() },
        }
    }

    fn found(names: &[&str]) -> Vec<Found> {
        let photo =
            |name: &&str| Found { source: Path::new("/photos").join(name), relative: name.into() };
        names.iter().map(photo).collect()
    }

    fn targets(names: &[&str], template: &str, taken: &[&str]) -> Vec<String> {
        let operation = upscale("/models/sharp.pth");
        let taken = taken.iter().map(PathBuf::from);
        let template = if template.is_empty() {
            Template::usual(&operation)
        } else {
            template.parse().unwrap()
        };
        let policy = OnConflict::Number;
        let jobs = jobs(
            &found(names),
            Path::new("/out"),
            (&operation, Writing::default()),
            &template,
            policy,
            taken,
        );
        jobs.iter().map(|job| job.target.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn names_are_made_of_their_parts_and_the_tree_is_kept() {
        assert_eq!(targets(&["a.jpg"], "", &[]), ["/out/a-2.5x"]);
        assert_eq!(targets(&["trip/day 1/a.jpg"], "", &[]), ["/out/trip/day 1/a-2.5x"]);
        assert_eq!(targets(&["a.jpg"], "{model} of {name}", &[]), ["/out/sharp of a"]);
        assert_eq!(
            targets(&["letter.old", "b.c.png"], "{name}", &[]),
            ["/out/letter.old", "/out/b.c"]
        );
        let names: Vec<String> = (0..12).map(|i| format!("{i:03}.png")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let counted = targets(&names, "{counter}", &[]);
        assert_eq!((&*counted[0], &*counted[11]), ("/out/01", "/out/12"));
        let dated = targets(&["a.jpg"], "{name} {date}", &[]);
        let date = dated[0].strip_prefix("/out/a ").unwrap();
        assert!(date.len() == 10 && date.starts_with("20"), "{date}");
    }

    #[test]
    fn no_two_results_have_one_name() {
        let expected = ["/out/a-2.5x", "/out/A-2.5x-1", "/out/a-2.5x-2", "/out/b/a-2.5x"];
        assert_eq!(targets(&["a.jpg", "A.png", "a.tif", "b/a.jpg"], "", &[]), expected);
        assert_eq!(targets(&["a.jpg"], "", &["/out/a-2.5x"]), ["/out/a-2.5x-1"]);
    }

    #[test]
    fn templates_that_cannot_be_are_refused_in_a_sentence() {
        for (template, what) in [
            ("{nam}", "{nam} is no part"),
            ("{name", "without a }"),
            ("result", "needs {name} or {counter}"),
            ("sub/{name}", "folders"),
        ] {
            let error = template.parse::<Template>().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
