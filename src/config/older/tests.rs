use std::path::Path;

use serde_yaml::Value;

use crate::config::dotted_keys::known_keys;
use crate::config::{
    BatchSize, Config, ConfigError, DeviceChoice, Loaded, LogLevel, Precision, Pretrained, Roots, Scheduler, parse,
};

const FILES: [&str; 5] = ["default", "medium", "memory_opt", "quick_demo", "high_perf"];

fn text(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/older");
    std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap()
}

fn older(name: &str) -> Loaded {
    parse(name, &text(name), &[]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refused(text: &str) -> ConfigError {
    parse("f.yaml", text, &[]).expect_err("must be refused")
}

/// The dotted paths of all values of a file.
fn keys_of(prefix: &str, value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Mapping(section) => {
            for (name, value) in section {
                let name = name.as_str().unwrap();
                keys_of(&if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }, value, keys);
            }
        }
        _ => keys.push(prefix.to_owned()),
    }
}

#[test]
fn every_key_of_its_five_files_is_known_or_named() {
    let known = known_keys();
    for name in FILES {
        let lines = older(name).warnings;
        let mut keys = Vec::new();
        keys_of("", &serde_yaml::from_str(&text(name)).unwrap(), &mut keys);
        for key in keys.iter().filter(|key| !known.contains_key(*key)) {
            let about = lines.iter().filter(|line| line.starts_with(&format!("`{key}`"))).count();
            assert_eq!(about, 1, "{name}: {key}: {lines:#?}");
        }
    }
}

#[test]
fn its_files_mean_the_same_here() {
    let config = older("default").config;
    assert_eq!(config.data.root, Roots::one("./data"));
    assert_eq!(config.output.directory, Path::new("./outputs/default"));
    assert_eq!((config.gpu.device, config.gpu.mixed_precision), (DeviceChoice::Auto, Precision::Auto));
    assert_eq!((config.model.pretrained, config.logging.level), (Pretrained::Auto, LogLevel::Info));
    assert_eq!((config.gpu.memory_fraction, config.gpu.memory_management.force_cleanup_every), (Some(0.9), 100));
    assert_eq!((config.training.gradient_clip_norm, config.training.batch_size), (1.0, BatchSize::Clips(12)));
    let augmentation = &config.augmentation;
    assert_eq!((augmentation.rotation, augmentation.noise, augmentation.gaussian_blur), (15.0, 0.05, 0.1));
    assert_eq!((augmentation.jpeg, augmentation.random_resized_crop), (0.0, 1.0), "it had none");

    let config = older("memory_opt").config;
    assert_eq!(config.data.root, Config::default().data.root, "E:/ is not here");
    assert_eq!(config.output.directory, Config::default().output.directory);
    assert_eq!((config.data.frame_size, config.data.val_split), ([224, 224], 0.15));
    assert_eq!((config.training.gradient_accumulation, config.gpu.memory_fraction), (2, Some(0.75)));
    assert_eq!((config.gpu.device, config.augmentation.horizontal_flip), (DeviceChoice::Auto, 0.3));
    assert_eq!((config.augmentation.noise, config.experiment.name.as_str()), (0.0, "memory_opt_rtx4070"));

    let config = older("high_perf").config;
    assert_eq!((config.output.keep_best, config.model.mirror_at_test), (3, true));
    assert_eq!((config.augmentation.random_erasing, config.logging.log_interval), (0.1, 50));
    assert_eq!((config.training.scheduler, config.training.restart_period), (Scheduler::CosineWithRestarts, 30.0));
    assert_eq!(config.model.classifier_layers, Some(vec![1024, 512, 256, 1]));
    assert_eq!((config.model.classifier_dropout, config.data.skip_frames), (Some(0.3), 1));
    assert_eq!((config.augmentation.vertical_flip, config.augmentation.motion_blur), (0.2, 0.15));
    assert_eq!(older("quick_demo").config.training.limit_batches, Some(50));
}

#[test]
fn folders_are_taken_in_order_and_windows_paths_are_named() {
    let root = |text: &str| parse("f.yaml", text, &[]).unwrap().config.data.root;
    assert_eq!(root("BASE_PATH: /b\nDATA_PATH: /d\ndata: { data_dir: /dir }\n"), Roots::one("/d"));
    assert_eq!(root("BASE_PATH: /b\ndata: { data_dir: /dir }\n"), Roots::one("/dir"));
    assert_eq!(root("BASE_PATH: /b\ndata: { root: /r }\n"), Roots::one("/r"));
    assert_eq!(root("BASE_PATH: /b\n"), Roots::one("/b"));
    let lines = older("memory_opt").warnings;
    assert_eq!(lines.iter().filter(|line| line.contains("path of Windows")).count(), 3, "{lines:#?}");
}

