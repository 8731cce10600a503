//! Reading real files: the frames are exactly those of a full decode, and what is unreadable says why.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data_support;
mod decode_support;

use std::fs;
use std::path::{Path, PathBuf};

use data_support::{SETTINGS, write_video};
use dfdetect::dataset::DataError;
use dfdetect::dataset::Footage;
use dfdetect::demo::VideoSettings;
use dfdetect::video::{self, ClipSpec};
use ffmpeg_next as ffmpeg;

fn spec() -> ClipSpec {
    ClipSpec::uniform(4, 40, 50, 3)
}

/// Every frame of a video, decoded one after the other with nothing skipped, resized.
fn all_frames(path: &Path, spec: &ClipSpec) -> Vec<Vec<u8>> {
    let (frames, _) = decode_support::full_decode(path, spec.width as u32, spec.height as u32).unwrap();
    frames.into_iter().map(|(_, frame)| frame).collect()
}

/// Repacks a file without decoding: another container, the index in front, packets left out or changed.
fn remux(from: &Path, to: &Path, options: &[(&str, &str)], edit: impl Fn(usize, &mut ffmpeg::Packet) -> bool) {
    let mut input = ffmpeg::format::input(from).unwrap();
    let mut output = ffmpeg::format::output(to).unwrap();
    let stream = input.stream(0).unwrap();
    let time_base = stream.time_base();
    let mut copy = output.add_stream(ffmpeg::codec::Id::None).unwrap();
    copy.set_parameters(stream.parameters());
    copy.set_time_base(time_base);
    let mut dictionary = ffmpeg::Dictionary::new();
    for (key, value) in options {
        dictionary.set(key, value);
    }
    output.write_header_with(dictionary).unwrap();
    let out_base = output.stream(0).unwrap().time_base();
    for (number, (_, mut packet)) in input.packets().enumerate() {
        if edit(number, &mut packet) {
            packet.rescale_ts(time_base, out_base);
            packet.set_position(-1);
            packet.write_interleaved(&mut output).unwrap();
        }
    }
    output.write_trailer().unwrap();
}

fn reason_of(path: &Path, spec: &ClipSpec) -> String {
    match video::read_clip(&Footage::video(path), spec, None) {
        Err(DataError::Video { path: named, reason }) => {
            assert_eq!(named, path);
            assert!(!reason.contains('\n') && !reason.is_empty());
            reason
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn frames_are_those_of_a_full_decode_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (gop, b_frames) in [(1, 0), (12, 0), (12, 2), (250, 3), (5, 16)] {
        for length in [3, 16, 41] {
            let path = folder.path().join(format!("{gop}-{b_frames}-{length}.mp4"));
            write_video(&path, &VideoSettings { gop, b_frames, ..SETTINGS }, length, 0);
            let all = all_frames(&path, &spec());
            assert_eq!(all.len(), length);
            for frames in [1, 2, 7, 16, 60] {
                let spec = ClipSpec { frames, ..spec() };
                let clip = video::read_clip(&Footage::video(&path), &spec, None).unwrap().thwc;
                assert_eq!(clip.len(), spec.clip_bytes());
                for (part, frame) in clip.chunks(spec.clip_bytes() / frames).enumerate() {
                    let at = (2 * part + 1) * length / (2 * frames);
                    assert!(frame == all[at], "{path:?}: frame {part} of {frames} is not frame {at} of {length}");
                }
            }
        }
    }
}

#[test]
fn other_containers_and_odd_paths_give_the_same_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a:b ü%d.mp4");
    write_video(&path, &SETTINGS, 30, 0);
    let spec = ClipSpec { frames: 30, ..spec() };
    let clip = video::read_clip(&Footage::video(&path), &spec, None).unwrap().thwc;
    assert!(clip == all_frames(&path, &spec).concat());
    // AVI tells in which order packets are decoded, not shown.
    for name in ["a.mkv", "a.mov", "a.ts", "a.avi"] {
        let copy = folder.path().join(name);
        remux(&path, &copy, &[], |_, _| true);
        assert!(video::read_clip(&Footage::video(&copy), &spec, None).unwrap().thwc == clip, "{name}");
    }
}

#[test]
fn a_variable_frame_rate_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    // Without references between frames, packets can be left out: the rest is a video with gaps in time.
    write_video(&path, &VideoSettings { gop: 1, b_frames: 0, ..SETTINGS }, 40, 0);
    let gaps = folder.path().join("gaps.mp4");
    remux(&path, &gaps, &[], |number, _| number < 20 || number % 5 == 0);
    let kept: Vec<_> = all_frames(&path, &spec())
        .into_iter()
        .enumerate()
        .filter(|(n, _)| *n < 20 || n % 5 == 0)
        .map(|(_, f)| f)
        .collect();
    let clip = video::read_clip(&Footage::video(&gaps), &spec(), None).unwrap().thwc;
    for (part, frame) in clip.chunks(spec().clip_bytes() / 4).enumerate() {
        assert!(frame == kept[(2 * part + 1) * 24 / 8], "frame {part}");
    }
}

