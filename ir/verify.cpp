// The invariants of every program:
//
//   ids        every symbol, buffer, stage, reducer and instruction that a statement names stands in its table
//   scope      a temporary is used only below its alloc; bounds, windows, bindings and predicates mention only loops around them,
//              dims, consts and scalars; leaf bodies mention only the stage's axes, their own axes, dims, consts and scalars
//   loops      a loop variable is bound once on each path; a vector loop has a constant extent within the limit; a pipeline gives
//              each statement of its body a stage, or none; only serial loops ask for data ahead
//   leaves     one binding for each axis; as many subscripts as the buffer has dims, of type index; a value has its cell's type
//   regions    a combining leaf stands in an open region of its reducer over its buffer; nothing reads a buffer whose region is open
//   parallel   no parallel or vector loop is bound to a reduce or scan axis of a leaf below, unless the region opens inside it
//   size       no expression is deeper than the nesting and chain limits allow; parameters and ranks stay within their limits
//   rows       a layout takes one coordinate for each dim of its buffer, and no output has one; windows and leaves of a user reducer give every field of
//              one state, in order and with the field's own axes; a built-in reducer knows the type of its windows
#include "ir/verify.h"

#include <algorithm>
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
    rows();
    if (found_.empty()) body(p_.body);
    return std::move(found_);
  }

 private:
  struct OpenRegion {
    const Reduce* region;
    size_t loops_outside;  // loops around the region, not in it
  };

  void broken(const char* rule, const std::string& what, const Place& place) {
    if (found_.size() < limits::diagnostics)
      found_.push_back(
          Diagnostic(codes::broken_program, place, "the program breaks the rule `" + std::string(rule) + "`: " + what));
  }

  bool known(BufferId id) const { return id.value < p_.buffers.size(); }

  void rows() {
    constexpr size_t most_dims = 2 * limits::rank;  // steps may add some to an op's
    if (p_.parameters.size() > limits::parameters)
      broken("size", "there are more than " + std::to_string(limits::parameters) + " parameters", {});
    for (const Buffer& b : p_.buffers) {
      if (b.box.size() > most_dims)
        broken("size", "`" + b.name + "` has more than " + std::to_string(most_dims) + " dims", b.place);
      if (!b.layout) continue;
      const Layout& map = *b.layout;
      if (b.role == Role::out || b.role == Role::inout)
        broken("rows", "the output `" + b.name + "` has a layout, which is its caller's choice", b.place);
      if (map.from.size() != b.box.size()) broken("rows", "the layout of `" + b.name + "` has another rank", b.place);
      if (map.to.empty() && !map.from.empty())
        broken("rows", "the layout of `" + b.name + "` gives no coordinate", b.place);
      auto own = [&](SymbolId id) { return std::find(map.from.begin(), map.from.end(), id) != map.from.end(); };
      for (const Expr& e : map.to) {
        expr(e, b.place, own);
        walk(e, [&](const Expr& node) {
          if (node.as<Load>()) broken("rows", "the layout of `" + b.name + "` depends on data", b.place);
          return true;
        });
      }
    }
    for (const Stage& s : p_.stages)
      if (s.axes.size() > most_dims)
        broken("size", "`" + s.name + "` has more than " + std::to_string(most_dims) + " axes", s.place);
  }

  bool user(const Reducer* r) const { return r && r->builtin == BuiltinReducer::none; }

  // Buffers of one state, each a field of the reducer.
  template <class List>
  bool is_state(const Reducer& r, const List& list) const {
    if (list.size() != r.fields.size()) return false;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!known(list[i].buffer)) return false;
      const Buffer& b = p_.buffer(list[i].buffer);
      const size_t own = r.fields[i].extents.size();
      if (b.field != r.fields[i].name || b.type != r.fields[i].type || b.box.size() < own) return false;
      if (b.field_dims != static_cast<int>(own) || b.name != p_.buffer(list[0].buffer).name) return false;
      if (b.box.size() - own != p_.buffer(list[0].buffer).box.size() - r.fields[0].extents.size()) return false;
    }
    return true;
  }

  static bool takes(BuiltinReducer r, ScalarType type) {
    if (r == BuiltinReducer::any || r == BuiltinReducer::all) return type == ScalarType::boolean;
    return is_float(type) || is_integer(type);
  }

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
    if (l.subs.size() != b.box.size())
      broken("leaves", "a read of `" + b.name + "` has the wrong number of subscripts", place);
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
        broken("loops", "the vector loop `" + p_.symbol(l.loop).name + "` has no constant extent within the limit",
               place);
    }
    attributes(l, place);
    loops_.push_back(l.loop);
    kinds_.push_back(l.kind);
    body(l.body);
    loops_.pop_back();
    kinds_.pop_back();
  }

  void attributes(const For& l, const Place& place) {
    const std::string name = "`" + p_.symbol(l.loop).name + "`";
    if (!l.stage_of.empty() && (l.kind != LoopKind::pipelined || l.stage_of.size() != l.body.size()))
      broken("loops", "the pipeline " + name + " does not give each of its statements a stage", place);
    if (l.axis.empty() == (l.kind == LoopKind::bound))
      broken("loops", name + " names a hardware axis without being bound to it, or is bound to none", place);
    if ((l.stages > 0) != (l.kind == LoopKind::pipelined))
      broken("loops", name + " has stages without being a pipeline, or is one without them", place);
    for (int s : l.stage_of)
      if (s < 0 || s >= l.stages)
        broken("loops", "a stage of the pipeline " + name + " is not below its number of stages", place);
    for (const Prefetch& f : l.prefetch) {
      if (!known(f.buffer)) {
        broken("ids", "a buffer is not in the table", place);
        continue;
      }
      if (!alive_.count(f.buffer))
        broken("scope", "`" + p_.buffer(f.buffer).name + "` is asked for outside its alloc", place);
      if (l.kind != LoopKind::serial || f.ahead < 1)
        broken("loops", name + " asks for data ahead, and is no serial loop or looks no iteration ahead", place);
    }
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
    const Reducer* row = p_.reducer(r.reducer);
    if (!row) return broken("ids", "the reducer `" + r.reducer + "` is not in the table", place);
    windows(r.windows, place);
    if (r.windows.empty()) return broken("rows", "a region has no window", place);
    if (user(row) && !is_state(*row, r.windows))
      return broken("rows", "the windows of a region are not the fields of `" + row->name + "`", place);
    for (const Window& w : r.windows)
      if (!user(row) && known(w.buffer) && !takes(row->builtin, p_.buffer(w.buffer).type))
        return broken(
            "rows",
            "`" + row->name + "` does not reduce `" + std::string(scalar_type_name(p_.buffer(w.buffer).type)) + "`",
            place);
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
    if (l.bindings.size() != row.axes.size())
      return broken("leaves", "`" + row.name + "` lacks a binding of an axis", place);
    for (const Expr& b : l.bindings) loop_expr(b, place);
    loop_expr(l.predicate, place);
    if (l.assigns.empty()) return broken("leaves", "a leaf of `" + row.name + "` assigns nothing", place);
    const Reducer* reducer = p_.reducer(l.reducer);
    for (size_t i = 0; i < row.axes.size(); ++i)
      if (row.axes[i].cls == AxisClass::scan || row.axes[i].cls == AxisClass::scan_reverse)
        serial_inside(l.bindings[i], 0, "the scan", row, place);
    for (const Assign& a : l.assigns) {
      if (a.kind == AssignKind::combine && user(reducer) && !is_state(*reducer, l.assigns))
        return broken("rows",
                      "a leaf of `" + row.name + "` does not give every field of `" + reducer->name + "` in order",
                      place);
      if (a.kind == AssignKind::combine && l.nontemporal)
        return broken("leaves", "a leaf of `" + row.name + "` combines into cells that pass the caches by", place);
      if (a.kind == AssignKind::combine && a.kind != l.assigns[0].kind)
        return broken("rows", "a leaf of `" + row.name + "` both defines and combines", place);
      assign(l, row, a, place);
      const size_t own = known(a.buffer) ? static_cast<size_t>(p_.buffer(a.buffer).field_dims) : 0;
      const bool whole = a.kind == AssignKind::combine && user(reducer);
      if ((whole || !a.over.empty()) && a.over.size() != own)
        return broken("rows", "`" + p_.buffer(a.buffer).name + "` is written over another number of own axes", place);
    }
  }

  void assign(const Leaf& l, const Stage& row, const Assign& a, const Place& place) {
    if (!known(a.buffer)) return broken("ids", "a buffer is not in the table", place);
    const Buffer& b = p_.buffer(a.buffer);
    if (!alive_.count(a.buffer)) broken("scope", "`" + b.name + "` is written outside its alloc", place);
    if (a.subs.size() != b.box.size())
      broken("leaves", "`" + b.name + "` is written with the wrong number of subscripts", place);
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
    if (!region)
      return broken("regions", "`" + b.name + "` is combined into outside a region of `" + l.reducer + "`", place);
    for (size_t i = 0; i < row.axes.size(); ++i)
      if (row.axes[i].cls == AxisClass::reduce || row.axes[i].cls == AxisClass::scatter)
        serial_inside(l.bindings[i], region->loops_outside, "a reduction", row, place);
  }

  // The loops that a reduce axis is bound to, between the region and the leaf, run in order; those of a scan axis all do.
  void serial_inside(const Expr& binding, size_t from, const char* what, const Stage& row, const Place& place) {
    for (size_t i = from; i < loops_.size(); ++i)
      if ((kinds_[i] == LoopKind::parallel || kinds_[i] == LoopKind::vector) && mentions(binding, loops_[i]))
        broken("parallel", "`" + p_.symbol(loops_[i]).name + "` runs " + what + " of `" + row.name + "` out of order",
               place);
  }

  void stmt(const Call& c, const Place& place) {
    const Instr* instr = p_.instr(c.instr);
    if (!instr) return broken("ids", "the instruction `" + c.instr + "` is not in the table", place);
    if (instr->operands.size() != c.windows.size())
      return broken("leaves", "`" + c.instr + "` has another number of operands", place);
    windows(c.windows, place);
    for (size_t i = 0; i < c.windows.size(); ++i) {
      if (!known(c.windows[i].buffer)) return;
      const Buffer& b = p_.buffer(c.windows[i].buffer);
      if (b.type != instr->operands[i].type || operand_dims(c.windows[i]).size() != instr->operands[i].dims.size())
        broken("rows", "`" + b.name + "` has another type or rank than the operand `" + instr->operands[i].name + "`",
               place);
    }
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
