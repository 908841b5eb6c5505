// Fourier-Motzkin elimination over integers: rows sum c*x + k >= 0, tightened by the gcd of their coefficients.
// What does not fit (16 variables, 64 rows, 64-bit coefficients) is dropped: fewer rows show less, never more.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace heddle::ir {

class FourierMotzkin {
 public:
  static constexpr int max_variables = 16;
  static constexpr int max_rows = 64;

  struct Row {
    int64_t k = 0;
    std::array<int64_t, max_variables> c{};
  };

  explicit FourierMotzkin(int variables) : variables_(variables) {}
  void add(Row row);
  /// Whether no integer point (indeed no rational one, up to tightening) satisfies the rows.
  bool contradictory();
  /// The least known upper bound of one variable; false when none is found. Contradictory rows bound by INT64_MIN.
  bool upper_bound(int variable, int64_t& bound);
  /// What follows for one variable alone: rows in it.
  std::vector<Row> project(int variable);

 private:
  enum class Order { rows, steps };  // by the number of rows that are left, or by the variables' coefficients

  void eliminate_all(int keep, Order order);
  bool substitute_equality(int keep);
  int cheapest(int keep, Order order) const;
  void eliminate(int v);

  int variables_;
  bool contradiction_ = false;
  std::vector<Row> rows_;
};

}  // namespace heddle::ir
