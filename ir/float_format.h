// Exact conversions between element types: the meaning that docs/numerics.md gives them, and the reference for compiled code.
//
// A value of any float type is carried as the double that it equals; an integer as int64_t, sign or zero extended (u64 as its
// bits); a bool as 0 or 1.
#pragma once

#include <cstdint>

#include "ir/scalar_type.h"

namespace heddle::ir {

/// The bits of `value` in a float type: one rounding to nearest, ties to even; past the greatest finite number infinity, or
/// NaN where the type has no infinity. A NaN becomes the type's quiet NaN of the same sign.
uint64_t encode_float(ScalarType type, double value);
/// The value of the low bits of `bits`; exact.
double decode_float(ScalarType type, uint64_t bits);

/// The nearest value of a float type: what `T(x)` does to a float.
inline double round_to(ScalarType type, double value) {
  if (type == ScalarType::f64) return value;
  if (type == ScalarType::f32) return static_cast<float>(value);
  return decode_float(type, encode_float(type, value));
}
/// `saturate(T, x)` of a float type: as round_to, but what would pass the greatest finite number stays there; NaN stays NaN.
double saturate_float(ScalarType type, double value);

/// `T(x)` of a float as an integer: drops the fraction, saturates, NaN gives 0; to bool: whether x is not zero (NaN is not).
int64_t float_to_integer(ScalarType to, double value);
/// `T(x)` of an integer, bool or index as a float. One rounding to f64 or f32; the narrow types are rounded from f32.
double integer_to_float(ScalarType to, ScalarType from, int64_t value);

/// Four operations and negation as a float type does them: in f64 for f64, else in f32, then rounded to the type.
double float_add(ScalarType type, double a, double b);
double float_sub(ScalarType type, double a, double b);
double float_mul(ScalarType type, double a, double b);
double float_div(ScalarType type, double a, double b);
/// a * b + c with one rounding in f64 or f32 (`contract`), then rounded to the type.
double float_fma(ScalarType type, double a, double b, double c);

}  // namespace heddle::ir
