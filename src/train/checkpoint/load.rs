//! Loading a checkpoint. Each file is checked before one of its tensors changes. Knows nothing of how checkpoints are
//! chosen.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::Tensor;

use super::error::{CheckpointError, invalid};
use super::layout::{CONFIG_KEY, EMA, MODEL, OPTIMIZER, STATE, named, read_state_file};
use super::tensor_file::TensorFile;
use crate::config::{self, Config};
use crate::model::Parameters;
use crate::train::learner::Learner;
use crate::train::state::{FORMAT, TrainState};

/// An open checkpoint. Only its configuration has been loaded.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    /// The configuration of its training.
    pub config: Config,
}

impl Checkpoint {
    /// Opens the folder of a checkpoint, such as `RUN/checkpoints/best`.
    ///
    /// # Errors
    /// There is no checkpoint, or its file of weights is damaged.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join(MODEL);
        let model = TensorFile::open(&path)?;
        let yaml = model.text(CONFIG_KEY);
        let yaml = yaml.ok_or_else(|| invalid(&path, "there is no dfdetect configuration in its metadata"))?;
        let config = config::parse_stored(&path.display().to_string(), yaml)
            .map_err(|error| invalid(&path, format!("the configuration in its metadata is not valid: {error}")))?;
        Ok(Self { folder: folder.to_owned(), config })
    }

    /// Loads the weights that are validated and tested: those of the EMA, where one was kept.
    ///
    /// # Errors
    /// The network has another architecture; the error names the difference, and the network is unchanged.
    pub fn load_eval_model(&self, parameters: &Parameters) -> Result<(), CheckpointError> {
        match self.folder.join(EMA).exists() {
            true => self.load(EMA, &named(parameters)),
            false => self.load(MODEL, &named(parameters)),
        }
    }

    /// The state of the run.
    ///
    /// # Errors
    /// The file is missing, damaged or of another version.
    pub fn state(&self) -> Result<TrainState, CheckpointError> {
        read_state(&self.folder)
    }

    /// Loads weights, EMA and optimizer, and returns the state of the run. An EMA that the checkpoint does not have
    /// starts from its weights.
    ///
    /// # Errors
    /// Files are missing, damaged or of another architecture.
    pub fn load_training(&self, learner: &mut Learner) -> Result<TrainState, CheckpointError> {
        let state = self.state()?;
        self.load(MODEL, &named(learner.detector.parameters()))?;
        learner.ema_parameters().map_or(Ok(()), |ema| self.load_eval_model(ema))?;
        self.load(OPTIMIZER, &learner.optimizer.state())?;
        learner.optimizer.set_step_count(state.optimizer_step);
        Ok(state)
    }

    fn load(&self, file: &str, targets: &[(String, &Tensor)]) -> Result<(), CheckpointError> {
        TensorFile::open(&self.folder.join(file))?.load(targets)
    }
}

/// The state of the checkpoint in `folder`.
pub(super) fn read_state(folder: &Path) -> Result<TrainState, CheckpointError> {
    #[derive(Deserialize)]
    struct Version {
        /// The first version had no such field.
        #[serde(default = "first_format")]
        format: u32,
    }
    let path = folder.join(STATE);
    let bytes = read_state_file(&path)?;
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
