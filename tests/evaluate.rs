//! Measuring and predicting as a user does it: the binary on real H.264 files, with a detector that was trained a
//! little.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod data_support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use data_support::{SETTINGS, write_video};
use dfdetect::metrics::fit_temperature;
use serde_json::Value;
use tempfile::TempDir;

/// A data set and a run on it, made once for all tests.
struct Trained {
    folder: TempDir,
}

impl Trained {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run(&self) -> PathBuf {
        fs::read_dir(self.folder.path().join("runs")).unwrap().next().unwrap().unwrap().path()
    }

    fn checkpoint(&self) -> PathBuf {
        self.run().join("checkpoints/best")
    }
}

/// Reals, and fakes of two methods, one video each of 28 people. Only one of the methods is trained on.
fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let trained = Trained { folder: tempfile::tempdir().unwrap() };
        let data = trained.data();
        for person in 0..28 {
            write_video(&data.join(format!("real/id{person}_a.mp4")), &SETTINGS, 16, person);
            write_video(&data.join(format!("fake/swap/id{person}_a.mp4")), &SETTINGS, 16, person + 100);
            write_video(&data.join(format!("fake/reenact/id{person}_a.mp4")), &SETTINGS, 16, person + 200);
        }
        let mut train = dfdetect(&["train", "--config"]);
        train.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/quick_demo.yaml"));
        train.arg("--data").arg(&data).arg("--output").arg(trained.folder.path().join("runs"));
        for set in [
            "gpu.device=cpu",
            "model.hidden_dim=16",
            "data.max_frames=4",
            "data.min_frames=4",
            "data.frame_size=[32,32]",
            "data.test_split=0.4",
            "data.holdout_methods=[reenact]",
            "training.epochs=2",
            "cache.disk_bytes=0",
        ] {
            train.args(["--set", set]);
        }
        succeed(&mut train);
        trained
    })
}

fn dfdetect(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.args(args).env("NO_COLOR", "1");
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn json(command: &mut Command) -> Value {
    serde_json::from_slice(&succeed(command.arg("--json")).stdout).unwrap()
}

fn evaluate(args: &[&str]) -> Value {
    json(dfdetect(&["evaluate", "--checkpoint"]).arg(trained().checkpoint()).args(args))
}

fn predict(paths: &[&Path], args: &[&str]) -> Vec<Value> {
    let mut command = dfdetect(&["predict", "--checkpoint"]);
    let predictions = json(command.arg(trained().checkpoint()).args(paths).args(args));
    predictions.as_array().unwrap().clone()
}

fn rows(path: &Path) -> Vec<std::collections::HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn training_leaves_what_its_test_says_and_evaluate_says_the_same() {
    let run = trained().run();
    let left: Value = serde_json::from_slice(&fs::read(run.join("evaluation.json")).unwrap()).unwrap();
    let set = &left["sets"][0];
    let overall = &set["overall"];
    assert_eq!(set["name"], "test");
    assert_eq!(set["drawn_over"]["unit"], "identities");
    let [auc, low, high] = [&overall["video_auc"], &overall["video_auc_ci95"][0], &overall["video_auc_ci95"][1]]
        .map(|v| v.as_f64().unwrap());
    assert!(low <= auc && auc <= high, "{overall}");
    let methods: Vec<_> = set["methods"].as_object().unwrap().keys().collect();
    assert_eq!(methods, ["reenact", "swap"]);
    assert_eq!(set["calibration"]["ece_calibrated"].is_f64(), left["temperature"].is_f64());
    assert_eq!(left["temperature"].as_f64().is_some(), temperature_of_validation(&run).is_some());
    if let Some(expected) = temperature_of_validation(&run) {
        assert!((left["temperature"].as_f64().unwrap() / expected - 1.0).abs() < 1e-3, "{left}, {expected}");
    }

    let list = rows(&run.join("predictions.csv"));
    assert_eq!(list.len() as u64, overall["videos"].as_u64().unwrap());
    let wrong = list.iter().filter(|row| (row["score"].parse::<f64>().unwrap() >= 0.5) != (row["label"] == "fake"));
    let mistakes = set["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), wrong.count().min(12));
    assert!(!mistakes.is_empty(), "two epochs do not make a perfect detector");
    let sureness: Vec<_> = mistakes.iter().map(|mistake| (mistake["score"].as_f64().unwrap() - 0.5).abs()).collect();
    assert!(sureness.is_sorted_by(|a, b| a >= b), "the most confident first: {sureness:?}");
    let of = |method: &str| list.iter().filter(|row| row["label"] == "real" || row["method"] == method).count();
    for method in ["reenact", "swap"] {
        assert_eq!(set["methods"][method]["videos"], of(method), "{method}: its fakes, and all reals");
    }
    for mistake in mistakes {
        let picture = image::open(run.join(mistake["picture"].as_str().unwrap())).unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 32));
    }

    let again = json(dfdetect(&["evaluate", "--run"]).arg(&run));
    for key in ["overall", "methods", "seen_and_unseen", "operating_points", "calibration"] {
        assert_eq!(again["sets"][0][key], set[key], "{key}");
    }
    assert_eq!(again["temperature"], left["temperature"]);
}

