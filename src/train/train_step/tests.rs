//! Steps under the guard; memory runs out at chosen places.

use super::*;
use crate::backbone::Backbone;
use crate::config::{BatchSize, Temporal};
use crate::dataset::Label;
use crate::memory::{Attempt, DeviceGauge, MicroBatchSizes};
use crate::model::{Detector, Draws};
use crate::torch::{OneThread, generator_lock};
use crate::train::fault::FAULTS;

mod frozen;
mod half_precision;
mod operations;
mod recovery;
mod sam;

const OOM: &str = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes";

/// Clips of 4 frames of 40 x 40 through ResNet-18, 4 in a batch, in float32.
fn config(temporal: Temporal, dropout: f64) -> Config {
    let mut config = Config::default();
    (config.model.backbone, config.model.temporal, config.model.dropout) = (Backbone::Resnet18, temporal, dropout);
    (config.model.hidden_dim, config.model.attention_heads) = (16, 2);
    (config.data.max_frames, config.data.frame_size, config.training.batch_size) = (4, [40, 40], BatchSize::Clips(4));
    config.gpu.mixed_precision = Precision::Off;
    config
}

/// The same through EfficientNet-Lite0, which has stochastic depth and dropout of its own.
fn lite(temporal: Temporal, dropout: f64) -> Config {
    let mut config = of(Backbone::EfficientnetLite0, temporal, dropout);
    config.data.frame_size = [64, 40];
    config
}

/// The same through another backbone.
fn of(backbone: Backbone, temporal: Temporal, dropout: f64) -> Config {
    let mut config = config(temporal, dropout);
    (config.model.backbone, config.data.frame_size) = (backbone, [32, 40]);
    config
}

/// Of the backbone, only norms learn.
fn norms_only(mut config: Config) -> Config {
    config.model.freeze = serde_yaml::from_str("all_but_norms").unwrap();
    config
}

/// With losses of pairs of clips.
fn with_pairs(mut config: Config) -> Config {
    (config.loss.uniformity, config.loss.alignment) = (0.5, 0.1);
    config
}

fn guard(config: &Config) -> Guard<'static> {
    Guard::new("train", MicroBatchSizes::training(config, false), Box::new(DeviceGauge::new(Device::Cpu)), true, 0)
}

/// A stepper with random weights. Hold [`generator_lock`] meanwhile.
fn stepper(config: &Config) -> Stepper<'static> {
    tch::manual_seed(3);
    let format = Format::resolve(config.gpu.mixed_precision, None);
    let detector = Detector::new(&config.model, Device::Cpu, format, config.gpu.channels_last).unwrap();
    let learner = Learner::new(&config.training, detector, None).unwrap();
    let loss = Loss::new(&config.loss, [1, 1]);
    Stepper::new(config, learner, loss, LossScaler::new(false), guard(config), Box::new(|| {})).unwrap()
}

/// A stepper for comparing sizes of passes: all backbones but ResNet-18, which would take long, compute in float64. In
/// float32, sizes of passes differ in their last bits, and a unit within them of 0 or 6 passes its ReLU6 with one size
/// and not with another: under oneDNN's SSE kernels that moved a gradient by 0.7%.
fn stepper_for_sizes(config: &Config) -> Stepper<'static> {
    let stepper = stepper(config);
    if config.model.backbone == Backbone::Resnet18 {
        return stepper;
    }
    let detector = &stepper.learner.detector;
    let parameters = detector.parameters().iter().filter(|parameter| parameter.name.starts_with("backbone."));
    let tensors = parameters.map(|parameter| &parameter.tensor);
    for tensor in tensors.chain(detector.constants().into_iter().map(|(_, constant)| constant)) {
        tensor.shallow_clone().set_data(&tensor.detach().to_kind(tch::Kind::Double));
    }
    stepper
}

/// Replaces the guard by one that starts at this size.
fn start_at(stepper: &mut Stepper, config: &Config, size: MicroBatchSize) {
    let state = crate::memory::GuardState::at(size);
    stepper.guard = guard(config).resume(&state);
    assert_eq!(stepper.guard.micro_batch_size(), size, "no such size");
}

