//! What the loader costs: `cargo bench --bench loader -- augment|memory|epoch [OUT.png]`.
//!
//! - `augment [OUT.png]`: milliseconds a clip with the default augmentations on one core; a contact sheet of them.
//! - `memory`: 200 clips of 720p, 4 workers, a budget of 512 MiB: peak of the resident memory over the base.
//! - `epoch`: ResNet-18 at 112 px, 16 frames, batches of 8 from a full cache: the share of a step spent waiting.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use dfdetect::config::{AugmentationConfig, Backbone, DataConfig, ModelConfig, Roots};
use dfdetect::data::{
    Augmentation, ClipCache, ClipReader, ClipSource, ClipSpec, DECODER_BYTES, DiskCache, Draw, Loader, LoaderNeeds,
    Manifest, ReadClip, epoch_plan, plan_loader, prepare,
};
use dfdetect::demo::{VideoSettings, VideoWriter};
use dfdetect::evaluate::clips_to_device;
use dfdetect::model::Detector;
use dfdetect::torch::Format;
use tch::{Device, Kind};
use tempfile::TempDir;

const MIB: f64 = (1 << 20) as f64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let wanted = |name: &str| args.is_empty() || args[0] == name;
    if wanted("augment") {
        augment(args.get(1).map(Path::new));
    }
    if wanted("memory") {
        memory();
    }
    if wanted("epoch") {
        epoch();
    }
}

/// `distinct` encodes, each under `copies` names.
fn dataset(width: u32, height: u32, frames: usize, distinct: usize, copies: usize) -> (TempDir, Manifest) {
    let root = tempfile::tempdir().unwrap();
    let settings = VideoSettings { width, height, gop: 250, b_frames: 3, ..VideoSettings::default() };
    for video in 0..distinct {
        let folder = root.path().join(if video % 2 == 0 { "real" } else { "fake" });
        fs::create_dir_all(&folder).unwrap();
        let first = folder.join(format!("v{video}_0.mp4"));
        let mut writer = VideoWriter::create(&first, &settings).unwrap();
        for frame in 0..frames {
            writer.write(&picture(width as usize, height as usize, frame + video * 17)).unwrap();
        }
        writer.finish().unwrap();
        for copy in 1..copies {
            fs::hard_link(&first, folder.join(format!("v{video}_{copy}.mp4"))).unwrap();
        }
    }
    let manifest = Manifest::scan(&DataConfig { root: Roots::one(root.path()), ..DataConfig::default() }).unwrap();
    (root, manifest)
}

