//! Faces through the binary: a data set in which some videos show none, one of face crops, and what the report says.
//! The face is a photograph that moves over a wall, in H.264.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dfdetect::demo::{VideoSettings, VideoWriter};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;

/// A photograph with one face of about 60 pixels around (87, 77).
fn photograph() -> RgbImage {
    image::load_from_memory(include_bytes!("fixtures/astronaut.png")).unwrap().into_rgb8()
}

fn write(path: &Path, frames: &[RgbImage]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (width, height) = frames[0].dimensions();
    let settings = VideoSettings { width, height, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(path, &settings).unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.finish().unwrap();
}

/// Nine frames of a wall of a shade of its own, and before it the person in the first frames.
fn film(path: &Path, shade: u8, (person, frames): (&RgbImage, i64)) {
    let frame = |i: i64| {
        let mut frame = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([(x / 3) as u8, shade, (y / 2) as u8]));
        if i < frames {
            imageops::replace(&mut frame, person, 40 + 2 * i, 20);
        }
        frame
    };
    write(path, &(0..9).map(frame).collect::<Vec<_>>());
}

/// Five real videos and five fakes of each of two methods; in one real and in the `no_face` of the second method nobody
/// is seen, and in one fake of the first the person leaves.
fn people(no_face: usize) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let person = photograph();
    for id in 0..5 {
        for (class, faceless) in [("real", id == 2), ("fake/swap", false), ("fake/lips", id < no_face)] {
            let path = root.path().join(format!("{class}/id{id}_{}.mp4", class.rsplit('/').next().unwrap()));
            let frames = if faceless {
                0
            } else if id == 4 && class == "fake/swap" {
                6
            } else {
                9
            };
            film(&path, 60 + 30 * id as u8, (&person, frames));
        }
    }
    root
}

