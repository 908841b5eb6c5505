// Where tiles lie, and what must wait for what.
#pragma once

#include "backend/neuron/simulator/machine.h"
#include "backend/neuron/simulator/trace.h"

namespace heddle::neuron::sim {

/// Addresses of all on-chip tiles. A tile lives from its first to its last use in program order; memory is handed out in
/// rotation, so a fresh tile meets the one that lay there longest ago. Throws Refused when the live tiles do not fit.
struct MemoryPlan {
  std::vector<std::vector<uint32_t>> follows;  ///< of each tensor: those whose memory it takes over
  int64_t sbuf_peak = 0;                       ///< bytes of a partition
  int psum_peak = 0;                           ///< banks
};
MemoryPlan plan_memory(Trace& trace, const Machine& machine);

enum class DependenceKind : uint8_t { read_after_write, write_after_read, write_after_write };
struct Dependence {
  uint32_t on = 0;  ///< an earlier instruction
  DependenceKind kind = DependenceKind::read_after_write;
};

/// Which accesses of an on-chip tile depend on each other: those that touch a common element (all that the answer needs, so the
/// least that a legal order may assume), or all of the tile (what the semaphores of the vendor's compiler follow: a packed
/// buffer of many tiles serialises its loads; docs/neuron-model.md).
enum class Grain : uint8_t { elements, tile };

class Dependences {
 public:
  Dependences(const Trace& trace, const MemoryPlan& plan, Grain grain);
  /// Of instruction `i`, on earlier ones.
  const Dependence* begin(size_t i) const { return edges_.data() + starts_[i]; }
  const Dependence* end(size_t i) const { return edges_.data() + starts_[i + 1]; }

 private:
  std::vector<size_t> starts_;
  std::vector<Dependence> edges_;
};

/// The in-order stream of each instruction: the engines, then the queues of DMA.
inline constexpr int stream_count = 5 + dma_queues;
std::vector<uint8_t> assign_streams(const Trace& trace);

}  // namespace heddle::neuron::sim
