// Text to tokens, by hand: what grammar/HeddleLexer.g4 says, in a tenth of the time that its generated lexer takes. tests/grammar holds
// one against the other over the corpus and over random texts.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "frontend/tokens.h"

namespace heddle::frontend {

/// The grammar's numbers of its tokens.
struct TokenTypes {
  std::unordered_map<std::string, int> fixed;  ///< words and marks that are always written alike
  int name = 0, integer = 0, real = 0, string = 0, open_string = 0, line_end = 0, doc = 0, stray = 0;
};

/// Those of grammar/HeddleLexer.g4; words and marks stand under what it writes for them.
const TokenTypes& token_types();

/// The tokens of a text that is UTF-8, at most one more than `most`.
std::vector<Token> lex(std::string_view text, const TokenTypes& types, size_t most);

}  // namespace heddle::frontend
