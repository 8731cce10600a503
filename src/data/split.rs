//! Which side of the split each video is on: seeded, stratified, and no person on two sides.
//!
//! Videos that share a person form a group, which stays together. Groups go, in an order the seed decides, where their
//! reals and fakes are missed most; then groups are moved and swapped as long as that brings the shares of both classes
//! nearer to what was asked for. Only labels, people and paths are looked at, never the order of the list.

use std::collections::{BTreeMap, HashMap};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::DataError;
use super::manifest::{Label, Manifest, Split, VideoRecord};
use crate::config::GroupBy;

/// Reals and fakes.
type Counts = [usize; 2];

/// What a side without any real or fake costs; more than all shares together can be off.
const EMPTY: f64 = 1e3;
/// Smaller gains are rounding errors.
const LEAST_GAIN: f64 = 1e-9;

impl Manifest {
    /// Puts the share `val` of the videos into [`Split::Val`], `test` into [`Split::Test`] and the rest into
    /// [`Split::Train`], of reals as well as of fakes as nearly as the groups allow. A share of 0 leaves a side out;
    /// every other side gets at least one real and one fake.
    ///
    /// # Errors
    /// [`DataError::Unusable`] where there are too few groups for that; the splits are then as they were.
    pub fn assign_splits(&mut self, val: f64, test: f64, group_by: GroupBy, seed: u64) -> Result<(), DataError> {
        let groups = groups(&self.videos, group_by);
        let members = |group: usize| groups[group].iter().map(|video| self.videos[*video].label);
        let counts: Vec<Counts> = (0..groups.len()).map(|group| count(members(group))).collect();
        let totals = count(self.videos.iter().map(|video| video.label));

        let shares = [(Split::Train, 1.0 - val - test), (Split::Val, val), (Split::Test, test)];
        let asked = shares.into_iter().filter(|(split, share)| *split == Split::Train || *share > 0.0);
        let mut sides: Vec<Side> = asked.map(|(split, share)| Side::new(split, share, totals)).collect();

        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        for group in order {
            let rise = |side: &Side| side.cost_with(counts[group], [0, 0]) - side.cost_with([0, 0], [0, 0]);
            let cheapest = sides.iter_mut().min_by(|a, b| rise(a).total_cmp(&rise(b)));
            cheapest.expect("training is always a side").add(counts[group], group);
        }
        while let Some(exchange) = best_exchange(&sides) {
            exchange.apply(&mut sides);
        }

        if sides.iter().any(|side| side.held.contains(&0)) {
            return Err(self.indivisible(&sides, groups.len(), group_by));
        }
        for side in &sides {
            for group in side.groups.values().flatten() {
                for video in &groups[*group] {
                    self.videos[*video].split = side.split;
                }
            }
        }
        Ok(())
    }

    fn indivisible(&self, sides: &[Side], groups: usize, group_by: GroupBy) -> DataError {
        let names: Vec<_> = sides.iter().map(|side| format!("{:?}", side.split).to_lowercase()).collect();
        let [reals, fakes] = count(self.videos.iter().map(|video| video.label));
        let (together, hint) = match group_by {
            GroupBy::Identity => (
                format!(" (groups that share no person: {groups})"),
                "add videos of other people, ask for fewer splits (data.test_split: 0), or set data.group_by: video if \
                 one person may be on two sides",
            ),
            GroupBy::Video => (String::new(), "add videos, or ask for fewer splits (data.test_split: 0)"),
        };
        DataError::Unusable {
            root: self.root().to_owned(),
            problem: format!(
                "{reals} real and {fakes} fake videos{together} cannot be split into {}: each needs a real and a fake one",
                names.join(", ")
            ),
            hint: hint.into(),
        }
    }
}

/// One side of the split while it is filled.
struct Side {
    split: Split,
    totals: Counts,
    wanted: [f64; 2],
    held: Counts,
    /// Its groups by their counts: groups with the same counts can stand for each other.
    groups: BTreeMap<Counts, Vec<usize>>,
}

