#include "backend/host/target.h"

#include <gtest/gtest.h>

namespace heddle::host {
namespace {

TEST(Target, the_best_member_runs_here_and_all_before_it) {
  const ir::Target best = host_target();
  bool reached = false;
  for (const std::string& name : target_names()) {
    Result<ir::Target> t = target_named(name);
    EXPECT_EQ(t.ok(), !reached) << name;
    if (name == best.name) reached = true;
    if (!t.ok()) {
      EXPECT_EQ(t.errors()[0].code, "HD0402");
      continue;
    }
    EXPECT_EQ(t->family(), "cpu");
    EXPECT_FALSE(t->features.empty());
  }
  EXPECT_TRUE(reached);
  EXPECT_EQ(target_named("cpu")->name, best.name);
}

TEST(Target, members_widen) {
  EXPECT_EQ(target_for_emission("cpu/x86-64-v2")->lanes(ir::ScalarType::f32), 4);
  EXPECT_EQ(target_for_emission("cpu/avx2")->lanes(ir::ScalarType::f32), 8);
  EXPECT_EQ(target_for_emission("cpu/avx512")->lanes(ir::ScalarType::f32), 16);
  EXPECT_FALSE(target_for_emission("cpu/x86-64-v2")->has_fma);
  EXPECT_TRUE(target_for_emission("cpu/amx")->has_amx);
}

TEST(Target, unknown_names_suggest_near_ones) {
  Result<ir::Target> t = target_named("cpu/avx52");
  ASSERT_FALSE(t.ok());
  EXPECT_EQ(t.errors()[0].code, "HD0401");
  EXPECT_NE(t.errors()[0].help.find("cpu/avx2"), std::string::npos);
  EXPECT_FALSE(target_named("neuron/trn2").ok());
}

}  // namespace
}  // namespace heddle::host
