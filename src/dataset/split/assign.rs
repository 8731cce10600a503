//! The assignment of each video to a side of the split: the official side if the data set has one, or else a seeded,
//! stratified split in which no person is on two sides.
//!
//! Videos that share a person form a group, which stays together. In an order that the seed decides, each group goes to
//! the side that lacks most of its reals and fakes. Then groups are moved and swapped as long as that brings the shares
//! of both classes closer to the configured ones. The result depends on labels, people and paths, and not on the order
//! of the list. This file opens no video.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::balance::{Counts, Shares, Side, count, fill};
use super::groups::{self, Grouping, by_namespace};
use crate::config::{DataConfig, GroupBy, SelfBlend};
use crate::dataset::error::DataError;
use crate::dataset::learned_fakes::set_aside;
use crate::dataset::manifest::Manifest;
use crate::dataset::overlap;
use crate::dataset::record::Split;

/// All sides except that of cross-tests.
const OWN_SIDES: [Split; 3] = [Split::Train, Split::Val, Split::Test];
const PEOPLE_ON_TWO_SIDES: &str = "its people are on two sides of the official split";
const SHARE_PEOPLE: &str = "somebody in them is on an official side of the split";

/// Assigns a side to every video. Official sides and [`Split::CrossTest`] stay. Of the other videos, the share
/// `data.val_split` goes to [`Split::Val`], `data.test_split` to [`Split::Test`] and the rest to [`Split::Train`]. The
/// shares hold for reals and for fakes, as closely as the groups allow. A side with share 0 stays empty; every other
/// side gets at least one real and one fake.
///
/// If the official sides cover only some of the configured ones (often only a test list), all other videos are divided
/// between training and the missing sides, including those that the data set assigns to training. Of these, a video
/// that no list names is not used if somebody in it is on an official side, unless that takes more than half of them.
/// An official list may connect everybody, though: all of Celeb-DF is one group, and part of it is in the test list. If
/// the rest cannot be divided by all of its people, it is divided by the first person (the target, whose head and room
/// are seen), and one warning says how many people are on two sides. If all sides are official, unlisted videos go to
/// the side of their people, and a video that would connect two sides is not used.
///
/// Unusable videos are not counted and keep their side.
///
/// A name means the same person in all data sets of one family (FaceForensics++ and its Kaggle copy, Celeb-DF, DFDC),
/// and different people in all others. A second warning says how many people of a cross-test are also trained on.
///
/// # Errors
/// [`DataError::Unusable`] if there are too few groups. Then the splits are unchanged.
pub fn assign_splits(manifest: &mut Manifest, data: &DataConfig, seed: u64) -> Result<(), DataError> {
    assign(manifest, data, seed, true)
}

