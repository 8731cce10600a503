#!/usr/bin/env python3
"""The parts of gpu_proof.sh, which gives each of them a time limit and says where everything is.

usage: gpu_parts.py tests|memory|presets|speed|estimate|decode|others
       gpu_parts.py hold BYTES     holds all memory of the GPU but so many bytes until stdin ends

Writes Markdown to stdout, line by line, so that a part that is cut off leaves what it had. Ends with 1 where something
was not as it must be. On the CPU (MODE=trial) settings are tiny and figures mean nothing; what must hold there, too, is
checked, and what only a GPU shows is marked "not on a CPU".
"""
import json
import math
import os
import pathlib
import pickle
import re
import signal
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import gpu_snapshot
from gpu_utilization import Utilization

TRIAL = os.environ["MODE"] == "trial"
BUNDLE, LINK, WORK, OUT = (pathlib.Path(os.environ[name]) for name in ("BUNDLE", "LINK", "WORK", "OUT"))
SCRIPTS = pathlib.Path(__file__).parent
DFDETECT = BUNDLE / "target/release/dfdetect"
DEVICE = "cpu" if TRIAL else "cuda"
GIB = 2**30
failed = cut_off = False


def emit(*cells):
    """A row of a table."""
    # In one write, because several threads have rows. What was cut off did not fail.
    if not cut_off:
        print("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |\n", end="", flush=True)


def head(*columns):
    print()
    emit(*columns)
    emit(*("---" for _ in columns))


def verdict(*checks, only_gpu=()):
    """The checks (what must be, whether it is) that do not hold, in words."""
    global failed
    wrong = [text for text, holds in checks if not holds]
    unshown = [text for text, holds in only_gpu if not holds]
    if not TRIAL:
        wrong, unshown = wrong + unshown, []
    failed |= bool(wrong)
    return "; ".join([f"**FAIL**: {text}" for text in wrong] + [f"not on a CPU: {text}" for text in unshown]) or "pass"


def gib(size):
    return "-" if size is None else f"{size / GIB:.2f} GiB"


def demo_data():
    """A small data set; one that is there already is left as it is."""
    videos = "12" if TRIAL else "160"
    command = [DFDETECT, "-q", "demo-data", "--output", WORK / "demo", "--videos", videos]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Run:
    """What a training left, and how it ended."""

    def __init__(self, name, process):
        self.code = process.returncode
        reports = list((WORK / "runs" / name).glob("*/report.json"))
        self.folder = reports[0].parent if reports else None
        self.report = json.loads(reports[0].read_text()) if reports else {"status": f"no report, exit code {self.code}"}
        self.memory = self.report.get("memory", {})
        log = self.folder / "metrics.jsonl" if reports else None
        self.log = [json.loads(line) for line in log.read_text().splitlines()] if log and log.exists() else []

    def lines(self, kind):
        return [line for line in self.log if line["kind"] == kind]

    def steps(self, key):
        return [line.get(key) for line in self.lines("step")]

    def peak(self, which):
        """The most bytes that libtorch's allocator had, `allocated` or `reserved`."""
        return self.memory.get({"allocated": "gpu_peak_bytes", "reserved": "gpu_reserved_peak_bytes"}[which])

    def ended(self):
        return self.report["status"] if not self.report.get("error") else self.report["error"].splitlines()[0][:80]

    def is_on_gpu(self):
        return self.peak("allocated") and not self.memory.get("moved_to_cpu", True)

    def smallest(self):
        """What one forward pass took at the end."""
        chunk = self.memory.get("chunk_frames_final")
        return (f"{self.memory.get('micro_batch_final', '-')}" + (f", {chunk} frames at a time" if chunk else "")
                + (", on the CPU" if self.memory.get("moved_to_cpu") else ""))


def start(name, *args, stderr=None):
    """Starts a training whose run lies in WORK/runs/NAME, and whose messages are in OUT/logs."""
    (OUT / "logs").mkdir(exist_ok=True)
    with open(OUT / "logs" / f"{name}.log", "w") as log:
        command = [DFDETECT, "train", *args]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr or log, text=True)


def of_config(name, config, sets):
    usual = ["data.faces.mode=off", "model.pretrained=none", "logging.memory_log_interval=1",
             "output.tensorboard=false", f"cache.directory={WORK / 'frames'}"]
    usual += ["gpu.mixed_precision=off", "training.limit_batches=3"] if TRIAL else []
    sets = [f"--set={each}" for each in usual + sets]
    places = ["--data", WORK / "demo", "--output", WORK / "runs" / name]
    return ["--config", BUNDLE / f"src/configs/{config}.yaml", "--device", DEVICE, *places, *sets]


def finish(name, process):
    try:
        process.wait()
    finally:
        process.kill()
    return Run(name, process)


