#include <algorithm>

#include "ir/bound.h"
#include "ir/interpret/stmt_code.h"
#include "ir/print.h"
#include "ir/visit.h"

namespace heddle::ir::interpreter {
namespace {

bool runs_in_parallel(LoopKind kind) { return kind == LoopKind::parallel || kind == LoopKind::bound; }

bool holds_loop(const Body& body, bool (*of_kind)(LoopKind)) {
  bool found = false;
  walk(body, [&](const StmtRef& s) {
    if (const For* l = std::get_if<For>(&s->form)) found |= of_kind(l->kind);
    return !found;
  });
  return found;
}

template <class M>
class StmtCompiler {
 public:
  explicit StmtCompiler(Machine<M>& machine) : m_(machine), p_(machine.program), exprs_(p_, machine.has_fma) {}

  Result<ProgramCode<M>> run() {
    out_.has_parallel = holds_loop(p_.body, runs_in_parallel);
    out_.has_vector = holds_loop(p_.body, [](LoopKind k) { return k == LoopKind::vector; });
    out_.reducers.resize(p_.reducers.size());
    out_.instrs.resize(p_.instrs.size());
    out_.body = body(p_.body);
    if (exprs_.error()) return *exprs_.error();
    if (m_.failure) return *m_.failure;
    return std::move(out_);
  }

 private:
  RangeCode<M> range(const Expr& lo, const Expr& hi) { return {exprs_.integer(lo), exprs_.integer(hi)}; }

  BodyCode<M> body(const Body& statements) {
    BodyCode<M> code;
    for (size_t i = 0; i < statements.size(); ++i) {
      const Stmt& s = *statements[i];
      if (const Alloc* a = std::get_if<Alloc>(&s.form)) {
        code.allocs.insert(code.allocs.end(), a->buffers.begin(), a->buffers.end());
        watch_races_ =
            holds_loop(Body(statements.begin() + static_cast<std::ptrdiff_t>(i), statements.end()), runs_in_parallel);
      }
      auto one = std::make_unique<StmtCode<M>>();
      one->source = &s;
      std::visit([&](const auto& form) { one->form = stmt(form); }, s.form);
      code.statements.push_back(std::move(one));
    }
    return code;
  }

  ForCode<M> stmt(const For& l) {
    if (!l.stage_of.empty() && l.stage_of.size() != l.body.size())
      exprs_.refuse("the pipeline `" + p_.symbol(l.loop).name + "` does not give each of its statements a stage");
    // A hardware axis that a reduction runs over is combined by the machine, as its region says.
    LoopKind kind = l.kind == LoopKind::bound && !runs_at_once(p_, l) ? LoopKind::serial : l.kind;
    return {l.loop.value, range(l.lo, l.hi), kind, body(l.body), std::max(l.stages, 1), l.stage_of};
  }

  AllocCode<M> stmt(const Alloc& a) {
    AllocCode<M> code;
    for (BufferId id : a.buffers) {
      const Buffer& b = p_.buffer(id);
      typename AllocCode<M>::One one;
      one.buffer = id;
      for (const BoxDim& d : b.box) one.box.push_back(range(d.lo, d.hi));
      one.watch_races = watch_races_;
      one.copies = static_cast<size_t>(std::max(b.copies, 1));
      if (b.pad.known() && b.pad.type() != b.type) exprs_.refuse("the pad of `" + b.name + "` has another type");
      else if (b.pad.known()) one.pad = exprs_.value(b.pad), one.has_pad = true;
      if (b.layout) {
        for (SymbolId s : b.layout->from) one.layout_from.push_back(s.value);
        for (const Expr& e : b.layout->to) one.layout_to.push_back(exprs_.integer(e));
        if (b.layout->from.size() != b.box.size()) exprs_.refuse("the layout of `" + b.name + "` has another rank");
      }
      code.buffers.push_back(std::move(one));
    }
    return code;
  }

  WindowCode<M> window(const Window& w) {
    WindowCode<M> code;
    code.buffer = w.buffer;
    for (const Range& r : w.ranges) {
      code.ranges.push_back(range(r.lo, r.hi));
      code.max_extents.push_back(r.max_extent);
      code.point.push_back(r.point);
    }
    if (w.ranges.size() != p_.buffer(w.buffer).box.size())
      exprs_.refuse("a window of `" + p_.buffer(w.buffer).name + "` has another rank");
    return code;
  }

