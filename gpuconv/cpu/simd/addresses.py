"""A call of a compiled function of which a kernel knows the address: it is compiled once for all kernels."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def call_at(typingctx, address, residual, y, n, k, k_end, pixel, count, epilogue):
    """Call the function at an address with the other arguments, of these very types; it returns nothing."""
    number = types.int64
    arguments = residual, y, number, number, number, number, number, epilogue

    def emit(context, builder, sig, args):
        convention = context.call_conv
        kind = convention.get_function_type(types.none, arguments)
        function = builder.inttoptr(args[0], ir.PointerType(kind))
        convention.call_function(builder, function, types.none, arguments, args[1:])
        return context.get_dummy_value()

    return types.void(number, *arguments), emit
