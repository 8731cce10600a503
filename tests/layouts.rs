//! Each layout on a tiny tree with its exact names and traps; what goes where; and `data scan` through the binary.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod data_support;
mod layouts_support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;

use data_support::{SETTINGS, write_video};
use dfdetect::config::{DataConfig, LayoutChoice, Methods, Roots};
use dfdetect::dataset::{self, Label, Media, Split};
use layouts_support::{config, official, original, paths, put, recognised, refused, scan, tree, video};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

fn only(names: &[&str]) -> Methods {
    Methods::Only(names.iter().map(ToString::to_string).collect())
}

const FFPP_METHODS: [&str; 4] = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"];

fn ffpp() -> TempDir {
    let youtube = |id: &str| format!("original_sequences/youtube/c23/videos/{id}.mp4");
    let root = tree(["071", "054", "033", "097", "111", "222"].map(youtube));
    put(&root, "original_sequences/youtube/c40/videos/071.mp4", "");
    for method in FFPP_METHODS {
        for name in ["071_054", "054_071", "033_097", "111_222"] {
            put(&root, &format!("manipulated_sequences/{method}/c23/videos/{name}.mp4"), "");
        }
        put(&root, &format!("manipulated_sequences/{method}/c23/masks/videos/071_054.mp4"), "");
    }
    put(&root, "original_sequences/actors/c23/videos/01__exit_phone_room.mp4", "");
    put(&root, "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4", "");
    put(&root, "splits/train.json", r#"[["071", "054"]]"#);
    put(&root, "splits/val.json", r#"[["033", "097"]]"#);
    put(&root, "splits/test.json", r#"[["111", "222"]]"#);
    root
}

#[test]
fn ffpp_keeps_videos_of_one_name_apart_and_takes_the_official_pairs() {
    let root = ffpp();
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Ffpp, "manipulated_sequences/, with its official split");
    assert!(manifest.sets[0].caveats[0].contains("validates on videos much like"));
    assert_eq!(manifest.videos.len(), 6 + 1 + 16 + 1, "{:?}", paths(&manifest));
    for method in FFPP_METHODS {
        let path = format!("manipulated_sequences/{method}/c23/videos/054_071.mp4");
        assert_eq!(video(&manifest, &path).method.as_deref(), Some(method));
        assert_eq!(video(&manifest, &path).source_ids, ["054", "071"]);
        assert_eq!(official(&manifest, &path), Some(Split::Train));
        assert_eq!(original(&manifest, &path), Some("original_sequences/youtube/c23/videos/054.mp4"));
    }
    assert_eq!(official(&manifest, "original_sequences/youtube/c23/videos/097.mp4"), Some(Split::Val));
    let actors = "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4";
    assert_eq!(official(&manifest, actors), None);
    assert_eq!(video(&manifest, actors).source_ids, ["actor01", "actor02"]);
    assert_eq!(original(&manifest, actors), Some("original_sequences/actors/c23/videos/01__exit_phone_room.mp4"));

    let raw = DataConfig { compression: "raw".into(), ..config(root.path()) };
    refused(dataset::scan(&raw), &["compression raw", "c23, c40"]);
    put(&root, "manipulated_sequences/Deepfakes/c40/videos/071_054.mp4", "");
    let all = dataset::scan(&DataConfig { compression: "all".into(), ..config(root.path()) }).unwrap();
    let strong = "manipulated_sequences/Deepfakes/c40/videos/071_054.mp4";
    assert_eq!(all.videos.len(), 24 + 2);
    assert_eq!(video(&all, strong).compression.as_deref(), Some("c40"));
    assert_eq!(
        original(&all, strong),
        Some("original_sequences/youtube/c40/videos/071.mp4"),
        "of the same compression"
    );
    let two = dataset::scan(&DataConfig { methods: only(&["Deepfakes", "faceswap"]), ..config(root.path()) }).unwrap();
    assert_eq!(two.videos.iter().filter(|video| video.label == Label::Fake).count(), 8);
    let held_out = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    for (methods, held, problem) in [
        (Methods::All, "Deepfake", "data.holdout_methods: there are no fakes of the method `Deepfake`"),
        (only(&["FaceSwap"]), "Deepfakes", "the methods are FaceSwap"),
    ] {
        let data = DataConfig { methods, holdout_methods: held_out(&[held]), ..config(root.path()) };
        refused(dataset::scan(&data), &[problem]);
    }
    assert!(dataset::scan(&DataConfig { holdout_methods: held_out(&["faceswap"]), ..config(root.path()) }).is_ok());
    let unknown = dataset::scan(&DataConfig { methods: only(&["Deepfake"]), ..config(root.path()) });
    refused(unknown, &["`Deepfake`", "DeepFakeDetection, Deepfakes, Face2Face"]);
}

#[test]
fn ffpp_without_its_split_is_grouped_and_a_torn_pair_is_not_used() {
    let root = ffpp();
    put(&root, "manipulated_sequences/Deepfakes/c23/videos/071_033.mp4", "");
    let manifest = scan(&root);
    assert!(
        manifest.skipped[0].path.ends_with("071_033.mp4") && manifest.skipped[0].reason.contains("different sides")
    );
    fs::remove_dir_all(root.path().join("splits")).unwrap();
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Ffpp, "without its official split");
    assert!(manifest.videos.iter().all(|video| !video.official));
}

#[test]
fn the_kaggle_copy_is_known_in_both_spellings_and_lacks_the_actors() {
    for real in ["original", "Original"] {
        let mut files = vec!["Deepfakes/000_003.mp4".into(), "DeepFakeDetection/01_02__hug__ABC.mp4".into()];
        files.extend([format!("{real}/000.mp4"), format!("{real}/003.mp4"), "csv/FF++_Metadata.csv".into()]);
        let root = tree(&files);
        let manifest = scan(&root);
        recognised(&manifest, LayoutChoice::FfppKaggle, &format!("found {real}/ beside Deepfakes/"));
        assert_eq!(manifest.videos.len(), 3);
        let target = format!("{real}/000.mp4");
        assert_eq!(original(&manifest, "Deepfakes/000_003.mp4"), Some(target.as_str()));
        let asked = DataConfig { methods: only(&["DeepFakeDetection"]), ..config(root.path()) };
        assert_eq!(dataset::scan(&asked).unwrap().videos.len(), 3, "two reals and the one that was asked for");
    }
}

#[test]
fn celebdf_inverts_its_list_and_keeps_the_first_line() {
    for youtube in ["YouTube-real", "Youtube-real"] {
        let root = tree([
            "Celeb-real/id0_0001.mp4",
            "Celeb-real/id1_0001.mp4",
            "Celeb-synthesis/id0_id1_0001.mp4",
            "Celeb-synthesis/id1_id0_0001.mp4",
            &format!("{youtube}/00170.mp4"),
            &format!("{youtube}/00171.mp4"),
        ]);
        let list = "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id1_id0_0001.mp4\n1 Celeb-real/id9_0001.mp4\n";
        put(&root, "List_of_testing_videos.txt", list);
        let manifest = scan(&root);
        recognised(&manifest, LayoutChoice::Celebdf, "with the list of official test videos");
        assert!(manifest.sets[0].caveats[0].contains("on its own test videos"));
        assert_eq!(official(&manifest, &format!("{youtube}/00170.mp4")), Some(Split::Test), "the first line");
        assert_eq!(official(&manifest, &format!("{youtube}/00171.mp4")), None);
        assert_eq!(video(&manifest, "Celeb-synthesis/id1_id0_0001.mp4").label, Label::Fake);
        assert_eq!(official(&manifest, "Celeb-synthesis/id1_id0_0001.mp4"), Some(Split::Test));
        assert_eq!(original(&manifest, "Celeb-synthesis/id0_id1_0001.mp4"), Some("Celeb-real/id0_0001.mp4"));
        assert_eq!(manifest.skipped.len(), 1);
        assert!(manifest.skipped[0].reason.contains("listed in List_of_testing_videos.txt, but not there"));
        put(&root, "List_of_testing_videos.txt", "0 YouTube-real/00170.mp4\n");
        refused(dataset::scan(&config(root.path())), &["1 means real"]);
        put(&root, "List_of_testing_videos.txt", "1 ../00170.mp4\n");
        refused(dataset::scan(&config(root.path())), &["line 1"]);
    }
}

#[test]
fn celebdf_as_one_group_is_divided_by_target_beside_its_official_test() {
    let mut files = Vec::new();
    for person in 0..8 {
        files.push(format!("Celeb-real/id{person}_0001.mp4"));
        files.push(format!("Celeb-synthesis/id{person}_id{}_0001.mp4", (person + 1) % 8));
    }
    let root = tree(&files);
    let list = "1 Celeb-real/id0_0001.mp4\n0 Celeb-synthesis/id0_id1_0001.mp4\n";
    put(&root, "List_of_testing_videos.txt", list);
    let mut manifest = scan(&root);
    dataset::assign_splits(&mut manifest, &config(root.path()), 1).unwrap();
    assert_eq!(manifest.members(Split::Test).len(), 2, "exactly the official ones");
    let mut side_of = HashMap::new();
    for video in &manifest.videos {
        assert_eq!(*side_of.entry(&video.source_ids[0]).or_insert(video.split), video.split, "targets stay together");
    }
    fs::remove_file(root.path().join("List_of_testing_videos.txt")).unwrap();
    let error = dataset::assign_splits(&mut scan(&root), &config(root.path()), 1).unwrap_err();
    assert!(error.to_string().contains("groups that share no person: 1"), "{error}");
}

#[test]
fn dfdc_groups_by_original_and_splits_by_folder() {
    let list = r#"{"a.mp4": {"label": "REAL", "split": "train"},
        "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
        "c.mp4": {"label": "REAL", "split": "train", "original": null},
        "gone.mp4": {"label": "FAKE", "split": "train", "original": "c.mp4"}}"#;
    let part = |root: &TempDir, part: usize| {
        ["a", "b", "c"].iter().for_each(|name| put(root, &format!("dfdc_train_part_{part}/{name}.mp4"), ""));
        put(root, &format!("dfdc_train_part_{part}/metadata.json"), list);
    };
    let root = tree(["dfdc_train_part_0/unlisted.mp4"]);
    part(&root, 0);
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Dfdc, "dfdc_train_part_0/metadata.json");
    assert!(manifest.sets[0].caveats[0].contains("somebody may be on two sides"));
    assert_eq!(video(&manifest, "dfdc_train_part_0/b.mp4").source_ids, ["a"]);
    assert_eq!(video(&manifest, "dfdc_train_part_0/c.mp4").source_ids, ["c"]);
    assert_eq!(original(&manifest, "dfdc_train_part_0/b.mp4"), Some("dfdc_train_part_0/a.mp4"));
    assert_eq!(official(&manifest, "dfdc_train_part_0/b.mp4"), None, "one part has no split by folder");
    let reasons: Vec<_> = manifest.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    assert!(reasons[0].contains("but not there") && reasons[1].contains("not listed"), "{reasons:?}");
    [34, 35, 39, 40].iter().for_each(|number| part(&root, *number));
    let manifest = scan(&root);
    for (number, side) in [(34, Split::Train), (35, Split::Val), (39, Split::Val), (40, Split::Test)] {
        assert_eq!(official(&manifest, &format!("dfdc_train_part_{number}/b.mp4")), Some(side));
    }
}

