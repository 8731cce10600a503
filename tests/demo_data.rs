//! `dfdetect demo-data` from outside: what it leaves in the folder, what it says, what it refuses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{codec, format};

fn demo_data(args: &[&str], output: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.arg("demo-data").args(args).arg("--output").arg(output);
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file below a folder with its bytes, hidden ones too.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files =
        walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    files.map(|file| (file.path().strip_prefix(folder).unwrap().to_owned(), fs::read(file.path()).unwrap())).collect()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_small_set_is_whole_the_same_each_time_and_left_alone_when_it_is_there() {
    let home = tempfile::tempdir().unwrap();
    let [first, second, other] = ["first", "in/second", "other"].map(|name| home.path().join(name));
    // One that exists and is empty, one whose parent is missing.
    fs::create_dir(&first).unwrap();
    let said = json(&demo_data(&["--videos", "9", "--seed", "7", "--json"], &first));
    assert_eq!((&said["videos"], &said["real"], &said["fake"]), (&9.into(), &5.into(), &4.into()));
    assert_eq!(said["cues"].as_array().unwrap().len(), 5);
    assert_eq!(said["data"], first.display().to_string());

    let made = contents(&first);
    let names: Vec<_> = made.keys().map(|path| path.display().to_string()).collect();
    let expected = [
        "demo.json",
        "fake/faceswap/id000_id001_clip1.mp4",
        "fake/faceswap/id001_id000_clip1.mp4",
        "fake/faceswap/id002_id003_clip1.mp4",
        "fake/faceswap/id004_id005_clip1.mp4",
        "preview.png",
        "real/id000_clip1.mp4",
        "real/id001_clip1.mp4",
        "real/id002_clip1.mp4",
        "real/id003_clip1.mp4",
        "real/id004_clip1.mp4",
    ];
    assert_eq!(names, expected);
    let bytes: usize = made.iter().filter(|(path, _)| path.extension().unwrap() == "mp4").map(|(_, b)| b.len()).sum();
    assert_eq!(said["bytes"], bytes);

    for real in names.iter().filter(|name| name.starts_with("real/")) {
        look_at(&first.join(real), None);
    }
    for fake in names.iter().filter(|name| name.starts_with("fake/")) {
        let name = Path::new(fake).file_stem().unwrap().to_str().unwrap();
        let (target, number) = (&name[..5], &name[12..]);
        look_at(&first.join(fake), Some(&first.join(format!("real/{target}_{number}.mp4"))));
    }

    json(&demo_data(&["--videos", "9", "--seed", "7", "--json"], &second));
    assert!(contents(&second) == made, "the same seed gave other bytes");
    json(&demo_data(&["--videos", "9", "--seed", "8", "--json"], &other));
    assert!(contents(&other)[Path::new("real/id000_clip1.mp4")] != made[Path::new("real/id000_clip1.mp4")]);

    again(&first, &said);
    refusals(&first);
    assert!(contents(&first) == made);
    fs::remove_file(first.join("real/id003_clip1.mp4")).unwrap();
    let refused = demo_data(&["--videos", "9", "--seed", "7"], &first);
    assert!(stderr(&refused).contains("1 of the demo set's 9 videos are missing"), "{}", stderr(&refused));
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "something is left behind: {left:?}");
}

/// It is H.264 of 1.4 to 2.6 seconds; a forgery has size, rate and length of the clip that it forges.
fn look_at(path: &Path, forged: Option<&Path>) {
    let facts = |path: &Path| {
        let input = format::input(path).unwrap();
        let stream = input.stream(0).unwrap();
        assert_eq!((input.nb_streams(), stream.parameters().id()), (1, codec::Id::H264));
        let context = codec::context::Context::from_parameters(stream.parameters()).unwrap();
        let video = context.decoder().video().unwrap();
        assert_eq!(video.format(), Pixel::YUV420P);
        (video.width(), video.height(), stream.avg_frame_rate(), stream.frames())
    };
    let (width, height, rate, frames) = facts(path);
    assert!((160..=320).contains(&width) && (160..=320).contains(&height), "{width}x{height}");
    let secs = frames as f64 / f64::from(rate);
    assert!((1.4..2.6).contains(&secs), "{}: {frames} frames at {rate}", path.display());
    if let Some(forged) = forged {
        assert_eq!(facts(forged), (width, height, rate, frames), "{}", path.display());
        assert!(fs::read(forged).unwrap() != fs::read(path).unwrap());
    }
}

fn again(folder: &Path, said: &serde_json::Value) {
    let before = fs::metadata(folder.join("demo.json")).unwrap().modified().unwrap();
    let again = demo_data(&["--videos", "9", "--seed", "7", "--json"], folder);
    assert_eq!(&json(&again), said);
    assert!(stderr(&again).contains("holds this set already"), "{}", stderr(&again));
    assert_eq!(fs::metadata(folder.join("demo.json")).unwrap().modified().unwrap(), before);
    let table = demo_data(&["--videos", "9", "--seed", "7"], folder);
    let table = String::from_utf8_lossy(&table.stdout);
    for part in ["5 real, 4 fake", "mean brightness", "train --config configs/quick_demo.yaml --data"] {
        assert!(table.contains(part), "no `{part}` in {table}");
    }
}

fn refusals(folder: &Path) {
    for (args, part) in [
        (["--videos", "9", "--seed", "8"], "holds a demo set of 9 videos with seed 7"),
        (["--videos", "10", "--seed", "7"], "holds a demo set of 9 videos with seed 7"),
        (["--videos", "7", "--seed", "7"], "found 7 videos, allowed are 8 to"),
        (["--videos", "1000000000", "--seed", "7"], "found 1000000000 videos"),
    ] {
        let refused = demo_data(&args, folder);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{args:?}");
        assert!(stderr(&refused).contains(part) && stderr(&refused).contains("hint: "), "{}", stderr(&refused));
    }
}

#[test]
fn what_it_did_not_make_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("holiday");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("demo.json"), "{\"videos\": 8}").unwrap();
    fs::write(home.path().join("file"), "x").unwrap();
    let before = contents(home.path());
    for (output, part) in [
        (folder.clone(), "the folder is not empty"),
        (home.path().join("file"), "is a file"),
        (home.path().join("file/below"), "file"),
        (PathBuf::from("/proc/nowhere/demo"), "/proc/nowhere"),
    ] {
        let refused = demo_data(&["--videos", "8"], &output);
        assert!(!refused.status.success(), "{}", output.display());
        assert!(stderr(&refused).contains(part) && stderr(&refused).contains("hint: "), "{}", stderr(&refused));
    }
    assert!(contents(home.path()) == before);
}

#[test]
fn an_interrupt_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.args(["demo-data", "--output"]).arg(home.path().join("demo")).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let pid = child.id().to_string();
    // The staging folder shows that it is at work.
    while fs::read_dir(home.path()).unwrap().next().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn nothing_but_the_faces_gives_the_classes_away() {
    let home = tempfile::tempdir().unwrap();
    for (name, args) in [("default", &[][..]), ("other", &["--videos", "64", "--seed", "7"][..])] {
        let said = json(&demo_data(&[args, &["--json"]].concat(), &home.path().join(name)));
        for cue in said["cues"].as_array().unwrap() {
            let (name, auc) = (cue["cue"].as_str().unwrap(), cue["auc"].as_f64().unwrap());
            let same_for_both = ["duration", "resolution"].contains(&name);
            assert!(auc <= if same_for_both { 0.5 } else { 0.6 }, "{name}: {auc}");
        }
    }
}
