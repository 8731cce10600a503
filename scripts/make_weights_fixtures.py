#!/usr/bin/env python3
"""Writes tests/fixtures/weights/: small files of weights as PyTorch writes them, and what is in them.

usage: make_weights_fixtures.py tests/fixtures/weights
Needs: torch==2.11.0 (only to make the fixtures again; the tests need it not).

kinds.pth, kinds-old.pth   tensors of every type and layout, in both file formats; kinds.json has their numbers
wrapped.pth                what a training script saves: a state dict among other things, pickle protocol 4
resnet18.pth, -old         torchvision's names and shapes; each tensor is one number shown many times, so they are small
hostile.pth                a pickle that would run a command
"""
import collections
import json
import math
import os
import pathlib
import sys

import torch


def kinds():
    base = torch.arange(24, dtype=torch.float32).view(4, 6)
    tensors = {
        "f32": torch.tensor([[1.5, -2.25], [0.0, 3e30]]),
        "f64": torch.tensor([1.1, -1e300, 5e-324], dtype=torch.float64),
        "f16": torch.tensor([1.5, -65504.0], dtype=torch.float16),
        "bf16": torch.tensor([1.5, 3e38], dtype=torch.bfloat16),
        "i64": torch.tensor(7, dtype=torch.int64),
        "i32": torch.tensor([-5, 6], dtype=torch.int32),
        "i16": torch.tensor([-5, 6], dtype=torch.int16),
        "i8": torch.tensor([-5, 6], dtype=torch.int8),
        "u8": torch.tensor([5, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "whole": base,
        "transposed": base.t(),
        "window": base[1:, ::2],
        "same": torch.tensor([2.5]).expand(2, 3),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.tensor([4.0, 5.0])),
        "channels_last": torch.arange(16.0).view(1, 4, 2, 2).contiguous(memory_format=torch.channels_last),
    }
    state = collections.OrderedDict(tensors)
    # As Module.state_dict has it.
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    return state


def resnet18():
    shapes = collections.OrderedDict()

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = None

    shapes["conv1.weight"] = (64, 3, 7, 7)
    norm("bn1", 64)
    inputs = 64
    for stage in range(4):
        width = 64 << stage
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, inputs, 3, 3)
            norm(f"{name}.bn1", width)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn2", width)
            if inputs != width:
                shapes[f"{name}.downsample.0.weight"] = (width, inputs, 1, 1)
                norm(f"{name}.downsample.1", width)
            inputs = width
    shapes["fc.weight"] = (1000, 512)
    shapes["fc.bias"] = (1000,)
    state = collections.OrderedDict()
    for number, (name, shape) in enumerate(shapes.items()):
        if shape is None:
            state[name] = torch.tensor(number)
            continue
        # Convolutions take means, and norms add about one: signals stay positive and keep their size.
        whole = 0 if name.endswith("running_mean") else 1
        state[name] = torch.tensor([(whole + number / 1024) / math.prod(shape[1:])]).expand(shape)
    return state


class Hostile:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    state = kinds()
    torch.save(state, folder / "kinds.pth")
    torch.save(state, folder / "kinds-old.pth", _use_new_zipfile_serialization=False)
    numbers = {
        name: {"shape": list(tensor.shape), "values": tensor.detach().double().flatten().tolist()}
        for name, tensor in state.items()
    }
    (folder / "kinds.json").write_text(json.dumps(numbers, indent=0) + "\n")
    wrapped = {
        "epoch": 3,
        "lr": 0.1,
        "state_dict": {"module.conv1.weight": torch.ones(2)},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]},
    }
    torch.save(wrapped, folder / "wrapped.pth", pickle_protocol=4)
    torch.save(resnet18(), folder / "resnet18.pth")
    torch.save(resnet18(), folder / "resnet18-old.pth", _use_new_zipfile_serialization=False)
    torch.save({"conv1.weight": torch.ones(2), "extra": Hostile()}, folder / "hostile.pth")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
