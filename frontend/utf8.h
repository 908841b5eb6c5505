// Bytes to code points, before anything else looks at a text.
#pragma once

#include <cstdint>
#include <vector>

#include "support/result.h"

namespace heddle::frontend {

/// The byte offset of each code point and of the end; empty when all are one byte. Refuses what is not UTF-8.
Result<std::vector<uint32_t>> code_points(const SourceRef& source);

}  // namespace heddle::frontend