impl Side {
    fn new(split: Split, share: f64, totals: Counts) -> Self {
        let wanted = totals.map(|total| share * total as f64);
        Self { split, totals, wanted, held: [0, 0], groups: BTreeMap::new() }
    }

    /// How far it is from what is wanted of it, once it gained one group and lost another.
    fn cost_with(&self, gained: Counts, lost: Counts) -> f64 {
        let class_cost = |class: usize| {
            let held = self.held[class] + gained[class] - lost[class];
            let off = (held as f64 - self.wanted[class]) / self.totals[class].max(1) as f64;
            off * off + if held == 0 { EMPTY } else { 0.0 }
        };
        class_cost(0) + class_cost(1)
    }

    fn add(&mut self, counts: Counts, group: usize) {
        self.held = [self.held[0] + counts[0], self.held[1] + counts[1]];
        self.groups.entry(counts).or_default().push(group);
    }

    fn remove(&mut self, counts: Counts) -> Option<usize> {
        let same = self.groups.get_mut(&counts)?;
        let group = same.pop()?;
        if same.is_empty() {
            self.groups.remove(&counts);
        }
        self.held = [self.held[0] - counts[0], self.held[1] - counts[1]];
        Some(group)
    }
}

/// A group with the counts `given` goes from one side to another; perhaps one with the counts `returned` comes back.
struct Exchange {
    from: usize,
    to: usize,
    given: Counts,
    returned: Option<Counts>,
}

impl Exchange {
    fn gain(&self, sides: &[Side]) -> f64 {
        let (from, to) = (&sides[self.from], &sides[self.to]);
        let returned = self.returned.unwrap_or([0, 0]);
        let before = from.cost_with([0, 0], [0, 0]) + to.cost_with([0, 0], [0, 0]);
        before - from.cost_with(returned, self.given) - to.cost_with(self.given, returned)
    }

    fn apply(&self, sides: &mut [Side]) {
        let given = sides[self.from].remove(self.given);
        let returned = self.returned.and_then(|counts| sides[self.to].remove(counts).map(|group| (counts, group)));
        if let Some(group) = given {
            sides[self.to].add(self.given, group);
        }
        if let Some((counts, group)) = returned {
            sides[self.from].add(counts, group);
        }
    }
}

/// The move or swap that brings the split nearest to what is wanted; `None` where none brings it nearer.
fn best_exchange(sides: &[Side]) -> Option<Exchange> {
    let mut best = None;
    let mut best_gain = LEAST_GAIN;
    for from in 0..sides.len() {
        for to in (0..sides.len()).filter(|to| *to != from) {
            for given in sides[from].groups.keys() {
                let swaps = sides[to].groups.keys().copied().map(Some);
                for returned in std::iter::once(None).chain(swaps) {
                    let exchange = Exchange { from, to, given: *given, returned };
                    let gain = exchange.gain(sides);
                    if gain > best_gain {
                        best_gain = gain;
                        best = Some(exchange);
                    }
                }
            }
        }
    }
    best
}

fn count(labels: impl Iterator<Item = Label>) -> Counts {
    labels.fold([0, 0], |[reals, fakes], label| match label {
        Label::Real => [reals + 1, fakes],
        Label::Fake => [reals, fakes + 1],
    })
}

/// Videos that must stay together, ordered by their first path.
fn groups(videos: &[VideoRecord], group_by: GroupBy) -> Vec<Vec<usize>> {
    let mut parents: Vec<usize> = (0..videos.len()).collect();
    if group_by == GroupBy::Identity {
        let mut first_video_of: HashMap<&str, usize> = HashMap::new();
        for (video, record) in videos.iter().enumerate() {
            for person in &record.source_ids {
                let other = *first_video_of.entry(person).or_insert(video);
                let (root, other_root) = (root_of(&mut parents, video), root_of(&mut parents, other));
                parents[root] = other_root;
            }
        }
    }
    let mut by_path: Vec<usize> = (0..videos.len()).collect();
    by_path.sort_by_key(|video| &videos[*video].path);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of_root = HashMap::new();
    for video in by_path {
        let group = *group_of_root.entry(root_of(&mut parents, video)).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(video);
    }
    groups
}

