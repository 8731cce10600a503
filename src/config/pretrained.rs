//! `model.pretrained`: the first weights of the backbone. Loads nothing; that is the room `model`.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The backbone's first weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "PretrainedText", into = "PretrainedText")]
#[schemars(with = "PretrainedText")]
pub enum Pretrained {
    /// The published ones where they are at hand or can be fetched, else random ones, with a warning.
    Auto,
    /// Random ones.
    None,
    /// The published ones, learned on ImageNet.
    Imagenet,
    /// Those of a file on the Hugging Face hub.
    Hub(HubFile),
    /// Those of a `.pth` or `.safetensors` file.
    File(PathBuf),
}

/// A file on the Hugging Face hub, `hf:OWNER/NAME` or `hf:OWNER/NAME/FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// `OWNER/NAME`.
    pub repository: String,
    /// The file's path in the repository.
    pub file: String,
}

impl HubFile {
    /// The file that is taken where none is named.
    pub const USUAL: &str = "model.safetensors";

    /// Reads what follows `hf:`. Names become parts of paths and addresses, so only plain ones are accepted.
    fn parse(text: &str) -> Option<Self> {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let parts: Vec<_> = text.split('/').collect();
        let (owner, name, file) = match parts.as_slice() {
            [owner, name] => (owner, name, Self::USUAL.to_owned()),
            [owner, name, file @ ..] => (owner, name, file.join("/")),
            _ => return None,
        };
        let is_weights = is_weights(Path::new(&file));
        (parts.iter().all(|part| plain(part)) && is_weights)
            .then(|| Self { repository: format!("{owner}/{name}"), file })
    }
}

impl Display for HubFile {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "hf:{}", self.repository)?;
        if self.file == Self::USUAL { Ok(()) } else { write!(f, "/{}", self.file) }
    }
}

/// Whether a file's name ends as those of weights do.
fn is_weights(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["pth", "pt", "bin", "safetensors"].iter().any(|known| extension == *known))
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
        let expected = "auto, imagenet, none, hf:OWNER/NAME[/FILE], or the path of a .pth or .safetensors file";
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "imagenet" => Ok(Self::Imagenet),
            _ if text.starts_with("hf:") => match HubFile::parse(&text["hf:".len()..]) {
                Some(file) => Ok(Self::Hub(file)),
                None => Err(format!("found `{text}`, expected hf:OWNER/NAME or hf:OWNER/NAME/FILE of weights")),
            },
            _ if is_weights(Path::new(&text)) => Ok(Self::File(text.into())),
            _ => Err(format!("found `{text}`, expected {expected}")),
        }
    }
}

impl From<Pretrained> for PretrainedText {
    fn from(pretrained: Pretrained) -> Self {
        Self::Name(match pretrained {
            Pretrained::Auto => "auto".into(),
            Pretrained::None => "none".into(),
            Pretrained::Imagenet => "imagenet".into(),
            Pretrained::Hub(file) => file.to_string(),
            Pretrained::File(path) => path.display().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl PretrainedText {
        fn text(self) -> String {
            match self {
                Self::Name(text) => text,
                Self::Flag(flag) => flag.to_string(),
            }
        }
    }

    use crate::config::{ConfigError, ModelConfig, parse};

    fn model(set: &str) -> Result<ModelConfig, ConfigError> {
        parse("f.yaml", "", &[format!("model.{set}")]).map(|loaded| loaded.config.model)
    }

    #[test]
    fn first_weights_have_a_name_or_are_a_file() {
        let pretrained = |text: &str| model(&format!("pretrained={text}")).map(|model| model.pretrained);
        assert_eq!(pretrained("auto").unwrap(), Pretrained::Auto);
        assert_eq!(pretrained("none").unwrap(), Pretrained::None);
        assert_eq!(pretrained("imagenet").unwrap(), Pretrained::Imagenet);
        assert_eq!(pretrained("a b/r18.pth").unwrap(), Pretrained::File("a b/r18.pth".into()));
        assert_eq!(pretrained("true").unwrap(), Pretrained::Imagenet);
        let hub =
            |file: &str| Pretrained::Hub(HubFile { repository: "timm/resnet18.tv_in1k".into(), file: file.into() });
        assert_eq!(pretrained("hf:timm/resnet18.tv_in1k").unwrap(), hub("model.safetensors"));
        assert_eq!(pretrained("hf:timm/resnet18.tv_in1k/a/b.bin").unwrap(), hub("a/b.bin"));
        for text in ["auto", "none", "imagenet", "hf:a/b", "hf:a/b/c.pth", "x/y.pth"] {
            assert_eq!(PretrainedText::from(pretrained(text).unwrap()).text(), text);
        }
        let wrong =
            ["imagnet", "weights.zip", "1", "[imagenet]", "hf:a", "hf:a/../b.pth", "hf:a/b/c.exe", "hf:a//b.pth"];
        for wrong in wrong {
            assert_eq!(pretrained(wrong).expect_err(wrong).key, "model.pretrained");
        }
    }
}
