//! ROC and precision-recall curves: their points by threshold, and operating points. Draws nothing. The areas under the
//! curves are in `ranking.rs`.

use serde::{Deserialize, Serialize};

use super::ranking::{Ranking, Tie, totals};

/// Longer curves are thinned to this many points.
const MAX_POINTS: usize = 1000;
/// False positive rates that operating points are chosen for.
const FALSE_POSITIVE_RATES: [(&str, f64); 3] =
    [("1% false positives", 0.01), ("5% false positives", 0.05), ("10% false positives", 0.1)];

/// One threshold: scores at or above it are called fake.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Absent at the first point, whose threshold is above all scores.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// Share of the reals that are called fake.
    pub false_positive_rate: f64,
    /// Share of the fakes that are called fake: the recall.
    pub true_positive_rate: f64,
    /// Share of fakes among those called fake; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub precision: Option<f64>,
}

/// The confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Reals called real.
    pub real_as_real: usize,
    /// Reals called fake.
    pub real_as_fake: usize,
    /// Fakes called real.
    pub fake_as_real: usize,
    /// Fakes called fake.
    pub fake_as_fake: usize,
}

/// A threshold with the rates and counts at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// How it was chosen.
    pub name: String,
    /// Absent where only a threshold above all scores meets the criterion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// Share of the reals that are called fake.
    pub false_positive_rate: f64,
    /// Share of the fakes that are called fake.
    pub true_positive_rate: f64,
    /// The counts.
    pub confusion: Confusion,
}

/// The points of both curves, from a threshold above all scores to the lowest score: one for each distinct score,
/// thinned evenly to a thousand. Empty where one class is missing or a score is not a number.
#[must_use]
pub fn curve(scores: &[f64], is_fake: &[bool]) -> Vec<CurvePoint> {
    let points = all_points(scores, is_fake);
    let last = points.len().saturating_sub(1);
    if points.len() <= MAX_POINTS {
        return points;
    }
    (0..MAX_POINTS).map(|i| points[i * last / (MAX_POINTS - 1)]).collect()
}

/// The operating points: threshold 0.5, the equal error rate, and the highest true positive rates at fixed false
/// positive rates. Empty where [`curve`] is.
#[must_use]
pub fn operating_points(scores: &[f64], is_fake: &[bool]) -> Vec<OperatingPoint> {
    let points = all_points(scores, is_fake);
    let Some(nothing_is_fake) = points.first() else { return Vec::new() };
    let lowest = |fits: &dyn Fn(&CurvePoint) -> bool| *points.iter().rev().find(|p| fits(p)).unwrap_or(nothing_is_fake);
    let at_half = lowest(&|point| point.threshold.is_none_or(|threshold| threshold >= 0.5));
    let apart = |point: &CurvePoint| (point.false_positive_rate + point.true_positive_rate - 1.0).abs();
    let equal_error = points.iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap_or(nothing_is_fake);
    let mut chosen = vec![("0.5", CurvePoint { threshold: Some(0.5), ..at_half }), ("equal error", *equal_error)];
    chosen.extend(FALSE_POSITIVE_RATES.map(|(name, most)| (name, lowest(&|point| point.false_positive_rate <= most))));
    let fakes = is_fake.iter().filter(|fake| **fake).count();
    let counts = (is_fake.len() - fakes, fakes);
    chosen.into_iter().map(|(name, point)| operating_point(name, point, counts)).collect()
}

fn operating_point(name: &str, point: CurvePoint, (reals, fakes): (usize, usize)) -> OperatingPoint {
    let CurvePoint { threshold, false_positive_rate, true_positive_rate, .. } = point;
    let real_as_fake = (false_positive_rate * reals as f64).round() as usize;
    let fake_as_fake = (true_positive_rate * fakes as f64).round() as usize;
    let confusion = Confusion {
        real_as_real: reals - real_as_fake,
        real_as_fake,
        fake_as_real: fakes - fake_as_fake,
        fake_as_fake,
    };
    OperatingPoint { name: name.to_owned(), threshold, false_positive_rate, true_positive_rate, confusion }
}

fn all_points(scores: &[f64], is_fake: &[bool]) -> Vec<CurvePoint> {
    let Some(ties) = Ranking::new(scores, is_fake).and_then(|ranking| ranking.ties(|_| 1.0)) else { return Vec::new() };
    let (reals, fakes) = totals(&ties);
    let (mut false_positives, mut hits) = (0.0, 0.0);
    let above_all = CurvePoint { threshold: None, false_positive_rate: 0.0, true_positive_rate: 0.0, precision: None };
    let below = ties.iter().map(|Tie { score, reals: alarms, fakes: found }| {
        (false_positives, hits) = (false_positives + alarms, hits + found);
        CurvePoint {
            threshold: Some(*score),
            false_positive_rate: false_positives / reals,
            true_positive_rate: hits / fakes,
            precision: Some(hits / (hits + false_positives)),
        }
    });
    std::iter::once(above_all).chain(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 6] = [0.9, 0.8, 0.8, 0.4, 0.3, 0.1];
    const IS_FAKE: [bool; 6] = [true, true, false, true, false, false];

    #[test]
    fn thresholds_are_those_that_do_what_their_names_say() {
        let points = operating_points(&SCORES, &IS_FAKE);
        let of = |name: &str| points.iter().find(|point| point.name == name).unwrap();
        let confusion = |a, b, c, d| Confusion { real_as_real: a, real_as_fake: b, fake_as_real: c, fake_as_fake: d };
        assert_eq!((of("0.5").threshold, of("0.5").confusion), (Some(0.5), confusion(2, 1, 1, 2)));
        assert_eq!((of("equal error").threshold, of("equal error").confusion), (Some(0.8), confusion(2, 1, 1, 2)));
        assert_eq!(
            (of("5% false positives").threshold, of("5% false positives").confusion),
            (Some(0.9), confusion(3, 0, 2, 1))
        );
    }

    #[test]
    fn where_every_threshold_raises_false_alarms_none_is_named() {
        let points = operating_points(&[0.9, 0.1], &[false, true]);
        assert_eq!((points[2].threshold, points[2].true_positive_rate), (None, 0.0));
        assert!(operating_points(&[0.9, 0.1], &[true, true]).is_empty());
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_ends() {
        let scores: Vec<f64> = (0..5000).map(f64::from).collect();
        let is_fake: Vec<bool> = (0..5000).map(|i| i % 3 == 0).collect();
        let points = curve(&scores, &is_fake);
        assert_eq!((points.len(), points[0].true_positive_rate), (MAX_POINTS, 0.0));
        assert_eq!(points[MAX_POINTS - 1].true_positive_rate, 1.0);
    }
}
