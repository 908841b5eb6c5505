// The rewriting of `cache` for a tensor, or the fields of a state, that an iteration of the loop writes: it is made in a copy, which is
// written back once. Over 500 lines: one rewriting from its legality to its nests.
#include <algorithm>
#include <set>

#include "ir/parts.h"
#include "ir/print.h"
#include "schedule/legality.h"
#include "schedule/names.h"
#include "schedule/nest.h"
#include "schedule/place.h"

namespace heddle::schedule {

using namespace ir;

namespace {

/// Where an iteration writes the tensor: a leaf, and the loops below that its map axes are bound to.
struct Writer {
  Path path;               // from the loop's body down to the leaf
  std::vector<For> loops;  // outermost first, without bodies
  const Leaf& leaf() const { return std::get<Leaf>(path.back()->form); }
  const Reduce* region() const {
    for (const StmtRef& s : path)
      if (const Reduce* r = as<Reduce>(s)) return r;
    return nullptr;
  }
  bool runs() const {  // not the case of a stage that `fix` has decided against
    return std::none_of(path.begin(), path.end(), [](const StmtRef& s) {
      const For* l = as<For>(s);
      const int64_t *lo = l ? constant_value(l->lo) : nullptr, *hi = l ? constant_value(l->hi) : nullptr;
      return lo && hi && *hi <= *lo;
    });
  }
};

struct WriteCache {
  std::vector<BufferId> to;  // one, or the fields of a state
  SymbolId loop;
  std::string name;
  std::vector<Writer> writers;
  StageId stage;                // of all writers
  std::vector<Axis> axes;       // of the stage
  Expr where;                   // of the stage
  std::vector<size_t> axis_of;  // of each dim of the tensor, those of fields aside: the axis that stands there
};

std::string tensor_name(const Program& p, const WriteCache& c) {
  return "`" + (c.to.size() == 1 ? buffer_name(p, c.to[0]) : p.buffer(c.to[0]).name) + "`";
}

size_t own_dims(const Program& p, BufferId buffer) { return p.buffer(buffer).box.size() - p.buffer(buffer).field_dims; }

bool mentions_any(const Expr& e, const std::vector<For>& loops) {
  return std::any_of(loops.begin(), loops.end(), [&](const For& l) { return mentions(e, l.loop); });
}

Result<Done> one_definition(const Step& step, const WriteCache& c, const Path& path) {
  const Program& p = step.program;
  const std::string name = tensor_name(p, c), at = "`" + loop_name(p, c.loop) + "`";
  for (BufferId field : c.to)
    for (const Access& a : accesses(p, loop_of(path).body, field)) {
      if (a.by && as<Call>(a.by))
        return step.refusal(codes::bad_window, name + " is an operand of an instruction below")
            .label(a.by->place, "here");
      if (a.reads && !a.combines)
        return step.refusal(codes::order_matters, name + " is both written and read inside " + at)
            .label(a.by->place, "read here")
            .with_help(
                "a copy is read, or written and taken back: place the stage at a loop with `compute_at .. in ..`");
    }
  return Done{};
}

// The leaves that write, each cell by plain map axes.
Result<Done> find_writers(const Step& step, WriteCache& c, const Path& path) {
  const Program& p = step.program;
  const std::string name = tensor_name(p, c);
  for (const LeafSite& site : leaves(loop_of(path).body)) {
    const Leaf& leaf = site.leaf();
    if (std::none_of(leaf.assigns.begin(), leaf.assigns.end(), [&](const Assign& a) { return a.buffer == c.to[0]; }))
      continue;
    const Stage& row = p.stage(leaf.stage);
    auto refused = [&](const std::string& why) {
      return step.refusal(codes::bad_window, name + " " + why).label(row.place, "written here");
    };
    if (leaf.assigns.size() != c.to.size() || leaf.assigns[0].kind == AssignKind::update)
      return refused("is updated in place, so its old cells count");
    if (!c.writers.empty() && leaf.stage != c.stage) return refused("is written by several stages inside the loop");
    c.stage = leaf.stage;
    c.axes = row.axes;
    c.where = row.where;
    c.axis_of.clear();
    for (size_t d = 0; d < own_dims(p, c.to[0]); ++d) {
      const Var* v = leaf.assigns[0].subs[d].as<Var>();
      size_t axis = 0;
      while (v && axis < row.axes.size() && row.axes[axis].symbol != v->symbol) ++axis;
      if (!v || axis == row.axes.size() || row.axes[axis].cls != AxisClass::map ||
          std::count(c.axis_of.begin(), c.axis_of.end(), axis))
        return refused("is not written by one plain index for each dim");
      c.axis_of.push_back(axis);
    }
    for (size_t i = 0; i < row.axes.size(); ++i)
      if (row.axes[i].cls == AxisClass::map && !std::count(c.axis_of.begin(), c.axis_of.end(), i))
        return refused("is not written by one plain index for each dim");
      else if (row.axes[i].cls != AxisClass::map && row.axes[i].cls != AxisClass::reduce)
        return refused("is made in the order of a scan or scatter");
    Writer w{site.path, {}};
    for (const StmtRef& s : site.path)
      if (const For* l = as<For>(s)) {
        const bool drives = std::any_of(c.axis_of.begin(), c.axis_of.end(),
                                        [&](size_t axis) { return mentions(leaf.bindings[axis], l->loop); });
        if (!drives) continue;
        w.loops.push_back(plain_loop(*l));
      }
    for (const StmtRef& s : site.path)  // loops that stay behind
      if (const For* l = as<For>(s))
        for (const For& kept : w.loops)
          if (kept.loop != l->loop && (mentions(kept.lo, l->loop) || mentions(kept.hi, l->loop)) &&
              std::none_of(w.loops.begin(), w.loops.end(), [&](const For& k) { return k.loop == l->loop; }))
            return refused("is written below a loop of its reduction whose iterations write other cells");
    c.writers.push_back(std::move(w));
  }
  if (c.writers.empty())
    return step.refusal(codes::bad_window, "nothing writes " + name + " inside `" + loop_name(p, c.loop) + "`");
  return Done{};
}

// Conditions under which a cell is written. Of a reduction, those that speak of its loops and those of its `where` only choose its terms:
// cells that they leave nothing for hold the identity, and are cells of the domain.
std::vector<Expr> cell_conditions(const WriteCache& c, const Writer& w, const Facts& at) {
  Substitution point;
  for (size_t i = 0; i < c.axes.size(); ++i) point.emplace_back(c.axes[i].symbol, w.leaf().bindings[i]);
  std::vector<Expr> terms;
  if (w.region() && c.where.known())
    for (const Expr& part : conjuncts(c.where)) terms.push_back(tidy(substitute(part, point)));
  std::vector<Expr> out;
  for (const Expr& part : conjuncts(w.leaf().predicate)) {
    // What data says is of the `where` in whatever words it is put by now: steps add conditions on loops alone.
    bool of_terms = !terms.empty() && mentions_load(part);
    for (const Expr& e : terms) of_terms |= same(e, tidy(part)) || same(simplify(e), simplify(part));
    for (const StmtRef& s : w.path)
      if (const For* l = as<For>(s))
        of_terms |= mentions(part, l->loop) &&
                    std::none_of(w.loops.begin(), w.loops.end(), [&](const For& k) { return k.loop == l->loop; });
    if (!of_terms) out.push_back(part);
  }
  if (terms.empty()) return out;
  Facts facts = at;
  for (const For& l : w.loops) facts.add_range(l.loop, l.lo, l.hi);
  for (const Expr& e : out) facts.add(e);
  for (size_t axis : c.axis_of) {
    const Expr &value = w.leaf().bindings[axis], lo = substitute(c.axes[axis].lo, point),
               hi = substitute(c.axes[axis].hi, point);
    for (const Expr& end : {less_equal(lo, value), less(value, hi)})
      if (!prove(facts, end)) out.push_back(end);
  }
  return out;
}

// Whether two writers write the same cells under the same conditions, up to the names of their loops: parts of one reduction.
bool same_cells(const WriteCache& c, const Writer& a, const Writer& b, const Facts& at) {
  if (a.loops.size() != b.loops.size()) return false;
  Substitution to;
  const auto agrees = [&](const Expr& x, const Expr& y) { return same(tidy(x), tidy(substitute(y, to))); };
  for (size_t i = 0; i < a.loops.size(); ++i) {
    if (!agrees(a.loops[i].lo, b.loops[i].lo) || !agrees(a.loops[i].hi, b.loops[i].hi)) return false;
    to.emplace_back(b.loops[i].loop, var(a.loops[i].loop));
  }
  for (size_t axis : c.axis_of)
    if (!agrees(a.leaf().bindings[axis], b.leaf().bindings[axis])) return false;
  const std::vector<Expr> x = cell_conditions(c, a, at), y = cell_conditions(c, b, at);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), agrees);
}

