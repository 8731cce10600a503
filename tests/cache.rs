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
use dfdetect::clip::{ClipCache, ClipReader, ClipSource, DiskCache, Prepared, ReadClip, prepare};
use dfdetect::config::{DataConfig, Roots};
use dfdetect::dataset::{Manifest, Media, sequential_plan};
use dfdetect::loader::{HostBatch, Loader, LoaderPlan};
use dfdetect::video::ClipSpec;
use tempfile::TempDir;

const CLIP_BYTES: u64 = 3 * 32 * 32 * 3;
const FILE_BYTES: u64 = CLIP_BYTES + 88;

fn spec() -> ClipSpec {
    ClipSpec::uniform(3, 32, 32, 4)
}

fn scan(root: &Path) -> Manifest {
    dfdetect::dataset::scan(&DataConfig { root: Roots::one(root), ..DataConfig::default() }).unwrap()
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
    loader.pass(plan, None).next_batch().unwrap()
}

fn fill(source: &ClipSource, videos: usize) -> Vec<Prepared> {
    let videos: Vec<_> = (0..videos).collect();
    prepare(source, &videos, |_| false, 2, &AtomicBool::new(false)).into_iter().map(|(_, prepared)| prepared).collect()
}

fn clips(folder: &Path) -> Vec<PathBuf> {
    files(folder, "clip")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == extension)).collect();
    files.sort();
    files
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
fn the_smallest_number_of_frames_is_no_part_of_the_key_and_is_heeded_all_the_same() {
    let (_root, manifest) = dataset(1);
    let folder = tempfile::tempdir().unwrap();
    let outcomes = |memory_bytes, min_frames| {
        let cache = ClipCache::new(memory_bytes, Some(DiskCache::open(folder.path(), u64::MAX)));
        let source = ClipSource::new(&manifest, ClipSpec { min_frames, ..spec() }, Arc::new(cache));
        let prepared = fill(&source, 2);
        (prepared, batch(&Arc::new(source), 2).skipped)
    };
    assert_eq!(outcomes(0, 4), (vec![Prepared::Read(Vec::new()); 2], vec![]));
    let too_short = || "it has 6 frames where 7 are needed".to_owned();
    for memory_bytes in [0, u64::MAX] {
        for min_frames in [1, 6] {
            assert_eq!(outcomes(memory_bytes, min_frames), (vec![Prepared::Cached(Vec::new()); 2], vec![]));
        }
        let refused = outcomes(memory_bytes, 7);
        assert_eq!(refused, (vec![Prepared::Unusable(too_short()); 2], vec![(0, too_short()), (1, too_short())]));
    }
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
    let reader: ClipReader = Arc::new(|request| {
        Ok(ReadClip {
            thwc: vec![request.video as u8; CLIP_BYTES as usize],
            meta: b"a face".to_vec(),
            usable_frames: 99,
        })
    });
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
    assert!(
        left.len() == 3 && oldest[2..].iter().all(|path| left.contains(path)),
        "for one clip and a tenth, two left"
    );
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

/// Not a test by itself: what tests below start as a process of its own.
#[test]
fn child() {
    if let (Some(root), Some(folder)) = (std::env::var_os("CACHE_CHILD_ROOT"), std::env::var_os("CACHE_CHILD_FOLDER")) {
        let manifest = scan(Path::new(&root));
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
        let source = source(&manifest, Path::new(&folder), 8 * FILE_BYTES);
        fill(&source, manifest.videos.len());
        assert_eq!(batch(&source, manifest.videos.len()).videos.len(), manifest.videos.len());
        eprintln!("{} failures", source.cache().stats().write_failures);
    }
}

fn start_child(root: &Path, folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child"]).env("CACHE_CHILD_ROOT", root).env("CACHE_CHILD_FOLDER", folder);
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn a_full_disk_is_said_once_and_the_run_goes_on() {
    let (root, _) = dataset(4);
    let folder = tempfile::tempdir().unwrap();
    // Files beyond 512 bytes fail as on a full disk: clips do, records do not.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact child --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env("CACHE_CHILD_ROOT", root.path())
        .env("CACHE_CHILD_FOLDER", folder.path())
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert_eq!(log.matches("the run goes on without").count(), 1, "{log}");
    let failures: u64 = log.split(" failures\n").next().unwrap().split_whitespace().last().unwrap().parse().unwrap();
    assert!((11..=12).contains(&failures), "8 clips, and 3 before that was given up: {log}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 9, "8 records and the lock, no partial file");
}

#[test]
fn a_clip_of_another_version_is_none() {
    let (_root, manifest) = dataset(1);
    let folder = tempfile::tempdir().unwrap();
    fill(&source(&manifest, folder.path(), u64::MAX), 2);
    let path = clips(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] += 1;
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..72]);
    bytes[72..80].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let outcomes = fill(&source(&manifest, folder.path(), u64::MAX), 2);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Prepared::Read(Vec::new())).count(), 1);
}