/// A split that was made before (`is_first` is false) does not tell any more what was unlisted.
fn assign(manifest: &mut Manifest, data: &DataConfig, seed: u64, is_first: bool) -> Result<(), DataError> {
    let by_namespace = by_namespace(manifest, &OWN_SIDES.map(|side| manifest.indices(side)).concat());
    let shares = shares(data);
    let mut result = manifest.clone();
    let mut groups = 0;
    for members in by_namespace.values() {
        if is_first && data.group_by == GroupBy::Identity {
            leave_out_people_of_official_sides(&mut result, members, &shares);
        }
        let usable = result.skips();
        let members: Vec<usize> =
            members.iter().copied().filter(|video| usable.of(&result.videos[*video]).is_none()).collect();
        groups += split_family(&mut result, &members, &shares, data.group_by, seed);
    }
    if shares.iter().any(|(side, _)| held(&result, *side).contains(&0)) {
        return Err(indivisible(manifest, &shares, groups, data.group_by));
    }
    *manifest = result;
    if data.group_by == GroupBy::Identity {
        overlap::warnings(manifest).iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    Ok(())
}

/// Divides the usable videos again if unusable ones left a side without reals or fakes; otherwise the split stays. It
/// warns about this, and about sides that still lack a class, such as official ones. True fakes and self-blends stay on
/// different sides.
pub fn mend_splits(manifest: &mut Manifest, data: &DataConfig, self_blend: SelfBlend, seed: u64) {
    let lacking = |manifest: &Manifest| {
        let sides = shares(data).into_iter().map(|(side, _)| side);
        named(sides.filter(|side| held(manifest, *side).contains(&0)))
    };
    let emptied = lacking(manifest);
    if !emptied.is_empty() && assign(manifest, data, seed, false).is_ok() {
        let found = "unusable videos had left a side of the split without real or without fake ones";
        tracing::warn!("{found} ({emptied}): those that can be used are divided anew");
        set_aside(manifest, data, self_blend);
    }
    let still = lacking(manifest);
    if !still.is_empty() {
        tracing::warn!("without a usable real or a usable fake video: {still}; there is no AUC of that");
    }
}

/// Splits the videos of one family, whose people are in no other family. Returns the number of groups.
fn split_family(manifest: &mut Manifest, members: &[usize], shares: &Shares, group_by: GroupBy, seed: u64) -> usize {
    let official: BTreeSet<Split> = members
        .iter()
        .map(|video| &manifest.videos[*video])
        .filter(|video| video.official)
        .map(|video| video.split)
        .collect();
    let complete = shares.iter().all(|(side, _)| official.contains(side));
    if !complete {
        // Some of the official training videos must become validation or test videos.
        for video in members {
            let video = &mut manifest.videos[*video];
            video.official &= video.split != Split::Train;
        }
    }
    let rest: Vec<usize> = members.iter().copied().filter(|video| !manifest.videos[*video].official).collect();
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
    let is_divided = |sides: &[Side]| sides.iter().all(|side| !side.held.contains(&0));
    let mut groups = groups::groups(&manifest.videos, &rest, groupings[0]);
    let number = groups.len();
    if complete && group_by == GroupBy::Identity {
        groups = join_official(manifest, members, groups);
    }
    let mut sides = fill(&manifest.videos, &groups, &open, seed);
    if let (false, false, Some(finer)) = (complete, is_divided(&sides), groupings.get(1)) {
        let finer = groups::groups(&manifest.videos, &rest, *finer);
        let finer_sides = fill(&manifest.videos, &finer, &open, seed);
        if is_divided(&finer_sides) {
            (groups, sides) = (finer, finer_sides);
        }
    }
    for side in &sides {
        for video in side.groups.values().flatten().flat_map(|group| &groups[*group]) {
            manifest.videos[*video].split = side.split;
        }
    }
    number
}

/// Marks videos that no list names as unusable if somebody in them is on an official side of an incomplete list, unless
/// that would take more than half of those that are not on such a side.
fn leave_out_people_of_official_sides(manifest: &mut Manifest, members: &[usize], shares: &Shares) {
    let of_lists = |sides: &[Split]| {
        let videos = members.iter().map(|video| &manifest.videos[*video]);
        videos.filter(|video| video.official && sides.contains(&video.split)).collect::<Vec<_>>()
    };
    if shares.iter().all(|(side, _)| !of_lists(&[*side]).is_empty()) {
        return;
    }
    let held_back = of_lists(&[Split::Val, Split::Test]);
    let people: HashSet<&str> = held_back.iter().flat_map(|video| &video.source_ids).map(String::as_str).collect();
    let is_known = |video: &&usize| {
        let video = &manifest.videos[**video];
        !video.official && video.source_ids.iter().any(|person| people.contains(person.as_str()))
    };
    let left_out: Vec<usize> = members.iter().filter(is_known).copied().collect();
    if left_out.is_empty() || 2 * left_out.len() > members.len() - held_back.len() {
        return;
    }
    tracing::warn!("{} videos are not used: {SHARE_PEOPLE}, and no list names them", left_out.len());
    manifest.mark_unusable(left_out.into_iter().map(|video| (video, SHARE_PEOPLE.to_owned())));
}

/// Assigns groups to the official side of their people. Returns the groups that are free.
fn join_official(manifest: &mut Manifest, members: &[usize], groups: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut sides_of: HashMap<String, BTreeSet<Split>> = HashMap::new();
    for video in members.iter().map(|video| &manifest.videos[*video]).filter(|video| video.official) {
        for person in &video.source_ids {
            sides_of.entry(person.clone()).or_default().insert(video.split);
        }
    }
    let (mut free, mut on_two_sides) = (Vec::new(), Vec::new());
    for group in groups {
        let people = group.iter().flat_map(|video| &manifest.videos[*video].source_ids);
        let touched: BTreeSet<Split> = people.filter_map(|person| sides_of.get(person)).flatten().copied().collect();
        match (touched.len(), touched.first()) {
            (1, Some(side)) => group.iter().for_each(|video| manifest.videos[*video].split = *side),
            (0, _) => free.push(group),
            _ => on_two_sides.extend(group.into_iter().map(|video| (video, PEOPLE_ON_TWO_SIDES.to_owned()))),
        }
    }
    manifest.mark_unusable(on_two_sides);
    free
}

fn held(manifest: &Manifest, side: Split) -> Counts {
    count(manifest.indices(side).into_iter().map(|video| manifest.videos[video].label))
}

fn indivisible(manifest: &Manifest, shares: &Shares, groups: usize, group_by: GroupBy) -> DataError {
    let [reals, fakes] =
        OWN_SIDES.map(|side| held(manifest, side)).into_iter().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    let (together, hint) = match group_by {
        GroupBy::Identity => (
            format!(" (groups that share no person: {groups})"),
            "add videos of other people, ask for fewer splits (data.test_split: 0), or set data.group_by: video if \
             one person may be on two sides",
        ),
        GroupBy::Video => (String::new(), "add videos, or ask for fewer splits (data.test_split: 0)"),
    };
    DataError::Unusable {
        root: manifest.root().to_owned(),
        problem: format!(
            "{reals} real and {fakes} fake videos{together} cannot be split into {}: each needs a real and a fake one",
            named(shares.iter().map(|(side, _)| *side))
        ),
        hint: hint.into(),
    }
}

/// The sides with a share above 0.
fn shares(data: &DataConfig) -> Shares {
    let all = OWN_SIDES.into_iter().zip([1.0 - data.val_split - data.test_split, data.val_split, data.test_split]);
    all.filter(|(side, share)| *side == Split::Train || *share > 0.0).collect()
}

fn named(sides: impl Iterator<Item = Split>) -> String {
    sides.map(|side| format!("{side:?}").to_lowercase()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
