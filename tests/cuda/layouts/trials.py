"""One problem through one algorithm, in each layout of its arrays, while the others lie as they like best."""

from collections.abc import Iterator, Sequence

import numpy as np

from gpuconv import algorithm as algorithms
from gpuconv.algorithm import Algorithm
from gpuconv.cuda.runtime.gpu import H200
from tests.cases import equal
from tests.cuda.execution import compute, layouts_of, on_device, poisoned
from tests.cuda.layouts.cases import Case
from tests.cuda.layouts.layouts import contiguous, is_intact, laid, placed
from tests.cuda.layouts.problems import Arrays, Problem

Trial = tuple[Problem, tuple[str, ...], str]  # arrays of a problem, and the layout that they have


def trials(case: Case) -> Iterator[Trial]:
    problem = case.problem()
    for layout in (*case.layouts, *case.far):
        if case.together or layout in case.far:
            yield problem, problem.varied, layout
        else:
            yield from ((problem, (array,), layout) for array in problem.varied)


def arrays_of(trial: Trial) -> tuple[Arrays, Arrays]:
    """The inputs and the results, which hold nothing yet.

    Where a result is laid, the bias lies apart as well: what is known of y says nothing of it.
    """
    problem, names, layout = trial

    def lay(array: str, value: np.ndarray | None) -> np.ndarray | None:
        if value is None or array in names:
            return None if value is None else laid(value, layout)
        if array == "bias" and "y" in names:
            return placed(value, (2,), 1)
        return contiguous(value)

    inputs = {array: lay(array, value) for array, value in problem.inputs.items()}
    results = {
        array: None if value is None else lay(array, poisoned(value.shape, value.dtype))
        for array, value in problem.results.items()
    }
    return inputs, results


def run(algorithm: Algorithm, trial: Trial) -> str | None:
    """Compute and compare: why the algorithm does not take this layout, or None."""
    problem, _, _ = trial
    inputs, results = arrays_of(trial)
    views = [*map(on_device, inputs.values()), *(on_device(y, True) for y in results.values())]
    reason = algorithms.refusal(algorithm, problem.spec, layouts_of(problem.spec, *views), H200)
    if reason is not None:
        return reason
    compute(algorithm, problem.spec, inputs.values(), results.values())
    for name, expected in problem.results.items():
        if expected is not None:
            equal(*map(parts_of, (results[name], expected)))
            assert is_intact(results[name]), f"the kernel has written between what is of {name}"
    return None


def refused(algorithm: Algorithm, cases: Sequence[Case]) -> dict[str, str]:
    """Run every trial of cases: of each that the algorithm refuses, the reason.

    What is refused of all arrays together is asked of each for itself.
    """
    found = {}
    for case in cases:
        for problem, names, layout in trials(case):
            given = [(problem, names, layout)]
            if len(names) > 1 and told(algorithm, case, *given):
                given = [(problem, (name,), layout) for name in names]
            for trial in given:
                if reason := told(algorithm, case, trial):
                    found[f"{' '.join(trial[1])}, {trial[2]}"] = reason
    return found


def told(algorithm: Algorithm, case: Case, trial: Trial) -> str | None:
    """As `run`; what goes wrong is told with the layout."""
    try:
        return run(algorithm, trial)
    except BaseException as fault:
        fault.add_note(f"{algorithm.name}, {case}: {' '.join(trial[1])}, {trial[2]}")
        raise


def parts_of(array: np.ndarray) -> np.ndarray:
    """Real numbers as they are, of complex ones both parts."""
    return np.stack([array.real, array.imag]) if array.dtype.kind == "c" else np.array(array)
