//! `meminfo --watch`: repeats the reading at an interval and shows how the values develop. This file neither takes
//! readings nor formats tables.
//!
//! On a terminal the tables are redrawn in place on the alternate screen; at the end the last tables are printed on the
//! normal screen. On other outputs each reading is appended to the one before; with `--json` each is one line.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use console::Term;

use super::report::Report;
use super::tables::render;
use super::trails::Trails;
use crate::cli::stop::stop_flag;
use crate::parallel;

/// Takes and shows a reading every `interval` until Ctrl-C.
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
        parallel::wait(interval, &stop);
    }
    if screen.take().is_some() {
        io::stdout().write_all(last.as_bytes())?;
    }
    Ok(())
}

/// The alternate screen with a hidden cursor. Dropping it restores the normal screen and the cursor.
struct Screen(Term);

impl Screen {
    fn enter() -> io::Result<Self> {
        let term = Term::stdout();
        term.write_str("\x1b[?1049h\x1b[?25l")?;
        Ok(Self(term))
    }

    /// Overwrites the screen with `text`, cut to the size of the terminal.
    fn draw(&self, text: &str) -> io::Result<()> {
        let (rows, columns) = self.0.size();
        self.0.write_str(&frame(text, rows.into(), columns.into()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Errors are ignored: the terminal may be closed.
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
    fn a_frame_stays_within_the_terminal() {
        assert_eq!(frame("abc\nd\ne", 2, 2), "\x1b[Hab\x1b[K\r\nd\x1b[K\x1b[J");
    }
}
