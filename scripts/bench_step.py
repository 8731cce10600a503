#!/usr/bin/env python3
"""The training step of `dfdetect train` in Python PyTorch, for gpu_bench.sh: the same work on the same shapes.

usage: bench_step.py [--depth 18|50] [--clips 8] [--frames 8] [--size 224] [--steps 30] [--device cpu|cuda]
A batch of u8 frames goes from the host to the device, is normalised, goes through a ResNet under autocast (fp16 with
loss scaling on CUDA, bf16 on the CPU) in channels-last, one logit a frame, their mean a clip, the loss, backward,
gradient norm clipped to 1, fused AdamW. Prints one JSON line; the first eight steps, in which cuDNN tunes itself, do
not count. Needs torch 2.11 and nothing else.
"""
import argparse
import json
import statistics
import time

import torch
from torch import nn

BLOCKS = {18: [2, 2, 2, 2], 50: [3, 4, 6, 3]}
WARM_UP = 8


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1 - 3x3 - 1x1, around which the input goes straight or through a projection."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        shapes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        if not bottleneck:
            shapes = [(inputs, width, 3, stride), (width, width, 3, 1)]
        layers = []
        for shape in shapes:
            layers += [conv_norm(*shape), nn.ReLU(inplace=True)]
        self.path = nn.Sequential(*layers[:-1])
        straight = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if straight else conv_norm(inputs, outputs, 1, stride)

    def forward(self, x):
        return nn.functional.relu_(self.path(x).add_(self.shortcut(x)))


def conv_norm(inputs, outputs, kernel, stride):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def resnet(depth):
    bottleneck = depth >= 50
    layers = [conv_norm(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, count in enumerate(BLOCKS[depth]):
        for block in range(count):
            width = 64 << stage
            layers.append(Block(inputs, width, 2 if stage > 0 and block == 0 else 1, bottleneck))
            inputs = 4 * width if bottleneck else width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1))


class Step:
    def __init__(self, a):
        self.a, cuda = a, a.device == "cuda"
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True
        self.net = resnet(a.depth).to(a.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), 1e-4, fused=True)
        self.dtype = torch.float16 if cuda else torch.bfloat16
        self.scaler = torch.amp.GradScaler("cuda", enabled=cuda)
        self.mean = torch.tensor([0.485, 0.456, 0.406], device=a.device).view(3, 1, 1) * 255
        self.std = torch.tensor([0.229, 0.224, 0.225], device=a.device).view(3, 1, 1) * 255
        self.frames = torch.randint(0, 256, (a.clips, a.frames, a.size, a.size, 3), dtype=torch.uint8)
        self.labels = torch.arange(a.clips).remainder(2).float()

    def run(self):
        a = self.a
        images = self.frames.to(a.device).flatten(0, 1).permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
        labels = self.labels.to(a.device)
        self.optimizer.zero_grad(set_to_none=False)
        with torch.autocast(a.device, self.dtype):
            logits = self.net(images)
        logits = logits.float().view(a.clips, a.frames).mean(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()  # waits for the device, as a step that logs its loss must


def main():
    parser = argparse.ArgumentParser()
    for name, usual in [("depth", 18), ("clips", 8), ("frames", 8), ("size", 224), ("steps", 30)]:
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--device", default="cuda")
    a = parser.parse_args()
    step, seconds = Step(a), []
    for _ in range(WARM_UP + a.steps):
        start = time.perf_counter()
        step.run()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if a.device == "cuda" else None
    print(json.dumps({"median_secs": statistics.median(seconds[WARM_UP:]), "peak_allocated_bytes": peak}))


main()
