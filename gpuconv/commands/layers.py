"""Layers that learn, in NumPy and gpuconv, for `gpuconv demo --learn` and to be read.

A layer computes y from x and from its parameters. On the way back it is given dy, a loss's gradient by y, and
says what that comes to by each parameter, and by x, which is the dy of the layer before:

    x   -- forward -->   y          parameters
    dx  <-- backward --  dy         gradients

It keeps of the way forward what it needs on the way back. A batch of images is (N, C, H, W).
"""

from collections.abc import Sequence

import numpy as np

import gpuconv

Array = np.ndarray


class Layer:
    """Without parameters, unless it sets them."""

    parameters: Sequence[Array] = ()
    gradients: Sequence[Array] = ()

    def forward(self, x: Array) -> Array:
        """The result of this layer, y."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """The gradient by x, from the one by the y that `forward` gave last; sets `gradients`."""
        raise NotImplementedError


class Convolution(Layer):
    """y = relu(x * weight + bias), where windows go beyond the borders, so that y has the extent of x.

    x (N, C, H, W), weight (K, C, size, size), bias (K,), y (N, K, H, W), of an odd size.
    """

    def __init__(self, channels: int, filters: int, size: int, generator: np.random.Generator) -> None:
        shape = (filters, channels, size, size)
        self.parameters = [_start(generator, shape, channels * size * size), np.zeros(filters, np.float32)]
        self.padding = size // 2

    def forward(self, x: Array) -> Array:
        weight, bias = self.parameters
        self.x = x
        self.y = gpuconv.conv2d(x, weight, bias, padding=self.padding, activation="relu")
        return self.y

    def backward(self, dy: Array) -> Array:
        weight, _ = self.parameters
        dy = dy * (self.y > 0)  # relu lets through what it did not cut off
        self.gradients = [
            gpuconv.grad.conv2d_weight(self.x, weight.shape, dy, padding=self.padding),
            gpuconv.grad.conv2d_bias(dy),
        ]
        return gpuconv.grad.conv2d_input(self.x.shape, weight, dy, padding=self.padding)


class MaxPooling(Layer):
    """y is the greatest of each window of x, and dy goes to where that lay."""

    def __init__(self, size: int) -> None:
        self.size = size

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        y, self.indices = gpuconv.max_pool2d(x, self.size, return_indices=True)
        return y

    def backward(self, dy: Array) -> Array:
        return gpuconv.grad.max_pool2d(dy, self.indices, self.shape, self.size)


class Flattening(Layer):
    """From (N, C, H, W) to (N, C H W)."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        return dy.reshape(self.shape)


class Dense(Layer):
    """y = x weight + bias: x (N, inputs), weight (inputs, outputs), bias (outputs,), y (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, generator: np.random.Generator) -> None:
        self.parameters = [_start(generator, (inputs, outputs), inputs), np.zeros(outputs, np.float32)]

    def forward(self, x: Array) -> Array:
        weight, bias = self.parameters
        self.x = x
        return x @ weight + bias

    def backward(self, dy: Array) -> Array:
        weight, _ = self.parameters
        self.gradients = [self.x.T @ dy, dy.sum(0)]
        return dy @ weight.T


class Relu(Layer):
    """y = max(x, 0)."""

    def forward(self, x: Array) -> Array:
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * (self.y > 0)


class Network(Layer):
    """Layers, one after the other."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers
        self.parameters = [parameter for layer in layers for parameter in layer.parameters]

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        self.gradients = [gradient for layer in self.layers for gradient in layer.gradients]
        return dy


def cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """The mean of -log softmax(scores)[label] over a batch, and its gradient by the scores, of their shape.

    Examples
    --------
    >>> loss, gradient = cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4), gradient
    (1.3863, array([[ 0.25,  0.25, -0.75,  0.25]]))
    """
    rows = np.arange(len(scores))
    scores = scores - scores.max(1, keepdims=True)  # the same softmax, and no exponential overflows
    logarithms = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    gradient = np.exp(logarithms)
    gradient[rows, labels] -= 1
    return -float(logarithms[rows, labels].mean()), gradient / len(scores)


class Adam:
    """Steps of about `rate` in each parameter: its mean gradient, in units of how large its gradients are."""

    MEAN, SQUARE = 0.9, 0.999  # what is kept of the running means at each step
    LEAST = 1e-8  # in place of a division by 0

    def __init__(self, parameters: Sequence[Array]) -> None:
        self.parameters = parameters
        self.means = [np.zeros_like(parameter) for parameter in parameters]
        self.squares = [np.zeros_like(parameter) for parameter in parameters]
        self.steps = 0

    def step(self, gradients: Sequence[Array], rate: float) -> None:
        """Change the parameters, in place."""
        self.steps += 1
        # The running means began at 0: this is how far they are from it.
        begun, begun_square = (1 - kept**self.steps for kept in (self.MEAN, self.SQUARE))
        for parameter, gradient, mean, square in zip(
            self.parameters, gradients, self.means, self.squares, strict=True
        ):
            mean += (1 - self.MEAN) * (gradient - mean)
            square += (1 - self.SQUARE) * (gradient * gradient - square)
            parameter -= rate * (mean / begun) / (np.sqrt(square / begun_square) + self.LEAST)


def _start(generator: np.random.Generator, shape: Sequence[int], inputs: int) -> Array:
    """Random weights that keep, through a relu, the size of what they are given."""
    return generator.normal(0, np.sqrt(2 / inputs), shape).astype(np.float32)
