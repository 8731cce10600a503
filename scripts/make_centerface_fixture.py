#!/usr/bin/env python3
"""Writes tests/fixtures/centerface.json: what ONNX Runtime computes with the face detector's network.

Needs numpy, onnx and onnxruntime. Run it from the repository root, after scripts/setup.sh.
"""

import json

import numpy as np
import onnx
import onnxruntime

MODEL = ".deps/centerface.onnx"
SHAPE = (2, 32, 64, 3)


def main():
    model = onnx.load(MODEL)
    # The file declares 10x3x32x32, which the network does not need.
    for value in [*model.graph.input, *model.graph.output]:
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if value.name in ("input.1", "537", "538", "539", "540"):
                dim.dim_param = f"{value.name}-{i}"
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    # The same bytes as in the test: no picture, but all values, and no two rows alike.
    i = np.arange(np.prod(SHAPE), dtype=np.int64)
    frames = ((i * i // 97 + i * 31) % 256).astype(np.float32).reshape(SHAPE)
    names = ["537", "538", "539", "540"]
    outputs = session.run(names, {"input.1": frames.transpose(0, 3, 1, 2).copy()})
    fixture = {name: [float(f"{x:.7g}") for x in output.ravel()] for name, output in zip(names, outputs)}
    with open("tests/fixtures/centerface.json", "w", encoding="utf-8") as file:
        json.dump({"onnxruntime": onnxruntime.__version__, "shape": SHAPE, "outputs": fixture}, file)
        file.write("\n")


if __name__ == "__main__":
    main()
