#include "ir/in_place.h"

#include <algorithm>
#include <set>

#include "ir/visit.h"

namespace heddle::ir {

namespace {

struct Equations {
  std::vector<const Leaf*> leaves;
  bool plain = true;  ///< nothing but loops, allocs and leaves
};

Equations equations_of(const Program& program) {
  Equations out;
  walk(program.body, [&](const StmtRef& s) {
    if (const auto* leaf = std::get_if<Leaf>(&s->form)) out.leaves.push_back(leaf);
    // Windows of instructions and checks on data are not looked into.
    out.plain &= !std::holds_alternative<Call>(s->form) && !std::holds_alternative<Check>(s->form);
    return true;
  });
  return out;
}

bool writes(const Leaf& leaf, BufferId buffer) {
  return std::any_of(leaf.assigns.begin(), leaf.assigns.end(), [&](const Assign& a) { return a.buffer == buffer; });
}

// Every read of the leaf, those inside subscripts among them.
void each_load(const Leaf& leaf, const std::function<void(const Load&)>& f) {
  auto look = [&](const Expr& e) {
    if (e.known())
      walk(e, [&](const Expr& node) {
        if (const Load* l = node.as<Load>()) f(*l);
        return true;
      });
  };
  look(leaf.predicate);
  for (const Expr& e : leaf.bindings) look(e);
  for (const Assign& a : leaf.assigns) {
    look(a.value);
    for (const Expr& e : a.subs) look(e);
  }
}

// One plain equation over a cell of its own for each point, which runs once.
bool is_elementwise(const Leaf& leaf) {
  if (leaf.recomputed || leaf.assigns.size() != 1 || leaf.assigns[0].kind != AssignKind::define) return false;
  std::set<uint32_t> seen;
  return std::all_of(leaf.assigns[0].subs.begin(), leaf.assigns[0].subs.end(), [&](const Expr& e) {
    const Var* v = e.as<Var>();
    return v && seen.insert(v->symbol.value).second;
  });
}

bool at_its_own_cell(const Leaf& leaf, const Load& load) {
  const std::vector<Expr>& own = leaf.assigns[0].subs;
  return !load.otherwise.known() && std::equal(own.begin(), own.end(), load.subs.begin(), load.subs.end(),
                                               [](const Expr& a, const Expr& b) { return same(a, b); });
}

}  // namespace

bool may_share_memory(const Program& program, BufferId input, BufferId output) {
  const Equations all = equations_of(program);
  if (!all.plain) return false;
  // The output, and what is read for a cell of it at that cell only: computed before the cell is written.
  std::vector<BufferId> before{output};
  for (size_t next = 0; next < before.size(); ++next)
    for (const Leaf* leaf : all.leaves) {
      if (!writes(*leaf, before[next])) continue;
      if (!is_elementwise(*leaf)) return false;
      each_load(*leaf, [&](const Load& l) {
        const bool known = std::find(before.begin(), before.end(), l.buffer) != before.end();
        if (!known && l.buffer != input && program.buffer(l.buffer).role == Role::temporary &&
            at_its_own_cell(*leaf, l))
          before.push_back(l.buffer);
      });
    }
  bool safe = true;
  for (const Leaf* leaf : all.leaves)
    each_load(*leaf, [&](const Load& l) {
      if (l.buffer != input) return;
      const bool counted =
          leaf->assigns.size() == 1 && std::find(before.begin(), before.end(), leaf->assigns[0].buffer) != before.end();
      safe &= counted && is_elementwise(*leaf) && at_its_own_cell(*leaf, l);
    });
  return safe;
}

}  // namespace heddle::ir
