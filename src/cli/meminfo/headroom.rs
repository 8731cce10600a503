//! The predicted memory of a training step on an example clip, and how many such clips fit in the free memory. Measures
//! nothing; the prediction is in `memory`. For the user's own configuration, `suggest` does this.

use std::fmt;

use serde::Serialize;

use crate::backbone::Backbone;
use crate::cli::text::size;
use crate::config::Config;
use crate::memory::{DeviceKind, Snapshot, training_step, usable_bytes};
use crate::torch::{AMPERE, Format};

/// Frames of the example clip.
const FRAMES: usize = 20;
/// The largest number of clips that is tried.
const MOST_CLIPS: usize = 4096;

/// The prediction for one device. For a configuration of one's own there is `dfdetect suggest`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Headroom {
    device: String,
    format: Format,
    frames: usize,
    frame_size: [usize; 2],
    backbone: Backbone,
    /// Peak of a training step on one clip.
    one_clip_bytes: u64,
    /// Clips whose training step fits what is free now, with the reserve that `suggest` keeps.
    clips_that_fit: usize,
}

/// For each GPU, or for the CPU where there is none.
pub(super) fn of(memory: &Snapshot) -> Vec<Headroom> {
    if memory.gpus.is_empty() {
        return vec![Headroom::new("CPU".into(), None, memory.host_free_bytes())];
    }
    let of_gpu = |gpu: &crate::memory::GpuMemory| {
        let capability = gpu.compute_capability.or(Some(AMPERE));
        Headroom::new(format!("GPU {}", gpu.index), capability, gpu.memory_free_bytes)
    };
    memory.gpus.iter().map(of_gpu).collect()
}

impl Headroom {
    /// `capability` is the compute capability of a GPU; `None` is the CPU.
    fn new(device: String, capability: Option<[i32; 2]>, free_bytes: u64) -> Self {
        let kind = if capability.is_some() { DeviceKind::Cuda } else { DeviceKind::Cpu };
        let mut config = Config::default();
        (config.model.backbone, config.data.max_frames) = (Backbone::Resnet18, FRAMES);
        let format = Format::resolve(config.gpu.mixed_precision, capability);
        let needs = |clips: usize| training_step(&config, clips, kind, format).peak_bytes;
        let fits = (1..=MOST_CLIPS).take_while(|clips| needs(*clips) <= usable_bytes(free_bytes));
        Self {
            device,
            format,
            frames: FRAMES,
            frame_size: config.data.frame_size,
            backbone: config.model.backbone,
            one_clip_bytes: needs(1),
            clips_that_fit: fits.last().unwrap_or(0),
        }
    }
}

impl fmt::Display for Headroom {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { device, format, frames, one_clip_bytes, clips_that_fit, .. } = self;
        let (format, needs) = (format.name(), size(*one_clip_bytes));
        let fit = if *clips_that_fit == 0 { "not even one".into() } else { clips_that_fit.to_string() };
        write!(f, "{device}: a clip of {frames} frames with ResNet-18 in {format} needs about {needs}; {fit} would fit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_holds_more_clips_and_none_is_said_so() {
        let of = |free_bytes| Headroom::new("GPU 0".into(), Some([7, 5]), free_bytes);
        let (small, large) = (of(4 << 30), of(12 << 30));
        assert!(small.clips_that_fit >= 1 && large.clips_that_fit > 2 * small.clips_that_fit, "{small:?} {large:?}");
        assert_eq!(small.one_clip_bytes, large.one_clip_bytes);
        let text = large.to_string();
        assert!(text.contains("20 frames") && text.contains("in fp16 needs about"), "{text}");
        assert!(of(1 << 20).to_string().ends_with("not even one would fit"));
    }
}
