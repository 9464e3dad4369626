"""The demo's experiment: handwritten digits and a one-convolution classifier in NumPy and this engine alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from interpolated_kernels import lazy
from interpolated_kernels.anchors import grid_positions
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.convolution import conv, conv_backward
from interpolated_kernels.densify import densify
from interpolated_kernels.edge import fetch
from interpolated_kernels.initialization import initial_weights
from interpolated_kernels.kernel import InterpolatedKernel

Labels: TypeAlias = npt.NDArray[np.integer[Any]]
Parameters: TypeAlias = dict[str, FloatArray]
Place: TypeAlias = Callable[[FloatArray], FloatArray]
"""Brings an array to where the convolutions run."""

N_CLASSES = 10
WINDOW = (12, 12)
ENLARGEMENT = 14  # 8 x 8 -> 112 x 112
STRIDE = 4  # 112 x 112 -> 26 x 26
N_FILTERS = 8  # few enough that random filters do not do
N_QUADRANTS = 2  # along each axis
BATCH = 32
TEST_SHARE = 500 / 1797
RATES = {"weights": 0.005, "bias": 0.005, "softmax": 0.1, "offset": 0.1}


@dataclass(frozen=True)
class Row:
    """One row of the table: a kernel, and whether it learns."""

    name: str
    kernel: InterpolatedKernel
    learns: bool = True


@dataclass(frozen=True)
class Digits:
    """Standardized images `(n, 1, 112, 112)` float32 and their labels, split once for all rows and seeds."""

    train_x: FloatArray
    train_y: Labels
    test_x: FloatArray
    test_y: Labels


@dataclass(frozen=True)
class Run:
    """One training: test accuracy and seconds of each epoch, and the kernel's weights and their use at the end."""

    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]
    weights: FloatArray
    use: FloatArray


def make_rows() -> list[Row]:
    """Return the rows of the table; all have the same window."""
    grid, corners = grid_positions(WINDOW, 2), grid_positions(WINDOW, counts=2)
    centre = [[(cells - 1) / 2 for cells in WINDOW]]
    linear = InterpolatedKernel(grid, WINDOW, "linear")
    few = InterpolatedKernel(grid_positions(WINDOW, counts=3), WINDOW, "linear")
    five = InterpolatedKernel(np.concatenate([corners, centre]), WINDOW, "polyharmonic")
    return [
        Row("linear, 36 anchors", linear),
        Row("linear, 9 anchors", few),
        Row("polyharmonic, 5 anchors", five),
        Row("linear, 36 anchors, frozen at the start", linear, learns=False),
        Row("dilated, 36 cells", InterpolatedKernel(grid, WINDOW, "dilated")),
        Row("conventional, an anchor in every cell", InterpolatedKernel(grid_positions(WINDOW, 1), WINDOW, "dilated")),
    ]


