#include "ir/float_format.h"

#include <bit>
#include <cassert>
#include <cmath>

namespace heddle::ir {
namespace {

constexpr uint64_t double_fraction = (uint64_t{1} << 52) - 1;

int fraction_bits(const ScalarRow& row) { return row.precision - 1; }

// The bits of the magnitude of infinity; for f8e4m3fn those of NaN, which stand where infinity would be rounded to.
uint64_t overflow_bits(const ScalarRow& row) {
  const uint64_t exponent = static_cast<uint64_t>(row.max_exponent - row.min_exponent + 1);
  const uint64_t all_ones = (uint64_t{1} << fraction_bits(row)) - 1;
  return row.has_infinity ? (exponent + 1) << fraction_bits(row) : (exponent << fraction_bits(row)) | all_ones;
}

uint64_t nan_bits(const ScalarRow& row) {
  return row.has_infinity ? overflow_bits(row) | uint64_t{1} << (fraction_bits(row) - 1) : overflow_bits(row);
}

uint64_t shift_right_to_even(uint64_t value, int count) {
  if (count > 63) return 0;
  const uint64_t kept = value >> count;
  const uint64_t rest = value & ((uint64_t{1} << count) - 1);
  const uint64_t half = uint64_t{1} << (count - 1);
  return kept + (rest > half || (rest == half && (kept & 1)));
}

// Types narrower than f32. A carry out of the fraction runs into the exponent, which is what rounding up means.
uint64_t encode_narrow(const ScalarRow& row, double value) {
  const uint64_t source = std::bit_cast<uint64_t>(value);
  const uint64_t sign = (source >> 63) << (8 * row.bytes - 1);
  if (std::isnan(value)) return sign | nan_bits(row);
  if (std::isinf(value)) return sign | overflow_bits(row);
  const int biased = static_cast<int>((source & ~(uint64_t{1} << 63)) >> 52);
  if (biased == 0) return sign;  // a denormal f64 is below half of any narrow type's least number
  const int exponent = biased - 1023;
  const uint64_t significand = (source & double_fraction) | (uint64_t{1} << 52);
  const int drop = 53 - row.precision;
  uint64_t magnitude = 0;
  if (exponent >= row.min_exponent) {
    const uint64_t kept = shift_right_to_even(significand, drop) - (uint64_t{1} << fraction_bits(row));
    magnitude = (static_cast<uint64_t>(exponent - row.min_exponent + 1) << fraction_bits(row)) + kept;
  } else {
    magnitude = shift_right_to_even(significand, drop + row.min_exponent - exponent);
  }
  return sign | (magnitude < overflow_bits(row) ? magnitude : overflow_bits(row));
}

double decode_narrow(const ScalarRow& row, uint64_t bits) {
  const int width = 8 * row.bytes;
  const bool negative = (bits >> (width - 1)) & 1;
  const uint64_t magnitude = bits & ((uint64_t{1} << (width - 1)) - 1);
  const uint64_t infinity = overflow_bits(row);
  const uint64_t fraction = magnitude & ((uint64_t{1} << fraction_bits(row)) - 1);
  double value = 0;
  if (magnitude > infinity || (magnitude == infinity && !row.has_infinity)) {
    value = std::bit_cast<double>(uint64_t{0x7ff8} << 48);
  } else if (magnitude == infinity) {
    value = HUGE_VAL;
  } else if (const uint64_t exponent = magnitude >> fraction_bits(row); exponent == 0) {
    value = static_cast<double>(fraction) *
            std::bit_cast<double>(static_cast<uint64_t>(1023 + row.min_exponent - fraction_bits(row)) << 52);
  } else {
    const uint64_t biased = exponent - 1 + static_cast<uint64_t>(1023 + row.min_exponent);
    value = std::bit_cast<double>((biased << 52) | (fraction << (52 - fraction_bits(row))));
  }
  return std::copysign(value, negative ? -1.0 : 1.0);
}

template <class Operation>
double in_compute_type(ScalarType type, Operation operation) {
  assert(is_float(type));
  if (type == ScalarType::f64) return operation(double{});
  return round_to(type, static_cast<double>(operation(float{})));
}

}  // namespace

uint64_t encode_float(ScalarType type, double value) {
  assert(is_float(type));
  if (type == ScalarType::f64) return std::bit_cast<uint64_t>(value);
  if (type == ScalarType::f32) return std::bit_cast<uint32_t>(static_cast<float>(value));
  return encode_narrow(scalar_row(type), value);
}

double decode_float(ScalarType type, uint64_t bits) {
  assert(is_float(type));
  if (type == ScalarType::f64) return std::bit_cast<double>(bits);
  if (type == ScalarType::f32) return std::bit_cast<float>(static_cast<uint32_t>(bits));
  if (type == ScalarType::bf16) return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  return decode_narrow(scalar_row(type), bits);
}

double saturate_float(ScalarType type, double value) {
  const double greatest = scalar_row(type).max_finite;
  if (value > greatest) return greatest;
  if (value < -greatest) return -greatest;
  return round_to(type, value);
}

int64_t float_to_integer(ScalarType to, double value) {
  if (to == ScalarType::boolean) return value != 0;
  if (std::isnan(value)) return 0;
  // 2^63 and 2^64 are exact in f64, the greatest integers below them are not: so the tests are against the powers.
  if (to == ScalarType::u64) {
    if (value <= -1) return 0;
    if (value >= 0x1p64) return -1;
    return static_cast<int64_t>(static_cast<uint64_t>(value));
  }
  if (value >= static_cast<double>(integer_max(to))) return integer_max(to);
  if (value <= static_cast<double>(integer_min(to))) return integer_min(to);
  return static_cast<int64_t>(value);
}

double integer_to_float(ScalarType to, ScalarType from, int64_t value) {
  const bool wide_unsigned = from == ScalarType::u64;
  if (to == ScalarType::f64)
    return wide_unsigned ? static_cast<double>(static_cast<uint64_t>(value)) : static_cast<double>(value);
  const float near = wide_unsigned ? static_cast<float>(static_cast<uint64_t>(value)) : static_cast<float>(value);
  return round_to(to, near);
}

double float_add(ScalarType type, double a, double b) {
  return in_compute_type(type, [&](auto t) { return static_cast<decltype(t)>(a) + static_cast<decltype(t)>(b); });
}
double float_sub(ScalarType type, double a, double b) {
  return in_compute_type(type, [&](auto t) { return static_cast<decltype(t)>(a) - static_cast<decltype(t)>(b); });
}
double float_mul(ScalarType type, double a, double b) {
  return in_compute_type(type, [&](auto t) { return static_cast<decltype(t)>(a) * static_cast<decltype(t)>(b); });
}
double float_div(ScalarType type, double a, double b) {
  return in_compute_type(type, [&](auto t) { return static_cast<decltype(t)>(a) / static_cast<decltype(t)>(b); });
}
double float_fma(ScalarType type, double a, double b, double c) {
  return in_compute_type(type, [&](auto t) {
    using F = decltype(t);
    return std::fma(static_cast<F>(a), static_cast<F>(b), static_cast<F>(c));
  });
}

}  // namespace heddle::ir
