"""Why an array is not taken: `{name}` in what is said stands for the argument, put in where it is known."""

from gpuconv.spec.dtypes import COMPARED, COMPLEX

DTYPES = *COMPARED, *COMPLEX  # that are known here; each operator says which of them it takes


class Refused(TypeError):
    """What is wrong with an array, and what to pass in its place.

    It is raised where the name of the argument is not known: `of` says it.
    """

    def of(self, name: str) -> str:
        return str(self).replace("{name}", name)


def wrong_dtype(dtype: object, pass_instead: str = "") -> Refused:
    return Refused(
        f"its dtype is {dtype}, and taken are {', '.join(DTYPES)}{pass_instead and f': pass {pass_instead}'}"
    )
