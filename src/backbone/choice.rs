//! `model.backbone`: the backbones by name. What they are made of is in a file for each family.

use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convnext::convnext;
use super::description::Description;
use super::efficientnet::efficientnet;
use super::efficientnet_same::{deepfakebench_efficientnet, efficientnet_lite, tf_efficientnet};
use super::efficientnet_stages::Scale;
use super::resnet;
use super::vision_transformer::{Size, clip, dinov2};
use super::xception::xception;

/// The network that sees one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// 11.2 M parameters, basic blocks.
    Resnet18,
    /// 21.3 M parameters, basic blocks.
    Resnet34,
    /// 23.5 M parameters, bottleneck blocks.
    Resnet50,
    /// 42.5 M parameters, bottleneck blocks.
    Resnet101,
    /// 3.4 M parameters, inverted bottlenecks; its weights come with the program.
    EfficientnetLite0,
    /// 4.1 M parameters, inverted bottlenecks.
    EfficientnetLite1,
    /// 4.8 M parameters, inverted bottlenecks.
    EfficientnetLite2,
    /// 4.0 M parameters, inverted bottlenecks with squeeze-and-excitation; its own images have 224 pixels.
    EfficientnetB0,
    /// 17.5 M parameters, inverted bottlenecks with squeeze-and-excitation; its own images have 380 pixels.
    EfficientnetB4,
    /// The same with TensorFlow's padding and the names of efficientnet_pytorch, as most published detectors have it.
    TfEfficientnetB4,
    /// The same as DeepfakeBench changed it: its stem has no padding.
    DeepfakebenchEfficientnetB4,
    /// 27.8 M parameters, layer norms, no batch norm.
    ConvnextTiny,
    /// 20.8 M parameters, separable convolutions; its own images have 299 pixels.
    Xception,
    /// 85.8 M parameters, the image encoder of CLIP ViT-B/16.
    VitB16Clip,
    /// 303.2 M parameters, the image encoder of CLIP ViT-L/14.
    VitL14Clip,
    /// 22.1 M parameters, DINOv2 ViT-S/14.
    Dinov2Vits14,
    /// 86.6 M parameters, DINOv2 ViT-B/14.
    Dinov2Vitb14,
    /// 304.4 M parameters, DINOv2 ViT-L/14.
    Dinov2Vitl14,
}

