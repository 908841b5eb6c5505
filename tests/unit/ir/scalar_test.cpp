// Element types, conversions between them, and integers: docs/numerics.md.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "ir/float_format.h"
#include "ir/integer.h"
#include "ir/scalar_type.h"

namespace heddle::ir {
namespace {

using enum ScalarType;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
const std::vector<ScalarType> narrow = {f16, bf16, f8e4m3fn, f8e4m3, f8e5m2};

TEST(scalar_type, names_parse_back) {
  for (const ScalarRow& row : scalar_rows()) {
    if (row.type == index) continue;
    EXPECT_EQ(parse_scalar_type(row.name), row.type) << row.name;
  }
  EXPECT_FALSE(parse_scalar_type("index"));
  EXPECT_FALSE(parse_scalar_type("f8"));
  EXPECT_FALSE(parse_scalar_type(""));
}

TEST(scalar_type, classes) {
  EXPECT_EQ(class_members("any").size(), 16u);
  EXPECT_EQ(class_members("number").size(), 15u);
  EXPECT_EQ(class_members("float").size(), 7u);
  EXPECT_EQ(class_members("int").size(), 8u);
  EXPECT_TRUE(class_members("real").empty());
  for (ScalarType type : class_members("float")) EXPECT_TRUE(is_float(type));
  for (ScalarType type : class_members("int")) EXPECT_TRUE(is_integer(type));
  EXPECT_EQ(widened(bf16), f32);
  EXPECT_EQ(widened(f8e5m2), f32);
  EXPECT_EQ(widened(u8), i32);
  EXPECT_EQ(widened(i16), i16);
  EXPECT_EQ(widened(boolean), boolean);
  EXPECT_TRUE(is_signed(index) && is_signed(f32) && is_signed(i8));
  EXPECT_FALSE(is_signed(u8) || is_signed(boolean) || is_integer(index) || is_integer(boolean));
}

TEST(scalar_type, integer_bounds) {
  EXPECT_EQ(integer_min(i8), -128);
  EXPECT_EQ(integer_max(i8), 127);
  EXPECT_EQ(integer_max(u16), 65535);
  EXPECT_EQ(integer_min(i64), INT64_MIN);
  EXPECT_EQ(integer_max(u64), -1);
  EXPECT_EQ(integer_max(boolean), 1);
}

// Every pattern of every narrow type decodes to a value that encodes back to it.
TEST(float_format, round_trip_of_all_patterns) {
  for (ScalarType type : narrow) {
    const uint64_t count = uint64_t{1} << scalar_bits(type);
    int nans = 0;
    for (uint64_t bits = 0; bits < count; ++bits) {
      const double value = decode_float(type, bits);
      if (std::isnan(value)) {
        ++nans;
        EXPECT_TRUE(std::isnan(decode_float(type, encode_float(type, value))));
      } else {
        ASSERT_EQ(encode_float(type, value), bits) << scalar_type_name(type) << " " << bits;
      }
    }
    EXPECT_GT(nans, 0) << scalar_type_name(type);
  }
}

// Between neighbours: below the middle goes down, above it up, the middle to the even pattern.
TEST(float_format, rounds_to_nearest_even) {
  for (ScalarType type : narrow) {
    const uint64_t half_range = uint64_t{1} << (scalar_bits(type) - 1);
    for (uint64_t bits = 0; bits + 1 < half_range; ++bits) {
      const double low = decode_float(type, bits), high = decode_float(type, bits + 1);
      if (!std::isfinite(low) || !std::isfinite(high)) continue;
      const double middle = low + (high - low) / 2;
      ASSERT_EQ(encode_float(type, middle), bits + (bits & 1)) << scalar_type_name(type) << " " << bits;
      ASSERT_EQ(encode_float(type, std::nextafter(middle, 0)), bits);
      ASSERT_EQ(encode_float(type, std::nextafter(middle, infinity)), bits + 1);
      ASSERT_EQ(encode_float(type, -middle), half_range + bits + (bits & 1));
    }
  }
}

TEST(float_format, table_agrees_with_the_patterns) {
  for (ScalarType type : narrow) {
    const ScalarRow& row = scalar_row(type);
    double greatest = 0, least = infinity;
    bool has_infinity = false;
    for (uint64_t bits = 0; bits < uint64_t{1} << scalar_bits(type); ++bits) {
      const double value = decode_float(type, bits);
      has_infinity |= std::isinf(value);
      if (std::isfinite(value)) greatest = std::max(greatest, value);
      if (value > 0) least = std::min(least, value);
    }
    EXPECT_EQ(greatest, row.max_finite) << row.name;
    EXPECT_EQ(has_infinity, row.has_infinity) << row.name;
    EXPECT_EQ(least, 2 * tiny_roundoff(type)) << row.name;
    EXPECT_EQ(encode_float(type, 1 + 2 * unit_roundoff(type)), encode_float(type, 1) + 1) << row.name;
  }
}

TEST(float_format, known_patterns_and_overflow) {
  EXPECT_EQ(encode_float(f16, 1), 0x3c00u);
  EXPECT_EQ(encode_float(bf16, -2), 0xc000u);
  EXPECT_EQ(encode_float(f8e4m3fn, 448), 0x7eu);
  EXPECT_EQ(encode_float(f8e4m3, 240), 0x77u);
  EXPECT_EQ(encode_float(f8e5m2, 57344), 0x7bu);
  EXPECT_EQ(encode_float(f16, 65519.99), 0x7bffu);
  EXPECT_EQ(encode_float(f16, 65520), 0x7c00u);
  EXPECT_EQ(encode_float(f8e4m3fn, 464), 0x7eu);    // the middle to 480 goes to the even one
  EXPECT_EQ(encode_float(f8e4m3fn, 464.1), 0x7fu);  // no infinity: NaN
  EXPECT_EQ(encode_float(f8e4m3fn, -infinity), 0xffu);
  EXPECT_EQ(encode_float(f8e4m3, 248), 0x78u);
  EXPECT_EQ(encode_float(bf16, infinity), 0x7f80u);
  EXPECT_EQ(encode_float(bf16, nan) & 0x7fff, 0x7fc0u);
  EXPECT_EQ(encode_float(f16, 5e-324), 0u);
  EXPECT_EQ(encode_float(f16, -0.0), 0x8000u);
  EXPECT_EQ(saturate_float(f8e4m3fn, 1e9), 448);
  EXPECT_EQ(saturate_float(f8e4m3fn, -infinity), -448);
  EXPECT_TRUE(std::isnan(saturate_float(f8e4m3fn, nan)));
}

// bf16 of f32 against the known integer form of rounding to even.
TEST(float_format, bf16_of_f32_is_one_rounding) {
  for (uint64_t i = 0; i < (1 << 20); ++i) {
    const uint32_t bits = static_cast<uint32_t>(i * 4099);
    float value;
    std::memcpy(&value, &bits, 4);
    if (std::isnan(value)) continue;
    const uint32_t want = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    ASSERT_EQ(encode_float(bf16, value), want) << bits;
  }
}

// From f64 in one step: by way of f32 this would round twice and give 1 + 2^-7.
TEST(float_format, f64_to_narrow_does_not_round_twice) {
  EXPECT_EQ(round_to(bf16, 1 + 0x1p-8 - 0x1p-40), 1.0);
  EXPECT_EQ(round_to(bf16, 1 + 0x1p-8 + 0x1p-40), 1 + 0x1p-7);
  EXPECT_EQ(round_to(f16, 1 + 0x1p-11 + 0x1p-40), 1 + 0x1p-10);
}

TEST(float_format, float_to_integer) {
  EXPECT_EQ(float_to_integer(i8, 3.99), 3);
  EXPECT_EQ(float_to_integer(i8, -3.99), -3);
  EXPECT_EQ(float_to_integer(i8, 1000), 127);
  EXPECT_EQ(float_to_integer(i8, -infinity), -128);
  EXPECT_EQ(float_to_integer(u8, -0.5), 0);
  EXPECT_EQ(float_to_integer(u8, 256), 255);
  EXPECT_EQ(float_to_integer(i32, nan), 0);
  EXPECT_EQ(float_to_integer(i64, 0x1p63), INT64_MAX);
  EXPECT_EQ(float_to_integer(i64, -0x1p63), INT64_MIN);
  EXPECT_EQ(float_to_integer(i64, 0x1p62), int64_t{1} << 62);
  EXPECT_EQ(float_to_integer(u64, 0x1p63), INT64_MIN);
  EXPECT_EQ(float_to_integer(u64, 0x1p64), -1);
  EXPECT_EQ(float_to_integer(u64, -1e300), 0);
  EXPECT_EQ(float_to_integer(boolean, 0.25), 1);
  EXPECT_EQ(float_to_integer(boolean, -0.0), 0);
  EXPECT_EQ(float_to_integer(boolean, nan), 1);
}

TEST(float_format, integer_to_float) {
  EXPECT_EQ(integer_to_float(f32, i32, 16777217), 16777216);
  EXPECT_EQ(integer_to_float(f64, u64, -1), 0x1p64);
  EXPECT_EQ(integer_to_float(f32, i64, -1), -1);
  EXPECT_EQ(integer_to_float(f16, i32, 70000), infinity);
  EXPECT_EQ(integer_to_float(bf16, i32, 257), 256);
}

TEST(float_format, arithmetic_of_narrow_types_is_f32_then_one_rounding) {
  EXPECT_EQ(float_add(bf16, 256, 1), 256);
  EXPECT_EQ(float_add(bf16, 256, 3), 260);
  EXPECT_EQ(float_mul(f16, 300, 300), infinity);
  EXPECT_EQ(float_add(f32, 16777216, 1), 16777216);
  EXPECT_EQ(float_div(f32, 1, 3), 1.0f / 3.0f);
  const double x = 1 + 0x1p-12;
  EXPECT_EQ(float_fma(f32, x, x, -(1 + 0x1p-11)), 0x1p-24);
  EXPECT_EQ(float_sub(f32, float_mul(f32, x, x), 1 + 0x1p-11), 0);
}

TEST(integer, wraps) {
  EXPECT_EQ(wrap_integer(i8, 200), -56);
  EXPECT_EQ(wrap_integer(u8, -1), 255);
  EXPECT_EQ(wrap_integer(boolean, 256), 1);
  EXPECT_EQ(integer_add(i8, 127, 1), -128);
  EXPECT_EQ(integer_sub(u32, 0, 1), 4294967295);
  EXPECT_EQ(integer_mul(i64, INT64_MAX, 2), -2);
  EXPECT_EQ(integer_mul(i16, -32768, -1), -32768);
  EXPECT_EQ(integer_abs(i8, -128), -128);
  EXPECT_EQ(integer_abs(i32, -5), 5);
  EXPECT_EQ(integer_abs(u64, -1), -1);
}

TEST(integer, division_floors_and_never_traps) {
  EXPECT_EQ(integer_div(i32, -7, 2), -4);
  EXPECT_EQ(integer_mod(i32, -7, 2), 1);
  EXPECT_EQ(integer_div(i32, 7, -2), -4);
  EXPECT_EQ(integer_mod(i32, 7, -2), -1);
  EXPECT_EQ(integer_div(i32, -8, 2), -4);
  EXPECT_EQ(integer_div(i64, 5, 0), 0);
  EXPECT_EQ(integer_mod(i64, 5, 0), 0);
  EXPECT_EQ(integer_div(i64, INT64_MIN, -1), INT64_MIN);
  EXPECT_EQ(integer_div(i8, -128, -1), -128);
  EXPECT_EQ(integer_mod(i64, INT64_MIN, -1), 0);
  EXPECT_EQ(integer_div(u64, -1, 2), INT64_MAX);
  EXPECT_EQ(integer_mod(u64, -1, 10), 5);
  for (int64_t a = -128; a < 128; ++a) {
    for (int64_t b = -128; b < 128; ++b) {
      if (b == 0) continue;
      const double quotient = std::floor(static_cast<double>(a) / static_cast<double>(b));
      ASSERT_EQ(integer_div(i16, a, b), static_cast<int64_t>(quotient)) << a << " " << b;
      ASSERT_EQ(integer_mod(i16, a, b), a - b * static_cast<int64_t>(quotient)) << a << " " << b;
    }
  }
}

TEST(integer, shifts_past_the_width_give_0) {
  EXPECT_EQ(integer_shift_left(i8, 1, 7), -128);
  EXPECT_EQ(integer_shift_left(i8, 1, 8), 0);
  EXPECT_EQ(integer_shift_left(u64, 1, 63), INT64_MIN);
  EXPECT_EQ(integer_shift_left(u64, 1, 64), 0);
  EXPECT_EQ(integer_shift_right(i32, -8, 1), -4);
  EXPECT_EQ(integer_shift_right(i32, -8, 32), 0);
  EXPECT_EQ(integer_shift_right(u64, -1, 63), 1);
  EXPECT_EQ(integer_shift_right(i32, 8, -1), 0);
}

TEST(integer, saturates) {
  EXPECT_EQ(saturate_integer(i8, i32, 200), 127);
  EXPECT_EQ(saturate_integer(i8, i32, -200), -128);
  EXPECT_EQ(saturate_integer(u8, i32, -3), 0);
  EXPECT_EQ(saturate_integer(i64, u64, -1), INT64_MAX);
  EXPECT_EQ(saturate_integer(u64, i64, -1), 0);
  EXPECT_EQ(saturate_integer(u64, i64, 5), 5);
  EXPECT_EQ(saturate_integer(i32, u8, 255), 255);
}

}  // namespace
}  // namespace heddle::ir
