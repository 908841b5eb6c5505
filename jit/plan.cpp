#include "jit/plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "ir/array_axes.h"
#include "ir/float_format.h"
#include "ir/in_place.h"
#include "ir/integer.h"
#include "ir/magnitude.h"
#include "ir/print.h"
#include "jit/codes.h"

namespace heddle::jit {

using ir::BinaryOp;
using ir::Expr;

namespace {

// True by the way dims get their values: `n >= 0`, a `let` repeated, a requirement repeated.
bool goes_without_saying(const ir::Program& program, const Expr& fact) {
  for (const ir::Requirement& r : program.requirements)
    if (ir::same(r.condition, fact)) return true;
  const ir::Binary* b = fact.as<ir::Binary>();
  const ir::Var* v = b ? b->left.as<ir::Var>() : nullptr;
  if (!v || program.symbol(v->symbol).kind != ir::SymbolKind::dim) return false;
  if (b->op == BinaryOp::ge && ir::is_constant(b->right, 0)) return true;
  for (const ir::DimDefinition& d : program.dims)
    if (d.dim == v->symbol && d.value.known() && b->op == BinaryOp::eq && ir::same(d.value, b->right)) return true;
  return false;
}

}  // namespace

Result<CallPlan> CallPlan::make(const ir::Program& program) {
  CallPlan plan;
  host::ArgLayout layout = host::arg_layout(program);
  plan.words_ = layout.words;
  for (const ir::DimDefinition& d : program.dims) {
    plan.symbols_.push_back(d.dim);
    plan.dim_names_.push_back(program.symbol(d.dim).name);
  }
  auto refuse = [&](const std::string& what) {
    return Diagnostic(codes::unsupported_shape, {},
                      "the " + what + " of `" + program.name + "` cannot be computed before the call");
  };
  auto code = [&](const Expr& e, IndexCode& out) { return !e.known() || out.compile(e, plan.symbols_); };

  for (const host::ArgLayout::Array& a : layout.arrays) {
    const ir::Buffer& b = program.buffer(a.buffer);
    ArrayRow row{b.name, b.type, b.role, a.word, {}, {}, {}, {}};
    if (b.layout) {
      Result<Packing> packing = Packing::make(program, b);
      if (!packing) return packing.errors();
      row.packing = *std::move(packing);
      plan.packs_ = true;
    }
    for (const ir::AxisSpan& axis : ir::array_axes(b)) {
      const Expr extent = ir::axis_extent(b, axis);
      IndexCode c;
      if (!code(extent, c)) return refuse("extent of `" + b.name + "`");
      row.simple.push_back(c.symbol_only());
      row.axes.push_back(std::move(c));
      row.text.push_back(ir::print(program, extent));
    }
    plan.arrays_.push_back(std::move(row));
  }
  for (size_t i = 0; i < plan.arrays_.size(); ++i)
    for (size_t j = 0; j < std::min<size_t>(plan.arrays_.size(), 64); ++j) {
      ArrayRow& out = plan.arrays_[i];
      const ArrayRow& in = plan.arrays_[j];
      const bool alike = out.role == ir::Role::out && in.role == ir::Role::in && out.type == in.type &&
                         out.axes.size() == in.axes.size() && !in.packing;
      if (alike && ir::may_share_memory(program, layout.arrays[j].buffer, layout.arrays[i].buffer))
        out.in_place |= uint64_t{1} << j;
    }
  for (const ir::DimDefinition& d : program.dims) {
    DimRow row;
    if (d.buffer.known()) {
      for (size_t i = 0; i < layout.arrays.size(); ++i)
        if (layout.arrays[i].buffer == d.buffer) row.array = static_cast<int>(i);
      row.axis = d.array_axis;
    }
    bool plain =
        (!d.offset.known() || ir::is_constant(d.offset, 0)) && (!d.divisor.known() || ir::is_constant(d.divisor, 1));
    row.simple = row.array >= 0 && plain;
    Expr offset = d.offset.known() ? d.offset : ir::index_constant(0);
    Expr divisor = d.divisor.known() ? d.divisor : ir::index_constant(1);
    if (!code(offset, row.offset) || !code(divisor, row.divisor) || !code(d.value, row.value))
      return refuse("dim `" + program.symbol(d.dim).name + "`");
    plan.dims_.push_back(std::move(row));
    int word = -1;
    for (const auto& [symbol, at] : layout.dims)
      if (symbol == d.dim) word = at;
    plan.dim_words_.push_back(word);
  }
  std::vector<ir::SymbolId> with_scalars = plan.symbols_;
  for (const ir::Parameter& q : program.parameters)
    if (q.scalar.known()) with_scalars.push_back(q.scalar);
  auto requirement = [&](const Expr& condition, std::string text) {
    RequirementRow row;
    row.text = std::move(text);
    row.of_scalars = !row.condition.compile(condition, plan.symbols_);
    if (row.of_scalars && !row.condition.compile(condition, with_scalars)) return false;
    plan.requirements_.push_back(std::move(row));
    return true;
  };
  for (const ir::Requirement& r : program.requirements)
    if (!requirement(r.condition, r.text)) return refuse("requirement \"" + r.text + "\"");
  // What the program takes for granted beyond its text's requirements (a schedule's `where`, a fixed dim) holds for these calls only.
  for (const Expr& fact : program.facts) {
    if (goes_without_saying(program, fact)) continue;
    const std::string text = "`" + ir::print(program, fact) + "`";
    if (!requirement(fact, "this kernel is made for calls with " + text)) return refuse("fact " + text);
  }
  const ir::Magnitude magnitude = ir::index_magnitude(program);
  if (!magnitude.fits)
    return Diagnostic(codes::unsupported_shape, {}, "an index of `" + program.name + "` may pass 64 bits at any size");
  for (const ir::Magnitude::Term& t : magnitude.terms) {
    MagnitudeRow row{t.coefficient, {}};
    for (ir::SymbolId dim : t.dims)
      row.dims.push_back(
          static_cast<int>(std::find(plan.symbols_.begin(), plan.symbols_.end(), dim) - plan.symbols_.begin()));
    plan.magnitude_.push_back(std::move(row));
  }
  for (const ir::Parameter& q : program.parameters) {
    if (!q.scalar.known()) continue;
    const ir::Symbol& s = program.symbol(q.scalar);
    ScalarRow row{s.name, s.type, 0, false, {}};
    for (const auto& [symbol, at] : layout.scalars)
      if (symbol == q.scalar) row.word = at;
    if (const ir::Constant* c = q.default_value.as<ir::Constant>()) {
      row.has_default = true;
      row.default_value = {c->real, c->integer};
    }
    plan.scalars_.push_back(std::move(row));
  }
  return plan;
}

namespace {

// A scalar as the kernel will see it: rounded or wrapped to its type.
int64_t scalar_value(ir::ScalarType type, const ScalarArg& s) {
  return ir::is_float(type) ? std::bit_cast<int64_t>(ir::round_to(type, s.real)) : ir::wrap_integer(type, s.integer);
}

}  // namespace

CallError CallPlan::bind_dims(const ArrayArg* arrays, int64_t* dims) const {
  for (size_t i = 0; i < arrays_.size(); ++i) {
    if (arrays_[i].role == ir::Role::out) continue;
    if (arrays[i].rank != static_cast<int>(arrays_[i].axes.size()))
      return {
          CallError::rank, static_cast<int>(i), -1, -1, arrays[i].rank, static_cast<int64_t>(arrays_[i].axes.size())};
  }
  int negative = -1;  // the first `let` below 0
  for (size_t d = 0; d < dims_.size(); ++d) {
    const DimRow& row = dims_[d];
    if (row.simple) {
      dims[d] = arrays[row.array].extents[row.axis];
      continue;
    }
    if (row.array < 0) {
      if (!row.value.run(dims, dims[d])) return {CallError::overflow, -1, -1, static_cast<int>(d), 0, 0};
      if (dims[d] < 0 && negative < 0) negative = static_cast<int>(d);
      continue;
    }
    int64_t offset, divisor, extent = arrays[row.array].extents[row.axis];
    if (!row.offset.run(dims, offset) || !row.divisor.run(dims, divisor) ||
        __builtin_sub_overflow(extent, offset, &extent))
      return {CallError::overflow, row.array, row.axis, static_cast<int>(d), 0, 0};
    // Of an axis without elements, of which another part is 0, any value would fit: none is the one that makes nothing.
    if (divisor == 0 && extent == 0) {
      dims[d] = 0;
      continue;
    }
    if (divisor == 0 || extent % divisor != 0 || extent / divisor < 0)
      return {CallError::unsolvable,
              row.array,
              row.axis,
              static_cast<int>(d),
              arrays[row.array].extents[row.axis],
              divisor};
    dims[d] = extent / divisor;
  }
  if (negative < 0) return {};
  // The op's own words say better why the call cannot be.
  if (CallError e = unmet(dims, nullptr); e.kind) return e;
  return {CallError::unsolvable, -1, -1, negative, dims[negative], 0};
}

CallError CallPlan::unmet(const int64_t* dims, const ScalarArg* scalars) const {
  std::vector<int64_t> all;  // made for the few ops that require something of a scalar
  for (size_t r = 0; r < requirements_.size(); ++r) {
    const bool of_scalars = requirements_[r].of_scalars;
    if (of_scalars && !scalars) continue;
    if (of_scalars && all.empty()) {
      all.assign(dims, dims + dims_.size());
      for (size_t s = 0; s < scalars_.size(); ++s) all.push_back(scalar_value(scalars_[s].type, scalars[s]));
    }
    int64_t holds = 0;
    if (!requirements_[r].condition.run(of_scalars ? all.data() : dims, holds) || !holds)
      return {CallError::requirement, -1, -1, static_cast<int>(r), 0, 0};
  }
  return {};
}

bool CallPlan::extents(int index, const int64_t* dims, std::vector<int64_t>& out) const {
  out.clear();
  for (const IndexCode& c : arrays_[index].axes) {
    int64_t value;
    if (!c.run(dims, value)) return false;
    out.push_back(std::max<int64_t>(value, 0));
  }
  return true;
}

namespace {

// The bytes that an array touches: [first, last).
bool footprint(const ArrayArg& a, int bytes, uintptr_t& first, uintptr_t& last) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < a.rank; ++i) {
    if (a.extents[i] == 0) return false;
    int64_t reach = (a.extents[i] - 1) * a.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  first = reinterpret_cast<uintptr_t>(a.data) + low * bytes;
  last = reinterpret_cast<uintptr_t>(a.data) + high * bytes + bytes;
  return true;
}

uint64_t scalar_word(ir::ScalarType type, const ScalarArg& s) {
  if (type == ir::ScalarType::f32) return std::bit_cast<uint32_t>(static_cast<float>(s.real));
  if (ir::is_float(type)) return ir::encode_float(type, s.real);
  return static_cast<uint64_t>(s.integer);
}

}  // namespace

