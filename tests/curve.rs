//! A hundred training steps, loss by loss, against a plain PyTorch loop: what layers, losses, schedules and optimizers
//! that each equal PyTorch's do together. The fixture is made by `scripts/make_curve_fixture.py`.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod formula;

use dfdetect::backbone::Backbone;
use dfdetect::config::{BatchSize, Config, Precision, Scheduler, Temporal};
use dfdetect::dataset::Label;
use dfdetect::loader::HostBatch;
use dfdetect::memory::{DeviceGauge, Guard, MicroBatchSizes};
use dfdetect::model::Detector;
use dfdetect::optim::{Loss, LossScaler, Schedule};
use dfdetect::torch::Format;
use dfdetect::train::{Learner, Stepper};
use formula::{fill, pattern, set};
use serde::Deserialize;
use tch::{Device, Tensor};

#[derive(Deserialize)]
struct Fixture {
    losses: Vec<f64>,
}

const CLIPS: usize = 12;
const BATCH: usize = 4;

/// As the script has them; all else is the default.
fn config() -> Config {
    let mut config = Config::default();
    (config.model.backbone, config.model.temporal) = (Backbone::Resnet18, Temporal::Mean);
    (config.data.max_frames, config.data.frame_size) = (2, [40, 40]);
    (config.training.batch_size, config.training.weight_decay) = (BatchSize::Clips(BATCH), 0.05);
    config.gpu.mixed_precision = Precision::Off;
    config
}

/// Noise, a little brighter in every third clip.
fn pixels(config: &Config, number: usize) -> Vec<u8> {
    let [height, width] = config.data.frame_size;
    let noise = Vec::<f64>::try_from(pattern(config.data.max_frames * height * width * 3, 1000 + number)).unwrap();
    let brighter = if number.is_multiple_of(3) { 4 } else { 0 };
    noise.iter().map(|value| ((value + 0.5) * 200.0).floor() as u8 + brighter).collect()
}

/// The bright ones, with every fifth clip called what it is not.
fn label(number: usize) -> Label {
    if number.is_multiple_of(3) == number.is_multiple_of(5) { Label::Real } else { Label::Fake }
}

fn batch(config: &Config, step: usize) -> HostBatch {
    let videos: Vec<_> = (0..BATCH).map(|i| (step * BATCH + i) * 5 % CLIPS).collect();
    let bytes: Vec<_> = videos.iter().flat_map(|number| pixels(config, *number)).collect();
    let labels = videos.iter().map(|number| label(*number)).collect();
    HostBatch { index: step, videos, ..HostBatch::of_bytes(&bytes, labels) }
}

fn stepper(config: &Config) -> Stepper<'static> {
    let detector = Detector::new(&config.model, Device::Cpu, Format::F32, config.gpu.channels_last).unwrap();
    fill(&detector, config.model.backbone);
    let _no_grad = tch::no_grad_guard();
    for parameter in detector.parameters().iter() {
        match parameter.name.as_str() {
            "head.fc.weight" => set(parameter, &(pattern(512, 500) * 0.1)),
            "head.fc.bias" => set(parameter, &Tensor::from(0.0)),
            _ => {}
        }
    }
    let learner = Learner::new(&config.training, detector, None).unwrap();
    let loss = Loss::new(&config.loss, [1, 1]);
    let guard =
        Guard::new("train", MicroBatchSizes::training(config, false), Box::new(DeviceGauge::new(Device::Cpu)), true, 0);
    Stepper::new(config, learner, loss, LossScaler::new(false), guard, Box::new(|| {})).unwrap()
}

#[test]
fn a_hundred_losses_equal_pytorchs() {
    let expected: Fixture = serde_json::from_str(include_str!("fixtures/curve.json")).unwrap();
    let config = config();
    let mut stepper = stepper(&config);
    let schedule = Schedule {
        kind: Scheduler::Cosine,
        peak: 5e-5,
        minimum: 1e-6,
        warmup_steps: 10,
        total_steps: 100,
        restart_steps: 0,
        decay_steps: 0,
    };
    let mut farthest = 0.0_f64;
    for (step, expected) in expected.losses.iter().enumerate() {
        let rate = schedule.at(step as u64, 1.0);
        let loss = stepper.step(&[batch(&config, step)], None, rate, step as i64).unwrap().loss;
        assert!((loss - expected).abs() < 1e-3, "step {step}: loss {loss}, not {expected}");
        farthest = farthest.max((loss - expected).abs());
    }
    assert_eq!(expected.losses.len(), 100);
    eprintln!("at most {farthest:.1e} apart");
}
