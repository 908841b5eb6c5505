#include "schedule/tree.h"

#include <algorithm>

#include "support/limits.h"

namespace heddle::schedule {

using namespace ir;

namespace {

void walk_from(Path& path, const Body& body, const std::function<void(const Path&)>& f) {
  for (const StmtRef& s : body) {
    path.push_back(s);
    f(path);
    walk_from(path, children(s), f);
    path.pop_back();
  }
}

}  // namespace

void walk_paths(const Body& body, const std::function<void(const Path&)>& f) {
  Path path;
  walk_from(path, body, f);
}

Path path_to_loop(const Program& program, SymbolId loop) {
  return path_to(program.body, [&](const StmtRef& s) {
    const For* l = as<For>(s);
    return l && l->loop == loop;
  });
}
Path path_to_stmt(const Program& program, const StmtRef& stmt) {
  return path_to(program.body, [&](const StmtRef& s) { return s == stmt; });
}
Path path_to_alloc(const Program& program, BufferId buffer) {
  return path_to(program.body, [&](const StmtRef& s) {
    const Alloc* a = as<Alloc>(s);
    return a && std::find(a->buffers.begin(), a->buffers.end(), buffer) != a->buffers.end();
  });
}

bool is_case_loop(const For& loop) {
  const Select* once = loop.hi.as<Select>();
  return once && is_constant(loop.lo, 0) && constant_value(once->yes) && constant_value(once->no);
}

bool other_case(const For& a, const For& b) {
  if (!is_case_loop(a) || !is_case_loop(b)) return false;
  const Select *x = a.hi.as<Select>(), *y = b.hi.as<Select>();
  return same(x->condition, y->condition) && same(x->yes, y->no) && same(x->no, y->yes) && !same(x->yes, x->no);
}

std::string loop_name(const Program& program, SymbolId loop) {
  const Symbol& s = program.symbol(loop);
  return s.owner.empty() ? s.name : s.owner + "." + s.name;
}
std::string buffer_name(const Program& program, BufferId buffer) {
  const Buffer& b = program.buffer(buffer);
  return b.field.empty() ? b.name : b.name + "." + b.field;
}

namespace {

// On the way down: rewrite_body hands out parents that are already rebuilt, so no statement could be found by identity.
Body inserted(const Body& body, const StmtRef& place, const Body& what) {
  Body out;
  for (const StmtRef& s : body) {
    if (s == place) out.insert(out.end(), what.begin(), what.end());
    const Body& inside = children(s);
    if (s == place || inside.empty()) {
      out.push_back(s);
      continue;
    }
    Body next = inserted(inside, place, what);
    out.push_back(next == inside ? s : with_children(s, std::move(next)));
  }
  return out;
}

Body replaced(const Body& body, const StmtRef& old, const Body& with) {
  Body out;
  for (const StmtRef& s : body) {
    if (s == old) {
      out.insert(out.end(), with.begin(), with.end());
      continue;
    }
    const Body& inside = children(s);
    if (inside.empty()) {
      out.push_back(s);
      continue;
    }
    Body next = replaced(inside, old, with);
    out.push_back(next == inside ? s : with_children(s, std::move(next)));
  }
  return out;
}

}  // namespace

void replace(Program& program, const StmtRef& old, const Body& with) {
  program.body = replaced(program.body, old, with);
}
void insert_before(Program& program, const StmtRef& place, Body what) {
  program.body = inserted(program.body, place, what);
}

std::vector<LeafSite> leaves(const Body& body) {
  std::vector<LeafSite> out;
  walk_paths(body, [&](const Path& path) {
    if (as<Leaf>(path.back())) out.push_back({path});
  });
  return out;
}
std::vector<LeafSite> leaves_of(const Program& program, StageId stage) {
  std::vector<LeafSite> out = leaves(program.body);
  std::erase_if(out, [&](const LeafSite& site) { return site.leaf().stage != stage; });
  return out;
}

int region_of(const Path& path) {
  const Leaf* leaf = as<Leaf>(path.back());
  if (!leaf) return -1;
  for (int i = static_cast<int>(path.size()) - 1; i >= 0; --i)
    if (const Reduce* r = as<Reduce>(path[i]))
      for (const Window& w : r->windows)
        for (const Assign& a : leaf->assigns)
          if (a.kind == AssignKind::combine && a.buffer == w.buffer) return i;
  return -1;
}

bool runs_a_reduction(const Program& program, const Leaf& leaf, SymbolId loop) {
  const Stage& row = program.stage(leaf.stage);
  for (size_t i = 0; i < row.axes.size(); ++i)
    if (row.axes[i].cls != AxisClass::map && mentions(leaf.bindings[i], loop)) return true;
  return false;
}

bool carries_reduction(const Program& program, const Path& path, SymbolId loop) {
  const Leaf& leaf = std::get<Leaf>(path.back()->form);
  if (!runs_a_reduction(program, leaf, loop)) return false;
  int region = region_of(path);
  for (int i = 0; i < region; ++i) {
    const For* l = as<For>(path[i]);
    if (l && l->loop == loop) return false;  // the region opens anew in each iteration
  }
  return true;
}

int64_t size_of(const Program& program) {
  int64_t n = 0;
  for (const StmtRef& s : program.body) {
    ++n;
    map_exprs(s, [&](const Expr& e) {
      n += size_of(e);
      return e;
    });
    if (n > limits::program_nodes) break;
  }
  return n;
}

int64_t size_of(const Expr& e) {
  int64_t n = 0;
  walk(e, [&](const Expr&) { return ++n <= limits::program_nodes; });
  return n;
}

}  // namespace heddle::schedule
