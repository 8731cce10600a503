//! From a folder of real files to batches: the order, what is unreadable, the cache, and the bound on memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data_support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use data_support::{SETTINGS, write_video};
use dfdetect::clip::{
    CacheStats, ClipCache, ClipReader, ClipSource, DiskCache, Draw, FurtherFaces, Prepared, ReadClip, prepare, unusable,
};
use dfdetect::config::{AugmentationConfig, DataConfig, Roots, Sampling};
use dfdetect::dataset::{DataError, Label, Manifest, Sampler, Split, assign_splits, sequential_plan};
use dfdetect::loader::{HostBatch, Loader, LoaderPlan};
use dfdetect::video::ClipSpec;
use tempfile::TempDir;

fn spec() -> ClipSpec {
    ClipSpec::uniform(3, 32, 32, 4)
}
const CLIP_BYTES: u64 = 3 * 32 * 32 * 3;

fn scan(root: &Path) -> Manifest {
    dfdetect::dataset::scan(&DataConfig { root: Roots::one(root), ..DataConfig::default() }).unwrap()
}

/// `each` real and `each` fake videos of as many people, with a manifest of them.
fn dataset(each: usize) -> (TempDir, Manifest) {
    let root = tempfile::tempdir().unwrap();
    for person in 0..each {
        write_video(&root.path().join(format!("real/id{person}_a.mp4")), &SETTINGS, 6, 2 * person);
        write_video(&root.path().join(format!("fake/swap/id{person}_b.mp4")), &SETTINGS, 6, 2 * person + 1);
    }
    let manifest = scan(root.path());
    (root, manifest)
}

fn source(manifest: &Manifest, budget_bytes: u64) -> Arc<ClipSource> {
    Arc::new(ClipSource::new(manifest, spec(), Arc::new(ClipCache::new(budget_bytes, None))))
}

fn batches(loader: &Loader, plan: Vec<Vec<usize>>) -> Vec<HostBatch> {
    let mut pass = loader.pass(plan, None);
    std::iter::from_fn(|| pass.next_batch()).collect()
}

#[test]
fn batches_are_the_same_whatever_the_number_of_threads_and_the_cache() {
    let (_root, manifest) = dataset(6);
    let videos: Vec<usize> = (0..12).collect();
    let plan = Sampler::Shuffled(videos.clone()).plan(1, 0, 5, false);
    let reference = batches(&Loader::new(source(&manifest, 0), &LoaderPlan::fixed(0, 1)), plan.clone());
    assert_eq!(reference.iter().map(|batch| batch.videos.clone()).collect::<Vec<_>>(), plan);
    assert_eq!(reference.iter().map(|batch| batch.index).collect::<Vec<_>>(), [0, 1, 2]);
    for batch in &reference {
        assert_eq!(batch.frames_bthwc().len() as u64, batch.videos.len() as u64 * CLIP_BYTES);
        let labels: Vec<_> = batch.videos.iter().map(|video| manifest.videos[*video].label).collect();
        assert_eq!(batch.labels, labels);
    }
    let clips: BTreeSet<_> = reference.iter().flat_map(|batch| &batch.clips).map(|clip| &clip.thwc).collect();
    assert_eq!(clips.len(), 12, "no two videos look the same");

    for (workers, prefetch, budget_bytes) in [(1, 1, 0), (3, 2, 0), (3, 4, u64::MAX), (3, 1, 4 * CLIP_BYTES)] {
        let loader = Loader::new(source(&manifest, budget_bytes), &LoaderPlan::fixed(workers, 2 * prefetch));
        for _epoch in 0..2 {
            assert!(batches(&loader, plan.clone()) == reference, "{workers} workers, {budget_bytes} bytes of cache");
        }
        let other = Sampler::Shuffled(videos.clone()).plan(1, 1, 5, false);
        assert_ne!(other, plan);
        assert_eq!(batches(&loader, other.clone()).into_iter().map(|batch| batch.videos).collect::<Vec<_>>(), other);
    }
}