#[test]
fn dfdc_has_a_test_set_and_a_preview() {
    let root = tree(["x.mp4", "y.mp4"]);
    put(&root, "labels.csv", "filename,label\nx.mp4,1\ny.mp4,0\nz.mp4,0\n");
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Dfdc, "labels.csv");
    assert_eq!((video(&manifest, "x.mp4").label, video(&manifest, "y.mp4").label), (Label::Fake, Label::Real));
    assert_eq!(manifest.skipped[0].path, Path::new("z.mp4"));

    let root = tree(["method_A/1/2/f.mp4", "original_videos/1/r.mp4"]);
    let list = r#"{"method_A/1/2/f.mp4": {"label": "fake", "set": "test", "target_id": 1, "swapped_id": "2"},
        "original_videos/1/r.mp4": {"label": "real", "set": "train", "target_id": 1}}"#;
    put(&root, "dataset.json", list);
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Dfdc, "dataset.json");
    assert!(manifest.sets[0].caveats.is_empty(), "the preview names its actors");
    assert_eq!(video(&manifest, "method_A/1/2/f.mp4").source_ids, ["1", "2"]);
    assert_eq!(video(&manifest, "method_A/1/2/f.mp4").method.as_deref(), Some("method_A"));
    assert_eq!(official(&manifest, "method_A/1/2/f.mp4"), Some(Split::Test));
    put(&root, "dataset.json", r#"{"../f.mp4": {"label": "fake", "set": "test"}}"#);
    refused(dataset::scan(&config(root.path())), &["leads out of"]);
}

