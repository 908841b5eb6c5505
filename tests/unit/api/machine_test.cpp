// The instructions of stdlib/machine and their spellings in backend/host: the same names, and the same meaning.
#include <gtest/gtest.h>

#include "api/machine.h"
#include "backend/host/instr_rows.h"
#include "backend/neuron/instr_rows.h"
#include "ir/print.h"

namespace heddle::api {
namespace {

TEST(Machine, every_text_is_read) {
  for (const MachineText& text : machine_texts()) {
    Result<frontend::Module> module = frontend::read_module(Source::make(text.name, text.text));
    EXPECT_TRUE(module.ok()) << text.name << "\n" << (module.ok() ? "" : render(module.errors()));
  }
  EXPECT_FALSE(session().machine().instrs.empty());
}

TEST(Machine, spelled_instructions_mean_what_the_library_says) {
  for (const host::InstrRow& row : host::instr_rows()) {
    ASSERT_NE(session().machine().instr(row.name), nullptr) << row.name;
    ir::Program program;
    Result<ir::Instr> instr = frontend::add_instr(session().machine(), row.name, program);
    ASSERT_TRUE(instr.ok()) << row.name;
    EXPECT_EQ(ir::print_instr(*instr, program), row.meaning);
    ir::Target all;
    all.has_masks = all.has_amx = all.has_vnni = all.has_bf16 = true;
    EXPECT_EQ(host::spelled(program, *instr, all), &row);
    EXPECT_EQ(host::spelled(program, *instr, ir::Target{}), nullptr);
    EXPECT_TRUE(host::lacks_instr(row.name, ir::Target{}));
    EXPECT_FALSE(host::lacks_instr(row.name, all));
  }
}

TEST(Machine, every_instruction_of_a_cpu_is_spelled) {
  for (const MachineText& text : machine_texts()) {
    const std::string name = text.name;
    if (name != "machine/avx512.hd" && name != "machine/amx.hd") continue;
    Result<frontend::Module> module = frontend::read_module(Source::make(text.name, text.text));
    ASSERT_TRUE(module.ok());
    for (const auto& item : module->instrs) {
      bool spelled = false;
      for (const host::InstrRow& row : host::instr_rows()) spelled |= item->name.text == row.name;
      EXPECT_TRUE(spelled) << item->name.text;
    }
  }
}

TEST(Machine, every_instruction_of_a_neuron_core_is_spelled) {
  size_t count = 0;
  for (const MachineText& text : machine_texts()) {
    if (std::string(text.name) != "machine/neuron.hd") continue;
    Result<frontend::Module> module = frontend::read_module(Source::make(text.name, text.text));
    ASSERT_TRUE(module.ok());
    for (const auto& item : module->instrs) {
      ir::Program program;
      Result<ir::Instr> instr = frontend::add_instr(*module, item->name.text, program);
      ASSERT_TRUE(instr.ok()) << item->name.text;
      EXPECT_NE(neuron::spelled(program, *instr), nullptr) << ir::print_instr(*instr, program);
      ++count;
    }
  }
  EXPECT_EQ(count, neuron::instr_rows().size());
}

// A name alone is not enough: machine code stands only for the meaning that it has.
TEST(Machine, another_meaning_under_the_name_is_not_spelled) {
  const char* text =
      "instr vnni_dot_512(inout c: i32[m <= 1, n <= 16] in registers, a: u8[m, k <= 4] in dram, b: i8[k, n] in dram "
      "layout(k, j) -> (j, k)) numerics exact {\n  c[i, j] max= i32(a[i, p]) * i32(b[p, j])\n}\n";
  Result<frontend::Module> module = frontend::read_module(Source::make("<text>", text));
  ASSERT_TRUE(module.ok());
  ir::Program program;
  Result<ir::Instr> instr = frontend::add_instr(*module, "vnni_dot_512", program);
  ASSERT_TRUE(instr.ok());
  ir::Target all;
  all.has_vnni = true;
  EXPECT_EQ(host::spelled(program, *instr, all), nullptr);
}

}  // namespace
}  // namespace heddle::api
