//! `evaluation.json`: what the scores of one or more data sets say, for people, programs and the report's page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::dataset::{Label, SkippedVideo};
use crate::metrics::{Calibration, CurvePoint, Metrics, OperatingPoint};

/// A detector on some data sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessments {
    /// The checkpoint's folder.
    pub checkpoint: String,
    /// What its logits are divided by for calibrated probabilities; fitted on its validation videos.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature: Option<f64>,
    /// One a data set, in the order in which they were asked for.
    pub sets: Vec<Assessment>,
}

/// What a run calls its own test videos.
pub const OWN_TEST: &str = "test";

/// What is said of a data set's scores. Keys may be added, not renamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// What the set is called.
    pub name: String,
    /// Of all videos.
    pub overall: Metrics,
    /// What intervals were drawn over.
    #[serde(default)]
    pub drawn_over: DrawnOver,
    /// Of each method's fakes against all reals.
    pub methods: BTreeMap<String, Metrics>,
    /// Of the videos of each compression, where there are several.
    #[serde(default)]
    pub compressions: BTreeMap<String, Metrics>,
    /// Serves the ROC curve and that of precision and recall.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    /// Thresholds that somebody may want to use.
    #[serde(default)]
    pub operating_points: Vec<OperatingPoint>,
    /// Whether scores mean what they say; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<Calibration>,
    /// Videos on the wrong side of 0.5, the most confident first.
    #[serde(default)]
    pub mistakes: Vec<Mistake>,
    /// Videos that have no score, and why.
    pub unreadable: Vec<SkippedVideo>,
}

/// What bootstrap samples are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnOver {
    /// Videos that share people together, or each by itself.
    pub unit: Unit,
    /// How many there are.
    pub groups: usize,
}

/// What counts as one observation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// All videos that share a person.
    Identities,
    /// A video.
    #[default]
    Videos,
}

/// A video on the wrong side of 0.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Its path, for people.
    pub video: String,
    /// What it is.
    pub label: Label,
    /// How it was forged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// Probability of fake.
    pub score: f64,
    /// A frame of it, below the folder that `evaluation.json` is in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub picture: Option<PathBuf>,
}

impl Assessments {
    /// That of a run's own test videos, where it has some.
    #[must_use]
    pub fn own(&self) -> Option<&Assessment> {
        self.sets.iter().find(|set| set.name == OWN_TEST)
    }

    /// Reads an `evaluation.json`.
    ///
    /// # Errors
    /// There is no such file, or it is something else.
    pub fn load(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}
