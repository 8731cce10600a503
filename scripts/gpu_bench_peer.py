#!/usr/bin/env python3
"""The training step of `dfdetect train` in Python PyTorch, tuned: the same work on the same shapes, for gpu_parts.py.

usage: gpu_bench_peer.py [--depth 18|50] [--clips 8] [--frames 16] [--size 224] [--warm-up 25] [--steps 100]
       [--device cpu|cuda]
Batches of u8 frames lie ready in pinned memory: there is no loader. The next one is copied on a stream of its own while
one is worked on; it is normalised, goes through a ResNet under autocast (fp16 with loss scaling on CUDA, bf16 on the
CPU) in channels-last, one logit a frame, their mean a clip, the loss, backward, gradient norm clipped to 1, fused
AdamW. Nothing waits for the device before the last step. Prints one JSON line; steps to warm up, in which cuDNN tunes
itself, do not count. Needs torch 2.11 and nothing else.
"""
import argparse
import json
import time

import torch
from torch import nn

BLOCKS = {18: [2, 2, 2, 2], 50: [3, 4, 6, 3]}
# Batches in pinned memory, taken in turns.
BATCHES = 4


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


class Prefetched:
    """Batches on the device; the next one is on its way while one is worked on."""

    def __init__(self, a):
        self.device, cuda = a.device, a.device == "cuda"
        self.stream = torch.cuda.Stream() if cuda else None
        shape = (a.clips, a.frames, a.size, a.size, 3)
        frames = [torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(BATCHES)]
        labels = torch.arange(a.clips).remainder(2).float()
        self.batches = [(each.pin_memory(), labels.pin_memory()) if cuda else (each, labels) for each in frames]
        self.taken, self.next = 0, None
        self.copy_next()

    def copy_next(self):
        batch = self.batches[self.taken % BATCHES]
        self.taken += 1
        with torch.cuda.stream(self.stream):  # does nothing without a stream
            self.next = [part.to(self.device, non_blocking=True) for part in batch]

    def take(self):
        batch = self.next
        if self.stream:
            torch.cuda.current_stream().wait_stream(self.stream)
            for part in batch:
                # The allocator of the side stream may not have it back before the main stream is done.
                part.record_stream(torch.cuda.current_stream())
        self.copy_next()
        return batch


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
        self.batches = Prefetched(a)

    def run(self):
        """One step; the loss stays on the device."""
        a, (frames, labels) = self.a, self.batches.take()
        images = frames.flatten(0, 1).permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(a.device, self.dtype):
            logits = self.net(images)
        logits = logits.float().view(a.clips, a.frames).mean(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()


def wait_for(device):
    if device == "cuda":
        torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser()
    for name, usual in [("depth", 18), ("clips", 8), ("frames", 16), ("size", 224), ("warm-up", 25), ("steps", 100)]:
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--device", default="cuda")
    a = parser.parse_args()
    step = Step(a)
    for _ in range(a.warm_up):
        step.run()
    wait_for(a.device)
    start = time.perf_counter()
    for _ in range(a.steps):
        loss = step.run()
    wait_for(a.device)
    mean_secs = (time.perf_counter() - start) / a.steps
    peak = torch.cuda.max_memory_allocated() if a.device == "cuda" else None
    print(json.dumps({"mean_secs": mean_secs, "last_loss": loss.item(), "peak_allocated_bytes": peak}))


main()