fn picture(width: usize, height: usize, time: usize) -> Vec<u8> {
    let pixel = |x: usize, y: usize| {
        let wave = ((x + 3 * time) / 9 % 2) * 60;
        [(x * 255 / width) as u8, (y * 255 / height) as u8, (wave + (x ^ y) % 64 + time) as u8]
    };
    (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
}

fn augment(sheet: Option<&Path>) {
    let augmentation = Augmentation::new(&AugmentationConfig::default());
    for side in [112, 224] {
        let clip = picture(side, side, 0).repeat(16);
        let started = Instant::now();
        let rounds = 100;
        for seed in 0..rounds {
            std::hint::black_box(augmentation.apply(&clip, [16, side, side], seed));
        }
        println!(
            "augment: {:.2} ms a clip of 16 x {side} x {side}",
            started.elapsed().as_secs_f64() * 1e3 / rounds as f64
        );
    }
    let Some(path) = sheet else { return };
    let side = 112;
    let all = AugmentationConfig { random_erasing: 0.3, ..AugmentationConfig::default() };
    let frame = picture(side, side, 0);
    let mut canvas = image::RgbImage::new(8 * side as u32, 5 * side as u32);
    for cell in 0..40u32 {
        let shown =
            if cell == 0 { frame.clone() } else { Augmentation::new(&all).apply(&frame, [1, side, side], cell.into()) };
        let shown = image::RgbImage::from_raw(side as u32, side as u32, shown).unwrap();
        image::imageops::replace(
            &mut canvas,
            &shown,
            i64::from(cell % 8) * side as i64,
            i64::from(cell / 8) * side as i64,
        );
    }
    canvas.save(path).unwrap();
}

fn rss_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn memory() {
    let (_root, manifest) = dataset(1280, 720, 60, 4, 50);
    let spec = ClipSpec::uniform(16, 224, 224, 8);
    let clip_bytes = spec.clip_bytes() as u64;
    let budget_bytes = 512 << 20;
    let needs = LoaderNeeds {
        num_workers: 4,
        prefetch_factor: 2,
        batch_size: 8,
        held_batches: 2,
        clip_bytes,
        worker_bytes: DECODER_BYTES,
    };
    let plan = plan_loader(budget_bytes, &needs);
    // What encoding left behind is none of the loader's.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let base = rss_bytes("VmRSS");
    let cache = Arc::new(ClipCache::new(plan.cache_bytes, None));
    let source = ClipSource::new(&manifest, spec, cache).with_augmentation(&AugmentationConfig::default());
    let loader = Loader::new(Arc::new(source), &plan);
    let videos: Vec<usize> = (0..manifest.videos.len()).collect();
    let mut clips = 0;
    for epoch in 0..2 {
        let mut pass = loader.pass(epoch_plan(&videos, 1, epoch, 8, false), Some(Draw { seed: 1, epoch }));
        while let Some(batch) = pass.next_batch().unwrap() {
            clips += batch.videos.len();
        }
    }
    let peak = rss_bytes("VmHWM");
    println!(
        "memory: {clips} clips, base {:.0} MiB, peak {:.0} MiB, added {:.0} of {:.0} MiB ({plan:?})",
        base as f64 / MIB,
        peak as f64 / MIB,
        (peak - base) as f64 / MIB,
        budget_bytes as f64 / MIB
    );
}

fn epoch() {
    let (_root, manifest) = dataset(256, 256, 40, 8, 10);
    let folder = tempfile::tempdir().unwrap();
    let spec = ClipSpec::uniform(16, 112, 112, 8);
    // Nothing in memory: the slower of the two levels.
    let cache = Arc::new(ClipCache::new(0, Some(DiskCache::open(folder.path(), u64::MAX))));
    let reader: ClipReader = Arc::new(move |_, footage, draw| {
        let thwc = dfdetect::data::decode::read_clip(footage, &spec, draw)?;
        Ok(ReadClip { thwc, meta: Vec::new() })
    });
    let source = ClipSource::new(&manifest, spec, cache).with_augmentation(&AugmentationConfig::default());
    let source = Arc::new(source.with_reader(reader, vec![String::new()]));
    let videos: Vec<usize> = (0..manifest.videos.len()).collect();
    prepare(&source, &videos, 2, &AtomicBool::new(false));
    let loader = Loader::new(source.clone(), &dfdetect::data::LoaderPlan::fixed(2, 32));
    let model = ModelConfig { backbone: Backbone::Resnet18, ..ModelConfig::default() };
    let detector = Detector::new(&model, Device::Cpu, Format::F32, false).unwrap();
    let (mut waits, mut steps) = (0.0, 0.0);
    let mut pass = loader.pass(epoch_plan(&videos, 1, 0, 8, true), Some(Draw { seed: 1, epoch: 0 }));
    let mut batches = 0;
    loop {
        let started = Instant::now();
        let Some(batch) = pass.next_batch().unwrap() else { break };
        let waited = started.elapsed().as_secs_f64();
        let frames_bthwc = clips_to_device(&batch, &spec, 0..batch.labels.len(), Device::Cpu, false).unwrap();
        detector.forward(&frames_bthwc, true).unwrap().clips_b.sum(Kind::Float).backward();
        if batches > 0 {
            waits += waited;
            steps += started.elapsed().as_secs_f64();
        }
        batches += 1;
    }
    println!(
        "epoch: {batches} batches, step {:.0} ms, waiting for data {:.2} ms ({:.2} %), {:?}",
        steps * 1e3 / f64::from(batches - 1),
        waits * 1e3 / f64::from(batches - 1),
        100.0 * waits / steps,
        source.cache().stats()
    );
}
