//! `evaluation.json`: what a checkpoint got on each set of videos, in full.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::{Label, SkippedVideo};
use crate::metrics::{Calibration, CurvePoint, Metrics, OperatingPoint};

/// What one checkpoint got on each set. Keys may be added, not renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessments {
    /// Its folder.
    pub checkpoint: String,
    /// What logits are divided by to make probabilities of them; absent where none was fitted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature: Option<f64>,
    /// The run's own test videos first, then each other data set.
    pub sets: Vec<Assessment>,
}

/// What came out on one set of videos.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// `test`, or the data set's name.
    pub name: String,
    /// Over all videos.
    pub overall: Metrics,
    /// Each way of forging, against all reals.
    #[serde(default)]
    pub methods: BTreeMap<String, Metrics>,
    /// Each compression for itself.
    #[serde(default)]
    pub compressions: BTreeMap<String, Metrics>,
    /// From the threshold at which nothing is fake, down; empty where one class is missing.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    /// Thresholds that somebody may want to work with.
    #[serde(default)]
    pub operating_points: Vec<OperatingPoint>,
    /// How far scores can be taken for probabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<Calibration>,
    /// The most confident first.
    #[serde(default)]
    pub mistakes: Vec<Mistake>,
    /// Videos that could not be scored.
    #[serde(default)]
    pub unreadable: Vec<SkippedVideo>,
}

/// A video on the wrong side of 0.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Its name, as in the manifest.
    pub video: String,
    /// What it is.
    pub label: Label,
    /// How it was forged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// What it was taken for: the probability of fake.
    pub score: f64,
    /// A JPEG of it, below the run's folder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub picture: Option<PathBuf>,
}
