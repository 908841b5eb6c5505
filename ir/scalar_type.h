// Element types: one table, one row each. What their operations mean stands in docs/numerics.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace heddle::ir {

/// `index` is the 64-bit signed type of dims, loop variables and subscripts: it cannot be stored and never wraps.
enum class ScalarType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8e4m3fn,
  f8e4m3,
  f8e5m2,
  i8,
  i16,
  i32,
  i64,
  u8,
  u16,
  u32,
  u64,
  boolean,
  index
};
inline constexpr int scalar_type_count = 17;

enum class ScalarClass : uint8_t { floating, signed_integer, unsigned_integer, boolean, index };

struct ScalarRow {
  ScalarType type;
  std::string_view name;  ///< as printed: "f32", "bool"
  ScalarClass cls;
  int bytes;
  // Of floats, else zero:
  int precision;     ///< significand bits with the leading one: 24 for f32
  int min_exponent;  ///< of the least normal number, 2^min_exponent: -126 for f32
  int max_exponent;  ///< of the greatest finite number: 127 for f32
  double max_finite;
  bool has_infinity;  ///< f8e4m3fn has none: what overflows becomes NaN
};

const ScalarRow& scalar_row(ScalarType type);
/// All rows, in the order of the enumeration.
std::span<const ScalarRow> scalar_rows();

inline std::string_view scalar_type_name(ScalarType type) { return scalar_row(type).name; }
inline int scalar_bytes(ScalarType type) { return scalar_row(type).bytes; }
inline int scalar_bits(ScalarType type) { return type == ScalarType::boolean ? 1 : 8 * scalar_bytes(type); }
/// The type of a printed name; `index` is none, as no text may store it.
std::optional<ScalarType> parse_scalar_type(std::string_view name);

inline bool is_float(ScalarType type) { return scalar_row(type).cls == ScalarClass::floating; }
/// Data integers, signed or not; neither bool nor index.
inline bool is_integer(ScalarType type) {
  const ScalarClass cls = scalar_row(type).cls;
  return cls == ScalarClass::signed_integer || cls == ScalarClass::unsigned_integer;
}
/// Floats, signed integers and index.
inline bool is_signed(ScalarType type) {
  const ScalarClass cls = scalar_row(type).cls;
  return cls != ScalarClass::unsigned_integer && cls != ScalarClass::boolean;
}

/// What `widen(x)` gives: f16, bf16 and fp8 -> f32, i8 and u8 -> i32, else the same.
ScalarType widened(ScalarType type);

/// eps/2, the relative error of one rounding to nearest: 2^-precision; 0 for types that are not floats.
double unit_roundoff(ScalarType type);
/// Half the gap between the least numbers, the absolute error of one rounding near zero: 2^(min_exponent - precision)
/// (of f64 the whole gap).
double tiny_roundoff(ScalarType type);

/// Bounds of an integer, bool or index type; `integer_max` of u64 as its bits (-1).
int64_t integer_min(ScalarType type);
int64_t integer_max(ScalarType type);

/// Members of a generic class (`any`, `number`, `float`, `int`), in the order of the enumeration; empty for other words.
std::span<const ScalarType> class_members(std::string_view name);

}  // namespace heddle::ir
