//! The faces besides the largest of each video, whose clips are taken, too. Knows nothing of pixels.

use std::ops::Range;

/// The faces besides the largest of each video.
#[derive(Debug, Clone, Default)]
pub struct FurtherFaces {
    /// Video and rank, in the order of the videos.
    pub(super) faces: Vec<(usize, usize)>,
}

impl FurtherFaces {
    /// From the number of faces of videos, whose numbers ascend.
    #[must_use]
    pub fn new(counts: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let faces = counts.into_iter().flat_map(|(video, count)| (1..count).map(move |face| (video, face))).collect();
        Self { faces }
    }

    /// The indices of the further faces of a video.
    pub(super) fn of(&self, video: usize) -> Range<usize> {
        let start = self.faces.partition_point(|(other, _)| *other < video);
        start..self.faces.partition_point(|(other, _)| *other <= video)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_are_found_by_their_video() {
        let further = FurtherFaces::new([(0, 1), (2, 3), (3, 0), (5, 2)]);
        assert_eq!(further.faces, [(2, 1), (2, 2), (5, 1)]);
        assert_eq!([0, 2, 3, 5, 9].map(|video| further.of(video)), [0..0, 0..2, 2..2, 2..3, 3..3]);
    }
}
