//! First weights of the backbone that were learned on other pictures: found, fetched, read, and put in their places.

mod download;
mod file;
mod hub;
mod machine;
mod pickle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;

use self::file::{Stored, WeightsFile};
pub use self::hub::Sources;
use super::parameters::{Parameter, Parameters};

/// Wrappers and training scripts put these before torchvision's names; our own checkpoints have `backbone.`.
const PREFIXES: [&str; 5] = ["state_dict.", "model_state_dict.", "model.", "module.", "backbone."];
/// So many names are listed before the rest is counted.
const LISTED: usize = 6;

/// Weights that cannot be had or do not fit.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// The file cannot be opened or read.
    #[error("{}: the weights cannot be read: {source}\n  hint: model.pretrained takes imagenet, none, or the path of a .pth or .safetensors file", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged, or more than tensors.
    #[error("{}: the weights are not read: {problem}\n  hint: take a whole file that holds a plain state dict; in Python, torch.save(model.state_dict(), \"weights.pth\") writes one", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is of another network.
    #[error("{}: these are not weights of model.backbone: {problem}\n  hint: set model.backbone to the network they are of, or take other weights", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// Not in a cache, and not to be fetched.
    #[error("the ImageNet weights cannot be fetched: {problem}\n  at {url}\n  hint: fetch https://download.pytorch.org/models/{} on a machine with a connection and put it at {}; or set model.pretrained to the path of such a file, HF_ENDPOINT to a mirror, or model.pretrained to none", .place.file_name().unwrap_or_default().display(), .place.display())]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why it did not come.
        problem: String,
        /// Where a file that was fetched otherwise is found.
        place: PathBuf,
    },
    /// The user wants to stop.
    #[error("interrupted; what came of the weights is kept")]
    Interrupted,
    /// libtorch could not make or copy a tensor.
    #[error("a tensor could not be copied: {0}")]
    Torch(#[from] TchError),
}

impl PretrainedError {
    /// Whether the user named something else (exit code 2), as opposed to a failure on the way (1).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Unfit { .. } | Self::Invalid { .. } => true,
            Self::Unreachable { .. } | Self::Interrupted | Self::Torch(_) => false,
        }
    }

    fn cannot_read(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    fn invalid(path: &Path, problem: String) -> Self {
        Self::Invalid { path: path.to_owned(), problem }
    }

    fn unfit(path: &Path, problem: String) -> Self {
        Self::Unfit { path: path.to_owned(), problem }
    }
}

/// What became of a file's tensors.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Tensors of the backbone that were filled: all of them.
    pub filled: usize,
    /// Names in the file that the backbone has no place for: a classifier, or other parts.
    pub left_out: Vec<String>,
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} tensors", self.filled)?;
        match self.left_out.as_slice() {
            [] => Ok(()),
            names => write!(f, "; left out, as the backbone has no place for them: {}", listed(names)),
        }
    }
}

/// Fills the backbone with the tensors of a file, whose numbers may be of any type. Every tensor of the backbone must be
/// there in its shape; nothing is changed where that is not so.
///
/// # Errors
/// See [`PretrainedError`].
pub fn load_pretrained(path: &Path, parameters: &Parameters) -> Result<Loaded, PretrainedError> {
    let file = WeightsFile::open(path)?;
    let (matches, left_out) = match_names(path, &file, parameters)?;
    let mut values = Vec::with_capacity(matches.len());
    for (parameter, stored) in &matches {
        let tensor = file.read(stored)?.f_to_kind(parameter.tensor.kind())?;
        if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(PretrainedError::invalid(path, format!("`{}` has numbers that are not finite", stored.name)));
        }
        values.push(tensor);
    }
    let _no_grad = tch::no_grad_guard();
    for ((parameter, _), values) in matches.iter().zip(&values) {
        parameter.tensor.shallow_clone().f_copy_(values)?;
    }
    Ok(Loaded { filled: matches.len(), left_out })
}

/// Each tensor of the backbone with the one in the file, and the names that are left.
type Matches<'a> = (Vec<(&'a Parameter, &'a Stored)>, Vec<String>);

fn match_names<'a>(
    path: &Path,
    file: &'a WeightsFile,
    parameters: &'a Parameters,
) -> Result<Matches<'a>, PretrainedError> {
    let mut by_name = HashMap::new();
    for stored in &file.tensors {
        let name = torchvision_name(&stored.name);
        if let Some(other) = by_name.insert(name, stored) {
            let problem = format!("both `{}` and `{}` could be `{name}`", other.name, stored.name);
            return Err(PretrainedError::invalid(path, problem));
        }
    }
    let (mut matches, mut missing) = (Vec::new(), Vec::new());
    for parameter in parameters.iter() {
        let Some(name) = parameter.name.strip_prefix("backbone.") else { continue };
        match by_name.remove(name) {
            Some(stored) if stored.size == parameter.tensor.size() => matches.push((parameter, stored)),
            Some(stored) => {
                let (found, wanted) = (&stored.size, parameter.tensor.size());
                return Err(PretrainedError::unfit(path, format!("`{}` is {found:?}, not {wanted:?}", stored.name)));
            }
            None => missing.push(name.to_owned()),
        }
    }
    if !missing.is_empty() {
        return Err(PretrainedError::unfit(path, format!("it does not have {}", listed(&missing))));
    }
    // Counters that only PyTorch's batch norm without momentum would need.
    let is_counter = |stored: &&Stored| stored.name.ends_with("num_batches_tracked");
    let mut left_out: Vec<_> =
        by_name.into_values().filter(|stored| !is_counter(stored)).map(|stored| stored.name.clone()).collect();
    left_out.sort();
    Ok((matches, left_out))
}

fn torchvision_name(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED)].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
