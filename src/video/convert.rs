//! The conversion of a decoded frame to an upright RGB picture of the wanted size. Knows nothing of files.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::color::{Range, Space};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use ffmpeg_next::software::scaling;
use image::{RgbImage, imageops};

use super::decoded::DecodedFrame;
use super::hardware;
use super::spec::{ClipSpec, FrameSize};

/// The orientation of a stored frame: rows and columns are swapped first, then mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Orientation {
    transpose: bool,
    flip_x: bool,
    flip_y: bool,
}

impl Orientation {
    /// The orientation in the display matrix of the stream, rounded to a right angle.
    pub(super) fn of(stream: &ffmpeg::Stream) -> Self {
        let matrix = stream.side_data().find(|data| data.kind() == side_data::Type::DisplayMatrix);
        matrix.map_or_else(Self::default, |matrix| Self::of_matrix(matrix.data()))
    }

    /// The matrix transforms x' = a x + c y, y' = b x + d y. It is nine native 32-bit numbers `a b u c d v x y w`.
    fn of_matrix(bytes: &[u8]) -> Self {
        let entry = |at: usize| {
            let bytes = bytes.get(4 * at..)?.first_chunk()?;
            Some(i64::from(i32::from_ne_bytes(*bytes)))
        };
        let (Some(a), Some(b), Some(c), Some(d)) = (entry(0), entry(1), entry(3), entry(4)) else {
            return Self::default();
        };
        if b.abs() > a.abs() {
            Self { transpose: true, flip_x: c < 0, flip_y: b < 0 }
        } else {
            Self { transpose: false, flip_x: a < 0, flip_y: d < 0 }
        }
    }

    /// Whether width and height are swapped.
    pub(super) fn transposed(self) -> bool {
        self.transpose
    }

    fn apply(self, mut picture: RgbImage) -> RgbImage {
        if self.transpose {
            picture = imageops::rotate90(&picture);
        }
        // A quarter turn is a transposition and a mirror.
        if self.flip_x != self.transpose {
            imageops::flip_horizontal_in_place(&mut picture);
        }
        if self.flip_y {
            imageops::flip_vertical_in_place(&mut picture);
        }
        picture
    }
}

/// The properties of the frames for which a scaler was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    format: Pixel,
    width: u32,
    height: u32,
    matrix: Space,
    full_range: bool,
}

impl Source {
    fn of(frame: &frame::Video) -> Self {
        let (format, width, height) = (frame.format(), frame.width(), frame.height());
        let matrix = match frame.color_space() {
            // Without a colour space, the frame is BT.709 in HD and BT.601 below, as in players.
            Space::Unspecified | Space::Reserved if width >= 1280 || height > 576 => Space::BT709,
            Space::Unspecified | Space::Reserved => Space::SMPTE170M,
            matrix => matrix,
        };
        let full = [Pixel::YUVJ420P, Pixel::YUVJ422P, Pixel::YUVJ444P, Pixel::YUVJ440P, Pixel::YUVJ411P];
        let full_range = frame.color_range() == Range::JPEG || full.contains(&format);
        Self { format, width, height, matrix, full_range }
    }
}

/// Converts frames; it keeps the scaler while the frames have the same properties.
pub(super) struct Converter {
    spec: ClipSpec,
    size: FrameSize,
    orientation: Orientation,
    scaler: Option<(Source, scaling::Context)>,
}

impl Converter {
    pub(super) fn new(spec: ClipSpec, size: FrameSize, orientation: Orientation) -> Self {
        Self { spec, size, orientation, scaler: None }
    }

    pub(super) fn convert(&mut self, frame: &frame::Video) -> Result<DecodedFrame, String> {
        let source = Source::of(frame);
        let Source { format, width, height, .. } = source;
        let unusable = |error| format!("a frame of {width}x{height} {format:?} cannot be resized: {error}");
        let (_, scaler) = match self.scaler.take().filter(|(made_for, _)| *made_for == source) {
            Some(scaler) => self.scaler.insert(scaler),
            None => self.scaler.insert((source, scaler(source, self.size, self.orientation).map_err(unusable)?)),
        };
        let mut rgb = frame::Video::empty();
        scaler.run(frame, &mut rgb).map_err(unusable)?;
        let (width, height) = (rgb.width(), rgb.height());
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
        // Rows of an FFmpeg picture may be padded.
        for row in rgb.data(0).chunks(rgb.stride(0)).take(height as usize) {
            pixels.extend_from_slice(&row[..width as usize * 3]);
        }
        let picture = RgbImage::from_raw(width, height, pixels).expect("as many bytes as pixels x 3");
        DecodedFrame::new(self.orientation.apply(picture), &self.spec, self.size)
    }
}

fn scaler(source: Source, size: FrameSize, orientation: Orientation) -> Result<scaling::Context, ffmpeg::Error> {
    let Source { format, width, height, matrix, full_range } = source;
    let shown = if orientation.transposed() { (height, width) } else { (width, height) };
    let (to_width, to_height) = size.of(shown.0, shown.1);
    let (to_width, to_height) = if orientation.transposed() { (to_height, to_width) } else { (to_width, to_height) };
    // The mean of all that a pixel covers: filters that reach further blur what gives small forgeries away (decision 69).
    let flags = scaling::Flags::AREA;
    let mut scaler = scaling::Context::get(format, width, height, Pixel::RGB24, to_width, to_height, flags)?;
    hardware::set_colours(&mut scaler, matrix, full_range);
    Ok(scaler)
}
