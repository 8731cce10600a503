//! `model.pretrained` and `model.freeze`: the backbone's initial weights, and the parts of it that are frozen. Loads
//! and freezes nothing; that is the room `model`. The other keys of the section are in `schema.rs`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The backbone's first weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "PretrainedText", into = "PretrainedText")]
#[schemars(with = "PretrainedText")]
pub enum Pretrained {
    /// Random ones.
    None,
    /// torchvision's, learned on ImageNet.
    Imagenet,
    /// Those of a `.pth` or `.safetensors` file.
    File(PathBuf),
}

/// As it stands in YAML; torchvision's users once wrote `true` and `false`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum PretrainedText {
    Flag(bool),
    Name(String),
}

impl TryFrom<PretrainedText> for Pretrained {
    type Error = String;
    fn try_from(text: PretrainedText) -> Result<Self, String> {
        let text = match text {
            PretrainedText::Flag(true) => return Ok(Self::Imagenet),
            PretrainedText::Flag(false) => return Ok(Self::None),
            PretrainedText::Name(text) => text,
        };
        let path = PathBuf::from(&text);
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        match (text.as_str(), &*extension) {
            ("none", _) => Ok(Self::None),
            ("imagenet", _) => Ok(Self::Imagenet),
            (_, "pth" | "pt" | "bin" | "safetensors") => Ok(Self::File(path)),
            _ => Err(format!("found `{text}`, expected none, imagenet, or the path of a .pth or .safetensors file")),
        }
    }
}

impl From<Pretrained> for PretrainedText {
    fn from(pretrained: Pretrained) -> Self {
        Self::Name(match pretrained {
            Pretrained::None => "none".into(),
            Pretrained::Imagenet => "imagenet".into(),
            Pretrained::File(path) => path.display().to_string(),
        })
    }
}

/// The parts of a backbone, from the picture on.
pub const BACKBONE_PARTS: [&str; 5] = ["stem", "layer1", "layer2", "layer3", "layer4"];
const BATCH_NORM: &str = "batch_norm";

/// What of the backbone does not learn.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "FreezeText", into = "FreezeText")]
#[schemars(with = "FreezeText")]
pub struct Freeze {
    /// Which of [`BACKBONE_PARTS`]: their weights, and the running statistics of their batch norms.
    pub parts: [bool; BACKBONE_PARTS.len()],
    /// All batch norms: their scales and shifts, and their running statistics.
    pub batch_norm: bool,
}

impl Freeze {
    /// Whether something is frozen.
    #[must_use]
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    fn add(&mut self, name: &str) -> Result<(), String> {
        match (BACKBONE_PARTS.iter().position(|part| *part == name), name) {
            (Some(part), _) => self.parts[part] = true,
            (None, "backbone") => self.parts = [true; BACKBONE_PARTS.len()],
            (None, BATCH_NORM) => self.batch_norm = true,
            _ => {
                let parts = BACKBONE_PARTS.join(", ");
                let known = format!("none, backbone, batch_norm, {parts}, a list of these, or a number of first parts");
                return Err(format!("found `{name}`, expected {known}"));
            }
        }
        Ok(())
    }
}

/// As it stands in YAML: how many of the first parts, a name, or a list of names.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum FreezeText {
    Parts(usize),
    Name(String),
    Names(Vec<String>),
}

impl TryFrom<FreezeText> for Freeze {
    type Error = String;
    fn try_from(text: FreezeText) -> Result<Self, String> {
        let mut freeze = Self::default();
        match text {
            FreezeText::Parts(count) if count <= BACKBONE_PARTS.len() => freeze.parts[..count].fill(true),
            FreezeText::Parts(count) => {
                return Err(format!("found {count}, a backbone has {} parts", BACKBONE_PARTS.len()));
            }
            FreezeText::Name(name) if name == "none" => {}
            FreezeText::Name(name) => freeze.add(&name)?,
            FreezeText::Names(names) => names.iter().try_for_each(|name| freeze.add(name))?,
        }
        Ok(freeze)
    }
}

impl From<Freeze> for FreezeText {
    fn from(freeze: Freeze) -> Self {
        let first = freeze.parts.iter().take_while(|frozen| **frozen).count();
        let count = freeze.parts.iter().filter(|frozen| **frozen).count();
        match (count, freeze.batch_norm) {
            (0, false) => Self::Name("none".into()),
            (0, true) => Self::Name(BATCH_NORM.into()),
            (5, false) => Self::Name("backbone".into()),
            (count, false) if count == first => Self::Parts(count),
            _ => {
                let parts =
                    BACKBONE_PARTS.iter().zip(freeze.parts).filter(|(_, frozen)| *frozen).map(|(name, _)| *name);
                Self::Names(parts.chain(freeze.batch_norm.then_some(BATCH_NORM)).map(str::to_owned).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, ModelConfig, parse};

    fn model(set: &str) -> Result<ModelConfig, ConfigError> {
        parse("f.yaml", "", &[format!("model.{set}")]).map(|loaded| loaded.config.model)
    }

    #[test]
    fn what_is_frozen_is_a_number_a_name_or_a_list_and_reads_back() {
        for (text, parts, batch_norm) in [
            ("none", 0b00000, false),
            ("0", 0b00000, false),
            ("1", 0b00001, false),
            ("3", 0b00111, false),
            ("backbone", 0b11111, false),
            ("batch_norm", 0b00000, true),
            ("layer4", 0b10000, false),
            ("[stem, layer2]", 0b00101, false),
            ("[stem, batch_norm]", 0b00001, true),
        ] {
            let freeze = model(&format!("freeze={text}")).unwrap().freeze;
            let expected = std::array::from_fn(|part| parts >> part & 1 == 1);
            assert_eq!(freeze, Freeze { parts: expected, batch_norm }, "{text}");
            let written = serde_yaml::to_string(&freeze).unwrap();
            assert_eq!(serde_yaml::from_str::<Freeze>(&written).unwrap(), freeze, "{written}");
        }
        for wrong in ["6", "layer5", "[stem, head]", "true", "-1"] {
            let error = model(&format!("freeze={wrong}")).expect_err(wrong);
            assert_eq!(error.key, "model.freeze", "{error}");
        }
        assert!(model("freeze=layer5").unwrap_err().problem.contains("layer4, a list"));
    }

    #[test]
    fn first_weights_are_none_by_name_or_a_file() {
        let pretrained = |text: &str| model(&format!("pretrained={text}")).map(|model| model.pretrained);
        assert_eq!(pretrained("none").unwrap(), Pretrained::None);
        assert_eq!(pretrained("imagenet").unwrap(), Pretrained::Imagenet);
        assert_eq!(pretrained("a b/r18.pth").unwrap(), Pretrained::File("a b/r18.pth".into()));
        assert_eq!(pretrained("true").unwrap(), Pretrained::Imagenet);
        for wrong in ["imagnet", "weights.zip", "1", "[imagenet]"] {
            assert_eq!(pretrained(wrong).expect_err(wrong).key, "model.pretrained");
        }
    }
}
