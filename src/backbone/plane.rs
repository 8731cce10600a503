//! Sizes of feature maps, and where their cells lie on the image.

/// The size of a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Plane {
    /// An RGB image.
    #[must_use]
    pub fn image([height, width]: [usize; 2]) -> Self {
        Self { channels: 3, height, width }
    }

    /// Channels times rows times columns.
    #[must_use]
    pub fn elements(self) -> u64 {
        (self.channels * self.height * self.width) as u64
    }

    /// The size after a window that slides over the map.
    pub(super) fn window(self, kernel: usize, stride: usize, padding: [usize; 2], channels: usize) -> Self {
        let after = |length: usize| (length + padding[0] + padding[1]).saturating_sub(kernel) / stride + 1;
        Self { channels, height: after(self.height), width: after(self.width) }
    }
}

/// Where the cells of a feature map lie: the receptive field of cell i has its centre at pixel `first + i * step`,
/// along rows and columns alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellGrid {
    /// Twice the centre of the first cell, in pixels: windows of even size have theirs between two pixels.
    pub twice_first: i64,
    /// Distance between the centres of two neighbours, in pixels.
    pub step: i64,
}

impl CellGrid {
    /// Centre of the first cell, in whole pixels.
    #[must_use]
    pub fn first(self) -> i64 {
        self.twice_first / 2
    }

    /// The grid of the image itself.
    pub(super) fn pixels() -> Self {
        Self { twice_first: 0, step: 1 }
    }

    /// The grid after a window.
    pub(super) fn window(&mut self, kernel: usize, stride: usize, padding: usize) {
        self.twice_first += (kernel as i64 - 1 - 2 * padding as i64) * self.step;
        self.step *= stride as i64;
    }
}
