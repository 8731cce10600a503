//! The clip cache on disk: what is found again, what is not, and what processes that are killed leave behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data_support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, SystemTime};

use data_support::{SETTINGS, write_video};
use dfdetect::config::{DataConfig, Roots};
use dfdetect::data::{
    ClipCache, ClipReader, ClipSource, ClipSpec, DiskCache, HostBatch, Loader, LoaderPlan, Manifest, Prepared,
    ReadClip, prepare, sequential_plan,
};
use tempfile::TempDir;

const CLIP_BYTES: u64 = 3 * 32 * 32 * 3;
const FILE_BYTES: u64 = CLIP_BYTES + 80;

fn spec() -> ClipSpec {
    ClipSpec::uniform(3, 32, 32, 4)
}

fn scan(root: &Path) -> Manifest {
    Manifest::scan(&DataConfig { root: Roots::one(root), ..DataConfig::default() }).unwrap()
}

fn dataset(each: usize) -> (TempDir, Manifest) {
    let root = tempfile::tempdir().unwrap();
    for person in 0..each {
        write_video(&root.path().join(format!("real/id{person}_a.mp4")), &SETTINGS, 6, 2 * person);
        write_video(&root.path().join(format!("fake/id{person}_b.mp4")), &SETTINGS, 6, 2 * person + 1);
    }
    let manifest = scan(root.path());
    (root, manifest)
}

fn source(manifest: &Manifest, folder: &Path, limit_bytes: u64) -> Arc<ClipSource> {
    let cache = ClipCache::new(0, Some(DiskCache::open(folder, limit_bytes)));
    Arc::new(ClipSource::new(manifest, spec(), Arc::new(cache)))
}

fn batch(source: &Arc<ClipSource>, videos: usize) -> HostBatch {
    let loader = Loader::new(source.clone(), &LoaderPlan::fixed(2, 4));
    let plan = sequential_plan(&(0..videos).collect::<Vec<_>>(), videos);
    loader.pass(plan, None).next_batch().unwrap().unwrap()
}

fn fill(source: &ClipSource, videos: usize) -> Vec<Prepared> {
    let videos: Vec<_> = (0..videos).collect();
    prepare(source, &videos, |_| false, 2, &AtomicBool::new(false)).into_iter().map(|(_, prepared)| prepared).collect()
}

fn clips(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut clips: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "clip")).collect();
    clips.sort();
    clips
}

/// Same size, same time, nothing of the content.
fn overwrite_with_garbage(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    fs::write(path, vec![0xAA; usize::try_from(metadata.len()).unwrap()]).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(metadata.modified().unwrap()).unwrap();
}

#[test]
fn on_a_full_cache_no_video_is_opened() {
    let (root, manifest) = dataset(3);
    let folder = tempfile::tempdir().unwrap();
    let first = source(&manifest, folder.path(), u64::MAX);
    assert_eq!(fill(&first, 6), vec![Prepared::Read(Vec::new()); 6]);
    let expected = batch(&first, 6);
    for video in &manifest.videos {
        overwrite_with_garbage(&root.path().join(&video.path));
    }
    let again = source(&manifest, folder.path(), u64::MAX);
    assert_eq!(fill(&again, 6), vec![Prepared::Cached(Vec::new()); 6]);
    assert!(batch(&again, 6) == expected);
    let stats = again.cache().stats();
    assert_eq!((stats.disk_hits, stats.misses, stats.disk_bytes), (6, 0, 6 * FILE_BYTES));
    // Without the cache they are garbage.
    assert_eq!(batch(&source(&manifest, &root.path().join("other"), u64::MAX), 6).skipped.len(), 6);
}

#[test]
fn a_moved_data_set_is_known_and_another_clip_or_a_replaced_file_is_not() {
    let (root, manifest) = dataset(1);
    let folder = tempfile::tempdir().unwrap();
    fill(&source(&manifest, folder.path(), u64::MAX), 2);
    let moved = root.path().with_extension("moved");
    fs::rename(root.path(), &moved).unwrap();
    let manifest = scan(&moved);
    assert_eq!(fill(&source(&manifest, folder.path(), u64::MAX), 2), vec![Prepared::Cached(Vec::new()); 2]);

    let disk = || Arc::new(ClipCache::new(0, Some(DiskCache::open(folder.path(), u64::MAX))));
    let other = ClipSource::new(&manifest, ClipSpec::uniform(4, 32, 32, 4), disk());
    assert_eq!(fill(&other, 2), vec![Prepared::Read(Vec::new()); 2]);
    let reader: ClipReader =
        Arc::new(|video, _, _| Ok(ReadClip { thwc: vec![video as u8; CLIP_BYTES as usize], meta: b"a face".to_vec() }));
    let cropped = || ClipSource::new(&manifest, spec(), disk()).with_reader(reader.clone(), vec!["face".into()]);
    assert_eq!(fill(&cropped(), 2), vec![Prepared::Read(b"a face".to_vec()); 2]);
    assert_eq!(fill(&cropped(), 2), vec![Prepared::Cached(b"a face".to_vec()); 2]);

    let path = moved.join(&manifest.videos[0].path);
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::now()).unwrap();
    let found = fill(&source(&manifest, folder.path(), u64::MAX), 2);
    assert_eq!(found, [Prepared::Read(Vec::new()), Prepared::Cached(Vec::new())]);
    fs::remove_dir_all(&moved).unwrap();
}

