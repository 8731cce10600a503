//! How much of a batch goes through the network at a time, and the ladder of sizes from the whole batch down to one frame.
//!
//! Pure numbers. Every rung does the same work as the one above it with less memory at a time; none changes which clips
//! an optimizer step learns from.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Switch};

/// How a batch is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Clips in one forward pass, at most.
    pub micro_batch: usize,
    /// Frames in one pass of the backbone, where a single clip is cut along time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chunk_frames: Option<usize>,
    /// Pixels become normalised floats on the host, not on the device.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub host_preprocessing: bool,
    /// On the CPU, although the run started on another device.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub on_cpu: bool,
}

impl Cut {
    /// All of a batch of `clips` at once.
    #[must_use]
    pub fn whole(clips: usize) -> Self {
        Self { micro_batch: clips.max(1), chunk_frames: None, host_preprocessing: false, on_cpu: false }
    }

    /// What it comes to for a batch of `clips`, which may be short.
    #[must_use]
    pub fn of_batch(self, clips: usize) -> Self {
        Self { micro_batch: self.micro_batch.min(clips.max(1)), ..self }
    }

    /// A batch of `clips` in micro-batches.
    pub fn micro_batches(self, clips: usize) -> impl Iterator<Item = Range<usize>> {
        pieces(0..clips, self.micro_batch)
    }

    /// The frames of one micro-batch in passes of the backbone.
    pub fn passes(self, frames: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let most = self.chunk_frames.unwrap_or(frames.len());
        pieces(frames, most)
    }

    /// Most frames in one pass of the backbone, for clips of `frames`.
    #[must_use]
    pub fn frames_at_once(self, frames: usize) -> usize {
        self.chunk_frames.unwrap_or(self.micro_batch * frames)
    }
}

fn pieces(all: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    all.clone().step_by(most.max(1)).map(move |start| start..(start + most).min(all.end))
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.chunk_frames {
            None => write!(f, "micro-batch {}", self.micro_batch)?,
            Some(frames) => write!(f, "chunks of {frames} {}", if frames == 1 { "frame" } else { "frames" })?,
        }
        if self.host_preprocessing {
            f.write_str(", pixels prepared on the host")?;
        }
        if self.on_cpu {
            f.write_str(", on the CPU")?;
        }
        Ok(())
    }
}

/// Sizes from large to small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    rungs: Vec<Cut>,
    clip_frames: usize,
}

impl Ladder {
    /// For training as configured, where `on_device` says that it runs on something else than the CPU.
    #[must_use]
    pub fn training(config: &Config, on_device: bool) -> Self {
        let [height, width] = config.data.frame_size;
        // The deepest layers see a 32nd of the picture: of one frame, batch norm would get a single value a channel.
        let smallest = if height <= 32 && width <= 32 { 2 } else { 1 };
        let frames = config.data.training_frames();
        let mut ladder = Self::new(config.training.batch_size.clips(), frames, smallest);
        if on_device {
            ladder.prepare_pixels(config.gpu.gpu_preprocessing);
            if config.gpu.fallback_cpu {
                let cpu = Self::new(config.training.batch_size.clips(), frames, smallest).rungs;
                ladder.rungs.extend(cpu.into_iter().map(|cut| Cut { on_cpu: true, ..cut }));
            }
        }
        ladder
    }

    /// For forward passes alone. These keep no statistics and borrow the network, so every frame may stand alone and
    /// nothing moves to the CPU: where training fits, they do.
    #[must_use]
    pub fn evaluation(config: &Config, on_device: bool) -> Self {
        let mut ladder = Self::new(config.training.batch_size.clips(), config.data.max_frames, 1);
        if on_device {
            ladder.prepare_pixels(config.gpu.gpu_preprocessing);
        }
        ladder
    }

    /// Halves of `batch_size` clips down to one, then halves of a clip of `frames` down to `smallest_chunk` frames.
    #[must_use]
    pub fn new(batch_size: usize, frames: usize, smallest_chunk: usize) -> Self {
        let halves = |most: usize| std::iter::successors(Some(most), |size| (*size > 1).then(|| size / 2));
        let clips = halves(batch_size.max(1)).map(Cut::whole);
        let chunks = halves(frames).skip(1).filter(|chunk| {
            let rest = frames % chunk;
            *chunk >= smallest_chunk && (rest == 0 || rest >= smallest_chunk)
        });
        let chunks = chunks.map(|chunk| Cut { chunk_frames: Some(chunk), ..Cut::whole(1) });
        Self { rungs: clips.chain(chunks).collect(), clip_frames: frames }
    }

    fn prepare_pixels(&mut self, on_device: Switch) {
        match on_device {
            Switch::On => {}
            Switch::Off => self.rungs.iter_mut().for_each(|cut| cut.host_preprocessing = true),
            Switch::Auto => {
                self.rungs.extend(self.rungs.last().map(|smallest| Cut { host_preprocessing: true, ..*smallest }));
            }
        }
    }

