//! A clip that is decoded once, and of which pictures are made as often as wanted: small ones to search, parts of large
//! ones to keep. Knows nothing of faces.

use std::path::Path;

use image::RgbImage;

use super::convert::{Converter, RawFrame};
use super::input::VideoInput;
use super::picks::spread;
use super::read::{ClipBuffer, decoded, usable_frames, video_error};
use super::spec::{ClipSpec, FrameSize};
use crate::dataset::DataError;

/// The size of a clip's decoded frames above which only small pictures of them are kept, and the video is decoded again
/// for the large ones: 32 frames of 1080p are below, 16 of 2160p above.
const MAX_HELD_BYTES: u64 = 128 << 20;

/// The different frames of a clip, in display order.
pub struct HeldClip<'a> {
    video: VideoInput<'a>,
    spec: &'a ClipSpec,
    draw: Option<u64>,
    converter: Converter,
    small: FrameSize,
    size: [u32; 2],
    frames: Vec<(usize, HeldFrame)>,
    slots: Vec<usize>,
    usable_frames: usize,
}

/// A frame as it was decoded, or a small picture of it.
enum HeldFrame {
    Decoded(RawFrame),
    Small(RgbImage),
}

impl<'a> HeldClip<'a> {
    /// Decodes the frames of a clip. The size of [`small`](Self::small) pictures is `small`.
    ///
    /// # Errors
    /// As [`read_clip`](super::read_clip).
    pub fn read(
        video: impl Into<VideoInput<'a>>,
        spec: &'a ClipSpec,
        draw: Option<u64>,
        small: FrameSize,
    ) -> Result<Self, DataError> {
        Self::read_bounded(video.into(), spec, draw, small, MAX_HELD_BYTES)
    }

    fn read_bounded(
        video: VideoInput<'a>,
        spec: &'a ClipSpec,
        draw: Option<u64>,
        small: FrameSize,
        max_held_bytes: u64,
    ) -> Result<Self, DataError> {
        let mut converter = Converter::new();
        let hold = &mut |converter: &mut Converter, _, raw: RawFrame| {
            if raw.bytes().saturating_mul(spec.frames as u64) <= max_held_bytes {
                return Ok(HeldFrame::Decoded(raw));
            }
            let picture = converter.picture(&raw, small)?;
            // A small picture of a small frame can be the larger one.
            Ok(if (picture.as_raw().len() as u64) < raw.bytes() {
                HeldFrame::Small(picture)
            } else {
                HeldFrame::Decoded(raw)
            })
        };
        let clip = decoded(video, spec, draw, &mut converter, hold)?;
        let frames = clip.frames.into_iter().map(|(number, made)| (number, made.value)).collect();
        let (size, slots, usable_frames) = (clip.size, clip.slots, usable_frames(video.footage, clip.choices));
        Ok(Self { video, spec, draw, converter, small, size, frames, slots, usable_frames })
    }

    /// Width and height of the video as shown.
    #[must_use]
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The largest `min_frames` with which the video can be used.
    #[must_use]
    pub fn usable_frames(&self) -> usize {
        self.usable_frames
    }

    /// The numbers of the different frames in the video, ascending.
    #[must_use]
    pub fn numbers(&self) -> Vec<usize> {
        self.frames.iter().map(|(number, _)| *number).collect()
    }

    /// For each of the T places of the clip, the index of its frame, ascending.
    #[must_use]
    pub fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// Spreads the frames with these indices, which ascend, evenly over the T places of the clip.
    pub fn use_only(&mut self, frames: &[usize]) {
        if frames.len() < self.frames.len() {
            self.slots = spread(frames.len(), self.spec.frames).into_iter().map(|at| frames[at]).collect();
        }
    }

