//! DF40 as its authors hand it out: `DF40_train/METHOD/` and `DF40/METHOD/` (or `train/` and `test/`, or one of them alone),
//! with frames by video at some depth below.
//!
//! | below METHOD | what it is |
//! | --- | --- |
//! | `frames/001_870/*.png`, `001/*.png` | made of FaceForensics++ |
//! | `ff/...`, `cdf/...` | the same for tests, made of FaceForensics++ and of Celeb-DF |
//! | `fake/...`, `real/...` | a method with real pictures of its own |
//!
//! All other reals are those of FaceForensics++ and Celeb-DF: they are read from `FaceForensics++/` and `Celeb-DF-v2/` beside
//! the rest. Folders that a packed archive doubles (`styleclip/styleclip/fake`) change nothing. This file opens no picture.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record};
use super::official::OfficialSplit;
use super::originals::{add_celeb_df, add_faceforensics, celeb_df, faceforensics, is_of_originals};
use super::tree::{Item, Root};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::people::{is_of_celeb_df, is_of_faceforensics, people_of};
use crate::dataset::record::{Label, Media, Split, VideoRecord};

/// The folders of the methods; some are spelled in two ways.
const METHODS: &str = "blendface CollabDiff danet ddim deepfacelab DiT e4e e4s facedancer faceswap facevid2vid fomm fsgan heygen \
                       hyperreenact inswap lia mcnet MidJourney mobileswap MRAA one_shot_free pirender pixart RDDM sadtalker \
                       sd2.1 simswap SiT stargan starganv2 StarGAN2 styleclip StyleGAN2 StyleGAN3 StyleGANXL tpsm uniface VQGAN \
                       wav2lip whichfaceisreal whichisreal";
const SIDES: [(&str, Split); 5] = [
    ("DF40_train", Split::Train),
    ("train", Split::Train),
    ("DF40", Split::Test),
    ("DF40_test", Split::Test),
    ("test", Split::Test),
];
/// Some copies sort the methods of training into these.
const FAMILIES: [&str; 3] = ["Face-swapping", "Face-reenactment", "Entire Face Synthesis"];
/// What a method's folder has in it that no other layout has below a folder of that name.
const SIGNS: [&str; 5] = ["frames", "ff", "cdf", "fake", "real"];
/// Folders of pictures that are not the frames of one video.
const HOLDERS: [&str; 10] = [
    "frames",
    "ff",
    "cdf",
    "fake",
    "real",
    "inversions",
    "Celeb-real",
    "YouTube-real",
    "Fake_from_Celeb-real",
    "Fake_from_YouTube-real",
];
/// Pictures that are no frames.
const ANNOTATIONS: [&str; 2] = ["masks", "landmarks"];

const LACKING: &str = "DF40's real videos are those of FaceForensics++ and Celeb-DF: put the folders `FaceForensics++` and \
                       `Celeb-DF-v2` beside its own";

pub(super) struct Df40;

/// The folder of a method.
struct Method {
    path: PathBuf,
    name: String,
    side: Option<Split>,
}

