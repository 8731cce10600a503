//! Which side of the split each video is on: the official one where the data set has it, else seeded, stratified, and
//! no person on two sides.
//!
//! Videos that share a person form a group, which stays together. Groups go, in an order the seed decides, where their
//! reals and fakes are missed most; then groups are moved and swapped as long as that brings the shares of both classes
//! nearer to what was asked for. Only labels, people and paths are looked at, never the order of the list.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::identity::Namespace;
use super::manifest::{Label, Manifest, Split, VideoRecord};
use super::{DataError, overlap};
use crate::config::{DataConfig, GroupBy};

/// Reals and fakes.
type Counts = [usize; 2];

/// What a side without any real or fake costs; more than all shares together can be off.
const EMPTY: f64 = 1e3;
/// Smaller gains are rounding errors.
const LEAST_GAIN: f64 = 1e-9;
/// All but those of data sets to test on.
const OWN_SIDES: [Split; 3] = [Split::Train, Split::Val, Split::Test];
const TORN: &str = "its people are on two sides of the official split";

/// How finely videos are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grouping {
    /// All that share a person.
    Person,
    /// Only those with the same first person, whose head and room is seen.
    Target,
    /// None.
    Video,
}

/// The shares that are asked for, training first.
type Shares = Vec<(Split, f64)>;

