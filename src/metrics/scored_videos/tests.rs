//! Intervals, and simulations of how often they hold the truth.

use rand::Rng;
use rand_distr::StandardNormal;

use super::*;
use crate::metrics::calibration::sigmoid;

/// Of `n` videos, half of them fake, with overlapping scores.
fn samples(n: usize) -> ScoredVideos {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut samples = ScoredVideos::default();
    for i in 0..n {
        let score = 0.7 * random.random::<f64>() + if i % 2 == 0 { 0.3 } else { 0.0 };
        samples.push(score, i % 2 == 0, &[score, (score + 0.1).min(1.0)], 1);
    }
    samples
}

fn width([low, high]: Interval) -> f64 {
    high - low
}

#[test]
fn intervals_hold_the_value_and_narrow_with_more_videos() {
    let widths = |n: usize| {
        let metrics = samples(n).metrics_with_intervals(&People::of_their_own(n));
        [(metrics.video_auc, metrics.video_auc_ci95), (metrics.acc, metrics.acc_ci95)].map(|(value, interval)| {
            let (value, [low, high]) = (value.unwrap(), interval.unwrap());
            assert!(low < value && value < high, "{low} {value} {high}");
            high - low
        })
    };
    for (few, many) in widths(50).into_iter().zip(widths(800)) {
        // As the root of their number: 4 times.
        assert!((3.0..5.5).contains(&(few / many)), "{few} {many}");
    }
}

/// Four copies of a video with one person in them are one observation, not four.
#[test]
fn who_is_in_several_videos_counts_once() {
    let single = samples(60);
    let mut copies = ScoredVideos::default();
    let mut person_of = Vec::new();
    for i in 0..60 {
        for _ in 0..4 {
            copies.push(single.scores[i], single.is_fake[i], &[], 1);
            person_of.push(i);
        }
    }
    let people = |number: fn(usize) -> usize| People::new(person_of.iter().map(|person| vec![number(*person)]));
    let alone = single.metrics_with_intervals(&People::of_their_own(60));
    let grouped = copies.metrics_with_intervals(&people(|person| person));
    assert_eq!(grouped.acc_ci95, alone.acc_ci95);
    assert_eq!(copies.metrics_with_intervals(&people(|person| 3 * person + 1)), grouped, "numbers mean nothing");
    let [alone, grouped] = [alone, grouped].map(|metrics| width(metrics.video_auc_ci95.unwrap()));
    assert!((grouped / alone - 1.0).abs() < 1e-9, "{grouped} {alone}");
    let ungrouped = copies.metrics_with_intervals(&People::of_their_own(240));
    assert!(width(ungrouped.video_auc_ci95.unwrap()) < 0.6 * alone);
}

#[test]
fn one_class_says_nothing_of_ranks_and_few_people_say_nothing_of_chance() {
    let one_class = |n: usize| {
        let mut samples = ScoredVideos::default();
        (0..n).for_each(|i| samples.push(i as f64 / n as f64, true, &[0.5], 1));
        samples.metrics_with_intervals(&People::of_their_own(n))
    };
    assert_eq!((one_class(20).video_auc_ci95, one_class(20).eer_ci95), (None, None));
    assert!(one_class(20).acc_ci95.is_some());
    assert_eq!((one_class(5).acc_ci95, one_class(5).acc.is_some()), (None, true));
    assert!(one_class(6).acc_ci95.is_some());
    assert_eq!(ScoredVideos::default().metrics_with_intervals(&People::of_their_own(0)).acc_ci95, None);
    // Sixty videos, but one of the two real people is in nearly all of them.
    let people = People::new((0..60).map(|i| vec![if i % 2 == 0 { i } else { usize::from(i < 3) }]));
    assert_eq!(samples(60).metrics_with_intervals(&people).video_auc_ci95, None);
}

/// 140 reals and their 560 fakes are in the right order but for a fake that scores lower than two thirds of the reals: its
/// person has all of the variance, and the interval is narrow all the same.
#[test]
fn one_mistake_does_not_undo_an_interval() {
    let (mut samples, videos) = (ScoredVideos::default(), pairs());
    for (place, (_, is_fake)) in videos.iter().enumerate() {
        let score = match (place, is_fake) {
            (2, _) => 0.2,
            (_, true) => 0.9,
            (_, false) => 0.1 + 0.3 * place as f64 / videos.len() as f64,
        };
        samples.push(score, *is_fake, &[], 1);
    }
    let people = People::new(videos.into_iter().map(|(people, _)| people));
    let metrics = samples.metrics_with_intervals(&people);
    let [low, high] = metrics.video_auc_ci95.unwrap();
    assert!(metrics.video_auc.unwrap() > 0.998 && low > 0.97 && high > 0.999, "{low} to {high}");
}

