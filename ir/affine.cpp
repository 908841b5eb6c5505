#include "ir/affine.h"

#include <algorithm>
#include <numeric>

namespace heddle::ir {
namespace {

constexpr size_t max_terms = 64;

}  // namespace

bool multiply(Monomial a, Monomial b, Monomial& out) {
  out = 0;
  int i = 0, j = 0;
  for (int place = 0; place < 4; ++place) {
    uint32_t x = i < 4 ? factor(a, i) : 0, y = j < 4 ? factor(b, j) : 0;
    if (!x && !y) return true;
    bool left = x && (!y || x <= y);
    out |= static_cast<Monomial>(left ? x : y) << (48 - 16 * place);
    (left ? i : j) += 1;
  }
  return !(i < 4 && factor(a, i)) && !(j < 4 && factor(b, j));
}

bool divide(Monomial a, Monomial b, Monomial& out) {
  out = 0;
  int j = 0, at = 0;
  for (int i = 0; i < 4 && factor(a, i); ++i) {
    if (j < 4 && factor(b, j) == factor(a, i)) {
      ++j;
      continue;
    }
    out |= static_cast<Monomial>(factor(a, i)) << (48 - 16 * at++);
  }
  return j == 4 || !factor(b, j);
}

int64_t Affine::coefficient(Monomial m) const {
  for (const AffineTerm& t : terms)
    if (t.m == m) return t.c;
  return 0;
}

void Affine::add(int64_t value) { ok &= !__builtin_add_overflow(constant, value, &constant); }

void Affine::scale(int64_t times) {
  ok &= !__builtin_mul_overflow(constant, times, &constant);
  for (AffineTerm& t : terms) ok &= !__builtin_mul_overflow(t.c, times, &t.c);
  if (times == 0) terms.clear();
}

void Affine::add(const Affine& other, int64_t times) {
  if (!other.ok) ok = false;
  if (!ok || times == 0) return;
  int64_t extra = 0;
  ok &= !__builtin_mul_overflow(other.constant, times, &extra);
  add(extra);
  if (other.terms.empty()) return;
  std::vector<AffineTerm> sum;
  sum.reserve(terms.size() + other.terms.size());
  auto a = terms.begin();
  auto b = other.terms.begin();
  while (a != terms.end() || b != other.terms.end()) {
    if (b == other.terms.end() || (a != terms.end() && a->m < b->m)) {
      sum.push_back(*a++);
      continue;
    }
    AffineTerm t{b->m, 0};
    ok &= !__builtin_mul_overflow(b->c, times, &t.c);
    if (a != terms.end() && a->m == b->m) ok &= !__builtin_add_overflow(t.c, (a++)->c, &t.c);
    ++b;
    if (t.c != 0) sum.push_back(t);
  }
  terms = std::move(sum);
  ok &= terms.size() <= max_terms;
}

Affine product(const Affine& a, const Affine& b) {
  if (!a.ok || !b.ok) return Affine::unknown();
  const Affine& longer = a.terms.size() >= b.terms.size() ? a : b;
  const Affine& shorter = a.terms.size() >= b.terms.size() ? b : a;
  Affine out = longer;
  out.scale(shorter.constant);
  for (const AffineTerm& t : shorter.terms) {
    Affine part;
    for (const AffineTerm& u : longer.terms) {
      AffineTerm v;
      if (!multiply(t.m, u.m, v.m) || __builtin_mul_overflow(t.c, u.c, &v.c)) return Affine::unknown();
      part.terms.push_back(v);
    }
    if (longer.constant != 0) {
      AffineTerm v{t.m, 0};
      if (__builtin_mul_overflow(t.c, longer.constant, &v.c)) return Affine::unknown();
      part.terms.push_back(v);
    }
    std::sort(part.terms.begin(), part.terms.end(), [](auto& x, auto& y) { return x.m < y.m; });
    out.add(part);
  }
  return out;
}

Affine difference(const Affine& a, const Affine& b) {
  Affine out = a;
  out.add(b, -1);
  return out;
}

int64_t coefficient_gcd(const Affine& a) {
  uint64_t g = 0;
  for (const AffineTerm& t : a.terms)
    g = std::gcd(g, t.c < 0 ? 0 - static_cast<uint64_t>(t.c) : static_cast<uint64_t>(t.c));
  return g > static_cast<uint64_t>(INT64_MAX) ? 1 : static_cast<int64_t>(g);
}

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

}  // namespace heddle::ir
