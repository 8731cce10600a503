//! The search for settings that fit: the memory a run may use, and a ladder of changes, cheapest for quality first.
//!
//! Judges configurations by the estimate alone; [`super::advise()`] puts the outcome into words.

use super::advise::{DeviceFacts, HostFacts};
use super::estimate::{DeviceKind, Estimate, cache_budget_bytes, decode_window_bytes, training_step};
use crate::config::{AutoBytes, Backbone, Config, Precision, Switch};
use crate::torch::Format;

/// Left free: estimates err, other programs move, and a GPU that drives a screen needs some.
const RESERVE_PERCENT: u64 = 10;
/// A cache smaller than this is not worth its bookkeeping.
const SMALLEST_CACHE_BYTES: u64 = 256 << 20;
/// Below this share of the usable memory there is room that could be put to use.
const ROOMY_PERCENT: u64 = 60;
/// The limit of `training.gradient_accumulation`.
const MOST_ACCUMULATION: usize = 4096;
/// Larger batches than this are not looked for.
pub(super) const LARGEST_BATCH: usize = 256;

/// The memory a run may use, and what a configuration takes of it.
pub(super) struct Room {
    pub(super) kind: DeviceKind,
    pub(super) device_bytes: u64,
    pub(super) host: HostFacts,
    pub(super) host_bytes: u64,
}

impl Room {
    pub(super) fn new(device: &DeviceFacts, host: HostFacts) -> Self {
        let usable = |bytes: u64| bytes - bytes / 100 * RESERVE_PERCENT;
        let host_bytes = usable(host.free_bytes);
        Self { kind: device.kind(), device_bytes: usable(device.memory_bytes), host, host_bytes }
    }

    pub(super) fn format(&self, config: &Config) -> Format {
        Format::resolve(config.gpu.mixed_precision, self.kind == DeviceKind::Cuda)
    }

    pub(super) fn step(&self, config: &Config) -> Estimate {
        training_step(config, config.training.batch_size, self.kind, self.format(config))
    }

    /// On the CPU the loader shares the device's memory with the step.
    pub(super) fn device_need_bytes(&self, config: &Config) -> u64 {
        let loader_bytes = if self.kind == DeviceKind::Cpu { decode_window_bytes(config) } else { 0 };
        self.step(config).peak_bytes + loader_bytes
    }

    pub(super) fn device_fits(&self, config: &Config) -> bool {
        self.device_need_bytes(config) <= self.device_bytes
    }

    /// The most that the frame cache may take.
    pub(super) fn cache_bytes(&self, config: &Config) -> u64 {
        cache_budget_bytes(config, self.host.free_bytes)
    }

    /// Host memory without the frame cache.
    pub(super) fn host_work_bytes(&self, config: &Config) -> u64 {
        match self.kind {
            DeviceKind::Cpu => self.device_need_bytes(config),
            DeviceKind::Cuda => decode_window_bytes(config),
        }
    }

    pub(super) fn host_fits(&self, config: &Config) -> bool {
        self.host_work_bytes(config).saturating_add(self.cache_bytes(config)) <= self.host_bytes
    }

    pub(super) fn fits(&self, config: &Config) -> bool {
        self.device_fits(config) && self.host_fits(config)
    }

    /// Whether much of the device's memory would lie idle.
    pub(super) fn is_roomy(&self, config: &Config) -> bool {
        self.device_need_bytes(config) < self.device_bytes / 100 * ROOMY_PERCENT
    }
}

/// The best configuration that fits, or the leanest one tried where none does.
pub(super) fn search(config: &Config, room: &Room) -> Config {
    let mut best = fit_shape(config, room);
    match_cores(&mut best, room);
    fit_host(&mut best, room);
    if room.fits(config) {
        use_room(&mut best, room);
    }
    best
}

/// Goes down the ladder to the first rung on which some cut of the effective batch fits, with the leanest loader.
fn fit_shape(config: &Config, room: &Room) -> Config {
    let fits = |config: &Config| room.fits(&leanest_loader(config));
    if fits(config) {
        return config.clone();
    }
    let mut rung = config.clone();
    if room.format(config) == Format::F32 {
        rung.gpu.mixed_precision = match room.kind {
            DeviceKind::Cuda => Precision::Fp16,
            DeviceKind::Cpu if crate::torch::cpu_has_bf16() => Precision::Bf16,
            DeviceKind::Cpu => config.gpu.mixed_precision,
        };
    }
    let mut lower = lower_rungs(config).into_iter();
    loop {
        if let Some(cut) = cuts(&rung).find(|cut| fits(cut)) {
            return cut;
        }
        match lower.next() {
            Some(change) => change(&mut rung),
            None => return cuts(&rung).last().unwrap_or(rung),
        }
    }
}

