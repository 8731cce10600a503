//! Which settings fit the memory that is there: a ladder of changes, cheapest for quality first, each checked by the
//! estimate, and the rungs that are needed put together.
//!
//! Knows facts that the caller gives it and measures nothing itself. Called by `dfdetect suggest`.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use serde::Serialize;
use serde_json::{Value, json};

use super::estimate::{DeviceKind, Estimate, NumberFormat, cpu_has_bf16, decode_window_bytes, training_step};
use crate::config::{AutoBytes, Backbone, Config, Precision, Switch};

/// Left free: estimates err, other programs move, and a GPU that drives a screen needs some.
const RESERVE_PERCENT: u64 = 10;
/// A cache smaller than this is not worth its bookkeeping.
const SMALLEST_CACHE_BYTES: u64 = 256 << 20;
/// Below this share of the usable memory there is room that could be put to use.
const ROOMY_PERCENT: u64 = 60;
/// The limit of `training.gradient_accumulation`.
const MOST_ACCUMULATION: usize = 4096;
/// Larger batches than this are not looked for.
const LARGEST_BATCH: usize = 256;

/// Where the device's facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSource {
    /// A GPU of this machine; its memory is what is free now.
    Detected,
    /// The user named it; its memory is all it has.
    Given,
    /// There is no GPU: this machine's processor and free memory.
    Cpu,
}

/// What training would run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceFacts {
    /// What people call it.
    pub name: String,
    /// Memory that training may count on, before the reserve.
    pub memory_bytes: u64,
    /// Where this is known from.
    pub source: DeviceSource,
}

impl DeviceFacts {
    /// The kind of device this is.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        if self.source == DeviceSource::Cpu { DeviceKind::Cpu } else { DeviceKind::Cuda }
    }
}

/// The machine around the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// Host memory that a run may still take.
    pub free_bytes: u64,
    /// Processor cores that a run may use.
    pub cores: usize,
}

/// One change worth making.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// Dotted key of the configuration.
    pub key: String,
    /// Its value now.
    pub current: Value,
    /// A better one.
    pub proposed: Value,
    /// Why, in one sentence.
    pub reason: String,
    /// How much less memory the run takes, with the suggestions before it made; negative where it takes more.
    pub saves_bytes: i64,
}

/// Host memory that the configured run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostAdvice {
    /// What is free.
    pub free_bytes: u64,
    /// Processor cores.
    pub cores: usize,
    /// Clips that wait for the trainer, and decoders.
    pub loader_bytes: u64,
    /// The most that the frame cache may grow to.
    pub cache_bytes: u64,
    /// Whether all of it fits, with the step where that runs on the CPU.
    pub fits: bool,
}

/// What [`advise`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// What it is about.
    pub device: DeviceFacts,
    /// The device's memory without the reserve.
    pub usable_bytes: u64,
    /// The number format that the configured precision means there.
    pub format: NumberFormat,
    /// The configured step.
    pub estimate: Estimate,
    /// Whether the configured run fits, on the device and on the host.
    pub fits: bool,
    /// The host's side.
    pub host: HostAdvice,
    /// Changes in the order in which they cost quality.
    pub suggestions: Vec<Suggestion>,
    /// The suggested values together; empty where nothing needs to change or nothing fits.
    pub recommended: BTreeMap<String, Value>,
    /// The step with `recommended`.
    pub recommended_estimate: Estimate,
    /// Whether the run with `recommended` fits.
    pub recommended_fits: bool,
    /// What else is worth knowing, one sentence each.
    pub notes: Vec<String>,
}

/// Judges `config` and says what to change.
#[must_use]
pub fn advise(config: &Config, device: &DeviceFacts, host: HostFacts) -> Advice {
    let room = Room::new(device, host);
    let best = search(config, &room);
    let suggestions = explain(config, &best, &room);
    let recommended_fits = room.fits(&best);
    let together: &[Suggestion] = if recommended_fits { &suggestions } else { &[] };
    let recommended = together.iter().map(|change| (change.key.clone(), change.proposed.clone())).collect();
    Advice {
        device: device.clone(),
        usable_bytes: room.device_bytes,
        format: room.format(config),
        estimate: room.step(config),
        fits: room.fits(config),
        host: HostAdvice {
            free_bytes: host.free_bytes,
            cores: host.cores,
            loader_bytes: decode_window_bytes(config),
            cache_bytes: room.cache_bytes(config),
            fits: room.host_fits(config),
        },
        notes: notes(config, &best, &room),
        suggestions,
        recommended,
        recommended_estimate: room.step(&best),
        recommended_fits,
    }
}

/// The memory a run may use, and what a configuration takes of it.
struct Room {
    kind: DeviceKind,
    device_bytes: u64,
    host: HostFacts,
    host_bytes: u64,
}

