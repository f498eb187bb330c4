"""The ways of training and their options, stage by stage.

``quick``      pairs by analogies (`training.pairs`), and a student from them.
``paired``     drawings of the photos themselves (`training.paired`), and a student from them.
``standard``   the texture network, begun from a bundled look, on unpaired pictures; then a student steadied from it.
``full``       the paper's way: a generator, its calibration, 10,000 pairs, the texture network, then a student.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training import ccn, expression, generator, paired, pairs, portraits, student, ttn
from training.crops import CropOptions

START = "artstyle"  # the bundled look that changes a photo least
PERCEPTION = 0.1  # in place of the paper's 1, by which photos come back: see training/README.md


def _data() -> dict[str, Any]:
    return {"photos": portraits.Options(), "exemplars": portraits.DRAWN}


def quick() -> dict[str, Any]:
    """Options by stage: something to look at in about ten minutes of two cores."""
    near = (46.0, 84.0)
    crops = CropOptions(side=128, pairs=4, empty=0.0, eyes=(34.0, 110.0), near=near, exact=0.5, turn=30.0, gain=0.1)
    learning = student.Options(steps=800, shift=0.3, crops=crops, most=400)
    return {**_data(), "pairs": pairs.Options(count=192), "student": learning}


def together() -> dict[str, Any]:
    """Options by stage for drawings of the photos themselves: half an hour of one core."""
    crops = CropOptions(pairs=4, coloured=0.0, soft=0.25, empty=0.05)
    learning = student.Options(
        steps=5500,
        start=START,
        gradient=0.6,
        broad=3.0,
        flat=1.0,
        contrast=28.0,
        features=0.5,
        closeups=0.06,
        closeups_like=0.4,
        closeups_from=0.2,
        costly_every=4,
        shift=6.0,
        shift_from=0.1,
        adversarial=0.1,
        adversarial_from=0.25,
        adversarial_eyes=(36.0, 110.0),
        crops=crops,
    )
    return {"paired": paired.Options(), "student": learning}


def standard() -> dict[str, Any]:
    """Options by stage for a machine without a generator: a night on a CPU, minutes on a GPU."""
    return {
        **_data(),
        "pairs": pairs.Options(count=800),  # for what goes without the texture network
        "expression": expression.Options(steps=2000),
        "ttn": ttn.Options(
            steps=6000,
            batch=4,
            network="student",
            start=START,
            lr=4e-4,
            critic_lr=8e-4,
            tones=2.0,
            perception=PERCEPTION,
            warm=0,
        ),
        "student": student.Options(steps=1500, lr=1e-3, adversarial=0.05, adversarial_from=0.0),
    }


def full() -> dict[str, Any]:
    """Options by stage as in the paper's section 4.1, but for `PERCEPTION`."""
    return {
        **_data(),
        "generator": generator.Options(size=256, full=True),
        "ccn": ccn.Options(),
        "pairs": ccn.Options(),
        "expression": expression.Options(),
        "ttn": ttn.Options(perception=PERCEPTION),
        "student": student.Options(steps=8000),
    }


WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "quick": quick,
    "paired": together,
    "standard": standard,
    "full": full,
}
