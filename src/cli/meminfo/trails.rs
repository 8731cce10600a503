//! The history of the last readings as sparklines. Takes no readings; `watch.rs` passes them in.

use std::collections::{BTreeMap, VecDeque};

use super::rows::{Row, busy_name, rows};
use crate::memory::Snapshot;

/// Readings that a sparkline shows.
const TRAIL: usize = 24;

/// Shares of the last readings, by the name of the value.
#[derive(Debug, Default)]
pub(super) struct Trails(BTreeMap<String, VecDeque<f64>>);

impl Trails {
    /// Adds one reading.
    pub fn note(&mut self, memory: &Snapshot) {
        for Row { name, used, total, .. } in rows(memory) {
            self.push(name, used as f64 / total.max(1) as f64);
        }
        for gpu in &memory.gpus {
            self.push(busy_name(gpu.index), f64::from(gpu.utilization_percent.unwrap_or(0)) / 100.0);
        }
    }

    fn push(&mut self, name: String, share: f64) {
        let trail = self.0.entry(name).or_default();
        if trail.len() == TRAIL {
            trail.pop_front();
        }
        trail.push_back(share);
    }

    /// A sparkline: 0 to 1 in eighths, the newest at its end.
    pub fn line(&self, name: &str) -> String {
        const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let level = |share: &f64| LEVELS[((share * 8.0) as usize).min(7)];
        let line: String = self.0.get(name).into_iter().flatten().map(level).collect();
        format!("{line:>TRAIL$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_has_the_newest_at_its_end_and_forgets_the_oldest() {
        let mut trails = Trails::default();
        trails.push("x".into(), 1.0);
        (0..TRAIL - 2).for_each(|_| trails.push("x".into(), 0.0));
        trails.push("x".into(), 0.5);
        let line = trails.line("x");
        assert!(line.starts_with("█▁") && line.ends_with("▁▅"), "{line}");
        trails.push("x".into(), 0.99);
        let line = trails.line("x");
        assert!(line.starts_with('▁') && line.ends_with("▅█") && line.chars().count() == TRAIL, "{line}");
        assert_eq!(trails.line("unknown"), " ".repeat(TRAIL));
    }
}
