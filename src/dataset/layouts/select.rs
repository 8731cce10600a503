//! The selection of videos after a scan, by `data.methods` and `data.max_videos_per_class`. Knows nothing of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::Methods;
use crate::dataset::error::DataError;
use crate::dataset::record::{Label, VideoRecord};

/// Keeps only the fakes of the selected methods.
///
/// A data set that has none of these methods, such as one for cross-testing, is used whole. A name that no data set has
/// is an error.
pub(super) struct MethodFilter {
    wanted: Option<Vec<String>>,
    known: BTreeSet<String>,
}

impl MethodFilter {
    pub fn new(methods: &Methods) -> Self {
        let wanted = match methods {
            Methods::All => None,
            Methods::Only(names) => Some(names.clone()),
        };
        Self { wanted, known: BTreeSet::new() }
    }

    pub fn apply(&mut self, videos: &mut Vec<VideoRecord>, root: &Path) {
        let Some(wanted) = &self.wanted else { return };
        let is_wanted = |method: &String| wanted.iter().any(|name| name.eq_ignore_ascii_case(method));
        let methods: BTreeSet<String> = videos.iter().filter_map(|video| video.method.clone()).collect();
        if methods.iter().any(is_wanted) {
            videos.retain(|video| video.label == Label::Real || video.method.as_ref().is_some_and(is_wanted));
        } else {
            tracing::info!("{}: has none of data.methods, so all of its fakes are used", root.display());
        }
        self.known.extend(methods);
    }

    pub fn check(&self, root: &Path) -> Result<(), DataError> {
        let is_known = |name: &&String| self.known.iter().any(|method| method.eq_ignore_ascii_case(name));
        let Some(unknown) = self.wanted.iter().flatten().find(|name| !is_known(name)) else { return Ok(()) };
        let known: Vec<_> = self.known.iter().map(String::as_str).collect();
        Err(DataError::Unusable {
            root: root.to_owned(),
            problem: format!("data.methods: there are no fakes of the method `{unknown}`"),
            hint: match known.as_slice() {
                [] => "the fakes have no methods here; set data.methods: all".into(),
                known => format!("the methods are {}", known.join(", ")),
            },
        })
    }
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
