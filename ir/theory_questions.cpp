// What follows from a theory: the rows connected with a question, products of rows where it speaks of products, one run of
// Fourier-Motzkin, and if that does not do, the same in each case of a split.
#include <algorithm>

#include "ir/fourier_motzkin.h"
#include "ir/theory.h"
#include "support/stop.h"

namespace heddle::ir {
namespace {

constexpr size_t max_splits = 4;
constexpr int max_runs = 40;           // of Fourier-Motzkin for one question
constexpr size_t max_given_rows = 40;  // the rest of its 64 is for products
constexpr int max_products = 24;
constexpr size_t max_joint_terms = 6;      // of a question that is not first tried term by term
constexpr uint64_t fact_split = 1u << 20;  // past every atom number

template <class F>
void each_factor(const Affine& a, F f) {
  for (const AffineTerm& t : a.terms)
    for (int place = 0; place < 4 && factor(t.m, place); ++place) f(factor(t.m, place));
}

int degree(Monomial m) {
  int count = 0;
  while (count < 4 && factor(m, count)) ++count;
  return count;
}

Affine negative(Affine a) {
  a.scale(-1);
  return a;
}

Affine less_one(Affine a) {
  a.add(-1);
  return a;
}

}  // namespace

// What one run of Fourier-Motzkin looks at: rows connected with the question.
struct Theory::System {
  std::vector<Monomial> variables;
  std::vector<const Affine*> rows;
  std::deque<Affine> made;
  std::vector<char> active;     // by atom number
  std::vector<uint32_t> order;  // active atoms
  size_t expanded = 0;          // of `order`, whose own rows are in the pool
  struct Candidate {
    const Affine* row;
    bool used = false;
  };
  std::vector<Candidate> pool;
  bool contradiction = false;

