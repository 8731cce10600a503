//! The micro-batch sizes of a run, from the whole batch down to one frame.
//!
//! Every size does the same work as the larger ones with less memory at a time; none changes which clips an optimizer
//! step learns from. When the size changes is decided in `oom_guard.rs`.

use super::micro_batch_size::MicroBatchSize;
use crate::config::{Config, Switch};

/// Micro-batch sizes, from large to small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicroBatchSizes {
    descending: Vec<MicroBatchSize>,
    clip_frames: usize,
}

impl MicroBatchSizes {
    /// The sizes of training as configured; `on_device` says that it does not start on the CPU.
    #[must_use]
    pub fn training(config: &Config, on_device: bool) -> Self {
        // From one frame of which a single cell is left, batch norm would get a single value a channel.
        let smallest = if config.model.backbone.description().has_one_cell(config.data.frame_size) { 2 } else { 1 };
        let frames = config.data.training_frames();
        let mut sizes = Self::new(config.training.batch_size.clips(), frames, smallest);
        if on_device {
            sizes.prepare_pixels(config.gpu.gpu_preprocessing);
            if config.gpu.fallback_cpu {
                let cpu = Self::new(config.training.batch_size.clips(), frames, smallest).descending;
                sizes.descending.extend(cpu.into_iter().map(|size| MicroBatchSize { on_cpu: true, ..size }));
            }
        }
        sizes
    }

    /// The sizes of forward passes without gradients. Such a pass keeps no statistics of batch norm, so that a chunk
    /// may be a single frame. It borrows the network and never moves it to the CPU: where training fits, it fits too.
    #[must_use]
    pub fn evaluation(config: &Config, on_device: bool) -> Self {
        let mut sizes = Self::new(config.training.batch_size.clips(), config.data.max_frames, 1);
        if on_device {
            sizes.prepare_pixels(config.gpu.gpu_preprocessing);
        }
        sizes
    }

    /// The sizes without a move of the preprocessing or of the network: halves of `batch_size` clips down to one, then
    /// halves of a clip of `frames` down to `smallest_chunk` frames.
    #[must_use]
    pub fn new(batch_size: usize, frames: usize, smallest_chunk: usize) -> Self {
        let halves = |most: usize| std::iter::successors(Some(most), |size| (*size > 1).then(|| size / 2));
        let clips = halves(batch_size.max(1)).map(MicroBatchSize::whole);
        let chunks = halves(frames).skip(1).filter(|chunk| {
            let rest = frames % chunk;
            *chunk >= smallest_chunk && (rest == 0 || rest >= smallest_chunk)
        });
        let chunks = chunks.map(|chunk| MicroBatchSize { chunk_frames: Some(chunk), ..MicroBatchSize::whole(1) });
        Self { descending: clips.chain(chunks).collect(), clip_frames: frames }
    }

    /// Adds or sets sizes whose pixels become floats on the host, as `gpu.gpu_preprocessing` says.
    fn prepare_pixels(&mut self, on_device: Switch) {
        match on_device {
            Switch::On => {}
            Switch::Off => self.descending.iter_mut().for_each(|size| size.host_preprocessing = true),
            Switch::Auto => {
                self.descending.extend(
                    self.descending.last().map(|smallest| MicroBatchSize { host_preprocessing: true, ..*smallest }),
                );
            }
        }
    }

    /// The size at an index; 0 is the largest, and an index past the end means the smallest.
    #[must_use]
    pub fn at(&self, index: usize) -> MicroBatchSize {
        self.descending[index.min(self.descending.len() - 1)]
    }

    /// The index of a size that a checkpoint holds; `None` where the settings have changed so that there is no such
    /// size.
    #[must_use]
    pub fn find(&self, wanted: MicroBatchSize) -> Option<usize> {
        self.descending.iter().position(|size| *size == wanted)
    }

    /// The index of the next smaller size that is less work at a time for a batch of `clips`; `None` at the smallest.
    #[must_use]
    pub fn below(&self, index: usize, clips: usize) -> Option<usize> {
        let now = self.at(index).of_batch(clips);
        (index + 1..self.descending.len()).find(|lower| self.at(*lower).of_batch(clips) != now)
    }

