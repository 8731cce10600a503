#!/usr/bin/env python3
"""Writes tests/fixtures/optim.json: what PyTorch's optimizers, losses, schedules, scaler and averages give.

usage: make_optim_fixture.py > tests/fixtures/optim.json
Needs: torch==2.11.0 (only to make the fixture again; the tests need none of it).
"""
import json

import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel

# As tests/optim.rs has them: of the backbone and of the rest, weights and what does not decay.
SHAPES = {
    "backbone.conv.weight": (2, 3, 2, 2),
    "backbone.bn.weight": (3,),
    "head.fc.weight": (2, 4),
    "head.fc.bias": (2,),
}
WEIGHT_DECAY, BACKBONE_SCALE, STEPS = 0.05, 0.1, 50


def values(name, step):
    """Numbers that both sides can make exactly: multiples of 1/16. Step 0 are the first weights, the others gradients."""
    count = torch.Size(SHAPES[name]).numel()
    salt = list(SHAPES).index(name)
    numbers = [((step * 31 + i * 17 + salt * 5) % 23 - 11) / 16 for i in range(count)]
    return torch.tensor(numbers).view(SHAPES[name])


def rate(step):
    return 0.02 * (1 + step % 5) / 5


def optimizer(make, keys):
    weights = {name: torch.nn.Parameter(values(name, 0)) for name in SHAPES}
    groups = [
        {
            "params": [weight],
            "scale": BACKBONE_SCALE if name.startswith("backbone.") else 1.0,
            "weight_decay": WEIGHT_DECAY if weight.ndim > 1 else 0.0,
        }
        for name, weight in weights.items()
    ]
    opt = make(groups)
    for step in range(1, STEPS + 1):
        for name, weight in weights.items():
            weight.grad = values(name, step)
        for group in opt.param_groups:
            group["lr"] = rate(step) * group["scale"]
        opt.step()
    flat = lambda tensor: tensor.detach().flatten().tolist()
    state = {f"{name}.{key}": flat(opt.state[weight][key]) for name, weight in weights.items() for key in keys}
    return {"weights": {name: flat(weight) for name, weight in weights.items()}, "state": state}


def sam(rho):
    """Sharpness-aware minimisation around SGD, as github.com/davda54/sam steps, of a function whose gradient changes uphill."""
    weights = {name: torch.nn.Parameter(values(name, 0)) for name in SHAPES}
    opt = torch.optim.SGD(weights.values(), lr=0.05, momentum=0.9)

    def gradients(step):
        opt.zero_grad()
        sum((torch.sin(weight * 2) * values(name, step)).sum() for name, weight in weights.items()).backward()

    for step in range(1, STEPS + 1):
        gradients(step)
        norm = torch.stack([weight.grad.norm() for weight in weights.values()]).norm()
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        with torch.no_grad():
            for weight in weights.values():
                weight.add_(weight.grad * (rho / (norm + 1e-12)))
        gradients(step)
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(before[name])
        opt.step()
    return {"rho": rho, "weights": {name: weight.detach().flatten().tolist() for name, weight in weights.items()}}


def losses():
    logits = [-30.0, -4.0, -1.5, -0.25, 0.0, 0.25, 1.5, 4.0, 30.0, 120.0]
    cases = []
    for kind in ("bce", "focal"):
        for alpha, gamma in ((0.25, 2.0), (None, 1.0), (0.5, 0.0), (0.25, 0.5))[: 1 if kind == "bce" else 4]:
            for smoothing in (0.0, 0.1):
                for weights in (None, [1.5, 0.75]):
                    # The last targets are those of mixed clips.
                    x = torch.tensor(logits * 3, dtype=torch.float64, requires_grad=True)
                    mixed = [(i + 1) / 16 for i in range(len(logits))]
                    fake = torch.tensor([0.0] * len(logits) + [1.0] * len(logits) + mixed, dtype=torch.float64)
                    y = fake * (1 - smoothing) + 0.5 * smoothing
                    loss = F.binary_cross_entropy_with_logits(x, y, reduction="none")
                    if kind == "focal":
                        # torchvision.ops.sigmoid_focal_loss, with 1 - p written as sigmoid(-x).
                        miss = x.sigmoid() * (1 - y) + (-x).sigmoid() * y
                        loss = loss * miss**gamma
                        if alpha is not None:
                            loss = loss * (alpha * y + (1 - alpha) * (1 - y))
                    if weights:
                        loss = loss * (fake * weights[1] + (1 - fake) * weights[0])
                    loss.sum().backward()
                    cases.append({
                        "config": {
                            "type": kind, "alpha": alpha, "gamma": gamma, "label_smoothing": smoothing,
                            "class_weights": weights or "none",
                        },
                        "logits": x.tolist(), "targets": fake.tolist(),
                        "loss": float(loss.detach().sum()), "gradients": x.grad.tolist(),
                    })
    return cases


