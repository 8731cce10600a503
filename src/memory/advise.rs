//! Which settings fit the memory that is there, said so that a person can decide: what changes, why, what it saves.
//!
//! Takes facts from the caller and measures nothing itself; the search is in `ladder`. Called by `dfdetect suggest`.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use serde::Serialize;
use serde_json::Value;

use super::estimate::{DeviceKind, Estimate};
use super::knobs::{Suggestion, explain, proposed};
use super::ladder::{Found, LARGEST_BATCH, Room, cuts, search, settle};
use crate::config::{BatchSize, Config};
use crate::torch::Format;

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
    /// What a decoding thread of the loader holds.
    pub decoder_bytes: u64,
}

/// Settings that fit, and how fast they can be expected to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// What differs from the configuration, by key.
    pub settings: BTreeMap<String, Value>,
    /// The settings as a whole.
    #[serde(skip)]
    pub config: Config,
    /// The number format that they mean.
    pub format: Format,
    /// Predicted peak of a step.
    pub peak_bytes: u64,
    /// Expected clips a second, the fastest in the list being 1.
    pub speed: f64,
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
    pub format: Format,
    /// The configured step; with `training.batch_size: auto`, that of the size it would become.
    pub estimate: Estimate,
    /// The configured evaluation pass.
    pub evaluation: Estimate,
    /// The configuration with a number in place of `training.batch_size: auto`.
    #[serde(skip)]
    pub settled: Config,
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
    /// The evaluation pass with `recommended`.
    pub recommended_evaluation: Estimate,
    /// Whether the run with `recommended` fits.
    pub recommended_fits: bool,
    /// The configuration with `recommended`.
    #[serde(skip)]
    pub best: Config,
    /// Settings that fit and learn as well as the recommended ones, the fastest first.
    pub ranked: Vec<Ranked>,
    /// What else is worth knowing, one sentence each.
    pub notes: Vec<String>,
}

/// Judges `config` and says what to change.
#[must_use]
pub fn advise(config: &Config, device: &DeviceFacts, host: HostFacts) -> Advice {
    let room = Room::new(device, host);
    let found = search(config, &room);
    let fits = room.fits(&found.best);
    compose(config, found, fits, device, &room)
}

/// As [`advise`], for the batch size that was found to hold by trial, whatever was predicted.
#[must_use]
pub fn advise_measured(config: &Config, device: &DeviceFacts, host: HostFacts, best: Config) -> Advice {
    let room = Room::new(device, host);
    let found = Found { best, ..search(config, &room) };
    compose(config, found, true, device, &room)
}

/// The configuration for each batch size that could take the place of the one in `config`, from small to large.
#[must_use]
pub fn batch_sizes(config: &Config) -> Vec<Config> {
    cuts(config).into_iter().rev().collect()
}

/// What `training.batch_size: auto` is settled to.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The configuration with a number.
    pub config: Config,
    /// Its predicted step.
    pub estimate: Estimate,
}

/// Puts a number in place of `training.batch_size: auto`, at most `most_clips`, by prediction alone.
#[must_use]
pub fn settle_batch_size(config: &Config, device: &DeviceFacts, host: HostFacts, most_clips: usize) -> Settled {
    let room = Room::new(device, host);
    let config = settle(config, &room, most_clips);
    Settled { estimate: room.step(&config), config }
}

/// What of the device's memory one step of `config` may take: without the reserve and, on the CPU,
/// loader and cache.
#[must_use]
pub fn step_budget_bytes(config: &Config, device: &DeviceFacts, host: HostFacts) -> u64 {
    Room::new(device, host).step_budget_bytes(config)
}

fn compose(config: &Config, found: Found, recommended_fits: bool, device: &DeviceFacts, room: &Room) -> Advice {
    let Found { best, ranked } = found;
    let settled = settle(config, room, usize::MAX);
    let suggestions = explain(config, &settled, &best, room);
    Advice {
        device: device.clone(),
        usable_bytes: room.device_bytes,
        format: room.format(config),
        estimate: room.step(&settled),
        evaluation: room.evaluation(&settled),
        fits: room.fits(&settled),
        host: HostAdvice {
            free_bytes: room.host.free_bytes,
            cores: room.host.cores,
            loader_bytes: room.loader_bytes(&settled),
            cache_bytes: room.cache_bytes(&settled),
            fits: room.host_fits(&settled),
        },
        notes: notes(&settled, &best, room),
        recommended: if recommended_fits { proposed(&suggestions) } else { BTreeMap::new() },
        suggestions,
        recommended_estimate: room.step(&best),
        recommended_evaluation: room.evaluation(&best),
        recommended_fits,
        ranked: rank(config, ranked, room),
        settled,
        best,
    }
}

