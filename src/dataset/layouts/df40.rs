//! DF40 as its authors hand it out: `DF40_train/METHOD/` and `DF40/METHOD/` (or `train/` and `test/`, or one of them
//! alone), with frames by video at some depth below.
//!
//! | below METHOD | what it is |
//! | --- | --- |
//! | `frames/001_870/*.png`, `001/*.png` | made of FaceForensics++ |
//! | `ff/...`, `cdf/...` | the same for tests, made of FaceForensics++ and of Celeb-DF |
//! | `fake/...`, `real/...` | a method with real pictures of its own |
//!
//! All other reals are those of FaceForensics++ and Celeb-DF: they are read from `FaceForensics++/` and `Celeb-DF-v2/`
//! beside any of the rest, or in a folder there (`real/Celeb-DF-v2/`). Folders that a packed archive doubles
//! (`styleclip/styleclip/fake`) change nothing. This file opens no picture.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::layout::{Found, Layout, record};
use super::official::OfficialSplit;
use super::originals::{Source, add_celeb_df, add_faceforensics};
use super::tree::{Item, Root};
use crate::config::{DataConfig, LayoutChoice};
use crate::dataset::error::DataError;
use crate::dataset::people::{is_number, is_of_celeb_df, is_of_faceforensics, original_of, people_of};
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
/// How many folders of sides and families may lie above a method: `DF40/train/Face-swapping/`.
const MOST_ABOVE: usize = 3;
/// The folder of the lists of FaceForensics++, in the root.
const LISTS: &str = "splits";
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
/// What the names of single pictures may start with.
const IN_FRONT: [&str; 2] = ["Celeb-real_", "YouTube-real_"];
/// Pictures that are no frames.
const ANNOTATIONS: [&str; 2] = ["masks", "landmarks"];

const LACKING: &str = "DF40's real videos are those of FaceForensics++ and Celeb-DF: put the folders `FaceForensics++` and \
                       `Celeb-DF-v2` beside its own";

const STRANGE: &str = "is not called as a method of DF40, nor as a folder of methods such as `DF40_train`";

pub(super) struct Df40;

/// The folders of DF40, by what is in them.
#[derive(Default)]
struct Parts {
    methods: Vec<Method>,
    /// The data sets whose reals they share.
    originals: Vec<(Source, PathBuf)>,
    /// All others beside them.
    others: Vec<PathBuf>,
}

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
        let methods = Parts::of(root).methods;
        let has_sign = |method: &Method| {
            let below = root.folders_below(&method.path);
            below.iter().any(|name| is_one_of(name, &SIGNS) || name.eq_ignore_ascii_case(&method.name))
        };
        let is_one = methods.len() > 1 || methods.iter().any(has_sign);
        let first = methods.first()?.path.display();
        let more = match methods.len() {
            0 | 1 => String::new(),
            2 => " and 1 more method".into(),
            count => format!(" and {} more methods", count - 1),
        };
        (root.list.is_none() && is_one).then(|| format!("found {first}/{more}"))
    }

    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError> {
        let mut found = Found::default();
        let Parts { methods, originals, others: strangers } = Parts::of(root).with_originals_inside(root);
        let mut split = OfficialSplit::read(root)?;
        // They come first, so that what is wrong with them is the example where there are no reals.
        for (source, folder) in &originals {
            match source {
                Source::FaceForensics => {
                    add_faceforensics(&mut found, root, data, folder, ["frames", "videos"]);
                    for lists in [&folder.join(LISTS), folder] {
                        split = if split.is_empty() { OfficialSplit::read_from(root, lists)? } else { split };
                    }
                }
                Source::CelebDf => add_celeb_df(&mut found, root, folder),
            }
        }
        methods.iter().for_each(|method| add_method(&mut found, root, method));
        strangers.into_iter().for_each(|path| found.skip(path, STRANGE));
        if !found.videos.iter().any(|video| video.label == Label::Real) && !found.videos.is_empty() {
            (found.reals_elsewhere, found.lacking) = (true, Some(lacking(&originals)));
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

impl Parts {
    /// The parts in the root, and in folders called as a side or as a family of methods. Every folder there is in one
    /// list.
    fn of(root: &Root) -> Self {
        let mut parts = Self::default();
        let mut places = vec![(PathBuf::new(), None, 0)];
        while let Some((place, side, above)) = places.pop() {
            for name in root.folders_below(&place) {
                let path = place.join(&name);
                let side_named = side_named(&name);
                let is_place = above < MOST_ABOVE && (side_named.is_some() || is_one_of(&name, &FAMILIES));
                if is_method(&name) {
                    parts.methods.push(Method { path, name, side });
                } else if let Some(source) = Source::named(&name) {
                    parts.originals.push((source, path));
                } else if is_place {
                    places.push((path, side_named.or(side), above + 1));
                } else if above > 0 || !name.eq_ignore_ascii_case(LISTS) {
                    parts.others.push(path);
                }
            }
        }
        parts.methods.sort_by(|a, b| a.path.cmp(&b.path));
        parts
    }

    /// Looks for originals directly in the other folders, which takes a while where those are large.
    fn with_originals_inside(mut self, root: &Root) -> Self {
        for other in std::mem::take(&mut self.others) {
            let names = root.folders_below(&other);
            if !names.iter().any(|name| Source::named(name).is_some()) {
                self.others.push(other);
                continue;
            }
            for name in names {
                match Source::named(&name) {
                    Some(source) => self.originals.push((source, other.join(name))),
                    None => self.others.push(other.join(name)),
                }
            }
        }
        self.originals.sort_by(|(_, a), (_, b)| a.cmp(b));
        self
    }
}

fn side_named(name: &str) -> Option<Split> {
    SIDES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, side)| *side)
}

