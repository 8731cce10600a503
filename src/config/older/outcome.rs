//! What became of the keys of an older file: lines for the user, and where new values came from. Knows no key.

use serde_yaml::Value;

use crate::config::dotted_keys::{get, insert};

/// What became of old keys.
#[derive(Debug, Default)]
pub(in crate::config) struct Upgrade {
    /// One line for each key.
    pub lines: Vec<String>,
    /// New keys and the old ones that their values came from.
    pub came_from: Vec<(&'static str, &'static str)>,
}

/// A value of an old key that means nothing.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct WrongValue {
    pub key: &'static str,
    pub problem: String,
}

impl Upgrade {
    /// Gives a value its new name, unless that is set already.
    pub fn rename(&mut self, root: &mut Value, old: &'static str, new: &'static str, value: Value) {
        if get(root, new).is_some() {
            self.lines.push(format!("`{old}` is ignored: `{new}`, which it is called now, is set too"));
        } else if insert(root, new, value).is_ok() {
            self.lines.push(format!("`{old}` is now called `{new}`"));
            self.came_from.push((new, old));
        }
    }

    /// Says that a key has no effect.
    pub fn leave_aside(&mut self, old: &str, why: &str) {
        self.lines.push(format!("`{old}` is left aside: {why}"));
    }
}
