// SHA-256 (FIPS 180-4): names of cache entries and digests of their content.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace heddle {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::string_view bytes);
/// 64 hexadecimal digits.
std::string hex(const Digest& digest);

}  // namespace heddle
