"""What is done to a sum when it is complete, as a value: each store applies it once, at the end."""

from typing import NamedTuple


class Epilogue(NamedTuple):
    """y = activation(sum + bias + residual); the bias is seen where the arrays are (`ConvLayouts`)."""

    residual: bool = False
    activation: str | None = None
    parameter: float | None = None


NO_EPILOGUE = Epilogue()