#[test]
fn unreadable_videos_are_left_out_and_named_while_others_come_through() {
    let (root, _) = dataset(3);
    fs::write(root.path().join("real/empty.mp4"), "").unwrap();
    fs::write(root.path().join("fake/text.mp4"), "no video").unwrap();
    write_video(&root.path().join("fake/short.mp4"), &SETTINGS, 3, 0);
    let manifest = scan(root.path());
    assert_eq!(manifest.videos.len(), 9);
    let videos: Vec<usize> = (0..9).collect();
    let named = |skipped: &[(usize, String)]| -> Vec<String> {
        skipped.iter().map(|(video, why)| format!("{}: {why}", manifest.videos[*video].path.display())).collect()
    };
    let expected = [
        "fake/short.mp4: it has 3 frames where 4 are needed",
        "fake/text.mp4: cannot be opened: Invalid data found when processing input",
        "real/empty.mp4: the file is empty",
    ];
    for workers in [0, 2] {
        let loader = Loader::new(source(&manifest, 0), &LoaderPlan::fixed(workers, 2));
        let all = batches(&loader, vec![videos.clone()]).remove(0);
        assert_eq!(named(&all.skipped), expected);
        assert_eq!((all.videos.len(), all.labels.len()), (6, 6));
        assert_eq!(all.frames_bthwc().len() as u64, 6 * CLIP_BYTES);
        let bad: Vec<usize> = all.skipped.iter().map(|(video, _)| *video).collect();
        let only_bad = batches(&loader, vec![bad, all.videos.clone()]);
        assert!(only_bad[0].labels.is_empty() && only_bad[0].frames_bthwc().is_empty());
        assert_eq!(only_bad[0].skipped.len(), 3);
        assert!(only_bad[1].frames_bthwc() == all.frames_bthwc());
    }
    for threads in [0, 1, 3] {
        for budget_bytes in [0, u64::MAX] {
            let source = source(&manifest, budget_bytes);
            assert_eq!(
                named(&unusable(&prepare(&source, &videos, |_| false, threads, &AtomicBool::new(false)))),
                expected
            );
            assert_eq!(source.cache().stats().bytes, if budget_bytes == 0 { 0 } else { 6 * CLIP_BYTES });
        }
    }
}

#[test]
fn a_full_cache_is_not_exceeded_and_what_is_in_it_is_not_decoded_again() {
    let (root, manifest) = dataset(4);
    let videos: Vec<usize> = (0..8).collect();
    let source = source(&manifest, 5 * CLIP_BYTES + 1);
    assert!(unusable(&prepare(&source, &videos, |_| false, 2, &AtomicBool::new(false))).is_empty());
    assert_eq!(source.cache().stats(), CacheStats { bytes: 5 * CLIP_BYTES, ..CacheStats::default() });
    let loader = Loader::new(source.clone(), &LoaderPlan::fixed(2, 2));
    let before = batches(&loader, sequential_plan(&videos, 3));
    assert_eq!(
        source.cache().stats(),
        CacheStats { hits: 5, misses: 3, bytes: 5 * CLIP_BYTES, ..CacheStats::default() }
    );

    source.cache().shrink();
    assert!(batches(&loader, sequential_plan(&videos, 3)) == before);
    assert_eq!(
        source.cache().stats(),
        CacheStats { hits: 7, misses: 9, bytes: 2 * CLIP_BYTES, ..CacheStats::default() }
    );

    // What is in the cache needs no file.
    fs::remove_dir_all(root.path()).unwrap();
    let left = batches(&loader, vec![videos]).remove(0);
    assert_eq!((left.videos.len(), left.skipped.len()), (2, 6));
}

