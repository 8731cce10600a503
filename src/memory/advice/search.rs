//! The search for settings that fit. It makes changes that cost no quality first, then those that cost quality, the
//! least costly first. Among settings of equal quality, those that are expected to be fastest come first.
//!
//! The search judges configurations by the estimate alone; `advise.rs` puts the result into words.

use super::batch_size::{LARGEST_BATCH, batch_size_candidates, with_chosen_batch_size, with_same_effective_batch};
use super::budget::MemoryBudget;
use super::loader::{fit_loader, leanest_loader};
use super::quality::quality_reductions;
use crate::config::{BatchSize, Config, Precision};
use crate::torch::Format;

/// The result of the search.
pub(super) struct SearchResult {
    /// The best configuration that fits, or the leanest one of those tried where none does.
    pub(super) best: Config,
    /// All configurations that fit and learn as well as `best`, the fastest first; they differ in settings that cost no
    /// quality.
    pub(super) ranked: Vec<Config>,
}

/// Looks for the fastest settings that fit. A configuration that fits keeps its settings of step and network.
pub(super) fn search(config: &Config, budget: &MemoryBudget) -> SearchResult {
    let is_auto = config.training.batch_size == BatchSize::Auto;
    let config = &with_chosen_batch_size(config, budget, usize::MAX);
    let ranked = fitting_settings(config, budget);
    let mut best = match ranked.first() {
        _ if budget.fits(&leanest_loader(config)) => fit_loader(config, budget),
        Some(fastest) => fit_loader(fastest, budget),
        None => fit_loader(&leanest(config, budget), budget),
    };
    if !is_auto && budget.fits(&best) {
        use_headroom(&mut best, budget);
    }
    let ranked = ranked.iter().map(|config| fit_loader(config, budget)).filter(|config| budget.fits(config)).collect();
    SearchResult { best, ranked }
}

/// Settings that fit with the leanest loader, the fastest first, after as few reductions of quality as possible.
fn fitting_settings(config: &Config, budget: &MemoryBudget) -> Vec<Config> {
    let mut reduced = config.clone();
    let mut reductions = quality_reductions(config).into_iter();
    loop {
        let mut fitting: Vec<_> = equally_good_settings(&reduced, budget)
            .into_iter()
            .filter(|config| budget.fits(&leanest_loader(config)))
            .collect();
        if !fitting.is_empty() {
            let speed = |config: &Config| budget.speed(config);
            fitting.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
            return fitting;
        }
        match reductions.next() {
            Some(reduce) => reduce(&mut reduced),
            None => return Vec::new(),
        }
    }
}

/// Settings that learn the same: other batch sizes with the same effective batch, half precision, activation
/// checkpointing.
fn equally_good_settings(config: &Config, budget: &MemoryBudget) -> Vec<Config> {
    let mut half = config.clone();
    if budget.format(config) == Format::F32 {
        half.gpu.mixed_precision = match Format::resolve(Precision::Auto, budget.capability) {
            Format::Fp16 => Precision::Fp16,
            Format::Bf16 => Precision::Bf16,
            Format::F32 => config.gpu.mixed_precision,
        };
    }
    let formats = if half == *config { vec![half] } else { vec![half, config.clone()] };
    let mut settings: Vec<_> = formats.iter().flat_map(batch_size_candidates).collect();
    if !config.model.activation_checkpointing {
        let recomputing = settings.clone().into_iter().map(|mut config| {
            config.model.activation_checkpointing = true;
            config
        });
        settings.extend(recomputing.collect::<Vec<_>>());
    }
    settings
}

/// The settings that need the least memory, after all reductions of quality, for saying how much even those need.
fn leanest(config: &Config, budget: &MemoryBudget) -> Config {
    let mut reduced = config.clone();
    quality_reductions(config).iter().for_each(|reduce| reduce(&mut reduced));
    equally_good_settings(&reduced, budget)
        .into_iter()
        .min_by_key(|config| budget.step(config).peak_bytes)
        .unwrap_or(reduced)
}

/// Takes larger batches and less accumulation, at the same effective batch, where much memory is unused: fewer kernel
/// launches, better statistics in batch-norm.
fn use_headroom(config: &mut Config, budget: &MemoryBudget) {
    if config.training.gradient_accumulation == 1 || !budget.has_headroom(config) {
        return;
    }
    let effective = config.training.effective_batch();
    let larger = (config.training.batch_size.clips() + 1..=effective.min(LARGEST_BATCH)).rev();
    if let Some(sized) =
        larger.filter_map(|batch_size| with_same_effective_batch(config, batch_size)).find(|sized| budget.fits(sized))
    {
        *config = sized;
    }
}
