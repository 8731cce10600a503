//! The keys of the older system: the new name of each, or why it is left aside. Values are not looked at.

/// What a key of the older system is now.
pub(super) enum Now {
    /// The key that means the same.
    Key(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

use Now::{Key, Nothing};

/// Old names that are taken in any file, and the keys that mean the same now.
pub(super) const RENAMED: [(&str, &str); 7] = [
    ("gpu.use_mixed_precision", "gpu.mixed_precision"),
    ("training.mixed_precision", "gpu.mixed_precision"),
    ("training.gradient_accumulation_steps", "training.gradient_accumulation"),
    ("optimization.gradient_accumulation", "training.gradient_accumulation"),
    ("training.gradient_clipping", "training.gradient_clip_norm"),
    ("data.target_size", "data.frame_size"),
    ("cache.enable_frame_cache", "cache.enable_cache"),
];

/// Sections that only the older system has.
pub(super) const OWN_SECTIONS: [&str; 12] = [
    "debug",
    "device",
    "distributed",
    "evaluation",
    "export",
    "hardware",
    "memory",
    "optimization",
    "performance",
    "resume",
    "troubleshooting",
    "validation",
];

/// Keys that only the older system has, besides its sections.
pub(super) const MARKS: [&str; 5] = ["BASE_PATH", "DATA_PATH", "OUTPUT_PATH", "data.data_dir", "output.save_dir"];
/// Sections within others that only the older system has.
pub(super) const OWN_INNER_SECTIONS: [&str; 2] = ["augmentation.train", "augmentation.val"];

const ALBUMENTATIONS: &str = "augmentations are this program's own, on CPU threads";
const IN_RUN_FOLDER: &str = "logs and checkpoints are in the run's folder";
const CHECKPOINTS: &str =
    "the last and the best epoch are always saved, with all that a run goes on from (output.keep_last, keep_best)";
const PAGE: &str = "every run leaves its metrics, curves and confusion matrix in its folder";
const ALWAYS_NORMALIZED: &str = "frames are normalized as the backbone expects";
const RESUMED: &str = "`dfdetect train --resume RUN` goes on with a run";
const ONE_GPU: &str = "training on several GPUs is not there yet";

/// What is not in [`RENAMED`] and needs no look at its value. Of several keys of one meaning, the first counts.
pub(super) const KEYS: &[(&str, Now)] = &[
    ("augmentation.train.advanced_transforms", Nothing(ALBUMENTATIONS)),
    ("augmentation.train.albumentations_prob", Nothing(ALBUMENTATIONS)),
    ("augmentation.train.use_albumentations", Nothing(ALBUMENTATIONS)),
    ("augmentation.train.normalize", Nothing(ALWAYS_NORMALIZED)),
    ("augmentation.train.brightness", Key("augmentation.brightness")),
    ("augmentation.train.contrast", Key("augmentation.contrast")),
    ("augmentation.train.cutmix", Key("augmentation.cutmix")),
    ("augmentation.train.cutout", Key("augmentation.random_erasing")),
    ("augmentation.train.gaussian_blur", Key("augmentation.gaussian_blur")),
    ("augmentation.train.horizontal_flip", Key("augmentation.horizontal_flip")),
    ("augmentation.train.hue", Key("augmentation.hue")),
    ("augmentation.train.mixup", Key("augmentation.mixup")),
    ("augmentation.train.motion_blur", Key("augmentation.motion_blur")),
    ("augmentation.train.noise", Key("augmentation.noise")),
    ("augmentation.train.rotation", Key("augmentation.rotation")),
    ("augmentation.train.saturation", Key("augmentation.saturation")),
    ("augmentation.train.vertical_flip", Key("augmentation.vertical_flip")),
    ("augmentation.val.normalize", Nothing(ALWAYS_NORMALIZED)),
    ("augmentation.val.tta", Key("model.mirror_at_test")),
    (
        "cache.cache_cleanup_threshold",
        Nothing("the cache leaves when memory does (gpu.memory_management.cpu_threshold)"),
    ),
    ("cache.enable_gpu_preprocess", Key("gpu.gpu_preprocessing")),
    ("cache.max_cache_size", Nothing("the cache is sized in bytes (cache.memory_bytes, disk_bytes)")),
    ("data.VIDEO_EXTENSIONS", Nothing("all kinds of videos that FFmpeg reads are found")),
    ("data.train_split", Nothing("training gets what val_split and test_split leave")),
    ("data.use_gpu_preprocessing", Key("gpu.gpu_preprocessing")),
    ("dataloader.multiprocessing_context", Nothing("decoding is done by threads")),
    ("dataloader.persistent_workers", Nothing("decoding threads always live as long as the run")),
    ("debug.detect_anomaly", Key("training.detect_anomaly")),
    ("debug.enabled", Nothing("-v says more")),
    ("debug.max_batches_per_epoch", Key("training.limit_batches")),
    ("debug.profile_memory", Nothing("memory is always watched")),
    ("debug.save_intermediate", Nothing("`dfdetect predict --explain` shows what the network looks at")),
    ("device.allow_tf32", Key("gpu.allow_tf32")),
    ("device.benchmark", Key("gpu.cudnn_benchmark")),
    ("device.deterministic", Key("gpu.deterministic")),
    ("distributed.backend", Nothing(ONE_GPU)),
    ("distributed.enabled", Nothing(ONE_GPU)),
    ("distributed.find_unused_parameters", Nothing(ONE_GPU)),
    ("evaluation.compute_class_metrics", Nothing(PAGE)),
    ("evaluation.metrics", Nothing(PAGE)),
    ("evaluation.save_confusion_matrix", Nothing(PAGE)),
    ("evaluation.save_pr_curve", Nothing(PAGE)),
    ("evaluation.save_roc_curve", Nothing(PAGE)),
    ("evaluation.threshold", Nothing("reports have 0.5 and four other thresholds")),
    ("export.onnx", Nothing("`dfdetect export --format onnx` does it")),
    ("export.optimize_for_inference", Nothing("`dfdetect export` does it")),
    ("export.torchscript", Nothing("`dfdetect export --format torchscript` does it")),
    ("gpu.allow_growth", Nothing("memory is always taken as it is needed")),
    ("gpu.memory_management.verbose_output", Nothing("-v says more")),
    ("logging.log_frequency", Key("logging.log_interval")),
    ("logging.plot_frequency", Nothing("the run's page is drawn anew after each epoch")),
    ("logging.save_interval", Nothing(CHECKPOINTS)),
    ("logging.save_predictions", Nothing("predictions on test videos are always saved")),
    ("logging.tensorboard", Key("output.tensorboard")),
    ("logging.wandb", Nothing("it is not there; metrics.jsonl and TensorBoard are")),
    ("memory.cache_size", Nothing("the cache is sized in bytes (cache.memory_bytes, disk_bytes)")),
    ("memory.clear_cache_frequency", Key("gpu.memory_management.force_cleanup_every")),
    ("memory.max_memory_usage", Key("gpu.memory_fraction")),
    ("memory.use_memory_efficient_attention", Nothing("libtorch chooses the kernel of attention")),
    ("model.attention_dim", Nothing("attention is as wide as what the LSTM puts out")),
    ("model.use_batch_norm", Nothing("the classifier has no batch norm")),
    (
        "optimization.checkpoint_segments",
        Nothing("model.activation_checkpointing keeps what enters each part of the backbone"),
    ),
    ("optimization.memory_efficient", Nothing("the guard cuts a batch when memory is short")),
    ("optimization.quick_mode", Nothing("training.limit_batches and data.max_videos_per_class make a run short")),
    ("output.checkpoint_dir", Nothing(IN_RUN_FOLDER)),
    ("output.log_dir", Nothing(IN_RUN_FOLDER)),
    ("output.save_best_only", Nothing(CHECKPOINTS)),
    ("output.save_frequency", Nothing(CHECKPOINTS)),
    ("output.save_optimizer", Nothing(CHECKPOINTS)),
    ("output.save_scheduler", Nothing(CHECKPOINTS)),
    ("output.save_top_k", Key("output.keep_best")),
    ("performance.compile_model", Nothing("libtorch's kernels run without a compiler")),
    ("performance.fused_optimizer", Nothing("optimizers are always fused")),
    ("performance.use_channels_last", Key("gpu.channels_last")),
    ("resume.auto_resume", Nothing(RESUMED)),
    ("resume.reset_optimizer", Nothing("`train --init-from RUN` starts with a new optimizer")),
    ("resume.reset_scheduler", Nothing("`train --init-from RUN` starts with a new schedule")),
    ("resume.resume_path", Nothing(RESUMED)),
    ("training.use_mixed_precision", Key("gpu.mixed_precision")),
    (
        "troubleshooting.auto_batch_size",
        Nothing("batches are cut when memory is short (gpu.memory_management.oom_retry)"),
    ),
    ("troubleshooting.fallback_cpu", Key("gpu.fallback_cpu")),
    ("troubleshooting.memory_profiling", Nothing("memory is always watched")),
    ("troubleshooting.oom_recovery", Key("gpu.memory_management.oom_retry")),
    ("validation.stratify", Nothing("both classes are always divided alike")),
    ("validation.test_split", Key("data.test_split")),
    ("validation.val_split", Key("data.val_split")),
];