fn chunks_of(frames: usize) -> MicroBatchSize {
    MicroBatchSize { chunk_frames: Some(frames), ..MicroBatchSize::whole(1) }
}

fn batch(config: &Config, index: usize, clips: usize) -> HostBatch {
    let clip_bytes = ClipSpec::of(&config.data).clip_bytes();
    let pixel = |i: usize| (i * 7919 % 251) as u8 ^ (i / clip_bytes * 31 + i / 4800 * 13 + index) as u8;
    let bytes: Vec<_> = (0..clips * clip_bytes).map(pixel).collect();
    let label = |clip: usize| if clip.is_multiple_of(2) { Label::Real } else { Label::Fake };
    HostBatch { index, ..HostBatch::of_bytes(&bytes, (0..clips).map(label).collect()) }
}

fn weights(stepper: &Stepper) -> Vec<Tensor> {
    stepper.learner.detector.parameters().iter().map(|parameter| parameter.tensor.detach().copy()).collect()
}

fn gradients(stepper: &Stepper) -> Vec<Tensor> {
    stepper.learner.detector.parameters().trainable().map(|p| p.tensor.grad().copy()).collect()
}

#[track_caller]
fn assert_same(a: &[Tensor], b: &[Tensor]) {
    assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equal(b)), "weights, statistics or gradients differ");
}

/// Checks that tensors differ by at most `tolerance` of their norm.
#[track_caller]
fn assert_near(a: &[Tensor], b: &[Tensor], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        let (difference, norm) = ((a - b).norm().double_value(&[]), b.norm().double_value(&[]));
        assert!(difference <= tolerance * norm, "{difference} of {norm}");
    }
}

/// Forward and backward alone, with one size. The gradients stay in the parameters.
fn forward_backward(
    stepper: &mut Stepper,
    config: &Config,
    batches: &[HostBatch],
    size: MicroBatchSize,
    mode: Mode,
) -> Gradients {
    let saved_buffers = stepper.learner.detector.parameters().copy_buffers().unwrap();
    let mut attempt = StepAttempt {
        learner: &mut stepper.learner,
        loss: &Loss::new(&config.loss, [1, 1]),
        scaler: &stepper.scaler,
        saved_buffers: &saved_buffers,
        kept_buffers: &[],
        uploads: &mut Uploads::default(),
        clean_up: &mut || {},
        home: (Device::Cpu, Format::F32),
        batches,
        next: None,
        spec: &ClipSpec::of(&config.data),
        pin_memory: false,
        seed: 7,
        precision: Precision::Off,
        mode,
    };
    attempt.attempt(size).unwrap()
}

/// The main property of the guard: a run with failures ends with the same bits as a run without.
#[test]
fn failures_leave_no_trace() {
    let _alone = generator_lock();
    let halved = (2, MicroBatchSize::whole(1));
    let chunked = (4, chunks_of(1));
    assert_failures_leave_no_trace(&config(Temporal::LstmAttention, 0.3), &[halved, chunked]);
    assert_failures_leave_no_trace(&lite(Temporal::Mean, 0.0), &[chunked]);
}

/// With so many failures, a run ends like one that holds this size from the start.
fn assert_failures_leave_no_trace(config: &Config, cases: &[(usize, MicroBatchSize)]) {
    let run = |size: MicroBatchSize, faults: Vec<(usize, &'static str)>| {
        let mut stepper = stepper(config);
        start_at(&mut stepper, config, size);
        FAULTS.set(faults);
        let step = |step: usize| stepper.step(&[batch(config, step, 4)], None, 1e-3, step as i64).unwrap();
        let reports: Vec<_> = (0..3).map(step).collect();
        (weights(&stepper), reports, stepper.guard.events().len())
    };
    // All failures are in the first step: at its start, in backward of the second micro-batch, in backward of the third
    // clip, and in the last chunk of the third clip.
    let down = [(0, OOM), (3, OOM), (5, OOM), (2 * 6 + 5, OOM)];
    for &(failures, held) in cases {
        let faults: Vec<_> = down[..failures].iter().rev().copied().collect();
        let (calm_weights, calm_reports, _) = run(held, vec![]);
        let (weights, reports, events) = run(MicroBatchSize::whole(4), faults);
        assert_eq!(events, failures);
        assert_eq!(reports, calm_reports);
        assert_same(&weights, &calm_weights);
    }
}

