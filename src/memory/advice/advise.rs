//! Advice on the settings that fit the memory, in a form that lets a person decide: each change, its reason, what it
//! saves.
//!
//! The caller passes the facts; this file measures nothing. `search.rs` looks for the settings. `dfdetect suggest` asks
//! for advice.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::batch_size::with_chosen_batch_size;
use super::budget::MemoryBudget;
use super::facts::{DeviceFacts, HostFacts};
use super::notes::notes;
use super::search::{SearchResult, search};
use super::suggestion::{Suggestion, proposed_values, suggestions};
use crate::config::Config;
use crate::memory::predict::Estimate;
use crate::torch::Format;

/// Settings that fit, and their expected speed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedSettings {
    /// The values that differ from the configuration, by key.
    pub settings: BTreeMap<String, Value>,
    /// The settings as a whole.
    #[serde(skip)]
    pub config: Config,
    /// The number format that they mean.
    pub format: Format,
    /// Predicted peak memory of a step.
    pub peak_bytes: u64,
    /// Expected clips a second, relative to the fastest in the list.
    pub speed: f64,
}

/// Host memory that the configured run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostAdvice {
    /// Host memory that is free.
    pub free_bytes: u64,
    /// Processor cores.
    pub cores: usize,
    /// Host memory of the loader: clips that wait for the trainer, and decoders.
    pub loader_bytes: u64,
    /// Host memory of the copy that is written as a checkpoint while training goes on; 0 where none is made.
    pub checkpoint_bytes: u64,
    /// The most that the frame cache may grow to.
    pub cache_bytes: u64,
    /// Whether all of it fits, together with the step where that runs on the CPU.
    pub fits: bool,
}

/// The result of [`advise`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The device that the advice is about.
    pub device: DeviceFacts,
    /// The device's memory without the reserve.
    pub usable_bytes: u64,
    /// The number format that the configured precision means on the device.
    pub format: Format,
    /// The predicted step of the configuration; with `training.batch_size: auto`, of the size that takes its place.
    pub estimate: Estimate,
    /// The predicted evaluation pass of the configuration.
    pub evaluation: Estimate,
    /// Predicted memory of the device during validation, when gradients and moments stay.
    pub validation_bytes: u64,
    /// The configuration with a number in place of `training.batch_size: auto`.
    #[serde(skip)]
    pub sized: Config,
    /// Whether the configured run fits, on the device and on the host.
    pub fits: bool,
    /// Host memory of the configured run.
    pub host: HostAdvice,
    /// Suggested changes, in the order in which they cost quality.
    pub suggestions: Vec<Suggestion>,
    /// The suggested values together; empty where nothing needs to change or nothing fits.
    pub recommended: BTreeMap<String, Value>,
    /// The predicted step with `recommended`.
    pub recommended_estimate: Estimate,
    /// The predicted evaluation pass with `recommended`.
    pub recommended_evaluation: Estimate,
    /// Whether the run with `recommended` fits.
    pub recommended_fits: bool,
    /// The configuration with `recommended`.
    #[serde(skip)]
    pub best: Config,
    /// Settings that fit and learn as well as the recommended ones, the fastest first.
    pub ranked: Vec<RankedSettings>,
    /// Further notes, one sentence each.
    pub notes: Vec<String>,
}

/// Judges `config` and suggests changes.
#[must_use]
pub fn advise(config: &Config, device: &DeviceFacts, host: HostFacts) -> Advice {
    let budget = MemoryBudget::new(device, host);
    let found = search(config, &budget);
    let fits = budget.fits(&found.best);
    compose(config, found, fits, device, &budget)
}

/// As [`advise`], with `best`, whose batch size held in trial steps, whatever was predicted.
#[must_use]
pub fn advise_measured(config: &Config, device: &DeviceFacts, host: HostFacts, best: Config) -> Advice {
    let budget = MemoryBudget::new(device, host);
    let found = SearchResult { best, ..search(config, &budget) };
    compose(config, found, true, device, &budget)
}

/// Puts the result of the search into words.
fn compose(
    config: &Config,
    found: SearchResult,
    recommended_fits: bool,
    device: &DeviceFacts,
    budget: &MemoryBudget,
) -> Advice {
    let SearchResult { best, ranked } = found;
    let sized = with_chosen_batch_size(config, budget, usize::MAX);
    let suggestions = suggestions(config, &sized, &best, budget);
    Advice {
        device: device.clone(),
        usable_bytes: budget.device_bytes,
        format: budget.format(config),
        estimate: budget.step(&sized),
        evaluation: budget.evaluation(&sized),
        validation_bytes: budget.validation_bytes(&sized),
        fits: budget.fits(&sized),
        host: HostAdvice {
            free_bytes: budget.host.free_bytes,
            cores: budget.host.cores,
            loader_bytes: budget.loader_bytes(&sized),
            checkpoint_bytes: budget.checkpoint_bytes(&sized),
            cache_bytes: budget.cache_bytes(&sized),
            fits: budget.host_fits(&sized),
        },
        notes: notes(&sized, &best, budget),
        recommended: if recommended_fits { proposed_values(&suggestions) } else { BTreeMap::new() },
        suggestions,
        recommended_estimate: budget.step(&best),
        recommended_evaluation: budget.evaluation(&best),
        recommended_fits,
        ranked: rank(config, ranked, budget),
        sized,
        best,
    }
}

/// Settings that fit, each as its difference from the configuration.
fn rank(config: &Config, fitting: Vec<Config>, budget: &MemoryBudget) -> Vec<RankedSettings> {
    let fastest = fitting.first().map_or(1.0, |config| budget.speed(config));
    let sized = with_chosen_batch_size(config, budget, usize::MAX);
    let ranked = fitting.into_iter().map(|fitting| RankedSettings {
        settings: proposed_values(&suggestions(config, &sized, &fitting, budget)),
        format: budget.format(&fitting),
        peak_bytes: budget.step(&fitting).peak_bytes,
        speed: budget.speed(&fitting) / fastest,
        config: fitting,
    });
    ranked.collect()
}

#[cfg(test)]
mod tests;