// Whether no cell is written by both, shown by a dim whose ranges do not meet.
bool cells_apart(const WriteCache& c, const Writer& a, const Writer& b, const Facts& at) {
  const auto range = [&](const Writer& w, size_t axis) {
    std::vector<SymbolRange> loops;
    for (const For& l : w.loops) loops.push_back({l.loop, l.lo, l.hi});
    return bounds_over(w.leaf().bindings[axis], loops, at);
  };
  for (size_t axis : c.axis_of) {
    const Bounds x = range(a, axis), y = range(b, axis);
    if (x.ok && y.ok && (prove(at, less(x.hi, y.lo)) || prove(at, less(y.hi, x.lo)))) return true;
  }
  return false;
}

// Whether the two stand in cases of which one runs.
bool in_other_cases(const Writer& a, const Writer& b) {
  for (const StmtRef& x : a.path)
    for (const StmtRef& y : b.path)
      if (as<For>(x) && as<For>(y) && other_case(*as<For>(x), *as<For>(y))) return true;
  return false;
}

// One writer for each cell: a reduction that a step has taken apart is written back once, and so are the cases of a stage. (Two writers
// that are neither write different cells, as each is defined once.)
Result<Done> keep_one_each(const Step& step, const WriteCache& c, const Facts& at, std::vector<const Writer*>& kept) {
  const bool any_runs = std::any_of(c.writers.begin(), c.writers.end(), [](const Writer& w) { return w.runs(); });
  for (const Writer& w : c.writers) {
    if (any_runs && !w.runs()) continue;
    bool again = false;
    for (const Writer* k : kept) {
      const bool cases = in_other_cases(*k, w);
      if (!cases && (!w.region() || w.region() != k->region())) continue;
      again |= same_cells(c, *k, w, at);
      if (again || cells_apart(c, *k, w, at)) continue;
      const std::string name = tensor_name(step.program, c);
      return step
          .refusal(codes::touched_producer, std::string("cannot show which cells the ") +
                                                (cases ? "cases of " : "parts of the reduction of ") + name + " share")
          .with_help("move this line above the one that made parts of the nest");
    }
    if (!again) kept.push_back(&w);
  }
  return Done{};
}

