//! What the loader costs: `cargo bench --bench loader -- augment|memory|decoders|faces|extract|records|epoch`.
//!
//! - `augment [IN.png OUT.png]`: milliseconds a clip with the default augmentations on one core; a contact sheet of
//!   them.
//! - `memory`: 200 clips of 720p, 4 workers, a budget of 512 MiB: peak of the resident memory over the base.
//! - `decoders`: what one thread more adds to the resident memory while it decodes, at 720p and 1080p.
//! - `faces`: milliseconds that the face detector takes for a frame on one core, and what looking for faces in one
//!   video adds to the resident memory.
//! - `extract`: videos of 720p a second that two threads read for the first time: faces cut out of 32 frames as by
//!   default, and 16 whole frames.
//! - `records`: seconds that it takes to list, divide and plan data sets of 10,000 and 100,000 videos, and what that
//!   adds to the resident memory.
//! - `epoch`: ResNet-18 at 112 px in the format that training would choose, 16 frames, batches of 8 from a full cache:
//!   the share of a step spent waiting.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dfdetect::backbone::Backbone;
use dfdetect::clip::{Augmentation, ClipCache, ClipSource, DiskCache, Draw, prepare};
use dfdetect::config::{
    AugmentationConfig, DataConfig, FaceConfig, ModelConfig, OnMiss, Precision, Roots, SamplerChoice,
};
use dfdetect::dataset::{Manifest, Sampler, assign_splits, scan};
use dfdetect::demo::{VideoSettings, VideoWriter};
use dfdetect::face::{CenterFace, FaceDetector, read_face_clip};
use dfdetect::loader::{DECODER_BYTES, Loader, LoaderNeeds, LoaderPlan, plan_loader};
use dfdetect::model::{Detector, Draws, Mode};
use dfdetect::optim::{Adam, Optimizer, ParameterGroups};
use dfdetect::torch::{Format, release_cached_memory};
use dfdetect::video::{self, ClipSpec};
use image::RgbImage;
use image::imageops::FilterType;
use tch::{Device, Kind, Reduction, Tensor};
use tempfile::TempDir;

const MIB: f64 = (1 << 20) as f64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.first().map_or("", String::as_str) {
        "encode" => encode(&args[1..]),
        "augment" => augment(&args[1..]),
        "memory" => memory(),
        "decoders" => decoders(),
        "faces" => faces(),
        "extract" => extract(),
        "records" => records(),
        "epoch" => epoch(),
        _ => {
            augment(&[]);
            memory();
            decoders();
            faces();
            extract();
            records();
            epoch();
        }
    }
}

/// `distinct` encodes, each under `copies` names. A process of its own writes them, so that what encoding leaves in the
/// heap is not there for the loader to use.
fn dataset(width: u32, height: u32, frames: usize, distinct: usize, copies: usize) -> (TempDir, Manifest) {
    let root = tempfile::tempdir().unwrap();
    for video in 0..distinct {
        let folder = root.path().join(if video % 2 == 0 { "real" } else { "fake" });
        fs::create_dir_all(&folder).unwrap();
        let first = folder.join(format!("v{video}_0.mp4"));
        let numbers = [width as usize, height as usize, frames, video * 17].map(|number| number.to_string());
        let mut child = Command::new(std::env::current_exe().unwrap());
        assert!(child.arg("encode").arg(&first).args(numbers).status().unwrap().success());
        for copy in 1..copies {
            fs::hard_link(&first, folder.join(format!("v{video}_{copy}.mp4"))).unwrap();
        }
    }
    let manifest = scan(&DataConfig { root: Roots::one(root.path()), ..DataConfig::default() }).unwrap();
    (root, manifest)
}