/// With batch norm in evaluation mode, the micro-batch size changes neither gradients nor scores.
#[test]
fn every_cut_gives_the_gradients_of_the_whole() {
    let _alone = generator_lock();
    // In float64, libtorch splits each of hundreds of groups of a convolution over its threads.
    let _one_thread = OneThread::enter();
    for (mut plain, checkpointing, tolerance) in [
        (config(Temporal::Mean, 0.3), false, 1e-5),
        (config(Temporal::LstmAttention, 0.3), false, 1e-5),
        (config(Temporal::LstmAttention, 0.3), true, 1e-5),
        (with_pairs(config(Temporal::LstmAttention, 0.3)), false, 1e-5),
        // The gradients of some of its batch norms are a thousandth of the terms that they are the sums of.
        (lite(Temporal::Mean, 0.0), true, 1e-4),
        (with_pairs(lite(Temporal::Mean, 0.0)), false, 1e-4),
        (of(Backbone::EfficientnetB0, Temporal::Mean, 0.0), true, 1e-5),
        (with_pairs(of(Backbone::ConvnextTiny, Temporal::Mean, 0.0)), true, 1e-5),
        (norms_only(of(Backbone::Dinov2Vits14, Temporal::Mean, 0.0)), true, 1e-5),
    ] {
        // Chunks of two frames leave one.
        plain.data.max_frames = 3;
        let mut config = plain.clone();
        config.model.activation_checkpointing = checkpointing;
        // Two batches of different sizes are one effective batch.
        let mut batches = [batch(&config, 0, 3), batch(&config, 1, 1)];
        let is_double = config.model.backbone != Backbone::Resnet18;
        if is_double {
            // A mixture that is more fake than real.
            batches[1].fake_shares = vec![0.75];
        }
        let of = |stepper: &mut Stepper, config: &Config, size: MicroBatchSize| {
            let Gradients { loss, scores, .. } = forward_backward(stepper, config, &batches, size, Mode::Evaluate);
            let (scores, is_fake): (Vec<_>, Vec<_>) = scores.into_iter().unzip();
            assert_eq!(is_fake, [false, true, false, is_double], "{size}");
            (loss, scores, gradients(stepper))
        };
        let (whole_loss, whole_scores, whole) = of(&mut stepper_for_sizes(&plain), &plain, MicroBatchSize::whole(4));
        let mut stepper = stepper_for_sizes(&config);
        let every = [4, 2, 1].map(MicroBatchSize::whole).into_iter().chain([chunks_of(2), chunks_of(1)]);
        // In float64, convolutions take long.
        let some = [MicroBatchSize::whole(2), chunks_of(2), chunks_of(1)];
        for size in if is_double { some.to_vec() } else { every.collect() } {
            let (loss, scores, cut_gradients) = of(&mut stepper, &config, size);
            assert!((loss - whole_loss).abs() < 1e-5 * whole_loss.abs(), "{size}: {loss} {whole_loss}");
            let scores_differ = scores.iter().zip(&whole_scores).any(|(score, whole)| (score - whole).abs() > 1e-5);
            assert!(!scores_differ, "{size}: {scores:?} {whole_scores:?}");
            assert_near(&cut_gradients, &whole, tolerance);
        }
    }
}

