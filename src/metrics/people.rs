//! The people in a set of videos: which scores hang together, and how sure a figure is although they do. Knows nothing of
//! names; the rules by which files tell people are in `dataset/people.rs`.

use std::collections::HashMap;

use rand::Rng;

/// With fewer independent people than this in a class, there is no interval: from fewer, chance cannot be told.
const LEAST: f64 = 6.0;

/// The people in each video of a set. Videos that share one may score alike; others do not depend on each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct People {
    of_video: Vec<Vec<usize>>,
    /// The videos that each person is in.
    videos_of: Vec<Vec<usize>>,
}

impl People {
    /// The people in each video, by any numbers.
    #[must_use]
    pub fn new(of_video: impl IntoIterator<Item = Vec<usize>>) -> Self {
        let mut place: HashMap<usize, usize> = HashMap::new();
        let mut videos_of: Vec<Vec<usize>> = Vec::new();
        let mut number = |video: usize, person: usize| {
            let next = place.len();
            let person = *place.entry(person).or_insert(next);
            videos_of.resize_with(place.len(), Vec::new);
            videos_of[person].push(video);
            person
        };
        let mut number_all = |(video, mut people): (usize, Vec<usize>)| {
            people.sort_unstable();
            people.dedup();
            people.into_iter().map(|person| number(video, person)).collect()
        };
        let of_video = of_video.into_iter().enumerate().map(&mut number_all).collect();
        Self { of_video, videos_of }
    }

    /// Videos that share nobody.
    #[must_use]
    pub fn of_their_own(videos: usize) -> Self {
        Self::new((0..videos).map(|video| vec![video]))
    }

    /// Those in some of the videos.
    #[must_use]
    pub fn of(&self, videos: &[usize]) -> Self {
        Self::new(videos.iter().map(|video| self.of_video[*video].clone()))
    }

    /// Number of videos.
    #[must_use]
    pub fn videos(&self) -> usize {
        self.of_video.len()
    }

    /// Number of people.
    #[must_use]
    pub fn count(&self) -> usize {
        self.videos_of.len()
    }

    /// Whether a person is in several videos, or a video shows several people.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        self.videos_of.iter().any(|videos| videos.len() > 1) || self.of_video.iter().any(|people| people.len() > 1)
    }

    /// Whether each class that is there has enough people for an interval. `is_fake` has a label for each video.
    #[must_use]
    pub fn suffice(&self, is_fake: &[bool]) -> bool {
        [false, true].into_iter().filter(|class| is_fake.contains(class)).all(|class| {
            // Half a person too few is rounding of people with unequal numbers of videos.
            self.effective(is_fake, class) > LEAST - 0.5
        })
    }

    /// The number of independent people in the videos of a class: Kish's effective sample size (1965) of their numbers of
    /// videos, which is less where a few are in most of them. Two people who are swapped with each other count as one.
    pub(super) fn effective(&self, is_fake: &[bool], class: bool) -> f64 {
        let (sum, squares) = self.in_class(is_fake, class).fold((0.0, 0.0), |(sum, squares), videos| {
            let videos = videos as f64;
            (sum + videos, squares + videos * videos)
        });
        let videos = is_fake.iter().filter(|fake| **fake == class).count();
        // The sum over people counts a video of two people twice.
        if squares > 0.0 { sum * videos as f64 / squares } else { 0.0 }
    }

    /// `n / (n - 1)` for n independent people in the videos for which `counts` holds; `None` for one.
    pub(super) fn correction(&self, counts: impl Fn(usize) -> bool) -> Option<f64> {
        let videos = (0..self.videos()).filter(|video| counts(*video));
        let (count, mentions) =
            videos.fold((0, 0), |(count, mentions), video| (count + 1, mentions + self.of_video[video].len()));
        let people = self.videos_of.iter().filter(|videos| videos.iter().any(|video| counts(*video))).count();
        let independent = (people * count) as f64 / mentions as f64;
        (independent > 1.0).then(|| independent / (independent - 1.0))
    }

    /// For each person, the number of videos of a class.
    fn in_class(&self, is_fake: &[bool], class: bool) -> impl Iterator<Item = usize> {
        self.videos_of.iter().map(move |videos| videos.iter().filter(|video| is_fake[**video] == class).count())
    }

    /// The most people that a video shows.
    pub(super) fn most_in_a_video(&self) -> usize {
        self.of_video.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The sum of `a[i] * b[j]` over all pairs of videos that share a person, of which each video with itself is one.
    pub(super) fn shared_products(&self, a: &[f64], b: &[f64]) -> f64 {
        let mut seen_by = vec![usize::MAX; b.len()];
        let mut sum = 0.0;
        for (video, people) in self.of_video.iter().enumerate() {
            for other in people.iter().flat_map(|person| &self.videos_of[*person]) {
                if seen_by[*other] != video {
                    seen_by[*other] = video;
                    sum += a[video] * b[*other];
                }
            }
        }
        sum
    }

    /// For each person, the sum of a number over the videos that they are in.
    pub(super) fn sums(&self, of_video: &[f64]) -> Vec<f64> {
        self.videos_of.iter().map(|videos| videos.iter().map(|video| of_video[*video]).sum()).collect()
    }

    /// Draws as many people with replacement. Returns how often each video is drawn with its people: the product of how
    /// often they are.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Vec<f64> {
        let mut times = vec![0.0; self.count()];
        (0..times.len()).for_each(|_| times[random.random_range(0..self.count())] += 1.0);
        self.of_video.iter().map(|people| people.iter().map(|person| times[*person]).product()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Ten pairs of people, who are swapped both ways.
    fn swaps() -> People {
        People::new((0..10).flat_map(|pair| [vec![2 * pair, 2 * pair + 1], vec![2 * pair + 1, 2 * pair]]))
    }

    #[test]
    fn two_who_are_swapped_with_each_other_count_as_one() {
        let swaps = swaps();
        assert_eq!((swaps.videos(), swaps.count(), swaps.most_in_a_video()), (20, 20, 2));
        assert_eq!((swaps.effective(&[true; 20], true), swaps.effective(&[true; 20], false)), (10.0, 0.0));
        assert_eq!(swaps.correction(|_| true), Some(10.0 / 9.0));
        assert_eq!(swaps.correction(|video| video < 2), None, "one pair");
    }

    #[test]
    fn somebody_who_is_named_twice_in_a_video_is_one_person() {
        let people = People::new([vec![7, 7], vec![7]]);
        assert_eq!(people, People::new([vec![0], vec![0]]));
        assert_eq!(people.shared_products(&[1.0, 10.0], &[1.0, 10.0]), 121.0);
    }

    #[test]
    fn a_video_of_two_people_is_drawn_as_often_as_both_together() {
        let people = People::new([vec![0], vec![1], vec![0, 1]]);
        let draws: Vec<_> = (0..20).map(|seed| people.draw(&mut ChaCha8Rng::seed_from_u64(seed))).collect();
        assert!(draws.iter().all(|times| times[0] + times[1] == 2.0 && times[2] == times[0] * times[1]), "{draws:?}");
        assert!(draws.iter().any(|times| times[0] == 1.0) && draws.iter().any(|times| times[0] == 2.0));
    }
}
