//! A CSV file `path,label[,split][,group][,method]`, or with other names of columns; those of Deepfake-Eval-2024 are
//! known. Its paths are relative to its folder. This file opens no video.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record, split_named};
use super::tree::{Item, Root, confined, media_at};
use crate::config::{ColumnNames, DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::record::Label;

const HINT: &str = "the columns are path,label[,split][,group][,method], or named by data.columns (by --columns in evaluate); \
                    labels are real or 0, fake or 1; paths are below the folder of the CSV";
/// Words for the classes in lists in circulation.
const REAL: [&str; 6] = ["real", "0", "genuine", "original", "authentic", "pristine"];
const FAKE: [&str; 7] = ["fake", "1", "deepfake", "manipulated", "forged", "synthetic", "generated"];
/// Nobody could tell, so such a video is left out.
const UNKNOWN: &str = "unknown";
/// The columns of Deepfake-Eval-2024 for paths, labels and sides, and the folder of its videos.
const DEEPFAKE_EVAL: [&str; 3] = ["Filename", "Video Ground Truth", "Finetuning Set"];
const DEEPFAKE_EVAL_VIDEOS: &str = "video-data";

pub(super) struct Csv;

impl Layout for Csv {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Csv
    }

    fn expects(&self) -> &'static str {
        "a CSV file with the columns `path` and `label`"
    }

    fn recognise(&self, root: &Root, data: &DataConfig) -> Option<String> {
        let (list, Naming { columns, .. }) = lists(root, &data.columns).into_iter().next()?;
        Some(format!("found {list} with the columns {} and {}", columns.path, columns.label))
    }

    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError> {
        match lists(root, &data.columns).as_slice() {
            [(list, naming)] => Table::read(root, list, naming),
            lists => {
                let lists: Vec<_> = lists.iter().map(|(list, _)| *list).collect();
                let problem = format!("there are several lists in it: {}", lists.join(", "));
                Err(root.unusable(problem, "name one of the files instead of the folder"))
            }
        }
    }
}

/// What the columns of a list are called, and where its videos are.
struct Naming {
    columns: ColumnNames,
    /// The folder of the videos, below that of the list.
    folder: &'static str,
    /// Whether the user chose these columns, so that one that is not there is a mistake.
    is_configured: bool,
}

/// The lists in the folder, each with its columns: those that are configured, or else those that lists usually have, or
/// those of a known data set.
fn lists<'a>(root: &'a Root, configured: &ColumnNames) -> Vec<(&'a str, Naming)> {
    let with_columns = |list: &'a str| {
        let header = header(root, list);
        let header: Vec<_> = header.iter().map(|name| column_name(name)).collect();
        let fits = |Naming { columns, .. }: &Naming| {
            [&columns.path, &columns.label].iter().all(|name| header.contains(&column_name(name)))
        };
        let [path, label, split] = DEEPFAKE_EVAL.map(str::to_owned);
        let known = [
            Naming { columns: configured.clone(), folder: "", is_configured: true },
            Naming { columns: ColumnNames::default(), folder: "", is_configured: false },
            Naming {
                columns: ColumnNames { path, label, split, ..ColumnNames::default() },
                folder: DEEPFAKE_EVAL_VIDEOS,
                is_configured: false,
            },
        ];
        Some((list, known.into_iter().find(fits)?))
    };
    root.lists("csv").into_iter().filter_map(with_columns).collect()
}

/// The error for a list that the user named, and that has other columns than those that are looked for.
pub(super) fn unfitting(root: &Root, data: &DataConfig) -> Option<DataError> {
    let list = root.list.as_deref().filter(|_| !root.lists("csv").is_empty())?;
    let (ColumnNames { path, label, .. }, there) = (&data.columns, header(root, list).join(", "));
    Some(root.unusable(format!("{list} lacks the columns {path} and {label}; its columns are {there}"), HINT))
}

fn header(root: &Root, list: &str) -> Vec<String> {
    let head = root.peek(Path::new(list));
    let first = head.lines().next().unwrap_or_default();
    first.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
}

pub(super) fn column_name(name: &str) -> String {
    name.trim().trim_matches('"').to_ascii_lowercase()
}

