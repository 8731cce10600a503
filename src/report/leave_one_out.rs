//! `leave_one_out.json`: a run for each forgery method, which was only tested on there, and the table of their results. Only
//! the format: the caller trains and writes the file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::evaluation_report::{DatasetReport, SEEN};
use super::number_format::{interval, number};
use super::table::plain_table;
use crate::files;
use crate::metrics::Metrics;

/// The runs that leave one method out each. Keys may be added, not renamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LeaveOneOutReport {
    /// One run for each method, in the order of training.
    pub rounds: Vec<Round>,
}

/// A run that leaves a method out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The method that is only tested on.
    pub method: String,
    /// The folder of its run, below that of the study; absent before it is finished.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<PathBuf>,
    /// Test metrics of the fakes of this method against all reals.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unseen: Option<Metrics>,
    /// Test metrics of the fakes of all other methods against all reals.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seen: Option<Metrics>,
}

impl Round {
    /// Records the finished run in `run`, with its test where there is one. The test may have fakes of further methods that
    /// were not trained on.
    pub fn finish(&mut self, run: PathBuf, test: Option<&DatasetReport>) {
        self.run = Some(run);
        self.unseen = test.and_then(|test| test.methods.get(&self.method).cloned());
        self.seen = test.and_then(|test| test.seen_and_unseen.get(SEEN).cloned());
    }
}

impl LeaveOneOutReport {
    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        files::write_whole(path, &serde_json::to_vec_pretty(self)?)
    }
}

/// A row for each method, and the means.
impl fmt::Display for LeaveOneOutReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let header = ["left out", "videos", "unseen video AUC", "95% interval", "unseen EER", "seen video AUC"];
        let auc = |metrics: &Option<Metrics>| metrics.as_ref().and_then(|metrics| metrics.video_auc);
        let eer = |metrics: &Option<Metrics>| metrics.as_ref().and_then(|metrics| metrics.eer);
        let row = |Round { method, unseen, seen, .. }: &Round| {
            let unseen_interval = unseen.as_ref().and_then(|metrics| metrics.video_auc_ci95);
            vec![
                method.clone(),
                unseen.as_ref().map_or_else(String::new, |metrics| metrics.videos.to_string()),
                number(auc(unseen)),
                interval(unseen_interval),
                number(eer(unseen)),
                number(auc(seen)),
            ]
        };
        // A mean over some of the methods would be that of other ones.
        let mean = |value: &dyn Fn(&Round) -> Option<f64>| {
            let values: Option<Vec<f64>> = self.rounds.iter().map(value).collect();
            number(values.map(|values| values.iter().sum::<f64>() / values.len() as f64))
        };
        let means = vec![
            "mean".to_owned(),
            String::new(),
            mean(&|round| auc(&round.unseen)),
            String::new(),
            mean(&|round| eer(&round.unseen)),
            mean(&|round| auc(&round.seen)),
        ];
        let rows = self.rounds.iter().map(row).chain([means]);
        write!(f, "{}", plain_table(header.map(str::to_owned).to_vec(), rows))
    }
}
