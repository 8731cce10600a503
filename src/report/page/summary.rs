//! The summary: five questions about the run with their answers. Has no plots and tables; those are in the sections.

use maud::{Markup, html};

use super::run::Run;
use crate::metrics::Confusion;
use crate::report::evaluation_report::{BootstrapUnit, DatasetReport, TEST_SET, TOO_FEW_PEOPLE, UNSEEN};
use crate::report::log_reader::EventKind;
use crate::report::number_format::{bytes, interval, number, percent, plural};
use crate::report::run_report::{Report, Status};

/// The colour of an answer: whether it is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Warn,
    Bad,
    Open,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Open => "open",
        }
    }
}

/// One answer: a short text, and lines with the reasons.
struct Answer {
    question: &'static str,
    tone: Tone,
    short: String,
    reasons: Vec<String>,
}

pub fn summary(run: &Run) -> Markup {
    let answers = [learned(run), certainty(run), failures(run), memory(run), left_out(run)];
    html! {
        ul.answers {
            @for answer in &answers {
                li class=(answer.tone.class()) {
                    h3 { (answer.question) }
                    strong { (answer.short) }
                    @for reason in &answer.reasons { p { (reason) } }
                }
            }
        }
    }
}

/// The status of the run as a coloured word.
pub fn badge(run: &Run) -> Markup {
    let (tone, word) = match run.report.as_ref().map(|report| report.status) {
        Some(Status::Completed) => (Tone::Good, "completed"),
        Some(Status::Interrupted) => (Tone::Warn, "interrupted"),
        Some(Status::Failed) => (Tone::Bad, "failed"),
        None => (Tone::Open, "not ended"),
    };
    html! { span class={ "badge " (tone.class()) } { (word) } }
}

fn learned(run: &Run) -> Answer {
    let question = "Did it learn?";
    let mut reasons = Vec::new();
    if let [first, .., last] = run.log.epochs.as_slice() {
        reasons.push(format!(
            "Training loss went from {} to {} in {} epochs.",
            number(first.train_loss),
            number(last.train_loss),
            run.log.epochs.len()
        ));
    }
    if let Some(best) = run.log.best() {
        reasons.push(format!(
            "Validation was best after epoch {}: video AUC {}.",
            best.epoch,
            number(best.validation.video_auc)
        ));
        reasons.extend(overfitting(run));
    }
    if let Some(average) = run.report.as_ref().and_then(|report| report.average.as_ref()) {
        reasons.push(format!(
            "Tested was the mean of the weights of epochs {}: its validation video AUC is {}.",
            average.epochs(),
            number(average.validation.video_auc)
        ));
    }
    if let Some(unseen) = run.test_report().and_then(|set| set.seen_and_unseen.get(UNSEEN)) {
        reasons.push(format!(
            "Of fakes by methods that were not trained on, the test video AUC is {}.",
            number(unseen.video_auc)
        ));
    }
    if run.report.as_ref().is_some_and(|report| report.taken_back) {
        reasons.push("It diverged once, and was taken back to an earlier checkpoint.".into());
    }
    let test = run.test();
    let (what, metrics) = match test {
        Some(test) if test.video_auc.is_some() => ("test", Some(test)),
        _ => ("validation", run.log.best().map(|best| &best.validation)),
    };
    let (tone, short) = match metrics.and_then(|metrics| Some((metrics.video_auc?, metrics.video_auc_ci95))) {
        None if run.log.epochs.is_empty() => (Tone::Open, "No epoch is finished yet".to_owned()),
        None => (Tone::Open, "Not known: the AUC needs real and fake videos".to_owned()),
        Some((auc, Some([lower, _]))) if lower > 0.5 => (Tone::Good, format!("Yes: {what} video AUC {auc:.3}")),
        Some((auc, Some([_, upper]))) if upper < 0.5 => {
            (Tone::Bad, format!("The wrong way round: {what} video AUC {auc:.3}"))
        }
        Some((auc, Some(_))) => (Tone::Warn, format!("Not shown: {what} video AUC {auc:.3}, and chance is 0.5")),
        Some((auc, None)) if what == "test" => {
            (Tone::Open, format!("Too few people to say: test video AUC {auc:.3}, and chance is 0.5"))
        }
        Some((auc, None)) if auc >= 0.6 => (Tone::Good, format!("It looks so: {what} video AUC {auc:.3}")),
        Some((auc, None)) => (Tone::Warn, format!("Hardly: {what} video AUC {auc:.3}, and chance is 0.5")),
    };
    Answer { question, tone, short, reasons }
}