#[test]
fn deepfakebench_finds_its_frames_wherever_they_came_from() {
    let at = |method: &str, name: &str| format!("FaceForensics++/{method}/c23/frames/{name}");
    let mut files = Vec::new();
    for (method, name) in [("youtube", "953"), ("Deepfakes", "953_974"), ("Face2Face", "953_974")] {
        files.extend((0..3).map(|frame| format!("{}/{frame:03}.png", at(method, name))));
    }
    let root = tree(&files);
    let entry = |method: &str, name: &str, prefix: &str| {
        let frames: Vec<_> = (0..4).map(|frame| format!("{prefix}{}/{frame:03}.png", at(method, name))).collect();
        serde_json::json!({ name: { "label": "L", "frames": frames } })
    };
    let windows = entry("Face2Face", "953_974", "").to_string().replace('/', "\\\\");
    let windows: serde_json::Value = serde_json::from_str(&windows).unwrap();
    let json = serde_json::json!({ "FaceForensics++": {
        "FF-real": { "train": { "c23": entry("youtube", "953", "../../datasets/rgb/"), "c40": {} } },
        "FF-DF": { "train": { "c23": entry("Deepfakes", "953_974", "/home/x/") }, "val": { "c23": entry("Deepfakes", "1_2", "") } },
        "FF-F2F": { "test": { "c23": windows.clone() }, "val": { "c23": windows } },
    } });
    put(&root, "FaceForensics++.json", &json.to_string());
    for path in [root.path().to_owned(), root.path().join("FaceForensics++.json")] {
        let manifest = dataset::scan(&config(&path)).unwrap();
        recognised(&manifest, LayoutChoice::Deepfakebench, "FaceForensics++.json");
        assert_eq!(manifest.videos.len(), 3, "{:?}", paths(&manifest));
        let fake = video(&manifest, &at("Deepfakes", "953_974"));
        assert_eq!(fake.method.as_deref(), Some("Deepfakes"));
        assert_eq!(fake.compression.as_deref(), Some("c23"));
        assert!(matches!(&fake.media, Media::Frames(frames) if frames.len() == 3), "the fourth is not there");
        assert_eq!(original(&manifest, &at("Deepfakes", "953_974")), Some(at("youtube", "953").as_str()));
        assert_eq!(
            official(&manifest, &at("Face2Face", "953_974")),
            Some(Split::Test),
            "listed twice: it is for testing"
        );
        assert_eq!(manifest.skipped.len(), 1, "{:?}", manifest.skipped);
    }
    let c0 = DataConfig { compression: "c0".into(), ..config(root.path()) };
    refused(dataset::scan(&c0), &["compression c0", "c23, c40"]);
}

