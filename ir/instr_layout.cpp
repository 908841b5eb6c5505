#include "ir/instr_layout.h"

#include <algorithm>
#include <optional>

#include "ir/digits.h"
#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::ir {

namespace {

// The greatest extents of an operand's dims, by all operands that share them; 1 where nothing bounds one.
std::vector<int64_t> most_extents(const Instr& instr, const InstrOperand& operand) {
  std::vector<int64_t> out;
  for (SymbolId dim : operand.dims) {
    int64_t least = 0;
    for (const InstrOperand& o : instr.operands)
      for (size_t d = 0; d < o.dims.size(); ++d)
        if (o.dims[d] == dim && o.max_extents[d] && (!least || o.max_extents[d] < least)) least = o.max_extents[d];
    out.push_back(std::max<int64_t>(1, least));
  }
  return out;
}

// Physical coordinates of a logical point, and how far a step of each carries; 0 where that is not constant.
struct Mapping {
  std::vector<Expr> to;
  std::vector<int64_t> strides;
};

Mapping mapping(const std::optional<Layout>& layout, const std::vector<Expr>& at, const std::vector<Expr>& extents) {
  Mapping m;
  std::vector<Expr> sizes = extents;
  m.to = at;
  if (layout) {
    Substitution put;
    for (size_t i = 0; i < at.size(); ++i) put.emplace_back(layout->from[i], at[i]);
    m.to.clear();
    sizes.clear();
    for (const Expr& e : layout->to) {
      m.to.push_back(substitute(e, put));
      sizes.push_back(places_of(e, layout->from, extents, {}));
    }
  }
  m.strides.assign(m.to.size(), 0);
  int64_t stride = 1;
  for (size_t i = m.to.size(); i-- > 0;) {
    m.strides[i] = stride;
    const int64_t* n = sizes[i].known() ? constant_value(sizes[i]) : nullptr;
    if (!n || __builtin_mul_overflow(stride, *n, &stride)) break;
  }
  return m;
}

// How far apart two points lie; nothing where that is not a constant.
std::optional<int64_t> apart(const Mapping& a, const Mapping& b) {
  int64_t sum = 0;
  for (size_t i = 0; i < a.to.size(); ++i) {
    const Expr d = simplify(b.to[i] - a.to[i]);
    const int64_t* n = constant_value(d);
    if (!n || (*n && !a.strides[i])) return std::nullopt;
    sum += *n * a.strides[i];
  }
  return sum;
}

// The elements of a window, counted from its corner.
class Elements {
 public:
  Elements(const Buffer& b, const Window& w) : b_(b) {
    for (size_t d = 0; d < w.ranges.size(); ++d) {
      corner_.push_back(simplify(w.ranges[d].lo - b.box[d].lo));
      sizes_.push_back(simplify(b.box[d].hi - b.box[d].lo));
    }
    here_ = mapping(b.layout, corner_, sizes_);
  }

  // How far `i` steps along dim `d` carry; nothing where that is not a constant.
  std::optional<int64_t> along(size_t d, int64_t i) const {
    std::vector<Expr> at = corner_;
    at[d] = simplify(at[d] + i);
    return apart(here_, mapping(b_.layout, at, sizes_));
  }

 private:
  const Buffer& b_;
  std::vector<Expr> corner_, sizes_;
  Mapping here_;
};

}  // namespace

// Each coordinate moved alone, along its whole range: parts of a layout speak of one index each, so this says all.
bool lies_as(const Program& p, const Window& w, const Instr& instr, size_t o) {
  const InstrOperand& operand = instr.operands[o];
  const std::vector<int64_t> most = most_extents(instr, operand);
  const std::vector<size_t> dims = operand_dims(w);
  const Elements elements(p.buffer(w.buffer), w);
  std::vector<Expr> zero, full;
  for (int64_t n : most) zero.push_back(index_constant(0)), full.push_back(index_constant(n));
  const Mapping needed = mapping(operand.layout, zero, full);
  for (size_t k = 0; k < dims.size(); ++k) {
    // Without a layout only the elements of the last dim need to be neighbours.
    if (!operand.layout && k + 1 < dims.size()) continue;
    for (int64_t i = 1; i < most[k]; ++i) {
      std::vector<Expr> own = zero;
      own[k] = index_constant(i);
      const std::optional<int64_t> have = elements.along(dims[k], i);
      if (!have || have != apart(needed, mapping(operand.layout, own, full))) return false;
    }
  }
  return true;
}

std::optional<int64_t> rows_apart(const Program& p, const Window& w, const Instr& instr, size_t o) {
  const std::vector<int64_t> most = most_extents(instr, instr.operands[o]);
  const size_t dim = operand_dims(w).front();
  const Elements elements(p.buffer(w.buffer), w);
  const std::optional<int64_t> first = elements.along(dim, 1);
  for (int64_t i = 2; first && i < most.front(); ++i)
    if (elements.along(dim, i) != i * *first) return std::nullopt;
  return first;
}

