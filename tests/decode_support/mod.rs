//! A plain full decode to compare with.

use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;

/// When a frame is shown, where that is known.
pub type Time = Option<i64>;

/// Frames with their times, and the times of the packets.
pub type Decoded = (Vec<(Time, Vec<u8>)>, Vec<Time>);

/// Every frame with its time, decoded one after the other with nothing skipped, resized, in the order the decoder gives
/// them; and the time of each packet in the order they are stored. Errors of the decoder are passed over; `None` is a
/// file that cannot be opened.
pub fn full_decode(path: &Path, width: u32, height: u32) -> Option<Decoded> {
    let mut input = ffmpeg::format::input(path).ok()?;
    let stream = input.streams().best(ffmpeg::media::Type::Video)?;
    let index = stream.index();
    let context = ffmpeg::codec::context::Context::from_parameters(stream.parameters()).ok()?;
    let mut decoder = context.decoder().video().ok()?;
    let (mut frames, mut times) = (Vec::new(), Vec::new());
    let mut take = |decoder: &mut ffmpeg::decoder::Video| {
        let mut frame = ffmpeg::frame::Video::empty();
        loop {
            match decoder.receive_frame(&mut frame) {
                Ok(()) => frames.push((frame.pts(), resized(&frame, width, height))),
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => return,
                Err(_) => {}
            }
        }
    };
    loop {
        let mut packet = ffmpeg::Packet::empty();
        match packet.read(&mut input) {
            Ok(()) if packet.stream() == index => {
                times.push(packet.pts());
                let _ = decoder.send_packet(&packet);
                take(&mut decoder);
            }
            Ok(()) | Err(ffmpeg::Error::InvalidData) => {}
            Err(_) => break,
        }
    }
    let _ = decoder.send_eof();
    take(&mut decoder);
    Some((frames, times))
}

fn resized(frame: &ffmpeg::frame::Video, width: u32, height: u32) -> Vec<u8> {
    let (format, from_width, from_height) = (frame.format(), frame.width(), frame.height());
    let flags = scaling::Flags::AREA;
    let scaler = scaling::Context::get(format, from_width, from_height, Pixel::RGB24, width, height, flags);
    let mut rgb = ffmpeg::frame::Video::empty();
    scaler.expect("a format that can be scaled").run(frame, &mut rgb).expect("a frame that can be scaled");
    let rows = (0..height as usize).flat_map(|y| &rgb.data(0)[y * rgb.stride(0)..][..width as usize * 3]);
    rows.copied().collect()
}