#[test]
fn labels_of_deepfakebench_and_df40_are_told_by_their_last_part() {
    let root = tree(["a/1.png", "b/1.png", "c/1.png", "d/1.png", "e/1.png"]);
    let entry = |folder: &str| serde_json::json!({ folder: { "frames": [format!("{folder}/1.png")] } });
    let list = |labels: serde_json::Value| put(&root, "list.json", &serde_json::json!({ "X": labels }).to_string());
    list(serde_json::json!({
        "whichisreal_Fake": { "test": entry("a") },
        "whichisreal_Real": { "test": entry("b") },
        "DFDCP_FakeB": { "test": entry("c") },
        "FF-NT": { "test": entry("d") },
        "CelebDFv2_real": { "test": entry("e") },
    }));
    let labels: Vec<_> = scan(&root).videos.iter().map(|video| video.label).collect();
    assert_eq!(labels, [Label::Fake, Label::Real, Label::Fake, Label::Fake, Label::Real]);

    list(serde_json::json!({ "surreal": { "test": entry("a") }, "x_real": { "test": entry("b") } }));
    refused(
        dataset::scan(&config(root.path())),
        &["list.json: X/surreal/test/a", "`surreal` is neither real nor fake"],
    );
    list(serde_json::json!({ "x_fake": { "test": entry("a") }, "x_real": { "val": entry("a") } }));
    refused(dataset::scan(&config(root.path())), &["X/x_real/val/a", "as real and as fake"]);
    for broken in [serde_json::json!(1), serde_json::json!({ "label": "x_fake" })] {
        list(serde_json::json!({ "x_fake": { "test": { "a": broken }, "val": entry("a") } }));
        refused(dataset::scan(&config(root.path())), &["X/x_fake/test/a", "no list of `frames`"]);
    }
}

#[test]
fn frames_of_deepfakebench_are_put_in_order_and_pictures_in_one_folder_are_not_one_video() {
    let root = tree([
        "real/v/2.png",
        "real/v/10.png",
        "real/v/1.png",
        "fake/x.png",
        "fake/y.png",
        "both/1_a.png",
        "both/1_b.png",
        "both/2_a.png",
    ]);
    let video = |frames: &[&str]| serde_json::json!({ "label": "X_fake", "frames": frames });
    let json = serde_json::json!({ "X": {
        "X_real": { "train": { "v": video(&["real/v/10.png", "real/v/1.png", "real/v/2.png"]) } },
        "X_fake": { "train": { "x": video(&["fake/x.png"]), "y": video(&["fake/y.png"]),
            "1": video(&["both/1_b.png", "both/1_a.png"]), "2": video(&["both/2_a.png", "both/gone.png"]) } },
    } });
    put(&root, "list.json", &json.to_string());
    let manifest = scan(&root);
    assert_eq!(paths(&manifest), ["both/1_a.png", "both/2_a.png", "fake/x.png", "fake/y.png", "real/v"]);
    let frames = |names: &[&str]| Media::Frames(names.iter().map(Into::into).collect());
    let media: Vec<_> = manifest.videos.iter().map(|video| video.media.clone()).collect();
    let shared = [frames(&["both/1_a.png", "both/1_b.png"]), frames(&["both/2_a.png"]), Media::Picture, Media::Picture];
    assert_eq!(media[..4], shared);
    assert_eq!(media[4], frames(&["real/v/1.png", "real/v/2.png", "real/v/10.png"]));
}

