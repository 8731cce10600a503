//! From YAML text to a validated [`Config`], with errors that say file, line, key, what was found and what is allowed.
//! Keys and defaults are in `schema.rs`, limits in `validate.rs`.
//!
//! Precedence: `--set key=value`, then the file, then the defaults. Keys of the older system are renamed or left
//! aside, with a warning.

use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::dotted_keys::{insert, known_keys};
use super::error::ConfigError;
use super::schema::Config;
use super::{older, validate};

const HINT_KEYS: &str = "`dfdetect config show` prints every key with its default";
const HINT_VALUES: &str = "`dfdetect config show` prints the defaults, `dfdetect config schema` what is allowed";

/// A configuration, and warnings about deprecated keys in its file.
#[derive(Debug)]
pub struct Loaded {
    /// The validated configuration.
    pub config: Config,
    /// One line each, for the log: renamed and ignored keys of older files.
    pub warnings: Vec<String>,
}

/// Reads `file` and applies `overrides` (each `a.b=value`).
///
/// # Errors
/// The file cannot be read, is not YAML, has an unknown key or a value outside its limits.
pub fn load(file: &Path, overrides: &[String]) -> Result<Loaded, ConfigError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
        place: name.clone(),
        key: String::new(),
        problem: format!("cannot read the configuration file: {error}"),
        hint: Some("ready-made ones are in configs/, for instance configs/quick_demo.yaml".into()),
    })?;
    parse(&name, &text, overrides)
}

/// Like [`load`], from `text`; `name` stands for the file in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Loaded, ConfigError> {
    let mut source = Source { name, text, overrides, came_from: Vec::new() };
    let mut root: Value = serde_yaml::from_str(text).map_err(|error| ConfigError {
        place: match error.location() {
            Some(at) => format!("{name}:{}:{}", at.line(), at.column()),
            None => name.to_owned(),
        },
        key: String::new(),
        problem: format!("this is not valid YAML: {error}"),
        hint: Some("keys are indented with spaces and end with a colon".into()),
    })?;
    match &mut root {
        Value::Null => root = Value::Mapping(Mapping::new()),
        // A section with nothing below it, `training:` alone, means its defaults.
        Value::Mapping(sections) => sections.retain(|_, section| !section.is_null()),
        _ => {}
    }
    let older::Upgrade { lines: warnings, came_from } =
        older::upgrade(&mut root).map_err(|wrong| source.error(wrong.key, wrong.problem, Some(HINT_VALUES.into())))?;
    source.came_from = came_from;
    for text in overrides {
        apply_override(&mut root, text)?;
    }
    let has_frame_size = root.get("data").is_some_and(|data| data.get("frame_size").is_some());
    let mut config = deserialize(root, &source)?;
    if !has_frame_size {
        config.data.frame_size = [config.model.backbone.description().input_side; 2];
    }
    validate::check(&config).map_err(|invalid| source.error(&invalid.key, invalid.problem, Some(invalid.hint)))?;
    Ok(Loaded { config, warnings })
}

/// Reads the configuration in a checkpoint. What versions before this one did not know is as it was then.
///
/// # Errors
/// As [`load`].
pub fn parse_stored(name: &str, text: &str) -> Result<Config, ConfigError> {
    let root: Value = serde_yaml::from_str(text).unwrap_or_default();
    let faces = root.get("data").and_then(|data| data.get("faces"));
    let as_before = faces.filter(|faces| faces.get("track").is_none()).map(|_| "data.faces.track=fixed".to_owned());
    Ok(parse(name, text, as_before.as_slice())?.config)
}

/// Applies `overrides` to a configuration that was loaded before (a resumed run's).
///
/// # Errors
/// An override names an unknown key or a value outside its limits.
pub fn resolve(config: &Config, overrides: &[String]) -> Result<Config, ConfigError> {
    let text = serde_yaml::to_string(config).map_err(|error| ConfigError {
        place: "configuration".into(),
        key: String::new(),
        problem: format!("cannot be written as YAML: {error}"),
        hint: None,
    })?;
    parse("the run's configuration", &text, overrides).map(|loaded| loaded.config)
}