/// Finds the representative of a group, halving the way for the next time.
fn root_of(parents: &mut [usize], mut video: usize) -> usize {
    while parents[video] != video {
        parents[video] = parents[parents[video]];
        video = parents[video];
    }
    video
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::config::LayoutChoice;
    use crate::data::DataSet;

    /// Videos by label and people, with made-up paths.
    fn manifest(videos: &[(bool, Vec<u32>)]) -> Manifest {
        let record = |(index, (fake, people)): (usize, &(bool, Vec<u32>))| {
            let path = format!("{}/{index}.mp4", if *fake { "fake" } else { "real" });
            let label = if *fake { Label::Fake } else { Label::Real };
            VideoRecord::new(path, label, people.iter().map(u32::to_string).collect())
        };
        let sets = vec![DataSet { root: "set".into(), layout: LayoutChoice::Folders, crop_faces: false }];
        Manifest { sets, videos: videos.iter().enumerate().map(record).collect(), skipped: Vec::new() }
    }

    /// Groups of the given reals and fakes, each of one person.
    fn manifest_of_groups(groups: &[Counts]) -> Manifest {
        let mut videos = Vec::new();
        for (person, [reals, fakes]) in groups.iter().enumerate() {
            videos.extend((0..reals + fakes).map(|video| (video >= *reals, vec![person as u32])));
        }
        manifest(&videos)
    }

    fn sides(manifest: &Manifest) -> BTreeMap<&std::path::Path, Split> {
        manifest.videos.iter().map(|video| (video.path.as_path(), video.split)).collect()
    }

    fn worst_deviation(manifest: &Manifest, val: f64, test: f64) -> f64 {
        let mut worst: f64 = 0.0;
        for label in [Label::Real, Label::Fake] {
            let total = manifest.videos.iter().filter(|video| video.label == label).count() as f64;
            for (split, share) in [(Split::Train, 1.0 - val - test), (Split::Val, val), (Split::Test, test)] {
                worst = worst.max((manifest.count(split, label) as f64 - share * total).abs());
            }
        }
        worst
    }

    proptest! {
        #[test]
        fn no_person_is_on_two_sides_and_every_side_has_both_classes(
            videos in vec((any::<bool>(), vec(0_u32..40, 1..3)), 1..80),
            seed: u64,
            test in prop_oneof![Just(0.0), Just(0.15)],
        ) {
            let mut split = manifest(&videos);
            if split.assign_splits(0.15, test, GroupBy::Identity, seed).is_ok() {
                let mut side_of = HashMap::new();
                for video in &split.videos {
                    for person in &video.source_ids {
                        prop_assert_eq!(*side_of.entry(person).or_insert(video.split), video.split);
                    }
                }
                for (side, share) in [(Split::Train, 1.0), (Split::Val, 0.15), (Split::Test, test)] {
                    let both = split.count(side, Label::Real) > 0 && split.count(side, Label::Fake) > 0;
                    prop_assert_eq!(both, share > 0.0);
                }
            } else {
                prop_assert_eq!(split, manifest(&videos), "an error changes nothing");
            }
        }

        #[test]
        fn the_order_of_the_list_changes_nothing(
            videos in vec((any::<bool>(), vec(0_u32..40, 1..3)), 10..60),
            seed: u64,
            group_by in prop_oneof![Just(GroupBy::Identity), Just(GroupBy::Video)],
        ) {
            let mut split = manifest(&videos);
            let mut shuffled = split.clone();
            shuffled.videos.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let results = [&mut split, &mut shuffled].map(|m| m.assign_splits(0.2, 0.2, group_by, seed).is_ok());
            prop_assert_eq!(results[0], results[1]);
            prop_assert_eq!(sides(&split), sides(&shuffled));
        }

        #[test]
        fn single_videos_come_within_one_of_the_share(
            reals in 20_usize..200, fakes in 20_usize..200, seed: u64, val in 0.05..0.45, test in 0.05..0.45,
        ) {
            let mut split = manifest_of_groups(&[[reals, fakes]]);
            split.assign_splits(val, test, GroupBy::Video, seed).unwrap();
            prop_assert!(worst_deviation(&split, val, test) <= 1.0 + 1e-9);
        }

        #[test]
        fn no_side_is_off_by_more_than_the_largest_group(groups in vec([1_usize..3, 1_usize..5], 20..120), seed: u64) {
            let mut split = manifest_of_groups(&groups);
            split.assign_splits(0.15, 0.15, GroupBy::Identity, seed).unwrap();
            prop_assert!(worst_deviation(&split, 0.15, 0.15) <= 4.0, "{}", worst_deviation(&split, 0.15, 0.15));
        }

        #[test]
        fn a_split_is_found_wherever_there_is_one(groups in vec([0_usize..4, 0_usize..4], 1..7), seed: u64) {
            let possible = (0..3_usize.pow(groups.len() as u32)).any(|code| {
                let mut held = [[0; 2]; 3];
                for (group, counts) in groups.iter().enumerate() {
                    let side = code / 3_usize.pow(group as u32) % 3;
                    held[side] = [held[side][0] + counts[0], held[side][1] + counts[1]];
                }
                held.iter().all(|counts| !counts.contains(&0))
            });
            let mut split = manifest_of_groups(&groups);
            prop_assert_eq!(split.assign_splits(0.1, 0.1, GroupBy::Identity, seed).is_ok(), possible, "{:?}", groups);
        }
    }

    #[test]
    fn the_seed_decides() {
        let split = |seed| {
            let mut split = manifest_of_groups(&[[2, 3]; 30]);
            split.assign_splits(0.2, 0.2, GroupBy::Identity, seed).unwrap();
            split
        };
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn a_forgery_goes_with_both_of_its_people() {
        let people = |a: u32, b: u32| vec![a, b];
        let mut videos: Vec<_> = (0..30).map(|person| (false, vec![person])).collect();
        videos.extend(
            (0..15).flat_map(|pair| [(true, people(2 * pair, 2 * pair + 1)), (true, people(2 * pair + 1, 2 * pair))]),
        );
        let mut split = manifest(&videos);
        split.assign_splits(0.2, 0.2, GroupBy::Identity, 7).unwrap();
        for pair in 0..15 {
            let side = split.videos[2 * pair].split;
            assert_eq!(split.videos[2 * pair + 1].split, side);
            assert_eq!(split.videos[30 + 2 * pair].split, side);
        }
        assert_eq!(split.count(Split::Val, Label::Real), 6);
    }

    #[test]
    fn what_cannot_be_split_says_how_many_groups_there_are() {
        let mut one = manifest_of_groups(&[[5, 5]]);
        let error = one.assign_splits(0.15, 0.15, GroupBy::Identity, 0).unwrap_err();
        let text = error.to_string();
        assert!(
            error.is_usage() && text.contains("5 real and 5 fake videos (groups that share no person: 1)"),
            "{text}"
        );
        assert!(text.contains("data.group_by: video") && text.contains("train, val, test"), "{text}");
        one.assign_splits(0.15, 0.15, GroupBy::Video, 0).unwrap();
        let mut few = manifest_of_groups(&[[1, 1], [1, 1]]);
        assert!(few.assign_splits(0.15, 0.15, GroupBy::Identity, 0).is_err());
        few.assign_splits(0.15, 0.0, GroupBy::Identity, 0).unwrap();
    }

    #[test]
    fn a_set_of_a_hundred_thousand_is_split_as_well() {
        let mut groups: Vec<Counts> = (0..15_000).map(|group| [1, group % 12]).collect();
        groups.push([0, 5_000]);
        let mut split = manifest_of_groups(&groups);
        split.assign_splits(0.15, 0.15, GroupBy::Identity, 3).unwrap();
        assert!(worst_deviation(&split, 0.15, 0.15) <= 2.0);
    }
}
