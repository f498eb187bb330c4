"""Makes styles: distillation now; see README.md in this folder. Needs the extra ``train``."""