impl Manifest {
    /// Gives every video its side. Official sides stay; [`Split::CrossTest`] is left alone. Of the others the share
    /// `data.val_split` goes into [`Split::Val`], `data.test_split` into [`Split::Test`] and the rest into
    /// [`Split::Train`], of reals as well as of fakes as nearly as the groups allow. A share of 0 leaves a side out;
    /// every other side gets at least one real and one fake.
    ///
    /// Where official sides cover only part of those asked for (often only a test list), all that is not validated or
    /// tested with officially, also what the data set calls training, is divided between training and what is missing.
    /// An official list may itself tie people together: all of Celeb-DF is one group, some of it in the test list. Where
    /// the rest then cannot be divided by all of its people, it is divided by the first of them (the target, whose head
    /// and room is seen), and how many people are on two sides is said once. Where all sides are official, a video that
    /// would join two of them is not used.
    ///
    /// Videos that are known to be unusable count for nothing and stay where they are.
    ///
    /// Names mean the same people in data sets of one family (FaceForensics++ and its Kaggle copy, Celeb-DF, DFDC), and
    /// different ones in all others. How many people of a data set to test on are trained on too is said as well.
    ///
    /// # Errors
    /// [`DataError::Unusable`] where there are too few groups for that; the splits are then as they were.
    pub fn assign_splits(&mut self, data: &DataConfig, seed: u64) -> Result<(), DataError> {
        let by_namespace = self.by_namespace(&OWN_SIDES.map(|side| self.indices(side)).concat());
        let shares = shares(data);
        let mut result = self.clone();
        let mut groups = 0;
        for members in by_namespace.values() {
            groups += result.split_family(members, &shares, data.group_by, seed);
        }
        if shares.iter().any(|(side, _)| result.held(*side).contains(&0)) {
            return Err(self.indivisible(&shares, groups, data.group_by));
        }
        *self = result;
        if data.group_by == GroupBy::Identity {
            overlap::warnings(self).iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        Ok(())
    }

    /// Divides anew what can be used, where unusable videos have left a side without reals or fakes; otherwise the split
    /// stays as it is. Says so, and which sides are lacking all the same (official ones, say).
    pub fn mend_splits(&mut self, data: &DataConfig, seed: u64) {
        let lacking = |manifest: &Self| {
            let sides = shares(data).into_iter().map(|(side, _)| side);
            named(sides.filter(|side| manifest.held(*side).contains(&0)))
        };
        let emptied = lacking(self);
        if !emptied.is_empty() && self.assign_splits(data, seed).is_ok() {
            let found = "unusable videos had left a side of the split without real or without fake ones";
            tracing::warn!("{found} ({emptied}): those that can be used are divided anew");
        }
        let still = lacking(self);
        if !still.is_empty() {
            tracing::warn!("without a usable real or a usable fake video: {still}; there is no AUC of that");
        }
    }

    /// Those of `members` that share a person together; names mean different people in data sets of different families.
    #[must_use]
    pub fn people_groups(&self, members: &[usize]) -> Vec<Vec<usize>> {
        let by_namespace = self.by_namespace(members);
        by_namespace.values().flat_map(|members| groups(&self.videos, members, Grouping::Person)).collect()
    }

    fn by_namespace(&self, members: &[usize]) -> BTreeMap<Namespace, Vec<usize>> {
        let mut by_namespace: BTreeMap<Namespace, Vec<usize>> = BTreeMap::new();
        for index in members {
            by_namespace.entry(Namespace::of(self, self.videos[*index].set)).or_default().push(*index);
        }
        by_namespace
    }

    /// Splits videos whose people have nothing to do with those of others; gives back how many groups there were.
    fn split_family(&mut self, members: &[usize], shares: &Shares, group_by: GroupBy, seed: u64) -> usize {
        let official: BTreeSet<Split> = members
            .iter()
            .map(|video| &self.videos[*video])
            .filter(|video| video.official)
            .map(|video| video.split)
            .collect();
        let complete = shares.iter().all(|(side, _)| official.contains(side));
        if !complete {
            // Part of what is called training has to validate, or to test.
            for video in members {
                let video = &mut self.videos[*video];
                video.official &= video.split != Split::Train;
            }
        }
        let rest: Vec<usize> = members.iter().copied().filter(|video| !self.videos[*video].official).collect();
        let open: Shares = shares
            .iter()
            .copied()
            .filter(|(side, _)| complete || *side == Split::Train || !official.contains(side))
            .collect();
        let groupings: &[Grouping] = match (group_by, official.is_empty()) {
            (GroupBy::Video, _) => &[Grouping::Video],
            (GroupBy::Identity, true) => &[Grouping::Person],
            (GroupBy::Identity, false) => &[Grouping::Person, Grouping::Target],
        };
        let mut groups = groups(&self.videos, &rest, groupings[0]);
        if complete && group_by == GroupBy::Identity {
            groups = self.join_official(members, groups);
        }
        let number = groups.len();
        let mut sides = self.fill(&groups, &open, seed);
        let is_divided = |sides: &[Side]| sides.iter().all(|side| !side.held.contains(&0));
        if let (false, false, Some(finer)) = (complete, is_divided(&sides), groupings.get(1)) {
            let finer = self::groups(&self.videos, &rest, *finer);
            let finer_sides = self.fill(&finer, &open, seed);
            if is_divided(&finer_sides) {
                (groups, sides) = (finer, finer_sides);
            }
        }
        for side in &sides {
            for video in side.groups.values().flatten().flat_map(|group| &groups[*group]) {
                self.videos[*video].split = side.split;
            }
        }
        number
    }

    /// Puts groups on the official side that their people are on; gives back those that are free to go anywhere.
    fn join_official(&mut self, members: &[usize], groups: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        let mut side_of: HashMap<String, Split> = HashMap::new();
        for video in members.iter().map(|video| &self.videos[*video]).filter(|video| video.official) {
            side_of.extend(video.source_ids.iter().map(|person| (person.clone(), video.split)));
        }
        let (mut free, mut torn) = (Vec::new(), Vec::new());
        for group in groups {
            let people = group.iter().flat_map(|video| &self.videos[*video].source_ids);
            let touched: BTreeSet<Split> = people.filter_map(|person| side_of.get(person).copied()).collect();
            match (touched.len(), touched.first()) {
                (1, Some(side)) => group.iter().for_each(|video| self.videos[*video].split = *side),
                (0, _) => free.push(group),
                _ => torn.extend(group.into_iter().map(|video| (video, TORN.to_owned()))),
            }
        }
        self.mark_unusable(torn);
        free
    }

    /// Distributes groups over sides as nearly to their shares as can be had.
    fn fill(&self, groups: &[Vec<usize>], shares: &Shares, seed: u64) -> Vec<Side> {
        let members = |group: usize| groups[group].iter().map(|video| self.videos[*video].label);
        let counts: Vec<Counts> = (0..groups.len()).map(|group| count(members(group))).collect();
        let totals = count(groups.iter().flatten().map(|video| self.videos[*video].label));
        let whole: f64 = shares.iter().map(|(_, share)| share).sum();
        let mut sides: Vec<Side> =
            shares.iter().map(|(split, share)| Side::new(*split, share / whole, totals)).collect();

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
        sides
    }

    fn held(&self, side: Split) -> Counts {
        count(self.indices(side).into_iter().map(|video| self.videos[video].label))
    }

    fn indivisible(&self, shares: &Shares, groups: usize, group_by: GroupBy) -> DataError {
        let [reals, fakes] =
            OWN_SIDES.map(|side| self.held(side)).into_iter().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
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
                named(shares.iter().map(|(side, _)| *side))
            ),
            hint: hint.into(),
        }
    }
}

