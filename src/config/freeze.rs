//! `model.freeze`: what of the backbone does not learn. Freezes nothing; that is the room `model`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, Part};

const ALL: &str = "backbone";
const BATCH_NORM: &str = "batch_norm";
const ALL_BUT_NORMS: &str = "all_but_norms";

/// What of the backbone does not learn: so many of its first parts, or parts by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "FreezeText", into = "FreezeText")]
#[schemars(with = "FreezeText")]
pub enum Freeze {
    /// This many parts, from the image on.
    First(usize),
    /// Parts by name, or all parts, all norms, or all but these.
    Names(Vec<String>),
}

/// What does not learn of a certain backbone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenParts {
    /// For each part, whether its weights and the running statistics of its batch norms stay as they are.
    pub parts: Vec<bool>,
    /// Whether all norms stay as they are: scales, shifts and running statistics.
    pub norms: bool,
    /// Whether all weights but those of norms stay as they are.
    pub filters: bool,
    /// The first part of which something learns; the number of parts where nothing does.
    pub first_trainable: usize,
}

impl Freeze {
    /// All but the norms.
    #[must_use]
    pub fn all_but_norms() -> Self {
        Self::Names(vec![ALL_BUT_NORMS.into()])
    }

    /// Whether something is frozen.
    #[must_use]
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }

    /// What is frozen of this backbone. Names that it does not have freeze nothing; validation refuses them.
    #[must_use]
    pub fn of(&self, backbone: Backbone) -> FrozenParts {
        let parts = &backbone.description().parts;
        let (frozen, norms, filters): (Vec<_>, _, _) = match self {
            Self::First(count) => ((0..parts.len()).map(|part| part < *count).collect(), false, false),
            Self::Names(names) => {
                let has = |name: &str| names.iter().any(|found| found == name);
                let frozen = parts.iter().map(|part| has(ALL) || has(&part.name)).collect();
                (frozen, has(BATCH_NORM), has(ALL_BUT_NORMS))
            }
        };
        let learns = |(part, is_frozen): &(&Part, &bool)| !**is_frozen && (!filters || !norms && part.has_norms());
        let first_trainable = parts.iter().zip(&frozen).take_while(|part| !learns(part)).count();
        FrozenParts { parts: frozen, norms, filters, first_trainable }
    }

    /// Whether the backbone has all that is named; otherwise the problem.
    pub(super) fn check(&self, backbone: Backbone) -> Result<(), String> {
        let parts: Vec<_> = backbone.description().parts.iter().map(|part| part.name.as_str()).collect();
        let backbone = backbone.name();
        match self {
            Self::First(count) if *count > parts.len() => {
                Err(format!("found {count}, {backbone} has {} parts: {}", parts.len(), parts.join(", ")))
            }
            Self::First(_) => Ok(()),
            Self::Names(names) => {
                let known = |name: &&String| {
                    parts.contains(&name.as_str()) || [ALL, BATCH_NORM, ALL_BUT_NORMS].contains(&&***name)
                };
                match names.iter().find(|name| !known(name)) {
                    Some(name) => Err(format!("found `{name}`, {backbone} has the parts {}", parts.join(", "))),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Default for Freeze {
    fn default() -> Self {
        Self::First(0)
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
        Ok(match text {
            FreezeText::Parts(count) => Self::First(count),
            FreezeText::Name(name) if name == "none" => Self::First(0),
            FreezeText::Name(name) => Self::Names(vec![name]),
            FreezeText::Names(names) if names.is_empty() => Self::First(0),
            FreezeText::Names(names) => Self::Names(names),
        })
    }
}

impl From<Freeze> for FreezeText {
    fn from(freeze: Freeze) -> Self {
        match freeze {
            Freeze::First(0) => Self::Name("none".into()),
            Freeze::First(count) => Self::Parts(count),
            Freeze::Names(mut names) if names.len() == 1 => Self::Name(names.remove(0)),
            Freeze::Names(names) => Self::Names(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, ModelConfig, parse};

    fn model(sets: &[&str]) -> Result<ModelConfig, ConfigError> {
        let sets: Vec<_> = sets.iter().map(|set| format!("model.{set}")).collect();
        parse("f.yaml", "", &sets).map(|loaded| loaded.config.model)
    }

    #[test]
    fn the_first_part_that_learns_is_the_first_with_something_that_is_not_frozen() {
        for (backbone, text, first) in [
            (Backbone::Resnet50, "none", 0),
            (Backbone::Resnet50, "all_but_norms", 0),
            (Backbone::Resnet50, "[stem, layer2]", 1),
            (Backbone::Resnet50, "[batch_norm, all_but_norms]", 5),
            (Backbone::Resnet50, "backbone", 5),
            // Its embeddings have no norm.
            (Backbone::Dinov2Vits14, "all_but_norms", 1),
            (Backbone::Dinov2Vits14, "batch_norm", 0),
            (Backbone::VitB16Clip, "all_but_norms", 0),
        ] {
            let freeze = model(&[&format!("freeze={text}"), &format!("backbone={}", backbone.name())]).unwrap().freeze;
            assert_eq!(freeze.of(backbone).first_trainable, first, "{backbone:?}, {text}");
        }
    }

    #[test]
    fn what_is_frozen_is_a_number_a_name_or_a_list_and_reads_back() {
        for (text, parts, norms, filters) in [
            ("none", 0b00000, false, false),
            ("[]", 0b00000, false, false),
            ("0", 0b00000, false, false),
            ("1", 0b00001, false, false),
            ("3", 0b00111, false, false),
            ("backbone", 0b11111, false, false),
            ("batch_norm", 0b00000, true, false),
            ("all_but_norms", 0b00000, false, true),
            ("layer4", 0b10000, false, false),
            ("[stem, layer2]", 0b00101, false, false),
            ("[stem, batch_norm]", 0b00001, true, false),
        ] {
            let freeze = model(&[&format!("freeze={text}")]).unwrap().freeze;
            let expected = (0..5).map(|part| parts >> part & 1 == 1).collect();
            let frozen = freeze.of(Backbone::Resnet50);
            assert_eq!((frozen.parts, frozen.norms, frozen.filters), (expected, norms, filters), "{text}");
            assert_eq!(freeze.is_some(), !["none", "[]", "0"].contains(&text), "{text}");
            let written = serde_yaml::to_string(&freeze).unwrap();
            assert_eq!(serde_yaml::from_str::<Freeze>(&written).unwrap(), freeze, "{written}");
        }
    }

    #[test]
    fn parts_are_those_of_the_backbone() {
        for wrong in ["6", "layer5", "[stem, head]", "true", "-1"] {
            let error = model(&[&format!("freeze={wrong}")]).expect_err(wrong);
            assert_eq!(error.key, "model.freeze", "{error}");
        }
        assert!(model(&["freeze=layer5"]).unwrap_err().problem.contains("resnet50 has the parts stem, layer1"));
        let lite = |freeze| model(&["backbone=efficientnet_lite0", freeze]);
        assert_eq!(lite("freeze=8").unwrap().freeze.of(Backbone::EfficientnetLite0).parts.len(), 9);
        assert!(lite("freeze=[stage7, head]").is_ok());
        assert!(lite("freeze=layer1").unwrap_err().problem.contains("stage7, head"));
    }
}