fn dfdetect(home: &Path, command: &[&str], data: &Path, sets: &[&str]) -> Output {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/quick_demo.yaml");
    let small = [
        "data.faces.mode=auto",
        "data.max_frames=4",
        "data.frame_size=[32,32]",
        "data.val_split=0.2",
        "data.test_split=0.2",
        "training.epochs=1",
        "cache.enable_cache=true",
        "gpu.device=cpu",
        "gpu.mixed_precision=off",
    ];
    let mut dfdetect = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    dfdetect.current_dir(home).args(command).arg("--config").arg(config).arg("--data").arg(data);
    dfdetect.env("OMP_NUM_THREADS", "1");
    for set in small.iter().chain(sets) {
        dfdetect.args(["--set", set]);
    }
    let output = dfdetect.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the only run below `home` says of its data; the run is removed.
fn data_of_the_run(home: &Path) -> Value {
    let runs: Vec<PathBuf> = fs::read_dir(home.join("runs")).unwrap().map(|run| run.unwrap().path()).collect();
    assert_eq!(runs.len(), 1);
    let report: Value = serde_json::from_slice(&fs::read(runs[0].join("report.json")).unwrap()).unwrap();
    fs::remove_dir_all(&runs[0]).unwrap();
    report["data"].clone()
}

#[test]
fn videos_without_a_face_are_counted_by_method_and_skipped_or_used_whole() {
    let (home, data) = (tempfile::tempdir().unwrap(), people(2));
    let (home, data) = (home.path(), data.path());
    let missed = json!({
        "missed": 3,
        "missed_by_method": { "real": 1, "lips": 2 },
        "missed_videos": ["fake/lips/id0_lips.mp4", "fake/lips/id1_lips.mp4", "real/id2_real.mp4"],
        "frames_left_out": { "swap": 1 },
        "videos_cut_short": 1,
    });

    let extract = |args: &[&str]| {
        let output = dfdetect(home, &[&["data", "extract"], args].concat(), data, &[]);
        assert!(stderr(&output).contains("faces are cut out (found in"), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(extract(&["--shard", "1/2"]), "read      6\ncached    0\nno room   0\nunusable  2\n");
    assert_eq!(extract(&[]), "read      6\ncached    6\nno room   0\nunusable  3\n");
    let trained = dfdetect(home, &["train"], data, &[]);
    assert!(stderr(&trained).contains("real/id2_real.mp4 is skipped: no face was found in 4 frames"));
    let skipped = data_of_the_run(home);
    assert_eq!(skipped["faces"], missed);
    assert_eq!((&skipped["videos"], &skipped["skipped"]), (&json!(15), &json!(3)));
    assert_eq!(skipped["cache_misses"], 0, "{skipped}");
    // That there is no face is kept like a clip: no video is opened any more.
    overwrite_with_garbage(data);
    let again = dfdetect(home, &["train"], data, &[]);
    assert!(stderr(&again).contains("real/id2_real.mp4 is skipped: no face was found in 4 frames"));
    assert_eq!(data_of_the_run(home)["faces"], missed);
    let data = people(2);
    let data = data.path();

    assert_predict_equals_evaluate(home, data);

    // Used whole, they are listed all the same, also where no video is opened any more.
    for _ in 0..2 {
        dfdetect(home, &["train"], data, &["data.faces.on_miss=whole_frame"]);
        let whole = data_of_the_run(home);
        assert_eq!(whole["faces"], missed);
        assert_eq!((&whole["skipped"], &whole["cache_misses"]), (&json!(0), &json!(0)), "{whole}");
        overwrite_with_garbage(data);
    }
}

/// Of a detector that was trained on faces, also where training used videos without one as a whole.
fn assert_predict_equals_evaluate(home: &Path, data: &Path) {
    dfdetect(home, &["train"], data, &["data.faces.on_miss=whole_frame", "cache.enable_cache=false"]);
    let run = fs::read_dir(home.join("runs")).unwrap().next().unwrap().unwrap().path();
    let shown = |args: &[&str]| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        command.args(args).arg("--json").arg("--checkpoint").arg(run.join("checkpoints/best"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (data, measured) = (data.to_str().unwrap(), home.join("measured"));
    shown(&["evaluate", "--output", measured.to_str().unwrap(), "--data", data]);
    let evaluated: HashMap<String, f64> = csv::Reader::from_path(measured.join("predictions.csv"))
        .unwrap()
        .deserialize::<HashMap<String, String>>()
        .map(|row| row.map(|mut row| (row.remove("path").unwrap(), row["score"].parse().unwrap())).unwrap())
        .collect();
    let predictions = shown(&["predict", data]);
    let mut compared = 0;
    for prediction in predictions.as_array().unwrap() {
        let path = Path::new(prediction["path"].as_str().unwrap()).strip_prefix(data).unwrap().to_str().unwrap();
        let Some(score) = prediction["score"].as_f64() else {
            assert!(prediction["error"].as_str().unwrap().contains("no face was found"), "{prediction}");
            continue;
        };
        assert_eq!(prediction["faces"], if path == "fake/swap/id4_swap.mp4" { 3 } else { 4 }, "{prediction}");
        let evaluated = evaluated[path];
        assert!((score - evaluated).abs() < 1e-6, "{path}: {score}, {evaluated}");
        compared += 1;
    }
    assert_eq!((compared, predictions.as_array().unwrap().len()), (12, 15));
    assert_each_face_is_scored(home, &shown);
    fs::remove_dir_all(run).unwrap();
}

/// Of two people in one video, of whom the second is smaller.
fn assert_each_face_is_scored(home: &Path, shown: &dyn Fn(&[&str]) -> Value) {
    let (person, path) = (photograph(), home.join("two.mp4"));
    let small = imageops::resize(&person, person.width() * 3 / 4, person.height() * 3 / 4, FilterType::Triangle);
    let mut frame = RgbImage::from_pixel(2 * WIDTH, HEIGHT, Rgb([90, 120, 90]));
    imageops::replace(&mut frame, &person, 40, 20);
    imageops::replace(&mut frame, &small, 400, 20);
    write(&path, &vec![frame; 9]);
    let path = path.to_str().unwrap();
    let predict = |args: &[&str]| shown(&[&["predict", "--clips", "2", path], args].concat())[0].clone();
    let (one, all, max) = (predict(&[]), predict(&["--all-faces"]), predict(&["--all-faces", "--pool", "max"]));
    let faces = |prediction: &Value| prediction["each_face"].as_array().unwrap().clone();
    let scores = |faces: &[Value]| faces.iter().map(|face| face["score"].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!((faces(&one).len(), faces(&all).len()), (1, 2));
    let (score, both) = (scores(&faces(&one))[0], scores(&faces(&all)));
    assert!((score - both[0]).abs() < 1e-6 && (score - one["score"].as_f64().unwrap()).abs() < 1e-6, "{one} {all}");
    assert!((all["score"].as_f64().unwrap() - (both[0] + both[1]) / 2.0).abs() < 1e-6, "{all}");
    let highest = scores(&faces(&max)).into_iter().fold(0.0, f64::max);
    assert!((max["score"].as_f64().unwrap() - highest).abs() < 1e-6, "{max}");
    let left = |face: &Value| face["box"][0].as_f64().unwrap();
    assert!((80.0..130.0).contains(&left(&faces(&all)[0])) && left(&faces(&all)[1]) > 420.0, "{all}");
    let of_faces: Vec<_> = all["segments"].as_array().unwrap().iter().map(|segment| segment["face"].clone()).collect();
    assert_eq!(of_faces, [1, 1, 2, 2]);
}

/// All videos keep their size and time, and nothing of their content.
fn overwrite_with_garbage(data: &Path) {
    for file in walkdir::WalkDir::new(data).into_iter().map(Result::unwrap).filter(|file| file.file_type().is_file()) {
        let metadata = file.metadata().unwrap();
        fs::write(file.path(), vec![0xAA; usize::try_from(metadata.len()).unwrap()]).unwrap();
        let written = fs::File::options().write(true).open(file.path()).unwrap();
        written.set_modified(metadata.modified().unwrap()).unwrap();
    }
}

#[test]
fn face_crops_are_not_cut_again() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let crop = imageops::crop_imm(&photograph(), 40, 24, 96, 96).to_image();
    for id in 0..4_u8 {
        for class in ["real", "fake"] {
            let side = 128 + 16 * u32::from(id);
            let frame = imageops::resize(&crop, side, side, FilterType::Triangle);
            write(&data.path().join(format!("{class}/id{id}_x.mp4")), &vec![frame; 9]);
        }
    }
    let trained = dfdetect(home.path(), &["train"], data.path(), &[]);
    assert!(stderr(&trained).contains("they are face crops already"), "{}", stderr(&trained));
    assert!(data_of_the_run(home.path()).get("faces").is_none());
    // Unless told to.
    let too_much = "dataloader.host_memory_budget=1000TiB";
    let insisted = dfdetect(home.path(), &["train"], data.path(), &["data.faces.mode=crop", too_much]);
    assert!(stderr(&insisted).contains("are free: that is what counts"), "{}", stderr(&insisted));
    assert_eq!(data_of_the_run(home.path())["faces"]["missed"], 0);
}

/// The records of the only run below `home`, as they are in its manifest.
fn records_of_the_run(home: &Path) -> Vec<Value> {
    let run = fs::read_dir(home.join("runs")).unwrap().next().unwrap().unwrap().path();
    let manifest: Value = serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap();
    manifest["videos"].as_array().unwrap().clone()
}

#[test]
fn real_videos_alone_train_on_forgeries_made_of_them() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (home, data) = (home.path(), data.path());
    let person = photograph();
    for id in 0..6 {
        film(&data.join(format!("real/id{id}_a.mp4")), 60 + 30 * id as u8, (&person, if id == 2 { 0 } else { 9 }));
    }
    // Cut out, and as they are; of who shows no face, no forgery can be made.
    for mode in ["auto", "off"] {
        let mode = format!("data.faces.mode={mode}");
        let trained = dfdetect(home, &["train"], data, &[&mode, "augmentation.self_blend=only"]);
        let records = records_of_the_run(home);
        let made: Vec<_> = records.iter().filter(|record| record["method"] == "self_blend").collect();
        assert_eq!((records.len(), made.len()), (12, 6));
        assert!(made.iter().all(|record| record["label"] == "fake" && record["original"] == record["path"]));
        for split in ["train", "val", "test"] {
            let on_side = |record: &&Value| record["split"] == split;
            assert_eq!(records.iter().filter(on_side).count(), 2 * made.iter().copied().filter(on_side).count());
        }
        let about = data_of_the_run(home);
        assert_eq!((&about["videos"], &about["skipped"]), (&json!(12), &json!(1)), "{}", stderr(&trained));
    }
    let mut alone = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    let refused = alone.args(["data", "scan", "--data"]).arg(data).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("there is no folder `fake`"), "{}", stderr(&refused));
}
