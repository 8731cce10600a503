//! What is read: a video or pictures, and the place for its packet table. Opens no file.

use super::tables::PacketTables;
use crate::dataset::Footage;

/// A video or pictures in its place, and the place for its packet table, if there is one.
#[derive(Clone, Copy)]
pub struct VideoInput<'a> {
    pub(super) footage: &'a Footage,
    pub(super) tables: Option<&'a dyn PacketTables>,
}

impl<'a> VideoInput<'a> {
    /// A video whose packet table is kept, so that it is scanned once and not for each read.
    #[must_use]
    pub fn with_tables(footage: &'a Footage, tables: &'a dyn PacketTables) -> Self {
        Self { footage, tables: Some(tables) }
    }

    /// The video or pictures.
    #[must_use]
    pub fn footage(&self) -> &'a Footage {
        self.footage
    }
}

impl<'a> From<&'a Footage> for VideoInput<'a> {
    fn from(footage: &'a Footage) -> Self {
        Self { footage, tables: None }
    }
}