/// One loop for each dim, where the writer's loops run over a whole stretch of it: 16*co + ci with ci in 0 .. 16.
struct Stretch {
  std::vector<std::pair<size_t, int64_t>> digits;  // loops of the writer with their steps, smallest first
  Expr base, extent;
};

std::optional<Stretch> stretch_of(const Writer& w, const Expr& binding) {
  Stretch out;
  Expr rest = simplify(binding);
  for (size_t i = 0; i < w.loops.size(); ++i) {
    if (!mentions(rest, w.loops[i].loop)) continue;
    const AffineIn in = affine_in(rest, w.loops[i].loop);
    if (!in.ok || in.coefficient < 1 || !is_constant(w.loops[i].lo, 0) || mentions_any(w.loops[i].hi, w.loops))
      return std::nullopt;
    out.digits.emplace_back(i, in.coefficient);
    rest = simplify(in.rest);
  }
  out.base = rest;
  out.extent = index_constant(1);
  std::sort(out.digits.begin(), out.digits.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  int64_t next = 1;
  for (size_t k = 0; k < out.digits.size(); ++k) {
    const Expr& extent = w.loops[out.digits[k].first].hi;
    if (out.digits[k].second != next) return std::nullopt;
    out.extent = simplify(extent * next);
    const int64_t* n = constant_value(extent);
    if (k + 1 < out.digits.size() && (!n || *n < 1 || __builtin_mul_overflow(next, *n, &next))) return std::nullopt;
  }
  return out;
}

// A condition over the writer's loops as one over the stretches' loops; none when it is more than that.
Expr over_stretches(const Writer& w, const std::vector<Stretch>& dims, const std::vector<For>& loops,
                    const Expr& condition) {
  if (!mentions_any(condition, w.loops)) return condition;
  const Binary* b = condition.as<Binary>();
  if (!b || b->left.type() != ScalarType::index || mentions_load(condition)) return {};
  Substitution to;
  for (size_t d = 0; d < dims.size(); ++d) {
    std::optional<int64_t> unit;
    for (const auto& [loop, step] : dims[d].digits) {
      const AffineIn in = affine_in(simplify(b->left - b->right), w.loops[loop].loop);
      if (!in.ok || in.coefficient % step != 0 || (unit && *unit * step != in.coefficient)) return {};
      unit = in.coefficient / step;
      to.emplace_back(w.loops[loop].loop, step == 1 ? var(loops[d].loop) : index_constant(0));
    }
  }
  return tidy(substitute(condition, to));
}

class WriteBack {
 public:
  WriteBack(Step& step, const WriteCache& c, const std::vector<BufferId>& copies, const Facts& at)
      : step_(step), c_(c), copies_(copies), at_(at) {}

  StmtRef nest(const Writer& w) {
    // Loops of a part keep its name.
    const Program& p = step_.program;
    part_.clear();
    for (const For& l : w.loops)
      if (size_t mark = p.symbol(l.loop).owner.find('@'); mark != std::string::npos)
        part_ = p.symbol(l.loop).owner.substr(mark);
    if (std::optional<StmtRef> dense = one_loop_for_each_dim(w)) return *dense;
    return same_loops(w);
  }

 private:
  SymbolId fresh(const std::string& wanted) {
    Program& p = step_.program;
    const std::string owner = main_part(p.stage(c_.stage).name) + part_;
    std::string name = wanted;
    auto taken = [&] {
      for (const Buffer& b : p.buffers)
        if (b.name == name) return true;
      return !free_loop_name(step_, owner, name) || std::any_of(made_.begin(), made_.end(), [&](SymbolId s) {
        return p.symbol(s).name == name && p.symbol(s).owner == owner;
      });
    };
    while (taken()) name += "_";
    made_.push_back(p.add(Symbol{name, SymbolKind::loop, ScalarType::index, owner, step_.call.place}));
    return made_.back();
  }

  std::optional<StmtRef> one_loop_for_each_dim(const Writer& w) {
    std::vector<Stretch> dims;
    std::vector<int> uses(w.loops.size(), 0);
    for (size_t axis : c_.axis_of) {
      std::optional<Stretch> s = stretch_of(w, w.leaf().bindings[axis]);
      if (!s) return std::nullopt;
      for (const auto& [loop, step] : s->digits) ++uses[loop];
      dims.push_back(*std::move(s));
    }
    if (std::any_of(uses.begin(), uses.end(), [](int n) { return n != 1; })) return std::nullopt;
    std::vector<For> loops(dims.size());
    std::vector<Expr> at_cell;
    Facts at = at_;
    for (size_t d = 0; d < dims.size(); ++d) {
      Expr value = dims[d].base;
      if (!dims[d].digits.empty()) {
        loops[d].loop = fresh(step_.program.symbol(c_.axes[c_.axis_of[d]].symbol).name);
        loops[d].lo = index_constant(0);
        loops[d].hi = dims[d].extent;
        value = simplify(value + var(loops[d].loop));
        at.add_range(loops[d].loop, loops[d].lo, loops[d].hi);
      }
      at_cell.push_back(value);
    }
    std::vector<Expr> guards;
    for (const Expr& condition : cell_conditions(c_, w, at_)) {
      Expr moved = over_stretches(w, dims, loops, condition);
      if (!moved.known()) return std::nullopt;
      if (!prove(at, moved)) guards.push_back(moved);
    }
    return nested(at_cell, guards, loops, w);
  }

  StmtRef same_loops(const Writer& w) {
    Substitution to;
    std::vector<For> loops;
    for (const For& old : w.loops) {
      For l = old;
      l.lo = tidy(substitute(old.lo, to));
      l.hi = tidy(substitute(old.hi, to));
      l.loop = fresh(step_.program.symbol(old.loop).name);
      to.emplace_back(old.loop, var(l.loop));
      loops.push_back(std::move(l));
    }
    std::vector<Expr> at_cell, guards;
    for (size_t axis : c_.axis_of) at_cell.push_back(tidy(substitute(w.leaf().bindings[axis], to)));
    for (const Expr& condition : cell_conditions(c_, w, at_)) guards.push_back(tidy(substitute(condition, to)));
    return nested(at_cell, guards, loops, w);
  }

  // t[cell] = n[cell]: the row has map axes alone by now, one for each dim, in an order of its own.
  StmtRef nested(const std::vector<Expr>& at_cell, const std::vector<Expr>& guards, const std::vector<For>& loops,
                 const Writer& w) {
    Leaf leaf;
    leaf.stage = c_.stage;
    for (size_t axis = 0; axis < c_.axes.size(); ++axis)
      for (size_t d = 0; d < at_cell.size(); ++d)
        if (c_.axis_of[d] == axis) leaf.bindings.push_back(at_cell[d]);
    leaf.predicate = conjoin(guards);
    leaf.recomputed = w.leaf().recomputed;
    leaf.nontemporal = w.leaf().nontemporal;
    for (size_t f = 0; f < c_.to.size(); ++f) leaf.assigns.push_back(taken_back(w.leaf().assigns[f], copies_[f]));
    StmtRef inner = make_stmt(std::move(leaf), step_.call.place);
    for (size_t i = loops.size(); i-- > 0;) {
      if (!loops[i].loop.known()) continue;
      For l = loops[i];
      l.body = {inner};
      inner = make_stmt(std::move(l), step_.call.place);
    }
    return inner;
  }

  // Of a field with axes of its own, all of them, by indices of this leaf.
  Assign taken_back(const Assign& made, BufferId copy) {
    Program& p = step_.program;
    Assign a;
    a.buffer = made.buffer;
    a.subs = made.subs;
    Substitution own;
    for (const Axis& x : made.over) {
      const SymbolId next = p.add(Symbol(p.symbol(x.symbol)));
      a.over.push_back({next, x.cls, substitute(x.lo, own), substitute(x.hi, own)});
      own.emplace_back(x.symbol, var(next));
    }
    for (Expr& sub : a.subs) sub = substitute(sub, own);
    a.value = load(p.buffer(made.buffer).type, copy, a.subs);
    return a;
  }

  Step& step_;
  const WriteCache& c_;
  const std::vector<BufferId>& copies_;
  const Facts& at_;
  std::string part_;
  std::vector<SymbolId> made_;
};

// The stage goes on as the one that writes back; what makes the cells becomes a stage of its own, named as the copy.
Result<StageId> making_stage(Step& step, const WriteCache& c, const std::vector<BufferId>& copies, const Body& inside) {
  Program& p = step.program;
  Stage made = p.stage(c.stage);
  if (!made.reducer.empty() && leaves_of(p, c.stage).size() != c.writers.size())
    return step
        .refusal(codes::touched_producer, "`" + made.name + "` is reduced outside `" + loop_name(p, c.loop) + "` too")
        .with_help("move this line above the one that made parts of the nest");
  const std::string old = main_part(made.name);
  made.name = c.name;
  made.writes = copies;
  Substitution axes;
  for (Axis& a : made.axes) {
    a.lo = a.lo.known() ? substitute(a.lo, axes) : a.lo;
    a.hi = a.hi.known() ? substitute(a.hi, axes) : a.hi;
    Symbol s = p.symbol(a.symbol);
    s.owner = c.name;
    const SymbolId next = p.add(std::move(s));
    axes.emplace_back(a.symbol, var(next));
    a.symbol = next;
  }
  if (made.where.known()) made.where = substitute(made.where, axes);
  const StageId id = p.add(std::move(made));
  // What is left of the row: its cells.
  Stage& row = p.stages[c.stage.value];
  row.reducer.clear();
  std::erase_if(row.axes, [](const Axis& a) { return a.cls != AxisClass::map; });
  std::vector<Expr> cells;
  for (const Expr& part : conjuncts(row.where)) {
    bool of_terms = !p.stage(id).reducer.empty();
    for (const Axis& a : c.axes) of_terms |= a.cls != AxisClass::map && mentions(part, a.symbol);
    if (!of_terms) cells.push_back(part);
  }
  row.where = conjoin(cells);
  walk(inside, [&](const StmtRef& s) {
    const For* l = as<For>(s);
    if (!l || main_part(p.symbol(l->loop).owner) != old) return true;
    Symbol& loop = p.symbols[l->loop.value];
    const std::string before = loop_name(p, l->loop);
    loop.owner = c.name + loop.owner.substr(old.size());
    consume(step, before, "moved to `" + loop_name(p, l->loop) + "`");
    return true;
  });
  return id;
}

// Leaves and regions of the tensor become those of the copy.
Body made_in_copy(const Program& p, const WriteCache& c, StageId stage, const std::vector<BufferId>& copies,
                  const Body& body) {
  const auto copy_of = [&](BufferId buffer) {
    for (size_t f = 0; f < c.to.size(); ++f)
      if (c.to[f] == buffer) return copies[f];
    return buffer;
  };
  Substitution axes;
  for (size_t i = 0; i < c.axes.size(); ++i) axes.emplace_back(c.axes[i].symbol, var(p.stage(stage).axes[i].symbol));
  return rewrite_body(body, [&](const StmtRef& s) -> Body {
    if (const Reduce* r = as<Reduce>(s)) {
      Reduce next = *r;
      bool changed = false;
      for (Window& w : next.windows) {
        changed |= w.buffer != copy_of(w.buffer);
        w.buffer = copy_of(w.buffer);
      }
      return {changed ? make_stmt(std::move(next), s->place) : s};
    }
    const Leaf* leaf = as<Leaf>(s);
    if (!leaf || leaf->stage != c.stage) return {s};
    Leaf next = *leaf;
    next.stage = stage;
    next.nontemporal = false;
    for (Assign& a : next.assigns) {
      a.buffer = copy_of(a.buffer);
      for (Axis& x : a.over) x.lo = substitute(x.lo, axes), x.hi = substitute(x.hi, axes);
      for (Expr& sub : a.subs) sub = substitute(sub, axes);
      a.value = substitute(a.value, axes);
    }
    return {make_stmt(std::move(next), s->place)};
  });
}

}  // namespace

