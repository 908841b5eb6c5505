// cache t[window] in MEMORY at L [as n]
//
//   for L { S reads t }  ->  for L { alloc n[window] in MEMORY ; for i over window { n[i] = t[i] } ; S reads n }
//   for L { S: t = body }  ->  for L { alloc n[window] in MEMORY ; S: n = body ; for i over what S wrote { t[i] = n[i] } }
//   where L stands in the open reduction of t, which loops K outside or at L carry:
//   reduce t by R { for K { .. for L { S: t R= body } } }
//     ->  reduce t by R { for K { .. for L { alloc n ; reduce n by R { S: n R= body } ; t R= n } } }
//
// The window may be left out (`t`): then it is the box that an iteration of L reads. In brackets, `i` names a dim and
// leaves its range to be inferred, `lo .. hi` or `i in lo .. hi` gives it. Reads with `or c` of one constant c are
// padded: n holds c outside of t. n is by default `t_tile`; its loops carry the names of the dims. Where t is written, the
// loops of S inside L become those of n, and t gets new ones, one for each dim where S runs over whole stretches.
// `cache T(t[window])`, T a type or `widen`: n holds T(t[i]), and S, which reads t as T(t[..]) alone, reads n; any conversion, as it is
// the same one of the same value.
//
// Refused: the window does not hold what is read or written, or more than that of what a loop around makes; t is an index of
// something inside L; t is allocated inside L, or both written and read there;
// what is written is an update, or not one plain index for each dim; L is a vector loop; registers for a window that is
// not constant; of an open reduction, what `rfactor` refuses; with T, another read than T(t[..]), or a t that is written.
// Over 500 lines: one step with three forms, which share the window and the names.
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

struct Cached {
  BufferId from;
  SymbolId loop;
  std::string name;
  Memory memory = Memory::dram;
  std::vector<std::string> dims;  // names of the copy's indices
  std::vector<Range> window;
  Expr otherwise;                     // what padded cells hold, or none
  ScalarType type = ScalarType::f32;  // of the copy: t's own, or what it is read as
};

const std::vector<Term>& window_terms(const Term& operand) {
  static const std::vector<Term> none;
  return operand.kind == Term::Kind::subscript ? operand.args : none;
}

// The first index of a subscript: `i` of `2*i + u - 1`.
std::string first_index(const Program& p, const Expr& sub) {
  std::string name;
  walk(sub, [&](const Expr& node) {
    if (const Var* v = node.as<Var>(); v && name.empty() && p.symbol(v->symbol).kind == SymbolKind::axis)
      name = p.symbol(v->symbol).name;
    return name.empty();
  });
  return name;
}

// A written name, else the first index of the first reader's subscript, else the dim's own name.
std::vector<std::string> dim_names(const Step& step, BufferId from, const Body& body, const std::vector<Term>& window) {
  const Program& p = step.program;
  std::vector<std::string> names(p.buffer(from).box.size());
  for (size_t d = 0; d < names.size(); ++d)
    if (d + 1 < window.size()) {
      const Term& t = window[d + 1];
      names[d] = t.kind == Term::Kind::range ? t.bound : t.kind == Term::Kind::path ? t.text : "";
    }
  walk(body, [&](const StmtRef& s) {
    const Leaf* leaf = as<Leaf>(s);
    if (!leaf) return true;
    for (const Assign& a : leaf->assigns)
      walk(a.value, [&](const Expr& node) {
        const Load* l = node.as<Load>();
        for (size_t d = 0; l && l->buffer == from && d < names.size(); ++d)
          if (names[d].empty()) names[d] = first_index(p, l->subs[d]);
        return true;
      });
    return true;
  });
  std::set<std::string> taken;
  for (const Buffer& b : p.buffers) taken.insert(b.name);
  for (const Symbol& s : p.symbols)
    if (s.kind == SymbolKind::dim || s.kind == SymbolKind::constant || s.kind == SymbolKind::scalar)
      taken.insert(s.name);
  for (size_t d = 0; d < names.size(); ++d) {
    if (names[d].empty()) names[d] = p.buffer(from).box[d].name;
    if (names[d].empty() || taken.count(names[d])) names[d] = "d" + std::to_string(d);
    while (!taken.insert(names[d]).second) names[d] += "_";
  }
  return names;
}

