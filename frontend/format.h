// The look of a `.hd` text: `heddle fmt`.
//
// Lines stay the author's; blanks, indentation, blank lines and the columns of `=` and of trailing comments are fixed. Only white space
// changes, so the text keeps its meaning and every comment; formatting twice is formatting once.
#pragma once

#include <string>

#include "support/result.h"

namespace heddle::frontend {

/// The formatted text; the parser's diagnostics where the text does not parse.
Result<std::string> format(const SourceRef& source);

}  // namespace heddle::frontend
