// The grammar over the corpus: every text parses, without ambiguity and without a choice that hangs on context.
#include <antlr4-runtime.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "HeddleLexer.h"
#include "HeddleParser.h"
#include "frontend/lexer.h"
#include "frontend/parse.h"

namespace heddle::frontend {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<fs::path> corpus() {
  std::vector<fs::path> out;
  for (const char* folder : {"tests/grammar/corpus", "stdlib", "examples"}) {
    fs::path root = fs::path(HEDDLE_SOURCE_DIR) / folder;
    if (!fs::exists(root)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.path().extension() == ".hd") out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Grammar, EveryTextOfTheCorpusParses) {
  auto files = corpus();
  ASSERT_GE(files.size(), 3u);
  for (const fs::path& file : files) {
    auto module = parse(Source::make(file.filename().string(), read(file)));
    EXPECT_TRUE(module.ok()) << (module.ok() ? "" : render(module.errors()));
  }
}

// The strongest form of "0 ambiguities, 0 context sensitivities": no decision of the grammar needs more than one token, so the
// parser never predicts. Checked on the grammar's own transition network, for every decision and not only those of the corpus.
TEST(Grammar, EveryDecisionTakesOneToken) {
  std::vector<std::unique_ptr<antlr4::Token>> end;
  end.push_back(std::make_unique<antlr4::CommonToken>(antlr4::Token::EOF));
  antlr4::ListTokenSource source(std::move(end));
  antlr4::CommonTokenStream stream(&source);
  HeddleParser parser(&stream);
  const antlr4::atn::ATN& atn = parser.getATN();
  antlr4::atn::LL1Analyzer analyzer(atn);
  size_t decisions = 0;
  for (antlr4::atn::DecisionState* state : atn.decisionToState) {
    auto sets = analyzer.getDecisionLookahead(state);
    ++decisions;
    for (size_t i = 0; i < sets.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        EXPECT_TRUE(sets[i].And(sets[j]).isEmpty())
            << "rule " << parser.getRuleNames()[state->ruleIndex] << ": two alternatives begin alike";
  }
  EXPECT_GT(decisions, 50u);
}

// A token as both lexers know it: the grammar's number, where it stands in bytes.
struct Seen {
  int type;
  size_t begin, end;
  bool operator==(const Seen&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Seen& s) {
    return out << s.type << " at " << s.begin << " .. " << s.end;
  }
};

std::vector<Seen> by_grammar(const std::string& text) {
  std::vector<size_t> starts;  // of each code point; the stream leaves out the mark at the front
  for (size_t i = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; i <= text.size(); ++i)
    if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) starts.push_back(i);
  antlr4::ANTLRInputStream input(text);
  HeddleLexer lexer(&input);
  std::vector<Seen> out;
  for (auto t = lexer.nextToken(); t->getType() != antlr4::Token::EOF; t = lexer.nextToken())
    out.push_back({static_cast<int>(t->getType()), starts.at(t->getStartIndex()), starts.at(t->getStopIndex() + 1)});
  return out;
}

std::vector<Seen> by_hand(const std::string& text) {
  std::vector<Seen> out;
  for (const Token& t : lex(text, token_types(), text.size())) out.push_back({t.type, t.begin, t.end});
  return out;
}

TEST(Lexer, IsThatOfTheGrammarOverTheCorpus) {
  for (const fs::path& file : corpus()) EXPECT_EQ(by_hand(read(file)), by_grammar(read(file))) << file;
}

TEST(Lexer, IsThatOfTheGrammarOverRandomTexts) {
  // Pieces whose neighbours make something else of them.
  const std::vector<std::string> pieces = {"0",
                                           "1",
                                           "9",
                                           "x",
                                           "X",
                                           "e",
                                           "E",
                                           "f",
                                           "+",
                                           "-",
                                           ".",
                                           "..",
                                           "...",
                                           "/",
                                           "//",
                                           "///",
                                           "\"",
                                           "\\",
                                           "\n",
                                           "\r",
                                           " ",
                                           "\t",
                                           "\f",
                                           "a",
                                           "_",
                                           "let",
                                           "op",
                                           "in",
                                           "inf",
                                           "if",
                                           "<",
                                           ">",
                                           "=",
                                           "!",
                                           "&",
                                           "|",
                                           "@",
                                           "(",
                                           ")",
                                           "{",
                                           "}",
                                           "[",
                                           "]",
                                           ",",
                                           ":",
                                           ";",
                                           "*",
                                           "%",
                                           "^",
                                           "~",
                                           "$",
                                           "#",
                                           "?",
                                           "'",
                                           "\xC3\xA9",
                                           "\xE2\x82\xAC",
                                           "\xF0\x9F\x98\x80",
                                           "\xEF\xBB\xBF",
                                           "0x",
                                           "1.5",
                                           "1e",
                                           "1e+",
                                           "schedule",
                                           "nan",
                                           "->",
                                           "<-",
                                           "==",
                                           "commutes",
                                           std::string(1, '\0'),
                                           "\x7F"};
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t n = 1 + random() % 12; n > 0; --n) text += pieces[random() % pieces.size()];
    ASSERT_EQ(by_hand(text), by_grammar(text)) << ::testing::PrintToString(text);
  }
}

TEST(Lexer, StopsAtItsLimit) {
  EXPECT_EQ(lex("a b c d e", token_types(), 2).size(), 3u);
  EXPECT_EQ(lex("a b", token_types(), 2).size(), 2u);
}

}  // namespace
}  // namespace heddle::frontend
