#!/usr/bin/env python3
"""Writes tests/fixtures/resnet.json: what torchvision's ResNets give for weights and images made by a formula.

usage: make_resnet_fixture.py > tests/fixtures/resnet.json
Needs: torch==2.11.0 torchvision==0.26.0 (only to make the fixture again; the tests need neither).

Weights and images follow from integers alone, so that both sides make the same ones and only outputs and gradient
sums are stored: features of four images in evaluation and in training mode, and for each trained tensor the sum of
its gradient and of the gradient's absolute values, for the loss sum(features * pattern).

All of it in float64: in float32, a unit whose input is within rounding of zero passes its ReLU with one CPU's kernels and
not with another's, and gradients then differ by up to 4e-3 in PyTorch itself.
"""
import json

import torch
import torchvision


def pattern(count, salt):
    """`count` numbers in -0.5 .. 0.5: a 32-bit hash of the index, exact on both sides.

    Anything more regular makes channels that hardly vary, and batch norm then blows rounding up.
    """
    mask = 0xFFFFFFFF
    h = (torch.arange(count, dtype=torch.int64) * 2654435761 + salt * 40503) & mask
    h = ((h ^ (h >> 15)) * 2246822519) & mask
    h = ((h ^ (h >> 13)) * 3266489917) & mask
    return (h ^ (h >> 16)).double() / 2**32 - 0.5


def norm_weight(name):
    """Residual branches start small: then rounding is not blown up from block to block, and 1e-5 means something."""
    return 0.15 if name.startswith("layer") and "downsample" not in name else 1.0


def fill(net, norm_weight=norm_weight):
    """Weights of He's scale, so that signals neither vanish nor explode; `norm_weight` is the scale of a batch norm."""
    with torch.no_grad():
        for salt, (name, p) in enumerate(net.named_parameters()):
            values = pattern(p.numel(), salt).view(p.shape)
            if p.dim() in (2, 4):
                p.copy_(values * (24 / p[0].numel()) ** 0.5)
            else:
                p.copy_(values * 0.2 + (norm_weight(name) if name.endswith(("weight", "layer_scale")) else 0.0))
        for salt, (name, b) in enumerate(b for b in net.named_buffers() if not b[0].endswith("num_batches_tracked")):
            b.copy_(pattern(b.numel(), salt).view(b.shape) * 0.2 + (1.0 if name.endswith("var") else 0.0))


def case(depth):
    net = getattr(torchvision.models, f"resnet{depth}")()
    net.fc = torch.nn.Identity()
    fill(net)
    net.double()
    images = pattern(4 * 3 * 64 * 64, 1).view(4, 3, 64, 64).float().double()
    net.eval()
    with torch.no_grad():
        evaluated = net(images)
    net.train()
    trained = net(images)
    (trained * pattern(trained.numel(), 2).view(trained.shape).float().double()).sum().backward()
    return {
        "backbone": f"resnet{depth}",
        "evaluated": [round(v, 9) for v in evaluated[:, ::64].flatten().tolist()],
        "trained": [round(v, 9) for v in trained[:, ::64].detach().flatten().tolist()],
        "gradients": {
            name: [p.grad.sum().item(), p.grad.abs().sum().item()] for name, p in net.named_parameters()
        },
        "running_mean": net.layer4[0].bn1.running_mean.sum().item(),
    }


if __name__ == "__main__":
    print(json.dumps([case(depth) for depth in (18, 34, 50, 101)], indent=0))
