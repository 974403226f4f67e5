"""Which algorithm is taken: from a list of stand-ins that say what they take and what they are good at."""

from dataclasses import fields, make_dataclass, replace

import pytest

from gpuconv.algorithm import ANY, Algorithm, AllBut, explain, refusal, select
from gpuconv.spec import ConvSpec, Epilogue, PoolSpec
from gpuconv.spec.dtypes import FLOAT32, FLOAT64, INT64
from tests.engines import ENGINES, lists

SPEC = ConvSpec(N=1, C=1, H=4, W=4, K=1, R=3, S=3)
LAYOUTS, DEVICE = "layouts", "device"


def stand_in(name, unsupported=None, worth=True, takes=None):
    def seen(answer):
        def ask(spec, layouts, device):
            assert (layouts, device) == (LAYOUTS, DEVICE)
            return answer

        return ask

    return Algorithm(name, takes or {}, seen(unsupported), seen(worth), seen(None), f"what {name} is for")


FAST = stand_in("fast")
SLOW = stand_in("slow", worth=False)
SLOWER = stand_in("slower", worth=False)
BROKEN = stand_in("broken", unsupported="stride is not 1")
DOUBLE = stand_in("double", takes={"dtype": (FLOAT64,)})


def chosen(algorithms, spec=SPEC, name=None):
    return select(algorithms, spec, LAYOUTS, DEVICE, name)


@pytest.mark.parametrize(
    ("algorithms", "expected"),
    [
        ((FAST, SLOW), FAST),
        ((SLOW, FAST), FAST),
        ((BROKEN, FAST), FAST),
        ((DOUBLE, FAST), FAST),
        ((SLOW, SLOWER), SLOW),
        ((BROKEN, SLOW, SLOWER), SLOW),
    ],
)
def test_the_first_supported_and_worthwhile_else_the_first_supported(algorithms, expected):
    assert chosen(algorithms) is expected


def test_none_that_can():
    with pytest.raises(ValueError) as caught:
        chosen((BROKEN, DOUBLE))
    assert str(caught.value) == (
        "no algorithm can run this problem: broken: stride is not 1; "
        "double: of dtype it takes 'float64', not 'float32'"
    )


def test_one_by_name_although_it_is_not_worthwhile():
    assert chosen((FAST, SLOW), name="slow") is SLOW


@pytest.mark.parametrize(
    ("name", "reason"),
    [("broken", "stride is not 1"), ("double", "of dtype it takes 'float64', not 'float32'")],
)
def test_one_by_name_that_cannot(name, reason):
    with pytest.raises(ValueError) as caught:
        chosen((FAST, BROKEN, DOUBLE), name=name)
    assert str(caught.value) == f"algorithm {name!r} cannot run this problem: {reason}"


@pytest.mark.parametrize("name", ["winograd", "", "FAST"])
def test_an_unknown_name(name):
    with pytest.raises(ValueError) as caught:
        chosen((FAST, SLOW), name=name)
    assert str(caught.value) == f"algorithm must be None or one of fast, slow; got {name!r}"


def test_a_name_that_is_no_string():
    with pytest.raises(TypeError, match="algorithm must be None or a name; got 7"):
        chosen((FAST,), name=7)


def test_explain_puts_the_chosen_one_first_and_gives_each_a_reason():
    later = stand_in("later")
    assert explain((BROKEN, SLOW, FAST, later), SPEC, LAYOUTS, DEVICE) == [
        ("fast", "selected: for what fast is for"),
        ("broken", "unsupported: stride is not 1"),
        ("slow", "supported, not worthwhile here: for what slow is for"),
        ("later", "supported, comes later in the list: for what later is for"),
    ]


# closed by default


def test_of_an_option_that_is_not_named_the_default_alone_is_taken():
    assert refusal(FAST, SPEC, LAYOUTS, DEVICE) is None
    changed = replace(SPEC, direction="input_gradient")
    assert refusal(FAST, changed, LAYOUTS, DEVICE) == (
        "of direction it takes 'forward', not 'input_gradient'"
    )
    taught = stand_in("taught", takes={"direction": ("forward", "input_gradient")})
    assert refusal(taught, changed, LAYOUTS, DEVICE) is None


