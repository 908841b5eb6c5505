// A compiled expression: one indirect call for each node. std::function costs a second one and copies what it captures.
#pragma once

#include <memory>
#include <utility>

namespace heddle::ir::interpreter {

template <class V, class Context>
class Closure {
 public:
  Closure() = default;
  template <class F>
    requires(!std::is_same_v<std::decay_t<F>, Closure>)
  explicit Closure(F f) : code_(std::make_unique<Code<F>>(std::move(f))) {}

  bool known() const { return code_ != nullptr; }
  V operator()(Context& context) const { return code_->run(context); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual V run(Context& context) const = 0;
  };
  template <class F>
  struct Code final : Base {
    explicit Code(F code) : f(std::move(code)) {}
    V run(Context& context) const override { return f(context); }
    F f;
  };
  std::unique_ptr<const Base> code_;
};

}  // namespace heddle::ir::interpreter
