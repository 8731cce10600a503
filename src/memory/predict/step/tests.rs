//! Predictions against measured steps, and their properties.

use proptest::prelude::*;

use super::*;
use crate::backbone::Backbone;
use crate::config::Temporal;

fn config(backbone: Backbone, frames: usize, side: usize) -> Config {
    let mut config = Config::default();
    config.model.backbone = backbone;
    config.model.temporal = Temporal::Mean;
    config.data.max_frames = frames;
    config.data.frame_size = [side, side];
    config
}

/// Memory of real steps of this program in MiB, printed by benches/estimate.rs on a 2-core AVX-512 CPU on 2026-11-25:
/// bytes in use, and resident memory with the holes of the heap. Both include the code of libraries, at most 20 MiB
/// there. The percentage for holes was fitted to other settings. One setting is further off (resident memory of a
/// ResNet-34 in f32 on 2 x 8 x 192); docs/benchmarks.md has it with all others.
#[test]
fn predictions_are_what_was_measured() {
    use Backbone::{
        ConvnextTiny, EfficientnetB0, EfficientnetB4, EfficientnetLite0 as Lite0, EfficientnetLite2 as Lite2,
    };
    use Backbone::{Resnet18, Resnet34, Resnet50, Resnet101};
    use Format::{Bf16, F32};
    use Temporal::{LstmAttention, Mean};
    type Predict = fn(&Config, usize, DeviceKind, Format) -> Estimate;
    let (train, evaluate): (Predict, Predict) = (training_step, evaluation_step);
    for (predict, backbone, clips, frames, side, format, temporal, in_use_mib, resident_mib) in [
        (train, Resnet18, 2, 4, 96, F32, Mean, 257, 274),
        (train, Resnet18, 3, 8, 160, F32, Mean, 486, 638),
        (train, Resnet18, 1, 16, 224, Bf16, Mean, 431, 551),
        (train, Resnet18, 6, 8, 128, F32, LstmAttention, 822, 1001),
        (train, Resnet18, 4, 16, 112, Bf16, LstmAttention, 708, 798),
        (train, Resnet34, 4, 8, 128, Bf16, LstmAttention, 865, 919),
        (train, Resnet50, 1, 8, 160, F32, Mean, 758, 824),
        (train, Resnet50, 3, 4, 224, F32, LstmAttention, 1782, 2114),
        (train, Resnet50, 2, 12, 160, Bf16, LstmAttention, 1366, 1674),
        (train, Resnet101, 2, 4, 160, F32, Mean, 1218, 1332),
        (train, Resnet34, 1, 8, 160, Bf16, LstmAttention, 763, 776),
        (evaluate, Resnet101, 2, 8, 160, Bf16, Mean, 228, 242),
        (evaluate, Resnet34, 6, 8, 128, F32, Mean, 206, 212),
        (evaluate, Resnet50, 6, 8, 128, Bf16, LstmAttention, 288, 337),
        // On an AVX2 CPU on 2026-11-29, without the code of libraries.
        (train, Lite0, 4, 8, 112, F32, Mean, 545, 616),
        (train, Lite0, 2, 8, 224, F32, Mean, 1033, 1188),
        (train, Lite0, 16, 1, 112, F32, Mean, 311, 363),
        (train, Lite2, 2, 4, 260, F32, Mean, 936, 1122),
        // On an AVX-512 CPU on 2026-11-30, without the code of libraries.
        (train, EfficientnetB0, 4, 8, 112, F32, Mean, 774, 849),
        (train, EfficientnetB0, 3, 8, 128, Bf16, LstmAttention, 760, 818),
        (train, EfficientnetB4, 1, 4, 224, F32, Mean, 1162, 1292),
        (train, EfficientnetB4, 1, 2, 380, F32, Mean, 1553, 1651),
        (train, ConvnextTiny, 2, 4, 224, F32, Mean, 1299, 1439),
        (train, ConvnextTiny, 2, 8, 128, Bf16, LstmAttention, 1087, 1220),
    ] {
        let mut config = config(backbone, frames, side);
        config.model.temporal = temporal;
        let estimate = predict(&config, clips, DeviceKind::Cpu, format);
        let ratio = |bytes: u64, measured_mib: u32| bytes as f64 / f64::from(measured_mib) / MIB as f64;
        let in_use = ratio(estimate.peak_bytes - estimate.breakdown.other, in_use_mib);
        let resident = ratio(estimate.peak_bytes, resident_mib);
        let what = format!("{backbone:?}, {clips} x {frames} x {side}, {format:?}: {in_use:.3} and {resident:.2}");
        assert!((0.93..1.08).contains(&in_use), "{what}: {:?}", estimate.breakdown);
        assert!((0.85..1.15).contains(&resident), "{what}: {:?}", estimate.breakdown);
    }
}