impl Layout for Df40 {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::Df40
    }

    fn expects(&self) -> &'static str {
        "folders called as the methods of DF40 (`simswap`, `fomm`, ...), possibly below `DF40_train` and `DF40`"
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let methods = methods(root).0;
        let has_sign = |method: &Method| {
            let below = root.folders_below(&method.path);
            below.iter().any(|name| is_one_of(name, &SIGNS) || name.eq_ignore_ascii_case(&method.name))
        };
        let is_one = methods.len() > 1 || methods.iter().any(has_sign);
        let first = methods.first()?.path.display();
        let more = if methods.len() > 1 { format!(" and {} more methods", methods.len() - 1) } else { String::new() };
        (root.list.is_none() && is_one).then(|| format!("found {first}/{more}"))
    }

    fn read(&self, root: &Root, _: &DataConfig) -> Result<Found, DataError> {
        let mut found = Found::default();
        let (methods, strangers) = methods(root);
        methods.iter().for_each(|method| add_method(&mut found, root, method));
        let mut split = OfficialSplit::read(root)?;
        for below in ["", "real"] {
            if let Some(folder) = faceforensics(root, Path::new(below)) {
                add_faceforensics(&mut found, root, &folder, ["frames", "videos"]);
                for lists in [folder.join("splits"), folder] {
                    split = if split.is_empty() { OfficialSplit::read_from(root, &lists)? } else { split };
                }
            }
            if let Some(folder) = celeb_df(root, Path::new(below)) {
                add_celeb_df(&mut found, root, &folder);
            }
        }
        strangers.into_iter().for_each(|path| found.skip(path, "is not called as a method of DF40"));
        if !found.videos.iter().any(|video| video.label == Label::Real) && !found.videos.is_empty() {
            (found.reals_elsewhere, found.lacking) = (true, Some(LACKING.into()));
        }
        set_originals(&mut found.videos);
        let has_both = [Split::Train, Split::Test].iter().all(|side| methods.iter().any(|at| at.side == Some(*side)));
        if has_both || !split.is_empty() {
            set_sides(&mut found, &split, &methods);
        }
        Ok(found)
    }
}

fn is_one_of(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn is_method(name: &str) -> bool {
    METHODS.split(' ').any(|known| known.eq_ignore_ascii_case(name))
}

/// The folders of methods, and other folders beside them.
fn methods(root: &Root) -> (Vec<Method>, Vec<PathBuf>) {
    let (mut methods, mut strangers) = (Vec::new(), Vec::new());
    let mut places = vec![(PathBuf::new(), None, 0)];
    while let Some((place, side, depth)) = places.pop() {
        let names = root.folders_below(&place);
        let has_methods = names.iter().any(|name| is_method(name));
        for name in names {
            let path = place.join(&name);
            let side_named = SIDES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)).map(|(_, side)| *side);
            if is_method(&name) {
                methods.push(Method { path, name, side });
            } else if depth < 2 && (side_named.is_some() || is_one_of(&name, &FAMILIES)) {
                places.push((path, side_named.or(side), depth + 1));
            } else if has_methods && !holds_originals(root, &path, &name) {
                strangers.push(path);
            }
        }
    }
    methods.sort_by(|a, b| a.path.cmp(&b.path));
    (methods, strangers)
}

/// Whether the reals of another data set are in a folder.
fn holds_originals(root: &Root, path: &Path, name: &str) -> bool {
    is_of_originals(name) || faceforensics(root, path).is_some() || celeb_df(root, path).is_some()
}

fn add_method(found: &mut Found, root: &Root, method: &Method) {
    let depth = method.path.iter().count();
    let before = found.videos.len();
    let (items, unusable) = root.items(&method.path);
    found.unusable.extend(unusable);
    let is_annotation = |item: &Item| {
        let mut folders = item.path.iter().skip(depth).filter_map(|part| part.to_str());
        folders.any(|folder| is_one_of(folder, &ANNOTATIONS))
    };
    for item in items.into_iter().filter(|item| !is_annotation(item)) {
        let name = item.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let holds_single_pictures = is_one_of(name, &HOLDERS) || name.eq_ignore_ascii_case(&method.name);
        if item.media == Media::Folder && holds_single_pictures {
            found.add_items(root, &item.path, |item| of_method(item, method, depth));
        } else {
            found.videos.push(of_method(&item, method, depth));
        }
    }
    if found.videos.len() == before {
        found.skip(&method.path, "has no frames in it (are they still in an archive?)");
    }
}