/// With a clip in a single chunk, recomputation gives the same numbers as one pass: dropout, batch norm, and running
/// statistics, which are updated once.
#[test]
fn a_clip_in_one_chunk_is_the_clip() {
    let _alone = generator_lock();
    for (mut config, precision, scaled, channels_last) in [
        (config(Temporal::LstmAttention, 0.3), Precision::Off, false, true),
        (config(Temporal::LstmAttention, 0.3), Precision::Off, true, false),
        (config(Temporal::LstmAttention, 0.3), Precision::Bf16, true, true),
        (lite(Temporal::LstmAttention, 0.3), Precision::Off, false, true),
        (lite(Temporal::LstmAttention, 0.3), Precision::Bf16, true, true),
    ] {
        (config.gpu.mixed_precision, config.gpu.channels_last) = (precision, channels_last);
        let of = |size: MicroBatchSize| {
            let mut stepper = stepper(&config);
            stepper.scaler = LossScaler::new(scaled);
            let Gradients { loss, .. } =
                forward_backward(&mut stepper, &config, &[batch(&config, 0, 3)], size, Mode::Train(Draws::default()));
            (loss, gradients(&stepper), weights(&stepper))
        };
        let (loss, plain, statistics) = of(MicroBatchSize::whole(1));
        let (chunk_loss, chunked, chunk_statistics) = of(chunks_of(4));
        assert_eq!(loss, chunk_loss);
        assert_near(&chunked, &plain, 1e-6);
        assert_same(&chunk_statistics, &statistics);
    }
}

#[test]
fn activation_checkpointing_changes_neither_gradients_nor_statistics() {
    let _alone = generator_lock();
    let small: [fn(Temporal, f64) -> Config; 2] = [config, lite];
    for (small, precision) in small.into_iter().flat_map(|small| [(small, Precision::Off), (small, Precision::Bf16)]) {
        let of = |checkpointing: bool, size: MicroBatchSize| {
            let mut config = small(Temporal::LstmAttention, 0.3);
            config.data.max_frames = 2;
            config.model.activation_checkpointing = checkpointing;
            config.gpu.mixed_precision = precision;
            let mut stepper = stepper(&config);
            let Gradients { loss, .. } =
                forward_backward(&mut stepper, &config, &[batch(&config, 0, 2)], size, Mode::Train(Draws::default()));
            (loss, gradients(&stepper), weights(&stepper))
        };
        for size in [MicroBatchSize::whole(2), chunks_of(1)] {
            let (loss, plain, statistics) = of(false, size);
            let (checkpointed_loss, checkpointed, checkpointed_statistics) = of(true, size);
            assert_eq!(loss, checkpointed_loss);
            assert_near(&checkpointed, &plain, 1e-6);
            assert_same(&checkpointed_statistics, &statistics);
        }
    }
}

#[test]
fn accumulated_batches_are_one_effective_batch() {
    let _alone = generator_lock();
    let config = config(Temporal::Mean, 0.0);
    let learn = |batches: &[HostBatch]| {
        let mut stepper = stepper(&config);
        start_at(&mut stepper, &config, MicroBatchSize::whole(1));
        let report = stepper.step(batches, None, 1e-3, 0).unwrap();
        (report, weights(&stepper))
    };
    // With one clip in a forward pass, it does not matter to which batch the clip belongs.
    let whole = batch(&config, 0, 3);
    let part = |from: usize, to: usize| HostBatch {
        clips: whole.clips[from..to].to_vec(),
        labels: whole.labels[from..to].to_vec(),
        videos: whole.videos[from..to].to_vec(),
        ..batch(&config, 0, 0)
    };
    let (one, one_weights) = learn(std::slice::from_ref(&whole));
    let (two, two_weights) = learn(&[part(0, 2), part(2, 3)]);
    assert_eq!(one, two);
    assert_same(&one_weights, &two_weights);
}

#[test]
fn what_is_no_out_of_memory_is_not_retried_and_moves_nothing() {
    let _alone = generator_lock();
    let config = config(Temporal::Mean, 0.0);
    for (message, can_be_saved) in [
        ("CUDA error: an illegal memory access was encountered", false),
        ("CUDA error: device-side assert triggered", false),
        ("mat1 and mat2 shapes cannot be multiplied", true),
    ] {
        let mut stepper = stepper(&config);
        let before = weights(&stepper);
        // The failure is after a forward pass, which has updated the running statistics.
        FAULTS.set(vec![(1, message)]);
        let error = stepper.step(&[batch(&config, 0, 4)], None, 1e-3, 0).unwrap_err();
        assert!(FAULTS.take().is_empty() && error.to_string().contains(message), "{error}");
        assert_eq!(error.can_be_saved(), can_be_saved, "{error}");
        assert_eq!(stepper.guard.events().len(), 0);
        if can_be_saved {
            assert_same(&weights(&stepper), &before);
        }
    }
}