  const Reducer* reducer_row(const std::string& name) {
    const Reducer* row = p_.reducer(name);
    if (!row) exprs_.refuse("the reducer `" + name + "` is not in the table");
    return row;
  }

  ReduceCode<M> stmt(const Reduce& r) {
    ReduceCode<M> code;
    const Reducer* row = reducer_row(r.reducer);
    if (!row) return code;
    for (const Window& w : r.windows) {
      code.windows.push_back(window(w));
      if (row->builtin != BuiltinReducer::none) code.combiners.push_back(combiner(*row, p_.buffer(w.buffer).type));
    }
    if (row->builtin == BuiltinReducer::none) {
      code.reducer = user_reducer(*row);
      check_fields(r, *row);
    }
    regions_.push_back(&r);
    code.body = body(r.body);
    regions_.pop_back();
    return code;
  }

  void check_fields(const Reduce& r, const Reducer& row) {
    bool fits = r.windows.size() == row.fields.size();
    for (size_t f = 0; fits && f < row.fields.size(); ++f) {
      const Buffer& b = p_.buffer(r.windows[f].buffer);
      fits = b.type == row.fields[f].type && b.box.size() >= row.fields[f].extents.size();
    }
    if (!fits) exprs_.refuse("the windows of a region do not fit the fields of `" + row.name + "`");
  }

  // The field that a buffer holds, by the innermost open region of the reducer over it.
  int field_of(BufferId buffer, const std::string& reducer) {
    for (auto r = regions_.rbegin(); r != regions_.rend(); ++r)
      for (size_t w = 0; w < (*r)->windows.size(); ++w)
        if ((*r)->windows[w].buffer == buffer && (*r)->reducer == reducer) return static_cast<int>(w);
    exprs_.refuse("`" + p_.buffer(buffer).name + "` is combined into outside a region of `" + reducer + "`");
    return 0;
  }

  LeafCode<M> stmt(const Leaf& l) {
    LeafCode<M> code;
    const Stage& stage = p_.stage(l.stage);
    if (stage.axes.size() != l.bindings.size()) {
      exprs_.refuse("a leaf of `" + stage.name + "` lacks a binding of an axis");
      return code;
    }
    for (size_t i = 0; i < l.bindings.size(); ++i)
      code.bindings.emplace_back(stage.axes[i].symbol.value, exprs_.integer(l.bindings[i]));
    if (l.predicate.known()) code.predicate = exprs_.integer(l.predicate);
    code.recomputed = l.recomputed;
    const Reducer* row = l.reducer.empty() ? nullptr : reducer_row(l.reducer);
    for (const Assign& a : l.assigns) {
      code.assigns.push_back(assign(a));
      if (a.kind != AssignKind::combine) continue;
      if (!row) {
        exprs_.refuse("`" + stage.name + "` combines by no reducer");
      } else if (row->builtin != BuiltinReducer::none) {
        code.assigns.back().combiner = combiner(*row, p_.buffer(a.buffer).type);
      } else {
        code.user = user_reducer(*row);
        code.assigns.back().field = field_of(a.buffer, l.reducer);
      }
    }
    if (code.user && code.assigns.size() != code.user->row->fields.size())
      exprs_.refuse("a leaf of `" + stage.name + "` does not give every field of `" + l.reducer + "`");
    return code;
  }

  AssignCode<M> assign(const Assign& a) {
    AssignCode<M> code;
    code.buffer = a.buffer;
    code.kind = a.kind;
    const Buffer& b = p_.buffer(a.buffer);
    if (b.box.size() != a.subs.size() || b.type != a.value.type())
      exprs_.refuse("a write to `" + b.name + "` does not fit its type");
    code.subs = exprs_.subscripts(a.subs);
    for (const Axis& x : a.over) code.over.push_back({x.symbol.value, range(x.lo, x.hi)});
    code.value = exprs_.value(a.value);
    return code;
  }

