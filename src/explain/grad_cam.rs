//! Grad-CAM over the backbone's last stage for the logit of a clip (Selvaraju et al., 2017). Draws nothing; that is
//! `heatmap_picture.rs`.

use image::RgbImage;
use tch::{Cuda, Kind, Tensor};

use super::explanation::Explanation;
use crate::backbone::CellGrid;
use crate::model::{Detector, Mode};
use crate::torch::Result;

/// Frames in a pass of the backbone: few, to save memory.
const PASS_FRAMES: i64 = 8;

/// Explains the verdict on one clip: the evidence for fake, or the evidence for real.
///
/// `frames` are the network's input, all of one size.
///
/// # Errors
/// Out of memory, or libtorch failed otherwise.
pub fn explain_clip(detector: &Detector, frames: Vec<RgbImage>, is_fake: bool) -> Result<Explanation> {
    let pixels_nhwc = pixels(&frames)?.f_to_device(detector.device())?;
    let [t, height, width] = [0, 1, 2].map(|dim| pixels_nhwc.size()[dim]);
    let maps_nfhw = feature_maps(detector, &pixels_nhwc)?.f_set_requires_grad(true)?;
    let features_btf = detector.features_of_maps(&maps_nfhw)?.f_view([1, t, -1])?;
    // cuDNN's LSTM has a backward pass only in training mode, where dropout is on; libtorch's own LSTM always has one.
    let _without_cudnn = WithoutCudnn::enter();
    let logits = detector.logits(&features_btf, Mode::Evaluate)?;
    let score = logits.clips_b.f_sigmoid()?.f_double_value(&[0])?;
    let for_fake = logits.clips_b.f_sum(Kind::Float)?;
    let verdict = if is_fake { for_fake } else { for_fake.f_neg()? };
    let gradient_nfhw = Tensor::f_run_backward(&[&verdict], &[&maps_nfhw], false, false)?.remove(0);

    let _no_grad = tch::no_grad_guard();
    let [cells_nfhw, gradient_nfhw] = [maps_nfhw, gradient_nfhw].map(|maps| detector.cells(&maps, [height, width]));
    let heat_nhw = heat(&cells_nfhw?, &gradient_nfhw?, detector.cell_grid(), [height, width])?;
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

/// The backbone's last feature maps `[N, F, h, w]`, without a graph.
fn feature_maps(detector: &Detector, pixels_nhwc: &Tensor) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let passes = pixels_nhwc.f_split(PASS_FRAMES, 0)?;
    let maps = passes.iter().map(|pass| detector.feature_maps(&detector.images(pass)?)).collect::<Result<Vec<_>>>()?;
    Tensor::f_cat(&maps, 0)
}

/// Heatmaps `[N, H, W]` in 0..1: feature maps weighted by their mean gradients, summed, negative values set to 0,
/// enlarged to the frames' size. 1 is the maximum over the clip, so the heatmap of a frame with little influence stays
/// near 0.
fn heat(maps_nfhw: &Tensor, gradient_nfhw: &Tensor, grid: CellGrid, size: [i64; 2]) -> Result<Tensor> {
    let weights_nf11 = gradient_nfhw.f_mean_dim([2_i64, 3].as_slice(), true, None)?;
    let cam_n1hw = maps_nfhw.f_mul(&weights_nf11)?.f_sum_dim_intlist([1_i64].as_slice(), true, None)?.f_relu()?;
    let cam_nhw = enlarged(&cam_n1hw, grid, size)?.f_squeeze_dim(1)?;
    let most = cam_nhw.f_max()?.f_double_value(&[])?;
    // Without evidence for the verdict all heatmaps are 0.
    cam_nhw.f_div_scalar(most.max(f64::from(f32::MIN_POSITIVE)))
}

/// `[N, 1, h, w]` to `[N, 1, H, W]`: the value of each cell is placed at the centre of its receptive field. Plain
/// resizing to the frame would shift heatmaps by half a cell to the right and down.
fn enlarged(cam_n1hw: &Tensor, grid: CellGrid, [height, width]: [i64; 2]) -> Result<Tensor> {
    let [rows, columns] = [2, 3].map(|dim| (cam_n1hw.size()[dim] - 1) * grid.step + 1);
    let between_cells = cam_n1hw.f_upsample_bilinear2d([rows, columns], true, None, None)?;
    let first = grid.first();
    // Pixels before the first cell and beyond the last take their values.
    let [below, right] = [height - rows, width - columns].map(|beyond| beyond - first);
    between_cells.f_replication_pad2d([first, right, first, below])
}

/// Disables cuDNN until it is dropped.
struct WithoutCudnn {
    was_enabled: bool,
}

impl WithoutCudnn {
    fn enter() -> Self {
        let was_enabled = Cuda::user_enabled_cudnn();
        Cuda::set_user_enabled_cudnn(false);
        Self { was_enabled }
    }
}

impl Drop for WithoutCudnn {
    fn drop(&mut self) {
        Cuda::set_user_enabled_cudnn(self.was_enabled);
    }
}

#[cfg(test)]
mod tests;
