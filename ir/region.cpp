#include "ir/region.h"

#include <algorithm>

#include "ir/visit.h"
#include "support/limits.h"
#include "support/result.h"

namespace heddle::ir {
namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Accesses

class Collector {
 public:
  Collector(const Program& program, BufferId buffer, std::vector<Access>& out)
      : program_(program), buffer_(buffer), out_(out) {}

  void body(const Body& list) {
    for (const StmtRef& s : list) {
      by_ = s;
      std::visit([&](const auto& form) { visit(form); }, s->form);
    }
  }

 private:
  void visit(const For& l) {
    loads(l.lo);
    loads(l.hi);
    free_.push_back({l.loop, l.lo, l.hi});
    body(l.body);
    free_.pop_back();
  }
  void visit(const Alloc&) {}
  void visit(const Reduce& r) {
    for (const Window& w : r.windows) {
      Access a = window(w);
      a.writes = a.initialises = true;
      keep(std::move(a));
    }
    body(r.body);
  }
  void visit(const Call& c) {
    const Instr* instr = program_.instr(c.instr);
    for (size_t i = 0; i < c.windows.size(); ++i) {
      Access a = window(c.windows[i]);
      a.reads = true;
      a.writes = !instr || i >= instr->operands.size() || instr->operands[i].inout;
      keep(std::move(a));
    }
  }
  void visit(const Check& c) {
    loads(c.condition);
    for (const Expr& e : c.coordinates) loads(e);
  }
  void visit(const Leaf& l) {
    for (const Expr& e : l.bindings) loads(e);
    loads(l.predicate);
    const Stage& stage = program_.stage(l.stage);
    for (size_t i = 0; i < stage.axes.size() && i < l.bindings.size(); ++i)
      bindings_.emplace_back(stage.axes[i].symbol, l.bindings[i]);
    condition_ = l.predicate;
    for (const Assign& a : l.assigns) assign(a);
    condition_ = {};
    bindings_.clear();
  }

  void assign(const Assign& a) {
    const size_t outer = free_.size();
    for (const Axis& axis : a.over) {
      loads(axis.lo);
      loads(axis.hi);
      free_.push_back({axis.symbol, bound(axis.lo), bound(axis.hi)});
    }
    for (const Expr& e : a.subs) loads(e);
    loads(a.value);
    Access written = cell(a.buffer, a.subs);
    written.writes = true;
    written.combines = a.kind == AssignKind::combine;
    written.reads = written.combines;
    keep(std::move(written));
    free_.resize(outer);
  }

  void loads(const Expr& e) {
    walk(e, [&](const Expr& node) {
      const Load* l = node.as<Load>();
      if (!l) return true;
      Access a = cell(l->buffer, l->subs);
      a.reads = true;
      a.tried = l->otherwise.known();
      keep(std::move(a));
      return true;
    });
  }

  Expr bound(const Expr& e) const { return e.known() ? substitute(e, bindings_) : e; }

  Access cell(BufferId buffer, const std::vector<Expr>& subs) const {
    Access a = base(buffer);
    if (!wanted(buffer)) return a;
    for (const Expr& sub : subs) {
      Expr at = bound(sub);
      a.window.push_back({at, at + 1});
    }
    return a;
  }
  Access window(const Window& w) {
    for (const Range& r : w.ranges) {
      loads(r.lo);
      loads(r.hi);
    }
    Access a = base(w.buffer);
    a.window = w.ranges;
    return a;
  }
  Access base(BufferId buffer) const {
    Access a;
    a.buffer = buffer;
    if (!wanted(buffer)) return a;
    a.free = free_;
    a.condition = condition_;
    a.by = by_;
    return a;
  }
  bool wanted(BufferId buffer) const { return !buffer_.known() || buffer == buffer_; }
  void keep(Access a) {
    if (wanted(a.buffer)) out_.push_back(std::move(a));
  }