#[test]
fn beyond_the_cache_files_are_probed_and_not_decoded() {
    let (root, manifest) = dataset(1);
    let path = root.path().join(&manifest.videos[1].path);
    let mut bytes = fs::read(&path).unwrap();
    let pixels = bytes.windows(4).position(|four| four == b"mdat").unwrap() + 4;
    let index = bytes.windows(4).position(|four| four == b"moov").unwrap();
    bytes[pixels..index - 8].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let prepared = |budget_bytes| {
        unusable(&prepare(&source(&manifest, budget_bytes), &[0, 1], |_| false, 1, &AtomicBool::new(false)))
    };
    assert!(prepared(CLIP_BYTES).is_empty(), "the damage does not show without decoding");
    let found = prepared(2 * CLIP_BYTES);
    assert!(found.len() == 1 && found[0].0 == 1 && found[0].1.contains("it is damaged: 0 of 6"), "{found:?}");
}

#[test]
fn preparing_stops_when_told_to() {
    let (_root, manifest) = dataset(2);
    let source = source(&manifest, u64::MAX);
    assert!(prepare(&source, &[0, 1, 2, 3], |_| false, 2, &AtomicBool::new(true)).is_empty());
    assert_eq!(source.cache().stats().bytes, 0);
}

#[test]
fn no_more_clips_than_the_window_are_ahead_of_the_caller() {
    let (_root, manifest) = dataset(2);
    let videos: Vec<usize> = (0..40).map(|turn| turn % 4).collect();
    for prefetch in [1, 3] {
        let source = source(&manifest, u64::MAX);
        let started = || {
            let stats = source.cache().stats();
            stats.hits + stats.misses
        };
        let loader = Loader::new(source.clone(), &LoaderPlan::fixed(3, 2 * prefetch));
        let mut pass = loader.pass(sequential_plan(&videos, 2), None);
        for batch in 0..20 {
            let allowed = (2 * batch + 2 * prefetch as u64).min(40);
            while started() < allowed {
                thread::yield_now();
            }
            // Time for threads to run ahead, if anything let them.
            thread::sleep(Duration::from_millis(2));
            assert_eq!(started(), allowed, "before batch {batch}");
            pass.next_batch().unwrap();
        }
        assert!(pass.next_batch().is_none());
    }
}

#[test]
fn a_pass_that_is_dropped_leaves_the_loader_as_it_was() {
    let (_root, manifest) = dataset(3);
    let videos: Vec<usize> = (0..6).collect();
    let forwards = sequential_plan(&videos, 2);
    let backwards = sequential_plan(&videos.iter().rev().copied().collect::<Vec<_>>(), 3);
    for workers in [0, 1, 3] {
        let loader = Loader::new(source(&manifest, 0), &LoaderPlan::fixed(workers, 4));
        let expected = batches(&loader, forwards.clone());
        for taken in 0..3 {
            let mut pass = loader.pass(backwards.clone(), None);
            for _ in 0..taken {
                pass.next_batch().unwrap();
            }
            drop(pass);
            assert!(batches(&loader, forwards.clone()) == expected, "{workers} workers, {taken} batches taken");
        }
        drop(loader.pass(backwards.clone(), None));
    }
}

#[test]
fn what_is_no_longer_wanted_is_not_decoded() {
    let (_root, manifest) = dataset(2);
    let plan: Vec<Vec<usize>> = (0..2_000).map(|turn| vec![turn % 4]).collect();
    let source = source(&manifest, 0);
    let loader = Loader::new(source.clone(), &LoaderPlan::fixed(2, 2_000));
    let mut pass = loader.pass(plan, None);
    pass.next_batch().unwrap();
    drop(pass);
    drop(loader);
    assert!(source.cache().stats().misses < 1_000, "{:?}", source.cache().stats());
    assert_eq!(Arc::strong_count(&source), 1, "the threads are gone");
}

#[test]
fn a_thread_that_panics_neither_hangs_nor_ends_the_pass() {
    let (_root, manifest) = dataset(1);
    for workers in [0, 1] {
        let loader = Loader::new(source(&manifest, 0), &LoaderPlan::fixed(workers, 2));
        // There is no video 9; asking for it is a mistake in the program.
        let found = batches(&loader, vec![vec![9, 0], vec![9], vec![1]]);
        assert_eq!(found.iter().map(|batch| batch.videos.clone()).collect::<Vec<_>>(), [vec![0], vec![], vec![1]]);
        assert_eq!(found[1].skipped[0].0, 9);
        assert!(found[1].skipped[0].1.contains("index out of bounds"), "{:?}", found[1].skipped);
    }
}

