// NeuronCore-v2, v3 and v4 as numbers: what the simulator checks against, and what its model of time is made of.
//
// The documented numbers carry their source in machine.cpp. Those marked `fitted` were chosen on the published matmul ladder
// alone (docs/neuron-model.md); nothing here was measured on a device.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heddle::neuron::sim {

enum class Engine : uint8_t { tensor, vector, scalar, gpsimd, sync, dma };
inline constexpr int engine_count = 6;
std::string_view engine_name(Engine engine);

struct Machine {
  std::string_view name;                  ///< "trn2"
  int generation;                         ///< 2, 3 or 4
  int64_t sbuf_bytes;                     ///< usable, of a partition
  std::array<double, 4> ghz;              ///< of tensor, vector, scalar, gpsimd
  double peak_bf16, peak_fp32, peak_fp8;  ///< TFLOP/s
  // DMA: each of 16 engines moves a run of contiguous bytes in `run_ns + bytes / engine_gbs`.
  double engine_gbs;                     ///< bytes a ns, theoretical
  double run_ns;                         ///< such that runs of 4 KiB reach the documented effective rate
  double dma_start_ns;                   ///< from the trigger to the first byte
  double dma_wait_ns;                    ///< the same of a transfer that had to wait for a semaphore
  double dma_trigger_ns;                 ///< between two triggers of one queue (fitted)
  double dma_done_ns;                    ///< from the last byte to the semaphore (fitted)
  double semaphore_ns;                   ///< from one engine's write to another's start (fitted)
  std::array<double, 4> latency_cycles;  ///< from an instruction's end to its result's first reader on the same engine
  bool shared_ports;  ///< v2: Vector and GpSimd exclude each other on SBUF, Vector and Scalar on PSUM
};

inline constexpr int partitions = 128;
inline constexpr int psum_banks = 8;
inline constexpr int64_t psum_bank_bytes = 2048;
inline constexpr int dma_engines = 16;
inline constexpr int dma_queues = 16;
inline constexpr double dma_run_bytes = 4096;  ///< longer runs are moved in pieces of this size, at the effective rate

/// "neuron/trn2", "trn2", "gen3"; nothing for other words.
std::optional<Machine> machine_named(std::string_view name);

}  // namespace heddle::neuron::sim
