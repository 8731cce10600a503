//! Exported detectors say in Python what they say here: `check_exports.py` loads them as `docs/export.md` shows.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod data_support;
mod formula;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::ValueEnum;
use data_support::{SETTINGS, write_video};
use dfdetect::backbone::Backbone;
use dfdetect::config::{Config, ModelConfig, Temporal};
use dfdetect::export::{self, ExportMetadata, Format};
use dfdetect::model::{Detector, Mode};
use dfdetect::torch;
use dfdetect::train::{Checkpoint, Checkpoints};
use serde_json::{Value, json};
use tch::{CModule, Device, IValue, Kind, Tensor};

/// Clips and frames of what is computed at a time: fifty clips in all.
const SHAPES: [[i64; 2]; 5] = [[1, 1], [1, 5], [7, 1], [16, 4], [25, 3]];
/// Height and width; a mix-up of the two would show.
const SIZE: [usize; 2] = [40, 32];

/// Noise in frames of random colours, saved for Python, and the part of its cases that says where.
fn random_clips(folder: &Path) -> (Vec<Tensor>, Vec<Value>) {
    let make = |(i, [clips, frames]): (usize, [i64; 2])| {
        let shape = [clips, frames, SIZE[0] as i64, SIZE[1] as i64, 3];
        let colours_bt113 = Tensor::rand([clips, frames, 1, 1, 3], (Kind::Float, Device::Cpu));
        let frames_bthwc =
            (Tensor::randint(256, shape, (Kind::Float, Device::Cpu)) * colours_bt113).to_kind(Kind::Uint8);
        let file = format!("clips_{i}.u8");
        fs::write(folder.join(&file), Vec::<u8>::try_from(frames_bthwc.flatten(0, -1)).unwrap()).unwrap();
        (frames_bthwc, json!({"file": file, "shape": shape}))
    };
    SHAPES.into_iter().enumerate().map(make).unzip()
}

/// What the detector says of each: `[B]` and `[B, T]`.
fn logits(detector: &Detector, clips: &[Tensor]) -> Vec<[Tensor; 2]> {
    let _no_grad = tch::no_grad_guard();
    let of = |frames_bthwc| {
        let logits = detector.forward(frames_bthwc, Mode::Evaluate).unwrap();
        [logits.clips_b, logits.frames_bt]
    };
    clips.iter().map(of).collect()
}

/// The same as numbers in JSON.
fn in_json(logits: &[[Tensor; 2]]) -> Value {
    let row = |tensor: &Tensor| Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap();
    let rows = |tensor: &Tensor| tensor.unbind(0).iter().map(row).collect::<Vec<_>>();
    logits.iter().map(|[clips_b, frames_bt]| json!([row(clips_b), rows(frames_bt)])).collect()
}

