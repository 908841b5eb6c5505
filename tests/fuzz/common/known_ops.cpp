#include "tests/fuzz/common/known_ops.h"

#include <algorithm>
#include <cctype>

#include "tests/fuzz/common/reducer_texts.h"

namespace heddle::fuzz {
namespace {

struct Row {
  std::vector<const char*> constructs;
  const char* text;  // of an op over `T`, a type of floats
  int reducer;       // a row of `reducer_texts`, or -1
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      // Convolution in groups, with a border and a stride.
      {{"composite", "or", "const", "let", "cast"},
       "op f(x: T[m, (g, cg), h, w], u: T[(g, fg), cg, n, k], const s: int = 2, const p: int = 1) -> y: T[m, (g, fg), "
       "oh, ow] {\n"
       "  require n <= h + 2*p && k <= w + 2*p, \"the window fits\"\n"
       "  let oh = (h + 2*p - n)/s + 1\n  let ow = (w + 2*p - k)/s + 1\n"
       "  acc[b in 0 .. m, r, o, i in 0 .. oh, j in 0 .. ow] = sum[q, a, c] (\n"
       "      f32(x[b, (r, q), i*s + a - p, j*s + c - p] or 0) * f32(u[(r, o), q, a, c]))\n"
       "  y[b, (r, o), i, j] = T(acc[b, r, o, i, j])\n}\n",
       -1},
      // Attention with groups of queries, keys of the past only.
      {{"composite", "state_of_cells", "whole_range", "where", "if", "cast", "scalar"},
       "op f(q: T[(hk, g), n, d], u: T[hk, k, d], v: T[hk, k, d], scale: f32) -> y: T[(hk, g), n, d] {\n"
       "  z[h, r, i, j] = sum[e] f32(q[(h, r), i, e]) * f32(u[h, j, e])\n"
       "  st[h, r, i] = rows[j where j <= i + k - n] (m = z[h, r, i, j]*scale, l = 1, o[e] = f32(v[h, j, e]))\n"
       "  y[(h, r), i, e] = if st[h, r, i].l > 0 then T(st[h, r, i].o[e] / st[h, r, i].l) else 0\n}\n",
       3},
      {{"state", "math", "cast"},
       "op f(x: T[m, n], gain: T[n]) -> y: T[m, n] {\n"
       "  st[r] = moments[c] (n = f32(1), mean = f32(x[r, c]), m2 = f32(0))\n"
       "  inv[r] = rsqrt(st[r].m2 / (f32(n) + 1) + 0.5)\n"
       "  y[r, c] = T((f32(x[r, c]) - st[r].mean) * inv[r]) * gain[c]\n}\n",
       0},
      // The loss of labels, and its gradient.
      {{"gather", "reduction", "math", "results", "if", "cast"},
       "op f(x: T[m, n], id: i64[m]) -> (loss: f32[], dx: T[m, n]) {\n"
       "  peak[r] = max[c] f32(x[r, c])\n  e[r, c] = exp(f32(x[r, c]) - peak[r])\n  total[r] = sum[c] e[r, c]\n"
       "  one[r] = log(total[r]) + peak[r] - f32(x[r, id[r]])\n  loss = sum[r] one[r]\n"
       "  dx[r, c] = T(e[r, c] / total[r] - (if i64(c) == id[r] then 1 else 0))\n}\n",
       -1},
      // Pairs of a row turned by an angle.
      {{"composite", "if", "math", "cast"},
       "op f(x: T[m, n, (2, k)], angle: f32[m, k]) -> y: T[m, n, (2, k)] {\n"
       "  c[p, e] = cos(angle[p, e])\n  s[p, e] = sin(angle[p, e])\n"
       "  y[p, h, (a, e)] = if a == 0 then T(f32(x[p, h, (0, e)]) * c[p, e] - f32(x[p, h, (1, e)]) * s[p, e])\n"
       "                    else T(f32(x[p, h, (1, e)]) * c[p, e] + f32(x[p, h, (0, e)]) * s[p, e])\n}\n",
       -1},
      // A recurrence with gates.
      {{"scan", "composite", "or", "math", "results", "cast"},
       "op f(x: T[m, n, (2, k)], w: T[k, (2, k)], h0: T[n, k]) -> (h: f32[m, n, k], c: f32[m, n, k]) {\n"
       "  scan t {\n    z[t, b in 0 .. n, a in 0 .. 2, j] = sum[i] (h[t - 1, b, i] or f32(h0[b, i])) * f32(w[i, (a, "
       "j)])\n"
       "    c[t, b, j] = tanh(z[t, b, 0, j] + f32(x[t, b, (0, j)])) + 0.5 * (c[t - 1, b, j] or 0)\n"
       "    h[t, b, j] = sigmoid(z[t, b, 1, j] + f32(x[t, b, (1, j)])) * c[t, b, j]\n  }\n}\n",
       -1},
      // Rows put into a cache at places that data gives, then read from it.
      {{"update", "update at data", "reduction", "where_data", "cast"},
       "op f(inout c: T[m, n + k, d], u: T[m, k, d], q: T[m, d], pos: i64[m]) -> y: f32[m, n + k] {\n"
       "  c[i, pos[i] + j, e] <- u[i, j, e]\n"
       "  y[i, t] = sum[e where i64(t) < pos[i] + i64(k)] f32(q[i, e]) * f32(c[i, t, e])\n}\n",
       -1},
      // Rows of numbers in blocks with a scale for each.
      {{"composite", "two_axes", "small integers", "saturate", "cast"},
       "op f(x: T[m, (k, 4)], u: i8[n, (k, 4)], scale: f32[n, k]) -> (y: T[m, n], back: i8[m, (k, 4)]) {\n"
       "  part[i, j, b] = sum[e] f32(x[i, (b, e)]) * f32(u[j, (b, e)])\n"
       "  acc[i, j] = sum[b] part[i, j, b] * scale[j, b]\n  y[i, j] = T(acc[i, j])\n"
       "  back[i, (b, e)] = saturate(i8, round_even(f32(x[i, (b, e)])))\n}\n",
       -1},
      // Gradients of rows that were picked, and the step of an optimizer.
      {{"scatter", "gather", "update", "scalar", "math", "cast"},
       "op f(inout w: f32[n, k], inout mom: f32[n, k], dy: T[m, k], id: i64[m], rate: f32) -> dt: f32[n, k] {\n"
       "  dt[id[i], e] = sum[i] f32(dy[i, e])\n  mom[r, e] <- 0.5 * mom[r, e] + dt[r, e] * dt[r, e]\n"
       "  w[r, e] <- w[r, e] - rate * dt[r, e] / (sqrt(abs(mom[r, e])) + 0.5)\n}\n",
       -1},
      // Wider by copies, then the greatest of windows and its place.
      {{"let", "or", "argmax", "map"},
       "op f(x: T[m, n]) -> (y: T[m, o], at_most: i64[m, o]) {\n  let o = n / 2\n"
       "  big[i in 0 .. 2*m, j in 0 .. 2*n] = x[i/2, j/2]\n  y[i, j] = max[a in 0 .. 3, b in 0 .. 3] (big[2*i + a - 1, "
       "2*j + b - 1] or x[i, j])\n"
       "  at_most[i, j] = argmax[a in 0 .. 2] x[i, 2*j + a]\n}\n",
       -1},
  };
  return all;
}

}  // namespace

