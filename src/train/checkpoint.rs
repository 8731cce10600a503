//! Saving and loading: a checkpoint is there whole or not at all.
//!
//! A folder is written under a temporary name, flushed to the disk and renamed to `step-N`; then the link `last` (and
//! before it `best`) is moved to it in one rename. Folders that neither a link names nor `keep.rs` wants are deleted.
//! Nothing in a checkpoint is code: tensors are safetensors, the rest is JSON and YAML.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::SafeTensors;
use serde::Deserialize;
use tch::{TchError, Tensor};

use super::keep::kept;
use super::learner::Learner;
use super::state::{FORMAT, TrainState};
use super::tensors::{load_tensors, write_tensors};
use crate::config::{self, Config};
use crate::model::Parameters;

const MODEL: &str = "model.safetensors";
/// The running average of the weights, where one is kept: what is validated and tested.
const AVERAGE: &str = "model_ema.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
/// What names of checkpoints, and of those that are being written, begin with.
const STEP: &str = "step-";
const PARTIAL: &str = ".partial-";
/// Under this key, the configuration as YAML is in the metadata of [`MODEL`].
const CONFIG_KEY: &str = "dfdetect.config";
/// Larger files are no checkpoints of these networks (the largest writes less than 1 GB).
const MAX_FILE_BYTES: u64 = 8 << 30;
const HINT_ARCHITECTURE: &str =
    "leave model.* as the checkpoint was trained with; its own configuration is in RUN/config.yaml";

/// A checkpoint that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error("{}: the checkpoint cannot be {verb}: {source}\n  hint: {hint}", .path.display())]
    Io {
        /// `written` or `read`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        hint: &'static str,
    },
    /// A file is there and is not what it should be.
    #[error("{}: {problem}\n  hint: {hint}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// It is of another network than the configuration describes.
    #[error("{}: the checkpoint is of another architecture: {difference}\n  hint: {HINT_ARCHITECTURE}", .path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// A tensor that tells them apart.
        difference: String,
    },
    /// libtorch could not copy a tensor.
    #[error("a tensor could not be copied: {0}")]
    Torch(#[from] TchError),
}

impl CheckpointError {
    /// Whether the user pointed at something else (exit code 2), as opposed to a failure on the way (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Io { verb, source, .. } => {
                *verb == "read" && matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
            }
            Self::Architecture { .. } => true,
            Self::Invalid { .. } | Self::Torch(_) => false,
        }
    }
}

pub(super) fn invalid(path: &Path, problem: impl Into<String>) -> CheckpointError {
    let hint = "take another checkpoint of the run, or train again; only whole folders written by dfdetect are read";
    CheckpointError::Invalid { path: path.to_owned(), problem: problem.into(), hint }
}

pub(super) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_owned();
    move |source| {
        let hint = match verb {
            "written" => "free some space or allow writing there; the previous checkpoint is untouched",
            _ => "name the folder of a run, or of a checkpoint such as RUN/checkpoints/best",
        };
        CheckpointError::Io { verb, path, source, hint }
    }
}

/// The `checkpoints` folder of a run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Those below the folder of a run.
    #[must_use]
    pub fn of_run(run: &Path) -> Self {
        Self { folder: run.join("checkpoints") }
    }

    /// Where the link `name` (`last` or `best`) stands.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The one that tests look at, of a run with this configuration.
    #[must_use]
    pub fn tested(&self, config: &Config) -> PathBuf {
        self.path(if config.training.early_stopping.restore_best_weights { "best" } else { "last" })
    }

    /// Saves everything and moves `last`, and `best` where this is the best, to it.
    ///
    /// # Errors
    /// The disk is full or does not allow writing; then what was there before is still there.
    pub fn save(
        &self,
        learner: &Learner,
        state: &TrainState,
        config: &Config,
        is_best: bool,
    ) -> Result<(), CheckpointError> {
        fs::create_dir_all(&self.folder).map_err(io_error("written", &self.folder))?;
        let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(&self.folder);
        let partial = partial.map_err(io_error("written", &self.folder))?;

        let yaml = serde_yaml::to_string(config).map_err(|error| invalid(&self.folder, error.to_string()))?;
        write_tensors(&partial.path().join(MODEL), named(learner.detector.parameters()), Some((CONFIG_KEY, yaml)))?;
        if let Some(average) = learner.average() {
            write_tensors(&partial.path().join(AVERAGE), named(average), None)?;
        }
        write_tensors(&partial.path().join(OPTIMIZER), learner.optimizer.state(), None)?;
        let json = serde_json::to_vec(state).map_err(|error| invalid(&self.folder, error.to_string()))?;
        write_file(&partial.path().join(STATE), &json)?;
        sync_folder(partial.path())?;

        let home = self.free_name(state.step);
        fs::rename(partial.path(), &home).map_err(io_error("written", &home))?;
        // The folder has moved away from under the guard that would delete it.
        let _ = partial.keep();
        // The state says which epoch is the best, so `last` must not have it before `best` does.
        if is_best {
            self.link("best", &home)?;
        }
        self.link("last", &home)?;
        self.delete_others(config);
        Ok(())
    }

    fn free_name(&self, step: u64) -> PathBuf {
        let plain = self.folder.join(format!("{STEP}{step:08}"));
        let numbered = (2..).map(|n| self.folder.join(format!("{STEP}{step:08}-{n}")));
        std::iter::once(plain).chain(numbered).find(|path| !path.exists()).expect("there is always a next number")
    }

    fn link(&self, name: &str, home: &Path) -> Result<(), CheckpointError> {
        let target = home.file_name().unwrap_or_default();
        let (link, partial) = (self.path(name), self.folder.join(format!(".{name}")));
        let move_link = || {
            let _ = fs::remove_file(&partial);
            std::os::unix::fs::symlink(target, &partial)?;
            fs::rename(&partial, &link)?;
            File::open(&self.folder)?.sync_all()
        };
        move_link().map_err(io_error("written", &link))
    }

    /// Whole checkpoints with the states in them, in no order.
    pub(super) fn all(&self) -> Vec<(String, TrainState)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let ours = names.filter(|name| name.starts_with(STEP));
        ours.filter_map(|name| read_state(&self.path(&name)).ok().map(|state| (name, state))).collect()
    }

    /// Deletes what neither a link names nor the configuration keeps; that it cannot be is no reason to stop a run.
    fn delete_others(&self, config: &Config) {
        let mut stay = kept(self.all(), &config.output, config.training.early_stopping.monitor);
        let links = ["last", "best"].iter().filter_map(|name| fs::read_link(self.path(name)).ok());
        stay.extend(links.map(|home| home.to_string_lossy().into_owned()));
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = [PARTIAL, STEP].iter().any(|prefix| name.starts_with(prefix));
            if ours
                && !stay.contains(&name)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!("{}: an old checkpoint cannot be deleted: {error}", entry.path().display());
            }
        }
    }
}

