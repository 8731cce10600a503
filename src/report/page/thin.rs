//! Curves with a bounded number of points.

/// Points of one curve that a page holds, at most: more than a screen has columns.
pub const MOST_POINTS: usize = 1000;

/// At most about `most` of `points`, in their order: they are cut into runs of equal length, and of each run the lowest
/// and the highest stay. So no peak of memory and no spike of the loss is lost, however long the run was.
pub fn thin(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points;
    }
    let mut kept = vec![0, points.len() - 1];
    for start in (0..points.len()).step_by(points.len().div_ceil((most / 2).max(1))) {
        let end = (start + points.len().div_ceil((most / 2).max(1))).min(points.len());
        let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
        kept.extend((start..end).min_by(by_value));
        kept.extend((start..end).max_by(by_value));
    }
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| points[index]).collect()
}

/// A moving average over about `span` points, which begins unbiased. Gaps (values that are no number) leave it as it is.
pub fn smooth(points: &[(f64, f64)], span: f64) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / span.max(1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let average = |&(x, y): &(f64, f64)| {
        if y.is_finite() {
            (sum, weight) = (keep * sum + (1.0 - keep) * y, keep * weight + (1.0 - keep));
        }
        (weight > 0.0).then(|| (x, sum / weight))
    };
    points.iter().filter_map(average).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_and_ends_stay_and_the_number_is_bounded() {
        let mut points: Vec<_> = (0..100_000).map(|step| (f64::from(step), f64::from(step % 7))).collect();
        (points[54_321].1, points[77_777].1) = (1e9, -1e9);
        let thinned = thin(points.clone(), MOST_POINTS);
        assert!(thinned.len() <= MOST_POINTS + 2, "{}", thinned.len());
        assert!(thinned.contains(&points[54_321]) && thinned.contains(&points[77_777]));
        assert!(thinned.first() == points.first() && thinned.last() == points.last());
        assert!(thinned.windows(2).all(|two| two[0].0 < two[1].0));
        let few = points[..MOST_POINTS].to_vec();
        assert_eq!(thin(few.clone(), MOST_POINTS), few);
    }

    #[test]
    fn the_average_begins_with_the_first_point_and_follows() {
        let flat: Vec<_> = (0..50).map(|step| (f64::from(step), 2.0)).collect();
        assert!(smooth(&flat, 10.0).iter().all(|(_, y)| (y - 2.0).abs() < 1e-12));
        let rise = smooth(&[(0.0, 0.0), (1.0, f64::NAN), (2.0, 1.0)], 2.0);
        assert_eq!(rise.len(), 3);
        assert!((rise[2].1 - 2.0 / 3.0).abs() < 1e-12, "{rise:?}");
    }
}