namespace {

// An output's cells one by one: a step of an axis passes all that the axes of smaller steps reach.
bool meets_itself(const ArrayArg& a) {
  std::vector<std::pair<int64_t, int64_t>> axes;  // step and reach
  for (int i = 0; i < a.rank; ++i)
    if (a.extents[i] > 1) axes.emplace_back(std::abs(a.strides[i]), (a.extents[i] - 1) * std::abs(a.strides[i]));
  std::sort(axes.begin(), axes.end());
  int64_t reached = 0;
  for (const auto& [step, reach] : axes) {
    if (step <= reached) return true;
    reached += reach;
  }
  return false;
}

bool is_dense(const ArrayArg& a) {
  int64_t step = 1;
  for (int i = a.rank; i-- > 0; step *= a.extents[i])
    if (a.strides[i] != step) return false;
  return true;
}

bool same_array(const ArrayArg& a, const ArrayArg& b) {
  if (a.data != b.data || a.type != b.type || a.rank != b.rank || a.packed || b.packed) return false;
  for (int i = 0; i < a.rank; ++i)
    if (a.extents[i] != b.extents[i] || (a.extents[i] > 1 && a.strides[i] != b.strides[i])) return false;
  return true;
}

}  // namespace

CallError CallPlan::overlaps(const ArrayArg* arrays) const {
  for (size_t i = 0; i < arrays_.size(); ++i) {
    if (arrays_[i].role == ir::Role::in) continue;
    uintptr_t first, last;
    if (!footprint(arrays[i], ir::scalar_bytes(arrays_[i].type), first, last)) continue;
    if (!is_dense(arrays[i]) && meets_itself(arrays[i]))
      return {CallError::overlap, static_cast<int>(i), -1, static_cast<int>(i), 0, 0};
    for (size_t j = 0; j < arrays_.size(); ++j) {
      if (j == i || (arrays_[j].role != ir::Role::in && j < i)) continue;
      uintptr_t other_first, other_last;
      if (!footprint(arrays[j], ir::scalar_bytes(arrays_[j].type), other_first, other_last)) continue;
      const bool on_purpose = (arrays_[i].in_place >> j & 1) && same_array(arrays[i], arrays[j]);
      if (first < other_last && other_first < last && !on_purpose)
        return {CallError::overlap, static_cast<int>(i), -1, static_cast<int>(j), 0, 0};
    }
  }
  return {};
}

