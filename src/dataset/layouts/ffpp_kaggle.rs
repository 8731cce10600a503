//! The flat copy of FaceForensics++ C23 on Kaggle: `original/` and one folder for each method. `csv/FF++_Metadata.csv`
//! is not read, because it has no more information than the folders. This file opens no video.

use std::path::Path;

use super::ffpp::{ACTORS_METHOD, CAVEAT, actors, finish};
use super::layout::{Found, Layout, record};
use super::official::OfficialSplit;
use super::tree::Root;
use crate::config::{DataConfig, LayoutChoice, Methods};
use crate::dataset::error::DataError;
use crate::dataset::record::Label;

const METHODS: [&str; 6] = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", ACTORS_METHOD];
const COMPRESSION: &str = "c23";

pub(super) struct FfppKaggle;

impl Layout for FfppKaggle {
    fn choice(&self) -> LayoutChoice {
        LayoutChoice::FfppKaggle
    }

    fn expects(&self) -> &'static str {
        "the folder `original` beside `Deepfakes`, `FaceSwap`, ..."
    }

    fn recognise(&self, root: &Root, _: &DataConfig) -> Option<String> {
        let original = root.folder_named("original")?;
        let methods: Vec<_> = METHODS.into_iter().filter_map(|method| root.folder_named(method)).collect();
        let recognised = root.list.is_none() && !methods.is_empty();
        recognised.then(|| format!("found {original}/ beside {}/", methods.join("/, ")))
    }

    fn read(&self, root: &Root, data: &DataConfig) -> Result<Found, DataError> {
        let official = OfficialSplit::read(root)?;
        if !data.has_compression(COMPRESSION) {
            tracing::warn!("this copy has {COMPRESSION} only: data.compression {} does not apply", data.compression);
        }
        let mut found = Found { caveats: vec![CAVEAT.into()], ..Found::default() };
        let reals = root.folder_named("original").map(|name| (name, Label::Real));
        let fakes = METHODS.into_iter().filter_map(|method| Some((root.folder_named(method)?, Label::Fake)));
        for (folder, label) in reals.into_iter().chain(fakes) {
            let of_actors = folder.eq_ignore_ascii_case(ACTORS_METHOD);
            if of_actors && !asks_for_actors(&data.methods) {
                tracing::warn!("{folder} is left out: this copy lacks its originals (ask for it with data.methods)");
                continue;
            }
            found.add_items(root, Path::new(folder), |item| {
                let mut video = record(item, label);
                if of_actors {
                    video.source_ids = actors(item.stem());
                }
                video.method = (label == Label::Fake).then(|| folder.to_owned());
                video.compression = Some(COMPRESSION.into());
                video
            });
        }
        finish(&mut found, &official);
        Ok(found)
    }
}

fn asks_for_actors(methods: &Methods) -> bool {
    matches!(methods, Methods::Only(names) if names.iter().any(|name| name.eq_ignore_ascii_case(ACTORS_METHOD)))
}
