"""Modules beside torch.nn's, and models whose modules are replaced."""

import copy
import io
import pickle

import pytest

from tests.torch_operators.calls import numbers
from tests.torch_operators.resnet import resnet18

torch = pytest.importorskip("torch")
import gpuconv.torch  # noqa: E402

nn, LAST = torch.nn, torch.channels_last
X = numbers(2, 4, 9, 8, dtype=torch.float32)
MODULES = {
    "Conv2d": [
        (4, 6, 3),
        (4, 6, (3, 2), 2, (1, 2), (1, 2), 2, False),
        (4, 8, 3, 1, "same", 1, 1, True, "circular"),
        (4, 4, 3, 1, (1, 2), 1, 4, True, "reflect"),
        (4, 4, 3, 2, 1, 1, 1, True, "replicate"),
    ],
    "ConvTranspose2d": [(4, 6, 3), (4, 6, (3, 2), 2, 1, 1, 2, False)],
    "MaxPool2d": [(2,), (3, 2, 1, 1, True, True)],
    "AvgPool2d": [(2,), (3, 2, 1, True, False), (2, 1, 0, False, True, 3)],
    "LPPool2d": [(2, 2), (2.0, (2, 3), 2, True)],
    "AdaptiveAvgPool2d": [(1,), ((3, None),)],
    "AdaptiveMaxPool2d": [(1,), ((3, None), True)],
    "Unfold": [(2,), ((2, 3), 2, 1, 2)],
    "Fold": [((9, 8), 2), ((9, 8), (2, 3), 2, 1, 2)],
}
over_modules = pytest.mark.parametrize(
    ("name", "arguments"), [(name, each) for name, several in MODULES.items() for each in several]
)


def pair(name, arguments):
    """A module of torch, and ours with its parameters."""
    theirs = getattr(nn, name)(*arguments)
    ours = getattr(gpuconv.torch, name)(*arguments)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def image_for(module):
    if not isinstance(module, nn.Fold):
        return X
    return nn.Unfold(module.kernel_size, module.dilation, module.padding, module.stride)(X)


def as_list(results):
    return [*results] if isinstance(results, tuple) else [results]


@over_modules
def test_modules_are_those_of_torch(name, arguments):
    ours, theirs = pair(name, arguments)
    assert isinstance(ours, getattr(nn, name)) and repr(ours) == repr(theirs)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    x = image_for(theirs)
    for y, wanted in zip(as_list(ours(x)), as_list(theirs(x)), strict=True):
        torch.testing.assert_close(y, wanted)
    assert type(gpuconv.torch.replace(theirs)) is type(ours)
    assert all(torch.equal(*each) for each in zip(as_list(theirs(x)), as_list(ours(x)), strict=True))


def test_a_module_of_places():
    values, places = gpuconv.torch.MaxPool2d(2, return_indices=True)(X)
    ours, theirs = gpuconv.torch.MaxUnpool2d(2), nn.MaxUnpool2d(2)
    assert repr(ours) == repr(theirs)
    assert torch.equal(ours(values, places), theirs(values, places))
    assert torch.equal(ours(values, places, X.shape), theirs(values, places, X.shape))


def test_an_output_size_of_a_transposed_convolution():
    ours, theirs = pair("ConvTranspose2d", (4, 6, 3, 2))
    for size in ([20, 18], torch.Size([2, 6, 19, 17])):
        torch.testing.assert_close(ours(X, size), theirs(X, size))


def test_every_module_can_replace():
    assert {kind.__name__ for kind in gpuconv.torch.modules.MODULES} == {*MODULES, "MaxUnpool2d"}
    assert all(
        getattr(gpuconv.torch, kind.__name__) is ours for kind, ours in gpuconv.torch.modules.MODULES.items()
    )


def test_a_replaced_model_is_the_same_object_with_the_same_parts():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    model = nn.Sequential(conv, nn.BatchNorm2d(4), conv, nn.ModuleDict({"pool": nn.MaxPool2d(2)})["pool"])
    model.eval()
    conv.train()
    called, weight, text = [], conv.weight, repr(model)
    conv.register_forward_hook(lambda *_: called.append("hook"))
    conv.weight.register_hook(lambda grad: called.append("gradient"))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    wanted, names = model(X), [*model.state_dict()]
    assert gpuconv.torch.replace(model) is model and gpuconv.torch.replace(model) is model
    assert model[0] is model[2] is conv and type(conv) is gpuconv.torch.Conv2d and conv.weight is weight
    assert type(model[3]) is gpuconv.torch.MaxPool2d and type(model[1]) is nn.BatchNorm2d
    assert conv.training and not model.training and not model[3].training
    assert repr(model) == text and [*model.state_dict()] == names
    called.clear()
    y = model(X)
    torch.testing.assert_close(y, wanted)
    y.sum().backward()
    assert called.count("hook") == 2 and "gradient" in called
    before = weight.detach().clone()
    optimizer.step()
    assert not torch.equal(weight, before)


