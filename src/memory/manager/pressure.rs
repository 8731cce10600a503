//! Memory pressure: when memory counts as short, and when no longer, by a threshold with hysteresis.
//!
//! This file computes with numbers alone: the share in use goes in, a change of pressure comes out.

/// Memory is calm where its share in use is at least this much below the threshold.
const MARGIN: f64 = 0.05;
/// Memory is worse where its share in use is at least this much above that of the last clean-up.
const WORSE: f64 = 0.03;
/// So many readings above the threshold since the last clean-up cause the next one.
const STUCK_READINGS: u32 = 4;
/// So many calm readings in a row let caches grow by a notch; twice as many each time that memory got short after that.
const PATIENCE: u32 = 4;
const MOST_PATIENCE: u32 = 64;

/// A change of pressure that calls for action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PressureChange {
    /// Memory got short: clean up.
    Short,
    /// Memory got shorter or stayed short: clean up again.
    StillShort,
    /// Memory has not been short for a while: caches that shrank may grow by a notch.
    Calm,
}

/// The pressure on one kind of memory.
#[derive(Debug)]
pub(super) struct Pressure {
    threshold: f64,
    /// The share at the last clean-up, while memory is short.
    cleaned_at: Option<f64>,
    /// Readings above the threshold since the last clean-up.
    stuck: u32,
    /// Calm readings in a row.
    calm: u32,
    /// Calm readings in a row that let caches grow.
    patience: u32,
    has_shrunk: bool,
    has_grown: bool,
}

impl Pressure {
    pub fn new(threshold: f64) -> Self {
        Self { threshold, cleaned_at: None, stuck: 0, calm: 0, patience: PATIENCE, has_shrunk: false, has_grown: false }
    }

    /// Compares a share in use with the threshold and with earlier ones.
    pub fn observe(&mut self, share: f64) -> Option<PressureChange> {
        if share >= self.threshold {
            self.calm = 0;
            return self.observe_short(share);
        }
        if !self.is_calm(share) || !self.has_shrunk {
            self.calm = 0;
            return None;
        }
        self.calm += 1;
        if self.calm < self.patience {
            return None;
        }
        (self.calm, self.cleaned_at, self.has_grown) = (0, None, true);
        Some(PressureChange::Calm)
    }

    fn observe_short(&mut self, share: f64) -> Option<PressureChange> {
        if self.cleaned_at.is_none() && std::mem::take(&mut self.has_grown) {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        self.stuck += 1;
        let change = match self.cleaned_at {
            None => PressureChange::Short,
            Some(before) if share >= before + WORSE || self.stuck >= STUCK_READINGS => PressureChange::StillShort,
            Some(_) => return None,
        };
        (self.cleaned_at, self.stuck, self.has_shrunk) = (Some(share), 0, true);
        Some(change)
    }

    /// Whether a share is most of the way from the threshold to full: then a smaller batch is worth its price.
    pub fn is_critical(&self, share: f64) -> bool {
        share >= self.threshold + 0.7 * (1.0 - self.threshold)
    }

    /// Whether memory at this share would count as calm.
    pub fn is_calm(&self, share: f64) -> bool {
        share <= self.threshold - MARGIN
    }

    pub fn threshold(&self) -> f64 {
        self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a reading: `s` where memory gets short, `S` where it is still short, `c` where it is calm again, `.`
    /// where nothing is to do.
    fn story(pressure: &mut Pressure, shares: &[f64]) -> String {
        let letter = |share: &f64| match pressure.observe(*share) {
            Some(PressureChange::Short) => 's',
            Some(PressureChange::StillShort) => 'S',
            Some(PressureChange::Calm) => 'c',
            None => '.',
        };
        shares.iter().map(letter).collect()
    }

    #[test]
    fn one_crossing_is_one_clean_up_however_it_flickers() {
        let mut pressure = Pressure::new(0.8);
        assert_eq!(story(&mut pressure, &[0.5, 0.79, 0.8, 0.81, 0.7, 0.81, 0.77, 0.7, 0.7]), "..s......");
    }

    #[test]
    fn worse_or_stuck_is_cleaned_again() {
        let mut pressure = Pressure::new(0.8);
        assert_eq!(story(&mut pressure, &[0.82, 0.84, 0.86, 0.86, 0.86, 0.86, 0.86]), "s.S...S");
    }

    #[test]
    fn growth_waits_for_calm_and_longer_each_time_it_was_too_early() {
        let mut pressure = Pressure::new(0.8);
        assert_eq!(story(&mut pressure, &[0.6; 8]), "........", "nothing was made smaller yet");
        assert_eq!(story(&mut pressure, &[0.9, 0.6, 0.6, 0.6, 0.6]), "s...c");
        assert_eq!(story(&mut pressure, &[0.9]), "s");
        assert_eq!(story(&mut pressure, &[0.6; 8]), ".......c");
        assert_eq!(story(&mut pressure, &[0.6; 8]), ".......c", "no new pressure, no longer wait");
        assert_eq!(story(&mut pressure, &[0.6, 0.6, 0.79, 0.6]), "....", "not calm in between");
    }

    #[test]
    fn critical_is_most_of_the_way_to_full() {
        let pressure = Pressure::new(0.8);
        assert_eq!([0.9, 0.94, 1.0].map(|share| pressure.is_critical(share)), [false, true, true]);
        assert!(pressure.is_calm(0.75) && !pressure.is_calm(0.76));
    }
}
