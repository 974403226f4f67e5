"""How the users of each library write what an error proposes."""

from gpuconv.spec.idioms import Idioms


class TorchIdioms(Idioms):
    def cast(self, name: str, dtype: str) -> str:
        return f"{name}.to({dtype})"

    def reordered(self, name: str, axes: tuple[int, ...]) -> str:
        return f"{name}.permute{axes}"


TORCH, JAX, CUPY = TorchIdioms("torch"), Idioms("jnp"), Idioms("cupy")
# Of objects that need not have methods
INTERFACE = Idioms("cupy", "cupy.asarray({})")
DLPACK, DLPACK_ON_A_GPU = Idioms("np", "np.from_dlpack({})"), Idioms("cupy", "cupy.from_dlpack({})")
