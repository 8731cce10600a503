use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::error::PretrainedError;
use super::load::{LoadedWeights, load_pretrained, published_name};
use super::pickle::Pickle;
use super::weights_file::WeightsFile;
use super::weights_source::WeightsSource;
use crate::backbone::Backbone;
use crate::config::{Config, Temporal};
use crate::model::{Detector, Parameter};
use crate::torch::{Format, generator_lock};

/// A file that `scripts/make_weights_fixtures.py` wrote with PyTorch.
fn fixture(name: &str) -> WeightsSource {
    fixture_path(name).into()
}

fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name)
}

fn resnet18() -> Detector {
    let mut config = Config::default().model;
    (config.backbone, config.temporal) = (Backbone::Resnet18, Temporal::Mean);
    let _alone = generator_lock();
    Detector::new(&config, Device::Cpu, Format::F32, true).unwrap()
}

fn parameter<'d>(detector: &'d Detector, name: &str) -> &'d Parameter {
    detector.parameters().iter().find(|parameter| parameter.name == name).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view(-1)).unwrap()
}

#[derive(Deserialize)]
struct Numbers {
    shape: Vec<i64>,
    values: Vec<f64>,
}

#[test]
fn every_type_and_layout_reads_as_pytorch_wrote_it_in_both_formats() {
    let expected: BTreeMap<String, Numbers> =
        serde_json::from_slice(&fs::read(fixture_path("kinds.json")).unwrap()).unwrap();
    for name in ["kinds.pth", "kinds-old.pth"] {
        let file = WeightsFile::open(&fixture(name)).unwrap();
        assert_eq!(file.tensors.len(), expected.len(), "{name}");
        for stored in &file.tensors {
            let expected = &expected[&stored.name];
            let found = file.read(stored).unwrap();
            assert_eq!(
                (&stored.size, found.size()),
                (&expected.shape, expected.shape.clone()),
                "{name}: {}",
                stored.name
            );
            assert_eq!(values(&found), expected.values, "{name}: {}", stored.name);
        }
    }
}

#[test]
fn a_resnet_of_torchvision_fills_the_backbone_and_its_classifier_is_left_out() {
    for name in ["resnet18.pth", "resnet18-old.pth"] {
        let detector = resnet18();
        let head = values(&parameter(&detector, "head.fc.weight").tensor);
        let loaded = load_pretrained(&fixture(name), detector.parameters()).unwrap();
        assert_eq!((loaded.filled, loaded.left_out.as_slice()), (100, &["fc.bias".to_owned(), "fc.weight".into()][..]));
        // The script numbers torchvision's tensors, counters among them.
        for (name, expected) in [
            ("conv1.weight", 1.0 / 147.0),
            ("bn1.running_mean", 3.0 / 1024.0),
            ("layer4.1.bn2.running_var", 1.0 + 118.0 / 1024.0),
        ] {
            let found = values(&parameter(&detector, &format!("backbone.{name}")).tensor);
            assert!(found.iter().all(|value| *value == f64::from(expected as f32)), "{name}: {}", found[0]);
        }
        assert_eq!(values(&parameter(&detector, "head.fc.weight").tensor), head);
        let weight = &parameter(&detector, "backbone.layer1.0.conv1.weight").tensor;
        assert_eq!(weight.stride(), [576, 1, 192, 64], "still channels last");
    }
}