fn rank(config: &Config, fitting: Vec<Config>, room: &Room) -> Vec<Ranked> {
    let fastest = fitting.first().map_or(1.0, |config| room.speed(config));
    let settled = settle(config, room, usize::MAX);
    let ranked = fitting.into_iter().map(|fitting| Ranked {
        settings: proposed(&explain(config, &settled, &fitting, room)),
        format: room.format(&fitting),
        peak_bytes: room.step(&fitting).peak_bytes,
        speed: room.speed(&fitting) / fastest,
        config: fitting,
    });
    ranked.collect()
}

/// What the suggestions cannot say.
fn notes(config: &Config, best: &Config, room: &Room) -> Vec<String> {
    let size = |bytes: u64| ByteSize(bytes).display().iec().to_string();
    if !room.fits(best) {
        let need = size(room.device_need_bytes(best).max(room.host_work_bytes(best)));
        return vec![format!("nothing fits: the smallest settings that were tried need {need}")];
    }
    let mut notes = Vec::new();
    if !room.device_fits(config) && config.gpu.memory_management.oom_retry {
        let at_once =
            cuts(config).iter().find(|cut| room.device_fits(cut)).map_or(1, |cut| cut.training.batch_size.clips());
        notes.push(format!("as it is, training would run out of memory and go on with about {at_once} at once"));
    }
    let stays_f32 = room.format(best) == Format::F32;
    if stays_f32 && room.kind == DeviceKind::Cuda {
        notes.push("mixed precision is off; gpu.mixed_precision=fp16 would halve the activations".into());
    }
    if let Some(most) = largest_batch(best, room) {
        notes.push(format!(
            "there is room for about {most} clips a batch; an optimizer step then sees more clips, so raise \
             training.learning_rate with it"
        ));
    }
    notes
}