std::vector<SymbolId> loops_around(const Path& path) {
  std::vector<SymbolId> out;
  for (const StmtRef& s : path)
    if (const For* l = as<For>(s)) out.push_back(l->loop);
  return out;
}

// The written ranges; none where the range is left to be inferred.
Result<std::vector<std::optional<Range>>> written_window(const Step& step, const Term& operand, BufferId from,
                                                         const Path& path) {
  const std::vector<Term>& terms = window_terms(operand);
  std::vector<std::optional<Range>> out(step.program.buffer(from).box.size());
  if (terms.empty()) return out;
  if (terms.size() - 1 != out.size())
    return Diagnostic(codes::bad_window, operand.place,
                      "`" + step.program.buffer(from).name + "` has " + std::to_string(out.size()) +
                          " dims, and the window names " + std::to_string(terms.size() - 1));
  std::vector<SymbolId> loops = loops_around(path);
  for (size_t d = 0; d < out.size(); ++d) {
    const Term& t = terms[d + 1];
    if (t.kind == Term::Kind::path && t.text.find('.') == std::string::npos) continue;
    if (t.kind != Term::Kind::range)
      return Diagnostic(codes::bad_window, t.place, "a dim of a window is a name, or a range `lo .. hi`");
    Result<Expr> lo = index_expr(step.program, t.args[0], loops), hi = index_expr(step.program, t.args[1], loops);
    if (!lo) return lo.errors();
    if (!hi) return hi.errors();
    if (lo->type() != ScalarType::index || hi->type() != ScalarType::index)
      return Diagnostic(codes::bad_window, t.place, "a range is made of indices");
    out[d] = Range{simplify(*lo), simplify(*hi)};
  }
  return out;
}

// Whether what the tensor holds becomes a subscript, a bound or a condition on data.
bool indexes(const Body& body, BufferId from) {
  bool found = false;
  for (const StmtRef& s : body)
    map_exprs(s, [&](const Expr& e) {
      walk(e, [&](const Expr& node) {
        const Convert* c = node.as<Convert>();
        if (!c || node.type() != ScalarType::index) return !found;
        walk(c->value, [&](const Expr& inner) {
          const Load* l = inner.as<Load>();
          found |= l && l->buffer == from;
          return !found;
        });
        return !found;
      });
      return e;
    });
  return found;
}

// The one constant of all reads with `or`; none when there are no such reads or they differ.
Expr common_otherwise(const Body& body, BufferId from, bool& any, bool& common) {
  Expr value;
  any = false;
  common = true;
  for (const StmtRef& s : body)
    map_exprs(s, [&](const Expr& e) {
      walk(e, [&](const Expr& node) {
        const Load* l = node.as<Load>();
        if (!l || l->buffer != from || !l->otherwise.known()) return true;
        any = true;
        common &= l->otherwise.as<Constant>() && (!value.known() || same(value, l->otherwise));
        value = l->otherwise;
        return true;
      });
      return e;
    });
  return common ? value : Expr{};
}

// The copy may stand in the loop, and the tensor stands around it.
Result<Done> can_place(const Step& step, BufferId t, SymbolId loop, const Path& path) {
  const Program& p = step.program;
  Result<Done> holds = can_hold(step, path);
  if (!holds) return holds;
  Path alloc = path_to_alloc(p, t);
  for (const StmtRef& s : alloc)
    if (s == path.back())
      return step
          .refusal(codes::bad_window, "`" + buffer_name(p, t) + "` is allocated inside `" + loop_name(p, loop) + "`")
          .label(alloc.back()->place, "here");
  return Done{};
}

Result<Done> legal_source(const Step& step, const Cached& c, const Path& path) {
  const Program& p = step.program;
  std::string name = "`" + buffer_name(p, c.from) + "`";
  Result<Done> placed = can_place(step, c.from, c.loop, path);
  if (!placed) return placed;
  bool reads = false;
  for (const Access& a : accesses(p, loop_of(path).body, c.from)) {
    reads |= a.reads;
    if (a.by && as<Call>(a.by))
      return step.refusal(codes::bad_window, name + " is an operand of an instruction below")
          .label(a.by->place, "here");
  }
  if (!reads)
    return step.refusal(codes::bad_window, "nothing reads " + name + " inside `" + loop_name(p, c.loop) + "`");
  return Done{};
}