  int column(Monomial m) const {
    auto at = std::find(variables.begin(), variables.end(), m);
    return at == variables.end() ? -1 : static_cast<int>(at - variables.begin());
  }
  int new_variables(const Affine& row) const {
    int count = 0;
    for (const AffineTerm& t : row.terms) count += column(t.m) < 0;
    return count;
  }
  bool touches(const Affine& row) const {
    bool any = false;
    each_factor(row, [&](uint32_t atom) { any = any || (atom < active.size() && active[atom]); });
    return any;
  }
  FourierMotzkin elimination() const {
    FourierMotzkin out(static_cast<int>(variables.size()));
    for (const Affine* row : rows) {
      FourierMotzkin::Row dense;
      dense.k = row->constant;
      for (const AffineTerm& t : row->terms) dense.c[column(t.m)] = t.c;
      out.add(dense);
    }
    return out;
  }
};

void Theory::activate(System& s, const Affine& row) {
  each_factor(row, [&](uint32_t atom) {
    if (s.active.size() <= atom) s.active.resize(std::max<size_t>(atom + 1, context_.atom_count() + 1));
    if (s.active[atom]) return;
    s.active[atom] = 1;
    s.order.push_back(atom);
  });
}

bool Theory::take_row(System& s, const Affine& row) {
  if (row.terms.empty()) {
    s.contradiction |= row.constant < 0;
    return true;
  }
  if (s.variables.size() + s.new_variables(row) > static_cast<size_t>(FourierMotzkin::max_variables)) return false;
  for (const AffineTerm& t : row.terms)
    if (s.column(t.m) < 0) s.variables.push_back(t.m);
  s.rows.push_back(&row);
  return true;
}

// Rows that share atoms with the question, nearest first, those that bring no new variables before others.
void Theory::select(System& s, const Rows& seeds) {
  for (const Affine& seed : seeds)
    if (take_row(s, seed)) activate(s, seed);
  for (const Theory* t = this; t; t = t->base_)
    for (const Affine& row : t->rows_) s.pool.push_back({&row});
  // From n to i < n/8 leads only what n/8 is.
  std::vector<char> defined(context_.atom_count() + 1, 0);
  for (size_t i = 0, facts = s.pool.size(); i < facts; ++i)
    each_factor(*s.pool[i].row, [&](uint32_t atom) {
      if (defined[atom] || (atom < s.active.size() && s.active[atom])) return;
      defined[atom] = 1;
      for (Affine& row : rows_of_atom(atom)) {
        s.made.push_back(std::move(row));
        s.pool.push_back({&s.made.back()});
      }
    });
  std::vector<std::pair<int, size_t>> next;
  for (int round = 0; round < 8 && !s.contradiction; ++round) {
    for (; s.expanded < s.order.size(); ++s.expanded) {
      if (s.order[s.expanded] < defined.size() && defined[s.order[s.expanded]]) continue;
      for (Affine& row : rows_of_atom(s.order[s.expanded])) {
        s.made.push_back(std::move(row));
        s.pool.push_back({&s.made.back()});
      }
    }
    next.clear();
    for (size_t i = 0; i < s.pool.size(); ++i) {
      const Affine& row = *s.pool[i].row;
      if (s.pool[i].used || !(row.terms.empty() || s.touches(row))) continue;
      next.emplace_back(s.new_variables(row), i);
    }
    std::sort(next.begin(), next.end());
    bool changed = false;
    for (const auto& [fresh, i] : next) {
      if (s.rows.size() >= max_given_rows || !take_row(s, *s.pool[i].row)) continue;
      s.pool[i].used = changed = true;
      activate(s, *s.pool[i].row);
    }
    if (!changed) break;
  }
}

// The bounds of the factors by themselves: from 0 <= q < cg also 1 <= cg, which a product needs.
void Theory::bound_factors(System& s, const std::vector<Monomial>& targets) {
  FourierMotzkin all = s.elimination();
  for (size_t v = 0, count = s.variables.size(); v < count; ++v) {
    Monomial x = s.variables[v], rest = 0;
    bool used =
        is_linear(x) && std::any_of(targets.begin(), targets.end(), [&](Monomial m) { return divide(m, x, rest); });
    if (!used) continue;
    FourierMotzkin one = all;
    for (const FourierMotzkin::Row& found : one.project(static_cast<int>(v))) {
      if (s.rows.size() >= static_cast<size_t>(FourierMotzkin::max_rows)) return;
      Affine row(found.k);
      row.terms.push_back({x, found.c[v]});
      s.made.push_back(std::move(row));
      s.rows.push_back(&s.made.back());
    }
  }
}

// An atom held between equal bounds is that number inside products too: cols >= 0 and cols <= 0 make rows*cols 0.
void Theory::pin_factors(System& s) {
  size_t given = s.rows.size();
  auto pinned = [&](uint32_t atom, int64_t& value) {
    bool low = false, high = false;
    int64_t lo = 0, hi = 0;
    for (size_t i = 0; i < given; ++i) {
      const Affine& row = *s.rows[i];
      if (row.terms.size() != 1 || row.terms[0].m != monomial_of(atom) || row.constant == INT64_MIN) continue;
      if (row.terms[0].c == 1) lo = low ? std::max(lo, -row.constant) : -row.constant, low = true;
      if (row.terms[0].c == -1) hi = high ? std::min(hi, row.constant) : row.constant, high = true;
    }
    value = lo;
    return low && high && lo == hi;
  };
  for (size_t i = 0; i < given && s.rows.size() < static_cast<size_t>(FourierMotzkin::max_rows); ++i) {
    Affine row = *s.rows[i];
    bool changed = false;
    for (const AffineTerm& t : s.rows[i]->terms) {
      if (is_linear(t.m)) continue;
      for (int place = 0; place < 4 && factor(t.m, place); ++place) {
        int64_t value = 0;
        AffineTerm rest{0, t.c};
        if (!pinned(factor(t.m, place), value) || !divide(t.m, monomial_of(factor(t.m, place)), rest.m)) continue;
        Affine whole, part;
        whole.terms.push_back(t);
        part.terms.push_back(rest);
        row.add(whole, -1);
        row.add(part, value);
        changed = true;
        break;
      }
    }
    if (!changed || !row.ok) continue;
    s.made.push_back(std::move(row));
    take_row(s, s.made.back());
  }
}

// Products of two rows that speak only of products already present: (g - 1 - r >= 0) * (cg >= 0) relates r*cg to g*cg.
void Theory::add_products(System& s) {
  std::vector<Monomial> targets;
  for (Monomial m : s.variables)
    if (!is_linear(m)) targets.push_back(m);
  if (targets.empty()) return;
  // A product of three is reached over products of two.
  for (size_t i = 0, count = targets.size(); i < count; ++i)
    for (int place = 0; place < 4 && factor(targets[i], 2); ++place) {
      Monomial part = 0;
      if (!factor(targets[i], place) || !divide(targets[i], monomial_of(factor(targets[i], place)), part)) continue;
      if (s.column(part) >= 0 || s.variables.size() >= static_cast<size_t>(FourierMotzkin::max_variables)) continue;
      s.variables.push_back(part);
      targets.push_back(part);
    }
  std::sort(targets.begin(), targets.end(),
            [](Monomial a, Monomial b) { return std::pair(degree(a), a) < std::pair(degree(b), b); });
  bound_factors(s, targets);
  pin_factors(s);
  auto wanted = [&](const Affine& row) {
    return std::all_of(row.terms.begin(), row.terms.end(), [&](const AffineTerm& t) { return s.column(t.m) >= 0; });
  };
  auto has = [](const Affine& row, Monomial m) { return row.coefficient(m) != 0; };
  std::vector<std::pair<const Affine*, const Affine*>> done;
  int made = 0, tries = 0;
  for (Monomial target : targets) {
    for (int place = 0; place < 4 && factor(target, place); ++place) {
      Monomial x = monomial_of(factor(target, place)), y = 0;
      if (!divide(target, x, y)) continue;
      const size_t given = s.rows.size();
      for (size_t i = 0; i < given; ++i) {
        if (!has(*s.rows[i], x)) continue;
        for (size_t j = 0; j < given; ++j) {
          if (!has(*s.rows[j], y) || ++tries > 400 || made >= max_products) continue;
          auto pair = std::minmax(s.rows[i], s.rows[j]);
          if (std::find(done.begin(), done.end(), std::pair(pair.first, pair.second)) != done.end()) continue;
          done.emplace_back(pair.first, pair.second);
          Affine row = product(*s.rows[i], *s.rows[j]);
          if (!row.ok || !wanted(row)) continue;
          s.made.push_back(std::move(row));
          take_row(s, s.made.back());
          ++made;
        }
      }
    }
  }
}

// Whether no point satisfies the facts and the seeds, trying splits until they or the runs are spent.
bool Theory::refute(const Rows& seeds, std::vector<uint64_t>& spent, int& runs) {
  int64_t bound = 0;
  return bound_above(seeds, 0, spent, runs, bound) && bound == INT64_MIN;
}

// An upper bound of a monomial under the facts and the seeds (INT64_MIN when they contradict each other); of no monomial
// (0): true only for a contradiction.
bool Theory::bound_above(const Rows& seeds, Monomial target, std::vector<uint64_t>& spent, int& runs, int64_t& bound) {
  bound = INT64_MIN;
  stop_point();
  if (--runs < 0) return false;
  System s;
  select(s, seeds);
  if (s.contradiction) return true;
  add_products(s);
  if (target != 0 && s.column(target) < 0) return false;
  FourierMotzkin elimination = s.elimination();
  if (target == 0 ? elimination.contradictory() : elimination.upper_bound(s.column(target), bound)) return true;
  if (spent.size() >= max_splits) return false;

  auto free = [&](uint64_t id) { return std::find(spent.begin(), spent.end(), id) == spent.end(); };
  Split chosen;
  for (uint32_t atom : s.order) {
    Atom::Kind kind = context_.atom(atom).kind;
    if (kind != Atom::Kind::minimum && kind != Atom::Kind::maximum && kind != Atom::Kind::choice) continue;
    if (!free(atom)) continue;
    chosen = split_atom(atom);
    break;
  }
  uint64_t id = fact_split;
  for (const Theory* t = this; t && !chosen.id; t = t->base_)
    for (const Split& split : t->splits_) {
      ++id;
      bool near = false;
      for (const Rows& rows : split.alternatives)
        for (const Affine& row : rows) near = near || s.touches(row);
      if (!near || !free(id)) continue;
      chosen = split;
      chosen.id = id;
      break;
    }
  if (!chosen.id) return false;
  spent.push_back(chosen.id);
  bool all = true;
  for (const Rows& alternative : chosen.alternatives) {
    Rows more = seeds;
    more.insert(more.end(), alternative.begin(), alternative.end());
    int64_t here = INT64_MIN;
    all = bound_above(more, target, spent, runs, here);
    if (!all) break;
    bound = std::max(bound, here);
  }
  spent.pop_back();
  return all;
}

// a >= 0 by what rows say of each term alone. A sum over more loops than an elimination has variables for is shown like this.
bool Theory::term_by_term(const Affine& a) const {
  int64_t least = a.constant;
  for (const AffineTerm& term : a.terms) {
    const int64_t sign = term.c < 0 ? -1 : 1;
    bool found = false;
    int64_t best = 0;  // of sign * the monomial
    for (const Theory* t = this; t; t = t->base_)
      for (const Affine& row : t->rows_) {
        if (row.terms.size() != 1 || row.terms[0].m != term.m || row.terms[0].c != sign || row.constant == INT64_MIN)
          continue;
        best = found ? std::max(best, -row.constant) : -row.constant;
        found = true;
      }
    int64_t part = 0;
    if (!found || term.c == INT64_MIN || __builtin_mul_overflow(term.c * sign, best, &part) ||
        __builtin_add_overflow(least, part, &least))
      return false;
  }
  return least >= 0;
}

bool Theory::proves(const Affine& a) {
  if (!a.ok) return false;
  if (a.is_constant()) return a.constant >= 0;
  for (const Theory* t = this; t; t = t->base_)
    for (const Affine& row : t->rows_)
      if (row.constant <= a.constant && row.terms == a.terms) return true;
  if (a.terms.size() > max_joint_terms && term_by_term(a)) return true;
  Affine not_a = less_one(negative(a));
  if (!not_a.ok) return false;
  std::vector<uint64_t> spent;
  int runs = max_runs;
  return refute({not_a}, spent, runs);
}

bool Theory::contradictory() {
  std::vector<const Affine*> all;
  for (const Theory* t = this; t; t = t->base_)
    for (const Affine& row : t->rows_) all.push_back(&row);
  int runs = max_runs;
  std::vector<char> seen;
  std::vector<uint64_t> spent;
  for (const Affine* row : all) {
    if (row->terms.empty() && row->constant < 0) return true;
    // One run covers what is connected with its seed; the next starts from an atom not yet looked at.
    bool covered = !row->terms.empty();
    each_factor(*row, [&](uint32_t atom) {
      if (seen.size() <= atom) seen.resize(atom + 1);
      covered = covered && seen[atom];
    });
    if (covered || row->terms.empty()) continue;
    if (runs <= 0) return false;
    const Rows seeds{*row};
    if (refute(seeds, spent, runs)) return true;
    System s;
    select(s, seeds);
    for (const Affine* used : s.rows)
      each_factor(*used, [&](uint32_t atom) {
        if (seen.size() <= atom) seen.resize(atom + 1);
        seen[atom] = 1;
      });
  }
  return false;
}

bool Theory::upper_bound(const Affine& a, int64_t& bound) {
  if (!a.ok) return false;
  bound = a.constant;
  if (a.is_constant()) return true;
  uint32_t t = context_.fresh();
  Affine under = difference(a, Affine::of(t));
  std::vector<uint64_t> spent;
  int runs = max_runs;
  return under.ok && bound_above({under}, monomial_of(t), spent, runs, bound) && bound != INT64_MIN;
}

}  // namespace heddle::ir
