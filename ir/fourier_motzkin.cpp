#include "ir/fourier_motzkin.h"

#include <algorithm>
#include <numeric>

namespace heddle::ir {
namespace {

uint64_t magnitude(int64_t x) { return x < 0 ? 0 - static_cast<uint64_t>(x) : static_cast<uint64_t>(x); }

int64_t floored(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

}  // namespace

void FourierMotzkin::add(Row row) {
  uint64_t g = 0;
  for (int v = 0; v < variables_; ++v) g = std::gcd(g, magnitude(row.c[v]));
  if (g == 0) {
    contradiction_ |= row.k < 0;
    return;
  }
  if (g > 1 && g <= static_cast<uint64_t>(INT64_MAX)) {
    for (int v = 0; v < variables_; ++v) row.c[v] /= static_cast<int64_t>(g);
    row.k = floored(row.k, static_cast<int64_t>(g));
  }
  for (Row& other : rows_) {
    int first = 0;
    while (row.c[first] == 0) ++first;
    if (other.c[first] == row.c[first]) {
      if (other.c != row.c) continue;
      other.k = std::min(other.k, row.k);
      return;
    }
    if (other.c[first] != -row.c[first]) continue;
    bool opposite = true;
    for (int v = 0; v < variables_ && opposite; ++v) opposite = other.c[v] == -row.c[v];
    int64_t gap = 0;
    if (opposite && !__builtin_add_overflow(other.k, row.k, &gap) && gap < 0) contradiction_ = true;
  }
  if (rows_.size() < static_cast<size_t>(max_rows)) rows_.push_back(row);
}

// Two rows that make an equality with a coefficient of 1 give that variable exactly. Done first: the gcd of what is left
// then tightens more (from m = 6*q and m + 5 >= 6*p follows q >= p).
bool FourierMotzkin::substitute_equality(int keep) {
  for (size_t i = 0; i < rows_.size(); ++i)
    for (size_t j = i + 1; j < rows_.size(); ++j) {
      if (rows_[i].k == INT64_MIN || rows_[j].k != -rows_[i].k) continue;
      int unit = -1;
      bool opposite = true;
      for (int v = 0; v < variables_ && opposite; ++v) {
        opposite = rows_[i].c[v] != INT64_MIN && rows_[j].c[v] == -rows_[i].c[v];
        if (v != keep && (rows_[i].c[v] == 1 || rows_[i].c[v] == -1)) unit = v;
      }
      if (!opposite || unit < 0) continue;
      const Row equality = rows_[i];
      std::vector<Row> all = std::move(rows_);
      rows_.clear();
      for (size_t r = 0; r < all.size(); ++r) {
        if (r == i || r == j) continue;
        Row row = all[r];
        int64_t times = 0;
        bool fits = !__builtin_mul_overflow(row.c[unit], -equality.c[unit], &times);
        auto combine = [&](int64_t& to, int64_t from) {
          int64_t x = 0;
          fits = fits && !__builtin_mul_overflow(from, times, &x) && !__builtin_add_overflow(to, x, &to);
        };
        if (times != 0) combine(row.k, equality.k);
        for (int v = 0; v < variables_ && times != 0; ++v) combine(row.c[v], equality.c[v]);
        if (fits) add(row);
      }
      return true;
    }
  return false;
}

// The variable whose elimination adds the fewest rows; -1 when none (but `keep`) is left. In order of `steps`, among those with the
// least coefficients: what is left speaks of multiples, and the gcd tightens more (from 8*p <= n + 7 and n <= 16*q follows p <= 2*q).
int FourierMotzkin::cheapest(int keep, Order order) const {
  int best = -1;
  std::pair<uint64_t, long> best_cost;
  for (int v = 0; v < variables_; ++v) {
    if (v == keep) continue;
    long up = 0, down = 0;
    uint64_t step = 0;
    for (const Row& r : rows_) {
      up += r.c[v] > 0;
      down += r.c[v] < 0;
      if (order == Order::steps) step = std::max(step, magnitude(r.c[v]));
    }
    if (up + down == 0) continue;
    const std::pair<uint64_t, long> cost(step, up * down - up - down);
    if (best < 0 || cost < best_cost) {
      best = v;
      best_cost = cost;
    }
  }
  return best;
}

void FourierMotzkin::eliminate(int v) {
  std::vector<Row> up, down;
  std::vector<Row> all = std::move(rows_);
  rows_.clear();
  for (Row& r : all) {
    if (r.c[v] > 0) up.push_back(r);
    else if (r.c[v] < 0) down.push_back(r);
    else rows_.push_back(r);
  }
  for (const Row& a : up)
    for (const Row& b : down) {
      int64_t g = static_cast<int64_t>(std::gcd(magnitude(a.c[v]), magnitude(b.c[v])));
      if (g <= 0 || b.c[v] == INT64_MIN) continue;
      int64_t times_a = -b.c[v] / g, times_b = a.c[v] / g;
      Row sum;
      int64_t x = 0, y = 0;
      bool fits = true;
      auto combine = [&](int64_t p, int64_t q, int64_t& out) {
        fits &= !__builtin_mul_overflow(p, times_a, &x) && !__builtin_mul_overflow(q, times_b, &y) &&
                !__builtin_add_overflow(x, y, &out);
      };
      combine(a.k, b.k, sum.k);
      for (int u = 0; u < variables_ && fits; ++u) combine(a.c[u], b.c[u], sum.c[u]);
      if (fits) add(sum);
      if (contradiction_) return;
    }
}

void FourierMotzkin::eliminate_all(int keep, Order order) {
  while (!contradiction_) {
    if (substitute_equality(keep)) continue;
    int v = cheapest(keep, order);
    if (v < 0) return;
    eliminate(v);
  }
}

bool FourierMotzkin::contradictory() {
  FourierMotzkin again = *this;
  eliminate_all(-1, Order::rows);
  if (contradiction_) return true;
  again.eliminate_all(-1, Order::steps);
  return again.contradiction_;
}

bool FourierMotzkin::upper_bound(int variable, int64_t& bound) {
  eliminate_all(variable, Order::rows);
  bound = INT64_MIN;
  if (contradiction_) return true;
  bool found = false;
  for (const Row& r : rows_) {
    if (r.c[variable] >= 0 || r.c[variable] == INT64_MIN) continue;
    int64_t here = floored(r.k, -r.c[variable]);
    bound = found ? std::min(bound, here) : here;
    found = true;
  }
  return found;
}

std::vector<FourierMotzkin::Row> FourierMotzkin::project(int variable) {
  eliminate_all(variable, Order::rows);
  return contradiction_ ? std::vector<Row>{} : rows_;
}

}  // namespace heddle::ir
