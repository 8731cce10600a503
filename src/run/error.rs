//! The errors of runs and of trained detectors, and the text of an error with its causes and hints. Prints nothing;
//! exit codes are in `cli/exit.rs`.

use std::error::Error;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use tch::TchError;

use crate::config::ConfigError;
use crate::dataset::DataError;
use crate::demo::DemoError;
use crate::evaluate::EvaluateError;
use crate::export::ExportError;
use crate::model::PretrainedError;
use crate::train::{CheckpointError, TrainError};

const HINT: &str = "\n  hint: ";

/// Why a run, or the use of a trained detector, ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The checkpoint's configuration cannot be used with so many clips of each video.
    #[error("--clips {clips_a_video} of {frames} frames each")]
    Clips {
        /// Clips that were asked for.
        clips_a_video: usize,
        /// Frames of each.
        frames: usize,
        /// What the configuration does not allow.
        source: ConfigError,
    },
    /// The data set, or all of its videos, cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The backbone's first weights cannot be downloaded or read.
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Videos could not be scored.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The trained network cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The video of an explanation cannot be written.
    #[error(transparent)]
    ExplanationVideo(#[from] DemoError),
    /// libtorch failed at an explanation.
    #[error(transparent)]
    Explanation(#[from] TchError),
    /// libtorch failed elsewhere, at what `what` says.
    #[error("{what}")]
    Torch {
        /// What could not be done.
        what: &'static str,
        /// libtorch's own words.
        source: TchError,
    },
    /// The face detector cannot be loaded.
    #[error("the face detector cannot be used: {0}")]
    FaceDetector(String),
    /// The frames of a video that was read before cannot be read again.
    #[error("{0}")]
    Frames(String),
    /// The folder that is to be written exists, and may be worth keeping.
    #[error("{}: this is there already{HINT}name another folder with --output", .0.display())]
    OutputExists(PathBuf),
    /// The system refused a file, a folder or a process.
    #[error("{what}")]
    Io {
        /// The path where there is one, what could not be done, and what to do about it.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Values cannot be brought into a file's format, or not be read from it.
    #[error("{what}")]
    Format {
        /// What could not be done.
        what: &'static str,
        /// The format's own words.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The rows of a table cannot be put together.
    #[error(transparent)]
    Csv(io::Error),
    /// A trial cannot be sent to its process.
    #[error(transparent)]
    TrialRequest(serde_json::Error),
    /// The process of a trial cannot be waited for.
    #[error(transparent)]
    TrialProcess(io::Error),
    /// A trial took too long and was ended.
    #[error(
        "{steps} trial steps of {clips} clips took more than {minutes} minutes and were ended\n  hint: smaller or fewer \
         frames, or a smaller training.batch_size, make faster steps"
    )]
    TrialTooSlow {
        /// Steps that were asked for.
        steps: u32,
        /// Clips in each.
        clips: usize,
        /// The limit.
        minutes: u64,
    },
    /// The process of a trial failed, with its message.
    #[error("trial steps failed: {0}")]
    TrialFailed(String),
    /// Trial steps in this process failed.
    #[error("{0}")]
    Trial(String),
    /// The caller set the stop flag; what had to be saved is saved.
    #[error("interrupted{}", .hint.as_deref().map(|hint| format!("{HINT}{hint}")).unwrap_or_default())]
    Interrupted {
        /// How to go on.
        hint: Option<String>,
    },
}

impl RunError {
    /// The caller set the stop flag, and there is nothing to go on with.
    pub(crate) const INTERRUPTED: Self = Self::Interrupted { hint: None };

    /// Whether the user pointed at something unusable (exit code 2), as opposed to a failure on the way (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) | Self::Clips { .. } | Self::OutputExists(_) => true,
            Self::Data(error) => error.is_usage(),
            Self::Checkpoint(error) => error.is_usage(),
            Self::Pretrained(error) => error.is_usage(),
            _ => false,
        }
    }

    /// Whether the stop flag is the reason.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }

    pub(super) fn torch(what: &'static str) -> impl FnOnce(TchError) -> Self {
        move |source| Self::Torch { what, source }
    }

    pub(super) fn format<E: Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Format { what, source: Box::new(source) }
    }

    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

/// A file or folder that cannot be written, with what to do about it.
pub(crate) fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> RunError {
    RunError::io(format!("{}: cannot be written{HINT}free some space, or allow writing there", path.display()))
}

/// An error as the user reads it: its causes in one line, below it what to do.
#[must_use]
pub fn error_text(error: &(dyn Error + 'static)) -> String {
    let (mut causes, mut hints): (Vec<String>, String) = (Vec::new(), String::new());
    for text in chain(error).map(ToString::to_string) {
        let (cause, hint) = text.split_at(text.find(HINT).unwrap_or(text.len()));
        // Errors that show their source in their own words would have it twice.
        if !causes.last().is_some_and(|outer| outer.contains(cause)) {
            causes.push(cause.to_owned());
            hints += hint;
        }
    }
    causes.join(": ") + &hints
}

/// An error and its causes as they are, one after the other.
pub(super) fn error_chain(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}
