#!/usr/bin/env python3
"""A row of the table of gpu_check.sh, from what a run left; without arguments, the head of the table.

usage: gpu_row.py [PRESET LABEL FOLDER]     the run is the only one in FOLDER

Clips a second is the median over the steps of the last epoch, in which nothing is decoded or tuned any more; the wait
for data is in it, and its share beside it.
"""
import json
import pathlib
import statistics
import sys

COLUMNS = ["preset", "", "clips x frames", "ended", "steps", "peak allocated", "peak reserved", "out of memory",
           "last micro-batch", "clips/s", "waits for data"]


def gib(size):
    return "-" if size is None else f"{size / 2**30:.2f} GiB"


def lines(run, kind):
    log = run / "metrics.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [record for record in records if record["kind"] == kind]


def speed(steps):
    last = [step for step in steps if step["epoch"] == steps[-1]["epoch"]] if steps else []
    seconds = [step["clips"] / step["clips_per_sec"] for step in last]
    if not seconds:
        return "-", "-"
    waited = sum(step["data_wait_ms"] for step in last) / 1000 / sum(seconds)
    return f"{statistics.median(step['clips_per_sec'] for step in last):.1f}", f"{waited:.0%}"


def smallest(memory):
    """What one forward pass took at the end."""
    chunk = memory.get("chunk_frames_final")
    chunks = f", {chunk} frames at a time" if chunk else ""
    return f"{memory['micro_batch_final']}{chunks}{' on the CPU' if memory.get('moved_to_cpu') else ''}"


def row(preset, label, run):
    report = json.loads((run / "report.json").read_text())
    settings = (run / "config.yaml").read_text()
    memory, steps = report["memory"], lines(run, "step")
    reserved = max((line["allocator"]["reserved_peak_bytes"] for line in lines(run, "memory") if "allocator" in line), default=None)
    value = lambda key: next(line.split(":")[1].strip() for line in settings.splitlines() if line.strip().startswith(key + ":"))
    ended = report["status"] if report["status"] == "completed" else report["error"].splitlines()[0][:80]
    return [preset, label, f"{value('batch_size')} x {value('max_frames')}", ended, report["steps"],
            gib(memory.get("gpu_peak_bytes")), gib(reserved), memory["oom_events"],
            smallest(memory), *speed(steps)]


def main():
    if len(sys.argv) == 1:
        print("|", " | ".join(COLUMNS), "|\n|", " | ".join("---" for _ in COLUMNS), "|")
        return
    preset, label, folder = sys.argv[1:]
    runs = list(pathlib.Path(folder).glob("*/report.json"))
    cells = row(preset, label, runs[0].parent) if runs else [preset, label, "", "no report"] + ["-"] * (len(COLUMNS) - 4)
    print("|", " | ".join(str(cell).replace("|", "/") for cell in cells), "|")


main()