fn leanest_loader(config: &Config) -> Config {
    let mut lean = config.clone();
    lean.cache.enable_cache = Switch::Off;
    lean.dataloader.prefetch_factor = 1;
    lean.dataloader.num_workers = lean.dataloader.num_workers.min(1);
    lean
}

/// The same effective batch in smaller and smaller pieces, from the configured one down.
pub(super) fn cuts(config: &Config) -> impl Iterator<Item = Config> + '_ {
    let largest = config.training.batch_size;
    (1..=largest).rev().filter_map(|batch_size| cut(config, batch_size))
}

/// The same effective batch in pieces of `batch_size`, where that divides it.
fn cut(config: &Config, batch_size: usize) -> Option<Config> {
    let effective = config.training.batch_size * config.training.gradient_accumulation;
    let accumulation = effective / batch_size;
    let even = effective.is_multiple_of(batch_size) && accumulation <= MOST_ACCUMULATION;
    even.then(|| {
        let mut cut = config.clone();
        cut.training.batch_size = batch_size;
        cut.training.gradient_accumulation = accumulation;
        cut
    })
}

type Rung = Box<dyn Fn(&mut Config)>;

/// Changes that cost quality, least first; each is made on top of those before it.
fn lower_rungs(config: &Config) -> Vec<Rung> {
    let frames = |allowed: &'static [usize]| {
        let fewer = allowed.iter().filter(|frames| **frames < config.data.max_frames);
        fewer.map(|&frames| -> Rung { Box::new(move |config| config.data.max_frames = frames) }).collect::<Vec<_>>()
    };
    let [height, width] = config.data.frame_size;
    let short = height.min(width);
    let sizes = [512, 384, 320, 256, 224, 192, 160, 128, 112].into_iter().filter(|side| *side < short);
    let sizes = sizes.map(|side| -> Rung {
        // Multiples of 16 keep the deep layers' sizes whole; rounding down keeps every rung smaller.
        let scaled = [height, width].map(|length| (length * side / short / 16 * 16).max(32));
        Box::new(move |config| config.data.frame_size = scaled)
    });
    let backbones: &[Backbone] = match config.model.backbone {
        Backbone::Resnet101 => &[Backbone::Resnet50, Backbone::Resnet34, Backbone::Resnet18],
        Backbone::Resnet50 => &[Backbone::Resnet34, Backbone::Resnet18],
        Backbone::Resnet34 => &[Backbone::Resnet18],
        Backbone::Resnet18 => &[],
    };
    let backbones =
        backbones.iter().map(|&backbone| -> Rung { Box::new(move |config| config.model.backbone = backbone) });
    let mut rungs = frames(&[512, 256, 128, 96, 64, 48, 32, 24, 16, 12, 8]);
    rungs.extend(sizes);
    rungs.extend(backbones);
    // Too few to see how a face moves, but more than nothing.
    rungs.extend(frames(&[4, 2, 1]));
    rungs
}

/// Makes cache and loader fit what the step leaves of the host's memory: less cache first, it only costs time.
fn fit_host(config: &mut Config, room: &Room) {
    let shrinks: [fn(&mut Config); 3] = [
        |_| {},
        |config| config.dataloader.prefetch_factor = 1,
        |config| config.dataloader.num_workers = config.dataloader.num_workers.min(1),
    ];
    for shrink in shrinks {
        shrink(config);
        if room.host_fits(config) {
            return;
        }
        let left_bytes = room.host_bytes.saturating_sub(room.host_work_bytes(config));
        let cache_bytes = left_bytes / SMALLEST_CACHE_BYTES * SMALLEST_CACHE_BYTES;
        if cache_bytes > 0 && room.cache_bytes(config) > 0 {
            config.cache.memory_bytes = AutoBytes::Bytes(cache_bytes);
            return;
        }
    }
    config.cache.enable_cache = Switch::Off;
}

/// As many decoding threads as there are cores at most, and not so few that the trainer waits for them.
fn match_cores(config: &mut Config, room: &Room) {
    let workers = config.dataloader.num_workers;
    let cores = room.host.cores.max(1);
    let mut matched = config.clone();
    matched.dataloader.num_workers = workers.clamp((cores / 2).min(4), cores);
    if matched.dataloader.num_workers < workers || room.fits(&matched) {
        *config = matched;
    }
}

/// Fewer, larger pieces of the same effective batch where much memory would lie idle: fewer launches, better statistics
/// in batch-norm.
fn use_room(config: &mut Config, room: &Room) {
    if config.training.gradient_accumulation == 1 || !room.is_roomy(config) {
        return;
    }
    let effective = config.training.batch_size * config.training.gradient_accumulation;
    let larger = (config.training.batch_size + 1..=effective.min(LARGEST_BATCH)).rev();
    if let Some(cut) = larger.filter_map(|batch_size| cut(config, batch_size)).find(|cut| room.fits(cut)) {
        *config = cut;
    }
}