#[test]
fn a_folder_becomes_split_batches() {
    let (root, mut manifest) = dataset(10);
    assign_splits(&mut manifest, &DataConfig { val_split: 0.2, test_split: 0.2, ..DataConfig::default() }, 42).unwrap();
    manifest.save(&root.path().join("manifest.json")).unwrap();
    let manifest = Manifest::load(&root.path().join("manifest.json")).unwrap();
    let loader = Loader::new(source(&manifest, u64::MAX), &LoaderPlan::fixed(2, 4));
    let mut seen = Vec::new();
    for (split, each) in [(Split::Train, 6), (Split::Val, 2), (Split::Test, 2)] {
        assert_eq!((manifest.count(split, Label::Real), manifest.count(split, Label::Fake)), (each, each));
        let plan = Sampler::Shuffled(manifest.indices(split)).plan(42, 0, 4, false);
        seen.extend(batches(&loader, plan).into_iter().flat_map(|batch| batch.videos));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    assert_eq!(manifest.videos[0].method.as_deref(), Some("swap"));
}

#[test]
fn where_memory_is_short_fewer_clips_are_ahead_and_fewer_threads_at_work() {
    let (_root, manifest) = dataset(1);
    let [begun, at_work, peak] = [0; 3].map(|_| Arc::new(AtomicUsize::new(0)));
    let reader: ClipReader = {
        let (begun, peak) = (begun.clone(), peak.clone());
        Arc::new(move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            peak.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            at_work.fetch_sub(1, Ordering::SeqCst);
            Ok(ReadClip { thwc: vec![0; CLIP_BYTES as usize], meta: Vec::new(), usable_frames: 99 })
        })
    };
    let source = ClipSource::new(&manifest, spec(), Arc::new(ClipCache::none()));
    let loader = Loader::new(Arc::new(source.with_reader(reader, vec![String::new()])), &LoaderPlan::fixed(4, 8));
    let mut pass = loader.pass(vec![vec![0]; 200], None);
    let mut taken = 0;
    // Clips ahead, which must be as many as expected, and the most threads at work.
    let mut threads_with_ahead = |ahead: usize, changes: &[fn(&Loader) -> bool]| {
        changes.iter().for_each(|change| {
            change(&loader);
        });
        for clips in [8, 8] {
            // What was begun before the change may end.
            peak.store(0, Ordering::SeqCst);
            for _ in 0..clips {
                pass.next_batch().unwrap();
            }
            taken += clips;
        }
        let begun_ahead = || begun.load(Ordering::SeqCst) - taken;
        while begun_ahead() < ahead {
            thread::yield_now();
        }
        // Time for threads to run ahead, if anything let them.
        thread::sleep(Duration::from_millis(20));
        assert_eq!(begun_ahead(), ahead);
        peak.load(Ordering::SeqCst)
    };
    assert!((2..=4).contains(&threads_with_ahead(8, &[])));
    // First fewer clips ahead, down to one a thread; then fewer threads.
    assert!((2..=4).contains(&threads_with_ahead(4, &[Loader::shrink])));
    assert!(threads_with_ahead(4, &[Loader::shrink]) <= 2);
    assert_eq!(threads_with_ahead(1, &[Loader::shrink as fn(&Loader) -> bool; 9]), 1, "no less than one of each");
    assert!(!loader.shrink());
    assert_eq!(threads_with_ahead(2, &[Loader::grow]), 1);
    assert!((2..=4).contains(&threads_with_ahead(8, &[Loader::grow as fn(&Loader) -> bool; 9])));
    assert!(!loader.grow());
}