#[test]
fn a_held_out_method_is_only_tested_on_and_reported_apart() {
    let run = trained().run();
    let read = |name: &str| -> Value { serde_json::from_slice(&fs::read(run.join(name)).unwrap()).unwrap() };
    let manifest = read("manifest.json");
    let counts = ["train", "val", "test"].map(|side| {
        let videos = manifest["videos"].as_array().unwrap();
        ["swap", "reenact"]
            .map(|method| videos.iter().filter(|video| video["split"] == side && video["method"] == method).count())
    });
    let [[train, 0], [val, 0], [swaps, reenacted]] = counts else { panic!("{counts:?}") };
    assert!(train + val + swaps == 28 && train > val && swaps > 0 && reenacted > 0, "{counts:?}");

    let set = &read("evaluation.json")["sets"][0];
    let parts = &set["seen_and_unseen"];
    assert_eq!(
        (&parts["seen methods"], &parts["unseen methods"]),
        (&set["methods"]["swap"], &set["methods"]["reenact"])
    );
    assert_eq!(&read("report.json")["seen_and_unseen"], parts);
    let said = String::from_utf8(succeed(dfdetect(&["evaluate", "--run"]).arg(&run)).stdout).unwrap();
    assert!(said.contains("│ seen methods ") && said.contains("│ unseen methods "), "{said}");
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("Of fakes by methods that were not trained on"));
    // The other folder has nothing to compare with.
    let cross = tempfile::tempdir().unwrap();
    write_video(&cross.path().join("real/a.mp4"), &SETTINGS, 16, 1);
    write_video(&cross.path().join("fake/reenact/b.mp4"), &SETTINGS, 16, 2);
    assert!(evaluate(&["--data", cross.path().to_str().unwrap()])["sets"][0].get("seen_and_unseen").is_none());
}

