//! Warnings about people who make a result less meaningful: people on two sides of the split, and people of a
//! cross-test who are also trained on.
//!
//! This file only counts; it does not change the split.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::Manifest;
use super::people::Namespace;
use super::record::Split;

type Person<'a> = (Namespace, &'a str);

/// One line for each family of data sets with people on two sides, and for each cross-test with people who are trained
/// on.
pub(super) fn warnings(manifest: &Manifest) -> Vec<String> {
    let mut own: BTreeMap<Person, BTreeSet<Split>> = BTreeMap::new();
    let mut cross: BTreeMap<usize, BTreeSet<Person>> = BTreeMap::new();
    for index in [Split::Train, Split::Val, Split::Test, Split::CrossTest].map(|side| manifest.indices(side)).concat() {
        let video = &manifest.videos[index];
        for person in &video.source_ids {
            let person = (Namespace::of(manifest, video), person.as_str());
            match video.split {
                Split::CrossTest => {
                    cross.entry(video.set).or_default().insert(person);
                }
                side => {
                    own.entry(person).or_default().insert(side);
                }
            }
        }
    }
    let families: BTreeSet<Namespace> = own.keys().map(|(family, _)| *family).collect();
    let on_two_sides = families.into_iter().filter_map(|family| {
        let set = manifest.videos.iter().find(|video| Namespace::of(manifest, video) == family)?.set;
        let members = own.iter().filter(|((of, _), _)| *of == family);
        let people_shared = counted(members.map(|((_, name), sides)| (*name, sides.len() > 1)))?;
        Some(format!(
            "{}: {people_shared} on two sides of the split: its official lists leave no other way, so results on them say \
             little about people never seen",
            manifest.sets[set].root.display()
        ))
    });
    let trained_on = |person: &Person| own.get(person).is_some_and(|sides| sides.contains(&Split::Train));
    let also_trained_on = cross.into_iter().filter_map(|(set, people)| {
        let people_shared = counted(people.iter().map(|person| (person.1, trained_on(person))))?;
        Some(format!(
            "{}: {people_shared} in the videos of training too: results on them say little about people never seen",
            manifest.sets[set].root.display()
        ))
    });
    on_two_sides.chain(also_trained_on).collect()
}

/// A text such as "2 of 5 people, for instance id1, are"; `None` if there are none.
fn counted<'a>(people: impl Iterator<Item = (&'a str, bool)>) -> Option<String> {
    let (shared, others): (Vec<_>, Vec<_>) = people.partition(|(_, shared)| *shared);
    let ((first, _), are) = (shared.first()?, if shared.len() == 1 { "is" } else { "are" });
    Some(format!("{} of {} people, for instance {first}, {are}", shared.len(), shared.len() + others.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LayoutChoice;
    use crate::dataset::record::{DataSet, Label, VideoRecord};

    fn manifest(layouts: &[LayoutChoice], videos: &[(usize, &[&str], Split)]) -> Manifest {
        let set = |(number, layout): (usize, &LayoutChoice)| DataSet::new(format!("/set{number}"), *layout);
        let record = |(number, (set, people, split)): (usize, &(usize, &[&str], Split))| {
            let people = people.iter().map(ToString::to_string).collect();
            let record = VideoRecord::new(format!("{number}.mp4"), Label::Real, people);
            VideoRecord { set: *set, split: *split, ..record }
        };
        Manifest {
            sets: layouts.iter().enumerate().map(set).collect(),
            videos: videos.iter().enumerate().map(record).collect(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn people_of_one_family_are_known_again_in_a_set_to_test_on() {
        use LayoutChoice::{Ffpp, FfppKaggle, Folders};
        let videos: [(usize, &[&str], Split); 5] = [
            (0, &["000", "003"], Split::Train),
            (0, &["111"], Split::Test),
            (1, &["000", "003"], Split::CrossTest),
            (1, &["111"], Split::CrossTest),
            (1, &["222"], Split::CrossTest),
        ];
        let warned = warnings(&manifest(&[Ffpp, FfppKaggle], &videos));
        assert_eq!(warned.len(), 1, "{warned:?}");
        let expected = "/set1: 2 of 4 people, for instance 000, are in the videos of training too";
        assert!(warned[0].starts_with(expected), "{}", warned[0]);
        assert!(warnings(&manifest(&[Folders, Folders], &videos)).is_empty(), "names of two other sets mean nothing");
    }

    #[test]
    fn people_on_two_sides_are_counted_once() {
        let videos: [(usize, &[&str], Split); 3] =
            [(0, &["id0", "id1"], Split::Train), (0, &["id1", "id2"], Split::Test), (0, &["id1"], Split::Val)];
        let warned = warnings(&manifest(&[LayoutChoice::Celebdf], &videos));
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(warned[0].starts_with("/set0: 1 of 3 people, for instance id1, is on two sides"), "{}", warned[0]);
    }
}
