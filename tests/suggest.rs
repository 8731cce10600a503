//! `dfdetect suggest` as a user runs it: configuration files in, advice out, advice applied.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::path::PathBuf;
use std::process::{Command, Output};

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
    assert!(text.lines().all(|line| line.starts_with("dfdetect") || line.chars().count() <= 120), "{text}");
    let command = text.lines().last().unwrap();
    let start = format!("dfdetect train --config '{}' --set data.max_frames=24 ", case.config.display());
    assert!(command.starts_with(&start), "{command}");
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

#[test]
fn help_ends_with_two_examples() {
    let help = String::from_utf8(Case::new("").suggest(&["--help"]).stdout).unwrap();
    assert!(help.lines().rev().take(2).all(|line| line.trim().starts_with("dfdetect suggest")), "{help}");
}
