// The model of time: engines and DMA queues run in order and side by side, joined by semaphores.
#pragma once

#include "backend/neuron/simulator/plan.h"
#include "backend/neuron/simulator/report.h"

namespace heddle::neuron::sim {

/// Cycles of its engine that an instruction occupies (table 2.4 of docs/neuron-model.md); not for DMA.
double instruction_cycles(const Trace& trace, const Instruction& instruction);

Report model_time(const Trace& trace, const MemoryPlan& plan, const Machine& machine, bool timeline);

}  // namespace heddle::neuron::sim
