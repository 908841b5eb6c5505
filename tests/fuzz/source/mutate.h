// Texts to start from, and small damage to them: bytes, tokens, numbers, lines, pieces of other texts.
#pragma once

#include <string>
#include <vector>

#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {

/// The ops and schedules of the standard library, golden cases, the corpus of the grammar, and programs of scheduled ops.
std::vector<std::string> seed_texts(const std::string& root);

/// One to four changes.
std::string mutated(const std::vector<std::string>& texts, Random& r);

}  // namespace heddle::fuzz
