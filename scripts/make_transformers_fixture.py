#!/usr/bin/env python3
"""Writes tests/fixtures/transformers.json: what transformers' CLIP and DINOv2 give for weights and images made by a formula.

usage: make_transformers_fixture.py > tests/fixtures/transformers.json
Needs: torch==2.11.0 transformers==4.57.6 (only to make the fixture again; the tests need neither).

As make_resnet_fixture.py, in float64, but salts follow the names of the parameters in alphabetical order. Of the second case of
a network, the images are not those of its positions, which are interpolated. Interpolation is in float64, too, where transformers
itself goes to float32 for DINOv2.
"""
import json

import torch
from make_resnet_fixture import pattern
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

NETWORKS = {
    "vit_b16_clip": lambda: clip(768, 12, 12, 16),
    "vit_l14_clip": lambda: clip(1024, 24, 16, 14),
    "dinov2_vits14": lambda: dinov2(384, 12, 6),
    "dinov2_vitb14": lambda: dinov2(768, 12, 12),
    "dinov2_vitl14": lambda: dinov2(1024, 24, 16),
}
# Height and width of the images: those of CLIP's positions take 224 pixels.
CASES = [
    ("vit_b16_clip", (224, 224)),
    ("vit_b16_clip", (64, 96)),
    ("vit_l14_clip", (56, 42)),
    ("dinov2_vits14", (70, 42)),
    ("dinov2_vitb14", (42, 42)),
    ("dinov2_vitl14", (28, 42)),
]


def clip(width, blocks, heads, patch):
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        patch_size=patch,
        image_size=224,
        attn_implementation="sdpa",
    )
    return CLIPVisionModel(config).vision_model


def dinov2(width, blocks, heads):
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        image_size=518,
        patch_size=14,
        use_mask_token=False,
        attn_implementation="sdpa",
    )
    return Dinov2Model(config)


def fill(net):
    """Signals of the size that trained networks have; norms and scales near 1."""
    with torch.no_grad():
        for salt, (name, p) in enumerate(sorted(net.named_parameters())):
            values = pattern(p.numel(), salt).view(p.shape)
            if p.dim() in (2, 4):
                p.copy_(values * (6 / p[0].numel()) ** 0.5)
            else:
                p.copy_(values * 0.2 + (1.0 if name.endswith(("weight", "lambda1")) else 0.0))


def in_float64(interpolate):
    return lambda x, size, **options: interpolate(x.double(), size=size, **options)


def features(net, images):
    options = {"interpolate_pos_encoding": True} if "CLIP" in type(net).__name__ else {}
    return net(images, **options).pooler_output


def case(name, size):
    net = NETWORKS[name]()
    fill(net)
    net.double().eval()
    images = pattern(2 * 3 * size[0] * size[1], 1).view(2, 3, *size).float().double()
    computed = features(net, images)
    (computed * pattern(computed.numel(), 2).view(computed.shape).float().double()).sum().backward()
    return {
        "backbone": name,
        "size": size,
        "features": [round(v, 9) for v in computed[:, ::64].detach().flatten().tolist()],
        "gradients": {name: [p.grad.sum().item(), p.grad.abs().sum().item()] for name, p in net.named_parameters()},
        "parameters": sum(p.numel() for p in net.parameters()),
    }


if __name__ == "__main__":
    torch.nn.functional.interpolate = in_float64(torch.nn.functional.interpolate)
    print(json.dumps([case(*of) for of in CASES], indent=0))
