//! ResNets equal torchvision's: outputs in both modes, gradients, running statistics, names.
//! The fixture is made by `scripts/make_resnet_fixture.py`; weights and images are made here by the same formula.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod formula;

use std::collections::BTreeMap;

use dfdetect::config::{Backbone, Config, Temporal};
use dfdetect::model::{Detector, Mode};
use dfdetect::torch::Format;
use formula::{fill, pattern};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Case {
    depth: u32,
    evaluated: Vec<f64>,
    trained: Vec<f64>,
    gradients: BTreeMap<String, [f64; 2]>,
    running_mean: f64,
}

fn detector(depth: u32, channels_last: bool) -> Detector {
    let mut config = Config::default().model;
    config.temporal = Temporal::Mean;
    config.backbone = match depth {
        18 => Backbone::Resnet18,
        34 => Backbone::Resnet34,
        50 => Backbone::Resnet50,
        _ => Backbone::Resnet101,
    };
    let detector = Detector::new(&config, Device::Cpu, Format::F32, channels_last).unwrap();
    fill(&detector);
    detector
}

/// Every 64th feature of every image, against the fixture, relative to the largest.
fn assert_near(features_nf: &Tensor, expected: &[f64], what: &str) {
    let found = Vec::<f64>::try_from(features_nf.slice(1, None, None, 64).contiguous().view(-1).to_kind(Kind::Double));
    let found = found.unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-9_f64, |most, value| most.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5 * largest, "{what}: {found} is not {expected} (of up to {largest})");
    }
}

/// Sums of each gradient and of its absolute values, against the fixture.
fn assert_gradients(detector: &Detector, case: &Case, what: &str) {
    let mut compared = 0;
    for parameter in detector.parameters().trainable() {
        let Some(name) = parameter.name.strip_prefix("backbone.") else { continue };
        let [sum, absolute] = case.gradients[name];
        let gradient = parameter.tensor.grad();
        assert_eq!(gradient.kind(), Kind::Double);
        let found = [&gradient, &gradient.abs()].map(|tensor| tensor.sum(Kind::Double).double_value(&[]));
        assert!((found[0] - sum).abs() < 1e-9 * absolute, "{what}: {name}: {} is not {sum}", found[0]);
        assert!((found[1] - absolute).abs() < 1e-9 * absolute, "{what}: {name}: {} is not {absolute}", found[1]);
        compared += 1;
    }
    assert_eq!(compared, case.gradients.len(), "{what}: names");
    assert!(compared > 50, "{what}: {compared} gradients");
}

/// The gradients in float32 are those in float64, but for units whose input is within rounding of zero: they pass their
/// ReLU with one CPU's kernels and not with another's. In PyTorch itself that moves a gradient by up to 0.4% of its norm.
fn assert_gradients_agree(single: &Detector, double: &Detector, what: &str) {
    for (single, double) in single.parameters().trainable().zip(double.parameters().trainable()) {
        if !single.name.starts_with("backbone.") {
            continue;
        }
        let gradient = double.tensor.grad();
        let difference = (single.tensor.grad().to_kind(Kind::Double) - &gradient).norm().double_value(&[]);
        let norm = gradient.norm().double_value(&[]);
        assert!(difference < 0.02 * norm, "{what}: {}: {difference} of {norm}", single.name);
    }
}

/// Features in training mode, and their gradients by the fixture's loss.
fn train(detector: &Detector, images_nchw: &Tensor) -> Tensor {
    let features_nf = detector.features(images_nchw, Mode::Train).unwrap();
    let weights_nf = pattern(features_nf.numel(), 2).view(features_nf.size().as_slice()).to_kind(Kind::Float);
    (&features_nf * weights_nf).sum(Kind::Float).backward();
    features_nf
}

#[test]
fn resnets_equal_torchvision() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/resnet.json")).unwrap();
    assert_eq!(cases.iter().map(|case| case.depth).collect::<Vec<_>>(), [18, 34, 50, 101]);
    let images_nchw = pattern(4 * 3 * 64 * 64, 1).view([4, 3, 64, 64]).to_kind(Kind::Float);
    for case in cases {
        let double = detector(case.depth, false);
        for parameter in double.parameters().iter() {
            parameter.tensor.shallow_clone().set_data(&parameter.tensor.detach().to_kind(Kind::Double));
        }
        let _ = train(&double, &images_nchw.to_kind(Kind::Double));
        assert_gradients(&double, &case, &format!("resnet{} in float64", case.depth));

        for channels_last in [true, false] {
            let detector = detector(case.depth, channels_last);
            let what = format!("resnet{}, channels last {channels_last}", case.depth);
            assert_near(&detector.features(&images_nchw, Mode::Evaluate).unwrap(), &case.evaluated, &what);
            assert_near(&train(&detector, &images_nchw), &case.trained, &what);
            assert_gradients_agree(&detector, &double, &what);

            let mean = "backbone.layer4.0.bn1.running_mean";
            let mean = detector.parameters().iter().find(|p| p.name == mean).unwrap().tensor.sum(Kind::Double);
            assert!((mean.double_value(&[]) - case.running_mean).abs() < 1e-4, "{what}: running mean");
        }
    }
}