    /// Frames in one pass of the next larger size, divided by those of the size at `index`; `None` where there is no
    /// larger size on the same device.
    #[must_use]
    pub fn growth(&self, index: usize) -> Option<f64> {
        let (now, above) = (self.at(index), self.at(index.checked_sub(1)?));
        let frames = |size: MicroBatchSize| size.frames_at_once(self.clip_frames) as f64;
        (now.on_cpu == above.on_cpu).then(|| frames(above) / frames(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Backbone;
    use crate::config::GpuConfig;

    fn shown(sizes: &MicroBatchSizes) -> Vec<String> {
        sizes.descending.iter().map(MicroBatchSize::to_string).collect()
    }

    #[test]
    fn every_rung_is_less_at_a_time_down_to_one_frame_and_then_the_cpu() {
        let mut config = Config::default();
        config.gpu.fallback_cpu = true;
        let on_device = [
            "micro-batch 12",
            "micro-batch 6",
            "micro-batch 3",
            "micro-batch 1",
            "chunks of 16 frames",
            "chunks of 8 frames",
            "chunks of 4 frames",
            "chunks of 2 frames",
            "chunks of 1 frame",
        ];
        assert_eq!(shown(&MicroBatchSizes::training(&config, false)), on_device);
        let cuda = shown(&MicroBatchSizes::training(&config, true));
        assert_eq!(cuda[..9], on_device);
        assert_eq!(cuda[9], "chunks of 1 frame, pixels prepared on the host");
        assert_eq!(cuda[10..12], ["micro-batch 12, on the CPU", "micro-batch 6, on the CPU"]);
        assert_eq!(cuda.len(), 19);
        assert_eq!(shown(&MicroBatchSizes::evaluation(&config, true)), cuda[..10]);
    }

    #[test]
    fn what_is_configured_off_is_not_on_the_ladder() {
        let mut config = Config::default();
        config.gpu.gpu_preprocessing = Switch::Off;
        let sizes = MicroBatchSizes::training(&config, true);
        assert!(sizes.descending.iter().all(|size| size.host_preprocessing && !size.on_cpu));
        assert_eq!(sizes.descending.len(), 9);
    }

    #[test]
    fn batch_norm_never_gets_a_single_value() {
        let mut config = Config::default();
        config.data.frame_size = [32, 32];
        let last = |frames: usize| {
            let mut config = config.clone();
            config.data.max_frames = frames;
            MicroBatchSizes::training(&config, false).descending.last().unwrap().chunk_frames
        };
        // Of 5 frames, chunks of 2 would leave one alone.
        assert_eq!([last(8), last(2), last(5), last(6)], [Some(2), None, None, Some(3)]);

        // EfficientNet-Lites end in one cell up to 63 pixels.
        config.model.backbone = Backbone::EfficientnetLite0;
        for (side, smallest) in [(63, 2), (64, 1)] {
            config.data.frame_size = [side, side];
            let sizes = MicroBatchSizes::training(&config, false);
            assert_eq!(sizes.descending.last().unwrap().chunk_frames, Some(smallest), "{side}");
        }
    }

    #[test]
    fn a_short_batch_goes_to_the_first_size_that_makes_a_difference() {
        let sizes = MicroBatchSizes::new(12, 4, 1);
        assert_eq!(sizes.below(0, 12), Some(1));
        assert_eq!(sizes.below(0, 5), Some(2));
        assert_eq!(sizes.below(0, 1), Some(4), "a batch of one clip is cut along time");
        assert_eq!(sizes.below(5, 12), None);
    }

    #[test]
    fn growth_is_by_frames_and_never_leaves_the_cpu() {
        let gpu = GpuConfig { fallback_cpu: true, ..GpuConfig::default() };
        let sizes = MicroBatchSizes::training(&Config { gpu, ..Config::default() }, true);
        assert_eq!(sizes.growth(0), None);
        assert_eq!(sizes.growth(3), Some(3.0));
        assert_eq!(sizes.growth(4), Some(2.0));
        assert_eq!(sizes.growth(10), None);
        assert_eq!(sizes.growth(11), Some(2.0));
    }
}
