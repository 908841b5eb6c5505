#include "backend/neuron/simulator/element.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ir/float_format.h"

namespace heddle::neuron::sim {
namespace {

struct Row {
  Dtype type;
  std::string_view name;
  int bytes;
  ir::ScalarType scalar;
};

constexpr std::array<Row, 14> rows = {{{Dtype::f32, "float32", 4, ir::ScalarType::f32},
                                       {Dtype::tf32, "tfloat32", 4, ir::ScalarType::f32},
                                       {Dtype::f16, "float16", 2, ir::ScalarType::f16},
                                       {Dtype::bf16, "bfloat16", 2, ir::ScalarType::bf16},
                                       {Dtype::f8e4m3, "float8_e4m3", 1, ir::ScalarType::f8e4m3},
                                       {Dtype::f8e5m2, "float8_e5m2", 1, ir::ScalarType::f8e5m2},
                                       {Dtype::f8e4m3fn, "float8_e4m3fn", 1, ir::ScalarType::f8e4m3fn},
                                       {Dtype::i8, "int8", 1, ir::ScalarType::i8},
                                       {Dtype::i16, "int16", 2, ir::ScalarType::i16},
                                       {Dtype::i32, "int32", 4, ir::ScalarType::i32},
                                       {Dtype::u8, "uint8", 1, ir::ScalarType::u8},
                                       {Dtype::u16, "uint16", 2, ir::ScalarType::u16},
                                       {Dtype::u32, "uint32", 4, ir::ScalarType::u32},
                                       {Dtype::boolean, "bool_", 1, ir::ScalarType::boolean}}};

const Row& row(Dtype t) { return rows[static_cast<size_t>(t)]; }

// The values of all patterns of a narrow float type.
const std::vector<float>& decoded(Dtype type) {
  auto make = [](ir::ScalarType t) {
    std::vector<float> values(size_t{1} << (8 * ir::scalar_bytes(t)));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(ir::decode_float(t, i));
    return values;
  };
  static const std::vector<float> f16 = make(ir::ScalarType::f16), e4m3 = make(ir::ScalarType::f8e4m3),
                                  e5m2 = make(ir::ScalarType::f8e5m2), e4m3fn = make(ir::ScalarType::f8e4m3fn);
  return type == Dtype::f16 ? f16 : type == Dtype::f8e4m3 ? e4m3 : type == Dtype::f8e5m2 ? e5m2 : e4m3fn;
}

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// To nearest even, dropping `drop` low bits of an fp32; a NaN stays a quiet NaN.
uint32_t round_bits(float value, int drop) {
  uint32_t bits = bits_of(value);
  if (std::isnan(value)) return bits | 0x00400000u;
  return bits + ((1u << (drop - 1)) - 1) + ((bits >> drop) & 1);
}

template <class T>
int64_t saturated(float value) {
  if (std::isnan(value)) return 0;
  double rounded = std::nearbyint(static_cast<double>(value));
  constexpr double lo = std::numeric_limits<T>::min(), hi = std::numeric_limits<T>::max();
  return static_cast<int64_t>(rounded < lo ? lo : rounded > hi ? hi : rounded);
}

int64_t integer_from(Dtype type, float value) {
  switch (type) {
    case Dtype::i8: return saturated<int8_t>(value);
    case Dtype::i16: return saturated<int16_t>(value);
    case Dtype::i32: return saturated<int32_t>(value);
    case Dtype::u8: return saturated<uint8_t>(value);
    case Dtype::u16: return saturated<uint16_t>(value);
    case Dtype::u32: return saturated<uint32_t>(value);
    default: return value != 0;
  }
}

}  // namespace

int dtype_bytes(Dtype type) { return row(type).bytes; }
std::string_view dtype_name(Dtype type) { return row(type).name; }
ir::ScalarType scalar_of(Dtype type) { return row(type).scalar; }

std::optional<Dtype> dtype_named(std::string_view name) {
  for (const Row& r : rows)
    if (r.name == name) return r.type;
  return std::nullopt;
}

std::optional<Dtype> dtype_of(ir::ScalarType type) {
  for (const Row& r : rows)
    if (r.scalar == type) return r.type;
  return std::nullopt;
}

void load_floats(Dtype type, const unsigned char* bytes, int64_t stride, int64_t count, float* out) {
  switch (type) {
    case Dtype::f32:
      if (stride == 1) return void(std::memcpy(out, bytes, 4 * count));
      for (int64_t i = 0; i < count; ++i) std::memcpy(out + i, bytes + 4 * i * stride, 4);
      return;
    case Dtype::tf32:
      for (int64_t i = 0; i < count; ++i) {
        uint32_t b;
        std::memcpy(&b, bytes + 4 * i * stride, 4);
        out[i] = float_of(b & ~0x1fffu);
      }
      return;
    case Dtype::bf16:
      for (int64_t i = 0; i < count; ++i) {
        uint16_t b;
        std::memcpy(&b, bytes + 2 * i * stride, 2);
        out[i] = float_of(static_cast<uint32_t>(b) << 16);
      }
      return;
    case Dtype::f16: {
      const float* table = decoded(type).data();
      for (int64_t i = 0; i < count; ++i) {
        uint16_t b;
        std::memcpy(&b, bytes + 2 * i * stride, 2);
        out[i] = table[b];
      }
      return;
    }
    case Dtype::f8e4m3:
    case Dtype::f8e5m2:
    case Dtype::f8e4m3fn: {
      const float* table = decoded(type).data();
      for (int64_t i = 0; i < count; ++i) out[i] = table[bytes[i * stride]];
      return;
    }
    default: {
      int size = dtype_bytes(type);
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(load_integer(type, bytes + size * i * stride));
    }
  }
}

void store_floats(Dtype type, unsigned char* bytes, int64_t stride, int64_t count, const float* values) {
  switch (type) {
    case Dtype::f32:
      if (stride == 1) return void(std::memcpy(bytes, values, 4 * count));
      for (int64_t i = 0; i < count; ++i) std::memcpy(bytes + 4 * i * stride, values + i, 4);
      return;
    case Dtype::tf32:
      for (int64_t i = 0; i < count; ++i) {
        uint32_t b = round_bits(values[i], 13) & ~0x1fffu;
        std::memcpy(bytes + 4 * i * stride, &b, 4);
      }
      return;
    case Dtype::bf16:
      for (int64_t i = 0; i < count; ++i) {
        uint16_t b = static_cast<uint16_t>(round_bits(values[i], 16) >> 16);
        std::memcpy(bytes + 2 * i * stride, &b, 2);
      }
      return;
    case Dtype::f16:
      for (int64_t i = 0; i < count; ++i) {
        uint16_t b = static_cast<uint16_t>(ir::encode_float(ir::ScalarType::f16, values[i]));
        std::memcpy(bytes + 2 * i * stride, &b, 2);
      }
      return;
    case Dtype::f8e4m3:
    case Dtype::f8e5m2:
    case Dtype::f8e4m3fn: {
      ir::ScalarType t = scalar_of(type);
      for (int64_t i = 0; i < count; ++i)
        bytes[i * stride] = static_cast<unsigned char>(ir::encode_float(t, ir::saturate_float(t, values[i])));
      return;
    }
    default: {
      int size = dtype_bytes(type);
      for (int64_t i = 0; i < count; ++i) store_integer(type, bytes + size * i * stride, integer_from(type, values[i]));
    }
  }
}

int64_t load_integer(Dtype type, const unsigned char* at) {
  auto read = [at]<class T>(T) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return static_cast<int64_t>(value);
  };
  switch (type) {
    case Dtype::i8: return read(int8_t{});
    case Dtype::i16: return read(int16_t{});
    case Dtype::i32: return read(int32_t{});
    case Dtype::u8:
    case Dtype::boolean: return read(uint8_t{});
    case Dtype::u16: return read(uint16_t{});
    case Dtype::u32: return read(uint32_t{});
    default: return 0;
  }
}

void store_integer(Dtype type, unsigned char* at, int64_t value) { std::memcpy(at, &value, dtype_bytes(type)); }

}  // namespace heddle::neuron::sim
