"""Loads exported detectors as docs/export.md shows it, with nothing of dfdetect, and compares their logits.

usage: check_exports.py DOCUMENT FOLDER. The folder has cases.json, clips as bytes, and a folder of files for each network.
Prints how many clips were compared, and the largest difference.
"""
import json, os, re, sys
import numpy as np
import onnx
import torch

TOLERANCE = 1e-4
document, folder = sys.argv[1:]
blocks = dict(re.findall(r"```python\n# (.*?)\n(.*?)```", open(document).read(), re.S))
cases = json.load(open(f"{folder}/cases.json"))
clips = [
    np.fromfile(f"{folder}/{entry['file']}", np.uint8).reshape(entry["shape"]) for entry in cases["clips"]
]


def run(block, **names):
    exec(compile(blocks[block], block, "exec"), names)
    return names


def normalised(frames, facts):
    mean, std = (np.float32(facts[name]) for name in ("mean", "std"))
    images = (np.float32(frames.reshape(-1, *frames.shape[2:])) / 255 - mean) / std
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def from_weights(facts):
    model = facts["model"]
    backbone = model["backbone"]
    family = "EfficientNet-Lite" if "_lite" in backbone else "Xception" if backbone == "xception" else "torchvision"
    family = "Vision Transformer" if "vit" in backbone else family
    family = "efficientnet_pytorch" if backbone.endswith("efficientnet_b4") and backbone != "efficientnet_b4" else family
    names = run(f"Backbone, {family}", model=model)
    if model["temporal"] == "mean":
        network = run("Weights, mean over frames", **names)["detector"]
        frame_logits = lambda frames: network(normalised(frames, facts)).reshape(frames.shape[:2])
        return lambda frames: (frame_logits(frames).mean(1), frame_logits(frames))
    names = run("Weights, LSTM and attention", **names)
    backbone, head = names["backbone"].eval(), names["head"]
    return lambda frames: head(backbone(normalised(frames, facts)).reshape(*frames.shape[:2], -1))


def compare(what, logits, expected):
    worst = 0
    for found, wanted in zip(logits, expected, strict=True):
        found, wanted = np.asarray(found), np.float32(wanted)
        assert found.shape == wanted.shape, f"{what}: shape {found.shape}, not {wanted.shape}"
        worst = max(worst, float(np.abs(found - wanted).max()))
    assert worst <= TOLERANCE, f"{what}: {worst} away"
    return worst


compared, worst = 0, 0
torch.set_grad_enabled(False)
for network in cases["networks"]:
    os.chdir(f"{folder}/{network['name']}")
    facts = run("Facts")
    assert facts["in_torchscript"]["faces"] == facts["in_onnx"]["faces"] == facts["in_safetensors"]["faces"]
    facts = facts["in_safetensors"]
    for key, value in network["facts"].items():
        assert facts.get(key) == value, f"{key} is {facts.get(key)}, not {value}"
    onnx.checker.check_model("detector.onnx", full_check=True)
    weights = from_weights(facts)
    for frames, expected in zip(clips, network["logits"], strict=True):
        for block in "TorchScript", "ONNX":
            names = run(block, frames=frames)
            logits = names["clip_logits"], names["frame_logits"]
            worst = max(worst, compare(f"{network['name']}, {block}, {frames.shape}", logits, expected))
        worst = max(worst, compare(f"{network['name']}, weights, {frames.shape}", weights(frames), expected))
        compared += len(frames)
print(json.dumps({"clips": compared, "worst": worst}))