#[test]
fn damage_anywhere_is_found_counted_and_repaired() {
    let (_root, manifest) = dataset(1);
    let folder = tempfile::tempdir().unwrap();
    let full = source(&manifest, folder.path(), u64::MAX);
    let expected = batch(&full, 2);
    let path = clips(folder.path()).remove(0);
    let good = fs::read(&path).unwrap();
    let flipped = (0..80).chain([80, 5000, good.len() - 1]).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = [0, 1, 79, 80, good.len() - 1].map(|length| good[..length].to_vec());
    let longer = [&good[..], &[0]].concat();
    for bytes in flipped.chain(cut).chain([longer]) {
        fs::write(&path, bytes).unwrap();
        let source = source(&manifest, folder.path(), u64::MAX);
        assert!(batch(&source, 2) == expected);
        let stats = source.cache().stats();
        assert_eq!((stats.damaged, stats.misses, stats.disk_hits), (1, 1, 1));
        assert!(fs::read(&path).unwrap() == good, "written anew");
    }
}

#[test]
fn the_least_recently_used_leave_but_never_what_this_run_uses() {
    let (_root, manifest) = dataset(4);
    let folder = tempfile::tempdir().unwrap();
    let limit_bytes = 4 * FILE_BYTES;
    fill(&source(&manifest, folder.path(), limit_bytes), 4);
    let oldest = clips(folder.path());
    for (age, path) in oldest.iter().enumerate() {
        let long_ago = SystemTime::now() - Duration::from_secs(86_400 * (10 - age as u64));
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let next = source(&manifest, folder.path(), limit_bytes);
    let new = |videos: &[usize]| drop(prepare(&next, videos, |_| false, 1, &AtomicBool::new(false)));
    new(&[4]);
    let left = clips(folder.path());
    assert!(left.len() == 4 && !left.contains(&oldest[0]) && left.contains(&oldest[1]), "the oldest left");
    new(&[5, 6, 7]);
    let own = clips(folder.path());
    assert!(own.iter().all(|path| !oldest.contains(path)));
    batch(&next, 8);
    assert_eq!(clips(folder.path()), own, "clips of this run stay, whatever else it reads");
    let stats = next.cache().stats();
    assert_eq!((stats.refused, stats.disk_hits, stats.misses, stats.disk_bytes), (4, 4, 4, limit_bytes));
}

#[test]
fn a_folder_that_cannot_be_written_costs_a_warning_and_no_run() {
    let (_root, manifest) = dataset(1);
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("file");
    fs::write(&taken, "").unwrap();
    let source = source(&manifest, &taken, u64::MAX);
    assert_eq!(batch(&source, 2).videos, [0, 1]);
    assert!(source.cache().stats().write_failures > 0);
}

/// Not a test by itself: what the two tests below start as a process of its own.
#[test]
fn child() {
    if let (Some(root), Some(folder)) = (std::env::var_os("CACHE_CHILD_ROOT"), std::env::var_os("CACHE_CHILD_FOLDER")) {
        let manifest = scan(Path::new(&root));
        fill(&source(&manifest, Path::new(&folder), 8 * FILE_BYTES), manifest.videos.len());
    }
}

fn start_child(root: &Path, folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child"]).env("CACHE_CHILD_ROOT", root).env("CACHE_CHILD_FOLDER", folder);
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn processes_share_a_folder_and_may_be_killed_at_any_moment() {
    let (root, manifest) = dataset(4);
    let expected = batch(&Arc::new(ClipSource::new(&manifest, spec(), Arc::new(ClipCache::none()))), 8);
    for round in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let mut children = [0, 1].map(|_| start_child(root.path(), folder.path()));
        if round == 0 {
            children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
            assert_eq!(clips(folder.path()).len(), 8);
        } else {
            while !folder.path().join(".lock").exists() {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(3 * round));
            for mut child in children {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        let after = source(&manifest, folder.path(), 8 * FILE_BYTES);
        assert!(batch(&after, 8) == expected);
        let stats = after.cache().stats();
        assert_eq!((stats.damaged, stats.write_failures, stats.refused), (0, 0, 0), "round {round}");
        assert_eq!(clips(folder.path()).len(), 8, "all there now");
    }
}
