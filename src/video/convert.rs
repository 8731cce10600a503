//! The conversion of a decoded frame to an upright RGB picture of the wanted size. Knows nothing of files.

use fast_image_resize::Resizer;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::ffi::AVColorSpace;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use ffmpeg_next::software::scaling;
use image::{RgbImage, imageops};

use super::resize::Pixels;
use super::spec::{FrameSize, as_u32};
use super::{hardware, resize};

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

    /// The width and height to which a stored frame is resized, so that it has the wanted size when it is shown.
    fn stored_size(self, wanted: FrameSize, [width, height]: [u32; 2]) -> [u32; 2] {
        let (shown_width, shown_height) = if self.transpose { (height, width) } else { (width, height) };
        let (width, height) = wanted.of(shown_width, shown_height);
        if self.transpose { [height, width] } else { [width, height] }
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
    /// The number of the colour space, as in `AVColorSpace`; files may have one that FFmpeg does not name.
    matrix: u32,
    full_range: bool,
}

impl Source {
    fn of(frame: &frame::Video) -> Self {
        let (format, width, height) = (frame.format(), frame.width(), frame.height());
        let (matrix, full_range) = hardware::colours(frame);
        let unknown = [AVColorSpace::AVCOL_SPC_UNSPECIFIED, AVColorSpace::AVCOL_SPC_RESERVED].map(|space| space as u32);
        let matrix = match unknown.contains(&matrix) {
            // Without a colour space, the frame is BT.709 in HD and BT.601 below, as in players.
            true if width >= 1280 || height > 576 => AVColorSpace::AVCOL_SPC_BT709 as u32,
            true => AVColorSpace::AVCOL_SPC_SMPTE170M as u32,
            false => matrix,
        };
        let full = [Pixel::YUVJ420P, Pixel::YUVJ422P, Pixel::YUVJ444P, Pixel::YUVJ440P, Pixel::YUVJ411P];
        let full_range = full_range || full.contains(&format);
        Self { format, width, height, matrix, full_range }
    }
}

/// A scaler for frames with the same properties, and the picture that it made last.
struct Scaler {
    made_for: (Source, [u32; 2]),
    context: scaling::Context,
    rgb: frame::Video,
}

/// A frame as it was decoded.
pub(super) enum RawFrame {
    /// A frame of a video.
    Frame(frame::Video),
    /// A picture from a file.
    Picture(RgbImage),
}

impl RawFrame {
    /// The size of its pixels in memory.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Picture(picture) => picture.as_raw().len() as u64,
            Self::Frame(frame) => hardware::pixel_bytes(frame),
        }
    }
}

/// Makes pictures of frames. It keeps a scaler for each size while the frames have the same properties.
pub(super) struct Converter {
    /// The orientation in which frames of the video are stored.
    pub(super) orientation: Orientation,
    scalers: Vec<Scaler>,
    resizer: Resizer,
}

impl Converter {
    pub(super) fn new() -> Self {
        Self { orientation: Orientation::default(), scalers: Vec::new(), resizer: Resizer::new() }
    }

    /// The picture of a frame.
    pub(super) fn picture(&mut self, raw: &RawFrame, size: FrameSize) -> Result<RgbImage, String> {
        let mut hwc = Vec::new();
        let [width, height] = self.append(raw, size, &mut hwc)?;
        Ok(RgbImage::from_raw(width, height, hwc).expect("as many bytes as pixels x 3"))
    }

