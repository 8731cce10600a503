//! The checkpoints of a run: saving one, moving the links, deleting old ones.
//!
//! A folder is written under a temporary name, flushed to the disk and renamed to `step-N`. Then the link `last`, and
//! before it `best`, is moved to it in one rename. So a checkpoint is there whole or not at all. Folders that neither a
//! link nor `retention.rs` keeps are deleted. This file knows nothing of when a run saves.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::contents::{Contents, NamedTensors, shared};
use super::error::{CheckpointError, invalid, io_error};
use super::layout::{CONFIG_KEY, EMA, MODEL, OPTIMIZER, STATE};
use super::load::{Checkpoint, read_state};
use super::retention::{best_epochs, retained, sort_by_age};
use super::tensor_file::write_tensors;
use crate::config::Config;
use crate::model::Parameters;
use crate::train::state::TrainState;

/// The prefix of a checkpoint's folder.
const STEP: &str = "step-";
/// The prefix of a folder that is being written.
const PARTIAL: &str = ".partial-";
/// The folder of the averaged network.
const AVERAGE: &str = "average";

/// The `checkpoints` folder of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of the run in the folder `run`.
    #[must_use]
    pub fn of_run(run: &Path) -> Self {
        Self { folder: run.join("checkpoints") }
    }

    /// The path of the checkpoint or link `name`, such as `last` or `best`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The path of the checkpoint that is tested in a run whose last configuration is `config`: the averaged network,
    /// unless the run was trained further since.
    #[must_use]
    pub fn for_testing(&self, config: &Config) -> PathBuf {
        let average = self.path(AVERAGE);
        let step = |folder: &Path| read_state(folder).ok().map(|state| state.step);
        if let Some(averaged_at) = step(&average)
            && Some(averaged_at) == step(&self.path("last"))
        {
            return average;
        }
        self.path(if config.training.early_stopping.restore_best_weights { "best" } else { "last" })
    }

    /// The checkpoints that `training.average_best` averages, the best first.
    pub(in crate::train) fn best_epochs(&self, config: &Config) -> Result<Vec<Checkpoint>, CheckpointError> {
        let all = self.all();
        let best = best_epochs(&all, config.training.early_stopping.monitor).into_iter();
        best.take(config.training.average_best).map(|(name, _)| Checkpoint::open(&self.path(name))).collect()
    }

    /// Saves the averaged network as the checkpoint `average`.
    pub(in crate::train) fn save_average(
        &self,
        parameters: &Parameters,
        state: &TrainState,
        config: &Config,
    ) -> Result<(), CheckpointError> {
        let partial = self.write_network(parameters, state, config)?;
        let folder = self.path(AVERAGE);
        if folder.exists() {
            // If the run is killed now, the resumed run averages again.
            fs::remove_dir_all(&folder).map_err(io_error("written", &folder))?;
        }
        self.rename(partial, &folder)
    }

    /// Saves a network as the checkpoint `name`, which is not there yet. It has no optimizer: no run goes on from it.
    ///
    /// # Errors
    /// A file cannot be written; then there is no such checkpoint.
    pub fn save_network(
        &self,
        name: &str,
        parameters: &Parameters,
        state: &TrainState,
        config: &Config,
    ) -> Result<(), CheckpointError> {
        let partial = self.write_network(parameters, state, config)?;
        self.rename(partial, &self.path(name))
    }

    /// Writes a checkpoint without an optimizer, which has no name yet.
    fn write_network(
        &self,
        parameters: &Parameters,
        state: &TrainState,
        config: &Config,
    ) -> Result<TempDir, CheckpointError> {
        let partial = self.partial()?;
        write_model(partial.path(), &shared(parameters), config)?;
        write_state(partial.path(), state)?;
        sync_folder(partial.path())?;
        Ok(partial)
    }

    /// Saves a checkpoint and moves the link `last` to it, and `best` if it is the best.
    ///
    /// # Errors
    /// A file cannot be written. The previous checkpoints are unchanged.
    pub(in crate::train) fn save(&self, contents: &Contents, is_best: bool) -> Result<(), CheckpointError> {
        let Contents { tensors, state, config } = contents;
        let partial = self.partial()?;
        write_model(partial.path(), &tensors.model, config)?;
        if let Some(ema) = &tensors.ema {
            write_tensors(&partial.path().join(EMA), ema, None)?;
        }
        write_tensors(&partial.path().join(OPTIMIZER), &tensors.optimizer, None)?;
        write_state(partial.path(), state)?;
        sync_folder(partial.path())?;

        let folder = self.free_path(state.step);
        self.rename(partial, &folder)?;
        // The state of `last` names the best epoch, so `best` must be moved first.
        if is_best {
            self.link("best", &folder)?;
        }
        self.link("last", &folder)?;
        self.tidy(config);
        Ok(())
    }

    /// A folder for a checkpoint that is being written.
    fn partial(&self) -> Result<TempDir, CheckpointError> {
        fs::create_dir_all(&self.folder).map_err(io_error("written", &self.folder))?;
        // Temporary folders are private by default; the umask decides who may read this one.
        let mode = Permissions::from_mode(0o777);
        let partial = tempfile::Builder::new().prefix(PARTIAL).permissions(mode).tempdir_in(&self.folder);
        partial.map_err(io_error("written", &self.folder))
    }

    /// Gives a whole checkpoint its name.
    fn rename(&self, partial: TempDir, folder: &Path) -> Result<(), CheckpointError> {
        fs::rename(partial.path(), folder).map_err(io_error("written", folder))?;
        // The temporary folder was renamed, so its guard must not delete it.
        let _ = partial.keep();
        sync_folder(&self.folder)
    }

    /// The path of a new checkpoint: `step-N`, or `step-N-2` and so on where that is taken.
    fn free_path(&self, step: u64) -> PathBuf {
        let plain = self.folder.join(format!("{STEP}{step:08}"));
        let numbered = (2..).map(|n| self.folder.join(format!("{STEP}{step:08}-{n}")));
        std::iter::once(plain).chain(numbered).find(|path| !path.exists()).expect("there is always a next number")
    }

    /// Moves the link `name` to `folder` in one rename.
    fn link(&self, name: &str, folder: &Path) -> Result<(), CheckpointError> {
        let target = folder.file_name().unwrap_or_default();
        let (link, partial) = (self.path(name), self.folder.join(format!(".{name}")));
        let move_link = || {
            let _ = fs::remove_file(&partial);
            std::os::unix::fs::symlink(target, &partial)?;
            fs::rename(&partial, &link)?;
            File::open(&self.folder)?.sync_all()
        };
        move_link().map_err(io_error("written", &link))
    }

    /// The names of all whole checkpoints with their states, the oldest first.
    pub(in crate::train) fn all(&self) -> Vec<(String, TrainState)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let ours = names.filter(|name| name.starts_with(STEP));
        let read = |name: String| read_state(&self.path(&name)).ok().map(|state| (name, state));
        let mut checkpoints: Vec<_> = ours.filter_map(read).collect();
        sort_by_age(&mut checkpoints);
        checkpoints
    }

    /// Deletes the checkpoints that neither a link nor the configuration keeps. A failure to delete is only a warning.
    pub(in crate::train) fn tidy(&self, config: &Config) {
        let mut retained = retained(&self.all(), config);
        let links = ["last", "best"].iter().filter_map(|name| fs::read_link(self.path(name)).ok());
        retained.extend(links.map(|target| target.to_string_lossy().into_owned()));
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = [PARTIAL, STEP].iter().any(|prefix| name.starts_with(prefix));
            if ours
                && !retained.contains(&name)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!("{}: an old checkpoint cannot be deleted: {error}", entry.path().display());
            }
        }
    }
}

