"""`gpuconv demo --learn`: filters learned by gradient descent, in NumPy and gpuconv alone.

First the least that learns, a filter of two weights. Then a LeNet (LeCun et al., 1998), cut down to digits
of scikit-learn, of 8x8 pixels: two convolutions of 3x3, with a maximum of 2x2 between them, and two dense
layers. Every fifth digit is kept out of learning, and read when it is over.

What is random comes from a seed: on one machine every run gives the same. 20 seeds read 98.3 to 99.4 % right,
and of half as many filters, of 5x5 and with a maximum behind each convolution, 12 read 97.8 to 99.2 %.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

import gpuconv
from gpuconv.commands import sheet_file
from gpuconv.commands.environment import DEMO_HINT, LEARN_PACKAGES, CommandError, require
from gpuconv.commands.layers import (
    Adam,
    Array,
    Convolution,
    Dense,
    Flattening,
    MaxPooling,
    Network,
    Relu,
    cross_entropy,
)

EDGE_STEPS, EDGE_RATE = 15, 3e-2
EDGE_START, EDGE_FILTER = (0.5, 0.5), (1, -1)
EPOCHS = 25  # each shows every image once
BATCH = 32  # images of a step
RATE = 1.5e-3  # at first, and from there evenly down to 0
HELD_OUT = 5  # one image of so many


@dataclass(frozen=True)
class Digits:
    """Images (N, 1, 8, 8) from 0 to 1, and which digit each is (N,)."""

    images: Array
    labels: Array


@dataclass(frozen=True)
class Edges:
    """The first example: an image, its edges, the filter learned from them, and the loss after each step."""

    image: Array
    edges: Array
    learned: Array
    losses: Sequence[float]


@dataclass(frozen=True)
class Lesson:
    """A network that has learned, the loss of each step, digits that it had not seen, and what it read."""

    network: Network
    losses: Sequence[float]
    unseen: Digits
    read: Array

    @property
    def accuracy(self) -> float:
        return float((self.read == self.unseen.labels).mean())


def learn(images: Sequence[str] = (), out: str = "gpuconv-learn.png", device: str = "cpu") -> int:
    """Learn, draw and print; returns exit code 0.

    Parameters
    ----------
    images : sequence of str
        None can be given: what is learned from comes with scikit-learn.
    out : str
        Where the picture of it is written, when everything else is done.
    device : str
        "cpu".

    Raises
    ------
    CommandError
        For pictures, another device, a missing package or a file that cannot be written.
    """
    if images:
        raise CommandError(f"--learn takes no pictures, got {' '.join(images)}")
    if device != "cpu":
        raise CommandError(f"--learn computes in NumPy, on the CPU: it takes no --device {device}")
    require(LEARN_PACKAGES, DEMO_HINT)
    target = sheet_file.writable(out)
    edges = learn_edges()
    _print_edges(edges)
    begin = time.perf_counter()
    lesson = learn_digits(*digits(), EPOCHS)
    seconds = time.perf_counter() - begin
    from gpuconv.commands import learning_sheet

    sheet_file.write(target, learning_sheet.draw(edges, lesson))
    misread = int((lesson.read != lesson.unseen.labels).sum())
    print(
        f"{lesson.accuracy:.1%} of {len(lesson.read)} unseen digits read right, {misread} misread; "
        f"learned in {seconds:.1f} s, threads: {gpuconv.get_num_threads()}; picture: {target}"
    )
    return 0


def learn_edges() -> Edges:
    """Find the filter whose correlation with an image of two vertical edges gives these edges."""
    image = np.ones((1, 1, 6, 8), np.float32)
    image[..., 2:6] = 0
    edges = gpuconv.conv2d(image, np.array([[[EDGE_FILTER]]], np.float32))
    weight = np.array([[[EDGE_START]]], np.float32)
    losses = []
    for _ in range(EDGE_STEPS):
        error = gpuconv.conv2d(image, weight) - edges
        # The loss is the sum of error**2, and 2 error its gradient by the result.
        weight -= EDGE_RATE * gpuconv.grad.conv2d_weight(image, weight.shape, 2 * error)
        losses.append(float(((gpuconv.conv2d(image, weight) - edges) ** 2).sum()))
    return Edges(image[0, 0], edges[0, 0], weight[0, 0], losses)


def _print_edges(edges: Edges) -> None:
    print(f"a filter for vertical edges, from {list(EDGE_START)} in {EDGE_STEPS} steps of gradient descent")
    for step in range(2, EDGE_STEPS, 2):
        print(f"  step {step:2}  loss {edges.losses[step - 1]:6.3f}")
    learned = ", ".join(f"{weight:.3f}" for weight in edges.learned[0])
    print(f"  learned: [{learned}], sought: {list(EDGE_FILTER)}", flush=True)


def digits() -> tuple[Digits, Digits]:
    """Those to learn from, and those that are kept out of it: every fifth of scikit-learn's 1797."""
    from sklearn.datasets import load_digits

    shipped = load_digits()
    images = (shipped.images[:, None] / 16).astype(np.float32)  # of 0 to 16
    unseen = np.arange(len(images)) % HELD_OUT == 0
    return Digits(images[~unseen], shipped.target[~unseen]), Digits(images[unseen], shipped.target[unseen])


