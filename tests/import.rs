//! Files with the layouts of published detectors, made in PyTorch with made-up weights, score here as their own code does,
//! and are detectors like any other. `make_published.py` has the networks.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod data_support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use data_support::{SETTINGS, write_video};
use dfdetect::config::Config;
use dfdetect::model::{Detector, Mode};
use dfdetect::run::StoredCheckpoint;
use dfdetect::torch::Format;
use serde::Deserialize;
use tch::{Device, Tensor};

fn dfdetect() -> Command {
    Command::new(env!("CARGO_BIN_EXE_dfdetect"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `make_published.py` says of a detector.
#[derive(Deserialize)]
struct Published {
    name: String,
    file: String,
    side: i64,
    /// Softmax of fake, of each picture.
    probabilities: Vec<f64>,
}

fn published(folder: &Path, names: &[&str]) -> Vec<Published> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".deps/venv/bin/python");
    assert!(python.exists(), "{} is missing: scripts/setup.sh --tests makes it", python.display());
    let output =
        Command::new(python).arg(root.join("tests/make_published.py")).arg(folder).args(names).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The probabilities of fake that an imported detector gives.
fn probabilities(config: &Config, stored: &StoredCheckpoint, pixels: &[u8], side: i64) -> Vec<f64> {
    let detector = Detector::new(&config.model, Device::Cpu, Format::F32, true).unwrap();
    stored.checkpoint.load_eval_model(detector.parameters()).unwrap();
    let frames_bthwc = Tensor::from_slice(pixels).view([-1, 1, side, side, 3]);
    let logits_b = tch::no_grad(|| detector.forward(&frames_bthwc, Mode::Evaluate).unwrap().clips_b);
    Vec::try_from(logits_b.sigmoid().to_kind(tch::Kind::Double)).unwrap()
}

#[test]
fn published_detectors_score_as_their_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["gend", "sbi", "xception", "xception_with_dropout", "efficientnetb4", "resnet34", "clip"];
    for Published { name, file, side, probabilities: expected } in published(folder.path(), &names) {
        let (file, output) = (folder.path().join(file), folder.path().join(format!("detectors/{name}")));
        let publisher = if ["gend", "sbi"].contains(&name.as_str()) { name.as_str() } else { "deepfakebench" };
        let import = dfdetect().args(["import", "--from", publisher]).arg(&file).arg("--output").arg(&output).output();
        let import = import.unwrap();
        assert!(import.status.success(), "{name}: {}", stderr(&import));
        let said = stdout(&import);
        let leaves_out = |part: &str| said.contains(part);
        assert_eq!(leaves_out("visual_projection.weight"), name == "gend", "{said}");
        assert_eq!(leaves_out("adjust_channel.0.weight"), name.starts_with("xception"), "{said}");

        let stored = StoredCheckpoint::of_run(&output).unwrap();
        let config = stored.checkpoint.config.clone();
        assert_eq!(config.data.frame_size, [side as usize; 2], "{name}");
        let pixels = fs::read(folder.path().join(format!("{name}.u8"))).unwrap();
        let found = probabilities(&config, &stored, &pixels, side);
        let spread = expected.iter().fold(0.0_f64, |most, p| most.max((p - expected[0]).abs()));
        assert!(spread > 0.1 && found.len() == expected.len(), "{name}: {expected:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4, "{name}: {found} is not {expected}");
        }
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn an_imported_detector_predicts_is_exported_and_trained_further() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    published(folder.path(), &["resnet34"]);
    let import = || {
        let mut import = dfdetect();
        import.args(["import", "--from", "deepfakebench"]).arg(at("resnet34.pth")).arg("--output").arg(at("detector"));
        import.output().unwrap()
    };
    let first = import();
    assert!(first.status.success(), "{}", stderr(&first));
    let again = import();
    assert!(again.status.code() == Some(2) && stderr(&again).contains("this is there already"), "{}", stderr(&again));

    for (class, salt) in [("real", 0), ("fake", 10)] {
        for number in 0..5 {
            write_video(&at(&format!("data/{class}/{number}.mp4")), &SETTINGS, 10, salt + number);
        }
    }
    let run = |arguments: &[&str], folders: &[(&str, &str)]| {
        let mut command = dfdetect();
        command.args(arguments).current_dir(folder.path());
        for (flag, name) in folders {
            command.args([*flag, name]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        output
    };
    let small = ["--device", "cpu", "--faces", "off"];
    let predicted = run(&[&["predict", "data/fake/0.mp4", "--json"][..], &small].concat(), &[("--run", "detector")]);
    assert!(stdout(&predicted).contains("\"score\""), "{}", stdout(&predicted));
    let evaluated = run(&["evaluate", "--data", "data", "--device", "cpu", "--json"], &[("--run", "detector")]);
    assert!(stdout(&evaluated).contains("\"video_auc\""), "{}", stdout(&evaluated));
    run(&["export", "--format", "onnx"], &[("--run", "detector"), ("--output", "detector.onnx")]);
    let quick = "data.max_frames=4 data.min_frames=4 data.frames_per_epoch=1 data.frame_size=[64,64] data.faces.mode=off \
                 training.epochs=1 training.batch_size=2 training.limit_batches=1 gpu.device=cpu cache.enable_cache=false";
    let quick: Vec<_> = quick.split_whitespace().flat_map(|setting| ["--set", setting]).collect();
    let trained = run(
        &[&["train"][..], &quick].concat(),
        &[("--config", "detector/config.yaml"), ("--data", "data"), ("--output", "runs")],
    );
    let first_weights = format!("first weights: all of {}", at("detector/checkpoints/best").display());
    assert!(stderr(&trained).contains(&first_weights), "{}", stderr(&trained));
    let report = fs::read_dir(at("runs")).unwrap().next().unwrap().unwrap().path().join("report.json");
    assert!(fs::read_to_string(report).unwrap().contains("\"video_auc\""));
}

const HINT: &str = "hint: docs/published-detectors.md says which files can be imported";

#[test]
fn what_is_no_such_detector_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    published(folder.path(), &["resnet34", "resnet34_with_more", "resnet34_with_nan"]);
    let output = folder.path().join("detectors/a");
    let mut truncated = fs::read(folder.path().join("resnet34.pth")).unwrap();
    truncated.truncate(truncated.len() / 2);
    fs::write(folder.path().join("half.pth"), truncated).unwrap();
    for (publisher, file, reason) in [
        ("sbi", "resnet34.pth", "none ends with `net._conv_stem.weight`"),
        ("gend", "resnet34.pth", "these are not weights of such a detector"),
        ("deepfakebench", "resnet34_with_more.pth", "it has `module.backbone.attention.bias` besides"),
        ("deepfakebench", "resnet34_with_nan.pth", "not finite"),
        ("deepfakebench", "half.pth", "these are not weights of such a detector"),
        ("deepfakebench", "missing.pth", "cannot be read"),
    ] {
        let mut import = dfdetect();
        import.args(["import", "--from", publisher]).arg(folder.path().join(file)).arg("--output").arg(&output);
        let import = import.output().unwrap();
        let said = stderr(&import);
        assert!(import.status.code() == Some(2) && said.contains(reason) && said.contains(HINT), "{file}: {said}");
        assert!(!output.exists() && !output.parent().unwrap().exists(), "{file}");
    }
}
