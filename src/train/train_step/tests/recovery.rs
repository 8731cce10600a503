//! Runs of many steps, with failures at random places and in series.
//!
//! Tests that limit or measure the memory of their process run in a process of their own: this test binary with one
//! test.

use std::process::Command;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;
use crate::dataset::Sampler;
use crate::memory::{Cause, Gauge};

/// This variable is set in a process that runs one test alone.
const ALONE: &str = "DFDETECT_TEST_ALONE";

/// Whether this process may be limited. If not, runs `test` in a process that may be, and adopts its result.
fn in_a_process_of_its_own(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("train::train_step::tests::recovery::{test}"), "--nocapture"]);
    // There is one heap, and tensors of any size are outside it, so that the address space follows the size of tensors.
    // When the test fails under a limit, there is no memory for a backtrace.
    command.env(ALONE, "1").env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "65536");
    command.env("OMP_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("1 passed"), "{}: {shown}", output.status);
    false
}

/// The value of a line of `/proc/self/status`, in bytes.
fn status_bytes(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

/// A device with unlimited free memory, so that the micro-batch size grows.
struct Roomy;

impl Gauge for Roomy {
    fn used_bytes(&self) -> Option<u64> {
        Some(0)
    }
    fn free_bytes(&self) -> Option<u64> {
        Some(1 << 40)
    }
    fn driver_free_bytes(&self) -> Option<u64> {
        self.free_bytes()
    }
    fn others_bytes(&self) -> Option<u64> {
        None
    }
    fn peak_bytes(&self) -> Option<u64> {
        Some(1)
    }
    fn reset_peak(&self) {}
    fn alloc_retries(&self) -> Option<u64> {
        None
    }
}

fn limit_address_space(bytes: Option<u64>) {
    setrlimit(Resource::As, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// A stepper that has run a step of every size on `batch`, and the address space that a step of one clip and a step of
/// both clips take in addition to that between steps.
fn warmed_up(config: &Config, batch: &HostBatch) -> (Stepper<'static>, u64, u64) {
    let mut stepper = stepper(config);
    let mut step = |size: MicroBatchSize| {
        start_at(&mut stepper, config, size);
        stepper.step(std::slice::from_ref(batch), None, 1e-4, 0).unwrap();
    };
    [chunks_of(1), MicroBatchSize::whole(1), MicroBatchSize::whole(2)].into_iter().for_each(&mut step);
    crate::torch::release_cached_memory().unwrap();
    // The peak so far is from memory that was freed. With the same amount allocated again, each new peak is that of a
    // step.
    let gone = status_bytes("VmPeak") - status_bytes("VmSize");
    let ballast = std::hint::black_box(Vec::<u8>::with_capacity(gone as usize + (1 << 20)));
    let rest_bytes = status_bytes("VmSize");
    let [one_bytes, both_bytes] = [1, 2].map(|clips| {
        step(MicroBatchSize::whole(clips));
        status_bytes("VmPeak") - rest_bytes
    });
    drop(ballast);
    (stepper, one_bytes, both_bytes)
}

/// 300 steps of 2 clips, in an address space that has room for one at a time, so that libtorch really runs out of
/// memory with both. There are also failures at random places. Each clip is trained on once, as in an undisturbed run
/// with the same sizes.
#[test]
fn three_hundred_steps_through_real_and_random_failures() {
    if !in_a_process_of_its_own("three_hundred_steps_through_real_and_random_failures") {
        return;
    }
    let _alone = generator_lock();
    let mut config = lite(Temporal::Mean, 0.0);
    (config.data.max_frames, config.training.batch_size) = (2, BatchSize::Clips(2));
    // There are 10 videos and five batches an epoch; the content of a clip depends on its video. All are allocated
    // before memory is limited.
    let sampler = Sampler::Shuffled((0..10).collect());
    let plan: Vec<Vec<usize>> = (0..60).flat_map(|epoch| sampler.plan(5, epoch, 2, false)).collect();
    let clips: Vec<_> = (0..10).map(|video| batch(&config, video * 97, 1).clips.remove(0)).collect();
    let of_videos = |videos: &Vec<usize>| HostBatch {
        index: 0,
        clips: videos.iter().map(|video| clips[*video].clone()).collect(),
        labels: videos.iter().map(|video| if video % 3 == 0 { Label::Fake } else { Label::Real }).collect(),
        videos: videos.clone(),
        skipped: vec![],
        fake_shares: Vec::new(),
    };
    let batches: Vec<HostBatch> = plan.iter().map(of_videos).collect();
    let mut reports: Vec<StepReport> = Vec::with_capacity(batches.len());

    let (mut disturbed, one_bytes, both_bytes) = warmed_up(&config, &batches[0]);
    assert!(both_bytes > one_bytes + (1 << 20), "{one_bytes} and {both_bytes} bytes: too close to tell anything");
    let sizes = || MicroBatchSizes::training(&config, false);
    let bottom = sizes().at(usize::MAX);
    crate::torch::release_cached_memory().unwrap();
    limit_address_space(Some(status_bytes("VmSize") + one_bytes + (both_bytes - one_bytes) / 2));

    let (mut random, mut refused, mut injected, mut grown) = (ChaCha8Rng::seed_from_u64(9), 0, 0, 0);
    for (number, batch) in batches.iter().enumerate() {
        if number % 15 == 0 {
            // As after a resume, the whole batch is tried again, and the size grows to it later.
            disturbed.guard = Guard::new("train", sizes(), Box::new(Roomy), true, 4);
        }
        let known = disturbed.guard.events().len();
        let fails = random.random_bool(0.15) && disturbed.guard.micro_batch_size() != bottom;
        FAULTS.set(if fails { vec![(random.random_range(0..2), OOM)] } else { vec![] });
        reports.push(disturbed.step(std::slice::from_ref(batch), None, 1e-4, number as i64).unwrap());
        for event in &disturbed.guard.events()[known..] {
            match event.cause {
                Cause::Headroom => grown += 1,
                _ if event.message.contains(OOM) => injected += 1,
                _ => refused += 1,
            }
        }
    }
    limit_address_space(None);
    let parts = batches.len().div_ceil(15);
    let counts = format!("{refused} times refused memory, {injected} failures put in, {grown} times grown");
    assert!(refused >= parts && injected >= parts && grown >= parts, "{counts}");
    eprintln!("{counts}");

    let (mut calm, ..) = warmed_up(&config, &batches[0]);
    for (number, report) in reports.iter().enumerate() {
        assert_eq!(report.scores.len(), plan[number].len(), "step {number}: the effective batch");
        start_at(&mut calm, &config, report.size);
        let undisturbed = calm.step(std::slice::from_ref(&batches[number]), None, 1e-4, number as i64).unwrap();
        assert_eq!(undisturbed, *report, "step {number}");
    }
    assert_same(&weights(&disturbed), &weights(&calm));
}

/// After a thousand failures with all activations in memory, the process has the size that it had after the first ones.
#[test]
fn a_thousand_recoveries_leave_nothing_behind() {
    if !in_a_process_of_its_own("a_thousand_recoveries_leave_nothing_behind") {
        return;
    }
    let _alone = generator_lock();
    let mut config = lite(Temporal::Mean, 0.0);
    config.data.max_frames = 2;
    let mut stepper = stepper(&config);
    let clips = [batch(&config, 0, 1)];
    let mut recoveries = 0;
    let mut level_bytes = 0;
    while recoveries < 1000 {
        // There is only this size.
        stepper.guard =
            Guard::new("train", MicroBatchSizes::new(1, 2, 2), Box::new(DeviceGauge::new(Device::Cpu)), true, 0);
        FAULTS.set(vec![(1, OOM)]);
        let error = stepper.step(&clips, None, 1e-4, 0).unwrap_err();
        assert!(matches!(error, StepError::Guard(GuardError::Exhausted { .. })), "{error}");
        recoveries += stepper.guard.events().len();
        if recoveries == 100 {
            level_bytes = status_bytes("VmRSS");
        }
    }
    let grown_bytes = status_bytes("VmRSS").saturating_sub(level_bytes);
    // The activations of one pass take 2 MB.
    assert!(grown_bytes < 1 << 20, "{grown_bytes} bytes more after 900 recoveries");
}

/// After a recovered failure, the state of the random generator is that without it.
#[test]
fn random_states_after_a_failure_are_those_without_it() {
    let _alone = generator_lock();
    let config = config(Temporal::LstmAttention, 0.5);
    let drawn = |seed: i64, size: MicroBatchSize, faults: Vec<(usize, &'static str)>| {
        let mut stepper = stepper(&config);
        start_at(&mut stepper, &config, size);
        FAULTS.set(faults);
        stepper.step(&[batch(&config, 0, 4)], None, 1e-3, seed).unwrap();
        Vec::<f64>::try_from(Tensor::rand([4], (tch::Kind::Double, Device::Cpu))).unwrap()
    };
    let calm = drawn(11, MicroBatchSize::whole(2), vec![]);
    assert_eq!(drawn(11, MicroBatchSize::whole(4), vec![(1, OOM)]), calm);
    assert_ne!(drawn(12, MicroBatchSize::whole(2), vec![]), calm, "the seed decides");
}