bool CallPlan::indices_fit(const int64_t* dims) const {
  for (size_t d = 0; d < dims_.size(); ++d)
    if (static_cast<uint64_t>(dims[d]) >= static_cast<uint64_t>(ir::largest_dim)) return false;
  if (magnitude_.empty()) return true;
  double sum = 0;
  for (const MagnitudeRow& row : magnitude_) {
    double term = row.coefficient;
    for (int d : row.dims) term *= static_cast<double>(dims[d]);
    sum += term;
  }
  return sum < ir::largest_index;
}

CallError CallPlan::bind(const ArrayArg* arrays, const ScalarArg* scalars, int64_t* dims, uint64_t* words,
                         uint64_t& strided) const {
  if (CallError e = bind_dims(arrays, dims); e.kind) return e;
  if (!indices_fit(dims)) return {CallError::overflow, -1, -1, -1, 0, 0};
  strided = 0;
  for (size_t i = 0; i < arrays_.size(); ++i) {
    const ArrayRow& row = arrays_[i];
    const ArrayArg& a = arrays[i];
    int index = static_cast<int>(i);
    if (a.type != row.type)
      return {CallError::type, index, -1, -1, static_cast<int64_t>(a.type), static_cast<int64_t>(row.type)};
    if (a.rank != static_cast<int>(row.axes.size()))
      return {CallError::rank, index, -1, -1, a.rank, static_cast<int64_t>(row.axes.size())};
    if (a.packed && !row.packing) return {CallError::not_packed, index, -1, -1, 0, 0};
    if (a.packed && *a.packed != row.packing->text()) return {CallError::packed_apart, index, -1, -1, 0, 0};
    if (a.readonly && row.role != ir::Role::in) return {CallError::readonly_output, index, -1, -1, 0, 0};
    bool empty = false;
    words[row.word] = reinterpret_cast<uint64_t>(a.data);
    for (int axis = 0; axis < a.rank; ++axis) {
      int64_t expected;
      if (row.simple[axis] >= 0) expected = dims[row.simple[axis]];
      else if (!row.axes[axis].run(dims, expected)) return {CallError::overflow, index, axis, -1, 0, 0};
      if (a.extents[axis] != expected) return {CallError::extent, index, axis, -1, a.extents[axis], expected};
      empty |= expected == 0;
      words[row.word + 1 + axis] = static_cast<uint64_t>(a.strides[axis]);
    }
    if (!row.packing && a.rank > 0 && a.strides[a.rank - 1] != 1 && a.extents[a.rank - 1] > 1)
      strided |= uint64_t{1} << i;
    if (a.rank > 0 && a.strides[a.rank - 1] != 1 && a.extents[a.rank - 1] <= 1) words[row.word + a.rank] = 1;
    if (empty) continue;
    if (!a.data) return {CallError::null_data, index, -1, -1, 0, 0};
    if (reinterpret_cast<uintptr_t>(a.data) % ir::scalar_bytes(row.type) != 0)
      return {CallError::misaligned, index, -1, -1, 0, ir::scalar_bytes(row.type)};
  }
  if (CallError e = unmet(dims, scalars); e.kind) return e;
  if (CallError e = overlaps(arrays); e.kind) return e;
  for (size_t d = 0; d < dims_.size(); ++d)
    if (dim_words_[d] >= 0) words[dim_words_[d]] = static_cast<uint64_t>(dims[d]);
  for (size_t s = 0; s < scalars_.size(); ++s) words[scalars_[s].word] = scalar_word(scalars_[s].type, scalars[s]);
  return {};
}

