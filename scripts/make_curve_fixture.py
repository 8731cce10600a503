#!/usr/bin/env python3
"""Writes tests/fixtures/curve.json: the loss of 100 training steps in plain PyTorch.

usage: make_curve_fixture.py > tests/fixtures/curve.json
Needs: torch==2.11.0 torchvision==0.26.0 numpy (only to make the fixture again; the test needs none of them).

A ResNet-18 with the mean of its frames' logits learns 12 clips by dfdetect's default settings: AdamW, weight decay that
spares norms and biases, linear warm-up and a cosine, gradients clipped to a norm of 1, binary cross-entropy. Weights
and pixels follow from integers alone, so that both sides make the same ones. The same is done in float64: where the
two curves part, rounding decides and there is nothing to compare, so the script refuses.
"""
import json
import math
import sys

import torch
import torchvision

from make_resnet_fixture import fill, pattern

STEPS, WARMUP, CLIPS, BATCH, FRAMES, SIDE = 100, 10, 12, 4, 2, 40
PEAK, MINIMUM, WEIGHT_DECAY, CLIP_NORM = 5e-5, 1e-6, 0.05, 1.0
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def clip(number):
    """Pixels of one clip `[T, 3, H, W]` in 0 .. 1: noise, a little brighter in every third one."""
    noise = pattern(FRAMES * SIDE * SIDE * 3, 1000 + number) + 0.5
    pixels = (noise * 200).floor() + (4 if number % 3 == 0 else 0)
    return pixels.view(FRAMES, SIDE, SIDE, 3).permute(0, 3, 1, 2) / 255


def is_fake(number):
    """The bright ones, with every fifth clip called what it is not, so that there is something to learn for long."""
    return (number % 3 == 0) != (number % 5 == 0)


def rate(step):
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    return MINIMUM + (PEAK - MINIMUM) * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def curve(kind):
    net = torchvision.models.resnet18(num_classes=1)
    backbone = torch.nn.Sequential()  # so that `fill` counts the tensors of the backbone alone
    backbone.add_module("fc", net.fc)
    net.fc = torch.nn.Identity()
    fill(net)
    net.fc = backbone.fc
    with torch.no_grad():
        net.fc.weight.copy_(pattern(512, 500).view(1, 512) * 0.1)
        net.fc.bias.zero_()
    net.to(kind).train()
    weights = [p for p in net.parameters() if p.dim() > 1]
    spared = [p for p in net.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": spared, "weight_decay": 0.0}], lr=PEAK)
    losses, norms = [], []
    for step in range(STEPS):
        clips = [(step * BATCH + i) * 5 % CLIPS for i in range(BATCH)]
        frames = ((torch.cat([clip(number) for number in clips]) - MEAN) / STD).to(kind)
        labels = torch.tensor([float(is_fake(number)) for number in clips], dtype=kind)
        logits = net(frames).view(BATCH, FRAMES).mean(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)))
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, norms


torch.set_num_threads(1)
losses, norms = curve(torch.float32)
exact, _ = curve(torch.float64)
apart = max(abs(a - b) for a, b in zip(losses, exact))
print(f"loss {losses[0]:.4f} to {losses[-1]:.4f}, float32 and float64 at most {apart:.1e} apart, "
      f"{sum(norm > CLIP_NORM for norm in norms)} steps clipped", file=sys.stderr)
if apart > 2e-4:
    sys.exit("float32 alone does not decide these losses: take milder settings")
print(json.dumps({"losses": [round(loss, 7) for loss in losses]}))
