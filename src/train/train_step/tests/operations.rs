//! How often a step waits for the device and launches a kernel, counted by the hook of libtorch's profiler.

use super::*;
use crate::optim::LossScaler;
use crate::torch::{Counts, count_operations, reads};

/// What a step of four clips in micro-batches of `size` does, with loss scaling and a batch of the next step.
fn counted(config: &Config, size: MicroBatchSize) -> (Counts, usize) {
    let mut stepper = stepper(config);
    stepper.scaler = LossScaler::new(true);
    start_at(&mut stepper, config, size);
    let (now, next) = (batch(config, 0, 4), batch(config, 1, 4));
    // The first step also makes gradients.
    stepper.step(std::slice::from_ref(&now), Some(&next), 1e-3, 0).unwrap();
    let before = reads();
    let step = || stepper.step(std::slice::from_ref(&next), Some(&now), 1e-3, 1).unwrap();
    let (report, counts) = count_operations(step).unwrap();
    assert!(report.updated);
    (counts, reads() - before)
}

#[test]
fn a_step_waits_for_the_device_once_however_small_its_pieces() {
    let _alone = generator_lock();
    for config in [config(Temporal::LstmAttention, 0.3), with_pairs(config(Temporal::Mean, 0.0))] {
        // Kernels of the CPU read some scalars of their own.
        let read = |counts: &Counts| counts.get("aten::_local_scalar_dense").copied().unwrap_or(0);
        let (whole, reads) = counted(&config, MicroBatchSize::whole(4));
        assert_eq!(reads, 1);
        for size in [MicroBatchSize::whole(1), chunks_of(2)] {
            let (counts, reads) = counted(&config, size);
            assert_eq!((read(&counts), reads), (read(&whole), 1), "{size}");
        }
        let of = |name: &str| whole.get(name).copied().unwrap_or(0);
        // Printed with --nocapture, to be compared.
        let names = ["aten::_local_scalar_dense", "aten::zero_", "aten::fill_", "aten::copy_"];
        println!("{:?}", names.map(|name| format!("{name} {}", of(name))));
        println!("{} operations in all", whole.values().sum::<usize>());
    }
}