#[test]
fn each_method_is_left_out_once_and_a_study_goes_on_where_it_ended() {
    let output = tempfile::tempdir().unwrap();
    let settings = |command: &mut Command| {
        let small = ["model.hidden_dim=16", "data.max_frames=4", "data.min_frames=4", "data.frame_size=[32,32]"];
        let short = ["gpu.device=cpu", "data.test_split=0.4", "training.epochs=1", "training.limit_batches=2"];
        for set in small.iter().chain(&short) {
            command.args(["--set", set]);
        }
        succeed(command)
    };
    let others = ["one", "two"].map(|name| output.path().join(name));
    for (other, seed) in others.iter().zip([300, 310]) {
        write_video(&other.join("real/a.mp4"), &SETTINGS, 16, seed);
        write_video(&other.join("fake/b.mp4"), &SETTINGS, 16, seed + 1);
    }
    let runs = output.path().join("runs");
    let mut begin = dfdetect(&["train", "--leave-one-out", "--config"]);
    begin.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/quick_demo.yaml"));
    let said = settings(
        begin
            .arg("--data")
            .arg(trained().data())
            .arg("--output")
            .arg(&runs)
            .arg("--set")
            .arg(format!("data.test_roots={others:?}")),
    );
    let study = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let read = || -> Value { serde_json::from_slice(&fs::read(study.join("leave_one_out.json")).unwrap()).unwrap() };
    let whole = read();
    let rounds = whole["rounds"].as_array().unwrap();
    let methods: Vec<_> = rounds.iter().map(|round| round["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["reenact", "swap"]);
    let table = String::from_utf8(said.stdout).unwrap();
    let mut sum = 0.0;
    for (number, round) in rounds.iter().enumerate() {
        let run = study.join(round["run"].as_str().unwrap());
        let evaluation: Value = serde_json::from_slice(&fs::read(run.join("evaluation.json")).unwrap()).unwrap();
        let of_methods = &evaluation["sets"][0]["methods"];
        assert_eq!(
            (&round["unseen"], &round["seen"]),
            (&of_methods[methods[number]], &of_methods[methods[1 - number]])
        );
        // The other data sets are taken together without the run's own test.
        let sets = evaluation["sets"].as_array().unwrap();
        let aucs: Vec<_> = sets.iter().map(|set| set["overall"]["video_auc"].as_f64().unwrap()).collect();
        let all = &evaluation["all_sets"];
        assert_eq!((aucs.len(), &all["sets"], &all["pooled"]["videos"]), (3, &2.into(), &4.into()));
        assert_eq!(all["mean_video_auc"].as_f64(), Some((aucs[1] + aucs[2]) / 2.0));
        let auc = round["unseen"]["video_auc"].as_f64().unwrap();
        sum += auc;
        assert!(
            table.lines().any(|row| row.contains(methods[number]) && row.contains(&format!("{auc:.3}"))),
            "{table}"
        );
    }
    assert!(table.lines().any(|row| row.contains("mean") && row.contains(&format!("{:.3}", sum / 2.0))), "{table}");

    // As if it had ended when the first round was tested and the second not begun.
    let mut early = whole.clone();
    for round in early["rounds"].as_array_mut().unwrap() {
        *round = serde_json::json!({ "method": round["method"] });
    }
    fs::write(study.join("leave_one_out.json"), early.to_string()).unwrap();
    fs::remove_dir_all(study.join("02-swap")).unwrap();
    succeed(dfdetect(&["train", "--resume"]).arg(&study));
    let mut again = read();
    assert_eq!(again["rounds"][0], whole["rounds"][0], "its run was finished, not made anew");
    assert!(again["rounds"][1]["run"].as_str().unwrap().starts_with("02-swap/"), "{again}");
    again["rounds"][1]["run"] = whole["rounds"][1]["run"].clone();
    assert_eq!(again, whole);

    // The data set here has one method only.
    let one = tempfile::tempdir().unwrap();
    for person in 0..8 {
        write_video(&one.path().join(format!("real/id{person}.mp4")), &SETTINGS, 8, person);
        write_video(&one.path().join(format!("fake/swap/id{person}.mp4")), &SETTINGS, 8, person + 100);
    }
    let mut refused = dfdetect(&["train", "--leave-one-out", "--config"]);
    refused.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/quick_demo.yaml"));
    let refused = refused.arg("--data").arg(one.path()).arg("--output").arg(&runs).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("found only swap"), "{said}");
}

/// Fitted here, on what `evaluate` says of the validation videos.
fn temperature_of_validation(run: &Path) -> Option<f64> {
    let output = tempfile::tempdir().unwrap();
    succeed(dfdetect(&["evaluate", "--split", "val", "--run"]).arg(run).arg("--output").arg(output.path()));
    let list = rows(&output.path().join("predictions.csv"));
    let scores: Vec<f64> = list.iter().map(|row| row["score"].parse().unwrap()).collect();
    let is_fake: Vec<bool> = list.iter().map(|row| row["label"] == "fake").collect();
    fit_temperature(&scores, &is_fake)
}

/// The detector with a temperature that no validation gave it.
fn with_temperature(temperature: f64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(trained().checkpoint()).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let path = folder.path().join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["history"].as_array_mut().unwrap().last_mut().unwrap()["temperature"] = temperature.into();
    fs::write(path, state.to_string()).unwrap();
    folder
}

#[test]
fn several_sets_are_measured_in_one_call_and_written_where_asked() {
    let output = trained().folder.path().join("several");
    let (data, other) = (trained().data(), trained().folder.path().join("other"));
    for person in 0..3 {
        write_video(&other.join(format!("real/{person}.mp4")), &SETTINGS, 16, person);
        write_video(&other.join(format!("fake/{person}.mp4")), &SETTINGS, 16, person + 50);
    }
    // The same name under two methods, and of both classes: different videos.
    write_video(&other.join("fake/swap/0.mp4"), &SETTINGS, 16, 77);
    fs::write(other.join("fake/broken.mp4"), b"no video").unwrap();
    let [data, other, folder] = [&data, &other, &output].map(|path| path.to_str().unwrap());
    let result = evaluate(&["--data", data, other, "--output", folder, "--clips", "2"]);
    assert_eq!(result["sets"].as_array().unwrap().len(), 2);
    let small = &result["sets"][1];
    assert_eq!((small["overall"]["videos"].as_u64(), small["overall"]["clips"].as_u64()), (Some(7), Some(14)));
    assert_eq!(small["unreadable"][0]["path"], "fake/broken.mp4");
    let list = rows(&output.join("predictions.csv"));
    assert_eq!(list.len(), 2 * (84 + 7));
    let of_name = |name: &str| list.iter().filter(|row| row["path"].ends_with(name) && row["set"] == other).count();
    assert_eq!(of_name("/0.mp4"), 3 * 2, "real, fake, and fake by another method");
    let first: Vec<f64> = list[..2].iter().map(|row| row["clip_score"].parse().unwrap()).collect();
    let pooled: f64 = list[0]["score"].parse().unwrap();
    assert!((pooled - (first[0] + first[1]) / 2.0).abs() < 1e-12 && first[0] != first[1], "{first:?} {pooled}");
    let written: Value = serde_json::from_slice(&fs::read(output.join("evaluation.json")).unwrap()).unwrap();
    assert_eq!(written, result);

    // Together, and once more from the list of scores.
    let all = &result["all_sets"];
    let auc = |set: usize| result["sets"][set]["overall"]["video_auc"].as_f64().unwrap();
    let mean = all["mean_video_auc"].as_f64().unwrap();
    assert!((mean - (auc(0) + auc(1)) / 2.0).abs() < 1e-12 && all["sets"] == 2, "{all}");
    let videos = list.iter().step_by(2).map(|row| (row["score"].parse::<f64>().unwrap(), row["label"] == "fake"));
    let (scores, is_fake): (Vec<f64>, Vec<bool>) = videos.unzip();
    assert_eq!(all["pooled"]["video_auc"].as_f64(), dfdetect::metrics::auc(&scores, &is_fake));
    let again = json(dfdetect(&["evaluate", "--scores"]).arg(output.join("predictions.csv")));
    assert_eq!(
        (&again["all_sets"]["pooled"]["video_auc"], &again["sets"][1]["name"]),
        (&all["pooled"]["video_auc"], &small["name"])
    );
    let said = succeed(dfdetect(&["evaluate", "--scores"]).arg(output.join("predictions.csv"))).stdout;
    assert!(String::from_utf8(said).unwrap().contains(&format!("mean video AUC of the 2 sets: {mean:.3}")));
}

#[test]
fn a_detector_compared_with_itself_is_no_better() {
    let (data, checkpoint) = (trained().data(), trained().checkpoint());
    let result = evaluate(&["--data", data.to_str().unwrap(), "--compare", checkpoint.to_str().unwrap()]);
    let compared = &result["comparison"]["sets"][0];
    assert_eq!((compared["difference"].as_f64(), compared["p_value"].as_f64()), (Some(0.0), Some(1.0)));
    let first = trained().run().join("checkpoints/last");
    let text = succeed(
        dfdetect(&["evaluate", "--checkpoint"]).arg(&checkpoint).arg("--data").arg(&data).arg("--compare").arg(first),
    );
    assert!(String::from_utf8_lossy(&text.stdout).contains("(DeLong)"));
}

/// Our own scores, read as those of another program.
#[test]
fn scores_of_another_program_get_the_numbers_that_a_detector_gets() {
    let folder = tempfile::tempdir().unwrap();
    let (run, data) = (trained().run(), trained().data());
    let given = |args: &[&str], file: &Path| json(dfdetect(&["evaluate", "--scores"]).arg(file).args(args));
    let alike = |found: &Value, expected: &Value| {
        let [mut found, expected] = [found, expected].map(Clone::clone);
        // There are no scores of frames.
        for key in ["frame_auc", "frame_auc_ci95"] {
            found["overall"][key] = expected["overall"][key].clone();
        }
        for key in ["overall", "drawn_over", "curve", "operating_points"] {
            assert_eq!(found[key], expected[key], "{key}");
        }
        for method in ["swap", "reenact"] {
            assert_eq!(found["methods"][method]["video_auc_ci95"], expected["methods"][method]["video_auc_ci95"]);
        }
    };
    let left: Value = serde_json::from_slice(&fs::read(run.join("evaluation.json")).unwrap()).unwrap();
    let expected = &left["sets"][0];
    alike(&given(&[], &run.join("predictions.csv"))["sets"][0], expected);

    // Labels, people and methods of a data set, and a list that names its columns in another way.
    let list = folder.path().join("theirs.csv");
    let mut text = "file,p\n/nowhere/else.mp4,0.5\n".to_owned();
    for row in rows(&run.join("predictions.csv")) {
        text += &format!("{},{}\n", data.join(&row["path"]).display(), row["score"]);
    }
    fs::write(&list, &text).unwrap();
    let args = ["--columns", "path=file,score=p", "--data", data.to_str().unwrap()];
    let found = given(&args, &list)["sets"][0].clone();
    alike(&found, expected);
    let without = found["unreadable"].as_array().unwrap();
    assert_eq!(without.len() as u64 + expected["overall"]["videos"].as_u64().unwrap(), 3 * 28);
    assert_eq!(without[0]["reason"], "no row names it");

    // The same scores in another order are as good.
    let [header, rest @ ..] = &text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    let other = folder.path().join("other.csv");
    fs::write(&other, [&[*header], &rest.iter().rev().copied().collect::<Vec<_>>()[..]].concat().join("\n")).unwrap();
    let output = folder.path().join("output");
    let mut command = dfdetect(&["evaluate", "--scores"]);
    command.arg(&list).args(args).arg("--compare").arg(&other).arg("--output").arg(&output);
    let said = succeed(&mut command);
    let (text, log) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(text.contains(": +0.000 (+0.000 to +0.000), p = 1.0000 (DeLong)") && text.contains("│ swap"), "{text}");
    assert!(log.contains("1 of its rows name no video that is measured") && log.contains("row 2: `/nowhere"), "{log}");
    assert_eq!(rows(&output.join("predictions.csv")).len() as u64, expected["overall"]["videos"].as_u64().unwrap());

    // A file cannot be asked what a detector can be asked; no row may fit.
    for (args, part) in [
        (&["--clips", "2"][..], "cannot be used with"),
        (&["--data", folder.path().to_str().unwrap()], "hint: "),
        (&["--data", data.to_str().unwrap()], "lacks the column path"),
    ] {
        let output = dfdetect(&["evaluate", "--scores"]).arg(&list).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(part), "{said}");
    }
    fs::write(&list, "path,score\nfar/away.mp4,0.5\n").unwrap();
    let refused = dfdetect(&["evaluate", "--data"]).arg(&data).arg("--scores").arg(&list).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("row 2: `far/away.mp4`\n  hint: paths"), "{said}");
}

