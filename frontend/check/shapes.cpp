#include "frontend/check/shapes.h"

#include "ir/array_axes.h"
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
    for (ir::DimDefinition& d : ir::dims_of_whole_axes(p_)) define(std::move(d));
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
      for (const ir::AxisSpan& span : ir::array_axes(b)) {
        std::vector<ir::Expr> parts;
        for (size_t i = span.begin; i < span.end; ++i) parts.push_back(b.box[i].hi);
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

std::vector<ir::SymbolId> define_dims(ir::Program& program, const std::vector<LetDim>& lets) {
  return DimSolver(program, lets).run();
}

}  // namespace heddle::frontend
