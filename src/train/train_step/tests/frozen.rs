//! Frozen parts of the backbone: `model.freeze`.

use super::*;
use crate::model::Role;

fn frozen(config: &Config, freeze: &str) -> Config {
    let mut config = config.clone();
    config.model.freeze = serde_yaml::from_str(freeze).unwrap();
    config
}

#[test]
fn what_is_frozen_stays_and_has_no_gradients_and_no_moments_and_the_rest_learns() {
    let _alone = generator_lock();
    let config = config(Temporal::Mean, 0.0);
    let starts = |name: &str, parts: &[&str]| parts.iter().any(|part| name.starts_with(&format!("backbone.{part}")));
    let is_norm = |name: &str| name.contains(".bn") || name.contains(".downsample.1.");
    type IsFrozen<'a> = &'a dyn Fn(&str) -> bool;
    let cases: [(&str, IsFrozen); 5] = [
        ("2", &|name| starts(name, &["conv1.", "bn1.", "layer1."])),
        ("[layer3]", &|name| starts(name, &["layer3."])),
        ("batch_norm", &|name| starts(name, &[""]) && is_norm(name)),
        ("all_but_norms", &|name| starts(name, &[""]) && !is_norm(name)),
        ("backbone", &|name| starts(name, &[""])),
    ];
    for (freeze, is_frozen) in cases {
        let config = frozen(&config, freeze);
        let mut stepper = stepper(&config);
        let before = weights(&stepper);
        for step in 0..2 {
            assert!(stepper.step(&[batch(&config, step, 4)], None, 1e-2, step as i64).unwrap().updated);
        }
        let parameters = stepper.learner.detector.parameters();
        let state: Vec<_> = stepper.learner.optimizer.state().into_iter().map(|(name, _)| name).collect();
        let mut counts = [0, 0];
        for (parameter, before) in parameters.iter().zip(&before) {
            let name = &parameter.name;
            let (frozen, has_moments) = (is_frozen(name), state.contains(&format!("{name}.exp_avg")));
            assert_eq!(parameter.role == Role::Frozen, frozen, "{freeze}: {name}");
            assert_eq!(parameter.tensor.equal(before), frozen, "{freeze}: {name} moved, or did not");
            assert_eq!(has_moments, parameter.role == Role::Trained, "{freeze}: {name}");
            assert_eq!(parameter.tensor.grad().defined(), has_moments, "{freeze}: {name}");
            counts[usize::from(frozen)] += 1;
        }
        assert!(counts[0] >= 2 && counts[1] >= 10, "{freeze}: {counts:?}");
    }
}

/// The micro-batch size and recomputation do not change the gradients of trained parts; with frozen batch norm, not
/// even in training mode.
#[test]
fn recomputing_and_cutting_change_nothing_where_parts_are_frozen() {
    let _alone = generator_lock();
    // In float64, libtorch splits each of hundreds of groups of a convolution over its threads.
    let _one_thread = OneThread::enter();
    let config = config(Temporal::Mean, 0.0);
    let train = Mode::Train(Draws::new(5));
    for (config, freeze, mode, tolerance) in [
        (&config, "2", Mode::Evaluate, 1e-5),
        (&config, "[layer2, layer4]", Mode::Evaluate, 1e-5),
        (&config, "backbone", train, 1e-5),
        (&config, "[stem, batch_norm]", train, 1e-5),
        // Stochastic depth and dropout draw for the effective batch.
        (&lite(Temporal::Mean, 0.0), "batch_norm", train, 1e-5),
        (&lite(Temporal::Mean, 0.0), "[stem, stage1, batch_norm]", train, 1e-5),
    ] {
        let config = frozen(config, freeze);
        let of = |recompute: bool, size: MicroBatchSize| {
            let mut config = config.clone();
            config.model.activation_checkpointing = recompute;
            let mut stepper = stepper_for_sizes(&config);
            forward_backward(&mut stepper, &config, &[batch(&config, 0, 4)], size, mode);
            gradients(&stepper)
        };
        let whole = of(false, MicroBatchSize::whole(4));
        let cuts = [(true, MicroBatchSize::whole(4)), (false, MicroBatchSize::whole(2))];
        for (recompute, size) in cuts.into_iter().chain([(false, chunks_of(2)), (true, chunks_of(2))]) {
            assert_near(&of(recompute, size), &whole, tolerance);
        }
    }
}
