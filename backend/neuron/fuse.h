// In the profile `full`: pairs of instructions that one instruction does, and loads of what a tile already holds.
#pragma once

#include "backend/neuron/nki.h"

namespace heddle::neuron {

void fuse(NkiKernel& kernel);

}  // namespace heddle::neuron
