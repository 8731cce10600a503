//! `evaluation.json`: the evaluation of a detector on one or more data sets, for people, programs and the run's page.
//! Only the format: the caller computes the values and writes the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::dataset::{Label, SkippedVideo};
use crate::metrics::{Calibration, CurvePoint, Metrics, OperatingPoint};

/// The evaluation of a detector on some data sets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The checkpoint's folder, or the file with the scores of another program.
    pub checkpoint: String,
    /// Temperature for calibrated probabilities, fitted on the validation videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature: Option<f64>,
    /// One report per data set, in the order of the request.
    pub sets: Vec<DatasetReport>,
    /// Several data sets together; a run's own test videos are not among them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub all_sets: Option<AllSets>,
}

/// Several data sets together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllSets {
    /// Their number.
    pub sets: usize,
    /// Mean of their video AUCs; absent where one has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mean_video_auc: Option<f64>,
    /// Metrics of all of their videos as one set, so that one threshold serves all of them. A detector whose scores shift from
    /// set to set has a lower AUC here than on average.
    pub pooled: Metrics,
}

/// The name of a run's own test set.
pub const TEST_SET: &str = "test";

/// Fakes of methods that were trained on.
pub const SEEN: &str = "seen methods";
/// Fakes of methods that were not.
pub const UNSEEN: &str = "unseen methods";

/// The evaluation on one data set. Keys may be added, not renamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetReport {
    /// The set's name.
    pub name: String,
    /// Metrics of all videos.
    pub overall: Metrics,
    /// Over what the intervals are drawn.
    #[serde(default)]
    pub drawn_over: BootstrapGroups,
    /// Metrics of each method's fakes against all reals.
    pub methods: BTreeMap<String, Metrics>,
    /// Metrics of the fakes of methods that were trained on, and of those of other methods, each against all reals;
    /// absent unless there are both.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub seen_and_unseen: BTreeMap<String, Metrics>,
    /// Metrics of the videos of each compression, where there are several.
    #[serde(default)]
    pub compressions: BTreeMap<String, Metrics>,
    /// Points of the ROC and precision-recall curves.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    /// Thresholds with their rates and counts.
    #[serde(default)]
    pub operating_points: Vec<OperatingPoint>,
    /// Calibration of the scores; absent without scores.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<Calibration>,
    /// Misclassified videos at 0.5, the most confident first.
    #[serde(default)]
    pub mistakes: Vec<Mistake>,
    /// Videos without a score, with the reason.
    pub unreadable: Vec<SkippedVideo>,
}

/// What the videos count by in intervals: another draw of these would give another figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapGroups {
    /// What is drawn.
    pub unit: BootstrapUnit,
    /// How many there are.
    pub groups: usize,
}

/// Why there are no intervals.
pub(super) const TOO_FEW_PEOPLE: &str =
    "A class has fewer than 6 independent people; two who are swapped with each other count as one";

/// What is drawn for intervals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapUnit {
    /// People, each with all their videos.
    Identities,
    /// Single videos, which share nobody.
    #[default]
    Videos,
    /// Nothing: a class has too few people, or a few are in most of its videos.
    TooFew,
}

/// A video that is misclassified at 0.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Its path, for display.
    pub video: String,
    /// Its label.
    pub label: Label,
    /// Its forgery method.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// Probability of fake.
    pub score: f64,
    /// Path of a picture of one frame, relative to the folder of `evaluation.json`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub picture: Option<PathBuf>,
}

impl EvaluationReport {
    /// The report on the run's own test set, where there is one.
    #[must_use]
    pub fn test_set(&self) -> Option<&DatasetReport> {
        self.sets.iter().find(|set| set.name == TEST_SET)
    }

    /// Reads an `evaluation.json`.
    ///
    /// # Errors
    /// The file does not exist, or has other contents.
    pub fn load(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}
