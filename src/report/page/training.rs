//! The section on training: curves over steps, and the epochs as a table. Reads only the log; test results are in
//! `results.rs`, memory in `memory.rs`.

use maud::{Markup, html};

use super::chart::{Chart, Mark, Series, Style};
use super::downsample::moving_average;
use crate::report::log_reader::{Epoch, Event, EventKind, Log, Step};
use crate::report::number_format::{digits, number, percent, seconds};

/// The plots of a log.
pub fn charts(log: &Log) -> Vec<Chart> {
    let marks = || marks(log);
    let at_steps = |pick: fn(&Step) -> Option<f64>| -> Vec<(f64, f64)> {
        log.steps.iter().filter_map(|step| Some((step.step as f64, pick(step)?))).collect()
    };
    let at_epochs = |label, colour, style, pick: fn(&Epoch) -> Option<f64>| {
        Series::new(label, colour, style, log.epochs.iter().filter_map(|epoch| Some((epoch.step as f64, pick(epoch)?))))
    };
    let span = (log.steps.len() as f64 / 30.0).clamp(5.0, 500.0).round();
    let averaged = |label: &str, colour, points: Vec<(f64, f64)>| {
        let average = Series::new(label, colour, Style::Line, moving_average(&points, span));
        [Series::new(format!("{label}, each step"), colour, Style::Faint, points), average]
    };
    let [each, average] = averaged("training loss", 1, at_steps(|step| step.loss));
    let validation = at_epochs("validation loss", 2, Style::Dots, |epoch| epoch.val_loss);
    let note = format!("The thick line is a moving average over about {span:.0} steps.");
    let loss = Chart::new("loss", "Loss", ["step", "loss"], vec![each, average, validation]);

    let scores = vec![
        at_epochs("validation, videos", 2, Style::Dots, |epoch| epoch.validation.video_auc),
        at_epochs("validation, frames", 3, Style::Dashed, |epoch| epoch.validation.frame_auc),
        at_epochs("training, clips", 1, Style::Line, |epoch| epoch.train_auc),
    ];
    let auc = Chart::new("auc", "AUC", ["step", "AUC"], scores);
    let errors = vec![
        at_epochs("equal error rate", 4, Style::Dots, |epoch| epoch.validation.eer),
        at_epochs("accuracy", 5, Style::Dashed, |epoch| epoch.validation.acc),
        at_epochs("average precision", 6, Style::Line, |epoch| epoch.validation.ap),
    ];
    let errors = Chart::new("errors", "More of validation", ["step", "share"], errors);

    let lr = vec![Series::new("learning rate", 4, Style::Line, at_steps(|step| Some(step.lr)))];
    let lr = Chart::new("lr", "Learning rate", ["step", "learning rate"], lr);
    let speed = averaged("clips a second", 3, at_steps(|step| step.clips_per_sec)).into();
    let speed = Chart::new("speed", "Throughput", ["step", "clips a second"], speed);
    let waited = at_steps(|step| {
        let took_ms = 1000.0 * step.clips as f64 / step.clips_per_sec?;
        Some(100.0 * step.data_wait_ms as f64 / took_ms)
    });
    let wait = averaged("waited for clips", 5, waited).into();
    let wait = Chart::new("wait", "Data wait", ["step", "% of the step"], wait);
    let wait = wait.map(|chart| chart.note("Near 0 the network is the slow part, near 100 reading videos is."));
    let plots = [loss.map(|chart| chart.note(note)), auc, errors, lr, speed, wait];
    plots.into_iter().flatten().map(|chart| chart.marks(marks())).collect()
}

/// Marks where the run was resumed or rolled back.
fn marks(log: &Log) -> Vec<Mark> {
    let mark = |step: u64, label: String| Mark { kind: "run", x: step as f64, y: None, label };
    let of = |event: &Event| match &event.kind {
        EventKind::Resumed(time) => Some(mark(event.step, format!("after step {}: resumed on {time}", event.step))),
        EventKind::TakenBack(back) => {
            let lr = digits(back.lr_factor);
            Some(mark(back.to_step, format!("taken back from step {}, on with {lr} of the learning rate", event.step)))
        }
        _ => None,
    };
    log.events.iter().filter_map(of).collect()
}

pub fn section(log: &Log, charts: &[Chart]) -> Markup {
    html! {
        @if charts.is_empty() { p.empty { "No step is done yet." } }
        @else { p.soft { "Drag across a plot to zoom in, double-click to zoom out; with the keyboard, arrow keys and Escape." } }
        div.plots { @for chart in charts { (chart.figure()) } }
        @if !log.epochs.is_empty() { details open[log.epochs.len() <= 12] { summary { "Epochs" } (epochs(log)) } }
    }
}

fn epochs(log: &Log) -> Markup {
    let best = log.best().map(|epoch| epoch.epoch);
    html! {
        div.wide.tall tabindex="0" { table {
            thead { tr {
                @for name in ["epoch", "step", "train loss", "train AUC", "val loss", "video AUC", "frame AUC", "EER", "AP", "accuracy", "clips/s", "waited", "time"] {
                    th scope="col" { (name) }
                }
            } }
            tbody { @for epoch in &log.epochs {
                tr.best[Some(epoch.epoch) == best] {
                    th scope="row" { (epoch.epoch) @if Some(epoch.epoch) == best { " (best)" } }
                    td { (epoch.step) }
                    @for value in [epoch.train_loss, epoch.train_auc, epoch.val_loss, epoch.validation.video_auc, epoch.validation.frame_auc, epoch.validation.eer, epoch.validation.ap, epoch.validation.acc] {
                        td { (number(value)) }
                    }
                    td { (epoch.clips_per_sec.map_or("–".to_owned(), |speed| format!("{speed:.1}"))) }
                    td { (percent(epoch.data_wait_share)) }
                    td { (seconds(epoch.seconds)) }
                }
            } }
        } }
    }
}