    /// The file or folder of the video.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.video.footage.path
    }

    /// An error about the video.
    #[must_use]
    pub fn error(&self, reason: String) -> DataError {
        video_error(&self.video.footage.path)(reason)
    }

    /// A small picture of a frame.
    ///
    /// # Errors
    /// [`DataError::Video`] if it cannot be converted.
    pub fn small(&mut self, frame: usize) -> Result<RgbImage, DataError> {
        match &self.frames[frame].1 {
            HeldFrame::Small(picture) => Ok(picture.clone()),
            HeldFrame::Decoded(raw) => {
                self.converter.picture(raw, self.small).map_err(video_error(&self.video.footage.path))
            }
        }
    }

    /// The clip as RGB bytes, T x height x width x 3; `size` has the part and size of each frame.
    ///
    /// # Errors
    /// [`DataError::Video`] if a frame cannot be converted, or decoded again.
    pub fn clip(&mut self, size: impl Fn(usize) -> FrameSize) -> Result<Vec<u8>, DataError> {
        let mut buffer = ClipBuffer::reserve(self.video.footage, self.spec)?;
        let mut starts = vec![None; self.frames.len()];
        let used: Vec<_> = (0..self.frames.len()).filter(|frame| self.slots.contains(frame)).collect();
        if used.iter().all(|frame| matches!(self.frames[*frame].1, HeldFrame::Decoded(_))) {
            for frame in used {
                let (number, HeldFrame::Decoded(raw)) = &self.frames[frame] else { continue };
                let start = buffer.add(&mut self.converter, *number, raw, size(frame));
                starts[frame] = Some(start.map_err(video_error(&self.video.footage.path))?);
            }
        } else {
            let frame_of = |number| used.iter().copied().find(|frame| self.frames[*frame].0 == number);
            let add = &mut |converter: &mut Converter, number, raw: RawFrame| {
                let added =
                    frame_of(number).map(|frame| Ok((frame, buffer.add(converter, number, &raw, size(frame))?)));
                added.transpose()
            };
            let again = decoded(self.video, self.spec, self.draw, &mut self.converter, add)?;
            for (frame, start) in again.frames.into_iter().filter_map(|(_, made)| made.value) {
                starts[frame] = Some(start);
            }
        }
        let changed = || video_error(&self.video.footage.path)("it changed while it was read".into());
        let starts: Option<Vec<_>> = self.slots.iter().map(|frame| starts[*frame]).collect();
        buffer.clip(self.video.footage, starts.ok_or_else(changed)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Footage;
    use crate::demo::{VideoSettings, VideoWriter};
    use crate::video::{CropResize, Square, read_clip, read_frames};

    const SMALL: FrameSize = FrameSize::LongSide(48);

    fn video(folder: &std::path::Path, frames: u32) -> Footage {
        let settings = VideoSettings { width: 96, height: 64, ..VideoSettings::default() };
        let mut writer = VideoWriter::create(&folder.join("a.mp4"), &settings).unwrap();
        for time in 0..frames {
            let frame = RgbImage::from_fn(96, 64, |x, y| {
                image::Rgb([(2 * x) as u8, (3 * y) as u8, (20 * time + ((x + 5 * time) / 9 + y / 7) % 2 * 90) as u8])
            });
            writer.write(&frame).unwrap();
        }
        writer.finish().unwrap();
        Footage::video(folder.join("a.mp4"))
    }

    #[test]
    fn pictures_of_held_frames_are_those_of_reading_them() {
        let folder = tempfile::tempdir().unwrap();
        let (video, spec) = (video(folder.path(), 9), ClipSpec::uniform(4, 32, 40, 1));
        let mut held = HeldClip::read(&video, &spec, None, SMALL).unwrap();
        assert_eq!((held.size(), held.numbers(), held.slots()), ([96, 64], vec![1, 3, 5, 7], &[0, 1, 2, 3][..]));
        let whole = FrameSize::Exact { height: 32, width: 40 };
        assert!(held.clip(|_| whole).unwrap() == read_clip(&video, &spec, None).unwrap().thwc);
        let mut small = Vec::new();
        read_frames(&video, &spec, None, SMALL, &mut |frame| small.push(frame)).unwrap();
        assert!((0..4).all(|frame| held.small(frame).unwrap() == small[frame]));
    }

    /// Also with repeated frames, and only some of them.
    #[test]
    fn a_clip_that_is_too_large_to_be_held_is_decoded_again_and_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let video = video(folder.path(), 5);
        let cut = |frame: usize| {
            let square = Square::upright(3.5 * frame as f64, 2.0, 40.0);
            FrameSize::Crop(CropResize { square, of: [96, 64], height: 32, width: 32 })
        };
        for (frames, used) in [(4, None), (7, None), (4, Some([1, 2])), (7, Some([0, 4]))] {
            let spec = ClipSpec::uniform(frames, 32, 32, 1);
            let clip = |max_held_bytes| {
                let mut held = HeldClip::read_bounded((&video).into(), &spec, None, SMALL, max_held_bytes).unwrap();
                used.into_iter().for_each(|frames| held.use_only(&frames));
                (held.small(1).unwrap(), held.clip(cut).unwrap(), held.slots().to_vec())
            };
            let (held, again) = (clip(u64::MAX), clip(0));
            assert!(held == again, "{frames} {used:?}");
            let picture = |frame| {
                let mut pictures = Vec::new();
                read_frames(&video, &spec, None, cut(frame), &mut |picture| pictures.push(picture)).unwrap();
                let slot =
                    HeldClip::read(&video, &spec, None, SMALL).unwrap().slots().iter().position(|at| *at == frame);
                pictures.swap_remove(slot.unwrap()).into_raw()
            };
            assert!(held.1 == held.2.iter().flat_map(|frame| picture(*frame)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (footage, spec) = (video(folder.path(), 9), ClipSpec::uniform(4, 32, 32, 1));
        let mut held = HeldClip::read_bounded((&footage).into(), &spec, None, SMALL, 0).unwrap();
        video(folder.path(), 4);
        let error = held.clip(|_| SMALL).unwrap_err().to_string();
        assert!(error.ends_with("it changed while it was read"), "{error}");
    }
}
