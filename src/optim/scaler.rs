//! Dynamic loss scaling: keeps small fp16 gradients from vanishing without letting large ones overflow.

use serde::{Deserialize, Serialize};

/// Doubles after this many good steps, as PyTorch's scaler does.
const GROWTH_INTERVAL: u32 = 2000;

/// The factor on the loss. 1 and fixed where the format needs no scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossScaler {
    scale: f64,
    good_steps: u32,
    enabled: bool,
}

impl LossScaler {
    /// Starts at 65,536 when `enabled`, else stays at 1.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self { scale: if enabled { 65536.0 } else { 1.0 }, good_steps: 0, enabled }
    }

    /// Whether it scales at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What the loss is multiplied by, and the gradients are divided by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Takes note of a step: gradients that overflowed halve the scale, many good ones double it.
    pub fn update(&mut self, finite: bool) {
        if !self.enabled {
            return;
        }
        if !finite {
            self.scale *= 0.5;
            self.good_steps = 0;
            return;
        }
        self.good_steps += 1;
        if self.good_steps == GROWTH_INTERVAL {
            self.scale *= 2.0;
            self.good_steps = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_on_overflow_and_grows_after_many_good_steps() {
        let mut scaler = LossScaler::new(true);
        scaler.update(false);
        assert_eq!(scaler.scale(), 32768.0);
        for _ in 0..GROWTH_INTERVAL - 1 {
            scaler.update(true);
        }
        assert_eq!(scaler.scale(), 32768.0);
        scaler.update(true);
        assert_eq!(scaler.scale(), 65536.0);
    }

    #[test]
    fn stays_at_one_where_it_is_not_needed() {
        let mut scaler = LossScaler::new(false);
        scaler.update(false);
        assert_eq!(scaler.scale(), 1.0);
    }
}
