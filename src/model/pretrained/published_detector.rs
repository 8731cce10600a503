//! Published detectors: which network each is, and how its files name the tensors. Their preprocessing is in
//! `run/import.rs`.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use tch::{Kind, Tensor};

use super::error::PretrainedError;
use super::load::{LoadedWeights, require_finite};
use super::weights_file::{StoredTensor, WeightsFile};
use super::weights_source::WeightsSource;
use crate::backbone::Backbone;
use crate::model::parameters::{Parameter, Parameters};

/// A detector whose weights its authors published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedDetector {
    /// GenD with CLIP ViT-L/14 (Yermakov et al. 2026).
    Gend,
    /// EfficientNet-B4 of SelfBlendedImages (Shiohara and Yamasaki 2022).
    SelfBlendedImages,
    /// Xception of DeepfakeBench (Yan et al. 2023).
    DeepfakebenchXception,
    /// EfficientNet-B4 of DeepfakeBench.
    DeepfakebenchEfficientnetB4,
    /// ResNet-34 of DeepfakeBench.
    DeepfakebenchResnet34,
    /// CLIP ViT-B/16 of DeepfakeBench.
    DeepfakebenchClip,
}

impl Display for PublishedDetector {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Gend => "GenD, CLIP ViT-L/14",
            Self::SelfBlendedImages => "SelfBlendedImages, EfficientNet-B4",
            Self::DeepfakebenchXception => "DeepfakeBench, Xception",
            Self::DeepfakebenchEfficientnetB4 => "DeepfakeBench, EfficientNet-B4",
            Self::DeepfakebenchResnet34 => "DeepfakeBench, ResNet-34",
            Self::DeepfakebenchClip => "DeepfakeBench, CLIP ViT-B/16",
        })
    }
}

/// How a detector's files name the tensors.
struct Layout {
    /// In front of the backbone's names.
    backbone_prefix: &'static str,
    /// The backbone's first tensor, by which the layout is recognised.
    first: &'static str,
    /// The linear layer with two outputs, real and fake. Of several names, the first that is there.
    heads: &'static [&'static str],
    /// The beginning of names that are there as well, and that a score does not need.
    unused: Option<&'static str>,
}

impl PublishedDetector {
    /// The backbone.
    #[must_use]
    pub fn backbone(self) -> Backbone {
        match self {
            Self::Gend => Backbone::VitL14Clip,
            Self::SelfBlendedImages => Backbone::TfEfficientnetB4,
            Self::DeepfakebenchXception => Backbone::Xception,
            Self::DeepfakebenchEfficientnetB4 => Backbone::DeepfakebenchEfficientnetB4,
            Self::DeepfakebenchResnet34 => Backbone::Resnet34,
            Self::DeepfakebenchClip => Backbone::VitB16Clip,
        }
    }

    fn layout(self) -> Layout {
        let layout = |backbone_prefix, first, heads| Layout { backbone_prefix, first, heads, unused: None };
        // For other detectors that are made of the same network.
        let adjusts = |layout: Layout| Layout { unused: Some("backbone.adjust_channel."), ..layout };
        match self {
            Self::Gend => Layout {
                unused: Some("feature_extractor.visual_projection."),
                ..layout("feature_extractor.vision_model.", "embeddings.class_embedding", &["model.linear"])
            },
            Self::SelfBlendedImages => layout("net.", "_conv_stem.weight", &["net._fc"]),
            Self::DeepfakebenchXception => {
                adjusts(layout("backbone.", "conv1.weight", &["backbone.last_linear", "backbone.last_linear.1"]))
            }
            Self::DeepfakebenchEfficientnetB4 => {
                adjusts(layout("backbone.efficientnet.", "_conv_stem.weight", &["backbone.last_layer"]))
            }
            Self::DeepfakebenchResnet34 => adjusts(layout("backbone.resnet.", "conv1.weight", &["backbone.fc"])),
            Self::DeepfakebenchClip => layout("backbone.", "embeddings.class_embedding", &["head"]),
        }
    }

    /// The name in the detector's files of a tensor of the backbone.
    fn published_name(self, name: &str) -> String {
        let Layout { backbone_prefix, .. } = self.layout();
        if self != Self::DeepfakebenchResnet34 {
            return format!("{backbone_prefix}{name}");
        }
        // Its ResNet is a sequence of torchvision's modules, which are numbered: 2 and 3 are ReLU and pooling.
        let (module, rest) = name.split_once('.').unwrap_or((name, ""));
        let modules = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"];
        let number = modules.iter().position(|known| *known == module).unwrap_or(modules.len());
        format!("{backbone_prefix}{number}.{rest}")
    }
}

/// An open file with the weights of a published detector.
#[derive(Debug)]
pub struct PublishedWeights {
    /// Which it is.
    pub detector: PublishedDetector,
    source: WeightsSource,
    file: WeightsFile,
    /// In front of all names: what training scripts wrapped the network in.
    wrapper: String,
}

