//! Heat must lie where the evidence was planted.

use image::{Rgb, RgbImage, imageops};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Device;

use super::*;
use crate::config::{Backbone, Config, Temporal};
use crate::data::Label;
use crate::optim::Loss;
use crate::torch::{Format, generator_lock};

const SIDE: u32 = 128;
const SQUARE: u32 = 40;

/// Grey noise, and on a fake a bright red square whose corner is here.
fn frame(random: &mut ChaCha8Rng, square: Option<[u32; 2]>) -> RgbImage {
    let mut frame = RgbImage::from_fn(SIDE, SIDE, |_, _| {
        let grey = random.random_range(60..140);
        Rgb([grey, grey, grey])
    });
    if let Some([left, top]) = square {
        let red = RgbImage::from_pixel(SQUARE, SQUARE, Rgb([255, 20, 20]));
        imageops::replace(&mut frame, &red, i64::from(left), i64::from(top));
    }
    frame
}

fn anywhere(random: &mut ChaCha8Rng) -> [u32; 2] {
    [0, 1].map(|_| random.random_range(0..=SIDE - SQUARE))
}

/// A detector that learned that red squares, wherever they are, make a fake.
fn taught(temporal: Temporal) -> Detector {
    let mut config = Config::default();
    (config.model.backbone, config.model.temporal, config.model.hidden_dim) = (Backbone::Resnet18, temporal, 16);
    (config.model.num_layers, config.model.attention_heads, config.model.dropout) = (1, 2, 0.0);
    tch::manual_seed(3);
    let detector = Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap();
    let named = detector.parameters().trainable().map(|parameter| (parameter.name.as_str(), &parameter.tensor));
    let groups = crate::optim::ParameterGroups::new(named, 0.0, 1.0);
    let mut optimizer = crate::optim::optimizer(crate::config::OptimizerChoice::Adamw, groups).unwrap();
    let loss = Loss::new(&config.loss, [1, 1]);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..40 {
        let labels: Vec<Label> = (0..8).map(|clip| if clip % 2 == 0 { Label::Real } else { Label::Fake }).collect();
        let is_fake: Vec<bool> = labels.iter().map(|label| *label == Label::Fake).collect();
        let mut frames = Vec::new();
        for fake in &is_fake {
            for _ in 0..2 {
                let square = fake.then(|| anywhere(&mut random));
                frames.push(frame(&mut random, square));
            }
        }
        detector.parameters().zero_gradients().unwrap();
        let frames_bthwc = pixels(&frames).unwrap().view([8, 2, i64::from(SIDE), i64::from(SIDE), 3]);
        let logits = detector.forward(&frames_bthwc, Mode::Train).unwrap();
        loss.sum(&logits.clips_b, &is_fake).unwrap().backward();
        optimizer.step(1e-3).unwrap();
    }
    detector
}

/// The share of a frame's heat that lies on the square, and whether its hottest place does; one cell of the last maps
/// around the square counts too.
fn on_square(explanation: &Explanation, frame: usize, [left, top]: [u32; 2]) -> (f32, bool) {
    let around = SIDE / 8;
    let is_near = |at: u32, start: u32| at + around >= start && at < start + SQUARE + around;
    let near = |i: usize| is_near(i as u32 % SIDE, left) && is_near(i as u32 / SIDE, top);
    let heat = &explanation.heat[frame];
    let inside: f32 = (0..heat.len()).filter(|i| near(*i)).map(|i| heat[i]).sum();
    let hottest = (0..heat.len()).max_by(|a, b| heat[*a].total_cmp(&heat[*b])).unwrap();
    (inside / heat.iter().sum::<f32>(), near(hottest))
}

#[test]
fn heat_lies_on_the_planted_evidence_and_moves_with_it() {
    let _alone = generator_lock();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let far = SIDE - SQUARE;
    for temporal in [Temporal::Mean, Temporal::LstmAttention] {
        let detector = taught(temporal);
        for squares in [[[0, 0], [far, far]], [[far, 0], [0, far]], [[44, 44], [0, 0]]] {
            let frames = squares.map(|square| frame(&mut random, Some(square))).to_vec();
            let explanation = clip(&detector, frames, true).unwrap();
            assert!(explanation.score > 0.5, "{temporal:?} {squares:?}: {}", explanation.score);
            for (number, square) in squares.into_iter().enumerate() {
                let (inside, hottest) = on_square(&explanation, number, square);
                // A fifth to a third of the frame holds most of the heat, and all of the hottest.
                assert!(inside > 0.5 && hottest, "{temporal:?} {squares:?}, frame {number}: {inside}");
            }
        }
        let real = clip(&detector, vec![frame(&mut random, None), frame(&mut random, None)], false).unwrap();
        assert!(real.score < 0.5, "{temporal:?}: {}", real.score);
        let attention = real.attention.map(|weights| weights.iter().sum::<f64>());
        assert_eq!(attention.is_some(), temporal == Temporal::LstmAttention);
        assert!(attention.is_none_or(|sum| (sum - 1.0).abs() < 1e-5), "{attention:?}");
    }
}

/// A verdict that comes from a bias alone is explained by no place.
#[test]
fn where_nothing_speaks_for_the_verdict_nothing_is_hot() {
    let none = Tensor::zeros([2, 3, 4, 4], (Kind::Float, Device::Cpu));
    let heat_nhw = heat(&none, &none, [8, 8]).unwrap();
    assert_eq!(Vec::<f32>::try_from(heat_nhw.flatten(0, -1)).unwrap(), vec![0.0; 2 * 8 * 8]);
}

#[test]
fn scores_are_those_of_a_plain_pass_and_nothing_stays_behind() {
    let _alone = generator_lock();
    let mut config = Config::default();
    (config.model.backbone, config.model.hidden_dim) = (Backbone::Resnet18, 16);
    tch::manual_seed(5);
    let detector = Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    // More frames than fit in a pass.
    let frames: Vec<_> = (0..11).map(|_| frame(&mut random, None)).collect();
    let explanation = clip(&detector, frames.clone(), true).unwrap();
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
