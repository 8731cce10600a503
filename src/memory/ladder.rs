//! The search for settings that fit: the memory a run may use, and a ladder of changes, cheapest for quality first.
//! On a rung, the settings expected to be fastest come first.
//!
//! Judges configurations by the estimate alone; [`super::advise()`] puts the outcome into words.

use super::advise::{DeviceFacts, HostFacts};
use super::estimate::{DeviceKind, Estimate, cache_budget_bytes, decode_window_bytes, evaluation_step, training_step};
use super::speed::expected_speed;
use crate::config::{AutoBytes, Backbone, BatchSize, Config, Precision, Switch};
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
/// What `training.batch_size: auto` may become. More clips a step would ask for another learning rate.
const AUTO_SIZES: [usize; 10] = [32, 24, 16, 12, 8, 6, 4, 3, 2, 1];

/// What a run may take of memory that is free.
#[must_use]
pub fn usable_bytes(free_bytes: u64) -> u64 {
    free_bytes - free_bytes / 100 * RESERVE_PERCENT
}

/// The memory a run may use, and what a configuration takes of it.
pub(super) struct Room {
    pub(super) kind: DeviceKind,
    pub(super) device_bytes: u64,
    pub(super) host: HostFacts,
    pub(super) host_bytes: u64,
}

impl Room {
    pub(super) fn new(device: &DeviceFacts, host: HostFacts) -> Self {
        let host_bytes = usable_bytes(host.free_bytes);
        Self { kind: device.kind(), device_bytes: usable_bytes(device.memory_bytes), host, host_bytes }
    }

    pub(super) fn format(&self, config: &Config) -> Format {
        Format::resolve(config.gpu.mixed_precision, self.kind == DeviceKind::Cuda)
    }

    pub(super) fn step(&self, config: &Config) -> Estimate {
        training_step(config, config.training.batch_size.clips(), self.kind, self.format(config))
    }

    pub(super) fn evaluation(&self, config: &Config) -> Estimate {
        evaluation_step(config, config.training.batch_size.clips(), self.kind, self.format(config))
    }

    /// What the loader takes besides its cache.
    pub(super) fn loader_bytes(&self, config: &Config) -> u64 {
        decode_window_bytes(config, self.host.decoder_bytes)
    }

    /// On the CPU the loader shares the device's memory with the step.
    pub(super) fn device_need_bytes(&self, config: &Config) -> u64 {
        let loader_bytes = if self.kind == DeviceKind::Cpu { self.loader_bytes(config) } else { 0 };
        self.step(config).peak_bytes + loader_bytes
    }

    pub(super) fn device_fits(&self, config: &Config) -> bool {
        self.device_need_bytes(config) <= self.device_bytes
    }

    /// The most that the frame cache may take.
    pub(super) fn cache_bytes(&self, config: &Config) -> u64 {
        cache_budget_bytes(config, &self.host)
    }

    /// Host memory without the frame cache.
    pub(super) fn host_work_bytes(&self, config: &Config) -> u64 {
        match self.kind {
            DeviceKind::Cpu => self.device_need_bytes(config),
            DeviceKind::Cuda => self.loader_bytes(config),
        }
    }

    pub(super) fn host_fits(&self, config: &Config) -> bool {
        self.host_work_bytes(config).saturating_add(self.cache_bytes(config)) <= self.host_bytes
    }

    pub(super) fn fits(&self, config: &Config) -> bool {
        self.device_fits(config) && self.host_fits(config)
    }

    /// Expected clips a second, to compare with.
    pub(super) fn speed(&self, config: &Config) -> f64 {
        expected_speed(config, self.kind, self.format(config))
    }

    /// What of the device's memory one step may take: on the CPU, loader and cache are there as well.
    pub(super) fn step_budget_bytes(&self, config: &Config) -> u64 {
        match self.kind {
            DeviceKind::Cuda => self.device_bytes,
            DeviceKind::Cpu => {
                let besides = self.loader_bytes(config).saturating_add(self.cache_bytes(config));
                self.device_bytes.min(self.host_bytes).saturating_sub(besides)
            }
        }
    }

    /// Whether much of the device's memory would lie idle.
    pub(super) fn is_roomy(&self, config: &Config) -> bool {
        self.device_need_bytes(config) < self.device_bytes / 100 * ROOMY_PERCENT
    }
}

/// What the search found.
pub(super) struct Found {
    /// The best configuration that fits, or the leanest one tried where none does.
    pub(super) best: Config,
    /// All that fit and learn as well as `best`, the fastest first: they differ in what costs no quality.
    pub(super) ranked: Vec<Config>,
}

/// Looks for the fastest settings that fit. What fits as it is stays as it is.
pub(super) fn search(config: &Config, room: &Room) -> Found {
    let is_auto = config.training.batch_size == BatchSize::Auto;
    let config = &settle(config, room, usize::MAX);
    let ranked = fit_shape(config, room);
    let mut best = match ranked.first() {
        _ if room.fits(&leanest_loader(config)) => fit_loader(config, room),
        Some(fastest) => fit_loader(fastest, room),
        None => fit_loader(&leanest(config, room), room),
    };
    if !is_auto && room.fits(&best) {
        use_room(&mut best, room);
    }
    let ranked = ranked.iter().map(|config| fit_loader(config, room)).filter(|config| room.fits(config)).collect();
    Found { best, ranked }
}