/// The largest batch that fits, where much room is left and only a larger effective batch could use it.
fn largest_batch(best: &Config, room: &Room) -> Option<usize> {
    if best.training.gradient_accumulation > 1 || !room.is_roomy(best) {
        return None;
    }
    let mut larger = best.clone();
    let fits = |batch_size: &usize| {
        larger.training.batch_size = BatchSize::Clips(*batch_size);
        room.fits(&larger)
    };
    (best.training.batch_size.clips() + 1..=LARGEST_BATCH).take_while(fits).last()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::{AutoBytes, Backbone, Precision, Switch, parse, resolve};
    use crate::memory::DeviceKind;

    const GIB: u64 = 1 << 30;
    const HOST: HostFacts = HostFacts { free_bytes: 64 * GIB, cores: 8, decoder_bytes: 64 << 20 };

    fn gpu(gib: u64) -> DeviceFacts {
        DeviceFacts { name: "test".into(), memory_bytes: gib * GIB, source: DeviceSource::Given }
    }

    fn cpu(memory_bytes: u64) -> DeviceFacts {
        DeviceFacts { name: "CPU".into(), memory_bytes, source: DeviceSource::Cpu }
    }

    fn config(sets: &[&str]) -> Config {
        let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
        parse("test.yaml", "", &sets).unwrap().config
    }

    /// The recommendation as a user would apply it.
    fn applied(config: &Config, advice: &Advice) -> Config {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let sets: Vec<_> = advice.recommended.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
        resolve(config, &sets).unwrap()
    }

    fn keys(advice: &Advice) -> Vec<&str> {
        advice.suggestions.iter().map(|change| change.key.as_str()).collect()
    }

    #[test]
    fn a_batch_that_is_too_large_is_cut_evenly_and_nothing_else_changes() {
        let config = config(&[]);
        let advice = advise(&config, &gpu(12), HOST);
        assert!(!advice.fits && advice.recommended_fits);
        assert_eq!(keys(&advice), ["training.batch_size", "training.gradient_accumulation"]);
        assert_eq!((&advice.recommended["training.batch_size"], advice.recommended.len()), (&json!(6), 2));
        assert_eq!(advice.recommended["training.gradient_accumulation"], 2);
        let saved = advice.estimate.peak_bytes - advice.recommended_estimate.peak_bytes;
        assert_eq!(advice.suggestions.iter().map(|change| change.saves_bytes).sum::<i64>(), saved.cast_signed());
    }

    #[test]
    fn precision_comes_first_and_the_backbone_last() {
        let config = config(&["gpu.mixed_precision=off", "training.batch_size=8", "data.frame_size=[512,512]"]);
        let advice = advise(&config, &gpu(1), HOST);
        assert!(!advice.recommended_fits, "{:?}", advice.recommended);
        let advice = advise(&config, &DeviceFacts { memory_bytes: 1700 << 20, ..gpu(0) }, HOST);
        assert!(advice.recommended_fits, "{:?}", advice.notes);
        assert_eq!(keys(&advice)[..2], ["gpu.mixed_precision", "training.batch_size"]);
        let position = |key: &str| keys(&advice).iter().position(|found| *found == key);
        assert!(position("data.max_frames") < position("data.frame_size"), "{:?}", keys(&advice));
        let tight = advise(&config, &DeviceFacts { memory_bytes: 1550 << 20, ..gpu(0) }, HOST);
        assert!(tight.recommended_fits, "{:?}", tight.notes);
        assert_eq!(keys(&tight).last(), Some(&"model.backbone"));
    }

    #[test]
    fn settings_that_fit_are_left_alone() {
        let config = config(&["training.batch_size=6"]);
        let advice = advise(&config, &gpu(12), HOST);
        assert!(advice.fits && advice.recommended_fits, "{:?}", advice.estimate);
        assert_eq!((advice.suggestions.len(), advice.recommended.len(), advice.notes.len()), (0, 0, 0));
    }

    #[test]
    fn room_turns_accumulation_into_larger_batches() {
        let small = config(&["training.batch_size=2", "training.gradient_accumulation=6"]);
        let advice = advise(&small, &gpu(80), HOST);
        assert_eq!((&advice.recommended["training.batch_size"], advice.recommended.len()), (&json!(12), 2));
        assert_eq!(advice.recommended["training.gradient_accumulation"], 1);
        assert!(advice.suggestions[0].saves_bytes < 0);
        let whole = config(&["training.batch_size=2"]);
        let advice = advise(&whole, &gpu(80), HOST);
        assert!(advice.recommended.is_empty(), "the effective batch is the user's choice");
        assert!(advice.notes[0].contains("learning_rate"), "{:?}", advice.notes);
    }

    #[test]
    fn a_short_host_gives_up_cache_before_anything_that_learns() {
        let promised = ["cache.memory_bytes=20GiB", "dataloader.host_memory_budget=40GiB"];
        let config = config(&[&["training.batch_size=2", "cache.enable_cache=true"][..], &promised].concat());
        let advice = advise(&config, &gpu(24), HostFacts { free_bytes: 4 * GIB, ..HOST });
        assert!(!advice.fits && !advice.host.fits && advice.recommended_fits);
        assert_eq!(keys(&advice), ["cache.memory_bytes"]);
        assert!(advice.suggestions[0].saves_bytes > 16 * GIB.cast_signed());
        let advice = advise(&config, &gpu(24), HostFacts { free_bytes: 300 << 20, ..HOST });
        assert!(advice.recommended_fits, "{:?}", advice.notes);
        assert!(keys(&advice).contains(&"cache.enable_cache") && keys(&advice).contains(&"dataloader.num_workers"));
        assert!(!keys(&advice).contains(&"training.batch_size"), "{:?}", keys(&advice));
    }

    #[test]
    fn workers_follow_the_cores_both_ways() {
        let workers = |workers: &str, cores| {
            let config = config(&["training.batch_size=2", &format!("dataloader.num_workers={workers}")]);
            let advice = advise(&config, &gpu(24), HostFacts { cores, ..HOST });
            advice.recommended.get("dataloader.num_workers").cloned()
        };
        assert_eq!(workers("16", 4), Some(json!(4)));
        assert_eq!(workers("0", 16), Some(json!(4)));
        assert_eq!(workers("3", 4), None);
    }

    #[test]
    fn on_the_cpu_step_loader_and_cache_share_the_host() {
        let config = config(&["training.batch_size=4", "gpu.mixed_precision=off"]);
        let host = HostFacts { free_bytes: 20 * GIB, ..HOST };
        let advice = advise(&config, &cpu(host.free_bytes), host);
        assert!(
            advice.estimate.peak_bytes < advice.usable_bytes && !advice.fits,
            "half the host is promised to the cache"
        );
        assert_eq!(keys(&advice), ["cache.memory_bytes"]);
        assert!(advice.recommended_fits);

        // Without a cache: the step alone would fit, and four decoders come on top.
        let mut config = config.clone();
        config.cache.enable_cache = Switch::Off;
        let step_bytes = advice.estimate.peak_bytes;
        let fits = |free_bytes: u64| advise(&config, &cpu(free_bytes), HostFacts { free_bytes, ..HOST }).fits;
        assert!(!fits(step_bytes * 10 / 9 + (64 << 20)) && fits(step_bytes * 10 / 9 + GIB));
    }

    #[test]
    fn nothing_fits_says_so_and_recommends_nothing() {
        let advice = advise(&config(&[]), &DeviceFacts { memory_bytes: 256 << 20, ..gpu(0) }, HOST);
        assert!(!advice.fits && !advice.recommended_fits && advice.recommended.is_empty());
        assert!(advice.notes[0].contains("nothing fits"), "{:?}", advice.notes);
    }

    fn any_config() -> impl Strategy<Value = Config> {
        let backbones = [Backbone::Resnet18, Backbone::Resnet34, Backbone::Resnet50, Backbone::Resnet101];
        let precisions = [Precision::Auto, Precision::Fp16, Precision::Bf16, Precision::Off];
        let cache =
            (prop::sample::select(vec![Switch::Auto, Switch::On, Switch::Off]), prop::option::of(1u64..64 * GIB));
        let clip = (1usize..80, 32usize..600, 32usize..600);
        let batch = (1usize..65, 1usize..9, 0usize..20, 1usize..9);
        let kind = (prop::sample::select(backbones.to_vec()), prop::sample::select(precisions.to_vec()));
        (kind, clip, batch, cache).prop_map(|((backbone, precision), clip, batch, (enable_cache, cache_bytes))| {
            let mut config = Config::default();
            config.model.backbone = backbone;
            config.gpu.mixed_precision = precision;
            (config.data.max_frames, config.data.frame_size) = (clip.0, [clip.1, clip.2]);
            config.training.batch_size = BatchSize::Clips(batch.0);
            config.training.gradient_accumulation = batch.1;
            (config.dataloader.num_workers, config.dataloader.prefetch_factor) = (batch.2, batch.3);
            config.cache.enable_cache = enable_cache;
            config.cache.memory_bytes = cache_bytes.map_or(AutoBytes::Auto, AutoBytes::Bytes);
            config
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn what_is_recommended_parses_fits_and_keeps_the_effective_batch(
            config in any_config(), device_mib in 200u64..100_000, host_mib in 200u64..100_000, cores in 1usize..65,
            on_cpu in any::<bool>(),
        ) {
            let host = HostFacts { free_bytes: host_mib << 20, cores, ..HOST };
            let device = if on_cpu { cpu(host.free_bytes) } else { DeviceFacts { memory_bytes: device_mib << 20, ..gpu(0) } };
            let advice = advise(&config, &device, host);
            prop_assert!(advice.recommended_fits || (advice.recommended.is_empty() && advice.notes[0].contains("nothing fits")));
            prop_assert!(advice.recommended_fits || !advice.fits, "what fits as it is can be recommended");

            let changed = applied(&config, &advice);
            let effective = |config: &Config| config.training.effective_batch();
            prop_assert_eq!(effective(&changed), effective(&config));
            if advice.recommended_fits {
                // Asked again about the outcome, from what a file would hold, the answer must be yes.
                let again = advise(&changed, &device, host);
                prop_assert!(again.fits, "{:?}", advice.recommended);
                prop_assert!(again.estimate.peak_bytes <= again.usable_bytes);
                prop_assert_eq!(again.estimate, advice.recommended_estimate);
            }
            if device.kind() == DeviceKind::Cuda && advice.fits {
                let quality = ["data.max_frames", "data.frame_size", "model.backbone", "gpu.mixed_precision"];
                prop_assert!(advice.suggestions.iter().all(|change| !quality.contains(&change.key.as_str())));
            }
        }
    }
}
