"""The operators as torch's compiler, exporter and transforms see them."""

import pytest

from tests.torch_operators.calls import (
    BIAS,
    GROUPED,
    IMAGE,
    SINGLE,
    WEIGHT,
    numbers,
    over_calls,
    over_one_of_each,
    over_some,
)

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import gpuconv.torch  # noqa: E402
from gpuconv.torch import operators  # noqa: E402

LAST = torch.channels_last
CHECKS = [
    ("test_schema", "test_autograd_registration", "test_faketensor"),
    pytest.param(("test_aot_dispatch_dynamic",), marks=pytest.mark.wide),
]


def called(name, others):
    return lambda *tensors: getattr(gpuconv.torch, name)(*tensors, **others)


def recorded(function, *tensors):
    """The calls of our operators that a function makes, and its gradient: (operator, arguments)."""
    calls = []

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, arguments=(), keywords=None):
            if operator.namespace == "gpuconv":
                calls.append((operator, arguments))
            return operator(*arguments, **keywords or {})

    with Recorder():
        result = function(*tensors)
        if result.requires_grad:
            result.sum().backward()
    return calls


@over_one_of_each
@pytest.mark.parametrize("layout", ["in order", "channels last"])
@pytest.mark.parametrize("checks", CHECKS, ids=["eager", "traced"])
def test_torch_checks_each_operator_and_its_gradient(name, tensors, others, layout, checks):
    given = [
        each.to(memory_format=LAST) if layout == "channels last" and each.dim() == 4 else each.clone()
        for each in tensors
    ]
    for each in given:
        each.requires_grad_(each.is_floating_point())
    calls = recorded(called(name, others), *given)
    assert calls
    for operator, arguments in calls:
        arguments = [each.detach() if torch.is_tensor(each) else each for each in arguments]
        checked = [
            each.requires_grad_() if torch.is_tensor(each) and each.is_floating_point() else each
            for each in arguments
        ]
        torch.library.opcheck(operator, checked, test_utils=checks)


def test_every_operator_is_among_those_that_are_checked():
    ours = {each.name for each in vars(operators).values() if isinstance(each, operators.TorchOperator)}
    assert ours == {name for name in dir(torch.ops.gpuconv) if not name.startswith("_") and name != "name"}
    assert len(ours) == 21


@over_calls
def test_shapes_and_strides_are_foreseen(name, tensors, others):
    expected = getattr(gpuconv.torch, name)(*tensors, **others)
    meta = getattr(gpuconv.torch, name)(*[each.to("meta") for each in tensors], **others)
    assert meta.shape == expected.shape and meta.stride() == expected.stride()
    assert meta.dtype == expected.dtype
    if tensors[0].dim() == 4:
        last = [tensors[0].to(memory_format=LAST), *tensors[1:]]
        expected = getattr(gpuconv.torch, name)(*last, **others)
        meta = getattr(gpuconv.torch, name)(*[each.to("meta") for each in last], **others)
        assert meta.stride() == expected.stride()


@over_some
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_compiled_program_is_one_graph(name, tensors, others, dynamic):
    torch.compiler.reset()
    function = called(name, others)
    compiled = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for count in (2, 3):
        given = [
            torch.cat([each] * count)[:count] if each.dim() == tensors[0].dim() else each for each in tensors
        ]
        if name.startswith("conv"):
            given = [given[0], *tensors[1:]]
        ours = [each.clone().requires_grad_(each.is_floating_point()) for each in given]
        theirs = [each.clone().requires_grad_(each.is_floating_point()) for each in given]
        y, wanted = compiled(*ours), function(*theirs)
        assert torch.equal(y, wanted)
        y.sum().backward()
        wanted.sum().backward()
        assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True) if a.requires_grad)


def test_one_compiled_program_serves_images_of_every_size():
    torch.compiler.reset()
    seen = []

    def counting(graph, examples):
        seen.append(graph)
        return graph

    def program(x):
        y = gpuconv.torch.conv2d(x, WEIGHT, stride=2, padding="same")
        y = gpuconv.torch.adaptive_avg_pool2d(gpuconv.torch.max_pool2d(y, 2, ceil_mode=True), (2, 3))
        return gpuconv.torch.fold(gpuconv.torch.unfold(y, 2), y.shape[-2:], 2)

    compiled = torch.compile(program, fullgraph=True, dynamic=True, backend=counting)
    for size in (11, 14, 15, 23):
        x = numbers(2, 4, size, size + 3)
        assert torch.equal(compiled(x), program(x))
    assert len(seen) == 1