// What is read of one dim, outside of t's box too; nothing where the bounds cannot be written.
std::optional<Range> unclipped(const std::vector<Access>& reads, size_t d, const Facts& at) {
  std::optional<Range> out;
  for (const Access& a : reads) {
    Bounds lo = bounds_over(a.window[d].lo, a.free, at), hi = bounds_over(simplify(a.window[d].hi - 1), a.free, at);
    if (!lo.ok || !hi.ok) return std::nullopt;
    Range next{lo.lo, simplify(hi.hi + 1)};
    if (!out) out = next;
    else out = Range{simplify(ir::min(out->lo, next.lo), at), simplify(ir::max(out->hi, next.hi), at)};
  }
  return out;
}

// Whether a loop around, inside of which t stands for all of its iterations, writes t: then cells that are not read may not be written yet.
bool grows_around(const Program& p, BufferId t, const Path& path) {
  if (p.buffer(t).role == Role::in || p.buffer(t).role == Role::inout) return false;
  const Path alloc = path_to_alloc(p, t);
  for (size_t i = alloc.empty() ? 0 : alloc.size() - 1; i < path.size(); ++i) {
    const For* l = as<For>(path[i]);
    if (!l) continue;
    const std::vector<Access> list = accesses(p, l->body, t);
    if (std::any_of(list.begin(), list.end(), [](const Access& a) { return a.writes; })) return true;
  }
  return false;
}

// Fills the window, and decides whether it is padded.
Result<Done> choose_window(Step& step, Cached& c, const std::vector<std::optional<Range>>& written, const Path& path) {
  const Program& p = step.program;
  const Body& body = loop_of(path).body;
  Facts at = facts_at(p, path);
  bool tried = false, common = false;
  Expr otherwise = common_otherwise(body, c.from, tried, common);
  std::vector<Access> list = accesses(p, body, c.from);
  std::erase_if(list, [](const Access& a) { return !a.reads; });
  for (Access& a : list) a.tried = false;
  TouchedBox needed = box_of(p, list, at);
  const std::vector<BoxDim>& box = p.buffer(c.from).box;
  std::vector<Range> padded;
  for (size_t d = 0; tried && common && d < box.size(); ++d) {
    if (std::optional<Range> all = unclipped(list, d, at)) padded.push_back(*all);
  }
  bool pads = tried && common && padded.size() == box.size();
  const bool grows = grows_around(p, c.from, path);
  for (size_t d = 0; d < box.size(); ++d) {
    Range inferred = pads ? padded[d] : range_of(needed, d);
    if (!written[d]) {
      c.window.push_back(inferred);
      continue;
    }
    const Range& w = *written[d];
    Range least = pads ? inferred : Range{needed.exact.dims[d].lo, needed.exact.dims[d].hi};
    if (!prove(at, both(less_equal(w.lo, least.lo), less_equal(least.hi, w.hi))))
      return step.refusal(codes::bad_window, "cannot show that `" + print(p, w.lo) + " .. " + print(p, w.hi) +
                                                 "` holds what is read of `" + buffer_name(p, c.from) + "`: `" +
                                                 print(p, least.lo) + " .. " + print(p, least.hi) + "`");
    auto holds = [&](const Range& r) { return prove(at, both(less_equal(r.lo, w.lo), less_equal(w.hi, r.hi))); };
    if (grows && !holds(least) && !holds(inferred))
      return step
          .refusal(codes::bad_window, "cells of `" + print(p, w.lo) + " .. " + print(p, w.hi) + "` of `" +
                                          buffer_name(p, c.from) + "` may not be written yet: a loop around makes them")
          .with_help("leave the range out: it is then what is read, `" + print(p, least.lo) + " .. " +
                     print(p, least.hi) + "`");
    c.window.push_back(w);
  }
  if (pads) c.otherwise = otherwise;
  return Done{};
}

// The range of a copy's index over all iterations of the loops around.
Result<Range> whole_range(const Step& step, const Cached& c, size_t d, const Path& path) {
  const Program& p = step.program;
  const BoxDim& box = p.buffer(c.from).box[d];
  const bool free = !mentions_loops(p, box.lo) && !mentions_loops(p, box.hi);
  if (free && !c.otherwise.known()) return Range{box.lo, box.hi};
  std::vector<SymbolRange> ranges;
  for (const StmtRef& s : path)
    if (const For* l = as<For>(s)) ranges.push_back({l->loop, l->lo, l->hi});
  Facts facts = facts_of(p);
  Bounds lo = bounds_over(c.window[d].lo, ranges, facts), hi = bounds_over(simplify(c.window[d].hi - 1), ranges, facts);
  if (!lo.ok || !hi.ok)
    return step.refusal(codes::not_shown,
                        "the range of `" + buffer_name(p, c.from) + "` over all iterations cannot be written");
  return Range{lo.lo, simplify(hi.hi + 1)};
}

