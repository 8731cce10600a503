//! The selection of videos after a scan, by `data.methods` and `data.max_videos_per_class`, and a check of the names in
//! `data.holdout_methods`. Knows nothing of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::Methods;
use crate::dataset::error::DataError;
use crate::dataset::manifest::Manifest;
use crate::dataset::record::{Label, Split, VideoRecord};

/// Keeps only the fakes of the selected methods.
///
/// A data set that has none of these methods, such as one for cross-testing, is used whole. A name that no data set has
/// is an error.
pub(super) struct MethodFilter<'a> {
    wanted: &'a Methods,
    known: BTreeSet<String>,
}

impl<'a> MethodFilter<'a> {
    pub fn new(wanted: &'a Methods) -> Self {
        Self { wanted, known: BTreeSet::new() }
    }

    pub fn apply(&mut self, videos: &mut Vec<VideoRecord>, root: &Path) {
        let Methods::Only(wanted) = self.wanted else { return };
        self.known.extend(methods_of(&*videos));
        if videos.iter().any(|video| video.is_of(wanted)) {
            videos.retain(|video| video.label == Label::Real || video.is_of(wanted));
        } else {
            tracing::info!("{}: has none of data.methods, so all of its fakes are used", root.display());
        }
    }

    pub fn check(&self, root: &Path) -> Result<(), DataError> {
        let Methods::Only(wanted) = self.wanted else { return Ok(()) };
        check_names("data.methods", wanted, &self.known, "set data.methods: all", root)
    }
}

/// An error for a name in `data.holdout_methods` that no fake has on the sides that the run splits.
pub(super) fn check_holdout(names: &[String], manifest: &Manifest) -> Result<(), DataError> {
    let own = manifest.videos.iter().filter(|video| video.split != Split::CrossTest && !video.is_self_blend());
    check_names("data.holdout_methods", names, &methods_of(own), "leave data.holdout_methods out", manifest.root())
}

fn methods_of<'v>(videos: impl IntoIterator<Item = &'v VideoRecord>) -> BTreeSet<String> {
    videos.into_iter().filter_map(|video| video.method.clone()).collect()
}

fn check_names(
    key: &str,
    names: &[String],
    known: &BTreeSet<String>,
    without_methods: &str,
    root: &Path,
) -> Result<(), DataError> {
    let is_known = |name: &&String| known.iter().any(|method| method.eq_ignore_ascii_case(name));
    let Some(unknown) = names.iter().find(|name| !is_known(name)) else { return Ok(()) };
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    Err(DataError::Unusable {
        root: root.to_owned(),
        problem: format!("{key}: there are no fakes of the method `{unknown}`"),
        hint: match known.as_slice() {
            [] => format!("the fakes have no methods here; {without_methods}"),
            known => format!("the methods are {}", known.join(", ")),
        },
    })
}

/// Keeps `limit` reals and `limit` fakes, evenly over the methods. Within a method, it keeps evenly spaced videos in
/// the order of side and path: videos of a person are next to each other there, so many people stay.
pub(super) fn limit(videos: &mut Vec<VideoRecord>, limit: usize) {
    videos.sort_by(|a, b| (a.official.then_some(a.split), &a.path).cmp(&(b.official.then_some(b.split), &b.path)));
    let mut members: BTreeMap<(Label, Option<String>), Vec<usize>> = BTreeMap::new();
    for (index, video) in videos.iter().enumerate() {
        members.entry((video.label, video.method.clone())).or_default().push(index);
    }
    let mut kept = BTreeSet::new();
    for label in [Label::Real, Label::Fake] {
        let of_label: Vec<_> = members.iter().filter(|((of, _), _)| *of == label).map(|(_, list)| list).collect();
        let quotas = even_quotas(&of_label.iter().map(|list| list.len()).collect::<Vec<_>>(), limit);
        for (list, quota) in of_label.into_iter().zip(quotas) {
            kept.extend((0..quota).map(|n| list[(2 * n + 1) * list.len() / (2 * quota)]));
        }
    }
    let mut index = 0..;
    videos.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
}

/// Divides `limit` into parts that differ by at most one, except where a part has fewer videos.
fn even_quotas(sizes: &[usize], limit: usize) -> Vec<usize> {
    let mut quotas = vec![0; sizes.len()];
    let mut smallest_first: Vec<usize> = (0..sizes.len()).collect();
    smallest_first.sort_by_key(|part| sizes[*part]);
    let mut left = limit;
    for (done, part) in smallest_first.into_iter().enumerate() {
        quotas[part] = sizes[part].min(left / (sizes.len() - done));
        left -= quotas[part];
    }
    quotas
}