def schedules():
    peak, minimum, warmup, total, restart = 0.01, 1e-4, 10, 60, 20

    def rates(make, steps=total, metric=None):
        opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
        sched, found = make(opt), []
        for step in range(steps):
            found.append(opt.param_groups[0]["lr"])
            opt.step()
            sched.step(*([metric(step)] if metric else []))
        return found

    rise = lambda opt: lr_scheduler.LinearLR(opt, 1 / warmup, 1.0, warmup - 1)
    then = lambda opt, second: lr_scheduler.SequentialLR(opt, [rise(opt), second], [warmup])
    aucs = [0.5, 0.6, 0.7, 0.7005, 0.69, 0.7, 0.7009, 0.8, 0.7, 0.8, 0.8, 0.79, 0.8, 0.8, 0.8, 0.8] + [0.7] * 24
    return {
        "peak": peak, "minimum": minimum, "warmup_steps": warmup, "total_steps": total,
        "cosine": rates(lambda o: then(o, lr_scheduler.CosineAnnealingLR(o, total - warmup, minimum))),
        "restart_steps": restart,
        "cosine_with_restarts": rates(lambda o: then(o, lr_scheduler.CosineAnnealingWarmRestarts(o, restart, 1, minimum))),
        "constant": rates(lambda o: then(o, lr_scheduler.ConstantLR(o, 1.0, 1))),
        "decay_steps": 15,
        "warmup_stable_decay": rates(lambda o: lr_scheduler.SequentialLR(
            o, [rise(o), lr_scheduler.ConstantLR(o, 1.0, 1), lr_scheduler.LinearLR(o, 1.0, minimum / peak, 15)],
            [warmup, total - 15])),
        "one_cycle": rates(lambda o: lr_scheduler.OneCycleLR(
            o, peak, total_steps=total, pct_start=warmup / total, div_factor=25, final_div_factor=peak / 25 / minimum,
            cycle_momentum=False)),
        "plateau_values": aucs,
        "plateau": rates(lambda o: lr_scheduler.ReduceLROnPlateau(
            o, "max", factor=0.5, patience=3, threshold=0.001, threshold_mode="abs", min_lr=minimum),
            len(aucs), lambda step: aucs[step]),
    }


def scaler():
    """Scale after each step at which it changed, over 6,000 steps with these overflows."""
    overflows = [0, 1, 2500, 2501, 5999]
    grad_scaler = torch.amp.GradScaler("cpu", init_scale=65536.0, growth_interval=2000)
    weight = torch.nn.Parameter(torch.zeros(1))
    opt = torch.optim.SGD([weight], lr=0.0)
    changes, before = [], 65536.0
    for step in range(6000):
        opt.zero_grad()
        grad_scaler.scale(weight.sum() * (float("inf") if step in overflows else 1.0)).backward()
        grad_scaler.step(opt)
        grad_scaler.update()
        if grad_scaler.get_scale() != before:
            before = grad_scaler.get_scale()
            changes.append([step, before])
    return {"overflows": overflows, "changes": changes}


def average():
    net = torch.nn.Linear(4, 2)
    with torch.no_grad():
        net.weight.copy_(values("head.fc.weight", 0))
        net.bias.copy_(values("head.fc.bias", 0))
    decay = 0.6
    kept = lambda n: min(decay, (1 + n) / (10 + n))
    ema = AveragedModel(net, avg_fn=lambda average, weight, n: average + (weight - average) * (1 - kept(int(n))))
    ema.update_parameters(net)  # its first update copies
    found = {}
    for step in range(1, 31):
        with torch.no_grad():
            net.weight.copy_(values("head.fc.weight", step))
            net.bias.copy_(values("head.fc.bias", step))
        ema.update_parameters(net)
    for name, tensor in ema.module.named_parameters():
        found[f"head.fc.{name}"] = tensor.flatten().tolist()
    return {"decay": decay, "updates": 30, "averages": found}


def pairs():
    """Uniformity and alignment as in Wang and Isola's own code: pdist and norms of unit vectors."""
    features = values("head.fc.weight", 0).repeat(3, 2)[:6, :7].double() + torch.arange(42).view(6, 7).double().sin()
    is_fake = [False, True, True, False, True, False]
    features.requires_grad_(True)
    z = torch.nn.functional.normalize(features, dim=1)
    uniformity = torch.pdist(z).pow(2).mul(-2).exp().mean().log()
    same = [(i, j) for i in range(6) for j in range(i + 1, 6) if is_fake[i] == is_fake[j]]
    alignment = torch.stack([(z[i] - z[j]).norm().pow(2) for i, j in same]).mean()
    (0.5 * uniformity + 0.1 * alignment).backward()
    return {
        "features": features.detach().flatten().tolist(), "is_fake": is_fake, "uniformity": uniformity.item(),
        "alignment": alignment.item(), "gradients": features.grad.flatten().tolist(),
    }


torch.set_num_threads(1)
print(json.dumps({
    "weight_decay": WEIGHT_DECAY, "backbone_lr_scale": BACKBONE_SCALE, "steps": STEPS, "rates": [rate(s) for s in range(1, STEPS + 1)],
    "adamw": optimizer(lambda g: torch.optim.AdamW(g, lr=1.0, foreach=False), ["exp_avg", "exp_avg_sq"]),
    "adam": optimizer(lambda g: torch.optim.Adam(g, lr=1.0, foreach=False), ["exp_avg", "exp_avg_sq"]),
    "sgd": optimizer(lambda g: torch.optim.SGD(g, lr=1.0, momentum=0.9, foreach=False), ["momentum_buffer"]),
    "sam": sam(0.5), "losses": losses(), "schedules": schedules(), "scaler": scaler(), "average": average(),
    "pairs": pairs(),
}, separators=(",", ":")))
