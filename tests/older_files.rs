//! The older system's five configuration files (written anew in `fixtures/older` from a list of its keys), through the
//! binary: `config convert`, `train --dry-run`, and a short run with each.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

mod data_support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use data_support::{SETTINGS, write_video};
use dfdetect::config::load;

const FILES: [&str; 5] = ["default", "medium", "memory_opt", "quick_demo", "high_perf"];
/// What makes a run short; everything else is the file's.
const SHORT: [&str; 9] = [
    "data.frame_size=[32, 32]",
    "data.max_frames=2",
    "data.min_frames=2",
    "data.quality_threshold=0",
    "data.faces.mode=off",
    "training.epochs=1",
    "training.limit_batches=1",
    "training.batch_size=2",
    "model.pretrained=none",
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/older").join(format!("{name}.yaml"))
}

fn dfdetect(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dfdetect")).current_dir(folder).args(args).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_converted_file_is_without_old_keys_and_resolves_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let (old, new) = (file(name), folder.path().join(format!("{name}.yaml")));
        let [old_text, new_text] = [&old, &new].map(|path| path.to_str().unwrap());
        succeeds(&dfdetect(folder.path(), &["config", "convert", old_text, new_text]));
        let [before, after] = [&old, &new].map(|path| load(path, &[]).unwrap());
        assert_eq!(after.config, before.config, "{name}");
        assert_eq!(after.warnings, Vec::<String>::new(), "{name}");
        let text = std::fs::read_to_string(&new).unwrap();
        assert!(before.warnings.iter().all(|line| text.contains(&format!("# {line}\n"))), "{text}");

        let again = dfdetect(folder.path(), &["config", "convert", old_text, new_text]);
        assert_eq!(again.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&again.stderr).contains("there is such a file already"));
        succeeds(&dfdetect(folder.path(), &["config", "convert", old_text, new_text, "--force"]));
    }
}

#[test]
fn each_trains() {
    let folder = tempfile::tempdir().unwrap();
    for (number, class) in ["real", "fake"].iter().cycle().take(16).enumerate() {
        write_video(&folder.path().join(format!("videos/{class}/{number}.mp4")), &SETTINGS, 4, number);
    }
    for name in FILES {
        let config = file(name);
        let train = ["train", "--config", config.to_str().unwrap(), "--data", "videos", "--output", "runs"];
        succeeds(&dfdetect(folder.path(), &[&train[..], &["--dry-run"]].concat()));
        let short: Vec<&str> = SHORT.iter().flat_map(|set| ["--set", set]).collect();
        let output = dfdetect(folder.path(), &[&train[..], &short].concat());
        assert!(succeeds(&output).contains("results: runs/"), "{name}");
        // Each line is said once.
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for line in load(&config, &[]).unwrap().warnings {
            assert_eq!(said.matches(&line).count(), 1, "{name}: {line}: {said}");
        }
    }
}
