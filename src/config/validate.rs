//! Validation: limits of single values, and the few rules about two of them. Reads no files and knows nothing of this
//! machine; whether a folder or device exists is found out when it is used.

use super::data::{SamplerChoice, Sampling};
use super::scalars::{AutoBytes, BatchSize};
use super::schema::{Config, Temporal};
use super::training::ClassWeights;

/// A rule that a configuration breaks.
pub(super) struct Invalid {
    pub key: String,
    pub problem: String,
    pub hint: String,
}

fn require(holds: bool, key: &str, problem: String, hint: &str) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid { key: key.to_owned(), problem, hint: hint.to_owned() }) }
}

fn within<T: PartialOrd + std::fmt::Display>(key: &str, value: T, low: T, high: T) -> Result<(), Invalid> {
    let problem = format!("found {value}, allowed is {low} to {high}");
    require(value >= low && value <= high, key, problem, "see the comments in configs/default.yaml")
}

/// Checks all rules; returns the first that is broken.
pub(super) fn check(config: &Config) -> Result<(), Invalid> {
    check_experiment(config)?;
    check_data(config)?;
    check_model(config)?;
    check_training(config)?;
    check_loss(config)?;
    check_augmentation(config)?;
    check_memory(config)?;
    within("output.save_every_secs", config.output.save_every_secs, 0.0, 1e6)?;
    within("output.keep_last", config.output.keep_last, 1, 100_000)?;
    within("output.keep_best", config.output.keep_best, 1, 100_000)?;
    within("dataloader.num_workers", config.dataloader.num_workers, 0, 256)?;
    within("dataloader.prefetch_factor", config.dataloader.prefetch_factor, 1, 64)?;
    within("logging.log_interval", config.logging.log_interval, 1, 1_000_000)?;
    for (key, bytes) in [
        ("cache.memory_bytes", config.cache.memory_bytes),
        ("cache.disk_bytes", config.cache.disk_bytes),
        ("dataloader.host_memory_budget", config.dataloader.host_memory_budget),
    ] {
        if let AutoBytes::Bytes(bytes) = bytes {
            within(key, bytes, 0, 1 << 50)?;
        }
    }
    Ok(())
}

fn check_experiment(config: &Config) -> Result<(), Invalid> {
    let name = &config.experiment.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    require(
        (1..=100).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.'),
        "experiment.name",
        format!("found `{name}`, allowed are 1 to 100 letters, digits, `-`, `_` and `.`, not starting with `.`"),
        "the name becomes part of the run folder's name",
    )
}

fn check_data(config: &Config) -> Result<(), Invalid> {
    let data = &config.data;
    let has_one_cell = config.model.backbone.description().has_one_cell(data.frame_size);
    within("data.max_frames", data.max_frames, 1, 1024)?;
    within("data.clips_per_video", data.clips_per_video, 1, 1024)?;
    require(
        data.clips_per_video == 1 || data.sampling != Sampling::RandomSegment,
        "data.clips_per_video",
        format!(
            "found {} with data.sampling: random_segment, which draws clips of the whole video",
            data.clips_per_video
        ),
        "take data.sampling: uniform, or data.clips_per_video: 1",
    )?;
    require(
        data.clips_per_video * data.max_frames <= 1024,
        "data.clips_per_video",
        format!(
            "found {} with clips of {} frames, allowed are 1024 frames a video",
            data.clips_per_video, data.max_frames
        ),
        "take fewer clips, or shorter ones",
    )?;
    within("data.skip_frames", data.skip_frames, 1, 1000)?;
    within("data.min_frames", data.min_frames, 1, 100_000)?;
    for side in data.frame_size {
        within("data.frame_size", side, 32, 4096)?;
    }
    if let Some(frames) = data.frames_per_epoch {
        within("data.frames_per_epoch", frames, 1, data.max_frames)?;
    }
    require(
        data.training_frames() > 1 || !has_one_cell,
        if data.frames_per_epoch.is_some() { "data.frames_per_epoch" } else { "data.max_frames" },
        format!(
            "found 1 with frames of {} x {}, which leaves batch norm a single value in a micro-batch of one clip",
            data.frame_size[0], data.frame_size[1]
        ),
        "take 2 frames, or larger ones",
    )?;
    require(!data.root.0.is_empty(), "data.root", "found an empty list".into(), "name the folder of the data set")?;
    within("data.quality_threshold", data.quality_threshold, 0.0, 1e6)?;
    within("data.duplicate_threshold", data.duplicate_threshold, 0.0, 255.0)?;
    within("data.deadline_secs", data.deadline_secs, 0.1, 86_400.0)?;
    if let Some(videos) = data.max_videos_per_class {
        within("data.max_videos_per_class", videos, 1, usize::MAX)?;
    }
    within("data.faces.margin", data.faces.margin, 0.5, 5.0)?;
    within("data.faces.detect_every", data.faces.detect_every, 1, 1024)?;
    within("data.faces.min_size", data.faces.min_size, 0, 10_000)?;
    within("data.val_split", data.val_split, 0.0, 0.9)?;
    within("data.test_split", data.test_split, 0.0, 0.9)?;
    let sum = data.val_split + data.test_split;
    require(
        sum < 1.0,
        "data.val_split",
        format!("val_split and test_split together are {sum}, which leaves nothing to train on"),
        "0.15 each is usual",
    )?;
    require(
        data.val_split > 0.0,
        "data.val_split",
        "found 0, but the best epoch is chosen by validation".into(),
        "0.15 is usual",
    )
}

