// Data integers: they wrap, and nothing traps. The meaning that docs/numerics.md gives them, and the reference for compiled code.
//
// Values are int64_t, sign or zero extended (u64 as its bits), as in ir/float_format.h. `index` is not a data type: shapes and
// subscripts never wrap.
#pragma once

#include <cstdint>

#include "ir/scalar_type.h"

namespace heddle::ir {

/// The low bits of `value` as a value of the type; to bool: whether it is not zero. What `T(x)` does to an integer.
int64_t wrap_integer(ScalarType type, int64_t value);
/// `saturate(T, x)` of an integer of type `from`: the nearest value of `to`.
int64_t saturate_integer(ScalarType to, ScalarType from, int64_t value);

int64_t integer_add(ScalarType type, int64_t a, int64_t b);
int64_t integer_sub(ScalarType type, int64_t a, int64_t b);
int64_t integer_mul(ScalarType type, int64_t a, int64_t b);
/// Toward minus infinity; by zero 0; the least value by -1 wraps to itself.
int64_t integer_div(ScalarType type, int64_t a, int64_t b);
/// a - b * floor(a / b), with the sign of b; by zero 0.
int64_t integer_mod(ScalarType type, int64_t a, int64_t b);
/// By a negative count or one of at least the width: 0. To the right the sign is copied in.
int64_t integer_shift_left(ScalarType type, int64_t a, int64_t count);
int64_t integer_shift_right(ScalarType type, int64_t a, int64_t count);
/// The least value's magnitude wraps to itself.
int64_t integer_abs(ScalarType type, int64_t a);

/// a < b by the type's sign.
inline bool integer_less(ScalarType type, int64_t a, int64_t b) {
  return is_signed(type) ? a < b : static_cast<uint64_t>(a) < static_cast<uint64_t>(b);
}

}  // namespace heddle::ir
