//! `dfdetect data extract`: fills the clip cache on disk ahead of training. Only parses arguments and prints counts;
//! the work is in `run/extraction.rs`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{load_config, overrides_of, quoted_list};
use super::stop::stop_flag;
use crate::clip::Prepared;
use crate::progress;
use crate::run::{Extracted, Extraction, Shard};

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
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    shard: Shard,
}

fn shard(text: &str) -> Result<Shard, String> {
    let numbers = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    match numbers {
        Some((part, parts)) if (1..=parts).contains(&part) => Ok(Shard { part, parts }),
        _ => Err("expected I/N with I from 1 to N, such as 2/4".into()),
    }
}

pub(super) fn run(args: &ExtractArgs) -> Result<()> {
    let overrides = overrides_of(&args.set, &[("data.root", quoted_list(&args.data))]);
    let config = load_config(&args.config, &overrides)?;
    progress::set_level(config.logging.level);
    let extraction = Extraction::prepare(config)?;
    let stop = stop_flag()?;
    let Extracted { videos, cache } = extraction.run(args.shard, &args.config.display().to_string(), &stop)?;

    let count = |wanted: fn(&Prepared) -> bool| videos.iter().filter(|(_, outcome)| wanted(outcome)).count();
    let mut out = io::stdout();
    writeln!(out, "read      {}", count(|outcome| matches!(outcome, Prepared::Read(_))))?;
    writeln!(out, "cached    {}", count(|outcome| matches!(outcome, Prepared::Cached(_))))?;
    writeln!(out, "no room   {}", count(|outcome| matches!(outcome, Prepared::Probed)))?;
    writeln!(out, "unusable  {}", count(|outcome| outcome.unusable().is_some()))?;
    if cache.damaged + cache.write_failures > 0 {
        writeln!(
            out,
            "damaged   {} files were made again, {} could not be written",
            cache.damaged, cache.write_failures
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_one() {
        assert_eq!(shard("2/4"), Ok(Shard { part: 2, parts: 4 }));
        for wrong in ["0/4", "5/4", "1/0", "2", "a/b", "-1/4"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
