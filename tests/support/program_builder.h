// Programs built by hand in tests: a few words for each row and statement, and arrays that own their elements.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "ir/float_format.h"
#include "ir/interpret.h"

namespace heddle::test {

using namespace heddle::ir;

inline Expr n(int64_t value) { return index_constant(value); }

/// A program under construction. Dims of inputs are defined by the first bare axis that names them.
struct ProgramBuilder {
  Program program;

  explicit ProgramBuilder(std::string name) {
    program.name = std::move(name);
    program.reducers = builtin_reducers();
  }

  SymbolId symbol(std::string name, SymbolKind kind, ScalarType type = ScalarType::index, std::string owner = {}) {
    Symbol s;
    s.name = std::move(name), s.kind = kind, s.type = type, s.owner = std::move(owner);
    return program.add(std::move(s));
  }
  Expr dim(std::string name) { return var(symbol(std::move(name), SymbolKind::dim)); }
  Expr loop(std::string name, std::string owner = "y") {
    return var(symbol(std::move(name), SymbolKind::loop, ScalarType::index, std::move(owner)));
  }
  Expr axis(std::string name, std::string owner = "y") {
    return var(symbol(std::move(name), SymbolKind::axis, ScalarType::index, std::move(owner)));
  }
  Expr local(std::string name, ScalarType type = ScalarType::index) {
    return var(symbol(std::move(name), SymbolKind::local, type), type);
  }
  Expr scalar(std::string name, ScalarType type) {
    const SymbolId id = symbol(std::move(name), SymbolKind::scalar, type);
    program.parameters.push_back({{}, id, {}});
    return var(id, type);
  }

  BufferId in(std::string name, ScalarType type, std::vector<Expr> dims) {
    return parameter(Role::in, std::move(name), type, std::move(dims));
  }
  BufferId out(std::string name, ScalarType type, std::vector<Expr> dims) {
    return parameter(Role::out, std::move(name), type, std::move(dims));
  }
  BufferId inout(std::string name, ScalarType type, std::vector<Expr> dims) {
    return parameter(Role::inout, std::move(name), type, std::move(dims));
  }
  /// A temporary with a box; `field` and its dims for a field of a user reducer's state.
  BufferId temporary(std::string name, ScalarType type, std::vector<std::pair<Expr, Expr>> box, std::string field = {},
                     int field_dims = 0) {
    Buffer b;
    b.name = std::move(name), b.type = type, b.field = std::move(field), b.field_dims = field_dims;
    for (auto& [lo, hi] : box) b.box.push_back({"", lo, hi});
    return program.add(std::move(b));
  }

  /// The row of a stage from its axes: (axis, class, lo, hi).
  StageId stage(std::string name, std::vector<Axis> axes) {
    Stage s;
    s.name = std::move(name), s.axes = std::move(axes);
    return program.add(std::move(s));
  }

  Expr read(BufferId b, std::vector<Expr> subs, Expr otherwise = {}) {
    return load(program.buffer(b).type, b, std::move(subs), std::move(otherwise));
  }