def train(name, config, sets):
    return finish(name, start(name, *of_config(name, config, sets)))


def capped(bytes_):
    """The setting that caps memory; the CPU has no cap, and takes any."""
    if TRIAL:
        return "gpu.memory_fraction=0.5"
    import torch
    return f"gpu.memory_fraction={min(1.0, max(0.001, bytes_ / torch.cuda.mem_get_info()[1]))}"


# tests

def tests():
    """Those of tests/cuda.rs, then all unit tests: whatever they do on a device."""
    run_tests("cuda")
    run_tests("unit", *(["torch::"] if TRIAL else []))


def others():
    """All other test programs that the bundle has."""
    for program in sorted((BUNDLE / "tests").iterdir()):
        if program.name not in ("cuda", "unit"):
            run_tests(program.name)


def run_tests(program, *names):
    counts, skipped, panic = {"pass": 0, "FAIL": 0, "skip": 0}, set(), []
    # Two threads at least: with one, libtest writes a name before what its test says.
    threads = f"--test-threads={max(2, os.cpu_count())}"
    command = [BUNDLE / "tests" / program, "--nocapture", threads, *names]
    print(f"\n### {program}\n", flush=True)
    # From the folder that `cargo test` would use.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    process = subprocess.Popen(command, cwd=LINK / "src", **pipes)
    try:
        for line in process.stdout:
            if found := re.match(r"skipped: (\S+): ", line):
                skipped.add(found[1])
            if "panicked at" in line or (panic and len(panic) % 8):
                panic.append(line)
            if found := re.match(r"test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)", line):
                name, outcome = found.groups()
                word = "FAIL" if outcome == "FAILED" else "skip" if outcome == "ignored" or name in skipped else "pass"
                counts[word] += 1
                if word == "FAIL" or program == "cuda":
                    print(f"- {word}: {name}", flush=True)
        process.wait()
    finally:
        process.kill()
        print(f"\n{program}: {', '.join(f'{count} {word}' for word, count in counts.items())}", flush=True)
    outcome = verdict((f"{program} ends well (code {process.returncode})", process.returncode == 0))
    print(f"\n{outcome}\n" + (f"\n```text\n{''.join(panic)[:4000]}```\n" if panic else ""), flush=True)


# memory

CLIPS, FRAMES, SIDE = (2, 2, 32) if TRIAL else (8, 8, 448)


def memory():
    """Memory really runs out, under caps that follow from what a training without one takes."""
    demo_data()
    # Without cuDNN's trials, whose memory would be taken for that of a step.
    usual = ["model.backbone=resnet18", "model.temporal=mean", f"training.batch_size={CLIPS}", "training.epochs=1",
             f"data.max_frames={FRAMES}", "data.min_frames=2", f"data.frame_size=[{SIDE},{SIDE}]",
             "training.limit_batches=3", "gpu.cudnn_benchmark=false"]
    whole = train("whole", "default", usual)
    between = [line["allocator"]["allocated_bytes"] for line in whole.lines("memory") if "allocator" in line]
    state, peak = min(between, default=0), whole.peak("allocated") or 0
    batch, frame = peak - state, (peak - state) / (CLIPS * FRAMES)
    print(f"ResNet-18, {CLIPS} clips of {FRAMES} frames of {SIDE} px. Without a cap: peak {gib(peak)}, "
          f"{gib(state)} between steps.")
    head("case", "cap", "ended", "times out of memory", "at last", "ms lost", "verdict")

    def row(case, cap, run, *checks):
        lost = sum(line["lost_ms"] for line in run.lines("oom"))
        # With the guard, on any device; `back` has learned them twice.
        clips = whole.steps("clips") * (2 if case == "back" else 1)
        always = [("it ends well", run.report["status"] == "completed"),
                  ("each clip is learned once an epoch", case == "waiting" or run.steps("clips") == clips),
                  ("losses are numbers", all(loss is not None and math.isfinite(loss) for loss in run.steps("loss")))]
        shown = verdict(*([] if case == "no guard" else always), only_gpu=checks)
        emit(case, gib(cap), run.ended(), run.memory.get("oom_events", "-"), run.smallest(), lost, shown)

    def one(case, share, sets, checks):
        # Blocks of the allocator do not fit each other exactly.
        cap = 1.15 * (state + share * batch)
        run = train(case.replace(" ", "-"), "default", usual + [capped(cap)] + sets)
        ran_out = [("it runs out", run.memory.get("oom_events", 0) > 0),
                   ("in CUDA's words", any("CUDA out of memory" in line["message"] for line in run.lines("oom")))]
        row(case, cap, run, *ran_out, *checks(run))
        return run

    snapshot = ["gpu.memory_management.snapshot=true"] if has_snapshots() else []
    cases = [
        ("batch", 0.6, snapshot,
         lambda run: [("a part of the batch", run.memory.get("micro_batch_final", CLIPS) < CLIPS)]),
        ("one clip", 1.5 / CLIPS, [], lambda run: [("one clip", run.memory.get("micro_batch_final") == 1)]),
        ("chunks", 0.6 / CLIPS, [], lambda run: [("frames of a clip", run.memory.get("chunk_frames_final"))]),
        ("no guard", 0.6, ["gpu.memory_management.oom_retry=false"],
         lambda run: [("it ends the run", run.code == 1 and run.memory.get("ended_the_run"))]),
    ]
    with ThreadPoolExecutor(2 if TRIAL else len(cases)) as pool:
        runs = list(pool.map(lambda case: one(*case), cases))
    to_cpu_and_back(usual, state, frame, row)
    waiting(usual, state, frame, row)
    print(f"\nSnapshot: {snapshots(runs[0])}", flush=True)


