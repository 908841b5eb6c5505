// The grammar over the corpus: every text parses, without ambiguity and without a choice that hangs on context.
#include <antlr4-runtime.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "HeddleParser.h"
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

}  // namespace
}  // namespace heddle::frontend
