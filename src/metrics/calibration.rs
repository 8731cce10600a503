//! Calibration: expected calibration error, and temperature scaling. The caller decides which videos the temperature is
//! fitted on, and stores it. The bins are in `calibration_bins.rs`.

use serde::{Deserialize, Serialize};

use super::calibration_bins::{Bins, CalibrationBin};
use super::log_loss::log_loss;

/// Logarithms of the smallest and the largest temperature of the search. Bounds are needed: where no score is on the
/// wrong side of probability 0.5, the best temperature is 0.
const LOG_TEMPERATURES: [f64; 2] = [-3.0, 3.0];
/// Steps of the bisection.
const BISECTION_STEPS: usize = 60;

/// How far predicted probabilities are from the observed shares of fakes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error over 15 bins of equal width (Guo et al., 2017).
    pub ece: f64,
    /// The bins that have videos.
    pub bins: Vec<CalibrationBin>,
    /// Expected calibration error after the temperature is applied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ece_calibrated: Option<f64>,
    /// Log-loss after the temperature is applied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log_loss_calibrated: Option<f64>,
}

impl Calibration {
    /// The calibration of video scores, as they are and with a temperature that was fitted on other videos. `None`
    /// without scores.
    #[must_use]
    pub fn of(scores: &[f64], is_fake: &[bool], temperature: Option<f64>) -> Option<Self> {
        // None without scores.
        log_loss(scores, is_fake)?;
        let bins = Bins::of(scores, is_fake, |_| 1.0);
        let calibrated: Option<Vec<_>> =
            temperature.map(|temperature| scores.iter().map(|score| calibrated(*score, temperature)).collect());
        Some(Self {
            ece: bins.expected_error()?,
            bins: bins.filled(),
            ece_calibrated: calibrated.as_ref().and_then(|scores| Bins::of(scores, is_fake, |_| 1.0).expected_error()),
            log_loss_calibrated: calibrated.and_then(|scores| log_loss(&scores, is_fake)),
        })
    }
}

/// A probability whose logit is divided by the temperature.
#[must_use]
pub fn calibrated(score: f64, temperature: f64) -> f64 {
    sigmoid(logit(score) / temperature)
}

/// The probability of a logit.
#[must_use]
pub fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// The temperature that minimises the log-loss of the logits divided by it. `None` where one class is missing, a score
/// is not a number, or the minimum lies outside e^-3 to e^3: where no score is on the wrong side, the loss falls
/// towards temperature 0, and where scores do not depend on the class, towards infinity.
///
/// Guo et al., "On Calibration of Modern Neural Networks", 2017. The loss is convex in the inverse of the temperature,
/// so bisection on the sign of its slope finds the minimum.
#[must_use]
pub fn fit_temperature(scores: &[f64], is_fake: &[bool]) -> Option<f64> {
    let both = is_fake.contains(&true) && is_fake.contains(&false);
    if !both || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let logits: Vec<f64> = scores.iter().map(|score| logit(*score)).collect();
    let slope = |inverse: f64| -> f64 {
        let of = |(logit, fake): (&f64, &bool)| (sigmoid(inverse * logit) - f64::from(u8::from(*fake))) * logit;
        logits.iter().zip(is_fake).map(of).sum()
    };
    let bounds = LOG_TEMPERATURES.map(|log: f64| slope((-log).exp()));
    if bounds[0] <= 0.0 || bounds[1] >= 0.0 {
        return None;
    }
    let [mut low, mut high] = LOG_TEMPERATURES;
    for _ in 0..BISECTION_STEPS {
        let middle = 0.5 * (low + high);
        // A negative slope means that a larger inverse, which is a lower temperature, has a lower loss.
        if slope((-middle).exp()) < 0.0 { high = middle } else { low = middle }
    }
    Some((0.5 * (low + high)).exp())
}

/// The logit of a probability, which is clipped to `[1e-12, 1 - 1e-12]`.
#[must_use]
pub fn logit(score: f64) -> f64 {
    let p = score.clamp(1e-12, 1.0 - 1e-12);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_that_is_twice_too_sure_gets_temperature_two() {
        // Logits of +-1 that are right as often as their probability says, doubled.
        let p = 1.0 / (1.0 + (-1.0_f64).exp());
        let right = (p * 10_000.0).round() as usize;
        let sure = 1.0 / (1.0 + (-2.0_f64).exp());
        let scores = vec![sure; 10_000];
        let is_fake: Vec<bool> = (0..10_000).map(|i| i < right).collect();
        let temperature = fit_temperature(&scores, &is_fake).unwrap();
        assert!((temperature - 2.0).abs() < 1e-3, "{temperature}");
        let calibration = Calibration::of(&scores, &is_fake, Some(temperature)).unwrap();
        assert!(calibration.ece > 0.14 && calibration.ece_calibrated.unwrap() < 1e-4, "{calibration:?}");
        assert!((calibrated(sure, temperature) - p).abs() < 1e-4);
    }

    #[test]
    fn scores_that_cannot_say_give_no_temperature() {
        let without_mistakes = fit_temperature(&[0.9, 0.1], &[true, false]);
        let without_sense = fit_temperature(&[0.9, 0.1, 0.9, 0.1], &[true, true, false, false]);
        let one_class = fit_temperature(&[0.9, 0.8], &[true, true]);
        let to_the_last_bit = fit_temperature(&[1.0, 0.0], &[true, false]);
        assert_eq!([without_mistakes, without_sense, one_class, to_the_last_bit], [None; 4]);
    }
}