impl Room {
    fn new(device: &DeviceFacts, host: HostFacts) -> Self {
        let usable = |bytes: u64| bytes - bytes / 100 * RESERVE_PERCENT;
        let host_bytes = usable(host.free_bytes);
        Self { kind: device.kind(), device_bytes: usable(device.memory_bytes), host, host_bytes }
    }

    fn format(&self, config: &Config) -> NumberFormat {
        NumberFormat::resolve(config.gpu.mixed_precision, self.kind)
    }

    fn step(&self, config: &Config) -> Estimate {
        training_step(config, config.training.batch_size, self.kind, self.format(config))
    }

    /// On the CPU the loader shares the device's memory with the step.
    fn device_need_bytes(&self, config: &Config) -> u64 {
        let loader_bytes = if self.kind == DeviceKind::Cpu { decode_window_bytes(config) } else { 0 };
        self.step(config).peak_bytes + loader_bytes
    }

    fn device_fits(&self, config: &Config) -> bool {
        self.device_need_bytes(config) <= self.device_bytes
    }

    /// The most that the frame cache may take.
    fn cache_bytes(&self, config: &Config) -> u64 {
        let enabled = match config.cache.enable_cache {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => self.host.free_bytes >= 1 << 30,
        };
        match (enabled, config.cache.memory_bytes) {
            (false, _) => 0,
            (true, AutoBytes::Auto) => self.host.free_bytes / 2,
            (true, AutoBytes::Bytes(bytes)) => bytes,
        }
    }

    /// Host memory without the frame cache.
    fn host_work_bytes(&self, config: &Config) -> u64 {
        match self.kind {
            DeviceKind::Cpu => self.device_need_bytes(config),
            DeviceKind::Cuda => decode_window_bytes(config),
        }
    }

    fn host_fits(&self, config: &Config) -> bool {
        self.host_work_bytes(config).saturating_add(self.cache_bytes(config)) <= self.host_bytes
    }

    fn fits(&self, config: &Config) -> bool {
        self.device_fits(config) && self.host_fits(config)
    }

    /// Whether much of the device's memory would lie idle.
    fn is_roomy(&self, config: &Config) -> bool {
        self.device_need_bytes(config) < self.device_bytes / 100 * ROOMY_PERCENT
    }
}