#[test]
fn a_draw_decides_how_clips_are_varied_and_the_cache_keeps_them_as_they_are() {
    let (_root, manifest) = dataset(3);
    let plan = sequential_plan(&[0, 1, 2, 3, 4, 5], 4);
    let all = AugmentationConfig { gaussian_blur: 1.0, jpeg: 1.0, noise: 1.0, ..AugmentationConfig::default() };
    let clips = |workers, draw: &[Option<Draw>]| -> Vec<Vec<u8>> {
        let source = ClipSource::new(&manifest, spec(), Arc::new(ClipCache::new(u64::MAX, None)));
        let loader = Loader::new(Arc::new(source.with_augmentation(&all)), &LoaderPlan::fixed(workers, 4));
        let pass = |draw: &Option<Draw>| {
            let mut pass = loader.pass(plan.clone(), *draw);
            let batches = std::iter::from_fn(|| pass.next_batch());
            batches.flat_map(|batch| batch.frames_bthwc()).collect()
        };
        draw.iter().map(pass).collect()
    };
    let first = Some(Draw::new(1, 0));
    let second = Some(Draw::new(1, 1));
    let reference = clips(0, &[None, first, second, first, None]);
    let [plain, varied, other, again, plain_again] = &reference[..] else { unreachable!() };
    assert!(plain != varied && varied != other && varied == again && plain == plain_again);
    let untouched = batches(&Loader::new(source(&manifest, 0), &LoaderPlan::fixed(0, 1)), plan.clone());
    assert!(*plain == untouched.into_iter().flat_map(|batch| batch.frames_bthwc()).collect::<Vec<_>>());
    for workers in [1, 3] {
        assert!(clips(workers, &[second, first, None]) == [other.clone(), varied.clone(), plain.clone()]);
    }
}

#[test]
fn a_clip_for_which_there_was_no_memory_is_not_lost() {
    let (_root, manifest) = dataset(1);
    let refused = Arc::new(AtomicUsize::new(0));
    let seen = refused.clone();
    let reader: ClipReader = Arc::new(move |request| match seen.fetch_add(1, Ordering::SeqCst) {
        0 | 2 => Err(DataError::NoMemory { path: "a.mp4".into(), bytes: 9 }),
        _ => Ok(ReadClip { thwc: vec![7; request.spec.clip_bytes()], ..ReadClip::default() }),
    });
    let cache = Arc::new(ClipCache::new(4 * CLIP_BYTES, None));
    let source = ClipSource::new(&manifest, spec(), cache.clone());
    let loader = Loader::new(Arc::new(source.with_reader(reader, vec![String::new()])), &LoaderPlan::fixed(1, 1));
    let all = batches(&loader, vec![vec![0], vec![1]]);
    assert!(all.iter().all(|batch| batch.skipped.is_empty() && batch.bytes() as u64 == CLIP_BYTES), "{all:?}");
    assert_eq!(refused.load(Ordering::SeqCst), 4);
    assert!(cache.budget_bytes() < 4 * CLIP_BYTES, "the cache gave way");
}

/// Between the decoder and the tensor, pixels are copied twice: into the clip, and from clips into the tensor.
#[test]
fn a_batch_shares_the_clips_of_the_cache() {
    let (_root, manifest) = dataset(2);
    let loader = Loader::new(source(&manifest, u64::MAX), &LoaderPlan::fixed(1, 2));
    let plan = || vec![vec![0, 1], vec![2, 3]];
    let (first, second) = (batches(&loader, plan()), batches(&loader, plan()));
    for (first, second) in first.iter().zip(&second) {
        assert!(first.clips.iter().zip(&second.clips).all(|(a, b)| Arc::ptr_eq(a, b)));
        let bytes = first.bytes();
        let parts = first.parts(0..bytes);
        assert!(parts.iter().zip(&first.clips).all(|(part, clip)| part.as_ptr() == clip.thwc.as_ptr()));
        assert_eq!((parts.len(), bytes as u64), (2, 2 * CLIP_BYTES));
    }
}

