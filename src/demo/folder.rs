//! The folder of a set: made aside as a staging folder, and published when it is complete. A folder in use is refused.
//! Knows nothing of videos.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;
use tempfile::TempDir;

use super::error::{DemoError, io_error};

/// Marks a folder as a complete demo set; written last.
pub(super) const STAMP: &str = "demo.json";

/// Whether a set can be made there: the path does not exist, or is an empty folder.
///
/// # Errors
/// The path is a file, or the folder cannot be read.
pub(super) fn is_free(folder: &Path) -> Result<bool, DemoError> {
    if !folder.exists() {
        return Ok(true);
    }
    if !folder.is_dir() {
        return Err(occupied(folder, "is a file".into(), "choose another --output"));
    }
    Ok(fs::read_dir(folder).map_err(|error| io_error(folder, error))?.next().is_none())
}

pub(super) fn occupied(folder: &Path, found: String, hint: &str) -> DemoError {
    DemoError::Occupied { folder: folder.to_owned(), found, hint: hint.to_owned() }
}

/// The staging folder: beside the folder, or inside it where it exists (it may be a mount point, which cannot be
/// replaced).
pub(super) fn staging(folder: &Path) -> Result<TempDir, DemoError> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let home = if folder.exists() { folder } else { parent };
    fs::create_dir_all(home).map_err(|error| io_error(home, error))?;
    tempfile::Builder::new()
        .prefix(".demo-data-")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(home)
        .map_err(|error| io_error(home, error))
}

/// Creates a folder in the staging folder.
pub(super) fn create(staging: &Path, below: &str) -> Result<(), DemoError> {
    let path = staging.join(below);
    fs::create_dir_all(&path).map_err(|error| io_error(&path, error))
}

/// Writes a file into the staging folder.
pub(super) fn write(staging: &Path, name: &str, text: &str) -> Result<(), DemoError> {
    let path = staging.join(name);
    fs::write(&path, text).map_err(|error| io_error(&path, error))
}

/// Writes the stamp and moves the set into place; `contents` are its entries besides the stamp.
pub(super) fn publish(
    staging: TempDir,
    folder: &Path,
    contents: &[&str],
    summary: &impl Serialize,
) -> Result<(), DemoError> {
    let json = serde_json::to_string_pretty(summary).expect("a summary is plain data");
    write(staging.path(), STAMP, &(json + "\n"))?;
    if folder.exists() {
        for name in contents.iter().chain(&[STAMP]) {
            let path = folder.join(name);
            fs::rename(staging.path().join(name), &path).map_err(|error| io_error(&path, error))?;
        }
        return Ok(());
    }
    fs::rename(staging.path(), folder).map_err(|error| io_error(folder, error))?;
    // The folder was renamed: there is nothing left to remove.
    let _ = staging.keep();
    Ok(())
}
