#include "frontend/check/shapes.h"

#include "ir/prove.h"
#include "ir/visit.h"

namespace heddle::frontend {
namespace {

class DimSolver {
 public:
  DimSolver(ir::Program& program, const std::vector<LetDim>& lets)
      : p_(program), lets_(lets), known_(program.symbols.size(), true) {
    for (size_t i = 0; i < p_.symbols.size(); ++i)
      if (p_.symbols[i].kind == ir::SymbolKind::dim) known_[i] = false;
    for (const LetDim& l : lets_) pending_.push_back(&l);
  }

  std::vector<ir::SymbolId> run() {
    p_.dims.clear();
    each_axis(
        [&](ir::BufferId buffer, int axis, const std::vector<ir::Expr>& parts) { return bare(buffer, axis, parts); });
    for (bool changed = true; changed;) {
      changed = each_axis(
          [&](ir::BufferId b, int axis, const std::vector<ir::Expr>& parts) { return affine(b, axis, parts); });
      changed |= lets();
    }
    std::vector<ir::SymbolId> left;
    for (uint32_t i = 0; i < known_.size(); ++i)
      if (!known_[i]) left.push_back({i});
    return left;
  }

 private:
  template <class F>
  bool each_axis(F f) {
    bool changed = false;
    for (const ir::Parameter& q : p_.parameters) {
      if (!q.buffer.known()) continue;
      const ir::Buffer& b = p_.buffer(q.buffer);
      if (b.role != ir::Role::in && b.role != ir::Role::inout) continue;
      int axis = 0;
      for (const AxisSpan& span : axis_spans(b)) {
        std::vector<ir::Expr> parts;
        for (int i = span.begin; i < span.end; ++i) parts.push_back(b.box[i].hi);
        changed |= f(q.buffer, axis++, parts);
      }
    }
    return changed;
  }

  bool define(ir::DimDefinition d) {
    known_[d.dim.value] = true;
    p_.dims.push_back(std::move(d));
    return true;
  }

  bool bare(ir::BufferId buffer, int axis, const std::vector<ir::Expr>& parts) {
    const ir::Var* v = parts.size() == 1 ? parts[0].as<ir::Var>() : nullptr;
    if (!v || known_[v->symbol.value]) return false;
    return define({v->symbol, buffer, axis, ir::index_constant(0), ir::index_constant(1), {}});
  }

  // The only unknown of an expression; `many` when there are several.
  void unknowns(const ir::Expr& e, ir::SymbolId& found, bool& many) {
    ir::walk(e, [&](const ir::Expr& node) {
      if (const auto* v = node.as<ir::Var>(); v && !known_[v->symbol.value]) {
        if (found.known() && found != v->symbol) many = true;
        found = v->symbol;
      }
      return !many;
    });
  }

  bool affine(ir::BufferId buffer, int axis, const std::vector<ir::Expr>& parts) {
    ir::SymbolId unknown;
    bool many = false;
    size_t where = 0;
    int holders = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      ir::SymbolId before = unknown, here;
      unknowns(parts[i], here, many);
      if (!here.known()) continue;
      if (before.known()) many = true;
      unknown = here;
      where = i;
      ++holders;
    }
    if (many || holders != 1) return false;
    ir::AffineIn form = ir::affine_in(parts[where], unknown);
    if (!form.ok || form.coefficient == 0) return false;
    ir::Expr others = ir::index_constant(1);
    for (size_t i = 0; i < parts.size(); ++i)
      if (i != where) others = others * parts[i];
    return define({unknown, buffer, axis, others * form.rest, others * form.coefficient, {}});
  }

  bool lets() {
    bool changed = false;
    std::vector<const LetDim*> later;
    for (const LetDim* l : pending_) {
      ir::SymbolId unknown;
      bool many = false;
      if (l->value.known()) unknowns(l->value, unknown, many);
      if (unknown.known()) {
        later.push_back(l);
        continue;
      }
      if (!l->value.known()) {  // already diagnosed
        known_[l->dim.value] = true;
        continue;
      }
      changed |= define({l->dim, {}, 0, {}, {}, l->value});
    }
    pending_ = std::move(later);
    return changed;
  }

  ir::Program& p_;
  const std::vector<LetDim>& lets_;
  std::vector<bool> known_;
  std::vector<const LetDim*> pending_;
};

}  // namespace

std::vector<AxisSpan> axis_spans(const ir::Buffer& buffer) {
  std::vector<AxisSpan> spans;
  int next = 0;
  if (buffer.groups.empty()) {
    for (size_t i = 0; i < buffer.box.size(); ++i) spans.push_back({next, next + 1}), ++next;
    return spans;
  }
  for (int g : buffer.groups) spans.push_back({next, next + g}), next += g;
  return spans;
}

std::vector<ir::SymbolId> define_dims(ir::Program& program, const std::vector<LetDim>& lets) {
  return DimSolver(program, lets).run();
}

}  // namespace heddle::frontend
