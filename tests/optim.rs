//! Optimizers, losses, schedules, loss scaling and averages equal PyTorch's. The fixture is made by
//! `scripts/make_optim_fixture.py`.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::collections::BTreeMap;

use dfdetect::config::{LossConfig, OptimizerChoice, Scheduler};
use dfdetect::optim::{self, Ema, Loss, LossScaler, ParameterGroups, PlateauState, Sam, Schedule, pair_loss};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

type Named = BTreeMap<String, Vec<f64>>;

#[derive(Deserialize)]
struct Fixture {
    weight_decay: f64,
    backbone_lr_scale: f64,
    rates: Vec<f64>,
    adamw: Trained,
    adam: Trained,
    sgd: Trained,
    sam: Climbed,
    losses: Vec<LossCase>,
    schedules: Schedules,
    scaler: Scaler,
    average: Average,
    pairs: Pairs,
}

/// Losses of pairs of six clips, and the gradient of a sum of them.
#[derive(Deserialize)]
struct Pairs {
    features: Vec<f64>,
    is_fake: Vec<bool>,
    uniformity: f64,
    alignment: f64,
    gradients: Vec<f64>,
}

#[derive(Deserialize)]
struct Trained {
    weights: Named,
    state: Named,
}

#[derive(Deserialize)]
struct Climbed {
    rho: f64,
    weights: Named,
}

#[derive(Deserialize)]
struct LossCase {
    config: LossConfig,
    logits: Vec<f64>,
    targets: Vec<f64>,
    loss: f64,
    gradients: Vec<f64>,
}

#[derive(Deserialize)]
struct Schedules {
    peak: f64,
    minimum: f64,
    warmup_steps: u64,
    total_steps: u64,
    cosine: Vec<f64>,
    cosine_with_restarts: Vec<f64>,
    restart_steps: u64,
    constant: Vec<f64>,
    decay_steps: u64,
    warmup_stable_decay: Vec<f64>,
    one_cycle: Vec<f64>,
    plateau_values: Vec<f64>,
    plateau: Vec<f64>,
}

#[derive(Deserialize)]
struct Scaler {
    overflows: Vec<u32>,
    changes: Vec<(u32, f64)>,
}

#[derive(Deserialize)]
struct Average {
    decay: f64,
    updates: i32,
    averages: Named,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/optim.json")).unwrap()
}

/// As the script has them.
const SHAPES: [(&str, &[i64]); 4] = [
    ("backbone.conv.weight", &[2, 3, 2, 2]),
    ("backbone.bn.weight", &[3]),
    ("head.fc.weight", &[2, 4]),
    ("head.fc.bias", &[2]),
];

fn values(salt: usize, step: usize) -> Tensor {
    let count: i64 = SHAPES[salt].1.iter().product();
    let number = |i: usize| (((step * 31 + i * 17 + salt * 5) % 23) as f32 - 11.0) / 16.0;
    Tensor::from_slice(&(0..count as usize).map(number).collect::<Vec<_>>()).view(SHAPES[salt].1)
}

/// How weights lie in memory; one after the other in NHWC order, or with gaps, where no fused kernel can walk.
#[derive(Debug, Clone, Copy)]
enum Layout {
    ChannelsLast,
    Gaps,
}

fn weight(salt: usize, layout: Layout) -> Tensor {
    let values = values(salt, 0);
    let laid_out = match (layout, values.dim()) {
        (Layout::ChannelsLast, 4) => values.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        (Layout::ChannelsLast, _) => values,
        (Layout::Gaps, _) => Tensor::stack(&[&values, &values], -1).select(-1, 0),
    };
    laid_out.set_requires_grad(true)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).contiguous().flatten(0, -1)).unwrap()
}

fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(near, "{what}: number {index} is {found}, not {expected}");
    }
}

/// Fifty steps of four groups at a learning rate that changes each step.
#[test]
fn optimizers_move_weights_as_pytorch_does() {
    let fixture = fixture();
    for (choice, expected) in [
        (OptimizerChoice::Adamw, &fixture.adamw),
        (OptimizerChoice::Adam, &fixture.adam),
        (OptimizerChoice::Sgd, &fixture.sgd),
    ] {
        for layout in [Layout::ChannelsLast, Layout::Gaps] {
            let weights: Vec<_> = (0..4).map(|salt| weight(salt, layout)).collect();
            let scale = |name: &str| if name.starts_with("backbone.") { fixture.backbone_lr_scale } else { 1.0 };
            let named = || SHAPES.iter().zip(&weights).map(|((name, _), weight)| (*name, weight, scale(name)));
            let groups = ParameterGroups::new(named(), fixture.weight_decay);
            let mut optimizer = optim::optimizer(choice, groups).unwrap();
            for (step, rate) in fixture.rates.iter().enumerate() {
                for (salt, weight) in weights.iter().enumerate() {
                    let mut gradient = weight.grad();
                    gradient.defined().then(|| gradient.zero_());
                    (weight * values(salt, step + 1)).sum(Kind::Float).backward();
                }
                optimizer.step(*rate).unwrap();
            }
            assert_eq!(optimizer.step_count(), 50);
            for (name, weight, _) in named() {
                let what = format!("{choice:?}, {layout:?}, {name}");
                assert_close(&what, &numbers(weight), &expected.weights[name], 1e-6);
            }
            let state: BTreeMap<_, _> = optimizer.state().into_iter().collect();
            assert_eq!(state.keys().collect::<Vec<_>>(), expected.state.keys().collect::<Vec<_>>());
            for (name, tensor) in state {
                let what = format!("{choice:?}, {layout:?}, {name}");
                assert_close(&what, &numbers(tensor), &expected.state[&name], 1e-6);
            }
        }
    }
}

