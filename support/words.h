// The words of the language that cannot be names (grammar/HeddleLexer.g4); a unit test holds the two together.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

namespace heddle {

inline constexpr std::string_view reserved_words[] = {
    "after",   "as",    "at",       "by",   "const", "else", "false", "if",   "import",  "in",
    "inf",     "inout", "instr",    "into", "let",   "nan",  "op",    "or",   "program", "reducer",
    "require", "scan",  "schedule", "then", "true",  "to",   "tune",  "when", "where",   "with"};

inline bool is_reserved_word(std::string_view word) {
  return std::find(std::begin(reserved_words), std::end(reserved_words), word) != std::end(reserved_words);
}

}  // namespace heddle