#[test]
fn frames_that_an_edit_list_hides_are_decoded_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    write_video(&path, &VideoSettings { gop: 250, ..SETTINGS }, 30, 0);
    let spec = ClipSpec { frames: 30, ..spec() };
    let cut = folder.path().join("cut.mp4");
    let early = |packet: &mut ffmpeg::Packet| {
        let ticks = 7 * packet.duration();
        packet.set_pts(packet.pts().map(|time| time - ticks));
        packet.set_dts(packet.dts().map(|time| time - ticks));
        true
    };
    remux(&path, &cut, &[("avoid_negative_ts", "disabled")], |_, packet| early(packet));
    let (shown, all) = (all_frames(&cut, &spec), all_frames(&path, &spec));
    assert!(shown.len() == 23 && shown[..] == all[7..]);
    let spec = ClipSpec { frames: 23, ..spec };
    assert!(video::read_clip(&Footage::video(&cut), &spec, None).unwrap().thwc == shown.concat());
}

#[test]
fn a_size_that_changes_on_the_way_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    // Key frames carry their own parameters in MPEG-TS, so two videos in one file are one video that changes.
    let settings = [SETTINGS, VideoSettings { width: 64, height: 96, ..SETTINGS }];
    let mut joined = Vec::new();
    for (salt, settings) in settings.iter().enumerate() {
        let path = folder.path().join(format!("{salt}.mp4"));
        write_video(&path, settings, 20, salt);
        let stream = folder.path().join(format!("{salt}.ts"));
        remux(
            &path,
            &stream,
            &[("mpegts_copyts", "1"), ("output_ts_offset", if salt == 0 { "0" } else { "0.88" })],
            |_, _| true,
        );
        joined.extend(fs::read(stream).unwrap());
    }
    let path = folder.path().join("joined.mpg");
    fs::write(&path, joined).unwrap();
    let frames = all_frames(&path, &spec());
    assert!(frames.len() >= 39, "{}", frames.len());
    let clip = video::read_clip(&Footage::video(&path), &spec(), None).unwrap().thwc;
    for (part, frame) in clip.chunks(spec().clip_bytes() / 4).enumerate() {
        assert!(frame == frames[(2 * part + 1) * frames.len() / 8], "frame {part}");
    }
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let video = folder.path().join("video.mp4");
    write_video(&video, &SETTINGS, 50, 0);
    let bytes = fs::read(&video).unwrap();
    let front = folder.path().join("front.mp4");
    remux(&video, &front, &[("movflags", "faststart")], |_, _| true);
    let front = fs::read(front).unwrap();
    let short = folder.path().join("short.mp4");
    write_video(&short, &SETTINGS, 2, 0);
    let sound = folder.path().join("sound.mp4");
    write_sound(&sound);

    for (path, reason) in [
        (folder.path().join("missing.mp4"), "cannot be opened: No such file"),
        (folder.path().to_owned(), "this is not a file"),
        (file("empty.mp4", b""), "the file is empty"),
        (file("text.mp4", b"This is a text file, not a video.\n"), "cannot be opened: Invalid data"),
        (file("word.mp4", b"text"), "cannot be opened: Invalid data"),
        (file("zeros.mp4", &[0; 4096]), "cannot be opened: Invalid data"),
        (file("no-index.mp4", &bytes[..bytes.len() / 2]), "cannot be opened: it has no index (moov)"),
        (file("half.mp4", &front[..front.len() / 2]), "the file breaks off after 0."),
        (sound, "there is no video stream"),
        (file("cover.mp4", &flac_with_cover()), "there is no video stream"),
        (short, "it has 2 frames where 3 are needed"),
        (file("playlist.mp4", format!("#EXTM3U\n#EXTINF:1,\n{}\n", video.display()).as_bytes()), "cannot be opened"),
        (file("bomb.avi", b"YUV4MPEG2 W9000 H9000 F25:1 C420jpeg\nFRAME\n0000"), "9000x9000 pixels"),
    ] {
        let found = reason_of(&path, &spec());
        assert!(found.contains(reason), "{}: {found}", path.display());
        let probed = video::probe(&Footage::video(&path), &spec()).unwrap_err().to_string();
        assert!(probed.contains(&found), "{}: probed {probed}, read {found}", path.display());
    }
    video::probe(&Footage::video(&video), &spec()).unwrap();
}

