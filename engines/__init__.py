"""The only place that imports inference runtimes: one file each, deletable without touching another."""
