#!/usr/bin/env python3
"""Clips a second of dfdetect and of other readers, in turns on the same files, as one table a folder.

usage: bench_decode.py [FOLDER ...] [--rounds N] [--workers N] [--frames N] [--size N]
Without a FOLDER, `cargo bench --bench decode` makes two of eight clips: x264's presets veryfast and medium (its default).
The other readers are installed into .deps/bench-venv: OpenCV, PyAV, decord, torchcodec 0.11 (with torch 2.11).
Every reader gives the same evenly spaced frames as RGB of SIZE x SIZE; but `reference_frames` moves them. The medians of
the rounds are shown, and with them the ratio to the fastest other reader of the same round: median, least and most.
Means of all pixels differ by the colour matrix: dfdetect takes HD video that does not say for BT.709, as players do, the
others for BT.601.
"""
import argparse
import datetime
import json
import multiprocessing
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".deps/bench-venv"
PEERS = ["opencv", "pyav", "decord", "torchcodec"]
PACKAGES = ["numpy", "av", "decord", "opencv-python-headless", "torch==2.11.*", "torchcodec==0.11.*"]


def centres(count, frames):
    """What dfdetect calls `uniform`: the middle frame of each of equal parts."""
    return [(2 * part + 1) * count // (2 * frames) for part in range(frames)]


def opencv(path, frames, size):
    import cv2

    cv2.setNumThreads(1)
    video = cv2.VideoCapture(path)
    wanted = centres(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), frames)
    pictures = []
    for number in range(wanted[-1] + 1):
        video.grab()
        if number in wanted:
            frame = cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
            pictures.append(cv2.resize(frame, (size, size)))
    return pictures


def pyav(path, frames, size):
    import av

    with av.open(path) as video:
        stream = video.streams.video[0]
        stream.codec_context.thread_count = 1
        wanted = centres(stream.frames, frames)
        pictures = []
        for number, frame in enumerate(video.decode(stream)):
            if number in wanted:
                pictures.append(frame.reformat(size, size, "rgb24").to_ndarray())
            if number == wanted[-1]:
                return pictures


def decord(path, frames, size):
    import decord

    video = decord.VideoReader(path, width=size, height=size, num_threads=1)
    return video.get_batch(centres(len(video), frames)).asnumpy()


def torchcodec(path, frames, size):
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    video = VideoDecoder(path, num_ffmpeg_threads=1, seek_mode="approximate", transforms=[Resize((size, size))])
    return video.get_frames_at(centres(video.metadata.num_frames, frames)).data.numpy()


def read(job):
    import numpy

    reader, *rest = job
    return float(numpy.mean(globals()[reader](*rest)))


def run_peer(reader, folder, args):
    """One round, in this process: the virtual environment's Python runs this file with --peer."""
    videos = sorted(str(path) for path in pathlib.Path(folder).rglob("*.mp4"))
    jobs = [(reader, path, args.frames, args.size) for path in videos]
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        pool.map(read, jobs[: args.workers], chunksize=1)  # imports
        start = time.perf_counter()
        means = pool.map(read, jobs, chunksize=1)
        secs = time.perf_counter() - start
    print(json.dumps({"reader": reader, "videos_per_sec": len(jobs) / secs, "mean": statistics.mean(means)}))


def install():
    if not (VENV / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "--quiet", *PACKAGES], check=True)
        (VENV / "ready").touch()


def lines(command):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"{command[1]}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def table(folder, args):
    numbers = [str(args.workers), str(args.frames), str(args.size)]
    ours = ["cargo", "bench", "--bench", "decode", "--", str(folder), *numbers]
    lines(ours)  # builds
    peer = [str(VENV / "bin/python"), __file__, str(folder), "--workers", numbers[0], "--frames", numbers[1]]
    results, ratios = {}, {}
    for _ in range(args.rounds):
        found = lines(ours) + [line for name in PEERS for line in lines([*peer, "--size", numbers[2], "--peer", name])]
        fastest = max(line["videos_per_sec"] for line in found if line["reader"] in PEERS)
        for line in found:
            results.setdefault(line["reader"], []).append(line)
            ratios.setdefault(line["reader"], []).append(line["videos_per_sec"] / fastest)
    print(f"\n{os.path.relpath(folder)}\n\n| reader | videos a second | to the fastest other | frames decoded a clip | mean pixel |")
    print("| --- | --- | --- | --- | --- |")
    medians = {reader: statistics.median(line["videos_per_sec"] for line in rounds) for reader, rounds in results.items()}
    for reader, rate in sorted(medians.items(), key=lambda item: -item[1]):
        ratio = f"{statistics.median(ratios[reader]):.2f} ({min(ratios[reader]):.2f} to {max(ratios[reader]):.2f})"
        last = results[reader][-1]
        decoded = f"{last['decoded']:.0f}" if "decoded" in last else "all"
        print(f"| {reader} | {rate:.2f} | {ratio} | {decoded} | {last['mean']:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", default=[ROOT / ".deps/bench-clips" / name for name in ("veryfast", "medium")])
    for name, default in (("rounds", 3), ("workers", 2), ("frames", 16), ("size", 224)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return run_peer(args.peer, args.folders[0], args)

    install()
    if not all(any(pathlib.Path(folder).rglob("*.mp4")) for folder in args.folders):
        lines(["cargo", "bench", "--bench", "decode"])
    cores = f"{os.cpu_count()} cores, {args.workers} workers, {args.frames} frames, {args.rounds} rounds"
    print(f"{datetime.date.today()}, {platform.processor() or platform.machine()}, {cores}")
    for folder in args.folders:
        table(folder, args)


if __name__ == "__main__":
    main()
