//! Tests of splits of invented manifests.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::LayoutChoice;
use crate::dataset::learned_fakes::place_fakes;
use crate::dataset::record::{DataSet, Label, VideoRecord};
use crate::dataset::self_blends::add_self_blends;

fn asked(val_split: f64, test_split: f64, group_by: GroupBy) -> DataConfig {
    DataConfig { val_split, test_split, group_by, ..DataConfig::default() }
}

/// Videos with these labels and people, and invented paths.
fn manifest(videos: &[(bool, Vec<u32>)]) -> Manifest {
    let record = |(index, (fake, people)): (usize, &(bool, Vec<u32>))| {
        let path = format!("{}/{index}.mp4", if *fake { "fake" } else { "real" });
        let label = if *fake { Label::Fake } else { Label::Real };
        VideoRecord::new(path, label, people.iter().map(u32::to_string).collect())
    };
    let sets = vec![DataSet::new("set", LayoutChoice::Folders)];
    Manifest { sets, videos: videos.iter().enumerate().map(record).collect(), skipped: Vec::new() }
}

/// Groups with these numbers of reals and fakes, each of one person.
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
        if assign_splits(&mut split, &asked(0.15, test, GroupBy::Identity), seed).is_ok() {
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
        let results = [&mut split, &mut shuffled].map(|m| assign_splits(m, &asked(0.2, 0.2, group_by), seed).is_ok());
        prop_assert_eq!(results[0], results[1]);
        prop_assert_eq!(sides(&split), sides(&shuffled));
    }

    #[test]
    fn single_videos_come_within_one_of_the_share(
        reals in 20_usize..200, fakes in 20_usize..200, seed: u64, val in 0.05..0.45, test in 0.05..0.45,
    ) {
        let mut split = manifest_of_groups(&[[reals, fakes]]);
        assign_splits(&mut split, &asked(val, test, GroupBy::Video), seed).unwrap();
        prop_assert!(worst_deviation(&split, val, test) <= 1.0 + 1e-9);
    }

    #[test]
    fn no_side_is_off_by_more_than_the_largest_group(groups in vec([1_usize..3, 1_usize..5], 20..120), seed: u64) {
        let mut split = manifest_of_groups(&groups);
        assign_splits(&mut split, &asked(0.15, 0.15, GroupBy::Identity), seed).unwrap();
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
        prop_assert_eq!(assign_splits(&mut split, &asked(0.1, 0.1, GroupBy::Identity), seed).is_ok(), possible, "{:?}", groups);
    }
}