#[test]
fn a_video_that_is_listed_twice_counts_once_and_of_one_class_there_is_no_auc() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "b.mp4"] {
        write_video(&folder.path().join(name), &SETTINGS, 16, name.len() + usize::from(name.as_bytes()[0]));
    }
    let list = folder.path().join("list.csv");
    fs::write(&list, "path,label\na.mp4,real\nb.mp4,fake\nb.mp4,fake\n").unwrap();
    let result = evaluate(&["--data", list.to_str().unwrap()]);
    assert_eq!(result["sets"][0]["overall"]["videos"], 2);
    assert_eq!(result["sets"][0]["drawn_over"]["unit"], "too_few");

    fs::write(&list, "path,label\na.mp4,real\nb.mp4,real\n").unwrap();
    let overall = evaluate(&["--data", list.to_str().unwrap()])["sets"][0]["overall"].clone();
    assert_eq!((&overall["videos"], &overall["video_auc"]), (&Value::from(2), &Value::Null));
    assert!(overall["acc_real"].is_f64() && overall["acc_fake"].is_null(), "{overall}");

    // Other columns are named for this evaluation alone; what is not named is called as usual.
    fs::write(&list, "clip,is_fake,method\na.mp4,0,\nb.mp4,1,lipsync\n").unwrap();
    let args = ["evaluate", "--json", "--data", list.to_str().unwrap(), "--checkpoint"];
    let refused = |columns: &str, part: &str| {
        let output = dfdetect(&args).arg(trained().checkpoint()).args(["--columns", columns]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(part), "{text}");
    };
    refused("path=clip", "list.csv lacks the columns clip and label; its columns are clip, is_fake, method");
    refused("path=clip,label=is_fake,split=side", "lacks the column side");
    refused("path=clip,truth=is_fake", "there is no column `truth`");
    refused("path=clip,label", "found `label`");
    let named = evaluate(&["--data", list.to_str().unwrap(), "--columns", "path=clip, label=is_fake"]);
    assert_eq!(named["sets"][0]["overall"]["videos"], 2);
    assert!(named["sets"][0]["methods"].to_string().contains("lipsync"), "{}", named["sets"][0]);

    fs::write(&list, "path,label\na.mp4,real\nb.mp4,real\n").unwrap();
    // A set of which nothing can be read does not keep the others from being measured; alone, it is an error.
    let broken = tempfile::tempdir().unwrap();
    fs::create_dir(broken.path().join("fake")).unwrap();
    fs::write(broken.path().join("fake/broken.mp4"), b"no video").unwrap();
    let [list, broken] = [list.as_path(), broken.path()].map(|path| path.to_str().unwrap());
    let sets = evaluate(&["--data", broken, list])["sets"].clone();
    assert_eq!((&sets[0]["overall"]["videos"], &sets[1]["overall"]["videos"]), (&Value::from(0), &Value::from(2)));
    assert_eq!(sets[0]["unreadable"][0]["path"], "fake/broken.mp4");
    let mut alone = dfdetect(&["evaluate", "--data", broken, "--checkpoint"]);
    let output = alone.arg(trained().checkpoint()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none of 1 videos can be read"));
}

