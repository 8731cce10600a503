//! Data sets whose real videos are those of others, and lists with names of their own, on tiny trees with their exact
//! names and traps.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod layouts_support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dfdetect::config::{DataConfig, LayoutChoice, Roots, SamplerChoice};
use dfdetect::dataset::{self, Label, Manifest, Media, Sampler, Split};
use layouts_support::{config, official, original, paths, put, recognised, refused, scan, tree, video};
use tempfile::TempDir;

const FF_IDS: [&str; 8] = ["000", "003", "033", "054", "071", "097", "111", "222"];

fn ff_real(id: &str) -> String {
    format!("FaceForensics++/original_sequences/youtube/c23/frames/{id}")
}

/// A swap and a synthesis for training, the same for tests, three methods that are only tested, and the reals beside
/// them.
fn df40() -> TempDir {
    let pairs =
        FF_IDS.chunks(2).flat_map(|pair| [format!("{}_{}", pair[0], pair[1]), format!("{}_{}", pair[1], pair[0])]);
    let mut files: Vec<String> = pairs.map(|pair| format!("DF40_train/simswap/frames/{pair}/000.png")).collect();
    files.extend(FF_IDS.map(|id| format!("DF40_train/StyleGAN2/{id}/seed0188.png")));
    files.extend(FF_IDS.map(|id| format!("{}/000.png", ff_real(id))));
    files.extend(FF_IDS.map(|id| format!("DF40/e4e/e4e/ff/{id}/00001.jpg")));
    let others = [
        "DF40_train/simswap/landmarks/000_003/000.npy",
        "DF40_train/simswap/masks/000_003/000.png",
        "DF40_train/fomm/frames.zip",
        "DF40/simswap/ff/frames/111_222/000.png",
        "DF40/simswap/ff/frames/222_111/000.png",
        "DF40/simswap/cdf/frames/id0_id1_0000/000.png",
        "DF40/StyleGAN2/ff/111/seed0001.png",
        "DF40/StyleGAN2/cdf/Fake_from_Celeb-real/id0_0000/seed0001.png",
        "DF40/pixart/cdf/Fake_from_Youtube-real/Celeb-real_id13_0011_045.png",
        "DF40/pixart/cdf/Fake_from_Youtube-real/Celeb-real_id14_0011_045.png",
        "DF40/StarGAN2/fake/fake/00170.jpg",
        "DF40/StarGAN2/real/real/00170.jpg",
        "DF40/heygen/heygen_new/fake/frames/00170/1.png",
        "DF40/heygen/heygen_new/real/00170/1.png",
        "DF40/extras/1.png",
        "Celeb-DF-v2/Celeb-real/frames/id0_0000/000.png",
        "Celeb-DF-v2/YouTube-real/frames/00170/000.png",
        "Celeb-DF-v2/Celeb-synthesis/frames/id0_id1_0000/000.png",
    ];
    files.extend(others.map(str::to_owned));
    tree(files)
}

fn skipped<'a>(manifest: &'a Manifest, path: &str) -> &'a str {
    let found = manifest.skipped.iter().find(|skipped| skipped.path == Path::new(path));
    &found.unwrap_or_else(|| panic!("{path} is not in {:?}", manifest.skipped)).reason
}

