#!/usr/bin/env python3
"""Writes tests/fixtures/timm.json: what timm's Xception gives for weights and images made by a formula.

usage: make_timm_fixture.py > tests/fixtures/timm.json
Needs: torch==2.11.0 torchvision==0.26.0 timm==1.0.22 (only to make the fixture again; the tests need none).

As make_resnet_fixture.py, in float64, but salts follow the names of the tensors in alphabetical order.
"""
import json

import timm
import torch
from make_resnet_fixture import pattern


def level(name):
    """Residual branches stay small: of each, the last norm (of two, rep.4 or rep.5; of three, rep.8)."""
    return 0.3 if name.endswith((".rep.4.weight", ".rep.5.weight", ".rep.8.weight")) else 1.0


def fill(net):
    with torch.no_grad():
        for salt, (name, p) in enumerate(sorted(net.named_parameters())):
            values = pattern(p.numel(), salt).view(p.shape)
            if p.dim() == 4:
                p.copy_(values * (24 / p[0].numel()) ** 0.5)
            else:
                p.copy_(values * 0.2 + (level(name) if name.endswith("weight") else 0.0))
        buffers = [b for b in sorted(net.named_buffers()) if not b[0].endswith("num_batches_tracked")]
        for salt, (name, b) in enumerate(buffers):
            b.copy_(pattern(b.numel(), salt).view(b.shape) * 0.2 + (1.0 if name.endswith("var") else 0.0))


def case():
    net = timm.create_model("legacy_xception", num_classes=0)
    fill(net)
    net.double().eval()
    images = pattern(4 * 3 * 64 * 64, 1).view(4, 3, 64, 64).float().double()
    with torch.no_grad():
        evaluated = net(images)
    net.train()
    trained = net(images)
    (trained * pattern(trained.numel(), 2).view(trained.shape).float().double()).sum().backward()
    rounded = lambda features: [round(v, 9) for v in features[:, ::64].detach().flatten().tolist()]
    return {
        "backbone": "xception",
        "evaluated": rounded(evaluated),
        "trained": rounded(trained),
        "gradients": {name: [p.grad.sum().item(), p.grad.abs().sum().item()] for name, p in net.named_parameters()},
        "running_mean": net.bn3.running_mean.sum().item(),
    }


if __name__ == "__main__":
    print(json.dumps(case(), indent=0))