/// A checkpoint that was opened; nothing is loaded yet but its configuration.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    /// The configuration it was trained with.
    pub config: Config,
}

impl Checkpoint {
    /// Opens the folder of a checkpoint, such as `RUN/checkpoints/best`.
    ///
    /// # Errors
    /// There is none, or its file of weights is damaged.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join(MODEL);
        let model = read_file(&path)?;
        let (_, metadata) = SafeTensors::read_metadata(&model)
            .map_err(|error| invalid(&path, format!("this is not a whole safetensors file ({error})")))?;
        let yaml = metadata.metadata().as_ref().and_then(|data| data.get(CONFIG_KEY));
        let yaml = yaml.ok_or_else(|| invalid(&path, "there is no dfdetect configuration in its metadata"))?;
        let config = config::parse(&path.display().to_string(), yaml, &[])
            .map_err(|error| invalid(&path, format!("the configuration in its metadata is not valid: {error}")))?
            .config;
        Ok(Self { folder: folder.to_owned(), config })
    }

    /// Puts the weights that are tested into a network: the running average where one was kept.
    ///
    /// # Errors
    /// The network has another architecture; what differs is named, and the network is unchanged.
    pub fn load_tested(&self, parameters: &Parameters) -> Result<(), CheckpointError> {
        match self.folder.join(AVERAGE).exists() {
            true => self.load(AVERAGE, &named(parameters)),
            false => self.load(MODEL, &named(parameters)),
        }
    }

    /// Where the run stood.
    ///
    /// # Errors
    /// The file is missing, damaged or of another version.
    pub fn state(&self) -> Result<TrainState, CheckpointError> {
        read_state(&self.folder)
    }

    /// Puts weights, average and the optimizer's tensors back, and gives back where the run stood. An average that the
    /// checkpoint does not have starts from its weights.
    ///
    /// # Errors
    /// Files are missing, damaged or of another architecture.
    pub fn load_training(&self, learner: &mut Learner) -> Result<TrainState, CheckpointError> {
        let state = self.state()?;
        self.load(MODEL, &named(learner.detector.parameters()))?;
        learner.average().map_or(Ok(()), |average| self.load_tested(average))?;
        self.load(OPTIMIZER, &learner.optimizer.state())?;
        learner.optimizer.set_step_count(state.optimizer_step);
        Ok(state)
    }

    /// Read anew each time rather than kept: a resumed run would carry the file's bytes to its end.
    fn load(&self, file: &str, targets: &[(String, &Tensor)]) -> Result<(), CheckpointError> {
        let path = self.folder.join(file);
        load_tensors(&path, &read_file(&path)?, targets)
    }
}

fn read_state(folder: &Path) -> Result<TrainState, CheckpointError> {
    #[derive(Deserialize)]
    struct Version {
        /// What has none is of the first.
        #[serde(default = "first_format")]
        format: u32,
    }
    let path = folder.join(STATE);
    let bytes = read_file(&path)?;
    let no_state = |error| invalid(&path, format!("this is not the state of a run ({error})"));
    let Version { format } = serde_json::from_slice(&bytes).map_err(no_state)?;
    if format != FORMAT {
        let problem = format!("it is of format {format}, this program goes on with format {FORMAT}");
        let hint = "evaluate it as it is, or train again; a run goes on with the version that started it";
        return Err(CheckpointError::Invalid { path, problem, hint });
    }
    serde_json::from_slice(&bytes).map_err(no_state)
}

fn first_format() -> u32 {
    1
}

fn named(parameters: &Parameters) -> Vec<(String, &Tensor)> {
    parameters.iter().map(|parameter| (parameter.name.clone(), &parameter.tensor)).collect()
}

fn read_file(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let bytes = fs::metadata(path).map_err(io_error("read", path))?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(invalid(path, format!("it has {bytes} bytes, more than any checkpoint")));
    }
    fs::read(path).map_err(io_error("read", path))
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
