#include "frontend/utf8.h"

#include "frontend/codes.h"
#include "support/limits.h"

namespace heddle::frontend {
namespace {

/// The length of the UTF-8 sequence at `i`, or 0 when there is none (overlong forms and surrogates are none).
size_t utf8_length(std::string_view s, size_t i) {
  auto byte = [&](size_t k) { return k < s.size() ? static_cast<unsigned char>(s[k]) : 0u; };
  auto tail = [&](size_t k) { return (byte(k) & 0xC0) == 0x80; };
  unsigned a = byte(i), b = byte(i + 1);
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a < 0xE0) return tail(i + 1) ? 2 : 0;
  if (a >= 0xE0 && a < 0xF0) {
    bool range = !(a == 0xE0 && b < 0xA0) && !(a == 0xED && b >= 0xA0);
    return range && tail(i + 1) && tail(i + 2) ? 3 : 0;
  }
  if (a >= 0xF0 && a < 0xF5) {
    bool range = !(a == 0xF0 && b < 0x90) && !(a == 0xF4 && b >= 0x90);
    return range && tail(i + 1) && tail(i + 2) && tail(i + 3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

Result<Done> check_utf8(const SourceRef& source) {
  std::string_view text = source->text();
  if (text.size() > limits::source_bytes)
    return Diagnostic{
        codes::source_too_large,
        {source, limits::source_bytes, limits::source_bytes},
        "the text has " + std::to_string(text.size()) + " bytes; the limit is " + std::to_string(limits::source_bytes)};
  for (size_t i = 0; i < text.size();) {
    size_t length = utf8_length(text, i);
    auto at = static_cast<uint32_t>(i);
    if (length == 0)
      return Diagnostic{
          codes::invalid_utf8, {source, at, at + 1}, "the byte at offset " + std::to_string(i) + " is not valid UTF-8"};
    i += length;
  }
  return Done{};
}

}  // namespace heddle::frontend
