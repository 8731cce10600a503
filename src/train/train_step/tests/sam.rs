//! Steps of sharpness-aware minimisation (`training.optimizer: sam`).

use super::*;
use crate::config::OptimizerChoice;

fn sam(mut config: Config) -> Config {
    (config.training.optimizer, config.training.sam_rho) = (OptimizerChoice::Sam, 0.5);
    (config.training.weight_decay, config.training.gradient_clip_norm) = (0.0, 0.0);
    config
}

/// Calls of the place for failures in a pass over four clips at once.
const CALLS_A_PASS: usize = 3;

#[test]
fn a_step_takes_its_gradient_uphill_and_its_statistics_and_loss_before() {
    let _alone = generator_lock();
    // Both passes draw the same dropout.
    let config = sam(config(Temporal::LstmAttention, 0.3));
    let (batches, size, mode) = ([batch(&config, 0, 4)], MicroBatchSize::whole(4), Mode::Train(Draws::new(7)));
    let mut stepped = stepper(&config);
    let report = stepped.step(&batches, None, 0.1, 7).unwrap();

    let mut by_hand = stepper(&config);
    let before = weights(&by_hand);
    let first = forward_backward(&mut by_hand, &config, &batches, size, mode);
    let expected_loss = first.loss;
    let statistics = weights(&by_hand);
    {
        let _no_grad = tch::no_grad_guard();
        for parameter in by_hand.learner.detector.parameters().trainable() {
            let _ = parameter.tensor.shallow_clone().g_add_(&(parameter.tensor.grad() * (0.5 / first.norm)));
        }
    }
    let second = forward_backward(&mut by_hand, &config, &batches, size, mode);
    assert!(
        (first.norm - second.norm).abs() > 1e-3 * first.norm,
        "uphill is elsewhere: {} {}",
        first.norm,
        second.norm
    );
    assert!((report.loss - expected_loss).abs() < 1e-6 && (report.grad_norm - second.norm).abs() < 1e-4 * second.norm);
    let uphill = by_hand.learner.detector.parameters().iter();
    for (((stepped, before), statistic), parameter) in
        weights(&stepped).iter().zip(&before).zip(&statistics).zip(uphill)
    {
        let expected = match parameter.tensor.grad() {
            gradient if gradient.defined() => before - gradient * 0.1,
            _ => statistic.shallow_clone(),
        };
        assert_near(&[stepped.shallow_clone()], &[expected], 1e-6);
    }
}

/// Each pass has the loss scaled, and its gradients unscaled.
#[test]
fn the_scale_of_the_loss_changes_only_rounding() {
    let _alone = generator_lock();
    let config = sam(config(Temporal::Mean, 0.0));
    let step = |scaled: bool| {
        let mut stepper = stepper(&config);
        stepper.scaler = LossScaler::new(scaled);
        let report = stepper.step(&[batch(&config, 0, 4)], None, 0.1, 7).unwrap();
        (report.grad_norm, weights(&stepper))
    };
    let ((norm, plain), (scaled_norm, scaled)) = (step(false), step(true));
    assert!((scaled_norm - norm).abs() < 1e-4 * norm, "{scaled_norm} {norm}");
    assert_near(&scaled, &plain, 1e-5);
}

/// The guard runs each pass by itself. In the first, a failure leaves no trace; after one in the second, that pass goes on
/// in smaller pieces, which without batch norm give the same numbers.
#[test]
fn failures_in_either_pass_leave_no_trace() {
    let _alone = generator_lock();
    let run = |config: &Config, start: MicroBatchSize, faults: Vec<(usize, &'static str)>| {
        let mut stepper = stepper(config);
        start_at(&mut stepper, config, start);
        FAULTS.set(faults);
        let report = stepper.step(&[batch(config, 0, 4)], None, 1e-2, 3).unwrap();
        assert!(FAULTS.take().is_empty());
        (weights(&stepper), report, stepper.guard.events().len())
    };
    let resnet = sam(config(Temporal::Mean, 0.0));
    let (failed, failed_report, events) = run(&resnet, MicroBatchSize::whole(4), vec![(1, OOM)]);
    let (calm, calm_report, _) = run(&resnet, MicroBatchSize::whole(2), vec![]);
    assert_eq!((failed_report, events), (calm_report, 1));
    assert_same(&failed, &calm);

    let transformer = sam(of(Backbone::Dinov2Vits14, Temporal::Mean, 0.0));
    let (failed, failed_report, events) = run(&transformer, MicroBatchSize::whole(4), vec![(CALLS_A_PASS + 1, OOM)]);
    let (calm, calm_report, _) = run(&transformer, MicroBatchSize::whole(4), vec![]);
    assert_eq!((failed_report.loss, events), (calm_report.loss, 1));
    assert_near(&failed, &calm, 1e-5);
}

#[test]
fn a_second_pass_that_cannot_run_leaves_everything_as_it_was_before_the_step() {
    let _alone = generator_lock();
    let config = sam(config(Temporal::Mean, 0.0));
    let mut stepper = stepper(&config);
    let before = weights(&stepper);
    FAULTS.set([vec![(1, OOM); 4], vec![(CALLS_A_PASS + 1, OOM)]].concat());
    let error = stepper.step(&[batch(&config, 0, 4)], None, 1e-3, 0).unwrap_err();
    assert!(FAULTS.take().is_empty() && error.can_be_saved(), "{error}");
    assert_same(&weights(&stepper), &before);
}

#[test]
fn where_no_gradient_is_finite_nothing_climbs() {
    let _alone = generator_lock();
    let config = sam(config(Temporal::Mean, 0.0));
    let mut stepper = stepper(&config);
    {
        let _no_grad = tch::no_grad_guard();
        let bias = stepper.learner.detector.parameters().iter().find(|p| p.name == "head.fc.bias").unwrap();
        let _ = bias.tensor.shallow_clone().fill_(f64::INFINITY);
    }
    let before = weights(&stepper);
    FAULTS.set(vec![(CALLS_A_PASS, OOM)]);
    assert!(!stepper.step(&[batch(&config, 0, 4)], None, 1e-3, 0).unwrap().updated);
    assert_eq!(FAULTS.take().len(), 1, "there was a second pass");
    assert_same(&weights(&stepper), &before);
}