#[test]
fn df40_is_read_by_method_wherever_the_frames_of_a_method_lie() {
    let manifest = scan(&df40());
    recognised(&manifest, LayoutChoice::Df40, "found DF40/StarGAN2/ and 8 more methods");
    let at = |path: &str| {
        let video = video(&manifest, path);
        (video.method.clone().unwrap_or_default(), video.source_ids.join("+"), video.media == Media::Folder)
    };
    let facts = |method: &str, people: &str, folder| (method.to_owned(), people.to_owned(), folder);
    for (path, method, people, folder) in [
        ("DF40_train/simswap/frames/000_003", "simswap", "000+003", true),
        ("DF40_train/StyleGAN2/071", "StyleGAN2", "071", true),
        ("DF40/simswap/cdf/frames/id0_id1_0000", "simswap", "id0+id1", true),
        ("DF40/StyleGAN2/cdf/Fake_from_Celeb-real/id0_0000", "StyleGAN2", "id0", true),
        ("DF40/e4e/e4e/ff/000", "e4e", "000", true),
        ("DF40/pixart/cdf/Fake_from_Youtube-real/Celeb-real_id13_0011_045.png", "pixart", "id13", false),
        ("DF40/StarGAN2/fake/fake/00170.jpg", "StarGAN2", "StarGAN2/00170", false),
        ("DF40/StarGAN2/real/real/00170.jpg", "", "StarGAN2/00170", false),
        ("DF40/heygen/heygen_new/fake/frames/00170", "heygen", "heygen/00170", true),
        ("DF40/heygen/heygen_new/real/00170", "", "heygen/00170", true),
        ("Celeb-DF-v2/Celeb-real/frames/id0_0000", "", "id0", true),
        ("Celeb-DF-v2/YouTube-real/frames/00170", "", "00170", true),
    ] {
        assert_eq!(at(path), facts(method, people, folder), "{path}");
        let label = if method.is_empty() { Label::Real } else { Label::Fake };
        assert_eq!(video(&manifest, path).label, label, "{path}");
    }
    assert_eq!(manifest.videos.len(), 8 + 8 + 8 + 8 + 5 + 2 + 2 + 2 + 2, "no masks: {:?}", paths(&manifest));
    assert_eq!(original(&manifest, "DF40_train/simswap/frames/003_000"), Some(ff_real("003").as_str()));
    let celebrity = Some("Celeb-DF-v2/Celeb-real/frames/id0_0000");
    assert_eq!(original(&manifest, "DF40/simswap/cdf/frames/id0_id1_0000"), celebrity);
    assert_eq!(manifest.skipped.len(), 3, "{:?}", manifest.skipped);
    assert!(skipped(&manifest, "DF40_train/fomm").contains("still in an archive"));
    assert!(skipped(&manifest, "DF40/extras").contains("not called as a method"));
    assert!(skipped(&manifest, "Celeb-DF-v2/Celeb-synthesis").contains("another data set"));
}