// The range of a temporary's dim that is written: of the one map axis that stands bare there, wherever it is written. A box that
// covers more, so that its size is constant, holds nothing beyond.
std::optional<Range> written_range(const Program& p, BufferId buffer, size_t d) {
  std::optional<Range> out;
  bool plain = true;
  for (const LeafSite& site : leaves(p.body)) {
    const Leaf& leaf = site.leaf();
    for (const Assign& a : leaf.assigns) {
      if (a.buffer != buffer) continue;
      const Var* v = a.subs[d].as<Var>();
      const Axis* axis = nullptr;
      for (const Axis& x : p.stage(leaf.stage).axes)
        if (v && x.symbol == v->symbol && x.cls == AxisClass::map) axis = &x;
      plain = plain && axis && (!out || (same(out->lo, axis->lo) && same(out->hi, axis->hi)));
      if (plain) out = Range{axis->lo, axis->hi};
    }
  }
  if (!plain || !out) return std::nullopt;
  bool free = true;
  for (const Expr& e : {out->lo, out->hi})
    walk(e, [&](const Expr& node) {
      if (const Var* v = node.as<Var>()) free &= p.symbol(v->symbol).kind != SymbolKind::axis;
      free &= !node.as<Load>();
      return free;
    });
  return free ? out : std::nullopt;
}

// Whether the expression speaks of one of the loops below.
bool mentions_free(const Expr& e, const Access& a) {
  return std::any_of(a.free.begin(), a.free.end(), [&](const SymbolRange& r) { return mentions(e, r.symbol); });
}

// A condition of a read as one on the cell that is read: the loops below that it speaks of stand in coordinates in the same measure,
// `4*p + q < k` of `t[p, q]`. None where more than that is left. On chip of a NeuronCore, where instructions take whole tiles, one coordinate
// alone: a copy under a condition on two would have cells that nothing has written.
Expr on_cell(const Access& read, const std::vector<Expr>& cell, const Expr& condition, bool whole_tiles) {
  if (mentions_load(condition)) return {};
  if (!mentions_free(condition, read)) return condition;
  const Binary* b = condition.as<Binary>();
  if (!b || b->left.type() != ScalarType::index) return {};
  const bool left_only = !mentions_free(b->right, read);
  const Expr moving = simplify(left_only ? b->left : b->left - b->right);
  const Expr other = left_only ? b->right : index_constant(0);
  for (size_t first = 0; first < cell.size(); ++first) {
    // One coordinate after the other takes the loops that move it.
    Expr rest = moving, moved = index_constant(0);
    const size_t most = whole_tiles ? 1 : cell.size();
    for (size_t k = 0; k < most && mentions_free(rest, read); ++k) {
      const size_t d = (first + k) % cell.size();
      for (const SymbolRange& r : read.free) {
        const AffineIn in = affine_in(rest, r.symbol), at = affine_in(read.window[d].lo, r.symbol);
        if (!in.ok || !at.ok || in.coefficient == 0 || at.coefficient == 0 || in.coefficient % at.coefficient != 0)
          continue;
        const int64_t times = in.coefficient / at.coefficient;
        rest = simplify(rest - read.window[d].lo * times);
        moved = moved + cell[d] * times;
        break;
      }
    }
    if (!mentions_free(rest, read) && !mentions_load(rest)) return tidy(binary(b->op, rest + moved, other));
  }
  return {};
}

// The conditions that all reads of the buffer share, on the cell: one that nobody reads may not be written yet.
std::vector<Expr> reading_conditions(const Program& p, const Body& body, BufferId buffer, const std::vector<Expr>& cell,
                                     bool whole_tiles) {
  std::vector<Expr> shared;
  bool first = true;
  for (const Access& a : accesses(p, body, buffer)) {
    if (!a.reads) continue;
    std::vector<Expr> own;
    for (const Expr& e : conjuncts(a.condition))
      if (Expr moved = on_cell(a, cell, e, whole_tiles); moved.known()) own.push_back(std::move(moved));
    if (first) shared = std::move(own);
    else
      std::erase_if(shared, [&](const Expr& e) {
        return std::none_of(own.begin(), own.end(), [&](const Expr& o) { return same(o, e); });
      });
    first = false;
  }
  return shared;
}