#[test]
fn safetensors_fill_the_backbone_also_under_other_names() {
    for name in ["layer1.0.bn1.bias", "module.layer1.0.bn1.bias", "state_dict.model.backbone.layer1.0.bn1.bias"] {
        assert_eq!(published_name(name), "layer1.0.bn1.bias");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let (source, target) = (resnet18(), resnet18());
    let tensors: Vec<_> =
        source.parameters().iter().map(|p| (format!("module.{}", p.name), p.tensor.contiguous())).collect();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let loaded = load_pretrained(&path.clone().into(), target.parameters()).unwrap();
    let left_out = ["module.head.fc.bias", "module.head.fc.weight"].map(str::to_owned).to_vec();
    assert_eq!(loaded, LoadedWeights { filled: 100, left_out });
    for (from, to) in source.parameters().iter().zip(target.parameters().iter()) {
        assert_eq!(from.tensor == to.tensor, from.name.starts_with("backbone."), "{}", from.name);
    }

    let mut twice = tensors;
    twice.push(("conv1.weight".into(), Tensor::zeros([64, 3, 7, 7], (Kind::Float, Device::Cpu))));
    Tensor::write_safetensors(&twice, &path).unwrap();
    let error = load_pretrained(&path.clone().into(), target.parameters()).unwrap_err().to_string();
    assert!(error.contains("could be `conv1.weight`"), "{error}");
}

/// The repositories of the hub have more than the encoder: a CLIP its texts' half, in 16 bits here, and DINOv2 a mask
/// token.
#[test]
fn vision_transformers_are_filled_from_files_like_those_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    for (backbone, prefix, others) in [
        (
            Backbone::VitB16Clip,
            "vision_model.",
            vec![
                ("logit_scale", zeros(&[], Kind::Half)),
                ("text_model.encoder.layers.0.layer_norm1.weight", zeros(&[512], Kind::Half)),
                ("text_model.final_layer_norm.bias", zeros(&[512], Kind::Half)),
                ("vision_model.embeddings.position_ids", zeros(&[1, 197], Kind::Int64)),
                ("visual_projection.weight", zeros(&[512, 768], Kind::Half)),
            ],
        ),
        (Backbone::Dinov2Vits14, "", vec![("embeddings.mask_token", zeros(&[1, 384], Kind::Float))]),
    ] {
        let mut config = Config::default().model;
        (config.backbone, config.temporal) = (backbone, Temporal::Mean);
        let alone = generator_lock();
        let detector = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
        drop(alone);
        let encoder = detector.parameters().iter().filter_map(|parameter| {
            let name = parameter.name.strip_prefix("backbone.")?;
            Some((
                format!("{prefix}{name}"),
                Tensor::full_like(&parameter.tensor, 0.5).to_kind(Kind::Half).contiguous(),
            ))
        });
        let tensors: Vec<_> =
            encoder.chain(others.iter().map(|(name, tensor)| (name.to_string(), tensor.shallow_clone()))).collect();
        Tensor::write_safetensors(&tensors, &path).unwrap();
        let loaded = load_pretrained(&path.clone().into(), detector.parameters()).unwrap();
        assert_eq!(loaded.left_out, others.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        assert_eq!(loaded.filled, tensors.len() - others.len());
        let of_backbone = detector.parameters().iter().filter(|parameter| parameter.name.starts_with("backbone."));
        assert!(of_backbone.into_iter().all(|parameter| parameter.tensor.eq(0.5).all().int64_value(&[]) == 1));
    }
}

#[test]
fn weights_of_another_network_are_refused_and_nothing_is_changed() {
    let mut config = Config::default().model;
    for (backbone, part) in [(Backbone::Resnet34, "`layer1.2.conv1.weight`"), (Backbone::Resnet50, "[64, 64, 3, 3]")] {
        (config.backbone, config.temporal) = (backbone, Temporal::Mean);
        let alone = generator_lock();
        let detector = Detector::new(&config, Device::Cpu, Format::F32, true).unwrap();
        drop(alone);
        let before = values(&parameter(&detector, "backbone.conv1.weight").tensor);
        let error = load_pretrained(&fixture("resnet18.pth"), detector.parameters()).unwrap_err();
        assert!(matches!(error, PretrainedError::Unfit { .. }) && error.to_string().contains(part), "{error}");
        assert_eq!(values(&parameter(&detector, "backbone.conv1.weight").tensor), before);
    }
}

#[test]
fn a_training_scripts_file_is_looked_through_and_other_weights_are_named() {
    let file = WeightsFile::open(&fixture("wrapped.pth")).unwrap();
    let names: Vec<_> = file.tensors.iter().map(|stored| stored.name.as_str()).collect();
    assert_eq!(names, ["state_dict.module.conv1.weight"]);
    let error = load_pretrained(&fixture("wrapped.pth"), resnet18().parameters()).unwrap_err().to_string();
    assert!(error.contains("`state_dict.module.conv1.weight` is [2], not [64, 3, 7, 7]"), "{error}");
    let error = load_pretrained(&fixture("kinds.pth"), resnet18().parameters()).unwrap_err().to_string();
    assert!(error.contains("it does not have `conv1.weight`") && error.contains("and 94 more"), "{error}");
}

#[test]
fn a_pickle_that_would_run_something_is_refused() {
    let error = WeightsFile::open(&fixture("hostile.pth")).unwrap_err().to_string();
    assert!(error.contains("`posix.system`") && error.contains("nothing was run"), "{error}");
    assert!(error.contains("\n  hint: "), "{error}");
}

/// Pickles by hand: what a file could say that PyTorch would not.
#[test]
fn pickles_that_claim_too_much_are_refused() {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ";
    let tensor = |arguments: &[u8]| [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], arguments, b"tR."].concat();
    assert!(Pickle::read(&tensor(b"K\0K\x02K\x02\x86K\x02K\x01\x86")).is_ok());
    for (what, bytes, part) in [
        ("outside", tensor(b"K\x01K\x02K\x02\x86K\x02K\x01\x86"), "does not fit"),
        ("negative offset", tensor(b"J\xff\xff\xff\xffK\x02\x85K\x01\x85"), "does not fit"),
        ("negative stride", tensor(b"K\0K\x02\x85J\xff\xff\xff\xff\x85"), "does not fit"),
        ("endless", tensor(b"K\0J\xff\xff\xff\x7f\x8a\x05\xff\xff\xff\xff\x7f\x86K\0K\0\x86"), "does not fit"),
        ("too many sides", tensor(&[&b"K\0("[..], &b"K\x01".repeat(17), b"t)"].concat()), "17 dimensions"),
        ("shape of texts", tensor(b"K\0X\x01\0\0\0x\x85K\x01\x85"), "no number"),
        ("no storage", b"ctorch._utils\n_rebuild_tensor_v2\n(K\0K\0))tR.".to_vec(), "without a storage"),
        ("class", b"c__main__\nNet\n)\x81.".to_vec(), "`__main__.Net`"),
        ("stacked", b"\x8c\x02os\x8c\x06system\x93.".to_vec(), "`os.system`"),
        ("object", b"}\x81.".to_vec(), "instruction 0x81"),
        ("truncated", b"}X\xff\xff\xff\xffab".to_vec(), "ends too early"),
        ("empty stack", b"0.".to_vec(), "the stack is empty"),
        ("below a mark", b"}(0.".to_vec(), "the stack is empty"),
        ("unknown memory", b"h\x07.".to_vec(), "nothing was remembered as 7"),
        ("escape codes", b"cos\n\x1b[2Jsystem\n.".to_vec(), "`os.\\u{1b}[2Jsystem`"),
    ] {
        let problem = Pickle::read(&bytes).expect_err(what);
        assert!(problem.contains(part), "{what}: {problem}");
    }
}