/// The record of an item below the folder of a method, which is `depth` folders deep.
fn of_method(item: &Item, method: &Method, depth: usize) -> VideoRecord {
    let folders = item.path.parent().unwrap_or(Path::new("")).iter().skip(depth).filter_map(|part| part.to_str());
    let folders: Vec<String> = folders.map(str::to_ascii_lowercase).collect();
    let is_in = |name: &str| folders.iter().any(|folder| folder == name);
    let label = if is_in("real") { Label::Real } else { Label::Fake };
    // Single pictures are called `Celeb-real_id13_0011_045`.
    let stem = item.stem();
    let stem = ["Celeb-real_", "YouTube-real_"].iter().find_map(|set| stem.strip_prefix(set)).unwrap_or(stem);
    let people = people_of(stem);
    let is_known = people.iter().all(|person| is_of_faceforensics(person) || is_of_celeb_df(person));
    let source_ids = match is_known && !is_in("real") && !is_in("fake") {
        true => people,
        // Numbers of pictures: they mean something in this method alone.
        false => vec![format!("{}/{stem}", method.name)],
    };
    let method = (label == Label::Fake).then(|| method.name.clone());
    VideoRecord { method, source_ids, ..record(item, label) }
}

/// Sets the original of each fake: `001` for `001_870`, and `id0_0000` for `id0_id1_0000`.
fn set_originals(videos: &mut [VideoRecord]) {
    let stem = |video: &VideoRecord| video.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let is_known = |person: &String| is_of_faceforensics(person) || is_of_celeb_df(person);
    let reals = videos.iter().filter(|video| video.label == Label::Real && video.source_ids.iter().all(is_known));
    let real_named: HashMap<String, PathBuf> =
        reals.filter_map(|video| Some((stem(video)?, video.path.clone()))).collect();
    for video in videos.iter_mut().filter(|video| video.label == Label::Fake) {
        let name = stem(video).unwrap_or_default();
        let original = match name.split('_').collect::<Vec<_>>().as_slice() {
            [target, _] => (*target).to_owned(),
            [target, _, number] => format!("{target}_{number}"),
            _ => continue,
        };
        video.original = real_named.get(&original).cloned();
    }
}

/// DF40 trains on FaceForensics++ alone; all else is for tests. Where the lists of FaceForensics++ are there, they say the
/// side of what was made of it. Without them, the people in the fakes for tests are for tests.
fn set_sides(found: &mut Found, split: &OfficialSplit, methods: &[Method]) {
    let tested = tested_people(&found.videos, methods);
    let mut torn = Vec::new();
    found.videos.retain_mut(|video| {
        let all_tested = || video.source_ids.iter().all(|person| tested.contains(person));
        let is_for_tests = match video.source_ids.iter().all(|person| is_of_faceforensics(person)) {
            true => split.is_empty() && all_tested(),
            false => true,
        };
        let is_for_tests = is_for_tests && side(&video.path, methods) != Some(Split::Train);
        if is_for_tests {
            (video.split, video.official) = (Split::Test, true);
        }
        let applied = split.apply(video);
        let is_kept = applied.is_ok();
        torn.extend(applied.err().map(|reason| (video.path.clone(), reason)));
        is_kept
    });
    found.unusable.extend(torn);
}

/// The people of FaceForensics++ in the fakes for tests. Methods that are only tested, such as e4e, have everybody in
/// them, and count only where there are no others.
fn tested_people(videos: &[VideoRecord], methods: &[Method]) -> BTreeSet<String> {
    let is_trained = |name: &str| {
        methods.iter().any(|method| method.side == Some(Split::Train) && method.name.eq_ignore_ascii_case(name))
    };
    let people = |trained_only: bool| -> BTreeSet<String> {
        let fakes = videos.iter().filter(|video| side(&video.path, methods) == Some(Split::Test));
        let counting = fakes.filter(|video| !trained_only || video.method.as_deref().is_some_and(is_trained));
        counting.flat_map(|video| &video.source_ids).filter(|person| is_of_faceforensics(person)).cloned().collect()
    };
    let of_trained = people(true);
    if of_trained.is_empty() { people(false) } else { of_trained }
}

fn side(video: &Path, methods: &[Method]) -> Option<Split> {
    methods.iter().find(|method| video.starts_with(&method.path)).and_then(|method| method.side)
}
