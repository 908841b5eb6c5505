// From the syntax of an expression to a typed one. What names mean is the business of the class derived from this: an
// op, a reducer, an instruction or a printed program.
//
// There is no silent conversion: both sides of an operator have one type, an untyped literal takes that of its other
// side.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "frontend/ast.h"
#include "ir/expr.h"
#include "support/result.h"

namespace heddle::frontend {

/// The type that an untyped literal would take here, if one is known.
using Hint = std::optional<ir::ScalarType>;

class Typing {
 public:
  explicit Typing(Diagnostics& out) : out_(out) {}
  virtual ~Typing() = default;

  /// An expression of any type, index included. None after a diagnostic, here and below.
  ir::Expr value(const ast::Expr& e, Hint hint = {});
  /// An expression of type index: arithmetic of dims, indices and consts; integer data inside it is converted.
  ir::Expr index(const ast::Expr& e);
  /// A boolean.
  ir::Expr condition(const ast::Expr& e);
  /// A value of exactly this type; `what` names the place for the message ("`y`"), `spelled` the type as the text has
  /// it ("T").
  ir::Expr value_of_type(const ast::Expr& e, ir::ScalarType type, const std::string& what, const Place& declared,
                         const std::string& spelled = "");

  static bool is_builtin_reducer(const std::string& name);

 protected:
  /// What a read, a bare name included, stands for; `hint` is for the value after `or`.
  virtual ir::Expr read(const ast::Read& read, const Place& place, Hint hint) = 0;
  /// The element type that a word names: generics are types too.
  virtual std::optional<ir::ScalarType> type_word(const std::string& word) const;
  /// Whether a name is an op or a reducer: those stand only at the root of a right side.
  virtual bool only_at_root(const std::string& name) const { return is_builtin_reducer(name); }
  /// More names that may be called, for suggestions.
  virtual std::vector<std::string> callables() const { return {}; }
  /// Whether the name is a tensor: `x(i)` is said to be `x[i]`.
  virtual bool is_tensor(const std::string&) const { return false; }
  /// Whether integers that are compared, or stand beside an index, are indices with their arithmetic: in what an op requires.
  virtual bool of_indices() const { return false; }
  /// `index(x)` is a conversion of printed programs only.
  virtual bool allows_index_conversion() const { return false; }

  void report(Diagnostic&& d) { out_.push_back(std::move(d)); }
  void report_all(const Diagnostics& d) { out_.insert(out_.end(), d.begin(), d.end()); }
  Diagnostic not_at_root(const std::string& name, const Place& place) const;

  bool in_index() const { return in_index_; }
  /// The conditions of the arms around the current place, outermost first.
  const std::vector<ir::Expr>& path() const { return path_; }
  /// Inside an arm of `if`, the right side of `&&` or `||`, or the value after `or`: not evaluated at every point.
  bool conditional() const { return lazy_ > 0; }

  /// `f()` under a condition of its path (none: merely conditional).
  template <class F>
  ir::Expr under(const ir::Expr& condition, F f) {
    if (condition.known()) path_.push_back(condition);
    ++lazy_;
    ir::Expr e = f();
    --lazy_;
    if (condition.known()) path_.pop_back();
    return e;
  }
  /// `f()` outside an index expression, so that integers keep their type.
  template <class F>
  auto with_index(bool in_index, F f) {
    bool before = in_index_;
    in_index_ = in_index;
    auto result = f();
    in_index_ = before;
    return result;
  }

 private:
  struct Pair {
    ir::Expr left, right;
    bool ok() const { return left.known() && right.known(); }
  };
  ir::Expr literal(const ast::Literal& l, bool negative, const Place& place, Hint hint);
  ir::Expr unary(const ast::Expr& e, const ast::Unary& u, Hint hint);
  ir::Expr binary(const ast::Expr& e, const ast::Binary& b, Hint hint);
  ir::Expr logic(const ast::Binary& b);
  ir::Expr choice(const ast::Expr& e, const ast::If& i, Hint hint);
  ir::Expr call(const ast::Expr& e, const ast::Call& c, Hint hint);
  ir::Expr conversion(const ast::Call& c, ir::ScalarType to, const Place& place);
  ir::Expr saturation(const ast::Call& c, const Place& place);
  ir::Expr math(const ast::Call& c, const std::string& name, size_t arity, const Place& place, Hint hint);
  ir::Expr random(const ast::Call& c, const Place& place);
  ir::Expr extremum(const ast::Call& c, ir::BinaryOp op, const Place& place, Hint hint);
  ir::Expr adapted(ir::Expr e, const Place& place);
  bool argument_count(const ast::Call& c, size_t count, const Place& place);
  Pair pair(const ast::Expr& l, const ast::Expr& r, Hint hint, bool comparison, const std::string& op,
            const Place& op_place);
  ir::Expr unknown_function(const std::string& name, const Place& place);
  void refuse_types(const ast::Expr& l, const ir::Expr& left, const ast::Expr& r, const ir::Expr& right,
                    const std::string& op, const Place& place);

  Diagnostics& out_;
  std::vector<ir::Expr> path_;
  int lazy_ = 0;
  bool in_index_ = false;
};

/// The expression is made of literals alone: its type is that of the other side.
bool untyped(const ast::Expr& e);

/// `!condition` with the negation moved inward, so that the prover sees comparisons.
ir::Expr negation(const ir::Expr& condition);

/// The text of an expression for messages, on one line and cut when long.
std::string excerpt(const Place& place);

/// How many arguments a math function takes, 0 when there is none of that name.
size_t math_arity(const std::string& name);
/// Whether a math function also takes integers (`abs`).
bool math_on_integers(const std::string& name);
std::vector<std::string> math_names();

}  // namespace heddle::frontend
