"""Eight float32 lanes as one value in numba code, so that loops say which numbers stay in vector registers.

Compilers vectorise the innermost loop only and keep accumulators in memory; what reads and adds up weights at the speed
of the cache needs the two said. LLVM makes of eight lanes what the processor has: one AVX, two SSE or NEON registers.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

WIDTH = 8
_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_INTEGERS = ir.VectorType(ir.IntType(32), WIDTH)


class LanesType(types.Type):
    """The numba type of eight float32 lanes."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{WIDTH}")


LANES = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: LanesType) -> None:
        super().__init__(manager, numba_type, _VECTOR)


def _pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, index: Any) -> ir.Value:
    """To the float at `index` of an array, or of what lies at an address, which is an integer."""
    if isinstance(array_type, types.Integer):
        data = builder.inttoptr(array, ir.FloatType().as_pointer())
    else:
        data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _address(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, index: Any) -> ir.Value:
    return builder.bitcast(_pointer(context, builder, array_type, array, index), _VECTOR.as_pointer())


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Eight neighbours from `index` on of a flat float32 array, here and below also given by its address."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)

    return LANES(array, types.intp), generate


@intrinsic
def load_bytes(typing: Any, address: Any, index: Any) -> Any:
    """Eight neighbours from `index` on of the signed bytes at an address, as float32."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        bytes_at = ir.VectorType(ir.IntType(8), WIDTH).as_pointer()
        place = builder.inttoptr(builder.add(*arguments), bytes_at)
        return builder.sitofp(builder.sext(builder.load(place, align=1), _INTEGERS), _VECTOR)

    return LANES(types.intp, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write eight neighbours of a flat float32 array."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        array, index, value = arguments
        builder.store(value, _address(context, builder, signature.args[0], array, index), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), generate


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of a place in a flat float32 array, within it or not, that is soon read and written."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        place = _pointer(context, builder, signature.args[0], *arguments)
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [place, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """The same number in every lane."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return _spread(builder, arguments[0])

    return LANES(types.float32), generate


@intrinsic
def spread(typing: Any, array: Any, index: Any) -> Any:
    """The number at `index`, at least 0, of a flat float32 array, in every lane."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return _spread(builder, builder.load(_pointer(context, builder, signature.args[0], *arguments)))

    return LANES(array, types.intp), generate


def _spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, undefined, ir.Constant(_INTEGERS, [0] * WIDTH))


def _reduction(merge: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]) -> Callable[..., Any]:
    """An intrinsic that makes one number of the lanes: halves are merged until one is left."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        vector, count = arguments[0], WIDTH
        while count > 1:
            count //= 2
            order = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
            other = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count, 2 * count)))
            low, high = builder.shuffle_vector(vector, vector, order), builder.shuffle_vector(vector, vector, other)
            vector = merge(builder, low, high)
        return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    return intrinsic(lambda typing, value: (types.float32(LANES), generate))


def _larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">=", a, b), a, b)


total = _reduction(lambda builder, a, b: builder.fadd(a, b))  # the sum of the lanes
largest = _reduction(_larger)  # the largest of the lanes


@intrinsic
def power_of_two(typing: Any, value: Any) -> Any:
    """2 to the power of whole numbers between −126 and 127."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        exponent = builder.add(builder.fptosi(arguments[0], _INTEGERS), ir.Constant(_INTEGERS, [127] * WIDTH))
        return builder.bitcast(builder.shl(exponent, ir.Constant(_INTEGERS, [23] * WIDTH)), _VECTOR)

    return LANES(LANES), generate


def _llvm_function(name: str, operands: int) -> Callable[..., Any]:
    """An intrinsic of LLVM on whole vectors."""
    signature = LANES(*[LANES] * operands)

    def generate(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> ir.Value:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * operands)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH}f32"), arguments)

    if operands == 1:
        return intrinsic(lambda typing, a: (signature, generate))
    if operands == 2:
        return intrinsic(lambda typing, a, b: (signature, generate))
    return intrinsic(lambda typing, a, b, c: (signature, generate))


fma = _llvm_function("fmuladd", 3)  # a b + c, fused where the processor can
nearest = _llvm_function("rint", 1)
maximum = _llvm_function("maxnum", 2)
minimum = _llvm_function("minnum", 2)


@intrinsic
def at_least(typing: Any, value: Any, least: Any) -> Any:
    """The lanes that are not below `least`, and 0 for the others."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        kept = builder.fcmp_ordered(">=", *arguments)
        return builder.select(kept, arguments[0], ir.Constant(_VECTOR, [0.0] * WIDTH))

    return LANES(LANES, LANES), generate