/// Why there are no reals.
fn lacking(originals: &[(Source, PathBuf)]) -> String {
    let there: Vec<_> = originals.iter().map(|(_, folder)| format!("`{}`", folder.display())).collect();
    match there.as_slice() {
        [] => LACKING.into(),
        there => format!("there are no real videos that can be used in {}", there.join(", ")),
    }
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
    let (stem, people) = stem_and_people(item.stem());
    let is_known = people.iter().all(|person| is_of_faceforensics(person) || is_of_celeb_df(person));
    let source_ids = match is_known && !is_in("real") && !is_in("fake") {
        true => people,
        // Numbers of pictures: they mean something in this method alone.
        false => vec![format!("{}/{stem}", method.name)],
    };
    let method = (label == Label::Fake).then(|| method.name.clone());
    VideoRecord { method, source_ids, ..record(item, label) }
}

/// A name without the data set that it may start with, and the people in it. Single pictures are called
/// `Celeb-real_id13_0011_045` and `YouTube-real_00170_045`: the last number is that of the frame.
fn stem_and_people(name: &str) -> (&str, Vec<String>) {
    let rest = |front: &&str| {
        let (start, rest) = name.split_at_checked(front.len())?;
        start.eq_ignore_ascii_case(front).then_some(rest)
    };
    let Some(stem) = IN_FRONT.iter().find_map(rest) else { return (name, people_of(name)) };
    match stem.split_once('_') {
        Some((person, frame)) if is_of_celeb_df(person) && is_number(frame) => (stem, vec![person.to_owned()]),
        _ => (stem, people_of(stem)),
    }
}

/// Sets the original of each fake.
fn set_originals(videos: &mut [VideoRecord]) {
    let stem = |video: &VideoRecord| video.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let is_known = |person: &String| is_of_faceforensics(person) || is_of_celeb_df(person);
    let reals = videos.iter().filter(|video| video.label == Label::Real && video.source_ids.iter().all(is_known));
    let real_named: HashMap<String, PathBuf> =
        reals.filter_map(|video| Some((stem(video)?, video.path.clone()))).collect();
    for video in videos.iter_mut().filter(|video| video.label == Label::Fake) {
        let original = stem(video).and_then(|name| original_of(&name));
        video.original = original.and_then(|name| real_named.get(&name).cloned());
    }
}

/// DF40 trains on FaceForensics++ alone; all else is for tests. Where the lists of FaceForensics++ are there, they say
/// the side of what was made of it. Without them, the people in the fakes for tests are for tests.
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
