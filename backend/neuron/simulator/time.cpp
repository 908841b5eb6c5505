#include "backend/neuron/simulator/time.h"

#include <algorithm>
#include <cmath>

namespace heddle::neuron::sim {
namespace {

// Elements that lie side by side in both windows, in row-major order of each: what one descriptor moves.
int64_t run_elements(const Trace& trace, const View& v) {
  const bool chip = on_chip(trace.tensors[v.tensor].memory);
  int64_t run = 1;
  for (int d = v.rank - 1; d >= (chip || v.rows_from >= 0 ? 1 : 0); --d) {
    if (v.size[d] == 1) continue;
    if (v.stride[d] != run) break;
    run *= v.size[d];
  }
  return run;
}

class Clock {
 public:
  Clock(const Trace& trace, const MemoryPlan& plan, const Machine& machine, bool timeline)
      : trace_(trace),
        machine_(machine),
        keep_(timeline),
        dependences_(trace, plan, Grain::tile),
        streams_(assign_streams(trace)),
        begin_(trace.instructions.size()),
        end_(trace.instructions.size(), -1) {
    report_.sbuf_peak_bytes = plan.sbuf_peak;
    report_.psum_peak_banks = plan.psum_peak;
  }

  Report run() {
    const size_t n = trace_.instructions.size();
    std::vector<std::vector<uint32_t>> queue(stream_count);
    for (size_t i = 0; i < n; ++i) queue[streams_[i]].push_back(static_cast<uint32_t>(i));
    std::vector<size_t> head(stream_count);
    // Conservative in time: among the streams whose head has all it waits for, the one that can go first goes first; nothing
    // that is scheduled later can start before it.
    std::vector<double> known(stream_count, -1);  // of a head whose time is settled
    for (size_t left = n; left > 0; --left) {
      int best = -1;
      double when = 0;
      for (int s = 0; s < stream_count; ++s) {
        if (head[s] == queue[s].size()) continue;
        uint32_t i = queue[s][head[s]];
        if (known[s] < 0) known[s] = ready(i);
        if (known[s] < 0) continue;
        double t = std::max(known[s], free_[s]);
        if (best < 0 || t < when) best = s, when = t;
      }
      uint32_t i = queue[best][head[best]++];
      known[best] = -1;
      start(i, best, when, when > free_[best]);
    }
    finish();
    return std::move(report_);
  }

 private:
  double cycle_ns(Engine e) const { return 1 / machine_.ghz[static_cast<size_t>(e)]; }

  // When all that instruction `i` waits for is there; -1 while that is not known.
  double ready(uint32_t i) const {
    const Instruction& me = trace_.instructions[i];
    double t = 0;
    for (const Dependence* d = dependences_.begin(i); d != dependences_.end(i); ++d) {
      if (end_[d->on] < 0) return -1;
      const Instruction& other = trace_.instructions[d->on];
      double at = end_[d->on];
      if (other.engine == me.engine && me.engine != Engine::dma) {
        // In order, so only a result has to be waited for; the PE array adds to PSUM without a pause.
        if (d->kind == DependenceKind::read_after_write && me.engine != Engine::tensor) at += latency(other.engine);
        else continue;
      } else {
        if (other.engine != Engine::dma && d->kind != DependenceKind::write_after_read) at += latency(other.engine);
        at += machine_.semaphore_ns;
      }
      t = std::max(t, at);
    }
    return t;
  }

  double latency(Engine e) const { return machine_.latency_cycles[static_cast<size_t>(e)] * cycle_ns(e); }

  void start(uint32_t i, int stream, double t, bool waited) {
    const Instruction& me = trace_.instructions[i];
    if (me.epoch != epoch_) {  // iterations of a dynamic loop do not overlap; its bookkeeping is (inferred) 2 us
      epoch_ = me.epoch;
      if (latest_ > 0) fence_ = latest_ + 2000;
    }
    t = std::max(t, fence_);
    ++report_.instructions[static_cast<size_t>(me.engine)];
    if (me.engine == Engine::dma) return transfer(i, stream, t, waited);
    double ns = instruction_cycles(trace_, me) * cycle_ns(me.engine);
    if (machine_.shared_ports) t = take_port(me, t, ns);
    begin_[i] = t;
    end_[i] = free_[stream] = t + ns;
    report_.busy_ns[static_cast<size_t>(me.engine)] += ns;
    if (me.op == Opcode::nc_matmul) {
      const double macs = static_cast<double>(me.in[0].size[0]) * me.in[0].free_elements() * me.in[1].free_elements() /
                          (me.double_row ? 2 : 1);
      report_.flops += 2 * macs;
      const double peak = me.in[0].dtype == Dtype::f32 ? machine_.peak_fp32
                          : me.double_row              ? machine_.peak_fp8
                                                       : machine_.peak_bf16;
      ideal_ns_ += 2 * macs / (peak * 1000);
    }
    done(i, stream);
  }