fn apply_override(root: &mut Value, text: &str) -> Result<(), ConfigError> {
    let wrong = |problem: String| ConfigError {
        place: format!("--set {text}"),
        key: String::new(),
        problem,
        hint: Some("write it as section.key=value, for instance training.batch_size=4".into()),
    };
    let (key, value) = text.split_once('=').ok_or_else(|| wrong("there is no `=`".into()))?;
    let value: Value = serde_yaml::from_str(value).map_err(|error| wrong(format!("the value is not YAML: {error}")))?;
    insert(root, key.trim(), value).map_err(|part| wrong(format!("`{part}` is not a section")))
}

fn deserialize(root: Value, source: &Source) -> Result<Config, ConfigError> {
    serde_path_to_error::deserialize(root).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let problem = error.inner().to_string();
        match unknown_field(&problem) {
            Some(field) => {
                let section = if path == field { "" } else { path.strip_suffix(&format!(".{field}")).unwrap_or(&path) };
                let key = if section.is_empty() { field.to_owned() } else { format!("{section}.{field}") };
                let hint = match nearest_key(&key) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => HINT_KEYS.to_owned(),
                };
                let known = known_keys_of(section).join(", ");
                source.error(&key, format!("there is no such key; known here: {known}"), Some(hint))
            }
            None => source.error(&path, problem, Some(HINT_VALUES.into())),
        }
    })
}

/// The name in serde's message about an unknown field.
fn unknown_field(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `").or_else(|| message.split("unknown field `").nth(1))?.split('`').next()
}

fn known_keys_of(section: &str) -> Vec<String> {
    let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
    known_keys()
        .into_keys()
        .filter_map(|key| key.strip_prefix(&prefix).filter(|rest| !rest.contains('.')).map(str::to_owned))
        .collect()
}

/// The known key that `key` was most likely meant to be: the same last name elsewhere, or a small typing error.
fn nearest_key(key: &str) -> Option<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = last(key);
    known_keys()
        .into_keys()
        .map(|known| {
            let whole = strsim::jaro_winkler(&known, key);
            let name = strsim::jaro_winkler(&last(&known), &wanted);
            (known, 0.3 * whole + 0.7 * name)
        })
        .filter(|(_, score)| *score > 0.85)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(known, _)| known)
}

/// Where the configuration came from: serves to find the place of a key for an error.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
    overrides: &'a [String],
    /// New keys, and the old ones of the file that their values came from.
    came_from: Vec<(&'static str, &'static str)>,
}