 private:
  BufferId parameter(Role role, std::string name, ScalarType type, std::vector<Expr> dims) {
    Buffer b;
    b.name = std::move(name), b.type = type, b.role = role;
    for (const Expr& d : dims) b.box.push_back({"", n(0), d});
    const BufferId id = program.add(std::move(b));
    program.parameters.push_back({id, {}, {}});
    for (size_t i = 0; i < dims.size() && role != Role::out; ++i) {
      const Var* v = dims[i].as<Var>();
      bool fresh = v != nullptr;
      for (const DimDefinition& d : program.dims) fresh = fresh && d.dim != v->symbol;
      if (fresh) program.dims.push_back({v->symbol, id, static_cast<int>(i), {}, {}, {}});
    }
    return id;
  }
};

inline SymbolId id(const Expr& e) { return e.as<Var>()->symbol; }
inline Axis map_axis(const Expr& a, Expr lo, Expr hi) { return {id(a), AxisClass::map, std::move(lo), std::move(hi)}; }
inline Axis reduce_axis(const Expr& a, Expr lo, Expr hi) {
  return {id(a), AxisClass::reduce, std::move(lo), std::move(hi)};
}

inline StmtRef loop_over(const Expr& l, Expr lo, Expr hi, Body body, LoopKind kind = LoopKind::serial) {
  For f;
  f.loop = id(l), f.lo = std::move(lo), f.hi = std::move(hi), f.kind = kind, f.body = std::move(body);
  return make_stmt(std::move(f));
}
inline StmtRef alloc(std::vector<BufferId> buffers) { return make_stmt(Alloc{std::move(buffers)}); }
inline StmtRef region(std::vector<Window> windows, std::string reducer, Body body) {
  return make_stmt(Reduce{std::move(windows), std::move(reducer), false, std::move(body)});
}
/// A window from (lo, hi) pairs.
inline Window window(BufferId b, std::vector<std::pair<Expr, Expr>> ranges) {
  Window w{b, {}};
  for (auto& [lo, hi] : ranges) w.ranges.push_back({lo, hi, 0});
  return w;
}
inline Assign define(BufferId b, std::vector<Expr> subs, Expr value) {
  return {b, std::move(subs), AssignKind::define, {}, std::move(value)};
}
inline Assign combine(BufferId b, std::vector<Expr> subs, Expr value) {
  return {b, std::move(subs), AssignKind::combine, {}, std::move(value)};
}
inline Assign update(BufferId b, std::vector<Expr> subs, Expr value) {
  return {b, std::move(subs), AssignKind::update, {}, std::move(value)};
}
inline StmtRef leaf(StageId stage, std::vector<Expr> bindings, std::vector<Assign> assigns, Expr predicate = {},
                    std::string reducer = {}, bool recomputed = false) {
  Leaf l;
  l.stage = stage, l.bindings = std::move(bindings), l.assigns = std::move(assigns), l.predicate = std::move(predicate);
  l.reducer = std::move(reducer), l.recomputed = recomputed;
  return make_stmt(std::move(l));
}

template <class T>
constexpr ScalarType scalar_type_of() {
  if constexpr (std::is_same_v<T, double>) return ScalarType::f64;
  else if constexpr (std::is_same_v<T, float>) return ScalarType::f32;
  else if constexpr (std::is_same_v<T, int8_t>) return ScalarType::i8;
  else if constexpr (std::is_same_v<T, int32_t>) return ScalarType::i32;
  else if constexpr (std::is_same_v<T, int64_t>) return ScalarType::i64;
  else if constexpr (std::is_same_v<T, uint8_t>) return ScalarType::u8;
  else if constexpr (std::is_same_v<T, uint16_t>) return ScalarType::bf16;  // by its bits
  else return ScalarType::boolean;
}

/// A dense array.
template <class T>
struct Array {
  std::vector<int64_t> extents;
  std::vector<T> data;

  explicit Array(std::vector<int64_t> shape, std::vector<T> values = {})
      : extents(std::move(shape)), data(std::move(values)) {
    int64_t size = 1;
    for (int64_t e : extents) size *= e;
    data.resize(static_cast<size_t>(size));
  }
  ArrayRef ref() {
    ArrayRef r{scalar_type_of<T>(), extents, std::vector<int64_t>(extents.size(), 1), data.data()};
    for (size_t i = extents.size(); i-- > 1;) r.strides[i - 1] = r.strides[i] * extents[i];
    return r;
  }
};

template <class... T>
Arguments arguments(Array<T>&... arrays) {
  return {{arrays.ref()...}, {}};
}

/// The code of the first diagnostic, or "" after a success.
template <class T>
std::string code_of(const Result<T>& r) {
  return r.ok() ? "" : r.errors().front().code;
}
template <class T>
std::string message_of(const Result<T>& r) {
  return r.ok() ? "" : render(r.errors());
}

}  // namespace heddle::test
