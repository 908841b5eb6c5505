// What a simulation says about time. All of it is modelled (docs/neuron-model.md); none was measured on a device.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "backend/neuron/simulator/machine.h"

namespace heddle::neuron::sim {

/// One instruction on one lane of the timeline, in nanoseconds.
struct TimelineEvent {
  uint8_t lane = 0;  ///< 0 .. 4: engines; 5 ..: queues of DMA
  double start = 0, end = 0;
  uint32_t instruction = 0;
  int line = 0;
  std::string_view name;
};

struct Report {
  std::string kernel, target;
  double ns = 0;
  std::array<double, engine_count> busy_ns{};  ///< `dma` is the mean of its 16 engines
  std::array<int64_t, engine_count> instructions{};
  Engine critical = Engine::tensor;  ///< busy longest
  int64_t dma_bytes = 0, hbm_read_bytes = 0, hbm_written_bytes = 0;
  double flops = 0;             ///< of products, 2 for each multiply and add
  double utilisation = 0;       ///< the products' time at the peak of their dtype, over the whole time
  int64_t sbuf_peak_bytes = 0;  ///< of a partition
  int psum_peak_banks = 0;
  int64_t static_instructions = 0;
  std::vector<TimelineEvent> timeline;

  double busy(Engine e) const { return ns > 0 ? busy_ns[static_cast<size_t>(e)] / ns : 0; }
};

/// Lines that a person reads.
std::string report_text(const Report& report);
std::string report_json(const Report& report);
/// For chrome://tracing and Perfetto.
std::string timeline_json(const Report& report);
/// A picture, one row for each engine and queue.
std::string timeline_svg(const Report& report);

}  // namespace heddle::neuron::sim
