#!/usr/bin/env python3
"""Writes tests/fixtures/torchvision.json: what torchvision's EfficientNets and ConvNeXt-T give for weights and images made by a formula.

usage: make_torchvision_fixture.py > tests/fixtures/torchvision.json
Needs: torch==2.11.0 torchvision==0.26.0 (only to make the fixture again; the tests need neither).

As make_resnet_fixture.py, in float64. In training mode, stochastic depth and dropout take the factors of fixture_draws.py
in place of torch's generator.
"""
import json
import math
import re
import sys

import torch
import torchvision
from fixture_draws import Draws
from make_resnet_fixture import fill, pattern

# A late running statistic of each network that has some.
LAST = {
    "efficientnet_b0": "features.7.0.block.0.1.running_mean",
    "efficientnet_b4": "features.7.1.block.0.1.running_mean",
}
depth_module = sys.modules["torchvision.ops.stochastic_depth"]


def level(name):
    """SiLU and squeeze-and-excitation shrink signals, so norms enlarge them; residual branches stay small."""
    if re.search(r"\.block\.[23]\.1\.", name):
        return 0.3
    if name.endswith("layer_scale"):
        return 0.5
    return 2.0 if name.endswith(".1.weight") else 1.0


def features(net, images, draws=None):
    pooled = net.features(images).mean((2, 3), keepdim=True)
    before = net.classifier[0]
    if isinstance(before, torch.nn.Dropout):
        return draws.dropout(pooled.flatten(1), before.p) if draws else pooled.flatten(1)
    return before(pooled).flatten(1)


def rounded(features):
    return [round(v, 9) for v in features[:, ::64].flatten().tolist()]


def case(net_name, images):
    net = getattr(torchvision.models, net_name)()
    net.classifier = torch.nn.ModuleList([net.classifier[0]])
    fill(net, level)
    net.double().eval()
    with torch.no_grad():
        evaluated = features(net, images)
    net.train()
    draws = Draws()
    depth_module.stochastic_depth = lambda x, p, mode, training: draws.stochastic_depth(x, p, training)
    trained = features(net, images, draws)
    (trained * pattern(trained.numel(), 2).view(trained.shape).float().double()).sum().backward()
    statistics = [buffer for name, buffer in net.named_buffers() if name == LAST.get(net_name)]
    return {
        "backbone": net_name,
        "evaluated": rounded(evaluated),
        "trained": rounded(trained.detach()),
        "gradients": {name: [p.grad.sum().item(), p.grad.abs().sum().item()] for name, p in net.named_parameters()},
        "running_mean": statistics[0].sum().item() if statistics else None,
    }


if __name__ == "__main__":
    images = pattern(4 * 3 * 64 * 64, 1).view(4, 3, 64, 64).float().double()
    cases = [case(name, images) for name in ("efficientnet_b0", "efficientnet_b4", "convnext_tiny")]
    assert all(math.isfinite(v) for c in cases for v in c["trained"])
    print(json.dumps(cases, indent=0))
