"""How the users of each library write what an error proposes."""

from collections.abc import Mapping
from typing import ClassVar

from gpuconv.spec.idioms import Idioms


class TorchIdioms(Idioms):
    PAD_MODES: ClassVar[Mapping[str, str]] = {mode: mode for mode in Idioms.PAD_MODES}

    def cast(self, name: str, dtype: str) -> str:
        return f"{name}.to({dtype})"

    def reordered(self, name: str, axes: tuple[int, ...]) -> str:
        return f"{name}.permute{axes}"

    def padded(self, name: str, mode: str) -> str:
        return f"torch.nn.functional.pad({name}, (left, right, top, bottom), mode={mode})"

    def activated(self, name: str) -> str:
        return f"torch.relu_({name})"


class JaxIdioms(Idioms):
    def activated(self, name: str) -> str:
        return f"jnp.maximum({name}, 0)"


TORCH, JAX, CUPY = TorchIdioms("torch"), JaxIdioms("jnp"), Idioms("cupy")
# Of objects that need not have methods
INTERFACE = Idioms("cupy", "cupy.asarray({})")
DLPACK, DLPACK_ON_A_GPU = Idioms("np", "np.from_dlpack({})"), Idioms("cupy", "cupy.from_dlpack({})")
