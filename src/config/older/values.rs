//! Keys of the older system whose values have to be looked at: folders, the device, and what was meant by a key that was
//! not there.

use serde_yaml::Value;

use super::outcome::{Upgrade, WrongValue};
use crate::config::dotted_keys::{get, insert, remove};

/// Folders of the older system, the likelier ones first, and what they are now.
const FOLDERS: [(&str, &str); 5] = [
    ("DATA_PATH", "data.root"),
    ("data.data_dir", "data.root"),
    ("BASE_PATH", "data.root"),
    ("output.save_dir", "output.directory"),
    ("OUTPUT_PATH", "output.directory"),
];
/// Augmentations that the older system did not have, or had off where a file did not name them.
const OFF_UNLESS_NAMED: [(&str, f64); 11] = [
    ("horizontal_flip", 0.0),
    ("rotation", 0.0),
    ("brightness", 0.0),
    ("contrast", 0.0),
    ("saturation", 0.0),
    ("hue", 0.0),
    ("gaussian_blur", 0.0),
    ("jpeg", 0.0),
    ("noise", 0.0),
    ("random_erasing", 0.0),
    ("random_resized_crop", 1.0),
];

pub(super) fn translate(root: &mut Value, upgrade: &mut Upgrade) -> Result<(), WrongValue> {
    folders(root, upgrade);
    device(root, upgrade)?;
    words(root, upgrade);
    debug(root, upgrade);
    augmentation(root, upgrade);
    Ok(())
}

fn folders(root: &mut Value, upgrade: &mut Upgrade) {
    for (old, new) in FOLDERS {
        let Some(value) = remove(root, old) else { continue };
        match value.as_str().filter(|path| is_windows_path(path)) {
            Some(path) => upgrade.leave_aside(old, &format!("{path} is a path of Windows, which is not here")),
            None => upgrade.rename(root, old, new, value),
        }
    }
}

fn is_windows_path(path: &str) -> bool {
    matches!(path.as_bytes(), [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic())
}

/// The older system went on without a GPU where there was none, so that its first GPU is `auto` here.
fn device(root: &mut Value, upgrade: &mut Upgrade) -> Result<(), WrongValue> {
    if get(root, "gpu.device").is_some_and(|device| !device.is_string()) {
        return Ok(());
    }
    let (mut keys, mut is_on, mut index) = (Vec::new(), None, 0);
    if let Some(value) = remove(root, "device.use_cuda") {
        let expected = || wrong("device.use_cuda", &value, "true or false");
        is_on = Some(value.as_bool().ok_or_else(expected)?);
        keys.push("device.use_cuda");
    }
    for key in ["device.device_id", "gpu.gpu_id"] {
        if let Some(value) = remove(root, key) {
            index = value.as_u64().ok_or_else(|| wrong(key, &value, "the number of a GPU"))?;
            keys.push(key);
        }
    }
    let named = get(root, "gpu.device").and_then(Value::as_str).map(str::to_owned);
    let device = match (named.as_deref(), is_on) {
        (Some("cuda"), _) if index == 0 => "auto".to_owned(),
        (None | Some("auto"), Some(false)) => "cpu".into(),
        (None | Some("auto" | "cuda"), _) if index > 0 => format!("cuda:{index}"),
        (None, Some(true)) => "auto".into(),
        // As it is named, or as by default.
        _ => named.clone().unwrap_or_else(|| "auto".into()),
    };
    upgrade.lines.extend(keys.iter().map(|key| format!("`{key}` is now a part of `gpu.device`, which is {device}")));
    if named.as_deref() == Some("cuda") && device == "auto" {
        upgrade.lines.push("`gpu.device: cuda` means `auto`: the CPU where there is no GPU".into());
    }
    if !keys.is_empty() || named.is_some() {
        let _ = insert(root, "gpu.device", device.into());
    }
    Ok(())
}

fn wrong(key: &'static str, value: &Value, expected: &str) -> WrongValue {
    let found = serde_yaml::to_string(value).unwrap_or_default();
    WrongValue { key, problem: format!("found `{}`, expected {expected}", found.trim()) }
}

/// Values that are spelled otherwise here.
fn words(root: &mut Value, upgrade: &mut Upgrade) {
    if get(root, "model.pretrained").and_then(Value::as_bool) == Some(true) {
        let _ = insert(root, "model.pretrained", "auto".into());
        upgrade.lines.push("`model.pretrained: true` means `auto`: published weights where they are at hand".into());
    }
    if get(root, "loss.class_weights").is_some_and(Value::is_null) {
        let _ = insert(root, "loss.class_weights", "none".into());
    }
    if let Some(level) = get(root, "logging.level").and_then(Value::as_str).map(str::to_ascii_lowercase) {
        let level = if level == "warning" { "warn".to_owned() } else { level };
        let _ = insert(root, "logging.level", level.into());
    }
}

/// What is for debugging counts while debugging is on.
fn debug(root: &mut Value, upgrade: &mut Upgrade) {
    let is_off = get(root, "debug.enabled").and_then(Value::as_bool) == Some(false);
    for key in ["debug.max_batches_per_epoch", "debug.detect_anomaly"] {
        if is_off && get(root, key).is_some_and(|value| !value.is_null()) {
            remove(root, key);
            upgrade.leave_aside(key, "debug.enabled is false");
        }
    }
}

fn augmentation(root: &mut Value, upgrade: &mut Upgrade) {
    if get(root, "augmentation").is_none() {
        return;
    }
    for (name, off) in OFF_UNLESS_NAMED {
        let old = if name == "random_erasing" { "cutout" } else { name };
        let is_named = [format!("augmentation.{name}"), format!("augmentation.train.{old}")];
        if is_named.iter().all(|key| get(root, key).is_none()) {
            let _ = insert(root, &format!("augmentation.{name}"), off.into());
        }
    }
    upgrade.lines.push("`augmentation`: what it does not name is off".into());
}
