//! How a run was set up: what differs from the defaults, all of it, and what it was made with.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_yaml::Value;

use super::run::Run;
use crate::config::{self, Config};
use crate::report::Provenance;

/// A setting with its value and the default, in words.
type Difference = (String, String, String);

pub fn section(run: &Run) -> Markup {
    let yaml = serde_yaml::to_string(&run.config).unwrap_or_default();
    let differences = differences(&run.config);
    let report = run.report.as_ref().map(|report| &report.provenance);
    let provenance = report.or(run.log.start.as_ref().map(|start| &start.provenance));
    html! {
        @if differences.is_empty() { p { "Every setting is the default." } }
        @else {
            div.wide tabindex="0" { table {
                thead { tr { th scope="col" { "setting" } th.text scope="col" { "this run" } th.text scope="col" { "default" } } }
                tbody { @for (key, value, default) in &differences {
                    tr { th.name scope="row" { code { (key) } } td.text.name { (value) } td.text.soft.name { (default) } }
                } }
            } }
        }
        details { summary { "All settings" } pre tabindex="0" { (yaml) } }
        @if let Some(provenance) = provenance { h3 { "Made with" } (made_with(run, provenance)) }
    }
}

/// Settings by key, in words.
pub fn flat(config: &Config) -> BTreeMap<String, String> {
    let keys = config::flatten(config).into_iter().filter(|(_, value)| !value.is_mapping());
    keys.map(|(key, value)| (key, plain(&value))).collect()
}

fn differences(config: &Config) -> Vec<Difference> {
    let defaults = flat(&Config::default());
    let changed = flat(config).into_iter().filter_map(|(key, value)| {
        let default = defaults.get(&key).cloned().unwrap_or_default();
        (value != default).then_some((key, value, default))
    });
    changed.collect()
}

/// A value in one line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Sequence(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(", ")),
        value => serde_yaml::to_string(value).unwrap_or_default().trim_end().to_owned(),
    }
}

fn made_with(run: &Run, provenance: &Provenance) -> Markup {
    let versions = &provenance.versions;
    let commit = versions.commit.as_ref().map_or(String::new(), |commit| format!(" ({commit})"));
    let facts = [
        ("dfdetect", format!("{}{commit}", versions.dfdetect)),
        ("libtorch", versions.libtorch.clone()),
        ("libavcodec", versions.ffmpeg.clone()),
        ("device", provenance.device.clone()),
        ("list of videos", provenance.manifest_hash.clone()),
        ("called as", provenance.command_line.join(" ")),
        ("started", run.log.start.as_ref().map_or(String::new(), |start| start.time.clone())),
        ("folder", run.folder.path().display().to_string()),
    ];
    html! {
        dl.facts { @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) { dt { (name) } dd { code { (value) } } } }
    }
}
