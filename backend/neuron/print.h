// An NKI kernel as Python text: the GA dialect of NKI, low-level form.
#pragma once

#include <set>
#include <string>

#include "backend/neuron/nki.h"

namespace heddle::neuron {

std::string print(const NkiKernel& kernel);
/// Names that a text may not give: keywords, the functions that it calls, the modules that it imports.
const std::set<std::string>& words_of_python();

}  // namespace heddle::neuron
