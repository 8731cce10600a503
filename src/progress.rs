//! Output to stderr while something runs: progress bars on a terminal, log lines at intervals elsewhere. Also sets up
//! the log, whose lines appear above the bars.
//!
//! Knows nothing of what is counted. Results for the user go to stdout, in `cli`.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use clap::ColorChoice;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::LevelFilter as Filter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;

use crate::config::LogLevel;

/// The least time between two texts of a bar. To make one may cost as much as a step: the AUC sorts an epoch's scores.
const TEXT_EVERY: Duration = Duration::from_millis(250);

type Reload = reload::Handle<Filter, tracing_subscriber::Registry>;

/// Set once by [`init`]: the screen that bars and log lines share, and the handle that changes the level later.
static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
static LEVEL: OnceLock<(Reload, bool)> = OnceLock::new();

/// Starts logging to stderr. A `level` from the command line overrides a later [`set_level`].
pub fn init(level: Option<LogLevel>, color: ColorChoice) {
    let screen = SCREEN.get_or_init(MultiProgress::new);
    if level == Some(LogLevel::Error) {
        screen.set_draw_target(ProgressDrawTarget::hidden());
    }
    let colors = has_colors(color, io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    // The library that colours bars checks only the terminal and NO_COLOR.
    console::set_colors_enabled_stderr(colors);
    let (filter, handle) = reload::Layer::new(filter_of(level.unwrap_or(LogLevel::Info)));
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(colors).with_target(false).without_time().with_writer(AboveBars);
    if tracing_subscriber::registry().with(lines.with_filter(filter)).try_init().is_ok() {
        let _ = LEVEL.set((handle, level.is_some()));
    }
}

fn has_colors(color: ColorChoice, is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    match color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        // https://no-color.org: an empty value counts as none.
        ColorChoice::Auto => is_terminal && no_color.is_none_or(OsStr::is_empty),
    }
}

/// Sets the log level of the configuration, unless the command line gave one.
pub fn set_level(level: LogLevel) {
    if let Some((handle, false)) = LEVEL.get() {
        let _ = handle.modify(|filter| *filter = filter_of(level));
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

/// Writes log lines above the bars on the screen.
#[derive(Clone, Copy)]
struct AboveBars;

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(bytes).map(|()| bytes.len());
        match SCREEN.get() {
            Some(screen) => screen.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The progress of one task: a bar on a terminal, log lines at intervals elsewhere.
pub struct Bar {
    bar: ProgressBar,
    label: String,
    /// Counts between two plain lines; `None` on a terminal, where the bar itself is seen.
    plain_every: Option<u64>,
    /// The time of the last text of the bar.
    last_text: Mutex<Option<Instant>>,
    /// Formats a count.
    write: fn(u64) -> String,
}

impl Bar {
    /// The progress of a task with `total` items; without a terminal a line appears every `plain_every` of them.
    #[must_use]
    pub fn new(label: &str, total: u64, plain_every: u64) -> Self {
        let plain_every = (!io::stderr().is_terminal()).then_some(plain_every.max(1));
        let bar = match (plain_every, SCREEN.get()) {
            (None, Some(screen)) => screen.add(ProgressBar::new(total)),
            _ => ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()),
        };
        let style = ProgressStyle::with_template("{prefix:>9} {bar:12.cyan/blue} {pos}/{len} {eta:>4} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_prefix(label.to_owned());
        Self {
            bar,
            label: label.to_owned(),
            plain_every,
            last_text: Mutex::default(),
            write: |count| count.to_string(),
        }
    }

    /// The progress of a transfer of `total` bytes; without a terminal a line appears at every tenth of them.
    #[must_use]
    pub fn bytes(label: &str, total: u64) -> Self {
        let mut bar = Self::new(label, total, total.div_ceil(10));
        let style = ProgressStyle::with_template("{prefix:>9} {bar:12.cyan/blue} {bytes}/{total_bytes} {eta:>4}");
        bar.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.write = |bytes| ByteSize(bytes).to_string();
        bar
    }

    /// Counts `done` more items. `message` is about them; it is called only for a line, or a text of the bar, that
    /// people see.
    pub fn advance(&self, done: u64, message: impl FnOnce() -> String) {
        self.advance_at(Instant::now(), done, message);
    }

    fn advance_at(&self, now: Instant, done: u64, message: impl FnOnce() -> String) {
        let before = self.bar.position();
        self.bar.inc(done);
        let after = self.bar.position();
        let total = self.bar.length().unwrap_or(after);
        match self.plain_every {
            None if self.is_text_due(now) => self.bar.set_message(message()),
            None => {}
            Some(every) if after / every > before / every || after == total => {
                let line = format!("{} {}/{} {}", self.label, (self.write)(after), (self.write)(total), message());
                tracing::info!("{}", line.trim_end());
            }
            Some(_) => {}
        }
    }

    /// Whether the text of the bar is old enough for a new one, which then is made.
    fn is_text_due(&self, now: Instant) -> bool {
        let mut last = self.last_text.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= TEXT_EVERY);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if let Some(screen) = SCREEN.get() {
            screen.remove(&self.bar);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Ten steps of 10 ms each are one text on a terminal, and a line at every fourth and at the end elsewhere.
    #[test]
    fn texts_are_made_only_to_be_seen() {
        let made = |plain_every, ms: u64| {
            let mut bar = Bar::new("train", 10, 1);
            bar.plain_every = plain_every;
            let (start, made) = (Instant::now(), Cell::new(0));
            for step in 0..10 {
                bar.advance_at(start + Duration::from_millis(ms * step), 1, || {
                    made.set(made.get() + 1);
                    String::new()
                });
            }
            made.get()
        };
        assert_eq!((made(None, 10), made(None, 50), made(None, 300)), (1, 2, 10));
        assert_eq!((made(Some(4), 10), made(Some(100), 10)), (3, 1));
    }

    #[test]
    fn colours_are_for_terminals_that_do_not_refuse_them() {
        let auto =
            |is_terminal, no_color: Option<&str>| has_colors(ColorChoice::Auto, is_terminal, no_color.map(OsStr::new));
        assert!(auto(true, None) && auto(true, Some("")));
        assert!(!auto(true, Some("1")) && !auto(false, None));
        assert!(has_colors(ColorChoice::Always, false, Some(OsStr::new("1"))));
        assert!(!has_colors(ColorChoice::Never, true, None));
    }
}
