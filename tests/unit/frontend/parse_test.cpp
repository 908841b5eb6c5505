#include "frontend/parse.h"

#include <gtest/gtest.h>

#include <thread>

#include "support/limits.h"
#include "support/words.h"

namespace heddle::frontend {
namespace {

using namespace ast;

struct Seen {
  std::string code;
  int line, column;
  bool operator==(const Seen&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Seen& s) {
  return out << s.code << " at " << s.line << ":" << s.column;
}

std::vector<Seen> errors_of(const std::string& text) {
  auto module = parse(Source::make("t.hd", text));
  std::vector<Seen> out;
  if (module) return out;
  for (const Diagnostic& d : module.errors()) {
    auto at = d.place.source->at(d.place.begin);
    out.push_back({d.code, at.line, at.column});
  }
  return out;
}

Diagnostic first_error(const std::string& text) {
  auto module = parse(Source::make("t.hd", text));
  return module ? Diagnostic{} : module.errors().front();
}

Module module_of(const std::string& text) {
  auto module = parse(Source::make("t.hd", text));
  EXPECT_TRUE(module.ok()) << (module.ok() ? "" : render(module.errors()));
  return module ? *module : Module{};
}

/// The tree of an expression with all its grouping written out.
std::string shape(const ExprRef& e);
std::string shape(const Entries& all) {
  std::string out;
  for (const Entry& e : all) {
    out += out.empty() ? "" : ", ";
    if (e.target) out += e.target->path.text() + "=";
    if (e.bound) out += e.bound->text + " in ";
    if (e.kind == Entry::Kind::pack) out += "..." + e.pack.text;
    if (e.value) out += shape(e.value);
    if (e.hi) out += " .. " + shape(e.hi);
    if (e.max) out += " <= " + shape(e.max);
  }
  return out;
}
std::string shape(const ExprRef& e) {
  static const char* const names[] = {"+", "-",  "*",  "/", "%",  "<<", ">>", "&",  "|",
                                      "^", "==", "!=", "<", "<=", ">",  ">=", "&&", "||"};
  if (auto* x = e->as<Literal>()) return x->text;
  if (auto* x = e->as<Read>()) {
    std::string out = x->ref.path.text();
    if (x->ref.subscripted) out += "[" + shape(x->ref.subs) + "]";
    if (x->ref.field) out += "." + x->ref.field->text;
    if (x->ref.field_subscripted) out += "[" + shape(x->ref.field_subs) + "]";
    return x->otherwise ? "{" + out + " or " + shape(x->otherwise) + "}" : out;
  }
  if (auto* x = e->as<Call>()) return x->callee.text() + "(" + shape(x->args) + ")";
  if (auto* x = e->as<Tuple>()) return "(" + shape(x->entries) + ")";
  if (auto* x = e->as<List>()) return "[" + shape(x->entries) + "]";
  if (auto* x = e->as<Unary>()) return "{" + std::string(1, "-!~"[int(x->op)]) + shape(x->value) + "}";
  if (auto* x = e->as<Binary>()) return "{" + shape(x->left) + " " + names[int(x->op)] + " " + shape(x->right) + "}";
  auto* x = e->as<If>();
  return "{if " + shape(x->condition) + " then " + shape(x->yes) + " else " + shape(x->no) + "}";
}
std::string shape_of(const std::string& text) {
  auto e = parse_expression(Source::make("e", text));
  return e ? shape(*e) : render(e.errors());
}

const OpItem& op_of(const Module& m) { return std::get<OpItem>(m.items.at(0).form); }
Equation equation_of(const std::string& text) {
  Module m = module_of("op f() { " + text + " }");
  return std::get<Equation>(op_of(m).body.at(0).form);
}

// Expressions ---------------------------------------------------------------------------------------------------------

TEST(Words, ReservedOnesAreNoNames) {
  const auto as_name = [](const std::string& word) {
    return parse(Source::make("t.hd", "op f(" + word + ": f32[n]) -> y: f32[n] { y[i] = " + word + "[i] }")).ok();
  };
  for (std::string_view word : reserved_words) EXPECT_FALSE(as_name(std::string(word))) << word;
  for (const char* word : {"out", "alloc", "layout", "of", "on", "for", "check", "reverse", "step", "to_"})
    EXPECT_TRUE(as_name(word)) << word;
}

TEST(Expressions, GroupByPrecedence) {
  EXPECT_EQ(shape_of("a + b * c - d"), "{{a + {b * c}} - d}");
  EXPECT_EQ(shape_of("a || b && c == d | e ^ f & g << h + i * -j"),
            "{a || {b && {c == {d | {e ^ {f & {g << {h + {i * {-j}}}}}}}}}}");
  EXPECT_EQ(shape_of("(a + b) * c"), "{{a + b} * c}");
  EXPECT_EQ(shape_of("!a && ~b == c"), "{{!a} && {{~b} == c}}");
  EXPECT_EQ(shape_of("if a < b then c else if d then e else f + 1"),
            "{if {a < b} then c else {if d then e else {f + 1}}}");
}

TEST(Expressions, OrBindsTightest) {
  EXPECT_EQ(shape_of("x[i - 1] or 0 * k[u]"), "{{x[{i - 1}] or 0} * k[u]}");
  EXPECT_EQ(shape_of("x[i] or y[i] or -1"), "{x[i] or {y[i] or {-1}}}");
}

TEST(Expressions, ReadsCallsAndTuples) {
  EXPECT_EQ(shape_of("st[...r].o[e] + a.m"), "{st[...r].o[e] + a.m}");
  EXPECT_EQ(shape_of("saturate(i8, round_even(x[b, (r, q), i*2]))"), "saturate(i8, round_even(x[b, (r, q), {i * 2}]))");
  EXPECT_EQ(shape_of("acc[0 .. min(16, m) <= 16, j in 0..4]"), "acc[0 .. min(16, m) <= 16, j in 0 .. 4]");
  EXPECT_EQ(shape_of("y@tail.ri + y@*.ri"), "{y@tail.ri + y@*.ri}");
  EXPECT_EQ(shape_of("0..i"), "e:1:2: error[HD0011]: expected the end of the text, found `..`\n  1 | 0..i\n    |  ^\n");
}

TEST(Expressions, PlacesAreExact) {
  auto e = parse_expression(Source::make("e", "  \xC3\xA9"));
  ASSERT_FALSE(e);
  EXPECT_EQ(e.errors()[0].place.begin, 2u);
  auto sum = parse_expression(Source::make("e", " (a + bb) * c "));
  ASSERT_TRUE(sum);
  EXPECT_EQ((*sum)->place.text(), "(a + bb) * c");
  EXPECT_EQ((*sum)->as<Binary>()->left->place.text(), "(a + bb)");
}

// Statements ----------------------------------------------------------------------------------------------------------

TEST(RightSides, ReductionBodiesGoToTheEnd) {
  auto shape_of_body = [](const std::string& text) {
    Equation e = equation_of(text);
    EXPECT_TRUE(e.right.reduction.has_value());
    return e.right.reduction->reducer.text() + ": " + shape(e.right.reduction->body);
  };
  EXPECT_EQ(shape_of_body("y = sum[p] a + b"), "sum: {a + b}");
  EXPECT_EQ(shape_of_body("y = sum[p] (a + b) * c"), "sum: {{a + b} * c}");
  EXPECT_EQ(shape_of_body("y = max[j] (-x[j])"), "max: {-x[j]}");
  EXPECT_EQ(shape_of_body("y = sum[j in 0 .. i + 1 where j < 3] x[j] or 0 + 1"), "sum: {{x[j] or 0} + 1}");
  EXPECT_EQ(shape_of_body("y = any[j] !x[j] && z"), "any: {{!x[j]} && z}");
  EXPECT_EQ(shape_of_body("y = sum[j] if a then b else c"), "sum: {if a then b else c}");
  EXPECT_EQ(shape_of_body("y = m.sum[j] 2 * x[j]"), "m.sum: {2 * x[j]}");
}

TEST(RightSides, FieldsOfAUserReducer) {
  Equation e = equation_of("st[i] = online[j where j <= i] (m = z[i, j]*s, l = 1, o[e] = v[j, e])");
  const Reduction& r = *e.right.reduction;
  EXPECT_EQ(r.body, nullptr);
  EXPECT_EQ(shape(r.condition), "{j <= i}");
  ASSERT_EQ(r.fields.size(), 3u);
  EXPECT_EQ(r.fields[2].target->path.text(), "o");
  EXPECT_EQ(r.fields[2].target->subs.size(), 1u);
}

TEST(RightSides, LeftSides) {
  EXPECT_EQ(equation_of("cache[i, g, pos[i] + j, e] <- k[i]").kind, AssignKind::update);
  EXPECT_EQ(shape(equation_of("acc[b in 0..n, (r, o), ...s, i*2] = x[b]").left[0].subs),
            "b in 0 .. n, (r, o), ...s, {i * 2}");
  EXPECT_EQ(equation_of("h, c = lstm(x, w)").left.size(), 2u);
}

TEST(Lines, GoOnWhereTheyCannotEnd) {
  Module m = module_of(
      "op f(x: f32[\nn\n])\n -> y: f32[n]\n{\n  y[i] = x[i] +\n\n 2\n   - 3 // note\n\n\n  let a = 1;; let b = "
      "2;\n}\n");
  ASSERT_EQ(op_of(m).body.size(), 3u);
  EXPECT_EQ(shape(std::get<Equation>(op_of(m).body[0].form).right.value), "{{x[i] + 2} - 3}");
}

TEST(Items, DocCommentsGoToTheNextItem) {
  Module m = module_of("// no\n/// One.\n///  Two\nop f() { }\n\nlet a = 3\n/// Three\nlet b = 4");
  EXPECT_EQ(op_of(m).doc, "One.\n Two");
  EXPECT_EQ(std::get<Let>(m.items[1].form).doc, "");
  EXPECT_EQ(std::get<Let>(m.items[2].form).doc, "Three");
}

TEST(Items, Parameters) {
  Module m = module_of(
      "op f<T: float, U>(inout x: T[m, (g, cg), ...r, n + 1], eps: f32 = 1e-5, const g: int = 1, out: f32[k <= 32]) -> "
      "(y: T[m], z: f32) { }\n"
      "program f.s(in x: f32[n] in dram, out out: f32[n] in dram, s: f32) on cpu/x86-64-v2 allow contract facts (n >= "
      "0) { }");
  const OpItem& op = op_of(m);
  EXPECT_EQ(op.generics[1].cls.text, "any");
  EXPECT_EQ(op.params[0].direction, Direction::inout);
  EXPECT_EQ(shape(op.params[0].type.dims), "m, (g, cg), ...r, {n + 1}");
  EXPECT_EQ(op.params[1].default_value->as<Literal>()->text, "1e-5");
  EXPECT_EQ(op.params[2].direction, Direction::constant);
  EXPECT_EQ(op.params[3].direction, Direction::none);
  EXPECT_EQ(shape(op.params[3].type.dims), "k <= 32");
  EXPECT_FALSE(op.results[1].type.tensor);
  const ProgramItem& p = std::get<ProgramItem>(m.items[1].form);
  EXPECT_EQ(p.params[1].direction, Direction::out);
  EXPECT_EQ(p.params[1].name.text, "out");
  EXPECT_EQ(p.target->text, "cpu/x86-64-v2");
}

TEST(Schedules, StepsAreReadWithoutKnowingThem) {
  auto lines = parse_lines(Source::make(
      "s",
      "split y.r by block into ro, ri with exact\n layout b[i, j] to (j/16, i) with 0; frobnicate\n"
      "if a == 1 { fix n = 4 } else if a == 2 { x y } else { z }\ntune m = 4 in 1 .. 64 by *2 where m < 8"));
  ASSERT_TRUE(lines) << render(lines.errors());
  ASSERT_EQ(lines->size(), 5u);
  const Step& split = std::get<Step>((*lines)[0].form);
  EXPECT_EQ(split.name.text(), "split");
  EXPECT_EQ(shape(split.operands), "y.r");
  ASSERT_EQ(split.prepositions.size(), 3u);
  EXPECT_EQ(split.prepositions[1].word.text, "into");
  EXPECT_EQ(shape(split.prepositions[1].operands), "ro, ri");
  EXPECT_EQ(shape(std::get<Step>((*lines)[1].form).prepositions[0].operands), "({j / 16}, i)");
  const Branch& branch = std::get<Branch>((*lines)[3].form);
  EXPECT_EQ(shape(std::get<Step>(branch.then[0].form).operands), "n=4");
  EXPECT_EQ(std::get<Branch>(branch.otherwise.at(0).form).otherwise.size(), 1u);
  EXPECT_EQ(shape(std::get<Tune>((*lines)[4].form).factor), "2");
  EXPECT_FALSE(parse_schedules(Source::make("s", "op f() { }")));
  EXPECT_TRUE(parse_schedules(Source::make("s", "schedule f.a on cpu { }\nstep s() { }")));
}

TEST(Programs, LeavesAndRegions) {
  Module m = module_of(
      "program f.s() {\n"
      "  stage part(map r in 0 .. n, reduce c in 0 .. m) by sum into part where c < m recomputed\n"
      "  for y@tail.ro in 0 .. 4 pipelined 3 { reduce st[0 .. 4] by online reassociated {\n"
      "    at st(r = 4*ro, j = j) where r < 3 recomputed { st[r] online= (m = z[r], o[e in 0 .. d] = v[e]) } } }\n"
      "  for a.i in 0 .. 4 on partition { }\n"
      "  alloc b: f32[] in l2 layout() -> () pad -inf copies 2\n"
      "  check id[i] < n, \"row\" at i\n}");
  const ProgramBody& body = std::get<ProgramItem>(m.items[0].form).body;
  const StageRow& stage = std::get<StageRow>(body[0].form);
  EXPECT_EQ(stage.axes[1].cls, "reduce");
  EXPECT_EQ(stage.reducer->text, "sum");
  EXPECT_EQ(stage.flags.size(), 1u);
  const For& loop = std::get<For>(body[1].form);
  EXPECT_EQ(loop.loop.text(), "y@tail.ro");
  EXPECT_EQ(shape(loop.stages), "3");
  const ReduceRegion& region = std::get<ReduceRegion>(loop.body[0].form);
  EXPECT_TRUE(region.reassociated);
  const Leaf& leaf = std::get<Leaf>(region.body[0].form);
  EXPECT_TRUE(leaf.recomputed);
  EXPECT_EQ(leaf.assigns[0].reducer.text, "online");
  EXPECT_EQ(shape(leaf.assigns[0].right.value), "(m=z[r], o=v[e])");
  EXPECT_EQ(std::get<For>(body[2].form).axis->text, "partition");
  const Alloc& alloc = std::get<Alloc>(body[3].form);
  EXPECT_EQ(shape(alloc.pad), "{-inf}");
  EXPECT_EQ(shape(alloc.copies), "2");
  EXPECT_EQ(std::get<Check>(body[4].form).coordinates.size(), 1u);
}

// Errors --------------------------------------------------------------------------------------------------------------

TEST(Errors, EveryStatementReportsItsOwn) {
  EXPECT_EQ(errors_of("op f(x: f32[m]) -> y: f32[m] {\n  let a = b c\n  y[i] = x[i]\n  z[i] = * 3\n}\n"
                      "schedule f.s on cpu {\n  split y.r by 4\n  vectorize y.c by\n}\n"),
            (std::vector<Seen>{{"HD0011", 2, 13}, {"HD0011", 4, 10}, {"HD0011", 8, 19}}));
}

TEST(Errors, AHeaderDoesNotHideItsBlock) {
  EXPECT_EQ(errors_of("op f(x f32) {\n  let a = )\n}\nschedule f.s in cpu { split x by }\nopp g() { }\nlet a = 3 4"),
            (std::vector<Seen>{{"HD0011", 1, 7},
                               {"HD0009", 2, 11},
                               {"HD0011", 4, 13},
                               {"HD0011", 4, 33},
                               {"HD0011", 5, 1},
                               {"HD0011", 6, 11}}));
}

TEST(Errors, PrepositionsAndNearWords) {
  Diagnostic d = first_error("schedule f.s on cpu {\n  split y.r bye 4 into a, b\n}");
  EXPECT_EQ(d.message, "unknown preposition `bye`");
  EXPECT_EQ(d.help, "did you mean `by`?");
  EXPECT_EQ(first_error("schedule f.s on cpu { split y.r using 4 }").code, "HD0012");
  EXPECT_EQ(first_error("op f() { y = 1 + if a then b else c }").help, "put `if .. then .. else ..` in parentheses");
  EXPECT_EQ(first_error("opp f() { }").help, "did you mean `op`?");
  EXPECT_EQ(first_error("op f() { requir a > 1, \"t\" }").help, "did you mean `require`?");
  EXPECT_EQ(first_error("op f() { lett a = 1 }").help, "did you mean `let`?");
  EXPECT_EQ(first_error("program p() { for y.i in 0 .. 4 paralel { } }").help, "did you mean `parallel`?");
}

TEST(Errors, BracketsArePaired) {
  Diagnostic d = first_error("op f() {\n  y[i] = (x[i] + 3\n  z[i] = 4\n}");
  EXPECT_EQ(d.code, "HD0009");
  EXPECT_EQ(d.place.source->at(d.place.begin).line, 2);
  EXPECT_EQ(d.place.source->at(d.place.begin).column, 19);
  ASSERT_EQ(d.labels.size(), 1u);
  EXPECT_EQ(d.labels[0].place.source->at(d.labels[0].place.begin).column, 10);
  // A missing brace: reported where the op ends, and the next op is read.
  EXPECT_EQ(errors_of("op f() {\n  y = 1\nop g() { z = 2 3 }"),
            (std::vector<Seen>{{"HD0009", 2, 8}, {"HD0011", 3, 16}}));
  EXPECT_EQ(errors_of("op f() { y = 1 }}"), (std::vector<Seen>{{"HD0009", 1, 17}}));
  EXPECT_EQ(errors_of("op f() { y[i = 1 }"), (std::vector<Seen>{{"HD0009", 1, 17}}));
}

TEST(Errors, FormsInTheWrongPlace) {
  EXPECT_EQ(first_error("op f() { y = max[j] -x[j] }").code, "HD0015");
  EXPECT_EQ(first_error("op f() { y = 1 + sum[j] x[j] }").code, "HD0014");
  EXPECT_EQ(first_error("op f() { y = 1 + sum[j] (x[j]) }").code, "HD0014");
  EXPECT_EQ(first_error("op f() { y = a < b < c }").code, "HD0013");
  EXPECT_EQ(first_error("op f() { y = 3 or 4 }").code, "HD0016");
  EXPECT_EQ(first_error("op f() { y = x[j where j < 3] }").code, "HD0016");
  EXPECT_EQ(first_error("op f() { y[i] sum= x[i] }").code, "HD0016");
  EXPECT_EQ(first_error("op f() { a, b = 3 }").code, "HD0016");
  EXPECT_EQ(first_error("op f() { y = \"a\\q\" }").code, "HD0008");
  EXPECT_EQ(first_error("reducer r(a: f32) { identity { a = 0 } }").code, "HD0018");
  EXPECT_EQ(first_error("op f() { y = \"abc\n }").code, "HD0007");
  EXPECT_EQ(first_error("op f() { y = 1 # 2 }").code, "HD0006");
}

TEST(Errors, EmptyTexts) {
  for (const char* text : {"", "\n\n", "// only a comment", "/// a doc comment\n", ";", "\xEF\xBB\xBF"})
    EXPECT_EQ(first_error(text).code, "HD0010") << text;
}

TEST(Errors, AreCapped) {
  std::string text = "op f() {\n";
  for (int i = 0; i < 100; ++i) text += "  let = 3\n";
  auto module = parse(Source::make("t", text + "}"));
  ASSERT_FALSE(module);
  ASSERT_EQ(module.errors().size(), size_t{limits::diagnostics} + 1);
  EXPECT_EQ(module.errors().back().severity, Severity::note);
}

// Any bytes -----------------------------------------------------------------------------------------------------------

std::string repeated(const std::string& part, size_t n) {
  std::string out;
  out.reserve(part.size() * n);
  for (size_t i = 0; i < n; ++i) out += part;
  return out;
}

TEST(Limits, Nesting) {
  std::string open = "op f() {\n  y = " + repeated("(", 60'000);
  EXPECT_EQ(errors_of(open + "1" + repeated(")", 60'000) + "\n}"), (std::vector<Seen>{{"HD0004", 2, 7 + 255}}));
  EXPECT_EQ(errors_of(open), (std::vector<Seen>{{"HD0004", 2, 7 + 255}}));
  EXPECT_EQ(first_error("let a = " + repeated("-", 5'000) + "1").code, "HD0004");
  EXPECT_EQ(first_error("let a = " + repeated("if a then b else ", 5'000) + "1").code, "HD0004");
  EXPECT_EQ(first_error("let a = " + repeated("x[i] or ", 5'000) + "1").code, "HD0004");
  EXPECT_EQ(first_error("op f() { " + repeated("scan t { ", 5'000)).code, "HD0004");
  EXPECT_EQ(first_error("schedule f.s on cpu { if a { b }" + repeated(" else if a { b }", 5'000) + "}").code, "HD0004");
}

TEST(Limits, Chains) {
  EXPECT_EQ(errors_of("let a = 1" + repeated(" + 1", 250'000)), (std::vector<Seen>{{"HD0005", 1, 11 + 4 * 1'000}}));
  // Short chains that together make a deep tree: ((((a+a)+a+a..)+a..
  std::string deep = "let a = " + repeated("(", 200) + "1";
  for (int i = 0; i < 200; ++i) deep += repeated(" + 1", 20) + ")";
  EXPECT_EQ(first_error(deep).code, "HD0005");
}

TEST(Limits, TokensAndBytes) {
  EXPECT_EQ(first_error("op f(a" + repeated(", a", 60'000) + ") { }").code, "HD0003");
  EXPECT_EQ(first_error("// " + repeated("x", limits::source_bytes)).code, "HD0001");
}

// The deepest legal text must fit the stack of a small thread, with room for what follows the parser.
TEST(Limits, DeepestTreeFitsTheStack) {
  std::string deep = "let a = " + repeated("f(", 255) + "1" + repeated(" + 1", 1'000) + repeated(")", 255);
  std::string prefixes = "let a = " + repeated("-", 255) + "1";
  EXPECT_TRUE(parse(Source::make("t", deep)));
  EXPECT_TRUE(parse(Source::make("t", prefixes)));
}

TEST(Bytes, InvalidUtf8) {
  auto at = [](const std::string& bytes) { return errors_of("let a = 1\n//" + bytes); };
  for (const char* bytes :
       {"\xFF", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC3", "\xE2\x82", "\x80"})
    EXPECT_EQ(at(bytes), (std::vector<Seen>{{"HD0002", 2, 3}}));
  EXPECT_TRUE(at("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80").empty());
  // Columns count code points.
  EXPECT_EQ(errors_of("let a = \"\xC3\xA9\xC3\xA9\" 3"), (std::vector<Seen>{{"HD0011", 1, 14}}));
  EXPECT_EQ(errors_of("\xEF\xBB\xBFlet a = \"\xC3\xA9\" 3"), (std::vector<Seen>{{"HD0011", 1, 14}}));
}

TEST(Bytes, AnyPrefixAndAnyDamageIsSafe) {
  const std::string text =
      "import \"a\"\n/// d\nop f<T: float>(x: T[m, (g, c)], const s: int = 1) -> (y: T[m]) {\n"
      "  require s >= 1, \"t\"\n  scan t reverse { h[t] = (h[t + 1] or 0) + (if s > 1 then x[t, (0, 1)] else 1e-5) }\n"
      "  y[i] = online[j in 0 .. i where j < 3] (m = x[i], o[e] = -x[j])\n}\n"
      "reducer r(a: f32) commutes exactly { identity { a = 0 } combine(x, y) { a = x.a + y.a } of[j] x { a = sum[j] "
      "x[j].a } }\n"
      "schedule f.s on cpu/avx512 allow contract where m > 1 { tune b = 4 in [1, 2]; if b == 4 { split y.i by b into "
      "o, i } else { fuse a, b } }\n"
      "instr d(inout c: f32[m <= 16] in tile layout(k) -> (k/2)) numerics ulp 2 cost 3 { c[i] sum= c[i] }\n"
      "program p(in x: f32[m] in dram) facts (m >= 0) {\n  stage y(map i in 0 .. m)\n"
      "  for y.i in 0 .. m parallel { at y(i = i) where i < m { y[i] = x[i] } }\n  call d(a[0 .. 4 <= 16])\n}\n";
  module_of(text);
  for (size_t n = 0; n <= text.size(); ++n) {
    auto module = parse(Source::make("t", text.substr(0, n)));
    if (!module) {
      for (const Diagnostic& d : module.errors()) {
        EXPECT_NE(d.code, "HD0901") << n << ": " << d.message;
        EXPECT_LE(d.place.begin, n);
      }
    }
  }
  for (char c : std::string("({[)}];\"\n@.=\0#-", 16))
    for (size_t n = 0; n < text.size(); n += 3) {
      std::string damaged = text;
      damaged[n] = c;
      auto module = parse(Source::make("t", damaged));
      if (!module) EXPECT_NE(module.errors()[0].code, "HD0901") << n << " " << c;
      std::string shorter = text;
      shorter.erase(n, 2);
      module = parse(Source::make("t", shorter));
      if (!module) EXPECT_NE(module.errors()[0].code, "HD0901") << n;
    }
}

TEST(Threads, TakeTurns) {
  std::vector<std::thread> threads;
  std::vector<int> good(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) good[t] += parse(Source::make("t", "op f(x: f32[n]) { y[i] = x[i] + 1 }")).ok();
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(good, std::vector<int>(4, 50));
}

}  // namespace
}  // namespace heddle::frontend