  const Program& program_;
  BufferId buffer_;
  std::vector<Access>& out_;
  std::vector<SymbolRange> free_;
  Substitution bindings_;  // of the leaf at hand: stage axis -> loops
  Expr condition_;
  StmtRef by_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Boxes

// The half-open range that a dim of one access runs over; false when it cannot be written or depends on data.
bool hull_of(const Access& access, const Range& range, const Facts& at, Range& out) {
  Bounds low = bounds_over(range.lo, access.free, at);
  if (!low.ok) return false;
  Bounds high = low;
  if (equal(range.lo + 1, range.hi)) {
    high.hi = high.hi + 1;
  } else {
    high = bounds_over(range.hi, access.free, at);
  }
  out = {low.lo, high.hi, 0};
  return high.ok && !mentions_load(out.lo) && !mentions_load(out.hi);
}

void unite(Range& all, const Range& one, const Facts& at) {
  if (!prove(at, less_equal(all.lo, one.lo)))
    all.lo = prove(at, less_equal(one.lo, all.lo)) ? one.lo : min(all.lo, one.lo);
  if (!prove(at, less_equal(one.hi, all.hi)))
    all.hi = prove(at, less_equal(all.hi, one.hi)) ? one.hi : max(all.hi, one.hi);
}

struct Dim {
  BoxDim exact, cover;
  int64_t extent = 0;
};

// Clips the hull to the buffer's own range and finds a constant extent.
Dim settle(const Range& hull, const BoxDim& limit, const Facts& at) {
  Dim out;
  Expr lo = simplify(hull.lo, at), hi = simplify(hull.hi, at);
  bool low_inside = prove(at, less_equal(limit.lo, lo));
  bool high_inside = prove(at, less_equal(hi, limit.hi));
  out.exact = {limit.name, low_inside ? lo : simplify(max(lo, limit.lo), at),
               high_inside ? hi : simplify(min(hi, limit.hi), at)};
  out.cover = out.exact;

  const Expr extent = simplify(hi - lo, at);
  int64_t bound = 0;
  if (const int64_t* constant = constant_value(extent)) {
    out.extent = std::max<int64_t>(*constant, 1);
    out.cover.lo = lo;
  }
  // A buffer that is smaller than the hull: its own size counts, where that leaves a plain origin.
  if ((out.extent == 0 || (low_inside && !high_inside)) &&
      constant_upper_bound(out.exact.hi - out.exact.lo, at, bound) && bound <= limits::bounded_extent &&
      (out.extent == 0 || bound < out.extent)) {
    out.extent = std::max<int64_t>(bound, 1);
    out.cover.lo = out.exact.lo;
  }
  if (out.extent > 0) out.cover.hi = simplify(out.cover.lo + out.extent);
  return out;
}

template <class Keep>
TouchedBox box_where(const Program& program, BufferId buffer, const Body& body, const Facts& at, Keep keep) {
  std::vector<Access> list = accesses(program, body, buffer);
  std::erase_if(list, [&](const Access& a) { return !keep(a); });
  return box_of(program, list, at);
}

}  // namespace

std::vector<Access> accesses(const Program& program, const Body& body, BufferId buffer) {
  std::vector<Access> out;
  Collector(program, buffer, out).body(body);
  return out;
}

std::vector<BufferId> allocated_in(const Body& body) {
  std::vector<BufferId> out;
  walk(body, [&](const StmtRef& s) {
    if (const Alloc* a = std::get_if<Alloc>(&s->form)) out.insert(out.end(), a->buffers.begin(), a->buffers.end());
    return true;
  });
  return out;
}

TouchedBox box_of(const Program& program, const std::vector<Access>& list, const Facts& at) {
  TouchedBox out;
  if (list.empty()) return out;
  out.any = true;
  out.by = list.front().by;
  const Buffer& buffer = program.buffer(list.front().buffer);
  for (size_t d = 0; d < buffer.box.size(); ++d) {
    Range hull;
    bool whole = false;
    for (const Access& access : list) {
      Range one;
      whole = whole || d >= access.window.size() || !hull_of(access, access.window[d], at, one);
      if (whole) break;
      if (hull.lo.known()) unite(hull, one, at);
      else hull = one;
    }
    if (whole) hull = {buffer.box[d].lo, buffer.box[d].hi, 0};
    Dim dim = settle(hull, buffer.box[d], at);
    out.exact.dims.push_back(std::move(dim.exact));
    out.cover.dims.push_back(std::move(dim.cover));
    out.extents.push_back(dim.extent);
    out.whole.push_back(whole);
  }
  return out;
}

TouchedBox needed_box(const Program& program, BufferId buffer, const Body& body, const Facts& at) {
  return box_where(program, buffer, body, at, [](const Access& a) { return a.reads && !a.combines; });
}

TouchedBox written_box(const Program& program, BufferId buffer, const Body& body, const Facts& at) {
  return box_where(program, buffer, body, at, [](const Access& a) { return a.writes; });
}

TouchedBox touched_box(const Program& program, BufferId buffer, const Body& body, const Facts& at) {
  return box_where(program, buffer, body, at, [](const Access&) { return true; });
}

void add_facts_inside(Facts& facts, const Program& program, const StmtRef& stmt) {
  if (const For* l = std::get_if<For>(&stmt->form)) facts.add_range(l->loop, l->lo, l->hi);
  const Leaf* leaf = std::get_if<Leaf>(&stmt->form);
  if (!leaf) return;
  facts.add(leaf->predicate);
  const Stage& stage = program.stage(leaf->stage);
  for (size_t i = 0; i < stage.axes.size() && i < leaf->bindings.size(); ++i) {
    facts.add(binary(BinaryOp::eq, var(stage.axes[i].symbol), leaf->bindings[i]));
    facts.add_range(stage.axes[i].symbol, stage.axes[i].lo, stage.axes[i].hi);
  }
  facts.add(stage.where);
}

Facts facts_at(const Program& program, const std::vector<StmtRef>& path) {
  Facts facts = facts_of(program);
  for (const StmtRef& s : path) add_facts_inside(facts, program, s);
  return facts;
}

bool inside(const Program& program, BufferId buffer, const std::vector<Expr>& subs, const Facts& facts) {
  const auto& box = program.buffer(buffer).box;
  for (size_t i = 0; i < subs.size(); ++i)
    if (!prove(facts, less_equal(box[i].lo, subs[i])) || !prove(facts, less(subs[i], box[i].hi))) return false;
  return true;
}

bool reads_inside(const Program& program, const Expr& e, const Facts& facts) {
  bool fine = true;
  walk(e, [&](const Expr& node) {
    const auto* load = node.as<Load>();
    fine = fine && (!load || inside(program, load->buffer, load->subs, facts));
    return fine;
  });
  return fine;
}

}  // namespace heddle::ir