class Program(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = gpuconv.torch.Conv2d(3, 8, 3, stride=2, padding=1, dtype=torch.float64)
        self.pool = gpuconv.torch.MaxPool2d(2)
        self.mean = gpuconv.torch.AdaptiveAvgPool2d(3)

    def forward(self, x):
        return self.mean(self.pool(self.conv(x)).relu())


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_has_dynamic_sizes(strict):
    program, x = Program(), numbers(2, 3, 20, 21)
    dim = torch.export.Dim
    sizes = {0: dim("n", min=1), 2: dim("h", min=8), 3: dim("w", min=8)}
    exported = torch.export.export(program, (x,), dynamic_shapes=(sizes,), strict=strict)
    called = [str(node.target) for node in exported.graph.nodes if "gpuconv" in str(node.target)]
    assert called == [
        "gpuconv.conv2d.default", "gpuconv.max_pool2d.default", "gpuconv.adaptive_avg_pool2d.default",
    ] or called[1].startswith("gpuconv.max_pool2d")  # fmt: skip
    for shape in ((1, 3, 8, 33), (5, 3, 31, 12)):
        other = numbers(*shape)
        assert torch.equal(exported.module()(other), program(other))


def looped(function, in_dims, tensors):
    given = [*zip(tensors, in_dims, strict=True)]
    count = next(each.shape[dim] for each, dim in given if dim is not None)

    def of_call(call):
        return [each if dim is None else each.select(dim, call) for each, dim in given]

    return torch.stack([function(*of_call(call)) for call in range(count)])


def many(tensor, dim):
    """Three of a tensor along a new axis."""
    return torch.stack([tensor, tensor.flip(-1), tensor.flip(0)], dim).contiguous()


@over_one_of_each
def test_many_calls_at_once(name, tensors, others):
    function = called(name, others)
    for dim in (0, 1):
        given = [many(each, dim) if each.dim() > 1 else each for each in tensors]
        if name == "max_unpool2d":
            given = [torch.stack([each] * 3, dim) for each in tensors]
        in_dims = tuple(
            dim if each.dim() > other.dim() else None for each, other in zip(given, tensors, strict=True)
        )
        y = torch.vmap(function, in_dims)(*given)
        torch.testing.assert_close(y, looped(function, in_dims, given))


@pytest.mark.parametrize("which", ["x", "w", "b", "xw", "xb", "wb", "xwb"])
@pytest.mark.parametrize("x", [IMAGE, SINGLE], ids=["batch", "single"])
@pytest.mark.parametrize("transposed", [False, True])
def test_many_convolutions_at_once(which, x, transposed):
    name, w, b = ("conv_transpose2d", numbers(4, 3, 3, 2), BIAS) if transposed else ("conv2d", GROUPED, BIAS)
    function = called(name, {"groups": 2, "stride": (1, 2), "padding": 1})
    tensors = [many(each, 0) if key in which else each for key, each in zip("xwb", (x, w, b), strict=True)]
    in_dims = tuple(0 if key in which else None for key in "xwb")
    torch.testing.assert_close(torch.vmap(function, in_dims)(*tensors), looped(function, in_dims, tensors))

    def loss(x, w, b):
        return function(x, w, b).square().sum()

    gradients = torch.func.grad(loss, argnums=(0, 1, 2))
    ours = torch.vmap(gradients, in_dims)(*tensors)
    for place in range(3):
        expected = looped(lambda *given, place=place: gradients(*given)[place], in_dims, tensors)
        torch.testing.assert_close(ours[place], expected)


@over_one_of_each
def test_transforms_differentiate(name, tensors, others):
    function = called(name, others)
    given = [each.clone().requires_grad_(each.is_floating_point()) for each in tensors]

    def loss(x):
        return function(x, *tensors[1:]).square().sum()

    (expected,) = torch.autograd.grad(loss(given[0]), given[0])
    torch.testing.assert_close(torch.func.grad(loss)(tensors[0]), expected)
    x = tensors[0][:1, :, :3, :3] if tensors[0].dim() == 4 and name != "max_unpool2d" else tensors[0]
    if x.shape != tensors[0].shape:
        small = lambda x: function(x, *tensors[1:])  # noqa: E731
        jacobian = torch.autograd.functional.jacobian(small, x)
        torch.testing.assert_close(torch.func.jacrev(small)(x), jacobian)
        hessian = torch.autograd.functional.hessian(lambda x: small(x).pow(3).sum(), x)
        torch.testing.assert_close(
            torch.func.jacrev(torch.func.jacrev(lambda x: small(x).pow(3).sum()))(x), hessian
        )


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_tracers_keep_the_operators():
    def program(x, w):
        return gpuconv.torch.max_pool2d(gpuconv.torch.conv2d(x, w, padding=1), 2)

    other = numbers(2, 4, 5, 6, seed=2), WEIGHT
    for mode in ("real", "symbolic"):
        graph = torch.fx.experimental.proxy_tensor.make_fx(program, tracing_mode=mode)(IMAGE, WEIGHT)
        assert sum("gpuconv" in str(node.target) for node in graph.graph.nodes) == 2
        assert torch.equal(graph(*other), program(*other))
    assert torch.equal(torch.func.functionalize(program)(*other), program(*other))
    assert torch.equal(torch.jit.trace(program, (IMAGE, WEIGHT))(*other), program(*other))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_fx_traces_functions_and_replaced_models():
    def program(x, w):
        return gpuconv.torch.conv2d(x, w, groups=x.shape[1] // 4, activation="relu")

    graph = torch.fx.symbolic_trace(program)
    assert sum("gpuconv" in str(node.target) for node in graph.graph.nodes) == 1
    assert torch.equal(graph(IMAGE, WEIGHT), program(IMAGE, WEIGHT))
    model = torch.nn.Sequential(torch.nn.Conv2d(4, 3, 2), torch.nn.AdaptiveAvgPool2d((None, 2)))
    graph = torch.fx.symbolic_trace(gpuconv.torch.replace(model))
    assert torch.equal(graph(IMAGE.float()), model(IMAGE.float()))


@pytest.mark.wide  # it compiles C++
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_inductor_compiles_a_model_and_its_gradients(layout):
    torch.compiler.reset()
    model = torch.nn.Sequential(
        gpuconv.torch.Conv2d(4, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        gpuconv.torch.MaxPool2d(2), gpuconv.torch.ConvTranspose2d(8, 4, 2, 2), gpuconv.torch.AvgPool2d(2),
        gpuconv.torch.AdaptiveAvgPool2d(1),
    ).double().to(memory_format=layout)  # fmt: skip
    compiled = torch.compile(model, fullgraph=True)
    x = numbers(2, 4, 8, 10).to(memory_format=layout)
    results = []
    for each in (model, compiled):
        model.zero_grad()
        y = each(x)
        y.square().sum().backward()
        results.append([y.detach(), *(parameter.grad for parameter in model.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_forward_mode_is_refused():
    message = "has no derivative in forward mode, and weight has a tangent"
    with torch.autograd.forward_ad.dual_level():
        w = torch.autograd.forward_ad.make_dual(WEIGHT, WEIGHT)
        with pytest.raises(NotImplementedError, match=message):
            gpuconv.torch.conv2d(IMAGE, w)
        gpuconv.torch.conv2d(IMAGE, WEIGHT)
    with pytest.raises(NotImplementedError, match=message):
        torch.func.jvp(lambda w: gpuconv.torch.conv2d(IMAGE, w), (WEIGHT,), (WEIGHT,))


class Seen(TorchDispatchMode):
    """Records what is called under it."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))


def test_a_mode_sees_the_operator():
    with Seen() as seen:
        gpuconv.torch.max_pool2d(torch.ones(1, 1, 4, 4), 2)
    assert "gpuconv::max_pool2d" in seen.names


def test_what_nobody_sees_is_called_as_it_is(monkeypatch):
    """Without gradients, transforms and modes no operator of torch is called, which takes longer."""
    x, w = torch.ones(1, 1, 4, 4), torch.nn.Parameter(torch.ones(1, 1, 3, 3))
    expected = gpuconv.torch.conv2d(x, w).detach()
    monkeypatch.setattr(operators.CONV2D, "overload", None)
    with torch.no_grad():
        assert torch.equal(gpuconv.torch.conv2d(x, w), expected)
    assert torch.equal(gpuconv.torch.conv2d(x, w.detach()), expected)
    with pytest.raises(TypeError):
        gpuconv.torch.conv2d(x, w)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), pytest.raises(TypeError):
        gpuconv.torch.conv2d(x, w)
