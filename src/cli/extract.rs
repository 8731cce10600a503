//! `dfdetect data extract`: fills the clip cache on disk ahead of training.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use clap::Args;

use super::pipeline::{Clips, decide_faces, extract, stop_flag};
use super::plan::make_absolute;
use super::{overrides_of, quoted_list};
use crate::clip::Prepared;
use crate::config::{self, ConfigError, Sampling};
use crate::dataset::{assign_splits, scan_for, shard};
use crate::progress;

const EXAMPLES: &str = "Examples:
  dfdetect data extract --config configs/memory_optimized.yaml --data /data/faces
  dfdetect data extract --config configs/medium.yaml --shard 1/4    # the first of four machines that share the cache";

/// Arguments of `dfdetect data extract`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExtractArgs {
    /// Configuration file: clips are made as its training will want them
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Override a key of the configuration (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of the data set, or several (data.root)
    #[arg(long, value_name = "DIR", num_args = 1..)]
    data: Vec<PathBuf>,
    /// Only the I-th of N parts, so that several processes share the work
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: Shard,
}

/// The `part`-th of `parts`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    part: usize,
    parts: usize,
}

impl FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
        match numbers {
            Some((part, parts)) if (1..=parts).contains(&part) => Ok(Self { part, parts }),
            _ => Err("expected I/N with I from 1 to N, such as 2/4".into()),
        }
    }
}

pub(super) fn run(args: &ExtractArgs) -> Result<()> {
    let overrides = overrides_of(&args.set, &[("data.root", quoted_list(&args.data))]);
    let loaded = config::load(&args.config, &overrides)?;
    for warning in loaded.warnings {
        tracing::warn!("{}: {warning}", args.config.display());
    }
    let mut config = loaded.config;
    progress::set_level(config.logging.level);
    make_absolute(&mut config.data);
    let mut manifest = scan_for(&config.data, config.augmentation.self_blend)?;
    // Clips of training videos are not asked for again where their frames are drawn anew.
    if config.data.sampling == Sampling::RandomSegment {
        assign_splits(&mut manifest, &config.data, config.seed)?;
    }
    let stop = stop_flag()?;
    decide_faces(&config, &mut manifest, &stop)?;
    let clips = Clips::new(&config, &manifest, true)?;
    if !clips.source.cache().has_disk() {
        return Err(ConfigError {
            place: args.config.display().to_string(),
            key: "cache".into(),
            problem: "no clips would be kept on disk, so there is nothing to do ahead of training".into(),
            hint: Some(
                "set cache.enable_cache: true, cache.disk_bytes to what they need, or another cache.directory".into(),
            ),
        }
        .into());
    }
    let all: Vec<_> = (0..manifest.videos.len()).collect();
    let videos = shard(&all, args.shard.part - 1, args.shard.parts);
    let threads = config.dataloader.num_workers.max(1);
    let prepared = extract(&clips, &manifest, &videos, threads, &stop)?;

    let count = |wanted: fn(&Prepared) -> bool| prepared.iter().filter(|(_, outcome)| wanted(outcome)).count();
    let mut out = io::stdout();
    writeln!(out, "read      {}", count(|outcome| matches!(outcome, Prepared::Read(_))))?;
    writeln!(out, "cached    {}", count(|outcome| matches!(outcome, Prepared::Cached(_))))?;
    writeln!(out, "no room   {}", count(|outcome| matches!(outcome, Prepared::Probed)))?;
    writeln!(out, "unusable  {}", count(|outcome| outcome.unusable().is_some()))?;
    let stats = clips.source.cache().stats();
    if stats.damaged + stats.write_failures > 0 {
        writeln!(
            out,
            "damaged   {} files were made again, {} could not be written",
            stats.damaged, stats.write_failures
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { part: 2, parts: 4 }));
        for wrong in ["0/4", "5/4", "1/0", "2", "a/b", "-1/4"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
