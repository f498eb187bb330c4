from __future__ import annotations
import typer
app=typer.Typer(help="Looks: list, import, pull.")
@app.command("list")
def list_()->None: "List."
