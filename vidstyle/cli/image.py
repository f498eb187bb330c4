from __future__ import annotations
import typer
def image()->None: "Style pictures."
def preview()->None: "All looks."
