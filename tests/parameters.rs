//! The memory room predicts from the configuration alone; what it counts is what the model room makes.

use dfdetect::backbone::Backbone;
use dfdetect::config::{Config, Temporal};
use dfdetect::memory::{learning_parameter_count, parameter_count};
use dfdetect::model::Detector;
use dfdetect::torch::Format;
use tch::Device;

#[test]
fn predicted_parameters_are_those_of_the_network() {
    let mut config = Config::default().model;
    (config.hidden_dim, config.attention_heads) = (96, 4);
    let backbones = Backbone::ALL.map(|backbone| (backbone, Temporal::Mean, 1, false));
    let heads = [(1, false), (2, true), (3, true)];
    let heads = [Backbone::Resnet18, Backbone::Resnet50]
        .into_iter()
        .flat_map(|backbone| heads.map(|(layers, attention)| (backbone, Temporal::LstmAttention, layers, attention)));
    for (backbone, temporal, layers, attention) in backbones.into_iter().chain(heads) {
        (config.backbone, config.temporal) = (backbone, temporal);
        (config.num_layers, config.use_attention) = (layers, attention);
        let detector = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
        assert_eq!(parameter_count(&config), detector.parameters().trainable_count(), "{config:?}");
    }
}

#[test]
fn predicted_parameters_that_learn_are_those_that_are_not_frozen() {
    let mut config = Config::default().model;
    config.temporal = Temporal::Mean;
    let parts = ["none", "2", "batch_norm", "all_but_norms", "[stem, batch_norm]", "backbone"];
    let cases = [
        (Backbone::Resnet18, "[layer2, batch_norm]"),
        (Backbone::Resnet50, "[layer4]"),
        (Backbone::EfficientnetLite0, "[stage2, all_but_norms]"),
        (Backbone::EfficientnetB0, "[stage3, head]"),
        (Backbone::ConvnextTiny, "[stem, stage1, all_but_norms]"),
        (Backbone::Dinov2Vits14, "[block3, all_but_norms]"),
    ];
    for (backbone, own) in cases {
        for freeze in parts.iter().chain([&own]) {
            (config.backbone, config.freeze) = (backbone, serde_yaml::from_str(freeze).unwrap());
            let detector = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
            assert_eq!(learning_parameter_count(&config), detector.parameters().trainable_count(), "{freeze}");
        }
    }
}
