#include "ir/layout.h"

#include "ir/visit.h"

namespace heddle::ir {

bool folds(const Buffer& buffer, size_t dim) {
  if (!buffer.layout || dim >= buffer.layout->from.size()) return false;
  const SymbolId from = buffer.layout->from[dim];
  bool kept = false;
  for (const Expr& to : buffer.layout->to)
    walk(to, [&](const Expr& e) {
      const Binary* b = e.as<Binary>();
      if (b && b->op == BinaryOp::mod && mentions(b->left, from)) return false;
      if (const Var* v = e.as<Var>()) kept |= v->symbol == from;
      return true;
    });
  return !kept;
}

int64_t folded_places(const Buffer& buffer, size_t dim) {
  if (!folds(buffer, dim)) return 0;
  bool used = false;
  for (const Expr& to : buffer.layout->to) {
    used |= mentions(to, buffer.layout->from[dim]);
    const Binary* b = to.as<Binary>();
    const Var* v = b && b->op == BinaryOp::mod ? b->left.as<Var>() : nullptr;
    const int64_t* places = v && v->symbol == buffer.layout->from[dim] ? constant_value(b->right) : nullptr;
    if (places) return *places;
  }
  return used ? 0 : 1;  // `i % 1` is 0
}

bool folds(const Buffer& buffer) {
  for (size_t d = 0; d < buffer.box.size(); ++d)
    if (folds(buffer, d)) return true;
  return false;
}

}  // namespace heddle::ir
