//! What `meminfo` shows of made-up readings, as tables and as JSON.

use super::report::{Report, Torch};
use super::{headroom, run_memory, tables};
use crate::memory::{CgroupMemory, GpuMemory, GpuProcess, HostMemory, ProcessMemory, ProcessUse, Snapshot};

const GIB: u64 = 1 << 30;

fn snapshot() -> Snapshot {
    Snapshot {
        host: HostMemory {
            total_bytes: 32 * GIB,
            available_bytes: 24 * GIB,
            used_bytes: 8 * GIB,
            swap_total_bytes: 0,
            swap_used_bytes: 0,
        },
        cgroup: Some(CgroupMemory { limit_bytes: 16 * GIB, used_bytes: 4 * GIB, free_bytes: 12 * GIB }),
        process: ProcessMemory { rss_bytes: Some(GIB), peak_rss_bytes: None, maps: Some(321) },
        gpus: vec![GpuMemory {
            index: 1,
            bus_id: Some("0000:65:00".into()),
            uuid: None,
            compute_capability: Some([8, 9]),
            name: "NVIDIA GeForce RTX 4070".into(),
            memory_total_bytes: 12 * GIB,
            memory_used_bytes: 3 * GIB,
            memory_free_bytes: 9 * GIB,
            utilization_percent: Some(37),
            temperature_c: None,
            power_w: Some(61.5),
            power_limit_w: Some(200.0),
            processes: vec![GpuProcess { pid: 4321, used_bytes: Some(3 * GIB), name: Some("python3".into()) }],
        }],
        driver: Some("580.65.06".into()),
        gpu_note: None,
    }
}

fn report(memory: Snapshot) -> Report {
    let torch = Torch { version: "2.11.0".into(), cuda_available: true, expandable_segments: true };
    Report { headroom: headroom::of(&memory), memory, unusable_gpus: vec![], torch, processes: None, run: None }
}

fn render(report: &Report) -> String {
    tables::render(report, None)
}

#[test]
fn tables_show_limits_gpus_and_end_with_what_is_free() {
    let text = render(&report(snapshot()));
    for part in
        ["cgroup limit", "12.0 GiB", "RTX 4070", "37 %", "62 of 200 W", "4321 python3 3.0 GiB", "█████░", "321 maps"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("swap") && !text.contains("no NVIDIA GPU"), "{text}");
    assert_eq!(text.lines().last(), Some("free to train in: 12.0 GiB on the host, 9.0 GiB on GPU 1"));
}

#[test]
fn what_the_allocator_does_and_a_gpu_that_cannot_be_used_are_said() {
    let mut report = report(snapshot());
    report.unusable_gpus = vec!["GPU 1 is too old".into()];
    let text = render(&report);
    assert!(text.contains("GPU 1 is too old\nlibtorch 2.11.0 uses CUDA, with expandable segments"), "{text}");
    report.torch.expandable_segments = false;
    assert!(render(&report).contains("uses CUDA, without expandable segments"));
}

#[test]
fn no_gpu_is_said_with_its_reason() {
    let memory = Snapshot { gpus: vec![], gpu_note: Some("the driver is away".into()), ..snapshot() };
    let text = render(&report(memory));
    assert!(text.contains("no NVIDIA GPU: the driver is away"), "{text}");
    assert_eq!(text.lines().last(), Some("free to train in: 12.0 GiB on the host"));
}

#[test]
fn json_has_the_keys_that_other_programs_rely_on() {
    let json = serde_json::to_value(report(snapshot())).unwrap();
    assert_eq!(json["host"]["available_bytes"], 24 * GIB);
    assert_eq!(json["cgroup"]["limit_bytes"], 16 * GIB);
    assert_eq!(json["process"]["peak_rss_bytes"], serde_json::Value::Null);
    assert_eq!(json["gpus"][0]["memory_free_bytes"], 9 * GIB);
    assert_eq!(json["gpus"][0]["processes"][0]["pid"], 4321);
    assert_eq!(json["torch"]["cuda_available"], true);
    assert!(json["headroom"][0]["clips_that_fit"].as_u64().unwrap() > 1, "{json}");
    assert!(json.get("processes").is_none() && json.get("run").is_none());
}

#[test]
fn processes_and_a_run_are_shown_where_asked_for() {
    let mut report = report(snapshot());
    let process =
        ProcessUse { pid: 4321, name: "python3".into(), rss_bytes: None, gpus: vec![(1, Some(3 * GIB)), (2, None)] };
    report.processes = Some(vec![process]);
    report.run = Some(run_memory::tests::example());
    let text = render(&report);
    for part in ["python3", "1: 3.0 GiB, 2: ?", "runs/demo", "step 40", "3.5 GiB reserved", "2 retries"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