struct Copy {
  BufferId buffer;
  Body statements;  // alloc and nest
};

Result<Copy> make_copy(Step& step, const Cached& c, const Path& path) {
  Program& p = step.program;
  const Buffer from = p.buffer(c.from);
  Facts at = facts_at(p, path);
  Buffer b;
  b.name = c.name;
  b.type = c.type;
  b.memory = c.memory;
  b.place = step.call.place;
  Stage row;
  row.name = c.name;
  row.place = step.call.place;
  Leaf leaf;
  Assign assign;
  std::vector<Expr> guards;
  auto add = [&](const Expr& guard) {
    if (std::none_of(guards.begin(), guards.end(), [&](const Expr& g) { return same(g, guard); }))
      guards.push_back(guard);
  };
  Expr defined = bool_constant(true);  // over the axes: cells that the box has only to be of constant size hold nothing
  std::vector<For> loops;
  for (size_t d = 0; d < c.window.size(); ++d) {
    const Range& w = c.window[d];
    b.box.push_back({c.dims[d], w.lo, w.hi});
    Result<Range> whole = whole_range(step, c, d, path);
    if (!whole) return whole.errors();
    std::optional<Range> written;
    if (from.role == Role::temporary) written = written_range(p, c.from, d);
    if (written && !c.otherwise.known()) whole = *written;
    SymbolId axis = p.add(Symbol{c.dims[d], SymbolKind::axis, ScalarType::index, c.name, step.call.place});
    row.axes.push_back(Axis{axis, AxisClass::map, whole->lo, whole->hi});
    assign.subs.push_back(var(axis));
    Expr extent = simplify(w.hi - w.lo, at), value = w.lo;
    if (!is_constant(extent, 1)) {
      For l;
      l.loop = p.add(Symbol{c.dims[d], SymbolKind::loop, ScalarType::index, c.name, step.call.place});
      l.lo = index_constant(0);
      l.hi = extent;
      value = simplify(w.lo + var(l.loop));
      at.add_range(l.loop, l.lo, l.hi);
      loops.push_back(std::move(l));
    }
    leaf.bindings.push_back(value);
    if (c.otherwise.known()) {
      if (written && !prove(at, both(less_equal(written->lo, from.box[d].lo), less_equal(from.box[d].hi, written->hi))))
        defined = both(defined, both(less_equal(written->lo, var(axis)), less(var(axis), written->hi)));
      continue;
    }
    std::vector<Range> inside = {{from.box[d].lo, from.box[d].hi}};
    if (written) inside.push_back(*written);
    for (const Range& r : inside)
      for (const Expr& e : {less_equal(r.lo, value), less(value, r.hi)})
        if (!prove(at, e)) add(e);
  }
  if (from.role == Role::temporary)
    for (const Expr& e : reading_conditions(p, loop_of(path).body, c.from, leaf.bindings,
                                            c.memory == Memory::sbuf || c.memory == Memory::psum))
      if (!prove(at, e)) add(e);
  Copy made;
  made.buffer = p.add(std::move(b));
  row.writes = {made.buffer};
  assign.buffer = made.buffer;
  assign.value = convert(c.type, select(defined, load(from.type, c.from, assign.subs, c.otherwise), c.otherwise));
  leaf.stage = p.add(std::move(row));
  leaf.predicate = conjoin(guards);
  leaf.assigns = {std::move(assign)};
  std::vector<For> around;
  for (const StmtRef& s : path)
    if (const For* l = as<For>(s)) around.push_back(*l);
  leaf.recomputed = !disjoint_over(Window{c.from, c.window}, around, facts_at(p, path));
  StmtRef inner = make_stmt(std::move(leaf), step.call.place);
  for (size_t i = loops.size(); i-- > 0;) {
    loops[i].body = {inner};
    inner = make_stmt(std::move(loops[i]), step.call.place);
  }
  made.statements = {make_stmt(Alloc{{made.buffer}}, step.call.place), inner};
  return made;
}