namespace {

// Physical coordinates as tiles: those outside, rows, bytes of a row.
struct TileParts {
  std::vector<Expr> outer;
  Expr rows, bytes;
};

// `parts` are coordinates, or sizes where `sizes` says so.
TileParts tile_parts(const Buffer& b, const std::vector<Expr>& parts, const std::vector<int64_t>& sizes, bool of_size) {
  TileParts out;
  const int64_t element = scalar_bytes(b.type);
  const size_t in_row = b.layout && parts.size() > 2 && sizes.back() * element < tile_row_bytes ? 2 : 1;
  Expr bytes = index_constant(of_size ? element : 0);
  int64_t stride = element;
  for (size_t i = parts.size(); i-- > 0;) {
    const bool inside = i + in_row >= parts.size();
    if (inside && of_size) bytes = bytes * parts[i];
    else if (inside) bytes = bytes + parts[i] * stride;
    if (inside) stride *= sizes[i];
    else if (i + in_row + 1 == parts.size()) out.rows = parts[i];
    else out.outer.insert(out.outer.begin(), parts[i]);
  }
  out.bytes = simplify(bytes);
  if (!out.rows.known()) out.rows = index_constant(of_size ? 1 : 0);
  return out;
}

// Sizes of the physical dims; nothing where one is not constant or too large to matter.
std::optional<std::vector<int64_t>> physical_sizes(const Buffer& b) {
  std::vector<Expr> extents;
  std::vector<SymbolRange> ranges;
  for (size_t d = 0; d < b.box.size(); ++d) {
    extents.push_back(simplify(b.box[d].hi - b.box[d].lo));
    if (b.layout) ranges.push_back({b.layout->from[d], index_constant(0), extents.back()});
  }
  if (b.layout) {
    extents.clear();
    for (const Expr& e : b.layout->to) {
      const Bounds at = bounds_over(e, ranges, {});
      extents.push_back(at.ok ? simplify(at.hi + 1) : Expr());
    }
  }
  std::vector<int64_t> out;
  for (const Expr& e : extents) {
    const int64_t* n = e.known() ? constant_value(e) : nullptr;
    if (!n || *n > 1 << 20) return std::nullopt;
    out.push_back(std::max<int64_t>(*n, 0));
  }
  return out;
}

int64_t blocks(int64_t n, int64_t size) { return n / size + (n % size != 0); }

}  // namespace

std::optional<int64_t> tile_count(const Buffer& b) {
  const std::optional<std::vector<int64_t>> sizes = physical_sizes(b);
  if (!sizes) return std::nullopt;
  std::vector<Expr> parts;
  for (int64_t n : *sizes) parts.push_back(index_constant(n));
  const TileParts t = tile_parts(b, parts, *sizes, true);
  const int64_t *rows = constant_value(t.rows), *bytes = constant_value(t.bytes);
  if (!rows || !bytes) return std::nullopt;
  int64_t count = 0;
  if (__builtin_mul_overflow(blocks(*rows, tile_rows), blocks(*bytes, tile_row_bytes), &count)) return std::nullopt;
  for (const Expr& e : t.outer)
    if (__builtin_mul_overflow(count, *constant_value(e), &count)) return std::nullopt;
  return count;
}

Expr tile_of(const Program& program, const Window& w) {
  const Buffer& b = program.buffer(w.buffer);
  const std::optional<std::vector<int64_t>> sizes = physical_sizes(b);
  if (!sizes) return {};
  std::vector<Expr> at;
  Substitution put;
  for (size_t d = 0; d < w.ranges.size(); ++d) {
    at.push_back(simplify(w.ranges[d].lo - b.box[d].lo));
    if (b.layout) put.emplace_back(b.layout->from[d], at.back());
  }
  if (b.layout) {
    at.clear();
    for (const Expr& e : b.layout->to) at.push_back(simplify(substitute(e, put)));
  }
  std::vector<Expr> all;
  for (int64_t n : *sizes) all.push_back(index_constant(n));
  const TileParts here = tile_parts(b, at, *sizes, false), size = tile_parts(b, all, *sizes, true);
  auto by = [](BinaryOp op, const Expr& e, int64_t n) { return simplify(binary(op, e, index_constant(n))); };
  if (!is_constant(by(BinaryOp::mod, here.rows, tile_rows), 0)) return {};
  if (!is_constant(by(BinaryOp::mod, here.bytes, tile_row_bytes), 0)) return {};
  Expr number = index_constant(0);
  for (size_t i = 0; i < here.outer.size(); ++i) number = number * size.outer[i] + here.outer[i];
  number = number * blocks(*constant_value(size.rows), tile_rows) + by(BinaryOp::div, here.rows, tile_rows);
  number = number * blocks(*constant_value(size.bytes), tile_row_bytes) + by(BinaryOp::div, here.bytes, tile_row_bytes);
  return simplify(number);
}

}  // namespace heddle::ir
