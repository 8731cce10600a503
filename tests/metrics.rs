//! Metrics equal scikit-learn's. The fixture is made by `scripts/make_metrics_fixture.py`.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use dfdetect::metrics::{People, ScoredVideos, auc, curve, delong_test, fit_temperature, log_loss};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
    pairs: Vec<Pair>,
    clustered: Vec<Pair>,
}

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
    balanced_accuracy: f64,
    precision: Option<f64>,
    f1: f64,
    calibration_error: f64,
    temperature: f64,
    curves: Curves,
}

#[derive(Deserialize)]
struct Curves {
    false_positive_rate: Vec<f64>,
    true_positive_rate: Vec<f64>,
    thresholds: Vec<f64>,
    precision: Vec<f64>,
    recall: Vec<f64>,
    precision_thresholds: Vec<f64>,
}

/// Two detectors on the same videos.
#[derive(Deserialize)]
struct Pair {
    is_fake: Vec<bool>,
    scores: Vec<f64>,
    other: Vec<f64>,
    /// The person in each video, where some are in several.
    #[serde(default)]
    people: Option<Vec<usize>>,
    auc: f64,
    other_auc: f64,
    interval: [f64; 2],
    p_value: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap()
}

fn samples(scores: &[f64], is_fake: &[bool]) -> ScoredVideos {
    let mut samples = ScoredVideos::default();
    scores.iter().zip(is_fake).for_each(|(score, fake)| samples.push(*score, *fake, &[*score], 1));
    samples
}

#[test]
fn metrics_equal_scikit_learn() {
    let cases = fixture().cases;
    assert_eq!(cases.len(), 7);
    for (index, case) in cases.iter().enumerate() {
        let found = samples(&case.scores, &case.is_fake).metrics();
        for (name, found, expected) in [
            ("auc", found.video_auc, Some(case.auc)),
            ("auc of frames", found.frame_auc, Some(case.auc)),
            ("auc alone", auc(&case.scores, &case.is_fake), Some(case.auc)),
            ("average precision", found.ap, Some(case.average_precision)),
            ("equal error rate", found.eer, Some(case.equal_error_rate)),
            ("log-loss", found.log_loss, Some(case.log_loss)),
            ("log-loss alone", log_loss(&case.scores, &case.is_fake), Some(case.log_loss)),
            ("accuracy", found.acc, Some(case.accuracy)),
            ("accuracy of reals", found.acc_real, Some(case.accuracy_real)),
            ("accuracy of fakes", found.acc_fake, Some(case.accuracy_fake)),
            ("balanced accuracy", found.balanced_acc, Some(case.balanced_accuracy)),
            ("precision", found.precision, case.precision),
            ("F1", found.f1, Some(case.f1)),
            ("calibration error", found.ece, Some(case.calibration_error)),
        ] {
            let (Some(found), Some(expected)) = (found, expected) else {
                assert_eq!(found, expected, "case {index}: {name}");
                continue;
            };
            assert!((found - expected).abs() < 1e-12, "case {index}: {name} is {found}, not {expected}");
        }
    }
}

#[test]
fn curves_equal_scikit_learn() {
    for (index, case) in fixture().cases.iter().enumerate() {
        let points = curve(&case.scores, &case.is_fake);
        let near = |name: &str, found: Vec<f64>, expected: &[f64]| {
            let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(same, "case {index}: {name} is {found:?}, not {expected:?}");
        };
        let of = |pick: fn(&dfdetect::metrics::CurvePoint) -> Option<f64>| {
            points.iter().filter_map(pick).collect::<Vec<_>>()
        };
        near("false positive rate", of(|p| Some(p.false_positive_rate)), &case.curves.false_positive_rate);
        near("true positive rate", of(|p| Some(p.true_positive_rate)), &case.curves.true_positive_rate);
        near("threshold", of(|p| p.threshold), &case.curves.thresholds);
        // scikit-learn ends where every fake is found.
        let ends = case.curves.precision_thresholds.len();
        near("precision", of(|p| p.precision)[..ends].to_vec(), &case.curves.precision);
        near("recall", of(|p| Some(p.true_positive_rate))[1..=ends].to_vec(), &case.curves.recall);
    }
}

#[test]
fn the_temperature_is_the_one_that_scipy_finds() {
    let mut fitted = 0;
    for (index, case) in fixture().cases.iter().enumerate() {
        let found = fit_temperature(&case.scores, &case.is_fake);
        // Of scores that are all right, all alike or without sense, scipy goes to the bound that it is given: -3 or 3.
        let is_at_bound = (case.temperature.ln().abs() - 3.0).abs() < 1e-4;
        assert_eq!(found.is_none(), is_at_bound, "case {index}: {found:?}, {}", case.temperature);
        if let Some(found) = found {
            let off = (found / case.temperature - 1.0).abs();
            assert!(off < 1e-4, "case {index}: {found}, not {}", case.temperature);
            fitted += 1;
        }
    }
    assert!(fitted >= 2);
}

/// Also with people in several videos, by Obuchowski's formula for clusters.
#[test]
fn the_comparison_is_delongs() {
    let Fixture { pairs, clustered, .. } = fixture();
    assert_eq!((pairs.len(), clustered.len()), (2, 2));
    for (index, pair) in pairs.iter().chain(&clustered).enumerate() {
        let people = match &pair.people {
            Some(people) => People::new(people.iter().map(|person| vec![*person])),
            None => People::of_their_own(pair.is_fake.len()),
        };
        let found = delong_test(&pair.scores, &pair.other, &pair.is_fake, &people).unwrap();
        for (name, found, expected) in [
            ("AUC", found.auc, pair.auc),
            ("other AUC", found.other_auc, pair.other_auc),
            ("lower end", found.difference_ci95[0], pair.interval[0]),
            ("upper end", found.difference_ci95[1], pair.interval[1]),
            ("p", found.p_value, pair.p_value),
        ] {
            assert!((found - expected).abs() < 1e-9, "pair {index}: {name} is {found}, not {expected}");
        }
        let with_itself = delong_test(&pair.scores, &pair.scores, &pair.is_fake, &people).unwrap();
        assert_eq!((with_itself.difference, with_itself.p_value), (0.0, 1.0));
    }
    let scores = [0.1, 0.2, 0.3];
    assert_eq!(delong_test(&scores, &scores, &[true, false, false], &People::of_their_own(3)), None);
}

#[test]
fn what_one_class_does_not_define_is_absent() {
    let metrics = samples(&[0.2, 0.7], &[true, true]).metrics();
    assert_eq!((metrics.video_auc, metrics.ap, metrics.eer, metrics.acc_real), (None, None, None, None));
    assert_eq!((metrics.balanced_acc, metrics.acc_fake, metrics.videos, metrics.clips), (None, Some(0.5), 2, 2));
    assert!(!serde_json::to_string(&metrics).unwrap().contains("video_auc"));
    assert_eq!(samples(&[], &[]).metrics().log_loss, None);
    assert_eq!(auc(&[f64::NAN, 0.5], &[true, false]), None);
}