fn check_augmentation(config: &Config) -> Result<(), Invalid> {
    let augmentation = &config.augmentation;
    for (key, value) in [("augmentation.mixup", augmentation.mixup), ("augmentation.cutmix", augmentation.cutmix)] {
        let mixes = value > 0.0 && augmentation.enabled;
        require(
            !mixes || !config.loss.sees_pairs(),
            key,
            format!("found {value} with loss.uniformity or loss.alignment, for which a clip is real or fake"),
            "set augmentation.mixup and augmentation.cutmix to 0, or loss.uniformity and loss.alignment",
        )?;
        require(
            !mixes || config.training.batch_size != BatchSize::Clips(1),
            key,
            format!("found {value} with training.batch_size 1, where there is no other clip to mix with"),
            "mixing needs batches of at least 2 clips",
        )?;
    }
    for (key, value, high) in [
        ("horizontal_flip", augmentation.horizontal_flip, 1.0),
        ("vertical_flip", augmentation.vertical_flip, 1.0),
        ("rotation", augmentation.rotation, 180.0),
        ("shear", augmentation.shear, 45.0),
        ("brightness", augmentation.brightness, 1.0),
        ("contrast", augmentation.contrast, 1.0),
        ("saturation", augmentation.saturation, 1.0),
        ("hue", augmentation.hue, 0.5),
        ("gaussian_blur", augmentation.gaussian_blur, 1.0),
        ("motion_blur", augmentation.motion_blur, 1.0),
        ("jpeg", augmentation.jpeg, 1.0),
        ("noise", augmentation.noise, 1.0),
        ("random_erasing", augmentation.random_erasing, 1.0),
        ("mixup", augmentation.mixup, 10.0),
        ("cutmix", augmentation.cutmix, 10.0),
    ] {
        within(&format!("augmentation.{key}"), value, 0.0, high)?;
    }
    within("augmentation.random_resized_crop", augmentation.random_resized_crop, 0.05, 1.0)
}

fn check_memory(config: &Config) -> Result<(), Invalid> {
    if let Some(fraction) = config.gpu.memory_fraction {
        // A thousandth, so that a large GPU can stand in for a small one.
        within("gpu.memory_fraction", fraction, 0.001, 1.0)?;
    }
    let memory = &config.gpu.memory_management;
    within("gpu.memory_management.gpu_threshold", memory.gpu_threshold, 0.001, 1.0)?;
    within("gpu.memory_management.cpu_threshold", memory.cpu_threshold, 0.001, 1.0)?;
    within("gpu.memory_management.auto_cleanup_interval", memory.auto_cleanup_interval, 0.1, 86_400.0)
}