def lenet(generator: np.random.Generator) -> Network:
    """The network, with random weights: from images (N, 1, 8, 8) to scores of the ten digits (N, 10)."""
    return Network(
        [
            Convolution(1, 32, 3, generator),  # (N, 32, 8, 8)
            MaxPooling(2),  # (N, 32, 4, 4)
            Convolution(32, 64, 3, generator),  # (N, 64, 4, 4)
            Flattening(),  # (N, 1024)
            Dense(1024, 64, generator),
            Relu(),
            Dense(64, 10, generator),
        ]
    )


def learn_digits(seen: Digits, unseen: Digits, epochs: int) -> Lesson:
    """Learn from the seen ones, then read the others; shown while it goes on."""
    print(f"digits: {len(seen.labels)} to learn from, {len(unseen.labels)} to be read then", flush=True)
    generator = np.random.default_rng(0)
    network = lenet(generator)
    with _one_thread_for_numpy():
        losses = list(_shown(training(network, seen, epochs, generator), epochs, len(seen.labels) // BATCH))
        return Lesson(network, losses, unseen, read(network, unseen.images))


def _one_thread_for_numpy() -> AbstractContextManager[Any]:
    """For matrix products so small that threads cost more than they bring: they spin while others compute.

    On a machine with others at work the lesson took 7 s so, and without it 39 to 119 s.
    """
    return import_module("threadpoolctl").threadpool_limits(1, "blas")  # scikit-learn brings it


def training(network: Network, seen: Digits, epochs: int, generator: np.random.Generator) -> Iterator[float]:
    """Take a step with each batch, in a new order in each epoch, and give its loss."""
    optimizer = Adam(network.parameters)
    batches = len(seen.labels) // BATCH
    for epoch in range(epochs):
        order = generator.permutation(len(seen.labels))
        for number, batch in enumerate(order[: batches * BATCH].reshape(batches, BATCH)):
            loss, gradient = cross_entropy(network.forward(seen.images[batch]), seen.labels[batch])
            network.backward(gradient)
            optimizer.step(network.gradients, RATE * (1 - (epoch * batches + number) / (epochs * batches)))
            yield loss


def read(network: Network, images: Array) -> Array:
    """The digit of the highest score for each image, a batch at a time."""
    batches = (images[begin : begin + BATCH] for begin in range(0, len(images), BATCH))
    return np.concatenate([network.forward(batch).argmax(1) for batch in batches])


def _shown(losses: Iterable[float], epochs: int, batches: int) -> Iterator[float]:
    """The losses as they come: shown by a bar where stderr is a terminal, else by a line for each epoch."""
    console = import_module("rich.console").Console(stderr=True)
    if not console.is_interactive:
        yield from _told(losses, epochs, batches)
        return
    with import_module("rich.progress").Progress(console=console, transient=True) as bar:
        task = bar.add_task("compiling, in the first run only", total=epochs * batches)
        for loss in losses:
            bar.update(task, advance=1, description=f"learning digits, loss {loss:.3f}")
            yield loss


def _told(losses: Iterable[float], epochs: int, batches: int) -> Iterator[float]:
    """The losses, and at the end of each epoch a line with their mean."""
    of_epoch: list[float] = []
    epoch = 0
    for loss in losses:
        of_epoch.append(loss)
        yield loss
        if len(of_epoch) == batches:
            epoch += 1
            print(f"epoch {epoch:2}/{epochs}  loss {np.mean(of_epoch):.4f}", flush=True)
            of_epoch = []
