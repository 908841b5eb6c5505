// The math functions that a text may call: the rows of ir/math.h.
#include "frontend/check/typing.h"
#include "ir/math.h"

namespace heddle::frontend {

size_t math_arity(const std::string& name) {
  const ir::MathRow* row = ir::find_math(name);
  return row ? static_cast<size_t>(row->arity) : 0;
}
bool math_on_integers(const std::string& name) {
  const ir::MathRow* row = ir::find_math(name);
  return row && row->integers;
}
std::vector<std::string> math_names() {
  std::vector<std::string> names;
  for (const ir::MathRow& row : ir::math_rows()) names.emplace_back(row.name);
  return names;
}

}  // namespace heddle::frontend
