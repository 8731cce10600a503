#!/usr/bin/env python3
"""Prints typical values for data.quality_threshold and data.duplicate_threshold.

For every folder or file named: percentiles over frames, resized to 224 x 224 as clips are, of the variance of the
Laplacian (sharpness), and of the mean difference of grey levels to the frame before, for neighbouring frames and for 16
frames spread over the video. `--blur S` blurs first. Needs numpy and the ffmpeg program.
"""

import argparse
import pathlib
import subprocess

import numpy as np

SIDE = 224
MAX_FRAMES = 300


def frames(path, blur):
    """Grey levels, frames x height x width."""
    # The blur acts on the video as it is, the thresholds on the clip.
    filters = ([f"gblur=sigma={blur}"] if blur else []) + [f"scale={SIDE}:{SIDE}:flags=area", "format=gray"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-vf", ",".join(filters), "-fps_mode", "passthrough"]
    command += ["-frames:v", str(MAX_FRAMES), "-color_range", "pc", "-f", "rawvideo", "-"]
    grey = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.uint8)
    return grey.reshape(-1, SIDE, SIDE).astype(np.int32)


def sharpness(grey):
    inner = grey[:, 1:-1, 1:-1]
    return (grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] + grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] - 4 * inner).var(axis=(1, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    parser.add_argument("--blur", type=float, default=0.0)
    parser.add_argument("--most", type=int, default=40, help="videos of a folder")
    args = parser.parse_args()
    print(f"{'percentiles 1, 5, 50, 95:':32} {'sharpness':>28} {'next frame differs':>24} {'of 16 spread':>24}")
    for path in args.paths:
        videos = sorted(path.rglob("*.mp4")) if path.is_dir() else [path]
        values = [[], [], []]
        for video in videos[:: max(1, len(videos) // args.most)]:
            grey = frames(video, args.blur)
            spread = grey[[(2 * i + 1) * len(grey) // 32 for i in range(16)]]
            values[0].append(sharpness(grey))
            for kept, of in ((values[1], grey), (values[2], spread)):
                kept.append(np.abs(np.diff(of, axis=0)).mean(axis=(1, 2)))
        columns = [np.percentile(np.concatenate(column), [1, 5, 50, 95]) for column in values]
        low, high = " ".join(f"{value:6.0f}" for value in columns[0]), columns[1:]
        rest = " ".join(" ".join(f"{value:5.2f}" for value in column) for column in high)
        print(f"{str(path)[-32:]:32} {low} {rest}")


if __name__ == "__main__":
    main()