#[test]
fn a_run_that_cannot_go_on_is_as_it_was_before_the_step() {
    let _alone = generator_lock();
    let config = config(Temporal::Mean, 0.0);
    let mut stepper = stepper(&config);
    let before = weights(&stepper);
    FAULTS.set(vec![(1, OOM); 5]);
    let error = stepper.step(&[batch(&config, 0, 4)], None, 1e-3, 0).unwrap_err();
    assert!(matches!(error, StepError::Guard(GuardError::Exhausted { size, .. }) if size == chunks_of(1)), "{error}");
    assert!(error.can_be_saved());
    assert_same(&weights(&stepper), &before);
}

#[test]
fn gradients_that_are_not_finite_move_nothing() {
    let _alone = generator_lock();
    let config = config(Temporal::Mean, 0.0);
    let mut stepper = stepper(&config);
    stepper.scaler = LossScaler::new(true);
    {
        let _no_grad = tch::no_grad_guard();
        let bias = stepper.learner.detector.parameters().iter().find(|p| p.name == "head.fc.bias").unwrap();
        let _ = bias.tensor.shallow_clone().fill_(f64::INFINITY);
    }
    let before = weights(&stepper);
    let report = stepper.step(&[batch(&config, 0, 4)], None, 1e-3, 0).unwrap();
    assert!(!report.updated);
    assert_same(&weights(&stepper), &before);
    assert_eq!((stepper.scaler.scale(), stepper.learner.optimizer.step_count()), (32768.0, 0));
}

#[test]
fn the_scale_of_the_loss_changes_only_rounding() {
    let _alone = generator_lock();
    let config = config(Temporal::Mean, 0.0);
    for size in [MicroBatchSize::whole(4), chunks_of(2)] {
        let norm = |enabled| {
            let mut stepper = stepper(&config);
            start_at(&mut stepper, &config, size);
            stepper.scaler = LossScaler::new(enabled);
            stepper.step(&[batch(&config, 0, 4)], None, 1e-3, 0).unwrap().grad_norm
        };
        assert!((norm(true) - norm(false)).abs() < 1e-5 * norm(false));
    }
}

/// All sizes of a GPU, tried on the CPU: the step continues on the CPU with the whole batch and the same moments.
#[test]
fn training_goes_on_on_the_cpu_where_the_device_holds_not_even_a_frame() {
    let _alone = generator_lock();
    let mut config = config(Temporal::LstmAttention, 0.0);
    config.gpu.fallback_cpu = true;
    let on_device = || {
        let mut stepper = stepper(&config);
        let gauge = Box::new(DeviceGauge::new(Device::Cpu));
        stepper.guard = Guard::new("train", MicroBatchSizes::training(&config, true), gauge, true, 0);
        stepper
    };
    let report = |stepper: &mut Stepper, step: usize| -> StepReport {
        stepper.step(&[batch(&config, step, 4)], None, 1e-3, step as i64).unwrap()
    };
    let mut fallen = on_device();
    report(&mut fallen, 0);
    // The failures are at 4, 2 and 1 clips, 2 frames, 1 frame, and 1 frame prepared on the host.
    FAULTS.set(vec![(0, OOM); 6]);
    report(&mut fallen, 1);
    assert_eq!(fallen.guard.micro_batch_size(), MicroBatchSize { on_cpu: true, ..MicroBatchSize::whole(4) });
    let mut calm = on_device();
    (0..2).for_each(|step| drop(report(&mut calm, step)));
    assert_same(&weights(&fallen), &weights(&calm));
}
