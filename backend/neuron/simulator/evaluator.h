// The evaluator of kernel text, by subject: statements (specialise.cpp), expressions and calls (expressions.cpp), tensors and their views
// (views.cpp), the names of nl (language.cpp), the instructions of nisa (isa.cpp and isa_*.cpp).
#pragma once

#include <map>
#include <unordered_map>

#include "backend/neuron/simulator/refuse.h"
#include "backend/neuron/simulator/specialise.h"
#include "backend/neuron/simulator/value.h"

namespace heddle::neuron::sim {

struct Scope {
  std::map<std::string, Value, std::less<>> names;
  std::shared_ptr<Scope> outer;
};

/// The arguments of one call: positional ones first, then by name.
struct Arguments {
  std::vector<Value> values;
  std::vector<std::string> names;  ///< empty for positional ones
  std::vector<Place> places;
};

class Evaluator {
 public:
  Evaluator(const Text& text, const Machine& machine, const SpecialiseLimits& limits)
      : text_(text), machine_(machine), limits_(limits) {}
  // A scope that holds a function holds itself.
  ~Evaluator() {
    for (std::weak_ptr<Scope>& held : holders_)
      if (auto scope = held.lock()) scope->names.clear();
  }

  Trace run(const std::string& kernel, const std::vector<Argument>& arguments, const Scalars& scalars);

 private:
  friend class IsaCall;
  using ScopeRef = std::shared_ptr<Scope>;

  // --- specialise.cpp ---
  void load_module();
  const Stmt& choose_kernel(const std::string& name);
  void bind_parameters(const Stmt& kernel, const std::vector<Argument>& arguments, const Scalars& scalars,
                       Scope& scope);
  /// True when the block returned; the value is in `returned_`.
  bool block(const std::vector<Stmt>& body, const ScopeRef& scope);
  bool statement(const Stmt& s, const ScopeRef& scope);
  bool loop(const Stmt& s, const ScopeRef& scope);
  void assign(const Expr& target, Value value, Scope& scope);
  void import(const Stmt& s, Scope& scope);
  void finish_outputs(const Stmt& kernel, const Value& returned);

  // --- expressions.cpp ---
  Value evaluate(const Expr& e, const ScopeRef& scope);
  Value name(const Expr& e, const Scope& scope);
  Value binary(const Expr& e, const Value& a, const std::string& op, const Value& b);
  bool compare(const Expr& e, const Value& a, const std::string& op, const Value& b);
  Value call(const Expr& e, const ScopeRef& scope);
  Value call_value(const Expr& e, const Value& callee, Arguments& arguments);
  Value call_closure(const Expr& e, const Closure& closure, Arguments& arguments);
  Value builtin(const Expr& e, const std::string& name, Arguments& arguments);
  bool truth(const Expr& e, const Value& value);
  Value attribute(const Expr& e, const Value& object);
  Value subscript(const Expr& e, const Value& object, const std::vector<Value>& index);

  // --- views.cpp ---
  Value slice_tensor(const Expr& e, const View& view, const std::vector<Value>& index);
  Value tensor_method(const Expr& e, const View& view, const std::string& name, Arguments& arguments);
  View whole(uint32_t tensor) const;

  // --- language.cpp ---
  Value language_call(const Expr& e, const std::string& path, Arguments& arguments);
  Value new_tensor(const Expr& e, Arguments& arguments);
  Value fori_loop(const Expr& e, Arguments& arguments);
  uint32_t add_tensor(Tensor tensor, const Place& place);
  /// Whether `path` names something of the low-level form; refuses names that were removed.
  void check_symbol(const Expr& e, const std::string& path) const;

  // --- isa.cpp ---
  void isa_call(const Expr& e, const std::string& name, Arguments& arguments);
  void emit(Instruction instruction, const Place& place);

  // --- places and numbers ---
  Place at(const Expr& e) const { return {text_.source, e.begin, e.end}; }
  Place at(const Stmt& s) const { return {text_.source, s.begin, s.end}; }
  /// Statements and expressions inside each other, calls included: each takes part of the stack.
  struct Nested {
    Nested(Evaluator& evaluator, const Place& place) : nesting(evaluator.nesting_) {
      if (++nesting > 500) refuse(codes::nki_limit, place, "the text nests too deeply");
    }
    ~Nested() { --nesting; }
    int& nesting;
  };
  [[noreturn]] void wrong(const Expr& e, std::string message, std::string help = {}) const {
    refuse(codes::nki_value, at(e), std::move(message), std::move(help));
  }
  int64_t integer(const Place& place, const Value& value, const char* what) const;
  /// Of an address, which the number of a loop on the device may be part of.
  int64_t address(const Place& place, const Value& value, const char* what) const;
  [[noreturn]] void steered(const Place& place, const std::string& what) const;
  std::vector<int64_t> integers(const Place& place, const Value& value, const char* what) const;
  void spend(const Expr& e, int64_t work = 1);

  const Text& text_;
  const Machine& machine_;
  const SpecialiseLimits& limits_;
  Trace trace_;
  std::shared_ptr<Scope> module_ = std::make_shared<Scope>();
  Value returned_;
  std::vector<std::weak_ptr<Scope>> holders_;
  int64_t work_ = 0, hbm_bytes_ = 0;
  int depth_ = 0, nesting_ = 0, no_reorder_ = 0;

  uint32_t static_next_ = 0;
  int32_t epoch_ = 0;
  bool replaying_ = false;  ///< a later iteration of a dynamic loop
};

/// Whether nl or nisa has the name, and the names near it.
bool known_symbol(const std::string& path);

}  // namespace heddle::neuron::sim
