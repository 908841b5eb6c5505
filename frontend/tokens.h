// Between lexer and parser: repairs brackets, drops line ends that end nothing, and holds the limits on nesting and chains, so
// that the parser sees only bounded input with exactly one line end between two statements.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "support/diagnostic.h"

namespace heddle::frontend {

struct Token {
  enum class Kind : uint8_t {
    word,
    literal,      // numbers and strings
    open_string,  // a string without its closing quote
    mark,         // brackets, operators, separators
    line_end,
    semicolon,  // ends a statement like a line end, but is never dropped inside one
    doc,        // `/// ..`
    stray,
  };
  static constexpr int inserted = -1;

  Kind kind = Kind::mark;
  int type = inserted;  ///< the grammar's number; `inserted` for a bracket that the filter adds
  uint32_t begin = 0, end = 0;
  char bracket = 0;  ///< of a bracket, as its character
};

struct FilteredTokens {
  std::vector<Token> tokens;
  std::map<uint32_t, std::string> docs;  ///< by the first byte of the token that the doc comment precedes
  Diagnostics errors;                    ///< in the order of the text
  bool fatal = false;                    ///< a limit: do not parse
};

FilteredTokens filter_tokens(const SourceRef& source, const std::vector<Token>& raw);

}  // namespace heddle::frontend
