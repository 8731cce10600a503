//! The files in `configs/`: what the documentation tells users to start from.

use std::path::{Path, PathBuf};

use dfdetect::backbone::Backbone;
use dfdetect::config::{AutoBytes, Config, OptimizerChoice, SamplerChoice, load};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

fn preset(name: &str) -> Config {
    let loaded = load(&configs().join(name), &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, Vec::<String>::new(), "{name}");
    loaded.config
}

#[test]
fn the_default_preset_is_the_defaults_in_code() {
    assert_eq!(preset("default.yaml"), Config::default());
    // All of them, so that the file shows every key there is.
    let written: serde_yaml::Value =
        serde_yaml::from_str(&std::fs::read_to_string(configs().join("default.yaml")).unwrap()).unwrap();
    assert_eq!(written, serde_yaml::to_value(Config::default()).unwrap());
}

#[test]
fn the_presets_are_what_the_guide_says() {
    let facts = |name: &str| {
        let c = preset(name);
        (
            c.model.backbone,
            c.data.max_frames,
            c.training.batch_size.clips(),
            c.training.gradient_accumulation,
            c.model.hidden_dim,
        )
    };
    assert_eq!(facts("quick_demo.yaml").0, Backbone::EfficientnetLite0);
    assert_eq!(facts("memory_optimized.yaml"), (Backbone::Resnet18, 16, 6, 2, 256));
    assert_eq!(facts("medium.yaml"), (Backbone::Resnet50, 24, 10, 1, 384));
    assert_eq!(facts("default.yaml"), (Backbone::Resnet50, 32, 12, 1, 512));
    let crops = preset("face_crops.yaml");
    assert_eq!((crops.data.sampler, crops.data.frames_per_epoch), (SamplerChoice::Paired, Some(1)));
    let gend = preset("gend_vit_l14.yaml");
    assert_eq!((gend.model.backbone, gend.data.max_frames, gend.data.clips_per_video), (Backbone::VitL14Clip, 1, 32));
    let sbi = preset("sbi_b4.yaml");
    assert_eq!((sbi.model.backbone, sbi.training.optimizer), (Backbone::TfEfficientnetB4, OptimizerChoice::Sam));
    let saving = preset("memory_optimized.yaml");
    assert_eq!((saving.cache.memory_bytes, saving.dataloader.prefetch_factor), (AutoBytes::Bytes(0), 1));
    assert_eq!(preset("medium.yaml").cache.memory_bytes, AutoBytes::Auto);
}

#[test]
fn each_preset_points_editors_to_the_schema() {
    let names = ["quick_demo", "memory_optimized", "medium", "default", "face_crops", "gend_vit_l14", "sbi_b4"];
    for name in names {
        let text = std::fs::read_to_string(configs().join(format!("{name}.yaml"))).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=schema.json\n"), "{name}");
        assert_eq!(preset(&format!("{name}.yaml")).experiment.name, name);
    }
}

#[test]
fn the_schema_file_is_that_of_the_code() {
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(configs().join("schema.json")).unwrap()).unwrap();
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    assert_eq!(written, schema, "write it again: dfdetect config schema > configs/schema.json");
}
