#include "ir/scalar_type.h"

#include <array>
#include <cmath>

namespace heddle::ir {
namespace {

using enum ScalarType;
constexpr ScalarClass floating = ScalarClass::floating, signed_integer = ScalarClass::signed_integer,
                      unsigned_integer = ScalarClass::unsigned_integer;

constexpr std::array<ScalarRow, scalar_type_count> rows = {{
    // type, name, class, bytes, precision, min exponent, max exponent, greatest finite, infinity
    {f64, "f64", floating, 8, 53, -1022, 1023, 0x1.fffffffffffffp1023, true},
    {f32, "f32", floating, 4, 24, -126, 127, 0x1.fffffep127, true},
    {f16, "f16", floating, 2, 11, -14, 15, 65504.0, true},
    {bf16, "bf16", floating, 2, 8, -126, 127, 0x1.fep127, true},
    {f8e4m3fn, "f8e4m3fn", floating, 1, 4, -6, 8, 448.0, false},
    {f8e4m3, "f8e4m3", floating, 1, 4, -6, 7, 240.0, true},
    {f8e5m2, "f8e5m2", floating, 1, 3, -14, 15, 57344.0, true},
    {i8, "i8", signed_integer, 1},
    {i16, "i16", signed_integer, 2},
    {i32, "i32", signed_integer, 4},
    {i64, "i64", signed_integer, 8},
    {u8, "u8", unsigned_integer, 1},
    {u16, "u16", unsigned_integer, 2},
    {u32, "u32", unsigned_integer, 4},
    {u64, "u64", unsigned_integer, 8},
    {boolean, "bool", ScalarClass::boolean, 1},
    {index, "index", ScalarClass::index, 8},
}};

constexpr bool in_order() {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (static_cast<size_t>(rows[i].type) != i) return false;
  }
  return true;
}
static_assert(in_order(), "rows stand in the order of the enumeration");

// The storable types in the order of the enumeration: floats, integers, bool. Each class is a contiguous run of them.
constexpr std::array<ScalarType, scalar_type_count - 1> storable = {
    f64, f32, f16, bf16, f8e4m3fn, f8e4m3, f8e5m2, i8, i16, i32, i64, u8, u16, u32, u64, boolean};
constexpr size_t float_count = 7, integer_count = 8;

}  // namespace

const ScalarRow& scalar_row(ScalarType type) { return rows[static_cast<size_t>(type)]; }

std::span<const ScalarRow> scalar_rows() { return rows; }

std::optional<ScalarType> parse_scalar_type(std::string_view name) {
  for (ScalarType type : storable) {
    if (scalar_type_name(type) == name) return type;
  }
  return std::nullopt;
}

ScalarType widened(ScalarType type) {
  switch (type) {
    case f16:
    case bf16:
    case f8e4m3fn:
    case f8e4m3:
    case f8e5m2: return f32;
    case i8:
    case u8: return i32;
    default: return type;
  }
}

double unit_roundoff(ScalarType type) { return is_float(type) ? std::ldexp(1.0, -scalar_row(type).precision) : 0.0; }

double tiny_roundoff(ScalarType type) {
  if (!is_float(type)) return 0.0;
  if (type == f64) return 0x1p-1074;  // half of it is no f64
  return std::ldexp(1.0, scalar_row(type).min_exponent - scalar_row(type).precision);
}

int64_t integer_min(ScalarType type) {
  if (is_float(type) || !is_signed(type)) return 0;
  return INT64_MIN >> (64 - scalar_bits(type));
}

int64_t integer_max(ScalarType type) {
  if (is_float(type)) return 0;
  if (type == boolean) return 1;
  if (is_signed(type)) return INT64_MAX >> (64 - scalar_bits(type));
  return static_cast<int64_t>(UINT64_MAX >> (64 - scalar_bits(type)));
}

std::span<const ScalarType> class_members(std::string_view name) {
  const std::span<const ScalarType> all(storable);
  if (name == "any") return all;
  if (name == "number") return all.first(float_count + integer_count);
  if (name == "float") return all.first(float_count);
  if (name == "int") return all.subspan(float_count, integer_count);
  return {};
}

}  // namespace heddle::ir