fn check_model(config: &Config) -> Result<(), Invalid> {
    let model = &config.model;
    within("model.hidden_dim", model.hidden_dim, 1, 8192)?;
    within("model.num_layers", model.num_layers, 1, 8)?;
    within("model.dropout", model.dropout, 0.0, 0.95)?;
    within("model.classifier_dropout", model.classifier_dropout.unwrap_or(0.0), 0.0, 0.95)?;
    let widths = model.classifier_widths();
    require(
        widths.last() == Some(&1) && widths.len() <= 8,
        "model.classifier_layers",
        format!("found {widths:?}, allowed are up to 8 widths, the last of them 1"),
        "[512, 256, 1] is two hidden layers and the logit",
    )?;
    for width in widths {
        within("model.classifier_layers", width, 1, 8192)?;
    }
    if let Err(problem) = model.freeze.check(model.backbone) {
        let hint = "allowed are none, backbone, batch_norm, all_but_norms, a number of first parts, or a list of names";
        require(false, "model.freeze", problem, hint)?;
    }
    for mean in model.pixel_mean.into_iter().flatten() {
        within("model.pixel_mean", mean, -1.0, 1.0)?;
    }
    for std in model.pixel_std.into_iter().flatten() {
        within("model.pixel_std", std, 0.001, 10.0)?;
    }
    within("model.attention_heads", model.attention_heads, 1, 128)?;
    let width = 2 * model.hidden_dim;
    let needs_heads = model.temporal == Temporal::LstmAttention && model.use_attention;
    require(
        !needs_heads || width.is_multiple_of(model.attention_heads),
        "model.attention_heads",
        format!("{} heads do not divide the width 2 x hidden_dim = {width}", model.attention_heads),
        "with hidden_dim 256, 384 or 512, the values 1, 2, 4 and 8 work",
    )
}

fn check_training(config: &Config) -> Result<(), Invalid> {
    let training = &config.training;
    within("training.epochs", training.epochs, 1, 100_000)?;
    if let BatchSize::Clips(clips) = training.batch_size {
        within("training.batch_size", clips, 1, 4096)?;
        require(
            config.data.sampler != SamplerChoice::Paired || clips.is_multiple_of(2),
            "training.batch_size",
            format!("found {clips}, but data.sampler: paired fills batches with pairs"),
            "take an even number",
        )?;
    }
    within("training.gradient_accumulation", training.gradient_accumulation, 1, 4096)?;
    within("training.learning_rate", training.learning_rate, 0.0, 10.0)?;
    within("training.backbone_lr_scale", training.backbone_lr_scale, 0.0, 10.0)?;
    within("training.layer_decay", training.layer_decay, 0.01, 1.0)?;
    within("training.weight_decay", training.weight_decay, 0.0, 1.0)?;
    within("training.warmup_epochs", training.warmup_epochs, 0.0, 100_000.0)?;
    within("training.restart_period", training.restart_period, 0.01, 100_000.0)?;
    within("training.decay_epochs", training.decay_epochs, 0.0, 100_000.0)?;
    within("training.sam_rho", training.sam_rho, 0.0, 10.0)?;
    within("training.min_lr", training.min_lr, 0.0, training.learning_rate)?;
    within("training.gradient_clip_norm", training.gradient_clip_norm, 0.0, 1e6)?;
    within("training.average_best", training.average_best, 0, 100)?;
    within("training.ema_decay", training.ema_decay.unwrap_or(0.0), 0.0, 0.999_999)?;
    within("training.early_stopping.min_delta", training.early_stopping.min_delta, 0.0, 1.0)?;
    match training.limit_batches {
        Some(batches) => within("training.limit_batches", batches, 1, usize::MAX),
        None => Ok(()),
    }
}

