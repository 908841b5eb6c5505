// What each instruction computes.
#include "backend/neuron/simulator/execute.h"

#include "backend/neuron/simulator/machinery.h"
#include "backend/neuron/simulator/matmul.h"

namespace heddle::neuron::sim {
namespace {

struct Random {
  uint64_t state;
  uint64_t next() {  // splitmix64
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
};

// An immediate of a bitvec op.
int64_t whole_number(float value) { return value >= -0x1p62f && value <= 0x1p62f ? static_cast<int64_t>(value) : 0; }

}  // namespace

void Machinery::dispatch(const Instruction& i) {
  const int64_t p = i.out[0].size[0], f = i.out[0].free_elements();
  switch (i.op) {
    case Opcode::dma_copy:
    case Opcode::tensor_copy: return copy(i.out[0], i.in[0]);
    case Opcode::dma_transpose: return dma_transpose(i);
    case Opcode::nc_matmul: return matmul(i);
    case Opcode::nc_transpose: {
      if (!is_float(i.in[0].dtype)) {
        std::vector<int64_t> a = load_integers(i.in[0]), t(a.size());
        for (int64_t r = 0; r < p; ++r)
          for (int64_t c = 0; c < f; ++c) t[r * f + c] = a[c * p + r];
        return store_integers(i.out[0], t);
      }
      Floats a = load(i.in[0]), t(a.size());
      for (int64_t r = 0; r < p; ++r)
        for (int64_t c = 0; c < f; ++c) t[r * f + c] = a[c * p + r];
      return store(i.out[0], t);
    }
    case Opcode::memset:
      if (!is_float(i.out[0].dtype)) return store_integers(i.out[0], std::vector<int64_t>(p * f, i.pattern_offset));
      return store(i.out[0], Floats(p * f, i.operand0.value));
    case Opcode::tensor_tensor:
      if (is_bitvec(i.op0) || i.exact_integer) {
        std::vector<int64_t> a = load_integers(i.in[0], is_bitvec(i.op0)), b = load_integers(i.in[1], is_bitvec(i.op0));
        for (size_t k = 0; k < a.size(); ++k) a[k] = apply_integer(i.op0, a[k], b[k]);
        return store_integers(i.out[0], a);
      } else {
        Floats a = load(i.in[0]), b = load(i.in[1]);
        apply_alu(i.op0, a.data(), 1, b.data(), 1, p * f, a.data());
        return store(i.out[0], a);
      }
    case Opcode::tensor_scalar: return tensor_scalar(i);
    case Opcode::scalar_tensor_tensor: {
      Floats a = load(i.in[0]), b = load(i.in[1]);
      apply_rows(i.op0, i.reverse0, a, scalars(i, i.operand0, p), f);
      if (i.reverse1) apply_alu(i.op1, b.data(), 1, a.data(), 1, p * f, a.data());
      else apply_alu(i.op1, a.data(), 1, b.data(), 1, p * f, a.data());
      return store(i.out[0], a);
    }
    case Opcode::tensor_scalar_reduce: {
      Floats a = load(i.in[0]), total(p, reduction_start(i.op1));
      apply_rows(i.op0, i.reverse0, a, scalars(i, i.operand0, p), f);
      for (int64_t r = 0; r < p; ++r)
        for (int64_t c = 0; c < f; ++c) apply_alu(i.op1, &total[r], 0, &a[r * f + c], 0, 1, &total[r]);
      store(i.out[0], a);
      return store(i.out[1], total);
    }
    case Opcode::tensor_reduce: return tensor_reduce(i);
    case Opcode::tensor_partition_reduce: {
      Floats a = load(i.in[0]), total(f, reduction_start(i.op0));
      for (int64_t r = 0; r < i.in[0].size[0]; ++r)
        apply_alu(i.op0, total.data(), 1, a.data() + r * f, 1, f, total.data());
      return store(i.out[0], total);
    }
    case Opcode::tensor_tensor_scan: return scan(i);
    case Opcode::activation: return activation(i);
    case Opcode::reciprocal: {
      Floats a = load(i.in[0]);
      for (float& x : a) x = 1 / x;
      return store(i.out[0], a);
    }
    case Opcode::iota:
    case Opcode::affine_select: return patterns(i);
    case Opcode::bn_stats: return bn_stats(i);
    case Opcode::bn_aggr: return bn_aggr(i);
    case Opcode::max8: {
      Floats a = load(i.in[0]), top;
      const int64_t n = i.in[0].free_elements();
      for (int64_t r = 0; r < p; ++r) {
        Floats row(a.begin() + r * n, a.begin() + (r + 1) * n);
        std::sort(row.begin(), row.end(), [](float x, float y) { return x > y || (x == x && y != y); });
        top.insert(top.end(), row.begin(), row.begin() + 8);
      }
      return store(i.out[0], top);
    }
    case Opcode::tensor_copy_predicated: return predicated(i);
    case Opcode::nc_n_gather: return gather(i);
    case Opcode::nc_stream_shuffle: {
      for (int64_t r = 0; r < p; ++r) {
        if (i.mask[r % 32] == 255) continue;
        View from = i.in[0], to = i.out[0];
        from.offset += (r / 32 * 32 + i.mask[r % 32]) * from.stride[0], to.offset += r * to.stride[0];
        from.size[0] = to.size[0] = 1;
        copy(to, from);
      }
      return;
    }
  }
}

// dst[M, N] (+)= stationary[K, M].T @ moving[K, N]. Products and sums in fp32; the sum over K is made first, then added to PSUM.
void Machinery::matmul(const Instruction& i) {
  const View &dst = i.out[0], &stationary = i.in[0], &moving = i.in[1];
  const int64_t halves = i.double_row ? 2 : 1;
  const int64_t k = stationary.size[0] * halves, m = stationary.free_elements() / halves,
                n = moving.free_elements() / halves;
  Floats a = load(stationary), b = load(moving), sum(m * n, 0.0f);
  multiply_transposed(a.data(), b.data(), k, m, n, sum.data());
  Store& s = *stores_[dst.tensor];
  const int width = dtype_bytes(dst.dtype);
  float* next = sum.data();
  Floats old;
  runs(dst, [&](int64_t at, int64_t stride, int64_t count) {
    if (i.accumulate != Accumulate::overwrite) {
      old.resize(count);
      load_floats(dst.dtype, s.bytes.data() + at * width, stride, count, old.data());
      for (int64_t e = 0; e < count; ++e) {
        const unsigned char how = s.written[at + e * stride];
        if (how == 2) {
          next[e] += old[e];
        } else if (how == 1 && machine_.generation < 4) {
          refuse_rule(RuleId::accumulate_foreign,
                      Diagnostic(codes::nki_rule, trace_.place(i),
                                 "the product is added to `" + trace_.tensors[dst.tensor].name + "` at " +
                                     coordinates(dst.tensor, at + e * stride) + ", which no matmul wrote")
                          .label(trace_.tensors[dst.tensor].place, "allocated here"));
        } else if (how == 1) {
          next[e] += old[e];
        } else if (i.accumulate == Accumulate::add) {
          refuse_rule(RuleId::accumulate_first,
                      Diagnostic(codes::nki_rule, trace_.place(i),
                                 "the product is added to `" + trace_.tensors[dst.tensor].name + "` at " +
                                     coordinates(dst.tensor, at + e * stride) + ", which nothing has written")
                          .label(trace_.tensors[dst.tensor].place, "allocated here"));
        }
      }
    }
    store_floats(dst.dtype, s.bytes.data() + at * width, stride, count, next);
    mark(s, at, stride, count, 2);
    next += count;
  });
}

void Machinery::activation(const Instruction& i) {
  const int64_t p = i.in[0].size[0], f = i.in[0].free_elements();
  Floats a = load(i.in[0]);
  if (i.operand0.given) apply_rows(AluOp::multiply, false, a, scalars(i, i.operand0, p), f);
  if (i.operand1.given) apply_rows(AluOp::add, false, a, scalars(i, i.operand1, p), f);
  for (float& x : a) {
    if (!in_domain(i.function, x))
      refuse_rule(RuleId::activation_domain, trace_.place(i),
                  "`nl." + std::string(function_name(i.function)) + "` of " + std::to_string(x) + " is undefined");
    x = apply_function(i.function, x);
  }
  if (i.reduce == ReduceCommand::reset || i.reduce == ReduceCommand::reset_reduce) {
    std::fill(registers_.begin(), registers_.end(), 0.0f);
    registers_set_ = true;
  }
  if (i.reduce == ReduceCommand::reduce || i.reduce == ReduceCommand::reset_reduce) {
    if (!registers_set_)
      refuse_rule(RuleId::initialised, trace_.place(i), "the accumulator registers are added to before they are reset");
    for (int64_t r = 0; r < p; ++r)
      for (int64_t c = 0; c < f; ++c) registers_[r] += a[r * f + c];
  }
  store(i.out[0], a);
  if (i.out.size() > 1) {
    if (!registers_set_)
      refuse_rule(RuleId::initialised, trace_.place(i), "the accumulator registers are read before they are reset");
    store(i.out[1], Floats(registers_.begin(), registers_.begin() + p));
  }
}

void Machinery::tensor_scalar(const Instruction& i) {
  const int64_t p = i.in[0].size[0], f = i.in[0].free_elements();
  if (is_bitvec(i.op0)) {
    std::vector<int64_t> a = load_integers(i.in[0], true);
    auto step = [&](AluOp op, const Operand& o, bool reverse) {
      if (op == AluOp::bypass) return;
      std::vector<int64_t> s(p, whole_number(o.value));
      if (o.tile && is_float(i.in[o.input].dtype)) {
        Floats values = load(i.in[o.input]);
        std::transform(values.begin(), values.end(), s.begin(), whole_number);
      } else if (o.tile) {
        s = load_integers(i.in[o.input], true);
      }
      for (int64_t r = 0; r < p; ++r)
        for (int64_t c = 0; c < f; ++c) {
          int64_t& x = a[r * f + c];
          x = reverse ? apply_integer(op, s[r], x) : apply_integer(op, x, s[r]);
          x &= (int64_t{1} << (8 * dtype_bytes(i.in[0].dtype))) - 1;
        }
    };
    step(i.op0, i.operand0, i.reverse0);
    step(i.op1, i.operand1, i.reverse1);
    return store_integers(i.out[0], a);
  }
  Floats a = load(i.in[0]);
  apply_rows(i.op0, i.reverse0, a, scalars(i, i.operand0, p), f);
  if (i.op1 != AluOp::bypass) apply_rows(i.op1, i.reverse1, a, scalars(i, i.operand1, p), f);
  store(i.out[0], a);
}

void Machinery::tensor_reduce(const Instruction& i) {
  int64_t n = 1;
  for (int d = i.in[0].rank - i.reduced_axes; d < i.in[0].rank; ++d) n *= i.in[0].size[d];
  const int64_t rows = i.in[0].elements() / n;
  if (is_bitvec(i.op0)) {
    std::vector<int64_t> a = load_integers(i.in[0], true), out;
    for (int64_t r = 0; r < rows; ++r) {
      int64_t total = a[r * n];
      for (int64_t c = 1; c < n; ++c) total = apply_integer(i.op0, total, a[r * n + c]);
      out.push_back(total);
    }
    return store_integers(i.out[0], out);
  }
  Floats a = load(i.in[0]), out(rows);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = a.data() + r * n;
    float total = row[0];
    if (i.op0 == AluOp::add)
      for (int64_t c = 1; c < n; ++c) total += row[c];
    else
      for (int64_t c = 1; c < n; ++c) apply_alu(i.op0, &total, 0, &row[c], 0, 1, &total);
    out[r] = i.negate ? -total : total;
  }
  store(i.out[0], out);
}

void Machinery::scan(const Instruction& i) {
  const int64_t p = i.in[0].size[0], f = i.in[0].free_elements();
  Floats a = load(i.in[0]), b = load(i.in[1]), state = scalars(i, i.operand0, p);
  for (int64_t r = 0; r < p; ++r)
    for (int64_t c = 0; c < f; ++c) {
      float &x = a[r * f + c], &y = b[r * f + c], t;
      if (i.reverse0) apply_alu(i.op0, &state[r], 0, &x, 0, 1, &t);
      else apply_alu(i.op0, &x, 0, &state[r], 0, 1, &t);
      if (i.reverse1) apply_alu(i.op1, &y, 0, &t, 0, 1, &state[r]);
      else apply_alu(i.op1, &t, 0, &y, 0, 1, &state[r]);
      x = state[r];
    }
  store(i.out[0], a);
}

void Machinery::patterns(const Instruction& i) {
  const int64_t p = i.out[0].size[0], f = i.out[0].free_elements();
  std::vector<int64_t> value(p * f);
  int64_t sizes[4] = {1, 1, 1, 1}, steps[4] = {0, 0, 0, 0};
  for (size_t d = 0; d < i.pattern.size(); ++d) {
    steps[4 - i.pattern.size() + d] = i.pattern[d][0];
    sizes[4 - i.pattern.size() + d] = i.pattern[d][1];
  }
  size_t at = 0;
  for (int64_t r = 0; r < p; ++r)
    for (int64_t w = 0; w < sizes[0]; ++w)
      for (int64_t z = 0; z < sizes[1]; ++z)
        for (int64_t y = 0; y < sizes[2]; ++y)
          for (int64_t x = 0; x < sizes[3]; ++x)
            value[at++] =
                i.pattern_offset + r * i.channel_multiplier + w * steps[0] + z * steps[1] + y * steps[2] + x * steps[3];
  if (i.op == Opcode::iota) return store_integers(i.out[0], value);
  Floats a = load(i.in[0]);
  for (size_t e = 0; e < a.size(); ++e)
    if (!apply_integer(i.op0, value[e], 0)) a[e] = i.operand0.value;
  store(i.out[0], a);
}

void Machinery::bn_stats(const Instruction& i) {
  const int64_t p = i.in[0].size[0], f = i.in[0].free_elements();
  Floats a = load(i.in[0]), out;
  for (int64_t r = 0; r < p; ++r)
    for (int64_t odd = 0; odd < 2; ++odd) {
      double count = 0, mean = 0, spread = 0;
      for (int64_t c = odd; c < f; c += 2) count += 1, mean += a[r * f + c];
      if (count) mean /= count;
      for (int64_t c = odd; c < f; c += 2) spread += (a[r * f + c] - mean) * (a[r * f + c] - mean);
      for (double v : {count, mean, spread}) out.push_back(static_cast<float>(v));
    }
  store(i.out[0], out);
}

void Machinery::bn_aggr(const Instruction& i) {
  const int64_t p = i.in[0].size[0], f = i.in[0].free_elements();
  Floats a = load(i.in[0]), out;
  for (int64_t r = 0; r < p; ++r) {
    double count = 0, mean = 0, spread = 0;
    for (int64_t c = 0; c < f; c += 3)
      count += a[r * f + c], mean += static_cast<double>(a[r * f + c]) * a[r * f + c + 1];
    if (count) mean /= count;
    for (int64_t c = 0; c < f; c += 3) {
      double d = a[r * f + c + 1] - mean;
      spread += a[r * f + c + 2] + a[r * f + c] * d * d;
    }
    out.push_back(static_cast<float>(mean));
    out.push_back(static_cast<float>(count ? spread / count : 0));
  }
  store(i.out[0], out);
}

void Machinery::predicated(const Instruction& i) {
  std::vector<int64_t> choose = load_integers(i.in[0], true);
  // Element by element, so that what is not chosen need not be written, nor be read.
  size_t next = 0;
  Store& d = *stores_[i.out[0].tensor];
  const int width = dtype_bytes(i.out[0].dtype);
  std::vector<int64_t> from;
  if (i.operand0.tile)
    runs(i.in[1], [&](int64_t at, int64_t stride, int64_t count) {
      for (int64_t e = 0; e < count; ++e) from.push_back(at + e * stride);
    });
  runs(i.out[0], [&](int64_t at, int64_t stride, int64_t count) {
    for (int64_t e = 0; e < count; ++e, ++next) {
      if ((choose[next] != 0) == i.reverse0) continue;
      unsigned char* to = d.bytes.data() + (at + e * stride) * width;
      if (i.operand0.tile) {
        const Store& s = *stores_[i.in[1].tensor];
        if (!s.written.empty() && !s.written[from[next]]) unwritten(i.in[1].tensor, from[next]);
        std::memcpy(to, s.bytes.data() + from[next] * width, width);
      } else {
        store_floats(i.out[0].dtype, to, 1, 1, &i.operand0.value);
      }
      mark(d, at + e * stride, 1, 1, 1);
    }
  });
}

// Elements with their own bits; what no index names need not be written.
void Machinery::gather(const Instruction& i) {
  const View &dst = i.out[0], &data = i.in[0];
  const int64_t columns = data.free_elements();
  const std::vector<int64_t> which = load_integers(i.in[1]);
  std::vector<int64_t> from;
  runs(data, [&](int64_t at, int64_t stride, int64_t count) {
    for (int64_t e = 0; e < count; ++e) from.push_back(at + e * stride);
  });
  const Store& s = *stores_[data.tensor];
  const int width = dtype_bytes(data.dtype);
  std::vector<unsigned char> held(which.size() * width);
  const auto each = static_cast<size_t>(dst.free_elements());
  for (size_t n = 0; n < which.size(); ++n) {
    if (which[n] < 0 || which[n] >= columns)
      refuse_rule(RuleId::gather, trace_.place(*now_),
                  "index " + std::to_string(which[n]) + " of " + std::to_string(columns) + " elements of a partition");
    const int64_t at = from[static_cast<int64_t>(n / each) * columns + which[n]];
    if (!s.written.empty() && !s.written[at]) unwritten(data.tensor, at);
    std::memcpy(held.data() + n * width, s.bytes.data() + at * width, width);
  }
  const unsigned char* next = held.data();
  Store& d = *stores_[dst.tensor];
  runs(dst, [&](int64_t at, int64_t stride, int64_t count) {
    for (int64_t e = 0; e < count; ++e, next += width)
      std::memcpy(d.bytes.data() + (at + e * stride) * width, next, width);
    mark(d, at, stride, count, 1);
  });
}

void Machinery::dma_transpose(const Instruction& i) {
  View turned = i.in[0];
  for (int d = 0; d < turned.rank; ++d)
    turned.size[d] = i.in[0].size[i.mask[d]], turned.stride[d] = i.in[0].stride[i.mask[d]];
  copy(i.out[0], turned);
}

void execute(const Trace& trace, const MemoryPlan& plan, const Machine& machine, const ExecuteOptions& options,
             std::vector<std::unique_ptr<Store>>& stores) {
  Machinery machinery(trace, machine, stores);
  const size_t n = trace.instructions.size();
  if (!options.shuffle) {
    for (const Instruction& i : trace.instructions) machinery.run(i);
    return machinery.finish();
  }
  Dependences dependences(trace, plan, Grain::elements);
  std::vector<uint8_t> streams = assign_streams(trace);
  std::vector<std::vector<uint32_t>> queue(stream_count);
  for (size_t i = 0; i < n; ++i) queue[streams[i]].push_back(static_cast<uint32_t>(i));
  std::vector<size_t> head(stream_count);
  std::vector<bool> done(n);
  Random random{options.seed};
  std::vector<int> ready;
  for (size_t left = n; left > 0; --left) {
    ready.clear();
    for (int s = 0; s < stream_count; ++s) {
      if (head[s] == queue[s].size()) continue;
      uint32_t i = queue[s][head[s]];
      bool can = true;
      for (const Dependence* d = dependences.begin(i); can && d != dependences.end(i); ++d)
        can = done[d->on] || d->kind == options.forget;
      if (can) ready.push_back(s);
    }
    int s = ready[random.next() % ready.size()];
    uint32_t i = queue[s][head[s]++];
    machinery.run(trace.instructions[i]);
    done[i] = true;
  }
  machinery.finish();
}

}  // namespace heddle::neuron::sim