#[test]
fn a_perfect_auc_is_not_certain() {
    let interval = |n: usize| {
        let mut samples = ScoredVideos::default();
        (0..n).for_each(|i| samples.push(if i % 2 == 0 { 0.9 } else { 0.1 }, i % 2 == 0, &[], 1));
        samples.metrics_with_intervals(&People::of_their_own(n)).video_auc_ci95.unwrap()
    };
    // The roots of Newcombe's equation, found by scipy's brentq.
    for (videos, low) in [(20, 0.800_213_612_881), (200, 0.980_448_940_792)] {
        let [found, high] = interval(videos);
        assert!((found - low).abs() < 1e-9 && high == 1.0, "{videos}: {found}");
    }
}

/// A data set's videos: the people in each, and whether it is fake.
type Videos = Vec<(Vec<usize>, bool)>;

/// Each video of a person of its own.
fn unrelated() -> Videos {
    (0..120).map(|video| (vec![video], video % 2 == 0)).collect()
}

/// FaceForensics++: 70 pairs of people, whom four methods swap both ways.
fn pairs() -> Videos {
    let swaps = |a: usize, b: usize| (0..4).flat_map(move |_| [(vec![a, b], true), (vec![b, a], true)]);
    let pair = |pair: usize| (2 * pair, 2 * pair + 1);
    (0..70).map(pair).flat_map(|(a, b)| [(vec![a], false), (vec![b], false)].into_iter().chain(swaps(a, b))).collect()
}

/// DFDC: each real has one to eight fakes.
fn originals() -> Videos {
    let of = |original: usize| (0..=1 + original % 8).map(move |video| (vec![original], video > 0));
    (0..100).flat_map(of).collect()
}

/// Celeb-DF: three reals of each of some people, 70 reals of others, and 340 swaps between the former.
fn everybody_with_everybody(people: usize) -> Videos {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut swap = || {
        let target = random.random_range(0..people);
        (vec![target, (target + random.random_range(1..people)) % people], true)
    };
    let mut videos: Videos = (0..3 * people).map(|video| (vec![video / 3], false)).collect();
    videos.extend((0..70).map(|person| (vec![1000 + person], false)));
    videos.extend((0..340).map(|_| swap()));
    videos
}

/// Of 2000 sets of made-up scores, the share whose interval holds the AUC from which they were drawn. `sameness` is the share of
/// a score's variance that comes from the person whose head is seen; half as much comes from whose face is put on. `distance` is
/// that of the classes in standard deviations.
fn coverage(videos: &Videos, distance: f64, sameness: f64, people: &People) -> f64 {
    const SETS: u64 = 2000;
    // Both classes have normal scores of variance 1.
    let truth = 0.5 * libm::erfc(-distance / 2.0);
    let is_fake: Vec<bool> = videos.iter().map(|(_, fake)| *fake).collect();
    let places: Vec<usize> = (0..videos.len()).collect();
    let holds = |set: &u64| {
        let mut random = ChaCha8Rng::seed_from_u64((100.0 * sameness) as u64 * SETS + set);
        let mut effects = || (0..1100).map(|_| random.sample(StandardNormal)).collect::<Vec<f64>>();
        let (heads, faces) = (effects(), effects());
        let score = |(people, fake): &(Vec<usize>, bool)| {
            let face = people.get(1).map_or(0.0, |face| (sameness / 2.0).sqrt() * faces[*face]);
            let rest = 1.0 - sameness - if people.len() > 1 { sameness / 2.0 } else { 0.0 };
            let noise: f64 = random.sample(StandardNormal);
            sameness.sqrt() * heads[people[0]] + face + rest.sqrt() * noise + if *fake { distance } else { 0.0 }
        };
        let scores: Vec<f64> = videos.iter().map(score).map(sigmoid).collect();
        auc_interval(&scores, &places, &is_fake, people).is_some_and(|[low, high]| low <= truth && truth <= high)
    };
    let held = (0..SETS).filter(holds).count();
    held as f64 / SETS as f64
}

#[test]
fn intervals_hold_the_auc_in_95_of_100_sets() {
    for (name, videos, most) in [
        ("unrelated", unrelated(), 0.97),
        ("pairs", pairs(), 0.97),
        ("originals", originals(), 0.97),
        ("40 people swapped with each other", everybody_with_everybody(40), 0.97),
        // So few get a little more than they need.
        ("18 people swapped with each other", everybody_with_everybody(18), 0.98),
    ] {
        let people = People::new(videos.iter().map(|(people, _)| people.clone()));
        for sameness in [0.0, 0.3, 0.5] {
            // AUCs of 0.802 and 0.983.
            let [share, of_good] = [1.2, 3.0].map(|distance| coverage(&videos, distance, sameness, &people));
            println!("{name}, {sameness}: {share}, {of_good} of a good detector");
            assert!((0.93..=most).contains(&share), "{name}, {sameness}: {share}");
            assert!((0.91..=most).contains(&of_good), "{name}, {sameness}: {of_good}");
        }
    }
    // Who takes swaps of 40 people for 340 unrelated videos is too sure.
    let videos = everybody_with_everybody(40);
    let share = coverage(&videos, 1.2, 0.5, &People::of_their_own(videos.len()));
    println!("taken as unrelated: {share}");
    assert!(share < 0.9, "{share}");
}