    /// The size at a rung; 0 is the largest.
    #[must_use]
    pub fn cut(&self, rung: usize) -> Cut {
        self.rungs[rung.min(self.rungs.len() - 1)]
    }

    /// The rung of a size that an earlier part of the run ended with; `None` where the ladder is another one now.
    #[must_use]
    pub fn find(&self, cut: Cut) -> Option<usize> {
        self.rungs.iter().position(|rung| *rung == cut)
    }

    /// The next rung down that is less work at a time for a batch of `clips`; `None` at the bottom.
    #[must_use]
    pub fn below(&self, rung: usize, clips: usize) -> Option<usize> {
        let now = self.cut(rung).of_batch(clips);
        (rung + 1..self.rungs.len()).find(|lower| self.cut(*lower).of_batch(clips) != now)
    }

    /// How many times the frames of `rung` the rung above has in one pass, where there is one on the same device.
    #[must_use]
    pub fn growth(&self, rung: usize) -> Option<f64> {
        let (now, above) = (self.cut(rung), self.cut(rung.checked_sub(1)?));
        let frames = |cut: Cut| cut.frames_at_once(self.clip_frames) as f64;
        (now.on_cpu == above.on_cpu).then(|| frames(above) / frames(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(ladder: &Ladder) -> Vec<String> {
        ladder.rungs.iter().map(Cut::to_string).collect()
    }

    #[test]
    fn every_rung_is_less_at_a_time_down_to_one_frame_and_then_the_cpu() {
        let config = Config::default();
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
        assert_eq!(shown(&Ladder::training(&config, false)), on_device);
        let cuda = shown(&Ladder::training(&config, true));
        assert_eq!(cuda[..9], on_device);
        assert_eq!(cuda[9], "chunks of 1 frame, pixels prepared on the host");
        assert_eq!(cuda[10..12], ["micro-batch 12, on the CPU", "micro-batch 6, on the CPU"]);
        assert_eq!(cuda.len(), 19);
        assert_eq!(shown(&Ladder::evaluation(&config, true)), cuda[..10]);
    }

    #[test]
    fn what_is_configured_off_is_not_on_the_ladder() {
        let mut config = Config::default();
        (config.gpu.fallback_cpu, config.gpu.gpu_preprocessing) = (false, Switch::Off);
        let ladder = Ladder::training(&config, true);
        assert!(ladder.rungs.iter().all(|cut| cut.host_preprocessing && !cut.on_cpu));
        assert_eq!(ladder.rungs.len(), 9);
    }

    /// Every clip and every frame is in one piece, the short rest too.
    #[test]
    fn pieces_are_the_whole() {
        for most in 1..8 {
            let cut = Cut { chunk_frames: Some(most), ..Cut::whole(most) };
            assert_eq!(cut.micro_batches(7).flatten().collect::<Vec<_>>(), (0..7).collect::<Vec<_>>());
            assert_eq!(cut.passes(3..10).flatten().collect::<Vec<_>>(), (3..10).collect::<Vec<_>>());
            assert!(cut.micro_batches(7).all(|piece| piece.len() <= most));
        }
    }

    #[test]
    fn batch_norm_never_gets_a_single_value() {
        let mut config = Config::default();
        config.data.frame_size = [32, 32];
        let last = |frames: usize| {
            let mut config = config.clone();
            config.data.max_frames = frames;
            Ladder::training(&config, false).rungs.last().unwrap().chunk_frames
        };
        // Of 5 frames, chunks of 2 would leave one alone.
        assert_eq!([last(8), last(2), last(5), last(6)], [Some(2), None, None, Some(3)]);
    }

    #[test]
    fn a_short_batch_goes_to_the_first_size_that_makes_a_difference() {
        let ladder = Ladder::new(12, 4, 1);
        assert_eq!(ladder.below(0, 12), Some(1));
        assert_eq!(ladder.below(0, 5), Some(2));
        assert_eq!(ladder.below(0, 1), Some(4), "a batch of one clip is cut along time");
        assert_eq!(ladder.below(5, 12), None);
    }

    #[test]
    fn growth_is_by_frames_and_never_leaves_the_cpu() {
        let ladder = Ladder::training(&Config::default(), true);
        assert_eq!(ladder.growth(0), None);
        assert_eq!(ladder.growth(3), Some(3.0));
        assert_eq!(ladder.growth(4), Some(2.0));
        assert_eq!(ladder.growth(10), None);
        assert_eq!(ladder.growth(11), Some(2.0));
    }

    #[test]
    fn a_cut_is_written_briefly_and_read_back() {
        let cut = Cut { chunk_frames: Some(8), ..Cut::whole(1) };
        assert_eq!(serde_json::to_string(&cut).unwrap(), r#"{"micro_batch":1,"chunk_frames":8}"#);
        assert_eq!(serde_json::from_str::<Cut>(r#"{"micro_batch":1,"chunk_frames":8}"#).unwrap(), cut);
    }
}