#[test]
fn deepfakebench_writes_the_last_video_of_dfdc_without_a_name() {
    let root = tree(["test/frames/aa/0.png", "test/frames/bb/0.png", "train/frames/cc/0.png"]);
    let frames = |at: &str| serde_json::json!([format!("/datasets/DFDC/{at}/0.png")]);
    // As preprocessing/rearrange.py leaves it: `val` has the fields of one video, and videos.
    let json = serde_json::json!({ "DFDC": {
        "DFDC_Real": { "train": { "cc": { "label": "DFDC_Real", "frames": frames("train/frames/cc") } }, "test": {},
            "val": { "cc": { "label": "DFDC_Real", "frames": frames("train/frames/cc") } } },
        "DFDC_Fake": { "train": {},
            "test": { "aa": { "label": "DFDC_Fake", "frames": frames("test/frames/aa") },
                "bb": { "label": "DFDC_Fake", "frames": frames("test/frames/bb") } },
            "val": { "label": "DFDC_Fake", "frames": frames("test/frames/bb") } },
    } });
    put(&root, "DFDC.json", &json.to_string());
    let manifest = scan(&root);
    let sides: Vec<_> = paths(&manifest).into_iter().map(|path| (path, official(&manifest, path).unwrap())).collect();
    let expected = [
        ("test/frames/aa/0.png", Split::Test),
        ("test/frames/bb/0.png", Split::Test),
        ("train/frames/cc/0.png", Split::Val),
    ];
    assert_eq!(sides, expected);
}

#[test]
fn fakeavceleb_knows_its_people_methods_and_originals_and_leaves_forged_sound_out() {
    let files = [
        "RealVideo-RealAudio/African/men/id00076/00109.mp4",
        "FakeVideo-RealAudio/African/men/id00076/00109_1.mp4",
        "FakeVideo-FakeAudio/African/men/id00076/00109_10_id00476_wavtolip.mp4",
        "FakeVideo-FakeAudio/African/men/id01170/00021_id01933_I5XXxgK7QpE_id00781_wavtolip.mp4",
        "RealVideo-FakeAudio/African/men/id00076/00109_fake.mp4",
    ];
    let root = tree(files);
    let list = "source,target1,target2,method,category,type,race,gender,path,\n\
                id00076,id00476,-,faceswap-wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,\
                FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076\n";
    put(&root, "meta_data.csv", list);
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Fakeavceleb, "found RealVideo-RealAudio/ and FakeVideo-RealAudio/");
    assert_eq!(manifest.videos.len(), 4);
    assert_eq!((video(&manifest, files[0]).label, official(&manifest, files[0])), (Label::Real, None));
    assert_eq!(video(&manifest, files[0]).source_ids, ["id00076"]);
    assert_eq!(original(&manifest, files[1]), Some(files[0]));
    assert_eq!(video(&manifest, files[1]).method.as_deref(), Some("FakeVideo-RealAudio"));
    assert_eq!(video(&manifest, files[2]).source_ids, ["id00076", "id00476"]);
    assert_eq!(video(&manifest, files[2]).method.as_deref(), Some("faceswap-wav2lip"));
    assert_eq!(original(&manifest, files[2]), Some(files[0]));
    assert_eq!(video(&manifest, files[3]).source_ids, ["id01170", "id01933", "id00781"]);
    assert_eq!(original(&manifest, files[3]), None);
    assert_eq!(manifest.skipped[0].reason, "1 videos whose pictures are real and whose sound is forged");
    put(&root, "meta_data.csv", "a,b\n");
    refused(dataset::scan(&config(root.path())), &["meta_data.csv lacks the columns method and path"]);
}

#[test]
fn csv_has_optional_columns_and_stays_below_its_folder() {
    let root = tree(["v/a.mp4", "v/b.mp4", "v/c.png", "v/d/1.jpg"]);
    let text = "\u{feff}Path,LABEL,split,group,method\nv/a.mp4,real,train,anna; ;bob;,\n./v/b.mp4,1,,,x\nv/c.png,FAKE,Test,,\n\
                v/d,0,val,,\nv/gone.mp4,0,,,\nv/a.mp4,0,,,\n";
    put(&root, "list.csv", text);
    for path in [root.path().to_owned(), root.path().join("list.csv")] {
        let manifest = dataset::scan(&config(&path)).unwrap();
        recognised(&manifest, LayoutChoice::Csv, "list.csv");
        assert_eq!(paths(&manifest), ["v/a.mp4", "v/b.mp4", "v/c.png", "v/d"]);
        assert_eq!(video(&manifest, "v/a.mp4").source_ids, ["anna", "bob"]);
        assert_eq!(video(&manifest, "v/b.mp4").method.as_deref(), Some("x"));
        assert_eq!(video(&manifest, "v/c.png").media, Media::Picture);
        assert_eq!(video(&manifest, "v/d").media, Media::Folder);
        assert_eq!(official(&manifest, "v/a.mp4"), Some(Split::Train));
        assert_eq!(official(&manifest, "v/b.mp4"), None);
        assert_eq!(manifest.skipped.len(), 1);
    }
    put(&root, "list.csv", "Filename,ground_truth,who\nv/a.mp4,genuine,anna\nv/b.mp4,Deepfake,bob\n");
    let mut renamed = config(root.path());
    (renamed.columns.path, renamed.columns.label) = ("filename".into(), "Ground_Truth".into());
    renamed.columns.group = "who".into();
    let manifest = dataset::scan(&renamed).unwrap();
    recognised(&manifest, LayoutChoice::Csv, "columns filename and Ground_Truth");
    let misspelt = DataConfig {
        columns: dfdetect::config::ColumnNames { split: "subest".into(), ..renamed.columns.clone() },
        ..renamed.clone()
    };
    refused(dataset::scan(&misspelt), &["list.csv lacks the column subest"]);
    let labels: Vec<_> = manifest.videos.iter().map(|video| video.label).collect();
    assert_eq!((labels, manifest.videos[1].source_ids[0].as_str()), (vec![Label::Real, Label::Fake], "bob"));

    for (row, part) in [
        ("/etc/passwd,real", "`/etc/passwd` is absolute"),
        ("v/../../x.mp4,real", "leads out of the folder"),
        ("v/a.mp4,perhaps", "label `perhaps`"),
        ("v/a.mp4,real,later", "split `later`"),
        ("v/a.mp4,real\nv/a.mp4,fake", "row 3: `v/a.mp4` is both"),
    ] {
        put(&root, "list.csv", &format!("path,label,split\n{row}\n"));
        refused(dataset::scan(&config(root.path())), &["list.csv", part]);
    }
}

