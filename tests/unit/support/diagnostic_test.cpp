#include "support/diagnostic.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

constexpr Code code{"HD0999", "title", "explanation"};

std::string shown(const std::string& text, uint32_t begin, uint32_t end) {
  return render(Diagnostic(code, {Source::make("a.hd", text), begin, end}, "message"));
}

TEST(Diagnostic, MarksThePlace) {
  EXPECT_EQ(shown("one\ntwo three\n", 8, 13), "a.hd:2:5: error[HD0999]: message\n  2 | two three\n    |     ^^^^^\n");
}

TEST(Diagnostic, ColumnsAreCodePoints) {
  EXPECT_EQ(shown("\xC3\xA4\xE2\x82\xAC x", 6, 7),
            "a.hd:1:4: error[HD0999]: message\n  1 | \xC3\xA4\xE2\x82\xAC x\n    |    ^\n");
}

TEST(Diagnostic, LongLinesAreShownAroundThePlace) {
  std::string text = std::string(5000, 'a') + "B" + std::string(5000, 'c');
  std::string out = shown(text, 5000, 5001);
  EXPECT_LT(out.size(), 400u);
  size_t line = out.find("| ..aaa"), mark = out.find("^");
  ASSERT_NE(line, std::string::npos);
  size_t below = out.rfind("| ", mark);
  EXPECT_EQ(out[line + (mark - below)], 'B');
}

TEST(Diagnostic, EndsPastTheTextAreTheEnd) {
  EXPECT_NE(shown("ab", 2, 9).find("a.hd:1:3"), std::string::npos);
  EXPECT_NE(shown("", 0, 0).find("a.hd:1:1"), std::string::npos);
}

TEST(Diagnostic, ControlBytesCannotMoveTheCursor) {
  EXPECT_NE(shown("a\x1b[2Jb", 0, 1).find("a?[2Jb"), std::string::npos);
}

TEST(Diagnostic, BrokenUtf8IsShownAsQuestionMarks) {
  EXPECT_NE(shown("a\xFF"
                  "b \xC3\xA4 \xE2\x82",
                  0, 1)
                .find("| a?b \xC3\xA4 ??\n"),
            std::string::npos);
  EXPECT_NE(shown("\xED\xA0\x80 \xF0\x9F\x98\x80", 0, 1).find("| ??? \xF0\x9F\x98\x80\n"), std::string::npos);
}

TEST(Nearest, FindsSmallSlipsOnly) {
  std::vector<std::string> known = {"vectorize", "parallel", "split"};
  EXPECT_EQ(nearest("vectorise", known), "vectorize");
  EXPECT_EQ(nearest("splt", known), "split");
  EXPECT_EQ(nearest("banana", known), "");
  EXPECT_EQ(nearest("y", {"r", "c"}), "");
}

}  // namespace
}  // namespace heddle
