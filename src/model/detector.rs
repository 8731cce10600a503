//! The whole network: pixels in, logits out.

use tch::{Device, Kind, Tensor};

use super::parameters::{Parameters, Scope};
use super::resnet::ResNet;
use super::temporal::Head;
use crate::config::ModelConfig;
use crate::torch::{Autocast, Format, Result};

/// ImageNet's channel means and standard deviations, for pixels in 0..1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What the detector says; positive means fake.
#[derive(Debug)]
pub struct Logits {
    /// One a clip, `[B]`.
    pub clips_b: Tensor,
    /// One a frame, `[B, T]`; for reading, not for training.
    pub frames_bt: Tensor,
}

/// A deepfake detector for clips of T frames.
#[derive(Debug)]
pub struct Detector {
    backbone: ResNet,
    head: Head,
    parameters: Parameters,
    mean_c: Tensor,
    std_c: Tensor,
    device: Device,
    format: Format,
    channels_last: bool,
}

impl Detector {
    /// A network with first weights drawn from libtorch's generator (seed it before with `tch::manual_seed`).
    ///
    /// `format` is that of the backbone's forward pass; the head is small and runs in float32.
    ///
    /// # Errors
    /// The device has no memory for the weights.
    pub fn new(config: &ModelConfig, device: Device, format: Format, channels_last: bool) -> Result<Self> {
        let mut parameters = Parameters::default();
        let mut root = Scope::root(&mut parameters, device, channels_last);
        let backbone = ResNet::new(&mut root.part("backbone"), config.backbone)?;
        let head = Head::new(&mut root.part("head"), backbone.features, config)?;
        let constant = |values: [f32; 3]| -> Result<Tensor> {
            Tensor::f_from_slice(&values.map(|value| 255.0 * value))?.f_view([3, 1, 1])?.f_to_device(device)
        };
        Ok(Self {
            backbone,
            head,
            mean_c: constant(MEAN)?,
            std_c: constant(STD)?,
            parameters,
            device,
            format,
            channels_last,
        })
    }

    /// All tensors by name.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where the weights are.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Logits of u8 RGB frames `[B, T, H, W, 3]` on the detector's device.
    ///
    /// `train` takes batch norm's statistics from this batch (and updates the running ones) and turns dropout on.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn forward(&self, frames_bthwc: &Tensor, train: bool) -> Result<Logits> {
        let (b, t) = (frames_bthwc.size()[0], frames_bthwc.size()[1]);
        let images_nchw = self.normalise(&frames_bthwc.f_flatten(0, 1)?)?;
        let features_nf = self.features(&images_nchw, train)?;
        self.head.forward(&features_nf.f_view([b, t, -1])?, train)
    }

    /// The backbone's float32 features `[N, F]` of normalised images `[N, 3, H, W]`.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn features(&self, images_nchw: &Tensor, train: bool) -> Result<Tensor> {
        let _autocast = Autocast::enter(self.device, self.format)?;
        self.backbone.forward(images_nchw, train)?.f_to_kind(Kind::Float)
    }

    /// u8 `[N, H, W, 3]` to float `[N, 3, H, W]` with ImageNet's mean and deviation; NHWC in memory if so configured.
    fn normalise(&self, pixels_nhwc: &Tensor) -> Result<Tensor> {
        let images_nchw = pixels_nhwc.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
        let mut images_nchw = if self.channels_last { images_nchw } else { images_nchw.f_contiguous()? };
        images_nchw.f_sub_(&self.mean_c)?.f_div_(&self.std_c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backbone, Config, Temporal};
    use crate::torch::generator_lock;

    /// Draws weights: hold [`generator_lock`].
    fn detector(temporal: Temporal, channels_last: bool) -> Detector {
        let mut config = Config::default().model;
        (config.backbone, config.temporal, config.hidden_dim) = (Backbone::Resnet18, temporal, 16);
        tch::manual_seed(5);
        Detector::new(&config, Device::Cpu, Format::F32, channels_last).unwrap()
    }

    fn clips() -> Tensor {
        let pixels: Vec<u8> = (0..2 * 3 * 40 * 32 * 3).map(|i| (i * 7919 % 251) as u8).collect();
        Tensor::from_slice(&pixels).view([2, 3, 40, 32, 3])
    }

    #[test]
    fn logits_have_one_entry_a_clip_and_a_frame() {
        let _alone = generator_lock();
        for temporal in [Temporal::Mean, Temporal::LstmAttention] {
            let logits = detector(temporal, true).forward(&clips(), true).unwrap();
            assert_eq!((logits.clips_b.size(), logits.frames_bt.size()), (vec![2], vec![2, 3]));
            assert!(logits.clips_b.requires_grad());
        }
    }

    #[test]
    fn memory_order_changes_nothing_but_rounding() {
        let _alone = generator_lock();
        let [a, b] =
            [true, false].map(|last| detector(Temporal::LstmAttention, last).forward(&clips(), false).unwrap());
        let difference = (&a.clips_b - &b.clips_b).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference} between {:?} and {:?}", a.clips_b, b.clips_b);
    }

    #[test]
    fn a_black_image_is_minus_mean_over_deviation() {
        let _alone = generator_lock();
        let network = detector(Temporal::Mean, true);
        let black = Tensor::zeros([1, 2, 2, 3], (Kind::Uint8, Device::Cpu));
        let first = f64::from(-MEAN[0] / STD[0]);
        assert!((network.normalise(&black).unwrap().double_value(&[0, 0, 1, 1]) - first).abs() < 1e-6);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors_not_panics() {
        let _alone = generator_lock();
        let wrong = Tensor::zeros([1, 2, 2, 4], (Kind::Uint8, Device::Cpu));
        assert!(detector(Temporal::Mean, true).forward(&wrong, false).is_err());
    }
}
