//! The choice of the checkpoints that stay: the newest ends of epochs, and the best ones. Knows nothing of files.

use std::collections::HashSet;

use crate::config::{Config, Monitor};
use crate::train::epoch::Best;
use crate::train::state::TrainState;

/// Sorts folders from the oldest to the newest.
pub(super) fn sort_by_age(folders: &mut [(String, TrainState)]) {
    // Of one step, `step-N-2` is newer than `step-N`. The name decides by its length first, so that `-10` follows `-9`.
    folders.sort_by(|(a_name, a), (b_name, b)| (a.step, a_name.len(), a_name).cmp(&(b.step, b_name.len(), b_name)));
}

/// The names of the folders to keep, of `folders` with their states, the oldest first.
///
/// Only validated ends of epochs are kept, because a diverged run can be rolled back to them. The state before the
/// first step counts as the newest end of an epoch, but not as one of the best.
pub(super) fn retained(folders: &[(String, TrainState)], config: &Config) -> HashSet<String> {
    let output = &config.output;
    let ends = folders.iter().rev().filter(|(_, state)| state.ends_epoch());
    let newest = ends.take(output.keep_last).map(|(name, _)| name.clone());
    let best = best_epochs(folders, config.training.early_stopping.monitor).into_iter();
    let best = best.take(output.keep_best.max(config.training.average_best));
    newest.chain(best.map(|(name, _)| name.clone())).collect()
}

/// The validated ends of epochs of `folders`, the best first.
pub(super) fn best_epochs(folders: &[(String, TrainState)], monitor: Monitor) -> Vec<&(String, TrainState)> {
    let epoch = |folder: &'_ (String, TrainState)| {
        let record = folder.1.history.last().filter(|_| folder.1.ends_epoch())?;
        Some(Best::of(record, monitor))
    };
    let mut epochs: Vec<_> = folders.iter().filter_map(|folder| Some((folder, epoch(folder)?))).collect();
    // The sort is stable, so of equal epochs the earlier one comes first.
    epochs.sort_by(|(_, a), (_, b)| Best::beats(a, Some(b)).cmp(&Best::beats(b, Some(a))).reverse());
    epochs.into_iter().map(|(folder, _)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::optim::LossScaler;
    use crate::train::EpochRecord;

    fn record(epoch: u32, video_auc: f64) -> EpochRecord {
        let validation = Metrics { video_auc: Some(video_auc), ..Metrics::default() };
        EpochRecord { step: u64::from(epoch) * 10, ..EpochRecord::validated(epoch, validation) }
    }

    /// A run of ten steps an epoch with these AUCs, saved at each end, and in the middle of the next epoch.
    fn run(aucs: &[f64]) -> Vec<(String, TrainState)> {
        let mut state = TrainState::new(LossScaler::new(false), 4);
        let mut folders = vec![("step-00000000".to_owned(), state.clone())];
        for (epoch, auc) in (1..).zip(aucs) {
            (state.epoch, state.step, state.batches_done) = (epoch, u64::from(epoch) * 10, 0);
            state.history.push(record(epoch, *auc));
            folders.push((format!("step-{:08}", state.step), state.clone()));
        }
        (state.step, state.batches_done) = (state.step + 5, 5);
        folders.push((format!("step-{:08}", state.step), state));
        folders
    }

    fn kept_of(aucs: &[f64], keep_last: usize, keep_best: usize) -> Vec<u64> {
        let mut config = Config::default();
        (config.output.keep_last, config.output.keep_best) = (keep_last, keep_best);
        kept(aucs, &config)
    }

    fn kept(aucs: &[f64], config: &Config) -> Vec<u64> {
        let names = retained(&run(aucs), config);
        let mut steps: Vec<u64> = names.iter().map(|name| name.trim_start_matches("step-").parse().unwrap()).collect();
        steps.sort_unstable();
        steps
    }

    #[test]
    fn the_newest_and_the_best_ends_of_epochs_stay() {
        assert_eq!(kept_of(&[], 1, 1), [0], "the state before the first step");
        assert_eq!(kept_of(&[0.6, 0.9, 0.7, 0.8, 0.5], 1, 1), [20, 50]);
        assert_eq!(kept_of(&[0.6, 0.9, 0.7, 0.8, 0.5], 2, 3), [20, 30, 40, 50]);
        assert_eq!(kept_of(&[0.7, 0.7, 0.7, 0.2], 1, 2), [10, 20, 40], "of equal ones, the earlier");
        assert_eq!(kept_of(&[0.6, 0.7], 9, 9), [0, 10, 20], "never one in the middle of an epoch");
        let mut averaged = Config::default();
        averaged.training.average_best = 3;
        assert_eq!(kept(&[0.6, 0.9, 0.7, 0.8, 0.5], &averaged), [20, 30, 40, 50], "those that are averaged");
    }

    #[test]
    fn of_one_step_the_later_folder_is_newer() {
        let mut folders = run(&[0.5]);
        for number in [2, 10] {
            let again = folders.iter().find(|(name, _)| name == "step-00000010").unwrap().1.clone();
            folders.push((format!("step-00000010-{number}"), again));
        }
        folders.reverse();
        sort_by_age(&mut folders);
        let names = retained(&folders, &Config::default());
        assert!(names.contains("step-00000010-10"), "{names:?}");
    }
}
