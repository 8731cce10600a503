//! Advice as a user gets it, and its properties on any configuration.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::backbone::Backbone;
use crate::config::{AutoBytes, BatchSize, Precision, Switch, parse, resolve};
use crate::memory::advice::facts::DeviceSource;
use crate::memory::predict::{DeviceKind, checkpoint_copy_bytes};

const GIB: u64 = 1 << 30;
const HOST: HostFacts = HostFacts { free_bytes: 64 * GIB, cores: 8, decoder_bytes: 64 << 20 };

fn gpu(gib: u64) -> DeviceFacts {
    DeviceFacts { name: "test".into(), capability: None, memory_bytes: gib * GIB, source: DeviceSource::Given }
}

fn cpu(memory_bytes: u64) -> DeviceFacts {
    DeviceFacts { name: "CPU".into(), capability: None, memory_bytes, source: DeviceSource::Cpu }
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
fn frames_that_an_epoch_draws_decide_the_automatic_batch_and_the_advice() {
    let sized = |settings: &[&str]| advise(&config(settings), &gpu(8), HOST);
    let whole = sized(&["training.batch_size=auto"]);
    let drawn = sized(&["training.batch_size=auto", "data.frames_per_epoch=4"]);
    let clips = |advice: &Advice| advice.sized.training.batch_size.clips();
    assert!(clips(&drawn) >= 2 * clips(&whole), "{} and {}", clips(&drawn), clips(&whole));
    let [whole, drawn] = [&[][..], &["data.frames_per_epoch=4"]].map(|settings: &[&str]| {
        let settings = [settings, &["training.batch_size=12"]].concat();
        sized(&settings)
    });
    assert!(!whole.fits && drawn.fits && drawn.estimate.peak_bytes < whole.estimate.peak_bytes / 2);
}

/// Half precision is that which the GPU multiplies fast.
#[test]
fn half_precision_is_that_of_the_gpu() {
    let config = config(&["gpu.mixed_precision=off", "training.batch_size=12"]);
    let half = |capability| {
        let advice = advise(&config, &DeviceFacts { capability, ..gpu(16) }, HOST);
        advice.recommended.get("gpu.mixed_precision").cloned()
    };
    assert_eq!([Some([7, 5]), Some([8, 6]), None].map(half), [json!("fp16"), json!("bf16"), json!("bf16")].map(Some));
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
    assert!(advice.estimate.peak_bytes < advice.usable_bytes && !advice.fits, "half the host is promised to the cache");
    assert_eq!(keys(&advice), ["cache.memory_bytes"]);
    assert!(advice.recommended_fits);

    // Without a cache: the step alone would fit, and four decoders and the copy for a checkpoint come on top.
    let mut config = config.clone();
    config.cache.enable_cache = Switch::Off;
    let step_bytes = advice.estimate.peak_bytes;
    let fits = |free_bytes: u64| advise(&config, &cpu(free_bytes), HostFacts { free_bytes, ..HOST }).fits;
    let copy_bytes = checkpoint_copy_bytes(&config);
    assert!(copy_bytes > 512 << 20 && advice.host.checkpoint_bytes == copy_bytes);
    assert!(!fits((step_bytes + copy_bytes) * 10 / 9 + (64 << 20)) && fits((step_bytes + copy_bytes) * 10 / 9 + GIB));
    assert!(!fits(step_bytes * 10 / 9 + (640 << 20)), "without the copy");
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
    let cache = (prop::sample::select(vec![Switch::Auto, Switch::On, Switch::Off]), prop::option::of(1u64..64 * GIB));
    let clip = (1usize..80, 32usize..600, 32usize..600, prop::option::of(1usize..80));
    let batch = (1usize..65, 1usize..9, 0usize..20, 1usize..9);
    let kind = (prop::sample::select(backbones.to_vec()), prop::sample::select(precisions.to_vec()));
    (kind, clip, batch, cache).prop_map(|((backbone, precision), clip, batch, (enable_cache, cache_bytes))| {
        let mut config = Config::default();
        config.model.backbone = backbone;
        config.gpu.mixed_precision = precision;
        config.data.frame_size = [clip.1, clip.2];
        // Of one cell, batch norm needs two.
        let least = if backbone.description().has_one_cell(config.data.frame_size) { 2 } else { 1 };
        config.data.max_frames = clip.0.max(least);
        config.data.frames_per_epoch = clip.3.map(|frames| frames.clamp(least, config.data.max_frames));
        config.training.batch_size = BatchSize::Clips(batch.0);
        config.training.gradient_accumulation = batch.1;
        (config.dataloader.num_workers, config.dataloader.prefetch_factor) = (batch.2, batch.3);
        config.cache.enable_cache = enable_cache;
        config.cache.memory_bytes = cache_bytes.map_or(AutoBytes::Auto, AutoBytes::Bytes);
        config
    })
}

/// A step draws one frame of 64: it fits where validation, which takes all of them, does not.
#[test]
fn validation_of_whole_clips_must_fit_too() {
    let config = config(&["data.max_frames=64", "data.frames_per_epoch=1", "training.batch_size=16"]);
    let advice = advise(&config, &gpu(4), HOST);
    assert!(advice.estimate.peak_bytes < advice.usable_bytes && advice.validation_bytes > advice.usable_bytes);
    assert!(!advice.fits && advice.recommended_fits, "{:?}", advice.notes);
    assert_eq!(keys(&advice), ["training.batch_size", "training.gradient_accumulation"]);
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
