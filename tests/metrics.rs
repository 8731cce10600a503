//! Metrics equal scikit-learn's. The fixture is made by `scripts/make_metrics_fixture.py`.

use dfdetect::metrics::{Metrics, accuracy, auc, average_precision, equal_error_rate, log_loss};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    is_fake: Vec<bool>,
    scores: Vec<f64>,
    auc: f64,
    average_precision: f64,
    equal_error_rate: f64,
    log_loss: f64,
    accuracy: f64,
    accuracy_real: f64,
    accuracy_fake: f64,
}

#[test]
fn metrics_equal_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    assert_eq!(cases.len(), 7);
    for (index, case) in cases.iter().enumerate() {
        let (scores, is_fake) = (&case.scores, &case.is_fake);
        for (name, found, expected) in [
            ("auc", auc(scores, is_fake), case.auc),
            ("average precision", average_precision(scores, is_fake), case.average_precision),
            ("equal error rate", equal_error_rate(scores, is_fake), case.equal_error_rate),
            ("log-loss", log_loss(scores, is_fake), case.log_loss),
            ("accuracy", accuracy(scores, is_fake, None), case.accuracy),
            ("accuracy of reals", accuracy(scores, is_fake, Some(false)), case.accuracy_real),
            ("accuracy of fakes", accuracy(scores, is_fake, Some(true)), case.accuracy_fake),
        ] {
            let found = found.unwrap();
            assert!((found - expected).abs() < 1e-12, "case {index}: {name} is {found}, not {expected}");
        }
    }
}

#[test]
fn what_one_class_does_not_define_is_absent() {
    let metrics = Metrics::of_videos(&[0.2, 0.7], &[true, true]);
    assert_eq!((metrics.video_auc, metrics.ap, metrics.eer, metrics.acc_real), (None, None, None, None));
    assert_eq!((metrics.acc_fake, metrics.videos), (Some(0.5), 2));
    assert!(!serde_json::to_string(&metrics).unwrap().contains("video_auc"));
    assert_eq!(Metrics::of_videos(&[], &[]).log_loss, None);
    assert_eq!(auc(&[f64::NAN, 0.5], &[true, false]), None);
}
