// Element types of NKI and their conversions: fp32 inside the engines, one rounding where a result is stored (rule 11).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ir/scalar_type.h"

namespace heddle::neuron::sim {

enum class Dtype : uint8_t { f32, tf32, f16, bf16, f8e4m3, f8e5m2, f8e4m3fn, i8, i16, i32, u8, u16, u32, boolean };

int dtype_bytes(Dtype type);
/// As NKI spells it: "float32", "bool_".
std::string_view dtype_name(Dtype type);
std::optional<Dtype> dtype_named(std::string_view nki_name);
std::optional<Dtype> dtype_of(ir::ScalarType type);
ir::ScalarType scalar_of(Dtype type);

inline bool is_float(Dtype t) { return t <= Dtype::f8e4m3fn; }
inline bool is_fp8(Dtype t) { return t == Dtype::f8e4m3 || t == Dtype::f8e5m2 || t == Dtype::f8e4m3fn; }
inline bool is_wide_float(Dtype t) { return t == Dtype::f32 || t == Dtype::tf32; }
inline bool is_integer(Dtype t) { return !is_float(t) && t != Dtype::boolean; }
inline bool is_int32(Dtype t) { return t == Dtype::i32 || t == Dtype::u32; }

/// `count` elements at `bytes` that lie `stride` elements apart, as fp32 (an integer is rounded to nearest).
void load_floats(Dtype type, const unsigned char* bytes, int64_t stride, int64_t count, float* out);
/// One rounding to nearest even; integers and fp8 saturate, NaN as an integer is 0.
void store_floats(Dtype type, unsigned char* bytes, int64_t stride, int64_t count, const float* values);
/// Integers as they are, sign or zero extended.
int64_t load_integer(Dtype type, const unsigned char* at);
/// The low bits.
void store_integer(Dtype type, unsigned char* at, int64_t value);

}  // namespace heddle::neuron::sim