  CallCode<M> stmt(const Call& c) {
    CallCode<M> code;
    const Instr* row = p_.instr(c.instr);
    if (!row || row->operands.size() != c.windows.size()) {
      exprs_.refuse("a call of `" + c.instr + "` does not fit its operands");
      return code;
    }
    for (size_t i = 0; i < c.windows.size(); ++i) {
      const Buffer& b = p_.buffer(c.windows[i].buffer);
      code.windows.push_back(window(c.windows[i]));
      if (b.type != row->operands[i].type || operand_dims(c.windows[i]).size() != row->operands[i].dims.size())
        exprs_.refuse("the operand `" + b.name + "` of `" + c.instr + "` has another type or rank");
    }
    code.instr = instr_code(*row);
    return code;
  }

  const InstrCode<M>* instr_code(const Instr& row) {
    auto& slot = out_.instrs[static_cast<size_t>(&row - p_.instrs.data())];
    if (slot) return slot.get();
    slot = std::make_unique<InstrCode<M>>();
    slot->row = &row;
    exprs_.operands_of(&row);
    for (const InstrLine& l : row.lines) {
      InstrLineCode<M> code;
      code.operand = static_cast<uint32_t>(l.operand);
      code.subs = exprs_.subscripts(l.subs);
      for (const Axis& x : l.axes) code.axes.push_back({x.symbol.value, range(x.lo, x.hi)});
      code.value = exprs_.value(l.value);
      const ScalarType type = row.operands[code.operand].type;
      if (l.value.type() != type) exprs_.refuse("a line of `" + row.name + "` gives a value of another type");
      const Reducer* reducer = l.reducer.empty() ? nullptr : reducer_row(l.reducer);
      if (reducer) code.combiner = combiner(*reducer, type);
      slot->lines.push_back(std::move(code));
    }
    exprs_.operands_of(nullptr);
    return slot.get();
  }

  CheckCode<M> stmt(const Check& c) { return {exprs_.integer(c.condition), c.text, exprs_.subscripts(c.coordinates)}; }

  // -------------------------------------------------------------------------------------------------------------------

  ReducerCode<M>* user_reducer(const Reducer& row) {
    const auto index = static_cast<size_t>(&row - p_.reducers.data());
    auto& slot = out_.reducers[index];
    if (slot) return slot.get();
    slot = std::make_unique<ReducerCode<M>>();
    ReducerCode<M>& code = *slot;
    code.row = &row;
    code.index = static_cast<uint16_t>(index);
    for (const ReducerField& f : row.fields) {
      std::vector<int64_t> extents;
      for (const Expr& e : f.extents) extents.push_back(std::max<int64_t>(0, m_.index(exprs_.integer(e)(m_))));
      code.sizes.push_back(cell_count(extents, 1 << 24));
      if (code.sizes.back() < 0) exprs_.refuse("the field `" + f.name + "` of `" + row.name + "` is too large");
      code.extents.push_back(std::move(extents));
    }
    exprs_.fields_of(&code.extents);
    lines(row, row.identity, code.identity);
    lines(row, row.combine, code.combine);
    exprs_.fields_of(nullptr);
    code.order.resize(row.fields.size());
    for (const ReducerLine& l : row.combine)
      if (l.field >= 0 && p_.allow.reassociate && !row.exact) code.order[static_cast<size_t>(l.field)] = order_of(l);
    return slot.get();
  }

  // `f = a.f + b.f` is a sum; one of two fields as it is, `f = max(a.f, b.f)`, comes out the same in every order.
  static typename ReducerCode<M>::Order order_of(const ReducerLine& l) {
    using Order = typename ReducerCode<M>::Order;
    if (!is_float(l.value.type())) return Order::any;
    const auto* both = l.value.as<Binary>();
    const auto *a = both ? both->left.as<StateField>() : nullptr, *b = both ? both->right.as<StateField>() : nullptr;
    const bool own = a && b && a->field == l.field && b->field == l.field && a->side != b->side;
    if (own && (both->op == BinaryOp::min || both->op == BinaryOp::max)) return Order::any;
    return own && both->op == BinaryOp::add ? Order::sum : Order::other;
  }

