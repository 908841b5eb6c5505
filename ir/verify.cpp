// The invariants of every program:
//
//   ids        every symbol, buffer, stage, reducer and instruction that a statement names stands in its table
//   scope      a temporary is used only below its alloc; bounds, windows, bindings and predicates mention only loops around them,
//              dims, consts and scalars; leaf bodies mention only the stage's axes, their own axes, dims, consts and scalars
//   loops      a loop variable is bound once on each path; a vector loop has a constant extent within the limit
//   leaves     one binding for each axis; as many subscripts as the buffer has dims, of type index; a value has its cell's type
//   regions    a combining leaf stands in an open region of its reducer over its buffer; nothing reads a buffer whose region is open
//   parallel   no parallel or vector loop is bound to a reduce or scan axis of a leaf below, unless the region opens inside it
//   size       no expression is deeper than the nesting and chain limits allow
#include "ir/verify.h"

#include <set>

#include "ir/codes.h"
#include "ir/print.h"
#include "ir/visit.h"
#include "support/limits.h"
#include "support/result.h"

namespace heddle::ir {
namespace {

class Verifier {
 public:
  explicit Verifier(const Program& p) : p_(p) {}

  Diagnostics run() {
    for (const Parameter& q : p_.parameters)
      if (q.buffer.known() && q.buffer.value < p_.buffers.size()) alive_.insert(q.buffer);
    body(p_.body);
    return std::move(found_);
  }

 private:
  struct OpenRegion {
    const Reduce* region;
    size_t loops_outside;  // loops around the region, not in it
  };

  void broken(const char* rule, const std::string& what, const Place& place) {
    if (found_.size() < limits::diagnostics)
      found_.push_back(Diagnostic(codes::broken_program, place, "the program breaks the rule `" + std::string(rule) + "`: " + what));
  }

  bool known(BufferId id) const { return id.value < p_.buffers.size(); }

  void body(const Body& statements) {
    std::set<BufferId> before = alive_;
    for (const StmtRef& s : statements) std::visit([&](const auto& form) { stmt(form, s->place); }, s->form);
    alive_ = std::move(before);
  }

  void loop_expr(const Expr& e, const Place& place) {
    expr(e, place, [&](SymbolId id) {
      for (SymbolId l : loops_)
        if (l == id) return true;
      return false;
    });
  }

  // `inside` says whether an axis, loop or local may be mentioned here.
  void expr(const Expr& e, const Place& place, const std::function<bool(SymbolId)>& inside) {
    if (!e.known()) return;
    if (e->depth > limits::nesting + limits::chain + 64) return broken("size", "an expression is too deep", place);
    walk(e, [&](const Expr& node) {
      if (const Var* v = node.as<Var>()) {
        if (v->symbol.value >= p_.symbols.size()) {
          broken("ids", "a symbol is not in the table", place);
          return false;
        }
        const Symbol& s = p_.symbol(v->symbol);
        bool free = s.kind == SymbolKind::dim || s.kind == SymbolKind::constant || s.kind == SymbolKind::scalar;
        if (!free && !inside(v->symbol)) broken("scope", "`" + s.name + "` is not bound here", place);
      }
      if (const Load* l = node.as<Load>()) read(*l, place);
      return true;
    });
  }

  void read(const Load& l, const Place& place) {
    if (!known(l.buffer)) return broken("ids", "a buffer is not in the table", place);
    const Buffer& b = p_.buffer(l.buffer);
    if (!alive_.count(l.buffer)) broken("scope", "`" + b.name + "` is read outside its alloc", place);
    if (l.subs.size() != b.box.size()) broken("leaves", "a read of `" + b.name + "` has the wrong number of subscripts", place);
    for (const Expr& sub : l.subs)
      if (sub.type() != ScalarType::index) broken("leaves", "a subscript of `" + b.name + "` is not an index", place);
    for (const OpenRegion& r : regions_)
      for (const Window& w : r.region->windows)
        if (w.buffer == l.buffer) broken("regions", "`" + b.name + "` is read while its reduction is open", place);
  }

  void windows(const std::vector<Window>& list, const Place& place) {
    for (const Window& w : list) {
      if (!known(w.buffer)) {
        broken("ids", "a buffer is not in the table", place);
        continue;
      }
      const Buffer& b = p_.buffer(w.buffer);
      if (!alive_.count(w.buffer)) broken("scope", "`" + b.name + "` is used outside its alloc", place);
      if (w.ranges.size() != b.box.size()) broken("leaves", "a window of `" + b.name + "` has the wrong rank", place);
      for (const Range& r : w.ranges) loop_expr(r.lo, place), loop_expr(r.hi, place);
    }
  }

