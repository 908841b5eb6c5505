// See passes.h. A ragged window ends at E where a whole one would go on: `lo .. min(lo + 16, E)`. What the machine computes beyond
// must not be seen, and must not change what is:
//   dims of the result   the cells from E on lie in the temporary's box, and nothing else reads them
//   dims of the sum      the operands hold zeros from E on, in cells that their boxes get for it, or that their layout has
// An array that is read as it lies has no room: of its rows beyond the end the last one is read again.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "backend/host/instr_rows.h"
#include "backend/host/passes.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::BufferId;
using ir::Expr;
using ir::StmtRef;

namespace {

class FitCalls {
 public:
  FitCalls(ir::Program& p, const ir::Target& target) : p_(p), target_(target) {}

  void run() {
    walk(p_.body, {});
    std::vector<StmtRef> path;
    p_.body = with_whole_regions(p_.body, path);
    for (const auto& [buffer, dims] : grown_)
      for (const auto& [d, room] : dims) p_.buffers[buffer.value].box[d].hi = room.hi;
    for (const auto& [buffer, dims] : grown_)
      for (const auto& [d, room] : dims)
        if (room.zeros_from.known()) zero_tail(buffer, d, room.zeros_from, room.hi);
    p_.body = ir::rewrite_body(p_.body, [&](const StmtRef& s) -> Body {
      if (const auto* a = std::get_if<ir::Alloc>(&s->form)) {
        Body out{s};
        for (BufferId id : a->buffers)
          if (auto more = zeros_.find(id); more != zeros_.end())
            out.insert(out.end(), more->second.begin(), more->second.end());
        return out;
      }
      auto fitted = fitted_.find(s);
      return {fitted == fitted_.end() ? s : fitted->second};
    });
  }

 private:
  /// The end of a box that has room for whole windows, and where zeros begin in it; none where what it holds does not matter.
  struct Room {
    Expr hi, zeros_from;
  };

  void walk(const Body& body, std::vector<StmtRef> path) {
    for (const StmtRef& s : body) {
      path.push_back(s);
      if (const auto* call = std::get_if<ir::Call>(&s->form)) fit(*call, s, path);
      else walk(ir::children(s), path);
      path.pop_back();
    }
  }

  // The end of a ragged range `lo .. min(.., E)` that would be `lo .. lo + n`; unknown where it is something else.
  static Expr end_of(const ir::Range& r, int64_t n) {
    const auto* both = r.hi.as<ir::Binary>();
    if (!both || both->op != ir::BinaryOp::min) return {};
    if (ir::equal(both->left, r.lo + n)) return both->right;
    return ir::equal(both->right, r.lo + n) ? both->left : Expr();
  }

  void fit(const ir::Call& call, const StmtRef& s, const std::vector<StmtRef>& path) {
    const ir::Instr& instr = *p_.instr(call.instr);
    const InstrRow* row = spelled(p_, instr, target_);
    if (!row || row->packs()) return;
    const ir::Facts facts = ir::facts_at(p_, path);
    ir::Call whole = call;
    std::map<BufferId, std::map<size_t, Room>> growth;
    std::vector<std::tuple<BufferId, size_t, Expr>> ends;
    for (size_t o = 0; o < row->operands(); ++o) {
      ir::Window& w = whole.windows[o];
      const ir::Buffer& buffer = p_.buffer(w.buffer);
      if (buffer.role != ir::Role::temporary && (buffer.role != ir::Role::in || o == 0)) return;
      const std::vector<size_t> dims = ir::operand_dims(w);
      for (size_t k = 0; k < dims.size(); ++k) {
        ir::Range& r = w.ranges[dims[k]];
        const int64_t n = row->extents[o][k];
        if (ir::is_constant(ir::simplify(r.hi - r.lo), n)) continue;
        const Expr end = end_of(r, n);
        if (!end.known()) return;
        const Expr wide = ir::simplify(r.lo + n);
        const bool room = ir::prove(facts, ir::less_equal(wide, buffer.box[dims[k]].hi));
        const bool tile = buffer.memory == ir::Memory::tile;
        if (tile && !room) return;
        if (n == 1 && o > 0 && !room) {  // of a row beyond the end, the last one again
          if (!ir::prove(facts, ir::less(buffer.box[dims[k]].lo, end))) return;
          const Expr last = ir::min(r.lo, end - 1);
          r = {last, ir::simplify(last + 1), 0, false};
          continue;
        }
        if (row->summed(o, k)) {
          // Zeros beyond: in a tile as it was loaded, in memory as cells that the box gets for it.
          if (tile ? !loaded_with_zeros(w.buffer, k, end) : !grow(facts, w.buffer, dims[k], wide, n, end, growth))
            return;
        } else if (!room && !grow(facts, w.buffer, dims[k], wide, n, {}, growth)) {
          return;
        }
        if (o == 0 && row->kind != InstrRow::Kind::tile_load && !unseen(w.buffer, dims[k], end)) return;
        if (row->kind == InstrRow::Kind::tile_load && o == 0) ends.emplace_back(w.buffer, k, end);
        r = {r.lo, wide, 0, false};
      }
    }
    loads_.insert(loads_.end(), ends.begin(), ends.end());
    for (const auto& [buffer, dims] : growth)
      for (const auto& [d, room] : dims) grown_[buffer][d] = room;
    if (row->accumulates()) whole_.insert(whole.windows[0].buffer);
    fitted_[s] = ir::make_stmt(std::move(whole), s->place);
  }

