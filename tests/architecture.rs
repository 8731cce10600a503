//! The house stays as `src/lib.rs` draws it: imports point down, no two files import each other, rooms and files stay
//! small, and `unsafe` and tensors stay in their rooms.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod architecture_support;

use architecture_support::{Module, Source, sources};

/// Rooms by floor, as in the table of `src/lib.rs`.
const FLOORS: &[(&str, u8)] = &[
    ("cli", 6),
    ("run", 5),
    ("train", 4),
    ("demo", 3),
    ("evaluate", 3),
    ("explain", 3),
    ("export", 3),
    ("report", 3),
    ("loader", 2),
    ("clip", 2),
    ("face", 2),
    ("video", 2),
    ("dataset", 2),
    ("memory", 1),
    ("model", 1),
    ("optim", 1),
    ("backbone", 0),
    ("config", 0),
    ("drawing", 0),
    ("files", 0),
    ("metrics", 0),
    ("onnx", 0),
    ("parallel", 0),
    ("progress", 0),
    ("safetensors_header", 0),
    ("torch", 0),
];

/// The way of a clip: each of these rooms knows those before it.
const CLIP_PATH: &[&str] = &["dataset", "video", "face", "clip", "loader"];

/// Rooms of the same floor that may see each other: log lines take their level, and libtorch its number format, from
/// the configuration, which knows the names of backbones and of their parts; metrics draw samples on all cores.
const NEIGHBOURS: &[(&str, &str)] =
    &[("config", "backbone"), ("metrics", "parallel"), ("progress", "config"), ("torch", "config")];

/// Lines of a room without unit tests, and of a file with those in it, at most.
const ROOM_LINES: usize = 5_000;
const FILE_LINES: usize = 500;

fn floor(room: &str) -> u8 {
    FLOORS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("`{room}` has no floor")).1
}

fn may_use(room: &str, other: &str) -> bool {
    let place = |room| CLIP_PATH.iter().position(|name| *name == room);
    let before = place(other).zip(place(room)).is_some_and(|(other, room)| other < room);
    room == other || floor(other) < floor(room) || before || NEIGHBOURS.contains(&(room, other))
}

#[test]
fn imports_point_down() {
    let sources = sources();
    let mut checked = 0;
    for module in sources.files.keys().filter(|module| !module.is_empty()) {
        for import in sources.imports(module).iter().filter(|import| !import.is_empty()) {
            let path = sources.files[module].path.display();
            assert!(may_use(&module[0], &import[0]), "{path}: `{}` uses `{}`", module[0], import.join("::"));
            checked += 1;
        }
    }
    assert!(checked > 500, "only {checked} imports were found: is the test reading the right files?");
}

#[test]
fn no_file_leads_back_to_itself() {
    let circles = sources().circles();
    let names = circles.iter().map(|circle| circle.iter().map(|module| module.join("/")).collect::<Vec<_>>());
    assert!(circles.is_empty(), "these files import each other: {:#?}", names.collect::<Vec<_>>());
}

#[test]
fn rooms_and_files_stay_small() {
    let lines = |source: &Source| source.whole.lines().count();
    let sources = sources().files;
    for (name, _) in FLOORS {
        let room = sources.iter().filter(|(module, _)| module.first().is_some_and(|room| room == name));
        let total: usize = room.map(|(_, source)| source.code.lines().count()).sum();
        assert!((1..=ROOM_LINES).contains(&total), "`{name}` has {total} lines");
    }
    for source in sources.values() {
        let total = lines(source);
        assert!(total <= FILE_LINES, "{} has {total} lines", source.path.display());
    }
}

#[test]
fn every_room_is_on_the_map() {
    let map = &sources().files[&Module::new()].whole;
    for (room, floor) in FLOORS {
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
    let sources = sources().files;
    for (module, source) in &sources {
        let allowed = module.first().is_some_and(|room| room == "torch") || source.path.ends_with("video/hardware.rs");
        assert!(allowed || !has_unsafe(&source.whole), "{}: unsafe code", source.path.display());
    }
    assert!(sources.values().any(|source| has_unsafe(&source.whole)));
}

#[test]
fn the_way_of_a_clip_knows_no_tensors_but_for_the_face_detector() {
    for (module, source) in sources().files {
        let room = module.first().map_or("", String::as_str);
        let detector = source.path.ends_with("face/centerface.rs");
        let names_tch =
            source.whole.match_indices("tch::").any(|(at, _)| !source.whole[..at].ends_with(char::is_alphanumeric));
        assert!(!CLIP_PATH.contains(&room) || detector || !names_tch, "{}: tensors", source.path.display());
    }
}
