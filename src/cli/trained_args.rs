//! The arguments that `evaluate`, `predict` and `export` share: which trained detector is meant, and how it scores. An
//! argument of a single subcommand stays in its own file.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::overrides_of;
use crate::evaluate::Pooling;
use crate::run::{ScoringOptions, StoredCheckpoint};

/// Which trained detector is meant.
#[derive(Debug, Args)]
pub struct TrainedArgs {
    /// A run: the checkpoint that it was tested with (its best)
    #[arg(long, value_name = "RUN", required_unless_present = "checkpoint", conflicts_with = "checkpoint")]
    pub(super) run: Option<PathBuf>,
    /// A checkpoint's folder, such as RUN/checkpoints/best
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
}

impl TrainedArgs {
    pub(super) fn open(&self) -> Result<StoredCheckpoint> {
        match &self.run {
            Some(run) => Ok(StoredCheckpoint::of_run(run)?),
            None => {
                let folder = self.checkpoint.as_deref().context("--run or --checkpoint is missing")?;
                Ok(StoredCheckpoint::open(folder)?)
            }
        }
    }
}

/// How videos are to be scored, where the checkpoint's own settings do not decide.
#[derive(Debug, Args)]
pub struct ScoringArgs {
    /// Clips taken from each video, one after the other in time [default: as in training]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    clips: Option<u16>,
    /// Score every face of a video, not only the largest
    #[arg(long)]
    all_faces: bool,
    /// What makes one score of a video's clips
    #[arg(long, value_name = "HOW", default_value = "mean")]
    pub(super) pool: Pooling,
    /// Clips in a batch
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "D")]
    device: Option<String>,
}

impl ScoringArgs {
    /// `faces` stands for `data.faces.mode`.
    pub(super) fn options(&self, faces: Option<&str>) -> ScoringOptions {
        let flags = [
            ("training.batch_size", self.batch_size.map(|n| n.to_string())),
            ("gpu.device", self.device.clone()),
            ("data.faces.mode", faces.map(str::to_owned)),
            ("data.faces.which", self.all_faces.then(|| "all".to_owned())),
        ];
        ScoringOptions {
            clips_a_video: self.clips.map(usize::from),
            pooling: self.pool,
            overrides: overrides_of(&[], &flags),
        }
    }
}
