// The memories of the machine while a trace runs: tensors with what of them is written, and the loads and stores that instructions share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/neuron/simulator/execute.h"
#include "backend/neuron/simulator/refuse.h"

namespace heddle::neuron::sim {

using Floats = std::vector<float>;

class Machinery {
 public:
  Machinery(const Trace& trace, const Machine& machine, std::vector<std::unique_ptr<Store>>& stores)
      : trace_(trace), machine_(machine), stores_(stores), left_(trace.tensors.size()), registers_(partitions) {
    stores_.resize(trace.tensors.size());
    for (const Instruction& i : trace.instructions) each_tensor(i, [&](uint32_t t) { ++left_[t]; });
    for (uint32_t t : trace.outputs) ++left_[t];
  }

  void run(const Instruction& i) {
    now_ = &i;
    each_tensor(i, [&](uint32_t t) { open(t); });
    dispatch(i);
    each_tensor(i, [&](uint32_t t) {
      if (--left_[t] == 0 && trace_.tensors[t].memory != Memory::parameter) stores_[t].reset();
    });
  }

  void finish() {
    for (uint32_t t : trace_.outputs) {
      open(t);
      const Store& s = *stores_[t];
      auto hole = std::find(s.written.begin(), s.written.end(), 0);
      if (hole != s.written.end())
        refuse_rule(RuleId::initialised, trace_.tensors[t].place,
                    "the output `" + trace_.tensors[t].name + "` is not written at " +
                        coordinates(t, hole - s.written.begin()));
    }
  }

 private:
  template <class F>
  void each_tensor(const Instruction& i, F f) const {
    for (const auto* views : {&i.in, &i.out})
      for (const View& v : *views) {
        f(v.tensor);
        if (v.rows_from >= 0) f(trace_.indirect[v.rows_from].index.tensor);
      }
  }

  void open(uint32_t t) {
    if (stores_[t]) return;
    const Tensor& tensor = trace_.tensors[t];
    stores_[t] = std::make_unique<Store>();
    stores_[t]->bytes.assign(tensor.elements * dtype_bytes(tensor.dtype), 0xa5);
    stores_[t]->written.assign(tensor.elements, 0);
  }

  std::string coordinates(uint32_t t, int64_t element) const {
    const Tensor& tensor = trace_.tensors[t];
    std::string out;
    for (size_t d = tensor.shape.size(); d-- > 0;) {
      out = std::to_string(element % tensor.shape[d]) + (out.empty() ? "" : ", ") + out;
      element /= tensor.shape[d];
    }
    return "[" + out + "]";
  }

  [[noreturn]] void unwritten(uint32_t t, int64_t element) const {
    const Tensor& tensor = trace_.tensors[t];
    refuse_rule(RuleId::initialised, Diagnostic(codes::nki_uninitialised, trace_.place(*now_),
                                                "`" + tensor.name + "` is read at " + coordinates(t, element) +
                                                    ", which nothing has written")
                                         .label(tensor.place, "allocated here"));
  }

  // Runs of elements in row-major order of the window: f(first element, stride, count).
  template <class F>
  void runs(const View& v, F f) const {
    // Merge dims that lie behind each other, to make runs long.
    int64_t size[max_rank], stride[max_rank];
    int rank = 0;
    const bool indirect = v.rows_from >= 0;
    for (int i = 0; i < v.rank; ++i) {
      if (v.size[i] == 1 && !(indirect && i == 0)) continue;
      if (rank && stride[rank - 1] == v.stride[i] * v.size[i] && !(indirect && rank == 1)) {
        size[rank - 1] *= v.size[i], stride[rank - 1] = v.stride[i];
      } else {
        size[rank] = v.size[i], stride[rank] = v.stride[i], ++rank;
      }
    }
    if (!rank) size[0] = 1, stride[0] = 1, rank = 1;
    std::vector<int64_t> rows;
    if (indirect) {
      rows = row_numbers(v);
      if (rank == 1) size[1] = 1, stride[1] = 1, rank = 2;
    }
    int64_t index[max_rank + 1] = {};
    for (;;) {
      int64_t at = v.offset;
      for (int i = 0; i < rank - 1; ++i)
        at += i == 0 && indirect ? rows[index[0]] * trace_.indirect[v.rows_from].row_stride : index[i] * stride[i];
      f(at, stride[rank - 1], size[rank - 1]);
      int d = rank - 2;
      while (d >= 0 && ++index[d] == size[d]) index[d--] = 0;
      if (d < 0) return;
    }
  }

  std::vector<int64_t> row_numbers(const View& v) const {
    const Indirect& from = trace_.indirect[v.rows_from];
    std::vector<int64_t> rows;
    const Store& s = *stores_[from.index.tensor];
    const int width = dtype_bytes(from.index.dtype);
    runs(from.index, [&](int64_t at, int64_t stride, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        int64_t e = at + i * stride;
        if (!s.written.empty() && !s.written[e]) unwritten(from.index.tensor, e);
        int64_t row = load_integer(from.index.dtype, s.bytes.data() + e * width);
        if (row < 0 || row >= from.rows)
          refuse_rule(RuleId::dma_bounds, trace_.place(*now_),
                      "row " + std::to_string(row) + " of " + std::to_string(from.rows));
        rows.push_back(row);
      }
    });
    return rows;
  }