#[test]
fn df40_trains_on_nobody_whom_it_tests() {
    let root = df40();
    let mut manifest = scan(&root);
    for path in ["DF40/simswap/ff/frames/111_222", "DF40/StyleGAN2/ff/111", "DF40/e4e/e4e/ff/222", &ff_real("111")] {
        assert_eq!(official(&manifest, path), Some(Split::Test), "{path}");
    }
    for path in ["DF40/simswap/cdf/frames/id0_id1_0000", "Celeb-DF-v2/YouTube-real/frames/00170"] {
        assert_eq!(official(&manifest, path), Some(Split::Test), "{path}");
    }
    assert_eq!(official(&manifest, "DF40/heygen/heygen_new/real/00170"), Some(Split::Test));
    assert_eq!(official(&manifest, "DF40/e4e/e4e/ff/000"), None, "e4e has everybody, and is in no training set");
    assert_eq!(official(&manifest, &ff_real("000")), None);
    dataset::assign_splits(&mut manifest, &config(root.path()), 1).unwrap();
    let trained = manifest.indices(Split::Train);
    assert!(trained.iter().any(|video| manifest.videos[*video].label == Label::Real));
    let people = trained.iter().flat_map(|video| &manifest.videos[*video].source_ids);
    let people: Vec<_> = people.filter(|person| ["111", "222"].contains(&person.as_str())).collect();
    assert!(people.is_empty(), "{people:?}");
    let left_out = skipped(&manifest, "DF40_train/simswap/frames/111_222");
    assert!(left_out.contains("official side"), "{left_out}");

    put(&root, "FaceForensics++/train.json", r#"[["000", "003"], ["111", "222"]]"#);
    put(&root, "FaceForensics++/val.json", r#"[["033", "054"]]"#);
    put(&root, "FaceForensics++/test.json", r#"[["071", "097"]]"#);
    put(&root, "DF40_train/simswap/frames/000_033/000.png", "");
    let manifest = scan(&root);
    assert!(skipped(&manifest, "DF40_train/simswap/frames/000_033").contains("different sides"));
    assert_eq!(official(&manifest, "DF40/simswap/ff/frames/111_222"), Some(Split::Train), "the lists win");
    assert_eq!(official(&manifest, "DF40_train/StyleGAN2/054"), Some(Split::Val));
    assert_eq!(official(&manifest, &ff_real("097")), Some(Split::Test));
    assert_eq!(official(&manifest, "DF40/simswap/cdf/frames/id0_id1_0000"), Some(Split::Test));

    let nested = tree(["DF40/train/fomm/frames/000_003/0.png", "DF40/test/fomm/ff/frames/111_222/0.png"]);
    put(&nested, "real/FaceForensics++/original_sequences/youtube/c23/frames/000/0.png", "");
    let manifest = scan(&nested);
    assert_eq!(official(&manifest, "DF40/train/fomm/frames/000_003"), None);
    assert_eq!(official(&manifest, "DF40/test/fomm/ff/frames/111_222"), Some(Split::Test));
    assert!(manifest.skipped.is_empty(), "{:?}", manifest.skipped);
}

/// How many people its videos show.
fn people(manifest: &Manifest) -> usize {
    let everybody: Vec<usize> = (0..manifest.videos.len()).collect();
    dataset::people_numbers(manifest, &everybody).concat().into_iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn a_part_of_df40_is_fakes_alone_and_needs_reals_from_elsewhere() {
    let root = tree(["Face-swapping/FaceDancer/frames/000_003/0.png", "Face-swapping/uniface/frames/003_000/0.png"]);
    refused(dataset::scan(&config(root.path())), &["real videos are those of FaceForensics++", "`Celeb-DF-v2`"]);
    let reals =
        tree(["original_sequences/youtube/c23/videos/000.mp4", "original_sequences/youtube/c23/videos/003.mp4"]);
    put(&reals, "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4", "");
    let roots = |roots: &[&TempDir]| Roots(roots.iter().map(|root| root.path().into()).collect());
    let both = DataConfig { root: roots(&[&root, &reals]), ..DataConfig::default() };
    let manifest = dataset::scan(&both).unwrap();
    recognised(&manifest, LayoutChoice::Df40, "found Face-swapping/FaceDancer/ and 1 more method");
    assert!(!manifest.sets[0].recognised.contains("methods"), "{}", manifest.sets[0].recognised);
    assert_eq!(official(&manifest, "Face-swapping/FaceDancer/frames/000_003"), None, "it says nothing of sides");
    let Sampler::Paired { fakes, .. } = Sampler::new(SamplerChoice::Paired, &manifest).unwrap() else {
        panic!("not paired")
    };
    assert!(fakes.iter().all(|(_, partners)| !partners.is_empty()), "the same people are in both: {fakes:?}");
    assert_eq!(people(&manifest), 2);
    // Its celebrities are those of Celeb-DF.
    put(&root, "Face-swapping/uniface/frames/id0_id1_0000/0.png", "");
    let celebrities = tree(["Celeb-real/id0_0001.mp4", "Celeb-synthesis/id1_id0_0001.mp4"]);
    let all = DataConfig { root: roots(&[&root, &reals, &celebrities]), ..DataConfig::default() };
    let manifest = dataset::scan(&all).unwrap();
    assert_eq!(people(&manifest), 4);

    let other = tree(["simswap/frames/000_003/0.png"]);
    let fakes = DataConfig { root: roots(&[&root, &other]), ..DataConfig::default() };
    refused(dataset::scan(&fakes), &["none of the data sets to train on has real videos"]);
    let tested = DataConfig { test_roots: roots(&[&other]), ..config(reals.path()) };
    assert_eq!(dataset::scan(&tested).unwrap().sets[1].layout, LayoutChoice::Df40);
}

#[test]
fn df40_reads_its_reals_wherever_they_were_met() {
    let fake = "DF40_train/simswap/frames/000_003";
    let beside_methods = "DF40_train/FaceForensics++/original_sequences/youtube/c23/frames/000";
    let root = tree([format!("{fake}/0.png"), format!("{beside_methods}/0.png")]);
    let manifest = scan(&root);
    assert_eq!(paths(&manifest), [beside_methods, fake]);
    assert_eq!(original(&manifest, fake), Some(beside_methods));
    assert!(manifest.skipped.is_empty(), "{:?}", manifest.skipped);

    for set in ["Celeb-DF-v2", "celeb-df"] {
        put(&root, &format!("DF40_train/reals/{set}/Celeb-real/id0_0000/0.png"), "");
    }
    put(&root, "DF40_train/reals/more/id1_0000/0.png", "");
    put(&root, "Celeb-DF-v2/Celeb-synthesis/id0_id1_0000/0.png", "");
    put(&root, "splits/notes.txt", "");
    let manifest = scan(&root);
    assert_eq!(paths(&manifest), [beside_methods, "DF40_train/reals/Celeb-DF-v2/Celeb-real/id0_0000", fake]);
    assert!(skipped(&manifest, "DF40_train/reals/celeb-df").contains("in DF40_train/reals/Celeb-DF-v2 too"));
    assert!(skipped(&manifest, "DF40_train/reals/more").contains("not called as a method"));
    assert_eq!(skipped(&manifest, "Celeb-DF-v2"), "has neither `Celeb-real` nor `YouTube-real` in it");
    assert!(skipped(&manifest, "Celeb-DF-v2/Celeb-synthesis").contains("another data set"));
    assert_eq!(manifest.skipped.len(), 4, "{:?}", manifest.skipped);
}

#[test]
fn no_folder_of_df40_vanishes_without_a_reason() {
    let (train, test) = ("DF40/train/Face-swapping/simswap/frames/000_003", "DF40/test/simswap/ff/frames/111_222");
    let root = tree([train, test, &ff_real("000")].map(|video| format!("{video}/0.png")));
    let manifest = scan(&root);
    assert_eq!(paths(&manifest), [test, train, &ff_real("000")]);
    assert_eq!((official(&manifest, train), official(&manifest, test)), (None, Some(Split::Test)));
    assert!(manifest.skipped.is_empty(), "{:?}", manifest.skipped);

    let strangers = ["DF40/train/train/Face-swapping", "DF40/train/others", "DF40_more"];
    strangers.iter().for_each(|stranger| put(&root, &format!("{stranger}/simswap/frames/000_003/0.png"), ""));
    let manifest = scan(&root);
    assert_eq!(manifest.videos.len(), 3, "{:?}", paths(&manifest));
    strangers.iter().for_each(|path| assert!(skipped(&manifest, path).contains("nor as a folder of methods")));
    assert_eq!(manifest.skipped.len(), strangers.len(), "{:?}", manifest.skipped);
}

#[test]
fn single_pictures_of_df40_tell_the_people_of_youtube() {
    let at = |name: &str| format!("DF40/pixart/cdf/Fake_from_Youtube-real/{name}.png");
    let names = ["YouTube-real_00170_045", "Youtube-real_00171_046", "celeb-real_id13_0011_045"].map(at);
    let root = tree(&names);
    put(&root, "Celeb-DF-v2/YouTube-real/00170.mp4", "");
    let manifest = scan(&root);
    for (name, person) in names.iter().zip(["00170", "00171", "id13"]) {
        assert_eq!(video(&manifest, name).source_ids, [person], "{name}");
    }
    assert_eq!((manifest.videos.len(), people(&manifest)), (4, 3), "one is there twice");
}

#[test]
fn reals_of_another_set_that_cannot_be_used_say_which_folder_is_missing() {
    for (folder, reason) in [
        ("original_sequences/actors/c23/videos", "FaceForensics++/original_sequences: has no folder `youtube` in it"),
        ("manipulated_sequences", "FaceForensics++: has no folder `original_sequences` in it"),
        ("original_sequences/youtube", "youtube: has no folder `c23` in it"),
        ("original_sequences/youtube/raw/videos", "has no folder `c23`, which data.compression asks for; there is raw"),
        ("original_sequences/youtube/c23/masks", "youtube/c23: has neither `videos` nor `frames` in it"),
    ] {
        let root = tree(["DF40_train/simswap/frames/000_003/0.png"]);
        fs::create_dir_all(root.path().join("FaceForensics++").join(folder)).unwrap();
        refused(dataset::scan(&config(root.path())), &["can be used in `FaceForensics++`", reason]);
    }
}

#[test]
fn df40_is_not_seen_where_methods_have_its_names_by_chance() {
    let plain = tree(["real/a.mp4", "fake/faceswap/frames/b.mp4", "fake/wav2lip/c.mp4"]);
    recognised(&scan(&plain), LayoutChoice::Folders, "found fake/, real/");
    let kaggle = tree(["original/000.mp4", "FaceSwap/000_003.mp4", "Deepfakes/000_003.mp4"]);
    recognised(&scan(&kaggle), LayoutChoice::FfppKaggle, "found original/");
    let one = tree(["faceswap/a.mp4"]);
    refused(dataset::scan(&config(one.path())), &["no folder `real`"]);
}

const SOURCE: &str = "source_videos/M101/light_up/surprise/camera_down/M101_light_up_surprise_camera_down.mp4";

/// Two variants, of targets 000 to 003 and actors M101, W006 and M010.
fn deeperforensics() -> TempDir {
    let root = tree([SOURCE, "source_videos/W006/BlendShape/camera_left/W006_BlendShape_camera_left.mp4"]);
    for variant in ["end_to_end", "end_to_end_level_1"] {
        for name in ["000_M101", "001_W006", "002_M101", "003_M010"] {
            put(&root, &format!("manipulated_videos/{variant}/{name}.mp4"), "");
        }
    }
    put(&root, "lists/splits/train.txt", "000_M101.mp4\n\n002_M101.mp4\n");
    put(&root, "lists/splits/val.txt", "001_W006.mp4\r\n");
    put(&root, "lists/splits/test.txt", "003_M010.mp4\n999_M011.mp4\n");
    root
}

#[test]
fn deeperforensics_has_variants_actors_and_lists_of_names() {
    let root = deeperforensics();
    put(&root, "manipulated_videos/odd name.mp4", "");
    let manifest = scan(&root);
    recognised(
        &manifest,
        LayoutChoice::Deeperforensics,
        "found manipulated_videos/end_to_end/, with its official split",
    );
    assert_eq!(manifest.videos.len(), 2 + 8 + 1);
    assert!(manifest.sets[0].caveats[0].contains("a studio"), "{:?}", manifest.sets[0].caveats);
    for variant in ["end_to_end", "end_to_end_level_1"] {
        let path = format!("manipulated_videos/{variant}/000_M101.mp4");
        assert_eq!(video(&manifest, &path).method.as_deref(), Some(variant));
        assert_eq!(video(&manifest, &path).source_ids, ["000", "M101"]);
        assert_eq!((official(&manifest, &path), original(&manifest, &path)), (Some(Split::Train), None));
        let tested = format!("manipulated_videos/{variant}/003_M010.mp4");
        assert_eq!(official(&manifest, &tested), Some(Split::Test));
    }
    assert_eq!(video(&manifest, "manipulated_videos/odd name.mp4").source_ids, ["odd name"]);
    assert_eq!(official(&manifest, "manipulated_videos/odd name.mp4"), None);
    assert_eq!(video(&manifest, SOURCE).source_ids, ["M101"]);
    assert_eq!(official(&manifest, SOURCE), Some(Split::Train), "the side of its actor");
    assert!(skipped(&manifest, "manipulated_videos/999_M011").contains("listed in lists/splits, but not there"));

    put(&root, "lists/splits/test.txt", "003_M010.mp4\n002_M101.mp4\n");
    refused(dataset::scan(&config(root.path())), &["test.txt, line 2", "`002_M101` is on another side too"]);
    put(&root, "lists/splits/test.txt", "one two\n");
    refused(dataset::scan(&config(root.path())), &["test.txt, line 1", "found `one two`"]);
    fs::remove_dir_all(root.path().join("lists")).unwrap();
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Deeperforensics, "without its official split");
    assert!(manifest.videos.iter().all(|video| !video.official));
}

#[test]
fn the_reals_of_deeperforensics_are_its_targets_where_they_are_there() {
    let root = deeperforensics();
    for id in ["000", "001", "002", "003", "700"] {
        put(&root, &format!("FaceForensics++/original_sequences/youtube/c23/videos/{id}.mp4"), "");
        put(&root, &format!("FaceForensics++/original_sequences/youtube/c40/videos/{id}.mp4"), "");
    }
    let manifest = scan(&root);
    let target = |id: &str| format!("FaceForensics++/original_sequences/youtube/c23/videos/{id}.mp4");
    assert_eq!(manifest.videos.iter().filter(|video| video.label == Label::Real).count(), 5, "{:?}", paths(&manifest));
    assert_eq!(skipped(&manifest, "source_videos"), "the real videos are those of FaceForensics++");
    assert!(manifest.sets[0].caveats.is_empty());
    let fake = "manipulated_videos/end_to_end/001_W006.mp4";
    assert_eq!(original(&manifest, fake), Some(target("001").as_str()));
    assert_eq!(official(&manifest, &target("001")), Some(Split::Val), "the side of the fakes of it");
    assert_eq!(official(&manifest, &target("700")), None);

    for folder in ["FaceForensics++", "source_videos"] {
        fs::remove_dir_all(root.path().join(folder)).unwrap();
    }
    refused(dataset::scan(&config(root.path())), &["put the folder `FaceForensics++` into this one"]);
}

#[test]
fn reals_of_another_set_have_the_compression_that_is_asked_for() {
    let root = deeperforensics();
    let at = |compression: &str| format!("FaceForensics++/Original_sequences/YouTube/{compression}/Videos/000.mp4");
    ["C23", "c40"].iter().for_each(|compression| put(&root, &at(compression), ""));
    let asked = |compression: &str| DataConfig { compression: compression.into(), ..config(root.path()) };
    for (compression, used) in [("c23", "C23"), ("C40", "c40"), ("all", "C23")] {
        let manifest = dataset::scan(&asked(compression)).unwrap();
        let reals = manifest.videos.iter().filter(|video| video.label == Label::Real);
        let reals: Vec<_> = reals.map(|video| video.path.to_str().unwrap().to_owned()).collect();
        assert_eq!(reals, [at(used)], "{compression}: each original once");
    }
    refused(dataset::scan(&asked("raw")), &["YouTube: has no folder `raw`", "there is C23, c40"]);
}

#[test]
fn the_list_of_deepfake_eval_2024_is_known_and_the_unknown_are_counted() {
    let root = tree(["video-data/a-1.mp4", "video-data/_b.mp4", "video-data/c.mp4"]);
    let text = "Filename,Date,Video Ground Truth,Audio Ground Truth,Public Comments,Finetuning Set\n\
                a-1.mp4,2024-11-14,Fake,Unknown,\"lip sync is off, clearly\",train\n\
                _b.mp4,2024-11-14,Real,Fake,,Test\n\
                c.mp4,2024-11-14,Unknown,Unknown,,test\ngone.mp4,2024-11-13,Fake,Fake,,test\n";
    put(&root, "video-metadata.csv", text);
    put(&root, "audio-metadata.csv", "Filename,Date,Ground Truth,Public Comments,Finetuning Set\na.wav,,Fake,,Train\n");
    let manifest = scan(&root);
    recognised(
        &manifest,
        LayoutChoice::Csv,
        "found video-metadata.csv with the columns Filename and Video Ground Truth",
    );
    assert_eq!(paths(&manifest), ["video-data/_b.mp4", "video-data/a-1.mp4"]);
    assert_eq!(video(&manifest, "video-data/a-1.mp4").label, Label::Fake, "of the pictures, not of the sound");
    assert_eq!(official(&manifest, "video-data/a-1.mp4"), Some(Split::Train));
    assert_eq!(official(&manifest, "video-data/_b.mp4"), Some(Split::Test));
    assert_eq!(skipped(&manifest, "video-data/c.mp4"), "row 4 of video-metadata.csv: its label is unknown");
    assert!(skipped(&manifest, "video-data/gone.mp4").contains("there is no such file"));
}

#[test]
fn the_list_of_deepfake_eval_2024_may_lack_its_sides() {
    let root = tree(["video-data/a.mp4", "video-data/b.mp4"]);
    put(&root, "video-metadata.csv", "Filename,Video Ground Truth\na.mp4,Fake\nb.mp4,Real\n");
    let manifest = scan(&root);
    assert_eq!(paths(&manifest), ["video-data/a.mp4", "video-data/b.mp4"]);
    assert!(manifest.videos.iter().all(|video| !video.official));
}

#[test]
fn a_path_is_used_or_left_out_and_counts_once() {
    let root = tree(["a.mp4", "b.mp4", "c.mp4"]);
    put(&root, "list.csv", "path,label\na.mp4,unknown\n./a.mp4,Unknown\nb.mp4,real\nc.mp4,fake\n");
    let manifest = scan(&root);
    assert_eq!(paths(&manifest), ["b.mp4", "c.mp4"]);
    assert_eq!(manifest.skipped.len(), 1, "{:?}", manifest.skipped);
    for (labels, both) in [(["unknown", "real"], "unknown and real"), (["1", "unknown"], "fake and unknown")] {
        put(&root, "list.csv", &format!("path,label\na.mp4,{}\na.mp4,{}\n", labels[0], labels[1]));
        refused(dataset::scan(&config(root.path())), &[&format!("list.csv, row 3: `a.mp4` is both {both}")]);
    }
}

#[test]
fn a_named_list_with_other_columns_says_which_it_has() {
    let root = tree(["a.mp4"]);
    put(&root, "list.csv", "File,\"the truth\"\na.mp4,real\n");
    let named = config(&root.path().join("list.csv"));
    let expected = ["list.csv lacks the columns path and label; its columns are File, the truth", "data.columns"];
    refused(dataset::scan(&named), &expected);
}
