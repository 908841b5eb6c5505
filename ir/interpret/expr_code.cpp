#include "ir/interpret/expr_code.h"
#include "ir/random.h"

#include "ir/print.h"
#include "support/result.h"

namespace heddle::ir::interpreter {
namespace {

template <class V, class M>
V get(const Cell<M>& cell) {
  if constexpr (std::is_same_v<V, typename M::Real>) return cell.real;
  else return cell.integer;
}

// constant + sum of coefficient * symbol, of index expressions.
struct AffineForm {
  struct Term {
    uint32_t slot;
    int64_t coefficient;
  };
  int64_t constant = 0;
  std::vector<Term> terms;
  int nodes = 0;
};

bool add_scaled(AffineForm& out, const AffineForm& part, int64_t factor) {
  int64_t scaled;
  if (__builtin_mul_overflow(part.constant, factor, &scaled) ||
      __builtin_add_overflow(out.constant, scaled, &out.constant))
    return false;
  for (const AffineForm::Term& t : part.terms) {
    if (__builtin_mul_overflow(t.coefficient, factor, &scaled)) return false;
    out.terms.push_back({t.slot, scaled});
  }
  out.nodes += part.nodes;
  return out.terms.size() <= 6;
}

bool affine_form(const Expr& e, AffineForm& out) {
  if (e.type() != ScalarType::index) return false;
  out.nodes = 1;
  if (const Constant* c = e.as<Constant>()) {
    out.constant = c->integer;
    return true;
  }
  if (const Var* v = e.as<Var>()) {
    out.terms.push_back({v->symbol.value, 1});
    return true;
  }
  const Binary* b = e.as<Binary>();
  if (!b) return false;
  if (b->op == BinaryOp::add || b->op == BinaryOp::sub) {
    AffineForm left, right;
    return affine_form(b->left, left) && affine_form(b->right, right) && add_scaled(out, left, 1) &&
           add_scaled(out, right, b->op == BinaryOp::add ? 1 : -1);
  }
  if (b->op != BinaryOp::mul) return false;
  const int64_t* x = constant_value(b->left);
  const int64_t* y = constant_value(b->right);
  AffineForm rest;
  if (x) return affine_form(b->right, rest) && add_scaled(out, rest, *x);
  if (y) return affine_form(b->left, rest) && add_scaled(out, rest, *y);
  return false;
}

std::string box_text(const std::vector<int64_t>& lo, const std::vector<int64_t>& extent) {
  std::string text;
  for (size_t d = 0; d < lo.size(); ++d)
    text += (d ? ", " : "") + std::to_string(lo[d]) + " .. " + std::to_string(lo[d] + extent[d]);
  return "`[" + text + "]`";
}

}  // namespace

template <class M>
typename Subscripts<M>::At Subscripts<M>::locate(Machine<M>& m, const Instance<M>& in) const {
  At at{0, true};
  bool inside = true;
  for (size_t d = 0; d < code.size(); ++d) {
    const typename M::Int sub = code[d](m);
    at.sure &= M::sure(sub);
    const uint64_t from_origin = static_cast<uint64_t>(M::nominal_int(sub)) - static_cast<uint64_t>(in.lo[d]);
    inside &= from_origin < static_cast<uint64_t>(in.extent[d]);
    at.cell = inside ? at.cell * in.extent[d] + static_cast<int64_t>(from_origin) : 0;
  }
  if (!inside) at.cell = -1;
  return at;
}

template <class M>
typename Subscripts<M>::At Subscripts<M>::locate(Machine<M>& m, const View<M>& view) const {
  At at{0, true};
  bool inside = true;
  for (size_t d = 0, own = 0; d < view.lo.size(); ++d) {
    uint64_t n = 0;
    if (!view.point[d]) {
      const typename M::Int sub = code[own++](m);
      at.sure &= M::sure(sub);
      n = static_cast<uint64_t>(M::nominal_int(sub));
    }
    inside &= n < static_cast<uint64_t>(view.extent[d]);
    at.cell = inside ? at.cell * view.in->extent[d] + view.lo[d] - view.in->lo[d] + static_cast<int64_t>(n) : 0;
  }
  if (!inside) at.cell = -1;
  return at;
}

template <class M>
std::vector<int64_t> Subscripts<M>::evaluate(Machine<M>& m) const {
  std::vector<int64_t> at;
  for (const IntCode<M>& c : code) at.push_back(m.index(c(m)));
  return at;
}

template <class M>
ExprCompiler<M>::ExprCompiler(const Program& program, bool has_fma)
    : program_(program), has_fma_(has_fma), has_value_(program.symbols.size(), false) {
  for (const DimDefinition& d : program.dims) has_value_[d.dim.value] = true;
  for (const Parameter& p : program.parameters)
    if (p.scalar.known()) has_value_[p.scalar.value] = true;
}

template <class M>
void ExprCompiler<M>::refuse(std::string message) {
  if (!error_) error_ = Diagnostic(codes::not_interpretable, {}, std::move(message));
}

template <class M>
ValueCode<M> ExprCompiler<M>::value(const Expr& e) {
  ValueCode<M> v;
  if (is_float(e.type())) v.real = real(e);
  else v.integer = integer(e);
  return v;
}

template <class M>
Subscripts<M> ExprCompiler<M>::subscripts(const std::vector<Expr>& subs) {
  Subscripts<M> s;
  for (const Expr& e : subs) s.code.push_back(integer(e));
  return s;
}

template <class M>
RealCode<M> ExprCompiler<M>::real(const Expr& e) {
  if (!is_float(e.type())) {
    refuse("`" + print(program_, e) + "` is no float");
    return RealCode<M>([](Mach&) { return M::real(0); });
  }
  return real_form(e);
}

template <class M>
IntCode<M> ExprCompiler<M>::integer(const Expr& e) {
  if (is_float(e.type())) {
    refuse("`" + print(program_, e) + "` is no integer");
    return IntCode<M>([](Mach&) { return M::integer(0); });
  }
  return integer_form(e);
}

template <class M>
template <class V>
Closure<V, Machine<M>> ExprCompiler<M>::code(const Expr& e) {
  if constexpr (std::is_same_v<V, Real>) return real(e);
  else return integer(e);
}

// ---------------------------------------------------------------------------------------------------------------------
// Forms of both kinds

template <class M>
template <class V>
Closure<V, Machine<M>> ExprCompiler<M>::variable(const Var& v) {
  const Symbol& s = program_.symbol(v.symbol);
  const bool outside = s.kind == SymbolKind::dim || s.kind == SymbolKind::constant || s.kind == SymbolKind::scalar;
  if (outside && !has_value_[v.symbol.value]) refuse("`" + s.name + "` has no value at run time");
  return Closure<V, Mach>([slot = v.symbol.value](Mach& m) { return get<V, M>(m.slots[slot]); });
}

template <class M>
template <class V>
Closure<V, Machine<M>> ExprCompiler<M>::load(const Expr& e, const Load& l) {
  if (instr_) return operand<V>(l);
  const BufferId id = l.buffer;
  if (program_.buffer(id).type != e.type() || program_.buffer(id).box.size() != l.subs.size())
    refuse("a read of `" + program_.buffer(id).name + "` does not fit its type");
  auto plain = [id](Mach& m, const Subscripts<M>& subs, bool& outside) {
    Instance<M>* in = m.current[id.value];
    if (!in) {
      m.fail(codes::not_interpretable, "`" + m.name_of(id) + "` is read outside its alloc");
      return V{};
    }
    const auto at = subs.locate(m, *in);
    if (at.cell < 0) {
      outside = true;
      return V{};
    }
    if (!m.readable(id, *in, at.cell)) return V{};
    const V v = get<V, M>(in->cells[static_cast<size_t>(at.cell)]);
    return at.sure ? v : M::doubtful(v);
  };
  if (l.otherwise.known())
    return Closure<V, Mach>([plain, subs = subscripts(l.subs), otherwise = code<V>(l.otherwise)](Mach& m) {
      bool outside = false;
      const V v = plain(m, subs, outside);
      return outside ? otherwise(m) : v;
    });
  return Closure<V, Mach>([plain, id, subs = subscripts(l.subs)](Mach& m) {
    bool outside = false;
    const V v = plain(m, subs, outside);
    if (outside) {
      const Instance<M>& in = *m.current[id.value];
      m.fail(codes::outside_box,
             m.cell_name(id, subs.evaluate(m)) + " is read outside its box " + box_text(in.lo, in.extent));
    }
    return v;
  });
}

template <class M>
template <class V>
Closure<V, Machine<M>> ExprCompiler<M>::operand(const Load& l) {
  const InstrOperand& o = instr_->operands[l.buffer.value];
  if (o.dims.size() != l.subs.size() || l.otherwise.known())
    refuse("`" + instr_->name + "` reads its operand `" + o.name + "` in a way that the interpreter does not run");
  return Closure<V, Mach>([index = l.buffer.value, subs = subscripts(l.subs)](Mach& m) {
    View<M>& view = m.views[index];
    const auto at = subs.locate(m, view);
    if (at.cell < 0) {
      m.fail(codes::outside_box, "the instruction reads outside the window of " + m.cell_name(view.buffer, view.lo));
      return V{};
    }
    if (!m.readable(view.buffer, *view.in, at.cell)) return V{};
    return get<V, M>(view.in->cells[static_cast<size_t>(at.cell)]);
  });
}

template <class M>
template <class V>
Closure<V, Machine<M>> ExprCompiler<M>::field(const StateField& f) {
  if (!field_extents_) {
    refuse("a state is named outside a reducer");
    return Closure<V, Mach>([](Mach&) { return V{}; });
  }
  return Closure<V, Mach>(
      [f = f.field, side = f.side, subs = subscripts(f.subs), extents = (*field_extents_)[f.field]](Mach& m) {
        int64_t at = 0;
        for (size_t d = 0; d < subs.code.size(); ++d) {
          const int64_t n = m.index(subs.code[d](m));
          if (n < 0 || n >= extents[d]) {
            m.fail(codes::outside_box, "the reducer names a field outside its extents");
            return V{};
          }
          at = at * extents[d] + n;
        }
        return get<V, M>(m.reducer_state->side[side][static_cast<size_t>(f)][static_cast<size_t>(at)]);
      });
}

template <class M>
template <class V>
Closure<V, Machine<M>> ExprCompiler<M>::choose(const Select& s) {
  return Closure<V, Mach>([condition = integer(s.condition), yes = code<V>(s.yes), no = code<V>(s.no)](Mach& m) -> V {
    const Int c = condition(m);
    const bool chosen = M::nominal_int(c) != 0;
    if (M::sure(c)) return chosen ? yes(m) : no(m);
    const V taken = chosen ? yes(m) : no(m);
    if constexpr (M::bounded) {
      // The other arm may be what another computation takes; where it cannot be evaluated here, nothing is claimed.
      if (m.speculating) return M::doubtful(taken);
      m.speculating = true;
      const V other = chosen ? no(m) : yes(m);
      const bool lost = m.speculation_failed;
      m.speculating = m.speculation_failed = false;
      return lost ? M::doubtful(taken) : M::hull(taken, other);
    }
    return taken;
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Floats

template <class M>
RealCode<M> ExprCompiler<M>::real_form(const Expr& e) {
  return std::visit(overloaded{
                        [&](const Constant& c) { return RealCode<M>([v = M::real(c.real)](Mach&) { return v; }); },
                        [&](const Var& v) { return variable<Real>(v); },
                        [&](const Load& l) { return load<Real>(e, l); },
                        [&](const StateField& f) { return field<Real>(f); },
                        [&](const Unary& u) {
                          if (u.op != UnaryOp::negate) refuse("`" + print(program_, e) + "` is no operation on floats");
                          return RealCode<M>([a = real(u.value)](Mach& m) { return M::negate(a(m)); });
                        },
                        [&](const Binary& b) { return real_binary(e, b); },
                        [&](const Select& s) { return choose<Real>(s); },
                        [&](const MathCall& c) { return real_call(e, c); },
                        [&](const Convert& c) { return real_conversion(e, c); },
                    },
                    e->form);
}

template <class M>
RealCode<M> ExprCompiler<M>::real_binary(const Expr& e, const Binary& b) {
  RealCode<M> out;
  const bool known = M::with_real_binary(b.op, e.type(), [&](auto f) {
    out = RealCode<M>([f, x = real(b.left), y = real(b.right)](Mach& m) -> Real {
      const Real left = x(m);
      return f(left, y(m));
    });
    if constexpr (M::bounded) {
      if (!program_.allow.flush_denormals) return;
      out = RealCode<M>([f, type = e.type(), x = real(b.left), y = real(b.right)](Mach& m) -> Real {
        const Real left = M::flushed(type, x(m));
        return M::flushed(type, f(left, M::flushed(type, y(m))));
      });
    }
  });
  if (known) return out;
  refuse("`" + print(program_, e) + "` is no operation on floats");
  return RealCode<M>([](Mach&) { return M::real(0); });
}

template <class M>
RealCode<M> ExprCompiler<M>::real_call(const Expr& e, const MathCall& c) {
  const MathRow* row = find_math(c.function);
  if (!row || static_cast<size_t>(row->arity) != c.args.size()) {
    refuse("the math function `" + c.function + "` has no row");
    return RealCode<M>([](Mach&) { return M::real(0); });
  }
  if (row->arity == 1)
    return RealCode<M>([op = row->op, type = e.type(), fma = has_fma_, x = real(c.args[0])](Mach& m) {
      const Real v = x(m);
      return M::math(op, type, v, v, fma);
    });
  return RealCode<M>(
      [op = row->op, type = e.type(), fma = has_fma_, x = real(c.args[0]), y = real(c.args[1])](Mach& m) {
        const Real left = x(m);
        return M::math(op, type, left, y(m), fma);
      });
}

template <class M>
RealCode<M> ExprCompiler<M>::real_conversion(const Expr& e, const Convert& c) {
  const ScalarType from = c.value.type(), to = e.type();
  const bool saturate = c.mode == ConvertMode::saturate;
  if (is_float(from))
    return RealCode<M>(
        [from, to, saturate, x = real(c.value)](Mach& m) { return M::convert_float(to, from, saturate, x(m)); });
  return RealCode<M>([from, to, x = integer(c.value)](Mach& m) { return M::to_float(to, from, x(m)); });
}

// ---------------------------------------------------------------------------------------------------------------------
// Integers, booleans and indices

template <class M>
IntCode<M> ExprCompiler<M>::integer_form(const Expr& e) {
  if constexpr (!M::bounded) {
    if (IntCode<M> flat = affine(e); flat.known()) return flat;
  }
  return std::visit(overloaded{
                        [&](const Constant& c) { return IntCode<M>([v = M::integer(c.integer)](Mach&) { return v; }); },
                        [&](const Var& v) { return variable<Int>(v); },
                        [&](const Load& l) { return load<Int>(e, l); },
                        [&](const StateField& f) { return field<Int>(f); },
                        [&](const Unary& u) { return integer_unary(u); },
                        [&](const Binary& b) { return integer_binary(e, b); },
                        [&](const Select& s) { return choose<Int>(s); },
                        [&](const MathCall& c) { return integer_call(e, c); },
                        [&](const Convert& c) { return integer_conversion(e, c); },
                    },
                    e->form);
}

template <class M>
IntCode<M> ExprCompiler<M>::affine(const Expr& e) {
  AffineForm form;
  if (!affine_form(e, form) || form.nodes < 2) return {};
  for (const AffineForm::Term& t : form.terms) variable<Int>(Var{{t.slot}});  // refuses symbols without a value
  return IntCode<M>([constant = form.constant, terms = form.terms](Mach& m) {
    int64_t sum = constant;
    bool overflow = false;
    for (const AffineForm::Term& t : terms) {
      int64_t term;
      overflow |= __builtin_mul_overflow(t.coefficient, M::nominal_int(m.slots[t.slot].integer), &term);
      overflow |= __builtin_add_overflow(sum, term, &sum);
    }
    if (overflow) m.fail(codes::index_overflow, "an index is past 64 bits");
    return M::integer(sum);
  });
}

template <class M>
IntCode<M> ExprCompiler<M>::integer_unary(const Unary& u) {
  const ScalarType type = u.value.type();
  IntCode<M> a = integer(u.value);
  switch (u.op) {
    case UnaryOp::logical_not: return IntCode<M>([a = std::move(a)](Mach& m) { return M::logical_not(a(m)); });
    case UnaryOp::bit_not: return IntCode<M>([type, a = std::move(a)](Mach& m) { return M::bit_not(type, a(m)); });
    case UnaryOp::negate: break;
  }
  if (type != ScalarType::index)
    return IntCode<M>(
        [type, a = std::move(a)](Mach& m) { return M::integer_binary(BinaryOp::sub, type, M::integer(0), a(m)); });
  return IntCode<M>([a = std::move(a)](Mach& m) {
    Int out{};
    if (!M::index_binary(BinaryOp::sub, M::integer(0), a(m), out))
      m.fail(codes::index_overflow, "an index is past 64 bits");
    return out;
  });
}

template <class M>
IntCode<M> ExprCompiler<M>::integer_binary(const Expr& e, const Binary& b) {
  if (is_comparison(b.op)) return comparison(b);
  if (b.op == BinaryOp::logical_and || b.op == BinaryOp::logical_or) return logic(b);
  if (e.type() == ScalarType::index) return index_binary(b);
  if (b.op == BinaryOp::ceildiv) refuse("`" + print(program_, e) + "` rounds up outside index arithmetic");
  return IntCode<M>([op = b.op, type = e.type(), x = integer(b.left), y = integer(b.right)](Mach& m) {
    const Int left = x(m);
    return M::integer_binary(op, type, left, y(m));
  });
}

template <class M>
IntCode<M> ExprCompiler<M>::index_binary(const Binary& b) {
  return IntCode<M>([op = b.op, x = integer(b.left), y = integer(b.right)](Mach& m) {
    const Int left = x(m);
    Int out{};
    if (!M::index_binary(op, left, y(m), out)) m.fail(codes::index_overflow, "an index is past 64 bits");
    return out;
  });
}

template <class M>
IntCode<M> ExprCompiler<M>::comparison(const Binary& b) {
  const ScalarType type = b.left.type();
  if (is_float(type))
    return IntCode<M>([op = b.op, x = real(b.left), y = real(b.right)](Mach& m) {
      const Real left = x(m);
      return M::compare(op, left, y(m));
    });
  return IntCode<M>([op = b.op, type, x = integer(b.left), y = integer(b.right)](Mach& m) {
    const Int left = x(m);
    return M::compare(op, type, left, y(m));
  });
}

template <class M>
IntCode<M> ExprCompiler<M>::logic(const Binary& b) {
  const bool stops_at = b.op == BinaryOp::logical_or;
  return IntCode<M>([stops_at, x = integer(b.left), y = integer(b.right)](Mach& m) {
    const Int left = x(m);
    if ((M::nominal_int(left) != 0) == stops_at) return left;
    const Int right = y(m);
    const bool decided = M::sure(right) && (M::nominal_int(right) != 0) == stops_at;  // whatever the left is
    return M::sure(left) || decided ? right : M::doubtful(right);
  });
}

template <class M>
IntCode<M> ExprCompiler<M>::integer_call(const Expr& e, const MathCall& c) {
  if (c.function == random_function && c.args.size() == 2 && e.type() == ScalarType::u64)
    return IntCode<M>([seed = integer(c.args[0]), counter = integer(c.args[1])](Mach& m) {
      const Int s = seed(m), n = counter(m);
      const Int out = M::integer(static_cast<int64_t>(
          random_bits(static_cast<uint64_t>(M::nominal_int(s)), static_cast<uint64_t>(M::nominal_int(n)))));
      return M::sure(s) && M::sure(n) ? out : M::doubtful(out);
    });
  const MathRow* row = find_math(c.function);
  if (!row || !row->integers || static_cast<size_t>(row->arity) != c.args.size()) {
    refuse("the math function `" + c.function + "` has no row for integers");
    return IntCode<M>([](Mach&) { return M::integer(0); });
  }
  const ScalarType type = e.type();
  if (row->op == MathOp::abs)
    return IntCode<M>([type, x = integer(c.args[0])](Mach& m) { return M::integer_abs(type, x(m)); });
  const BinaryOp op = row->op == MathOp::min ? BinaryOp::min : BinaryOp::max;
  return IntCode<M>([op, type, x = integer(c.args[0]), y = integer(c.args[1])](Mach& m) {
    const Int left = x(m);
    return M::integer_binary(op, type, left, y(m));
  });
}

template <class M>
IntCode<M> ExprCompiler<M>::integer_conversion(const Expr& e, const Convert& c) {
  const ScalarType from = c.value.type(), to = e.type();
  const bool saturate = c.mode == ConvertMode::saturate;
  if (is_float(from)) return IntCode<M>([to, x = real(c.value)](Mach& m) { return M::to_integer(to, x(m)); });
  return IntCode<M>(
      [from, to, saturate, x = integer(c.value)](Mach& m) { return M::convert_integer(to, from, saturate, x(m)); });
}

template class ExprCompiler<Typed>;
template class ExprCompiler<BoundedMode>;
template struct Subscripts<Typed>;
template struct Subscripts<BoundedMode>;

}  // namespace heddle::ir::interpreter
