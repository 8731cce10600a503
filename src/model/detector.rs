//! The whole network: from pixels to logits. Knows nothing of videos, labels and losses. The backbone is in
//! `backbone.rs`, the head in `temporal.rs`.

use tch::{Device, Kind, Tensor};

use super::backbone::BackboneNetwork;
use super::logits::Logits;
use super::mode::Mode;
use super::parameters::{Parameters, Scope};
use super::temporal::TemporalHead;
use crate::backbone::CellGrid;
use crate::config::ModelConfig;
use crate::torch::{self, Autocast, Format, Result};

/// A deepfake detector for clips of T frames.
#[derive(Debug)]
pub struct Detector {
    pub(super) backbone: BackboneNetwork,
    /// How many of the backbone's parts make one segment of activation checkpointing.
    pub(super) parts_per_segment: usize,
    head: TemporalHead,
    normalizes_features: bool,
    mirrors_at_test: bool,
    norm_momentum: Option<f64>,
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
        let (description, pixels) = (config.backbone.description(), config.pixels());
        let frozen = config.freeze.of(config.backbone);
        let backbone = BackboneNetwork::new(&mut root.part("backbone"), description, &frozen)?;
        let head = TemporalHead::new(&mut root.part("head"), backbone.features, config)?;
        let constant = |values: [f32; 3]| -> Result<Tensor> {
            Tensor::f_from_slice(&values.map(|value| 255.0 * value))?.f_view([3, 1, 1])?.f_to_device(device)
        };
        Ok(Self {
            parts_per_segment: if config.activation_checkpointing { 1 } else { backbone.parts() },
            backbone,
            head,
            normalizes_features: config.normalize_features,
            mirrors_at_test: config.mirror_at_test,
            norm_momentum: description.batch_norm().map(|norm| norm.momentum),
            mean_c: constant(pixels.mean)?,
            std_c: constant(pixels.std)?,
            parameters,
            device,
            format,
            channels_last,
        })
    }

    /// The share of a batch in the running statistics of batch norm after it; `None` without batch norm.
    #[must_use]
    pub fn norm_momentum(&self) -> Option<f64> {
        self.norm_momentum
    }

    /// All tensors by name.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The channel means and standard deviations that normalise pixels (in units of bytes), `[3, 1, 1]` each, by name.
    pub fn constants(&self) -> [(&'static str, &Tensor); 2] {
        [("pixel_mean", &self.mean_c), ("pixel_std", &self.std_c)]
    }

    /// Where the weights are.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Number of parts of the backbone, which [`Parameter::part`](super::Parameter) counts.
    #[must_use]
    pub fn backbone_parts(&self) -> usize {
        self.backbone.parts()
    }

    /// The format of the backbone's forward pass.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Logits of u8 RGB frames `[B, T, H, W, 3]` on the detector's device.
    ///
    /// TorchScript export traces this method. So here and in everything it calls, sizes and devices come from tensors:
    /// plain numbers would become constants of the trace, which must hold for any number of clips and frames, on any
    /// device.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn forward(&self, frames_bthwc: &Tensor, mode: Mode) -> Result<Logits> {
        let images_nchw = self.images(&frames_bthwc.f_flatten(0, 1)?)?;
        let features_nf = self.features(&images_nchw, mode)?;
        let one_bt1 = frames_bthwc.f_select(4, 0)?.f_select(3, 0)?.f_narrow(2, 0, 1)?;
        let shape_btf = one_bt1.f_expand([-1, -1, self.backbone.features], false)?;
        self.logits(&features_nf.f_reshape_as(&shape_btf)?, mode)
    }

    /// The backbone's float32 features `[N, F]` of normalised images `[N, 3, H, W]`.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn features(&self, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let _autocast = Autocast::enter(self.device, self.format)?;
        self.backbone.forward_parts(0..self.backbone.parts(), images_nchw, mode)?.f_to_dtype(Kind::Float, false, false)
    }

    /// The backbone's last feature maps `[N, F, h, w]` in float32, in evaluation mode, each cell of which has a part in
    /// the features. Those of a Vision Transformer are the tokens before its last block, `[N, F, T, 1]`.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn feature_maps(&self, images_nchw: &Tensor) -> Result<Tensor> {
        let _autocast = Autocast::enter(self.device, self.format)?;
        self.backbone.feature_maps(images_nchw, Mode::Evaluate)?.f_to_kind(Kind::Float)
    }

    /// Where the cells of the feature maps lie on the images.
    #[must_use]
    pub fn cell_grid(&self) -> CellGrid {
        self.backbone.cell_grid
    }

    /// Features `[N, F]` of [`feature_maps`](Self::feature_maps), in evaluation mode and in float32.
    ///
    /// # Errors
    /// Out of memory.
    pub fn features_of_maps(&self, maps_nfhw: &Tensor) -> Result<Tensor> {
        self.backbone.features_of_maps(maps_nfhw, Mode::Evaluate)
    }

    /// The cells `[N, F, h, w]` of feature maps that lie over images of this height and width, by
    /// [`cell_grid`](Self::cell_grid).
    ///
    /// # Errors
    /// The maps are not those of such images.
    pub fn cells(&self, maps_nfhw: &Tensor, frame_size: [i64; 2]) -> Result<Tensor> {
        self.backbone.cells(maps_nfhw, frame_size)
    }

    /// The head's attention weight of each of the T frames, `[B, T]`, averaged over heads and queries; each row adds up
    /// to 1. `None` without attention.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn attention(&self, features_btf: &Tensor) -> Result<Option<Tensor>> {
        self.head.attention(&self.head_input(features_btf)?)
    }

    /// The head's logits of features `[B, T, F]`.
    ///
    /// # Errors
    /// Out of memory, or shapes that do not fit.
    pub fn logits(&self, features_btf: &Tensor, mode: Mode) -> Result<Logits> {
        self.head.forward(&self.head_input(features_btf)?, mode)
    }

    /// Features of length 1, if so configured (as `torch.nn.functional.normalize`).
    fn head_input(&self, features_btf: &Tensor) -> Result<Tensor> {
        if !self.normalizes_features {
            return Ok(features_btf.shallow_clone());
        }
        let length_bt1 = features_btf.f_norm_scalaropt_dim(2.0, [-1_i64], true)?.f_clamp_min(1e-12)?;
        features_btf.f_div(&length_bt1)
    }

    /// Whether evaluation takes the mean of the logits of each clip and of its mirror image.
    #[must_use]
    pub fn mirrors_at_test(&self) -> bool {
        self.mirrors_at_test
    }

    /// Converts u8 RGB frames `[N, H, W, 3]` to float images `[N, 3, H, W]`, normalised with the backbone's mean and
    /// deviation, in their number format, and in channels-last memory if configured. The device of the frames does the
    /// work; the result is on the detector's device.
    ///
    /// # Errors
    /// Out of memory, or other shapes.
    pub fn images(&self, pixels_nhwc: &Tensor) -> Result<Tensor> {
        let here = pixels_nhwc.device();
        let images_nchw = pixels_nhwc.f_permute([0, 3, 1, 2])?.f_to_dtype(self.mean_c.kind(), false, false)?;
        let mut images_nchw = if self.channels_last { images_nchw } else { images_nchw.f_contiguous()? };
        let images_nchw = images_nchw.f_sub_(&on(&self.mean_c, here)?)?.f_div_(&on(&self.std_c, here)?)?;
        on(&images_nchw, self.device)
    }

    /// Moves the network to a device and sets the format there to `format`. Gradients are lost.
    ///
    /// # Errors
    /// The device has no memory for it. The network may then be on both devices, and is unusable before it is moved to one.
    pub fn move_to(&mut self, device: Device, format: Format) -> Result<()> {
        let tensors = self.parameters.iter().map(|parameter| &parameter.tensor).chain([&self.mean_c, &self.std_c]);
        tensors.into_iter().try_for_each(|tensor| torch::move_to(tensor, device))?;
        (self.device, self.format) = (device, format);
        self.head.flatten()
    }
}

