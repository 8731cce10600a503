//! The folder of a run before training: its configuration, and its list of videos without those that cannot be used.
//! Logs, checkpoints and reports are written elsewhere; names of files are in `report/folder.rs`.

use std::fs;
use std::sync::atomic::AtomicBool;

use super::clips::{Clips, fill_cache};
use super::error::{RunError, cannot_write};
use super::prepare::PreparedRun;
use crate::clip::unusable;
use crate::dataset::{DataError, Label, Manifest, Split, mend_splits};
use crate::files;
use crate::report::RunFolder;

/// Checks all videos, and creates the folder of a new run, or updates that of a resumed run.
pub(super) fn open_folder(run: &mut PreparedRun, clips: &Clips, stop: &AtomicBool) -> Result<RunFolder, RunError> {
    let Some(resumed) = &run.resumed else { return make_folder(run, clips, stop) };
    check_still_there(&run.manifest, &find_unusable(run, clips, stop)?)?;
    write_config(run, &resumed.folder)?;
    Ok(resumed.folder.clone())
}

/// The folder of a new run, with the files that exist before training. If this fails, the folder is removed.
fn make_folder(run: &mut PreparedRun, clips: &Clips, stop: &AtomicBool) -> Result<RunFolder, RunError> {
    let output = &run.config.output.directory;
    let folder = RunFolder::create(output, &run.config.experiment.name).map_err(RunError::io(format!(
        "{}: the run's folder cannot be made\n  hint: allow writing there, or choose another --output",
        output.display()
    )))?;
    fill_folder(run, &folder, clips, stop).inspect_err(|_| {
        let _ = fs::remove_dir_all(folder.path());
    })?;
    Ok(folder)
}

fn fill_folder(run: &mut PreparedRun, folder: &RunFolder, clips: &Clips, stop: &AtomicBool) -> Result<(), RunError> {
    let unusable = find_unusable(run, clips, stop)?;
    run.manifest.mark_unusable(unusable);
    mend_splits(&mut run.manifest, &run.config.data, run.config.augmentation.self_blend, run.config.seed);
    check_splits(&run.manifest)?;
    write_config(run, folder)?;
    Ok(run.manifest.save(&folder.manifest())?)
}

fn write_config(run: &PreparedRun, folder: &RunFolder) -> Result<(), RunError> {
    let yaml =
        serde_yaml::to_string(&run.config).map_err(RunError::format("the configuration cannot be written as YAML"))?;
    files::write_whole(&folder.config(), yaml.as_bytes()).map_err(cannot_write(&folder.config()))
}

/// Caches clips while there is room, and probes the other videos; test videos come last. Returns the unusable ones.
fn find_unusable(run: &PreparedRun, clips: &Clips, stop: &AtomicBool) -> Result<Vec<(usize, String)>, RunError> {
    let splits = [Split::Train, Split::Val, Split::Test, Split::CrossTest];
    let videos = splits.map(|split| run.manifest.indices(split)).concat();
    let threads = run.config.dataloader.num_workers.max(1);
    Ok(unusable(&fill_cache(clips, &run.manifest, &videos, threads, stop)?))
}

/// A resumed run keeps its list of videos, and so its batches; but each class must still have usable videos.
fn check_still_there(manifest: &Manifest, unusable: &[(usize, String)]) -> Result<(), DataError> {
    let mut left = manifest.clone();
    left.mark_unusable(unusable.iter().cloned());
    check_splits(&left)
}

/// Unreadable videos may have taken the last one of a class.
fn check_splits(manifest: &Manifest) -> Result<(), DataError> {
    for split in [Split::Train, Split::Val] {
        for label in [Label::Real, Label::Fake] {
            if manifest.count(split, label) == 0 {
                return Err(class_missing(manifest, split, label));
            }
        }
    }
    Ok(())
}

fn class_missing(manifest: &Manifest, split: Split, label: Label) -> DataError {
    let (kind, side) = (format!("{label:?}").to_lowercase(), format!("{split:?}").to_lowercase());
    let skipped = manifest.skipped.len();
    let example = manifest
        .skipped
        .first()
        .map_or("-".into(), |video| format!("{}: {}", manifest.name(video.set, &video.path), video.reason));
    let problem = format!(
        "no {kind} video of the {side} split can be used ({skipped} videos were skipped, for instance {example})"
    );
    let hint = "look at why they were skipped, or add videos".into();
    DataError::Unusable { root: manifest.root().to_owned(), problem, hint }
}
