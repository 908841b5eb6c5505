// Whether the bytes of a text are UTF-8, before anything else looks at it.
#pragma once

#include "support/result.h"

namespace heddle::frontend {

/// Refuses what is not UTF-8, and what is larger than a source may be.
Result<Done> check_utf8(const SourceRef& source);

}  // namespace heddle::frontend
