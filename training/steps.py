"""One step of distillation: the student by the terms of its loss, then the critic on the same faces."""

from __future__ import annotations

import torch
from torch import Tensor

from training.crops import Crops
from training.losses import (
    TeacherFeatures,
    broad_l1,
    discriminator_loss,
    generator_loss,
    gradient_l1,
    line_contrast,
    shift_consistency,
    texture,
    weighted_l1,
)
from training.run import Options, Run, ramp
from training.world import DivergedError, World, half

Terms = dict[str, Tensor]


def certain(crops: Crops, options: Options) -> Tensor:
    """The rows of the crops in which lines are asked for."""
    low, high = options.contrast_eyes
    which = crops.crisp & (crops.eyes >= low) & (crops.eyes <= high)
    return torch.nonzero(which.repeat(len(crops.source) // len(which))).flatten()


def judged(crops: Crops, options: Options, step: int) -> Tensor:
    """The rows of a that go to the critic: none before its time."""
    low, high = options.adversarial_eyes
    eyes = crops.eyes[: len(crops.source) // 2]
    faces = torch.nonzero((eyes >= low) & (eyes <= high)).flatten()[:: options.costly_every]
    return faces if step >= options.adversarial_from * options.steps else faces[:0]


def paired_terms(out: Tensor, crops: Crops, features: TeacherFeatures, options: Options, step: int) -> Terms:
    """What the student's results for the crops lack against their targets, and against each other; weighted."""
    a, b = out.chunk(2)
    terms = {
        "l1": weighted_l1(out, crops.target, crops.weight),
        "gradient": options.gradient * gradient_l1(out, crops.target, crops.weight),
        "broad": options.broad * broad_l1(out, crops.target),
    }
    sure, risen = certain(crops, options), ramp(options, step)
    if len(sure) and (weight := options.contrast * risen):
        share = len(sure) / len(out)
        terms["contrast"] = weight * share * line_contrast(out[sure], crops.target[sure], crops.weight[sure])
    some = slice(0, len(a), options.costly_every)
    with half(out.device):
        terms["features"] = options.features * features(a[some], crops.target[: len(a)][some])
    if weight := options.shift * risen:
        terms["shift"] = weight * shift_consistency(a, b, crops.weight[: len(a)], crops.shift)
    return terms


def student_step(
    run: Run, crops: Crops, faces: Tensor, mix: Tensor, features: TeacherFeatures, options: Options, world: World
) -> tuple[Tensor, Terms]:
    """Step the student; give its results before that, and the terms with the norm of their gradient.

    ``faces``: of `judged`; ``mix``: the channels' weights of what the critic sees, see `training.losses.draw_mix`.

    Raises:
        DivergedError: a term is not finite.
    """
    with half(crops.source.device):
        out = run.student(crops.source.contiguous(memory_format=torch.channels_last))
    out = out.float()
    terms = paired_terms(out, crops, features, options, run.step)
    if len(faces):
        with half(out.device):
            terms["adversarial"] = options.adversarial * generator_loss(run.critic(texture(out[faces], mix)))
    loss = sum(terms.values(), start=torch.zeros((), device=out.device))
    if not torch.isfinite(loss):
        values = {name: float(value.detach()) for name, value in terms.items()}
        raise DivergedError(f"the loss of step {run.step} is not finite: {values}")
    run.opt_student.zero_grad(set_to_none=True)
    loss.backward()
    world.average_gradients(run.student.parameters())
    norm = torch.nn.utils.clip_grad_norm_(run.student.parameters(), 1.0)
    run.opt_student.step()
    return out.detach(), {"norm": norm, **terms}


def critic_step(run: Run, out: Tensor, crops: Crops, faces: Tensor, mix: Tensor, world: World) -> Terms:
    """Step the critic on the drawn and the student's ``faces``, if any process of ``world`` has some."""
    terms = {}
    run.opt_critic.zero_grad(set_to_none=True)
    if len(faces):
        with half(out.device):
            real, fake = (run.critic(texture(x[faces], mix)) for x in (crops.target, out))
            terms["critic"] = discriminator_loss(real, fake)
        terms["critic"].backward()
    if world.mean(torch.tensor(float(len(faces)), device=out.device)):
        world.average_gradients(run.critic.parameters())
        run.opt_critic.step()
    return terms