impl Source<'_> {
    fn error(&self, key: &str, problem: String, hint: Option<String>) -> ConfigError {
        ConfigError { place: self.place(key), key: key.to_owned(), problem, hint }
    }

    /// The override that set `key`, else the line of the file, else just the file.
    fn place(&self, key: &str) -> String {
        let within = |key: &str, section: &str| {
            key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let sets_key = |text: &&String| {
            let set = text.split('=').next().unwrap_or_default().trim();
            // An element of a list that was set, or an unknown section above the key that was.
            within(key, set) || within(set, key)
        };
        if let Some(text) = self.overrides.iter().rev().find(sets_key) {
            return format!("--set {text}");
        }
        let old = self.came_from.iter().find(|(new, _)| within(key, new)).map(|(_, old)| *old);
        match line_of(self.text, old.unwrap_or(key)) {
            Some(line) => format!("{}:{line}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// The 1-based line of a dotted key in block-style YAML, or of its nearest section that has one.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut found = None;
    let mut lines = text.lines().enumerate();
    let mut indent = None;
    for part in key.split(['.', '[']) {
        let hit = lines.find(|(_, line)| {
            let bare = line.trim_start();
            let deeper = indent.is_none_or(|outer| line.len() - bare.len() > outer);
            let top = indent.is_some() || line.len() == bare.len();
            deeper && top && bare.strip_prefix(part).is_some_and(|rest| rest.trim_start().starts_with(':'))
        });
        let Some((index, line)) = hit else { break };
        indent = Some(line.len() - line.trim_start().len());
        found = Some(index + 1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, overrides: &[&str]) -> ConfigError {
        let overrides: Vec<_> = overrides.iter().map(|&o| o.to_owned()).collect();
        parse("f.yaml", text, &overrides).expect_err("must be refused")
    }

    #[test]
    fn empty_text_is_the_defaults() {
        assert_eq!(parse("f.yaml", "", &[]).unwrap().config, Config::default());
        assert_eq!(parse("f.yaml", "training:\n", &[]).unwrap().config, Config::default());
        assert!(error("- 1\n", &[]).problem.contains("sequence"));
    }

    #[test]
    fn a_stored_configuration_from_before_faces_were_followed_goes_on_with_one_square() {
        let stored = serde_yaml::to_string(&Config::default()).unwrap();
        assert_eq!(parse_stored("stored", &stored).unwrap(), Config::default());
        let before = stored.replace("    track: follow\n", "").replace("    align: false\n", "");
        assert!(before.len() < stored.len());
        let faces = crate::config::FaceConfig { track: crate::config::FaceTrack::Fixed, ..Default::default() };
        assert_eq!(parse_stored("stored", &before).unwrap().data.faces, faces);
        assert!(parse_stored("stored", "seed: [").is_err());
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_key() {
        let e = error("seed: 1\ntraining:\n  epochs: 3\n  batchsize: 4\n", &[]);
        assert_eq!((e.place.as_str(), e.key.as_str()), ("f.yaml:4", "training.batchsize"));
        assert_eq!(e.hint.as_deref(), Some("did you mean `training.batch_size`?"));
        assert!(e.problem.contains("learning_rate"), "{e}");
    }

    #[test]
    fn a_key_in_the_wrong_section_is_pointed_home() {
        assert_eq!(error("model:\n  batch_size: 4\n", &[]).hint.unwrap(), "did you mean `training.batch_size`?");
    }

    #[test]
    fn a_value_of_the_wrong_type_names_key_line_and_what_was_found() {
        let e = error("\ngpu:\n  device: quda\n", &[]);
        assert_eq!((e.place.as_str(), e.key.as_str()), ("f.yaml:3", "gpu.device"));
        assert!(e.problem.contains("quda") && e.problem.contains("cuda:N"), "{e}");
        let e = error("training: { epochs: many }\n", &[]);
        assert_eq!((e.place.as_str(), e.key.as_str()), ("f.yaml:1", "training.epochs"));
    }

    #[test]
    fn overrides_win_and_are_named_in_errors() {
        let loaded = parse("f.yaml", "seed: 1\n", &["seed=7".into(), "cache.memory_bytes=1GiB".into()]).unwrap();
        assert_eq!(loaded.config.seed, 7);
        assert_eq!(loaded.config.cache.memory_bytes, crate::config::AutoBytes::Bytes(1 << 30));
        assert_eq!(error("", &["training.epochs=-1"]).place, "--set training.epochs=-1");
        assert!(error("", &["seed"]).problem.contains("no `=`"));
        assert_eq!(error("seed: 3\n", &["seed.deep=1"]).problem, "`deep` is not a section");
    }

    #[test]
    fn frames_are_as_large_as_the_backbone_expects_unless_their_size_is_given() {
        let frame_size = |sets: &[&str]| {
            let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
            parse("f.yaml", "", &sets).unwrap().config.data.frame_size
        };
        assert_eq!(frame_size(&["model.backbone=efficientnet_lite2"]), [260, 260]);
        assert_eq!(frame_size(&["model.backbone=efficientnet_lite2", "data.frame_size=[224, 224]"]), [224, 224]);
        assert_eq!(frame_size(&["data.max_frames=4"]), [224, 224]);
    }

    #[test]
    fn broken_yaml_says_where() {
        assert!(error("a: [1,\n", &[]).place.starts_with("f.yaml:"));
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let mut config = Config::default();
        config.gpu.device = crate::config::DeviceChoice::Cuda(1);
        config.cache.enable_cache = crate::config::Switch::Off;
        assert_eq!(resolve(&config, &[]).unwrap(), config);
    }
}