@intrinsic
def low_half(typing: Any, value: Any) -> Any:
    """The numbers whose upper 16 bits, bfloat16, are the lower 16 of each lane."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        bits = builder.bitcast(arguments[0], _INTEGERS)
        return builder.bitcast(builder.shl(bits, ir.Constant(_INTEGERS, [16] * WIDTH)), _VECTOR)

    return LANES(LANES), generate


@intrinsic
def high_half(typing: Any, value: Any) -> Any:
    """The numbers that the upper 16 bits of each lane are, in bfloat16."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        bits = builder.bitcast(arguments[0], _INTEGERS)
        return builder.bitcast(builder.and_(bits, ir.Constant(_INTEGERS, [-(1 << 16)] * WIDTH)), _VECTOR)

    return LANES(LANES), generate


@intrinsic
def negative(typing: Any, value: Any) -> Any:
    """The lanes with the other sign."""
    return LANES(LANES), lambda context, builder, signature, arguments: builder.fneg(arguments[0])


def _operator(function: Callable[..., Any], instruction: str) -> None:
    """Let numba code write `function`, e.g. +, between lanes."""

    @intrinsic
    def apply(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            return getattr(builder, instruction)(*arguments)

        return LANES(LANES, LANES), generate

    @overload(function)
    def on_lanes(a, b):  # numba compares this signature with that of what it returns
        if isinstance(a, LanesType) and isinstance(b, LanesType):
            return lambda a, b: apply(a, b)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, _instruction)


@njit
def exp(x):
    """eˣ to about 1e-7 of itself; outside ±87 that of ±87."""
    x = maximum(minimum(x, splat(87.0)), splat(-87.0))
    whole = nearest(x * splat(1.4426950408889634))
    # What is left after multiples of ln 2, taken off in two parts that are exact.
    x = fma(whole, splat(-0.693359375), x)
    x = fma(whole, splat(2.12194440e-4), x)
    series = fma(x, splat(1 / 720), splat(1 / 120))
    series = fma(x, series, splat(1 / 24))
    series = fma(x, series, splat(1 / 6))
    series = fma(x, series, splat(1 / 2))
    series = fma(x, series, splat(1.0))
    return fma(x, series, splat(1.0)) * power_of_two(whole)


@njit
def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return splat(1.0) / (splat(1.0) + exp(splat(0.0) - x))


@njit
def gelu(x):
    """x Φ(x), to 2e-6: a rational minimax fit of the error function, which is ±1 in float32 beyond the clamp."""
    near = maximum(minimum(x, splat(5.374)), splat(-5.374))
    square = near * near
    above = fma(square, splat(-3.7287869e-08), splat(1.2985703e-05))
    above = fma(square, above, splat(0.0010100668))
    above = fma(square, above, splat(0.013379409))
    above = fma(square, above, splat(0.1380776))
    above = fma(square, above, splat(0.79788327))
    below = fma(square, splat(0.00017003316), splat(0.0037981013))
    below = fma(square, below, splat(0.0484097))
    below = fma(square, below, splat(0.33970946))
    below = fma(square, below, splat(1.0))
    half = splat(0.5) * x
    return fma(half, near * above / below, half)
