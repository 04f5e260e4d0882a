"""Runs timm's own ResNets on PyTorch: weights and images -> a safetensors file, logits and feature maps.

It runs in an environment of its own (torch 2.13, timm 1.0, safetensors) and is called by ../timm.py:

    python timm_run.py MODEL CHECKPOINT.safetensors INPUTS.npz OUTPUTS.npz --weights WEIGHTS.npz
"""

import argparse
import contextlib

import numpy as np
import torch

# timm wants torchvision, which does not start without CUDA's libraries unless these operators are there.
for operator in ("nms", "qnms"):
    with contextlib.suppress(RuntimeError):
        torch.library.define(
            f"torchvision::{operator}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor"
        )
import timm
from safetensors.torch import save_file

MAPS = {"C2": "layer1", "C3": "layer2", "C4": "layer3", "C5": "layer4"}


def main():
    parser = argparse.ArgumentParser()
    for name in ("model", "checkpoint", "inputs", "outputs"):
        parser.add_argument(name)
    parser.add_argument("--weights", required=True)
    arguments = parser.parse_args()

    model = timm.create_model(arguments.model, pretrained=False).eval()
    given = {name: torch.from_numpy(array) for name, array in np.load(arguments.weights).items()}
    missing, unexpected = model.load_state_dict(given, strict=False)
    assert not unexpected, unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    save_file(model.state_dict(), arguments.checkpoint)

    outputs = {}
    with torch.no_grad():
        for name, images in np.load(arguments.inputs).items():
            outputs |= {f"{name}/{key}": value for key, value in run(model, images).items()}
    np.savez(arguments.outputs, **outputs)


def run(model, images):
    """Logits and feature maps, channels last."""
    kept = {}

    def keep(name):
        return lambda module, inputs, output: kept.update({name: output.permute(0, 2, 3, 1)})

    hooks = [getattr(model, layer).register_forward_hook(keep(name)) for name, layer in MAPS.items()]
    kept["logits"] = model(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())
    for hook in hooks:
        hook.remove()
    return {name: value.contiguous().numpy() for name, value in kept.items()}


if __name__ == "__main__":
    main()
