//! Paints one clip of the plan, frame by frame, and writes it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::cues::Measured;
use super::encode::{VideoSettings, VideoWriter};
use super::forge::Swap;
use super::head::Portrait;
use super::paint::Canvas;
use super::person::{Person, Skin};
use super::plan::{Clip, Purpose, random};
use super::preview::{Still, still};
use super::scene::Scene;
use super::{DemoError, io_error};

/// A clip that was written.
pub(super) struct Filmed {
    pub measured: Measured,
    /// A few frames of it, where the preview wants them.
    pub stills: Vec<Still>,
}

/// Paints and writes one clip below `folder`, with `stills` frames kept; ends early once `stop` is set.
pub(super) fn film(
    folder: &Path,
    clip: &Clip,
    index: usize,
    seed: u64,
    stills: usize,
    stop: &AtomicBool,
) -> Result<Filmed, DemoError> {
    // A forgery draws the same scene as the clip it forges.
    let scene = Scene::draw(&mut random(seed, Purpose::Scene, clip.target << 16 | clip.number));
    let (person, skin) = person(seed, clip.target);
    let mut swap_random = random(seed, Purpose::Swap, clip.target << 16 | clip.number);
    let swap = clip.source.map(|source| {
        let (source, source_skin) = self::person(seed, source);
        Swap::draw(&mut swap_random, &person, &source, source_skin, clip.brighter)
    });

    let path = folder.join(&clip.path);
    let (width, height, fps) = (scene.width, scene.height, scene.fps);
    let settings = VideoSettings { width, height, fps, crf: scene.crf, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(&path, &settings)?;
    let mut camera = random(seed, Purpose::Camera, index);
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
        let rgb = canvas.developed(scene.noise, &mut camera);
        writer.write(&rgb)?;
        brightness += rgb.iter().map(|byte| u64::from(*byte)).sum::<u64>() as f64 / rgb.len() as f64;
        if (0..stills).any(|i| frame as usize == scene.frames as usize * (2 * i + 1) / (2 * stills)) {
            kept.push(still(width, height, rgb));
        }
    }
    writer.finish()?;

    let file_bytes = path.metadata().map_err(|error| io_error(&path, error))?.len();
    let measured = Measured {
        is_fake: clip.source.is_some(),
        file_bytes,
        secs: f64::from(scene.frames) / f64::from(fps),
        pixels: u64::from(width) * u64::from(height),
        brightness: brightness / f64::from(scene.frames),
    };
    Ok(Filmed { measured, stills: kept })
}

fn person(seed: u64, identity: usize) -> (Person, Skin) {
    let mut rng = random(seed, Purpose::Person, identity);
    let person = Person::draw(&mut rng);
    let skin = Skin::draw(&mut rng, &person);
    (person, skin)
}
