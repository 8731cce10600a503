//! Whole runs of steps: at random places, under a real limit, over and over.
//!
//! What limits or measures the memory of its process runs in a process of its own: this test binary once more, with one
//! test.

use std::process::Command;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;
use crate::config::OptimizerChoice;
use crate::data::Sampler;
use crate::memory::{Cause, OomEvent};
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
    // One heap, and large tensors outside of it: then the address space taken follows what tensors need.
    command.env(ALONE, "1").env("MALLOC_ARENA_MAX", "1").env("MALLOC_MMAP_THRESHOLD_", "262144");
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

fn limit_address_space(bytes: Option<u64>) {
    setrlimit(Resource::As, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// An optimizer of few weights moves fast, and gradients of all of them are still checked by their norm.
fn light_stepper(config: &Config) -> Stepper {
    let mut stepper = stepper(config);
    let light = |name: &str| name.starts_with("head.") || name.contains("layer1.") || name.contains(".bn");
    let named = stepper.learner.detector.parameters().trainable().map(|p| (p.name.as_str(), &p.tensor));
    let groups = ParameterGroups::new(named.filter(|(name, _)| light(name)), 1e-4, 1.0);
    let optimizer = optimizer(OptimizerChoice::Adamw, groups).unwrap();
    stepper.learner.optimizer = optimizer;
    stepper
}

/// 300 steps in an address space that does not hold the batch, and memory made to run out at random places of random
/// steps besides: each step learns from its clips once, as a run does that is never disturbed and has the same sizes.
#[test]
fn three_hundred_steps_through_real_and_random_failures() {
    if !in_a_process_of_its_own("three_hundred_steps_through_real_and_random_failures") {
        return;
    }
    let mut config = config(Temporal::Mean, 0.0);
    (config.data.max_frames, config.training.batch_size) = (2, 12);
    // 24 videos, two batches an epoch; what a clip shows follows from its video.
    let sampler = Sampler::Shuffled((0..24).collect());
    let batches = |epoch: u32| sampler.plan(5, epoch, 12, false);
    let plan: Vec<Vec<usize>> = (0..150).flat_map(batches).collect();
    let clip = |video: usize| batch(&config, video * 97, 1).frames_bthwc;
    let of_videos = |videos: &[usize]| HostBatch {
        index: 0,
        frames_bthwc: videos.iter().flat_map(|video| clip(*video)).collect(),
        labels: videos.iter().map(|video| if video % 3 == 0 { Label::Fake } else { Label::Real }).collect(),
        videos: videos.to_vec(),
        skipped: vec![],
    };
    // Warm: a step in the smallest size has taken what every step needs.
    let mut stepper = light_stepper(&config);
    start_at(&mut stepper, &config, chunks_of(1));
    stepper.run(&[of_videos(&plan[0])], 1e-4, 0).unwrap();
    let mut disturbed = light_stepper(&config);
    drop(stepper);
    limit_address_space(Some(status_bytes("VmSize") + (16 << 20)));

    let mut random = ChaCha8Rng::seed_from_u64(9);
    let failing: Vec<usize> = (0..3).map(|_| random.random_range(0..plan.len())).collect();
    let mut cuts = Vec::new();
    let mut scores = Vec::new();
    for (step, videos) in plan.iter().enumerate() {
        FAULTS.set(if failing.contains(&step) { vec![(random.random_range(0..14), OOM)] } else { vec![] });
        let report = disturbed.run(&[of_videos(videos)], 1e-4, step as i64).unwrap();
        cuts.push(report.cut);
        scores.push(report.gradients.scores);
    }
    limit_address_space(None);
    let messages: Vec<_> = disturbed.guard.events().iter().map(|event| event.message.as_str()).collect();
    let injected = messages.iter().filter(|message| message.ends_with("allocate 1 bytes")).count();
    assert!(messages.len() > injected && injected >= 2, "both kinds of failures: {messages:?}");
    eprintln!("{messages:#?}, {:?}", disturbed.guard.cut());

    let mut calm = light_stepper(&config);
    for (step, videos) in plan.iter().enumerate() {
        start_at(&mut calm, &config, cuts[step]);
        let report = calm.run(&[of_videos(videos)], 1e-4, step as i64).unwrap();
        assert_eq!(report.gradients.scores, scores[step], "step {step}");
    }
    assert_same(&weights(&disturbed), &weights(&calm));
}

/// A thousand failures half way through a backward pass, and the memory of the process is where it was after the first.
#[test]
fn a_thousand_recoveries_leave_nothing_behind() {
    if !in_a_process_of_its_own("a_thousand_recoveries_leave_nothing_behind") {
        return;
    }
    let config = config(Temporal::Mean, 0.0);
    let mut stepper = light_stepper(&config);
    let clip = batch(&config, 0, 1);
    let mut events: Vec<OomEvent> = Vec::new();
    let mut level_bytes = 0;
    while events.len() < 1000 {
        // The clip after its forward pass, and its halves in the backward pass of the second; its frames hold.
        stepper.guard = guard(&config);
        FAULTS.set(vec![(5, OOM), (1, OOM)]);
        stepper.run(std::slice::from_ref(&clip), 1e-4, 0).unwrap();
        events.extend_from_slice(stepper.guard.events());
        if events.len() == 100 {
            level_bytes = status_bytes("VmRSS");
        }
    }
    let grown_bytes = status_bytes("VmRSS").saturating_sub(level_bytes);
    eprintln!("{grown_bytes} bytes more after 900 recoveries");
    assert!(grown_bytes < 2 << 20, "{grown_bytes} bytes more after 900 recoveries");
    assert!(events.iter().all(|event| event.cause == Cause::OutOfMemory));
}

/// Random states after a recovered failure are those of a run without it.
#[test]
fn random_states_after_a_failure_are_those_without_it() {
    let _alone = generator_lock();
    let config = config(Temporal::LstmAttention, 0.5);
    let drawn = |cut: Cut, faults: Vec<(usize, &'static str)>| {
        let mut stepper = stepper(&config);
        start_at(&mut stepper, &config, cut);
        FAULTS.set(faults);
        stepper.run(&[batch(&config, 0, 4)], 1e-3, 11).unwrap();
        Vec::<f64>::try_from(Tensor::rand([4], (tch::Kind::Double, Device::Cpu))).unwrap()
    };
    assert_eq!(drawn(Cut::whole(4), vec![(1, OOM)]), drawn(Cut::whole(2), vec![]));
    assert_ne!(drawn(Cut::whole(2), vec![]), drawn(Cut::whole(1), vec![]), "dropout draws by forward pass");
}
