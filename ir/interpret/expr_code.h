// Expressions compiled to closures once, so that a run looks up no names.
#pragma once

#include "ir/interpret/bounded.h"
#include "ir/interpret/machine.h"

namespace heddle::ir::interpreter {

template <class M>
using RealCode = Closure<typename M::Real, Machine<M>>;
template <class M>
using IntCode = Closure<typename M::Int, Machine<M>>;

/// A value of any type: one of the two is known.
template <class M>
struct ValueCode {
  RealCode<M> real;
  IntCode<M> integer;
  Cell<M> operator()(Machine<M>& m) const { return real.known() ? Cell<M>(real(m)) : Cell<M>(integer(m)); }
};

/// The subscripts of an access.
template <class M>
struct Subscripts {
  std::vector<IntCode<M>> code;

  struct At {
    int64_t cell = -1;  ///< -1: outside the box
    bool sure = true;   ///< bounded mode: no subscript is in doubt
  };
  At locate(Machine<M>& m, const Instance<M>& in) const;
  /// Of an operand of an instruction.
  At locate(Machine<M>& m, const View<M>& view) const;
  std::vector<int64_t> evaluate(Machine<M>& m) const;
};

template <class M>
class ExprCompiler {
 public:
  ExprCompiler(const Program& program, bool has_fma);

  RealCode<M> real(const Expr& e);
  IntCode<M> integer(const Expr& e);
  ValueCode<M> value(const Expr& e);
  Subscripts<M> subscripts(const std::vector<Expr>& subs);

  /// While set, loads name operands of the instruction, or fields have these extents.
  void operands_of(const Instr* instr) { instr_ = instr; }
  void fields_of(const std::vector<std::vector<int64_t>>* extents) { field_extents_ = extents; }

  /// What the program holds that the interpreter cannot run.
  const std::optional<Diagnostic>& error() const { return error_; }
  void refuse(std::string message);

 private:
  using Mach = Machine<M>;
  using Real = typename M::Real;
  using Int = typename M::Int;

  template <class V>
  Closure<V, Mach> code(const Expr& e);
  template <class V>
  Closure<V, Mach> variable(const Var& v);
  template <class V>
  Closure<V, Mach> load(const Expr& e, const Load& l);
  template <class V>
  Closure<V, Mach> operand(const Load& l);
  template <class V>
  Closure<V, Mach> field(const StateField& f);
  template <class V>
  Closure<V, Mach> choose(const Select& s);

  RealCode<M> real_form(const Expr& e);
  RealCode<M> real_binary(const Expr& e, const Binary& b);
  RealCode<M> real_call(const Expr& e, const MathCall& c);
  RealCode<M> real_conversion(const Expr& e, const Convert& c);
  IntCode<M> integer_form(const Expr& e);
  IntCode<M> integer_unary(const Unary& u);
  IntCode<M> integer_binary(const Expr& e, const Binary& b);
  IntCode<M> index_binary(const Binary& b);
  IntCode<M> comparison(const Binary& b);
  IntCode<M> logic(const Binary& b);
  IntCode<M> integer_call(const Expr& e, const MathCall& c);
  IntCode<M> integer_conversion(const Expr& e, const Convert& c);
  IntCode<M> affine(const Expr& e);

  const Program& program_;
  bool has_fma_;
  std::vector<bool> has_value_;  ///< of dims, consts and scalars
  const Instr* instr_ = nullptr;
  const std::vector<std::vector<int64_t>>* field_extents_ = nullptr;
  std::optional<Diagnostic> error_;
};

}  // namespace heddle::ir::interpreter