#[test]
fn folders_hold_videos_frames_or_pictures_and_may_be_split() {
    let root = tree([
        "real/one.png",
        "real/deep/id1_a/0.png",
        "real/deep/id1_a/1.PNG",
        "fake/swap/id2_a/0.jpg",
        "fake/swap/id3_a.mp4",
        "fake/swap/cover.jpg",
    ]);
    let manifest = scan(&root);
    recognised(&manifest, LayoutChoice::Folders, "found fake/, real/");
    assert_eq!(paths(&manifest), ["fake/swap/id2_a", "fake/swap/id3_a.mp4", "real/deep/id1_a", "real/one.png"]);
    assert_eq!(video(&manifest, "real/deep/id1_a").media, Media::Folder);
    assert_eq!(video(&manifest, "real/deep/id1_a").source_ids, ["id1"]);
    assert_eq!(video(&manifest, "fake/swap/id2_a").method.as_deref(), Some("swap"));
    assert_eq!(video(&manifest, "real/one.png").media, Media::Picture);
    assert!(manifest.skipped[0].path.ends_with("cover.jpg"));

    let root = tree((0..6).flat_map(|id| {
        ["Train/real", "Train/1_fake", "test/REAL", "test/fake"].map(|at| format!("{at}/{}{id}.mp4", &at[..4]))
    }));
    let mut manifest = scan(&root);
    assert_eq!(official(&manifest, "Train/1_fake/Trai0.mp4"), Some(Split::Train));
    dataset::assign_splits(&mut manifest, &config(root.path()), 3).unwrap();
    assert_eq!(manifest.count(Split::Test, Label::Real), 6, "the official test side is as it was");
    assert!(manifest.count(Split::Val, Label::Fake) > 0, "part of training validates");
}

#[test]
fn other_roots_are_other_people_and_test_roots_are_tested_on_only() {
    let names = |class: &'static str, people| (0..people).map(move |id| format!("{class}/id{id}.mp4"));
    let first = tree(names("real", 10).chain(names("fake", 10)));
    // Another number of people, or the same seed would split both in the same way.
    let second = tree(names("real", 17).chain(names("fake", 17)));
    let other = ffpp();
    let data = DataConfig {
        root: Roots(vec![first.path().into(), second.path().into()]),
        test_roots: Roots::one(other.path()),
        ..DataConfig::default()
    };
    let mut manifest = dataset::scan(&data).unwrap();
    dataset::assign_splits(&mut manifest, &data, 0).unwrap();
    let crossed = manifest.members(Split::CrossTest);
    assert_eq!(crossed.len(), 2 + 4, "only its official test videos");
    assert!(crossed.iter().all(|video| manifest.videos[*video].set == 2 && manifest.videos[*video].official));
    let mut sides: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for video in manifest.videos.iter().filter(|video| video.set < 2) {
        sides.entry(&video.source_ids[0]).or_default().insert(video.split);
    }
    assert!(sides.values().any(|sides| sides.len() > 1), "id0 here is not id0 there");
    let twice = DataConfig { test_roots: Roots::one(first.path()), ..config(first.path()) };
    refused(dataset::scan(&twice), &["named twice"]);
}

