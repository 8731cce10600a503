//! Functions of FFmpeg that ffmpeg-next lacks: decoding on the GPU (NVDEC), the flags of packets, the parameters of a
//! codec, the colour space of a scaler. This is the only file of the room with `unsafe`. It knows nothing of which
//! frames are wanted.
#![expect(unsafe_code, reason = "calls into FFmpeg that its safe wrapper lacks")]

use std::sync::OnceLock;
use std::{ptr, slice};

use ffmpeg_next::codec::packet::{Mut, Packet, Ref};
use ffmpeg_next::codec::{Parameters, context};
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use ffmpeg_next::software::scaling;

use super::start::start_ffmpeg;
use crate::config::Switch;

/// All flags of a packet.
pub(super) fn flags(packet: &Packet) -> libc::c_int {
    // SAFETY: the pointer is that of a packet which is borrowed here, so it is valid.
    unsafe { (*packet.as_ptr()).flags }
}

/// Gives a packet these flags.
pub(super) fn set_flags(packet: &mut Packet, flags: u8) {
    // SAFETY: the pointer is that of a packet which is borrowed exclusively; FFmpeg ignores flags that it does not
    // know.
    unsafe { (*packet.as_mut_ptr()).flags = flags.into() };
}

/// Whether these flags of a packet tell that an edit list hides its frame.
pub(super) fn hides(flags: libc::c_int) -> bool {
    flags & ffi::AV_PKT_FLAG_DISCARD != 0
}

/// All parameters of a codec that its decoder looks at, but for the extradata.
pub(super) fn parameters_text(parameters: &Parameters) -> String {
    // SAFETY: the pointer is valid as long as the parameters are borrowed, and plain values are read.
    unsafe {
        let of = parameters.as_ptr();
        let codec = [(*of).codec_tag, number(&raw const (*of).codec_id), number(&raw const (*of).field_order)];
        let colours = [
            number(&raw const (*of).color_range),
            number(&raw const (*of).color_primaries),
            number(&raw const (*of).color_trc),
            number(&raw const (*of).color_space),
            number(&raw const (*of).chroma_location),
        ];
        let sizes = [(*of).format, (*of).profile, (*of).level, (*of).width, (*of).height, (*of).video_delay];
        let depth = [(*of).bits_per_coded_sample, (*of).bits_per_raw_sample];
        format!("{:?} {depth:?}", (codec, colours, sizes))
    }
}

/// The number in a field whose type is an enum of FFmpeg. FFmpeg copies some of them from files as they are, and a
/// number that the enum of Rust does not have would be undefined behaviour.
///
/// # Safety
/// The field can be read.
unsafe fn number<T>(field: *const T) -> u32 {
    const { assert!(size_of::<T>() == size_of::<u32>()) };
    // SAFETY: the size is that of the field, and any bits are a number.
    unsafe { field.cast::<u32>().read() }
}

/// The number of the colour space of a frame (`AVColorSpace`), and whether its range is full.
pub(super) fn colours(frame: &frame::Video) -> (u32, bool) {
    // SAFETY: the pointer is that of a frame which is borrowed here, so it is valid.
    unsafe {
        let of = frame.as_ptr();
        let [matrix, range] = [number(&raw const (*of).colorspace), number(&raw const (*of).color_range)];
        (matrix, range == ffi::AVColorRange::AVCOL_RANGE_JPEG as u32)
    }
}

/// Sets the colour space and range of the input of a scaler to RGB. It has no effect if the input is RGB.
pub(super) fn set_colours(scaler: &mut scaling::Context, matrix: u32, full_range: bool) {
    let matrix = libc::c_int::try_from(matrix).unwrap_or(libc::c_int::MAX);
    let (neutral, one) = (0, 1 << 16);
    // SAFETY: the scaler is borrowed exclusively; the tables are constants of FFmpeg, for any number. RGB is full
    // range.
    unsafe {
        let (from, to) = (ffi::sws_getCoefficients(matrix), ffi::sws_getCoefficients(ffi::SWS_CS_DEFAULT));
        let range = libc::c_int::from(full_range);
        ffi::sws_setColorspaceDetails(scaler.as_mut_ptr(), from, range, to, 1, neutral, one, one);
    }
}

