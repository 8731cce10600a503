//! Imports point down: the floors of `src/lib.rs` hold, and `unsafe` stays in its room.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::path::{Path, PathBuf};

/// Rooms by floor, as in the table of `src/lib.rs`.
const FLOORS: &[(&str, u8)] = &[
    ("main", 4),
    ("cli", 4),
    ("train", 3),
    ("demo", 2),
    ("evaluate", 2),
    ("explain", 2),
    ("export", 2),
    ("report", 2),
    ("data", 1),
    ("memory", 1),
    ("model", 1),
    ("optim", 1),
    ("config", 0),
    ("drawing", 0),
    ("files", 0),
    ("metrics", 0),
    ("onnx", 0),
    ("progress", 0),
    ("torch", 0),
];

/// Rooms of the same floor that may see each other: log lines take their level, and libtorch its number format, from
/// the configuration.
const NEIGHBOURS: &[(&str, &str)] = &[("progress", "config"), ("torch", "config")];

fn floor(room: &str) -> u8 {
    FLOORS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("`{room}` has no floor")).1
}

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let room = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    files.into_iter().map(|path| (room(&path), path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// The rooms that a file names after `crate::`. Unit tests may look around: the data room's use the demo's videos.
fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn imports_point_down() {
    let mut checked = 0;
    for (room, path, text) in sources() {
        if room == "lib" {
            continue;
        }
        for import in imports(&text) {
            assert!(!import.is_empty(), "{}: import one room a line, not crate::{{..}}", path.display());
            let down = floor(import) < floor(&room);
            let neighbour = NEIGHBOURS.contains(&(room.as_str(), import));
            assert!(room == import || down || neighbour, "{}: `{room}` uses `{import}`", path.display());
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} imports were found: is the test reading the right files?");
}

#[test]
fn every_room_is_on_the_map() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (room, floor) in FLOORS.iter().filter(|(room, _)| *room != "main") {
        assert!(
            map.contains(&format!("//! | {floor} | [`{room}`]")),
            "src/lib.rs does not have `{room}` on floor {floor}"
        );
    }
}

#[test]
fn unsafe_code_stays_in_the_torch_room_and_one_file_about_ffmpeg() {
    let has_unsafe =
        |text: &str| text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("unsafe "));
    for (room, path, text) in sources() {
        let allowed = room == "torch" || path.ends_with("src/data/decode/hardware.rs");
        assert!(allowed || !has_unsafe(&text), "{}: unsafe code", path.display());
    }
    assert!(sources().iter().any(|(room, _, text)| room == "torch" && has_unsafe(text)));
}

#[test]
fn data_knows_no_tensors_but_for_the_face_detector() {
    for (room, path, text) in sources() {
        let detector = path.ends_with("data/face/centerface.rs");
        let names_tch = text.match_indices("tch::").any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric));
        assert!(room != "data" || detector || !names_tch, "{}: tch in the data room", path.display());
    }
}
