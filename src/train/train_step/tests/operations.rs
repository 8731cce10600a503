//! How often a step waits for the device, launches a kernel and copies frames, counted by the hook of libtorch's profiler
//! and where the copy is made.

use super::*;
use crate::optim::LossScaler;
use crate::torch::{Counts, copied_bytes, count_operations, reads};

/// What a step does.
struct Counted {
    operations: Counts,
    reads: usize,
    /// Bytes of frames that the thread of training copies.
    copied_bytes: usize,
}

impl Counted {
    /// A step of four clips in micro-batches of `size`, with loss scaling and a batch of the next step.
    fn step(config: &Config, size: MicroBatchSize) -> Self {
        let mut stepper = stepper(config);
        stepper.scaler = LossScaler::new(true);
        start_at(&mut stepper, config, size);
        let (now, next) = (batch(config, 0, 4), batch(config, 1, 4));
        // The first step also makes gradients.
        stepper.step(std::slice::from_ref(&now), Some(&next), 1e-3, 0).unwrap();
        let (reads_before, copied_before) = (reads(), copied_bytes());
        let step = || stepper.step(std::slice::from_ref(&next), Some(&now), 1e-3, 1).unwrap();
        let (report, operations) = count_operations(step).unwrap();
        assert!(report.updated);
        Self { operations, reads: reads() - reads_before, copied_bytes: copied_bytes() - copied_before }
    }

    fn of(&self, name: &str) -> usize {
        self.operations.get(name).copied().unwrap_or(0)
    }

    /// Operations on lists of tensors: of all gradients, statistics and weights.
    fn of_lists(&self) -> Vec<(&str, usize)> {
        let is_of_lists = |name: &str| name.contains("_foreach_") || name.contains("_fused_");
        let counts = self.operations.iter().map(|(name, count)| (name.as_str(), *count));
        counts.filter(|(name, _)| is_of_lists(name)).collect()
    }
}

#[test]
fn a_step_waits_for_the_device_once_and_launches_what_all_weights_need_once_however_small_its_pieces() {
    let _alone = generator_lock();
    for config in [config(Temporal::LstmAttention, 0.3), with_pairs(config(Temporal::Mean, 0.0))] {
        for size in [MicroBatchSize::whole(4), MicroBatchSize::whole(1), chunks_of(2)] {
            let step = Counted::step(&config, size);
            assert_eq!((step.reads, step.of("aten::_local_scalar_dense")), (1, 0), "{size}");
            let expected = [
                ("aten::_amp_foreach_non_finite_check_and_unscale_", 1),
                ("aten::_foreach_copy_", 1),
                ("aten::_foreach_mul_", 1),
                ("aten::_foreach_norm", 1),
                ("aten::_foreach_zero_", 1),
                // With and without weight decay.
                ("aten::_fused_adamw_", 2),
            ];
            assert_eq!(step.of_lists(), expected, "{size}");
            // Printed with --nocapture, to be compared.
            let all = step.operations.values().sum::<usize>();
            let [zero, fill, copy] = ["aten::zero_", "aten::fill_", "aten::copy_"].map(|name| step.of(name));
            println!("{size}: zero_ {zero}, fill_ {fill}, copy_ {copy}, {all} operations in all");
        }
    }
}

#[test]
fn frames_are_copied_once_for_each_pass() {
    let _alone = generator_lock();
    let config = config(Temporal::LstmAttention, 0.3);
    let batch_bytes = 4 * ClipSpec::of(&config.data).clip_bytes();
    for (size, passes) in [(MicroBatchSize::whole(4), 1), (MicroBatchSize::whole(1), 1), (chunks_of(2), 2)] {
        let expected = passes * batch_bytes;
        assert_eq!(Counted::step(&config, size).copied_bytes, expected, "{size}");
    }
}
