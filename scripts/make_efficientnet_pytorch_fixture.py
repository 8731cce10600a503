#!/usr/bin/env python3
"""Writes tests/fixtures/efficientnet_pytorch.json: what efficientnet_pytorch's B4 gives for weights and images made by a formula.

usage: make_efficientnet_pytorch_fixture.py > tests/fixtures/efficientnet_pytorch.json
Needs: torch==2.11.0 torchvision==0.26.0 efficientnet-pytorch==0.7.1 efficientnet-lite-pytorch==0.1.0 (only to make the fixture again).

As make_lite_fixture.py, in float64.
"""
import json

import efficientnet_pytorch.model as package
import make_lite_fixture
from make_resnet_fixture import pattern


def level(name):
    """SiLU and squeeze-and-excitation shrink signals, so norms enlarge them."""
    return 1.5 if name.startswith("_blocks") and "._bn2." not in name else make_lite_fixture.level(name)


if __name__ == "__main__":
    images = pattern(4 * 3 * 64 * 64, 1).view(4, 3, 64, 64).float().double()
    print(json.dumps(make_lite_fixture.case(package, "efficientnet-b4", "tf_efficientnet_b4", images, level), indent=0))