  // Reads with `or` end with the box: it says more than what may be touched.
  bool tried(BufferId buffer) const {
    for (const ir::Access& a : ir::accesses(p_, p_.body, buffer))
      if (a.tried) return true;
    return false;
  }

  bool pads_with_zero(BufferId buffer) const {
    const Expr& pad = p_.buffer(buffer).pad;
    const auto* value = pad.known() ? pad.as<ir::Constant>() : nullptr;
    return value && value->integer == 0 && value->real == 0;
  }

  // The box in whole groups of n, of which the last is the window's, or as it is where that has room; zeros from `end` on.
  bool grow(const ir::Facts& facts, BufferId buffer, size_t d, const Expr& wide, int64_t n, const Expr& end,
            std::map<BufferId, std::map<size_t, Room>>& growth) const {
    const ir::BoxDim& box = p_.buffer(buffer).box[d];
    if (tried(buffer)) return false;
    Room room;
    if (p_.buffer(buffer).role != ir::Role::temporary) {  // packed before the call, with its padding
      const std::optional<Expr> hi = padded_end(p_.buffer(buffer), d);
      if (!hi || !ir::prove(facts, ir::less_equal(wide, *hi)) || (end.known() && !pads_with_zero(buffer))) return false;
      growth[buffer][d] = {*hi, {}};
      return true;
    }
    if (ir::prove(facts, ir::less_equal(wide, box.hi))) room.hi = box.hi;
    // In whole groups, or in groups of groups where loops go by those.
    for (int64_t step = n; step <= 64 * n && !room.hi.known(); step *= 2) {
      room.hi = ir::simplify(box.lo + ir::ceildiv(box.hi - box.lo, ir::index_constant(step)) * step);
      if (!ir::prove(facts, ir::less_equal(wide, room.hi))) room.hi = {};
    }
    if (!room.hi.known()) return false;
    if (end.known()) room.zeros_from = ir::equal(box.hi, end) ? end : ir::max(box.lo, ir::min(end, room.hi));
    // One size for all instructions that need room there.
    if (auto known = grown_.find(buffer); known != grown_.end())
      if (auto other = known->second.find(d); other != known->second.end()) {
        if (!ir::equal(other->second.hi, room.hi)) return false;
        const Expr& zeros = other->second.zeros_from;
        if (!room.zeros_from.known()) room.zeros_from = zeros;
        else if (zeros.known() && !ir::equal(zeros, room.zeros_from)) return false;
      }
    growth[buffer][d] = room;
    return true;
  }

  // Whether all that writes the tiles is loads that have been fitted, and end there.
  bool loaded_with_zeros(BufferId buffer, size_t k, const Expr& end) const {
    for (const ir::Access& a : ir::accesses(p_, p_.body, buffer)) {
      if (!a.writes) continue;
      const auto* call = std::get_if<ir::Call>(&a.by->form);
      const InstrRow* row = call ? spelled(p_, *p_.instr(call->instr), target_) : nullptr;
      if (!row || row->kind != InstrRow::Kind::tile_load || !fitted_.count(a.by)) return false;
    }
    bool found = false;
    for (const auto& [other, dim, at] : loads_)
      if (other == buffer && dim == k) {
        found = true;
        if (!ir::equal(at, end)) return false;
      }
    return found;
  }

  // Nothing reads the buffer from `end` on, but what adds to its cells, each to itself.
  bool unseen(BufferId buffer, size_t d, const Expr& end) const {
    for (const ir::Access& a : ir::accesses(p_, p_.body, buffer)) {
      if (!a.reads || (std::holds_alternative<ir::Call>(a.by->form) && a.writes)) continue;
      const std::vector<StmtRef> path = ir::path_to(p_.body, [&](const StmtRef& s) { return s == a.by; });
      if (path.empty() || !ir::prove(ir::facts_at(p_, path), ir::less_equal(a.window[d].hi, end))) return false;
    }
    return true;
  }