def to_cpu_and_back(usual, state, frame, row):
    """Frames twice as high and wide; a cap that holds not even one of them."""
    large = usual + [f"data.frame_size=[{2 * SIDE},{2 * SIDE}]", "data.max_frames=2", f"training.batch_size={CLIPS}"]
    cap = 1.15 * state + 0.4 * 4 * frame
    run = train("to-cpu", "default", large + [capped(cap), "gpu.fallback_cpu=true"])
    row("to the CPU", cap, run, ("it moves", run.memory.get("moved_to_cpu")))
    if run.folder:
        process = start("back", "--resume", run.folder, "--set=training.epochs=2", "--set=gpu.memory_fraction=1")
        run = finish("to-cpu", process)
        row("back", None, run, ("it is on the GPU again", run.is_on_gpu()))


def waiting(usual, state, frame, row):
    """Another process holds the memory that one frame needs, and leaves when it is waited for."""
    side = SIDE if TRIAL else 2048
    frame *= (side / SIDE) ** 2
    leave = int(0.6 * GIB + 1.15 * state + 0.4 * frame)
    command = [sys.executable, __file__, "hold", str(leave)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        large = usual + [f"data.frame_size=[{side},{side}]", "data.max_frames=2", "training.batch_size=1"]
        with start("waiting", *of_config("waiting", "default", large), stderr=subprocess.PIPE) as process:
            with open(OUT / "logs/waiting.log", "w") as log:
                for line in process.stderr:
                    log.write(line)
                    if "the same clips run again in" in line and not holder.stdin.closed:
                        holder.stdin.close()
            run = finish("waiting", process)
    finally:
        holder.kill()
    waited = any(line["cause"] == "waited" for line in run.lines("oom"))
    row("waiting", leave, run, ("it waits", waited), ("it stays on the GPU", run.is_on_gpu()))


def hold(leave):
    if not TRIAL:
        import torch
        torch.cuda.init()
        free, _ = torch.cuda.mem_get_info()
        held = torch.empty(max(1, free - leave), dtype=torch.uint8, device="cuda")
        held[:1] = 1
    print("held", flush=True)
    sys.stdin.read()


def has_snapshots():
    schema = subprocess.run([DFDETECT, "config", "schema"], check=True, capture_output=True, text=True).stdout
    return '"snapshot"' in schema


def snapshots(run):
    """What is wrong with the files that the program wrote when memory ran out."""
    if TRIAL:
        path = WORK / "oom-made-up.pickle"
        path.write_bytes(pickle.dumps(gpu_snapshot.MADE_UP))
        return f"of a made-up one {read_snapshot(path)}"
    written = sorted(run.folder.rglob("oom-*.pickle")) if run.folder else []
    if not written:
        knows = "knows" if has_snapshots() else "does not know"
        return verdict((f"not written; the program {knows} the setting", False))
    return f"{len(written)} written; {written[0].name}: {read_snapshot(written[0])}"


def read_snapshot(path):
    summary, checks = gpu_snapshot.read(path)
    return f"{summary}: {verdict(*checks)}"


# presets

PRESETS = sorted(path.stem for path in (BUNDLE / "src/configs").glob("*.yaml"))


def presets():
    """Each under caps, with and without the guard, four at a time: their speed means nothing."""
    demo_data()
    tiny = ["data.max_frames=2", "data.min_frames=2", "data.frames_per_epoch=null", "data.clips_per_video=1", "data.frame_size=[32,32]",
            "training.batch_size=2"]
    sets = ["training.epochs=1"] + (tiny if TRIAL else ["training.limit_batches=6"])
    head("preset", "cap", "guard", "ended", "steps", "peak allocated", "peak reserved", "times out of memory", "at last",
         "verdict")

    def row(preset, cap, guard):
        on = ["gpu.memory_management.oom_retry=" + ("true" if guard else "false"), capped(cap * GIB)]
        run = train(f"{preset}-{cap}-{'guard' if guard else 'none'}", preset, sets + on)
        # Without the guard, whether it ends well is what is asked.
        check = ("it ends well", run.report["status"] == "completed") if guard else ("it leaves a report", run.folder)
        peaks = [gib(run.peak(which)) for which in ("allocated", "reserved")]
        emit(preset, f"{cap} GiB", "yes" if guard else "no", run.ended(), run.report.get("steps", "-"), *peaks,
             run.memory.get("oom_events", "-"), run.smallest(), verdict(check))

    under = [(8, True)] if TRIAL else [(12, True), (12, False), (8, True), (8, False)]
    wanted = [(preset, *each) for preset in PRESETS for each in under]
    with ThreadPoolExecutor(2 if TRIAL else 4) as pool:
        list(pool.map(lambda each: row(*each), wanted))


# speed

def speed():
    """A step from the cache against the tuned peer, in turns, and how busy the GPU is in such epochs."""
    demo_data()
    clips, frames, side, epochs, rounds, steps = (2, 2, 32, 2, 1, 4) if TRIAL else (8, 16, 224, 3, 3, 100)
    print(f"{clips} clips of {frames} frames of {side} px; ms a step, without the steps of the first epoch.")
    head("ResNet", "round", "dfdetect", "waits for data", "GPU busy", "Python", "Python / dfdetect")
    for depth in (18, 50):
        ratios = []
        for number in range(1, rounds + 1):
            ours, waits, busy = our_step(f"speed-{depth}-{number}", depth, clips, frames, side, epochs)
            command = [sys.executable, SCRIPTS / "gpu_bench_peer.py", f"--device={DEVICE}", f"--depth={depth}",
                       f"--clips={clips}", f"--frames={frames}", f"--size={side}", f"--warm-up={steps // 4}",
                       f"--steps={steps}"]
            shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            theirs = json.loads(shown)["mean_secs"]
            ratios.append(theirs / ours)
            emit(depth, number, f"{1000 * ours:.2f}", f"{waits:.0%}", busy, f"{1000 * theirs:.2f}", f"{ratios[-1]:.2f}")
        emit(depth, "median", "", "", "", "", f"{statistics.median(ratios):.2f}")


def our_step(name, depth, clips, frames, side, epochs):
    """Seconds a step, the share of them that waits for data, and how busy the GPU is, from the second epoch on."""
    sets = [f"model.backbone=resnet{depth}", "model.temporal=mean", f"training.batch_size={clips}",
            f"training.epochs={epochs}", f"data.max_frames={frames}", "data.min_frames=2",
            f"data.frame_size=[{side},{side}]", "data.clips_per_video=4",
            "data.val_split=0.05", "data.test_split=0.05", "augmentation.enabled=false", "dataloader.drop_last=true",
            f"gpu.mixed_precision={'off' if TRIAL else 'fp16'}"]
    process = start(name, *of_config(name, "default", sets))
    with Utilization(DEVICE, lambda: is_between(name, epochs)) as busy:
        run = finish(name, process)
    steps = [line for line in run.lines("step") if line["epoch"] > 1]
    if run.report["status"] != "completed" or not steps:
        raise SystemExit(f"{name}: {run.ended()}, see logs/{name}.log")
    seconds = [step["clips"] / step["clips_per_sec"] for step in steps]
    waits = sum(step["data_wait_ms"] for step in steps) / 1000 / sum(seconds)
    return statistics.mean(seconds), waits, busy.text()


def is_between(name, epochs):
    """Whether a run is in its second epoch or a later one, validation and checkpoints included."""
    done = sum(path.read_text().count('"kind":"epoch"') for path in (WORK / "runs" / name).glob("*/metrics.jsonl"))
    return 1 <= done < epochs


# estimate and decode

def bench(*command):
    code = subprocess.run([BUNDLE / "benches" / command[0], *command[1:]]).returncode
    print(f"\n{verdict((f'it ends well (code {code})', code == 0))}", flush=True)


def estimate():
    """What `suggest` predicts against what the allocator took."""
    bench("estimate", "trial" if TRIAL else "cuda")


def decode():
    """The same clips by NVDEC and by the CPU; the mean pixel shows that both decode the same."""
    print("Clips of 1280 x 720, 16 frames of each.\n", flush=True)
    bench("decode", "--hardware", *(("2", "20") if TRIAL else ("16", "300")))


def be_cut_off(*_):
    """Leaves the rows as they are, and ends the programs that were started."""
    global cut_off
    cut_off = True
    sys.exit(143)


def main():
    if TRIAL:
        os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGTERM, be_cut_off)
    part, *args = sys.argv[1:]
    if part == "hold":
        return hold(int(args[0]))
    parts = [tests, memory, presets, speed, estimate, decode, others]
    next(each for each in parts if each.__name__ == part)()
    sys.exit(1 if failed else 0)


main()
