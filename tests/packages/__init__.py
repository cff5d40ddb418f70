"""Tests of the wheels, in environments that have nothing else."""