Result<Done> write_back_at(Step& step, const std::vector<BufferId>& to, SymbolId loop, const std::string& name,
                           Memory memory, const std::vector<std::optional<Range>>& written) {
  Program& p = step.program;
  const Path path = path_to_loop(p, loop);
  WriteCache c{to, loop, name, {}, {}, {}, {}, {}};
  Result<Done> found = find_writers(step, c, path);
  if (!found) return found;
  Result<Done> legal = one_definition(step, c, path);
  if (!legal) return legal;
  const Facts at = facts_at(p, path);
  std::vector<const Writer*> kept;
  Result<Done> once = keep_one_each(step, c, at, kept);
  if (!once) return once;
  const TouchedBox box = written_box(p, to[0], loop_of(path).body, at);
  std::vector<BoxDim> own;
  for (size_t d = 0; d < c.axis_of.size(); ++d) {
    const Range least{box.exact.dims[d].lo, box.exact.dims[d].hi};
    const std::optional<Range> asked = d < written.size() ? written[d] : std::nullopt;
    if (asked && !prove(at, both(less_equal(asked->lo, least.lo), less_equal(least.hi, asked->hi))))
      return step.refusal(codes::bad_window, "cannot show that `" + print(p, asked->lo) + " .. " + print(p, asked->hi) +
                                                 "` holds what is written of " + tensor_name(p, c) + ": `" +
                                                 print(p, least.lo) + " .. " + print(p, least.hi) + "`");
    const Range r = asked ? *asked : range_of(box, d);
    own.push_back({p.symbol(c.axes[c.axis_of[d]].symbol).name, r.lo, r.hi});
  }
  std::vector<BufferId> copies;
  for (BufferId field : to) {
    const Buffer& of = p.buffer(field);
    Buffer b;
    b.name = name;
    b.field = of.field;
    b.field_dims = of.field_dims;
    b.type = of.type;
    b.box = own;
    b.box.insert(b.box.end(), of.box.end() - of.field_dims, of.box.end());
    b.place = step.call.place;
    copies.push_back(p.add(std::move(b)));
  }
  Result<Memory> chosen = memory_for(step, copies, memory);
  if (!chosen) return chosen.errors();
  for (BufferId copy : copies) p.buffers[copy.value].memory = *chosen;
  For l = loop_of(path);
  Result<StageId> stage = making_stage(step, c, copies, l.body);
  if (!stage) return stage.errors();
  WriteBack back(step, c, copies, at);
  Body nests;
  for (const Writer* w : kept) nests.push_back(back.nest(*w));
  size_t first = l.body.size(), last = 0;
  for (size_t i = 0; i < l.body.size(); ++i)
    for (const Writer& w : c.writers)
      if (w.path.front() == l.body[i]) first = std::min(first, i), last = i;
  Body body = made_in_copy(p, c, *stage, copies, l.body);
  body.insert(body.begin() + static_cast<ptrdiff_t>(last) + 1, nests.begin(), nests.end());
  body.insert(body.begin() + static_cast<ptrdiff_t>(first), make_stmt(Alloc{copies}, step.call.place));
  l.body = std::move(body);
  replace(p, path.back(), {make_stmt(std::move(l), path.back()->place)});
  step.relied_on("each cell of " + tensor_name(p, c) + " that an iteration of `" + loop_name(p, loop) +
                 "` makes is written back once");
  return Done{};
}

}  // namespace heddle::schedule
