//! Heat must lie where the evidence is.
//!
//! The detectors here are not trained: their weights are set so that they see red and blue and nothing else. What
//! speaks for a verdict is then known exactly, on every CPU and with any number of threads.

use image::{Rgb, RgbImage, imageops};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Device;

use super::*;
use crate::backbone::Backbone;
use crate::config::{Config, Temporal};
use crate::torch::{Format, generator_lock};

const SQUARE: u32 = 40;
const RED: Rgb<u8> = Rgb([255, 20, 20]);
const DULL_RED: Rgb<u8> = Rgb([140, 20, 20]);
const BLUE: Rgb<u8> = Rgb([20, 20, 255]);

/// Grey noise, and squares of these colours whose corners are here.
fn frame(random: &mut ChaCha8Rng, side: u32, squares: &[(Rgb<u8>, [u32; 2])]) -> RgbImage {
    let mut frame = RgbImage::from_fn(side, side, |_, _| {
        let grey = random.random_range(60..140);
        Rgb([grey, grey, grey])
    });
    for (color, [left, top]) in squares {
        let square = RgbImage::from_pixel(SQUARE, SQUARE, *color);
        imageops::replace(&mut frame, &square, i64::from(*left), i64::from(*top));
    }
    frame
}

fn untrained(temporal: Temporal) -> Detector {
    untrained_of(Backbone::Resnet18, temporal)
}

fn untrained_of(backbone: Backbone, temporal: Temporal) -> Detector {
    let mut config = Config::default();
    (config.model.backbone, config.model.temporal, config.model.hidden_dim) = (backbone, temporal, 16);
    (config.model.num_layers, config.model.attention_heads, config.model.dropout) = (1, 2, 0.0);
    tch::manual_seed(3);
    Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap()
}

/// Sets the element of a tensor at `place`.
fn set(detector: &Detector, name: &str, place: &[i64], value: f64) {
    let parameter = detector.parameters().iter().find(|parameter| parameter.name == name).unwrap();
    let element = place.iter().fold(parameter.tensor.detach(), |tensor, index| tensor.select(0, *index));
    assert_eq!(element.numel(), 1, "{name}");
    let _ = element.shallow_clone().fill_(value);
}

/// A detector that calls red fake and blue real, and grey, by a hair, real. Channel 0 of every stage is how red a place
/// is, channel 1 how blue; all other channels are 0.
fn sees_red_and_blue(temporal: Temporal) -> Detector {
    let detector = untrained(temporal);
    let _no_grad = tch::no_grad_guard();
    for parameter in detector.parameters().iter() {
        let is_scale = ["running_var", "bn1.weight", "bn2.weight", "downsample.1.weight", "norm.weight"];
        let value = f64::from(u8::from(is_scale.iter().any(|name| parameter.name.ends_with(name))));
        let _ = parameter.tensor.detach().fill_(value);
    }
    // A colour less the mean of the two others, 0 for any grey. A 7 x 7 kernel has its centre at (3, 3).
    let pixels = Backbone::Resnet18.description().pixels;
    for (channel, color) in [(0, 0), (1, 2)] {
        let share = |other: usize| if other == color { 1.0 } else { -0.5 };
        let mut mean = 0.0;
        for other in 0..3 {
            let weight = share(other) * f64::from(pixels.std[other]);
            set(&detector, "backbone.conv1.weight", &[channel, other as i64, 3, 3], weight);
            mean += share(other) * f64::from(pixels.mean[other]);
        }
        // What rounding leaves of a grey is far below a hundredth.
        set(&detector, "backbone.bn1.bias", &[channel], mean - 0.01);
        for stage in 2..=4 {
            let projection = format!("backbone.layer{stage}.0.downsample.0.weight");
            set(&detector, &projection, &[channel, channel, 0, 0], 1.0);
        }
    }
    match temporal {
        Temporal::Mean => plant_mean(&detector),
        Temporal::LstmAttention => plant_lstm(&detector),
    }
    detector
}

fn plant_mean(detector: &Detector) {
    set(detector, "head.fc.weight", &[0, 0], 8.0);
    set(detector, "head.fc.weight", &[0, 1], -8.0);
    set(detector, "head.fc.bias", &[0], -0.05);
}