#[test]
fn training_draws_a_face_for_each_visit_and_a_self_blended_fake_one_of_its_real() {
    let (_root, mut manifest) = dataset(1);
    let real = manifest.videos.iter().position(|video| video.label == Label::Real).unwrap();
    let mut blend = manifest.videos[real].clone();
    (blend.label, blend.original) = (Label::Fake, Some(blend.path.clone()));
    manifest.videos.push(blend);
    let read: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let reader: ClipReader = {
        let read = read.clone();
        Arc::new(move |request| {
            read.lock().unwrap().push((request.video, request.face));
            Ok(ReadClip { thwc: vec![0; CLIP_BYTES as usize], meta: Vec::new(), usable_frames: 99 })
        })
    };
    let source = ClipSource::new(&manifest, spec(), Arc::new(ClipCache::none()));
    let source = source.with_reader(reader, vec![String::new()]).with_further_faces(FurtherFaces::new([(real, 3)]));
    let loader = Loader::new(Arc::new(source), &LoaderPlan::fixed(0, 1));
    let faces = |video: usize, draws: &[Option<Draw>]| -> BTreeSet<usize> {
        for draw in draws {
            let mut pass = loader.pass(vec![vec![video]], *draw);
            while pass.next_batch().is_some() {}
        }
        let read = std::mem::take(&mut *read.lock().unwrap());
        assert!(read.iter().all(|(video, _)| *video == real));
        read.into_iter().map(|(_, face)| face).collect()
    };
    let draws: Vec<_> = (0..20).map(|epoch| Some(Draw::new(1, epoch))).collect();
    for video in [real, 2] {
        assert_eq!(faces(video, &draws), BTreeSet::from([0, 1, 2]), "video {video}");
        assert_eq!(faces(video, &[None]), BTreeSet::from([0]), "video {video}");
    }
    assert_eq!((loader.clips_of(real).len(), loader.clips_of(2)), (3, vec![2]));
}

#[test]
fn of_several_clips_of_a_video_each_visit_of_an_epoch_takes_another() {
    let (_root, manifest) = dataset(1);
    // Each frame is as bright as its number.
    let reader: ClipReader = Arc::new(|request| {
        assert_eq!((request.spec.frames, request.draw), (6, None));
        let thwc = (0..request.spec.frames).flat_map(|frame| vec![frame as u8; 32 * 32 * 3]).collect();
        Ok(ReadClip { thwc, meta: Vec::new(), usable_frames: 99 })
    });
    let loader = |frames| {
        let spec = ClipSpec { frames: 6, ..spec() };
        let source = ClipSource::new(&manifest, spec, Arc::new(ClipCache::none()));
        let source = source.with_reader(reader.clone(), vec![String::new()]).with_training_frames(2, frames);
        Loader::new(Arc::new(source), &LoaderPlan::fixed(1, 2))
    };
    let shown = |loader: &Loader, plan: Vec<Vec<usize>>, draw| -> Vec<Vec<u8>> {
        let mut pass = loader.pass(plan, draw);
        let batches = std::iter::from_fn(|| pass.next_batch());
        batches.map(|batch| batch.frames_bthwc().into_iter().step_by(32 * 32 * 3).collect()).collect()
    };
    let (whole, part) = (loader(3), loader(1));
    assert_eq!(shown(&whole, vec![vec![0]], None), [[0, 1, 2, 3, 4, 5]], "for validation, all of them");
    let mut firsts = BTreeSet::new();
    for epoch in 0..20 {
        let draw = Some(Draw::new(1, epoch));
        let mut clips = shown(&whole, vec![vec![0], vec![0]], draw);
        firsts.insert(clips[0].clone());
        clips.sort();
        assert_eq!(clips, [[0, 1, 2], [3, 4, 5]]);
        let mut frames = shown(&part, vec![vec![0], vec![0]], draw).concat();
        frames.sort_unstable();
        assert!(frames[0] < 3 && (3..6).contains(&frames[1]), "{frames:?}");
    }
    assert_eq!(firsts.len(), 2);
}