/// Of Vision Transformers, on an AVX-512 CPU on 2026-11-30, without the code of libraries: in use, and resident. Their
/// percentages for holes were fitted to these settings.
#[test]
fn frozen_linear_layers_keep_nothing() {
    use Backbone::{Dinov2Vitb14, Dinov2Vits14, VitB16Clip, VitL14Clip};
    use Format::{Bf16, F32};
    for (backbone, freeze, recomputing, clips, frames, side, format, in_use_mib, resident_mib) in [
        (VitB16Clip, "none", false, 2, 4, 224, F32, 2259, 2686),
        (VitB16Clip, "none", false, 1, 8, 160, Bf16, 1794, 1859),
        (VitB16Clip, "all_but_norms", false, 2, 8, 224, F32, 1541, 2032),
        (VitB16Clip, "none", true, 2, 8, 224, F32, 1657, 2183),
        (Dinov2Vits14, "all_but_norms", false, 4, 8, 224, Bf16, 1069, 1574),
        (Dinov2Vitb14, "none", false, 1, 4, 224, F32, 2015, 2191),
        (Dinov2Vitb14, "all_but_norms", false, 2, 6, 182, F32, 1113, 1591),
        (VitL14Clip, "none", false, 1, 2, 224, F32, 5447, 5922),
    ] {
        let mut config = config(backbone, frames, side);
        config.model.freeze = serde_yaml::from_str(freeze).unwrap();
        config.model.activation_checkpointing = recomputing;
        let estimate = training_step(&config, clips, DeviceKind::Cpu, format);
        let ratio = |bytes: u64, measured_mib: u32| bytes as f64 / f64::from(measured_mib) / MIB as f64;
        let in_use = ratio(estimate.peak_bytes - estimate.breakdown.other, in_use_mib);
        let resident = ratio(estimate.peak_bytes, resident_mib);
        let what = format!("{backbone:?}, {freeze}, {clips} x {frames} x {side}: {in_use:.3} and {resident:.2}");
        assert!((0.95..1.06).contains(&in_use), "{what}: {:?}", estimate.breakdown);
        assert!((0.9..1.1).contains(&resident), "{what}: {:?}", estimate.breakdown);
    }
}

/// Parts before the first that learns need nothing in backward.
#[test]
fn a_frozen_backbone_keeps_the_frames_and_what_the_head_keeps() {
    let mut config = config(Backbone::Resnet50, 8, 224);
    let activations = |config: &Config| training_step(config, 4, DeviceKind::Cuda, Format::F32).breakdown.activations;
    let all = activations(&config);
    config.model.freeze = serde_yaml::from_str("[stem, layer1]").unwrap();
    assert!((0.5..0.8).contains(&(activations(&config) as f64 / all as f64)), "{} of {all}", activations(&config));
    config.model.freeze = serde_yaml::from_str("backbone").unwrap();
    let frames_bytes = 32 * 3 * 224 * 224 * 4;
    assert!((frames_bytes..frames_bytes + MIB).contains(&activations(&config)), "{}", activations(&config));
}

/// Evaluation of EfficientNet-Lites, measured on 2026-11-29 without the code of libraries, which the prediction
/// includes.
#[test]
fn evaluation_of_lites_takes_what_was_measured_and_the_code_of_libraries() {
    use Backbone::{EfficientnetLite0 as Lite0, EfficientnetLite1 as Lite1, EfficientnetLite2 as Lite2};
    use Temporal::{LstmAttention, Mean};
    for (backbone, clips, frames, side, temporal, measured_mib) in [
        (Lite0, 16, 1, 112, Mean, 61),
        (Lite0, 4, 8, 112, Mean, 105),
        (Lite0, 2, 8, 224, Mean, 192),
        (Lite2, 2, 4, 260, Mean, 141),
        (Lite2, 2, 6, 192, LstmAttention, 192),
        (Lite1, 2, 8, 160, LstmAttention, 182),
    ] {
        let mut config = config(backbone, frames, side);
        config.model.temporal = temporal;
        let estimate = evaluation_step(&config, clips, DeviceKind::Cpu, Format::F32);
        let code_mib = (estimate.peak_bytes - estimate.breakdown.other) as f64 / MIB as f64 - f64::from(measured_mib);
        assert!((20.0..30.0).contains(&code_mib), "{backbone:?}, {clips} x {frames} x {side}: {code_mib:.1}");
    }
}