#[test]
fn a_limit_is_even_over_methods_and_deterministic() {
    let mut files: Vec<_> = (0..20).map(|id| format!("real/id{id}.mp4")).collect();
    for (method, count) in [("a", 2), ("b", 20), ("c", 20)] {
        files.extend((0..count).map(|id| format!("fake/{method}/id{id}.mp4")));
    }
    let root = tree(&files);
    let data = DataConfig { max_videos_per_class: Some(10), ..config(root.path()) };
    let manifest = dataset::scan(&data).unwrap();
    assert_eq!(manifest, dataset::scan(&data).unwrap());
    let of = |method| manifest.videos.iter().filter(|video| video.method.as_deref() == method).count();
    assert_eq!([of(None), of(Some("a")), of(Some("b")), of(Some("c"))], [10, 2, 4, 4]);
}

/// A data set with its layout, the people in each of its videos, and its lists.
#[derive(Debug)]
struct RandomSet {
    layout: LayoutChoice,
    people_of: BTreeMap<String, BTreeSet<u32>>,
    lists: BTreeMap<String, String>,
}

impl RandomSet {
    /// Of real videos of `a`, and fakes with the head of `a` and the face of `b`.
    fn new(layout: LayoutChoice, swaps: &[(u32, u32, usize)]) -> Self {
        let mut set = Self { layout, people_of: BTreeMap::new(), lists: BTreeMap::new() };
        let mut parts: BTreeMap<u32, serde_json::Map<String, serde_json::Value>> = BTreeMap::new();
        let (mut rows, mut benchmark) = (BTreeSet::new(), serde_json::json!({}));
        for (a, b, kind) in swaps {
            let method = FFPP_METHODS[*kind];
            let (real, fake) = match layout {
                LayoutChoice::Folders => {
                    (format!("real/x{kind}/id{a}_{b}.mp4"), format!("fake/{method}/id{a}_id{b}_1.mp4"))
                }
                LayoutChoice::Ffpp => (
                    format!("original_sequences/youtube/c23/videos/{a:03}.mp4"),
                    format!("manipulated_sequences/{method}/c23/videos/{a:03}_{b:03}.mp4"),
                ),
                LayoutChoice::FfppKaggle => (format!("original/{a:03}.mp4"), format!("{method}/{a:03}_{b:03}.mp4")),
                LayoutChoice::Celebdf => {
                    (format!("Celeb-real/id{a}_1.mp4"), format!("Celeb-synthesis/id{a}_id{b}_1.mp4"))
                }
                LayoutChoice::Df40 => (
                    format!("FaceForensics++/original_sequences/youtube/c23/frames/{a:03}"),
                    format!("DF40_train/{}/frames/{a:03}_{b:03}", ["simswap", "fomm", "MRAA"][*kind]),
                ),
                LayoutChoice::Dfdc => {
                    // Videos of one original lie in one part.
                    let (part, real, fake) = (a % 3, format!("r{a}.mp4"), format!("f{a}_{b}_{kind}.mp4"));
                    let list = parts.entry(part).or_default();
                    list.insert(real.clone(), serde_json::json!({ "label": "REAL", "split": "train" }));
                    list.insert(fake.clone(), serde_json::json!({ "label": "FAKE", "original": real.clone() }));
                    (format!("dfdc_train_part_{part}/{real}"), format!("dfdc_train_part_{part}/{fake}"))
                }
                LayoutChoice::Deepfakebench => {
                    let at = |method: &str, name: &str| format!("FaceForensics++/{method}/c23/frames/{name}");
                    let (real, fake) = (at("youtube", &format!("{a:03}")), at(method, &format!("{a:03}_{b:03}")));
                    for (label, path) in [("FF-real", &real), (method, &fake)] {
                        let frames = [0, 1].map(|number| format!("/elsewhere/{path}/{number:03}.png"));
                        benchmark[label]["all"]["c23"][path.rsplit('/').next().unwrap()] =
                            serde_json::json!({ "label": label, "frames": frames });
                    }
                    (real, fake)
                }
                _ => (format!("clips/{a}.mp4"), format!("clips/{b}/{kind}/swap of {a}.mp4")),
            };
            rows.insert(format!("{real},real,person {a}\n"));
            rows.insert(format!("{fake},1,person {a};person {b}\n"));
            let sources = if layout == LayoutChoice::Dfdc { vec![*a] } else { vec![*a, *b] };
            set.people_of.insert(real, [*a].into());
            set.people_of.insert(fake, sources.into_iter().collect());
        }
        if layout == LayoutChoice::Csv {
            set.lists
                .insert("list.csv".into(), rows.into_iter().fold("path,label,group\n".into(), |text, row| text + &row));
        }
        if layout == LayoutChoice::Deepfakebench {
            set.lists.insert("list.json".into(), serde_json::json!({ "FaceForensics++": benchmark }).to_string());
        }
        let lists = parts.into_iter().map(|(part, list)| (part, serde_json::Value::from(list).to_string()));
        set.lists.extend(lists.map(|(part, list)| (format!("dfdc_train_part_{part}/metadata.json"), list)));
        set
    }

