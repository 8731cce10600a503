//! The list of videos of a synthetic set: their people, face swaps and file names. Draws no random numbers and renders
//! nothing.
//!
//! People form pairs, and faces are swapped only within a pair, as in FaceForensics++, so that a split by identity has
//! many small groups. Every fake has a real video of the set as its target: size, frame rate and length are equal in
//! both classes.

use std::path::PathBuf;

/// Fewest videos of a set: a real and a fake for each of training, validation and test, and one pair more.
pub const MIN_VIDEOS: usize = 8;
/// Most videos of a set.
pub const MAX_VIDEOS: usize = 10_000;

/// One video of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DemoVideo {
    /// Path relative to the set's folder.
    pub path: PathBuf,
    /// The person whose video it is.
    pub target: usize,
    /// The person whose face is swapped in; `None` in a real video.
    pub source: Option<usize>,
    /// Number among the target's videos, from 1; a fake has that of its real video.
    pub number: usize,
    /// Whether the swapped face of a fake is too bright; otherwise it is too dark.
    pub brighter: bool,
}

/// Number of people in a set of `videos` videos.
pub(super) fn people(videos: usize) -> usize {
    2 * pairs(videos)
}

/// Number of pairs of people: two videos per person in a large set, and never fewer pairs than a three-way split needs.
fn pairs(videos: usize) -> usize {
    videos.div_ceil(2).div_ceil(4).max(3)
}

/// The videos of a set, real ones first.
pub(super) fn video_list(videos: usize) -> Vec<DemoVideo> {
    let (pairs, fakes) = (pairs(videos), videos / 2);
    let real = |i: usize| {
        let (pair, round) = (i % pairs, i / pairs);
        let (target, number) = (2 * pair + round % 2, round / 2 + 1);
        let path = PathBuf::from(format!("real/id{target:03}_clip{number}.mp4"));
        // Of the four fakes of a pair, each person has one that is too bright and one that is too dark.
        let brighter = (pair + round.div_ceil(2)) % 2 == 0;
        DemoVideo { path, target, source: None, number, brighter }
    };
    let fake = |real: &DemoVideo| {
        let source = real.target ^ 1;
        let path = format!("fake/faceswap/id{:03}_id{source:03}_clip{}.mp4", real.target, real.number);
        DemoVideo { path: PathBuf::from(path), source: Some(source), ..real.clone() }
    };
    let reals: Vec<_> = (0..videos - fakes).map(real).collect();
    let fakes: Vec<_> = reals.iter().take(fakes).map(fake).collect();
    reals.into_iter().chain(fakes).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_size_has_both_classes_in_three_groups_or_more_and_no_name_twice() {
        for videos in [8, 9, 10, 15, 24, 48, 97, 160, 1000] {
            let clips = video_list(videos);
            assert_eq!(clips.len(), videos);
            assert_eq!(clips.iter().map(|clip| &clip.path).collect::<BTreeSet<_>>().len(), videos);
            let fakes: Vec<_> = clips.iter().filter(|clip| clip.source.is_some()).collect();
            assert_eq!(fakes.len(), videos / 2);
            let pairs: BTreeSet<_> = fakes.iter().map(|clip| clip.target / 2).collect();
            assert!(pairs.len() >= 3, "{videos} videos: {pairs:?}");
            for fake in fakes {
                assert_eq!(fake.source.map(|source| source / 2), Some(fake.target / 2));
                let forged =
                    |real: &&DemoVideo| (real.source, real.target, real.number) == (None, fake.target, fake.number);
                assert_eq!(clips.iter().filter(forged).count(), 1, "{}", fake.path.display());
            }
        }
    }

    #[test]
    fn a_whole_pair_has_two_clips_of_each_and_colours_off_both_ways_for_each() {
        let clips = video_list(160);
        assert_eq!(people(160), 40);
        let mut off = BTreeMap::<_, Vec<_>>::new();
        for fake in clips.iter().filter(|clip| clip.source.is_some()) {
            off.entry(fake.target).or_default().push(fake.brighter);
        }
        assert_eq!(off.len(), 40);
        assert!(off.values().all(|signs| signs.len() == 2 && signs[0] != signs[1]), "{off:?}");
        assert_eq!(clips[0].path, PathBuf::from("real/id000_clip1.mp4"));
        assert_eq!(clips[80].path, PathBuf::from("fake/faceswap/id000_id001_clip1.mp4"));
    }
}