/// Fifty steps up and back, of a function whose gradient is another one uphill.
#[test]
fn sharpness_aware_minimisation_moves_weights_as_in_pytorch() {
    let Climbed { rho, weights: expected } = fixture().sam;
    let weights: Vec<_> = (0..4).map(|salt| weight(salt, Layout::ChannelsLast)).collect();
    let named = || SHAPES.iter().zip(&weights).map(|((name, _), weight)| (*name, weight, 1.0));
    let sam = Sam::new(weights.iter().map(Tensor::shallow_clone).collect(), rho).unwrap();
    let mut optimizer = optim::optimizer(OptimizerChoice::Sam, ParameterGroups::new(named(), 0.0)).unwrap();
    let gradients = |step: usize| {
        for (salt, weight) in weights.iter().enumerate() {
            weight.shallow_clone().zero_grad();
            ((weight * 2.0).sin() * values(salt, step)).sum(Kind::Float).backward();
        }
        weights.iter().map(|weight| weight.grad().norm().double_value(&[]).powi(2)).sum::<f64>().sqrt()
    };
    for step in 1..=50 {
        sam.climb(gradients(step)).unwrap();
        gradients(step);
        sam.descend().unwrap();
        optimizer.step(0.05).unwrap();
    }
    for (name, weight, _) in named() {
        assert_close(name, &numbers(weight), &expected[name], 1e-5);
    }
}

#[test]
fn a_parameter_without_gradient_stays() {
    for choice in [OptimizerChoice::Adamw, OptimizerChoice::Adam, OptimizerChoice::Sgd, OptimizerChoice::Sam] {
        let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let groups = ParameterGroups::new([("w", &weight, 1.0)].into_iter(), 0.5);
        optim::optimizer(choice, groups).unwrap().step(0.1).unwrap();
        assert_eq!(numbers(&weight), [1.0; 4], "{choice:?}");
    }
}

#[test]
fn losses_and_their_gradients_equal_pytorchs() {
    let cases = fixture().losses;
    assert_eq!(cases.len(), 20);
    for case in &cases {
        let what = format!("{:?}", case.config);
        let logits: Vec<f32> = case.logits.iter().map(|logit| *logit as f32).collect();
        let logits_b = Tensor::from_slice(&logits).set_requires_grad(true);
        let loss = Loss::new(&case.config, [1, 1]);
        let loss = loss.sum(&logits_b, &loss.targets(&case.targets).unwrap()).unwrap();
        loss.backward();
        assert_close(&what, &[loss.double_value(&[])], &[case.loss], 1e-6);
        assert_close(&what, &numbers(&logits_b.grad()), &case.gradients, 1e-6);
    }
}

#[test]
fn balanced_weights_make_both_classes_count_the_same() {
    let config = LossConfig { class_weights: dfdetect::config::ClassWeights::Balanced, ..LossConfig::default() };
    let loss = |targets: &[f64]| {
        let logits_b = Tensor::zeros([targets.len() as i64], (Kind::Float, Device::Cpu));
        let loss = Loss::new(&config, [6, 2]);
        loss.sum(&logits_b, &loss.targets(targets).unwrap()).unwrap().double_value(&[])
    };
    let (reals, fakes, all) = (loss(&[0.0; 6]), loss(&[1.0; 2]), 8.0 * std::f64::consts::LN_2);
    assert!((reals - fakes).abs() < 1e-6 && (reals + fakes - all).abs() < 1e-5, "{reals} {fakes}");
}

