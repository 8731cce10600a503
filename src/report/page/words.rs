//! Numbers as a person reads them. What is not known is a dash.

use bytesize::ByteSize;

use crate::metrics::Metrics;
pub use crate::report::summary::plural;

pub const UNKNOWN: &str = "–";

/// Three decimals.
pub fn number(value: Option<f64>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.3}"))
}

/// A few significant digits of a number of any size.
pub fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e6).contains(&size) => format!("{value:.2e}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// A share as per cent.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// The bounds of an interval.
pub fn interval(bounds: Option<[f64; 2]>) -> String {
    bounds.map_or(UNKNOWN.to_owned(), |[lower, upper]| format!("{lower:.3} to {upper:.3}"))
}

pub fn bytes(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

pub fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    match (hours, minutes) {
        (0, 0) if seconds < 10.0 => format!("{seconds:.1} s"),
        (0, 0) => format!("{whole} s"),
        (0, _) => format!("{minutes} min {} s", whole % 60),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// A number of [`Metrics`] with its name, its interval, and what it means.
pub struct Entry {
    pub name: &'static str,
    pub value: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub meaning: &'static str,
}

/// The metrics that have a value, most asked-for first.
pub fn entries(metrics: &Metrics) -> Vec<Entry> {
    let Metrics { video_auc_ci95, frame_auc_ci95, eer_ci95, ap_ci95, acc_ci95, log_loss_ci95, .. } = *metrics;
    let all = [
        ("video AUC", metrics.video_auc, video_auc_ci95, "how often a fake video gets a higher score than a real one"),
        ("frame AUC", metrics.frame_auc, frame_auc_ci95, "the same of single frames"),
        ("EER", metrics.eer, eer_ci95, "the error where as many reals as fakes are taken for the other"),
        ("AP", metrics.ap, ap_ci95, "average precision, the area under precision and recall"),
        ("accuracy", metrics.acc, acc_ci95, "videos on the right side of 0.5"),
        ("balanced accuracy", metrics.balanced_acc, None, "the mean of the two classes' accuracies"),
        ("specificity", metrics.acc_real, None, "reals that are called real at 0.5"),
        ("recall", metrics.acc_fake, None, "fakes that are called fake at 0.5"),
        ("precision", metrics.precision, None, "fakes among what is called fake at 0.5"),
        ("F1", metrics.f1, None, "the harmonic mean of precision and recall"),
        ("log-loss", metrics.log_loss, log_loss_ci95, "lower is better; 0.693 is what knowing nothing costs"),
        ("ECE", metrics.ece, None, "how far scores are from shares of fakes, on average"),
    ];
    let known = all.into_iter().filter(|(_, value, ..)| value.is_some());
    known.map(|(name, value, interval, meaning)| Entry { name, value, interval, meaning }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.00012, 0.1234, 12.345, 5000.4, 2e7].map(digits),
            ["0", "1.20e-4", "0.123", "12.3", "5000", "2.00e7"]
        );
        assert_eq!([0.0, 0.004, 0.5, 1.0].map(percent), ["0 %", "0.4 %", "50 %", "100 %"]);
        assert_eq!([3.21, 42.0, 85.4, 7300.0].map(seconds), ["3.2 s", "42 s", "1 min 25 s", "2 h 1 min"]);
        assert_eq!((number(None), interval(None)), (UNKNOWN.to_owned(), UNKNOWN.to_owned()));
    }
}
