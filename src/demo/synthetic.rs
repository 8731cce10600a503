//! Makes a synthetic set: renders all videos of the list, and writes the preview and the summary. Paints nothing; that
//! is `render.rs`. Sets of real videos are in `from_videos.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::contact_sheet::{self, ROWS, THUMBNAILS};
use super::cues::cues;
use super::error::DemoError;
use super::folder::{self, STAMP};
use super::render::{Rendered, render};
use super::summary::Summary;
use super::video_list::{DemoVideo, MAX_VIDEOS, MIN_VIDEOS, people, video_list};
use crate::progress::Bar;

/// Version of the generator; increases when the same seed gives other videos.
const VERSION: u32 = 1;

/// The result of making a set.
#[derive(Debug)]
pub enum Made {
    /// The set is new.
    New(Summary),
    /// The folder already held the set, made with the same parameters.
    Before(Summary),
}

/// Makes a set of `videos` videos in `folder`, which must not exist or be empty; `stop` ends it early.
///
/// # Errors
/// The folder is in use or cannot be written, or FFmpeg cannot encode. Nothing is left behind.
pub fn make(folder: &Path, videos: usize, seed: u64, stop: &AtomicBool) -> Result<Made, DemoError> {
    if !(MIN_VIDEOS..=MAX_VIDEOS).contains(&videos) {
        return Err(DemoError::Videos(videos));
    }
    let list = video_list(videos);
    if let Some(summary) = made_before(folder, &list, seed)? {
        return Ok(Made::Before(summary));
    }
    let staging = folder::staging(folder)?;
    for class in ["real", "fake/faceswap"] {
        folder::create(staging.path(), class)?;
    }
    let mut rendered = render_all(staging.path(), &list, seed, stop)?;
    write_preview(staging.path(), &list, &mut rendered)?;
    let measured: Vec<_> = rendered.into_values().map(|video| video.measured).collect();
    let fake = measured.iter().filter(|video| video.is_fake).count();
    let summary = Summary {
        version: VERSION,
        seed,
        videos,
        real: videos - fake,
        fake,
        people: people(videos),
        bytes: measured.iter().map(|video| video.file_bytes).sum(),
        cues: cues(&measured),
        footage: None,
    };
    folder::publish(staging, folder, &["real", "fake", "preview.png"], &summary)?;
    Ok(Made::New(summary))
}

/// The summary of the set in the folder, if it has the requested parameters; `None` where the folder is free.
fn made_before(folder: &Path, list: &[DemoVideo], seed: u64) -> Result<Option<Summary>, DemoError> {
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
    if (summary.version, summary.videos, summary.seed) != (VERSION, list.len(), seed) {
        let (videos, seed, version) = (summary.videos, summary.seed, summary.version);
        let found = format!("holds a demo set of {videos} videos with seed {seed} (version {version})");
        return occupied(found, "choose another --output, or remove the folder first");
    }
    let missing = list.iter().filter(|video| !folder.join(&video.path).is_file()).count();
    if missing > 0 {
        let found = format!("{missing} of the demo set's {} videos are missing", list.len());
        return occupied(found, "remove the folder, then run this again");
    }
    Ok(Some(summary))
}

/// Renders all videos on all cores. The first failure stops the rest.
fn render_all(
    folder: &Path,
    list: &[DemoVideo],
    seed: u64,
    stop: &AtomicBool,
) -> Result<BTreeMap<usize, Rendered>, DemoError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(list.len());
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let bar = Bar::new("demo data", list.len() as u64, (list.len() as u64 / 4).max(1));
    let shown = shown(list);
    let (send, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (send, next, failed, shown) = (send.clone(), &next, &failed, &shown);
            scope.spawn(move || {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(video) = list.get(index) else { return };
                    let thumbnails = if shown.contains(&index) { THUMBNAILS } else { 0 };
                    let rendered = render(folder, video, index, seed, thumbnails, stop);
                    failed.fetch_or(rendered.is_err(), Ordering::Relaxed);
                    if send.send((index, rendered)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let advanced = |(index, rendered): (usize, Result<Rendered, DemoError>)| {
            bar.advance(1, || list[index].path.display().to_string());
            rendered.map(|rendered| (index, rendered))
        };
        results.into_iter().map(advanced).collect()
    })
}

/// Indices of the videos in the preview: the first real ones, each followed by its fake.
fn shown(list: &[DemoVideo]) -> Vec<usize> {
    let reals = list.iter().filter(|video| video.source.is_none()).count();
    (0..(list.len() - reals).min(ROWS)).flat_map(|i| [i, reals + i]).collect()
}

fn write_preview(folder: &Path, list: &[DemoVideo], rendered: &mut BTreeMap<usize, Rendered>) -> Result<(), DemoError> {
    let mut thumbnails =
        |index: &usize| rendered.get_mut(index).map(|video| std::mem::take(&mut video.thumbnails)).unwrap_or_default();
    let rows: Vec<_> = shown(list).chunks_exact(2).map(|pair| [thumbnails(&pair[0]), thumbnails(&pair[1])]).collect();
    contact_sheet::write(&folder.join("preview.png"), &rows)
}
