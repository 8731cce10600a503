//! `dfdetect suggest` as a user runs it: configuration files in, advice out, advice applied.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A configuration that wants 12 clips of 32 frames through a ResNet-50.
const LARGE: &str = "model: { backbone: resnet50 }\ndata: { max_frames: 32 }\ntraining: { batch_size: 12 }\n";

struct Case {
    _folder: TempDir,
    config: PathBuf,
}

impl Case {
    fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("my config.yaml");
        std::fs::write(&config, yaml).unwrap();
        Self { _folder: folder, config }
    }

    fn suggest(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        command.arg("suggest").arg("--config").arg(&self.config).args(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.suggest(&[args, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn json_has_the_keys_that_other_programs_rely_on() {
    let json = Case::new(LARGE).json(&["--gpu", "rtx4070"]);
    assert_eq!(json["device"]["name"], "rtx4070");
    assert_eq!(json["device"]["memory_bytes"], 12u64 << 30);
    assert_eq!(json["device"]["source"], "given");
    let parts = json["estimate"]["breakdown"].as_object().unwrap();
    let sum: u64 = parts.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(json["estimate"]["peak_bytes"], sum);
    for part in ["weights", "gradients", "optimizer", "activations", "workspace", "context", "other"] {
        assert!(parts.contains_key(part), "{part}");
    }
    assert_eq!(json["fits"], false);
    for change in json["suggestions"].as_array().unwrap() {
        assert!(
            change["key"].is_string() && change["reason"].is_string() && change["saves_bytes"].is_i64(),
            "{change}"
        );
        assert!(change.get("current").is_some() && change.get("proposed").is_some(), "{change}");
    }
    assert!(json["recommended"].as_object().unwrap().contains_key("training.batch_size"));
    assert!(json.as_object().unwrap().get("measured").unwrap().is_null());
}

#[test]
fn what_is_recommended_fits_when_it_is_applied() {
    for (gpu, yaml) in [
        ("rtx4070", LARGE),
        ("rtx4060", "training: { batch_size: 32, gradient_accumulation: 3 }\ngpu: { mixed_precision: off }\n"),
        ("t4", "data: { frame_size: [512, 384], max_frames: 64 }\nmodel: { backbone: resnet101 }\n"),
    ] {
        let case = Case::new(yaml);
        let before = case.json(&["--gpu", gpu]);
        assert_eq!(before["fits"], false, "{gpu}");
        let mut args = vec!["--gpu".to_owned(), gpu.to_owned()];
        for (key, value) in before["recommended"].as_object().unwrap() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            args.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        let after = case.json(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(after["fits"], true, "{gpu}: {}", before["recommended"]);
        assert_eq!(after["suggestions"].as_array().unwrap().len(), 0, "{gpu}: {}", after["suggestions"]);
    }
}

#[test]
fn tables_end_with_a_command_to_paste() {
    let case = Case::new(LARGE);
    let output =
        case.suggest(&["--gpu-memory", "12GiB", "--set", "data.max_frames=24", "--set", "training.batch_size=16"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("does not fit") && text.contains("activations"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("dfdetect") || line.chars().count() <= 80), "{text}");
    let command = text[text.find("dfdetect train").unwrap()..].replace(" \\\n  ", " ");
    let start = format!("dfdetect train --config '{}' --set data.max_frames=24 ", case.config.display());
    assert!(command.starts_with(&start) && command.trim_end().lines().count() == 1, "{command}");
    assert_eq!(command.matches("training.batch_size=").count(), 1, "{command}");
    assert!(!command.contains("training.batch_size=16"), "{command}");
}

#[test]
fn without_a_gpu_the_cpu_is_judged() {
    let json = Case::new("gpu: { device: cpu }\ntraining: { batch_size: 1 }\n").json(&[]);
    assert_eq!(json["device"]["source"], "cpu");
    assert_eq!(json["estimate"]["breakdown"]["context"], 0);
    assert!(json["device"]["memory_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn wrong_usage_ends_with_code_2_and_says_what_is_allowed() {
    let case = Case::new(LARGE);
    for (args, part) in [
        (&["--gpu", "voodoo2"][..], "rtx4070-laptop"),
        (&["--gpu", "rtx4071"], "did you mean rtx4070 (12 GiB)?"),
        (&["--gpu", "t4", "--measure"], "cannot be used with"),
        (&["--set", "training.batch_size=many"], "expected auto or a whole number of clips"),
        (&["--set", "training.batch_size=0"], "allowed is 1 to 4096"),
        (&["--gpu-memory", "much"], "12GiB"),
        (&["--gpu-memory", "0"], "256MiB"),
        (&["--gpu", "t4", "--gpu-memory", "12GiB"], "cannot be used with"),
        (&["--set", "training.batchsize=1"], "did you mean `training.batch_size`?"),
        (&["--set", "gpu.device=cuda:63"], "--gpu-memory"),
    ] {
        let output = case.suggest(args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(message.contains(part) && output.stdout.is_empty(), "{args:?}: {message}");
    }
}

#[test]
fn gpu_names_are_read_as_people_write_them() {
    let case = Case::new("training: { batch_size: 1 }\n");
    for name in ["RTX 4070", "NVIDIA GeForce RTX 4070", "rtx-4070"] {
        assert_eq!(case.json(&["--gpu", name])["device"]["name"], "rtx4070", "{name}");
    }
}

/// So small that real steps take a moment; batches of 4, 2 or 1.
const TINY: &str = "model: { backbone: resnet18, pretrained: none, temporal: mean }
data: { max_frames: 2, frame_size: [32, 32] }
training: { batch_size: 4 }
gpu: { device: cpu, mixed_precision: off }
";

#[test]
fn measure_runs_real_steps_and_compares() {
    let case = Case::new(TINY);
    let json = case.json(&["--measure"]);
    let measured = &json["measured"];
    assert_eq!((&measured["batch_size"], &measured["steps"]), (&4.into(), &5.into()), "{measured}");
    let ratio = json["estimate"]["peak_bytes"].as_f64().unwrap() / measured["peak_bytes"].as_f64().unwrap();
    assert!((0.8..1.25).contains(&ratio), "predicted {ratio:.2} of what was measured");
    let evaluation = measured["evaluation_peak_bytes"].as_u64().unwrap();
    assert!(evaluation > 40 << 20 && evaluation < measured["peak_bytes"].as_u64().unwrap(), "{measured}");
    assert!(measured["clips_per_sec"].as_f64().unwrap() > 0.0);

    let text = String::from_utf8(case.suggest(&["--measure"]).stdout).unwrap();
    assert!(text.contains("4 clips, 5 steps: peak") && text.contains("training: predicted"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("dfdetect") || line.chars().count() <= 80), "{text}");
}

/// What `suggest --measure` and `training.batch_size: auto` start to try a size.
fn trial(config: &Case, limit_bytes: Option<u64>) -> Value {
    let config = dfdetect::config::load(&config.config, &[]).unwrap().config;
    let trial = dfdetect::train::Trial { config, phase: dfdetect::train::Phase::Train, steps: 2, limit_bytes };
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    let mut child = command.arg("trial-steps").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), &trial).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

/// The limit is a real one: a step fails a quarter below the prediction, and stays within a quarter above it. The limit
/// counts mapped memory and the prediction resident memory; oneDNN's kernels for SSE map a third more than they touch.
#[test]
fn a_step_fails_below_the_prediction_and_holds_above_it() {
    let case = Case::new(&TINY.replace("[32, 32]", "[96, 96]").replace("max_frames: 2", "max_frames: 4"));
    let predicted = case.json(&[])["estimate"]["peak_bytes"].as_u64().unwrap();
    let below = trial(&case, Some(predicted / 4 * 3));
    // libtorch's allocator, or oneDNN where it has no room for its scratch.
    let refused = ["allocate", "could not execute a primitive", "could not create a primitive"];
    let message = below["out_of_memory"]["message"].as_str().unwrap_or_else(|| panic!("{below}"));
    assert!(refused.iter().any(|text| message.contains(text)), "{below}");
    let above = trial(&case, Some(predicted / 2 * 3));
    assert!(above["done"]["peak_bytes"].as_u64().is_some_and(|peak| peak < predicted / 4 * 5), "{above}");
}

#[test]
fn what_is_written_is_what_was_recommended_and_is_not_overwritten() {
    let case = Case::new(LARGE);
    let out = case.config.with_file_name("mine.yaml");
    let path = out.to_str().unwrap();
    let written = case.suggest(&["--gpu", "rtx4070", "--write", path]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(
        text.contains("# was 12: fewer clips at once") && text.starts_with("# Made by `dfdetect suggest`"),
        "{text}"
    );
    let config = dfdetect::config::load(&out, &[]).unwrap().config;
    assert_eq!((config.training.effective_batch(), config.data.max_frames), (12, 32));
    assert!(config.training.batch_size.clips() < 12);

    let again = case.suggest(&["--gpu", "t4", "--write", path]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), text);
    assert!(case.suggest(&["--gpu", "t4", "--write", path, "--force"]).status.success());
    assert_ne!(std::fs::read_to_string(&out).unwrap(), text);
}

#[test]
fn an_automatic_batch_is_settled_by_what_fits() {
    let case = Case::new("training: { batch_size: auto, gradient_accumulation: 2 }\n");
    let size = |gpu: &str| {
        let json = case.json(&["--gpu", gpu]);
        assert_eq!(json["suggestions"][0]["current"], "auto", "{json}");
        assert_eq!(json["recommended"].get("training.gradient_accumulation"), None, "accumulation stays");
        assert!(json["estimate"]["peak_bytes"].as_u64() <= json["usable_bytes"].as_u64(), "{json}");
        json["recommended"]["training.batch_size"].as_u64().unwrap()
    };
    let (small, large) = (size("rtx4060"), size("h200"));
    assert!(small < large && large == 32, "{small} {large}");
}

#[test]
fn help_ends_with_two_examples() {
    let help = String::from_utf8(Case::new("").suggest(&["--help"]).stdout).unwrap();
    assert!(help.lines().rev().take(2).all(|line| line.trim().starts_with("dfdetect suggest")), "{help}");
}
