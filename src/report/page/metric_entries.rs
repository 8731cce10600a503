//! The metrics as rows of a table: name, value, interval and meaning. Computes no metric and makes no HTML.

use crate::metrics::Metrics;

/// One metric with its name, its interval, and its meaning.
pub struct MetricEntry {
    pub name: &'static str,
    pub value: Option<f64>,
    pub interval: Option<[f64; 2]>,
    pub meaning: &'static str,
}

/// The metrics that have a value, the most important first.
pub fn metric_entries(metrics: &Metrics) -> Vec<MetricEntry> {
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
    known.map(|(name, value, interval, meaning)| MetricEntry { name, value, interval, meaning }).collect()
}
