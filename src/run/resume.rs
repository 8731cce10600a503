//! Resuming a run from its last checkpoint: which settings must stay, and which state is kept. Loads no weights; that
//! is `learner.rs`.

use std::path::Path;

use super::error::RunError;
use super::gpu_support::decide_placement;
use super::prepare::{PreparedRun, ResumedRun, make_absolute};
use crate::config::{self, Config, ConfigError};
use crate::dataset::Manifest;
use crate::optim::LossScaler;
use crate::report::RunFolder;
use crate::torch::Format;
use crate::train::{Checkpoint, Checkpoints, TrainState};

/// Prepares the resumption of a run from its last checkpoint, with some settings changed (each override `a.b=value`).
///
/// # Errors
/// There is no such run, its checkpoint cannot be read, or a setting was changed that a run must keep.
pub fn resume(folder: RunFolder, overrides: &[String]) -> Result<PreparedRun, RunError> {
    let checkpoint = Checkpoint::open(&Checkpoints::of_run(folder.path()).path("last"))?;
    let mut config = config::resolve(&checkpoint.config, overrides)?;
    check_same_split(&checkpoint.config, &config)?;
    check_same_first_weights(&checkpoint.config, &config)?;
    make_absolute(&mut config.data);
    let mut manifest = Manifest::load(&folder.manifest())?;
    manifest.move_to(&[config.data.root.0.as_slice(), &config.data.test_roots.0].concat())?;
    let placement = decide_placement(&config.gpu)?;
    Ok(PreparedRun { config, manifest, placement, resumed: Some(ResumedRun { folder, checkpoint }) })
}

/// The run below `output` that was trained last, of those that have a checkpoint.
///
/// # Errors
/// There is none.
pub fn latest_run(output: &Path) -> Result<RunFolder, ConfigError> {
    RunFolder::latest(output).ok_or_else(|| ConfigError {
        place: output.display().to_string(),
        key: String::new(),
        problem: "there is no run with a checkpoint".into(),
        hint: Some("name the run with --resume RUN, or the folder that it is in with --output".into()),
    })
}

/// The moments of one optimizer are of no use to another.
pub(super) fn check_same_optimizer(before: &Config, now: &Config) -> Result<(), ConfigError> {
    let [before, now] = [before, now].map(|config| config.training.optimizer);
    if before == now {
        return Ok(());
    }
    let problem = format!("the run was started with {before:?}, and its optimizer's state cannot become {now:?}'s");
    Err(unresumable("training.optimizer", &problem.to_lowercase(), "start a new run to change it"))
}

/// Drops from the state of a resumed run what is no longer valid because settings were changed.
pub(super) fn adapt_state(state: &mut TrainState, before: &Config, run: &PreparedRun) -> Result<(), ConfigError> {
    let cut = |config: &Config| {
        let training = &config.training;
        let sizes = (training.batch_size, training.gradient_accumulation, training.limit_batches);
        (sizes, config.dataloader.drop_last, config.data.sampler, config.data.clips_per_video)
    };
    if cut(before) != cut(&run.config) && state.batches_done > 0 {
        let problem = "the run stands in the middle of an epoch, whose batches cannot be cut anew; batch_size, \
                       gradient_accumulation, limit_batches, dataloader.drop_last, data.sampler and \
                       data.clips_per_video must stay";
        let hint = "resume without the change, and make it after the epoch";
        return Err(unresumable("training", problem, hint));
    }
    // A micro-batch size that fitted may not fit with other clips, networks or devices.
    let shape = |config: &Config| {
        let data = (config.data.max_frames, config.data.frames_per_epoch, config.data.frame_size);
        (data, config.training.batch_size, config.model.clone(), config.gpu.clone())
    };
    if shape(before) != shape(&run.config) {
        let fresh = TrainState::new(state.scaler.clone(), run.config.training.batch_size.clips());
        (state.train_guard, state.evaluate_guard) = (fresh.train_guard, fresh.evaluate_guard);
    }
    let scaling = run.placement.format == Format::Fp16;
    if state.scaler.is_enabled() != scaling {
        state.scaler = LossScaler::new(scaling);
    }
    Ok(())
}

fn unresumable(key: &str, problem: &str, hint: &str) -> ConfigError {
    ConfigError { place: "resumed run".into(), key: key.into(), problem: problem.into(), hint: Some(hint.into()) }
}

/// The split of a run is made once; other settings of it would do nothing.
fn check_same_split(before: &Config, now: &Config) -> Result<(), ConfigError> {
    let split = |config: &Config| {
        let data = &config.data;
        let shares = [data.val_split, data.test_split].map(f64::to_bits);
        (config.seed, shares, data.group_by, data.holdout_methods.clone())
    };
    if split(before) == split(now) {
        return Ok(());
    }
    let problem =
        "a run keeps its split and its seed: seed, val_split, test_split, group_by and holdout_methods must stay";
    Err(unresumable("data", problem, "start a new run to change them"))
}

fn check_same_first_weights(before: &Config, now: &Config) -> Result<(), ConfigError> {
    let key = match (&before.model, &now.model) {
        (before, now) if before.pretrained != now.pretrained => "model.pretrained",
        (before, now) if before.init_from != now.init_from => "model.init_from",
        _ => return Ok(()),
    };
    let hint = "leave it as it was, or start a new run from other weights";
    Err(unresumable(key, "a resumed run has its weights already", hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GroupBy;

    #[test]
    fn a_run_keeps_its_split() {
        let changes: [fn(&mut Config); 5] = [
            |config| config.seed += 1,
            |config| config.data.val_split = 0.3,
            |config| config.data.test_split = 0.0,
            |config| config.data.group_by = GroupBy::Video,
            |config| config.data.holdout_methods = vec!["FaceSwap".into()],
        ];
        let before = Config::default();
        for change in changes {
            let mut now = before.clone();
            change(&mut now);
            let error = check_same_split(&before, &now).unwrap_err().to_string();
            assert!(error.contains("a run keeps its split and its seed"), "{error}");
        }
        let mut now = before.clone();
        now.training.epochs += 1;
        assert!(check_same_split(&before, &now).is_ok());
    }
}
