//! Configuration files of the older system whose memory guide this program follows: their keys are renamed, translated
//! or left aside while a file is read, each with one line. Nothing here reads a file or knows what a key does.
//!
//! A few old names are taken everywhere. All others are taken only in a file of that system, which is told by keys and
//! sections that only it has; elsewhere unknown keys stay errors. `keys.rs` is the table, `values.rs` what takes more
//! than a new name, `outcome.rs` what is said about it.

mod keys;
mod outcome;
mod values;

use serde_yaml::{Mapping, Value};

use super::dotted_keys::{get, remove};
use keys::{KEYS, MARKS, Now, OWN_INNER_SECTIONS, OWN_SECTIONS, RENAMED};
pub(super) use outcome::{Upgrade, WrongValue};

/// Rewrites old keys in place.
pub(super) fn upgrade(root: &mut Value) -> Result<Upgrade, WrongValue> {
    let is_section = |key: &&str| get(root, key).is_some_and(Value::is_mapping);
    let is_older = MARKS.iter().any(|mark| get(root, mark).is_some())
        || OWN_SECTIONS.iter().chain(&OWN_INNER_SECTIONS).any(is_section);
    let mut upgrade = Upgrade::default();
    for (old, new) in RENAMED {
        if let Some(value) = remove(root, old) {
            upgrade.rename(root, old, new, value);
        }
    }
    if is_older {
        values::translate(root, &mut upgrade)?;
        for (old, now) in KEYS {
            let Some(value) = remove(root, old) else { continue };
            match now {
                Now::Key(new) => upgrade.rename(root, old, new, value),
                Now::Nothing(why) => upgrade.leave_aside(old, why),
            }
        }
        leave_rest_aside(root, &mut upgrade);
    }
    Ok(upgrade)
}

/// Names what else is in sections that only the older system has, and removes them.
fn leave_rest_aside(root: &mut Value, upgrade: &mut Upgrade) {
    for section in OWN_SECTIONS {
        // Anything but a section is an unknown key.
        if !get(root, section).is_some_and(Value::is_mapping) {
            continue;
        }
        let rest = remove(root, section);
        for name in rest.iter().filter_map(Value::as_mapping).flat_map(Mapping::keys).filter_map(Value::as_str) {
            upgrade.leave_aside(&format!("{section}.{name}"), "nothing here goes by it");
        }
    }
    for section in OWN_INNER_SECTIONS {
        // What is left in it is an unknown key.
        if get(root, section).is_some_and(|rest| rest.is_null() || rest.as_mapping().is_some_and(Mapping::is_empty)) {
            remove(root, section);
        }
    }
}

#[cfg(test)]
mod tests;