#[test]
fn frames_that_are_drawn_anew_are_not_cached_and_those_of_validation_are() {
    let (_root, manifest) = dataset(2);
    let drawn = Arc::new(Mutex::new(Vec::new()));
    let reader: ClipReader = {
        let drawn = drawn.clone();
        Arc::new(move |request| {
            drawn.lock().unwrap().push((request.video, request.draw));
            Ok(ReadClip { thwc: vec![0; CLIP_BYTES as usize], meta: Vec::new(), usable_frames: 99 })
        })
    };
    let spec = ClipSpec { sampling: Sampling::RandomSegment, ..spec() };
    let source = ClipSource::new(&manifest, spec, Arc::new(ClipCache::new(u64::MAX, None)));
    let source = Arc::new(source.with_reader(reader, vec![String::new()]));
    // Videos 0 and 1 are for training, 2 and 3 for validation.
    let prepared = prepare(&source, &[0, 1, 2, 3], |video| video < 2, 1, &AtomicBool::new(false));
    let outcomes: Vec<_> = prepared.into_iter().map(|(_, outcome)| outcome).collect();
    let read = Prepared::Read(Vec::new());
    assert_eq!(outcomes, [Prepared::Probed, Prepared::Probed, read.clone(), read]);
    assert_eq!(std::mem::take(&mut *drawn.lock().unwrap()), [(2, None), (3, None)]);

    let loader = Loader::new(source.clone(), &LoaderPlan::fixed(1, 4));
    for epoch in 0..2 {
        let draw = Some(Draw::new(1, epoch));
        assert_eq!(loader.pass(vec![vec![0, 1]], draw).next_batch().unwrap().videos, [0, 1]);
        assert_eq!(batches(&loader, vec![vec![2, 3]])[0].videos, [2, 3]);
    }
    let seeds: BTreeSet<_> = drawn.lock().unwrap().iter().map(|(_, draw)| draw.unwrap()).collect();
    assert_eq!(seeds.len(), 4, "each video and epoch its own");
    let stats = source.cache().stats();
    assert_eq!((stats.bypassed, stats.hits, stats.misses, stats.bytes), (4, 4, 0, 2 * CLIP_BYTES));
}

/// A pass over `plan` from batch `next` on, with three frames a clip of which training takes `frames`.
fn some_frames(manifest: &Manifest, workers: usize, frames: usize, plan: &[Vec<usize>], next: usize) -> Vec<HostBatch> {
    let source = ClipSource::new(manifest, spec(), Arc::new(ClipCache::new(u64::MAX, None)));
    let source = Arc::new(source.with_training_frames(1, frames));
    let loader = Loader::new(source, &LoaderPlan::fixed(workers, 3));
    let mut pass = loader.pass_from(plan.to_vec(), next, Some(Draw::new(1, 0)));
    std::iter::from_fn(|| pass.next_batch()).collect()
}

#[test]
fn an_epoch_takes_some_frames_in_their_order_and_other_ones_at_each_visit() {
    let (_root, manifest) = dataset(2);
    let plan = vec![vec![0, 1], vec![0; 12], vec![3, 2]];
    let whole = batches(&Loader::new(source(&manifest, 0), &LoaderPlan::fixed(0, 1)), vec![vec![0]]).remove(0);
    let frame_bytes = (CLIP_BYTES / 3) as usize;
    let bytes = whole.frames_bthwc();
    let frames: Vec<_> = bytes.chunks(frame_bytes).collect();

    let taken = some_frames(&manifest, 0, 2, &plan, 0);
    let mut seen = BTreeSet::new();
    for clip in taken[1].frames_bthwc().chunks(2 * frame_bytes) {
        let which: Vec<_> = clip.chunks(frame_bytes).map(|f| frames.iter().position(|g| *g == f).unwrap()).collect();
        assert!(which[0] < which[1], "{which:?}");
        seen.insert(which);
    }
    assert_eq!(seen.len(), 3, "all pairs of three frames, over twelve visits: {seen:?}");
    assert!(some_frames(&manifest, 3, 2, &plan, 0) == taken, "threads change nothing");
    assert!(some_frames(&manifest, 3, 2, &plan, 1) == taken[1..], "nor does going on in the middle");
    assert!(
        some_frames(&manifest, 1, 3, &plan, 0)[0].frames_bthwc()[..CLIP_BYTES as usize] == whole.frames_bthwc()[..]
    );
}