#[test]
fn a_prediction_is_the_score_that_evaluate_gives() {
    let data = trained().data();
    let output = trained().folder.path().join("scores");
    let checkpoint = with_temperature(1.7);
    let with = |command| {
        let mut command = dfdetect(&[command, "--checkpoint"]);
        command.arg(checkpoint.path());
        command
    };
    succeed(with("evaluate").arg("--output").arg(&output).arg("--data").arg(&data));
    let list = rows(&output.join("predictions.csv"));
    let predictions = json(with("predict").arg(&data)).as_array().unwrap().clone();
    assert_eq!(predictions.len(), list.len());
    for (prediction, row) in predictions.iter().zip(&list) {
        assert!(prediction["path"].as_str().unwrap().ends_with(&row["path"]), "{prediction} {row:?}");
        let (score, expected) = (prediction["score"].as_f64().unwrap(), row["score"].parse::<f64>().unwrap());
        assert!((score - expected).abs() < 1e-6, "{prediction}: {expected}");
        let calibrated = prediction["calibrated"].as_f64().unwrap();
        assert!((calibrated - row["calibrated"].parse::<f64>().unwrap()).abs() < 1e-6);
        let logit = (score / (1.0 - score)).ln();
        assert!((calibrated - 1.0 / (1.0 + (-logit / 1.7).exp())).abs() < 1e-9, "{prediction}");
        let is_fake = prediction["verdict"] == "fake";
        assert_eq!(is_fake, score >= 0.5);
        let confidence = prediction["confidence"].as_f64().unwrap();
        assert_eq!(confidence, if is_fake { calibrated } else { 1.0 - calibrated });
    }
}

