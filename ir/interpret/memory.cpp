#include "ir/interpret/memory.h"

namespace heddle::ir::interpreter {

bool Tasks::unordered(Id a, Id b) const {
  uint32_t at_a = depth(a), at_b = depth(b);
  for (; at_a > at_b; --at_a) a = row(a).parent;
  for (; at_b > at_a; --at_b) b = row(b).parent;
  if (a == b) return false;  // one encloses the other
  while (row(a).parent != row(b).parent) {
    a = row(a).parent;
    b = row(b).parent;
  }
  return row(a).loop == row(b).loop;
}

int64_t cell_count(const std::vector<int64_t>& extents, int64_t limit) {
  int64_t count = 1;
  for (int64_t e : extents)
    if (e == 0) return 0;
  for (int64_t e : extents)
    if (__builtin_mul_overflow(count, e, &count) || count > limit) return -1;
  return count;
}

}  // namespace heddle::ir::interpreter