/// The label that a word stands for, `None` for one that nobody knows. An error is a problem in words.
pub(super) fn label_of(word: &str) -> Result<Option<Label>, String> {
    match word.to_ascii_lowercase().as_str() {
        word if REAL.contains(&word) => Ok(Some(Label::Real)),
        word if FAKE.contains(&word) => Ok(Some(Label::Fake)),
        UNKNOWN => Ok(None),
        _ => Err(format!("found the label `{word}`, expected real, fake, 0 or 1")),
    }
}

/// The people that a cell such as `anna;bob` names.
pub(super) fn people_of_group(group: &str) -> Vec<String> {
    group.split(';').map(str::trim).filter(|person| !person.is_empty()).map(str::to_owned).collect()
}

fn word_of(label: Option<Label>) -> String {
    label.map_or_else(|| UNKNOWN.to_owned(), |label| label.to_string())
}

/// The state of reading one list.
struct Table<'a> {
    root: &'a Root,
    list: &'a str,
    naming: &'a Naming,
    columns: HashMap<String, usize>,
    /// The label of each path; `None` if it is unknown.
    seen: HashMap<PathBuf, Option<Label>>,
    found: Found,
}

impl<'a> Table<'a> {
    fn read(root: &'a Root, list: &'a str, naming: &'a Naming) -> Result<Found, DataError> {
        let text = root.read(Path::new(list))?;
        let mut reader = ::csv::ReaderBuilder::new().flexible(true).trim(::csv::Trim::All).from_reader(text.as_bytes());
        let broken = |error: ::csv::Error| root.unusable(format!("{list}: {error}"), HINT);
        let header = reader.headers().map_err(broken)?;
        let columns: HashMap<_, _> = header.iter().enumerate().map(|(at, name)| (column_name(name), at)).collect();
        let (names, usual) = (&naming.columns, ColumnNames::default());
        for (name, usual) in [(&names.split, usual.split), (&names.group, usual.group), (&names.method, usual.method)] {
            if naming.is_configured && *name != usual && !columns.contains_key(&column_name(name)) {
                return Err(root.unusable(format!("{list} lacks the column {name} that data.columns names"), HINT));
            }
        }
        let mut table = Self { root, list, naming, columns, seen: HashMap::new(), found: Found::default() };
        for (row, cells) in reader.records().enumerate() {
            // Line 1 is the header.
            table.add(row + 2, &cells.map_err(broken)?)?;
        }
        Ok(table.found)
    }

    fn add(&mut self, row: usize, cells: &::csv::StringRecord) -> Result<(), DataError> {
        let cell = |column: &str| {
            self.columns.get(&column_name(column)).and_then(|at| cells.get(*at)).filter(|text| !text.is_empty())
        };
        let names = &self.naming.columns;
        let refuse = |problem: String| self.root.unusable(format!("{}, row {row}: {problem}", self.list), HINT);
        let name = cell(&names.path).ok_or_else(|| refuse("the path is missing".into()))?;
        let path = confined(name)
            .ok_or_else(|| refuse(format!("`{name}` is absolute or leads out of the folder, which is refused")))?;
        let path = Path::new(self.naming.folder).join(path);
        let label = label_of(cell(&names.label).unwrap_or_default()).map_err(refuse)?;
        match self.seen.get(&path) {
            Some(before) if *before != label => {
                return Err(refuse(format!("`{name}` is both {} and {}", word_of(*before), word_of(label))));
            }
            Some(_) => {
                tracing::warn!("{}, row {row}: `{name}` is there twice, and counts once", self.list);
                return Ok(());
            }
            None => {}
        }
        self.seen.insert(path.clone(), label);
        let Some(label) = label else {
            self.found.skip(path, format!("row {row} of {}: its label is unknown", self.list));
            return Ok(());
        };
        let side = match cell(&names.split) {
            None => None,
            Some(name) => Some(
                split_named(name)
                    .ok_or_else(|| refuse(format!("found the split `{name}`, expected train, val or test")))?,
            ),
        };
        let Some(media) = media_at(&self.root.folder.join(&path)) else {
            self.found.skip(path, format!("row {row} of {}: there is no such file", self.list));
            return Ok(());
        };
        let mut video = record(&Item { path, media }, label);
        if let Some(group) = cell(&names.group) {
            video.source_ids = people_of_group(group);
        }
        video.method = cell(&names.method).filter(|_| label == Label::Fake).map(str::to_owned);
        if let Some(side) = side {
            (video.split, video.official) = (side, true);
        }
        self.found.videos.push(video);
        Ok(())
    }
}