def test_an_option_without_a_default_must_be_named():
    pool = PoolSpec("max", N=1, C=1, H=4, W=4, R=2, S=2)
    assert refusal(FAST, pool, LAYOUTS, DEVICE) == "of reduction it takes none, not 'max'"
    assert refusal(stand_in("greatest", takes={"reduction": ("max",)}), pool, LAYOUTS, DEVICE) is None


def test_any_value_can_be_taken():
    taught = stand_in("taught", takes={"reduction": ("mean",), "divisor_override": ANY})
    for divisor in (None, 5, -2):
        spec = PoolSpec("mean", N=1, C=1, H=4, W=4, R=2, S=2, divisor_override=divisor)
        assert refusal(taught, spec, LAYOUTS, DEVICE) is None


UNTAUGHT = {
    "a dtype": {"dtype": INT64},
    "a direction": {"direction": "weight_gradient"},
    "a padding mode": {"padding_mode": "reflect"},
    "an activation": {"epilogue": Epilogue(activation="relu")},
    "a residual": {"epilogue": Epilogue(residual=True)},
    "a precision": {"precision": "fp8"},
}
TAUGHT = {"a padding mode": ("conv_mirrored",)}


def takes_epilogues(algorithm):
    return isinstance(algorithm.takes.get("epilogue"), AllBut) or algorithm.takes.get("epilogue") is ANY


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", UNTAUGHT)
def test_no_convolution_takes_what_nobody_taught_it(what, engine):
    spec = replace(SPEC, **UNTAUGHT[what])
    for algorithm in lists(engine)["conv"]:
        if algorithm.name in TAUGHT.get(what, ()) or (
            "epilogue" in UNTAUGHT[what] and takes_epilogues(algorithm)
        ):
            continue
        reason = refusal(algorithm, spec, None, None)  # what is not taken is refused before all else
        assert reason is not None and reason.startswith("of ")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "changes", [{"reduction": "sum"}, {"windows": "round"}, {"norm": 2.0}, {"dtype": "complex64"}], ids=str
)
def test_no_pool_takes_what_nobody_taught_it(changes, engine):
    spec = replace(PoolSpec("max", N=1, C=1, H=4, W=4, R=2, S=2), **changes)
    for algorithm in lists(engine)["pool"]:
        assert refusal(algorithm, spec, None, None).startswith("of ")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("room", ["conv", "pool"])
def test_a_new_option_of_a_spec_reaches_nobody(engine, room):
    """Whatever field is added to a spec, with whatever value, every algorithm refuses it."""
    kind = {"conv": ConvSpec, "pool": PoolSpec}[room]
    added = make_dataclass("Added", [("colour", str, "grey")], bases=(kind,), frozen=True)
    given = {"N": 1, "C": 1, "H": 4, "W": 4, "R": 2, "S": 2}
    given |= {"K": 1} if room == "conv" else {"reduction": "max"}
    for algorithm in lists(engine)[room]:
        taken = next(iter(algorithm.takes.get("dtype", (FLOAT32,))))
        options = {"dtype": taken, "colour": "blue"}
        if isinstance(algorithm.takes.get("epilogue"), AllBut):
            options["epilogue"] = Epilogue(activation="relu")
        if "padding_mode" in algorithm.takes:
            options["padding_mode"] = next(iter(algorithm.takes["padding_mode"]))
        for option in {"reduction", "windows", "return_indices", "precision"} & set(algorithm.takes):
            options[option] = next(iter(algorithm.takes[option]))
        reason = refusal(algorithm, added(**{**given, **options}), None, None)
        assert reason == "of colour it takes 'grey', not 'blue'"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("room", ["conv", "pool"])
def test_the_lists(engine, room):
    names = [algorithm.name for algorithm in lists(engine)[room]]
    assert len(set(names)) == len(names) > 0
    spec = {"conv": ConvSpec, "pool": PoolSpec}[room]
    options = {field.name for field in fields(spec)} - set(spec.GEOMETRY)
    for algorithm in lists(engine)[room]:
        assert algorithm.name.isidentifier() and algorithm.name.startswith(f"{room}_")
        assert algorithm.fast_for
        assert set(algorithm.takes) <= options
