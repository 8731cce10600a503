#!/usr/bin/env python3
"""Writes tests/fixtures/events.tfevents: a version, four numbers, a picture and a precision-recall curve (by PyTorch's
`pr_curve`) by TensorBoard's own record writer.

usage: make_events_fixture.py tests/fixtures/events.tfevents
Needs: numpy, torch, tensorboard==2.21.0 (only to make the fixture again; the tests need it not).
"""
import sys

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import pr_curve


def main(path):
    numbers = {"step/loss": 0.25, "step/lr": 1e-4, "memory/rss_bytes": 3e9, "epoch/zero": 0.0}
    values = [summary_pb2.Summary.Value(tag=tag, simple_value=number) for tag, number in numbers.items()]
    image = summary_pb2.Summary.Image(height=8, width=16, colorspace=3, encoded_image_string=b"not a picture")
    picture = summary_pb2.Summary.Value(tag="clips/real", image=image)
    curve = pr_curve("pr/validation", np.array([False, True, False, True, True]), np.array([0.1, 0.5, 0.5, 0.9, 1.0]))
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in [
            event_pb2.Event(wall_time=1000.5, file_version="brain.Event:2"),
            event_pb2.Event(wall_time=1001.0, step=7, summary=summary_pb2.Summary(value=values)),
            event_pb2.Event(wall_time=1002.25, step=300, summary=summary_pb2.Summary(value=[picture])),
            event_pb2.Event(wall_time=1003.0, step=400, summary=curve),
        ]:
            writer.write(event.SerializeToString())
        writer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