fn write_model(folder: &Path, tensors: &NamedTensors, config: &Config) -> Result<(), CheckpointError> {
    let path = folder.join(MODEL);
    let yaml = serde_yaml::to_string(config).map_err(|error| invalid(&path, error.to_string()))?;
    write_tensors(&path, tensors, Some((CONFIG_KEY, yaml)))
}

fn write_state(folder: &Path, state: &TrainState) -> Result<(), CheckpointError> {
    let path = folder.join(STATE);
    let json = serde_json::to_vec(state).map_err(|error| invalid(&path, error.to_string()))?;
    write_file(&path, &json)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io_error("written", path))
}

fn sync_folder(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_error("written", path))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::model::Detector;
    use crate::optim::LossScaler;
    use crate::torch::{Format, generator_lock};

    #[test]
    fn an_average_stays_until_the_next_one_is_whole() {
        // The network draws its weights.
        let _alone = generator_lock();
        let folder = tempfile::tempdir().unwrap();
        let (checkpoints, config) = (Checkpoints::of_run(folder.path()), Config::default());
        let network = Detector::new(&config.model, Device::Cpu, Format::F32, false).unwrap();
        let state = |step| TrainState { step, ..TrainState::new(LossScaler::new(false), 1) };
        let saved_step = || read_state(&checkpoints.path(AVERAGE)).unwrap().step;
        checkpoints.save_average(network.parameters(), &state(1), &config).unwrap();
        checkpoints.save_average(network.parameters(), &state(2), &config).unwrap();
        assert_eq!(saved_step(), 2);

        // Checkpoints are of float32: the last tensor cannot be written.
        let last = network.parameters().iter().last().unwrap();
        last.tensor.shallow_clone().set_data(&last.tensor.detach().to_kind(Kind::Double));
        assert!(checkpoints.save_average(network.parameters(), &state(3), &config).is_err());
        assert_eq!(saved_step(), 2);
        assert!(Checkpoint::open(&checkpoints.path(AVERAGE)).is_ok());
        assert_eq!(fs::read_dir(&checkpoints.folder).unwrap().count(), 1, "nothing half written is left");
    }
}