    fn write(&self) -> TempDir {
        // Their videos are folders of frames.
        let frames = match self.layout {
            LayoutChoice::Deepfakebench | LayoutChoice::Df40 => ["/000.png", "/001.png"].as_slice(),
            _ => &[""],
        };
        let files = self.people_of.keys().flat_map(|video| frames.iter().map(move |frame| format!("{video}{frame}")));
        let root = tree(files);
        self.lists.iter().for_each(|(name, text)| put(&root, name, text));
        root
    }

    /// Data sets of one family have names for people in common; each other set has its own.
    fn family(&self, number: usize) -> String {
        match self.layout {
            LayoutChoice::Ffpp | LayoutChoice::FfppKaggle | LayoutChoice::Df40 => "ff".into(),
            LayoutChoice::Celebdf => "celebdf".into(),
            LayoutChoice::Dfdc => "dfdc".into(),
            _ => number.to_string(),
        }
    }
}

/// Few people know one another, or all would be one group that cannot be divided.
fn random_set() -> impl Strategy<Value = RandomSet> {
    use LayoutChoice::{Celebdf, Csv, Deepfakebench, Df40, Dfdc, Ffpp, FfppKaggle, Folders};
    let swaps = vec((0_u32..40, 0_u32..4, 0_usize..3), 12..60);
    let layouts = proptest::sample::select(vec![Folders, Ffpp, FfppKaggle, Celebdf, Dfdc, Df40, Deepfakebench, Csv]);
    (layouts, swaps).prop_map(|(layout, mut swaps)| {
        swaps.iter_mut().for_each(|(a, b, _)| *b += *a / 4 * 4);
        RandomSet::new(layout, &swaps)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_is_on_two_sides_and_every_file_is_there_once(sets in vec(random_set(), 1..4), seed: u64) {
        let roots: Vec<_> = sets.iter().map(RandomSet::write).collect();
        let data = DataConfig { root: Roots(roots.iter().map(|root| root.path().into()).collect()), ..DataConfig::default() };
        let mut manifest = dataset::scan(&data).unwrap();
        prop_assert!(manifest.skipped.is_empty(), "{:?}", manifest.skipped);
        for (number, set) in sets.iter().enumerate() {
            prop_assert_eq!(manifest.sets[number].layout, set.layout);
            let found = manifest.videos.iter().filter(|video| video.set == number);
            let found: Vec<_> = found.map(|video| video.path.to_str().unwrap()).collect();
            prop_assert_eq!(found, set.people_of.keys().collect::<Vec<_>>());
        }
        prop_assume!(dataset::assign_splits(&mut manifest, &data, seed).is_ok());
        let mut side_of = HashMap::new();
        for video in &manifest.videos {
            let set = &sets[video.set];
            for person in &set.people_of[video.path.to_str().unwrap()] {
                let side = *side_of.entry((set.family(video.set), *person)).or_insert(video.split);
                prop_assert_eq!(side, video.split, "person {} of {}", person, set.family(video.set));
            }
        }
    }
}

#[test]
fn the_command_counts_probes_and_names_what_cannot_be_used() {
    let root = tempfile::tempdir().unwrap();
    for id in 0..4 {
        write_video(&root.path().join(format!("real/id{id}.mp4")), &SETTINGS, 12, id);
        write_video(&root.path().join(format!("fake/swap/id{id}.mp4")), &SETTINGS, 12, id + 4);
    }
    put(&root, "real/id9.mp4", "");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfdetect"));
        command.args(["data", "scan", "--data"]).arg(root.path()).args(args).output().unwrap()
    };
    let output = run(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["layout"], "folders");
    assert_eq!(json["classes"], serde_json::json!({ "real": 4, "fake": 4 }));
    assert_eq!(json["methods"], serde_json::json!({ "swap": 4 }));
    let sides: u64 = ["train", "val", "test"].iter().map(|side| json["splits"][side].as_u64().unwrap()).sum();
    assert_eq!((sides, json["identities"].as_u64()), (8, Some(4)));
    assert_eq!(json["resolutions"], serde_json::json!({ "96x64": 8 }));
    assert_eq!(json["frames"], 96);
    assert_eq!(json["unusable"][0]["path"], "real/id9.mp4");
    assert!(json["unusable"][0]["reason"].as_str().unwrap().contains("empty"), "{json}");
    let text = String::from_utf8(run(&[]).stdout).unwrap();
    for part in ["folders (found", "96x64", "real/id9.mp4: ", "4 people"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("and 1 more"), "{text}");
    assert_eq!(run(&["--layout", "celebdf"]).status.code(), Some(2));
    (100..125).for_each(|id| put(&root, &format!("fake/swap/id{id}.mp4"), ""));
    let text = String::from_utf8(run(&[]).stdout).unwrap();
    assert_eq!(text.matches("the file is empty").count(), 20, "{text}");
    assert!(text.contains("26 cannot be used:") && text.contains("... and 6 more; all of them with --json"), "{text}");
}
