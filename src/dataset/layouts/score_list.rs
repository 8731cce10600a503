//! A CSV of scores that another program gave: `path,score[,label][,group][,method][,set]`. Opens no video.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::csv::{column_name, label_of, people_of_group};
use super::tree::Root;
use crate::config::ColumnNames;
use crate::dataset::error::DataError;
use crate::dataset::record::Label;

const SET: &str = "set";
const HINT: &str =
    "the columns are path,score[,label][,group][,method], or named by --columns; a score is a probability of fake";

/// A row of a list of scores. Of a video with several clips there may be several.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    /// Its number in the file, in which the header is row 1.
    pub row: usize,
    /// The set of videos, where the list has several.
    pub set: Option<String>,
    /// The video, as the list names it.
    pub path: PathBuf,
    /// Its score; `None` if the cell is empty or `nan`.
    pub score: Option<f64>,
    /// Its label, where the list has one.
    pub label: Option<Label>,
    /// The people in it, where the list names them.
    pub people: Option<Vec<String>>,
    /// The method of a fake, where the list names it.
    pub method: Option<String>,
}

/// Reads a list of scores. The names of its columns are those in `columns`, and `score_column`.
///
/// # Errors
/// [`DataError::Unusable`] if the file cannot be read, lacks a column, or has a score that is no number or an unknown label.
pub fn read_scores(file: &Path, columns: &ColumnNames, score_column: &str) -> Result<Vec<ScoreRow>, DataError> {
    let refuse = |problem: String| DataError::Unusable { root: file.to_owned(), problem, hint: HINT.into() };
    if !file.is_file() {
        return Err(refuse("there is no such file".into()));
    }
    let text = Root::open(file)?.read(Path::new(file.file_name().unwrap_or_default()))?;
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).trim(::csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| refuse(error.to_string()))?;
    let places: HashMap<_, _> = header.iter().enumerate().map(|(place, name)| (column_name(name), place)).collect();
    for needed in [&columns.path, score_column] {
        if !places.contains_key(&column_name(needed)) {
            let there = header.iter().collect::<Vec<_>>().join(", ");
            return Err(refuse(format!("it lacks the column {needed}; its columns are {there}")));
        }
    }
    let row_of = |(place, cells): (usize, Result<::csv::StringRecord, ::csv::Error>)| {
        let (row, cells) = (place + 2, cells.map_err(|error| refuse(error.to_string()))?);
        let cell =
            |name: &str| places.get(&column_name(name)).and_then(|at| cells.get(*at)).filter(|text| !text.is_empty());
        let refuse = |problem: String| refuse(format!("row {row}: {problem}"));
        let score = cell(score_column).map(|text| {
            text.parse::<f64>().map_err(|_| refuse(format!("found the score `{text}`, expected a number")))
        });
        let label = cell(&columns.label).map(|word| label_of(word).map_err(refuse));
        Ok(ScoreRow {
            row,
            set: cell(SET).map(str::to_owned),
            path: cell(&columns.path).ok_or_else(|| refuse("the path is missing".into()))?.into(),
            score: score.transpose()?.filter(|score| !score.is_nan()),
            label: label.transpose()?.flatten(),
            people: cell(&columns.group).map(people_of_group),
            method: cell(&columns.method).map(str::to_owned),
        })
    };
    reader.records().enumerate().map(row_of).collect()
}
