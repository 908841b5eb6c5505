// Affine normal form: integer combinations of products of atoms. An atom is a symbol, or something the arithmetic does not look
// into: a load, a division, a minimum, an `if`. Shared by the prover, `simplify` and the bounds.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "ir/expr.h"

namespace heddle::ir {

/// A product of at most four atoms: their numbers (from 1) in 16 bits each, ascending, the first in the highest bits; 0 is the
/// empty product. Atoms are numbered as first seen, so ascending monomials keep the order in which the user wrote terms.
using Monomial = uint64_t;

/// The atom at place 0..3 of a monomial; 0 when there is none.
inline uint32_t factor(Monomial m, int place) { return static_cast<uint32_t>(m >> (48 - 16 * place)) & 0xFFFF; }
inline Monomial monomial_of(uint32_t atom) { return static_cast<Monomial>(atom) << 48; }
inline bool is_linear(Monomial m) { return (m & 0xFFFF'FFFF'FFFFull) == 0; }
/// False past four factors.
bool multiply(Monomial a, Monomial b, Monomial& out);
/// a / b when b divides a.
bool divide(Monomial a, Monomial b, Monomial& out);

struct AffineTerm {
  Monomial m = 0;
  int64_t c = 0;
  bool operator==(const AffineTerm&) const = default;
};

/// sum c*m + constant. Not `ok` after an overflow, past four factors or 64 terms: then nothing is known about it, and every
/// result made of it is not ok either.
struct Affine {
  std::vector<AffineTerm> terms;  ///< ascending by monomial, no zero coefficients
  int64_t constant = 0;
  bool ok = true;

  Affine() = default;
  explicit Affine(int64_t value) : constant(value) {}
  static Affine of(uint32_t atom) {
    Affine a;
    a.terms.push_back({monomial_of(atom), 1});
    return a;
  }
  static Affine unknown() {
    Affine a;
    a.ok = false;
    return a;
  }
  bool is_constant() const { return ok && terms.empty(); }
  bool is_zero() const { return is_constant() && constant == 0; }
  int64_t coefficient(Monomial m) const;
  bool operator==(const Affine&) const = default;

  void add(const Affine& other, int64_t times = 1);
  void add(int64_t value);
  void scale(int64_t times);
};
Affine product(const Affine& a, const Affine& b);
Affine difference(const Affine& a, const Affine& b);

/// Greatest common divisor of the coefficients (not the constant); 0 when there are no terms.
int64_t coefficient_gcd(const Affine& a);
int64_t floor_div(int64_t a, int64_t b);  ///< b > 0

struct Atom {
  enum class Kind : uint8_t {
    symbol,    ///< expr
    opaque,    ///< expr: a load, a conversion, a call, a division by what may be zero
    quotient,  ///< floor(a / divisor), divisor > 0 constant
    floor_by,  ///< floor(a / b), b known to be positive
    minimum,   ///< min(a, b)
    maximum,
    choice,  ///< if expr then a else b
  };
  Kind kind = Kind::opaque;
  Expr expr;
  Affine a, b;
  int64_t divisor = 0;
  bool ceil = false;  ///< a quotient that was written as a ceildiv
  int size = 1;       ///< nodes of the tree that it rebuilds to, counting shared parts each time
};

/// What the owner of a context knows about values; the defaults know nothing.
class AffineOracle {
 public:
  virtual ~AffineOracle() = default;
  virtual bool positive(const Affine&) { return false; }
  virtual bool nonnegative(const Affine&) { return false; }
  /// The condition in its normal form, possibly a constant.
  virtual Expr condition(const Expr& e) { return e; }
};

/// Converts between expressions and affine forms, over one numbering of atoms.
class AffineContext {
 public:
  /// With a base, its atoms and definitions stay valid here under their numbers; it must outlive this context and not grow.
  explicit AffineContext(AffineOracle* oracle, const AffineContext* base = nullptr);

  /// Of an index expression, or of an integer one that is a constant, a variable or a load (data arithmetic wraps, so it is opaque).
  Affine convert(const Expr& e);
  Expr rebuild(const Affine& a);
  /// The same expression with its index parts in normal form.
  Expr normal_parts(const Expr& e);

  uint32_t atom_count() const { return first_ + static_cast<uint32_t>(own_.size()); }  ///< numbers 1 .. atom_count()
  const Atom& atom(uint32_t number) const;
  uint32_t fresh();  ///< an atom equal to no other
  /// Whether the symbol occurs in the form, also inside atoms.
  bool mentions(const Affine& a, SymbolId symbol) const;
  bool mentions(uint32_t number, SymbolId symbol) const;

  /// From here on, `symbol` stands for `value`. Refused (false) when that would be circular.
  bool define(SymbolId symbol, const Expr& value);
  /// Converts all definitions once more, with all that is known by now; needed before this context becomes a base.
  void settle_definitions();

  /// A division or modulo by something not known to be positive was met since this was last cleared.
  bool met_unknown_divisor = false;
  /// Where known to be positive, e % s becomes e - s*floor(e / s); else, and in `simplify`, it stays a % atom.
  bool expand_symbolic_mod = false;

 private:
  struct Definition {
    SymbolId symbol;
    Expr value;
    Affine memo;
    bool known = false;
  };
  uint32_t intern(Atom atom);
  const Atom* find(SymbolId symbol, uint32_t& number) const;
  Affine convert_var(const Expr& e, SymbolId symbol);
  Affine convert_binary(const Expr& e, const Binary& b);
  Affine divide_by(const Expr& e, BinaryOp op, Affine a, const Affine& b);
  Affine quotient(Affine a, int64_t d, bool ceil);
  /// 0 <= a < end, as far as the oracle knows.
  bool inside(const Affine& a, int64_t end);
  Affine by_symbol(const Expr& e, BinaryOp op, const Affine& a, const Affine& b);
  Affine pick(bool minimum, Affine a, Affine b);
  Affine opaque(const Expr& e);
  Expr rebuild_atom(const Atom& atom);
  Expr rebuild_monomial(Monomial m, int64_t c);
  struct Piece {
    Expr value;
    bool negative = false;
  };
  bool take_mod(Affine& a, std::vector<Piece>& pieces);

  AffineOracle* oracle_;
  const AffineContext* base_;
  uint32_t first_ = 0;
  std::vector<Atom> own_;
  std::vector<Definition> definitions_;
  int budget_ = 20'000;  ///< nodes; what is larger is unknown
};

}  // namespace heddle::ir
