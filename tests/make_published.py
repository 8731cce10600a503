"""Writes made-up weights in the files that published detectors have, and what their own code says of some pictures.

usage: make_published.py FOLDER NAME...
For each NAME: FOLDER/NAME.pth or .safetensors, FOLDER/NAME.u8 with RGB pictures [N, side, side, 3], and on stdout as JSON its
file, side and probabilities. Networks, names of tensors, constants and the way from pictures to probabilities are those of
GenD, SelfBlendedImages and DeepfakeBench; layers come from the packages that these use.
"""
import json
import sys

import numpy as np
import torch
from efficientnet_pytorch import EfficientNet
from safetensors.torch import save_file
from torch import nn

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
PICTURES = 3


def clip_tower(width, layers, heads, patch):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads, patch_size=patch
    )
    return CLIPVisionModel(config).vision_model


class GenD(nn.Module):
    def __init__(self):
        super().__init__()
        self.feature_extractor = nn.Module()
        self.feature_extractor.vision_model = clip_tower(1024, 24, 16, 14)
        self.feature_extractor.visual_projection = nn.Linear(1024, 768, bias=False)
        self.model = nn.Module()
        self.model.linear = nn.Linear(1024, 2)

    def forward(self, x):
        features = self.feature_extractor.vision_model(x).pooler_output
        return self.model.linear(nn.functional.normalize(features, p=2, dim=1))


class SelfBlendedImages(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = EfficientNet.from_name("efficientnet-b4", num_classes=2)

    def forward(self, x):
        return self.net(x)


class Xception(nn.Module):
    def __init__(self, dropout):
        import timm

        super().__init__()
        self.backbone = timm.create_model("legacy_xception", num_classes=0)
        head = nn.Linear(2048, 2)
        self.backbone.last_linear = nn.Sequential(nn.Dropout(0.5), head) if dropout else head
        self.backbone.adjust_channel = nn.Sequential(nn.Conv2d(2048, 512, 1), nn.BatchNorm2d(512))

    def forward(self, x):
        return self.backbone.last_linear(self.backbone(x))


class EfficientNetB4(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.efficientnet = EfficientNet.from_name("efficientnet-b4")
        self.backbone.efficientnet._conv_stem = nn.Conv2d(3, 48, kernel_size=3, stride=2, bias=False)
        self.backbone.efficientnet._fc = nn.Identity()
        self.backbone.last_layer = nn.Linear(1792, 2)

    def forward(self, x):
        return self.backbone.last_layer(self.backbone.efficientnet.extract_features(x).mean((2, 3)))


class ResNet34(nn.Module):
    def __init__(self):
        import torchvision

        super().__init__()
        self.backbone = nn.Module()
        self.backbone.resnet = nn.Sequential(*list(torchvision.models.resnet34().children())[:-2])
        self.backbone.fc = nn.Linear(512, 2)

    def forward(self, x):
        return self.backbone.fc(self.backbone.resnet(x).mean((2, 3)))


class ResNet34WithMore(ResNet34):
    """Another detector on the same network, such as one with attention, whose scores would be others."""

    def __init__(self):
        super().__init__()
        self.backbone.attention = nn.Linear(2, 3)


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = clip_tower(768, 12, 12, 16)
        self.head = nn.Linear(768, 2)

    def forward(self, x):
        return self.head(self.backbone(x).pooler_output)


HALF, NONE = ([0.5] * 3, [0.5] * 3), ([0.0] * 3, [1.0] * 3)
DETECTORS = {
    "gend": (GenD, 224, (CLIP_MEAN, CLIP_STD)),
    "sbi": (SelfBlendedImages, 380, NONE),
    "xception": (lambda: Xception(False), 256, HALF),
    "xception_with_dropout": (lambda: Xception(True), 256, HALF),
    "efficientnetb4": (EfficientNetB4, 256, HALF),
    "resnet34": (ResNet34, 256, HALF),
    "resnet34_with_more": (ResNet34WithMore, 256, HALF),
    "resnet34_with_nan": (ResNet34, 256, HALF),
    "clip": (Clip, 224, HALF),
}


def save(name, net, folder):
    """As each of them saves."""
    state = net.state_dict()
    if name == "gend":
        save_file(state, f"{folder}/{name}.safetensors")
        return f"{name}.safetensors"
    if name == "sbi":
        ones = {i: {"e_w": torch.ones(2), "momentum_buffer": torch.ones(2)} for i in range(2)}
        groups = [{"rho": 0.05, "lr": 0.001, "momentum": 0.9, "nesterov": False, "foreach": None, "params": [0, 1]}]
        state = {"model": state, "optimizer": {"state": ones, "param_groups": groups}, "epoch": 3}
    if name == "resnet34_with_nan":
        state["backbone.fc.bias"][1] = float("nan")
    if name.startswith("resnet34"):
        # Trained by several processes.
        state = {f"module.{key}": value for key, value in state.items()}
    torch.save(state, f"{folder}/{name}.pth")
    return f"{name}.pth"


def make(name, folder):
    torch.manual_seed(5)
    network, side, (mean, std) = DETECTORS[name]
    net = network()
    random = np.random.default_rng(7)
    pictures = random.integers(0, 256, (PICTURES, side, side, 3)) * random.uniform(0.2, 1, (PICTURES, 1, 1, 3))
    pictures = pictures.astype(np.uint8)
    pictures.tofile(f"{folder}/{name}.u8")
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        # Statistics of batch norm that belong to the weights, and a head that tells the pictures apart.
        if name in ("gend", "clip"):
            # New Transformers hardly see their input.
            for weight in net.parameters():
                weight.mul_(5 if weight.dim() > 1 else 1)
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        net(images) if norms else None
        net.eval()
        head = [module for module in net.modules() if isinstance(module, nn.Linear) and module.out_features == 2][-1]
        logits = net(images)
        spread = (logits[:, 1] - logits[:, 0]).std()
        head.weight.div_(spread)
        head.bias.sub_(logits.mean(0)).div_(spread)
        assert spread > 1e-3, f"{name}: {spread}"
        probabilities = net(images).softmax(1)[:, 1].tolist()
    return {"name": name, "file": save(name, net, folder), "side": side, "probabilities": probabilities}


if __name__ == "__main__":
    print(json.dumps([make(name, sys.argv[1]) for name in sys.argv[2:]]))