/// States 0 and 1 of both directions follow red and blue, attention goes to frames that are red, and the classifier
/// takes blue from red.
fn plant_lstm(detector: &Detector) {
    let hidden = 16;
    for direction in ["", "_reverse"] {
        for color in 0..2 {
            // The third of the gates i, f, g, o; the others are at one half.
            set(detector, &format!("head.lstm.weight_ih_l0{direction}"), &[2 * hidden + color, color], 4.0);
        }
    }
    let width = 2 * hidden;
    // Every query asks for the first place of a key, which is state 0.
    set(detector, "head.attention.in_proj_bias", &[0], 8.0);
    set(detector, "head.attention.in_proj_weight", &[width, 0], 4.0);
    for color in 0..2 {
        for state in [color, hidden + color] {
            set(detector, "head.attention.in_proj_weight", &[2 * width + state, state], 1.0);
            set(detector, "head.attention.out_proj.weight", &[state, state], 1.0);
            let sign = if color == 0 { 1.0 } else { -1.0 };
            set(detector, "head.classifier.0.weight", &[0, state], sign);
            set(detector, "head.classifier.0.weight", &[1, state], -sign);
        }
    }
    // States of a fixed size beside which the norm leaves red and blue their own; alone they would always come out as
    // 1.
    set(detector, "head.attention.out_proj.bias", &[2], 1.0);
    set(detector, "head.attention.out_proj.bias", &[3], -1.0);
    set(detector, "head.classifier.3.weight", &[0, 0], 1.0);
    set(detector, "head.classifier.3.weight", &[0, 1], -1.0);
    set(detector, "head.classifier.3.bias", &[0], -0.05);
}

/// The same of a Vision Transformer: channels 0 and 1 of a patch's token are how red and how blue it is, and the last
/// block brings their means to the class token. All other blocks do nothing.
fn transformer_that_sees_red_and_blue() -> Detector {
    let detector = untrained_of(Backbone::Dinov2Vits14, Temporal::Mean);
    let _no_grad = tch::no_grad_guard();
    for parameter in detector.parameters().iter() {
        let is_scale = ["norm1.weight", "norm2.weight", "layernorm.weight", "lambda1"];
        let value = f64::from(u8::from(is_scale.iter().any(|name| parameter.name.ends_with(name))));
        let _ = parameter.tensor.detach().fill_(value);
    }
    let pixels = Backbone::Dinov2Vits14.description().pixels;
    let patches = |tensor: &str| format!("backbone.embeddings.patch_embeddings.projection.{tensor}");
    for (channel, color) in [(0, 0), (1, 2)] {
        let share = |other: usize| if other == color { 1.0 } else { -0.5 };
        let mut mean = 0.0;
        for other in 0..3 {
            let weight = share(other) * f64::from(pixels.std[other]) / 196.0;
            for (row, column) in (0..14).flat_map(|row| (0..14).map(move |column| (row, column))) {
                set(&detector, &patches("weight"), &[channel, other as i64, row, column], weight);
            }
            mean += share(other) * f64::from(pixels.mean[other]);
        }
        set(&detector, &patches("bias"), &[channel], mean - 0.01);
        set(&detector, "backbone.encoder.layer.11.attention.attention.value.weight", &[channel, channel], 1.0);
        set(&detector, "backbone.encoder.layer.11.attention.output.dense.weight", &[channel, channel], 1.0);
    }
    // Channels of a fixed size beside which the norms leave red and blue their own.
    for (channel, value) in [(2, 5.0), (3, -5.0)] {
        set(&detector, &patches("bias"), &[channel], value);
        set(&detector, "backbone.embeddings.cls_token", &[0, 0, channel], value);
    }
    plant_mean(&detector);
    detector
}

/// The sum of a frame's heat, the share of it that lies in the square or within half a cell of the last maps around it,
/// and its centre of mass.
fn heat_around(explanation: &Explanation, frame: usize, [left, top]: [u32; 2]) -> (f32, f32, [f32; 2]) {
    let side = explanation.frames[frame].width();
    let is_near = |at: u32, start: u32| at + 16 >= start && at < start + SQUARE + 16;
    let (mut all, mut inside, mut center) = (0.0, 0.0, [0.0; 2]);
    for (i, heat) in explanation.heat[frame].iter().enumerate() {
        let [x, y] = [i as u32 % side, i as u32 / side];
        all += heat;
        inside += if is_near(x, left) && is_near(y, top) { *heat } else { 0.0 };
        center = [center[0] + heat * x as f32, center[1] + heat * y as f32];
    }
    (all, inside / all, center.map(|sum| sum / all))
}

#[track_caller]
fn assert_lies_on(explanation: &Explanation, frame: usize, square: [u32; 2], what: &str) {
    let (_, inside, center) = heat_around(explanation, frame, square);
    assert!(inside > 0.9, "{what}, frame {frame}: {inside} of the heat is on the square");
    for (center, start) in center.into_iter().zip(square) {
        let middle = (start + SQUARE / 2) as f32;
        // A square of 40 pixels covers one or two cells of 32 in a row: their middle is up to 16 pixels from its own.
        assert!((center - middle).abs() <= 16.0, "{what}, frame {frame}: the heat's middle is {center}, not {middle}");
    }
}

