//! What bad input gets, through the binary: the right exit code, one sentence with cause and place, a hint, and nothing
//! half-written.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use dfdetect::demo::{VideoSettings, VideoWriter};
use serde_json::Value;
use tempfile::TempDir;

/// The smallest training there is.
const SMALL: &str = "
experiment: { name: tiny }
model: { backbone: resnet18, pretrained: none, temporal: mean }
data: { max_frames: 2, frame_size: [32, 32], faces: { mode: off } }
training: { epochs: 1, limit_batches: 1, batch_size: 2 }
dataloader: { num_workers: 1 }
gpu: { device: cpu, mixed_precision: off }
";

/// A folder of its own for a test, with `small.yaml` in it.
struct Case(TempDir);

impl Case {
    fn new() -> Self {
        let case = Self(tempfile::tempdir().unwrap());
        case.write("small.yaml", SMALL);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// `videos` names below `folder`, all of them the same good video.
    fn data(&self, folder: &str, videos: impl IntoIterator<Item = String>) {
        videos.into_iter().for_each(|name| self.write(&format!("{folder}/{name}"), &*VIDEO));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        command.current_dir(self.0.path()).env("RUST_BACKTRACE", "1").args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn train(&self, args: &[&str]) -> Output {
        self.run(&[&["train", "--config", "small.yaml", "--output", "out"], args].concat())
    }

    /// The run ends with `code` and one error that has all of `parts` in it, and leaves no run folder.
    #[track_caller]
    fn refuses(&self, args: &[&str], code: i32, parts: &[&str]) {
        explains(&self.run(args), code, parts);
        assert_eq!(self.runs().len(), 0, "{args:?} left a run folder");
    }

    #[track_caller]
    fn train_refuses(&self, args: &[&str], parts: &[&str]) {
        self.refuses(&[&["train", "--config", "small.yaml", "--output", "out"], args].concat(), 2, parts);
    }

    fn runs(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("out")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

static VIDEO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp4");
    let settings = VideoSettings { width: 64, height: 64, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(&path, &settings).unwrap();
    for frame in 0..12 {
        writer.write(&(0..64 * 64 * 3).map(|i| (i + frame * 9) as u8).collect::<Vec<_>>()).unwrap();
    }
    writer.finish().unwrap();
    fs::read(path).unwrap()
});

/// Six real and six fake videos.
fn twelve() -> impl Iterator<Item = String> {
    ["real", "fake"].into_iter().flat_map(|class| (0..6).map(move |person| format!("{class}/id{person}_a.mp4")))
}

/// A case with a data set `data` and a finished run `run`; each test copies what it breaks.
static TRAINED: LazyLock<Case> = LazyLock::new(|| {
    let case = Case::new();
    case.data("data", twelve());
    succeeds(&case.train(&["--data", "data"]));
    fs::rename(&case.runs()[0], case.path("run")).unwrap();
    case
});

/// A copy of the finished run, to be broken.
fn trained() -> Case {
    let case = Case::new();
    let mut copy = Command::new("cp");
    copy.arg("-a").args([TRAINED.path("run"), TRAINED.path("data")]).arg(case.0.path());
    assert!(copy.status().unwrap().success());
    case
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

#[track_caller]
fn explains(output: &Output, code: i32, parts: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    let at = text.find("error: ").expect("there is an error");
    let (log, error) = text.split_at(at);
    assert_eq!(error.lines().count(), 2, "one sentence and one hint: {text}");
    assert!(error.lines().last().unwrap().starts_with("  hint: "), "{text}");
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    for word in ["panicked", "backtrace", "RUST_", "src/"] {
        assert!(!text.contains(word), "{text}");
    }
    assert!(log.lines().all(|line| line.contains("INFO") || line.contains("WARN")), "{log}");
    // The same reason is not said twice.
    for reason in error.split(": ").filter(|reason| reason.contains("os error")) {
        assert_eq!(error.matches(reason.trim()).count(), 1, "{error}");
    }
}

/// Names of temporary files below a folder.
fn partial(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("partial") {
            found.push(path);
        } else if path.is_dir() && !path.is_symlink() {
            found.extend(partial(&path));
        }
    }
    found
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_data_folder_that_cannot_be_used() {
    let case = Case::new();
    case.write("file", "");
    fs::create_dir(case.path("empty")).unwrap();
    case.data("one_class", ["real/id0.mp4".to_owned()]);
    case.data("two", ["real/id0.mp4", "fake/id1.mp4"].map(String::from));
    for (folder, part) in [
        ("missing", "missing: there is no such folder"),
        ("file", "file: this is a file, not a folder"),
        ("empty", "empty: there is no folder `real`"),
        ("one_class", "one_class: there is no folder `fake`; the folders in it are `real`"),
        ("two", "two: 1 real and 1 fake videos"),
    ] {
        case.train_refuses(&["--data", folder], &[part]);
    }
}

#[test]
fn a_configuration_that_cannot_be_used() {
    let case = Case::new();
    case.write("broken.yaml", "training: [1,\n");
    case.write("typo.yaml", "seed: 1\ntraining:\n  batchsize: 4\n");
    case.write("strange.yaml", "seed: 1\nxyzzy: 4\n");
    case.write("binary.yaml", [0xff, 0xfe, 0]);
    for (file, parts) in [
        ("missing.yaml", &["missing.yaml: cannot read"][..]),
        (".", &[".: cannot read"]),
        ("broken.yaml", &["broken.yaml:2", "not valid YAML"]),
        ("typo.yaml", &["typo.yaml:3: training.batchsize", "hint: did you mean `training.batch_size`?"]),
        ("strange.yaml", &["strange.yaml:2: xyzzy", "hint: "]),
        ("binary.yaml", &["binary.yaml"]),
    ] {
        case.refuses(&["train", "--config", file], 2, parts);
    }
    for (set, parts) in [
        ("model.attention_heads=3", &["3 heads do not divide"][..]),
        ("data.val_split=1.5", &["data.val_split: found 1.5", "0 to 0.9"]),
        ("data.frame_size=[-1, 32]", &["data.frame_size[0]", "-1"]),
        ("data.frame_size=[", &["not YAML"]),
        ("training.epochs=many", &["training.epochs", "many"]),
        ("seed.deep=1", &["seed"]),
        ("no.such=1", &["no such key"]),
        ("nonsense", &["no `=`", "training.batch_size=4"]),
    ] {
        let place = format!("--set {set}");
        let parts: Vec<_> = parts.iter().copied().chain([place.as_str()]).collect();
        let heads = ["--set", "model.temporal=lstm_attention", "--set", set];
        case.train_refuses(&heads, &parts);
    }
    case.data("data", twelve());
    case.train_refuses(&["--data", "data", "--device", "cuda:63"], &["gpu.device: cuda:63 is asked for"]);
}

#[test]
fn an_output_folder_that_cannot_be_written() {
    let case = Case::new();
    case.data("data", twelve());
    case.write("file", "");
    fs::create_dir(case.path("locked")).unwrap();
    fs::set_permissions(case.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let mut outputs = vec![("file/out", "Not a directory"), ("/proc/out", "No such file")];
    // Permissions do not bind root.
    if fs::create_dir(case.path("locked/probe")).is_err() {
        outputs.push(("locked/out", "Permission denied"));
    }
    for (output, reason) in outputs {
        let args = ["train", "--config", "small.yaml", "--data", "data", "--output", output];
        case.refuses(&args, 1, &[&format!("{output}: the run's folder cannot be made: {reason}"), "--output"]);
    }
}

#[test]
fn a_run_that_is_not_there() {
    let case = Case::new();
    case.data("data", twelve());
    case.write("file", "");
    fs::create_dir(case.path("empty")).unwrap();
    case.refuses(&["train", "--resume"], 2, &["runs: there is no run with a checkpoint"]);
    for name in ["empty", "file", "missing"] {
        case.refuses(&["train", "--resume", name], 2, &[name, "the checkpoint cannot be read"]);
        let args = ["evaluate", "--checkpoint", name, "--data", "data"];
        case.refuses(&args, 2, &[&format!("{name}/model.safetensors: the checkpoint cannot be read")]);
    }
    case.refuses(&["evaluate", "--run", "empty"], 2, &["empty", "the checkpoint cannot be read"]);
    assert_eq!(fs::read_dir(case.path("empty")).unwrap().count(), 0);
}

#[test]
fn a_damaged_checkpoint() {
    let case = trained();
    let model = case.path("run/checkpoints/last/model.safetensors");
    let whole = fs::read(&model).unwrap();
    let huge_header = [&u64::MAX.to_le_bytes()[..], &whole[8..1000]].concat();
    let noise: Vec<u8> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [&whole[..whole.len() / 2], &whole[..4], &[], &huge_header, &noise] {
        fs::write(&model, bytes).unwrap();
        let parts = ["last/model.safetensors: this is not a whole safetensors file", "another checkpoint"];
        let args = ["evaluate", "--checkpoint", "run/checkpoints/last", "--data", "data"];
        explains(&case.run(&args), 1, &parts);
    }
    explains(&case.run(&["train", "--resume", "run"]), 1, &["last/model.safetensors: this is not a whole"]);
    fs::write(&model, &whole).unwrap();

    let before = fs::read(case.path("run/metrics.jsonl")).unwrap();
    for (name, part) in [
        ("state.json", "state.json: this is not the state of a run"),
        ("optimizer.safetensors", "optimizer.safetensors: this is not a whole safetensors file"),
    ] {
        let path = model.with_file_name(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        explains(&case.run(&["train", "--resume", "run", "--epochs", "2"]), 1, &[part]);
        fs::write(&path, whole).unwrap();
    }
    fs::write(case.path("run/manifest.json"), "{").unwrap();
    explains(&case.run(&["evaluate", "--run", "run"]), 1, &["run/manifest.json: this is not a manifest"]);
    assert_eq!(fs::read(case.path("run/metrics.jsonl")).unwrap(), before, "a run that cannot go on is not touched");
}

#[test]
fn a_checkpoint_that_does_not_fit() {
    let case = trained();
    let other = ["train", "--resume", "run", "--epochs", "2", "--set", "model.backbone=resnet34"];
    explains(&case.run(&other), 2, &["last/model.safetensors: the checkpoint is of another architecture", "model.*"]);
    // The videos of the run have moved, all or one class of them.
    let resume = ["train", "--resume", "run", "--epochs", "2"];
    fs::rename(case.path("data/fake"), case.path("fake")).unwrap();
    explains(&case.run(&[&resume[..], &["--data", "nowhere"]].concat()), 2, &["/nowhere: there is no", "--data"]);
    explains(&case.run(&[&resume[..], &["--data", "data"]].concat()), 2, &["no fake video"]);
    assert!(case.path("run/report.json").is_file() && partial(&case.path("run")).is_empty());
    fs::rename(case.path("fake"), case.path("data/fake")).unwrap();
    succeeds(&case.run(&[&resume[..], &["--data", "data"]].concat()));
}

/// A write beyond `limit_blocks` of 512 bytes fails like one on a full disk.
fn on_a_full_disk(case: &Case, limit_blocks: u32, args: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {limit_blocks}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.current_dir(case.0.path()).arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_dfdetect")).args(args);
    command.output().unwrap()
}

#[test]
fn a_full_disk() {
    let case = trained();
    // Not even the configuration fits.
    let args = ["train", "--config", "small.yaml", "--data", "data", "--output", "out"];
    explains(&on_a_full_disk(&case, 0, &args), 1, &["config.yaml: cannot be written", "File too large"]);
    assert_eq!(case.runs().len(), 0);
    // All but the weights fits.
    explains(&on_a_full_disk(&case, 2000, &args), 1, &["model.safetensors: the checkpoint cannot be written", "space"]);
    let run = case.runs().remove(0);
    assert_eq!((partial(&run), fs::read_dir(run.join("checkpoints")).unwrap().count()), (Vec::new(), 0));
    assert_eq!(json(run.join("report.json"))["status"], "failed");
    // The weights fit, the optimizer's moments do not; the checkpoint before is whole.
    let resume = ["train", "--resume", "run", "--epochs", "2", "--data", "data"];
    let blocks = fs::metadata(case.path("run/checkpoints/last/model.safetensors")).unwrap().len() / 512 + 100;
    let parts = ["optimizer.safetensors: the checkpoint cannot be written", "the previous checkpoint is untouched"];
    explains(&on_a_full_disk(&case, blocks as u32, &resume), 1, &parts);
    assert_eq!((partial(&case.path("run")), json(case.path("run/report.json"))["epochs"].as_u64()), (vec![], Some(2)));
    succeeds(&case.run(&["evaluate", "--run", "run", "--data", "data"]));
    succeeds(&case.run(&resume));
}

#[test]
fn some_broken_videos_are_named_and_the_rest_is_learned_from() {
    let case = Case::new();
    case.data("data", twelve());
    // Each goes where its person goes, and there are good videos of these.
    let broken = ["fake/id0_b.mp4", "fake/id1_b.mp4", "real/id2_b.mp4"];
    let contents = [&VIDEO[..VIDEO.len() / 3], b"", b"this is no video\n"];
    broken.iter().zip(contents).for_each(|(name, bytes)| case.write(&format!("data/{name}"), bytes));
    let output = case.train(&["--data", "data"]);
    succeeds(&output);
    let run = case.runs().remove(0);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("3 of 15 videos were skipped"), "{stdout}");
    for list in [&json(run.join("manifest.json"))["skipped"], &json(run.join("report.json"))["data"]["skipped_videos"]]
    {
        let mut named: Vec<_> = list.as_array().unwrap().iter().collect();
        named.sort_by_key(|video| video["path"].as_str().unwrap());
        assert_eq!(named.iter().map(|video| &video["path"]).collect::<Vec<_>>(), broken);
        for video in named {
            let [path, reason] = ["path", "reason"].map(|key| video[key].as_str().unwrap());
            assert!(!reason.is_empty() && stdout.contains(&format!("{path}: {reason}")), "{stdout}");
        }
    }
    assert!(partial(&run).is_empty());
}

#[test]
fn a_side_of_broken_videos_is_filled_with_others() {
    let case = trained();
    let videos = json(case.path("run/manifest.json"))["videos"].clone();
    let tested = videos.as_array().unwrap().iter().filter(|video| video["split"] == "test");
    tested.for_each(|video| case.write(&format!("data/{}", video["path"].as_str().unwrap()), "no video"));
    let output = case.train(&["--data", "data"]);
    succeeds(&output);
    assert!(stderr(&output).contains("(test): those that can be used are divided anew"), "{}", stderr(&output));
    let report = json(case.runs().remove(0).join("report.json"));
    assert!(report["test"]["video_auc"].is_number(), "{report}");
}

#[test]
fn a_class_of_broken_videos_alone() {
    let case = trained();
    case.data("broken", twelve());
    twelve().filter(|name| name.starts_with("fake")).for_each(|name| case.write(&format!("broken/{name}"), "no video"));
    case.train_refuses(&["--data", "broken"], &["no fake video of the train split can be used (6 videos", "fake/id"]);
    twelve().for_each(|name| case.write(&format!("broken/{name}"), ""));
    case.refuses(&["evaluate", "--run", "run", "--data", "broken"], 2, &["none of 12 videos can be read", "empty"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for args in [&["config", "schema"][..], &["config", "show"], &["meminfo"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Case::new().command(args).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn usage() {
    let case = Case::new();
    for (args, code, part) in [
        (&[][..], 2, "Usage: dfdetect"),
        (&["--help"], 0, "Usage: dfdetect"),
        (&["train", "--help"], 0, "--resume"),
        (&["tarin"], 2, "a similar subcommand exists: 'train'"),
        (&["train"], 2, "--config <FILE>"),
        (&["train", "--config", "small.yaml", "--epochs", "-1"], 2, "-1"),
        (&["evaluate"], 2, "--run"),
    ] {
        let output = case.run(args);
        let text = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(part) && !text.contains("panicked"), "{args:?}: {text}");
        assert_eq!(output.stdout.is_empty(), code != 0, "help that was asked for is data, an error is not");
    }
}
