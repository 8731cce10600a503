//! Where weights are: in a file, or in this program. Both are read alike. Knows nothing of formats; that is
//! `weights_file.rs`.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A file of weights, or one that is part of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsSource {
    /// A file.
    File(PathBuf),
    /// Bytes of the program.
    BuiltIn {
        /// The name of the file that they were.
        name: &'static str,
        /// Its bytes.
        bytes: &'static [u8],
    },
}

impl From<PathBuf> for WeightsSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl Display for WeightsSource {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::BuiltIn { name, .. } => write!(f, "{name}, built in"),
        }
    }
}

/// An open [`WeightsSource`].
#[derive(Debug)]
pub(super) enum Content {
    File(File),
    BuiltIn(&'static [u8]),
}

impl Content {
    pub fn open(source: &WeightsSource) -> io::Result<Self> {
        match source {
            WeightsSource::File(path) => File::open(path).map(Self::File),
            WeightsSource::BuiltIn { bytes, .. } => Ok(Self::BuiltIn(bytes)),
        }
    }

    pub fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::BuiltIn(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::BuiltIn(bytes) => {
                io::Cursor::new(bytes.get(offset as usize..).unwrap_or_default()).read_exact(buffer)
            }
        }
    }

    /// A reader from `position` on.
    pub fn reader(&self, position: u64) -> Reader<'_> {
        Reader { content: self, position }
    }
}

/// Reads content from a position on.
pub(super) struct Reader<'c> {
    content: &'c Content,
    position: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.content {
            Content::File(file) => file.read_at(buffer, self.position)?,
            Content::BuiltIn(bytes) => bytes.get(self.position as usize..).unwrap_or_default().read(buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::End(offset) => (self.content.len()?, offset),
            SeekFrom::Current(offset) => (self.position, offset),
        };
        self.position = base.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
