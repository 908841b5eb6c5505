#include "backend/neuron/nki.h"

namespace heddle::neuron {

using namespace ir;

bool same(const View& a, const View& b) {
  if (a.tile != b.tile || a.which.known() != b.which.known() || a.axes.size() != b.axes.size()) return false;
  if (a.which.known() && !same(a.which, b.which)) return false;
  for (size_t i = 0; i < a.axes.size(); ++i)
    if (!same(a.axes[i].start, b.axes[i].start) || !same(a.axes[i].count, b.axes[i].count) ||
        a.axes[i].step != b.axes[i].step)
      return false;
  return true;
}

std::string_view type_name(ScalarType type) {
  switch (type) {
    case ScalarType::f32: return "float32";
    case ScalarType::f16: return "float16";
    case ScalarType::bf16: return "bfloat16";
    case ScalarType::f8e4m3: return "float8_e4m3";
    case ScalarType::f8e4m3fn: return "float8_e4m3fn";
    case ScalarType::f8e5m2: return "float8_e5m2";
    case ScalarType::i8: return "int8";
    case ScalarType::i16: return "int16";
    case ScalarType::i32: return "int32";
    case ScalarType::u8: return "uint8";
    case ScalarType::u16: return "uint16";
    case ScalarType::u32: return "uint32";
    default: return "";
  }
}

int64_t type_bytes(ScalarType type) { return scalar_bytes(type); }

}  // namespace heddle::neuron
