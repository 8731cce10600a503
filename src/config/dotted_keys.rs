//! Dotted keys such as `training.batch_size`: access to YAML mappings by them, and all keys of a configuration. Knows
//! nothing of files and limits.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::schema::Config;

/// The value at the dotted `key`.
pub(super) fn get<'v>(root: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(root, |here, part| here.as_mapping()?.get(part))
}

/// Takes the value at the dotted `key` out of the mapping it is in.
pub(super) fn remove(root: &mut Value, key: &str) -> Option<Value> {
    match key.split_once('.') {
        Some((section, rest)) => remove(root.as_mapping_mut()?.get_mut(section)?, rest),
        None => root.as_mapping_mut()?.remove(key),
    }
}

/// Puts `value` at the dotted `key` and creates missing sections. The error is the part of the key that is no section.
pub(super) fn insert<'k>(root: &mut Value, key: &'k str, value: Value) -> Result<(), &'k str> {
    let mut here = root;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if here.is_null() {
            *here = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(section) = here else {
            return Err(part);
        };
        if parts.peek().is_none() {
            section.insert(part.into(), value);
            return Ok(());
        }
        here = section.entry(part.into()).or_insert(Value::Null);
    }
    Ok(())
}

/// Every key of the schema with its default, by dotted path.
pub(super) fn known_keys() -> BTreeMap<String, Value> {
    flatten(&Config::default())
}

/// Every key of a configuration with its value, by dotted path; sections are among them.
#[must_use]
pub fn flatten(config: &Config) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, keys: &mut BTreeMap<String, Value>) {
        if let Value::Mapping(section) = value {
            for (name, value) in section {
                let name = name.as_str().unwrap_or_default();
                let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
                walk(&path, value, keys);
                keys.insert(path, value.clone());
            }
        }
    }
    let mut keys = BTreeMap::new();
    if let Ok(root) = serde_yaml::to_value(config) {
        walk("", &root, &mut keys);
    }
    keys
}

/// Settings by dotted path in which configurations differ, with the value of each configuration. `output.directory` is
/// left out: it says nothing about the run.
#[must_use]
pub fn differences(configs: &[&Config]) -> BTreeMap<String, Vec<Value>> {
    let mut values: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (key, value) in configs.iter().flat_map(|config| flatten(config)) {
        values.entry(key).or_default().push(value);
    }
    let differ = |key: &str, values: &[Value]| {
        !values[0].is_mapping() && key != "output.directory" && values.windows(2).any(|two| two[0] != two[1])
    };
    values.retain(|key, values| differ(key, values));
    values
}