/// The sides that are asked for.
fn shares(data: &DataConfig) -> Shares {
    let all = OWN_SIDES.into_iter().zip([1.0 - data.val_split - data.test_split, data.val_split, data.test_split]);
    all.filter(|(side, share)| *side == Split::Train || *share > 0.0).collect()
}

fn named(sides: impl Iterator<Item = Split>) -> String {
    sides.map(|side| format!("{side:?}").to_lowercase()).collect::<Vec<_>>().join(", ")
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

/// Those of `members` that must stay together, ordered by their first path.
fn groups(videos: &[VideoRecord], members: &[usize], grouping: Grouping) -> Vec<Vec<usize>> {
    let mut parents: Vec<usize> = (0..videos.len()).collect();
    let mut first_video_of: HashMap<&str, usize> = HashMap::new();
    for video in members {
        let people = match grouping {
            Grouping::Person => videos[*video].source_ids.as_slice(),
            Grouping::Target => videos[*video].source_ids.get(..1).unwrap_or_default(),
            Grouping::Video => &[],
        };
        for person in people {
            let other = *first_video_of.entry(person).or_insert(*video);
            let (root, other_root) = (root_of(&mut parents, *video), root_of(&mut parents, other));
            parents[root] = other_root;
        }
    }
    let mut by_path = members.to_vec();
    by_path.sort_by_key(|video| (videos[*video].set, &videos[*video].path));
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

    fn asked(val_split: f64, test_split: f64, group_by: GroupBy) -> DataConfig {
        DataConfig { val_split, test_split, group_by, ..DataConfig::default() }
    }

    /// Videos by label and people, with made-up paths.
    fn manifest(videos: &[(bool, Vec<u32>)]) -> Manifest {
        let record = |(index, (fake, people)): (usize, &(bool, Vec<u32>))| {
            let path = format!("{}/{index}.mp4", if *fake { "fake" } else { "real" });
            let label = if *fake { Label::Fake } else { Label::Real };
            VideoRecord::new(path, label, people.iter().map(u32::to_string).collect())
        };
        let sets = vec![DataSet {
            root: "set".into(),
            layout: LayoutChoice::Folders,
            recognised: String::new(),
            crop_faces: false,
            shows_faces: None,
        }];
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

    fn sides(manifest: &Manifest) -> BTreeMap<std::path::PathBuf, Split> {
        manifest.videos.iter().map(|video| (video.path.clone(), video.split)).collect()
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
            if split.assign_splits(&asked(0.15, test, GroupBy::Identity), seed).is_ok() {
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
            let results = [&mut split, &mut shuffled].map(|m| m.assign_splits(&asked(0.2, 0.2, group_by), seed).is_ok());
            prop_assert_eq!(results[0], results[1]);
            prop_assert_eq!(sides(&split), sides(&shuffled));
        }

        #[test]
        fn single_videos_come_within_one_of_the_share(
            reals in 20_usize..200, fakes in 20_usize..200, seed: u64, val in 0.05..0.45, test in 0.05..0.45,
        ) {
            let mut split = manifest_of_groups(&[[reals, fakes]]);
            split.assign_splits(&asked(val, test, GroupBy::Video), seed).unwrap();
            prop_assert!(worst_deviation(&split, val, test) <= 1.0 + 1e-9);
        }

        #[test]
        fn no_side_is_off_by_more_than_the_largest_group(groups in vec([1_usize..3, 1_usize..5], 20..120), seed: u64) {
            let mut split = manifest_of_groups(&groups);
            split.assign_splits(&asked(0.15, 0.15, GroupBy::Identity), seed).unwrap();
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
            prop_assert_eq!(split.assign_splits(&asked(0.1, 0.1, GroupBy::Identity), seed).is_ok(), possible, "{:?}", groups);
        }
    }

    #[test]
    fn the_seed_decides() {
        let split = |seed| {
            let mut split = manifest_of_groups(&[[2, 3]; 30]);
            split.assign_splits(&asked(0.2, 0.2, GroupBy::Identity), seed).unwrap();
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
        split.assign_splits(&asked(0.2, 0.2, GroupBy::Identity), 7).unwrap();
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
        let error = one.assign_splits(&asked(0.15, 0.15, GroupBy::Identity), 0).unwrap_err();
        let text = error.to_string();
        assert!(
            error.is_usage() && text.contains("5 real and 5 fake videos (groups that share no person: 1)"),
            "{text}"
        );
        assert!(text.contains("data.group_by: video") && text.contains("train, val, test"), "{text}");
        one.assign_splits(&asked(0.15, 0.15, GroupBy::Video), 0).unwrap();
        let mut few = manifest_of_groups(&[[1, 1], [1, 1]]);
        assert!(few.assign_splits(&asked(0.15, 0.15, GroupBy::Identity), 0).is_err());
        few.assign_splits(&asked(0.15, 0.0, GroupBy::Identity), 0).unwrap();
    }

    #[test]
    fn a_side_that_unusable_videos_emptied_is_filled_anew_and_one_that_was_not_stays() {
        let data = asked(0.2, 0.2, GroupBy::Identity);
        let mut split = manifest_of_groups(&[[1, 1]; 10]);
        split.assign_splits(&data, 1).unwrap();
        let before = sides(&split);
        let val = split.members(Split::Val);
        let unusable = |split: &mut Manifest, videos: &[usize]| {
            split.mark_unusable(videos.iter().map(|video| (*video, "broken".into())));
            split.mend_splits(&data, 1);
        };
        unusable(&mut split, &val[..1]);
        assert_eq!(sides(&split), before, "there is a real and a fake one left");
        unusable(&mut split, &val);
        for side in [Split::Train, Split::Val, Split::Test] {
            assert!(!split.held(side).contains(&0), "{side:?}");
        }
        let usable = [Split::Train, Split::Val, Split::Test].map(|side| split.indices(side));
        let people = usable.map(|videos| {
            videos.iter().flat_map(|video| split.videos[*video].source_ids.clone()).collect::<BTreeSet<_>>()
        });
        assert_eq!(people.iter().map(BTreeSet::len).sum::<usize>(), 8, "each on one side: {people:?}");
        // Where nothing can be done, nothing is.
        let all: Vec<_> = (0..20).collect();
        let before = sides(&split);
        unusable(&mut split, &all);
        assert_eq!(sides(&split), before);
    }

    #[test]
    fn a_set_of_a_hundred_thousand_is_split_as_well() {
        let mut groups: Vec<Counts> = (0..15_000).map(|group| [1, group % 12]).collect();
        groups.push([0, 5_000]);
        let mut split = manifest_of_groups(&groups);
        split.assign_splits(&asked(0.15, 0.15, GroupBy::Identity), 3).unwrap();
        assert!(worst_deviation(&split, 0.15, 0.15) <= 2.0);
    }
}