#[test]
fn schedules_equal_pytorchs() {
    let expected = fixture().schedules;
    let Schedules { peak, minimum, warmup_steps, total_steps, restart_steps, decay_steps, .. } = expected;
    let schedule_of = |kind| Schedule { kind, peak, minimum, warmup_steps, total_steps, restart_steps, decay_steps };
    for (kind, expected) in [
        (Scheduler::Cosine, &expected.cosine),
        (Scheduler::Constant, &expected.constant),
        (Scheduler::WarmupStableDecay, &expected.warmup_stable_decay),
        (Scheduler::OneCycle, &expected.one_cycle),
    ] {
        let schedule = schedule_of(kind);
        let found: Vec<_> = (0..total_steps).map(|step| schedule.at(step, 1.0)).collect();
        assert_close(&format!("{kind:?}"), &found, expected, 1e-9);
        assert_eq!(schedule.at(total_steps + 100, 1.0), schedule.at(total_steps, 1.0), "{kind:?}");
    }
    let schedule = schedule_of(Scheduler::CosineWithRestarts);
    let found: Vec<_> = (0..total_steps).map(|step| schedule.at(step, 1.0)).collect();
    assert_close("CosineWithRestarts", &found, &expected.cosine_with_restarts, 1e-9);
    let schedule = schedule_of(Scheduler::Plateau);
    let mut state = PlateauState::default();
    let mut found = Vec::new();
    for value in &expected.plateau_values {
        found.push(schedule.at(warmup_steps, state.factor));
        state.update(Some(*value), 0.001);
    }
    assert_close("plateau", &found, &expected.plateau, 1e-12);
}

/// Saved and gone on with in the middle.
#[test]
fn the_loss_scale_goes_as_pytorchs_does() {
    let expected = fixture().scaler;
    let mut scaler = LossScaler::new(true);
    let mut changes = Vec::new();
    for step in 0..6000 {
        let before = scaler.scale();
        scaler.update(!expected.overflows.contains(&step));
        if scaler.scale() != before {
            changes.push((step, scaler.scale()));
        }
        if step == 3000 {
            scaler = serde_json::from_str(&serde_json::to_string(&scaler).unwrap()).unwrap();
        }
    }
    assert_eq!(changes, expected.changes);
}

#[test]
fn losses_of_pairs_equal_those_of_the_papers_code() {
    let expected = fixture().pairs;
    let features: Vec<f32> = expected.features.iter().map(|value| *value as f32).collect();
    let loss = |uniformity: f64, alignment: f64, is_fake: &[bool]| {
        let config = LossConfig { uniformity, alignment, ..LossConfig::default() };
        let features_bf = Tensor::from_slice(&features).view([6, 7]).set_requires_grad(true);
        (pair_loss(&config, &features_bf.narrow(0, 0, is_fake.len() as i64), is_fake).unwrap(), features_bf)
    };
    let value = |loss: Option<Tensor>| loss.unwrap().double_value(&[]);
    assert_close("uniformity", &[value(loss(1.0, 0.0, &expected.is_fake).0)], &[expected.uniformity], 1e-5);
    assert_close("alignment", &[value(loss(0.0, 1.0, &expected.is_fake).0)], &[expected.alignment], 1e-5);
    let (both, features_bf) = loss(0.5, 0.1, &expected.is_fake);
    both.unwrap().backward();
    assert_close("gradients", &numbers(&features_bf.grad()), &expected.gradients, 1e-5);
    // Two clips of two classes have no pair of one class; one clip has no pair.
    assert!(loss(0.0, 1.0, &[false, true]).0.is_none() && loss(1.0, 1.0, &[true]).0.is_none());
}

#[test]
fn averages_equal_pytorchs() {
    let expected = fixture().average;
    let copies = |step: usize| [2, 3].map(|salt| values(salt, step));
    let (averages, sources) = (copies(7), copies(0));
    let shallow = |tensors: &[Tensor]| tensors.iter().map(Tensor::shallow_clone).collect();
    let ema = Ema::new(shallow(&averages), shallow(&sources), expected.decay).unwrap();
    assert!(averages.iter().zip(&sources).all(|(average, source)| average == source), "it starts with a copy");
    for step in 1..=expected.updates {
        sources.iter().zip(copies(step as usize)).for_each(|(source, values)| source.shallow_clone().copy_(&values));
        ema.update(step).unwrap();
    }
    for (average, name) in averages.iter().zip(["head.fc.weight", "head.fc.bias"]) {
        assert_close(name, &numbers(average), &expected.averages[name], 1e-6);
    }
}

/// The mode is that of the whole process; no other test of this file goes backward through NaN.
#[test]
fn backward_stops_at_the_function_whose_gradient_is_no_number_and_names_it() {
    let backward = || {
        let x = Tensor::zeros([1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        // The root's gradient is infinite at 0, and 0 times that is no number.
        (x.sqrt() * 0.0).sum(Kind::Float).f_backward().map(|()| x.grad().double_value(&[0]))
    };
    assert!(backward().unwrap().is_nan());
    dfdetect::torch::detect_anomaly(true).unwrap();
    let error = backward().unwrap_err().to_string();
    dfdetect::torch::detect_anomaly(false).unwrap();
    assert!(error.contains("SqrtBackward0"), "{error}");
    assert!(backward().unwrap().is_nan());
}
