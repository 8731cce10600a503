//! One micro-batch size: how much of a batch goes through the network at a time. Which sizes there are is decided in
//! `micro_batch_sizes.rs`.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How a batch is cut into micro-batches, and a micro-batch into passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MicroBatchSize {
    /// The most clips in one forward pass.
    pub micro_batch: usize,
    /// The most frames in one pass of the backbone, where a single clip is cut along time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chunk_frames: Option<usize>,
    /// Pixels become normalised floats on the host, not on the device.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub host_preprocessing: bool,
    /// The work is done on the CPU, although the run started on another device.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub on_cpu: bool,
}

impl MicroBatchSize {
    /// A whole batch of `clips` at once.
    #[must_use]
    pub fn whole(clips: usize) -> Self {
        Self { micro_batch: clips.max(1), chunk_frames: None, host_preprocessing: false, on_cpu: false }
    }

    /// The same size for a batch of `clips`, which may have fewer clips than a micro-batch.
    #[must_use]
    pub fn of_batch(self, clips: usize) -> Self {
        Self { micro_batch: self.micro_batch.min(clips.max(1)), ..self }
    }

    /// The micro-batches of a batch of `clips`.
    pub fn micro_batches(self, clips: usize) -> impl Iterator<Item = Range<usize>> {
        pieces(0..clips, self.micro_batch)
    }

    /// The passes of the backbone over the frames of one micro-batch.
    pub fn passes(self, frames: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let most = self.chunk_frames.unwrap_or(frames.len());
        pieces(frames, most)
    }

    /// The most frames in one pass of the backbone, for clips of `frames`.
    #[must_use]
    pub fn frames_at_once(self, frames: usize) -> usize {
        self.chunk_frames.unwrap_or(self.micro_batch * frames)
    }
}

/// Pieces of `most` at most, in order.
fn pieces(all: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    all.clone().step_by(most.max(1)).map(move |start| start..(start + most).min(all.end))
}

impl fmt::Display for MicroBatchSize {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every clip and every frame is in one piece, the short rest too.
    #[test]
    fn pieces_are_the_whole() {
        for most in 1..8 {
            let size = MicroBatchSize { chunk_frames: Some(most), ..MicroBatchSize::whole(most) };
            assert_eq!(size.micro_batches(7).flatten().collect::<Vec<_>>(), (0..7).collect::<Vec<_>>());
            assert_eq!(size.passes(3..10).flatten().collect::<Vec<_>>(), (3..10).collect::<Vec<_>>());
            assert!(size.micro_batches(7).all(|piece| piece.len() <= most));
        }
    }

    #[test]
    fn a_cut_is_written_briefly_and_read_back() {
        let size = MicroBatchSize { chunk_frames: Some(8), ..MicroBatchSize::whole(1) };
        assert_eq!(serde_json::to_string(&size).unwrap(), r#"{"micro_batch":1,"chunk_frames":8}"#);
        assert_eq!(serde_json::from_str::<MicroBatchSize>(r#"{"micro_batch":1,"chunk_frames":8}"#).unwrap(), size);
    }
}
