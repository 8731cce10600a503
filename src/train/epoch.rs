//! The end of an epoch: validation, whether it is the best, what is written of it.

use super::lines::{CSV_COLUMNS, epoch_line};
use super::state::{Best, EpochRecord, Tally};
use super::trainer::{TrainError, Trainer};
use crate::config::Scheduler;
use crate::evaluate::{Evaluation, Evaluator, Pooling, scored_videos};
use crate::metrics::{ScoredVideos, fit_temperature};
use crate::report::write_csv;

impl Trainer<'_> {
    /// Scores videos with the weights as they are.
    ///
    /// # Errors
    /// Interrupted, or not even one clip fits.
    pub fn evaluate(&mut self, label: &str, videos: &[usize]) -> Result<Evaluation, TrainError> {
        let known = self.evaluate_guard.events().len();
        let mut evaluator = Evaluator {
            loader: self.loader,
            guard: &mut self.evaluate_guard,
            relieve: &mut self.stepper.relieve,
            batch_size: self.config.training.batch_size.clips(),
            clips_a_video: 1,
            pooling: Pooling::default(),
            stop: self.stop,
            label,
        };
        let result = evaluator.run(self.stepper.learner.tested(), videos);
        self.log_sizes(known, false)?;
        self.log_cleanups()?;
        let evaluation = result?;
        self.note_skipped(&evaluation.skipped);
        Ok(evaluation)
    }

    pub(super) fn finish_epoch(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        let stopping = &self.config.training.early_stopping;
        let samples = scored_videos(&evaluation.videos);
        let mut record = self.record(&samples);
        let value = record.monitored(stopping.monitor);
        let epoch = Best { epoch: record.epoch, value, validation: record.validation.clone() };
        record.is_best = Best::beats(&epoch, self.state.best.as_ref());
        let is_best = record.is_best;
        tracing::info!("{}", epoch_line(&record, self.config.training.epochs));
        self.log.write("epoch", &record)?;
        self.log.pr_curve(record.step, "pr/validation", &samples.scores, &samples.is_fake)?;

        let state = &mut self.state;
        state.history.push(record);
        state.epoch += 1;
        state.batches_done = 0;
        state.tally = Tally::default();
        state.patience.update(value, stopping.min_delta);
        if self.config.training.scheduler == Scheduler::Plateau {
            state.plateau.update(value, stopping.min_delta);
        }
        if is_best {
            state.best = Some(epoch);
        }
        write_csv(&self.folder.csv(), CSV_COLUMNS, &self.state.history)?;
        self.save(is_best)?;
        self.page.refresh(&self.folder, self.config);
        Ok(())
    }

    fn record(&self, samples: &ScoredVideos) -> EpochRecord {
        let tally = &self.state.tally;
        let validation = samples.metrics();
        EpochRecord {
            epoch: self.state.epoch + 1,
            step: self.state.step,
            train_loss: tally.loss(),
            train_auc: tally.auc(),
            val_loss: validation.log_loss,
            validation,
            lr: self.learning_rate(&self.schedule(), self.state.step.saturating_sub(1)),
            seconds: tally.seconds,
            data_wait_share: if tally.seconds > 0.0 { tally.wait_secs / tally.seconds } else { 0.0 },
            train_clips: tally.clips(),
            clips_per_sec: tally.clips_per_sec(),
            temperature: fit_temperature(&samples.scores, &samples.is_fake),
            is_best: false,
        }
    }
}