  void check_written(const View& v, int64_t at, int64_t stride, int64_t count) const {
    const Store& s = *stores_[v.tensor];
    if (s.written.empty()) return;
    if (stride == 1) {
      if (const void* hole = std::memchr(s.written.data() + at, 0, count))
        unwritten(v.tensor, static_cast<const unsigned char*>(hole) - s.written.data());
      return;
    }
    for (int64_t i = 0; i < count; ++i)
      if (!s.written[at + i * stride]) unwritten(v.tensor, at + i * stride);
  }

  Floats load(const View& v) const {
    Floats out(v.elements());
    float* to = out.data();
    const Store& s = *stores_[v.tensor];
    const int width = dtype_bytes(v.dtype);
    runs(v, [&](int64_t at, int64_t stride, int64_t count) {
      check_written(v, at, stride, count);
      load_floats(v.dtype, s.bytes.data() + at * width, stride, count, to);
      to += count;
    });
    return out;
  }

  // Integers with their own bits; bitvec ops want them without a sign.
  std::vector<int64_t> load_integers(const View& v, bool bits = false) const {
    std::vector<int64_t> out;
    out.reserve(v.elements());
    const Store& s = *stores_[v.tensor];
    const int width = dtype_bytes(v.dtype);
    const uint64_t keep = width == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * width)) - 1;
    runs(v, [&](int64_t at, int64_t stride, int64_t count) {
      check_written(v, at, stride, count);
      for (int64_t i = 0; i < count; ++i) {
        int64_t n = load_integer(v.dtype, s.bytes.data() + (at + i * stride) * width);
        out.push_back(bits ? static_cast<int64_t>(static_cast<uint64_t>(n) & keep) : n);
      }
    });
    return out;
  }

  void mark(Store& s, int64_t at, int64_t stride, int64_t count, unsigned char how) {
    if (s.written.empty()) return;
    if (stride == 1) std::memset(s.written.data() + at, how, count);
    else
      for (int64_t i = 0; i < count; ++i) s.written[at + i * stride] = how;
  }

  void store(const View& v, const Floats& values, unsigned char how = 1) {
    const float* from = values.data();
    Store& s = *stores_[v.tensor];
    const int width = dtype_bytes(v.dtype);
    runs(v, [&](int64_t at, int64_t stride, int64_t count) {
      store_floats(v.dtype, s.bytes.data() + at * width, stride, count, from);
      mark(s, at, stride, count, how);
      from += count;
    });
  }

  void store_integers(const View& v, const std::vector<int64_t>& values) {
    if (is_float(v.dtype)) return store(v, Floats(values.begin(), values.end()));
    size_t next = 0;
    Store& s = *stores_[v.tensor];
    const int width = dtype_bytes(v.dtype);
    runs(v, [&](int64_t at, int64_t stride, int64_t count) {
      for (int64_t i = 0; i < count; ++i)
        store_integer(v.dtype, s.bytes.data() + (at + i * stride) * width, values[next++]);
      mark(s, at, stride, count, 1);
    });
  }

  // A copy by bits where the types agree, through fp32 where not.
  void copy(const View& to, const View& from) {
    if (to.dtype != from.dtype) return store(to, load(from));
    const int width = dtype_bytes(from.dtype);
    std::vector<unsigned char> held;
    held.reserve(from.elements() * width);
    const Store& s = *stores_[from.tensor];
    runs(from, [&](int64_t at, int64_t stride, int64_t count) {
      check_written(from, at, stride, count);
      if (stride == 1) held.insert(held.end(), s.bytes.begin() + at * width, s.bytes.begin() + (at + count) * width);
      else
        for (int64_t i = 0; i < count; ++i)
          held.insert(held.end(), s.bytes.begin() + (at + i * stride) * width,
                      s.bytes.begin() + (at + i * stride + 1) * width);
    });
    const unsigned char* next = held.data();
    Store& d = *stores_[to.tensor];
    runs(to, [&](int64_t at, int64_t stride, int64_t count) {
      if (stride == 1) std::memcpy(d.bytes.data() + at * width, next, count * width);
      else
        for (int64_t i = 0; i < count; ++i)
          std::memcpy(d.bytes.data() + (at + i * stride) * width, next + i * width, width);
      mark(d, at, stride, count, 1);
      next += count * width;
    });
  }

  // The values of a scalar operand, one for each partition.
  Floats scalars(const Instruction& i, const Operand& o, int64_t n) const {
    if (o.tile) return load(i.in[o.input]);
    return Floats(n, o.value);
  }

  static void apply_rows(AluOp op, bool reverse, Floats& data, const Floats& scalar, int64_t width) {
    for (size_t p = 0; p < scalar.size(); ++p) {
      float* row = data.data() + p * width;
      if (reverse) apply_alu(op, &scalar[p], 0, row, 1, width, row);
      else apply_alu(op, row, 1, &scalar[p], 0, width, row);
    }
  }

  void dispatch(const Instruction& i);
  void matmul(const Instruction& i);
  void activation(const Instruction& i);
  void tensor_scalar(const Instruction& i);
  void tensor_reduce(const Instruction& i);
  void scan(const Instruction& i);
  void patterns(const Instruction& i);
  void bn_stats(const Instruction& i);
  void bn_aggr(const Instruction& i);
  void predicated(const Instruction& i);
  void gather(const Instruction& i);
  void dma_transpose(const Instruction& i);

  const Trace& trace_;
  const Machine& machine_;
  std::vector<std::unique_ptr<Store>>& stores_;
  std::vector<int64_t> left_;  // uses still to come
  const Instruction* now_ = nullptr;
  Floats registers_;  // of the Scalar engine's accumulating activations
  bool registers_set_ = false;
};

}  // namespace heddle::neuron::sim
