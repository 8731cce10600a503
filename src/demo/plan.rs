//! Which videos a set has: who is on them, who is forged into whom, under which names, from which random numbers.
//!
//! People come in pairs and are swapped only within their pair, as in FaceForensics++, so that a split by identity has
//! many small groups to deal out. Every forgery is one of a real clip of the set: size, frame rate and length cannot
//! tell the classes apart.

use std::path::PathBuf;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// One video of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clip {
    /// Below the set's folder.
    pub path: PathBuf,
    /// Who was filmed.
    pub target: usize,
    /// Whose face was put in, in a forgery.
    pub source: Option<usize>,
    /// Which of the target's clips it is or forges, from 1.
    pub number: usize,
    /// Whether this forgery's colours are off to the bright side.
    pub brighter: bool,
}

/// What random numbers are for. Each purpose has a stream of its own, so that a change to one leaves the others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Person = 1,
    Scene = 2,
    Swap = 3,
    Camera = 4,
}

/// The random numbers for a purpose and whatever it is numbered by.
pub(super) fn random(seed: u64, purpose: Purpose, number: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 48 | number as u64);
    rng
}

/// How many people a set of so many videos shows.
pub(super) fn people(videos: usize) -> usize {
    2 * pairs(videos)
}

/// Two clips of each person where the set is large enough; never fewer pairs than a three-way split needs.
fn pairs(videos: usize) -> usize {
    videos.div_ceil(2).div_ceil(4).max(3)
}

/// The set's videos, real ones first.
pub(super) fn plan(videos: usize) -> Vec<Clip> {
    let (pairs, fakes) = (pairs(videos), videos / 2);
    let real = |i: usize| {
        let (pair, round) = (i % pairs, i / pairs);
        let (target, number) = (2 * pair + round % 2, round / 2 + 1);
        let path = PathBuf::from(format!("real/id{target:03}_clip{number}.mp4"));
        // Of the four forgeries of a pair, two are too bright and two too dark, one of each a person.
        let brighter = (pair + round.div_ceil(2)) % 2 == 0;
        Clip { path, target, source: None, number, brighter }
    };
    let fake = |real: &Clip| {
        let source = real.target ^ 1;
        let path = format!("fake/faceswap/id{:03}_id{source:03}_clip{}.mp4", real.target, real.number);
        Clip { path: PathBuf::from(path), source: Some(source), ..real.clone() }
    };
    let reals: Vec<_> = (0..videos - fakes).map(real).collect();
    let forged: Vec<_> = reals.iter().take(fakes).map(fake).collect();
    reals.into_iter().chain(forged).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_size_has_both_classes_in_three_groups_or_more_and_no_name_twice() {
        for videos in [8, 9, 10, 15, 24, 48, 97, 160, 1000] {
            let clips = plan(videos);
            assert_eq!(clips.len(), videos);
            assert_eq!(clips.iter().map(|clip| &clip.path).collect::<BTreeSet<_>>().len(), videos);
            let fakes: Vec<_> = clips.iter().filter(|clip| clip.source.is_some()).collect();
            assert_eq!(fakes.len(), videos / 2);
            let pairs: BTreeSet<_> = fakes.iter().map(|clip| clip.target / 2).collect();
            assert!(pairs.len() >= 3, "{videos} videos: {pairs:?}");
            for fake in fakes {
                assert_eq!(fake.source.map(|source| source / 2), Some(fake.target / 2));
                let forged = |real: &&Clip| (real.source, real.target, real.number) == (None, fake.target, fake.number);
                assert_eq!(clips.iter().filter(forged).count(), 1, "{}", fake.path.display());
            }
        }
    }

    #[test]
    fn a_whole_pair_has_two_clips_of_each_and_colours_off_both_ways_for_each() {
        let clips = plan(160);
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
