"""The fixture of a run that trains in seconds."""

from training_run import run_folder

__all__ = ["run_folder"]
