//! Leaving one method out: a run for each forgery method, which is only tested on in its run. Each is a run like any other,
//! in the folder of its method. A study that ended early goes on with what is not finished; its folder says what that is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::{RunError, cannot_write};
use super::prepare::{PreparedRun, prepare};
use super::resume::resume;
use crate::config::{self, Config, ConfigError};
use crate::dataset::{DataError, Manifest, Split};
use crate::files;
use crate::report::{EvaluationReport, LeaveOneOutReport, Round, RunFolder};

const FILE: &str = "leave_one_out.json";

/// A study: its folder, and its rounds.
#[derive(Debug)]
pub struct LeaveOneOut {
    folder: PathBuf,
    config: Config,
    overrides: Vec<String>,
    /// The rounds, with the results of those that are finished.
    pub report: LeaveOneOutReport,
}

impl LeaveOneOut {
    /// Makes the folder of a new study, with a round for each method of the training fakes.
    ///
    /// # Errors
    /// The data set cannot be trained on or has fewer than two methods, or the folder cannot be made.
    pub fn begin(config: Config) -> Result<Self, RunError> {
        if !config.data.holdout_methods.is_empty() {
            return Err(RunError::Config(ConfigError {
                place: "--leave-one-out".into(),
                key: "data.holdout_methods".into(),
                problem: "each round sets it to a method of its own".into(),
                hint: Some("leave it out; data.methods says which methods there are rounds for".into()),
            }));
        }
        let prepared = prepare(config)?;
        let methods = methods(&prepared.manifest)?;
        let config = prepared.config;
        let output = &config.output.directory;
        let folder = RunFolder::create(output, &format!("{}-leave-one-out", config.experiment.name));
        let folder = folder.map_err(cannot_write(output))?;
        let rounds = methods.into_iter().map(|method| Round { method, run: None, unseen: None, seen: None });
        let report = LeaveOneOutReport { rounds: rounds.collect() };
        let yaml =
            serde_yaml::to_string(&config).map_err(RunError::format("the configuration cannot be written as YAML"))?;
        files::write_whole(&folder.config(), yaml.as_bytes()).map_err(cannot_write(&folder.config()))?;
        let study = Self { folder: folder.path().to_owned(), config, overrides: Vec::new(), report };
        study.save()?;
        Ok(study)
    }

    /// Whether a folder is that of a study, and not that of a run.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// Opens a study to go on with it, with some settings changed (each override `a.b=value`).
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn open(folder: &Path, overrides: &[String]) -> Result<Self, RunError> {
        let file = folder.join(FILE);
        let what = || format!("{}: the study cannot be read\n  hint: start a new one", file.display());
        let text = fs::read(&file).map_err(RunError::io(what()))?;
        let report = serde_json::from_slice(&text).map_err(|error| RunError::io(what())(error.into()))?;
        let config = config::load(&RunFolder::open(folder).config(), overrides)?.config;
        Ok(Self { folder: folder.to_owned(), config, overrides: overrides.to_vec(), report })
    }

    /// The folder of the study.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The number of the next round that is not finished, counted from 0.
    #[must_use]
    pub fn next_round(&self) -> Option<usize> {
        self.report.rounds.iter().position(|round| round.run.is_none())
    }

    /// The run of a round: a new one, or one that ended early.
    ///
    /// # Errors
    /// The data set cannot be trained on without the method, or the run that ended early cannot be resumed.
    pub fn prepare(&self, number: usize) -> Result<PreparedRun, RunError> {
        let folder = self.folder.join(self.folder_of(number));
        if let Some(started) = RunFolder::latest(&folder) {
            return resume(started, &self.overrides);
        }
        let mut config = self.config.clone();
        config.data.holdout_methods = vec![self.report.rounds[number].method.clone()];
        config.output.directory = folder;
        prepare(config)
    }

    /// Records the test of a finished round.
    ///
    /// # Errors
    /// It cannot be read, or not be written here.
    pub fn finish(&mut self, number: usize, run: &RunFolder) -> Result<(), RunError> {
        let file = run.evaluation();
        let what = || format!("{}: the round's test cannot be read", file.display());
        let evaluation: EvaluationReport = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => EvaluationReport::default(),
            read => serde_json::from_slice(&read.map_err(RunError::io(what()))?)
                .map_err(|error| RunError::io(what())(error.into()))?,
        };
        let below = run.path().strip_prefix(&self.folder).unwrap_or(run.path());
        self.report.rounds[number].finish(below.to_owned(), evaluation.test_set());
        self.save()
    }

    fn save(&self) -> Result<(), RunError> {
        let file = self.folder.join(FILE);
        self.report.save(&file).map_err(cannot_write(&file))
    }

    /// A method's name may hold what a folder's name may not.
    fn folder_of(&self, number: usize) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let method = self.report.rounds[number].method.chars().take(60);
        let plain: String = method.map(|c| if is_plain(c) { c } else { '_' }).collect();
        format!("{:02}-{plain}", number + 1)
    }
}

/// The methods of the fakes that would be trained on.
fn methods(manifest: &Manifest) -> Result<Vec<String>, DataError> {
    let mut methods = manifest.methods(Split::Train);
    methods.retain(|method| {
        let is_of = |video: &usize| manifest.videos[*video].method.as_ref() == Some(method);
        let mut of_it = manifest.indices(Split::Train).into_iter().filter(is_of);
        of_it.any(|video| !manifest.videos[video].is_self_blend())
    });
    if methods.len() < 2 {
        let found = if methods.is_empty() { "none with a name".to_owned() } else { format!("only {}", methods[0]) };
        return Err(DataError::Unusable {
            root: manifest.root().to_owned(),
            problem: format!("to leave one method out, there must be two for training; found {found}"),
            hint: "methods are folders below `fake`, or the column `method` of a CSV".into(),
        });
    }
    Ok(methods)
}