// What the tensor is read as: itself, or under the one conversion that the copy holds.
const Load* read_as(const Expr& e, const Cached& c, ScalarType own) {
  const Convert* under = c.type == own ? nullptr : e.as<Convert>();
  if (c.type != own && (!under || e.type() != c.type || under->mode != ConvertMode::value)) return nullptr;
  const Load* l = under ? under->value.as<Load>() : e.as<Load>();
  return l && l->buffer == c.from ? l : nullptr;
}

// Reads of t become reads of the copy. Where the copy is not padded, a read with `or` asks for t's box itself.
Result<Body> redirected(const Step& step, const Cached& c, BufferId copy, const Body& body) {
  const Buffer& from = step.program.buffer(c.from);
  const std::vector<BoxDim>& box = from.box;
  bool refused = false;
  auto read = [&](const Expr& e) {
    const Load* found = read_as(e, c, from.type);
    if (!found) return e;
    const Load& l = *found;
    Expr plain = load(c.type, copy, l.subs);
    if (!l.otherwise.known() || c.otherwise.known()) return plain;
    Expr in = bool_constant(true);
    for (size_t d = 0; d < box.size(); ++d) {
      refused |= mentions_loops(step.program, box[d].lo) || mentions_loops(step.program, box[d].hi);
      in = both(in, both(less_equal(box[d].lo, l.subs[d]), less(l.subs[d], box[d].hi)));
    }
    return select(in, plain, convert(c.type, l.otherwise));
  };
  Body out;
  for (const StmtRef& s : body) out.push_back(map_exprs(s, [&](const Expr& e) { return rewrite(e, read); }));
  for (const Access& a : accesses(step.program, out, c.from))
    if (a.reads && c.type != from.type)
      return step
          .refusal(codes::bad_window, "`" + from.name + "` is read here other than as `" +
                                          std::string(scalar_type_name(c.type)) + "(" + from.name + "[..])`")
          .label(a.by ? a.by->place : step.call.place, "here")
          .with_help("copy it as it is: `cache " + from.name + " ..`");
  if (refused)
    return step.refusal(codes::not_shown,
                        "`" + buffer_name(step.program, c.from) + "` is read by `or`, and its box depends on loops");
  return out;
}

Result<Done> read_cache(Step& step, Cached c, const Term& operand) {
  Program& p = step.program;
  Path path = path_to_loop(p, c.loop);
  Result<Done> legal = legal_source(step, c, path);
  if (!legal) return legal;
  Result<std::vector<std::optional<Range>>> written = written_window(step, operand, c.from, path);
  if (!written) return written.errors();
  Result<Done> chosen = choose_window(step, c, *written, path);
  if (!chosen) return chosen;
  c.dims = dim_names(step, c.from, loop_of(path).body, window_terms(operand));
  Result<Copy> copy = make_copy(step, c, path);
  if (!copy) return copy.errors();
  Result<Memory> memory = memory_for(step, {copy->buffer}, c.memory);
  if (!memory) return memory.errors();
  For l = loop_of(path);
  size_t first = *first_with(l.body, [&](const StmtRef& s) { return reads_itself(s, {c.from}); });
  Result<Body> body = redirected(step, c, copy->buffer, l.body);
  if (!body) return body.errors();
  l.body = *std::move(body);
  l.body.insert(l.body.begin() + first, copy->statements.begin(), copy->statements.end());
  replace(p, path.back(), {make_stmt(std::move(l), path.back()->place)});
  return Done{};
}

// Whether the loop stands in the open reduction of the buffer.
bool in_open_reduction(const Program& p, BufferId buffer, SymbolId loop) {
  for (const StmtRef& s : path_to_loop(p, loop))
    if (const Reduce* r = as<Reduce>(s))
      for (const Window& w : r->windows)
        if (w.buffer == buffer) return true;
  return false;
}

