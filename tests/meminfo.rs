//! `dfdetect meminfo` as a user runs it, on whatever machine this is.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic too")]

use std::process::{Command, Output};

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
fn help_ends_with_two_examples() {
    let help = String::from_utf8(meminfo(&["--help"]).stdout).unwrap();
    assert!(help.lines().rev().take(2).all(|line| line.trim().starts_with("dfdetect meminfo")), "{help}");
}
