"""The verdicts on planted faults, for those who list them: see `mutation.py`."""

from tests.cuda.mutation import BEYOND, RACE, UNSET, WRONG

__all__ = ["BEYOND", "RACE", "UNSET", "WRONG"]
