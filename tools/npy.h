// Arrays in .npy files, the format of NumPy (version 1.0 to 3.0, C and Fortran order, little endian).
#pragma once

#include <string>
#include <vector>

#include "api/heddle/heddle.h"

namespace heddle::tools {

/// An array that owns its elements.
struct Array {
  ScalarType type = ScalarType::f32;
  std::vector<int64_t> extents;
  std::vector<int64_t> strides;  ///< in elements
  std::vector<unsigned char> bytes;

  Buffer buffer();
  static Array zeros(ScalarType type, std::vector<int64_t> extents);
};

/// Reads `path`, or `path:bf16` for types whose bits a file holds as plain integers.
Result<Array> read_npy(const std::string& argument);
/// Writes in C order; bf16 and fp8 as their bits (u16, u8).
Result<Done> write_npy(const std::string& path, const Array& array);

}  // namespace heddle::tools