class Named(nn.Conv2d):
    """A subclass that computes as its base does."""


class Doubling(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class Standardized(nn.Conv2d):
    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, weight - weight.mean(), bias)


def test_subclasses_with_a_forward_of_their_own_are_left_alone_and_told_about():
    patched = nn.MaxPool2d(2)
    patched.forward = lambda x: x
    model = nn.Sequential(Named(4, 4, 3), nn.Sequential(Doubling(4, 4, 1)), Standardized(4, 4, 1), patched)
    wanted = model(X)
    with pytest.warns(UserWarning, match=r"1\.0 \(Doubling\), 2 \(Standardized\), 3 \(MaxPool2d\)") as warned:
        gpuconv.torch.replace(model)
    assert len(warned) == 1 and warned[0].filename == __file__
    assert type(model[1][0]) is Doubling and type(model[2]) is Standardized
    assert isinstance(model[0], Named) and isinstance(model[0], gpuconv.torch.Conv2d)
    assert repr(model[0]).startswith("Named(4, 4")
    torch.testing.assert_close(model(X), wanted)


@pytest.mark.parametrize("kind", [nn.Conv2d, Named])
def test_a_replaced_module_is_copied_and_pickled(kind):
    module = gpuconv.torch.replace(nn.Sequential(kind(4, 6, 3)))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(other[0]) is type(module[0]) and other[0].weight is not module[0].weight
        assert torch.equal(other(X), module(X))
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    saved.seek(0)
    nn.Sequential(nn.Conv2d(4, 6, 3)).load_state_dict(torch.load(saved))


def test_a_parametrized_and_a_lazy_module():
    lazy = nn.Sequential(nn.LazyConv2d(6, 3), nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 2, 3)))
    gpuconv.torch.replace(lazy)
    y = lazy(X)
    assert type(lazy[0]) is gpuconv.torch.Conv2d and isinstance(lazy[1], gpuconv.torch.Conv2d)
    theirs = nn.functional.conv2d(
        nn.functional.conv2d(X, lazy[0].weight, lazy[0].bias), lazy[1].weight, lazy[1].bias
    )
    torch.testing.assert_close(y, theirs)


def test_parametrizations_are_removed_from_a_replaced_module_alone():
    plain = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 2, 3))
    other = copy.deepcopy(plain)
    model = gpuconv.torch.replace(plain)
    expected = model(X)
    nn.utils.parametrize.remove_parametrizations(model, "weight")
    assert type(model) is gpuconv.torch.Conv2d and isinstance(model.weight, nn.Parameter)
    torch.testing.assert_close(model(X), expected)
    assert not isinstance(other, gpuconv.torch.Conv2d)
    torch.testing.assert_close(other(X), expected)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got function"):
        gpuconv.torch.replace(nn.functional.relu)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        (torch.float32, "in order"),
        pytest.param(torch.float32, "channels last", marks=pytest.mark.wide),
        pytest.param(torch.bfloat16, "in order", marks=pytest.mark.wide),
        (torch.bfloat16, "channels last"),
    ],
)
def test_resnet18_forward_and_backward(mode, dtype, layout):
    """Of bfloat16, beside the distance that torch's own result has from that of float32."""
    torch.manual_seed(0)
    exact = getattr(resnet18(10), mode)()
    x = torch.randn(2, 3, 64, 64)
    format = LAST if layout == "channels last" else torch.contiguous_format
    theirs = copy.deepcopy(exact).to(dtype=dtype, memory_format=format)
    ours = gpuconv.torch.replace(copy.deepcopy(theirs))
    assert sum(isinstance(each, gpuconv.torch.Conv2d) for each in ours.modules()) == 20
    results = {}
    for key, model in (("exact", exact.double()), ("theirs", theirs), ("ours", ours)):
        given = x.clone().to(next(model.parameters()).dtype, memory_format=format).requires_grad_()
        y = model(given)
        y.logsumexp(1).sum().backward()
        gradients = [given.grad, *(each.grad for each in model.parameters())]
        results[key] = [each.detach().double() for each in (y, *gradients)]
        if key == "ours" and layout == "channels last":
            assert model[:8](given).is_contiguous(memory_format=LAST)
    for wanted, other, got in zip(*results.values(), strict=True):
        scale = wanted.norm()
        distance = (other - wanted).norm() / scale
        assert (got - wanted).norm() / scale <= 2 * distance + 1e-5