/// The best configuration that fits, or the leanest one tried where none does.
fn search(config: &Config, room: &Room) -> Config {
    let mut best = fit_shape(config, room);
    fit_host(&mut best, room);
    match_cores(&mut best, room);
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
    if room.format(config) == NumberFormat::F32 {
        rung.gpu.mixed_precision = match room.kind {
            DeviceKind::Cuda => Precision::Fp16,
            DeviceKind::Cpu if cpu_has_bf16() => Precision::Bf16,
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
fn cuts(config: &Config) -> impl Iterator<Item = Config> + '_ {
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
    let wanted = workers.clamp((cores / 2).min(4), cores);
    let mut matched = config.clone();
    matched.dataloader.num_workers = wanted;
    if room.fits(&matched) {
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

/// A key that advice may change.
struct Knob {
    key: &'static str,
    value: fn(&Config) -> Value,
    /// Copies the key's value from the second configuration.
    copy: fn(&mut Config, &Config),
    /// Why the change from the first configuration to the second is a good one.
    reason: fn(&Config, &Config) -> String,
}

/// In the order in which a change costs quality.
const KNOBS: [Knob; 10] = [
    Knob {
        key: "gpu.mixed_precision",
        value: |config| json!(config.gpu.mixed_precision),
        copy: |config, from| config.gpu.mixed_precision = from.gpu.mixed_precision,
        reason: |_, _| "half-size activations at the same accuracy; also faster".into(),
    },
    Knob {
        key: "training.batch_size",
        value: |config| json!(config.training.batch_size),
        copy: |config, from| config.training.batch_size = from.training.batch_size,
        reason: |old, new| {
            let effective = old.training.batch_size * old.training.gradient_accumulation;
            if new.training.batch_size < old.training.batch_size {
                format!("fewer clips at once; with accumulation an optimizer step still sees {effective}")
            } else {
                format!("there is room for larger batches; an optimizer step still sees {effective} clips")
            }
        },
    },
    Knob {
        key: "training.gradient_accumulation",
        value: |config| json!(config.training.gradient_accumulation),
        copy: |config, from| config.training.gradient_accumulation = from.training.gradient_accumulation,
        reason: |_, new| {
            let training = &new.training;
            let effective = training.batch_size * training.gradient_accumulation;
            format!("{} batches of {} make {effective} clips", training.gradient_accumulation, training.batch_size)
        },
    },
    Knob {
        key: "cache.memory_bytes",
        value: |config| match config.cache.memory_bytes {
            AutoBytes::Auto => json!("auto"),
            AutoBytes::Bytes(bytes) if bytes.is_multiple_of(1 << 20) => json!(format!("{}MiB", bytes >> 20)),
            AutoBytes::Bytes(bytes) => json!(bytes),
        },
        copy: |config, from| config.cache.memory_bytes = from.cache.memory_bytes,
        reason: |_, _| "the frame cache could grow into memory that training needs; costs only time".into(),
    },
    Knob {
        key: "cache.enable_cache",
        value: |config| json!(config.cache.enable_cache),
        copy: |config, from| config.cache.enable_cache = from.cache.enable_cache,
        reason: |_, _| "no host memory is left for cached frames; costs only time".into(),
    },
    Knob {
        key: "dataloader.prefetch_factor",
        value: |config| json!(config.dataloader.prefetch_factor),
        copy: |config, from| config.dataloader.prefetch_factor = from.dataloader.prefetch_factor,
        reason: |_, _| "fewer decoded batches wait in host memory".into(),
    },
    Knob {
        key: "dataloader.num_workers",
        value: |config| json!(config.dataloader.num_workers),
        copy: |config, from| config.dataloader.num_workers = from.dataloader.num_workers,
        reason: |old, new| {
            if new.dataloader.num_workers < old.dataloader.num_workers {
                "more decoding threads than the machine can feed only take memory".into()
            } else {
                "cores lie idle while the trainer waits for decoded clips".into()
            }
        },
    },
    Knob {
        key: "data.max_frames",
        value: |config| json!(config.data.max_frames),
        copy: |config, from| config.data.max_frames = from.data.max_frames,
        reason: |_, _| "shorter clips; the head sees less of a movement".into(),
    },
    Knob {
        key: "data.frame_size",
        value: |config| json!(config.data.frame_size),
        copy: |config, from| config.data.frame_size = from.data.frame_size,
        reason: |_, _| "smaller pictures; fine traces of a forgery are harder to see".into(),
    },
    Knob {
        key: "model.backbone",
        value: |config| json!(config.model.backbone),
        copy: |config, from| config.model.backbone = from.model.backbone,
        reason: |_, _| "a smaller network; the last thing to give up".into(),
    },
];

/// What differs between `config` and `best`, knob by knob.
fn explain(config: &Config, best: &Config, room: &Room) -> Vec<Suggestion> {
    let mut here = config.clone();
    let mut suggestions = Vec::new();
    for knob in KNOBS {
        let (current, proposed) = ((knob.value)(&here), (knob.value)(best));
        if current == proposed {
            continue;
        }
        let before = here.clone();
        (knob.copy)(&mut here, best);
        let saves = |need: &dyn Fn(&Config) -> u64| need(&before).cast_signed() - need(&here).cast_signed();
        let saves_bytes = match saves(&|config| room.step(config).peak_bytes) {
            0 => saves(&|config| room.host_work_bytes(config).saturating_add(room.cache_bytes(config))),
            of_the_step => of_the_step,
        };
        let reason = (knob.reason)(config, best);
        suggestions.push(Suggestion { key: knob.key.into(), current, proposed, reason, saves_bytes });
    }
    suggestions
}

fn notes(config: &Config, best: &Config, room: &Room) -> Vec<String> {
    let mut notes = Vec::new();
    let size = |bytes: u64| ByteSize(bytes).display().iec().to_string();
    if !room.fits(best) {
        let need = size(room.device_need_bytes(best));
        notes.push(format!(
            "nothing fits: the smallest settings tried need {need}, usable are {}",
            size(room.device_bytes)
        ));
        return notes;
    }
    if !room.device_fits(config) && config.gpu.memory_management.oom_retry {
        let at_once = cuts(config).find(|cut| room.device_fits(cut)).map_or(1, |cut| cut.training.batch_size);
        notes.push(format!(
            "as configured, training would run into the limit and go on with about {at_once} clips at once"
        ));
    }
    if room.format(config) == NumberFormat::F32 && best.gpu.mixed_precision == config.gpu.mixed_precision {
        if room.kind == DeviceKind::Cuda {
            notes.push("mixed precision is off; gpu.mixed_precision=fp16 would halve the activations".into());
        }
    }
    if best.training.gradient_accumulation == 1 && room.is_roomy(best) {
        let fits = |batch_size: &usize| {
            let mut larger = best.clone();
            larger.training.batch_size = *batch_size;
            room.fits(&larger)
        };
        let most = (best.training.batch_size..=LARGEST_BATCH).take_while(fits).last();
        if let Some(most) = most.filter(|most| *most > best.training.batch_size) {
            notes.push(format!(
                "there is room for about {most} clips a batch; a larger batch changes what an optimizer step sees, so \
                 raise training.learning_rate with it"
            ));
        }
    }
    notes
}
