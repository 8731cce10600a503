#!/usr/bin/env python3
"""Writes tests/fixtures/augment.json: a small random picture, and what torchvision makes of its colours.

usage: make_augment_fixture.py > tests/fixtures/augment.json
Needs: torch==2.11.0 torchvision==0.26.0 (only to make the fixture again; the tests need neither).
"""
import json

import torch
from torchvision.transforms.v2 import functional

SIDE = 12
CASES = [
    ("brightness", 0.6),
    ("brightness", 1.4),
    ("contrast", 0.5),
    ("contrast", 1.7),
    ("saturation", 0.3),
    ("saturation", 1.8),
    ("hue", -0.4),
    ("hue", 0.02),
    ("hue", 0.3),
]


def flat(picture_chw):
    return picture_chw.permute(1, 2, 0).flatten().tolist()


generator = torch.Generator().manual_seed(7)
picture_chw = torch.randint(0, 256, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
cases = [
    {"name": name, "factor": factor, "hwc": flat(getattr(functional, f"adjust_{name}")(picture_chw, factor))}
    for name, factor in CASES
]
print(json.dumps({"hwc": flat(picture_chw), "cases": cases}, separators=(",", ":")))
