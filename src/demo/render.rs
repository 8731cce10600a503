//! Renders one video of a synthetic set: paints its frames and encodes them. Who is in the video, and its name, is
//! decided in `video_list.rs`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::contact_sheet::{Thumbnail, thumbnail};
use super::cues::VideoMeasurements;
use super::encode::{VideoSettings, VideoWriter};
use super::error::{DemoError, io_error};
use super::face_swap::FaceSwap;
use super::head::Portrait;
use super::paint::Canvas;
use super::person::{Person, Skin};
use super::random_streams::{RandomStream, random};
use super::scene::Scene;
use super::video_list::DemoVideo;

/// A video that was written.
pub(super) struct Rendered {
    pub measured: VideoMeasurements,
    /// Thumbnails for the preview; empty for videos that are not in it.
    pub thumbnails: Vec<Thumbnail>,
}

/// Renders one video below `folder`, and keeps `thumbnails` of its frames; ends early when `stop` is set.
pub(super) fn render(
    folder: &Path,
    video: &DemoVideo,
    index: usize,
    seed: u64,
    thumbnails: usize,
    stop: &AtomicBool,
) -> Result<Rendered, DemoError> {
    // A fake has the same scene as its real video.
    let scene = Scene::draw(&mut random(seed, RandomStream::Scene, video.target << 16 | video.number));
    let (person, skin) = person(seed, video.target);
    let mut swap_random = random(seed, RandomStream::Swap, video.target << 16 | video.number);
    let swap = video.source.map(|source| {
        let (source, source_skin) = self::person(seed, source);
        FaceSwap::draw(&mut swap_random, &person, &source, source_skin, video.brighter)
    });

    let path = folder.join(&video.path);
    let (width, height, fps) = (scene.width, scene.height, scene.fps);
    let settings = VideoSettings { width, height, fps, crf: scene.crf, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(&path, &settings)?;
    let mut sensor_noise = random(seed, RandomStream::Camera, index);
    let mut canvas = Canvas::new(width as usize, height as usize);
    let (mut brightness, mut kept) = (0.0, Vec::new());
    for frame in 0..scene.frames {
        if stop.load(Ordering::Relaxed) {
            return Err(DemoError::Interrupted);
        }
        let secs = frame as f32 / fps as f32;
        let pose = scene.pose(secs);
        scene.paint_background(secs, &mut canvas);
        Portrait { person: &person, skin: &skin, clothes: &scene.clothes, pose: &pose }.paint(&mut canvas);
        if let Some(swap) = &swap {
            swap.apply(&mut canvas, &person, &pose, &mut swap_random);
        }
        scene.expose(secs, &mut canvas);
        let rgb = canvas.to_bytes(scene.noise, &mut sensor_noise);
        writer.write(&rgb)?;
        brightness += rgb.iter().map(|byte| u64::from(*byte)).sum::<u64>() as f64 / rgb.len() as f64;
        if (0..thumbnails).any(|i| frame as usize == scene.frames as usize * (2 * i + 1) / (2 * thumbnails)) {
            kept.push(thumbnail(width, height, rgb));
        }
    }
    writer.finish()?;

    let file_bytes = path.metadata().map_err(|error| io_error(&path, error))?.len();
    let measured = VideoMeasurements {
        is_fake: video.source.is_some(),
        file_bytes,
        secs: f64::from(scene.frames) / f64::from(fps),
        pixels: u64::from(width) * u64::from(height),
        brightness: brightness / f64::from(scene.frames),
    };
    Ok(Rendered { measured, thumbnails: kept })
}

fn person(seed: u64, identity: usize) -> (Person, Skin) {
    let mut rng = random(seed, RandomStream::Person, identity);
    let person = Person::draw(&mut rng);
    let skin = Skin::draw(&mut rng, &person);
    (person, skin)
}