  // v2: Vector and GpSimd exclude each other on SBUF, Vector and Scalar on PSUM.
  double take_port(const Instruction& me, double t, double ns) {
    bool sbuf = false, psum = false;
    for (const auto* views : {&me.in, &me.out})
      for (const View& v : *views) (trace_.tensors[v.tensor].memory == Memory::psum ? psum : sbuf) = true;
    const Engine e = me.engine;
    const bool a = sbuf && (e == Engine::vector || e == Engine::gpsimd),
               b = psum && (e == Engine::vector || e == Engine::scalar);
    if (a) t = std::max(t, ports_[0]);
    if (b) t = std::max(t, ports_[1]);
    if (a) ports_[0] = t + ns;
    if (b) ports_[1] = t + ns;
    return t;
  }

  void transfer(uint32_t i, int stream, double t, bool waited) {
    const Instruction& me = trace_.instructions[i];
    const View &src = me.in[0], &dst = me.out[0];
    const Tensor &from = trace_.tensors[src.tensor], &to = trace_.tensors[dst.tensor];
    const int64_t elements = src.elements();
    int64_t run = std::min(run_elements(trace_, src), run_elements(trace_, dst));
    const int width = std::max(dtype_bytes(src.dtype), dtype_bytes(dst.dtype));
    double factor = 1;
    if (me.op == Opcode::dma_transpose) {
      // At most 90 % of the throughput from HBM, 50 % from SBUF (trainium2_arch.rst); runs are those of src.
      run = run_elements(trace_, src);
      factor = on_chip(from.memory) ? 2 : 1 / 0.9;
    }
    const View* chip = on_chip(to.memory) ? &dst : on_chip(from.memory) ? &src : nullptr;
    const double run_bytes = static_cast<double>(run) * width;
    const double bytes_ns =
        run_bytes / machine_.engine_gbs + machine_.run_ns * std::max(1.0, run_bytes / dma_run_bytes);
    const double first_byte = t + (waited ? machine_.dma_wait_ns : machine_.dma_start_ns);
    double last = t;
    std::array<double, dma_engines> runs{};
    if (chip && me.op != Opcode::dma_transpose) {
      const int64_t row = std::max<int64_t>(1, trace_.tensors[chip->tensor].row);
      const int64_t first = chip->offset / row, per = std::max<int64_t>(1, elements / chip->size[0] / run);
      for (int64_t p = 0; p < chip->size[0]; ++p) runs[(first + p) / 8 % dma_engines] += per;
    } else {
      const int64_t total = std::max<int64_t>(1, elements / run);
      for (int e = 0; e < dma_engines; ++e) runs[e] = total / dma_engines + (e < total % dma_engines);
    }
    begin_[i] = t;
    free_[stream] = t + machine_.dma_trigger_ns;
    for (int e = 0; e < dma_engines; ++e) {
      if (!runs[e]) continue;
      const double ns = runs[e] * bytes_ns * factor, at = std::max(first_byte, engine_free_[e]);
      engine_free_[e] = at + ns;
      last = std::max(last, engine_free_[e]);
      report_.busy_ns[static_cast<size_t>(Engine::dma)] += ns / dma_engines;
    }
    end_[i] = last + machine_.dma_done_ns;
    report_.dma_bytes += elements * width;
    if (!on_chip(from.memory)) report_.hbm_read_bytes += elements * dtype_bytes(src.dtype);
    if (!on_chip(to.memory)) report_.hbm_written_bytes += elements * dtype_bytes(dst.dtype);
    done(i, stream);
  }

  void done(uint32_t i, int stream) {
    latest_ = std::max(latest_, end_[i]);
    if (!keep_) return;
    const Instruction& me = trace_.instructions[i];
    report_.timeline.push_back(
        {static_cast<uint8_t>(stream), begin_[i], end_[i], i, trace_.source->at(me.begin).line, opcode_name(me.op)});
  }

  void finish() {
    report_.kernel = trace_.kernel;
    report_.target = "neuron/" + std::string(machine_.name);
    report_.ns = latest_;
    report_.utilisation = latest_ > 0 ? ideal_ns_ / latest_ : 0;
    report_.static_instructions = trace_.static_instructions;
    for (int e = 1; e < engine_count; ++e)
      if (report_.busy_ns[e] > report_.busy_ns[static_cast<size_t>(report_.critical)])
        report_.critical = static_cast<Engine>(e);
  }

  const Trace& trace_;
  const Machine& machine_;
  bool keep_;
  Dependences dependences_;
  std::vector<uint8_t> streams_;
  std::vector<double> begin_, end_;
  std::array<double, stream_count> free_{};
  std::array<double, dma_engines> engine_free_{};
  double ports_[2] = {0, 0};
  double latest_ = 0, ideal_ns_ = 0, fence_ = 0;
  int32_t epoch_ = 0;
  Report report_;
};

}  // namespace

Report model_time(const Trace& trace, const MemoryPlan& plan, const Machine& machine, bool timeline) {
  return Clock(trace, plan, machine, timeline).run();
}

}  // namespace heddle::neuron::sim