#[test]
fn heat_lies_on_the_planted_evidence_and_moves_with_it() {
    let _alone = generator_lock();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let heads = [Temporal::Mean, Temporal::LstmAttention];
    let detectors = heads.map(|temporal| (format!("{temporal:?}"), sees_red_and_blue(temporal)));
    let transformer = ("transformer".to_owned(), transformer_that_sees_red_and_blue());
    for (temporal, detector) in detectors.into_iter().chain([transformer]) {
        // The second size is not made of whole cells.
        for side in [128, 112] {
            let far = side - SQUARE;
            for squares in [[[0, 0], [far, far]], [[far, 0], [0, far]], [[44, 30], [12, 50]]] {
                let what = format!("{temporal}, {side} pixels, {squares:?}");
                // In both frames a red square, and a blue one at the other's place.
                let [a, b] = squares;
                let pixels = [[a, b], [b, a]].map(|[red, blue]| frame(&mut random, side, &[(BLUE, blue), (RED, red)]));
                let for_fake = explain_clip(&detector, pixels.to_vec(), true).unwrap();
                let for_real = explain_clip(&detector, pixels.to_vec(), false).unwrap();
                for number in 0..2 {
                    assert_lies_on(&for_fake, number, squares[number], &format!("{what}, fake"));
                    assert_lies_on(&for_real, number, squares[1 - number], &format!("{what}, real"));
                }
            }
        }
    }
}

/// Heat is relative to the clip: a frame that speaks half as loud is half as hot, and one without evidence is cold.
#[test]
fn a_frame_is_as_hot_as_it_counts() {
    let _alone = generator_lock();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for temporal in [Temporal::Mean, Temporal::LstmAttention] {
        let detector = sees_red_and_blue(temporal);
        let at = [30, 44];
        let frames = [&[(RED, at)][..], &[], &[(DULL_RED, at)]].map(|squares| frame(&mut random, 128, squares));
        let explanation = explain_clip(&detector, frames.to_vec(), true).unwrap();
        assert!(explanation.score > 0.5, "{temporal:?}: {}", explanation.score);
        let most = |frame: usize| explanation.heat[frame].iter().copied().fold(0.0, f32::max);
        assert_eq!((most(0), most(1)), (1.0, 0.0), "{temporal:?}");
        assert!((0.4..0.7).contains(&most(2)), "{temporal:?}: {}", most(2));
        if temporal == Temporal::Mean {
            let redness = |color: Rgb<u8>| f32::from(color.0[0] - color.0[1]) / 255.0 - 0.01;
            assert!((most(2) - redness(DULL_RED) / redness(RED)).abs() < 1e-4, "{}", most(2));
        }
        let attention = explanation.attention;
        assert_eq!(attention.is_some(), temporal == Temporal::LstmAttention);
        if let Some(weights) = attention {
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{weights:?}");
            assert!(weights[0] > weights[1] && weights[0] > 1.0 / 3.0, "the red frame is looked at most: {weights:?}");
        }
        let grey = explain_clip(&detector, vec![frame(&mut random, 128, &[])], false).unwrap();
        assert!(grey.score < 0.5, "{temporal:?}: {}", grey.score);
    }
}

/// A verdict that comes from a bias alone is explained by no place.
#[test]
fn where_nothing_speaks_for_the_verdict_nothing_is_hot() {
    let none = Tensor::zeros([2, 3, 4, 4], (Kind::Float, Device::Cpu));
    let heat_nhw = heat(&none, &none, Backbone::Resnet18.description().cell_grid(), [100, 128]).unwrap();
    assert_eq!(Vec::<f32>::try_from(heat_nhw.flatten(0, -1)).unwrap(), vec![0.0; 2 * 100 * 128]);
}

#[test]
fn scores_are_those_of_a_plain_pass_and_nothing_stays_behind() {
    let _alone = generator_lock();
    let detector = untrained(Temporal::LstmAttention);
    let mut random = ChaCha8Rng::seed_from_u64(4);
    // More frames than fit in a pass.
    let frames: Vec<_> = (0..11).map(|_| frame(&mut random, 128, &[])).collect();
    let explanation = explain_clip(&detector, frames.clone(), true).unwrap();
    let plain = {
        let _no_grad = tch::no_grad_guard();
        let frames_bthwc = pixels(&frames).unwrap().unsqueeze(0);
        detector.forward(&frames_bthwc, Mode::Evaluate).unwrap()
    };
    assert!((explanation.score - plain.clips_b.sigmoid().double_value(&[0])).abs() < 1e-6);
    assert_eq!(explanation.frame_scores.len(), 11);
    assert!((explanation.frame_scores[10] - plain.frames_bt.sigmoid().double_value(&[0, 10])).abs() < 1e-6);
    assert!(detector.parameters().trainable().all(|parameter| !parameter.tensor.grad().defined()));
    assert!(explanation.heat.iter().flatten().all(|heat| (0.0..=1.0).contains(heat)));
    let sheet = explanation.contact_sheet("a clip", Some(0.0..2.0));
    assert!(sheet.width() > 8 * 192 && explanation.overlays().len() == 11);
}