fn encode(args: &[String]) {
    let [width, height, frames, first] = [1, 2, 3, 4].map(|at| args[at].parse::<usize>().unwrap());
    let (w, h) = (width as u32, height as u32);
    let settings = VideoSettings { width: w, height: h, gop: 250, b_frames: 3, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(Path::new(&args[0]), &settings).unwrap();
    let photograph = image::load_from_memory(include_bytes!("../tests/fixtures/astronaut.png")).unwrap().to_rgb8();
    for frame in first..first + frames {
        let mut picture = RgbImage::from_raw(w, h, picture(width, height, frame)).unwrap();
        // A face that moves by a pixel a frame.
        image::imageops::replace(&mut picture, &photograph, i64::from(w / 4) + frame as i64, i64::from(h / 4));
        writer.write(&picture).unwrap();
    }
    writer.finish().unwrap();
}

fn picture(width: usize, height: usize, time: usize) -> Vec<u8> {
    let pixel = |x: usize, y: usize| {
        let wave = ((x + 3 * time) / 9 % 2) * 60;
        [(x * 255 / width) as u8, (y * 255 / height) as u8, (wave + (x ^ y) % 64 + time) as u8]
    };
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

fn augment(args: &[String]) {
    let augmentation = Augmentation::new(&AugmentationConfig::default());
    for side in [112, 224] {
        let clip = picture(side, side, 0).repeat(16);
        let started = Instant::now();
        let rounds = 100;
        for seed in 0..rounds {
            std::hint::black_box(augmentation.apply(&clip, [16, side, side], seed));
        }
        let ms = started.elapsed().as_secs_f64() * 1e3 / rounds as f64;
        println!("augment: {ms:.2} ms a clip of 16 x {side} x {side}");
    }
    if let [from, to] = args {
        contact_sheet(Path::new(from), Path::new(to));
    }
}

/// The clip as it is, then 39 variations of its first frame.
fn contact_sheet(from: &Path, to: &Path) {
    const SIDE: usize = 160;
    let frame = image::open(from).unwrap().resize_exact(SIDE as u32, SIDE as u32, FilterType::Triangle).into_rgb8();
    let augmentation = Augmentation::new(&AugmentationConfig::default());
    let mut sheet = image::RgbImage::new(8 * SIDE as u32, 5 * SIDE as u32);
    for cell in 0..40 {
        let shown = match cell {
            0 => frame.clone().into_raw(),
            seed => augmentation.apply(&frame, [1, SIDE, SIDE], seed),
        };
        let shown = image::RgbImage::from_raw(SIDE as u32, SIDE as u32, shown).unwrap();
        let [x, y] = [cell % 8, cell / 8].map(|cells| cells as i64 * SIDE as i64);
        image::imageops::replace(&mut sheet, &shown, x, y);
    }
    sheet.save(to).unwrap();
}

fn rss_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Clips taken, and resident MiB before and at the peak, of `epochs` through a new loader.
fn resident(manifest: &Manifest, spec: ClipSpec, plan: &LoaderPlan, epochs: u32) -> (usize, f64, f64) {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let base = rss_bytes("VmRSS");
    let cache = Arc::new(ClipCache::new(plan.cache_bytes, None));
    let source = ClipSource::new(manifest, spec, cache).with_augmentation(&AugmentationConfig::default());
    let source = Arc::new(source);
    let loader = Loader::new(source.clone(), plan);
    let begun = || source.cache().stats().hits + source.cache().stats().misses;
    let videos: Vec<usize> = (0..manifest.videos.len()).collect();
    let mut clips = 0;
    for epoch in 0..epochs {
        let started = Instant::now();
        let mut pass =
            loader.pass(Sampler::Shuffled(videos.clone()).plan(1, epoch, 8, false), Some(Draw::new(1, epoch)));
        // The most is held while training is slower than the loader, so that all that may wait does.
        while begun() < (clips + plan.window_clips.min(videos.len())) as u64 {
            thread::sleep(Duration::from_millis(10));
        }
        while let Some(batch) = pass.next_batch() {
            clips += batch.videos.len();
        }
        let (rss, peak) = (rss_bytes("VmRSS") as f64 / MIB, rss_bytes("VmHWM") as f64 / MIB);
        println!(
            "  epoch {epoch}: {:.1} s, resident {rss:.0} MiB, peak {peak:.0} MiB",
            started.elapsed().as_secs_f64()
        );
    }
    (clips, base as f64 / MIB, rss_bytes("VmHWM") as f64 / MIB)
}

fn memory() {
    let (_root, manifest) = dataset(1280, 720, 100, 4, 50);
    let spec = ClipSpec::uniform(16, 224, 224, 8);
    let budget_bytes = 512 << 20;
    let needs = LoaderNeeds {
        num_workers: 4,
        prefetch_factor: 2,
        batch_size: 8,
        held_batches: 1,
        clip_bytes: spec.clip_bytes() as u64,
        worker_bytes: DECODER_BYTES,
    };
    let plan = plan_loader(budget_bytes, &needs);
    let (clips, base, peak) = resident(&manifest, spec, &plan, 2);
    println!(
        "memory: {clips} clips, base {base:.0} MiB, peak {peak:.0} MiB, added {:.0} of {:.0} MiB ({plan:?})",
        peak - base,
        budget_bytes as f64 / MIB
    );
}

/// Clips are tiny here, so that what is added is the decoders'.
fn decoders() {
    for (width, height) in [(1280, 720), (1920, 1080)] {
        let (_root, manifest) = dataset(width, height, 60, 2, 12);
        let spec = ClipSpec::uniform(16, 112, 112, 8);
        for workers in [1, 2, 4, 8] {
            let (_, base, peak) = resident(&manifest, spec, &LoaderPlan::fixed(workers, workers), 1);
            println!("decoders: {width}x{height}, {workers} workers, base {base:.0} MiB, added {:.0} MiB", peak - base);
        }
    }
}

fn faces() {
    let detector = CenterFace::load().unwrap();
    for (width, height) in [(320, 180), (1280, 720), (480, 480)] {
        let frames: Vec<_> = (0..16)
            .map(|time| {
                let bytes = picture(width, height, time);
                image::RgbImage::from_raw(width as u32, height as u32, bytes).unwrap()
            })
            .collect();
        detector.detect(&frames[..2]).unwrap();
        let started = Instant::now();
        detector.detect(&frames).unwrap();
        let ms = started.elapsed().as_secs_f64() * 1e3 / frames.len() as f64;
        println!("faces: {ms:.1} ms a frame of {width} x {height}");
    }
    let faces = FaceConfig { on_miss: OnMiss::WholeFrame, ..FaceConfig::default() };
    for (width, height) in [(1280, 720), (1920, 1080), (3840, 2160)] {
        let (_root, manifest) = dataset(width, height, 60, 2, 1);
        for frames in [16, 32] {
            fs::write("/proc/self/clear_refs", "5").unwrap();
            let base = rss_bytes("VmRSS");
            let spec = ClipSpec::uniform(frames, 224, 224, 8);
            read_face_clip(&manifest.footage(0), &spec, None, None, &faces, &detector).unwrap();
            let added = (rss_bytes("VmHWM") - base) as f64 / MIB;
            println!("faces: {frames} frames of {width}x{height} add {added:.0} MiB to {:.0} MiB", base as f64 / MIB);
            release_cached_memory().unwrap();
        }
    }
}

fn extract() {
    let (_root, manifest) = dataset(1280, 720, 200, 4, 4);
    let detector = CenterFace::load().unwrap();
    let faces = FaceConfig::default();
    for (what, frames) in [("faces cut out of", 32), ("whole", 16)] {
        let spec = ClipSpec::uniform(frames, 224, 224, 8);
        let next = AtomicUsize::new(0);
        let read = || {
            while let Some(video) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < manifest.videos.len())
            {
                let footage = manifest.footage(video);
                match what {
                    "whole" => drop(video::read_clip(&footage, &spec, None).unwrap()),
                    _ => drop(read_face_clip(&footage, &spec, None, None, &faces, &detector).unwrap()),
                }
            }
        };
        let started = Instant::now();
        thread::scope(|scope| [0; 2].map(|_| scope.spawn(read)).map(|thread| thread.join().unwrap()));
        let rate = manifest.videos.len() as f64 / started.elapsed().as_secs_f64();
        println!("extract: {rate:.2} videos of 200 frames of 720p a second, {what} {frames} frames, two threads");
    }
}

fn records() {
    for count in [10_000, 100_000] {
        let root = tempfile::tempdir().unwrap();
        for class in ["real", "fake"] {
            fs::create_dir(root.path().join(class)).unwrap();
            for number in 0..count / 2 {
                // A file has at most 65,000 names in some file systems.
                let first = root.path().join(format!("{class}{}.bytes", number / 50_000));
                if number % 50_000 == 0 {
                    fs::write(&first, "x").unwrap();
                }
                let name = format!("{class}/id{}_{number}.mp4", number / 10);
                fs::hard_link(&first, root.path().join(name)).unwrap();
            }
        }
        let config = DataConfig { root: Roots::one(root.path()), ..DataConfig::default() };
        let (base, started) = (rss_bytes("VmRSS"), Instant::now());
        let mut manifest = scan(&config).unwrap();
        assign_splits(&mut manifest, &config, 42).unwrap();
        let steps = Sampler::new(SamplerChoice::Shuffled, &manifest).unwrap().plan(42, 0, 12, true).len();
        let (secs, added) = (started.elapsed().as_secs_f64(), (rss_bytes("VmRSS") - base) as f64 / MIB);
        println!("records: {count} videos, {steps} steps an epoch: {secs:.3} s, {added:.0} MiB added");
    }
}

/// From each level of the cache in turn.
fn epoch() {
    let (_root, manifest) = dataset(256, 256, 40, 8, 10);
    let spec = ClipSpec::uniform(16, 112, 112, 8);
    let videos: Vec<usize> = (0..manifest.videos.len()).collect();
    let folder = tempfile::tempdir().unwrap();
    for (level, memory_bytes) in [("disk", 0), ("memory", u64::MAX)] {
        let cache = Arc::new(ClipCache::new(memory_bytes, Some(DiskCache::open(folder.path(), u64::MAX))));
        let source = ClipSource::new(&manifest, spec, cache).with_augmentation(&AugmentationConfig::default());
        let source = Arc::new(source);
        prepare(&source, &videos, |_| false, 2, &AtomicBool::new(false));
        let (batches, wait_ms, step_ms) = train(&Loader::new(source.clone(), &LoaderPlan::fixed(2, 32)), &videos);
        println!(
            "epoch from {level}: {batches} steps of {step_ms:.0} ms, of which {wait_ms:.2} ms ({:.2} %) wait for data, {:?}",
            100.0 * wait_ms / step_ms,
            source.cache().stats()
        );
    }
}

/// Steps after the first, and milliseconds that a step waited and took.
fn train(loader: &Loader, videos: &[usize]) -> (u32, f64, f64) {
    let model = ModelConfig { backbone: Backbone::Resnet18, ..ModelConfig::default() };
    let detector = Detector::new(&model, Device::Cpu, Format::resolve(Precision::Auto, None), true).unwrap();
    let parameters = detector.parameters();
    let named = parameters.trainable().map(|parameter| (parameter.name.as_str(), &parameter.tensor, 1.0));
    let mut optimizer = Adam::new(ParameterGroups::new(named, 0.01), true).unwrap();
    let mut pass = loader.pass(Sampler::Shuffled(videos.to_vec()).plan(1, 0, 8, true), Some(Draw::new(1, 0)));
    let (mut wait_secs, mut step_secs, mut steps) = (0.0, 0.0, 0);
    for step in 0.. {
        let started = Instant::now();
        let Some(batch) = pass.next_batch() else { break };
        let waited_secs = started.elapsed().as_secs_f64();
        let spec = loader.spec();
        let shape = [batch.labels.len(), spec.frames, spec.height, spec.width, 3].map(|size| size as i64);
        let frames_bthwc = Tensor::from_data_size(&batch.frames_bthwc(), &shape, Kind::Uint8);
        parameters.zero_gradients().unwrap();
        let logits_b = detector.forward(&frames_bthwc, Mode::Train(Draws::default())).unwrap().clips_b;
        let targets_b = Tensor::from_slice(&batch.labels.iter().map(|label| *label as u8).collect::<Vec<_>>());
        let targets_b = targets_b.to_kind(Kind::Float);
        let (no_weights, mean) = (None::<Tensor>, Reduction::Mean);
        logits_b
            .binary_cross_entropy_with_logits(&targets_b, no_weights.as_ref(), no_weights.as_ref(), mean)
            .backward();
        optimizer.step(1e-4).unwrap();
        // The first warms up.
        if step > 0 {
            wait_secs += waited_secs;
            step_secs += started.elapsed().as_secs_f64();
            steps += 1;
        }
    }
    (steps, wait_secs * 1e3 / f64::from(steps), step_secs * 1e3 / f64::from(steps))
}
