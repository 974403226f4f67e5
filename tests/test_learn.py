"""Learning: gradients of a network against differences, losses that fall, a picture; errors write nothing."""

import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from gpuconv.cli import main
from gpuconv.commands import contact_sheet, layers, learn
from tests.test_demo import a_folder_of_that_name, a_read_only_folder


def few(count=96, unseen=40):
    seen, others = learn.digits()
    return (
        learn.Digits(seen.images[:count], seen.labels[:count]),
        learn.Digits(others.images[:unseen], others.labels[:unseen]),
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def short(monkeypatch):
    """Two epochs on a few digits."""
    chosen = few()
    monkeypatch.setattr(learn, "EPOCHS", 2)
    monkeypatch.setattr(learn, "digits", lambda: chosen)


# The first example


def test_the_filter_of_vertical_edges_is_learned_as_calculus_has_it():
    """The error shrinks by 1 - 2 rate 6 along (1, -1) and by 1 - 2 rate 30 along (1, 1), in each step."""
    edges = learn.learn_edges()
    steps = np.arange(1, learn.EDGE_STEPS + 1)
    expected = 12 * 0.64 ** (2 * steps) + 15 * 0.8 ** (2 * steps)
    np.testing.assert_allclose(edges.losses, expected, rtol=1e-4)
    along, across = 0.64**15, 0.8**15 / 2
    np.testing.assert_allclose(edges.learned, [[1 - along / 2 - across, -1 + along / 2 - across]], atol=0.02)
    assert edges.losses[1] > 100 * edges.losses[-1]
    np.testing.assert_array_equal(edges.edges, [[0, 1, 0, 0, 0, -1, 0]] * 6)


# Layers


def slopes(network, loss, x, generator):
    """(by differences, by `gradients`) along a random direction of each parameter, and of x."""
    gradient_of_x = loss(backward=True)
    pairs = []
    arrays = [*network.parameters, x], [*network.gradients, gradient_of_x]
    for array, gradient in zip(*arrays, strict=True):
        direction = generator.normal(size=array.shape)
        kept, sides = array.copy(), []
        for step in (1e-6, -1e-6):
            array[...] = kept + step * direction
            sides.append(loss())
        array[...] = kept
        pairs.append(((sides[0] - sides[1]) / 2e-6, (gradient * direction).sum()))
    return np.array(pairs).T


def test_gradients_are_the_slopes_of_the_loss():
    generator = np.random.default_rng(3)
    network = learn.lenet(generator)
    for layer in network.layers:
        layer.parameters = [parameter.astype(np.float64) for parameter in layer.parameters]
    network = layers.Network(network.layers)
    for parameter in network.parameters:
        parameter += generator.normal(0, 0.05, parameter.shape)  # biases too
    x, labels = generator.normal(size=(7, 1, 8, 8)), generator.integers(0, 10, 7)

    def loss(backward=False):
        value, gradient = layers.cross_entropy(network.forward(x), labels)
        return network.backward(gradient) if backward else value

    by_differences, by_gradients = slopes(network, loss, x, generator)
    assert len(by_gradients) == 9
    np.testing.assert_allclose(by_gradients, by_differences, rtol=1e-5, atol=1e-8)


def test_cross_entropy_is_that_of_the_definition_and_does_not_overflow():
    scores, labels = np.array([[1.0, 2.0, 0.5], [1e4, 0.0, -1e4]]), np.array([1, 0])
    loss, gradient = layers.cross_entropy(scores, labels)
    shares = np.exp(scores[0]) / np.exp(scores[0]).sum()
    assert loss == pytest.approx(-np.log(shares[1]) / 2)
    np.testing.assert_allclose(gradient, [(shares - [0, 1, 0]) / 2, [0, 0, 0]], atol=1e-12)
    assert layers.cross_entropy(scores[1:], np.array([2]))[0] == 2e4


def test_a_first_step_of_adam_is_the_rate_against_the_gradient():
    parameter = np.zeros(3, np.float32)
    optimizer = layers.Adam([parameter])
    optimizer.step([np.array([5, -0.01, 0], np.float32)], 0.1)
    np.testing.assert_allclose(parameter, [-0.1, 0.1, 0], rtol=1e-5)
    for _ in range(3):
        optimizer.step([np.array([5, -0.01, 0], np.float32)], 0.1)
    np.testing.assert_allclose(parameter, [-0.4, 0.4, 0], rtol=1e-4)  # of a gradient that stays


# Digits


def test_no_digit_is_both_learned_from_and_read():
    seen, unseen = learn.digits()
    assert seen.images.shape == (1437, 1, 8, 8) and unseen.images.shape == (360, 1, 8, 8)
    assert seen.images.dtype == np.float32 and seen.images.min() == 0 and seen.images.max() == 1
    assert set(seen.labels) == set(unseen.labels) == set(range(10))
    assert not {image.tobytes() for image in seen.images} & {image.tobytes() for image in unseen.images}


def test_a_short_lesson_is_learned_and_comes_out_the_same_again(capsys):
    seen, _ = few()
    lesson, again = (learn.learn_digits(seen, seen, 40) for _ in range(2))
    assert len(lesson.losses) == 120
    assert np.mean(lesson.losses[:3]) > 2 and np.mean(lesson.losses[-3:]) < 0.2
    assert lesson.accuracy > 0.95
    np.testing.assert_array_equal(lesson.losses, again.losses)
    for one, other in zip(lesson.network.parameters, again.network.parameters, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        assert one.dtype == np.float32


def test_matrix_products_of_a_lesson_take_one_thread(monkeypatch, capsys):
    """They are so small that more of them wait for each other: minutes, where others are at work."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    seen, _ = few(learn.BATCH, 1)
    threads = []
    step = layers.Adam.step

    def counted(optimizer, gradients, rate):
        threads.extend(
            pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"
        )
        step(optimizer, gradients, rate)

    monkeypatch.setattr(layers.Adam, "step", counted)
    before = threadpoolctl.threadpool_info()
    learn.learn_digits(seen, seen, 1)
    assert threads and set(threads) == {1}
    assert threadpoolctl.threadpool_info() == before


def test_what_is_left_of_the_last_batch_is_read_too():
    _, unseen = few(unseen=learn.BATCH + 1)
    network = learn.lenet(np.random.default_rng(0))
    expected = network.forward(unseen.images).argmax(1)
    np.testing.assert_array_equal(learn.read(network, unseen.images), expected)


# The command


def test_learn_draws_and_ends_with_accuracy_seconds_and_file(short, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)  # of which nothing is needed
    assert main(["demo", "--learn"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^  step +(\d+)  loss +\d+\.\d+$", printed, re.M) == [*map(str, range(2, 15, 2))]
    assert re.findall(r"^epoch +(\d)/2  loss \d\.\d{4}$", printed, re.M) == ["1", "2"]
    last = re.fullmatch(
        r"(\d+\.\d)% of 40 unseen digits read right, (\d+) misread; learned in \d+\.\d s, threads: \d+; "
        r"picture: gpuconv-learn\.png",
        printed.splitlines()[-1],
    )
    assert float(last[1]) == 100 * (40 - int(last[2])) / 40
    with Image.open("gpuconv-learn.png") as sheet:
        assert sheet.format == "PNG" and min(sheet.size) > 500


def test_a_terminal_shows_a_bar_in_place_of_lines(short, folder, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # which rich takes for a terminal
    assert main(["demo", "--learn", "--out", "sheet.png"]) == 0
    printed = capsys.readouterr()
    assert "epoch" not in printed.out and "100%" in printed.err
    assert [path.name for path in folder.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize("colour", ["", "1"])
def test_what_is_interrupted_says_so_and_leaves_nothing(colour, short, folder, capsys, monkeypatch):
    def interrupt(optimizer, gradients, rate):
        raise KeyboardInterrupt

    monkeypatch.setenv("FORCE_COLOR", colour)
    monkeypatch.setattr(layers.Adam, "step", interrupt)
    assert main(["demo", "--learn"]) == 130
    printed = capsys.readouterr()
    assert printed.err.endswith("gpuconv demo: interrupted\n") and "Traceback" not in printed.err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("module", "package"), [("sklearn", "scikit-learn"), ("matplotlib", "matplotlib"), ("rich", "rich")]
)
def test_a_missing_package_is_named(module, package, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo", "--learn"]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"gpuconv demo: {package} not installed: pip install 'gpuconv[demo]'\n"
    assert printed.out == "" and not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.png", "b.png"], "--learn takes no pictures, got a.png b.png"),
        (["--device", "cuda"], "--learn computes in NumPy, on the CPU: it takes no --device cuda"),
        (["--out", "sheet.jpg"], "--out must end in .png, got sheet.jpg"),
    ],
)
def test_what_learn_does_not_take_is_refused_before_anything_is_learned(arguments, said, folder, capsys):
    assert main(["demo", "--learn", *arguments]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"gpuconv demo: {said}\n")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("case", [a_folder_of_that_name, a_read_only_folder])
def test_a_picture_that_cannot_be_written_is_told_before_anything_is_learned(
    case,
    folder,
    capsys,
    monkeypatch,
):
    reason = case(monkeypatch)
    assert main(["demo", "--learn", "--out", "sheet.png"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"gpuconv demo: --out sheet.png: {reason}\n")


# The sheet


@pytest.mark.wide  # seconds
@pytest.mark.parametrize("wrong", [40, pytest.param(0, marks=pytest.mark.wide)])
def test_everything_fits_on_the_sheet(wrong):
    """Its edge stays blank on all sides, however much was misread."""
    from gpuconv.commands import learning_sheet

    _, unseen = few()
    read = (unseen.labels + (np.arange(40) < wrong)) % 10
    lesson = learn.Lesson(learn.lenet(np.random.default_rng(0)), [2.0, 1.0, 0.1], unseen, read)
    drawn = Image.open(io.BytesIO(learning_sheet.draw(learn.learn_edges(), lesson)))
    sheet = np.asarray(drawn)[..., :3]
    paper = tuple(int(contact_sheet.PAPER[i : i + 2], 16) for i in (1, 3, 5))
    for edge in (sheet[:5], sheet[-5:], sheet[:, :5], sheet[:, -5:]):
        assert (edge == paper).all()
    for name, count in ((learning_sheet.RIGHT_COLOUR, 40 - wrong), (learning_sheet.WRONG_COLOUR, wrong)):
        colour = tuple(int(name[i : i + 2], 16) for i in (1, 3, 5))
        assert (sheet == colour).all(-1).any() == (count > 0)


# All of it


@pytest.mark.slow
def test_at_least_98_percent_of_digits_never_seen_are_read_within_a_minute(folder, capsys):
    """98.9 % here; of 20 seeds the worst was 98.3, and rounding is another from machine to machine."""
    assert main(["demo", "--learn"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    accuracy, seconds = re.match(r"([\d.]+)% .* learned in ([\d.]+) s", last).groups()
    assert float(accuracy) >= 98 and float(seconds) < 60
