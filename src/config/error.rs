//! The error of a configuration: place, key, problem and hint. Knows nothing of YAML, and does not find the place
//! itself; that is `load.rs`.

use std::fmt;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// The place of the error: a file and line, or an override.
    pub place: String,
    /// The dotted path of the key; empty if the error concerns the whole text.
    pub key: String,
    /// One sentence that says what was found and what is allowed.
    pub problem: String,
    /// How to fix it, if known.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
