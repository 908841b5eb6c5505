/// How much work statements are, from their loops alone: what decides whether sharing them among threads pays.
#pragma once

#include <optional>
#include <vector>

#include "ir/program.h"
#include "ir/prove.h"

namespace heddle::host {

/// Vector operations: `operations` times the product of `trips`, expressions over what is known outside the statements.
struct Effort {
  double operations = 0;
  std::vector<ir::Expr> trips;
};

/// Of all leaves and calls below `s`, each loop at its longest; none where a trip count reads data or cannot be written outside.
std::optional<std::vector<Effort>> effort_of(const ir::Program& program, const ir::StmtRef& s, const ir::Facts& facts);

}  // namespace heddle::host