impl PublishedWeights {
    /// Opens a file, and recognises which of `candidates` it has the weights of.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or has the weights of none of them.
    pub fn open(source: WeightsSource, candidates: &[PublishedDetector]) -> Result<Self, PretrainedError> {
        let file = WeightsFile::open(&source).map_err(PretrainedError::of_import)?;
        let wrapper_of = |detector: PublishedDetector| {
            let first = detector.published_name(detector.layout().first);
            file.tensors.iter().find_map(|tensor| tensor.name.strip_suffix(&first).map(str::to_owned))
        };
        let found = candidates.iter().find_map(|&detector| wrapper_of(detector).map(|wrapper| (detector, wrapper)));
        let Some((detector, wrapper)) = found else {
            let firsts: Vec<_> =
                candidates.iter().map(|it| format!("`{}`", it.published_name(it.layout().first))).collect();
            let begins = file.tensors.first().map_or("none".to_owned(), |tensor| format!("`{}`", tensor.name));
            return Err(PretrainedError::NotPublished {
                weights: source,
                problem: format!(
                    "its tensors have other names ({begins}, ...; none ends with {})",
                    firsts.join(" or ")
                ),
            });
        };
        Ok(Self { detector, source, file, wrapper })
    }

    /// Fills a network of this backbone whose head is `fc` (`model.temporal: mean`). Its logit is the difference of the
    /// published two, so that its sigmoid is their softmax.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or numbers that are not finite, or the file has a part that this detector does
    /// not have: others are made of the same backbones. Then nothing is changed.
    pub fn load(&self, parameters: &Parameters) -> Result<LoadedWeights, PretrainedError> {
        let mut left: HashMap<&str, &StoredTensor> =
            self.file.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut take = |name: &str, size: &[i64]| {
            let name = format!("{}{name}", self.wrapper);
            let stored = left.remove(name.as_str()).ok_or_else(|| self.unfit(format!("it does not have `{name}`")))?;
            if stored.size != size {
                return Err(self.unfit(format!("`{name}` is {:?}, not {size:?}", stored.size)));
            }
            self.file.read(stored)
        };
        let head = self.head();
        let values = |parameter: &Parameter| {
            let size = parameter.tensor.size();
            let values = match (parameter.name.strip_prefix("backbone."), parameter.name.as_str()) {
                (Some(name), _) => take(&self.detector.published_name(name), &size)?,
                (None, "head.fc.weight") => fake_less_real(&take(&format!("{head}.weight"), &[2, size[1]])?)?,
                (None, "head.fc.bias") => fake_less_real(&take(&format!("{head}.bias"), &[2])?)?,
                (None, other) => return Err(self.unfit(format!("the network has `{other}` besides"))),
            };
            let values = values.f_to_kind(parameter.tensor.kind())?;
            require_finite(&self.source, &parameter.name, &values)?;
            Ok(values)
        };
        let values =
            parameters.iter().map(values).collect::<Result<Vec<_>, _>>().map_err(PretrainedError::of_import)?;
        if let Some(part) = left.keys().filter(|name| self.is_of_another_detector(name)).min() {
            let problem = format!("it has `{part}` besides, which {} does not have", self.detector);
            return Err(self.unfit(problem));
        }
        let _no_grad = tch::no_grad_guard();
        for (parameter, values) in parameters.iter().zip(&values) {
            parameter.tensor.shallow_clone().f_copy_(values)?;
        }
        Ok(LoadedWeights::new(values.len(), left.into_values()))
    }

    /// Whether the detector has no place for a tensor of that name, and a score may depend on it.
    fn is_of_another_detector(&self, name: &str) -> bool {
        // What is beside the network in the file belongs to its training.
        let Some(name) = name.strip_prefix(&self.wrapper) else { return false };
        let is_unused = self.detector.layout().unused.is_some_and(|unused| name.starts_with(unused));
        // Counters and positions that follow from the layers.
        !is_unused && !name.ends_with("num_batches_tracked") && !name.ends_with("position_ids")
    }

    /// The name of the linear layer.
    fn head(&self) -> &'static str {
        let heads = self.detector.layout().heads;
        let is_there = |head: &&&str| {
            let name = format!("{}{head}.weight", self.wrapper);
            self.file.tensors.iter().any(|tensor| tensor.name == name)
        };
        heads.iter().find(is_there).unwrap_or(&heads[0])
    }

    fn unfit(&self, problem: String) -> PretrainedError {
        PretrainedError::NotPublished { weights: self.source.clone(), problem }
    }
}

/// Of the rows real and fake, the difference.
fn fake_less_real(rows: &Tensor) -> Result<Tensor, PretrainedError> {
    let rows = rows.f_to_kind(Kind::Double)?;
    Ok(rows.f_narrow(0, 1, 1)?.f_sub(&rows.f_narrow(0, 0, 1)?)?)
}
