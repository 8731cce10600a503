//! A set made from nothing: films all clips of the plan, and says what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use serde::{Deserialize, Serialize};

use super::DemoError;
use super::cues::{Cue, cues};
use super::film::{Filmed, film};
use super::folder::{self, STAMP};
use super::plan::{Clip, people, plan};
use super::preview::{self, ROWS, STILLS};
use crate::progress::Bar;

/// Fewest videos of a set: a pair of both classes for training, validation and test, and one to spare.
pub const MIN_VIDEOS: usize = 8;
/// Most videos of a set.
pub const MAX_VIDEOS: usize = 10_000;

/// Changes whenever the same seed gives other videos than before.
const VERSION: u32 = 1;

/// What there is to say of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of the generator.
    pub version: u32,
    /// Where all random numbers start.
    pub seed: u64,
    /// Videos of both classes.
    pub videos: usize,
    /// Real ones.
    pub real: usize,
    /// Forgeries.
    pub fake: usize,
    /// People on them.
    pub people: usize,
    /// Size of all videos.
    pub bytes: u64,
    /// What could give the classes away without a look at the faces.
    pub cues: Vec<Cue>,
    /// What it was made from, unless it was made from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footage: Option<UsedFootage>,
}

/// The real videos behind a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsedFootage {
    /// The folder that they are in.
    pub from: PathBuf,
    /// Those that a part of the set is from.
    pub videos: usize,
    /// Whether parts of one video count as different people, because there were too few videos for a split by person.
    pub people_shared: bool,
    /// Those that nothing is from.
    pub left_out: Vec<LeftOut>,
}

/// A video that nothing of a set is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Below the folder.
    pub path: PathBuf,
    /// Why, in one line.
    pub reason: String,
}

/// A set that is there now.
#[derive(Debug)]
pub enum Made {
    /// It was made.
    New(Summary),
    /// It had been made before, with the same parameters.
    Before(Summary),
}

/// Makes a set of `videos` videos in `folder`, which must not exist or be empty; `stop` ends it early.
///
/// # Errors
/// Where the folder is in use, cannot be written, or FFmpeg cannot encode. Nothing is left behind then.
pub fn make(folder: &Path, videos: usize, seed: u64, stop: &AtomicBool) -> Result<Made, DemoError> {
    if !(MIN_VIDEOS..=MAX_VIDEOS).contains(&videos) {
        return Err(DemoError::Videos(videos));
    }
    let clips = plan(videos);
    if let Some(summary) = made_before(folder, &clips, seed)? {
        return Ok(Made::Before(summary));
    }
    let staging = folder::staging(folder)?;
    for class in ["real", "fake/faceswap"] {
        folder::create(staging.path(), class)?;
    }
    let mut filmed = film_all(staging.path(), &clips, seed, stop)?;
    write_preview(staging.path(), &clips, &mut filmed)?;
    let measured: Vec<_> = filmed.into_values().map(|clip| clip.measured).collect();
    let fake = measured.iter().filter(|clip| clip.is_fake).count();
    let summary = Summary {
        version: VERSION,
        seed,
        videos,
        real: videos - fake,
        fake,
        people: people(videos),
        bytes: measured.iter().map(|clip| clip.file_bytes).sum(),
        cues: cues(&measured),
        footage: None,
    };
    folder::publish(staging, folder, &["real", "fake", "preview.png"], &summary)?;
    Ok(Made::New(summary))
}

/// The summary of the set that is in the folder, if it is the one that is asked for; none where the folder is free.
fn made_before(folder: &Path, clips: &[Clip], seed: u64) -> Result<Option<Summary>, DemoError> {
    let occupied = |found, hint| Err(folder::occupied(folder, found, hint));
    if folder::is_free(folder)? {
        return Ok(None);
    }
    let stamp = fs::read(folder.join(STAMP)).ok();
    let Some(summary) = stamp.and_then(|bytes| serde_json::from_slice::<Summary>(&bytes).ok()) else {
        return occupied("the folder is not empty".into(), "choose a new or empty folder as --output");
    };
    if let Some(footage) = &summary.footage {
        let found = format!("holds a demo set made from the videos in {}", footage.from.display());
        return occupied(found, "choose another --output, or remove the folder first");
    }
    if (summary.version, summary.videos, summary.seed) != (VERSION, clips.len(), seed) {
        let (videos, seed, version) = (summary.videos, summary.seed, summary.version);
        let found = format!("holds a demo set of {videos} videos with seed {seed} (version {version})");
        return occupied(found, "choose another --output, or remove the folder first");
    }
    let missing = clips.iter().filter(|clip| !folder.join(&clip.path).is_file()).count();
    if missing > 0 {
        let found = format!("{missing} of the demo set's {} videos are missing", clips.len());
        return occupied(found, "remove the folder, then run this again");
    }
    Ok(Some(summary))
}

/// Films all clips on all cores. The first failure stops the rest.
fn film_all(folder: &Path, clips: &[Clip], seed: u64, stop: &AtomicBool) -> Result<BTreeMap<usize, Filmed>, DemoError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(clips.len());
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let bar = Bar::new("demo data", clips.len() as u64, (clips.len() as u64 / 4).max(1));
    let shown = shown(clips);
    let (send, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (send, next, failed, shown) = (send.clone(), &next, &failed, &shown);
            scope.spawn(move || {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(clip) = clips.get(index) else { return };
                    let stills = if shown.contains(&index) { STILLS } else { 0 };
                    let filmed = film(folder, clip, index, seed, stills, stop);
                    failed.fetch_or(filmed.is_err(), Ordering::Relaxed);
                    if send.send((index, filmed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let advanced = |(index, filmed): (usize, Result<Filmed, DemoError>)| {
            bar.advance(1, || clips[index].path.display().to_string());
            filmed.map(|filmed| (index, filmed))
        };
        results.into_iter().map(advanced).collect()
    })
}

/// The clips on the preview: the first real ones, and their forgeries.
fn shown(clips: &[Clip]) -> Vec<usize> {
    let reals = clips.iter().filter(|clip| clip.source.is_none()).count();
    (0..(clips.len() - reals).min(ROWS)).flat_map(|i| [i, reals + i]).collect()
}

fn write_preview(folder: &Path, clips: &[Clip], filmed: &mut BTreeMap<usize, Filmed>) -> Result<(), DemoError> {
    let mut stills =
        |index: &usize| filmed.get_mut(index).map(|clip| std::mem::take(&mut clip.stills)).unwrap_or_default();
    let rows: Vec<_> = shown(clips).chunks_exact(2).map(|pair| [stills(&pair[0]), stills(&pair[1])]).collect();
    preview::write(&folder.join("preview.png"), &rows)
}