  // Regions of whole results: one that ends with its box ends with the grown box, and one that is cut short of the box's end ends there.
  Body with_whole_regions(const Body& body, std::vector<StmtRef>& path) const {
    Body out;
    for (const StmtRef& s : body) {
      path.push_back(s);
      const Body& below = ir::children(s);
      StmtRef inner = below.empty() ? s : ir::with_children(s, with_whole_regions(below, path));
      if (const auto* r = std::get_if<ir::Reduce>(&inner->form)) inner = whole_windows(*r, inner, path);
      out.push_back(inner);
      path.pop_back();
    }
    return out;
  }

  StmtRef whole_windows(ir::Reduce region, const StmtRef& s, const std::vector<StmtRef>& path) const {
    bool changed = false;
    for (ir::Window& w : region.windows) {
      if (!whole_.count(w.buffer)) continue;
      const auto grown = grown_.find(w.buffer);
      for (size_t d = 0; d < w.ranges.size(); ++d) {
        Expr& hi = w.ranges[d].hi;
        const Expr& end = p_.buffer(w.buffer).box[d].hi;
        const bool grows = grown != grown_.end() && grown->second.count(d);
        const Expr& whole = grows ? grown->second.at(d).hi : end;
        const auto* cut = hi.as<ir::Binary>();
        const bool short_of_it =
            cut && cut->op == ir::BinaryOp::min && (ir::equal(cut->left, whole) || ir::equal(cut->right, whole));
        if (!short_of_it && !(grows && same_value(hi, end, path))) continue;
        hi = whole;
        changed = true;
      }
    }
    return changed ? ir::make_stmt(std::move(region), s->place) : s;
  }

  bool same_value(const Expr& a, const Expr& b, const std::vector<StmtRef>& path) const {
    return ir::prove(ir::facts_at(p_, path), both(ir::less_equal(a, b), ir::less_equal(b, a)));
  }

  // for x in from .. to { for the other dims { b[..] = 0 } }, just after the alloc.
  void zero_tail(BufferId buffer, size_t dim, const Expr& from, const Expr& to) {
    const ir::Buffer b = p_.buffer(buffer);
    ir::Stage stage;
    stage.name = b.name + "_zeros";
    stage.writes = {buffer};
    ir::Leaf leaf;
    ir::Assign assign;
    assign.buffer = buffer;
    assign.value = ir::is_float(b.type) ? ir::real_constant(b.type, 0) : ir::integer_constant(b.type, 0);
    std::vector<ir::For> loops;
    for (size_t d = 0; d < b.box.size(); ++d) {
      ir::For l;
      const std::string name = "z" + std::to_string(d);
      l.loop = p_.add(ir::Symbol{name, ir::SymbolKind::loop, ir::ScalarType::index, stage.name});
      l.lo = d == dim ? from : b.box[d].lo;
      l.hi = d == dim ? to : b.box[d].hi;
      ir::Axis axis;
      axis.symbol = p_.add(ir::Symbol{name, ir::SymbolKind::axis, ir::ScalarType::index, stage.name});
      axis.lo = l.lo;
      axis.hi = l.hi;
      assign.subs.push_back(ir::var(axis.symbol));
      leaf.bindings.push_back(ir::var(l.loop));
      stage.axes.push_back(std::move(axis));
      loops.push_back(std::move(l));
    }
    leaf.assigns = {std::move(assign)};
    leaf.stage = p_.add(std::move(stage));
    StmtRef inner = ir::make_stmt(std::move(leaf), b.place);
    for (auto l = loops.rbegin(); l != loops.rend(); ++l) {
      l->body = {inner};
      inner = ir::make_stmt(std::move(*l), b.place);
    }
    zeros_[buffer].push_back(inner);
  }

  ir::Program& p_;
  const ir::Target& target_;
  std::map<BufferId, std::map<size_t, Room>> grown_;
  std::map<BufferId, Body> zeros_;
  std::set<BufferId> whole_;
  std::map<StmtRef, StmtRef> fitted_;
  std::vector<std::tuple<BufferId, size_t, Expr>> loads_;  ///< into tiles: buffer, dim, where zeros begin
};

}  // namespace

ir::Program fit_calls(ir::Program program, const ir::Target& target) {
  FitCalls(program, target).run();
  return program;
}

}  // namespace heddle::host
