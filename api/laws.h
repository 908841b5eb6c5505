// The laws that a reducer declares, tried on random states: what `heddle check` does before steps rely on them.
#pragma once

#include "api/heddle/heddle.h"

namespace heddle::api {

/// A diagnostic for the first law that each reducer of the module breaks: associative; `commutes`; `exactly`, in every bit; the identity;
/// and the whole-range form, against combining one element after the other. Of a text with more than a hundred reducers the first hundred.
Diagnostics try_laws(const Module& module);

}  // namespace heddle::api
