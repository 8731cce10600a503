//! The learning rate of each optimizer step, from the number of the step and, for `plateau`, from a metric of each
//! epoch. Knows nothing of optimizers.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::config::Scheduler;

/// `one_cycle` starts at this share of the peak, as PyTorch's `OneCycleLR`.
const ONE_CYCLE_START: f64 = 1.0 / 25.0;
/// `plateau` halves the learning rate after more than this many epochs without a gain.
const PLATEAU_PATIENCE: u32 = 3;
const PLATEAU_FACTOR: f64 = 0.5;

/// The learning rate over a run, equal to that of PyTorch's scheduler of the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The kind of schedule.
    pub kind: Scheduler,
    /// Highest learning rate.
    pub peak: f64,
    /// Lowest learning rate after the warm-up.
    pub minimum: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// All steps of the run, the warm-up included.
    pub total_steps: u64,
    /// Steps from one restart to the next (`cosine_with_restarts` only).
    pub restart_steps: u64,
    /// Steps at the end over which the learning rate falls (`warmup_stable_decay` only).
    pub decay_steps: u64,
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0; `plateau_factor` is [`PlateauState::factor`].
    #[must_use]
    pub fn at(&self, step: u64, plateau_factor: f64) -> f64 {
        if self.kind == Scheduler::OneCycle {
            return self.one_cycle(step);
        }
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        match self.kind {
            Scheduler::Plateau => (self.peak * plateau_factor).max(self.minimum),
            Scheduler::Cosine => {
                let length = self.total_steps.saturating_sub(self.warmup_steps).max(1);
                let done = (step - self.warmup_steps).min(length) as f64 / length as f64;
                cosine(self.peak, self.minimum, done)
            }
            Scheduler::CosineWithRestarts => {
                let length = self.restart_steps.max(1);
                let done = ((step - self.warmup_steps) % length) as f64 / length as f64;
                cosine(self.peak, self.minimum, done)
            }
            Scheduler::WarmupStableDecay => {
                let start = self.total_steps.saturating_sub(self.decay_steps).max(self.warmup_steps);
                let length = self.total_steps.saturating_sub(start).max(1);
                let done = step.saturating_sub(start).min(length) as f64 / length as f64;
                self.peak + (self.minimum - self.peak) * done
            }
            Scheduler::Constant | Scheduler::OneCycle => self.peak,
        }
    }

    /// Half a cosine up to the peak over the warm-up, half a cosine down over the rest (Smith and Topin, 2018).
    fn one_cycle(&self, step: u64) -> f64 {
        let step = step.min(self.total_steps.saturating_sub(1)) as f64;
        let (top, end) = (self.warmup_steps as f64 - 1.0, self.total_steps.max(1) as f64 - 1.0);
        if step <= top {
            // A warm-up of a single step is at its end.
            let done = if top > 0.0 { step / top } else { 1.0 };
            return cosine(ONE_CYCLE_START * self.peak, self.peak, done);
        }
        let done = if end > top { (step - top) / (end - top) } else { 1.0 };
        cosine(self.peak, self.minimum, done)
    }
}

/// Half a cosine from `start` to `end` at the fraction `done`, 0 to 1.
fn cosine(start: f64, end: f64, done: f64) -> f64 {
    end + 0.5 * (start - end) * (1.0 + (PI * done).cos())
}

/// The state of `plateau`: PyTorch's `ReduceLROnPlateau` with an absolute threshold, updated once per epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    best: Option<f64>,
    bad_epochs: u32,
    /// Factor on the peak learning rate.
    pub factor: f64,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self { best: None, bad_epochs: 0, factor: 1.0 }
    }
}

impl PlateauState {
    /// Updates the state with an epoch's value; higher is better, and an improvement by more than `min_delta` counts.
    pub fn update(&mut self, value: Option<f64>, min_delta: f64) {
        match value {
            Some(value) if self.best.is_none_or(|best| value > best + min_delta) => {
                (self.best, self.bad_epochs) = (Some(value), 0);
            }
            _ => self.bad_epochs += 1,
        }
        if self.bad_epochs > PLATEAU_PATIENCE {
            (self.factor, self.bad_epochs) = (self.factor * PLATEAU_FACTOR, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_shorter_than_their_warm_up_or_without_one_are_fine() {
        use Scheduler::{Constant, Cosine, CosineWithRestarts, OneCycle, Plateau, WarmupStableDecay};
        for kind in [Cosine, CosineWithRestarts, OneCycle, Plateau, Constant, WarmupStableDecay] {
            for (warmup_steps, total_steps) in [(0, 1), (1, 1), (0, 2), (1, 2), (5, 3), (0, 0)] {
                let (restart_steps, decay_steps) = (warmup_steps, warmup_steps);
                let (peak, minimum) = (1.0, 0.1);
                let schedule = Schedule { kind, peak, minimum, warmup_steps, total_steps, restart_steps, decay_steps };
                let rates: Vec<_> = (0..8).map(|step| schedule.at(step, 1.0)).collect();
                assert!(rates.iter().all(|rate| (0.03..=1.0).contains(rate)), "{schedule:?}: {rates:?}");
            }
        }
    }
}