impl Backbone {
    /// All of them, the smaller ones of a family first.
    pub const ALL: [Self; 18] = [
        Self::Resnet18,
        Self::Resnet34,
        Self::Resnet50,
        Self::Resnet101,
        Self::EfficientnetLite0,
        Self::EfficientnetLite1,
        Self::EfficientnetLite2,
        Self::EfficientnetB0,
        Self::EfficientnetB4,
        Self::TfEfficientnetB4,
        Self::DeepfakebenchEfficientnetB4,
        Self::ConvnextTiny,
        Self::Xception,
        Self::VitB16Clip,
        Self::VitL14Clip,
        Self::Dinov2Vits14,
        Self::Dinov2Vitb14,
        Self::Dinov2Vitl14,
    ];

    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::Resnet101 => "resnet101",
            Self::EfficientnetLite0 => "efficientnet_lite0",
            Self::EfficientnetLite1 => "efficientnet_lite1",
            Self::EfficientnetLite2 => "efficientnet_lite2",
            Self::EfficientnetB0 => "efficientnet_b0",
            Self::EfficientnetB4 => "efficientnet_b4",
            Self::TfEfficientnetB4 => "tf_efficientnet_b4",
            Self::DeepfakebenchEfficientnetB4 => "deepfakebench_efficientnet_b4",
            Self::ConvnextTiny => "convnext_tiny",
            Self::Xception => "xception",
            Self::VitB16Clip => "vit_b16_clip",
            Self::VitL14Clip => "vit_l14_clip",
            Self::Dinov2Vits14 => "dinov2_vits14",
            Self::Dinov2Vitb14 => "dinov2_vitb14",
            Self::Dinov2Vitl14 => "dinov2_vitl14",
        }
    }

    /// Smaller ones of its family, the largest first.
    #[must_use]
    pub fn smaller(self) -> &'static [Self] {
        match self {
            Self::Resnet101 => &[Self::Resnet50, Self::Resnet34, Self::Resnet18],
            Self::Resnet50 => &[Self::Resnet34, Self::Resnet18],
            Self::Resnet34 => &[Self::Resnet18],
            Self::EfficientnetLite2 => &[Self::EfficientnetLite1, Self::EfficientnetLite0],
            Self::EfficientnetLite1 => &[Self::EfficientnetLite0],
            Self::EfficientnetB4 | Self::TfEfficientnetB4 => &[Self::EfficientnetB0],
            Self::VitL14Clip => &[Self::VitB16Clip],
            Self::Dinov2Vitl14 => &[Self::Dinov2Vitb14, Self::Dinov2Vits14],
            Self::Dinov2Vitb14 => &[Self::Dinov2Vits14],
            Self::Resnet18
            | Self::EfficientnetLite0
            | Self::EfficientnetB0
            | Self::DeepfakebenchEfficientnetB4
            | Self::ConvnextTiny
            | Self::Xception
            | Self::VitB16Clip
            | Self::Dinov2Vits14 => &[],
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn description(self) -> &'static Description {
        // A prediction of memory asks often.
        static MADE: [OnceLock<Description>; Backbone::ALL.len()] = [const { OnceLock::new() }; Backbone::ALL.len()];
        MADE[self as usize].get_or_init(|| self.made_description())
    }

    fn made_description(self) -> Description {
        let scaled = |width, depth, input_side, feature_dropout| Scale { width, depth, input_side, feature_dropout };
        let sized = |width, blocks, heads, patch_side, positions_side| Size {
            width,
            blocks,
            heads,
            patch_side,
            positions_side,
        };
        match self {
            Self::Resnet18 => resnet::basic([2, 2, 2, 2]),
            Self::Resnet34 => resnet::basic([3, 4, 6, 3]),
            Self::Resnet50 => resnet::bottleneck([3, 4, 6, 3]),
            Self::Resnet101 => resnet::bottleneck([3, 4, 23, 3]),
            Self::EfficientnetLite0 => efficientnet_lite(&scaled(1.0, 1.0, 224, 0.2)),
            Self::EfficientnetLite1 => efficientnet_lite(&scaled(1.0, 1.1, 240, 0.2)),
            Self::EfficientnetLite2 => efficientnet_lite(&scaled(1.1, 1.2, 260, 0.3)),
            Self::EfficientnetB0 => efficientnet(&scaled(1.0, 1.0, 224, 0.2)),
            Self::EfficientnetB4 => efficientnet(&scaled(1.4, 1.8, 380, 0.4)),
            Self::TfEfficientnetB4 => tf_efficientnet(&scaled(1.4, 1.8, 380, 0.4)),
            Self::DeepfakebenchEfficientnetB4 => deepfakebench_efficientnet(&scaled(1.4, 1.8, 380, 0.4)),
            Self::ConvnextTiny => convnext([(96, 3), (192, 3), (384, 9), (768, 3)]),
            Self::Xception => xception(),
            Self::VitB16Clip => clip(&sized(768, 12, 12, 16, 14)),
            Self::VitL14Clip => clip(&sized(1024, 24, 16, 14, 16)),
            Self::Dinov2Vits14 => dinov2(&sized(384, 12, 6, 14, 37)),
            Self::Dinov2Vitb14 => dinov2(&sized(768, 12, 12, 14, 37)),
            Self::Dinov2Vitl14 => dinov2(&sized(1024, 24, 16, 14, 37)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{CellGrid, Plane};

    #[test]
    fn names_are_those_of_the_configuration() {
        for backbone in Backbone::ALL {
            assert_eq!(serde_json::to_value(backbone).unwrap(), backbone.name());
        }
    }

    #[test]
    fn feature_maps_have_the_published_sizes() {
        let plane = |backbone: Backbone, frame_size| backbone.description().feature_plane(frame_size);
        let of = |channels, height, width| Plane { channels, height, width };
        assert_eq!(plane(Backbone::Resnet50, [224, 224]), of(2048, 7, 7));
        assert_eq!(plane(Backbone::Resnet18, [45, 33]), of(512, 2, 2));
        assert_eq!(plane(Backbone::EfficientnetLite0, [224, 224]), of(1280, 7, 7));
        assert_eq!(plane(Backbone::EfficientnetLite1, [240, 240]), of(1280, 8, 8));
        assert_eq!(plane(Backbone::EfficientnetLite2, [260, 260]), of(1280, 9, 9));
        assert_eq!(plane(Backbone::EfficientnetB0, [224, 224]), of(1280, 7, 7));
        assert_eq!(plane(Backbone::EfficientnetB4, [380, 380]), of(1792, 12, 12));
        assert_eq!(plane(Backbone::TfEfficientnetB4, [380, 380]), of(1792, 12, 12));
        assert_eq!(plane(Backbone::DeepfakebenchEfficientnetB4, [256, 256]), of(1792, 8, 8));
        assert_eq!(plane(Backbone::ConvnextTiny, [224, 224]), of(768, 7, 7));
        assert_eq!(plane(Backbone::Xception, [299, 299]), of(2048, 10, 10));
        // 16 x 16 patches and the class token, as a column.
        assert_eq!(plane(Backbone::VitL14Clip, [224, 224]), of(1024, 257, 1));
        assert_eq!(plane(Backbone::Dinov2Vits14, [70, 45]), of(384, 16, 1));
        // Padding is that of 224 pixels, where TensorFlow would pad 7 rows to 4.
        assert_eq!(plane(Backbone::EfficientnetLite0, [112, 112]), of(1280, 3, 3));
    }

    #[test]
    fn cells_lie_where_their_receptive_fields_have_their_centres() {
        for backbone in [Backbone::Resnet18, Backbone::Resnet101, Backbone::EfficientnetB4] {
            assert_eq!(backbone.description().cell_grid(), CellGrid { twice_first: 0, step: 32 });
        }
        // The middle of a square of 32 pixels.
        assert_eq!(Backbone::ConvnextTiny.description().cell_grid(), CellGrid { twice_first: 31, step: 32 });
        // The middle of a patch of 14 pixels.
        assert_eq!(Backbone::VitL14Clip.description().cell_grid(), CellGrid { twice_first: 13, step: 14 });
        // Padding at the end alone moves each strided layer's centres by half of its kernel.
        let lite = Backbone::EfficientnetLite0.description().cell_grid();
        assert_eq!(lite, CellGrid { twice_first: 62, step: 32 });
    }
}
