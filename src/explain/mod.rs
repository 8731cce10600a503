//! Where a detector looked: Grad-CAM over the backbone's last stage for the logit of a clip (Selvaraju et al., 2017), the
//! scores of its frames, and the attention over them.
//!
//! Needs pixels and a network; knows nothing of videos, files or labels.

mod picture;

use image::RgbImage;
use tch::{Cuda, Kind, Tensor};

use crate::model::{Detector, MAP_STRIDE, Mode};
use crate::torch::Result;

/// Frames in a pass of the backbone: heat needs no batch, and memory should not be what ends it.
const PASS_FRAMES: i64 = 8;

/// Why a clip got its score.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The verdict that is explained.
    pub is_fake: bool,
    /// Probability of fake.
    pub score: f64,
    /// Probability of fake of each frame.
    pub frame_scores: Vec<f64>,
    /// How much the head looked at each frame, all adding up to 1; `None` where it has no attention.
    pub attention: Option<Vec<f64>>,
    /// The frames.
    frames: Vec<RgbImage>,
    /// Of each frame, H x W: how much each place spoke for the verdict, 1 where it did most in all the clip.
    heat: Vec<Vec<f32>>,
}

/// Explains the verdict on one clip: what speaks for fake, or what speaks for real.
///
/// `frames` are those that the network is to see, all of one size.
///
/// # Errors
/// Out of memory, or libtorch failed otherwise.
pub fn clip(detector: &Detector, frames: Vec<RgbImage>, is_fake: bool) -> Result<Explanation> {
    let pixels_nhwc = pixels(&frames)?.f_to_device(detector.device())?;
    let [t, height, width] = [0, 1, 2].map(|dim| pixels_nhwc.size()[dim]);
    let maps_nfhw = maps(detector, &pixels_nhwc)?.f_set_requires_grad(true)?;
    let features_btf = detector.features_of_maps(&maps_nfhw)?.f_view([1, t, -1])?;
    // cuDNN's LSTM goes back only in training, where there is dropout; libtorch's own always does.
    let _without_cudnn = WithoutCudnn::enter();
    let logits = detector.logits(&features_btf, Mode::Evaluate)?;
    let score = logits.clips_b.f_sigmoid()?.f_double_value(&[0])?;
    let for_fake = logits.clips_b.f_sum(Kind::Float)?;
    let verdict = if is_fake { for_fake } else { for_fake.f_neg()? };
    let gradient_nfhw = Tensor::f_run_backward(&[&verdict], &[&maps_nfhw], false, false)?.remove(0);

    let _no_grad = tch::no_grad_guard();
    let heat_nhw = heat(&maps_nfhw, &gradient_nfhw, [height, width])?;
    let numbers = |tensor: &Tensor| Vec::<f64>::try_from(tensor.f_to_kind(Kind::Double)?.f_flatten(0, -1)?);
    let attention = detector.attention(&features_btf)?.map(|weights_bt| numbers(&weights_bt)).transpose()?;
    let heat = Vec::<f32>::try_from(heat_nhw.f_flatten(0, -1)?)?;
    Ok(Explanation {
        is_fake,
        score,
        frame_scores: numbers(&logits.frames_bt.f_sigmoid()?)?,
        attention,
        frames,
        heat: heat.chunks((height * width) as usize).map(<[f32]>::to_vec).collect(),
    })
}

/// u8 RGB `[N, H, W, 3]`.
fn pixels(frames: &[RgbImage]) -> Result<Tensor> {
    let (width, height) = frames.first().map_or((0, 0), RgbImage::dimensions);
    let bytes = frames.iter().map(|frame| frame.as_raw().as_slice()).collect::<Vec<_>>().concat();
    Tensor::f_from_data_size(&bytes, &[frames.len() as i64, i64::from(height), i64::from(width), 3], Kind::Uint8)
}

/// The backbone's last maps `[N, F, h, w]`, without a graph.
fn maps(detector: &Detector, pixels_nhwc: &Tensor) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let passes = pixels_nhwc.f_split(PASS_FRAMES, 0)?;
    let maps = passes.iter().map(|pass| detector.maps(&detector.images(pass)?)).collect::<Result<Vec<_>>>()?;
    Tensor::f_cat(&maps, 0)
}

/// Maps weighted by their mean gradients, negative values set to 0, enlarged to the frames' size, `[N, H, W]` in 0..1.
/// 1 is the hottest place of the clip, so a frame that hardly counts stays cold.
fn heat(maps_nfhw: &Tensor, gradient_nfhw: &Tensor, size: [i64; 2]) -> Result<Tensor> {
    let weights_nf11 = gradient_nfhw.f_mean_dim([2_i64, 3].as_slice(), true, None)?;
    let cam_n1hw = maps_nfhw.f_mul(&weights_nf11)?.f_sum_dim_intlist([1_i64].as_slice(), true, None)?.f_relu()?;
    let cam_nhw = enlarged(&cam_n1hw, size)?.f_squeeze_dim(1)?;
    let most = cam_nhw.f_max()?.f_double_value(&[])?;
    // Where nothing speaks for the verdict, nothing is hot.
    cam_nhw.f_div_scalar(most.max(f64::from(f32::MIN_POSITIVE)))
}

/// `[N, 1, h, w]` to `[N, 1, H, W]`: each cell comes to lie at the pixel that is the middle of what it sees. Scaling the
/// map to the frame instead would shift all heat by half a cell to the right and down.
fn enlarged(cam_n1hw: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
    let [rows, columns] = [2, 3].map(|dim| (cam_n1hw.size()[dim] - 1) * MAP_STRIDE + 1);
    let between_cells = cam_n1hw.f_upsample_bilinear2d([rows, columns], true, None, None)?;
    // Pixels beyond the last cell take its value.
    between_cells.f_replication_pad2d([0, width - columns, 0, height - rows])
}

/// cuDNN is off for the life of this value.
struct WithoutCudnn {
    was_on: bool,
}

impl WithoutCudnn {
    fn enter() -> Self {
        let was_on = Cuda::user_enabled_cudnn();
        Cuda::set_user_enabled_cudnn(false);
        Self { was_on }
    }
}

impl Drop for WithoutCudnn {
    fn drop(&mut self) {
        Cuda::set_user_enabled_cudnn(self.was_on);
    }
}

#[cfg(test)]
mod tests;