#[test]
fn segments_follow_the_video_in_time_and_the_threshold_decides() {
    let video = trained().data().join("real/id3_a.mp4");
    let csv = trained().folder.path().join("segments.csv");
    let four = predict(&[&video], &["--clips", "4", "--threshold", "0", "--csv", csv.to_str().unwrap()]).remove(0);
    let segments = four["segments"].as_array().unwrap();
    assert_eq!((segments.len(), four["verdict"].as_str()), (4, Some("fake")));
    let times: Vec<f64> = segments.iter().map(|segment| segment["to_secs"].as_f64().unwrap()).collect();
    // 16 frames at 25 a second.
    assert!(times.iter().zip([0.16, 0.32, 0.48, 0.64]).all(|(a, b)| (a - b).abs() < 0.021), "{times:?}");
    let mean = segments.iter().map(|segment| segment["score"].as_f64().unwrap()).sum::<f64>() / 4.0;
    assert!((four["score"].as_f64().unwrap() - mean).abs() < 1e-9);
    let list = rows(&csv);
    assert_eq!((list.len(), list[3]["clip"].as_str()), (4, "4"));
    let checkpoint = with_temperature(1.7);
    let mut max = dfdetect(&["predict", "--clips", "4", "--pool", "max", "--checkpoint"]);
    let highest = json(max.arg(checkpoint.path()).arg(&video))[0].clone();
    assert!(highest["calibrated"].is_null(), "no temperature is known of highest scores: {highest}");
    let highest = highest["score"].as_f64().unwrap();
    assert!(segments.iter().any(|segment| (segment["score"].as_f64().unwrap() - highest).abs() < 1e-9));
    assert_eq!(predict(&[&video], &["--threshold", "1"]).remove(0)["verdict"], "real");
}