#[test]
fn nested_and_cyclic_dictionaries_end() {
    // d = {}; d["a"] = d
    let cyclic = Pickle::read(b"}q\0X\x01\0\0\0ah\0s.").unwrap();
    assert!(cyclic.tensors().unwrap_err().contains("deep"));
    // Seven dictionaries, each with the one before forty times.
    let mut bytes = b"}q\0".to_vec();
    for level in 1..7 {
        bytes.extend(b"}q");
        bytes.push(level);
        for _ in 0..40 {
            bytes.extend([b"X\x01\0\0\0ah", &[level - 1][..], b"s"].concat());
        }
    }
    bytes.push(b'.');
    assert!(Pickle::read(&bytes).unwrap().tensors().unwrap_err().contains("entries"));
}

/// Whatever is in a file, reading it ends in tensors or in an error.
#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let read = || -> Result<(), PretrainedError> {
        let file = WeightsFile::open(&path.clone().into())?;
        file.tensors.iter().try_for_each(|stored| file.read(stored).map(drop))
    };
    for name in ["kinds.pth", "kinds-old.pth"] {
        let whole = fs::read(fixture_path(name)).unwrap();
        fs::write(&path, &whole).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        let mut refused = 0;
        for (at, byte) in (0_u64..).zip(&whole) {
            file.write_all_at(&[byte ^ if at % 2 == 0 { 0xff } else { 0x01 }], at).unwrap();
            refused += usize::from(read().is_err());
            file.write_all_at(&[*byte], at).unwrap();
        }
        assert!(refused > whole.len() / 10, "{name}: {refused} of {}", whole.len());
        read().unwrap();
        for end in (0..whole.len() as u64).rev().step_by(7) {
            file.set_len(end).unwrap();
            let error = read().expect_err("a cut-off file");
            assert!(error.to_string().contains("\n  hint: "), "{name} cut at {end}: {error}");
        }
    }
}

#[test]
fn broken_safetensors_and_other_files_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let entry =
        |dtype: &str, end: usize| format!(r#"{{"a":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{end}]}}}}"#);
    let mut numbers = header(&entry("F32", 8));
    numbers.extend([0; 8]);
    fs::write(&path, &numbers).unwrap();
    assert_eq!(WeightsFile::open(&path.clone().into()).unwrap().tensors.len(), 1);
    for (bytes, part) in [
        (Vec::new(), "neither"),
        (b"GIF89a and more".to_vec(), "neither"),
        (numbers[..numbers.len() - 1].to_vec(), "7 bytes of numbers"),
        (header(&entry("F32", 4)), "header is broken"),
        (header("{\"a\":1}"), "header is broken"),
        ([header(&entry("F8_E5M2", 2)), vec![0; 2]].concat(), "of type F8_E5M2"),
        (b"PK\x03\x04 and no directory".to_vec(), "no whole zip file"),
    ] {
        fs::write(&path, &bytes).unwrap();
        let error = WeightsFile::open(&path.clone().into()).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = WeightsFile::open(&folder.path().join("none.pth").into()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("none.pth: the weights cannot be read"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.safetensors");
    let source = resnet18();
    // The second is finite in float64, and not in the float32 of the network.
    for factor in [f64::NAN, 1e300] {
        let of_backbone = source.parameters().iter().filter(|p| p.name.starts_with("backbone."));
        let double = |p: &Parameter| p.tensor.detach().contiguous().to_kind(Kind::Double);
        let number = |p: &Parameter| if p.name.contains("layer3.1.bn1") { double(p) * factor } else { double(p) };
        let tensors: Vec<_> = of_backbone.map(|p| (p.name.clone(), number(p))).collect();
        Tensor::write_safetensors(&tensors, &path).unwrap();
        let error = load_pretrained(&path.clone().into(), resnet18().parameters()).unwrap_err().to_string();
        assert!(error.contains("layer3.1.bn1") && error.contains("not finite"), "{factor}: {error}");
    }
}
