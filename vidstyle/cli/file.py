from __future__ import annotations
import typer
def file()->None: "Style a video."
