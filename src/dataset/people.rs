//! The people in a video, as its file name tells them, and the data sets in which a name means the same person. Opens
//! no video.

use std::collections::HashMap;

use super::manifest::Manifest;
use super::record::VideoRecord;
use crate::config::LayoutChoice;

/// The scope of people's names: a family of data sets, or a single data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Namespace {
    FaceForensics,
    CelebDf,
    Dfdc,
    Set(usize),
}

impl Namespace {
    pub fn of(manifest: &Manifest, video: &VideoRecord) -> Self {
        match manifest.sets.get(video.set).map(|set| set.layout) {
            // The targets of DeeperForensics are those of FaceForensics++, and nobody there is called as its actors.
            Some(LayoutChoice::Ffpp | LayoutChoice::FfppKaggle | LayoutChoice::Deeperforensics) => Self::FaceForensics,
            Some(LayoutChoice::Celebdf) => Self::CelebDf,
            Some(LayoutChoice::Dfdc) => Self::Dfdc,
            // Its fakes are made of videos of both.
            Some(LayoutChoice::Df40) => match video.source_ids.first() {
                Some(person) if is_of_celeb_df(person) => Self::CelebDf,
                Some(person) if is_of_faceforensics(person) => Self::FaceForensics,
                _ => Self::Set(video.set),
            },
            _ => Self::Set(video.set),
        }
    }
}

/// The people in each of some videos of a manifest, by numbers. A video of which nobody is known has a person of its own.
#[must_use]
pub fn people_numbers(manifest: &Manifest, videos: &[usize]) -> Vec<Vec<usize>> {
    let mut numbers = HashMap::new();
    let mut number = |name: (Namespace, &str), video: Option<usize>| {
        let next = numbers.len();
        *numbers.entry((name.0, name.1.to_owned(), video)).or_insert(next)
    };
    let mut people_of = |video: &usize| {
        let record = &manifest.videos[*video];
        let namespace = Namespace::of(manifest, record);
        match record.source_ids.as_slice() {
            [] => vec![number((namespace, ""), Some(*video))],
            people => people.iter().map(|person| number((namespace, person), None)).collect(),
        }
    };
    videos.iter().map(&mut people_of).collect()
}

/// Whether FaceForensics++ calls a person so: `033`.
pub(super) fn is_of_faceforensics(person: &str) -> bool {
    person.len() == 3 && is_number(person)
}

/// Whether Celeb-DF calls a person so: `id3`, or `00170` of its videos from YouTube.
pub(super) fn is_of_celeb_df(person: &str) -> bool {
    is_id(person) || person.len() == 5 && is_number(person)
}

/// The people in a video, from its file name without the extension.
///
/// | name | people |
/// | --- | --- |
/// | starts with `id` and a number, once or several times: `id3_0001`, `id3_id5_0001`, `id003_clip1` | those |
/// | one or two numbers of 2 to 4 digits, as in FaceForensics++: `033`, `033_097` | those |
/// | anything else | the whole name stands for one person of its own |
///
/// A name means the same in every folder: `real/033` and `fake/Deepfakes/033_097` share a person, and so do `real/abc`
/// and `fake/abc`, because a fake often has the name of its original.
#[must_use]
pub fn people_of(stem: &str) -> Vec<String> {
    let tokens: Vec<&str> = stem.split('_').collect();
    let ids = tokens.iter().take_while(|token| is_id(token)).count();
    let is_short_number = |token: &&str| (2..=4).contains(&token.len()) && is_number(token);
    let mut people: Vec<String> = if ids > 0 {
        tokens[..ids].iter().map(ToString::to_string).collect()
    } else if tokens.len() <= 2 && tokens.iter().all(is_short_number) {
        tokens.iter().map(ToString::to_string).collect()
    } else {
        vec![stem.to_owned()]
    };
    people.dedup();
    people
}

/// The name of the original of a fake: `001` for `001_870`, and `id0_0000` for `id0_id1_0000`.
pub(super) fn original_of(stem: &str) -> Option<String> {
    match stem.split('_').collect::<Vec<_>>().as_slice() {
        [target, _] => Some((*target).to_owned()),
        [target, _, number] => Some(format!("{target}_{number}")),
        _ => None,
    }
}

/// Whether a part of a name is `id` and a number, which stands for a person.
pub(super) fn is_id(part: &str) -> bool {
    part.strip_prefix("id").is_some_and(is_number)
}

/// Whether a part of a name is nothing but digits.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::record::{DataSet, Label};

    #[test]
    fn names_tell_people() {
        for (stem, people) in [
            ("id3_0001", &["id3"][..]),
            ("id3_id5_0001", &["id3", "id5"]),
            ("id003_clip1", &["id003"]),
            ("id3", &["id3"]),
            ("id3_id3_1", &["id3"]),
            ("033", &["033"]),
            ("033_097", &["033", "097"]),
            ("0001", &["0001"]),
            ("00170", &["00170"]),
            ("1_2", &["1_2"]),
            ("033_097_2", &["033_097_2"]),
            ("01_02__walking__ABC", &["01_02__walking__ABC"]),
            ("idea_1", &["idea_1"]),
            ("id_7", &["id_7"]),
            ("holiday id3", &["holiday id3"]),
            ("", &[""]),
        ] {
            assert_eq!(people_of(stem), people, "{stem}");
        }
    }

    #[test]
    fn a_name_is_a_person_within_its_data_set_and_who_is_not_known_is_somebody_else() {
        let sets = [LayoutChoice::Ffpp, LayoutChoice::Deeperforensics, LayoutChoice::Celebdf, LayoutChoice::Folders];
        let sets = sets.map(|layout| DataSet::new("set", layout)).to_vec();
        let video = |(set, people): (usize, &[&str])| {
            let people = people.iter().map(ToString::to_string).collect();
            VideoRecord { set, ..VideoRecord::new("video.mp4", Label::Real, people) }
        };
        let videos = [
            (0, &["033"][..]),
            // The same person.
            (1, &["033"]),
            (2, &["033"]),
            (0, &["033", "097"]),
            (3, &[]),
            (3, &[]),
            (3, &[""]),
            (3, &["033"]),
        ];
        let manifest = Manifest { sets, videos: videos.map(video).to_vec(), skipped: Vec::new() };
        let people = people_numbers(&manifest, &[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(people, [vec![0], vec![0], vec![1], vec![0, 2], vec![3], vec![4], vec![5], vec![6]]);
        assert_eq!(people_numbers(&manifest, &[5, 3]), [vec![0], vec![1, 2]]);
    }

    #[test]
    fn names_tell_originals() {
        for (stem, original) in [
            ("001_870", Some("001")),
            ("id0_id1_0000", Some("id0_0000")),
            ("001", None),
            ("Celeb-real_id13_0011_045", None),
            ("", None),
        ] {
            assert_eq!(original_of(stem).as_deref(), original, "{stem}");
        }
    }
}