RandomOp known_op(Random& r) {
  const Row& row = r.pick(rows());
  RandomOp out;
  const std::string type = r.pick({"f32", "f32", "f64", "bf16", "f16", "f8e5m2"});
  out.text = (row.reducer < 0 ? std::string() : std::string(reducer_texts[row.reducer])) + row.text;
  const size_t from = out.text.find("op f(");
  auto part_of_a_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  for (size_t at = from; (at = out.text.find('T', at)) != std::string::npos; ++at)
    if (!part_of_a_name(out.text[at - 1]) && !part_of_a_name(out.text[at + 1])) out.text.replace(at, 1, type);
  for (const char* dim : {"m", "n", "k", "d", "g", "cg", "fg", "h", "w", "hk"})
    out.dims[dim] = r.pick<int64_t>({0, 1, 2, 2, 3, 3, 4, 5, 7});
  if (r.chance(60)) out.dims[r.pick({"m", "n", "k", "d", "w"})] = r.pick<int64_t>({8, 9, 13, 16, 17, 19});
  const int64_t groups = std::max<int64_t>(out.dims["g"], 1);  // a whole number of them follows from the axes' extents
  out.dims["g"] = groups;
  for (const char* dim : {"cg", "fg", "hk"}) out.dims[dim] = std::max<int64_t>(out.dims[dim], 1);
  if (out.text.find("the window fits") != std::string::npos) {
    out.dims["n"] = std::min(out.dims["n"], out.dims["h"] + 2);
    out.dims["k"] = std::min(out.dims["k"], out.dims["w"] + 2);
  }
  const bool picks = out.text.find("id: i64") != std::string::npos || out.text.find("pos: i64") != std::string::npos;
  if (picks && out.dims["n"] == 0) out.dims["n"] = 3;
  out.fills["id"] = out.fills["pos"] = {Fill::Kind::index, "n"};
  for (const char* c : row.constructs) out.constructs.insert(c);
  return out;
}

}  // namespace heddle::fuzz
