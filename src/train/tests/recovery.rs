//! Whole runs of steps: failures at random places, and over and over.
//!
//! What limits or measures the memory of its process runs in a process of its own: this test binary once more, with one
//! test.

use std::process::Command;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::OptimizerChoice;
use crate::data::Sampler;
use crate::memory::{Cause, Gauge};
use crate::optim::{ParameterGroups, optimizer};

/// Set for the process that runs one test alone.
const ALONE: &str = "DFDETECT_TEST_ALONE";

/// Whether this process may be limited. If not, runs `test` in one that may, and takes over how that ends.
fn in_a_process_of_its_own(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("train::tests::recovery::{test}"), "--nocapture", "--test-threads=1"]);
    // One heap, so that the address space taken follows what tensors need.
    command.env(ALONE, "1").env("MALLOC_ARENA_MAX", "1");
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("1 passed"), "{}: {shown}", output.status);
    false
}

/// A line of `/proc/self/status`, in bytes.
fn status_bytes(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

/// The two deep stages, nearly all of the weights, stand still: steps are fast, and the rest moves as ever.
fn light_stepper(config: &Config) -> Stepper {
    let mut stepper = stepper(config);
    let deep = |name: &str| name.contains("layer3.") || name.contains("layer4.");
    let parameters = stepper.learner.detector.parameters();
    let (deep, light): (Vec<_>, Vec<_>) = parameters.trainable().partition(|p| deep(&p.name));
    let groups = ParameterGroups::new(light.iter().map(|p| (p.name.as_str(), &p.tensor)), 1e-4, 1.0);
    for parameter in deep {
        let _ = parameter.tensor.set_requires_grad(false);
    }
    stepper.learner.optimizer = optimizer(OptimizerChoice::Adamw, groups).unwrap();
    stepper
}

/// A device with all the room there could be, so that sizes grow again.
struct Roomy;

impl Gauge for Roomy {
    fn used_bytes(&self) -> Option<u64> {
        Some(0)
    }
    fn free_bytes(&self) -> Option<u64> {
        Some(1 << 40)
    }
    fn peak_bytes(&self) -> Option<u64> {
        Some(1)
    }
    fn reset_peak(&self) {}
    fn alloc_retries(&self) -> Option<u64> {
        None
    }
    fn move_to_cpu(&mut self) {}
}

/// Memory made to run out at random places of random steps, sizes growing again in between: each step learns from its
/// clips once, as in a run that is never disturbed and has the same sizes.
#[test]
fn a_hundred_steps_through_random_failures() {
    let _alone = generator_lock();
    let mut config = config(Temporal::Mean, 0.0);
    (config.data.max_frames, config.training.batch_size) = (2, BatchSize::Clips(4));
    // 8 videos, two batches an epoch; what a clip shows follows from its video.
    let sampler = Sampler::Shuffled((0..8).collect());
    let plan: Vec<Vec<usize>> = (0..50).flat_map(|epoch| sampler.plan(5, epoch, 4, false)).collect();
    let clips: Vec<Vec<u8>> = (0..8).map(|video| batch(&config, video * 97, 1).frames_bthwc).collect();
    let of_videos = |videos: &[usize]| HostBatch {
        index: 0,
        frames_bthwc: videos.iter().flat_map(|video| clips[*video].iter().copied()).collect(),
        labels: videos.iter().map(|video| if video % 3 == 0 { Label::Fake } else { Label::Real }).collect(),
        videos: videos.to_vec(),
        skipped: vec![],
    };

    let mut disturbed = light_stepper(&config);
    disturbed.guard = Guard::new("train", Ladder::training(&config, false), Box::new(Roomy), true, 10);
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut reports = Vec::new();
    for (step, videos) in plan.iter().enumerate() {
        let fails = random.random_bool(0.1);
        FAULTS.set(if fails { vec![(random.random_range(0..2), OOM)] } else { vec![] });
        reports.push(disturbed.run(&[of_videos(videos)], 1e-4, step as i64).unwrap());
    }
    let count = |cause| disturbed.guard.events().iter().filter(|event| event.cause == cause).count();
    assert!(count(Cause::OutOfMemory) >= 4 && count(Cause::Room) >= 2, "{:#?}", disturbed.guard.events());

    let mut calm = light_stepper(&config);
    for (step, (videos, report)) in plan.iter().zip(&reports).enumerate() {
        start_at(&mut calm, &config, report.cut);
        assert_eq!(calm.run(&[of_videos(videos)], 1e-4, step as i64).unwrap(), *report, "step {step}");
    }
    assert_same(&weights(&disturbed), &weights(&calm));
}

/// A thousand failures with all of a forward pass in memory, and the process is as large as it was after the first ones.
#[test]
fn a_thousand_recoveries_leave_nothing_behind() {
    if !in_a_process_of_its_own("a_thousand_recoveries_leave_nothing_behind") {
        return;
    }
    let mut config = config(Temporal::Mean, 0.0);
    (config.data.max_frames, config.data.frame_size) = (2, [33, 33]);
    let mut stepper = light_stepper(&config);
    let clips = [batch(&config, 0, 1)];
    let mut recoveries = 0;
    let mut level_bytes = 0;
    while recoveries < 1000 {
        // The only size there is.
        stepper.guard = Guard::new("train", Ladder::new(1, 2, 2), Box::new(DeviceGauge(Device::Cpu)), true, 0);
        FAULTS.set(vec![(1, OOM)]);
        let error = stepper.run(&clips, 1e-4, 0).unwrap_err();
        assert!(matches!(error, StepError::Guard(GuardError::Exhausted { .. })), "{error}");
        recoveries += stepper.guard.events().len();
        if recoveries == 100 {
            level_bytes = status_bytes("VmRSS");
        }
    }
    let grown_bytes = status_bytes("VmRSS").saturating_sub(level_bytes);
    // What one pass keeps is 2 MB.
    assert!(grown_bytes < 1 << 20, "{grown_bytes} bytes more after 900 recoveries");
}

/// Random states after a recovered failure are those of a run without it.
#[test]
fn random_states_after_a_failure_are_those_without_it() {
    let _alone = generator_lock();
    let config = config(Temporal::LstmAttention, 0.5);
    let drawn = |seed: i64, cut: Cut, faults: Vec<(usize, &'static str)>| {
        let mut stepper = stepper(&config);
        start_at(&mut stepper, &config, cut);
        FAULTS.set(faults);
        stepper.run(&[batch(&config, 0, 4)], 1e-3, seed).unwrap();
        Vec::<f64>::try_from(Tensor::rand([4], (tch::Kind::Double, Device::Cpu))).unwrap()
    };
    let calm = drawn(11, Cut::whole(2), vec![]);
    assert_eq!(drawn(11, Cut::whole(4), vec![(1, OOM)]), calm);
    assert_ne!(drawn(12, Cut::whole(2), vec![]), calm, "the seed decides");
}
