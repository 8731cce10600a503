//! The memory of a run, from the last `memory` line of its log. Reads only files of the run and never contacts its
//! process, so the values are as old as that line.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cli::text::size;
use crate::config::OutputConfig;
use crate::report::RunFolder;
use crate::train::MemoryLine;

/// The line is searched for in this much of the end of the log.
const TAIL_BYTES: u64 = 256 << 10;

/// The last known memory of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RunMemory {
    run: String,
    /// Seconds since the run last wrote anything.
    age_secs: u64,
    /// Whether it has ended, well or not.
    ended: bool,
    /// Its last `memory` line.
    #[serde(flatten)]
    line: MemoryLine,
}

impl RunMemory {
    /// Of the run in a folder, or of the run whose log was written to last.
    pub fn look(run: Option<&Path>) -> Result<Self> {
        let output = OutputConfig::default().directory;
        let folder = match run {
            Some(run) => RunFolder::open(run),
            None => RunFolder::last_heard_of(&output).with_context(|| {
                format!("{}: no run has written anything here\n  hint: name the run, with --run RUN", output.display())
            })?,
        };
        let log = folder.log();
        let unreadable =
            || format!("{}: cannot be read\n  hint: name the folder of a run, with --run RUN", log.display());
        let mut file = File::open(&log).with_context(unreadable)?;
        let metadata = file.metadata().with_context(unreadable)?;
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(TAIL_BYTES))).with_context(unreadable)?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail).with_context(unreadable)?;
        let Some(line) = last_memory_line(&String::from_utf8_lossy(&tail)) else {
            bail!(
                "{}: there is no `memory` line yet\n  hint: one is written every logging.memory_log_interval steps",
                log.display()
            );
        };
        let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        Ok(Self {
            run: folder.path().display().to_string(),
            age_secs: age.unwrap_or_default().as_secs(),
            ended: folder.report().exists(),
            line,
        })
    }
}

fn last_memory_line(log: &str) -> Option<MemoryLine> {
    log.lines()
        .rev()
        .filter(|line| line.contains(r#""kind":"memory""#))
        .find_map(|line| serde_json::from_str(line).ok())
}

impl fmt::Display for RunMemory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { run, age_secs, ended, line } = self;
        let state = if *ended { "ended" } else { "last heard of" };
        let resident = line.reading.rss_bytes.map_or_else(|| "?".into(), size);
        write!(
            f,
            "{run}, {state} {age_secs} s ago, at step {}:\n  {resident} resident, {} in the frame cache, clips ahead {}, \
             threads {}, {}",
            line.step,
            size(line.cache_bytes),
            line.clips_ahead,
            line.threads,
            line.size
        )?;
        let Some(held) = &line.reading.allocator else { return Ok(()) };
        write!(
            f,
            "\n  its allocator: {} in tensors (peak {}), {} reserved (peak {}), {} retries, ran out {} times",
            size(held.allocated_bytes),
            size(held.allocated_peak_bytes),
            size(held.reserved_bytes),
            size(held.reserved_peak_bytes),
            held.alloc_retries,
            held.ooms
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::memory::{MicroBatchSize, Reading};
    use crate::torch::AllocatorStats;

    pub(in crate::cli::meminfo) fn example() -> RunMemory {
        let allocator = AllocatorStats { reserved_bytes: 7 << 29, alloc_retries: 2, ..AllocatorStats::default() };
        let reading = Reading { allocator: Some(allocator), ..Reading::default() };
        let line = MemoryLine {
            step: 40,
            size: MicroBatchSize::whole(3),
            clips_ahead: 8,
            threads: 2,
            cache_bytes: 1 << 20,
            reading,
        };
        RunMemory { run: "runs/demo".into(), age_secs: 3, ended: false, line }
    }

    #[test]
    fn the_last_whole_memory_line_counts() {
        let older = serde_json::to_string(&MemoryLine { step: 10, ..example().line }).unwrap();
        let newer = serde_json::to_string(&example().line).unwrap();
        let kind = |line: &str| line.replacen('{', r#"{"kind":"memory","#, 1);
        let log = format!("{}\n{}\n{{\"kind\":\"step\"}}\n{{\"kind\":\"memory\",\"st", kind(&older), kind(&newer));
        assert_eq!(last_memory_line(&log), Some(example().line));
        assert_eq!(last_memory_line("{\"kind\":\"step\"}\n"), None);
    }
}
