//! The section on videos: numbers by split, and skipped videos. Opens no video.

use maud::{Markup, html};

use super::run::Run;
use crate::config::OnMiss;
use crate::dataset::{Label, Manifest, SkippedVideo, Split};
use crate::report::number_format::plural;

/// Most videos in a table.
const MAX_ROWS: usize = 500;

pub fn section(run: &Run) -> Markup {
    let Some(manifest) = &run.manifest else {
        return html! { p.empty { "There is no manifest.json in the run's folder." } };
    };
    let unscored: Vec<_> = run.evaluation.iter().flat_map(|all| &all.sets).flat_map(|set| &set.unreadable).collect();
    let skipped: Vec<_> = manifest.skipped.iter().collect();
    let faces = run.report.as_ref().and_then(|report| report.data.faces.as_ref());
    let cut_short = faces.filter(|faces| faces.videos_cut_short > 0);
    let faces = faces.filter(|faces| faces.missed > 0);
    html! {
        (sides(manifest))
        @if skipped.is_empty() { p { "No video was skipped." } }
        @else { h3 { "Skipped" } (left_out(manifest, &skipped)) }
        @if !unscored.is_empty() { h3 { "Not scored" } (left_out(manifest, &unscored)) }
        @if let Some(faces) = faces {
            h3 { "Without a face" }
            p { "No face was found in " (plural(faces.missed, "video")) ": "
                @for (place, (method, videos)) in faces.missed_by_method.iter().enumerate() {
                    @if place > 0 { ", " } (method) " " (videos)
                }
                (if run.config.data.faces.on_miss == OnMiss::Skip { ". They were left out." } else { ". Their whole frames were used." }) }
            details { summary { "Which" } ul { @for video in faces.missed_videos.iter().take(MAX_ROWS) { li { code { (video) } } } } }
        }
        @if let Some(faces) = cut_short {
            p { "Frames without the face were left out of " (plural(faces.videos_cut_short, "video")) ": "
                @for (place, (method, frames)) in faces.frames_left_out.iter().enumerate() {
                    @if place > 0 { ", " } (method) " " (frames)
                } "." }
        }
    }
}

fn sides(manifest: &Manifest) -> Markup {
    let all = [
        (Split::Train, "training"),
        (Split::Val, "validation"),
        (Split::Test, "test"),
        (Split::CrossTest, "tests on other data"),
    ];
    html! {
        div.wide { table {
            thead { tr { th scope="col" { "side" } th scope="col" { "real" } th scope="col" { "fake" } } }
            tbody { @for (split, name) in all {
                @if !manifest.members(split).is_empty() {
                    tr {
                        th scope="row" { (name) }
                        td { (manifest.count(split, Label::Real)) }
                        td { (manifest.count(split, Label::Fake)) }
                    }
                }
            } }
        } }
        p.soft { "From " @for (place, set) in manifest.sets.iter().enumerate() { @if place > 0 { ", " } code { (set.root.display()) } } ". Usable videos; split by the people in them." }
    }
}

fn left_out(manifest: &Manifest, videos: &[&SkippedVideo]) -> Markup {
    let name = |video: &SkippedVideo| match manifest.sets.get(video.set) {
        Some(_) => manifest.name(video.set, &video.path),
        None => video.path.display().to_string(),
    };
    html! {
        div.wide.tall tabindex="0" { table {
            thead { tr { th scope="col" { "video" } th.text scope="col" { "why" } } }
            tbody { @for video in videos.iter().take(MAX_ROWS) {
                tr { th.name scope="row" { code { (name(video)) } } td.text.name { (video.reason) } }
            } }
        } }
        @if videos.len() > MAX_ROWS { p.soft { "The first " (MAX_ROWS) " of " (videos.len()) "; all are in manifest.json." } }
    }
}
