//! A configuration as a YAML file for people: what differs from the defaults, with a comment on each suggested
//! change. Makes no suggestions; `memory` does.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::config::Config;
use crate::files;
use crate::memory::Suggestion;

/// Writes the text of a configuration file, whole or not at all.
pub(super) fn write_file(out: &Path, text: &str) -> Result<()> {
    files::write_whole(out, text.as_bytes())
        .with_context(|| format!("{}: cannot be written\n  hint: choose another place", out.display()))
}

/// `config` as YAML that `train` accepts, below the lines of `header`. `config` has the suggested `changes` already;
/// each has a comment with the earlier value and the reason.
pub(super) fn commented_yaml(config: &Config, changes: &[Suggestion], header: &[String]) -> serde_json::Result<String> {
    let mut text: String = header.iter().map(|line| format!("{}\n", format!("# {line}").trim_end())).collect();
    let (values, mut defaults) = (serde_json::to_value(config)?, serde_json::to_value(Config::default())?);
    // Where it is not given, it is the backbone's.
    let side = config.model.backbone.description().input_side;
    defaults["data"]["frame_size"] = serde_json::json!([side, side]);
    let mut body = String::new();
    write_section(&mut body, "", 0, &values, &defaults, changes);
    if body.is_empty() {
        body = "# All values are the defaults.\n".into();
    }
    text.push('\n');
    Ok(text + &body)
}

fn write_section(
    text: &mut String,
    path: &str,
    depth: usize,
    values: &Value,
    defaults: &Value,
    changes: &[Suggestion],
) {
    let Value::Object(section) = values else { return };
    let indent = "  ".repeat(depth);
    for (name, value) in section {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let change = changes.iter().find(|change| change.key == key);
        let default = &defaults[name];
        if value == default && change.is_none() {
            continue;
        }
        if value.is_object() && default.is_object() {
            let mut inner = String::new();
            write_section(&mut inner, &key, depth + 1, value, default, changes);
            if !inner.is_empty() {
                *text += &format!("{indent}{name}:\n{inner}");
            }
            continue;
        }
        if let Some(change) = change {
            *text += &format!("{indent}# was {}: {}\n", scalar(&change.current), change.reason);
        }
        *text += &format!("{indent}{name}: {}\n", scalar(value));
    }
}

/// A value on one line. JSON is YAML; a word that YAML reads as the same text needs no quotes.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(word)
            if !word.contains(['#', ':', '\n', '\'', '"', ',', '[', '{'])
                && serde_yaml::from_str::<String>(word).is_ok_and(|read| read == *word)
                && serde_yaml::from_str::<serde_yaml::Value>(word).is_ok_and(|read| read.is_string()) =>
        {
            word.clone()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn what_is_written_is_read_as_the_same_configuration() {
        let awkward = [
            "experiment.name='2024'",
            "experiment.description='a: b # c'",
            "experiment.tags=['yes', 'x, y']",
            "data.root=['/data/a b', 'null']",
            "data.frame_size=[96, 128]",
            "data.methods=[Deepfakes]",
            "training.batch_size=auto",
            "training.min_lr=1e-7",
            "cache.memory_bytes=3GiB",
            "gpu.mixed_precision=off",
            "training.limit_batches=3",
        ];
        let sets: Vec<_> = awkward.iter().map(|&set| set.to_owned()).collect();
        let config = parse("test", "", &sets).unwrap().config;
        let change = Suggestion {
            key: "gpu.mixed_precision".into(),
            current: json!("auto"),
            proposed: json!("off"),
            reason: "because".into(),
            saves_bytes: 0,
        };
        let text = commented_yaml(&config, &[change], &["made by a test".into()]).unwrap();
        assert!(text.starts_with("# made by a test\n\n"), "{text}");
        assert!(text.contains("  # was auto: because\n  mixed_precision: off\n"), "{text}");
        assert!(text.contains("frame_size: [96,128]") && !text.contains("epochs"), "{text}");
        assert_eq!(parse("written", &text, &[]).unwrap().config, config, "{text}");
    }

    /// Frames that are not given are as large as the backbone's input: the defaults' size of another backbone is said.
    #[test]
    fn the_size_of_frames_is_written_unless_it_is_the_backbones_own() {
        for (size, is_written) in [("[224,224]", true), ("[260,260]", false)] {
            let sets = ["model.backbone=efficientnet_lite2".to_owned(), format!("data.frame_size={size}")];
            let config = parse("test", "", &sets).unwrap().config;
            let text = commented_yaml(&config, &[], &[]).unwrap();
            assert_eq!(text.contains("frame_size"), is_written, "{text}");
            assert_eq!(parse("written", &text, &[]).unwrap().config, config, "{text}");
        }
    }

    #[test]
    fn the_defaults_are_a_file_too() {
        let text = commented_yaml(&Config::default(), &[], &[]).unwrap();
        assert_eq!(parse("written", &text, &[]).unwrap().config, Config::default());
    }
}