  void lines(const Reducer& row, const std::vector<ReducerLine>& from, std::vector<LineCode<M>>& to) {
    for (const ReducerLine& l : from) {
      LineCode<M> code;
      code.field = l.field;
      code.local = l.local.value;
      for (SymbolId s : l.axes) code.axes.push_back(s.value);
      code.value = exprs_.value(l.value);
      const bool fits = l.field < 0 ? l.local.known()
                                    : l.axes.size() == row.fields[static_cast<size_t>(l.field)].extents.size() &&
                                          l.value.type() == row.fields[static_cast<size_t>(l.field)].type;
      if (!fits) exprs_.refuse("a line of the reducer `" + row.name + "` does not fit its field");
      to.push_back(std::move(code));
    }
  }

  const Combiner<M>* combiner(const Reducer& row, ScalarType type) {
    const auto index = static_cast<uint16_t>(&row - p_.reducers.data());
    for (const auto& c : out_.combiners)
      if (c->reducer == index && c->type == type) return c.get();
    auto c = std::make_unique<Combiner<M>>();
    c->reducer = index;
    c->type = type;
    c->float_sum = row.builtin == BuiltinReducer::sum && is_float(type);
    c->float_product = row.builtin == BuiltinReducer::prod && is_float(type);
    if (!(is_float(type) ? of_floats(*c, row.builtin) : of_integers(*c, row.builtin)))
      exprs_.refuse("the interpreter does not run `" + row.name + "` on `" + std::string(scalar_type_name(type)) + "`");
    out_.combiners.push_back(std::move(c));
    return out_.combiners.back().get();
  }

  static bool of_floats(Combiner<M>& c, BuiltinReducer builtin) {
    const ScalarRow& row = scalar_row(c.type);
    const double most = row.has_infinity ? HUGE_VAL : row.max_finite;
    BinaryOp op = BinaryOp::add;
    double identity = 0;
    switch (builtin) {
      case BuiltinReducer::sum: break;
      case BuiltinReducer::prod: op = BinaryOp::mul, identity = 1; break;
      case BuiltinReducer::max: op = BinaryOp::max, identity = -most; break;
      case BuiltinReducer::min: op = BinaryOp::min, identity = most; break;
      default: return false;
    }
    c.identity = Cell<M>(M::real(identity));
    return M::with_real_binary(
        op, c.type, [&](auto f) { c.combine = [f](Cell<M> a, Cell<M> b) { return Cell<M>(f(a.real, b.real)); }; });
  }

  static bool of_integers(Combiner<M>& c, BuiltinReducer builtin) {
    BinaryOp op = BinaryOp::add;
    int64_t identity = 0;
    const bool boolean = c.type == ScalarType::boolean;
    switch (builtin) {
      case BuiltinReducer::sum: break;
      case BuiltinReducer::prod: op = BinaryOp::mul, identity = 1; break;
      case BuiltinReducer::max: op = BinaryOp::max, identity = integer_min(c.type); break;
      case BuiltinReducer::min: op = BinaryOp::min, identity = integer_max(c.type); break;
      case BuiltinReducer::any: op = BinaryOp::bit_or; break;
      case BuiltinReducer::all: op = BinaryOp::bit_and, identity = 1; break;
      default: return false;
    }
    if (boolean != (builtin == BuiltinReducer::any || builtin == BuiltinReducer::all)) return false;
    c.identity = Cell<M>(M::integer(identity));
    c.combine = [op, type = c.type](Cell<M> a, Cell<M> b) {
      return Cell<M>(M::integer_binary(op, type, a.integer, b.integer));
    };
    return true;
  }

  Machine<M>& m_;
  const Program& p_;
  ExprCompiler<M> exprs_;
  ProgramCode<M> out_;
  std::vector<const Reduce*> regions_;
  bool watch_races_ = false;
};

}  // namespace

template <class M>
Result<ProgramCode<M>> compile(Machine<M>& machine) {
  return StmtCompiler<M>(machine).run();
}

template Result<ProgramCode<Typed>> compile(Machine<Typed>&);
template Result<ProgramCode<BoundedMode>> compile(Machine<BoundedMode>&);

}  // namespace heddle::ir::interpreter
