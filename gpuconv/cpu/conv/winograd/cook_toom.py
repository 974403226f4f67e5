"""The matrices of Winograd's minimal filtering F(m, 3): m sums of three products each for m + 2 products.

For any d (m + 2 numbers) and g (3 numbers)

    A^T [(G g) * (B^T d)]  =  [d[i] g[0] + d[i + 1] g[1] + d[i + 2] g[2]  for i < m]

where * multiplies element by element. It is the transpose of Cook's and Toom's way to multiply polynomials:
take the values of both at m + 1 points (and the leading coefficients, the "values at infinity"), multiply
them, and interpolate. Applied to the rows and then to the columns of a tile it gives F(m x m, 3 x 3).
"""

from collections.abc import Sequence
from fractions import Fraction
from math import prod

Matrix = tuple[tuple[Fraction, ...], ...]


def cook_toom(points: Sequence[Fraction | int]) -> tuple[Matrix, Matrix, Matrix]:
    """A^T (m, m + 2), G (m + 2, 3) and B^T (m + 2, m + 2), exact, for m + 1 different points.

    The denominators of the interpolation are put into G: the weights are transformed once, and only there
    does a constant such as 1/3 have to be rounded, while powers of the points are short binary fractions.

    Examples
    --------
    >>> A, G, B = cook_toom((0, 1, -1))
    >>> [[int(number) for number in row] for row in B]
    [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    """
    m = len(points) - 1
    exact = [Fraction(point) for point in points]
    A = [(*(point**i for point in exact), Fraction(i == m - 1)) for i in range(m)]
    G, B = [], []
    for point in exact:
        others = [other for other in exact if other != point]
        scale = prod(point - other for other in others)
        sign = 1 if scale > 0 else -1  # in both, so that F(2, 3) has the signs that everybody knows
        G.append(tuple(sign * point**i / scale for i in range(3)))
        B.append(tuple(sign * number for number in _polynomial(others, m + 2)))
    G.append((Fraction(0), Fraction(0), Fraction(1)))
    B.append(_polynomial(exact, m + 2))
    return tuple(A), tuple(G), tuple(B)


def _polynomial(roots: Sequence[Fraction], size: int) -> tuple[Fraction, ...]:
    """The coefficients of the product of (x - root), that of x^0 first."""
    coefficients = [Fraction(1)] + [Fraction(0)] * (size - 1)
    for root in roots:
        shifted = [Fraction(0), *coefficients[:-1]]
        coefficients = [times_x - root * own for times_x, own in zip(shifted, coefficients, strict=True)]
    return tuple(coefficients)