/// The tensor on this device; not copied if it already is on it.
fn on(tensor: &Tensor, device: Device) -> Result<Tensor> {
    if tensor.device() == device { Ok(tensor.shallow_clone()) } else { tensor.f_to_device(device) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Backbone;
    use crate::config::{Config, Temporal};
    use crate::model::draws::Draws;
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
            let logits = detector(temporal, true).forward(&clips(), Mode::Train(Draws::default())).unwrap();
            assert_eq!((logits.clips_b.size(), logits.frames_bt.size()), (vec![2], vec![2, 3]));
            assert!(logits.clips_b.requires_grad());
        }
    }

    #[test]
    fn the_classifier_has_a_dropout_of_its_own() {
        let _alone = generator_lock();
        let two_passes_differ = |dropout, classifier_dropout| {
            let mut config = Config::default().model;
            (config.backbone, config.hidden_dim, config.dropout) = (Backbone::Resnet18, 16, dropout);
            (config.classifier_layers, config.classifier_dropout) = (Some(vec![32, 8, 1]), classifier_dropout);
            tch::manual_seed(5);
            let network = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
            let [a, b] = [0, 1].map(|_| network.forward(&clips(), Mode::Train(Draws::default())).unwrap().clips_b);
            (a - b).abs().max().double_value(&[]) > 1e-6
        };
        assert!(!two_passes_differ(0.0, None));
        assert!(!two_passes_differ(0.0, Some(0.0)));
        assert!(two_passes_differ(0.0, Some(0.5)));
        assert!(two_passes_differ(0.5, Some(0.0)), "attention and LSTM");
    }

    #[test]
    fn memory_order_changes_nothing_but_rounding() {
        let _alone = generator_lock();
        let [a, b] = [true, false]
            .map(|last| detector(Temporal::LstmAttention, last).forward(&clips(), Mode::Evaluate).unwrap());
        let difference = (&a.clips_b - &b.clips_b).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference} between {:?} and {:?}", a.clips_b, b.clips_b);
    }

    #[test]
    fn a_black_image_is_minus_mean_over_deviation() {
        let _alone = generator_lock();
        let network = detector(Temporal::Mean, true);
        let black = Tensor::zeros([1, 2, 2, 3], (Kind::Uint8, Device::Cpu));
        let first = f64::from(-0.485_f32 / 0.229);
        assert!((network.images(&black).unwrap().double_value(&[0, 0, 1, 1]) - first).abs() < 1e-6);
    }

    #[test]
    fn with_features_of_length_one_their_scale_changes_no_logit() {
        let _alone = generator_lock();
        let features_btf = Tensor::rand([2, 3, 512], (Kind::Float, Device::Cpu));
        for normalize_features in [false, true] {
            let mut config = Config::default().model;
            (config.backbone, config.temporal) = (Backbone::Resnet18, Temporal::Mean);
            config.normalize_features = normalize_features;
            let network = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
            let logits = |scale: f64| network.logits(&(&features_btf * scale), Mode::Evaluate).unwrap().clips_b;
            let difference = (logits(1.0) - logits(7.0)).abs().max().double_value(&[]);
            assert_eq!(difference < 1e-6, normalize_features, "{difference}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors_not_panics() {
        let _alone = generator_lock();
        let wrong = Tensor::zeros([1, 2, 2, 4], (Kind::Uint8, Device::Cpu));
        assert!(detector(Temporal::Mean, true).forward(&wrong, Mode::Evaluate).is_err());
    }
}
