//! Curves with a bounded number of points, and their moving averages. Knows nothing of plots and HTML.

/// Most points of one curve on a page: more than a screen has columns.
pub const MAX_POINTS: usize = 1000;

/// At most about `most` of `points`, in their order: the lowest and the highest of each of many equally long parts, and
/// both ends. So peaks of memory and spikes of the loss are kept, however long the run was.
pub fn downsample(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
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

/// An exponential moving average over about `span` points, with bias correction at the start. Values that are not
/// finite do not change it.
pub fn moving_average(points: &[(f64, f64)], span: f64) -> Vec<(f64, f64)> {
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
        let sampled = downsample(points.clone(), MAX_POINTS);
        assert!(sampled.len() <= MAX_POINTS + 2, "{}", sampled.len());
        assert!(sampled.contains(&points[54_321]) && sampled.contains(&points[77_777]));
        assert!(sampled.first() == points.first() && sampled.last() == points.last());
        assert!(sampled.windows(2).all(|two| two[0].0 < two[1].0));
        let few = points[..MAX_POINTS].to_vec();
        assert_eq!(downsample(few.clone(), MAX_POINTS), few);
    }

    #[test]
    fn the_average_begins_with_the_first_point_and_follows() {
        let flat: Vec<_> = (0..50).map(|step| (f64::from(step), 2.0)).collect();
        assert!(moving_average(&flat, 10.0).iter().all(|(_, y)| (y - 2.0).abs() < 1e-12));
        let rise = moving_average(&[(0.0, 0.0), (1.0, f64::NAN), (2.0, 1.0)], 2.0);
        assert_eq!(rise.len(), 3);
        assert!((rise[2].1 - 2.0 / 3.0).abs() < 1e-12, "{rise:?}");
    }
}
