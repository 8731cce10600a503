#!/usr/bin/env python3
"""Measures what `dfdetect suggest` predicts: the peak resident memory of one training step on the CPU.

Runs two steps of two micro-batches each and prints one JSON line; --help lists the settings. Start a fresh process
for every setting: the peak of a process never goes down. Needs torch 2.11 and torchvision 0.26.
"""
import argparse
import json

import torch
import torchvision
from torch import nn


def status_bytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key + ":"))


class Detector(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.backbone = getattr(torchvision.models, a.backbone)()
        width = self.backbone.fc.in_features
        self.backbone.fc = nn.Identity()
        self.temporal = a.temporal
        if a.temporal == "mean":
            self.classifier = nn.Linear(width, 1)
            return
        self.lstm = nn.LSTM(width, a.hidden, a.layers, batch_first=True, bidirectional=True, dropout=0.3)
        self.heads = a.heads
        if a.heads:
            self.attention = nn.MultiheadAttention(2 * a.hidden, a.heads, dropout=0.3, batch_first=True)
            self.norm = nn.LayerNorm(2 * a.hidden)
        layers = nn.Linear(2 * a.hidden, a.hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(a.hidden, 1)
        self.classifier = nn.Sequential(*layers)

    def forward(self, frames_btchw):
        b, t = frames_btchw.shape[:2]
        x = frames_btchw.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.backbone(x).view(b, t, -1)
        if self.temporal == "mean":
            return self.classifier(features).mean(1).squeeze(1)
        states, _ = self.lstm(features)
        if self.heads:
            states = self.norm(states + self.attention(states, states, states, need_weights=False)[0])
        return self.classifier(states.mean(1)).squeeze(1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--backbone", default="resnet18")
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--frames", type=int, default=8)
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    p.add_argument("--temporal", default="mean", choices=["mean", "lstm_attention"])
    p.add_argument("--hidden", type=int, default=256)
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--eval", action="store_true")
    a = p.parse_args()

    torch.manual_seed(0)
    torch.randn(64, 64) @ torch.randn(64, 64)
    base_bytes = status_bytes("VmRSS")
    net = Detector(a).to(memory_format=torch.channels_last)
    parameters = sum(x.numel() for x in net.parameters())
    optimizer = torch.optim.AdamW(net.parameters(), 1e-4, fused=True)
    shape = (a.batch, a.frames, 3, a.size, a.size)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 255
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 255
    net.train(not a.eval)
    for _ in range(a.steps):
        for _ in range(2):
            pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=a.precision == "bf16")
            with torch.set_grad_enabled(not a.eval), autocast:
                frames = pixels.float().sub_(mean).div_(std)
                logits = net(frames)
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), torch.ones(a.batch))
            if not a.eval:
                (loss / 2).backward()
        if not a.eval:
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
    peak_bytes = status_bytes("VmHWM") - base_bytes
    print(json.dumps({**vars(a), "parameters": parameters, "base_bytes": base_bytes, "peak_bytes": peak_bytes}))


main()