#[test]
fn a_gpu_is_named_by_its_number() {
    let device = |text: &str| parse("f.yaml", text, &[]).unwrap().config.gpu.device;
    assert_eq!(device("device: { use_cuda: true, device_id: 0 }\n"), DeviceChoice::Auto);
    assert_eq!(device("device: { use_cuda: true, device_id: 2 }\n"), DeviceChoice::Cuda(2));
    assert_eq!(device("device: { use_cuda: false, device_id: 0 }\n"), DeviceChoice::Cpu);
    assert_eq!(device("hardware: {}\ngpu: { device: cuda, gpu_id: 1 }\n"), DeviceChoice::Cuda(1));
    assert_eq!(device("hardware: {}\ngpu: { device: cpu, gpu_id: 1 }\n"), DeviceChoice::Cpu);
}

#[test]
fn what_was_off_stays_off() {
    let config = |text: &str| parse("f.yaml", text, &[]).unwrap().config;
    assert_eq!(config("debug: { enabled: false, max_batches_per_epoch: 5 }\n").training.limit_batches, None);
    assert_eq!(config("debug: { max_batches_per_epoch: 5 }\n").training.limit_batches, Some(5));
    assert!(config("debug: { detect_anomaly: true }\n").training.detect_anomaly);
    assert!(!config("debug: { enabled: false, detect_anomaly: true }\n").training.detect_anomaly);
    let recovery = config("troubleshooting: { auto_batch_size: false, oom_recovery: true }\n");
    assert!(recovery.gpu.memory_management.oom_retry);
    let recovery = config("troubleshooting: { auto_batch_size: true, oom_recovery: false }\n");
    assert!(!recovery.gpu.memory_management.oom_retry);
}

#[test]
fn old_names_move_and_the_new_name_wins() {
    let loaded = parse("f.yaml", "gpu: { use_mixed_precision: false }\ntraining: { gradient_clipping: 2 }\n", &[]);
    let Loaded { config, warnings } = loaded.unwrap();
    assert_eq!((config.gpu.mixed_precision, config.training.gradient_clip_norm), (Precision::Off, 2.0));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let both = "training: { gradient_clipping: 2, gradient_clip_norm: 3 }\n";
    let loaded = parse("f.yaml", both, &[]).unwrap();
    assert_eq!(loaded.config.training.gradient_clip_norm, 3.0);
    assert!(loaded.warnings[0].contains("is ignored"), "{:?}", loaded.warnings);
}

#[test]
fn unknown_keys_stay_errors_elsewhere_and_wrong_values_everywhere() {
    let error = refused("augmentation:\n  rotation: 3\n  cutout: 0.1\n");
    assert_eq!((error.place.as_str(), error.key.as_str()), ("f.yaml:3", "augmentation.cutout"));
    let error = refused("hardware: {}\ntraining:\n  epoch: 3\n");
    assert_eq!((error.place.as_str(), error.key.as_str()), ("f.yaml:3", "training.epoch"));
    let error = refused("device:\n  use_cuda: perhaps\n");
    assert_eq!((error.place.as_str(), error.key.as_str()), ("f.yaml:2", "device.use_cuda"));
    assert!(error.problem.contains("found `perhaps`, expected true or false"), "{error}");
    // The line is that of the old name.
    let error = refused("memory:\n  cache_size: 3\n  max_memory_usage: 90\n");
    assert_eq!((error.place.as_str(), error.key.as_str()), ("f.yaml:3", "gpu.memory_fraction"));
    // A word is no section.
    let error = refused("device: cpu\naugmentation:\n  rotation: 3\n");
    assert_eq!((error.place.as_str(), error.key.as_str()), ("f.yaml:1", "device"));
    let rest = parse("f.yaml", "debug: { colour: red }\naugmentation:\n  train:\n", &[]).unwrap().warnings;
    assert_eq!(rest[0], "`augmentation`: what it does not name is off");
    let rest = parse("f.yaml", "debug: { colour: red }\n", &[]).unwrap().warnings;
    assert_eq!(rest, ["`debug.colour` is left aside: nothing here goes by it"]);
}
