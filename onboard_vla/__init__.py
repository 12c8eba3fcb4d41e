"""Onboard VLA: from a trained driving vision-language-action checkpoint to a trajectory a vehicle may follow."""

__version__ = "0.1.0"