#[test]
fn recomputing_halves_the_activations() {
    let share = |backbone| {
        let mut config = config(backbone, 8, 224);
        let plain = training_step(&config, 4, DeviceKind::Cuda, Format::F32).breakdown;
        config.model.activation_checkpointing = true;
        let recomputing = training_step(&config, 4, DeviceKind::Cuda, Format::F32).breakdown;
        assert_eq!(recomputing.weights + recomputing.optimizer, plain.weights + plain.optimizer);
        recomputing.activations as f64 / plain.activations as f64
    };
    for backbone in [Backbone::Resnet18, Backbone::Resnet101] {
        assert!((0.4..0.55).contains(&share(backbone)), "{backbone:?}: {:.2}", share(backbone));
    }
}

#[test]
fn the_parts_add_up_and_follow_their_meaning() {
    let config = Config::default();
    let parameters = parameter_count(&config.model);
    let f32 = training_step(&config, 2, DeviceKind::Cuda, Format::F32);
    let fp16 = training_step(&config, 2, DeviceKind::Cuda, Format::Fp16);
    for estimate in [f32, fp16] {
        let parts = estimate.breakdown;
        let sum = parts.weights + parts.gradients + parts.optimizer + parts.activations;
        assert_eq!(estimate.peak_bytes, sum + parts.workspace + parts.context + parts.other);
        assert_eq!((parts.gradients, parts.optimizer), (4 * parameters, 8 * parameters));
    }
    let (backbone, _) = network(&config.model, config.data.max_frames, config.data.frame_size);
    assert_eq!(fp16.breakdown.weights - f32.breakdown.weights, 2 * backbone.parameters());
    let share = fp16.breakdown.activations as f64 / f32.breakdown.activations as f64;
    assert!((0.5..0.55).contains(&share), "pool positions and input stay as they are: {share}");
}

#[test]
fn optimizers_take_their_moments_and_sam_a_copy_of_the_weights() {
    use OptimizerChoice::{Adam, Adamw, Sam, Sgd};
    for (optimizer, bytes) in [(Adamw, 8), (Adam, 8), (Sgd, 4), (Sam, 4 + 4)] {
        let mut config = Config::default();
        config.training.optimizer = optimizer;
        let estimate = training_step(&config, 2, DeviceKind::Cpu, Format::F32);
        assert_eq!(estimate.breakdown.optimizer, bytes * parameter_count(&config.model), "{optimizer:?}");
    }
}

#[test]
fn evaluation_needs_far_less_than_training() {
    let config = Config::default();
    for device in [DeviceKind::Cpu, DeviceKind::Cuda] {
        let train = training_step(&config, 4, device, Format::F32);
        let evaluate = evaluation_step(&config, 4, device, Format::F32);
        assert_eq!((evaluate.breakdown.gradients, evaluate.breakdown.optimizer), (0, 0));
        assert!(evaluate.peak_bytes < train.peak_bytes / 3, "{device:?}");
    }
}

#[test]
fn a_step_has_the_frames_that_an_epoch_draws_and_evaluation_has_all() {
    for temporal in [Temporal::Mean, Temporal::LstmAttention] {
        let mut config = config(Backbone::EfficientnetLite0, 16, 112);
        config.model.temporal = temporal;
        let mut drawn = config.clone();
        drawn.data.frames_per_epoch = Some(4);
        let whole = [training_step, evaluation_step].map(|predict| predict(&config, 3, DeviceKind::Cpu, Format::F32));
        config.data.max_frames = 4;
        let short = training_step(&config, 3, DeviceKind::Cpu, Format::F32);
        assert_eq!(training_step(&drawn, 3, DeviceKind::Cpu, Format::F32), short);
        assert_eq!(evaluation_step(&drawn, 3, DeviceKind::Cpu, Format::F32), whole[1]);
        assert!(short.breakdown.activations < whole[0].breakdown.activations / 3);
    }
}

