"""What is so of every problem whose result is a batch of images, of the dtype of its input."""

from gpuconv.spec.dtypes import Dtype


class ImagesSpec:
    """A problem with a `dtype`; those of other results say otherwise."""

    __slots__ = ()
    dtype: Dtype

    @property
    def gives_images(self) -> bool:
        """The result has the axis of images that the input has."""
        return True

    @property
    def result(self) -> Dtype:
        """The dtype of the output: the input's."""
        return self.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one element of the input."""
        return self.dtype.itemsize
