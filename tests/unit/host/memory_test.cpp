// The memory plan: what shares bytes, what cannot, and the table that shows it.
#include <gtest/gtest.h>

#include "backend/host/memory_plan.h"
#include "backend/host/target.h"
#include "frontend/program_text.h"
#include "ir/print.h"

namespace heddle::host {
namespace {

// A chain x -> t0 -> t1 -> .. -> y of temporaries with the extents given.
std::string plan_of(const std::vector<std::string>& extents) {
  std::string text = "program p(in x: f32[n] in dram, out y: f32[n] in dram) facts (n >= 0, n >= 16) {\n";
  std::string stages, body;
  for (size_t i = 0; i <= extents.size(); ++i) {
    const bool last = i == extents.size();
    const std::string name = last ? "y" : "t" + std::to_string(i), extent = last ? "n" : extents[i];
    const std::string from = i == 0 ? "x[i % 16]" : "t" + std::to_string(i - 1) + "[i % 8]";
    stages += "  stage " + name + "(map i in 0 .. " + extent + ")\n";
    if (!last) body += "  alloc " + name + ": f32[i in 0 .. " + extent + "] in dram\n";
    body += "  for " + name + ".i in 0 .. " + extent + " {\n    at " + name + "(i = i) { " + name + "[i] = " + from +
            " }\n  }\n";
  }
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text + stages + body + "}\n"));
  if (!p) return render(p.errors());
  Result<std::string> table = memory_text(*p, *target_named("cpu/avx2"));
  return table ? *table : render(table.errors());
}

// The place in the arena that the table gives a temporary.
std::string place_of(const std::string& table, const std::string& name) {
  const size_t row = table.find("\n  " + name + " "), at = table.find(" at byte ", row);
  if (row == std::string::npos || at == std::string::npos) return "none";
  return table.substr(at + 9, table.find(", ", at) - at - 9);
}

TEST(Memory, a_chain_needs_two_places) {
  const std::string table = plan_of({"n", "n", "n", "n", "n"});
  EXPECT_EQ(place_of(table, "t0"), "0") << table;
  EXPECT_NE(place_of(table, "t1"), "0") << table;
  for (const char* name : {"t2", "t4"}) EXPECT_EQ(place_of(table, name), "0") << table;
  EXPECT_EQ(place_of(table, "t3"), place_of(table, "t1")) << table;
  EXPECT_NE(table.find("t1.i to t2.i"), std::string::npos) << table;
  EXPECT_NE(table.find("4*n bytes"), std::string::npos) << table;
}

TEST(Memory, a_place_is_as_large_as_its_largest_holder) {
  const std::string grows = plan_of({"16", "n", "4*n"}), shrinks = plan_of({"8*n", "n", "n"});
  for (const std::string& table : {grows, shrinks}) {
    EXPECT_EQ(place_of(table, "t0"), "0") << table;
    EXPECT_EQ(place_of(table, "t2"), "0") << table;
    EXPECT_NE(place_of(table, "t1"), "0") << table;
  }
  // The second place begins where the largest holder of the first ends.
  EXPECT_EQ(place_of(grows, "t1"), place_of(plan_of({"4*n", "n"}), "t1")) << grows;
}

TEST(Memory, a_chain_of_hundreds_is_planned_at_once) {
  const std::string table = plan_of(std::vector<std::string>(300, "n"));
  EXPECT_EQ(place_of(table, "t298"), "0");
}

}  // namespace
}  // namespace heddle::host
