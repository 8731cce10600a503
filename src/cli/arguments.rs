//! The configuration of a subcommand: a file, then `--set` overrides, then the flags that stand for keys. Knows nothing
//! of single flags and keys: each subcommand passes its own, and `config` checks them.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, ConfigError};

/// `--set` overrides followed by the direct flags that were given, which win.
pub(super) fn overrides_of(set: &[String], flags: &[(&str, Option<String>)]) -> Vec<String> {
    let given = flags.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
    set.iter().cloned().chain(given).collect()
}

/// A path as an override's value: in quotes, so that a folder called `2024` stays text.
pub(super) fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// Folders as an override's value; `None` where none is named.
pub(super) fn quoted_list(paths: &[PathBuf]) -> Option<String> {
    let list: Vec<_> = paths.iter().map(|path| quoted(path)).collect();
    (!list.is_empty()).then(|| format!("[{}]", list.join(", ")))
}

/// Reads a configuration file, and logs what was renamed or ignored in it.
pub(super) fn load_config(file: &Path, overrides: &[String]) -> Result<Config, ConfigError> {
    let loaded = config::load(file, overrides)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", file.display()));
    if !loaded.warnings.is_empty() {
        tracing::info!("`dfdetect config convert {} NEW.yaml` writes it without old keys", file.display());
    }
    Ok(loaded.config)
}

/// Like `load_config`, but without a file the defaults are taken.
pub(super) fn load_config_or_defaults(file: Option<&Path>, overrides: &[String]) -> Result<Config, ConfigError> {
    match file {
        Some(file) => load_config(file, overrides),
        None => config::resolve(&Config::default(), overrides),
    }
}

/// Refuses to replace a file of the user's, unless `force`.
pub(super) fn check_target(out: &Path, force: bool) -> Result<(), ConfigError> {
    if force || !out.exists() {
        return Ok(());
    }
    Err(ConfigError {
        place: out.display().to_string(),
        key: String::new(),
        problem: "there is such a file already, and nothing was written".into(),
        hint: Some("choose another name, or replace it with --force".into()),
    })
}
