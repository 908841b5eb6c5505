// A NeuronCore kernel on the simulator, called as compiled code is: the op's arrays become those that the text takes, its results go back.
#include <cstring>

#include "api/impl.h"
#include "backend/neuron/simulator/simulate.h"

namespace heddle::api {
namespace {

namespace sim = neuron::sim;
using Bytes = std::vector<unsigned char>;

// Of elements in row-major order each one's place in the array, in elements.
template <class F>
void each_element(const jit::ArrayArg& a, F f) {
  int64_t count = 1;
  for (int d = 0; d < a.rank; ++d) count *= a.extents[d];
  std::vector<int64_t> index(a.rank);
  for (int64_t n = 0, at = 0; n < count; ++n) {
    f(n, at);
    for (int d = a.rank - 1; d >= 0; --d) {
      at += a.strides[d];
      if (++index[d] < a.extents[d]) break;
      at -= a.strides[d] * a.extents[d];
      index[d] = 0;
    }
  }
}

int64_t elements_of(const std::vector<int64_t>& extents) {
  int64_t count = 1;
  for (int64_t e : extents) count *= e;
  return count;
}

Bytes dense(const jit::ArrayArg& a) {
  const int width = ir::scalar_bytes(a.type);
  Bytes out(elements_of({a.extents, a.extents + a.rank}) * width);
  const auto* from = static_cast<const unsigned char*>(a.data);
  each_element(a, [&](int64_t n, int64_t at) { std::memcpy(out.data() + n * width, from + at * width, width); });
  return out;
}

// 64-bit integers are 32-bit ones in the text.
bool is_long(ir::ScalarType type) { return type == ir::ScalarType::i64 || type == ir::ScalarType::u64; }
template <class To, class From>
Bytes converted(const Bytes& from) {
  Bytes out(from.size() / sizeof(From) * sizeof(To));
  for (size_t n = 0; n < from.size() / sizeof(From); ++n) {
    From x;
    std::memcpy(&x, from.data() + n * sizeof(From), sizeof x);
    const To y = static_cast<To>(x);
    std::memcpy(out.data() + n * sizeof(To), &y, sizeof y);
  }
  return out;
}

void write(const jit::ArrayArg& a, const Bytes& from) {
  const int width = ir::scalar_bytes(a.type);
  auto* to = static_cast<unsigned char*>(a.data);
  each_element(a, [&](int64_t n, int64_t at) { std::memcpy(to + at * width, from.data() + n * width, width); });
}

NeuronReport report_of(const sim::Report& r, bool timeline) {
  NeuronReport out;
  out.modelled_us = r.ns / 1000;
  out.utilisation = r.utilisation;
  out.critical = sim::engine_name(r.critical);
  for (int e = 0; e < sim::engine_count; ++e) {
    const std::string name(sim::engine_name(static_cast<sim::Engine>(e)));
    out.engines[name] = r.busy(static_cast<sim::Engine>(e));
    out.instructions[name] = r.instructions[e];
  }
  out.dma_bytes = r.dma_bytes;
  out.hbm_read_bytes = r.hbm_read_bytes;
  out.hbm_written_bytes = r.hbm_written_bytes;
  out.flops = r.flops;
  out.sbuf_peak_bytes = r.sbuf_peak_bytes;
  out.psum_peak_banks = r.psum_peak_banks;
  out.static_instructions = r.static_instructions;
  out.text = sim::report_text(r);
  if (timeline) out.timeline = sim::timeline_json(r), out.picture = sim::timeline_svg(r);
  return out;
}

}  // namespace

Result<NeuronReport> simulate(const NeuronText& text, const std::vector<jit::ArrayArg>& arrays,
                              const std::vector<jit::ScalarArg>& scalars, const SimulateOptions& options) {
  const jit::CallPlan& plan = text.call->plan;
  std::vector<int64_t> dims(plan.dim_count());
  std::vector<uint64_t> words(plan.words());
  uint64_t strided = 0;
  if (jit::CallError e = plan.bind(arrays.data(), scalars.data(), dims.data(), words.data(), strided); e.kind)
    return plan.explain(e, arrays.data());

  std::vector<sim::SimArgument> given;
  size_t input = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (plan.arrays()[i].role == ir::Role::out) continue;
    sim::SimArray array{arrays[i].type, {arrays[i].extents, arrays[i].extents + arrays[i].rank}, dense(arrays[i])};
    for (const NeuronText::Packing& p : text.packings) {
      if (p.input != input) continue;
      Bytes packed(elements_of(p.shape) * ir::scalar_bytes(array.type));
      p.pack(array.bytes.data(), packed.data());
      array.extents = p.shape;
      array.bytes = std::move(packed);
    }
    if (is_long(array.type)) {
      array.bytes = converted<int32_t, int64_t>(array.bytes);
      array.type = ir::ScalarType::i32;
    }
    if (array.extents.empty()) array.extents = {1};
    given.emplace_back(std::move(array));
    ++input;
  }
  for (const jit::ScalarArg& s : scalars) given.emplace_back(static_cast<double>(static_cast<float>(s.real)));
  for (const NeuronText::Table& t : text.tables) {
    sim::SimArray table{ir::ScalarType::f32, t.shape, Bytes(t.data.size() * sizeof(float))};
    if (!t.data.empty()) std::memcpy(table.bytes.data(), t.data.data(), table.bytes.size());
    given.emplace_back(std::move(table));
  }

  sim::SimulateOptions how;
  how.target = text.target;
  how.seed = options.seed;
  how.timeline = options.timeline;
  how.max_instructions = text.instructions + 1;
  Result<sim::Simulation> run = sim::simulate(text.nki, text.call->name + ".nki.py", given, how);
  if (!run) return run.errors();
  size_t result = 0;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (plan.arrays()[i].role == ir::Role::in) continue;
    const Bytes& bytes = run->outputs[result++].bytes;
    write(arrays[i], is_long(arrays[i].type) ? converted<int64_t, int32_t>(bytes) : bytes);
  }
  return report_of(run->report, options.timeline);
}

}  // namespace heddle::api
