from __future__ import annotations
import typer
def doctor()->None: "What works here."