/// With a number in place of `training.batch_size: auto`: the largest that is predicted to fit and is not above
/// `most_clips`, or 1.
pub(super) fn settle(config: &Config, room: &Room, most_clips: usize) -> Config {
    if config.training.batch_size != BatchSize::Auto {
        return config.clone();
    }
    let sizes = cuts(config).into_iter().filter(|sized| sized.training.batch_size.clips() <= most_clips);
    let sizes: Vec<_> = sizes.collect();
    // Beside the cache as it is configured, or else instead of some of it.
    let found =
        sizes.iter().find(|sized| room.fits(sized)).or_else(|| sizes.iter().find(|sized| room.device_fits(sized)));
    found.cloned().unwrap_or_else(|| with_batch(config, 1))
}

/// Settings that fit with the leanest loader, the fastest first, on the first rung of the ladder that has some.
fn fit_shape(config: &Config, room: &Room) -> Vec<Config> {
    let mut rung = config.clone();
    let mut lower = lower_rungs(config).into_iter();
    loop {
        let mut fitting: Vec<_> =
            equals(&rung, room).into_iter().filter(|config| room.fits(&leanest_loader(config))).collect();
        if !fitting.is_empty() {
            let speed = |config: &Config| room.speed(config);
            fitting.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
            return fitting;
        }
        match lower.next() {
            Some(change) => change(&mut rung),
            None => return Vec::new(),
        }
    }
}

/// Settings that learn the same: other cuts of the effective batch, half precision, activation checkpointing.
fn equals(config: &Config, room: &Room) -> Vec<Config> {
    let mut half = config.clone();
    if room.format(config) == Format::F32 {
        half.gpu.mixed_precision = match room.kind {
            DeviceKind::Cuda => Precision::Fp16,
            DeviceKind::Cpu if crate::torch::cpu_has_bf16() => Precision::Bf16,
            DeviceKind::Cpu => config.gpu.mixed_precision,
        };
    }
    let formats = if half == *config { vec![half] } else { vec![half, config.clone()] };
    let mut equals: Vec<_> = formats.iter().flat_map(cuts).collect();
    if !config.model.activation_checkpointing {
        let recomputing = equals.clone().into_iter().map(|mut config| {
            config.model.activation_checkpointing = true;
            config
        });
        equals.extend(recomputing.collect::<Vec<_>>());
    }
    equals
}

/// The last rung in its smallest pieces, for saying how much even that needs.
fn leanest(config: &Config, room: &Room) -> Config {
    let mut rung = config.clone();
    lower_rungs(config).iter().for_each(|change| change(&mut rung));
    equals(&rung, room).into_iter().min_by_key(|config| room.step(config).peak_bytes).unwrap_or(rung)
}

fn leanest_loader(config: &Config) -> Config {
    let mut lean = config.clone();
    lean.cache.enable_cache = Switch::Off;
    lean.dataloader.prefetch_factor = 1;
    lean.dataloader.num_workers = lean.dataloader.num_workers.min(1);
    lean
}

/// The same effective batch in smaller and smaller pieces, from the configured one down. Where the size is `auto`, the
/// pieces are batches of any size, and accumulation stays.
pub(super) fn cuts(config: &Config) -> Vec<Config> {
    match config.training.batch_size {
        BatchSize::Auto => AUTO_SIZES.into_iter().map(|clips| with_batch(config, clips)).collect(),
        BatchSize::Clips(largest) => (1..=largest).rev().filter_map(|clips| cut(config, clips)).collect(),
    }
}

fn with_batch(config: &Config, clips: usize) -> Config {
    let mut sized = config.clone();
    sized.training.batch_size = BatchSize::Clips(clips);
    sized
}

/// The same effective batch in pieces of `clips`, where that divides it.
fn cut(config: &Config, clips: usize) -> Option<Config> {
    let effective = config.training.effective_batch();
    let accumulation = effective / clips;
    let even = effective.is_multiple_of(clips) && accumulation <= MOST_ACCUMULATION;
    even.then(|| {
        let mut cut = with_batch(config, clips);
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

/// As `config`, with a loader for the cores and the host memory that there are.
fn fit_loader(config: &Config, room: &Room) -> Config {
    let mut fitted = config.clone();
    match_cores(&mut fitted, room);
    fit_host(&mut fitted, room);
    fitted
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
    let effective = config.training.effective_batch();
    let larger = (config.training.batch_size.clips() + 1..=effective.min(LARGEST_BATCH)).rev();
    if let Some(cut) = larger.filter_map(|batch_size| cut(config, batch_size)).find(|cut| room.fits(cut)) {
        *config = cut;
    }
}