#[test]
fn much_damage_inside_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.mp4");
    write_video(&path, &VideoSettings { gop: 1, b_frames: 0, ..SETTINGS }, 8, 0);
    let mut bytes = fs::read(&path).unwrap();
    let payload = bytes.windows(4).position(|four| four == b"mdat").unwrap() + 4;
    let index = bytes.windows(4).position(|four| four == b"moov").unwrap();
    let end = payload + (index - payload) * 3 / 4;
    bytes[payload + 800..end].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let spec = ClipSpec { frames: 8, ..spec() };
    video::probe(&Footage::video(&path), &spec).expect("the packets are all there");
    let reason = reason_of(&path, &spec);
    assert!(reason.contains("it is damaged: ") && reason.contains(" of 8 frames could be decoded"), "{reason}");
}

/// A FLAC file without sound, with a picture on its cover.
fn flac_with_cover() -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(64, 64).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let png = png.into_inner();
    let mut picture = Vec::new();
    for field in [&3_u32.to_be_bytes()[..], &9_u32.to_be_bytes(), b"image/png"] {
        picture.extend(field);
    }
    for number in [0, 64, 64, 24, 0, png.len() as u32] {
        picture.extend(number.to_be_bytes());
    }
    picture.extend(png);
    // Blocks of 4096 samples, 44.1 kHz, one channel, 16 bits, of unknown length.
    let mut info = vec![0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0xc4, 0x40, 0xf0];
    info.resize(34, 0);
    let mut flac = b"fLaC".to_vec();
    for (kind, block) in [(0, info), (0x86, picture)] {
        flac.push(kind);
        flac.extend(&(block.len() as u32).to_be_bytes()[1..]);
        flac.extend(block);
    }
    flac
}

/// A second of silence as AAC.
fn write_sound(path: &Path) {
    let mut output = ffmpeg::format::output(path).unwrap();
    let codec = ffmpeg::encoder::find(ffmpeg::codec::Id::AAC).unwrap();
    let mut encoder = ffmpeg::codec::context::Context::new_with_codec(codec).encoder().audio().unwrap();
    encoder.set_rate(44_100);
    encoder.set_channel_layout(ffmpeg::ChannelLayout::MONO);
    encoder.set_format(ffmpeg::format::Sample::F32(ffmpeg::format::sample::Type::Planar));
    encoder.set_time_base((1, 44_100));
    encoder.set_flags(ffmpeg::codec::Flags::GLOBAL_HEADER);
    let mut encoder = encoder.open().unwrap();
    let mut stream = output.add_stream(codec).unwrap();
    stream.set_parameters(&encoder);
    output.write_header().unwrap();
    let base = output.stream(0).unwrap().time_base();
    let samples = encoder.frame_size() as usize;
    let mut packet = ffmpeg::Packet::empty();
    for number in 0..43 {
        let mut frame = ffmpeg::frame::Audio::new(encoder.format(), samples, ffmpeg::ChannelLayout::MONO);
        frame.plane_mut::<f32>(0).fill(0.0);
        frame.set_rate(44_100);
        frame.set_pts(Some(number * samples as i64));
        encoder.send_frame(&frame).unwrap();
        while encoder.receive_packet(&mut packet).is_ok() {
            packet.set_stream(0);
            packet.rescale_ts((1, 44_100), base);
            packet.write_interleaved(&mut output).unwrap();
        }
    }
    output.write_trailer().unwrap();
}
