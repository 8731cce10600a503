//! Weights and pixels that follow from integers: the other half of `scripts/make_resnet_fixture.py`,
//! `make_lite_fixture.py`, `make_torchvision_fixture.py`, `make_timm_fixture.py`, `make_transformers_fixture.py` and
//! `make_curve_fixture.py`.

use dfdetect::backbone::{Backbone, Pooling};
use dfdetect::model::{Detector, Parameter, Role};
use tch::Tensor;

/// The script's numbers in -0.5 .. 0.5.
pub fn pattern(count: usize, salt: usize) -> Tensor {
    let value = |i: usize| {
        let mask = 0xFFFF_FFFF_u64;
        let mut h = (i as u64 * 2_654_435_761 + salt as u64 * 40_503) & mask;
        h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519) & mask;
        h = (h ^ (h >> 13)).wrapping_mul(3_266_489_917) & mask;
        (h ^ (h >> 16)) as f64 / 4_294_967_296.0 - 0.5
    };
    Tensor::from_slice(&(0..count).map(value).collect::<Vec<_>>())
}

pub fn set(parameter: &Parameter, values: &Tensor) {
    parameter.tensor.shallow_clone().copy_(&values.view(parameter.tensor.size().as_slice()));
}

/// The scale of a norm, as the scripts set it: residual branches stay small, ReLU6 has something to cut off behind the
/// stem and the head, and what SiLU shrinks is enlarged.
fn level(name: &str, backbone: Backbone) -> f64 {
    let is_tf = matches!(backbone, Backbone::TfEfficientnetB4 | Backbone::DeepfakebenchEfficientnetB4);
    match name {
        _ if name.ends_with("layer_scale") || name.contains("._bn2.") => 0.5,
        _ if is_tf && name.starts_with("backbone._blocks") => 1.5,
        _ if name.contains(".block.2.1.") || name.contains(".block.3.1.") => 0.3,
        _ if name.starts_with("backbone.features.") && name.ends_with(".1.weight") => 2.0,
        _ if name.starts_with("backbone._bn") => 2.5,
        _ if name.contains(".layer") && !name.contains("downsample") => 0.15,
        _ => 1.0,
    }
}

/// The weights of the other scripts, whose salts follow the order of the layers.
fn fill_in_order(detector: &Detector, of: Backbone) {
    let _no_grad = tch::no_grad_guard();
    let backbone = || detector.parameters().iter().filter(|p| p.name.starts_with("backbone."));
    for (salt, parameter) in backbone().filter(|p| p.role == Role::Trained).enumerate() {
        let (size, count) = (parameter.tensor.size(), parameter.tensor.numel());
        let values = pattern(count, salt);
        if [2, 4].contains(&size.len()) {
            let fan_in = (count as i64 / size[0]) as f64;
            set(parameter, &(values * (24.0 / fan_in).sqrt()));
        } else {
            set(
                parameter,
                &(values * 0.2
                    + if parameter.name.ends_with("weight") || parameter.name.ends_with("layer_scale") {
                        level(&parameter.name, of)
                    } else {
                        0.0
                    }),
            );
        }
    }
    for (salt, parameter) in backbone().filter(|p| p.role == Role::Buffer).enumerate() {
        let values = pattern(parameter.tensor.numel(), salt);
        set(parameter, &(values * 0.2 + f64::from(u8::from(parameter.name.ends_with("var")))));
    }
}

/// The weights of the script that makes the fixture of this backbone.
pub fn fill(detector: &Detector, backbone: Backbone) {
    match backbone {
        Backbone::Xception => fill_xception(detector),
        _ if backbone.description().pooling == Pooling::ClassToken => fill_transformer(detector),
        _ => fill_in_order(detector, backbone),
    }
}

/// The weights of `make_transformers_fixture.py`.
fn fill_transformer(detector: &Detector) {
    let is_scale = |name: &str| name.ends_with("weight") || name.ends_with("lambda1");
    fill_by_name(detector, 6.0, |name| f64::from(u8::from(is_scale(name))));
}

/// The weights of `make_timm_fixture.py`.
fn fill_xception(detector: &Detector) {
    let is_last =
        |name: &str| [".rep.4.weight", ".rep.5.weight", ".rep.8.weight"].iter().any(|end| name.ends_with(end));
    fill_by_name(detector, 24.0, |name| match name {
        _ if is_last(name) => 0.3,
        _ if name.ends_with("weight") || name.ends_with("running_var") => 1.0,
        _ => 0.0,
    });
}

/// Salts follow the names; `center` is what the numbers of a vector lie around.
fn fill_by_name(detector: &Detector, gain: f64, center: impl Fn(&str) -> f64) {
    let _no_grad = tch::no_grad_guard();
    for role in [Role::Trained, Role::Buffer] {
        let all = detector.parameters().iter().filter(|p| p.name.starts_with("backbone.") && p.role == role);
        let mut parameters: Vec<_> = all.collect();
        parameters.sort_by_key(|parameter| &parameter.name);
        for (salt, parameter) in parameters.into_iter().enumerate() {
            let (size, count) = (parameter.tensor.size(), parameter.tensor.numel());
            let values = pattern(count, salt);
            if [2, 4].contains(&size.len()) {
                set(parameter, &(values * (gain / (count as i64 / size[0]) as f64).sqrt()));
            } else {
                set(parameter, &(values * 0.2 + center(&parameter.name)));
            }
        }
    }
}