def load(samples: int | None = None) -> Digits:
    """Return scikit-learn's bundled digits, enlarged smoothly to 112 x 112; the first `samples` of a fixed shuffle."""
    bundle = lazy.load("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(len(bundle.target))[:samples]
    n_test = round(len(order) * TEST_SHARE)
    small = bundle.images[order].astype(np.float32)
    small = (small - small[n_test:].mean()) / small[n_test:].std()
    images = np.ascontiguousarray(
        lazy.load("scipy.ndimage").zoom(small, (1, ENLARGEMENT, ENLARGEMENT), order=1)[:, None]
    )
    labels = bundle.target[order]
    return Digits(images[n_test:], labels[n_test:], images[:n_test], labels[:n_test])


def stay(array: FloatArray) -> FloatArray:
    """Return an array as it is: convolutions run on the CPU."""
    return array


class Classifier:
    """Convolution, relu, means over the quadrants, softmax regression; gradients by hand.

    The convolution and its gradient run where `place` brings their arrays; all else is NumPy's.
    """

    def __init__(self, kernel: InterpolatedKernel, learns: bool, seed: int, place: Place = stay) -> None:
        self.kernel, self.learns, self._place = kernel, learns, place
        n_features = N_FILTERS * N_QUADRANTS**2
        self.parameters: Parameters = {
            "weights": initial_weights(kernel, N_FILTERS, 1, np.random.default_rng(seed)).astype(np.float32),
            "bias": np.zeros(N_FILTERS, np.float32),
            "softmax": np.zeros((n_features, N_CLASSES), np.float32),
            "offset": np.zeros(N_CLASSES, np.float32),
        }

    def predict(self, x: FloatArray) -> Labels:
        """Return the likeliest class of each image."""
        starts = range(0, len(x), 128)
        batches = [self._forward(self._place(x[start : start + 128]))[2].argmax(axis=1) for start in starts]
        return np.concatenate(batches)

    def gradients(self, x: FloatArray, labels: Labels) -> Parameters:
        """Return the gradients of the mean cross-entropy; of a frozen kernel those of the softmax alone."""
        x = self._place(x)
        z, features, errors = self._forward(x)
        errors[np.arange(len(labels)), labels] -= 1
        errors /= len(labels)
        grads = {"softmax": features.T @ errors, "offset": errors.sum(axis=0)}
        if self.learns:
            quadrants = _quadrants(z)
            by_feature = (errors @ self.parameters["softmax"].T).reshape(*quadrants.shape[:3], 1, quadrants.shape[4], 1)
            scale = np.float32(1 / (quadrants.shape[3] * quadrants.shape[5]))
            grad_z = np.where(quadrants > 0, by_feature * scale, np.float32(0)).reshape(z.shape)
            grad_y, weights = self._place(grad_z), self._place(self.parameters["weights"])
            by = conv_backward(grad_y, x, weights, self.kernel, stride=STRIDE, wrt=("weights",))
            assert by.weights is not None
            grads |= {"weights": fetch(by.weights), "bias": grad_z.sum(axis=(0, 2, 3))}
        return grads

    def use(self) -> FloatArray:
        """Return how much the softmax listens to each filter: the norm of its rows."""
        return np.linalg.norm(self.parameters["softmax"].reshape(N_FILTERS, -1), axis=1)

    def _forward(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the convolution of a placed x, features `(n, features)` and probabilities `(n, classes)`."""
        z = fetch(conv(x, self._place(self.parameters["weights"]), self.kernel, stride=STRIDE))
        z += self.parameters["bias"][:, None, None]
        features = np.maximum(_quadrants(z), 0).mean(axis=(3, 5)).reshape(len(x), -1)
        logits = features @ self.parameters["softmax"] + self.parameters["offset"]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return z, features, odds / odds.sum(axis=1, keepdims=True)


def _quadrants(z: FloatArray) -> FloatArray:
    """Return a view of z with each spatial axis split in two: `(n, filters, 2, rows / 2, 2, columns / 2)`."""
    batch, filters, rows, columns = z.shape
    return z.reshape(batch, filters, N_QUADRANTS, rows // N_QUADRANTS, N_QUADRANTS, columns // N_QUADRANTS)


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with rates that fall linearly to zero over `n_steps`."""

    def __init__(self, parameters: Parameters, n_steps: int) -> None:
        self.parameters, self.n_steps, self.step = parameters, n_steps, 0
        self.means = {name: np.zeros_like(value) for name, value in parameters.items()}
        self.squares = {name: np.zeros_like(value) for name, value in parameters.items()}

    def update(self, grads: Parameters) -> None:
        """Move the parameters that have a gradient, in place."""
        rate = 1 - self.step / self.n_steps
        self.step += 1
        for name, grad in grads.items():
            mean, square = self.means[name], self.squares[name]
            mean += 0.1 * (grad - mean)
            square += 0.001 * (grad * grad - square)
            size = np.sqrt(square / (1 - 0.999**self.step)) + 1e-8
            self.parameters[name] -= rate * RATES[name] * (mean / (1 - 0.9**self.step)) / size


def train(
    row: Row,
    digits: Digits,
    *,
    epochs: int,
    seed: int,
    place: Place = stay,
    on_epoch: Callable[[], None] = lambda: None,
) -> Run:
    """Train a row's classifier; the seed gives the first weights and the order of the data, the same in every row."""
    model = Classifier(row.kernel, row.learns, seed, place)
    n_train = len(digits.train_y)
    optimizer = Adam(model.parameters, epochs * -(-n_train // BATCH))
    rng = np.random.default_rng([seed, 1])
    accuracies, seconds = [], []
    for _ in range(epochs):
        order = rng.permutation(n_train)
        start = time.perf_counter()
        for first in range(0, n_train, BATCH):
            picked = order[first : first + BATCH]
            optimizer.update(model.gradients(digits.train_x[picked], digits.train_y[picked]))
        seconds.append(time.perf_counter() - start)
        accuracies.append(float((model.predict(digits.test_x) == digits.test_y).mean()))
        on_epoch()
    return Run(tuple(accuracies), tuple(seconds), model.parameters["weights"], model.use())


def n_parameters(row: Row) -> int:
    """Return the number of the kernel's weights in all filters."""
    return N_FILTERS * row.kernel.n_anchors


def density(row: Row, weights: FloatArray) -> float:
    """Return the share of the dense kernel's cells that are not zero."""
    return float((densify(weights, row.kernel) != 0).mean())
