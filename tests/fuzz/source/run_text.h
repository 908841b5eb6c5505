// One text through the whole pipeline: parsed, checked, scheduled, shown safe, compiled, run between fences.
#pragma once

#include <string>

#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {

struct Counts {
  int64_t texts = 0, parsed = 0, programs = 0, safe = 0, unproved = 0, compiled = 0, ran = 0;
};

/// What is wrong with the pipeline on this text, or empty. Crashes, hangs and touched fences end the process instead.
std::string run_text(const std::string& text, Random& r, Counts& counts);

}  // namespace heddle::fuzz
