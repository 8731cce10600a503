//! The section on settings: differences from the defaults, all settings, and provenance. Checks no setting; that is
//! `config`.

use maud::{Markup, html};
use serde_yaml::Value;

use super::run::Run;
use crate::config::{self, Config};
use crate::report::provenance::Provenance;

pub fn section(run: &Run) -> Markup {
    let yaml = serde_yaml::to_string(&run.config).unwrap_or_default();
    let differences = config::differences(&[&run.config, &Config::default()]);
    let report = run.report.as_ref().map(|report| &report.provenance);
    let provenance = report.or(run.log.start.as_ref().map(|start| &start.provenance));
    html! {
        @if differences.is_empty() { p { "Every setting is the default." } }
        @else {
            div.wide tabindex="0" { table {
                thead { tr { th scope="col" { "setting" } th.text scope="col" { "this run" } th.text scope="col" { "default" } } }
                tbody { @for (key, values) in &differences {
                    tr { th.name scope="row" { code { (key) } } td.text.name { (one_line(&values[0])) } td.text.soft.name { (one_line(&values[1])) } }
                } }
            } }
        }
        details { summary { "All settings" } pre tabindex="0" { (yaml) } }
        @if let Some(provenance) = provenance { h3 { "Made with" } (made_with(run, provenance)) }
    }
}

/// A value on one line.
pub fn one_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Sequence(values) => format!("[{}]", values.iter().map(one_line).collect::<Vec<_>>().join(", ")),
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
        ("first weights", provenance.first_weights.clone().unwrap_or_default()),
        ("list of videos", provenance.manifest_hash.clone()),
        ("called as", provenance.command_line.join(" ")),
        ("started", run.log.start.as_ref().map_or(String::new(), |start| start.time.clone())),
        ("folder", run.folder.path().display().to_string()),
    ];
    html! {
        dl.facts { @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) { dt { (name) } dd { code { (value) } } } }
    }
}