/// A note about overfitting: the validation loss rose while the training loss fell.
fn overfitting(run: &Run) -> Option<String> {
    let epochs = &run.log.epochs;
    let lowest = epochs
        .iter()
        .filter(|epoch| epoch.val_loss.is_some())
        .min_by(|a, b| a.val_loss.partial_cmp(&b.val_loss).unwrap_or(std::cmp::Ordering::Equal))?;
    let last = epochs.last()?;
    let rose = last.val_loss? > 1.1 * lowest.val_loss? && last.train_loss? < lowest.train_loss?;
    (rose && last.epoch >= lowest.epoch + 2).then(|| {
        format!(
            "The validation loss was lowest after epoch {} and is higher now, while the training loss fell: it may begin to \
             learn by heart.",
            lowest.epoch
        )
    })
}

fn certainty(run: &Run) -> Answer {
    let question = "How sure is that?";
    let Some(test) = run.test() else {
        let short = "There is no test yet".to_owned();
        let reasons = vec!["Validation chose the best epoch, so its numbers flatter.".to_owned()];
        return Answer { question, tone: Tone::Open, short, reasons };
    };
    let own = run.test_report();
    let people = own.filter(|set| set.drawn_over.unit == BootstrapUnit::Identities).map(|set| set.drawn_over.groups);
    let of_people = people.map_or(String::new(), |people| format!(", of {people} people"));
    let mut reasons = vec![format!("{} were scored{of_people}.", plural(test.videos, "test video"))];
    let (tone, short) = match test.video_auc_ci95 {
        Some([lower, upper]) => {
            let tone = if upper - lower > 0.2 { Tone::Warn } else { Tone::Good };
            if tone == Tone::Warn {
                reasons.push("That is a wide interval: test videos of more people would narrow it.".into());
            }
            if lower >= 1.0 {
                let why = "All are in the right order, so drawing them anew shows no doubt";
                reasons.push(format!("{why}: mistakes rarer than one in {} stay unseen.", test.videos));
            }
            (tone, format!("95 % interval {}", interval(Some([lower, upper]))))
        }
        None => {
            if own.is_some_and(|set| set.drawn_over.unit == BootstrapUnit::TooFew) {
                reasons.push(format!("{TOO_FEW_PEOPLE}."));
            }
            (Tone::Open, "No interval is known".to_owned())
        }
    };
    let calibration = own.and_then(|set| set.calibration.as_ref());
    reasons.extend(calibration.map(|calibration| {
        let tempered =
            calibration.ece_calibrated.map_or(String::new(), |ece| format!("; {} with the temperature", percent(ece)));
        format!("Scores are {} off from the share of fakes, on average{tempered}.", percent(calibration.ece))
    }));
    Answer { question, tone, short, reasons }
}

fn failures(run: &Run) -> Answer {
    let question = "Where does it fail?";
    let sets = run.evaluation.as_ref().map_or(&[][..], |all| all.sets.as_slice());
    let Some(own) = run.test_report() else {
        let mut reasons = Vec::new();
        if let Some(test) = run.test() {
            let share = |value: Option<f64>| value.map_or("–".to_owned(), percent);
            reasons.push(format!(
                "Right at 0.5: {} of the reals, {} of the fakes.",
                share(test.acc_real),
                share(test.acc_fake)
            ));
        }
        return Answer { question, tone: Tone::Open, short: "Not looked at in detail yet".into(), reasons };
    };
    let confusion = confusion_at_half(own);
    let mut reasons = Vec::new();
    let weakest = own.methods.iter().filter_map(|(name, metrics)| Some((name, metrics.video_auc?, metrics)));
    let weakest = weakest.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|_| own.methods.len() > 1);
    if let Some((name, auc, metrics)) = weakest {
        reasons.push(format!("Hardest to tell: {name}, video AUC {auc:.3} ({}).", interval(metrics.video_auc_ci95)));
    }
    for set in sets.iter().filter(|set| set.name != TEST_SET) {
        reasons.push(format!("On {}: video AUC {}.", set.name, number(set.overall.video_auc)));
    }
    let wrong = confusion.map(|confusion| (confusion.real_as_fake + confusion.fake_as_real, confusion));
    let (tone, short) = match wrong {
        None => (Tone::Open, "Not known".to_owned()),
        Some((0, _)) => (Tone::Good, "Nowhere on its own test, at 0.5".to_owned()),
        Some((wrong, Confusion { real_as_real, real_as_fake, fake_as_real, fake_as_fake })) => {
            let reals = plural(real_as_real + real_as_fake, "real");
            let fakes = plural(fake_as_real + fake_as_fake, "fake");
            let short = format!("{real_as_fake} of {reals} and {fake_as_real} of {fakes} are wrong, at 0.5");
            let all = real_as_real + real_as_fake + fake_as_real + fake_as_fake;
            (if wrong * 5 > all { Tone::Bad } else { Tone::Warn }, short)
        }
    };
    Answer { question, tone, short, reasons }
}