/// The size of the pixels of a frame; the largest number if FFmpeg cannot tell.
pub(super) fn pixel_bytes(frame: &frame::Video) -> u64 {
    let [width, height] = [frame.width(), frame.height()].map(|side| libc::c_int::try_from(side).unwrap_or(0));
    // SAFETY: plain values.
    let bytes = unsafe { ffi::av_image_get_buffer_size(frame.format().into(), width, height, 1) };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The parameters of the codec in the container (extradata).
pub(super) fn extradata(parameters: &Parameters) -> &[u8] {
    // SAFETY: the pointers are valid as long as the parameters are borrowed, and FFmpeg keeps the length with the
    // bytes.
    unsafe {
        let parameters = &*parameters.as_ptr();
        match usize::try_from(parameters.extradata_size) {
            Ok(length) if !parameters.extradata.is_null() => slice::from_raw_parts(parameters.extradata, length),
            _ => &[],
        }
    }
}

/// A CUDA device for decoding. It exists as long as the process.
struct Device(*mut ffi::AVBufferRef);

// SAFETY: FFmpeg counts references to a buffer atomically, and a device context may be used by several decoders.
unsafe impl Send for Device {}
// SAFETY: as above; the pointer itself is never changed.
unsafe impl Sync for Device {}

/// The device, opened once in a process; `None` if there is none, which is logged once.
fn device(asked: Switch) -> Option<&'static Device> {
    static DEVICE: OnceLock<Result<Device, ffmpeg_next::Error>> = OnceLock::new();
    let mut first = false;
    let device = DEVICE.get_or_init(|| {
        first = true;
        // Without it, FFmpeg writes that there is no GPU to the terminal.
        start_ffmpeg().map_err(|_| ffmpeg_next::Error::Unknown)?;
        let mut device = ptr::null_mut();
        let kind = ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA;
        // SAFETY: all pointers are valid or null where FFmpeg allows it; on success `device` holds one reference.
        let result = unsafe { ffi::av_hwdevice_ctx_create(&raw mut device, kind, ptr::null(), ptr::null_mut(), 0) };
        if result < 0 { Err(result.into()) } else { Ok(Device(device)) }
    });
    match device {
        Ok(device) => Some(device),
        Err(error) => {
            if first && asked == Switch::On {
                tracing::warn!("data.hw_decode is on, but no GPU can decode here ({error}): the CPU does");
            } else if first {
                tracing::debug!("no GPU can decode here ({error}): the CPU does");
            }
            None
        }
    }
}

/// Whether a GPU can and may be used for decoding.
#[must_use]
pub fn available(asked: Switch) -> bool {
    asked != Switch::Off && device(asked).is_some()
}

/// Lets a decoder that is not open yet use the GPU.
pub(super) fn attach(context: &mut context::Context, asked: Switch) {
    if asked != Switch::Off
        && let Some(device) = device(asked)
    {
        // SAFETY: the context is borrowed exclusively and gives its own reference back when it is freed.
        unsafe { (*context.as_mut_ptr()).hw_device_ctx = ffi::av_buffer_ref(device.0) };
    }
}

/// The frame in host memory. A frame that was decoded on the GPU is copied.
pub(super) fn download(frame: frame::Video) -> Result<frame::Video, ffmpeg_next::Error> {
    if frame.format() != Pixel::CUDA {
        return Ok(frame);
    }
    let mut copy = frame::Video::empty();
    // SAFETY: both frames are valid and owned here; FFmpeg allocates the copy's planes.
    let result = unsafe {
        match ffi::av_hwframe_transfer_data(copy.as_mut_ptr(), frame.as_ptr(), 0) {
            0 => ffi::av_frame_copy_props(copy.as_mut_ptr(), frame.as_ptr()),
            error => error,
        }
    };
    if result < 0 { Err(result.into()) } else { Ok(copy) }
}
