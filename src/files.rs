//! Files of any kind: atomic writes (even after a crash, a file has its old or its new content, never a part of it),
//! and the natural order of names.
//!
//! Knows nothing of what the bytes mean. Folders and file formats belong to the rooms that write them.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes `bytes` to a temporary file, flushes it to the disk and renames it to `path`. If that fails, an existing file
/// at `path` is unchanged and no other file is left.
///
/// # Errors
/// The disk is full or does not allow writing.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Temporary files are private by default; the umask decides who may read this one.
    let mode = Permissions::from_mode(0o666);
    let mut partial = tempfile::Builder::new().prefix(".partial-").permissions(mode).tempfile_in(folder)?;
    partial.write_all(bytes)?;
    partial.as_file().sync_all()?;
    partial.persist(path)?;
    File::open(folder)?.sync_all()
}

/// The key of the natural order of file names: runs of digits compare as numbers.
#[must_use]
pub fn natural_key(path: &Path) -> (Vec<(u8, usize, Vec<u8>)>, PathBuf) {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let parts = name.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).map(|part| {
        if part[0].is_ascii_digit() {
            let zeros = part.iter().take_while(|digit| **digit == b'0').count();
            (0, part.len() - zeros, part[zeros..].to_vec())
        } else {
            (1, 0, part.to_vec())
        }
    });
    (parts.collect(), path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_readable_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, whole] = ["plain", "whole"].map(|name| folder.path().join(name));
        fs::write(&plain, "").unwrap();
        fs::write(&whole, "older and longer").unwrap();
        write_whole(&whole, b"new").unwrap();
        assert_eq!(fs::read(&whole).unwrap(), b"new");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&whole), mode(&plain));
    }

    #[test]
    fn a_write_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write_whole(&taken, b"new").is_err() && taken.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_are_in_natural_order() {
        let mut names =
            ["f10.png", "f2.png", "f2b.png", "f02.png", "f1.png", "10.png", "9.png", "e.png"].map(PathBuf::from);
        names.sort_by_cached_key(|path| natural_key(path));
        let names: Vec<_> = names.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["9.png", "10.png", "e.png", "f1.png", "f02.png", "f2.png", "f2b.png", "f10.png"]);
    }
}