  void stmt(const For& l, const Place& place) {
    if (l.loop.value >= p_.symbols.size()) return broken("ids", "a loop is not in the table", place);
    loop_expr(l.lo, place), loop_expr(l.hi, place);
    for (SymbolId outer : loops_)
      if (outer == l.loop) broken("loops", "`" + p_.symbol(l.loop).name + "` is bound twice", place);
    if (l.kind == LoopKind::vector) {
      Expr extent = l.hi - l.lo;
      const int64_t* n = constant_value(extent);
      const int64_t* lo = constant_value(l.lo);
      if (!n || !lo || *n > limits::vector_extent)
        broken("loops", "the vector loop `" + p_.symbol(l.loop).name + "` has no constant extent within the limit", place);
    }
    loops_.push_back(l.loop);
    kinds_.push_back(l.kind);
    body(l.body);
    loops_.pop_back();
    kinds_.pop_back();
  }

  void stmt(const Alloc& a, const Place& place) {
    for (BufferId id : a.buffers) {
      if (!known(id)) {
        broken("ids", "a buffer is not in the table", place);
        continue;
      }
      for (const BoxDim& d : p_.buffer(id).box) loop_expr(d.lo, place), loop_expr(d.hi, place);
      alive_.insert(id);
    }
  }

  void stmt(const Reduce& r, const Place& place) {
    if (!p_.reducer(r.reducer)) broken("ids", "the reducer `" + r.reducer + "` is not in the table", place);
    windows(r.windows, place);
    regions_.push_back({&r, loops_.size()});
    body(r.body);
    regions_.pop_back();
  }

  const OpenRegion* region_of(BufferId buffer, const std::string& reducer) const {
    for (auto r = regions_.rbegin(); r != regions_.rend(); ++r)
      for (const Window& w : r->region->windows)
        if (w.buffer == buffer) return r->region->reducer == reducer ? &*r : nullptr;
    return nullptr;
  }

  void stmt(const Leaf& l, const Place& place) {
    if (l.stage.value >= p_.stages.size()) return broken("ids", "a stage is not in the table", place);
    const Stage& row = p_.stage(l.stage);
    if (l.bindings.size() != row.axes.size()) return broken("leaves", "`" + row.name + "` lacks a binding of an axis", place);
    for (const Expr& b : l.bindings) loop_expr(b, place);
    loop_expr(l.predicate, place);
    for (const Assign& a : l.assigns) assign(l, row, a, place);
  }

  void assign(const Leaf& l, const Stage& row, const Assign& a, const Place& place) {
    if (!known(a.buffer)) return broken("ids", "a buffer is not in the table", place);
    const Buffer& b = p_.buffer(a.buffer);
    if (!alive_.count(a.buffer)) broken("scope", "`" + b.name + "` is written outside its alloc", place);
    if (a.subs.size() != b.box.size()) broken("leaves", "`" + b.name + "` is written with the wrong number of subscripts", place);
    if (a.value.type() != b.type) broken("leaves", "`" + b.name + "` gets a value of another type", place);
    auto inside = [&](SymbolId id) {
      for (const Axis& x : row.axes)
        if (x.symbol == id) return true;
      for (const Axis& x : a.over)
        if (x.symbol == id) return true;
      return false;
    };
    for (const Expr& sub : a.subs) expr(sub, place, inside);
    for (const Axis& x : a.over) expr(x.lo, place, inside), expr(x.hi, place, inside);
    expr(a.value, place, inside);
    if (a.kind != AssignKind::combine) return;
    const OpenRegion* region = region_of(a.buffer, l.reducer);
    if (!region) return broken("regions", "`" + b.name + "` is combined into outside a region of `" + l.reducer + "`", place);
    for (size_t i = 0; i < row.axes.size(); ++i)
      if (row.axes[i].cls == AxisClass::reduce) serial_inside(l.bindings[i], region->loops_outside, row, place);
  }

  // The loops that a reduce axis is bound to, between the region and the leaf, run in order.
  void serial_inside(const Expr& binding, size_t from, const Stage& row, const Place& place) {
    for (size_t i = from; i < loops_.size(); ++i)
      if ((kinds_[i] == LoopKind::parallel || kinds_[i] == LoopKind::vector) && mentions(binding, loops_[i]))
        broken("parallel", "`" + p_.symbol(loops_[i]).name + "` runs a reduction of `" + row.name + "` out of order", place);
  }

  void stmt(const Call& c, const Place& place) {
    const Instr* instr = p_.instr(c.instr);
    if (!instr) return broken("ids", "the instruction `" + c.instr + "` is not in the table", place);
    if (instr->operands.size() != c.windows.size()) broken("leaves", "`" + c.instr + "` has another number of operands", place);
    windows(c.windows, place);
  }

  void stmt(const Check& c, const Place& place) {
    loop_expr(c.condition, place);
    for (const Expr& e : c.coordinates) loop_expr(e, place);
  }

  const Program& p_;
  std::set<BufferId> alive_;
  std::vector<SymbolId> loops_;
  std::vector<LoopKind> kinds_;
  std::vector<OpenRegion> regions_;
  Diagnostics found_;
};

}  // namespace

Diagnostics verify(const Program& program) { return Verifier(program).run(); }

}  // namespace heddle::ir
