// An NKI kernel as Python text: the GA dialect of NKI, low-level form.
#pragma once

#include <string>

#include "backend/neuron/nki.h"

namespace heddle::neuron {

std::string print(const NkiKernel& kernel);

}  // namespace heddle::neuron