// Of a state that is read the fields that are, each as a copy of its own: `st.m` as `NAME.m`. One that is written is made in a copy whole.
Result<Done> cache_state(Step& step, const Term& operand, const std::vector<BufferId>& fields, SymbolId loop,
                         const std::string& name, Memory memory) {
  if (operand.kind == Term::Kind::subscript)
    return Diagnostic(codes::bad_window, operand.place,
                      "the window of a state's copy is what is read or written of each of its fields; leave it out");
  std::vector<BufferId> read;
  for (BufferId field : fields) {
    const Path path = path_to_loop(step.program, loop);
    const std::vector<Access> touched = accesses(step.program, loop_of(path).body, field);
    if (std::any_of(touched.begin(), touched.end(), [](const Access& a) { return a.writes; })) {
      Result<Done> placed = can_place(step, field, loop, path);
      return placed ? write_back_at(step, fields, loop, name, memory, {}) : placed;
    }
    if (!touched.empty()) read.push_back(field);
  }
  if (read.empty()) read.push_back(fields[0]);  // refused as any tensor that is not read
  for (BufferId field : read) {
    const std::string copy = name + "." + step.program.buffer(field).field;
    if (Result<Done> free = free_stage_name(step, copy); !free) return free;
    Cached c{field, loop, copy, memory, {}, {}, {}, step.program.buffer(field).type};
    if (Result<Done> done = read_cache(step, std::move(c), operand); !done) return done;
  }
  return Done{};
}

// The type that `widen(t)` or `f32(t[..])` reads a tensor of type `own` as; its own where the operand is the tensor alone.
Result<ScalarType> read_type(const Term& operand, ScalarType own) {
  if (operand.kind != Term::Kind::call) return own;
  if (operand.text == "widen") return widened(own);
  if (std::optional<ScalarType> type = parse_scalar_type(operand.text)) return *type;
  return Diagnostic(codes::bad_window, operand.place, "a copy holds a tensor as it is, or as one conversion gives it")
      .with_help("write `cache TENSOR ..`, `cache widen(TENSOR) ..`, or a type in place of `widen`");
}

}  // namespace

Result<Done> cache_step(Step& step) {
  const Term& written = step.call.operands[0];
  const bool converts = written.kind == Term::Kind::call && written.args.size() == 1;
  const Term& operand = converts ? written.args[0] : written;
  Result<std::vector<BufferId>> buffers =
      find_buffers(step, operand.kind == Term::Kind::subscript ? operand.args[0] : operand);
  if (!buffers) return buffers.errors();
  const BufferId t = (*buffers)[0];
  Result<ScalarType> type = read_type(written, step.program.buffer(t).type);
  if (!type) return type.errors();
  Result<SymbolId> loop = find_loop(step, step.call.with.at("at")[0]);
  if (!loop) return loop.errors();
  Result<Memory> memory = memory_after(step, "in");
  if (!memory) return memory.errors();
  const std::string source = step.program.buffer(t).name;
  Result<std::vector<std::string>> name = names_after(step, "as", {main_part(source) + "_tile"});
  if (!name) return name.errors();
  Result<Done> free = free_stage_name(step, (*name)[0]);
  if (!free) return free;

  const Path path = path_to_loop(step.program, *loop);
  const std::vector<Access> touched = accesses(step.program, loop_of(path).body, t);
  const bool writes =
      std::any_of(touched.begin(), touched.end(), [](const Access& a) { return a.writes && a.by && !as<Call>(a.by); });
  const bool opens = in_open_reduction(step.program, t, *loop);
  if (converts && (opens || writes || buffers->size() != 1))
    return step.refusal(codes::bad_window, "only what is read is copied as a conversion gives it, and `" + source +
                                               "` is " + (buffers->size() != 1 ? "a state" : "written below"));
  if (opens) {
    if (operand.kind == Term::Kind::subscript)
      return Diagnostic(codes::bad_window, operand.place,
                        "the window of partial results is the block that an iteration combines; leave it out");
    return accumulate_at(step, *loop, (*name)[0], *memory);
  }
  if (buffers->size() != 1) return cache_state(step, operand, *buffers, *loop, (*name)[0], *memory);
  if (writes) {
    Result<Done> placed = can_place(step, t, *loop, path);
    if (!placed) return placed;
    Result<std::vector<std::optional<Range>>> window = written_window(step, operand, t, path);
    if (!window) return window.errors();
    return write_back_at(step, {t}, *loop, (*name)[0], *memory, *window);
  }
  if (indexes(loop_of(path).body, t))
    return step.refusal(codes::bad_window, "`" + source + "` is used as an index inside `" +
                                               loop_name(step.program, *loop) + "`, and the checks on it speak of `" +
                                               source + "` itself");
  return read_cache(step, Cached{t, *loop, (*name)[0], *memory, {}, {}, {}, *type}, operand);
}

}  // namespace heddle::schedule