fn check_loss(config: &Config) -> Result<(), Invalid> {
    let loss = &config.loss;
    within("loss.alpha", loss.alpha.unwrap_or(0.5), 0.0, 1.0)?;
    within("loss.gamma", loss.gamma, 0.0, 10.0)?;
    within("loss.label_smoothing", loss.label_smoothing, 0.0, 0.9)?;
    within("loss.uniformity", loss.uniformity, 0.0, 100.0)?;
    within("loss.alignment", loss.alignment, 0.0, 100.0)?;
    match loss.class_weights {
        ClassWeights::RealFake(weights) => {
            weights.iter().try_for_each(|weight| within("loss.class_weights", *weight, 1e-6, 1e6))
        }
        ClassWeights::None | ClassWeights::Balanced => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    #[test]
    fn values_outside_their_limits_name_key_value_and_range() {
        for (set, key, part) in [
            ("model.attention_heads=3", "model.attention_heads", "3 heads do not divide"),
            ("data.val_split=1.5", "data.val_split", "found 1.5, allowed is 0 to 0.9"),
            ("data.test_split=0.9", "data.val_split", "leaves nothing to train on"),
            ("data.frame_size=[-1, 224]", "data.frame_size", "-1"),
            ("data.frame_size=[8, 224]", "data.frame_size", "found 8"),
            ("data.max_frames=0", "data.max_frames", "found 0"),
            ("data={max_frames: 64, clips_per_video: 17}", "data.clips_per_video", "17 with clips of 64 frames"),
            ("data={max_frames: 1, frame_size: [32, 32]}", "data.max_frames", "batch norm"),
            ("training.learning_rate=.nan", "training.learning_rate", "NaN"),
            ("gpu.memory_management.cpu_threshold=80", "gpu.memory_management.cpu_threshold", "found 80"),
            ("gpu.memory_fraction=0", "gpu.memory_fraction", "found 0, allowed is 0.001 to 1"),
            ("training.epochs=0", "training.epochs", "found 0"),
            ("data.frames_per_epoch=33", "data.frames_per_epoch", "found 33, allowed is 1 to 32"),
            ("data={frames_per_epoch: 1, frame_size: [32, 32]}", "data.frames_per_epoch", "batch norm"),
            ("training.ema_decay=1", "training.ema_decay", "found 1"),
            ("training.early_stopping.monitor=vibes", "training.early_stopping.monitor", "vibes"),
            ("loss.class_weights=[0, 1]", "loss.class_weights", "found 0"),
            ("loss.class_weights=some", "loss.class_weights", "found `some`"),
            ("experiment.name=a/b", "experiment.name", "found `a/b`"),
            ("model.backbone=resnet19", "model.backbone", "resnet19"),
            ("augmentation.mixup=11", "augmentation.mixup", "found 11"),
        ] {
            let error = parse("f.yaml", "", &[set.to_owned()]).expect_err(set);
            assert!(error.key.starts_with(key), "{set}: {error}");
            assert!(error.problem.contains(part), "{set}: {error}");
        }
    }

    #[test]
    fn clips_are_not_mixed_alone_nor_where_each_has_to_be_real_or_fake() {
        for key in ["mixup", "cutmix"] {
            let set = |other: &str| parse("f.yaml", "", &[format!("augmentation.{key}=0.2"), other.to_owned()]);
            assert!(set("training.batch_size=2").is_ok());
            for other in ["training.batch_size=1", "loss.uniformity=0.5", "loss.alignment=0.1"] {
                assert_eq!(set(other).expect_err(other).key, format!("augmentation.{key}"));
            }
        }
    }

    /// Its padding makes a single cell of 63 x 63 pixels.
    #[test]
    fn a_lite_needs_larger_frames_for_single_ones() {
        let sets = |side: usize| {
            let data = format!("data={{frames_per_epoch: 1, frame_size: [{side}, {side}]}}");
            [data, "model.backbone=efficientnet_lite0".to_owned()]
        };
        assert!(parse("f.yaml", "", &sets(63)).unwrap_err().problem.contains("63 x 63"));
        assert!(parse("f.yaml", "", &sets(64)).is_ok());
    }

    #[test]
    fn pairs_need_an_even_batch() {
        let sets = |size: &str| ["data.sampler=paired".to_owned(), format!("training.batch_size={size}")];
        assert_eq!(parse("f.yaml", "", &sets("5")).unwrap_err().key, "training.batch_size");
        assert!(parse("f.yaml", "", &sets("6")).is_ok());
    }

    #[test]
    fn heads_are_free_where_nothing_uses_them() {
        let sets = ["model.attention_heads=3".to_owned(), "model.use_attention=false".to_owned()];
        assert!(parse("f.yaml", "", &sets).is_ok());
    }
}