    /// Appends the picture of a frame to `bytes`, height x width x 3. Returns its width and height.
    pub(super) fn append(&mut self, raw: &RawFrame, size: FrameSize, bytes: &mut Vec<u8>) -> Result<[u32; 2], String> {
        let frame = match raw {
            RawFrame::Frame(frame) => frame,
            RawFrame::Picture(picture) => return append_resized(&mut self.resizer, Pixels::of(picture), size, bytes),
        };
        let at = self.scale(frame, size)?;
        let rgb = &self.scalers[at].rgb;
        let (width, height) = (rgb.width(), rgb.height());
        if self.orientation != Orientation::default() {
            let picture = self.orientation.apply(packed(rgb));
            return append_resized(&mut self.resizer, Pixels::of(&picture), size, bytes);
        }
        let row_bytes = width as usize * 3;
        match size {
            FrameSize::Crop(_) if rgb.stride(0) == row_bytes => {
                let pixels = Pixels { hwc: &rgb.data(0)[..row_bytes * height as usize], width, height };
                append_resized(&mut self.resizer, pixels, size, bytes)
            }
            FrameSize::Crop(_) => append_resized(&mut self.resizer, Pixels::of(&packed(rgb)), size, bytes),
            _ => {
                append_rows(rgb, bytes);
                Ok([width, height])
            }
        }
    }

    /// Scales a frame; returns the index of the scaler that has the result.
    fn scale(&mut self, frame: &frame::Video, size: FrameSize) -> Result<usize, String> {
        let source = Source::of(frame);
        let Source { format, width, height, .. } = source;
        let unusable = |error| format!("a frame of {width}x{height} {format:?} cannot be resized: {error}");
        let made_for = (source, self.orientation.stored_size(size, [width, height]));
        let at = match self.scalers.iter().position(|scaler| scaler.made_for == made_for) {
            Some(at) => at,
            None => {
                // Those for frames with other properties are not needed again soon.
                self.scalers.retain(|scaler| scaler.made_for.0 == source);
                let context = scaler(source, made_for.1).map_err(unusable)?;
                self.scalers.push(Scaler { made_for, context, rgb: frame::Video::empty() });
                self.scalers.len() - 1
            }
        };
        let Scaler { context, rgb, .. } = &mut self.scalers[at];
        context.run(frame, rgb).map_err(unusable)?;
        Ok(at)
    }
}

/// Appends an upright picture, cut and resized as asked for.
fn append_resized(
    resizer: &mut Resizer,
    pixels: Pixels,
    size: FrameSize,
    bytes: &mut Vec<u8>,
) -> Result<[u32; 2], String> {
    if let FrameSize::Crop(crop) = size {
        resize::append_crop(resizer, pixels, &crop, bytes)?;
        return Ok([as_u32(crop.width), as_u32(crop.height)]);
    }
    let to = size.of(pixels.width, pixels.height).into();
    if to == [pixels.width, pixels.height] {
        bytes.extend_from_slice(pixels.hwc);
    } else {
        resize::append(resizer, pixels, pixels.whole(), to, bytes)?;
    }
    Ok(to)
}

/// Appends the rows of an RGB frame, which may be padded.
fn append_rows(rgb: &frame::Video, bytes: &mut Vec<u8>) {
    let row_bytes = rgb.width() as usize * 3;
    bytes.reserve(row_bytes * rgb.height() as usize);
    for row in rgb.data(0).chunks(rgb.stride(0)).take(rgb.height() as usize) {
        bytes.extend_from_slice(&row[..row_bytes]);
    }
}

fn packed(rgb: &frame::Video) -> RgbImage {
    let mut hwc = Vec::new();
    append_rows(rgb, &mut hwc);
    RgbImage::from_raw(rgb.width(), rgb.height(), hwc).expect("as many bytes as pixels x 3")
}

fn scaler(source: Source, [to_width, to_height]: [u32; 2]) -> Result<scaling::Context, ffmpeg::Error> {
    let Source { format, width, height, matrix, full_range } = source;
    // The mean of all that a pixel covers: filters that reach further blur what gives small forgeries away (decision
    // 69).
    let flags = scaling::Flags::AREA;
    let mut scaler = scaling::Context::get(format, width, height, Pixel::RGB24, to_width, to_height, flags)?;
    hardware::set_colours(&mut scaler, matrix, full_range);
    Ok(scaler)
}
