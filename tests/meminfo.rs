//! `dfdetect meminfo` as a user runs it, on whatever machine this is.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn meminfo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dfdetect")).arg("meminfo").args(args).output().unwrap()
}

fn json() -> Value {
    let output = meminfo(&["--json"]);
    assert_eq!(output.status.code(), Some(0));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn json_describes_this_machine() {
    let json = json();
    let bytes = |path: &str| json.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {json}"));
    assert!(bytes("/host/available_bytes") <= bytes("/host/total_bytes"));
    assert!(bytes("/host/used_bytes") <= bytes("/host/total_bytes"));
    assert!(bytes("/host/swap_used_bytes") <= bytes("/host/swap_total_bytes"));
    assert!(bytes("/process/rss_bytes") > 1 << 20, "a program that has libtorch loaded is not that small");
    assert!(bytes("/process/peak_rss_bytes") <= bytes("/host/total_bytes"));
    assert!(!json["torch"]["version"].as_str().unwrap().is_empty());
    assert!(json["torch"]["cuda_available"].is_boolean());
}

#[test]
fn the_kernel_agrees_on_the_hosts_memory() {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let kib: u64 = total.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap();
    assert_eq!(json()["host"]["total_bytes"], kib * 1024);
}

#[test]
fn the_cgroup_is_an_object_or_null_but_never_absent() {
    let json = json();
    let cgroup = json.as_object().unwrap().get("cgroup").expect("the key is always there");
    assert!(cgroup.is_null() || cgroup["limit_bytes"].is_u64() && cgroup["used_bytes"].is_u64(), "{cgroup}");
}

#[test]
fn gpus_are_listed_or_their_absence_has_a_reason() {
    let json = json();
    let gpus = json["gpus"].as_array().unwrap();
    assert_ne!(gpus.is_empty(), json["gpu_note"].is_null(), "{json}");
    for gpu in gpus {
        assert!(gpu["memory_free_bytes"].as_u64() <= gpu["memory_total_bytes"].as_u64(), "{gpu}");
    }
    let text = String::from_utf8(meminfo(&[]).stdout).unwrap();
    assert_eq!(text.contains("no NVIDIA GPU: "), gpus.is_empty(), "{text}");
}

#[test]
fn tables_end_with_what_is_free_and_go_to_stdout_alone() {
    let output = meminfo(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(text.contains("host") && text.contains("this process"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("free to train in: "), "{text}");
}

#[test]
fn processes_are_listed_where_asked_for_and_this_one_is_among_them() {
    let output = meminfo(&["--json", "--processes"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let processes = json["processes"].as_array().unwrap();
    assert!((1..=10).contains(&processes.len()), "{json}");
    assert!(processes.iter().all(|process| process["rss_bytes"].is_u64() && process["name"].is_string()), "{json}");
    assert!(json["process"]["maps"].as_u64().unwrap() > 10, "{json}");
    assert!(json["headroom"][0]["one_clip_bytes"].as_u64().unwrap() > 100 << 20, "{json}");
}

/// Into a pipe, block follows block and line follows line, until a signal; and that is no failure.
#[test]
fn watching_goes_on_until_it_is_told_to_stop() {
    for (args, blocks) in
        [(&["--watch", "0.1"][..], "free to train in: "), (&["--watch", "0.1", "--json"], "{\"host\":")]
    {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dfdetect"))
            .arg("meminfo")
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.by_ref().map(Result::unwrap).filter(|line| line.starts_with(blocks)).take(3).count();
        assert_eq!(seen, 3);
        assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(!rest.iter().any(|line| line.contains('\x1b')), "no screen where there is no terminal: {rest:?}");
    }
}

#[test]
fn a_run_is_shown_by_its_last_line_and_its_absence_has_a_hint() {
    let run = tempfile::tempdir().unwrap();
    let asked =
        |what: &str| Command::new(env!("CARGO_BIN_EXE_dfdetect")).args(["meminfo", "--run", what]).output().unwrap();
    let path = run.path().to_str().unwrap();
    let missing = asked(path);
    let text = String::from_utf8(missing.stderr).unwrap();
    assert!(missing.status.code() == Some(1) && text.contains("hint: name the folder of a run"), "{text}");
    let line = r#"{"kind":"memory","step":7,"micro_batch":2,"clips_ahead":4,"threads":1,"cache_bytes":1048576,"host":{"used_bytes":1,"total_bytes":2},"rss_bytes":2097152}"#;
    std::fs::write(run.path().join("metrics.jsonl"), format!("{line}\n{{\"kind\":\"step\",\"step\":8}}\n")).unwrap();
    let text = String::from_utf8(asked(path).stdout).unwrap();
    for part in [
        path,
        "at step 7:\n  2.0 MiB resident, 1.0 MiB in the frame cache",
        "clips ahead 4, threads 1",
        "micro-batch 2",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn help_ends_with_two_examples() {
    let help = String::from_utf8(meminfo(&["--help"]).stdout).unwrap();
    assert!(help.lines().rev().take(2).all(|line| line.trim().starts_with("dfdetect meminfo")), "{help}");
}
