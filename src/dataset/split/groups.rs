//! Groups of videos that must stay on one side of the split. Knows nothing of sides and shares.

use std::collections::{BTreeMap, HashMap};

use crate::dataset::manifest::Manifest;
use crate::dataset::people::Namespace;
use crate::dataset::record::VideoRecord;

/// The rule by which videos are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouping {
    /// Videos that share a person.
    Person,
    /// Videos with the same first person, whose head and room are seen.
    Target,
    /// No videos are grouped.
    Video,
}

/// Groups of `members` that must stay together, ordered by their first path.
pub(super) fn groups(videos: &[VideoRecord], members: &[usize], grouping: Grouping) -> Vec<Vec<usize>> {
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

/// Finds the representative of a group (union-find with path halving).
fn root_of(parents: &mut [usize], mut video: usize) -> usize {
    while parents[video] != video {
        parents[video] = parents[parents[video]];
        video = parents[video];
    }
    video
}

pub(super) fn by_namespace(manifest: &Manifest, members: &[usize]) -> BTreeMap<Namespace, Vec<usize>> {
    let mut by_namespace: BTreeMap<Namespace, Vec<usize>> = BTreeMap::new();
    for index in members {
        by_namespace.entry(Namespace::of(manifest, &manifest.videos[*index])).or_default().push(*index);
    }
    by_namespace
}
