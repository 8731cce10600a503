//! A sample of the videos of a data set, evenly spaced and without randomness. Opens no video. The videos of an epoch
//! are chosen in `sampler.rs`.

use super::manifest::Manifest;
use super::record::Label;

/// Up to `count` videos of a data set, spread evenly over each class, in the order of the manifest.
#[must_use]
pub fn sample(manifest: &Manifest, set: usize, count: usize) -> Vec<usize> {
    let of = |label| -> Vec<usize> {
        let videos = manifest.videos.iter().enumerate();
        videos.filter(|(_, video)| video.set == set && video.label == label).map(|(i, _)| i).collect()
    };
    let (reals, fakes) = (of(Label::Real), of(Label::Fake));
    let wanted_fakes = fakes.len().min(count - (count / 2).min(reals.len()));
    let wanted_reals = reals.len().min(count - wanted_fakes);
    let spread = |videos: &[usize], wanted: usize| -> Vec<usize> {
        (0..wanted).map(|i| videos[(2 * i + 1) * videos.len() / (2 * wanted)]).collect()
    };
    let mut sample = spread(&reals, wanted_reals);
    sample.extend(spread(&fakes, wanted_fakes));
    sample.sort_unstable();
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::record::VideoRecord;

    #[test]
    fn the_sample_is_spread_over_both_classes_and_never_beyond_what_is_there() {
        let video =
            |i: usize| VideoRecord::new(format!("{i:03}"), [Label::Fake, Label::Real][usize::from(i >= 90)], vec![]);
        let manifest = Manifest { sets: Vec::new(), videos: (0..100).map(video).collect(), skipped: Vec::new() };
        let picked = sample(&manifest, 0, 12);
        assert_eq!(picked.len(), 12);
        assert_eq!(picked.iter().filter(|video| **video >= 90).count(), 6);
        assert!(picked.is_sorted() && picked[0] < 10 && picked[5] > 80);
        assert_eq!(sample(&manifest, 0, 40).iter().filter(|video| **video >= 90).count(), 10);
        assert_eq!(sample(&manifest, 0, 1000).len(), 100);
        assert!(sample(&manifest, 1, 12).is_empty());
    }
}