Diagnostic CallPlan::explain(const CallError& e, const ArrayArg* arrays) const {
  auto name = [&](int i) { return "`" + arrays_[i].name + "`"; };
  auto number = [](int64_t v) { return std::to_string(v); };
  auto shape = [&](int i) {
    std::string text = "(";
    for (int a = 0; a < arrays[i].rank; ++a) text += (a ? ", " : "") + number(arrays[i].extents[a]);
    return text + ")";
  };
  auto dims_of = [&](int i) {
    std::string text;
    for (const std::string& t : arrays_[i].text) text += (text.empty() ? "" : ", ") + t;
    return "[" + text + "]";
  };
  switch (e.kind) {
    case CallError::rank:
      return Diagnostic(codes::wrong_rank, {},
                        "the argument " + name(e.argument) + " has " + number(e.seen) +
                            (e.seen == 1 ? " axis" : " axes") + ", shape " + shape(e.argument) + "; its type has " +
                            number(e.expected) + ": " + dims_of(e.argument));
    case CallError::type: {
      auto type = [](int64_t t) { return std::string(ir::scalar_type_name(static_cast<ir::ScalarType>(t))); };
      return Diagnostic(codes::wrong_type, {},
                        "the argument " + name(e.argument) + " has elements of type `" + type(e.seen) +
                            "`; this kernel takes `" + type(e.expected) + "`");
    }
    case CallError::extent: {
      const std::string& text = arrays_[e.argument].text[e.axis];
      std::string expected = text == number(e.expected) ? "this kernel takes " + text
                                                        : "`" + text + "` is " + number(e.expected) + " here";
      return Diagnostic(codes::wrong_extent, {},
                        "axis " + number(e.axis) + " of the argument " + name(e.argument) + " has " + number(e.seen) +
                            " elements; " + expected);
    }
    case CallError::unsolvable:
      if (e.argument < 0)
        return Diagnostic(codes::wrong_extent, {},
                          "the dim `" + dim_names_[e.other] + "` would be " + number(e.seen) + ", less than 0");
      return Diagnostic(codes::wrong_extent, {},
                        "axis " + number(e.axis) + " of the argument " + name(e.argument) + " has " + number(e.seen) +
                            " elements, from which `" + arrays_[e.argument].text[e.axis] + "` gives no whole `" +
                            dim_names_[e.other] + "`");
    case CallError::requirement: return Diagnostic(codes::requirement_fails, {}, requirements_[e.other].text);
    case CallError::overflow:
      for (size_t i = 0; i < arrays_.size(); ++i)
        for (int axis = 0; axis < arrays[i].rank; ++axis)
          if (int64_t extent = arrays[i].extents[axis]; extent < 0)
            return Diagnostic(codes::wrong_extent, {},
                              "axis " + std::to_string(axis) + " of the argument `" + arrays_[i].name + "` has " +
                                  std::to_string(extent) + " elements");
      return Diagnostic(codes::wrong_extent, {}, "a shape of this call is past 64 bits");
    case CallError::readonly_output:
      return Diagnostic(codes::readonly_output, {}, "the output " + name(e.argument) + " is read-only");
    case CallError::overlap:
      if (e.other == e.argument)
        return Diagnostic(codes::overlapping, {},
                          "several cells of the output " + name(e.argument) + " are one in memory")
            .with_help("pass an array whose cells are apart, such as a copy");
      return Diagnostic(codes::overlapping, {},
                        "the output " + name(e.argument) + " overlaps " + name(e.other) + " in memory")
          .with_help("pass a copy, or an output of its own");
    case CallError::misaligned:
      return Diagnostic(
          codes::misaligned, {},
          "the data of " + name(e.argument) + " is not aligned to its " + number(e.expected) + "-byte elements");
    case CallError::null_data:
      return Diagnostic(codes::null_data, {}, "the argument " + name(e.argument) + " has no data");
    case CallError::not_packed:
      return Diagnostic(codes::wrong_packing, {},
                        "the argument " + name(e.argument) + " is packed, and this kernel takes it as it is")
          .with_help("a kernel takes what its own `pack` made, or another one's with the same layout");
    case CallError::packed_apart:
      return Diagnostic(codes::wrong_packing, {},
                        "the argument " + name(e.argument) + " is packed as `" + *arrays[e.argument].packed +
                            "`; this kernel takes `" + arrays_[e.argument].packing->text() + "`")
          .with_help("a kernel takes what its own `pack` made, or another one's with the same layout");
    case CallError::check:
    case CallError::none: break;
  }
  return Diagnostic(codes::check_fails, {}, "a check of this call failed");
}

Diagnostic CallPlan::explain_check(const std::string& text, const host::CheckReport& report) const {
  std::string at;
  for (int64_t i = 0; i < std::min<int64_t>(report.count, 8); ++i)
    at += (at.empty() ? "" : ", ") + std::to_string(report.coordinates[i]);
  return Diagnostic(codes::check_fails, {},
                    "this does not hold for the data: " + text + (at.empty() ? "" : ", at (" + at + ")"));
}

}  // namespace heddle::jit
