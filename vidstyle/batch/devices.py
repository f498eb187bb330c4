"""Several devices for one batch: which worker has which."""

from __future__ import annotations

import re
from dataclasses import replace

from vidstyle.choice import visible_gpus
from vidstyle.cores import usable_cores
from vidstyle.errors import UsageError
from vidstyle.job import FileJob


def devices(text: str) -> list[str]:
    """Of --device: "cuda" is every NVIDIA GPU, "cuda:0,cuda:2" these, anything else itself.

    Raises:
        UsageError: a list of something else, or with one twice.
    """
    if text == "cuda":
        return [f"cuda:{index}" for index in range(visible_gpus()[0])] or [text]
    names = [name.strip() for name in text.split(",")]
    if len(names) > 1 and not all(re.fullmatch(r"cuda:\d+", name) for name in names):
        raise UsageError(f"--device is {text!r}: a list is for NVIDIA GPUs, as cuda:0,cuda:1")
    if len(set(names)) < len(names):
        raise UsageError(f"--device is {text!r}, which has one twice: --jobs 2 puts two videos on each")
    return names


def divided(template: FileJob, jobs: int) -> FileJob:
    """The same work with this machine's cores shared by ``jobs`` workers; what was given explicitly stays."""
    if jobs == 1:
        return template
    share = max(1, usable_cores() // jobs)
    reading, writing, engine = template.reading, template.writing, template.engine
    encoder = replace(writing.encoder, threads=writing.encoder.threads or share)
    return replace(
        template,
        reading=replace(reading, threads=reading.threads or share),
        writing=replace(writing, encoder=encoder),
        engine=replace(engine, threads=engine.threads or share),
    )


def templates(template: FileJob, jobs: int) -> list[FileJob]:
    """One for each worker: ``jobs`` on each device, those of one device far apart, so that few videos use all."""
    names = devices(template.engine.device)
    shared = divided(template, jobs * len(names))
    return [replace(shared, engine=replace(shared.engine, device=name)) for _ in range(jobs) for name in names]
