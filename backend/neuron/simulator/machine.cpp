#include "backend/neuron/simulator/machine.h"

namespace heddle::neuron::sim {
namespace {

// Clocks, memories, peaks: nki/guides/architecture/{trainium_inferentia2,trainium2,trainium3}_arch.rst. Usable SBUF bytes:
// HardwareConstants.h of nkipy. DMA rates: nki/deep-dives/nki-dma-bandwidth-guide.rst: 27.2 (38.4 on v4) bytes a ns by
// construction, 17, 23 and 33 effective with runs of 4 KiB, which gives run_ns = 4096 / effective - 4096 / theoretical.
// dma_start_ns: about 600 ns for a hardware descriptor (nki/deep-dives/nki-dge.rst); v2 has none and takes the 1300 ns of the
// bandwidth guide, which is also what a transfer takes that waits for a semaphore. Latencies: about 60 cycles of access and 100 of a dependent instruction (trainium_inferentia2_arch.rst);
// a chain of dependent 1-element ScalarE instructions takes 264 cycles each (nki/deep-dives/nki_perf_guide.rst).
constexpr Machine machines[] = {
    {.name = "trn1",
     .generation = 2,
     .sbuf_bytes = 180'224,
     .ghz = {2.8, 1.12, 1.4, 1.4},
     .peak_bf16 = 91.75,
     .peak_fp32 = 22.94,
     .peak_fp8 = 91.75,
     .engine_gbs = 27.2,
     .run_ns = 90.3,
     .dma_start_ns = 1300,
     .dma_wait_ns = 1300,
     .dma_trigger_ns = 60,
     .dma_done_ns = 50,
     .semaphore_ns = 30,
     .latency_cycles = {64, 100, 200, 100},
     .shared_ports = true},
    {.name = "trn2",
     .generation = 3,
     .sbuf_bytes = 212'984,
     .ghz = {2.4, 0.96, 1.2, 1.2},
     .peak_bf16 = 78.64,
     .peak_fp32 = 19.66,
     .peak_fp8 = 157.3,
     .engine_gbs = 27.2,
     .run_ns = 27.5,
     .dma_start_ns = 600,
     .dma_wait_ns = 1300,
     .dma_trigger_ns = 60,
     .dma_done_ns = 50,
     .semaphore_ns = 30,
     .latency_cycles = {64, 100, 200, 100},
     .shared_ports = false},
    {.name = "trn3",
     .generation = 4,
     .sbuf_bytes = 245'752,
     .ghz = {2.4, 1.2, 1.2, 1.2},
     .peak_bf16 = 78.64,
     .peak_fp32 = 19.66,
     .peak_fp8 = 157.3,
     .engine_gbs = 38.4,
     .run_ns = 17.5,
     .dma_start_ns = 600,
     .dma_wait_ns = 1300,
     .dma_trigger_ns = 60,
     .dma_done_ns = 50,
     .semaphore_ns = 30,
     .latency_cycles = {64, 100, 200, 100},
     .shared_ports = false},
};

}  // namespace

std::string_view engine_name(Engine engine) {
  constexpr std::string_view names[] = {"tensor", "vector", "scalar", "gpsimd", "sync", "dma"};
  return names[static_cast<size_t>(engine)];
}

std::optional<Machine> machine_named(std::string_view name) {
  if (name.substr(0, 7) == "neuron/") name.remove_prefix(7);
  if (name == "neuron" || name.empty()) name = "trn2";
  if (name == "gen2" || name == "inf2") name = "trn1";
  if (name == "gen3") name = "trn2";
  if (name == "gen4") name = "trn3";
  for (const Machine& m : machines)
    if (m.name == name) return m;
  return std::nullopt;
}

}  // namespace heddle::neuron::sim