/// The confusion matrix at threshold 0.5.
pub fn confusion_at_half(set: &DatasetReport) -> Option<Confusion> {
    set.operating_points.iter().find(|point| point.name == "0.5").map(|point| point.confusion)
}

fn memory(run: &Run) -> Answer {
    let question = "Did memory hold?";
    let events = &run.log.events;
    let ran_out = events.iter().filter(|event| matches!(event.kind, EventKind::OutOfMemory(_))).count();
    let cleanups = events.iter().filter(|event| matches!(event.kind, EventKind::Cleanup(_))).count();
    let mut reasons = Vec::new();
    let summary = run.report.as_ref().map(|report| &report.memory);
    let peak = summary.and_then(|memory| memory.rss_peak_bytes);
    let peak = peak.or_else(|| run.log.steps.iter().filter_map(|step| step.rss_bytes).max());
    reasons.extend(peak.map(|peak| format!("At most {} of host memory.", bytes(peak))));
    if let Some(peak) = summary.and_then(|memory| memory.gpu_peak_bytes) {
        reasons.push(format!("At most {} of the GPU's memory in tensors.", bytes(peak)));
    }
    if cleanups > 0 {
        reasons.push(format!("{} on the way.", plural(cleanups, "clean-up")));
    }
    if let Some(memory) = summary.filter(|_| ran_out > 0) {
        let place = if memory.moved_to_cpu { ", on the CPU" } else { "" };
        reasons.push(format!("No clip was lost; it ended with micro-batches of {}{place}.", memory.micro_batch_final));
        reasons.extend(memory.oom_advice.as_ref().map(|advice| format!("The last time, {advice}.")));
    }
    let (tone, short) = match ran_out {
        _ if summary.is_some_and(|memory| memory.ended_the_run) => {
            (Tone::Bad, "No: it ran out and could not go on".to_owned())
        }
        0 if run.log.steps.is_empty() => (Tone::Open, "No step is done yet".to_owned()),
        0 => (Tone::Good, "Yes: it never ran out".to_owned()),
        times => (Tone::Warn, format!("It ran out {}, and went on", plural(times, "time"))),
    };
    Answer { question, tone, short, reasons }
}

fn left_out(run: &Run) -> Answer {
    let question = "What was left out?";
    let skipped = run.manifest.as_ref().map_or(0, |manifest| manifest.skipped.len());
    let all = run.manifest.as_ref().map_or(0, |manifest| manifest.videos.len());
    let mut reasons = Vec::new();
    let unscored: usize = run.evaluation.iter().flat_map(|all| &all.sets).map(|set| set.unreadable.len()).sum();
    if unscored > 0 {
        reasons.push(format!("{} could not be scored.", plural(unscored, "test video")));
    }
    let idle = run.log.events.iter().filter(|event| matches!(event.kind, EventKind::Skipped(_))).count();
    if idle > 0 {
        reasons.push(format!("{} moved no weight: numbers were not finite.", plural(idle, "step")));
    }
    if let Some(Report { data, .. }) = &run.report
        && let Some(faces) = data.faces.as_ref().filter(|faces| faces.missed > 0)
    {
        reasons.push(format!("No face was found in {}.", plural(faces.missed, "video")));
    }
    if run.log.unreadable > 0 {
        reasons.push(format!("{} of the log could not be read.", plural(run.log.unreadable, "line")));
    }
    let (tone, short) = match skipped {
        _ if run.manifest.is_none() => (Tone::Open, "Not known: there is no list of videos".to_owned()),
        0 if reasons.is_empty() => (Tone::Good, "Nothing".to_owned()),
        0 => (Tone::Warn, "No video was skipped".to_owned()),
        _ => (
            if skipped * 20 > all { Tone::Warn } else { Tone::Good },
            format!("{skipped} of {} skipped", plural(all, "video")),
        ),
    };
    Answer { question, tone, short, reasons }
}
