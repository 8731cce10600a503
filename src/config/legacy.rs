//! Keys of older configuration files: renamed or ignored while a file is read, each with one warning line. Knows the
//! names of keys only; their meaning is in `schema.rs`.

use serde_yaml::Value;

use super::dotted_keys::{get, insert, remove};

/// Old dotted path, and the key that means the same now.
const RENAMED: &[(&str, &str)] = &[
    ("gpu.use_mixed_precision", "gpu.mixed_precision"),
    ("training.mixed_precision", "gpu.mixed_precision"),
    ("training.gradient_accumulation_steps", "training.gradient_accumulation"),
    ("optimization.gradient_accumulation", "training.gradient_accumulation"),
    ("training.gradient_clipping", "training.gradient_clip_norm"),
    ("data.target_size", "data.frame_size"),
    ("data.data_dir", "data.root"),
    ("cache.enable_frame_cache", "cache.enable_cache"),
];

/// Sections that described something and set nothing, and keys whose meaning follows from others.
const IGNORED: &[(&str, &str)] = &[
    ("hardware", "it only described the machine"),
    ("performance", "it only described expectations"),
    ("troubleshooting", "it only held advice"),
    ("debug", "it had no effect on training"),
    ("data.train_split", "training gets what val_split and test_split leave"),
    ("dataloader.persistent_workers", "decoding threads always live as long as the run"),
];

/// Rewrites old keys in place; returns one warning line for each.
pub(super) fn upgrade(root: &mut Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for &(old, new) in RENAMED {
        let Some(value) = remove(root, old) else {
            continue;
        };
        if get(root, new).is_some() {
            warnings.push(format!("`{old}` is an old name of `{new}`, which is set too: the old one is ignored"));
        } else if insert(root, new, value).is_ok() {
            warnings.push(format!("`{old}` is now called `{new}`"));
        }
    }
    for &(key, why) in IGNORED {
        if remove(root, key).is_some() {
            warnings.push(format!("`{key}` is ignored: {why}"));
        }
    }
    // A section that held nothing but moved keys is empty now and may be unknown.
    if let Value::Mapping(sections) = root {
        sections.retain(|name, section| {
            name.as_str() != Some("optimization") || section.as_mapping().is_none_or(|left| !left.is_empty())
        });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use crate::config::{Precision, Roots, parse};

    #[test]
    fn old_names_move_and_say_so() {
        let old = "optimization:\n  gradient_accumulation: 4\ngpu:\n  use_mixed_precision: false\ndebug: { x: 1 }\n";
        let loaded = parse("old.yaml", old, &[]).unwrap();
        assert_eq!(loaded.config.training.gradient_accumulation, 4);
        assert_eq!(loaded.config.gpu.mixed_precision, Precision::Off);
        assert_eq!(loaded.warnings.len(), 3, "{:?}", loaded.warnings);
    }

    #[test]
    fn the_new_name_wins_over_the_old() {
        let loaded = parse("old.yaml", "data:\n  root: a\n  data_dir: b\n", &[]).unwrap();
        assert_eq!(loaded.config.data.root, Roots::one("a"));
        assert!(loaded.warnings[0].contains("ignored"));
    }
}