#[test]
fn damage_to_records_and_to_what_is_kept_with_a_clip_is_repaired() {
    let (_root, manifest) = dataset(1);
    let folder = tempfile::tempdir().unwrap();
    let reader: ClipReader = Arc::new(|request| {
        Ok(ReadClip {
            thwc: vec![request.video as u8; CLIP_BYTES as usize],
            meta: b"a face".to_vec(),
            usable_frames: 99,
        })
    });
    let prepared = || {
        let cache = ClipCache::new(0, Some(DiskCache::open(folder.path(), u64::MAX)));
        let source = ClipSource::new(&manifest, spec(), Arc::new(cache));
        let source = source.with_reader(reader.clone(), vec!["face".into()]);
        (fill(&source, 1).remove(0), source.cache().stats().damaged)
    };
    let [read, cached] = [Prepared::Read, Prepared::Cached].map(|outcome| outcome(b"a face".to_vec()));
    assert_eq!(prepared(), (read.clone(), 0));
    let record = files(folder.path(), "id").remove(0);
    let good = fs::read(&record).unwrap();
    let flipped = [&[good[0] ^ 1], &good[1..]].concat();
    for bytes in [flipped, good[..23].to_vec(), Vec::new(), [&good[..], &[0]].concat()] {
        fs::write(&record, bytes).unwrap();
        assert_eq!(prepared(), (cached.clone(), 1));
        assert_eq!(fs::read(&record).unwrap(), good, "written anew");
    }
    let path = clips(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[82] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(prepared(), (read, 1));
}

#[test]
fn what_killed_processes_left_is_swept_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let hours = [(".partial-old", 2), (".partial-new", 0), ("a.id", 100 * 24), ("b.id", 80 * 24), ("notes", 10_000)];
    for (name, hours) in hours {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).unwrap();
    }
    drop(DiskCache::open(folder.path(), 0));
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", ".partial-new", "b.id", "notes"]);
}

#[test]
fn pictures_are_known_by_all_of_their_files() {
    let root = tempfile::tempdir().unwrap();
    let picture = |name: &str, level: u8| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(40, 40, image::Rgb([level; 3])).save(&path).unwrap();
        // Of one size, and of one time unless a test changes it: told apart by their bytes.
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    picture("real/one.png", 10);
    (0..5).for_each(|frame| drop(picture(&format!("fake/folder/{frame}.png"), frame)));
    let manifest = scan(root.path());
    let folder = tempfile::tempdir().unwrap();
    let reader: ClipReader =
        Arc::new(|_| Ok(ReadClip { thwc: vec![0; CLIP_BYTES as usize], meta: Vec::new(), usable_frames: 99 }));
    let outcomes = |manifest: &Manifest| {
        let cache = ClipCache::new(0, Some(DiskCache::open(folder.path(), u64::MAX)));
        fill(&ClipSource::new(manifest, spec(), Arc::new(cache)).with_reader(reader.clone(), vec!["x".into()]), 2)
    };
    let (read, cached) = (Prepared::Read(Vec::new()), Prepared::Cached(Vec::new()));
    let media: Vec<_> = manifest.videos.iter().map(|video| video.media.clone()).collect();
    assert_eq!(media, [Media::Folder, Media::Picture]);
    assert_eq!(outcomes(&manifest), [read.clone(), read.clone()]);
    assert_eq!(outcomes(&manifest), [cached.clone(), cached.clone()]);
    // One in the middle of a folder, of which only the first and last are opened.
    let changed = picture("fake/folder/2.png", 99);
    File::options().write(true).open(changed).unwrap().set_modified(SystemTime::now()).unwrap();
    assert_eq!(outcomes(&manifest), [read.clone(), cached.clone()]);
    picture("fake/folder/5.png", 5);
    assert_eq!(outcomes(&manifest), [read.clone(), cached.clone()], "one more");
    let changed = picture("real/one.png", 99);
    File::options().write(true).open(changed).unwrap().set_modified(SystemTime::now()).unwrap();
    assert_eq!(outcomes(&manifest), [cached.clone(), read.clone()]);
    // The same files, some of them.
    let frames = |numbers: &[u32]| {
        let mut manifest = manifest.clone();
        let path = |frame: &u32| PathBuf::from(format!("fake/folder/{frame}.png"));
        manifest.videos[0].media = Media::Frames(numbers.iter().map(path).collect());
        outcomes(&manifest).remove(0)
    };
    assert_eq!([frames(&[0, 1, 2]), frames(&[0, 1, 2]), frames(&[0, 3, 2])], [read.clone(), cached, read]);
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