#[test]
fn only_cuda_has_a_context_and_autotuning_costs_workspace() {
    let mut config = Config::default();
    let part = |config: &Config, device| training_step(config, 1, device, Format::F32).breakdown;
    assert_eq!(part(&config, DeviceKind::Cpu).context, 0);
    assert!(part(&config, DeviceKind::Cuda).context > 0);
    let tuned = part(&config, DeviceKind::Cuda).workspace;
    config.gpu.cudnn_benchmark = false;
    assert!(part(&config, DeviceKind::Cuda).workspace < tuned);
}

#[test]
fn on_cuda_an_lstm_takes_its_weights_gradients_and_moments_and_scratch_for_its_gradients() {
    let mut config = Config::default();
    let parts = |config: &Config| {
        let train = training_step(config, 2, DeviceKind::Cuda, Format::F32).breakdown;
        (train, evaluation_step(config, 2, DeviceKind::Cuda, Format::F32).breakdown)
    };
    config.model.temporal = Temporal::Mean;
    let (mean, mean_evaluation) = parts(&config);
    config.model.temporal = Temporal::LstmAttention;
    let (lstm, evaluation) = parts(&config);
    let (_, head) = network(&config.model, config.data.max_frames, config.data.frame_size);
    let weights_bytes = 4 * head.lstm_parameters;
    assert!(lstm.weights - mean.weights >= weights_bytes && lstm.gradients - mean.gradients >= weights_bytes);
    assert!(lstm.optimizer - mean.optimizer >= 2 * weights_bytes);
    // Eight numbers of each hidden state: four gates in two directions.
    let gates_bytes = 2 * (config.data.max_frames * 8 * config.model.hidden_dim * 4) as u64;
    assert_eq!(evaluation.workspace - mean_evaluation.workspace, gates_bytes);
    // With activations, because what the backward pass holds for a moment is no more beside those that a larger head keeps.
    let held = |breakdown: &Breakdown| breakdown.activations + breakdown.workspace;
    assert!(held(&lstm) >= held(&mean) + weights_bytes + gates_bytes, "{} and {}", held(&lstm), held(&mean));
}

#[test]
fn algorithms_are_not_timed_in_evaluation_and_where_numbers_must_be_the_same() {
    let workspace = |predict: fn(&Config, usize, DeviceKind, Format) -> Estimate, set: &dyn Fn(&mut Config)| {
        let mut config = Config::default();
        set(&mut config);
        predict(&config, 1, DeviceKind::Cuda, Format::F32).breakdown.workspace
    };
    let never: &dyn Fn(&mut Config) = &|config| config.gpu.cudnn_benchmark = false;
    assert_eq!(workspace(training_step, &|config| config.gpu.deterministic = true), workspace(training_step, never));
    assert_eq!(workspace(evaluation_step, &|_| ()), workspace(evaluation_step, never));
}

proptest! {
    #[test]
    fn more_clips_frames_or_pixels_need_more(
        clips in 1usize..40, frames in 1usize..40, height in 32usize..400, width in 32usize..400,
        deep in any::<bool>(), on_cuda in any::<bool>(), half in any::<bool>(), lstm in any::<bool>(),
    ) {
        let backbone = if deep { Backbone::Resnet50 } else { Backbone::Resnet18 };
        let device = if on_cuda { DeviceKind::Cuda } else { DeviceKind::Cpu };
        let format = if half { Format::Fp16 } else { Format::F32 };
        let mut config = config(backbone, frames, 32);
        config.data.frame_size = [height, width];
        config.model.temporal = if lstm { Temporal::LstmAttention } else { Temporal::Mean };
        let peak = |config: &Config, clips| training_step(config, clips, device, format).peak_bytes;
        let here = peak(&config, clips);
        prop_assert!(peak(&config, clips + 1) > here);
        let mut longer = config.clone();
        longer.data.max_frames += 1;
        prop_assert!(peak(&longer, clips) > here);
        for side in [0, 1] {
            let mut larger = config.clone();
            larger.data.frame_size[side] += 1;
            prop_assert!(peak(&larger, clips) > here);
        }
    }
}
