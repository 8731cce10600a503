//! Fills the backbone with the tensors of a file, by the names of the package that published it. Knows nothing of file
//! formats; that is `weights_file.rs`.

use std::collections::HashMap;

use tch::Tensor;

use super::error::PretrainedError;
use super::weights_file::{StoredTensor, WeightsFile};
use super::weights_source::WeightsSource;
use crate::model::parameters::{Parameter, Parameters};

/// Prefixes to those names: of wrappers and training scripts, of a CLIP's image encoder, and `backbone.` of this
/// program's own checkpoints.
const PREFIXES: [&str; 6] = ["state_dict.", "model_state_dict.", "model.", "module.", "vision_model.", "backbone."];
/// How many names an error lists; the rest is counted.
const MAX_LISTED: usize = 6;

/// The result of loading: which tensors of a file were used.
#[derive(Debug, PartialEq, Eq)]
pub struct LoadedWeights {
    /// Tensors of the backbone, or of the whole network, that were filled: all of them.
    pub filled: usize,
    /// Names in the file that it has no tensor for: a classifier, or other parts.
    pub left_out: Vec<String>,
}

impl LoadedWeights {
    pub(super) fn new<'a>(filled: usize, left_out: impl IntoIterator<Item = &'a StoredTensor>) -> Self {
        // Counters of PyTorch's batch norm, which only a batch norm without momentum uses.
        let left_out = left_out.into_iter().filter(|stored| !stored.name.ends_with("num_batches_tracked"));
        let mut left_out: Vec<_> = left_out.map(|stored| stored.name.clone()).collect();
        left_out.sort();
        Self { filled, left_out }
    }
}

impl std::fmt::Display for LoadedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} tensors", self.filled)?;
        match self.left_out.as_slice() {
            [] => Ok(()),
            names => write!(f, "; left out, as the network has no place for them: {}", listed(names)),
        }
    }
}

/// Fills the backbone with the tensors of a file, of any element type. The file must hold every tensor of the backbone
/// in its shape; otherwise nothing is changed.
///
/// # Errors
/// See [`PretrainedError`].
pub fn load_pretrained(source: &WeightsSource, parameters: &Parameters) -> Result<LoadedWeights, PretrainedError> {
    let file = WeightsFile::open(source)?;
    let (matches, left_out) = match_names(source, &file, parameters)?;
    let mut values = Vec::with_capacity(matches.len());
    for (parameter, stored) in &matches {
        let tensor = file.read(stored)?.f_to_kind(parameter.tensor.kind())?;
        require_finite(source, &stored.name, &tensor)?;
        values.push(tensor);
    }
    let _no_grad = tch::no_grad_guard();
    for ((parameter, _), values) in matches.iter().zip(&values) {
        parameter.tensor.shallow_clone().f_copy_(values)?;
    }
    Ok(LoadedWeights::new(matches.len(), left_out))
}

/// Refuses a tensor with numbers that are not finite. Give it as the network takes it: numbers of float64 may be beyond
/// float32.
pub(super) fn require_finite(source: &WeightsSource, name: &str, tensor: &Tensor) -> Result<(), PretrainedError> {
    if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(PretrainedError::invalid(source, format!("`{name}` has numbers that are not finite")));
    }
    Ok(())
}

/// Each tensor of the backbone with its tensor in the file, and those in the file that match none.
type Matches<'a> = (Vec<(&'a Parameter, &'a StoredTensor)>, Vec<&'a StoredTensor>);

fn match_names<'a>(
    source: &WeightsSource,
    file: &'a WeightsFile,
    parameters: &'a Parameters,
) -> Result<Matches<'a>, PretrainedError> {
    let mut by_name = HashMap::new();
    for stored in &file.tensors {
        let name = published_name(&stored.name);
        if let Some(other) = by_name.insert(name, stored) {
            let problem = format!("both `{}` and `{}` could be `{name}`", other.name, stored.name);
            return Err(PretrainedError::invalid(source, problem));
        }
    }
    let (mut matches, mut missing) = (Vec::new(), Vec::new());
    for parameter in parameters.iter() {
        let Some(name) = parameter.name.strip_prefix("backbone.") else { continue };
        match by_name.remove(name) {
            Some(stored) if stored.size == parameter.tensor.size() => matches.push((parameter, stored)),
            Some(stored) => {
                let (found, wanted) = (&stored.size, parameter.tensor.size());
                return Err(PretrainedError::unfit(source, format!("`{}` is {found:?}, not {wanted:?}", stored.name)));
            }
            None => missing.push(name.to_owned()),
        }
    }
    if !missing.is_empty() {
        return Err(PretrainedError::unfit(source, format!("it does not have {}", listed(&missing))));
    }
    Ok((matches, by_name.into_values().collect()))
}

pub(super) fn published_name(mut name: &str) -> &str {
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    name
}

fn listed(names: &[String]) -> String {
    let shown =
        names[..names.len().min(MAX_LISTED)].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
