//! The search for the largest of several sizes that holds in trials. It takes few trials, because each runs steps of
//! training. The caller passes the trial; nothing is trained here.

/// The index of the largest of `sizes` (from small to large) for which `holds` is true, or `None` where there is none.
/// The search begins at `first`, the predicted size, continues with its neighbour, and then halves the rest.
///
/// # Errors
/// `holds` fails.
pub fn largest_that_holds<T, E>(
    sizes: &[T],
    first: usize,
    mut holds: impl FnMut(&T) -> Result<bool, E>,
) -> Result<Option<usize>, E> {
    // Sizes below `low` hold, those from `high` on do not.
    let (mut low, mut high) = (0, sizes.len());
    let (mut next, mut is_first) = (first, true);
    while low < high {
        next = next.clamp(low, high - 1);
        match holds(&sizes[next])? {
            true => low = next + 1,
            false => high = next,
        }
        // A good prediction ends with the size above it, which fails.
        next = if is_first && low > 0 { low } else { low + (high - low) / 2 };
        is_first = false;
    }
    Ok(low.checked_sub(1))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn find(count: usize, most: usize, first: usize) -> (Option<usize>, usize) {
        let sizes: Vec<_> = (1..=count).collect();
        let mut trials = 0;
        let found = largest_that_holds(&sizes, first, |size| {
            trials += 1;
            Ok::<_, Infallible>(*size <= most)
        });
        (found.unwrap(), trials)
    }

    #[test]
    fn a_good_prediction_takes_two_trials() {
        assert_eq!(find(10, 6, 5), (Some(5), 2));
        assert_eq!(find(10, 10, 9), (Some(9), 1));
        assert_eq!(find(10, 0, 0), (None, 1));
        assert_eq!(find(0, 5, 0), (None, 0));
    }

    proptest! {
        #[test]
        fn finds_the_largest_wherever_it_begins(count in 1usize..40, most in 0usize..45, first in 0usize..50) {
            let (found, trials) = find(count, most, first);
            prop_assert_eq!(found, most.min(count).checked_sub(1));
            prop_assert!(trials <= 2 + count.ilog2() as usize + 1, "{trials} trials of {count} sizes");
        }
    }
}
