#!/usr/bin/env python3
"""Writes tests/fixtures/lite.json: what efficientnet-lite-pytorch gives for weights and images made by a formula.

usage: make_lite_fixture.py WEIGHTS > tests/fixtures/lite.json
WEIGHTS is .deps/efficientnet_lite0.pth, EfficientNet-Lite0's ImageNet weights.
Needs: torch==2.11.0 torchvision==0.26.0 efficientnet-lite-pytorch==0.1.0 (only to make the fixture again; the tests need none).

As make_resnet_fixture.py, in float64. In training mode, stochastic depth and dropout take the factors of src/model/draws.rs,
written a second time in fixture_draws.py, in place of torch's generator. With the published weights: features of the same four images.
"""
import json
import math
import sys

import efficientnet_lite_pytorch.model as package
import torch
from fixture_draws import Draws
from make_resnet_fixture import fill, pattern


def level(name):
    """ReLU6 has something to cut off behind the stem and the head, and residual branches stay small."""
    if "._bn2." in name:
        return 0.5
    return 1.0 if name.startswith("_blocks") else 2.5


def network(package, name):
    net = package.EfficientNet.from_name(name)
    net._fc = torch.nn.Identity()
    return net


def features(net, images, draws=None):
    pooled = net.extract_features(images).mean((2, 3))
    return draws.dropout(pooled, net._dropout.p) if draws else pooled


def rounded(features):
    return [round(v, 9) for v in features[:, ::64].flatten().tolist()]


def case(package, name, backbone, images, level=level):
    net = network(package, name)
    fill(net, level)
    net.double().eval()
    with torch.no_grad():
        evaluated = features(net, images)
    net.train()
    draws = Draws()
    package.drop_connect = draws.stochastic_depth
    trained = features(net, images, draws)
    (trained * pattern(trained.numel(), 2).view(trained.shape).float().double()).sum().backward()
    return {
        "backbone": backbone,
        "evaluated": rounded(evaluated),
        "trained": rounded(trained.detach()),
        "gradients": {name: [p.grad.sum().item(), p.grad.abs().sum().item()] for name, p in net.named_parameters()},
        "running_mean": net._blocks[-1]._bn1.running_mean.sum().item(),
    }


def published(weights, images):
    net = network(package, "efficientnet-lite0")
    net.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    net.double().eval()
    with torch.no_grad():
        return rounded(features(net, images))


if __name__ == "__main__":
    images = pattern(4 * 3 * 64 * 64, 1).view(4, 3, 64, 64).float().double()
    cases = [case(package, f"efficientnet-lite{n}", f"efficientnet_lite{n}", images) for n in (0, 1, 2)]
    assert all(math.isfinite(v) for c in cases for v in c["trained"])
    print(json.dumps({"cases": cases, "published": published(sys.argv[1], images)}, indent=0))