#[test]
fn the_seed_decides() {
    let split = |seed| {
        let mut split = manifest_of_groups(&[[2, 3]; 30]);
        assign_splits(&mut split, &asked(0.2, 0.2, GroupBy::Identity), seed).unwrap();
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
    assign_splits(&mut split, &asked(0.2, 0.2, GroupBy::Identity), 7).unwrap();
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
    let error = assign_splits(&mut one, &asked(0.15, 0.15, GroupBy::Identity), 0).unwrap_err();
    let text = error.to_string();
    assert!(error.is_usage() && text.contains("5 real and 5 fake videos (groups that share no person: 1)"), "{text}");
    assert!(text.contains("data.group_by: video") && text.contains("train, val, test"), "{text}");
    assign_splits(&mut one, &asked(0.15, 0.15, GroupBy::Video), 0).unwrap();
    let mut few = manifest_of_groups(&[[1, 1], [1, 1]]);
    assert!(assign_splits(&mut few, &asked(0.15, 0.15, GroupBy::Identity), 0).is_err());
    assign_splits(&mut few, &asked(0.15, 0.0, GroupBy::Identity), 0).unwrap();
}

#[test]
fn a_side_that_unusable_videos_emptied_is_filled_anew_and_one_that_was_not_stays() {
    let data = asked(0.2, 0.2, GroupBy::Identity);
    let mut split = manifest_of_groups(&[[1, 1]; 10]);
    assign_splits(&mut split, &data, 1).unwrap();
    let before = sides(&split);
    let val = split.members(Split::Val);
    let unusable = |split: &mut Manifest, videos: &[usize]| {
        split.mark_unusable(videos.iter().map(|video| (*video, "broken".into())));
        mend_splits(split, &data, SelfBlend::Off, 1);
    };
    unusable(&mut split, &val[..1]);
    assert_eq!(sides(&split), before, "there is a real and a fake one left");
    unusable(&mut split, &val);
    for side in [Split::Train, Split::Val, Split::Test] {
        assert!(!held(&split, side).contains(&0), "{side:?}");
    }
    let usable = [Split::Train, Split::Val, Split::Test].map(|side| split.indices(side));
    let people = usable
        .map(|videos| videos.iter().flat_map(|video| split.videos[*video].source_ids.clone()).collect::<BTreeSet<_>>());
    assert_eq!(people.iter().map(BTreeSet::len).sum::<usize>(), 8, "each on one side: {people:?}");
    // If no split is possible, nothing changes.
    let all: Vec<_> = (0..20).collect();
    let before = sides(&split);
    unusable(&mut split, &all);
    assert_eq!(sides(&split), before);
}

#[test]
fn self_blends_and_true_fakes_stay_apart_where_videos_are_divided_again() {
    let data = asked(0.2, 0.2, GroupBy::Identity);
    for self_blend in [SelfBlend::Add, SelfBlend::Only] {
        let mut split = manifest_of_groups(&[[2, 1]; 10]);
        add_self_blends(&mut split);
        assign_splits(&mut split, &data, 1).unwrap();
        place_fakes(&mut split, &data, self_blend).unwrap();
        // All reals of validation turn out to be broken.
        let reals = split.indices(Split::Val).into_iter().filter(|video| split.videos[*video].label == Label::Real);
        let reals: Vec<_> = reals.map(|video| (video, "broken".to_owned())).collect();
        split.mark_unusable(reals);
        let before = split.videos.len();
        mend_splits(&mut split, &data, self_blend, 1);
        assert_eq!(split.videos.len(), before, "indices stay");
        for side in [Split::Train, Split::Val, Split::Test] {
            let videos = split.indices(side).into_iter().map(|video| &split.videos[video]);
            let (made, of_others): (Vec<_>, Vec<_>) =
                videos.filter(|video| video.label == Label::Fake).partition(|video| video.is_self_blend());
            let is_mixed = !made.is_empty() && !of_others.is_empty();
            assert_eq!(is_mixed, side == Split::Train && self_blend == SelfBlend::Add, "{self_blend:?}, {side:?}");
            assert!(!held(&split, side).contains(&0), "{self_blend:?}, {side:?}");
        }
    }
}

#[test]
fn a_set_of_a_hundred_thousand_is_split_as_well() {
    let mut groups: Vec<Counts> = (0..15_000).map(|group| [1, group % 12]).collect();
    groups.push([0, 5_000]);
    let mut split = manifest_of_groups(&groups);
    assign_splits(&mut split, &asked(0.15, 0.15, GroupBy::Identity), 3).unwrap();
    assert!(worst_deviation(&split, 0.15, 0.15) <= 2.0);
}

#[test]
fn an_unlisted_video_of_somebody_in_the_official_test_is_not_used() {
    // People 0 and 1 are in the official test; two more videos of person 0 are in no list.
    let mut videos: Vec<_> = (0..12).flat_map(|person| [(false, vec![person]), (true, vec![person])]).collect();
    videos.extend([(false, vec![0]), (true, vec![0, 5])]);
    let mut listed = manifest(&videos);
    listed.videos[..4].iter_mut().for_each(|video| (video.split, video.official) = (Split::Test, true));
    for seed in 0..8 {
        let mut split = listed.clone();
        assign_splits(&mut split, &asked(0.15, 0.15, GroupBy::Identity), seed).unwrap();
        assert_eq!(split.indices(Split::Test), [0, 1, 2, 3], "seed {seed}");
        let reasons: Vec<_> =
            split.skipped.iter().map(|video| (video.path.to_str().unwrap(), video.reason.as_str())).collect();
        assert_eq!(reasons, [("real/24.mp4", SHARE_PEOPLE), ("fake/25.mp4", SHARE_PEOPLE)]);
    }
    // What the data set itself trains on stays where it is, also when unusable videos make a second split necessary.
    let mut trained = listed.clone();
    trained.videos[24..].iter_mut().for_each(|video| (video.split, video.official) = (Split::Train, true));
    assign_splits(&mut trained, &asked(0.15, 0.15, GroupBy::Identity), 1).unwrap();
    let reals = trained.indices(Split::Val).into_iter().filter(|video| trained.videos[*video].label == Label::Real);
    let reals: Vec<_> = reals.map(|video| (video, "broken".to_owned())).collect();
    trained.mark_unusable(reals);
    mend_splits(&mut trained, &asked(0.15, 0.15, GroupBy::Identity), SelfBlend::Off, 1);
    assert!(trained.count(Split::Val, Label::Real) > 0);
    assert_eq!(trained.members(Split::Test), [0, 1, 2, 3]);
    // Where it would take most of the videos, people on two sides are warned of instead.
    let mut all_known = listed;
    all_known.videos[4..].iter_mut().for_each(|video| video.source_ids.push("0".into()));
    assign_splits(&mut all_known, &asked(0.15, 0.15, GroupBy::Identity), 1).unwrap();
    assert!(all_known.skipped.is_empty() && all_known.count(Split::Train, Label::Real) > 5);
}