#[test]
fn what_has_no_score_says_why_and_the_rest_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_video(&at("good.mp4"), &SETTINGS, 16, 1);
    write_video(&at("short.mp4"), &SETTINGS, 2, 1);
    fs::write(at("broken.mp4"), b"no video").unwrap();
    fs::write(at("note.txt"), b"no video").unwrap();
    let pattern = at("*ood.mp4");
    let predictions = predict(&[&at("short.mp4"), &at("broken.mp4"), &pattern, &at("gone.mp4"), &at("no*thing")], &[]);
    let of = |name: &str| predictions.iter().find(|p| p["path"].as_str().unwrap().ends_with(name)).unwrap();
    assert_eq!(predictions.len(), 5);
    assert!(of("good.mp4")["score"].is_f64());
    for (name, reason) in
        [("short.mp4", "frames"), ("broken.mp4", ""), ("gone.mp4", "no such file"), ("no*thing", "no such file")]
    {
        let prediction = of(name);
        assert_eq!((prediction["verdict"].as_str(), &prediction["score"]), (Some("unknown"), &Value::Null), "{name}");
        assert!(prediction["error"].as_str().unwrap().contains(reason), "{prediction}");
    }

    let faces = predict(&[&at("good.mp4")], &["--faces", "crop"]).remove(0);
    assert!(faces["error"].as_str().unwrap().contains("no face") && faces["score"].is_null(), "{faces}");

    let nothing =
        dfdetect(&["predict", "--checkpoint"]).arg(trained().checkpoint()).arg(at("gone.mp4")).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2), "{}", String::from_utf8_lossy(&nothing.stderr));
}

#[test]
fn a_list_can_come_from_another_program() {
    let mut command = dfdetect(&["predict", "--json", "--checkpoint"]);
    command.arg(trained().checkpoint()).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let list = format!("{0}/real/id1_a.mp4\n\n{0}/fake/swap/id1_a.mp4\n", trained().data().display());
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let predictions: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(predictions.iter().filter(|prediction| prediction["score"].is_f64()).count(), 2);
}

#[test]
fn an_explanation_is_a_sheet_and_a_video_of_the_clip_that_speaks_most() {
    let folder = trained().folder.path().join("explained");
    let video = trained().data().join("fake/swap/id2_a.mp4");
    let args = ["--explain", folder.to_str().unwrap(), "--clips", "2"];
    let prediction = predict(&[&video], &args).remove(0);
    let sheet = image::open(prediction["explanation"].as_str().unwrap()).unwrap();
    assert!(sheet.width() > 4 * 192 && sheet.height() > 2 * 192, "{sheet:?}");
    // Four frames of 32 pixels, enlarged: a video that this program reads itself.
    let movie = folder.join("001-id2_a.mp4");
    let info = dfdetect::video::probe(
        &dfdetect::dataset::Footage::video(movie),
        &dfdetect::video::ClipSpec::uniform(4, 32, 32, 1),
    );
    let info = info.unwrap();
    assert_eq!((info.frames, info.width, info.height), (4, 320, 320));
}
