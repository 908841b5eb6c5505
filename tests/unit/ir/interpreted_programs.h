// Small programs that the tests of the interpreter vary.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/support/program_builder.h"

namespace heddle::test {

inline constexpr ScalarType f32 = ScalarType::f32;
inline constexpr float inf = std::numeric_limits<float>::infinity();

inline Array<float> random_array(std::vector<int64_t> extents, uint32_t seed) {
  Array<float> a(std::move(extents));
  std::mt19937 random(seed);
  for (float& x : a.data) x = std::uniform_real_distribution<float>(-2, 2)(random);
  return a;
}

inline Expr call(const char* function, Expr x) { return math_call(function, {std::move(x)}); }

// peak[r] = max[c] x; e = exp(x - peak); total[r] = sum[c] e; y = e / total, one nest after the other.
inline Program softmax(LoopKind rows_kind = LoopKind::serial) {
  ProgramBuilder b("softmax");
  const Expr rows = b.dim("rows"), cols = b.dim("cols");
  const BufferId x = b.in("x", f32, {rows, cols});
  const BufferId y = b.out("y", f32, {rows, cols});
  const BufferId peak = b.temporary("peak", f32, {{n(0), rows}});
  const BufferId e = b.temporary("e", f32, {{n(0), rows}, {n(0), cols}});
  const BufferId total = b.temporary("total", f32, {{n(0), rows}});

  auto reduction = [&](BufferId out, const char* name, const char* reducer, BufferId of) {
    const Expr r = b.axis("r", name), c = b.axis("c", name), lr = b.loop("r", name), lc = b.loop("c", name);
    const StageId stage = b.stage(name, {map_axis(r, n(0), rows), reduce_axis(c, n(0), cols)});
    const StmtRef point = leaf(stage, {lr, lc}, {combine(out, {r}, b.read(of, {r, c}))}, {}, reducer);
    return loop_over(lr, n(0), rows,
                     {region({window(out, {{lr, lr + 1}})}, reducer, {loop_over(lc, n(0), cols, {point})})}, rows_kind);
  };
  auto elementwise = [&](BufferId out, const char* name, auto value) {
    const Expr r = b.axis("r", name), c = b.axis("c", name), lr = b.loop("r", name), lc = b.loop("c", name);
    const StageId stage = b.stage(name, {map_axis(r, n(0), rows), map_axis(c, n(0), cols)});
    const StmtRef point = leaf(stage, {lr, lc}, {define(out, {r, c}, value(r, c))});
    return loop_over(lr, n(0), rows, {loop_over(lc, n(0), cols, {point})}, rows_kind);
  };
  const StmtRef peak_nest = reduction(peak, "peak", "max", x);
  const StmtRef e_nest =
      elementwise(e, "e", [&](Expr r, Expr c) { return call("exp", b.read(x, {r, c}) - b.read(peak, {r})); });
  const StmtRef total_nest = reduction(total, "total", "sum", e);
  const StmtRef y_nest =
      elementwise(y, "y", [&](Expr r, Expr c) { return binary(BinaryOp::div, b.read(e, {r, c}), b.read(total, {r})); });
  b.program.body = {alloc({peak}), peak_nest, alloc({e}), e_nest, alloc({total}), total_nest, y_nest};
  return b.program;
}

inline std::vector<double> softmax_of(const Array<float>& x) {
  std::vector<double> y;
  const int64_t cols = x.extents[1];
  for (int64_t r = 0; r < x.extents[0]; ++r) {
    double peak = -inf, total = 0;
    for (int64_t c = 0; c < cols; ++c) peak = std::max<double>(peak, x.data[static_cast<size_t>(r * cols + c)]);
    for (int64_t c = 0; c < cols; ++c) total += std::exp(x.data[static_cast<size_t>(r * cols + c)] - peak);
    for (int64_t c = 0; c < cols; ++c) y.push_back(std::exp(x.data[static_cast<size_t>(r * cols + c)] - peak) / total);
  }
  return y;
}

// y[r] = R[c] x[r, c]
template <class T>
Program reduction(const char* reducer) {
  ProgramBuilder b("reduction");
  const Expr rows = b.dim("rows"), cols = b.dim("cols");
  const BufferId x = b.in("x", scalar_type_of<T>(), {rows, cols}), y = b.out("y", scalar_type_of<T>(), {rows});
  const Expr r = b.axis("r"), c = b.axis("c"), lr = b.loop("r"), lc = b.loop("c");
  const StageId stage = b.stage("y", {map_axis(r, n(0), rows), reduce_axis(c, n(0), cols)});
  const StmtRef point = leaf(stage, {lr, lc}, {combine(y, {r}, b.read(x, {r, c}))}, {}, reducer);
  b.program.body = {
      loop_over(lr, n(0), rows, {region({window(y, {{lr, lr + 1}})}, reducer, {loop_over(lc, n(0), cols, {point})})})};
  return b.program;
}

// c[i, j] = sum[p] a[i, p] * b[p, j]; i split by 4, guarded and parallel; j split by 8, its inner loop a vector loop.
inline Program split_matmul(bool guard) {
  ProgramBuilder b("matmul");
  const Expr m = b.dim("m"), k = b.dim("k"), cols = b.dim("n");
  const BufferId x = b.in("a", f32, {m, k}), w = b.in("b", f32, {k, cols}), c = b.out("c", f32, {m, cols});
  const Expr i = b.axis("i", "c"), j = b.axis("j", "c"), p = b.axis("p", "c");
  const Expr io = b.loop("io", "c"), ii = b.loop("ii", "c"), jo = b.loop("jo", "c"), jv = b.loop("jv", "c"),
             lp = b.loop("p", "c");
  const StageId stage = b.stage("c", {map_axis(i, n(0), m), map_axis(j, n(0), cols), reduce_axis(p, n(0), k)});
  const Expr row = io * 4 + ii, col = jo * 8 + jv;
  const StmtRef point = leaf(stage, {row, col, lp}, {combine(c, {i, j}, b.read(x, {i, p}) * b.read(w, {p, j}))},
                             guard ? both(less(row, m), less(col, cols)) : Expr(), "sum");
  const StmtRef lanes = loop_over(jv, n(0), n(8), {point}, LoopKind::vector);
  const StmtRef reduce =
      region({window(c, {{row, row + 1}, {jo * 8, jo * 8 + 8}})}, "sum", {loop_over(lp, n(0), k, {lanes})});
  const StmtRef inner = loop_over(ii, n(0), n(4), {loop_over(jo, n(0), ceildiv(cols, n(8)), {reduce})});
  b.program.body = {loop_over(io, n(0), ceildiv(m, n(4)), {inner}, LoopKind::parallel)};
  return b.program;
}

// for i in 0 .. n KIND { y[to] = value }, over an input x and an output y of n cells each.
template <class To, class Value>
Program one_loop(LoopKind kind, To to, Value value, Role role = Role::out, AssignKind assign = AssignKind::define,
                 bool recomputed = false) {
  ProgramBuilder b("one");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", f32, {size});
  const BufferId y = role == Role::out ? b.out("y", f32, {size}) : b.inout("y", f32, {size});
  const Expr i = b.axis("i"), li = b.loop("i");
  const StageId stage = b.stage("y", {map_axis(i, n(0), size)});
  Assign a = define(y, {to(i)}, value(b, x, y, i));
  a.kind = assign;
  const Expr hi = kind == LoopKind::vector ? n(4) : size;
  b.program.body = {loop_over(li, n(0), hi, {leaf(stage, {li}, {a}, {}, {}, recomputed)}, kind)};
  return b.program;
}

inline const auto same_place = [](Expr i) { return i; };
inline const auto reads_x = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) { return b.read(x, {i}); };
inline const auto reads_left = [](ProgramBuilder& b, BufferId, BufferId y, Expr i) {
  return b.read(y, {i - 1}, b.read(y, {i}));
};

}  // namespace heddle::test