/// The largest difference that Python finds, and how many clips it compared.
fn check_in_python(folder: &Path, cases: &Value) -> (f64, u64) {
    fs::write(folder.join("cases.json"), cases.to_string()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".deps/venv/bin/python");
    assert!(python.exists(), "{} is missing: scripts/setup.sh --tests makes it", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/check_exports.py")).arg(root.join("docs/export.md")).arg(folder);
    let found: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();
    (found["worst"].as_f64().unwrap(), found["clips"].as_u64().unwrap())
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn network(backbone: Backbone, temporal: Temporal, use_attention: bool) -> ModelConfig {
    let small = ModelConfig { hidden_dim: 16, num_layers: 2, attention_heads: 4, ..ModelConfig::default() };
    ModelConfig { backbone, temporal, use_attention, ..small }
}

fn normalized(model: ModelConfig) -> ModelConfig {
    ModelConfig { normalize_features: true, ..model }
}

fn deeper(model: ModelConfig) -> ModelConfig {
    ModelConfig { classifier_layers: Some(vec![24, 8, 1]), ..model }
}

/// A new LSTM hardly tells clips apart, nor does a classifier features of length 1 or those of an EfficientNet-Lite
/// with the formula's weights: their weights, multiplied.
fn enliven_head(detector: &Detector, model: &ModelConfig) {
    let _no_grad = tch::no_grad_guard();
    let is_lite = model.backbone.name().contains("lite");
    for parameter in detector.parameters().iter() {
        let factor = match parameter.name.as_str() {
            name if name.starts_with("head.lstm.weight") || name.starts_with("head.classifier") => 2.0,
            "head.fc.weight" if model.normalize_features || is_lite => 64.0,
            _ => continue,
        };
        parameter.tensor.shallow_clone().copy_(&(&parameter.tensor * factor));
    }
}

/// What libtorch makes of a TorchScript file, without Python.
fn assert_same_in_libtorch(file: &[u8], clips: &[Tensor], expected: &[[Tensor; 2]]) {
    let _no_grad = tch::no_grad_guard();
    let module = CModule::load_data(&mut &*file).unwrap();
    for (frames_bthwc, expected) in clips.iter().zip(expected) {
        let outputs = module.forward_is(&[IValue::Tensor(frames_bthwc.shallow_clone())]).unwrap();
        let IValue::Tuple(outputs) = outputs else { panic!("not a tuple: {outputs:?}") };
        for (output, expected) in outputs.into_iter().zip(expected) {
            let IValue::Tensor(output) = output else { panic!("not a tensor: {output:?}") };
            assert_eq!(output.size(), expected.size());
            assert!((output - expected).abs().max().double_value(&[]) < 1e-4);
        }
    }
}

#[test]
fn python_says_the_same_of_fifty_random_clips() {
    tch::manual_seed(3);
    let folder = tempfile::tempdir().unwrap();
    let (clips, shown) = random_clips(folder.path());
    let networks = [
        ("resnet18-mean", network(Backbone::Resnet18, Temporal::Mean, false)),
        ("resnet50-mean", network(Backbone::Resnet50, Temporal::Mean, false)),
        ("resnet18-lstm", deeper(network(Backbone::Resnet18, Temporal::LstmAttention, false))),
        ("resnet18-attention", network(Backbone::Resnet18, Temporal::LstmAttention, true)),
        ("resnet50-attention", network(Backbone::Resnet50, Temporal::LstmAttention, true)),
        ("lite0-mean", network(Backbone::EfficientnetLite0, Temporal::Mean, false)),
        ("convnext-attention", network(Backbone::ConvnextTiny, Temporal::LstmAttention, true)),
        ("b0-mean", network(Backbone::EfficientnetB0, Temporal::Mean, false)),
        ("deepfakebench-b4-mean", network(Backbone::DeepfakebenchEfficientnetB4, Temporal::Mean, false)),
        ("xception-mean", network(Backbone::Xception, Temporal::Mean, false)),
        ("clip-normalized", normalized(network(Backbone::VitB16Clip, Temporal::Mean, false))),
        ("dinov2-attention", network(Backbone::Dinov2Vits14, Temporal::LstmAttention, true)),
        ("lite2-attention", network(Backbone::EfficientnetLite2, Temporal::LstmAttention, true)),
        ("lite1-normalized", normalized(network(Backbone::EfficientnetLite1, Temporal::Mean, false))),
        ("resnet18-normalized", normalized(network(Backbone::Resnet18, Temporal::LstmAttention, true))),
    ];
    let mut cases = json!({"clips": shown, "networks": []});
    for (name, model) in &networks {
        let mut config = Config { model: model.clone(), ..Config::default() };
        config.data.frame_size = SIZE;
        let detector = Detector::new(model, Device::Cpu, torch::Format::F32, false).unwrap();
        formula::fill(&detector, model.backbone);
        enliven_head(&detector, model);
        let expected = logits(&detector, &clips);
        let spread = expected[4][0].std(false).double_value(&[]);
        println!("{name}: logits spread by {spread:.4}");
        assert!(spread > 1e-2, "{name}: logits that are all the same ({spread}) would prove nothing");

        let (home, facts) = (folder.path().join(name), ExportMetadata::of(&config, Some(1.5), None));
        fs::create_dir(&home).unwrap();
        for format in Format::value_variants() {
            let file = export::serialize(&detector, &facts, *format).unwrap();
            fs::write(home.join(format!("detector.{}", format.extension())), &file).unwrap();
            if *format == Format::Torchscript {
                assert_same_in_libtorch(&file, &clips, &expected);
            }
        }
        let facts = json!({"temperature": 1.5, "height": SIZE[0], "width": SIZE[1], "positive_class": "fake"});
        let case = json!({"name": name, "facts": facts, "logits": in_json(&expected)});
        cases["networks"].as_array_mut().unwrap().push(case);
    }
    let (worst, compared) = check_in_python(folder.path(), &cases);
    assert_eq!(compared, 50 * networks.len() as u64);
    println!("the largest difference is {worst:.1e}");
}

fn dfdetect(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
    command.args(args).current_dir(folder).env("NO_COLOR", "1");
    command
}

/// A run with an average of its weights, which is what was tested.
fn trained(folder: &Path) -> PathBuf {
    for person in 0..12 {
        write_video(&folder.join(format!("data/real/id{person}.mp4")), &SETTINGS, 8, person);
        write_video(&folder.join(format!("data/fake/id{person}.mp4")), &SETTINGS, 8, person + 100);
    }
    let mut train = dfdetect(&["train", "--data", "data", "--output", "runs", "--config"], folder);
    train.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/quick_demo.yaml"));
    let size = format!("data.frame_size=[{}, {}]", SIZE[0], SIZE[1]);
    for set in [
        "gpu.device=cpu",
        "model.hidden_dim=16",
        "data.max_frames=4",
        "data.min_frames=4",
        &size,
        "training.epochs=2",
        "training.ema_decay=0.9",
        "cache.enable_cache=false",
    ] {
        train.args(["--set", set]);
    }
    succeed(&mut train);
    fs::read_dir(folder.join("runs")).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_run_is_exported_as_it_was_tested_and_nothing_is_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let run = trained(folder.path());
    let checkpoint = Checkpoint::open(&Checkpoints::of_run(&run).path("best")).unwrap();
    let detector = Detector::new(&checkpoint.config.model, Device::Cpu, torch::Format::F32, true).unwrap();
    checkpoint.load_eval_model(detector.parameters()).unwrap();
    let temperature = checkpoint.state().unwrap().temperature();

    let home = folder.path().join("exported");
    fs::create_dir(&home).unwrap();
    for format in ["safetensors", "torchscript", "onnx"] {
        let export = || {
            let mut export = dfdetect(&["export", "--format", format, "--run"], &home);
            export.arg(&run);
            export
        };
        let shown = String::from_utf8(succeed(&mut export()).stdout).unwrap();
        let name = shown.split_whitespace().next().unwrap().to_owned();
        assert!(shown.contains("probability of fake: sigmoid"), "{shown}");

        fs::write(home.join(&name), "mine").unwrap();
        let refused = export().output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("this is there already"));
        assert_eq!(fs::read(home.join(&name)).unwrap(), b"mine");
        succeed(export().arg("--force"));
    }
    let (clips, shown) = random_clips(folder.path());
    let facts = json!({"temperature": temperature, "height": SIZE[0], "width": SIZE[1], "frames": 4});
    let network = json!({"name": "exported", "facts": facts, "logits": in_json(&logits(&detector, &clips))});
    let (_, compared) = check_in_python(folder.path(), &json!({"clips": shown, "networks": [network]}));
    assert_eq!(compared, 50);
}

#[test]
fn what_is_no_checkpoint_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    for (args, expected) in [
        (&["--run", "nowhere", "--format", "onnx"][..], "nowhere"),
        (&["--run", "nowhere"], "--format"),
        (&["--format", "onnx"], "--run"),
        (&["--run", "a", "--format", "keras"], "keras"),
    ] {
        let output = dfdetect(&[&["export"], args].concat(), folder.path()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
