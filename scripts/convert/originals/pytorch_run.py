"""Runs EfficientNet-Lite or torchvision's MobileNetV2: weights and images -> logits and feature maps.

It runs in an environment of its own (torch 2.15, torchvision 0.29, efficientnet-lite-pytorch 0.1.0) and is
called by ../pytorch.py:

    python pytorch_run.py MODEL WEIGHTS.pth INPUTS.npz OUTPUTS.npz

MODEL is efficientnet_lite0 to 4 or mobilenet_v2. What torch.save writes of the state dict lies then beside
OUTPUTS.npz: zip.pth and legacy.pth.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

SEQUENTIAL = {"C2": 3, "C3": 6, "C4": 13, "C5": 18}  # of torchvision's features


def lite(name, size):
    """The port takes its paddings from an image size; its feature maps are the last blocks of each stride."""
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.utils import get_model_params

    blocks, parameters = get_model_params(name.replace("_", "-"), {"image_size": size})
    model = EfficientNet(blocks, parameters)
    strided = [number for number, block in enumerate(model._blocks) if block._depthwise_conv.stride[0] == 2]
    maps = {f"C{level}": model._blocks[end - 1] for level, end in enumerate(strided[1:], start=2)}
    return model, maps


def network(name, size):
    """The model, and the modules whose outputs are our feature maps; Lite has none for C5."""
    if name == "mobilenet_v2":
        from torchvision.models import mobilenet_v2

        model = mobilenet_v2()
        return model, {level: model.features[number] for level, number in SEQUENTIAL.items()}
    return lite(name, size)


def main():
    parser = argparse.ArgumentParser()
    for name in ("model", "weights", "inputs", "outputs"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    given = torch.load(arguments.weights, weights_only=True)
    outputs = {}
    for name, images in np.load(arguments.inputs).items():
        model, maps = network(arguments.model, images.shape[1:3])
        missing, unexpected = model.load_state_dict(given, strict=False)
        assert not unexpected, unexpected
        assert all(key.endswith("num_batches_tracked") for key in missing), missing
        with torch.no_grad():
            found = run(model.eval(), maps, torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())
        outputs |= {f"{name}/{key}": value for key, value in found.items()}
    np.savez(arguments.outputs, **outputs)
    folder = Path(arguments.outputs).parent
    torch.save(model.state_dict(), folder / "zip.pth")
    torch.save(model.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)


def run(model, maps, images):
    """Logits and feature maps, channels last."""
    kept = {}

    def keep(name):
        return lambda module, inputs, output: kept.update({name: output})

    hooks = [module.register_forward_hook(keep(name)) for name, module in maps.items()]
    if "C5" not in maps:
        hooks.append(model._bn1.register_forward_hook(keep("C5")))
    kept["logits"] = model(images)
    for hook in hooks:
        hook.remove()
    if "C5" not in maps:
        kept["C5"] = model._swish(kept["C5"])
    return {
        name: (value.permute(0, 2, 3, 1) if value.ndim == 4 else value).contiguous().numpy()
        for name, value in kept.items()
    }


if __name__ == "__main__":
    main()
