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
    for backbone in Backbone::ALL {
        for (temporal, layers, attention) in [
            (Temporal::Mean, 1, false),
            (Temporal::LstmAttention, 1, false),
            (Temporal::LstmAttention, 2, true),
            (Temporal::LstmAttention, 3, true),
        ] {
            (config.backbone, config.temporal) = (backbone, temporal);
            (config.num_layers, config.use_attention) = (layers, attention);
            let detector = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
            assert_eq!(parameter_count(&config), detector.parameters().trainable_count(), "{config:?}");
        }
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
    ];
    for (backbone, own) in cases {
        for freeze in parts.iter().chain([&own]) {
            (config.backbone, config.freeze) = (backbone, serde_yaml::from_str(freeze).unwrap());
            let detector = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
            assert_eq!(learning_parameter_count(&config), detector.parameters().trainable_count(), "{freeze}");
        }
    }
}
