//! The learning rate of each optimizer step.

/// Linear warm-up to the peak, then half a cosine down to the minimum (Loshchilov and Hutter, 2017, one cycle).
#[derive(Debug, Clone, PartialEq)]
pub struct CosineSchedule {
    /// Highest learning rate.
    pub peak: f64,
    /// Where the cosine ends.
    pub minimum: f64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// All steps of the run, the warm-up included.
    pub total_steps: u64,
}

impl CosineSchedule {
    /// The learning rate of step `step`, counted from 0.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let length = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let done = (step - self.warmup_steps).min(length) as f64 / length as f64;
        self.minimum + 0.5 * (self.peak - self.minimum) * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::CosineSchedule;

    #[test]
    fn rises_to_the_peak_then_falls_to_the_minimum() {
        let schedule = CosineSchedule { peak: 1.0, minimum: 0.1, warmup_steps: 4, total_steps: 14 };
        assert_eq!([0, 1, 2, 3].map(|step| schedule.at(step)), [0.25, 0.5, 0.75, 1.0]);
        assert_eq!(schedule.at(4), 1.0);
        assert!((schedule.at(9) - 0.55).abs() < 1e-12);
        assert!((schedule.at(14) - 0.1).abs() < 1e-12 && schedule.at(1000) == schedule.at(14));
        assert!((4..14).all(|step| schedule.at(step) > schedule.at(step + 1)));
    }

    #[test]
    fn no_warm_up_and_a_single_step_are_fine() {
        let schedule = CosineSchedule { peak: 1.0, minimum: 0.0, warmup_steps: 0, total_steps: 1 };
        assert_eq!(schedule.at(0), 1.0);
    }
}
