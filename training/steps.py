"""One step of distillation: the student by the terms of its loss, then the critics on the same faces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training import closeups
from training.closeups import CloseUps
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
    unevenness,
    weighted_l1,
)
from training.run import Options, Run, ramp
from training.world import DivergedError, World, half

Terms = dict[str, Tensor]


def certain(crops: Crops, options: Options) -> Tensor:
    """The rows in which lines are asked for, of a pair a's alone: b's would say it again, and no term takes longer."""
    low, high = options.contrast_eyes
    which = crops.crisp & (crops.eyes >= low) & (crops.eyes <= high)
    return torch.nonzero(which).flatten()


@dataclass(frozen=True)
class Judged:
    """What of a step's crops goes to the critics: ``faces``, rows of a; ``mix``: see `training.losses.draw_mix`."""

    faces: Tensor
    mix: Tensor
    close: CloseUps | None


def judged(crops: Crops, mix: Tensor, options: Options, step: int) -> Judged:
    """Nothing for a critic before its time."""
    low, high = options.adversarial_eyes
    eyes = crops.eyes[: len(crops.source) // 2]
    faces = torch.nonzero((eyes >= low) & (eyes <= high)).flatten()[:: options.costly_every]
    if step < options.adversarial_from * options.steps:
        faces = faces[:0]
    near = step >= options.closeups_from * options.steps and max(options.closeups, options.closeups_like) > 0
    return Judged(faces, mix, closeups.find(crops, options.contrast_eyes) if near else None)


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
        share = len(sure) / len(crops.eyes)
        terms["contrast"] = weight * share * line_contrast(out[sure], crops.target[sure], crops.weight[sure])
    some = slice(0, len(a), options.costly_every)
    with half(out.device):
        terms["features"] = options.features * features(a[some], crops.target[: len(a)][some])
    if weight := options.shift * risen:
        terms["shift"] = weight * shift_consistency(a, b, crops.weight[: len(a)], crops.shift)
    return terms


def critics_terms(out: Tensor, seen: Judged, run: Run, options: Options) -> Terms:
    """What the critics say against the student's results; weighted."""
    terms = {}
    with half(out.device):
        if len(seen.faces):
            terms["adversarial"] = options.adversarial * generator_loss(run.critic(texture(out[seen.faces], seen.mix)))
        if seen.close:
            near = *seen.close.given, seen.close.of(out)
            against, apart = closeups.student_losses(run.closeup_critic, *near)
            terms["closeups"], terms["closeups_like"] = options.closeups * against, options.closeups_like * apart
    return terms


def student_step(
    run: Run,
    crops: Crops,
    seen: Judged,
    features: TeacherFeatures,
    options: Options,
    world: World,
    plates: Tensor | None = None,
) -> tuple[Tensor, Terms]:
    """Step the student; give its results before that, and the terms with the norm of their gradient.

    Args:
        plates: see `training.losses.draw_plates`; None without that term.

    Raises:
        DivergedError: a term is not finite.
    """
    with half(crops.source.device):
        out = run.student(crops.source.contiguous(memory_format=torch.channels_last))
    out = out.float()
    terms = paired_terms(out, crops, features, options, run.step)
    terms |= critics_terms(out, seen, run, options)
    if plates is not None:
        terms["flat"] = options.flat * unevenness(run.student(plates))
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


def critics_step(run: Run, out: Tensor, crops: Crops, seen: Judged, world: World) -> Terms:
    """Step the critics on the drawn and the student's faces, and close-ups of them."""
    terms = {}
    if len(seen.faces):
        with half(out.device):
            real, fake = (run.critic(texture(x[seen.faces], seen.mix)) for x in (crops.target, out))
            terms["critic"] = discriminator_loss(real, fake)
    if seen.close:
        with half(out.device):
            near = *seen.close.given, seen.close.of(out)
            terms["closeup_critic"] = closeups.critic_loss(run.closeup_critic, *near)
    _learn(run.critic, run.opt_critic, terms.get("critic"), world)
    _learn(run.closeup_critic, run.opt_closeup_critic, terms.get("closeup_critic"), world)
    return terms


def _learn(critic: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor | None, world: World) -> None:
    """Step by ``loss``, if any process of ``world`` has one."""
    optimizer.zero_grad(set_to_none=True)
    if loss is not None:
        loss.backward()
    if world.mean(torch.tensor(float(loss is not None), device=world.device)):
        world.average_gradients(critic.parameters())
        optimizer.step()
