//! `meminfo --watch`: looks again and again, and draws how it goes.
//!
//! On a terminal the tables stay in place, on the terminal's other screen, and the last ones remain when it ends. Elsewhere
//! one block follows the other.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use console::Term;

use super::Report;
use super::tables::{Row, busy_name, render, rows};
use crate::cli::pipeline::stop_flag;
use crate::memory::Snapshot;

/// Looks that a sparkline shows.
const TRAIL: usize = 24;

/// Shares of the last looks, by what they are of.
#[derive(Debug, Default)]
pub(super) struct Trails(BTreeMap<String, VecDeque<f64>>);

impl Trails {
    fn note(&mut self, memory: &Snapshot) {
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

/// Looks every `interval` until Ctrl-C.
pub(super) fn watch(interval: Duration, json: bool, look: impl Fn() -> Result<Report>) -> Result<()> {
    let stop = stop_flag()?;
    let mut trails = Trails::default();
    let mut screen = (!json && io::stdout().is_terminal()).then(Screen::enter).transpose()?;
    let mut last = String::new();
    while !stop.load(Ordering::Relaxed) {
        let report = look()?;
        trails.note(&report.memory);
        last = if json { serde_json::to_string(&report)? + "\n" } else { render(&report, Some(&trails)) };
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S");
        match &mut screen {
            Some(screen) => screen.draw(&format!("{last}{now}, every {} s, Ctrl-C ends", interval.as_secs_f64()))?,
            None if json => io::stdout().write_all(last.as_bytes())?,
            None => writeln!(io::stdout(), "{now}\n{last}")?,
        }
        io::stdout().flush()?;
        wait(interval, &stop);
    }
    if screen.take().is_some() {
        io::stdout().write_all(last.as_bytes())?;
    }
    Ok(())
}

/// Waits, but not after a Ctrl-C.
fn wait(interval: Duration, stop: &AtomicBool) {
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let left = interval.saturating_sub(started.elapsed());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// The terminal's other screen, without a cursor; both are put back when dropped.
struct Screen(Term);

impl Screen {
    fn enter() -> io::Result<Self> {
        let term = Term::stdout();
        term.write_str("\x1b[?1049h\x1b[?25l")?;
        Ok(Self(term))
    }

    /// Draws over what is there, cut at the edges.
    fn draw(&self, text: &str) -> io::Result<()> {
        let (rows, columns) = self.0.size();
        self.0.write_str(&frame(text, rows.into(), columns.into()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = self.0.write_str("\x1b[?25h\x1b[?1049l");
    }
}

/// From the top left, each line to its end, and nothing below: so that nothing flickers.
fn frame(text: &str, rows: usize, columns: usize) -> String {
    let mut frame = "\x1b[H".to_owned();
    for (number, line) in text.lines().take(rows).enumerate() {
        let line: String = line.chars().take(columns).collect();
        let newline = if number == 0 { "" } else { "\r\n" };
        let _ = write!(frame, "{newline}{line}\x1b[K");
    }
    frame + "\x1b[J"
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

    #[test]
    fn a_frame_stays_within_the_terminal() {
        assert_eq!(frame("abc\nd\ne", 2, 2), "\x1b[Hab\x1b[K\r\nd\x1b[K\x1b[J");
    }
}
