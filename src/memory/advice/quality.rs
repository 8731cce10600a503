//! Changes that cost quality, in the order in which advice makes them. How many of them are needed is decided in
//! `search.rs`.

use crate::config::Config;

/// A change of a configuration.
pub(super) type ConfigChange = Box<dyn Fn(&mut Config)>;

/// Changes that cost quality and save memory, the least costly first; each is made on top of those before it.
pub(super) fn quality_reductions(config: &Config) -> Vec<ConfigChange> {
    // Of a single cell, batch norm needs two.
    let least = if config.model.backbone.description().has_one_cell(config.data.frame_size) { 2 } else { 1 };
    let frames = |allowed: &'static [usize]| {
        let fewer = allowed.iter().filter(|frames| (least..config.data.max_frames).contains(frames));
        let change = |&frames: &usize| -> ConfigChange {
            Box::new(move |config| {
                config.data.max_frames = frames;
                config.data.frames_per_epoch = config.data.frames_per_epoch.map(|drawn| drawn.min(frames));
            })
        };
        fewer.map(change).collect::<Vec<_>>()
    };
    let [height, width] = config.data.frame_size;
    let short = height.min(width);
    let sizes = [512, 384, 320, 256, 224, 192, 160, 128, 112].into_iter().filter(|side| *side < short);
    // Multiples of 16 keep the deep layers' sizes whole, those of a patch waste no pixel; rounding down makes every change a
    // smaller picture.
    let unit = config.model.backbone.description().patch_side().unwrap_or(16);
    let sizes = sizes.map(|side| -> ConfigChange {
        let scaled =
            [height, width].map(|length| (length * side / short / unit * unit).max(32_usize.next_multiple_of(unit)));
        Box::new(move |config| config.data.frame_size = scaled)
    });
    let backbones = config.model.backbone.smaller().iter();
    let backbones =
        backbones.map(|&backbone| -> ConfigChange { Box::new(move |config| config.model.backbone = backbone) });
    let mut reductions = frames(&[512, 256, 128, 96, 64, 48, 32, 24, 16, 12, 8]);
    reductions.extend(sizes);
    reductions.extend(backbones);
    // These are too few frames to see how a face moves, but they let training run.
    reductions.extend(frames(&[4, 2, 1]));
    reductions
}