#[test]
fn clips_are_mixed_where_there_is_a_draw_and_the_same_from_the_middle_of_an_epoch() {
    let (_root, manifest) = dataset(4);
    let mixes = AugmentationConfig { mixup: 1.0, cutmix: 1.0, ..AugmentationConfig::default() };
    let plan = vec![vec![0, 4, 1, 5], vec![6, 2, 7, 3]];
    let from = |next: usize, mixing: Option<&AugmentationConfig>, draw| -> Vec<HostBatch> {
        let off = AugmentationConfig::default();
        let loader = Loader::new(source(&manifest, u64::MAX), &LoaderPlan::fixed(2, 4));
        let loader = loader.with_mixing(mixing.unwrap_or(&off));
        let mut pass = loader.pass_from(plan.clone(), next, draw);
        std::iter::from_fn(|| pass.next_batch()).collect()
    };
    let draw = |epoch| Some(Draw::new(1, epoch));
    let (plain, mixed) = (from(0, None, draw(0)), from(0, Some(&mixes), draw(0)));
    for (plain, mixed) in plain.iter().zip(&mixed) {
        assert!(plain.fake_shares.is_empty() && mixed.fake_shares.len() == 4);
        assert!(plain.frames_bthwc() != mixed.frames_bthwc() && plain.labels == mixed.labels);
        let [a, b] = [0, 3].map(|clip| mixed.targets()[clip]);
        assert!((a + b - 1.0).abs() < 1e-9, "a real and a fake share theirs: {a} {b}");
    }
    assert!(from(1, Some(&mixes), draw(0)) == mixed[1..], "as in the whole epoch");
    assert!(from(0, Some(&mixes), draw(1)) != mixed, "another epoch mixes otherwise");
    assert!(from(0, Some(&mixes), None) == from(0, None, None), "validation sees clips as they are");
}

#[test]
fn what_is_noted_of_a_video_is_found_once_over_all_epochs() {
    let (_root, manifest) = dataset(2);
    let folder = tempfile::tempdir().unwrap();
    // Without a disk, with one, with the notes of the run before, and with a full one.
    for (name, limit_bytes, expected) in [("", 0, 4), ("disk", u64::MAX, 4), ("disk", u64::MAX, 0), ("full", 1, 4)] {
        let disk = (!name.is_empty()).then(|| DiskCache::open(&folder.path().join(name), limit_bytes));
        let found = Arc::new(AtomicUsize::new(0));
        let reader: ClipReader = {
            let found = found.clone();
            Arc::new(move |request| {
                assert!(request.draw.is_some());
                let note = request.notes.kept("where it is", || {
                    found.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, DataError>(Some(request.video))
                })?;
                assert_eq!(note, Some(request.video), "each video has its own");
                Ok(ReadClip { thwc: vec![0; CLIP_BYTES as usize], meta: Vec::new(), usable_frames: 99 })
            })
        };
        let spec = ClipSpec { sampling: Sampling::RandomSegment, ..spec() };
        let source = ClipSource::new(&manifest, spec, Arc::new(ClipCache::new(0, disk)));
        let loader = Loader::new(Arc::new(source.with_reader(reader, vec![String::new()])), &LoaderPlan::fixed(1, 2));
        for epoch in 0..3 {
            let mut pass = loader.pass(vec![vec![0, 1, 2, 3]], Some(Draw::new(1, epoch)));
            assert_eq!(pass.next_batch().unwrap().skipped, []);
        }
        assert_eq!(found.load(Ordering::SeqCst), expected, "{name}");
    }
}
